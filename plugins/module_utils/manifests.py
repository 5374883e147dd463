# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads manifests: objects of the Kubernetes API as plain dicts. Pure.

No function here trusts a manifest's shape: the alpha CRD accepts objects without spec, and clusters hold worse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Manifest = dict[str, Any]
"""One object of the Kubernetes API, or a part of one, as its JSON holds it."""

ALPHA_GROUP = "inference.networking.x-k8s.io"
V1_GROUP = "inference.networking.k8s.io"
POOL_KIND = "InferencePool"
FIELD_MANAGER = "inference-gateway-migration"
"""The manager under which managedFields list what this collection wrote, which tells it from what others wrote."""
MANAGED_BY = "app.kubernetes.io/managed-by"
OURS = "inference_gateway.migration"
"""Value of label MANAGED_BY on every object that this collection creates itself, not through the chart."""


def dig(manifest: Any, *path: str, default: Any = None) -> Any:
    """Return a nested field, or ``default`` where any part of the path is missing, null or not in a dict."""
    for part in path:
        # What came as JSON is a dict; asking for any Mapping takes ten times as long.
        if not isinstance(manifest, dict):
            return default
        manifest = manifest.get(part)
    return default if manifest is None else manifest


def name_of(manifest: Manifest) -> str:
    """Return metadata.name, empty where it is missing."""
    return dig(manifest, "metadata", "name", default="")


def namespace_of(manifest: Manifest) -> str:
    """Return metadata.namespace, empty for cluster-scoped objects."""
    return dig(manifest, "metadata", "namespace", default="")


def describe(manifest: Manifest) -> str:
    """Return ``Kind namespace/name``, the form in which findings name objects."""
    where = f"{namespace_of(manifest)}/" if namespace_of(manifest) else ""
    return f"{manifest.get('kind', 'object')} {where}{name_of(manifest)}"


def age_order(manifest: Manifest) -> tuple[str, str]:
    """Return a sort key for objects: oldest first, by name where creationTimestamp is the same."""
    return dig(manifest, "metadata", "creationTimestamp", default=""), name_of(manifest)


def ours(manifest: Manifest) -> bool:
    """Tell whether this collection created an object itself, not through the chart."""
    return dig(manifest, "metadata", "labels", MANAGED_BY) == OURS


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Tell whether a label selector (matchLabels) selects these labels; an empty one selects all."""
    return selector.items() <= labels.items()


def selects_labels(selector: Manifest | None, labels: Mapping[str, str]) -> bool:
    """Tell whether a LabelSelector (matchLabels and matchExpressions) selects these labels; an empty one selects all."""
    wanted = selector or {}
    return all(labels.get(name) == value for name, value in (wanted.get("matchLabels") or {}).items()) and all(
        _expression(entry, labels) for entry in wanted.get("matchExpressions") or []
    )


def _expression(entry: Manifest, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(entry.get("key", "")), entry.get("values") or []
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }.get(entry.get("operator", ""), False)
