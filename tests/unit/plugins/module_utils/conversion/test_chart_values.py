# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import chart_values, v1_objects
from ansible_collections.inference_gateway.migration.plugins.module_utils.plan import render


def nested(name, value):
    """A value under a dotted name."""
    for part in reversed(name.split(".")):
        value = {part: value}
    return value


@pytest.mark.parametrize("name", chart_values.RESERVED)
def test_what_the_migration_needs_is_refused(name):
    with pytest.raises(ValueError, match=f"^chart_values sets {name}: .*[^.]\\.$"):
        chart_values.chosen(nested(name, "x"))


@pytest.mark.parametrize("name", sorted({name.rpartition(".")[0] for name in chart_values.RESERVED if "." in name}))
@pytest.mark.parametrize("value", [None, [], "none"])
def test_what_holds_values_of_the_migration_stays_a_dictionary(name, value):
    with pytest.raises(ValueError, match=f"chart_values sets {name} to .*: give a dictionary"):
        chart_values.chosen(nested(name, value))


@pytest.mark.parametrize("flags", [{"pool-name": "x"}, [{"name": "v", "value": 1}, {"name": "pool-name", "value": "x"}]])
def test_flags_by_which_the_picker_is_found_are_refused(flags):
    with pytest.raises(ValueError, match="chart_values sets flag pool-name of the EPP"):
        chart_values.chosen({"inferenceExtension": {"flags": flags}})


@pytest.mark.parametrize("flags", [{"enable-pprof": False}, [{"name": "enable-pprof", "value": "false"}]])
def test_a_boolean_that_the_chart_would_turn_round_is_refused(flags):
    with pytest.raises(ValueError, match="chart_values sets flag enable-pprof of the EPP, which the chart would turn into true: write enable-pprof=false"):
        chart_values.chosen({"inferenceExtension": {"flags": flags}})
    assert chart_values.chosen({"inferenceExtension": {"flags": {"enable-pprof=false": "--enable-pprof=false"}}})


@pytest.mark.parametrize("said", [
    {}, {"inferenceExtension": {"image": {"pullPolicy": "Never"}, "flags": {"v": 3}, "affinity": None}}, {"provider": {"gke": {"autopilot": True}}},
    {"inferencePool": {"modelServerType": "sglang"}}, {"inferenceExtension": {"flags": None}}, {"new": ["x"]},
])
def test_anything_else_is_taken(said):
    assert chart_values.chosen(said) == said


def test_no_dictionary():
    with pytest.raises(ValueError, match="give a dictionary"):
        chart_values.chosen(["x"])


@pytest.mark.parametrize(("ours", "theirs", "expected"), [
    ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}, "d": 4}, {"a": {"b": 1, "c": 3}, "d": 4}),
    ({"a": 1}, {"a": None}, {"a": None}),
    ({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}, {"env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]},
     {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "C", "value": "4"}]}),
    ({"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "b"}]}, {"tolerations": [{"key": "b"}]}),
    ({"env": [{"name": "A", "value": "1"}]}, {"env": []}, {"env": []}),
])
def test_a_persons_values_go_over_the_plans(ours, theirs, expected):
    before = repr(ours)
    assert chart_values.merged(ours, theirs) == expected and repr(ours) == before


def test_they_are_in_the_plan_in_its_hash_and_on_the_screen(demo):
    plain, said = demo.plan(), demo.plan(chart_values={"inferenceExtension": {"tracing": {"enabled": True}, "affinity": {}}})
    assert plain["pools"][0]["chart"]["values"]["inferenceExtension"].get("tracing") is None
    assert said["pools"][0]["chart"]["values"] == chart_values.merged(
        plain["pools"][0]["chart"]["values"], {"inferenceExtension": {"tracing": {"enabled": True}, "affinity": {}}})
    assert said["hash"] != plain["hash"] and "yours" not in plain["pools"][0]["chart"]
    assert "  your chart value inferenceExtension.tracing.enabled: true" in render.summary(said)
    assert said["pools"][0]["chart"]["yours"] == {"inferenceExtension.affinity": {}, "inferenceExtension.tracing.enabled": True}


@pytest.mark.parametrize(("target", "flags"), [("v1.1.0", [{"name": "v", "value": 4}]), ("v1.5.0", {"v": 4})])
def test_flags_in_the_form_of_the_release(demo, target, flags):
    (one,) = demo.context(target=target, chart_values={"inferenceExtension": {"flags": flags}}).migrations
    assert v1_objects.chart_values(one)["inferenceExtension"]["flags"] == flags
