# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what an alpha endpoint picker is started with: its flags, its plugin configuration, its resources. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, dig

METRIC_FLAGS = {
    "totalQueuedRequestsMetric": "total-queued-requests-metric",
    "kvCacheUsagePercentageMetric": "kv-cache-usage-percentage-metric",
    "loraInfoMetric": "lora-info-metric",
}
"""Flags of the alpha EPP (v0.3.0 to v0.5.1) that name the model servers' metrics, and their names in EPPs that take them (v1.0.0 to v1.3.1)."""

BUILT_IN_METRICS = {
    "totalQueuedRequestsMetric": "vllm:num_requests_waiting",
    "kvCacheUsagePercentageMetric": "vllm:kv_cache_usage_perc",
    "loraInfoMetric": "vllm:lora_requests_info",
}
"""The metrics that EPPs without these flags (v1.4.0 and later) read unless their configuration names others, by the alpha EPP's flag."""

PLAIN_FLAGS = {
    "refreshMetricsInterval": "refresh-metrics-interval",
    "refreshPrometheusMetricsInterval": "refresh-prometheus-metrics-interval",
    "modelServerMetricsPort": "model-server-metrics-port",
    "modelServerMetricsPath": "model-server-metrics-path",
    "modelServerMetricsScheme": "model-server-metrics-scheme",
    "modelServerMetricsHttpsInsecureSkipVerify": "model-server-metrics-https-insecure-skip-verify",
    "enablePprof": "enable-pprof",
}
"""Other flags of the alpha EPP that mean the same in every v1 EPP (v1.0.0 to v1.5.0), and their names there."""

DEFAULTS = {
    "modelServerMetricsPath": "/metrics", "modelServerMetricsScheme": "http", "modelServerMetricsHttpsInsecureSkipVerify": "true", "enablePprof": "true",
}
"""Values that chart v0.5.1 always writes and that every v1 EPP has by default."""

SET_BY_CHART = frozenset({"poolName", "poolNamespace", "v", "zap-encoder", "grpcPort", "grpcHealthPort", "metricsPort"})
"""Flags of the alpha EPP that the chart sets itself."""

PLUGIN_FLAGS = frozenset({"configFile", "configText"})
"""Flags by which the alpha EPP (from v0.5.0 on) gets its plugin configuration."""

KNOWN_PLUGINS = frozenset({
    "header-based-testing-filter", "kv-cache-utilization-scorer", "lora-affinity-scorer", "max-score-picker", "prefix-cache-scorer", "queue-scorer",
    "random-picker", "single-profile-handler", "weighted-random-picker",
})
"""Plugin types that every EPP from v1.0.0 to v1.5.0 registers.

Source: https://github.com/kubernetes-sigs/gateway-api-inference-extension/blob/v1.0.0/cmd/epp/runner/runner.go
"""

_PLUGIN_TYPE = re.compile(r"""^[\s-]*["']?type["']?\s*:\s*["']?([A-Za-z0-9._/-]+)""", re.MULTILINE)
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_UNITS: dict[str | None, Decimal | int] = {
    None: 1, "m": Decimal("0.001"), "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}


class Source(NamedTuple):
    """The ConfigMap that holds a file of an EPP, and the file's key in it."""

    config_map: str
    key: str


def flags(container: Manifest) -> dict[str, str]:
    """Return the flags of an alpha EPP's container by name, without dashes; a flag without a value is ``true``."""
    found: dict[str, str] = {}
    words = [str(word) for word in [*dig(container, "command", default=[])[1:], *dig(container, "args", default=[])]]
    for number, word in enumerate(words):
        if not word.startswith("-") or word.lstrip("-") == "":
            continue
        name, equals, value = word.lstrip("-").partition("=")
        following = words[number + 1] if number + 1 < len(words) else "-"
        found[name] = value if equals else "true" if following.startswith("-") else following
    return found


def carried(said: Mapping[str, str], metric_flags: bool) -> dict[str, str]:
    """Return the flags that a v1 EPP gets too, by its own names for them; values that it has by default are left out.

    :param said: the alpha EPP's flags.
    :param metric_flags: whether the v1 EPP takes flags that name metrics.
    """
    names = PLAIN_FLAGS | (METRIC_FLAGS if metric_flags else {})
    return {names[name]: value for name, value in said.items() if name in names and DEFAULTS.get(name) != value}


def lost(said: Mapping[str, str], metric_flags: bool, plugins_read: bool) -> list[str]:
    """Return the flags that a v1 EPP has nothing for; a plugin configuration that could be read is judged by its plugins, not by its flag."""
    kept = {*METRIC_FLAGS} if metric_flags else {name for name, value in BUILT_IN_METRICS.items() if said.get(name) == value}
    return sorted({*said} - SET_BY_CHART - {*PLAIN_FLAGS} - kept - (PLUGIN_FLAGS if plugins_read else frozenset()))


def plugin_source(deployment: Manifest | None, container: Manifest) -> Source | None:
    """Find the ConfigMap that holds the file of flag configFile; None without that flag, or where no ConfigMap is mounted there.

    The path may be relative to the root (chart v0.5.1 writes ``config/default-plugins.yaml``).
    """
    said = flags(container).get("configFile")
    if not said:
        return None
    path = PurePosixPath("/") / said
    volumes = {entry.get("name"): dig(entry, "configMap", "name") for entry in dig(deployment or {}, "spec", "template", "spec", "volumes", default=[])}
    for mount in dig(container, "volumeMounts", default=[]):
        config_map = volumes.get(mount.get("name"))
        if config_map and path.parent == PurePosixPath(mount.get("mountPath") or "/"):
            return Source(config_map, path.name)
    return None


def plugin_types(configuration: str) -> set[str]:
    """Return the plugin types that an EndpointPickerConfig names; no YAML parser is needed, since only ``type`` keys matter."""
    return set(_PLUGIN_TYPE.findall(configuration))


def quantity(said: Any) -> Decimal | None:
    """Return a Kubernetes quantity as a number, e.g. ``500m`` as 0.5 and ``8Gi`` as 8589934592; None for anything else."""
    found = _QUANTITY.fullmatch(str(said))
    try:
        return Decimal(found[1]) * _UNITS[found[2]] if found else None
    except InvalidOperation:
        return None


def grown(before: Mapping[str, Any], after: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the resources of which a container would ask for more than before, e.g. ``requests cpu 4 (now none)``."""
    return [
        f"{section} {name} {value} (now {dig(before, section, name, default='none')})"
        for section, wanted in sorted(after.items())
        for name, value in sorted(wanted.items())
        if (quantity(value) or 0) > (quantity(dig(before, section, name, default="0")) or 0)
    ]
