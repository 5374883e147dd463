# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What detect says of clusters that don't use v1alpha2, use it in several namespaces, or don't let it look."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from igw_sandbox.world import World
from tests.integration.harness import CONTROL, ESTATES, credential

DETECT = "inference_gateway.migration.detect"
RBAC = Path(__file__).resolve().parents[2] / "roles" / "migration" / "files" / "rbac"


@pytest.fixture(scope="module")
def bare(make_world) -> World:
    """An API server with the alpha CRDs and no object of theirs."""
    return make_world("bare", services=CONTROL)


def variables(world: World, role: str, folder: Path) -> dict[str, str]:
    """Variables of a credential that may do what a ClusterRole says and nothing else."""
    return {"migration_kubeconfig": ""} | {f"migration_{name}": value for name, value in credential(world, role, folder).items()}


@pytest.fixture
def stranger(bare: World, tmp_path) -> dict[str, str]:
    """Variables of a credential that may read nothing but the cluster's identity."""
    bare.kubectl("create", "clusterrole", "identity", "--verb=get", "--resource=namespaces")
    return variables(bare, "identity", tmp_path)


@pytest.fixture
def reader(bare: World, tmp_path) -> dict[str, str]:
    """Variables of a credential with the shipped ClusterRole alone."""
    bare.kubectl("apply", "-f", str(RBAC / "detect.yaml"))
    return variables(bare, "inference-gateway-migration-detect", tmp_path)


def test_definitions_without_objects_are_not_in_use(bare, play):
    ended = play(bare, DETECT)
    assert ended.status == 0, ended.log
    assert "v1alpha2 is not in use" in ended.log


def test_no_definitions_are_not_in_use(make_world, play):
    world = make_world("none", services=CONTROL, release="none")
    ended = play(world, DETECT)
    world.down()
    assert ended.status == 0, ended.log
    assert "v1alpha2 is not in use" in ended.log


def test_a_list_that_is_forbidden_is_a_finding(bare, play, stranger):
    ended = play(bare, DETECT, extra=stranger)
    assert "may-not-list" in ended.log
    assert "not in use" not in ended.log


def test_the_shipped_cluster_role_is_enough_and_what_it_can_not_try_is_listed(bare, play, reader, tmp_path):
    bare.add_estate(ESTATES / "two_namespaces")
    bare.reset_requests()
    ended = play(bare, DETECT, extra=reader)
    assert ended.status == 0, ended.log
    assert "may-not-list" not in ended.log
    found = ended.report["plan"]
    assert len(found["pools"]) == 2
    assert found["unchecked"] == ["1 InferenceModelRewrite: the credential may not create it", "3 InferenceObjective: the credential may not create it"]
    assert bare.requests()["writes"] == 0


@pytest.mark.parametrize(("said", "passes"), [({}, True), ({"migration_validate_certs": True}, False)], ids=["kubeconfig", "option"])
def test_a_kubeconfig_that_skips_the_check_of_the_certificate(bare, play, tmp_path, said, passes):
    """It means what it means to kubectl, unless the option says otherwise. It names no authority, so nothing else could let it through."""
    config = json.loads(bare.kubeconfig.read_text())
    for entry in config["clusters"]:
        entry["cluster"] = {"server": entry["cluster"]["server"], "insecure-skip-tls-verify": True}
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    ended = play(bare, DETECT, extra={"migration_kubeconfig": str(tmp_path / "kubeconfig")} | said)
    assert (ended.status == 0) is passes, ended.log[-2000:]
    assert passes or "certificate verify failed" in ended.log


def test_two_namespaces_are_found_and_nothing_is_written(bare, play):
    bare.add_estate(ESTATES / "two_namespaces")
    bare.reset_requests()
    ended = play(bare, DETECT)
    assert ended.status == 0, ended.log
    named = {item["metadata"]["namespace"] for item in bare.kubectl_json("get", "inferencepools.inference.networking.x-k8s.io", "-A")["items"]}
    assert len(named) == 2
    assert all(f"Pool {namespace}/" in ended.log for namespace in named)
    assert bare.requests()["writes"] == 0
