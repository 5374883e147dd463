# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells from a namespace's Pod Security level and ResourceQuotas which pods the server will refuse there. Pure.

Only what is certain is said; for the rest the server itself is asked, before the installation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.epp_flags import quantity
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, dig

ENFORCE = "pod-security.kubernetes.io/enforce"
"""Label of a namespace: the level of Pod Security below which the server refuses pods."""


class Shortage(NamedTuple):
    """A resource of a quota that some pods do not fit into. :param phrase: for a sentence. :param unsaid: whether that is because they do not say it."""

    phrase: str
    unsaid: bool


def unsaid_for_restricted(spec: Manifest) -> list[str]:
    """Return what a pod's spec does not say though Pod Security level ``restricted`` wants it, e.g. ``["runAsNonRoot"]``.

    Controls that a pod breaks only by saying something (host namespaces, volumes of certain kinds) are left to the server.

    Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
    """
    pod = dig(spec, "securityContext", default={})
    every = [dig(entry, "securityContext", default={}) for field in ("initContainers", "containers") for entry in dig(spec, field, default=[])]
    return [name for name, said in (
        ("runAsNonRoot", all(entry.get("runAsNonRoot", pod.get("runAsNonRoot")) is True for entry in every)),
        ("allowPrivilegeEscalation: false", all(entry.get("allowPrivilegeEscalation") is False for entry in every)),
        ("capabilities.drop: [ALL]", all("ALL" in dig(entry, "capabilities", "drop", default=[]) for entry in every)),
        ("seccompProfile", all(entry.get("seccompProfile") or pod.get("seccompProfile") for entry in every)),
    ) if not said]


def charges(spec: Manifest) -> dict[str, Decimal | None]:
    """Return what a quota counts of one pod, by the quota's names; None for what one of its containers does not say.

    A request that is not said is the limit.
    """
    found: dict[str, Decimal | None] = {"pods": Decimal(1), "count/pods": Decimal(1)}
    for name in ("cpu", "memory"):
        asked = [dig(entry, "resources", default={}) for entry in dig(spec, "containers", default=[])]
        limits = [quantity(dig(entry, "limits", name)) for entry in asked]
        requests = [quantity(dig(entry, "requests", name, default=dig(entry, "limits", name))) for entry in asked]
        found |= {f"limits.{name}": _sum(limits), f"requests.{name}": _sum(requests), name: _sum(requests)}
    return found


def _sum(amounts: list[Decimal | None]) -> Decimal | None:
    return None if None in amounts else sum((amount for amount in amounts if amount is not None), Decimal(0))


def exceeded(quota: Manifest, pods: Iterable[Mapping[str, Decimal | None]], defaults: bool) -> Iterator[Shortage]:
    """Yield each resource of a quota that some pods do not fit into, or do not say.

    Admission goes by the quota's status. A quota with scopes counts only some pods, and is left to the server.

    :param pods: what :func:`charges` says of each. :param defaults: whether a LimitRange may give containers what they do not say.
    """
    every = list(pods)
    if dig(quota, "spec", "scopes") or dig(quota, "spec", "scopeSelector"):
        return
    used = dig(quota, "status", "used", default={})
    for name, hard in sorted(dig(quota, "status", "hard", default={}).items()):
        amounts = [each[name] for each in every if name in each]
        if not amounts:
            continue
        total, there, most = _sum(amounts), quantity(used.get(name, "0")), quantity(hard)
        if total is None and not defaults:
            yield Shortage(f"it wants every pod to say {name}, and the v1 endpoint picker's says none", True)
        elif total is not None and there is not None and most is not None and there + total > most:
            yield Shortage(f"{used.get(name, '0')} of {hard} {name} are used, and v1 asks for {_short(total)} more beside v1alpha2", False)


def _short(amount: Decimal) -> str:
    """Return an amount for a sentence: bytes in Mi, anything else as a number."""
    return f"{amount / 2**20:.0f}Mi" if amount >= 2**20 else f"{amount.normalize():f}"
