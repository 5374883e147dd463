# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Computes the backendRefs of a rule at each step, and tells at which step a live rule stands. Pure.

``HTTPRoute.spec.rules`` is an atomic list, so every write replaces it whole: these functions take a route as it was read, change
only the backendRefs that move, and keep all else, unknown fields included.

Everywhere here ``original`` is the route or rule before the migration; ``moves`` is alpha pool to the name of its v1 pool in the same namespace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from math import gcd
from typing import Any, Literal

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import V1_GROUP, Manifest
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import (
    PoolKey,
    describe_references,
    pool_key,
    references,
    route_key,
    rules,
)

MAX_WEIGHT = 1_000_000
"""Gateway API's limit of backendRefs[].weight: https://gateway-api.sigs.k8s.io/reference/spec/ (BackendRef)."""


class Drifted(Exception):
    """A moved rule holds references or weights of somebody else: neither the user's own nor those of any step."""


def move_reference(reference: Mapping[str, Any], name: str, weight: int | None = None) -> Manifest:
    """Return a backendRef as it was, but with the v1 pool ``name``; ``weight`` None keeps the weight too, given or not."""
    moved = deepcopy(dict(reference)) | {"group": V1_GROUP, "name": name}
    return moved if weight is None else moved | {"weight": weight}


def split_references(original: list[Manifest], namespace: str, moves: Mapping[PoolKey, str], share: int) -> list[Manifest]:
    """Return a rule's backendRefs with ``share`` percent of each moved reference's traffic on v1.

    A moved reference becomes two, and all weights are multiplied by one factor: the two sum to the old weight times that
    factor, so every other reference keeps its exact part of the rule's traffic.

    :param original: the rule's backendRefs before the migration.
    :param namespace: of the route.
    :raises ValueError: when the share is not from 0 to 100, or the weights can't be split in whole numbers up to 1,000,000.
    """
    if not 0 <= share <= 100:
        raise ValueError(f"A share is a percentage from 0 to 100, not {share}.")
    weighted: list[tuple[Mapping[str, Any], str | None, int]] = []
    for reference in original:
        name = moves.get(pool_key(reference, namespace))
        weight = reference.get("weight", 1)
        if name is None:
            weighted.append((reference, None, weight * 100))
        else:
            weighted.append((reference, None, weight * (100 - share)))
            weighted.append((reference, name, weight * share))
    divisor = _divisor([weight for *rest, weight in weighted])
    return [
        deepcopy(dict(reference)) | {"weight": weight // divisor} if name is None else move_reference(reference, name, weight // divisor)
        for reference, name, weight in weighted
    ]


def _divisor(weights: list[int]) -> int:
    """Return what to divide weights by: 1 where they fit as they are (90 and 10 read better than 9 and 1), else their greatest common divisor."""
    if max(weights, default=0) <= MAX_WEIGHT:
        return 1
    divisor = gcd(*weights)
    if max(weights) // divisor > MAX_WEIGHT:
        raise ValueError(f"Weights {weights} can't be split in whole numbers up to {MAX_WEIGHT}: give the rule's references smaller weights of the same ratio.")
    return divisor


def finished_references(original: list[Manifest], namespace: str, moves: Mapping[PoolKey, str]) -> list[Manifest]:
    """Return a rule's backendRefs after the migration: as before, but for group and name of the moved ones."""
    return [
        deepcopy(reference) if (name := moves.get(pool_key(reference, namespace))) is None else move_reference(reference, name)
        for reference in original
    ]


def recognise(live: list[Manifest], original: list[Manifest], namespace: str, moves: Mapping[PoolKey, str]) -> set[int]:
    """Return the shares, in percent, at which a live rule may stand, by its backendRefs; empty where those are somebody else's.

    The user's own rule stands at 0, the finished one at 100. Usually one share fits; where all moved references weigh 0, a
    split rule looks the same at every share, so all fit. In a split rule only the ratio of the weights counts: a person may write 1 and 0 for 100 and 0.
    """
    if live == original:
        return {0}
    if live == finished_references(original, namespace, moves):
        return {100}
    found = _ratio(live)
    return {share for share in range(101) if (split := splittable(original, namespace, moves, share)) is not None and found == _ratio(split)}


def _ratio(refs: list[Manifest]) -> list[Manifest]:
    """Return backendRefs with weights divided by their greatest common divisor."""
    divisor = gcd(*(reference.get("weight", 1) for reference in refs)) or 1
    return [dict(reference) | {"weight": reference.get("weight", 1) // divisor} for reference in refs]


def splittable(original: list[Manifest], namespace: str, moves: Mapping[PoolKey, str], share: int) -> list[Manifest] | None:
    """Return a rule's backendRefs at a share, None where whole numbers can't express it."""
    try:
        return split_references(original, namespace, moves, share)
    except ValueError:
        return None


def places(live: Manifest, original: Manifest, moves: Mapping[PoolKey, str]) -> dict[int, int]:
    """Find each moved rule in the live route, since people insert and remove other rules meanwhile.

    A rule is found by everything in it but its backendRefs; where somebody changed its matches or filters, by its index.

    :returns: index in the original to index in the live route; a rule that is gone, or whose backendRefs are somebody else's, is left out.
    """
    namespace = route_key(original).namespace
    found: dict[int, int] = {}
    for known_by_itself in (True, False):
        for number in moved_rules(original, moves):
            if number in found:
                continue
            before = rules(original)[number]
            fitting = [
                index for index, rule in enumerate(rules(live))
                if index not in found.values()
                and (_bare(rule) == _bare(before) if known_by_itself else index == number)
                and recognise(rule.get("backendRefs") or [], before["backendRefs"], namespace, moves)
            ]
            if fitting:
                found[number] = number if number in fitting else fitting[0]
    return found


def _bare(rule: Manifest) -> Manifest:
    return {field: value for field, value in rule.items() if field != "backendRefs"}


def current(live: Manifest, original: Manifest, moves: Mapping[PoolKey, str]) -> Manifest:
    """Return a user's route as it is live (parents, hostnames, matches, filters), but with the backendRefs that it had before the migration.

    Probe routes and probe targets are made from it: a Gateway that became a parent meanwhile must be proven too. Every rule
    keeps its index in the original, which is part of the marks; rules that were added meanwhile are left out.
    """
    at = places(live, original, moves)
    kept = [
        rules(live)[at[number]] | {"backendRefs": rule["backendRefs"]} if number in at else rule
        for number, rule in enumerate(rules(original))
    ]
    return deepcopy(original | {"spec": live["spec"] | {"rules": kept}})


Form = Literal["original", "split", "finished"]
"""The backendRefs of a moved rule: the user's own, both stacks at a share, or v1 in place of v1alpha2."""


def reshape(live: Manifest, original: Manifest, moves: Mapping[PoolKey, str], form: Form, share: int = 0) -> Manifest:
    """Return a live route with the backendRefs of every moved rule in a form, and nothing else changed.

    What users changed elsewhere in the route stays.

    :param share: in percent, for form ``split``.
    :raises Drifted: when a moved rule is gone or its backendRefs are somebody else's; names the route and the rule.
    """
    key = route_key(original)
    after, at = deepcopy(live), places(live, original, moves)
    for number in moved_rules(original, moves):
        before = rules(original)[number]["backendRefs"]
        if number not in at:
            found = rules(live)[number].get("backendRefs") or [] if number < len(rules(live)) else []
            raise Drifted(f"rule {number} of {key} was changed by somebody else: its backendRefs are {describe_references(found)}")
        rules(after)[at[number]]["backendRefs"] = (
            deepcopy(before) if form == "original"
            else finished_references(before, key.namespace, moves) if form == "finished"
            else split_references(before, key.namespace, moves, share)
        )
    return after


def moved_rules(original: Manifest, moves: Mapping[PoolKey, str]) -> list[int]:
    """Return the indexes of the rules with a backendRef to a moved pool."""
    return sorted({reference.rule for reference in references(original) if reference.kind == "backend" and reference.target in moves})


def share_of(live: Manifest, original: Manifest, moves: Mapping[PoolKey, str]) -> int | None:
    """Return the share at which every moved rule of a live route stands, or None where they differ or are somebody else's."""
    key, at = route_key(original), places(live, original, moves)
    shares = [
        recognise(rules(live)[at[number]].get("backendRefs") or [], rules(original)[number]["backendRefs"], key.namespace, moves) if number in at else set()
        for number in moved_rules(original, moves)
    ]
    return max(set.intersection(*shares), default=None) if shares else None


def form_of(live: Manifest, original: Manifest, moves: Mapping[PoolKey, str]) -> tuple[Form, int]:
    """Return the form and share of a live route's moved rules, so that :func:`reshape` can restore them. :raises Drifted: when they have no common one."""
    forms: tuple[tuple[Form, int | None], ...] = (("original", 0), ("finished", 100), ("split", share_of(live, original, moves)))
    for form, share in forms:
        if share is not None and (form == "split" or reshape(live, original, moves, form, share) == live):
            return form, share
    raise Drifted(f"the moved rules of {route_key(original)} stand at different shares")


def only_references_differ(before: Manifest, after: Manifest, moved: Iterable[int]) -> bool:
    """Tell whether labels, annotations and spec of a route are the same before and after but for the backendRefs of rules ``moved`` (indexes)."""
    chosen = list(moved)

    def bare(route: Manifest) -> Manifest:
        spec = deepcopy(route.get("spec") or {})
        for number in chosen:
            if number < len(spec.get("rules") or []):
                spec["rules"][number].pop("backendRefs", None)
        return {"labels": route["metadata"].get("labels"), "annotations": route["metadata"].get("annotations"), "spec": spec}

    return bare(before) == bare(after)
