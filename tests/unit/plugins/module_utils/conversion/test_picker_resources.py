# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from decimal import Decimal

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import picker_resources, v1_objects
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.epp_flags import quantity
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings import picker_pod as findings

from tests.unit.helpers.estate_changes import EPP, container, pod, spec

CHART = {"requests": {"cpu": "4", "memory": "8Gi"}, "limits": {"memory": "16Gi"}}
USED = {"cpu": "500m", "memory": "512Mi"}
BARELY = {"cpu": "251m", "memory": "257Mi"}
"""Rounded up, this is USED."""
SMALL = {"requests": {"cpu": "200m", "memory": "256Mi"}, "limits": {"cpu": "500m", "memory": "512Mi"}}


def only(context):
    (one,) = context.migrations
    return one


def resources(requests=None, limits=None):
    return {name: section for name, section in (("requests", requests), ("limits", limits)) if section}


@pytest.mark.parametrize(("alpha", "used", "chart", "expected"), [
    # Alpha's asks nothing: as nothing as the chart, or what it uses, or a little below the chart's limit.
    ({}, {}, {}, {}),
    ({}, USED, {}, resources(USED)),
    ({}, BARELY, {}, resources(USED)),
    ({}, {}, CHART, resources({"memory": "256Mi"}, {"memory": "16Gi"})),
    ({}, USED, CHART, resources(USED, {"memory": "16Gi"})),
    # Requests alone.
    (resources({"cpu": "1"}), {}, {}, resources({"cpu": "1"})),
    (resources({"cpu": "1", "memory": "128Mi"}), USED, {}, resources({"cpu": "1", "memory": "512Mi"})),
    (resources({"cpu": "1"}), {}, CHART, resources({"cpu": "1", "memory": "256Mi"}, {"memory": "16Gi"})),
    (resources({"memory": "32Gi"}), {}, CHART, resources({"memory": "32Gi"}, {"memory": "32Gi"})),
    # Limits alone: they are what is requested.
    (resources(limits={"cpu": "2", "memory": "1Gi"}), {}, {}, resources({"cpu": "2", "memory": "1Gi"}, {"cpu": "2", "memory": "1Gi"})),
    (resources(limits={"memory": "1Gi"}), {}, CHART, resources({"memory": "1Gi"}, {"memory": "16Gi"})),
    (resources(limits={"cpu": "250m"}), USED, {}, resources(USED, {"cpu": "500m"})),
    # Both: limits below the chart's, above them, below what is used.
    (SMALL, {}, {}, SMALL),
    (SMALL, {}, CHART, resources(SMALL["requests"], {"cpu": "500m", "memory": "16Gi"})),
    (resources({"memory": "1Gi"}, {"memory": "64Gi"}), {}, CHART, resources({"memory": "1Gi"}, {"memory": "64Gi"})),
    (SMALL, {"cpu": "1", "memory": "1Gi"}, {}, resources({"cpu": "1", "memory": "1Gi"}, {"cpu": "1", "memory": "1Gi"})),
    (SMALL, {"cpu": "201m", "memory": "256Mi"}, {}, resources({"cpu": "250m", "memory": "256Mi"}, SMALL["limits"])),
    (SMALL, {"cpu": "3m", "memory": "60Mi"}, {}, SMALL),
    # Equal amounts in other units stay as alpha writes them; what can't be read stays too.
    (resources({"cpu": "1000m", "memory": "8192Mi"}), {"cpu": "1", "memory": "8Gi"}, {}, resources({"cpu": "1000m", "memory": "8192Mi"})),
    (resources({"memory": "1e9"}), {"memory": "512Mi"}, {}, resources({"memory": "1e9"})),
    (resources({"ephemeral-storage": "1Gi"}, {"ephemeral-storage": "2Gi"}), {}, {}, resources({"ephemeral-storage": "1Gi"}, {"ephemeral-storage": "2Gi"})),
    ({"requests": None, "limits": None}, {}, {}, {}),
    (CHART, {}, CHART, CHART),
])
def test_what_the_v1_picker_asks(alpha, used, chart, expected):
    before = repr(alpha)
    found = picker_resources.preserved(alpha, {name: Decimal(quantity(amount)) for name, amount in used.items()}, chart)
    assert found == expected and repr(alpha) == before
    assert all(quantity(amount) >= (quantity(found["requests"].get(name, "0")) or 0) for name, amount in found.get("limits", {}).items())


@pytest.mark.parametrize(("wanted", "expected"), [
    (resources({"memory": "256Mi"}, {"memory": "16Gi"}), {"requests": {"cpu": "0", "memory": "256Mi"}, "limits": {"memory": "16Gi"}}),
    (resources({"cpu": "1"}, {"memory": "16Gi"}), {"limits": {"memory": "16Gi"}, "requests": {"cpu": "1", "memory": "0"}}),
    (CHART, CHART),
])
def test_the_chart_value_undoes_the_charts_own(wanted, expected):
    assert picker_resources.chart_value(wanted, CHART) == expected


# -- what is used -------------------------------------------------------------------------------------------------------


def metrics(cpu, memory, name="epp", **more):
    """PodMetrics as a metrics server writes them."""
    return {"containers": [{"name": name, "usage": {"cpu": cpu, "memory": memory}}, {"name": "proxy", "usage": {"cpu": "9", "memory": "9Gi"}}]} | more


@pytest.mark.parametrize(("usage", "expected"), [
    ([], {}),
    ([metrics("3456789n", "61440Ki")], {"cpu": Decimal("0.003456789"), "memory": 60 * 2**20}),
    ([metrics("250001u", "0")], {"cpu": Decimal("0.250001")}),
    ([metrics("1", "100Mi"), metrics("10m", "3Gi")], {"cpu": 1, "memory": 3 * 2**30}),
    ([metrics("0", "0")], {}),
    ([metrics("1", "1Gi", name="other")], {}),
    ([{"containers": None}, {}, metrics("many", "much")], {}),
])
def test_what_a_picker_is_seen_to_use(usage, expected):
    assert picker_resources.seen(usage, "epp") == expected


@pytest.mark.parametrize(("name", "amount", "expected"), [
    ("cpu", "0.003", "250m"), ("cpu", "0.25", "250m"), ("cpu", "0.2501", "500m"), ("cpu", "99", "32"),
    ("memory", "1", "256Mi"), ("memory", "268435457", "512Mi"), ("memory", "999999999999999", "64Gi"),
])
def test_amounts_are_rounded_up(name, amount, expected):
    assert picker_resources.rounded(name, Decimal(amount)) == expected


def test_steps_go_up():
    assert all([*map(quantity, steps)] == sorted(map(quantity, steps)) for steps in picker_resources.STEPS.values())


def of_pod(world, cpu, memory, labels=None, namespace="default"):
    """The metrics of a pod of the picker, or of one with other labels."""
    found = world.add("metrics.k8s.io/v1beta1", "PodMetrics", f"pod-{namespace}-{cpu}", namespace)
    found["metadata"]["labels"] = labels or {"inferencepool": EPP, "pod-template-hash": "x"}
    found.update(metrics(cpu, memory))


@pytest.mark.parametrize(("target", "patched"), [("v1.0.0", True), ("v1.3.1", True), ("v1.4.0", False), ("v1.5.0", False)])
def test_the_v1_picker_requests_what_alphas_is_seen_to_use(demo, target, patched):
    spec(demo, "Deployment", EPP)["selector"]["matchLabels"]["tier"] = "serving"
    of_pod(demo, "700m", "700Mi", labels={"inferencepool": EPP, "tier": "serving", "pod-template-hash": "x"})
    for number, labels in enumerate(({"inferencepool": EPP}, {"tier": "serving"}, {"inferencepool": "another", "tier": "other"})):
        of_pod(demo, f"{8 + number}", "32Gi", labels=labels)
    of_pod(demo, "9", "32Gi", labels={"inferencepool": EPP, "tier": "serving"}, namespace="elsewhere")
    one = only(demo.context(target=target))
    requests = {"cpu": "1", "memory": "1Gi"}
    if patched:
        (patch,) = v1_objects.patches(one)
        assert patch["spec"]["template"]["spec"]["containers"] == [{"name": "epp", "resources": {"requests": requests}}]
    else:
        assert v1_objects.chart_values(one)["inferenceExtension"]["resources"] == {"requests": requests, "limits": {"memory": "16Gi"}}


@pytest.mark.parametrize(("asked", "cpu", "memory", "message"), [
    ({}, None, None, "the v1 EPP asks for requests memory 256Mi (now none)."),
    ({}, "10m", "100Mi", "the v1 EPP asks for requests cpu 250m (now none), requests memory 256Mi (now none)."),
    ({"requests": {"cpu": "1", "memory": "1Gi"}}, "900m", "900Mi", None),
    ({"requests": {"cpu": "1", "memory": "1Gi"}}, "1100m", "900Mi", "the v1 EPP asks for requests cpu 2 (now 1)."),
    ({"limits": {"cpu": "1", "memory": "1Gi"}}, None, None, None),
])
def test_more_than_alpha_asked_is_an_info(demo, asked, cpu, memory, message):
    container(demo)["resources"] = asked
    if cpu:
        of_pod(demo, cpu, memory)
    found = list(findings.epp_resources_grow(demo.context()))
    assert [(entry.message, entry.severity) for entry in found] == ([(message, "info")] if message else [])


def test_a_person_who_says_resources_needs_no_finding(demo):
    said = {"inferenceExtension": {"resources": {"requests": {"cpu": "8"}}}}
    assert list(findings.epp_resources_grow(demo.context(chart_values=said))) == []
    assert v1_objects.chart_values(only(demo.context(chart_values=said)))["inferenceExtension"]["resources"]["requests"] == {"cpu": "8", "memory": "256Mi"}


def test_the_charts_own_where_they_are_asked_for(demo):
    of_pod(demo, "8", "32Gi")
    pod(demo)["nodeSelector"] = {"x": "y"}
    for target in ("v1.0.0", "v1.5.0"):
        one = only(demo.context(target=target, epp_resources="chart"))
        assert "resources" not in v1_objects.chart_values(one)["inferenceExtension"]
        assert [entry["spec"]["template"]["spec"] for entry in v1_objects.patches(one)] == [{"nodeSelector": {"x": "y"}}]
