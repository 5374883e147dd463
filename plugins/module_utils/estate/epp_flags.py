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

BOOLEANS = frozenset({
    "disable-endpoint-subset-filter", "enable-cert-reload", "enable-pprof", "ha-enable-leader-election", "health-checking", "metrics-endpoint-auth",
    "model-server-metrics-https-insecure-skip-verify", "secure-serving", "tracing", "zap-devel",
})
"""Flags that take no value from the next word, by their names in v1 (cmd/epp and pkg/epp/server of v0.3.0 to v1.5.0; controller-runtime, log/zap)."""

VALUED = frozenset({
    "cache-info-metric", "cert-path", "config-file", "config-text", "destination-endpoint-hint-key", "destination-endpoint-hint-metadata-namespace",
    "endpoint-selector", "endpoint-target-ports", "grpc-health-port", "grpc-port", "kubeconfig", "kv-cache-usage-percentage-metric", "lora-info-metric",
    "metrics-port", "metrics-staleness-threshold", "model-server-metrics-path", "model-server-metrics-port", "model-server-metrics-scheme", "pool-group",
    "pool-name", "pool-namespace", "refresh-metrics-interval", "refresh-prometheus-metrics-interval", "total-queued-requests-metric",
    "total-running-requests-metric", "v", "zap-encoder", "zap-log-level", "zap-stacktrace-level", "zap-time-encoding",
})
"""Flags that take the next word as their value, whatever it looks like (the same sources)."""

_ENVIRONMENT = {
    "MODEL_SERVER_METRICS_PORT": "modelServerMetricsPort",
    "MODEL_SERVER_METRICS_PATH": "modelServerMetricsPath",
    "MODEL_SERVER_METRICS_SCHEME": "modelServerMetricsScheme",
    "MODEL_SERVER_METRICS_HTTPS_INSECURE_SKIP_VERIFY": "modelServerMetricsHttpsInsecureSkipVerify",
    "DESTINATION_ENDPOINT_HINT_KEY": "destinationEndpointHintKey",
    "REFRESH_METRICS_INTERVAL": "refreshMetricsInterval",
    "SECURE_SERVING": "secureServing",
}
"""Environment variables that EPP v0.5 reads as flags, before its arguments (v0.5.1, cmd/epp/runner, bindEnvToFlags); v1 reads none of them."""

_TRUTH = dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), "true") | dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), "false")
"""What Go takes for a boolean (strconv.ParseBool)."""
_READS_ON = (1, 3, 0)
"""From this release on the EPP goes on reading behind a word that is no flag (pflag in place of Go's flag)."""
_TAG = re.compile(r":v?(\d+)\.(\d+)\.(\d+)(?:@|$)")

KNOWN_PLUGINS = frozenset({
    "header-based-testing-filter", "kv-cache-utilization-scorer", "lora-affinity-scorer", "max-score-picker", "prefix-cache-scorer", "queue-scorer",
    "random-picker", "single-profile-handler", "weighted-random-picker",
})
"""Plugin types that every EPP from v1.0.0 to v1.5.0 registers; :data:`LATER_PLUGINS` came since.

Source: https://github.com/kubernetes-sigs/gateway-api-inference-extension/blob/v1.0.0/cmd/epp/runner/runner.go
"""

LATER_PLUGINS = {
    "destination-endpoint-served-verifier": (1, 2, 0),
    "running-requests-size-scorer": (1, 3, 0),
    "concurrency-detector": (1, 4, 0),
    "edf-ordering-policy": (1, 4, 0),
    "fcfs-ordering-policy": (1, 4, 0),
    "global-strict-fairness-policy": (1, 4, 0),
    "request-attribute-reporter": (1, 4, 0),
    "round-robin-fairness-policy": (1, 4, 0),
}
"""Plugin types that EPPs register from a release on, up to v1.5.0 (cmd/epp/runner/runner.go of each)."""

_PLUGIN_TYPE = re.compile(r"""^[\s-]*["']?type["']?\s*:\s*["']?([A-Za-z0-9._/-]+)""", re.MULTILINE)
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(n|u|m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_UNITS: dict[str | None, Decimal | int] = {
    None: 1, "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("0.001"), "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}


class Flags(NamedTuple):
    """What an endpoint picker is started with.

    :param values: by the names that v1 has for the flags, e.g. ``enable-pprof`` for ``enablePprof``; a boolean is ``true`` or ``false``.
    :param spelled: the flags' names as they were written, by the same.
    :param unread: the words that this picker never reads, from the first that is no flag on.
    """

    values: dict[str, str]
    spelled: dict[str, str]
    unread: tuple[str, ...] = ()


class Source(NamedTuple):
    """The ConfigMap that holds a file of an EPP, and the file's key in it."""

    config_map: str
    key: str


def v1_spelling(name: str) -> str:
    """Return a flag's name as v1 writes it, e.g. ``enable-pprof`` for ``enablePprof``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


def read(container: Manifest) -> Flags:
    """Read the flags of an endpoint picker's container as the picker does, in camel case (v0.3.0 to v0.5.1) or as v1 spells them.

    Go's flag package takes ``--name word`` for a boolean that is true and a word that ends all flags. A flag of a name that no
    release has takes the next word unless that looks like a flag.
    """
    release = version(container)
    values, spelled = _from_environment(container) if (0, 5, 0) <= release < (1, 0, 0) else ({}, {})
    words, position = _words(container), 0
    while position < len(words):
        if not words[position].startswith("-") or words[position] in ("-", "--"):
            if release < _READS_ON or words[position] == "--":
                break
            position += 1
            continue
        written, equals, value = words[position].lstrip("-").partition("=")
        name, position = v1_spelling(written), position + 1
        if not equals and _takes_next(name, words[position:]):
            value, position = words[position], position + 1
        elif not equals:
            value = "true"
        values[name] = _TRUTH.get(value, value) if name in BOOLEANS else value
        spelled[name] = written
    return Flags(values, spelled, tuple(words[position:]))


def _words(container: Manifest) -> list[str]:
    """Return the command line from its first flag on: the words before it name a program."""
    words = [str(word) for word in [*dig(container, "command", default=[])[1:], *dig(container, "args", default=[])]]
    begin = next((position for position, word in enumerate(words) if word.startswith("-") and word != "--"), len(words))
    return words[begin:]


def _takes_next(name: str, following: list[str]) -> bool:
    if not following or name in BOOLEANS:
        return False
    return name in VALUED or not following[0].startswith("-")


def version(container: Manifest) -> tuple[int, ...]:
    """Return the release of an EPP by the tag of its image; zeros where that does not say it."""
    found = _TAG.search(dig(container, "image", default=""))
    return tuple(map(int, found.groups())) if found else (0, 0, 0)


def _from_environment(container: Manifest) -> tuple[dict[str, str], dict[str, str]]:
    said = {entry.get("name"): entry.get("value") for entry in dig(container, "env", default=[])}
    found = {v1_spelling(flag): (flag, said[name]) for name, flag in _ENVIRONMENT.items() if said.get(name)}
    values = {name: _TRUTH.get(value, value) if name in BOOLEANS else value for name, (_flag, value) in found.items()}
    return values, {name: flag for name, (flag, _value) in found.items()}


def plugin_source(deployment: Manifest | None, container: Manifest) -> Source | None:
    """Find the ConfigMap that holds the file of flag configFile or config-file; None without it, or where no ConfigMap is mounted there.

    The path may be relative to the root (chart v0.5.1 writes ``config/default-plugins.yaml``).
    """
    said = read(container).values.get("config-file")
    if not said:
        return None
    path = PurePosixPath("/") / said
    volumes = {entry.get("name"): dig(entry, "configMap", default={}) for entry in dig(deployment or {}, "spec", "template", "spec", "volumes", default=[])}
    for mount in dig(container, "volumeMounts", default=[]):
        volume, place = volumes.get(mount.get("name"), {}), PurePosixPath(mount.get("mountPath") or "/")
        file = mount.get("subPath") if mount.get("subPath") and path == place else path.name if path.parent == place else None
        if volume.get("name") and file:
            keys = {entry.get("path"): entry.get("key") for entry in dig(volume, "items", default=[])}
            return Source(volume["name"], keys.get(file) or file)
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
