# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What gateways have been seen, or must be feared, to do wrong with a rule's weights. Pure; the settings ``weights`` and ``mixed`` ask for it."""
from __future__ import annotations

import dataclasses

from .model import Manifest, Share
from .settings import ALPHA_GROUP, V1_GROUP, Settings

LEAK = 0.05
"""Of a rule's traffic that a reference of weight 0 gets from a gateway that leaks."""
BROKEN = 0.3
"""Of a broken rule's requests that are answered 500."""


def shares_of(settings: Settings, route: str, references: list[Manifest], shares: tuple[Share, ...], broken: list[str]) -> tuple[Share, ...]:
    """The shares by which a rule of ``route`` (NAMESPACE/NAME) is really served; ``broken`` gets what a status says of it.

    :param references: the rule's backendRefs, one for each share.
    """
    groups = [reference.get("group") or "" for reference in references]
    illness = settings.mixed.get(route) if {ALPHA_GROUP, V1_GROUP} <= set(groups) else None
    total = sum(share.weight for share in shares)
    if illness == "broken":
        return (*(dataclasses.replace(share, weight=share.weight * round(100 * (1 - BROKEN))) for share in shares), Share(None, total * round(100 * BROKEN)))
    if illness == "fallback":
        broken.append("a rule that names pools of both groups is not supported: the rule before it is kept")
        return tuple(dataclasses.replace(share, weight=share.weight if group != V1_GROUP else 0) for share, group in zip(shares, groups)) if total else shares
    if settings.weights == "ignored":
        return tuple(dataclasses.replace(share, weight=min(1, share.weight)) for share in shares)
    if settings.weights == "leaking" and total:
        return tuple(dataclasses.replace(share, weight=share.weight * 100 or round(100 * total * LEAK)) for share in shares)
    return shares
