# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding: an estate that has it, and one that does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import pool_migration
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import Refused
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings import catalogue
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import CATALOGUE, finding

from tests.unit.helpers.estate_changes import (
    ALPHA,
    EPP,
    GA,
    OWNED,
    POOL,
    V1,
    alias,
    annotate,
    chosen_by_label,
    container,
    crd,
    five_chains,
    foreign_route,
    gateway,
    grant,
    grpc_check,
    hpa,
    labels,
    late,
    mirror,
    network_policy,
    objective,
    only_alpha_may,
    plugins,
    pod,
    quota,
    refused,
    regex,
    release,
    routed_by_model,
    rule,
    second_gateway,
    second_pool,
    service_monitor,
    shadow,
    shared_monitor,
    spec,
    strict_health,
    uneven,
    unreachable,
)

POSITIVE = {
    "may-not-list": (lambda w: setattr(w, "refused", (Refused("httproutes (v1)", "no", False, True),)), {}, "blocker", "httproutes"),
    "helm-values-unreadable": (lambda w: release(w, values=None), {}, "info", POOL),
    "helm-release-unknown": (lambda w: w.remove("Secret"), {}, "blocker", f"Helm release {POOL}, of which Helm has no record"),
    "helm-release-not-deployed": (lambda w: release(w, status="failed"), {}, "warning", "is in status failed"),
    "alias-without-rewrite": (alias, {"target": "v1.2.0"}, "blocker", "food-review-1 and get other"),
    "model-name-in-use": (
        lambda w: late(w.add(f"{ALPHA}/v1alpha2", "InferenceModel", "late", spec=spec(w, "InferenceModel", "food-review"))),
        {}, "warning", "older InferenceModel",
    ),
    "model-without-pool": (lambda w: spec(w, "InferenceModel", "food-review")["poolRef"].update(name="gone"), {}, "warning", "gone does not exist"),
    "pool-without-models": (lambda w: w.remove("InferenceModel"), {}, "blocker", "no InferenceModel"),
    "objective-needs-header": (lambda w: w.remove("InferenceModel", "food-review"), {}, "info", "x-gateway-inference-objective: base-model"),
    "shedding-changes": (lambda w: None, {}, "warning", "Standard"),
    "objective-names-alpha-pool": (lambda w: objective(w, "interactive", 10), {}, "warning", "interactive-ga' get 10"),
    "objectives-of-one-name": (lambda w: [objective(w, "a", 1), objective(w, "a-preview", 1)], {}, "blocker", "default/a-ga: 2 objects"),
    "foreign-endpoint-picker": (
        lambda w: container(w).update(image="ghcr.io/llm-d/llm-d-inference-scheduler:v0.3.2"), {}, "blocker", "its image is ghcr.io/llm-d/llm-d-inference",
    ),
    "flags-never-read": (lambda w: container(w)["args"].extend(["--secureServing", "false", "-v=4"]), {}, "warning", "from the word false on: not -v=4"),
    "request-shape-rejected": (lambda w: None, {"target": "v1.4.0", "endpoints": ("/v1/embeddings",), "endpoints_said": True}, "blocker", "/v1/embeddings"),
    "incomplete-pool": (lambda w: w.get("InferencePool").pop("spec"), {}, "blocker", "no targetPortNumber and no extensionRef.name"),
    "empty-selector": (lambda w: spec(w, "InferencePool").update(selector={"matchLabels": {"app": "x"}}), {}, "blocker", "no label"),
    "port-9002-implied": (lambda w: None, {}, "info", "9002"),
    "fail-open-lost-by-chart": (lambda w: spec(w, "InferencePool")["extensionRef"].update(failureMode="FailOpen"), {"target": "v1.3.0"}, "warning", "v1.3.0"),
    "controller-owned-pool": (
        lambda w: w.get("InferencePool")["metadata"].update(ownerReferences=[{"kind": "LLMInferenceService", "name": "llm", "controller": True}]),
        {}, "blocker", "LLMInferenceService llm",
    ),
    "release-owns-more": (lambda w: w.get("HTTPRoute")["metadata"].update(OWNED), {}, "blocker", "HTTPRoute default/llm-route"),
    "epp-image-registry": (
        lambda w: container(w).update(image="images.bank.example/mirror/epp:v0.3.0"), {}, "blocker",
        "images.bank.example, and the v1 EPP's would be registry.k8s.io/gateway-api-inference-extension/epp:v1.5.0",
    ),
    "epp-pod-settings-merged": (lambda w: pod(w).update(nodeSelector={"zone": "a"}), {}, "warning", "takes no value for nodeSelector: merged into"),
    "epp-pod-settings-not-carried": (
        lambda w: container(w)["env"].append({"name": "SD_QUEUE_DEPTH_THRESHOLD", "value": "3"}), {}, "warning", "variable SD_QUEUE_DEPTH_THRESHOLD: not in",
    ),
    "name-invalid": (lambda w: None, {"pool_names": {POOL: "8b"}}, "blocker", "8b"),
    "name-collision-40": (lambda w: None, {"pool_names": {POOL: POOL}}, "blocker", EPP),
    "name-taken": (lambda w: w.add(f"{V1}/v1", "InferencePool", GA, spec={}), {}, "blocker", POOL),
    "pool-names-unused": (lambda w: None, {"pool_names": {"other": "x"}}, "warning", "other"),
    "epp-missing": (lambda w: w.remove("Deployment", EPP), {}, "warning", "Deployment behind Service"),
    "epp-replicas-reduced": (lambda w: spec(w, "Deployment", EPP).update(replicas=3), {}, "warning", "3 replicas"),
    "epp-settings-not-carried": (lambda w: container(w)["args"].extend(["-configFile", "/config/mine.yaml"]), {}, "warning", "configFile"),
    "policy-bound-to-alpha-group": (lambda w: w.remove("GCPBackendPolicy"), {}, "info", GA),
    "policy-twice-on-target": (
        lambda w: w.add("networking.gke.io/v1", "GCPBackendPolicy", "zzz", spec=spec(w, "GCPBackendPolicy")), {}, "warning", "is older",
    ),
    "policy-without-pool": (
        lambda w: spec(w, "HealthCheckPolicy")["targetRef"].update(name="typo"), {}, "warning", f"typo of group {ALPHA} in namespace default, and pool {POOL}",
    ),
    "managed-crd": (lambda w: [crd(w, releases.V1_POOLS_CRD, "v1.5.0"), setattr(w, "version", "v1.34.0-gke.1626000")], {}, "info", "platform"),
    "crd-older-than-target": (lambda w: crd(w, releases.V1_POOLS_CRD, "v1.0.0"), {}, "warning", "v1.0.0"),
    "alpha-crd-in-v1-manifests": (lambda w: None, {"target": "v1.4.0"}, "info", "manifests.yaml"),
    "shared-epp-rbac": (
        lambda w: [w.get("InferencePool")["metadata"].pop("annotations"), spec(w, "Deployment", EPP)["template"]["spec"].pop("serviceAccountName")],
        {}, "info", "ServiceAccount default/default",
    ),
    "gitops-owned-model": (lambda w: annotate(w, "InferenceModel", "food-review", **{"argocd.argoproj.io/tracking-id": "x"}), {}, "warning", "Argo CD"),
    "gitops-owned-route": (lambda w: annotate(w, "HTTPRoute", None, **{"configsync.gke.io/resource-id": "x"}), {}, "blocker", "Config Sync"),
    "route-source-names-alpha": (
        lambda w: annotate(w, "HTTPRoute", None, **{"kubectl.kubernetes.io/last-applied-configuration": f'{{"group":"{ALPHA}"}}'}),
        {}, "warning", "kubectl apply",
    ),
    "mirror-to-alpha-pool": (mirror, {}, "blocker", "rule 0 mirrors"),
    "backend-refs-full": (
        lambda w: rule(w)["backendRefs"].extend({"kind": "Service", "name": f"s{n}", "port": 80} for n in range(15)), {}, "blocker", "need 17",
    ),
    "no-room-for-mark": (
        lambda w: rule(w).update(matches=[{"headers": [{"name": f"h{n}", "value": "x"} for n in range(16)]}]), {}, "blocker", "a match with 16 headers",
    ),
    "grpc-route": (
        lambda w: w.add("gateway.networking.k8s.io/v1", "GRPCRoute", "g", spec={"rules": [{"backendRefs": rule(w)["backendRefs"]}]}), {}, "blocker", "rule 0",
    ),
    "unrouted-pool": (lambda w: w.remove("HTTPRoute"), {}, "warning", "no route"),
    "route-to-missing-pool": (
        lambda w: rule(w)["backendRefs"].append({"group": ALPHA, "kind": "InferencePool", "name": "gone"}), {}, "warning", "default/gone",
    ),
    "group-less-reference": (lambda w: rule(w)["backendRefs"].append({"kind": "InferencePool", "name": "p"}), {}, "warning", "without a group"),
    "gateway-serves-one-group": (lambda w: spec(w, "Gateway").update(gatewayClassName="istio"), {}, "blocker", "istio"),
    "grant-for-alpha-group": (grant, {}, "info", "v1 counterpart"),
    "cross-namespace-without-grant": (foreign_route, {}, "warning", f"default/{POOL}"),
    "address-not-probed": (lambda w: gateway(w, "silent"), {}, "warning", "Gateway default/silent has no address"),
    "gateway-unreachable": (unreachable, {}, "blocker", "no connection to 127.0.0.1:8080 can be opened from where the modules run: connection refused."),
    "listener-undecided": (chosen_by_label, {}, "blocker", "listener http of Gateway default/inference-gateway depends on the labels of namespace default"),
    "hostname-not-concrete": (lambda w: spec(w, "HTTPRoute").update(hostnames=["*.example.com"]), {}, "info", "*.example.com"),
    "regex-precedence-undefined": (regex, {}, "warning", "1 of"),
    "probe-shadowed-by-rule": (shadow, {}, "warning", "taken by rule 2"),
    "rule-not-probed": (lambda w: rule(w).update(matches=[{"path": {"type": "PathPrefix", "value": "/api"}}]), {}, "blocker", "rule 0"),
    "pool-on-several-gateways": (second_gateway, {}, "warning", "Gateway default/second"),
    "gateway-extension-limit": (five_chains, {}, "warning", "it needs 6 extension chains (alpha pools 3, v1 pools 3); 5 are documented."),
    "body-based-routing": (routed_by_model, {}, "info", "the model in the body decides 1 rule, for instance rule 0 of HTTPRoute default/llm-route."),
    "session-affinity-split": (lambda w: rule(w).update(sessionPersistence={"sessionName": "s"}), {}, "warning", "sessionPersistence"),
    "iap-audience-changes": (lambda w: spec(w, "GCPBackendPolicy")["default"].update(iap={"enabled": True}), {}, "warning", "IAP"),
    "security-policy": (
        lambda w: spec(w, "GCPBackendPolicy")["default"].update(securityPolicy="edge"), {}, "warning", "is behind security policy edge, and so will be",
    ),
    "networkpolicy-blocks-new-epp": (only_alpha_may, {}, "warning", f"and not {GA}-epp"),
    "autoscaler-reads-alpha-epp": (lambda w: hpa(w, "inference_pool_average_queue_size", POOL), {}, "blocker", "HorizontalPodAutoscaler default/scaler"),
    "autoscaler-sums-both-epps": (lambda w: hpa(w, "inference_pool_average_queue_size"), {}, "warning", "inference_pool_average_queue_size"),
    "metrics-label-changes": (lambda w: None, {}, "warning", f"becomes {GA}"),
    "monitor-reads-alpha-epp": (service_monitor, {}, "warning", "ServiceMonitor default/scrape-ga is made"),
    "shared-monitor": (shared_monitor, {}, "info", "PodMonitoring default/platform: it also reads Deployment default/vllm-llama3-8b-instruct"),
    "kv-metric-renamed": (lambda w: None, {}, "warning", "gpu_cache_usage_perc"),
    "epp-resources-grow": (lambda w: None, {"epp_resources": "chart"}, "warning", "requests cpu 4 (now none)"),
    "epp-shared-by-pools": (lambda w: second_pool(w, "other"), {}, "warning", "named by 2 pools"),
    "plugins-unknown-to-target": (lambda w: plugins(w, "plugins:\n- type: low-queue-filter\n- type: queue-scorer"), {}, "warning", "low-queue-filter are gone"),
    "pods-refused": (lambda w: quota(w, {"pods": "3"}, {"pods": "3"}), {}, "blocker", "ResourceQuota default/team: 3 of 3 pods are used, and v1"),
    "health-check-type-differs": (grpc_check, {}, "warning", "its type is HTTP"),
    "chart-object-refused-by-live-crd": (strict_health, {}, "info", "portSpecification"),
    "half-migrated-rule": (lambda w: rule(w)["backendRefs"].append({"group": V1, "kind": "InferencePool", "name": GA}), {}, "blocker", GA),
    "route-refused-by-gateway": (refused, {}, "blocker", "says ResolvedRefs is False: BackendNotFound Service default/gone not found."),
    "weights-not-splittable": (uneven, {}, "blocker", "rule 0 has weights 999999, 7, which can't be split"),
}
USUAL = {
    "kv-metric-renamed", "metrics-label-changes", "objective-needs-header", "shedding-changes", "port-9002-implied",
    "policy-bound-to-alpha-group", "epp-resources-grow",
}
"""What the demo's estate itself has."""


def test_every_code_is_tested():
    assert set(POSITIVE) == set(CATALOGUE)


@pytest.mark.parametrize("code", sorted(POSITIVE))
def test_an_estate_that_has_it(demo, code):
    change, options, severity, words = POSITIVE[code]
    change(demo)
    found = demo.found(code, **options)
    assert found, f"{code} was not found"
    assert {entry.severity for entry in found} == {severity}
    assert any(words in f"{entry.object}: {entry.message}" for entry in found)
    assert all(entry.remedy.endswith(".") and (entry.message.endswith(".") or code == "may-not-list") for entry in found)
    # Who may accept a blocker is told so, and nobody else is.
    assert all((f"accept {code}" in entry.remedy) == entry.overridable for entry in found if entry.severity == "blocker")


@pytest.mark.parametrize("code", sorted(set(CATALOGUE) - USUAL))
def test_the_demo_does_not_have_it(demo, code):
    assert demo.found(code) == []


def test_an_estate_without_anything_to_warn_of_has_no_finding(raw):
    context = raw.context(priorities=pool_migration.PRIORITIES["preserve_shedding"] | {"Critical": 0})
    assert catalogue.find(context) == []


# -- finer points -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["v1.3.0", "v1.5.0"])
def test_an_alias_is_fine_where_rewrites_exist(demo, target):
    alias(demo)
    assert demo.found("alias-without-rewrite", target=target) == []


def test_what_hides_alpha_may_not_be_overruled(demo):
    demo.refused = (Refused("inferencepools", "no", True, False),)
    context = demo.context()
    assert catalogue.blocked(catalogue.find(context), {"may-not-list"}) == ["may-not-list"]


def test_helm_owned_routes_block(demo):
    annotate(demo, "HTTPRoute", None, **{"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "default"})
    (found,) = demo.found("route-source-names-alpha")
    assert (found.severity, found.overridable) == ("blocker", True)


@pytest.mark.parametrize(
    ("place", "kind", "api_version", "name", "fields"),
    [
        ("service", "Service", "v1", f"{GA}-epp", {"spec": {}}),
        ("deployment", "Deployment", "apps/v1", f"{GA}-epp", {"spec": {}}),
        ("objective", "InferenceObjective", f"{ALPHA}/v1alpha2", "base-model", {"spec": {"priority": 7, "poolRef": {"name": "other"}}}),
        ("policy", "HealthCheckPolicy", "networking.gke.io/v1", GA, {"spec": {"default": {}}}),
    ],
)
def test_names_taken_by_others(demo, place, kind, api_version, name, fields):
    demo.add(api_version, kind, name, **fields)
    assert [entry.object for entry in demo.found("name-taken")] == [f"{kind} default/{name}"]


def test_what_an_earlier_run_left_is_no_taken_name(demo):
    (one,) = demo.plan()["pools"]
    demo.manifests += one["objects"]
    pool = demo.add(f"{V1}/v1", "InferencePool", GA, spec={})
    service = demo.add("v1", "Service", f"{GA}-epp", spec={})
    for entry in (pool, service):
        entry["metadata"]["annotations"] = {"meta.helm.sh/release-name": GA, "meta.helm.sh/release-namespace": "default"}
    assert demo.found("name-taken") == []


def test_equal_objects_of_others_are_no_taken_name(demo):
    (one,) = demo.plan()["pools"]
    for entry in one["objects"]:
        demo.manifests.append(entry | {"metadata": {field: value for field, value in entry["metadata"].items() if field != "labels"}})
    assert demo.found("name-taken") == []


def test_two_planned_pools_that_share_40_characters_collide(demo):
    second_pool(demo, "a" * 40 + "-one")
    second_pool(demo, "a" * 40 + "-two")
    assert [entry.object for entry in demo.found("name-collision-40")] == [f"InferencePool default/{'a' * 40}-{end}" for end in ("one", "two")]


@pytest.mark.parametrize(("target", "collisions"), [("v1.0.0", 2), ("v1.5.0", 0)])
def test_equal_names_in_two_namespaces_collide_only_under_v1_0_0(demo, target, collisions):
    second_pool(demo, POOL, "other")
    assert len(demo.found("name-collision-40", target=target)) == collisions


def test_a_name_of_54_characters_is_too_long_for_helm(demo):
    assert demo.found("name-invalid", pool_names={POOL: "a" * 53}) == []
    assert demo.found("name-invalid", pool_names={POOL: "a" * 54})


def test_old_rewrites_block_an_alias(demo):
    crd(demo, releases.REWRITES_CRD, "v1.2.0")
    assert [entry.severity for entry in demo.found("crd-older-than-target")] == ["warning"]
    alias(demo)
    assert [(entry.severity, entry.overridable) for entry in demo.found("crd-older-than-target")] == [("blocker", False)]


@pytest.mark.parametrize("bundle", ["v1.5.0", "v1.6.0", "unknown", ""])
def test_crds_of_the_target_or_of_unknown_age_are_no_finding(demo, bundle):
    crd(demo, releases.V1_POOLS_CRD, bundle)
    assert demo.found("crd-older-than-target") == []


def test_endpoints_that_nobody_spoke_of_only_warn(demo):
    assert {entry.severity for entry in demo.found("request-shape-rejected", target="v1.0.0")} == {"warning"}
    assert demo.found("request-shape-rejected", target="v1.0.0", endpoints_said=True) == []
    assert demo.found("request-shape-rejected", target="v1.5.0") == []


def test_a_grant_allows_the_reference(demo):
    foreign_route(demo)
    grant(demo)
    assert demo.found("cross-namespace-without-grant") == []


def test_gke_is_known_by_controller_too(demo):
    spec(demo, "Gateway")["gatewayClassName"] = "mine"
    demo.get("GatewayClass")["metadata"]["name"] = "mine"
    assert demo.found("gateway-serves-one-group") == []


def test_a_gateway_that_serves_no_moved_route_does_not_matter(demo):
    demo.add("gateway.networking.k8s.io/v1", "Gateway", "other", spec={"gatewayClassName": "istio"})
    assert demo.found("gateway-serves-one-group") == []


def test_missing_pools_of_namespaces_that_were_not_asked_for_do_not_matter(demo):
    rule(demo)["backendRefs"].append({"group": ALPHA, "kind": "InferencePool", "name": "gone", "namespace": "other"})
    assert demo.found("route-to-missing-pool", namespaces=("default",)) == []
    assert demo.found("route-to-missing-pool")


def test_room_for_sixteen(demo):
    rule(demo)["backendRefs"].extend({"kind": "Service", "name": f"s{n}", "port": 80} for n in range(14))
    assert demo.found("backend-refs-full") == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"matches": [{"headers": [{"name": f"h{n}", "value": "x"} for n in range(15)]}]}, None),
        ({"filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": f"h{n}", "value": "x"} for n in range(16)]}}]},
         "sets 16 response headers"),
        ({"filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "h", "value": "x"}]}}]}, None),
        ({"filters": [{"type": "ExtensionRef", "extensionRef": {"name": f"f{n}"}} for n in range(16)]}, "has 16 filters"),
        ({"filters": [{"type": "ExtensionRef", "extensionRef": {"name": f"f{n}"}} for n in range(15)] + [{"type": "RequestMirror"}]}, None),
    ],
)  # fmt: skip
def test_room_for_the_mark(demo, changes, words):
    rule(demo).update(changes)
    found = demo.found("no-room-for-mark")
    assert [words in occurrence.message for occurrence in found] == ([True] if words else [])


# -- network policies ----------------------------------------------------------------------------------------------------


def test_a_policy_that_admits_everybody_blocks_nobody(demo):
    only_alpha_may(demo)
    network_policy(demo, "open", podSelector={}, ingress=[{}])
    assert demo.found("networkpolicy-blocks-new-epp") == []


def test_a_policy_that_admits_both_blocks_nobody(demo):
    only_alpha_may(demo)
    selector = {"matchExpressions": [{"key": "inferencepool", "operator": "In", "values": [EPP, f"{GA}-epp"]}]}
    spec(demo, "NetworkPolicy")["ingress"][0]["from"].append({"podSelector": selector})
    assert demo.found("networkpolicy-blocks-new-epp") == []


@pytest.mark.parametrize("direction", ["Ingress", "Egress"])
def test_a_closed_namespace_with_an_exception_for_alpha(demo, direction):
    network_policy(demo, "closed", podSelector={}, policyTypes=[direction])
    assert demo.found("networkpolicy-blocks-new-epp") == []
    network_policy(demo, "epp", podSelector={"matchLabels": dict(labels(demo))}, policyTypes=[direction], **{direction.lower(): [{}]})
    assert [entry.object for entry in demo.found("networkpolicy-blocks-new-epp")] == ["NetworkPolicy default/closed"]


# -- settings ------------------------------------------------------------------------------------------------------------


def test_affinity_of_a_policy(demo):
    spec(demo, "GCPBackendPolicy")["default"]["sessionAffinity"] = {"type": "GENERATED_COOKIE"}
    assert "GENERATED_COOKIE" in demo.found("session-affinity-split")[0].message
    spec(demo, "GCPBackendPolicy")["default"]["sessionAffinity"] = {"type": "NONE"}
    assert demo.found("session-affinity-split") == []


def test_resources_that_alpha_already_asks_do_not_grow(demo):
    container(demo)["resources"] = {"requests": {"cpu": "4000m", "memory": "8192Mi"}, "limits": {"memory": "16Gi"}}
    assert demo.found("epp-resources-grow", epp_resources="chart") == []


def test_known_plugins_are_no_finding_and_neither_lost(demo):
    plugins(demo, "plugins:\n- type: queue-scorer\n")
    assert demo.found("plugins-unknown-to-target") == demo.found("epp-settings-not-carried") == []


def test_a_policy_that_says_its_port_specification_needs_nothing(demo):
    strict_health(demo)
    spec(demo, "HealthCheckPolicy")["default"]["config"]["httpHealthCheck"]["portSpecification"] = "USE_FIXED_PORT"
    assert demo.found("chart-object-refused-by-live-crd") == []


def test_a_policy_with_the_check_of_another_type_says_what_is_kept(demo):
    grpc_check(demo)
    (found,) = demo.found("health-check-type-differs")
    assert found.message.endswith("gets httpHealthCheck with its defaults, since the policy has none, and not grpcHealthCheck.")
    grpc_check(demo, httpHealthCheck={"requestPath": "/health"})
    (found,) = demo.found("health-check-type-differs")
    assert found.message.endswith("keeps httpHealthCheck, and not grpcHealthCheck.")


def test_a_policy_for_a_pool_that_is_planned_or_in_another_kind_of_need_is_no_policy_without_pool(demo):
    target = spec(demo, "HealthCheckPolicy")["targetRef"]
    target.update(group=V1, name=GA)
    assert demo.found("policy-without-pool") == [], "the v1 pool is planned under this name"
    target.update(name="typo")
    assert demo.found("policy-without-pool")[0].message.startswith(f"there is no InferencePool typo of group {V1}")
    for other in ({"group": "", "kind": "Service"}, {"group": ALPHA, "kind": "InferenceModel"}):
        target.update(other)
        assert demo.found("policy-without-pool") == []
    target.update(group=ALPHA, kind="InferencePool", name="typo")
    demo.add("networking.gke.io/v1", "HealthCheckPolicy", "good", spec={"targetRef": {"group": ALPHA, "kind": "InferencePool", "name": POOL}})
    assert demo.found("policy-without-pool") == [], "the pool has one"


def test_the_worst_comes_first(demo):
    mirror(demo)
    severities = [entry.severity for entry in catalogue.find(demo.context())]
    assert severities == sorted(severities, key=["blocker", "warning", "info"].index) and severities[0] == "blocker"


def test_accepting_overrules_only_what_may_be_overruled(demo):
    mirror(demo)
    spec(demo, "Gateway")["gatewayClassName"] = "istio"
    found = catalogue.find(demo.context())
    assert catalogue.blocked(found, ()) == ["gateway-serves-one-group", "mirror-to-alpha-pool"]
    assert catalogue.blocked(found, {"gateway-serves-one-group", "mirror-to-alpha-pool"}) == ["mirror-to-alpha-pool"]


def test_unknown_codes_get_the_nearest_name():
    assert catalogue.unknown_code(["name-taken"]) is None
    assert "did you mean name-taken?" in catalogue.unknown_code(["name-takn"])
    assert "docs/findings.md" in catalogue.unknown_code(["zzzzzz"])


def test_a_code_is_registered_once():
    with pytest.raises(ValueError, match="registered twice"):
        finding("name-taken", "info", about="", remedy="", source="")(lambda context: iter(()))


def test_the_page_is_as_the_catalogue_says():
    page = Path(__file__).resolve().parents[5] / "docs" / "findings.md"
    assert page.read_text() == catalogue.documentation(), "docs/findings.md is not what the code says: make docs"


@pytest.mark.parametrize(
    "kind", ["InferencePool", "InferenceModel", "HTTPRoute", "Service", "Deployment", "HealthCheckPolicy", "Gateway", "ClusterPodMonitoring"]
)
def test_objects_without_spec_give_findings_never_a_traceback(demo, kind):
    for entry in demo.manifests:
        if entry["kind"] == kind:
            entry.pop("spec")
    assert demo.plan()["schema"] == 1


# -- extensions before the routes ---------------------------------------------------------------------------------------


def test_a_chain_with_a_condition_is_a_warning(demo):
    routed_by_model(demo, matchCondition={"celExpressions": [{"celMatcher": "request.path.startsWith('/v1')"}]})
    (found,) = demo.found("body-based-routing")
    assert found.severity == "warning" and "chain chain1 has a condition that is not looked at" in found.message


def test_an_extension_that_no_rule_needs_is_not_mentioned(demo):
    routed_by_model(demo)
    rule(demo)["matches"] = [{}]
    assert demo.found("body-based-routing") == []


def test_a_rule_for_a_model_that_the_pool_is_not_known_to_serve_blocks(demo):
    routed_by_model(demo, "food-review-1")
    assert demo.found("rule-not-probed") == []
    rule(demo)["matches"][0]["headers"][0]["value"] = "strange"
    (found,) = demo.found("rule-not-probed")
    assert (found.severity, found.object) == ("blocker", "HTTPRoute default/llm-route")
    assert found.message == f"rule 0: it takes requests for model strange alone, which pool default/{POOL} is not known to serve."
    assert "migration_models" in found.remedy
    assert demo.found("rule-not-probed", models={POOL: ["strange"]}) == []


def test_every_pool_of_a_rule_must_be_known_to_serve_its_model(demo):
    """The second pool of the rule would be found out in the middle of the run."""
    routed_by_model(demo)
    second_pool(demo, "other")
    rule(demo)["backendRefs"].append({"group": ALPHA, "kind": "InferencePool", "name": "other"})
    (found,) = demo.found("rule-not-probed")
    assert "which pool default/other is not known to serve" in found.message


def test_extension_chains_count_and_so_may_probe_routes(demo):
    assert demo.found("gateway-extension-limit") == [], "2 for the pool, 3 for its probe routes"
    routed_by_model(demo)
    (found,) = demo.found("gateway-extension-limit")
    assert found.severity == "info"
    assert found.message == (
        "it needs 3 extension chains (alpha pools 1, v1 pools 1, extensions of its own 1), and 3 probe routes may count too; 5 are documented."
    )
    target = spec(demo, "GCPRoutingExtension")["targetRefs"]
    demo.add("networking.gke.io/v1", "GCPTrafficExtension", "armor", spec={"targetRefs": target, "extensionChains": [{"name": f"c{n}"} for n in range(3)]})
    (found,) = demo.found("gateway-extension-limit")
    assert found.severity == "warning"
    assert found.message == "it needs 6 extension chains (alpha pools 1, v1 pools 1, extensions of its own 4); 5 are documented."


@pytest.mark.parametrize(("beside", "severity"), [(True, "warning"), (False, "blocker")])
def test_a_set_of_listeners_is_an_address_that_is_not_probed(demo, beside, severity):
    """Where it is the only parent nothing can be proven."""
    parents = spec(demo, "HTTPRoute")["parentRefs"]
    parents[:] = [*(parents if beside else []), {"group": "gateway.networking.k8s.io", "kind": "ListenerSet", "name": "more"}]
    (found,) = [entry for entry in demo.found("address-not-probed") if entry.object == "ListenerSet default/more"]
    assert found.severity == severity
    assert found.message.endswith("holds listeners of HTTPRoute default/llm-route that are not looked at, so no probe can be sent there.")
