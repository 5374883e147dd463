# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import pool_migration, v1_objects
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import epp_flags, health_check_policy

GA = "vllm-llama3-8b-instruct-ga"


def only(context):
    (one,) = context.migrations
    return one


def objects(context, kind):
    return [entry for entry in v1_objects.objects(only(context), context.moved) if entry["kind"] == kind]


@pytest.mark.parametrize(
    ("name", "chosen", "expected"),
    [
        ("llama-preview", {}, "llama-ga"),
        ("llama", {}, "llama-ga"),
        ("preview-llama", {}, "preview-llama-ga"),
        ("llama", {"llama": "other"}, "other"),
        ("llama", {"llama": "other", "ns/llama": "exact"}, "exact"),
        ("llama", {"else/llama": "no"}, "llama-ga"),
    ],
)
def test_v1_names(name, chosen, expected):
    assert pool_migration.v1_name("ns", name, chosen) == expected


def test_the_chart_keeps_40_characters():
    assert pool_migration.epp_name("a" * 41) == "a" * 40 + "-epp"


# -- models -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "critical", "standard", "unset", "sheddable"),
    [("preserve_shedding", 2, -1, -1, -2), ("upstream", 2, 1, 1, -1)],
)
def test_priorities(demo, table, critical, standard, unset, sheddable):
    one = only(demo.context(priorities=pool_migration.PRIORITIES[table]))
    levels = [{"spec": {"criticality": level}} for level in ("Critical", "Standard", None, "Sheddable")]
    assert [one.priority(model) for model in levels] == [critical, standard, unset, sheddable]


def test_what_was_sheddable_stays_sheddable():
    assert {level for level, priority in pool_migration.PRIORITIES["preserve_shedding"].items() if priority < 0} == {"Standard", "Unset", "Sheddable"}


def test_objectives_name_the_v1_pool_by_group(demo):
    base, review = objects(demo.context(), "InferenceObjective")
    assert base["spec"] == {"priority": 2, "poolRef": {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": GA}}
    assert review["metadata"]["name"] == "food-review" and review["spec"]["priority"] == -1


def test_a_model_under_its_own_name_needs_no_rewrite(demo):
    assert objects(demo.context(), "InferenceModelRewrite") == []


def test_weighted_targets_become_a_rewrite(demo):
    demo.get("InferenceModel", "food-review")["spec"]["targetModels"] = [{"name": "a", "weight": 75}, {"name": "b", "weight": 25}]
    (found,) = objects(demo.context(), "InferenceModelRewrite")
    assert found["spec"]["rules"] == [
        {
            "matches": [{"model": {"type": "Exact", "value": "food-review-1"}}],
            "targets": [{"modelRewrite": "a", "weight": 75}, {"modelRewrite": "b", "weight": 25}],
        }
    ]
    assert objects(demo.context(target="v1.2.0"), "InferenceModelRewrite") == []


def test_targets_without_weights_share_equally(demo):
    demo.get("InferenceModel", "food-review")["spec"]["targetModels"] = [{"name": "a"}, {"name": "b"}]
    (found,) = objects(demo.context(), "InferenceModelRewrite")
    assert [entry["weight"] for entry in found["spec"]["rules"][0]["targets"]] == [1, 1]


def test_only_the_oldest_model_of_a_name_gets_a_twin(demo):
    late = demo.add("inference.networking.x-k8s.io/v1alpha2", "InferenceModel", "aaa-late", spec=demo.get("InferenceModel", "food-review")["spec"])
    late["metadata"]["creationTimestamp"] = "2026-02-01T00:00:00Z"
    assert [entry["metadata"]["name"] for entry in objects(demo.context(), "InferenceObjective")] == ["base-model", "food-review"]


# -- chart --------------------------------------------------------------------------------------------------------------

LEAST = {"requests": {"cpu": "0", "memory": "256Mi"}, "limits": {"memory": "16Gi"}}
"""What a picker gets of chart v1.4.0 and later where alpha's asks nothing: the chart's limit, and a request, or the server would take the limit for it."""


def test_values_of_v1_5_0(demo):
    assert v1_objects.chart_values(only(demo.context())) == {
        "inferenceExtension": {"replicas": 1, "extProcPort": 9002, "failureMode": "FailClose", "resources": LEAST, "flags": {"v": "3"}},
        "inferencePool": {"targetPorts": [{"number": 8000}], "targetPortNumber": 8000, "modelServers": {"matchLabels": {"app": "vllm-llama3-8b-instruct"}}},
        "provider": {"name": "none"},
    }


def test_values_of_v1_0_0_say_only_what_that_chart_knows(demo):
    assert v1_objects.chart_values(only(demo.context(target="v1.0.0")))["inferenceExtension"] == {
        "replicas": 1, "extProcPort": 9002, "flags": [{"name": "v", "value": "3"}],
    }


@pytest.mark.parametrize(("target", "patched"), [("v1.0.0", True), ("v1.3.0", True), ("v1.4.0", False), ("v1.5.0", False)])
def test_fail_open_is_kept_whatever_the_chart_does(demo, target, patched):
    demo.get("InferencePool")["spec"]["extensionRef"]["failureMode"] = "FailOpen"
    one = only(demo.context(target=target))
    said = v1_objects.chart_values(one)["inferenceExtension"].get("failureMode")
    patch = [entry["spec"] for entry in v1_objects.patches(one)]
    assert (said, patch) == ((None, [{"endpointPickerRef": {"failureMode": "FailOpen"}}]) if patched else ("FailOpen", []))


@pytest.mark.parametrize(("target", "patched"), [("v1.0.0", True), ("v1.3.1", True), ("v1.4.0", False), ("v1.5.0", False)])
def test_what_the_picker_asks_is_kept_whatever_the_chart_can_say(demo, target, patched):
    (container,) = demo.get("Deployment", "vllm-llama3-8b-instruct-preview-epp")["spec"]["template"]["spec"]["containers"]
    container["resources"] = {"requests": {"cpu": "1"}}
    one = only(demo.context(target=target))
    patch = [entry["spec"]["template"]["spec"]["containers"] for entry in v1_objects.patches(one)]
    assert patch == ([[{"name": "epp", "resources": {"requests": {"cpu": "1"}}}]] if patched else [])
    assert v1_objects.patches(only(demo.context(target=target, epp_resources="chart"))) == []


# -- policies -----------------------------------------------------------------------------------------------------------


def test_policies_that_differ_from_the_charts_are_copied_whole(demo):
    demo.get("GCPBackendPolicy")["spec"]["default"]["someNewField"] = {"a": 1}
    context = demo.context()
    (checks,) = objects(context, "HealthCheckPolicy")
    (backend,) = objects(context, "GCPBackendPolicy")
    ref = {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": GA}
    assert checks["spec"] == {"targetRef": ref, "default": {"config": {"type": "HTTP", "httpHealthCheck": {"requestPath": "/health", "port": 8000}}}}
    assert backend["spec"] == {"targetRef": ref, "default": {"timeoutSec": 30, "someNewField": {"a": 1}}}
    assert {checks["metadata"]["name"], backend["metadata"]["name"]} == {GA}


def test_the_copies_share_nothing_with_the_originals(demo):
    context = demo.context()
    (checks,) = objects(context, "HealthCheckPolicy")
    checks["spec"]["default"]["config"]["type"] = "changed"
    assert demo.get("HealthCheckPolicy")["spec"]["default"]["config"]["type"] == "HTTP"


def test_policies_equal_to_the_charts_are_left_to_the_chart(demo):
    demo.get("GCPBackendPolicy")["spec"]["default"] = {"timeoutSec": 300, "logging": {"enabled": True}}
    context = demo.context(target="v1.0.0")
    assert v1_objects.chart_values(only(context))["provider"] == {"name": "gke"}
    assert objects(context, "HealthCheckPolicy") == objects(context, "GCPBackendPolicy") == []
    assert objects(context, "ClusterPodMonitoring") == [], "chart v1.0.0 brings its own with provider gke"


def test_the_oldest_of_two_policies_is_the_one_that_is_copied(demo):
    other = demo.add("networking.gke.io/v1", "GCPBackendPolicy", "zzz", spec=demo.get("GCPBackendPolicy")["spec"] | {"default": {"timeoutSec": 60}})
    other["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
    demo.get("GCPBackendPolicy", "vllm-llama3-8b-instruct-preview")["metadata"]["creationTimestamp"] = "2021-01-01T00:00:00Z"
    context = demo.context()
    assert [entry["spec"]["default"] for entry in objects(context, "GCPBackendPolicy")] == [{"timeoutSec": 60}]
    assert only(context).timeout == 60


@pytest.mark.parametrize(("named", "rule", "seconds"), [
    ("gke-l7-regional-external-managed", "10m", 30), ("istio", "10m", 600), ("istio", "10s", 30), ("istio", "0s", 30), ("", "10m", 600),
])  # fmt: skip
def test_a_rules_time_out_counts_where_the_gateway_may_heed_it(demo, named, rule, seconds):
    """GKE's does not; of one that is not there nobody knows."""
    demo.remove("GatewayClass")
    demo.get("HTTPRoute")["spec"]["rules"][0]["timeouts"] = {"request": rule}
    demo.get("Gateway")["spec"]["gatewayClassName"] = named
    if not named:
        demo.remove("Gateway")
    assert only(demo.context()).timeout == seconds
    (pool,) = demo.plan()["pools"]
    assert pool["timeout_seconds"] == seconds


def test_plural_target_refs_stay_plural_and_name_the_v1_pool_alone(demo):
    refs = [{"group": "inference.networking.x-k8s.io", "kind": "InferencePool", "name": name} for name in ("vllm-llama3-8b-instruct-preview", "other")]
    demo.add("networking.gke.io/v1", "GCPTrafficDistributionPolicy", "spread", spec={"targetRefs": refs, "default": {"x": 1}})
    (found,) = objects(demo.context(), "GCPTrafficDistributionPolicy")
    assert found["spec"] == {"targetRefs": [{"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": GA}], "default": {"x": 1}}


def test_grants_get_a_twin_that_names_v1_pools_only(demo):
    to = [
        {"group": "inference.networking.x-k8s.io", "kind": "InferencePool"},
        {"group": "inference.networking.x-k8s.io", "kind": "InferencePool", "name": "vllm-llama3-8b-instruct-preview"},
        {"group": "", "kind": "Service"},
    ]
    origin = [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "web"}]
    demo.add("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", "web", spec={"from": origin, "to": to})
    (found,) = objects(demo.context(), "ReferenceGrant")
    assert found["metadata"]["name"] == "web-ga"
    assert found["spec"] == {
        "from": origin,
        "to": [
            {"group": "inference.networking.k8s.io", "kind": "InferencePool"},
            {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": GA},
        ],
    }


def test_a_grant_for_another_pool_is_not_this_ones(demo):
    origin = [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "web"}]
    to = [{"group": "inference.networking.x-k8s.io", "kind": "InferencePool", "name": "other"}]
    demo.add("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", "web", spec={"from": origin, "to": to})
    assert objects(demo.context(), "ReferenceGrant") == [] and demo.found("grant-for-alpha-group") == []


def test_everything_of_ours_is_labelled(demo):
    context = demo.context()
    made = context.planned[only(context).key]
    assert {entry["metadata"]["labels"]["app.kubernetes.io/managed-by"] for entry in made} == {"inference_gateway.migration"}


# -- health checks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "said"),
    [({"port": 8000}, "USE_FIXED_PORT"), ({"portName": "http"}, "USE_NAMED_PORT"), ({}, "USE_SERVING_PORT"), ({"portSpecification": "X", "port": 1}, "X")],
)
def test_a_check_says_what_was_meant(check, said):
    policy = {"kind": "HealthCheckPolicy", "spec": {"default": {"config": {"type": "HTTP", "httpHealthCheck": check}}}}
    assert health_check_policy.complete(policy)["spec"]["default"]["config"]["httpHealthCheck"] == check | {"portSpecification": said}
    assert health_check_policy.lacking(policy) == ([] if "portSpecification" in check else ["httpHealthCheck"])
    assert health_check_policy.lacking(health_check_policy.complete(policy)) == []


@pytest.mark.parametrize("policy", [{}, {"spec": None}, {"spec": {"default": {"config": None}}}])
def test_a_policy_without_checks_stays_as_it_is(policy):
    assert health_check_policy.complete(policy) == policy


# -- what an EPP is started with ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "number"),
    [("4", 4), ("500m", 0.5), ("8Gi", 8 * 2**30), ("8192Mi", 8 * 2**30), (2, 2), ("1.5", 1.5), ("1e3", None), ("lots", None), ("", None)],
)
def test_quantities(said, number):
    found = epp_flags.quantity(said)
    assert (None if found is None else float(found)) == number
