# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Detect plans every estate as a specialist wrote it down in plans/, field by field, and finds exactly what that person found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import Cluster
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import ENDPOINTS, Options, pool_migrations
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import Estate
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.reader import read_estate
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import CheckContext
from ansible_collections.inference_gateway.migration.plugins.module_utils.plan import plan
from ansible_collections.inference_gateway.migration.plugins.module_utils.plan_schema import Plan
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import ProbeTarget
from ansible_collections.inference_gateway.migration.plugins.module_utils.scope import MigrationScope

from tests.integration.harness import CONTROL, ESTATES, LAST_APPLIED, source, write_route
from tests.integration.planning import Board, comparable, differences, reduced
from tests.integration.test_findings import RECORD, packed, record

SILENT = {"two_namespaces"}
"""Estates without a route, so that nothing can be reached."""
EXPECTED = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((Path(__file__).resolve().parent / "plans").glob("*.yaml"))}


def estate_of(name: str) -> str:
    """The estate of a file in plans/; one that says none is named after it."""
    return EXPECTED[name].get("estate", name)


# One after the other on one estate: applying and removing it takes longer than asking.
NAMES = sorted(EXPECTED, key=lambda name: (estate_of(name), name))
EACH = pytest.mark.parametrize("name", NAMES, scope="module")
"""Both tests of one name in a row: that is what the scope says to pytest."""


@pytest.fixture(scope="module")
def board(make_world, collections_path: Path, tmp_path_factory) -> Iterator[Board]:
    """An API server that shows one estate at a time."""
    world = make_world("plans", services=CONTROL)
    yield Board(world, tmp_path_factory.mktemp("plans"), collections_path)
    world.down()


def test_every_estate_has_an_expected_plan():
    assert {estate_of(name) for name in EXPECTED} == {folder.name for folder in ESTATES.iterdir() if folder.is_dir()}


@EACH
def test_the_plan_is_the_one_that_a_specialist_wrote(board: Board, name: str):
    board.show(estate_of(name))
    board.world.reset_requests()
    plan = board.plan(**EXPECTED[name].get("options", {}))
    told = differences(comparable(EXPECTED[name]), comparable(reduced(plan)))
    assert not told, "\n".join([f"the plan of {name} differs:", *told])
    assert board.world.requests()["writes"] == 0


def of_detect(estate: Estate, chosen: Options) -> set[ProbeTarget]:
    """What detect says that users reach; by model ``any`` where it does not matter to any rule."""
    found = CheckContext(estate, chosen, tuple(pool_migrations(estate, chosen))).reachability
    return {target for entry in found for target in set(entry.ways) - {taken for taken, _by in entry.taken}}


def of_the_run(cluster: Cluster, made: Plan) -> set[ProbeTarget]:
    """What a run with this plan probes, without streams."""
    return {replace(target, stream=False) for target in MigrationScope.read(cluster, made, "igm", None).targets}


@EACH
def test_the_run_probes_what_detect_calls_reachable(board: Board, name: str):
    board.show(estate_of(name))
    said = EXPECTED[name].get("options", {})
    # As much of a module as kubernetes.core wants for a connection.
    module = SimpleNamespace(params={"kubeconfig": str(board.world.kubeconfig)}, requires=lambda *_names, **_options: None, server_side_dry_run=False)
    cluster = Cluster(module)
    here = read_estate(cluster, [])
    target, endpoints = said.get("target_version", releases.DEFAULT_TARGET), tuple(said.get("endpoints", ENDPOINTS))
    chosen = Options(release=releases.target(target), endpoints=endpoints, models=said.get("models", {}))
    expected = of_detect(here, chosen)
    probed = of_the_run(cluster, plan.make(here, chosen))
    by_model = {target.model for target in expected} != {"any"}
    assert (probed if by_model else {replace(target, model="any") for target in probed}) == expected
    assert expected or name in SILENT


def changed(fields: dict[str, Any]) -> dict[str, Any]:
    """The demo's expected plan with fields of its pool changed."""
    return EXPECTED["demo"] | {"pools": [EXPECTED["demo"]["pools"][0] | fields]}


@pytest.mark.parametrize(("other", "line"), [
    (changed({"v1_name": "x"}), "v1_name: expected 'vllm-llama3-8b-instruct-ga', found 'x'"),
    (changed({"deletes": EXPECTED["demo"]["pools"][0]["deletes"][::-1]}), "deletes: the order is"),
    (changed({"creates": []}), "creates: expected InferenceObjective default/base-model, it is not there"),
    (changed({"moves": ["HTTPRoute default/llm-route rule 1 reference 0 weight 1"]}), "moves: not expected: HTTPRoute default/llm-route rule 1"),
    (changed({"merges": ["InferencePool default/x"]}), "merges: not expected, it is"),
    (EXPECTED["demo"] | {"findings": EXPECTED["demo"]["findings"] * 2}, "findings: not expected: port-9002-implied"),
    (EXPECTED["demo"] | {"blocked": ["x"]}, "blocked: not expected: x"),
    (EXPECTED["demo"] | {"pools": []}, "pools.default/vllm-llama3-8b-instruct-preview: expected"),
])
def test_a_difference_is_seen_and_named(other: dict[str, Any], line: str):
    told = differences(comparable(EXPECTED["demo"]), comparable(other))
    assert any(line in entry for entry in told), told


# -- who owns what ------------------------------------------------------------------------------------------------------


def blocked_by(plan: Plan, *codes: str) -> dict[str, str]:
    """Messages of findings of these codes by their objects."""
    return {entry["object"]: entry["message"] for entry in plan["findings"] if entry["code"] in codes}


def test_argo_cd_that_tracks_by_label_is_known_by_what_it_writes(board: Board):
    """One round of its self-heal, which writes the route alone: the pool is known by the label that both bear. The label alone is no sign."""
    codes = ("gitops-owned-route", "controller-owned-pool")
    board.show("argo_by_label")
    world = board.world
    world.kubectl("annotate", "httproute", "finder", "-n", "catalog", f"{LAST_APPLIED}-")
    route = source(world.kubectl_json("get", "httproute", "finder", "-n", "catalog"))
    write_route(world, route, "apply", "kubectl")
    assert blocked_by(board.plan(), *codes) == {}
    write_route(world, route, "apply", "argocd-controller")
    plan = board.plan()
    assert blocked_by(plan, *codes) == {
        "HTTPRoute catalog/finder": "Argo CD owns it, by its managedFields: argocd-controller writes its spec.",
        "InferencePool catalog/finder": "Argo CD owns it, by its label app.kubernetes.io/instance beside the same label on what Argo CD writes.",
    }
    assert plan["blocked"] == sorted(codes)
    assert board.plan(accept=list(codes))["blocked"] == []
    board.shown = None
    world.remove_estate(ESTATES / "argo_by_label")


def test_a_definition_that_somebody_keeps_stays_and_is_named(board: Board):
    """One by a Helm release with a record, one by what Flux writes; by a release of which there is no record, and by a person's apply, both are deleted."""
    board.show("lost_record")
    world, (pools, models) = board.world, releases.ALPHA_CRDS
    before = {name: world.kubectl_json("get", "crd", name) for name in (pools, models)}
    marks = ["meta.helm.sh/release-name=definitions", "meta.helm.sh/release-namespace=support"]
    taken = {name: {"apiVersion": crd["apiVersion"], "kind": crd["kind"], "metadata": {"name": name}, "spec": crd["spec"]} for name, crd in before.items()}
    world.kubectl("annotate", "crd", pools, *marks)
    world.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=json.dumps(taken[models]))
    assert board.plan()["crds"]["retire"] == [pools, models]
    world.kubectl("create", "-n", "support", "-f", "-", input=json.dumps(record("definitions", packed(RECORD | {"name": "definitions"}))))
    world.kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=kustomize-controller", "-f", "-", input=json.dumps(taken[models]))
    plan = board.plan()
    assert plan["crds"]["retire"] == []
    why = {f"CustomResourceDefinition {pools}": "Helm release support/definitions owns it, by its meta.helm.sh annotations",
           f"CustomResourceDefinition {models}": "Flux owns it, by its managedFields: kustomize-controller writes its spec"}
    assert {entry["object"]: entry["why"] for entry in plan["crds"]["stays"]} == why
    assert blocked_by(plan, "managed-crd") == {name: f"{text}, so it stays as it is." for name, text in why.items()}
    world.kubectl("annotate", "crd", pools, *(f"{mark.partition('=')[0]}-" for mark in marks))
    world.kubectl("patch", "crd", models, "--type=json", "-p", json.dumps([{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]))
    assert board.plan()["crds"]["retire"] == [pools, models]
