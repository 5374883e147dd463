# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings about autoscalers and dashboards that read the endpoint picker: one small function each. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import Draft
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.label_index import grouped
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import Hit, View, finding
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, describe, dig, name_of, namespace_of, selects
from ansible_collections.inference_gateway.migration.plugins.module_utils.releases import ALPHA_KV_METRIC, ALPHA_MODEL_METRICS

_EPP_METRIC = re.compile(r"inference_(pool|model|objective|extension)_\w+")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Reading(NamedTuple):
    """One thing that an autoscaler looks at.

    :param metric: its name or query. :param words: names it is narrowed to. :param summed: whether every series counts.
    """

    metric: str
    words: frozenset[str]
    summed: bool


def _hpa_readings(hpa: Manifest) -> Iterator[Reading]:
    for entry in dig(hpa, "spec", "metrics", default=[]):
        said: Manifest = next((entry[field] for field in ("external", "pods", "object") if isinstance(entry.get(field), dict)), {})
        selector = dig(said, "metric", "selector", default={})
        values = [*dig(selector, "matchLabels", default={}).values(),
                  *(value for wanted in dig(selector, "matchExpressions", default=[]) for value in wanted.get("values") or [])]
        words = {str(value) for value in values} | {dig(said, "describedObject", "name", default="")}
        yield Reading(dig(said, "metric", "name", default=""), frozenset(words), entry.get("type") == "External")


def _keda_readings(scaled: Manifest) -> Iterator[Reading]:
    for trigger in dig(scaled, "spec", "triggers", default=[]):
        text = " ".join(str(value) for value in dig(trigger, "metadata", default={}).values())
        yield Reading(text, frozenset(_WORD.findall(text)), True)


def _scalers(view: View) -> dict[str, list[tuple[Manifest, list[Reading]]]]:
    """Autoscalers and what they read, by namespace."""
    hpas = [(hpa, list(_hpa_readings(hpa))) for hpa in view.estate.of("hpas")]
    scaled = [(entry, list(_keda_readings(entry))) for entry in view.estate.of("scaled_objects")]
    return grouped([*hpas, *scaled], lambda scaler: namespace_of(scaler[0]))


def _names(draft: Draft) -> frozenset[str]:
    """The names by which series of a pool and its EPP are told from others."""
    return frozenset({draft.name, draft.alpha_epp.name, name_of(draft.alpha_epp.deployment or {})} - {""})


def _of_epp(metrics: list[Manifest], draft: Draft) -> list[Manifest]:
    """Those AutoscalingMetrics of a pool's namespace that read the alpha EPP's pods."""
    labels = dig(draft.alpha_epp.deployment or {}, "spec", "template", "metadata", "labels", default={})
    return [entry for entry in metrics if any(wanted and selects(wanted, labels) for wanted in _exporters(entry))]


def _exporters(metric: Manifest) -> list[dict[str, str]]:
    """Labels of the pods that an AutoscalingMetric reads: each of its metrics selects its own."""
    pods = [entry["pod"] for entry in dig(metric, "spec", "metrics", default=[]) if dig(entry, "pod")]
    return [dig(pod, "selector", "matchLabels", default={}) for pod in pods] + [dig(metric, "spec", "selector", "matchLabels", default={})]


@finding(
    "autoscaler-reads-alpha-epp", "blocker",
    about="An autoscaler reads the alpha EPP or the alpha pool's metrics. When alpha goes, it gets no figures any more and stops scaling.",
    remedy="After the phase install create the same autoscaler for the v1 EPP (pods with label inferencepool: its name, series with the v1 pool's "
           "name), then accept autoscaler-reads-alpha-epp; remove the old one after the phase shift.",
    source="PROTOCOL 12.1; GKE: AutoscalingMetric selects the EPP's pods by label",
)
def autoscaler_reads_alpha_epp(view: View) -> Iterator[Hit]:
    """HPAs, ScaledObjects and AutoscalingMetrics that name the alpha pool or its EPP."""
    scalers, metrics = _scalers(view), grouped(view.estate.of("autoscaling_metrics"), namespace_of)
    seen: set[str] = set()
    for draft in view.drafts:
        read = _of_epp(metrics.get(draft.namespace, []), draft)
        exported, hits = {name_of(entry) for entry in read}, [describe(entry) for entry in read]
        for scaler, readings in scalers.get(draft.namespace, []):
            if any(reading.words & _names(draft) or exported & set(reading.metric.split("|")) for reading in readings):
                hits.append(describe(scaler))
        for name in hits:
            if name not in seen:
                seen.add(name)
                yield Hit(name, f"it reads pool {draft.name} or its EPP {draft.alpha_epp.name}.")


@finding(
    "autoscaler-sums-both-epps", "warning",
    about="An autoscaler reads a metric of EPPs without naming one pool. While both EPPs run, each reports the same model servers, and the sum doubles.",
    remedy="Narrow the metric to one pool (label name) before the migration, or hold the autoscaler's maximum while both stacks run.",
    source="Kubernetes: external metrics are summed over series",
)
def autoscaler_sums_both_epps(view: View) -> Iterator[Hit]:
    """Autoscalers whose figure has no pool's name in it."""
    named: dict[str, set[str]] = defaultdict(set)
    for draft in view.drafts:
        named[draft.namespace] |= _names(draft) | {draft.v1_name, draft.epp}
    for namespace, scalers in sorted(_scalers(view).items()):
        for scaler, readings in scalers:
            loose = [found[0] for reading in readings
                     if reading.summed and (found := _EPP_METRIC.search(reading.metric)) and not reading.words & named[namespace]]
            if loose and named[namespace]:
                yield Hit(describe(scaler), f"it sums {loose[0]} over every EPP.")


@finding(
    "metrics-label-changes", "warning",
    about="The EPP's metrics are collected. Series of the v1 pool carry its new name, and metrics by model have another name from v1.1.0 on, so dashboards and "
          "alerts that name the old ones go silent.",
    remedy="Let dashboards and alerts match both names before the phase retire.",
    source="inference-extension v1.1.0, pkg/epp/metrics: inference_objective_*",
)
def metrics_label_changes(view: View) -> Iterator[Hit]:
    """Monitoring objects that read an alpha EPP."""
    renamed = view.facts.model_metrics
    models = "" if renamed == ALPHA_MODEL_METRICS else f", and {ALPHA_MODEL_METRICS}* becomes {renamed}*"
    for draft in view.drafts:
        for entry in draft.monitorings:
            yield Hit(describe(entry), f"label name={draft.name} becomes {draft.v1_name}{models}.")


@finding(
    "kv-metric-renamed", "warning",
    about="From v1.3.0 on the EPP reads the model servers' cache use under vLLM's new metric name. A model server that only knows the old one is "
          "then picked blindly.",
    remedy="Check that the model servers' /metrics has the new name. Else start the alpha EPP with flag kvCacheUsagePercentageMetric, which is carried over to "
           "v1.3; from v1.4.0 on the name stands in engineConfigs of the EPP's plugin configuration.",
    source="inference-extension v1.3.0, cmd/epp/runner: default of --kv-cache-usage-percentage-metric",
)
def kv_metric_renamed(view: View) -> Iterator[Hit]:
    """Alpha EPPs that read the default metric."""
    if view.facts.kv_metric == ALPHA_KV_METRIC:
        return
    for draft in view.drafts:
        deployment = draft.alpha_epp.deployment
        if deployment and "kvCacheUsagePercentageMetric" not in draft.alpha_flags:
            yield Hit(describe(deployment), f"{ALPHA_KV_METRIC}, which it reads today, becomes {view.facts.kv_metric}.")
