# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells what NetworkPolicies admit, by pod labels alone. Pure.

Peers that are given by namespace or IP block alone count as admitting everybody: a warning must not be a guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, dig, selects_labels

Direction = Literal["Ingress", "Egress"]
Labels = Mapping[str, str]


def applying(policies: Iterable[Manifest], direction: Direction, pods: Labels) -> list[Manifest]:
    """Return the policies that govern one direction for pods; one without policyTypes governs ingress, and egress if it has egress rules."""
    return [
        policy for policy in policies
        if direction in (dig(policy, "spec", "policyTypes") or ["Ingress", *(["Egress"] if dig(policy, "spec", "egress") else [])])
        and selects_labels(dig(policy, "spec", "podSelector"), pods)
    ]


def _admits(policy: Manifest, peer: Labels) -> bool:
    """Tell whether an ingress rule of a policy lets pods with these labels in."""
    return any(
        not sources or any("podSelector" not in source or selects_labels(source["podSelector"], peer) for source in sources)
        for rule in dig(policy, "spec", "ingress", default=[])
        for sources in [rule.get("from") or []]
    )


def admitting_only(policies: Iterable[Manifest], pods: Labels, old: Labels, new: Labels) -> list[Manifest]:
    """Return the policies on pods with labels ``pods`` that let pods with labels ``old`` in; none if any policy lets ``new`` in."""
    governing = applying(policies, "Ingress", pods)
    return [] if any(_admits(policy, new) for policy in governing) else [policy for policy in governing if _admits(policy, old)]


def closing(policies: Iterable[Manifest], direction: Direction, old: Labels, new: Labels) -> list[Manifest]:
    """Return the policies that close a direction for pods with labels ``new`` altogether; none unless some policy opens it for ``old``."""
    policies, rules = list(policies), direction.lower()
    mine = applying(policies, direction, new)
    opened = any(dig(policy, "spec", rules) for policy in applying(policies, direction, old))
    return mine if opened and not any(dig(policy, "spec", rules) for policy in mine) else []
