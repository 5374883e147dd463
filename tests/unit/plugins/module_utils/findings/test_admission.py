# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods of v1 endpoint pickers that the server would refuse."""

from __future__ import annotations

import pytest

from tests.unit.helpers.estate_changes import GA, container, enforced, pod, quota, second_pool

RESOURCES = {"requests": {"cpu": "200m", "memory": "256Mi"}, "limits": {"cpu": "500m", "memory": "512Mi"}}


@pytest.mark.parametrize(("hard", "used", "words"), [
    ({"pods": "4"}, {"pods": "3"}, None),
    ({"count/pods": "3"}, {"count/pods": "3"}, "3 of 3 count/pods are used, and v1 asks for 1 more beside v1alpha2."),
    ({"requests.cpu": "1"}, {"requests.cpu": "800m"}, None),
    ({"requests.cpu": "1"}, {"requests.cpu": "801m"}, "801m of 1 requests.cpu are used, and v1 asks for 0.2 more beside v1alpha2."),
    ({"cpu": "1"}, {"cpu": "900m"}, "900m of 1 cpu are used, and v1 asks for 0.2 more beside v1alpha2."),
    ({"requests.memory": "1Gi"}, {"requests.memory": "800Mi"}, "800Mi of 1Gi requests.memory are used, and v1 asks for 256Mi more beside v1alpha2."),
    ({"limits.memory": "17Gi"}, {"limits.memory": "1Gi"}, None),
    ({"limits.memory": "1Gi"}, {"limits.memory": "512Mi"}, "512Mi of 1Gi limits.memory are used, and v1 asks for 16384Mi more beside v1alpha2."),
    ({"limits.cpu": "500m"}, {}, None),
    ({"limits.cpu": "499m"}, {}, "0 of 499m limits.cpu are used, and v1 asks for 0.5 more beside v1alpha2."),
    ({"services": "1", "requests.nvidia.com/gpu": "1"}, {"services": "1", "requests.nvidia.com/gpu": "1"}, None),
    ({"pods": "1E"}, {"pods": "many"}, None),
])
def test_quotas_that_the_v1_endpoint_picker_does_and_does_not_fit_into(demo, hard, used, words):
    container(demo)["resources"] = RESOURCES
    quota(demo, hard, used)
    assert [entry.message for entry in demo.found("pods-refused")] == ([words] if words else [])


def test_a_quota_that_wants_pods_to_say_what_the_picker_does_not_say(demo):
    """Alpha's says a request of cpu and no limit; a LimitRange may fill that in, so with one nothing is certain."""
    container(demo)["resources"] = {"requests": {"cpu": "200m"}}
    quota(demo, {"requests.cpu": "9", "limits.cpu": "9"})
    (found,) = demo.found("pods-refused")
    assert found.message == "it wants every pod to say limits.cpu, and the v1 endpoint picker's says none."
    demo.add("v1", "LimitRange", "defaults", spec={})
    assert demo.found("pods-refused") == []


@pytest.mark.parametrize("field", [{"scopes": ["BestEffort"]}, {"scopeSelector": {"matchExpressions": []}}])
def test_what_is_not_certain_of_a_quota_is_left_to_the_server(demo, field):
    quota(demo, {"pods": "0"}, **field)
    assert demo.found("pods-refused") == []


def test_pools_of_one_namespace_need_room_together_and_those_of_another_none(demo):
    quota(demo, {"pods": "4"}, {"pods": "3"})
    second_pool(demo, "other")
    (found,) = demo.found("pods-refused")
    assert "v1 asks for 2 more" in found.message
    demo.get("ResourceQuota")["metadata"]["namespace"] = "elsewhere"
    assert demo.found("pods-refused") == []


def test_what_the_chart_asks_counts_where_it_is_chosen(demo):
    container(demo)["resources"] = RESOURCES
    quota(demo, {"requests.cpu": "4"}, {"requests.cpu": "1"})
    assert demo.found("pods-refused") == []
    (found,) = demo.found("pods-refused", epp_resources="chart")
    assert "v1 asks for 4 more" in found.message


@pytest.mark.parametrize(("target", "pods"), [("v1.0.0", "2"), ("v1.0.1", "1"), ("v1.5.0", "1")])
def test_a_picker_that_is_changed_after_helm_needs_room_for_two_where_pods_are_replaced_one_by_one(demo, target, pods):
    container(demo)["resources"] = RESOURCES
    quota(demo, {"pods": "0"})
    (found,) = demo.found("pods-refused", target=target)
    assert f"v1 asks for {pods} more" in found.message


def test_a_v1_picker_that_is_there_already_needs_no_more_room(demo):
    quota(demo, {"pods": "4"}, {"pods": "4"})
    enforced(demo, "restricted")
    demo.add("apps/v1", "Deployment", f"{GA}-epp", spec={})
    assert demo.found("pods-refused") == []


@pytest.mark.parametrize(("level", "found"), [("restricted", True), ("baseline", False), ("privileged", False)])
def test_a_namespace_whose_level_the_charts_pod_does_not_meet(demo, level, found):
    enforced(demo, level)
    said = demo.found("pods-refused")
    assert bool(said) is found
    if found:
        assert said[0].object == "Namespace default" and "migration_chart_ref" in said[0].remedy
        assert "does not say runAsNonRoot, allowPrivilegeEscalation: false, capabilities.drop: [ALL], seccompProfile." in said[0].message


def test_a_picker_that_is_hardened_meets_the_level_as_alphas_does(demo):
    """What the plan merges into its Deployment counts."""
    enforced(demo, "restricted")
    pod(demo)["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    container(demo)["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert demo.found("pods-refused") == []


def test_resources_that_are_merged_after_helm_count(demo):
    """Charts up to v1.3 have no value for them."""
    container(demo)["resources"] = {"limits": {"cpu": "1"}}
    quota(demo, {"limits.cpu": "500m"})
    (found,) = demo.found("pods-refused", target="v1.3.0")
    assert found.message == "0 of 500m limits.cpu are used, and v1 asks for 1 more beside v1alpha2."
