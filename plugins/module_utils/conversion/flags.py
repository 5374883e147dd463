# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides which flags of an alpha picker its v1 counterpart gets, and how the chart is told of them. Pure.

Flags go by the names that v1 has for them; estate/epp_flags.py reads them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.epp_flags import BOOLEANS, KNOWN_PLUGINS, LATER_PLUGINS, Flags
from ansible_collections.inference_gateway.migration.plugins.module_utils.releases import Release, Version

_ALWAYS: Version = (1, 0, 0)
TAKEN_SINCE: dict[str, Version] = {
    "enable-pprof": _ALWAYS,
    "health-checking": _ALWAYS,
    "metrics-staleness-threshold": _ALWAYS,
    "model-server-metrics-https-insecure-skip-verify": _ALWAYS,
    "model-server-metrics-path": _ALWAYS,
    "model-server-metrics-port": _ALWAYS,
    "model-server-metrics-scheme": _ALWAYS,
    "refresh-metrics-interval": _ALWAYS,
    "refresh-prometheus-metrics-interval": _ALWAYS,
    "secure-serving": _ALWAYS,
    "v": _ALWAYS,
    "zap-devel": _ALWAYS,
    "zap-encoder": _ALWAYS,
    "zap-log-level": _ALWAYS,
    "zap-stacktrace-level": _ALWAYS,
    "zap-time-encoding": _ALWAYS,
    "metrics-endpoint-auth": (1, 1, 0),
    "disable-endpoint-subset-filter": (1, 3, 0),
}
"""Flags that mean the same in alpha and v1, and the first release that takes them (cmd/epp/runner and pkg/epp/server of v1.0.0 to v1.5.0)."""

METRICS_SINCE: dict[str, Version] = {
    "total-queued-requests-metric": _ALWAYS,
    "kv-cache-usage-percentage-metric": _ALWAYS,
    "lora-info-metric": _ALWAYS,
    "cache-info-metric": (1, 1, 0),
    "total-running-requests-metric": (1, 3, 0),
}
"""Flags that name the model servers' metrics, for EPPs that take them at all (``metric_flags`` of their release)."""

BUILT_IN_METRICS = {
    "total-queued-requests-metric": "vllm:num_requests_waiting",
    "kv-cache-usage-percentage-metric": "vllm:kv_cache_usage_perc",
    "lora-info-metric": "vllm:lora_requests_info",
    "cache-info-metric": "vllm:cache_config_info",
    "total-running-requests-metric": "vllm:num_requests_running",
}
"""The metrics that EPPs without these flags (v1.4.0 and later) read unless their configuration names others."""

BUILT_IN = {
    "cert-path": "",
    "destination-endpoint-hint-key": "x-gateway-destination-endpoint",
    "destination-endpoint-hint-metadata-namespace": "envoy.lb",
    "disable-endpoint-subset-filter": "false",
    "enable-cert-reload": "false",
    "enable-pprof": "true",
    "health-checking": "false",
    "metrics-endpoint-auth": "true",
    "model-server-metrics-https-insecure-skip-verify": "true",
    "model-server-metrics-path": "/metrics",
    "model-server-metrics-scheme": "http",
    "secure-serving": "true",
    "tracing": "false",
    "zap-encoder": "json",
}
"""What every v1 EPP does as its chart installs it, v1.0.0 to v1.5.0: a flag that says just this is neither written nor lost."""

SET_BY_CHART = frozenset({"grpc-health-port", "grpc-port", "ha-enable-leader-election", "metrics-port", "pool-group", "pool-name", "pool-namespace"})
"""Flags that the chart sets itself, or leaves at what its Service and probes expect."""

PLUGIN_FLAGS = frozenset({"config-file", "config-text"})
"""Flags by which an EPP (from v0.5.0 on) gets its plugin configuration."""

_CHART_VERBOSITY = {"v": "1"}
"""What the charts' own list of flags holds; a list of ours takes its place, a map is merged into it."""


def carried(said: Flags, release: Release) -> dict[str, str]:
    """Return the flags that the v1 EPP gets too, by its own names for them; what it does anyway is left out."""
    return {name: value for name, value in said.values.items() if _taken(name, release) and BUILT_IN.get(name) != value}


def lost(said: Flags, release: Release, plugins_read: bool) -> list[str]:
    """Return the flags, as they were written, that the v1 EPP has nothing for.

    :param plugins_read: whether the plugin configuration could be read: then it is judged by its plugins, not by its flag.
    """
    settled = SET_BY_CHART | (PLUGIN_FLAGS if plugins_read else frozenset())
    same = BUILT_IN | (BUILT_IN_METRICS if not release.facts.metric_flags else {})
    return sorted(
        said.spelled[name] for name, value in said.values.items() if name not in settled and same.get(name) != value and not _taken(name, release)
    )


def plugins(release: Release) -> set[str]:
    """Return the plugin types that the EPP of a release has."""
    version = releases.parse(release.version) or _ALWAYS
    return {*KNOWN_PLUGINS, *(name for name, since in LATER_PLUGINS.items() if since <= version)}


def _taken(name: str, release: Release) -> bool:
    since = (TAKEN_SINCE | (METRICS_SINCE if release.facts.metric_flags else {})).get(name)
    return since is not None and since <= (releases.parse(release.version) or _ALWAYS)


def chart_flags(wanted: Mapping[str, str], release: Release) -> list[dict[str, str]] | dict[str, Any] | None:
    """Return the chart's value ``inferenceExtension.flags`` by which its EPP gets these flags; None for none.

    Every chart from v1.0.0 to v1.5.0 writes two arguments for each entry, ``--NAME`` and ``"VALUE"``. To Go a boolean has no second one: it would be true,
    and up to v1.2.1 the stray word would end all flags. So a boolean is said twice, as ``--NAME=VALUE`` and once more in the place of the value.
    """
    if not wanted:
        return None
    words = [_entry(name, value) for name, value in wanted.items()]
    if release.facts.flags == "map":
        return dict(words)
    # A list of ours takes the place of the chart's own.
    return [{"name": name, "value": value} for name, value in (_CHART_VERBOSITY | dict(words)).items()]


def _entry(name: str, value: str) -> tuple[str, str]:
    """Return name and value as the templates need them, which put the value between double quotes as it is."""
    if name in BOOLEANS:
        return f"{name}={value}", f"--{name}={value}"
    return name, json.dumps(value, ensure_ascii=False)[1:-1]
