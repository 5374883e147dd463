# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says what the v1 endpoint picker asks of its node: no less than alpha's asks, nor than it is seen to use. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.epp_flags import quantity
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, dig

Section = dict[str, str]
"""Names of resources to quantities, e.g. ``memory`` to ``8Gi``."""

STEPS = {
    "cpu": ("250m", "500m", "1", "2", "4", "8", "16", "32"),
    "memory": ("256Mi", "512Mi", "1Gi", "2Gi", "4Gi", "8Gi", "16Gi", "32Gi", "64Gi"),
}
"""Amounts to which a use beyond the request is rounded up: a plan that is approved must be the same one when it is made again."""


def seen(usage: Iterable[Manifest], container: str) -> dict[str, Decimal]:
    """Return the most that one pod's container is seen to use of each resource; empty where nothing is known.

    :param usage: PodMetrics of the picker's pods.
    """
    most: dict[str, Decimal] = {}
    for pod in usage:
        for entry in dig(pod, "containers", default=[]):
            if entry.get("name") == container:
                for name in STEPS:
                    most[name] = max(most.get(name, Decimal(0)), Decimal(quantity(dig(entry, "usage", name)) or 0))
    return {name: amount for name, amount in most.items() if amount}


def rounded(name: str, amount: Decimal) -> str:
    """Return the least of :data:`STEPS` that is no less than this amount of a resource, else the last of them."""
    return next((step for step in STEPS[name] if (quantity(step) or 0) >= amount), STEPS[name][-1])


def asked(alpha: Mapping[str, Any]) -> Section:
    """Return the requests of a container's resources; where one is missing beside its limit, the API server takes the limit."""
    return dig(dict(alpha), "limits", default={}) | dig(dict(alpha), "requests", default={})


def preserved(alpha: Mapping[str, Any], used: Mapping[str, Decimal], chart: Mapping[str, Section]) -> dict[str, Section]:
    """Return ``requests`` and ``limits`` of the v1 EPP's container; empty where alpha's asks nothing, nothing is known of its use, and the chart sets none.

    Every limit is at least its request, since the API server refuses less, and at least the chart's, since v1 may need more than alpha. A limit of which
    alpha's container asks nothing gets a small request, or the API server would take the limit for it.

    :param alpha: resources of the alpha EPP's container. :param used: what :func:`seen` returns. :param chart: resources in the chart's own values.
    """
    requests = asked(alpha)
    for name, most in used.items():
        if name not in requests or (quantity(requests[name]) or most) < most:
            requests[name] = rounded(name, most)
    limits = dict(dig(dict(alpha), "limits", default={}))
    for name, amount in chart.get("limits", {}).items():
        limits[name] = _larger(limits.get(name), amount)
        requests.setdefault(name, STEPS[name][0])
    limits = {name: _larger(amount, requests[name]) for name, amount in limits.items()}
    return {section: amounts for section, amounts in (("requests", requests), ("limits", limits)) if amounts}


def chart_value(wanted: Mapping[str, Section], chart: Mapping[str, Section]) -> dict[str, Any]:
    """Return the chart's ``resources`` value that gives the v1 EPP exactly these resources.

    Helm merges values into the chart's own, so a request that is not wanted is 0, or the chart's figure would stay. A null would do at the top alone: within
    a section Helm 3.19 writes it into the Deployment, which its own validation refuses (seen with charts v1.4.0 and v1.5.0).

    :param wanted: what :func:`preserved` returns for ``chart``, so that each of the chart's limits is in it. :param chart: resources in the chart's own values.
    """
    requests = dict.fromkeys(chart.get("requests", {}), "0") | wanted.get("requests", {})
    return {section: amounts for section, amounts in (("limits", wanted.get("limits")), ("requests", requests)) if amounts}


def _larger(one: str | None, other: str) -> str:
    """Return the larger of two quantities, the first one where they are equal, or where it can't be read."""
    if one is None:
        return other
    first = quantity(one)
    return one if first is None or first >= (quantity(other) or 0) else other
