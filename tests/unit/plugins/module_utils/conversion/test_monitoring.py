# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which monitors of alpha EPPs go, which stay, and what reads the v1 EPPs."""

from __future__ import annotations

from copy import deepcopy

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import Refused
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.helm_records import HelmRelease
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import describe

from tests.unit.helpers.estate_changes import EPP, GA, OWNED, POOL, container, labels, listing, service_monitor, shared_monitor, spec

GMP = "monitoring.googleapis.com/v1"
MONITORS = ("PodMonitoring", "ClusterPodMonitoring", "PodMonitor", "ServiceMonitor")


def made(world, **options):
    """The monitors that are made, by ``Kind namespace/name``."""
    return {describe(entry): entry for pool in world.plan(**options)["pools"] for entry in pool["objects"] if entry["kind"] in MONITORS}


def gone(world, **options):
    """The monitors that are deleted one by one."""
    return [describe(entry) for pool in world.plan(**options)["pools"] for entry in pool["retire"] if entry["kind"] in MONITORS]


def stays(world, **options):
    """What stays of which pool, and why."""
    return {(pool["name"], entry["object"]): entry["why"] for pool in world.plan(**options)["pools"] for entry in pool["stays"] if "Monitor" in entry["object"]}


def pod_monitoring(world, name, **selector):
    endpoints = [{"port": "metrics", "interval": "15s"}]
    return world.add(GMP, "PodMonitoring", name, spec={"selector": {"matchLabels": selector or dict(labels(world))}, "endpoints": endpoints})


def second(world, name="sales", namespace="default"):
    """One more pool with a picker of its own."""
    deployment, service, pool = (deepcopy(world.get(kind, entry)) for kind, entry in (("Deployment", EPP), ("Service", EPP), ("InferencePool", POOL)))
    for entry in (deployment, service, pool):
        entry["metadata"] = {"name": name if entry is pool else f"{name}-epp", "namespace": namespace}
        world.manifests.append(entry)
    deployment["spec"]["template"]["metadata"]["labels"]["inferencepool"] = f"{name}-epp"
    service["spec"]["selector"] = {"inferencepool": f"{name}-epp"}
    pool["spec"]["extensionRef"]["name"] = f"{name}-epp"


@pytest.mark.parametrize(("target", "rights"), [("v1.0.0", 0), ("v1.1.0", 0), ("v1.2.0", 0), ("v1.3.0", 2), ("v1.5.0", 2)])
def test_monitoring_reads_the_new_epp_and_may(demo, target, rights):
    (found,) = made(demo, target=target).values()
    assert found["metadata"]["name"] == f"default-{GA}"
    assert found["spec"] == {
        "endpoints": [{"port": "metrics", "scheme": "http", "interval": "5s", "path": "/metrics"}],
        "selector": {"matchLabels": {"inferencepool": f"{GA}-epp"}},
    }
    (pool,) = demo.plan(target=target)["pools"]
    assert len([entry for entry in pool["objects"] if entry["kind"] in ("ClusterRole", "ClusterRoleBinding")]) == rights


def test_monitoring_of_something_else_is_left_alone(demo):
    demo.get("ClusterPodMonitoring")["spec"]["selector"] = {"matchLabels": {"app": "vllm-llama3-8b-instruct"}}
    assert (made(demo), gone(demo), stays(demo)) == ({}, [], {})
    assert "ClusterRole" not in {entry["kind"] for pool in demo.plan()["pools"] for entry in pool["objects"]}


def test_a_monitor_of_one_picker_goes_and_has_a_counterpart(demo):
    pod_monitoring(demo, "own")
    assert gone(demo) == ["PodMonitoring default/own"] and "PodMonitoring default/own-ga" in made(demo) and stays(demo) == {}


def test_one_that_reads_model_servers_too_stays_and_has_a_counterpart(demo):
    shared_monitor(demo)
    assert gone(demo) == []
    assert stays(demo) == {(POOL, "PodMonitoring default/platform"): "it also reads Deployment default/vllm-llama3-8b-instruct"}
    assert made(demo)["PodMonitoring default/platform-ga"]["spec"]["selector"] == {"matchLabels": {"inferencepool": f"{GA}-epp"}}


def test_one_of_several_pools_goes_with_the_last_of_them_and_has_a_counterpart_for_each(demo):
    second(demo)
    for name in (POOL, "sales"):
        spec(demo, "Deployment", f"{name}-epp")["template"]["metadata"]["labels"]["pickers"] = "yes"
    pod_monitoring(demo, "pickers", pickers="yes")
    assert gone(demo) == ["PodMonitoring default/pickers"] and stays(demo) == {}
    (last,) = [pool["name"] for pool in demo.plan()["pools"] if any(entry["metadata"]["name"] == "pickers" for entry in pool["retire"])]
    assert last == demo.plan()["pools"][-1]["name"] == POOL
    reading = {name: entry["spec"]["selector"]["matchLabels"]["inferencepool"] for name, entry in made(demo).items() if name.startswith("PodMonitoring")}
    assert reading == {f"PodMonitoring default/pickers-{GA}": f"{GA}-epp", "PodMonitoring default/pickers-sales-ga": "sales-ga-epp"}
    demo.add("apps/v1", "Deployment", "third", spec={"template": {"metadata": {"labels": {"pickers": "yes"}}}})
    assert gone(demo) == [] and set(stays(demo)) == {(name, "PodMonitoring default/pickers") for name in (POOL, "sales")}


def test_a_pool_that_is_not_migrated_is_somebody_else(demo):
    """Its pods are seen, though its namespace was not chosen."""
    demo.get("ClusterPodMonitoring")["metadata"].pop("annotations")
    demo.add("v1", "Pod", f"{EPP}-1", "elsewhere")["metadata"]["labels"] = dict(labels(demo))
    assert gone(demo) == [] and list(stays(demo).values()) == [f"it also reads Pod elsewhere/{EPP}-1"]


def test_pickers_of_one_name_in_two_namespaces_are_read_by_one_cluster_wide_counterpart(demo):
    alpha = [demo.get("InferencePool"), demo.get("Service"), demo.get("Deployment", EPP)]
    demo.manifests += [deepcopy(manifest) | {"metadata": {"name": manifest["metadata"]["name"], "namespace": "other"}} for manifest in alpha]
    assert list(made(demo)) == [f"ClusterPodMonitoring default-{GA}"]


def test_names_of_counterparts_do_not_meet(demo):
    second(demo)
    for name in (POOL, "sales"):
        spec(demo, "Deployment", f"{name}-epp")["template"]["metadata"]["labels"]["pickers"] = "yes"
    pod_monitoring(demo, "all", pickers="yes")
    pod_monitoring(demo, "all-sales", inferencepool="sales-epp")
    assert {"PodMonitoring default/all-sales-ga", "PodMonitoring default/all-sales-ga-sales-ga"} < set(made(demo))


@pytest.mark.parametrize("selector", [{}, {"matchExpressions": [{"key": "inferencepool", "operator": "Exists"}]}])
def test_what_selects_the_v1_picker_already_stays_and_has_no_counterpart(demo, selector):
    pod_monitoring(demo, "own")["spec"]["selector"] = selector
    demo.remove("ClusterPodMonitoring")
    demo.remove("Deployment", "vllm-llama3-8b-instruct")
    assert (made(demo), gone(demo)) == ({}, [])
    assert list(stays(demo).values()) == [f"it reads the v1 EPP default/{GA}-epp as well"]
    (pool,) = demo.plan()["pools"]
    assert "ClusterRole" in {entry["kind"] for entry in pool["objects"]}, "whoever reads it must be known to the v1 EPP"


def test_the_mode_label_of_later_charts_counts(demo):
    spec(demo, "Deployment", EPP)["template"]["metadata"]["labels"]["inference.networking.k8s.io/igw-mode"] = "inferencepool"
    pod_monitoring(demo, "own", **{"inference.networking.k8s.io/igw-mode": "inferencepool"})
    assert "PodMonitoring default/own-ga" not in made(demo) and "PodMonitoring default/own-ga" in made(demo, target="v1.3.0")


def test_the_v1_picker_itself_is_nobody_else(demo):
    """Installed, its pods are seen too, and the plan must stay the same."""
    pod_monitoring(demo, "own")["spec"]["selector"] = {}
    before = stays(demo)
    demo.add("apps/v1", "Deployment", f"{GA}-epp", spec={"template": {"metadata": {"labels": {"inferencepool": f"{GA}-epp"}}}})
    assert stays(demo) == before


# -- ports and Prometheus Operator --------------------------------------------------------------------------------------


def test_of_its_ports_those_that_the_picker_has_are_kept(demo):
    container(demo)["ports"] = [{"name": "prom", "containerPort": 9191}, {"name": "grpc", "containerPort": 9002}]
    container(demo)["args"] += ["-metricsPort", "9191"]
    shared_monitor(demo)["spec"]["endpoints"] = [{"port": "http"}, {"port": "prom", "interval": "15s"}]
    assert made(demo)["PodMonitoring default/platform-ga"]["spec"]["endpoints"] == [{"port": "metrics", "interval": "15s"}]
    spec(demo, "PodMonitoring", "platform")["endpoints"].pop()
    assert "PodMonitoring default/platform-ga" not in made(demo) and stays(demo) == {}, "it reads nothing of the picker's"


@pytest.mark.parametrize(("endpoint", "expected"), [
    ({"port": "http-metrics"}, {"port": "http-metrics"}), ({"port": "prom"}, {"port": "http-metrics"}), ({"targetPort": 9090}, {"targetPort": 9090}),
    ({"port": "extra"}, {"port": "extra"}),
])
def test_a_service_monitor_reads_the_v1_service_under_its_own_labels(demo, endpoint, expected):
    found = service_monitor(demo, endpoints=[endpoint | {"interval": "5s"}])
    found["metadata"]["labels"] = {"release": "prometheus", "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "x", "app.kubernetes.io/instance": "argo"}
    spec(demo, "Service", EPP)["ports"] += [{"name": "prom", "port": 1, "targetPort": 9090}, {"name": "extra", "port": 7}]
    one = made(demo)["ServiceMonitor default/scrape-ga"]
    assert one["spec"] == {
        "selector": {"matchLabels": {"app.kubernetes.io/name": f"{GA}-epp"}}, "namespaceSelector": {"matchNames": ["default"]},
        "endpoints": [expected | {"interval": "5s"}],
    }
    assert one["metadata"]["labels"] == {"release": "prometheus", "app.kubernetes.io/managed-by": "inference_gateway.migration"}
    assert gone(demo) == [] and stays(demo) == {(POOL, "ServiceMonitor default/scrape"): "whoever runs that Prometheus deletes it"}


def test_a_monitor_beside_its_prometheus_keeps_its_namespace(demo):
    said = {"selector": {"matchLabels": dict(labels(demo))}, "namespaceSelector": {"any": True}, "podMetricsEndpoints": [{"port": "metrics"}]}
    demo.add("monitoring.coreos.com/v1", "PodMonitor", "scrape", "monitoring", spec=said)
    assert made(demo)["PodMonitor monitoring/scrape-ga"]["spec"] == {
        "selector": {"matchLabels": {"inferencepool": f"{GA}-epp"}}, "namespaceSelector": {"matchNames": ["default"]},
        "podMetricsEndpoints": [{"port": "metrics"}],
    }
    assert gone(demo) == [] and set(stays(demo)) == {(POOL, "PodMonitor monitoring/scrape")}


def test_a_service_monitor_has_a_counterpart_where_the_chart_makes_google_monitoring_itself(demo):
    spec(demo, "GCPBackendPolicy")["default"] = {"timeoutSec": 300, "logging": {"enabled": True}}
    service_monitor(demo)
    assert list(made(demo, target="v1.0.0")) == ["ServiceMonitor default/scrape-ga"]


# -- owners -------------------------------------------------------------------------------------------------------------


def test_a_shared_one_of_the_pools_release_blocks_and_accepted_goes_with_it(demo):
    shared_monitor(demo)["metadata"].update(deepcopy(OWNED))
    (found,) = demo.found("shared-monitor")
    assert found.severity == "blocker" and f"Helm release {POOL} would take it along" in found.message
    assert demo.plan()["blocked"] == ["shared-monitor"] and demo.plan(accept=frozenset({"shared-monitor"}))["blocked"] == []
    (pool,) = demo.plan()["pools"]
    assert "platform" in {entry["metadata"]["name"] for entry in pool["owner"]["objects"]} and gone(demo) == []


def test_one_of_several_pools_goes_with_the_one_whose_release_has_it(demo):
    """That release is left, since its uninstall began already; the last pool is a plain object."""
    second(demo, "zz")
    for name in (POOL, "zz"):
        spec(demo, "Deployment", f"{name}-epp")["template"]["metadata"]["labels"]["pickers"] = "yes"
    pod_monitoring(demo, "pickers", pickers="yes")["metadata"].update(deepcopy(OWNED))
    demo.releases = {("default", POOL): HelmRelease(POOL, "inferencepool", "v0.3.0", {}, "uninstalling")}
    assert "PodMonitoring default/pickers" in gone(demo) and not any("pickers" in name for _pool, name in stays(demo))


OF_OPS = {"meta.helm.sh/release-name": "platform", "meta.helm.sh/release-namespace": "ops"}


def test_a_mark_of_a_release_that_helm_does_not_know_keeps_nothing(demo):
    pod_monitoring(demo, "own")["metadata"]["annotations"] = OF_OPS
    assert gone(demo) == ["PodMonitoring default/own"]
    demo.hidden_records = frozenset({"ops"})
    assert gone(demo) == [], "it may be there"


@pytest.mark.parametrize(("marks", "words"), [
    ({"annotations": {"argocd.argoproj.io/tracking-id": "x"}}, "Argo CD owns it, by its mark argocd.argoproj.io/tracking-id"),
    ({"annotations": OF_OPS}, "Helm release ops/platform owns it, by its meta.helm.sh annotations"),
    ({"ownerReferences": [{"kind": "LLMInferenceService", "name": "x", "controller": True}]}, "LLMInferenceService x owns it, by its ownerReferences"),
    ({"managedFields": [{"manager": "scrape-operator", "operation": "Update", "fieldsV1": {"f:spec": {"f:endpoints": {}}}}]},
     "controller scrape-operator owns it, by its managedFields: scrape-operator writes its spec"),
])
def test_what_somebody_else_owns_stays(demo, marks, words):
    pod_monitoring(demo, "own")["metadata"].update(marks)
    demo.releases = demo.records() | {("ops", "platform"): HelmRelease("platform", "platform", "1", {})}
    assert gone(demo) == [] and stays(demo) == {(POOL, "PodMonitoring default/own"): words}
    assert [entry.message for entry in demo.found("shared-monitor")] == [f"{words}, so it stays when the EPP of pool {POOL} goes."]
    assert "PodMonitoring default/own-ga" in made(demo)


def test_where_pods_may_not_be_listed_a_monitor_stays(demo):
    pod_monitoring(demo, "own")
    demo.refused = (Refused("pods (v1)", "forbidden", False, True, listing("monitored_pods")),)
    assert gone(demo) == [] and list(stays(demo).values()) == ["pods may not be listed, so it may read others too"]
    (hidden,) = demo.found("may-not-list")
    assert hidden.severity == "warning" and demo.plan()["blocked"] == []
