# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
import yaml

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import flags, v1_objects
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import epp_flags

PICKER = "vllm-llama3-8b-instruct-preview-epp"


def only(context):
    (one,) = context.migrations
    return one


def container(demo):
    return demo.get("Deployment", PICKER)["spec"]["template"]["spec"]["containers"][0]


def said(*words, image="epp:v0.5.1", **fields):
    return epp_flags.read({"image": image, "args": list(words), **fields})


def release(version):
    return releases.target(version)


# -- how a picker reads its words ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"args": ["-poolName", "p", "--v=4", "--secureServing"]}, {"pool-name": "p", "v": "4", "secure-serving": "true"}),
        ({"args": ["--pool-name", "p", "--enable-pprof=F"]}, {"pool-name": "p", "enable-pprof": "false"}),
        ({"args": ["--enablePprof", "--v", "2"]}, {"enable-pprof": "true", "v": "2"}),
        ({"command": ["/epp", "-v", "1"]}, {"v": "1"}),
        ({"command": ["/tini", "--", "/epp"], "args": ["-v", "1"]}, {"v": "1"}),
        ({"args": ["-loraInfoMetric", ""]}, {"lora-info-metric": ""}),
        ({"args": ["--certPath", "--odd", "--v=1"]}, {"cert-path": "--odd", "v": "1"}),
        ({"args": ["--of-nobody", "--v=1", "--of-nobody-else", "word"]}, {"of-nobody": "true", "v": "1", "of-nobody-else": "word"}),
        ({"args": ["--v=1", "--v=2"]}, {"v": "2"}),
        ({"args": ["-v"]}, {"v": "true"}),
        ({}, {}),
    ],
)
def test_flags_of_a_container(fields, expected):
    assert epp_flags.read(fields).values == expected


@pytest.mark.parametrize(
    ("image", "values", "unread"),
    [
        ("epp:v0.5.1", {"enable-pprof": "true"}, ("false", "--v=4")),
        ("epp:v1.2.1", {"enable-pprof": "true"}, ("false", "--v=4")),
        ("epp@sha256:0", {"enable-pprof": "true"}, ("false", "--v=4")),
        ("localhost:5000/epp:v1.3.0@sha256:0", {"enable-pprof": "true", "v": "4"}, ()),
    ],
)
def test_a_stray_word_ends_all_flags_until_v1_3(image, values, unread):
    found = said("--enablePprof", "false", "--v=4", image=image)
    assert (found.values, found.unread) == (values, unread)


def test_two_dashes_end_all_flags_in_every_release():
    assert said("--v=1", "--", "--v=2", image="epp:v1.3.0") == ({"v": "1"}, {"v": "v"}, ("--", "--v=2"))


@pytest.mark.parametrize(
    ("image", "expected"), [("epp:v0.5.1", {"refresh-metrics-interval": "1s", "secure-serving": "false"}), ("epp:v0.3.0", {}), ("epp", {})],
)
def test_v0_5_reads_environment_variables_before_its_arguments(image, expected):
    env = [{"name": "REFRESH_METRICS_INTERVAL", "value": "1s"}, {"name": "SECURE_SERVING", "value": "0"}, {"name": "POOL_NAME", "valueFrom": {}}]
    assert said(image=image, env=env).values == expected
    assert said("--refreshMetricsInterval=2s", env=env).values["refresh-metrics-interval"] == "2s"


# -- what v1 gets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "expected"),
    [("v1.0.1", {}), ("v1.1.0", {"metrics-endpoint-auth": "false"}), ("v1.3.0", {"metrics-endpoint-auth": "false", "disable-endpoint-subset-filter": "true"})],
)
def test_a_flag_is_carried_from_the_release_on_that_takes_it_and_lost_before(version, expected):
    words = ["--metrics-endpoint-auth=false", "--disable-endpoint-subset-filter"]
    found = said(*words)
    assert flags.carried(found, release(version)) == expected
    assert flags.lost(found, release(version), False) == sorted({"metrics-endpoint-auth", "disable-endpoint-subset-filter"} - set(expected))


@pytest.mark.parametrize("version", ["v1.0.0", "v1.5.0"])
def test_what_v1_does_anyway_and_what_its_chart_sets_is_neither_carried_nor_lost(version):
    found = said(
        "--poolName=p", "--poolNamespace=n", "--pool-group=g", "--grpcPort=9002", "--grpcHealthPort=1", "--metrics-port=2", "--ha-enable-leader-election",
        "--enablePprof=1", "--modelServerMetricsPath=/metrics", "--modelServerMetricsScheme", "http", "--modelServerMetricsHttpsInsecureSkipVerify",
        "--secureServing", "--healthChecking=false", "--zap-encoder", "json", "--tracing=false", "--metrics-endpoint-auth=true",
        "--destinationEndpointHintKey=x-gateway-destination-endpoint", "--DestinationEndpointHintMetadataNamespace=envoy.lb",
    )
    assert found.unread == ()
    assert (flags.carried(found, release(version)), flags.lost(found, release(version), False)) == ({}, [])


def test_what_differs_from_what_v1_does_is_carried_or_lost_by_the_name_it_was_written_with():
    found = said("--enablePprof=false", "--zap-encoder=console", "--certPath=/tls", "--destinationEndpointHintKey=x", "--tracing", "--config-file=/c")
    assert flags.carried(found, release("v1.5.0")) == {"enable-pprof": "false", "zap-encoder": "console"}
    assert flags.lost(found, release("v1.5.0"), True) == ["certPath", "destinationEndpointHintKey", "tracing"]
    assert "config-file" in flags.lost(found, release("v1.5.0"), False)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("v1.1.0", [{"name": "v", "value": "3"}, {"name": "total-queued-requests-metric", "value": "sglang:num_queue_reqs"}]),
        ("v1.2.0", {"v": "3", "total-queued-requests-metric": "sglang:num_queue_reqs"}),
    ],
)
def test_metric_flags_are_carried_in_the_targets_layout(demo, target, expected):
    container(demo)["args"] += ["-totalQueuedRequestsMetric", "sglang:num_queue_reqs"]
    assert v1_objects.chart_values(only(demo.context(target=target)))["inferenceExtension"]["flags"] == expected


@pytest.mark.parametrize(("value", "lost"), [("vllm:kv_cache_usage_perc", []), ("sglang:token_usage", ["kvCacheUsagePercentageMetric"])])
def test_pickers_that_exit_at_metric_flags_get_none_and_only_what_differs_from_their_own_is_lost(demo, value, lost):
    container(demo)["args"] += ["-kvCacheUsagePercentageMetric", value]
    for target in ("v1.4.0", "v1.5.0"):
        draft_of = only(demo.context(target=target))
        assert v1_objects.chart_values(draft_of)["inferenceExtension"]["flags"] == {"v": "3"}
        assert draft_of.lost_flags == lost
    assert only(demo.context(target="v1.3.1")).lost_flags == []


# -- how the chart is told ----------------------------------------------------------------------------------------------


WANTED = {"enable-pprof": "false", "refresh-metrics-interval": "400ms", "lora-info-metric": 'a{b="c\\d"} é\n'}


def written(name, value):
    """The two arguments that every chart makes of an entry."""
    return yaml.safe_load(f'- --{name}\n- "{value}"')


@pytest.mark.parametrize("version", ["v1.0.0", "v1.1.0", "v1.2.0", "v1.5.0"])
def test_both_arguments_of_a_boolean_are_whole_flags_and_any_other_value_survives_the_template(version):
    made = flags.chart_flags(WANTED, release(version))
    entries = made.items() if isinstance(made, dict) else [(entry["name"], entry["value"]) for entry in made]
    words = [word for entry in entries for word in written(*entry)]
    assert words.count("--enable-pprof=false") == 2
    for image in ("epp:v1.0.0", "epp:v1.3.0"):
        found = epp_flags.read({"image": image, "args": words})
        assert found.unread == () and {name: found.values[name] for name in WANTED} == WANTED


def test_a_list_of_flags_keeps_the_charts_own_verbosity_unless_alpha_says_another():
    assert flags.chart_flags({"v": "4"}, release("v1.0.0")) == [{"name": "v", "value": "4"}]
    assert flags.chart_flags({"zap-devel": "false"}, release("v1.0.0"))[0] == {"name": "v", "value": "1"}
    assert flags.chart_flags({}, release("v1.0.0")) is None


# -- plugins ------------------------------------------------------------------------------------------------------------


def test_plugin_types_are_read_in_every_way_to_write_them():
    text = "plugins:\n- type: a-scorer\n- name: b\n  type: 'b-filter'\n- \"type\": c\n  parameters: {kind: x}\nschedulingProfiles:\n- name: d\n"
    assert epp_flags.plugin_types(text) == {"a-scorer", "b-filter", "c"}


@pytest.mark.parametrize(("version", "known"), [("v1.2.1", False), ("v1.3.0", True)])
def test_a_plugin_is_known_from_the_release_on_that_has_it(version, known):
    assert ("running-requests-size-scorer" in flags.plugins(release(version))) is known


@pytest.mark.parametrize(
    ("arguments", "mount", "config_map", "expected"),
    [
        (["-configFile", "config/p.yaml"], {"mountPath": "/config"}, {}, ("plugins", "p.yaml")),
        (["--configFile=/config/p.yaml"], {"mountPath": "/config/"}, {}, ("plugins", "p.yaml")),
        (["--config-file", "/config/p.yaml"], {"mountPath": "/config"}, {}, ("plugins", "p.yaml")),
        (["--config-file", "/config/p.yaml"], {"mountPath": "/config"}, {"items": [{"key": "k", "path": "p.yaml"}]}, ("plugins", "k")),
        (["--config-file", "/config/p.yaml"], {"mountPath": "/config/p.yaml", "subPath": "q.yaml"}, {}, ("plugins", "q.yaml")),
        (["--configFile=/other/p.yaml"], {"mountPath": "/config"}, {}, None),
        ([], {"mountPath": "/config"}, {}, None),
    ],
)
def test_where_a_plugin_configuration_comes_from(arguments, mount, config_map, expected):
    picker = {"args": arguments, "volumeMounts": [{"name": "v"} | mount]}
    deployment = {"spec": {"template": {"spec": {"volumes": [{"name": "v", "configMap": {"name": "plugins"} | config_map}]}}}}
    assert epp_flags.plugin_source(deployment, picker) == expected
