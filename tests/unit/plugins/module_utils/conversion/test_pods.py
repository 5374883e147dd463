# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods before there are any, what admission counts of them, and HealthCheckPolicies by their type."""

from __future__ import annotations

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pods import merged, planned, pods
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import admission, health_check_policy

CONTEXT = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
OWN = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def deployment(name="llama-ga-epp", **spec):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "chat"}, "spec": {"template": {"spec": spec}}}


def test_parts_are_merged_as_a_strategic_merge_does():
    before = {"containers": [{"name": "epp", "image": "a", "env": [{"name": "A", "value": "1"}], "args": ["-v"]}, {"name": "other"}],
              "tolerations": [{"key": "a"}]}
    part = {"containers": [{"name": "epp", "resources": {"limits": {"cpu": "1"}}, "env": [{"name": "B", "value": "2"}], "args": ["-w"]}],
            "tolerations": [{"key": "b"}], "hostNetwork": None}
    assert merged(before | {"hostNetwork": True}, part) == {
        "containers": [
            {"name": "epp", "image": "a", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "args": ["-w"],
             "resources": {"limits": {"cpu": "1"}}},
            {"name": "other"},
        ],
        "tolerations": [{"key": "b"}],
    }


def test_a_pod_is_as_its_controller_would_make_it():
    whole = deployment(serviceAccountName="llama-ga-epp", containers=[{"name": "epp"}])
    whole["spec"]["template"]["metadata"] = {"labels": {"a": "b"}, "annotations": {"c": "d"}}
    abroad = deployment(priorityClassName="high")
    abroad["metadata"] = abroad["metadata"] | {"namespace": "search"}
    others = [abroad, deployment("another", hostNetwork=True), {"kind": "InferencePool", "metadata": {"name": "llama-ga-epp"}}]
    parts = [deployment(securityContext=CONTEXT), *others]
    ((workload, pod),) = pods([whole, {"kind": "Service", "metadata": {"name": "x"}, "spec": {}}], parts, "unused")
    assert workload is whole and pod["spec"] == {"containers": [{"name": "epp"}], "securityContext": CONTEXT}
    (owner,) = pod["metadata"].pop("ownerReferences")
    assert (owner["kind"], owner["controller"]) == ("ReplicaSet", True)
    assert pod["metadata"] == {"generateName": "llama-ga-epp-", "namespace": "chat", "labels": {"a": "b"}, "annotations": {"c": "d"}}


def test_an_object_without_a_namespace_is_of_the_pools():
    whole = deployment(containers=[{"name": "epp"}])
    del whole["metadata"]["namespace"]
    ((_workload, pod),) = pods([whole], [], "chat")
    assert pod["metadata"]["namespace"] == "chat"


@pytest.mark.parametrize(("resources", "values", "expected"), [
    ({"requests": {"cpu": "4"}, "limits": {"memory": "16Gi"}}, {}, {"requests": {"cpu": "4"}, "limits": {"memory": "16Gi"}}),
    ({"requests": {"cpu": "4"}, "limits": {"memory": "16Gi"}}, {"requests": {"cpu": "1"}, "limits": None}, {"requests": {"cpu": "1"}}),
    ({}, {"requests": {"cpu": "1"}}, {}),
    ({"requests": {"cpu": "4"}}, None, {}),
])
def test_what_is_known_of_a_pod_before_the_chart_is_rendered(resources, values, expected):
    """Values are merged into the chart's as Helm does; a chart without that value takes none."""
    assert planned("chat", "x", resources, values, []) == {"containers": [{"name": "epp", "resources": expected}]}


@pytest.mark.parametrize(("pod", "container", "lacks"), [
    (CONTEXT, OWN, []),
    ({}, CONTEXT | OWN, []),
    (CONTEXT, {}, ["allowPrivilegeEscalation: false", "capabilities.drop: [ALL]"]),
    (CONTEXT, OWN | {"runAsNonRoot": False}, ["runAsNonRoot"]),
    ({"runAsNonRoot": True}, OWN, ["seccompProfile"]),
    (CONTEXT, OWN | {"capabilities": {"drop": ["NET_RAW"]}}, ["capabilities.drop: [ALL]"]),
])
def test_what_level_restricted_wants_to_be_said(pod, container, lacks):
    assert admission.unsaid_for_restricted({"securityContext": pod, "containers": [{"securityContext": container}]}) == lacks


def test_every_container_counts():
    every = [{"securityContext": CONTEXT | OWN}, {}]
    assert len(admission.unsaid_for_restricted({"containers": every})) == 4
    assert len(admission.unsaid_for_restricted({"containers": every[:1], "initContainers": every[1:]})) == 4
    found = admission.charges({"containers": [{"resources": {"requests": {"cpu": "1"}}}, {"resources": {"limits": {"cpu": "500m"}}}]})
    assert (found["requests.cpu"], found["limits.cpu"], found["memory"]) == (pytest.approx(1.5), None, None)


# -- HealthCheckPolicies ------------------------------------------------------------------------------------------------


def policy(**config):
    return {"kind": "HealthCheckPolicy", "spec": {"default": {"checkIntervalSec": 5, "config": config}}}


CHECK = {"requestPath": "/health", "port": 8000}


@pytest.mark.parametrize(("config", "expected", "strict"), [
    ({"type": "HTTP", "httpHealthCheck": CHECK}, {"type": "HTTP", "httpHealthCheck": CHECK}, False),
    ({"type": "HTTP", "grpcHealthCheck": {"port": 9}}, {"type": "HTTP", "httpHealthCheck": {}}, False),
    ({"type": "HTTP", "grpcHealthCheck": {"port": 9}}, {"type": "HTTP", "httpHealthCheck": {"portSpecification": "USE_SERVING_PORT"}}, True),
    ({"type": "HTTP", "grpcHealthCheck": {"port": 9}, "httpHealthCheck": CHECK}, {"type": "HTTP", "httpHealthCheck": CHECK}, False),
    ({"type": "GRPC", "tcpHealthCheck": {}, "grpcHealthCheck": {"port": 9}},
     {"type": "GRPC", "grpcHealthCheck": {"port": 9, "portSpecification": "USE_FIXED_PORT"}}, True),
    ({"type": "NEW", "httpHealthCheck": CHECK}, {"type": "NEW", "httpHealthCheck": CHECK}, False),
    ({"httpHealthCheck": CHECK}, {"httpHealthCheck": CHECK}, False),
    ({"type": "TCP"}, {"type": "TCP"}, False),
    ({"type": "TCP", "other": 1, "httpHealthCheck": CHECK}, {"type": "TCP", "other": 1, "tcpHealthCheck": {}}, False),
])
def test_a_policy_has_the_check_of_its_type(config, expected, strict):
    before = policy(**config)
    assert health_check_policy.accepted(before, strict) == policy(**expected)
    assert before == policy(**config), "alpha's stays as it is"


def test_objects_of_another_shape_are_left_alone():
    for found in ({}, {"spec": {}}, {"spec": {"default": {"config": None}}}):
        assert health_check_policy.accepted(found, True) == found
