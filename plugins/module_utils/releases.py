# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds what differs between releases of the inference extension, in one table, and between those of GKE. Pure.

Every row was read in the chart and the sources of the release that it begins with:
https://github.com/kubernetes-sigs/gateway-api-inference-extension (config/charts/inferencepool, config/crd, cmd/epp, pkg/epp).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

Version = tuple[int, int, int]

DEFAULT_TARGET = "v1.5.0"
FIRST_REFUSED: Version = (1, 6, 0)
GKE_SHIPS_V1 = "1.34.0-gke.1626000"
"""The first release in which GKE installs the InferencePool v1 CRD itself.

Source: https://cloud.google.com/kubernetes-engine/docs/how-to/migrate-gke-inference-gateway
"""

ALPHA_POOLS_CRD = "inferencepools.inference.networking.x-k8s.io"
ALPHA_MODELS_CRD = "inferencemodels.inference.networking.x-k8s.io"
ALPHA_CRDS = (ALPHA_POOLS_CRD, ALPHA_MODELS_CRD)
V1_POOLS_CRD = "inferencepools.inference.networking.k8s.io"
OBJECTIVES_CRD = "inferenceobjectives.inference.networking.x-k8s.io"
REWRITES_CRD = "inferencemodelrewrites.inference.networking.x-k8s.io"
CRD_FILES = {
    V1_POOLS_CRD: "inference.networking.k8s.io_inferencepools.yaml",
    OBJECTIVES_CRD: "inference.networking.x-k8s.io_inferenceobjectives.yaml",
    REWRITES_CRD: "inference.networking.x-k8s.io_inferencemodelrewrites.yaml",
}
"""CRD name to its file below config/crd/bases. Single files, because the manifests.yaml of v1.0 to v1.4 would also rewrite the live alpha CRD."""

BUNDLE_ANNOTATION = "inference.networking.k8s.io/bundle-version"


class UnsupportedTarget(ValueError):
    """A target release that can't be migrated to; the message says why and what to choose."""


_SATURATION = frozenset({"SD_QUEUE_DEPTH_THRESHOLD", "SD_KV_CACHE_UTIL_THRESHOLD", "SD_METRICS_STALENESS_THRESHOLD"})
_DATA_LAYER, _FLOW_CONTROL = "ENABLE_EXPERIMENTAL_DATALAYER_V2", "ENABLE_EXPERIMENTAL_FLOW_CONTROL_LAYER"
EPP_VARIABLES = _SATURATION | {
    _DATA_LAYER, _FLOW_CONTROL,
    "KV_CACHE_THRESHOLD", "LORA_AFFINITY_THRESHOLD", "QUEUE_THRESHOLD_CRITICAL", "QUEUING_THRESHOLD_LORA",
    "DESTINATION_ENDPOINT_HINT_KEY", "MODEL_SERVER_METRICS_HTTPS_INSECURE_SKIP_VERIFY", "MODEL_SERVER_METRICS_PATH", "MODEL_SERVER_METRICS_PORT",
    "MODEL_SERVER_METRICS_SCHEME", "REFRESH_METRICS_INTERVAL", "SECURE_SERVING",
}
"""Environment variables that any EPP (v0.3.0 to v1.5.0) reads for settings of its own: alpha's scheduler and, in v0.5.1, its flags; then the table's."""


@dataclass(frozen=True)
class Facts:
    """The facts that hold from release ``since`` on, until the next row of :data:`ROWS`.

    :param flags: how the chart takes EPP flags: as a list of ``name`` and ``value``, or as a map.
    :param failure_mode: whether the chart ignores its value inferenceExtension.failureMode, or takes it, with FailOpen as the default.
    :param metric_flags: whether the EPP takes flags that name the model servers' metrics; an EPP that does not still defines them, but exits when one is given.
    :param rewrites: whether the EPP reads InferenceModelRewrites.
    :param answers_alias: whether the answer to a rewritten request carries the model name that was asked for.
    :param resources: requests and limits of the EPP by the chart's default values; empty where the chart has no such value.
    :param metrics_rbac: whether the EPP's metrics can be read with the chart's default values: the EPP may check readers' tokens, or asks for none.
    :param namespaced_cluster_roles: whether the chart's ClusterRoles carry the namespace in their names.
    :param chart_monitoring: whether the chart makes monitoring objects with provider gke by default.
    :param health_check: fields of the chart's HealthCheckPolicy beside the check itself, in seconds.
    :param recreates: whether the chart's Deployment ends a pod of the EPP before it makes another.
    :param refuses: endpoints for which the EPP answers 400, whatever the model server can do.
    :param alpha_in_manifests: whether the release's manifests.yaml holds the alpha InferencePool CRD.
    :param kv_metric: the model servers' metric of key-value cache usage that the EPP reads by default.
    :param model_metrics: prefix of the EPP's own metrics that count by model.
    :param image: by which values the chart names the EPP's image beside ``tag``: ``hub`` and ``name``, or ``registry`` and ``repository``.
    :param placement: whether the chart takes affinity and tolerations of the EPP's pod; those of v1.0.1 and v1.0.2 have the values and do not use them.
    :param variables: environment variables that the EPP reads for settings of its own.
    """

    since: Version
    flags: Literal["list", "map"] = "map"
    failure_mode: Literal["ignored", "taken"] = "taken"
    metric_flags: bool = True
    rewrites: bool = True
    answers_alias: bool = False
    resources: dict[str, dict[str, str]] = field(default_factory=dict)
    metrics_rbac: bool = False
    namespaced_cluster_roles: bool = True
    chart_monitoring: bool = False
    recreates: bool = True
    health_check: dict[str, int] = field(default_factory=lambda: {"timeoutSec": 2, "checkIntervalSec": 2})
    refuses: tuple[str, ...] = ("/v1/embeddings",)
    alpha_in_manifests: bool = True
    kv_metric: str = "vllm:kv_cache_usage_perc"
    model_metrics: str = "inference_objective_"
    image: Literal["hub", "registry"] = "hub"
    placement: bool = True
    variables: frozenset[str] = _SATURATION | {_DATA_LAYER, _FLOW_CONTROL}


ALPHA_KV_METRIC = "vllm:gpu_cache_usage_perc"
"""The metric of key-value cache usage that the alpha EPP (v0.3.0 to v0.5.1) reads unless its flag kvCacheUsagePercentageMetric names another."""
ALPHA_MODEL_METRICS = "inference_model_"

_EPP_RESOURCES = {"requests": {"cpu": "4", "memory": "8Gi"}, "limits": {"memory": "16Gi"}}
_NO_RESPONSES = ("/v1/embeddings", "/v1/responses")

ROWS = (
    Facts(
        (1, 0, 0), "list", "ignored", rewrites=False, metrics_rbac=True, namespaced_cluster_roles=False, chart_monitoring=True, recreates=False,
        health_check={}, refuses=_NO_RESPONSES, kv_metric=ALPHA_KV_METRIC, model_metrics=ALPHA_MODEL_METRICS, placement=False,
        variables=_SATURATION | {_DATA_LAYER},
    ),
    Facts(
        (1, 0, 1), "list", "ignored", rewrites=False, metrics_rbac=True, refuses=_NO_RESPONSES, kv_metric=ALPHA_KV_METRIC,
        model_metrics=ALPHA_MODEL_METRICS, placement=False, variables=_SATURATION | {_DATA_LAYER},
    ),
    Facts((1, 1, 0), "list", "ignored", rewrites=False, metrics_rbac=True, refuses=_NO_RESPONSES, kv_metric=ALPHA_KV_METRIC),
    Facts((1, 2, 0), "map", "ignored", rewrites=False, metrics_rbac=True, refuses=_NO_RESPONSES, kv_metric=ALPHA_KV_METRIC),
    Facts((1, 3, 0), "map", "ignored", refuses=_NO_RESPONSES),
    Facts((1, 4, 0), metric_flags=False, resources=_EPP_RESOURCES),
    Facts((1, 5, 0), metric_flags=False, resources=_EPP_RESOURCES, answers_alias=True, refuses=(), alpha_in_manifests=False, image="registry",
          variables=frozenset({_FLOW_CONTROL})),
)


@dataclass(frozen=True)
class Release:
    """One release of the inference extension that can be migrated to. ``version`` is its tag, e.g. ``v1.5.0``."""

    version: str
    facts: Facts

    @property
    def crds(self) -> tuple[str, ...]:
        """Names of the CRDs to install; also that of rewrites if the EPP reads them, since it looks for that CRD only when it starts."""
        return tuple(CRD_FILES) if self.facts.rewrites else (V1_POOLS_CRD, OBJECTIVES_CRD)


def parse(version: str) -> Version | None:
    """Return ``v1.5.0`` or ``1.5.0`` as numbers, None for anything else."""
    found = re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)", version)
    return None if found is None else (int(found[1]), int(found[2]), int(found[3]))


def target(version: str) -> Release:
    """Return a target release with its facts.

    :raises UnsupportedTarget: when it can't be migrated to.
    """
    numbers = parse(version)
    if numbers is None:
        raise UnsupportedTarget(f"target_version {version!r} is not a release of the inference extension: give one from v1.0.0 to v1.5.0.")
    if numbers >= FIRST_REFUSED:
        raise UnsupportedTarget(
            f"target_version {version} is refused: from v1.6.0 on chart, objectives and rewrites have moved to llm-d (group llm-d.ai), "
            f"which is another migration. Choose {DEFAULT_TARGET}, the last release that has them."
        )
    if numbers < ROWS[0].since:
        raise UnsupportedTarget(f"target_version {version} is refused: the v1 API exists from v1.0.0 on. Choose {DEFAULT_TARGET}.")
    facts = next(row for row in reversed(ROWS) if row.since <= numbers)
    return Release("v" + ".".join(map(str, numbers)), facts)


def first_that_takes(endpoint: str) -> str:
    """Return the first release from which on no EPP answers 400 to an endpoint, e.g. ``v1.5.0``."""
    last = max(number for number, row in enumerate(ROWS) if endpoint in row.refuses)
    return "v" + ".".join(map(str, ROWS[last + 1].since))


def chart_policies(facts: Facts, port: int) -> dict[str, dict[str, Any]]:
    """Return spec.default of the policies that the chart writes with provider gke, by kind; ``port`` is the model servers'."""
    return {
        "HealthCheckPolicy": facts.health_check | {"config": {"type": "HTTP", "httpHealthCheck": {"requestPath": "/health", "port": port}}},
        "GCPBackendPolicy": {"timeoutSec": 300, "logging": {"enabled": True}},
    }


def gke_release(version: str) -> tuple[int, ...] | None:
    """Return a GKE server version as comparable numbers, e.g. ``v1.34.0-gke.1626000`` as (1, 34, 0, 1626000); None where the server is not GKE's."""
    found = re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)-gke\.(\d+)", version)
    return None if found is None else tuple(int(part) for part in found.groups())


def gke_ships_v1(version: str) -> bool:
    """Tell whether a server of this version is a GKE that installs the InferencePool v1 CRD itself."""
    threshold, found = gke_release(GKE_SHIPS_V1), gke_release(version)
    return found is not None and threshold is not None and found >= threshold
