# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rights that others use as well stay, whoever they are and wherever they lie; so do all of which that can't be known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from igw_sandbox.world import World
from tests.integration.cases import Manifest, create, estate
from tests.integration.harness import CONTROL, ROOT, credential, detect

RBAC = "rbac.authorization.k8s.io"
DETECT = ROOT / "roles" / "migration" / "files" / "rbac" / "detect.yaml"
ROLE = "picker"
"""The ClusterRole of every estate here is NAMESPACE-picker."""


def binding(namespace: str, role: str, *accounts: str, name: str = "chat-epp", kind: str = "RoleBinding") -> Manifest:
    """A binding to a ClusterRole; accounts as ``namespace/name``."""
    subjects = [dict(zip(("namespace", "name"), account.split("/"), strict=True)) | {"kind": "ServiceAccount"} for account in accounts]
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": {"name": name, "namespace": namespace},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role}, "subjects": subjects}


def plain(namespace: str, *more: Manifest) -> list[Manifest]:
    """The ordinary estate with a binding of its picker's own."""
    return estate(namespace, [binding(namespace, f"{namespace}-{ROLE}", f"{namespace}/chat-epp"), *more])


def running(kind: str, api_version: str, account: str = "chat-epp") -> Manifest:
    """Somebody else's workload."""
    pod: Manifest = {"serviceAccountName": account, "restartPolicy": "Always", "containers": [{"name": "x", "image": "example.com/x:1"}]}
    template: Manifest = {"metadata": {"labels": {"app": "other"}}, "spec": pod}
    once = {"template": {"spec": pod | {"restartPolicy": "Never"}}}
    specs: dict[str, Manifest] = {"Pod": pod, "Job": once, "CronJob": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": once}},
                                  "ReplicationController": {"selector": {"app": "other"}, "template": template}}
    spec = specs.get(kind, {"selector": {"matchLabels": {"app": "other"}}, "template": template} | ({"serviceName": "x"} if kind == "StatefulSet" else {}))
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "other"}, "spec": spec}


WORKLOADS = {"StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "ReplicaSet": "apps/v1", "Job": "batch/v1", "CronJob": "batch/v1", "Pod": "v1",
             "ReplicationController": "v1"}


@pytest.fixture(scope="module")
def world(make_world: Callable[..., World]) -> Iterator[World]:
    """Estates whose pickers' rights are their own, shared by a role, and shared by an account."""
    world = make_world("rights", services=CONTROL)
    create(world, [
        *plain("own"),
        *plain("bound"), binding("web", f"bound-{ROLE}", "web/frontend", name="frontend"),
        *plain("named"), binding("web", f"named-{ROLE}", "named/chat-epp", "web/frontend", name="both"),
        *(manifest for kind, version in WORKLOADS.items() for manifest in plain(f"runs-{kind.lower()}", running(kind, version))),
    ])
    # Its own pod is there, by a ReplicaSet: with nothing of them the test of what is the picker's own would be worth little.
    world.kubectl("wait", "--for=create", "-n", "own", "pod", "-l", "app=chat-epp", "--timeout=60s")
    yield world
    world.down()


Plans = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def pools(world: World, collections_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Plans:
    """The planned pools by namespace, asked once for each set of options."""
    asked: dict[str, dict[str, dict[str, Any]]] = {}

    def ask(**options: Any) -> dict[str, dict[str, Any]]:
        key = repr(sorted(options.items()))
        if key not in asked:
            answer = detect(world, tmp_path_factory.mktemp("rights"), collections_path, **options)
            asked[key] = {pool["namespace"]: pool | {"findings": answer["findings"]} for pool in answer["plan"]["pools"]}
        return asked[key]

    return ask


def deleted(pool: dict[str, Any]) -> set[str]:
    """Kinds of rights that are deleted with a pool."""
    kinds = {entry["kind"] for entry in pool["retire"]}
    assert {"InferencePool", "Deployment", "Service"} <= kinds
    return kinds & {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}


def stays(pool: dict[str, Any]) -> dict[str, str]:
    return {entry["object"]: entry["why"] for entry in pool["stays"]}


def test_rights_of_the_picker_alone_go_though_its_replica_set_and_pod_use_them(pools: Plans):
    own = pools()["own"]
    assert (deleted(own), own["stays"]) == ({"ServiceAccount", "RoleBinding", "ClusterRole"}, [])


@pytest.mark.parametrize("chosen", [None, ["bound"]])
def test_a_role_that_is_bound_in_a_namespace_without_alpha_objects_stays(pools: Plans, chosen: list[str] | None):
    bound = pools(namespaces=chosen)["bound"]
    assert deleted(bound) == {"ServiceAccount", "RoleBinding"}
    assert stays(bound) == {f"ClusterRole bound-{ROLE}": "RoleBinding web/frontend gives it to ServiceAccount web/frontend"}


def test_a_binding_that_names_somebody_else_too_stays(pools: Plans):
    found = stays(pools()["named"])
    assert found["RoleBinding web/both"] == "it also serves ServiceAccount web/frontend" and f"ClusterRole named-{ROLE}" in found


@pytest.mark.parametrize("chosen", [False, True])
@pytest.mark.parametrize("kind", sorted(WORKLOADS))
def test_an_account_that_another_workload_runs_as_stays_with_its_rights(pools: Plans, kind: str, chosen: bool):
    where = f"runs-{kind.lower()}"
    every = [f"runs-{entry.lower()}" for entry in WORKLOADS]
    pool = pools(namespaces=every if chosen else None)[where]
    assert deleted(pool) == set()
    assert stays(pool)[f"ServiceAccount {where}/chat-epp"] == f"in use by {kind} {where}/other"
    assert {f"RoleBinding {where}/chat-epp", f"ClusterRole {where}-{ROLE}"} <= set(stays(pool))


def may_detect(world: World, name: str, without: tuple[str, ...]) -> dict[str, str | None]:
    """Connection options of a credential with the shipped ClusterRole alone, but for some kinds."""
    role = yaml.safe_load(DETECT.read_text())
    role["metadata"]["name"] = name
    for rule in role["rules"]:
        rule["resources"] = [resource for resource in rule["resources"] if resource not in without]
    role["rules"] = [rule for rule in role["rules"] if rule["resources"]]
    world.apply(yaml.safe_dump(role))
    return {"kubeconfig": None} | credential(world, name, world.directory)


def may_not_list(pool: dict[str, Any]) -> list[tuple[str, str]]:
    return [(entry["severity"], entry["object"]) for entry in pool["findings"] if entry["code"] == "may-not-list"]


def test_the_shipped_cluster_role_sees_who_uses_the_rights(world: World, pools: Plans):
    seen = pools(**may_detect(world, "shipped", ()))
    assert may_not_list(seen["own"]) == []
    for namespace, pool in pools().items():
        assert (seen[namespace]["retire"], seen[namespace]["stays"]) == (pool["retire"], pool["stays"])


@pytest.mark.parametrize("without", ["rolebindings", "clusterrolebindings", "pods", "cronjobs"])
def test_where_users_of_rights_may_not_be_listed_none_are_deleted(world: World, pools: Plans, without: str):
    found = pools(namespaces=["own"], **may_detect(world, f"without-{without}", (without,)))["own"]
    assert deleted(found) == set() and f"{without} may not be listed" in stays(found)["ServiceAccount own/chat-epp"]
    ((severity, what),) = may_not_list(found)
    assert severity == "warning" and what.startswith(f"{without} (")
