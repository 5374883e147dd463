# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Status predicates, each with what it must let pass and what it must not."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import conditions

from tests.unit.helpers.migration_fakes import condition, gateway, http_route

Manifest = dict[str, Any]


def route(*reported: Manifest, parents: list[Manifest] | None = None, generation: int = 2) -> Manifest:
    made = http_route(parentRefs=parents or [{"name": "gw"}])
    made["metadata"]["generation"] = generation
    made["status"] = {"parents": list(reported)}
    return made


def parent(*entries: Manifest, **reference: Any) -> Manifest:
    ref = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gw"} | reference
    return {"parentRef": ref, "conditions": list(entries)}


def good(generation: int = 2) -> list[Manifest]:
    return [condition("Accepted", generation=generation), condition("ResolvedRefs", generation=generation)]


# -- routes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generation", [2, 3])
def test_a_route_that_is_fine(generation: int) -> None:
    assert conditions.route_faults(route(parent(*good(generation)))) == []
    assert conditions.route_faults(route(parent(*good(), condition("Reconciled", generation=2), condition("PartiallyInvalid", "False", 2)))) == []


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        ([], "no status from Gateway gw yet"),
        ([parent(good(1)[0], good()[1])], "Accepted is of generation 1, not 2"),
        ([parent({"type": "Accepted", "status": "True"}, good()[1])], "Accepted is of generation 0, not 2"),
        ([parent(good()[0])], "ResolvedRefs is not reported"),
        (
            [parent(good()[0], condition("ResolvedRefs", "False", 2, reason="InvalidKind", message="no such pool"))],
            "ResolvedRefs is False: InvalidKind no such pool",
        ),
        ([parent(good()[0], condition("ResolvedRefs", "Unknown", 2, reason="Pending"))], "ResolvedRefs is Unknown: Pending"),
        ([parent(*good(), condition("Reconciled", "False", 2, reason="ReconciliationFailed"))], "Reconciled is False: ReconciliationFailed"),
        ([parent(*good(), condition("Reconciled", generation=1))], "Reconciled is of generation 1, not 2"),
        ([parent(*good(), condition("PartiallyInvalid", generation=2, message="rule 3"))], "PartiallyInvalid: rule 3"),
        ([parent(*good(), name="other")], "no status from Gateway gw yet"),
        ([parent(*good(), namespace="elsewhere")], "no status from Gateway gw yet"),
        ([parent(*good(), kind="Service")], "no status from Gateway gw yet"),
    ],
)
def test_what_stands_against_a_route(reported: list[Manifest], expected: str) -> None:
    (fault,) = conditions.route_faults(route(*reported))
    assert fault.startswith("HTTPRoute default/llm-route") and fault.endswith(expected)


def test_every_parent_counts_and_is_found_after_defaults() -> None:
    parents = [{"name": "gw", "sectionName": "a"}, {"name": "gw", "sectionName": "b", "namespace": "default"}, {"name": "gw", "port": 80}]
    fine = [parent(*good(), sectionName="a", namespace="default"), parent(*good(), sectionName="b"), parent(*good(), port=80)]
    assert conditions.route_faults(route(*fine, parents=parents)) == []
    late = [fine[0], parent(*good(1), sectionName="b"), fine[2]]
    assert conditions.route_faults(route(*late, parents=parents)) == [
        "HTTPRoute default/llm-route at Gateway gw: Accepted is of generation 1, not 2",
        "HTTPRoute default/llm-route at Gateway gw: ResolvedRefs is of generation 1, not 2",
    ]
    assert conditions.route_faults(route(*fine[:1], parents=parents)) == ["HTTPRoute default/llm-route: no status from Gateway gw yet"] * 2
    assert conditions.route_faults(route(parent(*good()), parents=parents[:1])) == ["HTTPRoute default/llm-route: no status from Gateway gw yet"]


def test_two_controllers_at_one_parent_must_both_agree() -> None:
    assert conditions.route_faults(route(parent(*good()), parent(good()[0], condition("ResolvedRefs", "False", 2))))


# -- Gateways ------------------------------------------------------------------------------------------------------------


def test_a_gateway_that_is_fine() -> None:
    made = gateway()
    made["status"]["listeners"] = [{"name": "http", "conditions": [condition("Accepted"), condition("Programmed"), {"type": "ResolvedRefs", "status": "True"}]}]
    assert conditions.gateway_faults(made) == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"addresses": []}, "no address"),
        ({"conditions": []}, "Programmed is not reported"),
        ({"conditions": [condition("Programmed", generation=1)]}, "Programmed is of generation 1, not 2"),
        ({"conditions": [condition("Programmed", "False", 2, reason="Invalid")]}, "Programmed is False: Invalid"),
        ({"listeners": [{"name": "b", "conditions": [condition("Programmed", "False", 2, reason="Invalid")]}]}, "listener b: Programmed is False: Invalid"),
        (
            {"listeners": [{"name": "b", "conditions": [condition("ResolvedRefs", "False", 2, reason="InvalidCertificateRef")]}]},
            "listener b: ResolvedRefs is False: InvalidCertificateRef",
        ),
        ({"listeners": [{"name": "b", "conditions": [condition("Accepted", generation=1)]}]}, "listener b: Accepted is of generation 1, not 2"),
    ],
)
def test_what_stands_against_a_gateway(status: Manifest, expected: str) -> None:
    made = gateway()
    made["metadata"]["generation"] = 2
    made["status"]["conditions"] = [condition("Programmed", generation=2)]
    made["status"] |= status
    (fault,) = conditions.gateway_faults(made)
    assert fault.startswith("Gateway default/gw") and fault.endswith(expected)


def test_a_gateway_without_status() -> None:
    made = gateway()
    del made["status"]
    assert conditions.gateway_faults(made) == ["Gateway default/gw: Programmed is not reported", "Gateway default/gw: no address"]


# -- pools ---------------------------------------------------------------------------------------------------------------


def pool(field: str, *parents: Manifest) -> Manifest:
    return {
        "apiVersion": "inference.networking.k8s.io/v1",
        "metadata": {"name": "llama", "namespace": "default", "generation": 2},
        "status": {field: list(parents)},
    }


@pytest.mark.parametrize("field", ["parents", "parent"])
def test_pools_of_both_groups(field: str) -> None:
    assert conditions.pool_faults(pool(field, parent(*good()))) == []
    assert conditions.pool_faults(pool(field, parent({"type": "Accepted", "status": "True"}))) == []
    (fault,) = conditions.pool_faults(pool(field, parent(*good()), parent(good()[0], condition("ResolvedRefs", "False", 2, reason="InvalidExtensionRef"))))
    assert fault == "InferencePool default/llama (inference.networking.k8s.io/v1): ResolvedRefs is False: InvalidExtensionRef"
    assert conditions.pool_faults(pool(field, parent(*good(1)))) == [
        "InferencePool default/llama (inference.networking.k8s.io/v1): Accepted is of generation 1, not 2",
        "InferencePool default/llama (inference.networking.k8s.io/v1): ResolvedRefs is of generation 1, not 2",
    ]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, []),
        ({"conditions": [condition("Attached", "True", 2)]}, []),
        ({"conditions": [condition("Attached", "True", 1)]}, ["HealthCheckPolicy default/p: Attached is of generation 1, not 2"]),
        ({"conditions": [condition("Attached", "False", 2, reason="Conflicted")]}, ["HealthCheckPolicy default/p: Attached is False: Conflicted"]),
    ],
)
def test_policies(status: Manifest, expected: list[str]) -> None:
    policy = {"kind": "HealthCheckPolicy", "metadata": {"namespace": "default", "name": "p", "generation": 2}, "status": status}
    assert conditions.policy_faults(policy) == expected


def test_a_pool_that_no_gateway_speaks_of() -> None:
    waiting = {"parentRef": {"kind": "Status", "name": "default"}, "conditions": [condition("Accepted", "Unknown", reason="Pending")]}
    assert conditions.pool_faults(pool("parent", waiting)) == []
    assert conditions.pool_faults({"apiVersion": "x/v1", "metadata": {"name": "llama"}}) == []


# -- endpoint pickers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replicas", "status", "expected"),
    [
        (2, {"observedGeneration": 2, "availableReplicas": 2, "updatedReplicas": 2}, None),
        (None, {"observedGeneration": 2, "availableReplicas": 1, "updatedReplicas": 1}, None),
        (2, {"observedGeneration": 1, "availableReplicas": 2, "updatedReplicas": 2}, "its controller has not seen generation 2 yet"),
        (2, {}, "its controller has not seen generation 2 yet"),
        (0, {"observedGeneration": 2}, "scaled to 0"),
        (2, {"observedGeneration": 2, "availableReplicas": 1, "updatedReplicas": 2}, "1 of 2 replicas available"),
        (2, {"observedGeneration": 2, "updatedReplicas": 2}, "0 of 2 replicas available"),
        (1, {"observedGeneration": 2, "availableReplicas": 1}, "1 of 1 replicas available"),
    ],
)
def test_deployments(replicas: int | None, status: Manifest, expected: str | None) -> None:
    spec = {} if replicas is None else {"replicas": replicas}
    made = {"metadata": {"name": "epp", "namespace": "default", "generation": 2}, "spec": spec, "status": status}
    assert conditions.deployment_faults(made) == ([f"Deployment default/epp: {expected}"] if expected else [])


@pytest.mark.parametrize(("status", "why"), [("True", ": no pod can be created: exceeded quota: team"), ("False", "")])
def test_a_deployment_whose_pods_are_refused_says_why(status: str, why: str) -> None:
    said = [{"type": "ReplicaFailure", "status": status, "reason": "FailedCreate", "message": "exceeded quota: team"}]
    made = {"metadata": {"name": "epp", "namespace": "default"}, "spec": {}, "status": {"conditions": said}}
    assert conditions.deployment_faults(made) == [f"Deployment default/epp: 0 of 1 replicas available{why}"]
    made["status"] |= {"availableReplicas": 1, "updatedReplicas": 1}
    assert conditions.deployment_faults(made) == [], "it is of an earlier attempt"


def test_pods_say_why_they_do_not_run() -> None:
    waits = {
        "name": "epp",
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
        "lastState": {"terminated": {"exitCode": 2, "message": "unknown flag\n"}},
    }
    pulls = {"name": "side", "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}
    starts = {"name": "new", "state": {"waiting": {"reason": "ContainerCreating"}}}
    runs = {"name": "ok", "state": {"running": {}}}
    made = {"metadata": {"name": "epp-1", "namespace": "default"}, "status": {"containerStatuses": [waits, pulls, starts, runs]}}
    assert conditions.pod_faults(made) == [
        "Pod default/epp-1 container epp: CrashLoopBackOff exit code 2 unknown flag",
        "Pod default/epp-1 container side: ErrImagePull not found",
    ]
    assert conditions.pod_faults({"metadata": {"name": "epp-1"}}) == []
