# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads manifests: plain dicts, as they were made or found. Pure.

Nothing here trusts a manifest's shape: the alpha CRD accepts objects without spec, and what is found in the wild is worse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Manifest = dict[str, Any]
"""One object of the API, as its JSON says it."""

ALPHA_GROUP = "inference.networking.x-k8s.io"
V1_GROUP = "inference.networking.k8s.io"
POOL_KIND = "InferencePool"
FIELD_MANAGER = "inference-gateway-migration"
"""By which managedFields name what this collection wrote, so that what others wrote can be told from it."""
MANAGED_BY = "app.kubernetes.io/managed-by"
OURS = "inference_gateway.migration"
"""Value of MANAGED_BY on every object that is created besides the chart."""


def dig(manifest: Any, *path: str, default: Any = None) -> Any:
    """A nested field, or ``default`` where any part of the path is missing, null or no dictionary."""
    for part in path:
        # What came as JSON is a dict; asking for any Mapping takes ten times as long.
        if not isinstance(manifest, dict):
            return default
        manifest = manifest.get(part)
    return default if manifest is None else manifest


def name_of(manifest: Manifest) -> str:
    """metadata.name."""
    return dig(manifest, "metadata", "name", default="")


def namespace_of(manifest: Manifest) -> str:
    """metadata.namespace, empty for cluster-wide objects."""
    return dig(manifest, "metadata", "namespace", default="")


def describe(manifest: Manifest) -> str:
    """``Kind namespace/name``, as findings name objects."""
    where = f"{namespace_of(manifest)}/" if namespace_of(manifest) else ""
    return f"{manifest.get('kind', 'object')} {where}{name_of(manifest)}"


def age_order(manifest: Manifest) -> tuple[str, str]:
    """Sort key: oldest first, by name where the age is the same."""
    return dig(manifest, "metadata", "creationTimestamp", default=""), name_of(manifest)


def ours(manifest: Manifest) -> bool:
    """Whether this collection created an object besides the chart."""
    return dig(manifest, "metadata", "labels", MANAGED_BY) == OURS


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether a label selector (matchLabels) selects these labels."""
    return selector.items() <= labels.items()
