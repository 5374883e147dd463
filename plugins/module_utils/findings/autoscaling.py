# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for findings about autoscalers and dashboards that read the endpoint picker: one small function each. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import PoolMigration
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import epp_flags
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.label_index import grouped
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import CheckContext, Occurrence, finding
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, describe, dig, name_of, namespace_of, selects
from ansible_collections.inference_gateway.migration.plugins.module_utils.releases import ALPHA_KV_METRIC, ALPHA_MODEL_METRICS

_EPP_METRIC = re.compile(r"inference_(pool|model|objective|extension)_\w+")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Reading(NamedTuple):
    """One metric that an autoscaler reads.

    :param metric: its name; of a KEDA trigger all values, with the query, as one text.
    :param words: values that narrow it to some series, e.g. the name of a pool.
    :param summed: whether the autoscaler adds up all series that fit.
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


def _scalers(context: CheckContext) -> dict[str, list[tuple[Manifest, list[Reading]]]]:
    """Return each namespace's autoscalers, each with the metrics that it reads."""
    hpas = [(hpa, list(_hpa_readings(hpa))) for hpa in context.estate.of("hpas")]
    scaled = [(entry, list(_keda_readings(entry))) for entry in context.estate.of("scaled_objects")]
    return grouped([*hpas, *scaled], lambda scaler: namespace_of(scaler[0]))


def _names(migration: PoolMigration) -> frozenset[str]:
    """Return the names in labels and queries that mean this alpha pool or its EPP."""
    return frozenset({migration.name, migration.alpha_epp.name, name_of(migration.alpha_epp.deployment or {})} - {""})


def _of_pods(metrics: list[Manifest], labels: Mapping[str, str]) -> list[Manifest]:
    """Return which AutoscalingMetrics of a namespace read pods with these labels."""
    return [entry for entry in metrics if any(wanted and selects(wanted, labels) for wanted in _exporters(entry))]


def _exporters(metric: Manifest) -> list[dict[str, str]]:
    """Return the label selectors of an AutoscalingMetric: one for each of its metrics, and the common one."""
    pods = [entry["pod"] for entry in dig(metric, "spec", "metrics", default=[]) if dig(entry, "pod")]
    return [dig(pod, "selector", "matchLabels", default={}) for pod in pods] + [dig(metric, "spec", "selector", "matchLabels", default={})]


@finding(
    "autoscaler-reads-alpha-epp", "blocker",
    about="An autoscaler reads the alpha EPP or the alpha pool's metrics. When alpha goes, it gets no figures any more and stops scaling. One that reads the "
          "same of the v1 pool beside is a warning: of several metrics the highest wins, and while one is missing nothing is scaled down.",
    remedy="Let it read the same of the v1 pool beside (pods with label inferencepool: the v1 EPP's name, series with the v1 pool's name), or "
           "accept autoscaler-reads-alpha-epp where it may stop scaling.",
    source="docs/protocol.md 12.1; GKE: AutoscalingMetric selects the EPP's pods by label; Kubernetes: HorizontalPodAutoscaler on multiple metrics",
)
def autoscaler_reads_alpha_epp(context: CheckContext) -> Iterator[Occurrence]:
    """Find AutoscalingMetrics that select the alpha EPP's pods, and HPAs and ScaledObjects that read these or name the alpha pool or its EPP.

    An autoscaler of several pools is reported once, with the first of them.
    """
    scalers, metrics = _scalers(context), grouped(context.estate.of("autoscaling_metrics"), namespace_of)
    seen: set[str] = set()
    for migration in context.migrations:
        here = metrics.get(migration.namespace, [])
        alpha = _of_pods(here, dig(migration.alpha_epp.deployment or {}, "spec", "template", "metadata", "labels", default={}))
        v1 = _of_pods(here, {"inferencepool": migration.epp})
        reading_it = [(describe(entry), bool(v1), f"Create a second AutoscalingMetric for pods with label inferencepool: {migration.epp}") for entry in alpha]
        for scaler, readings in scalers.get(migration.namespace, []):
            if _reads(readings, _names(migration), alpha):
                both = _reads(readings, frozenset({migration.v1_name, migration.epp}), v1)
                reading_it.append((describe(scaler), both, f"Let it read the same of v1 pool {migration.v1_name} (EPP {migration.epp}) beside"))
        for name, both, remedy in reading_it:
            if name not in seen:
                seen.add(name)
                text = f"it reads pool {migration.name} or its EPP {migration.alpha_epp.name}"
                if both:
                    yield Occurrence(name, f"{text}, and {migration.v1_name} too.", "Let it read v1 alone after the phase shift.", "warning")
                else:
                    yield Occurrence(name, f"{text}.", f"{remedy}, or accept autoscaler-reads-alpha-epp where it may stop scaling.")


def _reads(readings: list[Reading], names: frozenset[str], exporters: list[Manifest]) -> bool:
    """Return whether an autoscaler reads one of these names, or a metric that one of these AutoscalingMetrics exports."""
    exported = {name_of(entry) for entry in exporters}
    return any(reading.words & names or exported & set(reading.metric.split("|")) for reading in readings)


@finding(
    "autoscaler-sums-both-epps", "warning",
    about="An autoscaler reads a metric of EPPs without naming one pool. While both EPPs run, each reports the same model servers, and the sum doubles.",
    remedy="Narrow the metric to one pool (label name) before the migration, or hold the autoscaler's maximum while both stacks run.",
    source="Kubernetes: external metrics are summed over series",
)
def autoscaler_sums_both_epps(context: CheckContext) -> Iterator[Occurrence]:
    """Find autoscalers that add up an EPP metric over all series, narrowed to no pool and no EPP of their namespace."""
    named: dict[str, set[str]] = defaultdict(set)
    for migration in context.migrations:
        named[migration.namespace] |= _names(migration) | {migration.v1_name, migration.epp}
    for namespace, scalers in sorted(_scalers(context).items()):
        for scaler, readings in scalers:
            loose = [found[0] for reading in readings
                     if reading.summed and (found := _EPP_METRIC.search(reading.metric)) and not reading.words & named[namespace]]
            if loose and named[namespace]:
                yield Occurrence(describe(scaler), f"it sums {loose[0]} over every EPP.")


@finding(
    "metrics-label-changes", "warning",
    about="The EPP's metrics are collected. Series of the v1 pool carry its new name, and metrics by model have another name from v1.1.0 on, so dashboards and "
          "alerts that name the old ones go silent.",
    remedy="Let dashboards and alerts match both names before the phase retire.",
    source="inference-extension v1.1.0, pkg/epp/metrics: inference_objective_*",
)
def metrics_label_changes(context: CheckContext) -> Iterator[Occurrence]:
    """Find the monitors that read an alpha EPP."""
    renamed = context.facts.model_metrics
    models = "" if renamed == ALPHA_MODEL_METRICS else f", and {ALPHA_MODEL_METRICS}* becomes {renamed}*"
    for migration in context.migrations:
        for entry in context.monitoring.of(migration):
            yield Occurrence(describe(entry.manifest), f"label name={migration.name} becomes {migration.v1_name}{models}.")


@finding(
    "kv-metric-renamed", "warning",
    about="From v1.3.0 on the EPP reads the model servers' cache use under vLLM's new metric name. A model server that only knows the old one is "
          "then picked blindly.",
    remedy="Check that the model servers' /metrics has the new name. Else start the alpha EPP with flag kvCacheUsagePercentageMetric, which is carried over to "
           "v1.3; from v1.4.0 on the name stands in engineConfigs of the EPP's plugin configuration.",
    source="inference-extension v1.3.0, cmd/epp/runner: default of --kv-cache-usage-percentage-metric",
)
def kv_metric_renamed(context: CheckContext) -> Iterator[Occurrence]:
    """Find alpha EPPs that read the default metric of cache use, where the target EPP has another default."""
    if context.facts.kv_metric == ALPHA_KV_METRIC:
        return
    for migration in context.migrations:
        deployment = migration.alpha_epp.deployment
        # A later v1 picker on an alpha pool reads the new one already.
        later = epp_flags.version(migration.alpha_epp.container) >= (1, 3, 0)
        if deployment and not later and "kv-cache-usage-percentage-metric" not in migration.alpha_flags.values:
            yield Occurrence(describe(deployment), f"{ALPHA_KV_METRIC}, which it reads today, becomes {context.facts.kv_metric}.")
