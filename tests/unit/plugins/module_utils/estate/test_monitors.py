# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What monitors read, by whatever selector, in whatever namespaces, through Services too; and what is asked of the server for it."""

from __future__ import annotations

import base64
import gzip
import json

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import monitors
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.reader import read_estate

from tests.unit.helpers.estate_changes import EPP, labels, service_monitor, shared_monitor

SERVERS = "Deployment default/vllm-llama3-8b-instruct"
PICKER = f"Deployment default/{EPP}"
OURS = {"key": "inferencepool", "operator": "In", "values": [EPP]}


def monitor(kind="PodMonitoring", name="m", namespace="default", **spec_):
    where = {"namespace": namespace} if namespace else {}
    group = "coreos.com" if kind.endswith("Monitor") else "googleapis.com"
    return {"apiVersion": f"monitoring.{group}/v1", "kind": kind, "metadata": {"name": name} | where, "spec": spec_}


def pod(name, namespace="default", owner=None, phase="Running", **labels_):
    metadata = {"name": name, "namespace": namespace, "labels": labels_}
    if owner:
        metadata["ownerReferences"] = [{"kind": owner.split()[0], "name": owner.split()[1], "controller": True}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "x"}]}, "status": {"phase": phase}}


@pytest.mark.parametrize(("found", "expected"), [
    (monitor(), {"default"}),
    (monitor(namespace=None, kind="ClusterPodMonitoring"), {monitors.EVERYWHERE}),
    (monitor("PodMonitor", namespaceSelector={"any": True}), {monitors.EVERYWHERE}),
    (monitor("ServiceMonitor", namespaceSelector={"matchNames": ["a", "b"]}), {"a", "b"}),
    (monitor("ServiceMonitor", namespaceSelector={}), {"default"}),
])
def test_namespaces(found, expected):
    assert monitors.namespaces(found) == expected


@pytest.mark.parametrize(("selector", "expected"), [
    ({"matchLabels": {"inferencepool": EPP}}, {PICKER}),
    ({"matchExpressions": [OURS]}, {PICKER}),
    ({"matchLabels": {"part-of": "platform"}}, {PICKER, SERVERS}),
    ({"matchLabels": {"part-of": "platform"}, "matchExpressions": [OURS]}, {PICKER}),
    ({"matchLabels": {"part-of": "platform"}, "matchExpressions": [{"key": "inferencepool", "operator": "DoesNotExist"}]}, {SERVERS}),
    ({}, {PICKER, SERVERS}),
    (None, set()),
    ({"matchLabels": {"inferencepool": "other"}}, set()),
])
def test_what_a_selector_reads(demo, selector, expected):
    shared_monitor(demo)["spec"]["selector"] = selector
    assert monitors.readings(demo.estate())["PodMonitoring default/platform"] == expected


@pytest.mark.parametrize(("kind", "namespace", "where", "read"), [
    ("PodMonitoring", "elsewhere", {}, False),
    ("ClusterPodMonitoring", None, {}, True),
    ("PodMonitor", "elsewhere", {}, False),
    ("PodMonitor", "elsewhere", {"any": True}, True),
    ("PodMonitor", "elsewhere", {"matchNames": ["default"]}, True),
    ("PodMonitor", "default", {"matchNames": ["elsewhere"]}, False),
])
def test_where_a_monitor_reads(demo, kind, namespace, where, read):
    found = monitor(kind, "m", namespace, selector={"matchLabels": dict(labels(demo))}, namespaceSelector=where)
    demo.manifests.append(found)
    assert monitors.readings(demo.estate())[monitors.describe(found)] == ({PICKER} if read else set())


def test_a_service_monitor_reads_what_is_behind_the_service(demo):
    service_monitor(demo)
    assert monitors.readings(demo.estate())["ServiceMonitor default/scrape"] == {PICKER}
    demo.add("v1", "Service", "metrics", spec={"selector": dict(labels(demo))})["metadata"]["labels"] = {"scraped": "yes"}
    demo.add("v1", "Service", "other", spec={"selector": {"app": "other"}})["metadata"]["labels"] = {"scraped": "yes"}
    assert monitors.readings(demo.estate())["ServiceMonitor default/scrape"] == {PICKER, "Service default/other"}


@pytest.mark.parametrize(("found", "name"), [
    (pod("x-1", owner="StatefulSet x", a="b"), "StatefulSet default/x"),
    (pod("x-5f-1", owner="ReplicaSet x-5f", a="b", **{"pod-template-hash": "5f"}), "Deployment default/x"),
    (pod("x-5f-1", owner="ReplicaSet x-5f", a="b"), "ReplicaSet default/x-5f"),
    (pod("x", a="b"), "Pod default/x"),
])
def test_pods_go_by_the_name_of_what_made_them(demo, found, name):
    demo.manifests += [monitor(selector={"matchLabels": {"a": "b"}}), found]
    assert monitors.readings(demo.estate())["PodMonitoring default/m"] == {name}


def test_the_server_is_asked_for_what_monitors_of_pickers_read_elsewhere_and_by_other_kinds(demo, fake_cluster):
    shared_monitor(demo)
    service_monitor(demo, namespaceSelector={"any": True})
    demo.manifests += [
        pod("lws-0", owner="StatefulSet lws", **{"part-of": "platform"}), pod("done", phase="Succeeded", **{"part-of": "platform"}),
        pod("away", "elsewhere", **{"part-of": "platform"}), pod("nobodys", app="x"),
    ]
    demo.manifests.append(monitor(name="servers", selector={"matchLabels": {"app": "vllm-llama3-8b-instruct"}}))
    demo.add("v1", "Service", "foreign", "elsewhere", spec={})["metadata"]["labels"] = {"scraped": "yes"}
    cluster = fake_cluster(demo.manifests)
    here = read_estate(cluster, [])
    found = monitors.readings(here)
    assert found["PodMonitoring default/platform"] == {PICKER, SERVERS, "StatefulSet default/lws"}
    assert found["ServiceMonitor default/scrape"] == {PICKER, "Service elsewhere/foreign"}
    assert "containers" not in str(here.of("monitored_pods")), "of a pod only what is needed is kept"
    asked = [(path, query) for path, (_plural, query) in zip(cluster.lists, cluster.queries, strict=True) if "labelSelector" in query and "secrets" not in path]
    assert asked == [
        ("/api/v1/pods", {"labelSelector": f"inferencepool in ({EPP})"}),
        ("/api/v1/namespaces/default/pods", {"labelSelector": "part-of in (platform)"}),
        ("/api/v1/services", {"labelSelector": "scraped in (yes)"}),
    ]


def test_whose_release_a_monitor_of_a_picker_is_the_server_is_asked(demo, fake_cluster):
    """It may be one that nothing of alpha belongs to; of a monitor that reads no picker nobody asks."""
    mine, other = monitor(selector={"matchLabels": dict(labels(demo))}), monitor(name="servers", selector={"matchLabels": {"app": "vllm-llama3-8b-instruct"}})
    mine["metadata"]["annotations"] = {"meta.helm.sh/release-name": "platform", "meta.helm.sh/release-namespace": "ops"}
    other["metadata"]["annotations"] = {"meta.helm.sh/release-name": "servers", "meta.helm.sh/release-namespace": "web"}
    packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps({"name": "platform", "chart": {"metadata": {"name": "platform"}}}).encode())))
    secret = demo.add("v1", "Secret", "sh.helm.release.v1.platform.v1", "ops", type="helm.sh/release.v1", data={"release": packed.decode()})
    secret["metadata"]["labels"] = {"owner": "helm", "status": "deployed", "name": "platform", "version": "1"}
    demo.manifests += [mine, other]
    cluster = fake_cluster(demo.manifests)
    assert str(read_estate(cluster, []).holder(mine)) == "Helm release ops/platform"
    assert {path.split("/")[4] for path in cluster.lists if path.endswith("/secrets")} == {"default", "ops"}


@pytest.mark.parametrize(("selector", "expected"), [
    ({"matchExpressions": [OURS | {"values": ["a", EPP]}]}, [f"inferencepool in (a,{EPP})"]),
    ({"matchExpressions": [{"key": "inferencepool", "operator": "Exists"}]}, ["inferencepool"]),
    ({"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}, []),
    ({}, []),
])
def test_a_selector_becomes_a_question(demo, selector, expected):
    demo.remove("ClusterPodMonitoring")
    shared_monitor(demo)["spec"]["selector"] = selector
    assert [asked for _namespace, asked in monitors.questions(demo.estate(), "pods")] == expected


def test_many_monitors_are_few_questions(demo):
    for number in range(150):
        demo.manifests.append(monitor(name=f"m{number}", selector={"matchExpressions": [OURS | {"values": [EPP, f"v{number}"]}]}))
    asked = [selector for where, selector in monitors.questions(demo.estate(), "pods") if where]
    assert [selector.count(",") + 1 for selector in asked] == [100, 51], "a URL has room for so many values"


CONTAINER = {"ports": [{"name": "grpc", "containerPort": 9002}, {"name": "prom", "containerPort": 9191}, {"containerPort": 9003}]}
SERVICE = {"spec": {"ports": [{"name": "metrics-port", "port": 80, "targetPort": "prom"}, {"name": "plain", "port": 9090}]}}


@pytest.mark.parametrize(("kind", "endpoint", "number"), [
    ("PodMonitoring", {"port": "prom"}, 9191), ("PodMonitoring", {"port": 9090}, 9090), ("PodMonitoring", {"port": "http"}, None),
    ("PodMonitor", {"port": "prom"}, 9191), ("PodMonitor", {"portNumber": 9191}, 9191), ("PodMonitor", {"targetPort": "prom"}, 9191), ("PodMonitor", {}, None),
    ("ServiceMonitor", {"port": "metrics-port"}, 9191), ("ServiceMonitor", {"port": "plain"}, 9090), ("ServiceMonitor", {"port": "prom"}, None),
    ("ServiceMonitor", {"targetPort": "prom"}, 9191), ("ServiceMonitor", {"targetPort": 9191}, 9191),
])
def test_the_port_of_an_endpoint(kind, endpoint, number):
    found = monitor(kind, **{monitors.KINDS[kind].endpoints: [endpoint]})
    assert monitors.endpoints(found, CONTAINER, [SERVICE]) == [(endpoint, number)]
