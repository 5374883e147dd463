# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What gateways and GKE report of routes, pools and policies."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils import manifests
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import NotServed
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import probe_routes
from ansible_collections.inference_gateway.migration.plugins.module_utils.scope import MigrationScope
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification import statuses

from tests.unit.helpers.migration_fakes import ALPHA, MOVES, V1, FakeCluster, condition, gateway, http_route, make_plan, rule

Manifest = dict[str, Any]
ORIGINAL = http_route(rule(ALPHA))


def read(*found: Manifest, backup: list[Manifest] | None = None) -> MigrationScope:
    return MigrationScope.read(FakeCluster(*found), make_plan(), "igm1", backup)


def pool(group: str, version: str, name: str, status: str) -> Manifest:
    parents = [{"parentRef": {"name": "gw"}, "conditions": [condition("Accepted"), condition("ResolvedRefs", status)]}]
    field = "parents" if version == "v1" else "parent"
    return {
        "apiVersion": f"{group}/{version}",
        "kind": "InferencePool",
        "metadata": {"name": name, "namespace": "default", "generation": 1},
        "status": {field: parents},
    }


@pytest.mark.parametrize(("alpha", "v1", "expected"), [("True", "True", 0), ("False", "True", 1), ("True", "False", 1), ("False", "False", 2)])
def test_both_pools_are_judged(alpha: str, v1: str, expected: int) -> None:
    found = [pool(manifests.ALPHA_GROUP, "v1alpha2", "llama-preview", alpha), pool(manifests.V1_GROUP, "v1", "llama-ga", v1)]
    assert len(statuses.faults(read(ORIGINAL, gateway(), *found), ["v1"])) == expected
    assert len(statuses.faults(read(http_route(rule(V1)), gateway(), *found, backup=[ORIGINAL]))) == expected


def test_what_is_wrong_with_v1_holds_no_traffic_that_has_left_it() -> None:
    """On the way back, and once its probe routes are gone."""
    found = [pool(manifests.V1_GROUP, "v1", "llama-ga", "False"), policy("d", "False")]
    for asked in ([], ["alpha"]):
        assert statuses.faults(read(ORIGINAL, gateway(), *found), asked) == []
    for asked in (["v1"], ["both"]):
        assert len(statuses.faults(read(ORIGINAL, gateway(), *found), asked)) == 2


@pytest.mark.parametrize(("nonce", "status", "leaving", "asked", "expected"), [
    ("igm1", "False", False, ["alpha", "v1"], 1), ("igm1", "True", False, ["v1"], 0), ("igm1", "False", True, ["v1"], 0), ("igm2", "False", False, ["v1"], 0),
    ("igm1", "False", False, ["alpha"], 0), ("igm1", "False", False, [], 0),
])
def test_a_probe_route_that_a_gateway_refuses_is_named(nonce: str, status: str, leaving: bool, asked: list[Any], expected: int) -> None:
    """One of this migration that is asked, and not on its way out: nobody waits for that."""
    (mine,) = probe_routes.probe_routes_of(ORIGINAL, MOVES, "v1", nonce)
    mine["metadata"]["generation"] = 1
    mine["status"] = {"parents": [{"parentRef": {"name": "gw"}, "conditions": [condition("Accepted"), condition("ResolvedRefs", status)]}]}
    if leaving:
        mine["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    faults = statuses.faults(read(ORIGINAL, gateway(), mine), asked)
    assert len(faults) == expected and all("llm-route-igm1-v1-0 at Gateway gw: ResolvedRefs is False" in fault for fault in faults)


def test_gateways_and_routes_are_judged_as_they_are_live() -> None:
    place, live = gateway(), deepcopy(ORIGINAL)
    live["metadata"]["generation"] = 2
    place["status"]["conditions"] = []
    faults = statuses.faults(read(live, place, backup=[ORIGINAL]))
    assert faults[0] == "Gateway default/gw: Programmed is not reported"
    assert faults[1:] == [f"HTTPRoute default/llm-route at Gateway gw: {kind} is of generation 1, not 2" for kind in ("Accepted", "ResolvedRefs")]


def policy(own: str, attached: str, **target: str) -> Manifest:
    to = {"group": manifests.V1_GROUP, "kind": "InferencePool", "name": "llama-ga"} | target
    reported = condition("Attached", attached) | {"reason": "Conflicted"}
    return {
        "apiVersion": "networking.gke.io/v1", "kind": "GCPBackendPolicy", "metadata": {"name": own, "namespace": "default", "generation": 1},
        "spec": {"targetRef": to}, "status": {"conditions": [reported]},
    }  # fmt: skip


def test_policies_of_the_v1_pools_are_judged_and_no_others() -> None:
    others = [policy("a", "False", group=manifests.ALPHA_GROUP), policy("b", "False", name="other"), policy("c", "True")]
    assert statuses.faults(read(ORIGINAL, gateway(), *others), ["v1"]) == []
    faults = statuses.faults(read(ORIGINAL, gateway(), *others, policy("d", "False")), ["v1"])
    assert faults == ["GCPBackendPolicy default/d: Attached is False: Conflicted"]


def test_a_cluster_without_gkes_policies_has_nothing_against_them(monkeypatch: pytest.MonkeyPatch) -> None:
    here = read(ORIGINAL, gateway())

    real = here.cluster.list

    def absent(path: str, **query: str) -> Iterator[Manifest]:
        if "networking.gke.io" in path:
            raise NotServed(f"{path} is not served", 404)
        return real(path, **query)

    monkeypatch.setattr(here.cluster, "list", absent)
    assert statuses.faults(here, ["v1"]) == []


@pytest.mark.parametrize("kind", ["Accepted", "ResolvedRefs"])
@pytest.mark.parametrize(("asked", "said"), [(["v1"], True), (["both"], True), ([], False), (["alpha"], False)])
def test_what_is_reported_of_v1alpha2s_pool_must_be_of_v1s(kind: str, asked: list[Any], said: bool) -> None:
    """A gateway that reports on one and not on the other has not taken the other yet, once a route refers to it."""
    alpha, v1 = pool(manifests.ALPHA_GROUP, "v1alpha2", "llama-preview", "True"), pool(manifests.V1_GROUP, "v1", "llama-ga", "True")
    (parent,) = v1["status"]["parents"]
    parent["conditions"] = [entry for entry in parent["conditions"] if entry["type"] != kind]
    words = f"InferencePool default/llama-ga (inference.networking.k8s.io/v1): {kind} is not reported by Gateway default/gw, though it is of the v1alpha2 pool"
    assert statuses.faults(read(ORIGINAL, gateway(), alpha, v1), asked) == ([words] if said else [])
    assert statuses.faults(read(ORIGINAL, gateway(), v1), asked) == [], "where nobody tells what this gateway reports"


def test_only_the_gateways_of_its_routes_must_report_of_a_pool() -> None:
    """What another one wrote may be of long ago; and a pool without a route has nobody who would report on v1's."""
    alpha, v1 = pool(manifests.ALPHA_GROUP, "v1alpha2", "llama-preview", "True"), pool(manifests.V1_GROUP, "v1", "llama-ga", "True")
    alpha["status"]["parent"].append({"parentRef": {"name": "gone"}, "conditions": [condition("Accepted"), condition("ResolvedRefs")]})
    assert statuses.faults(read(ORIGINAL, gateway(), alpha, v1), ["v1"]) == []
    v1["status"] = {}
    elsewhere = http_route(rule({"name": "plain"}))
    assert statuses.faults(read(elsewhere, gateway(), alpha, v1), ["v1"]) == []


def test_a_pool_without_any_report_beside_one_that_has_them() -> None:
    alpha, v1 = pool(manifests.ALPHA_GROUP, "v1alpha2", "llama-preview", "True"), pool(manifests.V1_GROUP, "v1", "llama-ga", "True")
    v1["status"] = {}
    assert len(statuses.faults(read(ORIGINAL, gateway(), alpha, v1), ["v1"])) == 2


def test_a_policy_that_is_not_reported_on_beside_v1alpha2s_that_is() -> None:
    alpha, v1 = policy("a", "True", group=manifests.ALPHA_GROUP, name="llama-preview"), policy("b", "True")
    assert statuses.faults(read(ORIGINAL, gateway(), alpha, v1), ["v1"]) == []
    v1["status"] = {}
    words = "GCPBackendPolicy default/b: Attached is not reported, though it is for the v1alpha2 pool's"
    assert statuses.faults(read(ORIGINAL, gateway(), alpha, v1), ["v1"]) == [words]
    assert statuses.faults(read(ORIGINAL, gateway(), alpha, v1)) == [], "as long as no route refers to v1's pool"
    assert statuses.faults(read(ORIGINAL, gateway(), alpha | {"kind": "HealthCheckPolicy"}, v1), ["v1"]) == []
