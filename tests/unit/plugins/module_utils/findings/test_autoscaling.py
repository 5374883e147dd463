# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is found of autoscalers that read metrics of endpoint pickers."""

from __future__ import annotations

import pytest

from tests.unit.helpers.estate_changes import EPP, GA, POOL, autoscaling_metric, container, hpa, keda, spec


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (f'avg(inference_pool_average_queue_size{{name="{POOL}"}})', "autoscaler-reads-alpha-epp"),
        (f'up{{pod=~"{EPP}-.*"}}', None),
        (f'up{{service="{EPP}"}}', "autoscaler-reads-alpha-epp"),
        ("sum(inference_model_request_total)", "autoscaler-sums-both-epps"),
        (f'avg(inference_pool_average_queue_size{{name="{GA}"}})', None),
        (f'avg(inference_pool_average_queue_size{{name="{POOL}-other"}})', "autoscaler-sums-both-epps"),
        ("sum(http_requests_total)", None),
    ],
)
def test_queries_of_keda(demo, query, code):
    keda(demo, query)
    for known in ("autoscaler-reads-alpha-epp", "autoscaler-sums-both-epps"):
        assert [entry.object for entry in demo.found(known)] == (["ScaledObject default/scaled"] if code == known else [])


def test_an_exported_metric_leads_to_its_autoscaler(demo):
    autoscaling_metric(demo)
    hpa(demo, "autoscaling.gke.io|queue|inference_pool_average_queue_size")
    assert [entry.object for entry in demo.found("autoscaler-reads-alpha-epp")] == [
        "AutoscalingMetric default/queue", "HorizontalPodAutoscaler default/scaler",
    ]


def test_pods_metrics_are_not_summed(demo):
    hpa(demo, "x")
    spec(demo, "HorizontalPodAutoscaler")["metrics"] = [{"type": "Pods", "pods": {"metric": {"name": "inference_pool_average_queue_size"}}}]
    assert demo.found("autoscaler-sums-both-epps") == []


def test_an_autoscaler_of_another_namespace_is_not_ours(demo):
    hpa(demo, "inference_pool_average_queue_size", POOL)
    demo.get("HorizontalPodAutoscaler")["metadata"]["namespace"] = "other"
    assert demo.found("autoscaler-reads-alpha-epp") == demo.found("autoscaler-sums-both-epps") == []


@pytest.mark.parametrize(("target", "words"), [("v1.0.0", False), ("v1.1.0", True)])
def test_metrics_by_model_are_renamed_from_v1_1_0_on(demo, target, words):
    assert ["inference_objective_" in entry.message for entry in demo.found("metrics-label-changes", target=target)] == [words]


@pytest.mark.parametrize(("target", "found"), [("v1.2.1", 0), ("v1.3.0", 1)])
def test_the_cache_metric_is_renamed_from_v1_3_0_on(demo, target, found):
    assert len(demo.found("kv-metric-renamed", target=target)) == found
    container(demo)["args"].extend(["--kvCacheUsagePercentageMetric", "x"])
    assert demo.found("kv-metric-renamed", target=target) == []


@pytest.mark.parametrize(("name", "severity"), [(GA, "warning"), (f"{GA}-epp", "warning"), (f"{GA}-other", "blocker")])
def test_an_autoscaler_that_reads_v1_beside_is_a_warning(demo, name, severity):
    keda(demo, f'max(inference_pool_average_queue_size{{name=~"{POOL}|{name}"}})')
    assert [entry.severity for entry in demo.found("autoscaler-reads-alpha-epp")] == [severity]


def test_an_exported_metric_of_v1_beside_is_a_warning(demo):
    autoscaling_metric(demo)
    demo.add("autoscaling.gke.io/v1beta1", "AutoscalingMetric", "queue-ga", spec={"selector": {"matchLabels": {"inferencepool": f"{GA}-epp"}}})
    hpa(demo, "autoscaling.gke.io|queue|queue")
    assert [(entry.object, entry.severity) for entry in demo.found("autoscaler-reads-alpha-epp")] == [
        ("AutoscalingMetric default/queue", "warning"), ("HorizontalPodAutoscaler default/scaler", "blocker"),
    ]
    metrics = spec(demo, "HorizontalPodAutoscaler")["metrics"]
    metrics.append({"type": "External", "external": {"metric": {"name": "autoscaling.gke.io|queue-ga|queue"}}})
    assert {entry.severity for entry in demo.found("autoscaler-reads-alpha-epp")} == {"warning"}


@pytest.mark.parametrize(("image", "found"), [("epp:v1.2.1", 1), ("epp:v1.3.0", 0)])
def test_a_v1_picker_on_an_alpha_pool_may_read_the_new_cache_metric_already(demo, image, found):
    container(demo)["image"] = image
    assert len(demo.found("kv-metric-renamed")) == found
