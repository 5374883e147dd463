# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of a cluster, and what is not asked for."""
from __future__ import annotations

import base64
import gzip
import json

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import ApiError, Forbidden, NotServed
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import reader

from tests.unit.helpers.estate_changes import chosen_by_label

POOL = "vllm-llama3-8b-instruct-preview"


def test_each_kind_is_listed_once(fake_cluster, demo):
    cluster = fake_cluster(demo.manifests)
    reader.read_estate(cluster, [])
    assert len(cluster.lists) == len(set(cluster.lists))


def test_only_the_pools_namespaces_are_kept(fake_cluster, demo):
    demo.add("apps/v1", "Deployment", "elsewhere", "other", spec={})
    kept = reader.read_estate(fake_cluster(demo.manifests), []).of("deployments")
    assert {entry["metadata"]["namespace"] for entry in kept} == {"default"}


def test_only_the_pools_namespaces_are_known_unless_a_listener_chooses_by_their_labels(fake_cluster, demo):
    demo.add("v1", "Namespace", "default", None)["metadata"]["labels"] = {"tenant": "chat"}
    demo.add("v1", "Namespace", "other", None)
    assert [entry["metadata"]["name"] for entry in reader.read_estate(fake_cluster(demo.manifests), []).of("namespaces")] == ["default"]
    chosen_by_label(demo)
    here = reader.read_estate(fake_cluster(demo.manifests), [])
    assert len(here.of("namespaces")) == 2 and here.listeners.undecided(demo.get("HTTPRoute")) == []
    hidden = reader.read_estate(fake_cluster(demo.manifests, forbidden=("namespaces",)), [])
    assert len(hidden.listeners.undecided(demo.get("HTTPRoute"))) == 1 and hidden.refused == (), "one finding of its own says it"


def test_an_older_version_is_read_where_the_newer_is_not_served(fake_cluster, demo):
    for entry in demo.manifests:
        if entry["apiVersion"] == "gateway.networking.k8s.io/v1":
            entry["apiVersion"] = "gateway.networking.k8s.io/v1beta1"
    here = reader.read_estate(fake_cluster(demo.manifests), [])
    assert [route["apiVersion"] for route in here.of("http_routes")] == ["gateway.networking.k8s.io/v1beta1"]


def test_the_plugin_configuration_of_an_epp_is_read_where_it_is_mounted(fake_cluster, demo):
    deployment = demo.get("Deployment", f"{POOL}-epp")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container["args"] += ["-configFile", "config/mine.yaml"]
    container["volumeMounts"] = [{"name": "plugins", "mountPath": "/config"}]
    deployment["spec"]["template"]["spec"]["volumes"] = [{"name": "plugins", "configMap": {"name": "plugins"}}]
    assert reader.read_estate(fake_cluster(demo.manifests), []).config_maps == {}
    demo.add("v1", "ConfigMap", "plugins", data={"mine.yaml": "plugins:\n- type: queue-scorer\n"})
    here = reader.read_estate(fake_cluster(demo.manifests), [])
    assert [entry["data"] for entry in here.config_maps.values()] == [{"mine.yaml": "plugins:\n- type: queue-scorer\n"}]
    demo.config_maps = dict(here.config_maps)
    (pool,) = demo.plan()["pools"]
    extension = pool["chart"]["values"]["inferenceExtension"]
    assert extension["pluginsCustomConfig"] == {extension["pluginsConfigFile"]: "plugins:\n- type: queue-scorer\n"}
    assert reader.read_estate(fake_cluster(demo.manifests, forbidden=("configmaps",)), []).config_maps == {}


def test_a_kind_that_its_groups_newest_version_lacks_is_read_in_an_older_one(fake_cluster, demo):
    demo.add("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", "web", spec={})
    cluster = fake_cluster(demo.manifests)
    assert len(reader.read_estate(cluster, []).of("grants")) == 1
    assert "/apis/gateway.networking.k8s.io/v1/referencegrants" in cluster.lists, "v1 is the first to be asked, since Gateways are there"


def test_who_wrote_which_field_is_not_kept(fake_cluster, demo):
    demo.get("HTTPRoute")["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    assert "managedFields" not in reader.read_estate(fake_cluster(demo.manifests), []).of("http_routes")[0]["metadata"]


def record(name, status, revision, chart="v0.3.0"):
    """Fields of the Secret in which Helm keeps one revision."""
    body = {"name": name, "info": {"status": status}, "chart": {"metadata": {"name": "inferencepool", "version": chart}}, "config": {}}
    packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(body).encode()))).decode()
    labels = {"owner": "helm", "name": name, "status": status, "version": str(revision)}
    return {"type": "helm.sh/release.v1", "data": {"release": packed}}, labels


def add_record(world, *said, **more):
    fields, labels = record(*said, **more)
    manifest = world.add("v1", "Secret", f"sh.helm.release.v1.{said[0]}.v{said[2]}", **fields)
    manifest["metadata"]["labels"] = labels


def releases_of(cluster):
    return reader.read_estate(cluster, []).releases


def test_helm_records_are_read_where_allowed(fake_cluster, demo):
    (found,) = releases_of(fake_cluster(demo.manifests)).values()
    assert (found.version, found.values) == ("v0.3.0", {"provider": {"name": "gke"}})
    hidden = reader.read_estate(fake_cluster(demo.manifests, forbidden=("secrets",)), [])
    assert (hidden.releases, hidden.hidden_records, hidden.refused) == ({}, frozenset({"default"}), ())
    demo.remove("Secret")
    missing = reader.read_estate(fake_cluster(demo.manifests), [])
    assert (missing.releases, missing.hidden_records) == ({}, frozenset())


@pytest.mark.parametrize("status", ["failed", "pending-upgrade", "uninstalling", "superseded"])
def test_the_newest_revision_is_read_whatever_its_status(fake_cluster, demo, status):
    demo.remove("Secret")
    add_record(demo, POOL, "superseded", 1)
    add_record(demo, POOL, status, 2, chart="v0.4.0")
    add_record(demo, "other", "deployed", 7)
    (found,) = releases_of(fake_cluster(demo.manifests)).values()
    assert (found.version, found.status) == ("v0.4.0", status)


def test_superseded_revisions_are_not_asked_for_where_there_is_a_newer_one(fake_cluster, demo):
    cluster = fake_cluster(demo.manifests)
    releases_of(cluster)
    asked = [query["labelSelector"] for kind, query in cluster.queries if kind == "secrets"]
    assert asked == ["owner=helm,status!=superseded"]


# -- who uses the rights ------------------------------------------------------------------------------------------------

CROWDS = ("pods", "replicasets", "jobs")


def crowds(cluster):
    """The lists of kinds with very many objects."""
    reader.read_estate(cluster, [])
    return [path for path in cluster.lists if path.split("/")[-1] in CROWDS]


def test_kinds_with_very_many_objects_are_listed_where_the_pools_are_and_pods_by_account(fake_cluster, raw):
    raw.add("v1", "Pod", "debug", "elsewhere", spec={"serviceAccountName": "llama-epp"})
    cluster = fake_cluster(raw.manifests, served={entry["apiVersion"] for entry in raw.manifests} | {"batch/v1"})
    assert sorted(crowds(cluster)) == [
        "/api/v1/namespaces/models/pods", "/apis/apps/v1/namespaces/models/replicasets", "/apis/batch/v1/namespaces/models/jobs"]
    assert ("pods", {"fieldSelector": "spec.serviceAccountName=llama-epp"}) in cluster.queries


def test_kinds_with_very_many_objects_are_not_listed_where_the_answer_is_known(fake_cluster, raw):
    served = {entry["apiVersion"] for entry in raw.manifests} | {"batch/v1"}
    raw.get("Deployment")["spec"]["template"]["spec"].pop("serviceAccountName")
    assert crowds(fake_cluster(raw.manifests, served=served)) == [], "default is used by any pod"
    raw.get("Deployment")["spec"]["template"]["spec"]["serviceAccountName"] = "llama-epp"
    raw.add("apps/v1", "StatefulSet", "other", "models", spec={"template": {"spec": {"serviceAccountName": "llama-epp"}}})
    assert crowds(fake_cluster(raw.manifests, served=served)) == []


def test_of_workloads_only_what_runs_as_the_account_is_kept_and_little_of_it(fake_cluster, raw):
    for name, account in (("a", "llama-epp"), ("b", "other")):
        raw.add("apps/v1", "DaemonSet", name, "models", spec={"template": {"spec": {"serviceAccountName": account, "containers": [{"name": "x"}]}}}, status={})
    (kept,) = reader.read_estate(fake_cluster(raw.manifests), []).of("daemon_sets")
    assert kept["metadata"]["name"] == "a" and kept["spec"] == {"template": {"spec": {"serviceAccountName": "llama-epp"}}} and "status" not in kept


USAGE = "/apis/metrics.k8s.io/v1beta1/pods"


@pytest.mark.parametrize(("answer", "known"), [
    (None, 1), (Forbidden("no"), 0), (NotServed("no"), 0), (ApiError("the server is currently unable to handle the request", 503), 0),
])
def test_what_pods_use_is_read_where_it_can_be_and_nothing_is_said_where_not(fake_cluster, demo, answer, known):
    demo.add("metrics.k8s.io/v1beta1", "PodMetrics", "a", containers=[])
    demo.add("metrics.k8s.io/v1beta1", "PodMetrics", "b", "elsewhere", containers=[])
    cluster = fake_cluster(demo.manifests, refuses={USAGE: answer} if answer else {})
    here = reader.read_estate(cluster, [])
    assert (len(here.of("pod_metrics")), here.refused, cluster.lists.count(USAGE)) == (known, (), 1)


def test_metrics_that_are_not_served_are_not_asked_for(fake_cluster, demo):
    cluster = fake_cluster(demo.manifests)
    reader.read_estate(cluster, [])
    assert USAGE not in cluster.lists
