# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import picker_pod, v1_objects

from tests.unit.helpers.estate_changes import EPP, container, labels, pod, spec

KEY = [{"name": "key"}]


def only(context):
    (one,) = context.migrations
    return one


def variable(name, value="1"):
    return {"name": name, "value": value}


FROM = {"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y"}}}


# -- variables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("target", "read", "unknown"), [
    ("v1.0.0", ["SD_QUEUE_DEPTH_THRESHOLD", "ENABLE_EXPERIMENTAL_DATALAYER_V2"], ["ENABLE_EXPERIMENTAL_FLOW_CONTROL_LAYER"]),
    ("v1.1.0", ["SD_KV_CACHE_UTIL_THRESHOLD", "ENABLE_EXPERIMENTAL_FLOW_CONTROL_LAYER"], ["KV_CACHE_THRESHOLD"]),
    ("v1.4.0", ["SD_METRICS_STALENESS_THRESHOLD", "ENABLE_EXPERIMENTAL_DATALAYER_V2"], ["QUEUE_THRESHOLD_CRITICAL"]),
    ("v1.5.0", ["ENABLE_EXPERIMENTAL_FLOW_CONTROL_LAYER"], ["SD_QUEUE_DEPTH_THRESHOLD", "ENABLE_EXPERIMENTAL_DATALAYER_V2", "QUEUING_THRESHOLD_LORA"]),
])
def test_a_picker_gets_what_its_release_reads(demo, target, read, unknown):
    container(demo)["env"] += [variable(name) for name in (*read, *unknown)]
    one = only(demo.context(target=target))
    assert v1_objects.chart_values(one)["inferenceExtension"]["env"] == [variable(name) for name in read]
    assert picker_pod.left(one) == [f"variable {name}" for name in unknown]


def test_what_no_picker_knows_is_carried_in_order_and_what_charts_set_is_not(demo):
    node = {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    container(demo)["env"] = [variable("GOMEMLIMIT"), variable("NAMESPACE"), node, variable("POD_NAME"), FROM, variable("HTTPS_PROXY", "http://$(NODE):1")]
    one = only(demo.context())
    assert v1_objects.chart_values(one)["inferenceExtension"]["env"] == [variable("GOMEMLIMIT"), node, FROM, variable("HTTPS_PROXY", "http://$(NODE):1")]
    assert picker_pod.left(one) == []


@pytest.mark.parametrize(("name", "value"), [
    *((name, "hush") for name in ("API_TOKEN", "DD_API_KEY", "PASSWORD", "client_secret", "OTEL_EXPORTER_OTLP_HEADERS", "DB_PWD", "SENTRY_DSN", "BASIC_AUTH")),
    ("HTTPS_PROXY", "http://me:hush@proxy:3128"),  # pragma: allowlist secret: nobody is asked
])
def test_a_credential_in_clear_does_not_get_into_the_plan(demo, name, value):
    container(demo)["env"].append(variable(name, value))
    one = only(demo.context())
    assert "hush" not in repr(v1_objects.chart_values(one)) and picker_pod.left(one) == [f"variable {name}"]
    said = {"inferenceExtension": {"env": [{"name": name, "valueFrom": FROM["valueFrom"]}]}}
    assert picker_pod.left(only(demo.context(chart_values=said))) == []


# -- the pod ------------------------------------------------------------------------------------------------------------


def test_an_ordinary_pod_needs_nothing(demo):
    one = only(demo.context())
    assert (picker_pod.settings(one), picker_pod.patch(one), picker_pod.left(one), v1_objects.patches(one)) == ({}, {}, [], [])


SETTINGS = {
    "securityContext": {"runAsNonRoot": True}, "nodeSelector": {"pool": "system"}, "priorityClassName": "serving",
    "tolerations": [{"key": "dedicated", "operator": "Exists"}], "affinity": {"nodeAffinity": {"x": 1}}, "imagePullSecrets": KEY,
}


@pytest.mark.parametrize(("target", "taken"), [
    ("v1.0.0", set()), ("v1.0.2", set()), ("v1.1.0", {"affinity", "tolerations"}), ("v1.5.0", {"affinity", "tolerations"}),
])
def test_each_setting_goes_by_value_or_by_patch(demo, target, taken):
    pod(demo).update(SETTINGS)
    container(demo)["securityContext"] = {"readOnlyRootFilesystem": True}
    one = only(demo.context(target=target))
    extension = v1_objects.chart_values(one)["inferenceExtension"]
    assert {name: extension[name] for name in SETTINGS if name in extension} == {name: SETTINGS[name] for name in taken}
    (patch,) = v1_objects.patches(one)
    assert patch["metadata"] == {"name": one.epp, "namespace": "default"}
    assert patch["spec"]["template"]["spec"] == {name: value for name, value in SETTINGS.items() if name not in taken} | {
        "containers": [{"name": "epp", "securityContext": {"readOnlyRootFilesystem": True}}]}
    assert picker_pod.patched(one) == sorted({*SETTINGS} - taken | {"securityContext of the container"})


def test_one_patch_has_pod_and_resources(demo):
    container(demo).update(securityContext={"privileged": False}, resources={"requests": {"cpu": "1"}})
    (patch,) = v1_objects.patches(only(demo.context(target="v1.0.0")))
    (found,) = patch["spec"]["template"]["spec"]["containers"]
    assert (found["name"], found["securityContext"], found["resources"]["requests"]["cpu"]) == ("epp", {"privileged": False}, "1")


def test_empty_settings_are_none(demo):
    pod(demo).update(dict.fromkeys(("securityContext", "nodeSelector", "affinity"), {}), tolerations=[], imagePullSecrets=None)
    assert picker_pod.settings(only(demo.context())) == {}


def test_terms_that_mean_the_alpha_picker_mean_the_v1_picker(demo):
    labels(demo)["app"] = "chat-epp"
    own, other = {"matchLabels": {"app": "chat-epp"}}, {"matchLabels": {"app": "cache"}}
    apart = {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "host", "labelSelector": own}],
             "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": own}}]}
    pod(demo)["affinity"] = {"podAntiAffinity": apart, "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": other}]}}
    one = only(demo.context())
    found = picker_pod.settings(one)["affinity"]
    new = {"matchLabels": {"inferencepool": one.epp}}
    assert found["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] == [{"topologyKey": "host", "labelSelector": new}]
    assert found["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0]["podAffinityTerm"] == {"topologyKey": "zone", "labelSelector": new}
    assert found["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] == [{"labelSelector": other}]
    assert pod(demo)["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]["labelSelector"] == own


# -- pull secrets -------------------------------------------------------------------------------------------------------


def account(world, secrets):
    world.add("v1", "ServiceAccount", EPP)["imagePullSecrets"] = secrets


@pytest.mark.parametrize(("own", "of_account", "expected"), [([], KEY, KEY), ([{"name": "other"}], KEY, [{"name": "other"}]), ([], [], None)])
def test_the_pods_own_pull_secrets_or_its_accounts(demo, own, of_account, expected):
    pod(demo)["imagePullSecrets"] = own
    account(demo, of_account)
    assert picker_pod.patch(only(demo.context())).get("imagePullSecrets") == expected


@pytest.mark.parametrize(("image", "chosen"), [
    ("images.bank.example/mirror/epp:v0.3.0", ""),
    ("images.bank.example/mirror/epp:v0.3.0", "images.bank.example/mirror/epp:v1.5.0"),
    ("registry.k8s.io/gateway-api-inference-extension/epp:v0.3.0", ""),
])
def test_pull_secrets_go_along_whatever_the_image(demo, image, chosen):
    """Also where nobody knows yet where it will come from."""
    container(demo)["image"] = image
    pod(demo)["imagePullSecrets"] = KEY
    assert picker_pod.patch(only(demo.context(epp_image=chosen)))["imagePullSecrets"] == KEY


# -- what is not carried ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("change", "phrase"), [
    ({"hostNetwork": True}, "hostNetwork"),
    ({"dnsPolicy": "None"}, "dnsPolicy"),
    ({"runtimeClassName": "gvisor"}, "runtimeClassName"),
    ({"initContainers": [{"name": "x"}]}, "initContainers"),
    ({"terminationGracePeriodSeconds": 600}, "terminationGracePeriodSeconds"),
    ({"terminationGracePeriodSeconds": 130, "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "hostNetwork": False}, None),
])
def test_settings_that_are_named(demo, change, phrase):
    pod(demo).update(change)
    assert picker_pod.left(only(demo.context())) == ([phrase] if phrase else [])


def test_containers_volumes_and_annotations_that_are_named(demo):
    pod(demo)["containers"].append({"name": "proxy"})
    pod(demo)["volumes"] = [{"name": name, "configMap": {"name": name}} for name in ("plugins", "ca", "unused")]
    container(demo).update(envFrom=[{"secretRef": {"name": "x"}}], volumeMounts=[
        {"name": "plugins", "mountPath": "/etc/epp"}, {"name": "ca", "mountPath": "/etc/ssl/bank"}])
    container(demo)["args"] += ["--configFile=etc/epp/site.yaml"]
    spec(demo, "Deployment", EPP)["template"]["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": "x", "linkerd.io/inject": "enabled"}
    phrases = ["volume ca", "container proxy", "envFrom", "annotation linkerd.io/inject"]
    assert picker_pod.left(only(demo.context())) == phrases
    said = {"inferenceExtension": {"volumes": [{"name": "ca"}]}}
    assert picker_pod.left(only(demo.context(chart_values=said))) == phrases[1:]
