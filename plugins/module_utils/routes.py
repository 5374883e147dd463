# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference graph, weight arithmetic and marked routes. Pure: plain dicts in, plain dicts out.

``HTTPRoute.spec.rules`` is an atomic list, so every write replaces it whole: these functions take a route as it was read and
touch nothing but the backendRefs they were asked to move, unknown fields included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from math import gcd
from typing import Any, Literal, NamedTuple

ALPHA_GROUP = "inference.networking.x-k8s.io"
V1_GROUP = "inference.networking.k8s.io"
POOL_KIND = "InferencePool"
MAX_WEIGHT = 1_000_000
"""Gateway API's upper bound of backendRefs[].weight."""
MAX_RULES = 16
"""Gateway API's upper bound of rules in a route."""
MAX_MATCHES = 128
"""Gateway API's upper bound of matches in all rules of a route."""

PROBE_HEADER = "x-inference-gateway-migration-probe"
MARK_HEADER = "x-inference-gateway-migration-mark"
LABEL = "inference-gateway-migration/marked-route"
FIELD_MANAGER = "inference-gateway-migration"
"""By which managedFields name what this collection wrote, so that what others wrote can be told from it."""

Variant = Literal["alpha", "v1", "both"]
VARIANTS: tuple[Variant, ...] = ("alpha", "v1", "both")
Manifest = dict[str, Any]


class PoolKey(NamedTuple):
    """What a reference names. Never the name alone: pools of both groups may share name and namespace."""

    group: str
    kind: str
    namespace: str
    name: str


class RouteKey(NamedTuple):
    """One route object."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True)
class Reference:
    """One backendRef or mirror of a route.

    :param rule: index of the rule. :param index: index in the rule's backendRefs, -1 for a mirror.
    :param weight: as Gateway API counts it: 1 where it is not said.
    """

    route: RouteKey
    rule: int
    index: int
    kind: Literal["backend", "mirror"]
    target: PoolKey
    weight: int


class Drifted(Exception):
    """A rule holds weights or references that neither the user's own rule nor any step of ours would."""


def route_key(route: Manifest) -> RouteKey:
    """The key of a route manifest."""
    meta = route["metadata"]
    return RouteKey(route.get("apiVersion", "gateway.networking.k8s.io/v1"), route.get("kind", "HTTPRoute"), meta.get("namespace", "default"), meta["name"])


def target(reference: Mapping[str, Any], namespace: str) -> PoolKey:
    """What a backendRef in a route of ``namespace`` names, with Gateway API's defaults (core group, Service)."""
    return PoolKey(reference.get("group") or "", reference.get("kind") or "Service", reference.get("namespace") or namespace, reference.get("name", ""))


def opened(grant: Manifest) -> list[Manifest]:
    """Those of a ReferenceGrant's targets that are alpha pools."""
    return [entry for entry in (grant.get("spec") or {}).get("to") or [] if (entry.get("group"), entry.get("kind")) == (ALPHA_GROUP, POOL_KIND)]


def rules(route: Manifest) -> list[Manifest]:
    """The rules of a route, none where spec is missing."""
    return (route.get("spec") or {}).get("rules") or []


def references(route: Manifest) -> list[Reference]:
    """Every backendRef and every mirror of a route, in order."""
    key = route_key(route)
    return [
        Reference(key, number, index, kind, target(reference, key.namespace), reference.get("weight", 1))
        for number, rule in enumerate(rules(route))
        for kind, index, reference in _rule_references(rule)
    ]


def _rule_references(rule: Manifest) -> Iterator[tuple[Literal["backend", "mirror"], int, Mapping[str, Any]]]:
    for index, reference in enumerate(rule.get("backendRefs") or []):
        yield "backend", index, reference
        yield from (("mirror", -1, mirror) for mirror in _mirrors(reference.get("filters")))
    yield from (("mirror", -1, mirror) for mirror in _mirrors(rule.get("filters")))


def _mirrors(filters: list[Manifest] | None) -> list[Mapping[str, Any]]:
    found = ((entry.get("requestMirror") or {}).get("backendRef") for entry in filters or [] if entry.get("type") == "RequestMirror")
    return [reference for reference in found if reference]


# -- weights ------------------------------------------------------------------------------------------------------------


def move_reference(reference: Mapping[str, Any], name: str, weight: int | None = None) -> Manifest:
    """A backendRef as it was, but naming the v1 pool ``name``; ``weight`` None keeps what was said, or not said."""
    moved = deepcopy(dict(reference)) | {"group": V1_GROUP, "name": name}
    return moved if weight is None else moved | {"weight": weight}


def split_references(original: list[Manifest], namespace: str, moves: Mapping[PoolKey, str], share: int) -> list[Manifest]:
    """A rule's backendRefs with ``share`` percent of each moved reference's traffic on v1.

    A reference of weight w becomes two that sum to w times a factor common to the rule, so every other reference keeps
    its exact share.

    :param original: the rule's backendRefs before the migration.
    :param moves: alpha pool to the name of its v1 pool (in the same namespace).
    :param share: 0 to 100.
    :raises ValueError: when the rule's weights can't be split in whole numbers up to 1,000,000.
    """
    if not 0 <= share <= 100:
        raise ValueError(f"A share is a percentage from 0 to 100, not {share}.")
    weighted: list[tuple[Mapping[str, Any], str | None, int]] = []
    for reference in original:
        name = moves.get(target(reference, namespace))
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
    """1 where the weights fit as they are (90 and 10 read better than 9 and 1), else their greatest common divisor."""
    if max(weights, default=0) <= MAX_WEIGHT:
        return 1
    divisor = gcd(*weights)
    if max(weights) // divisor > MAX_WEIGHT:
        raise ValueError(f"Weights {weights} can't be split in whole numbers up to {MAX_WEIGHT}: give the rule's references smaller weights of the same ratio.")
    return divisor


def finished_references(original: list[Manifest], namespace: str, moves: Mapping[PoolKey, str]) -> list[Manifest]:
    """A rule's backendRefs after the migration: as before, but for group and name of what moved."""
    return [
        deepcopy(reference) if (name := moves.get(target(reference, namespace))) is None else move_reference(reference, name)
        for reference in original
    ]


def recognise(live: list[Manifest], original: list[Manifest], namespace: str, moves: Mapping[PoolKey, str]) -> set[int]:
    """The shares at which a live rule may stand: 0 for the user's own rule, 100 for the finished one; none where it is neither.

    Usually one; every share where all that moves weighs 0, for such a rule looks the same at each.
    """
    if live == original:
        return {0}
    if live == finished_references(original, namespace, moves):
        return {100}
    return {share for share in range(101) if live == _splittable(original, namespace, moves, share)}


def _splittable(original: list[Manifest], namespace: str, moves: Mapping[PoolKey, str], share: int) -> list[Manifest] | None:
    """The rule at a share, None at one for which there are no whole numbers."""
    try:
        return split_references(original, namespace, moves, share)
    except ValueError:
        return None


def places(live: Manifest, original: Manifest, moves: Mapping[PoolKey, str]) -> dict[int, int]:
    """Where each moved rule of a route stands in the live one: people insert and remove other rules meanwhile.

    A rule is known by all that is not ours to change, else by its place, where its own matches or filters were changed.

    :returns: index in the original to index in the live route, without those that are gone or hold references that are not ours.
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
    """A user's route as it is today (parents, hostnames, matches, filters), with the references that its moved rules had.

    Of this marked copies are made, and by this probes ask: a Gateway that became a parent meanwhile must be proven too.
    Rules keep their places in the original, by which marks are named; rules that came meanwhile are left out.
    """
    at = places(live, original, moves)
    kept = [
        rules(live)[at[number]] | {"backendRefs": rule["backendRefs"]} if number in at else rule
        for number, rule in enumerate(rules(original))
    ]
    return deepcopy(original | {"spec": live["spec"] | {"rules": kept}})


Form = Literal["original", "split", "finished"]


def reshape(live: Manifest, original: Manifest, moves: Mapping[PoolKey, str], form: Form, share: int = 0) -> Manifest:
    """A live route with the backendRefs of every moved rule in another form, and nothing else changed.

    What the user changed meanwhile elsewhere in the route stays; a moved rule whose references are not ours any more
    stops everything.

    :raises Drifted: names the route and the rule.
    """
    key = route_key(original)
    after, at = deepcopy(live), places(live, original, moves)
    for number in moved_rules(original, moves):
        before = rules(original)[number]["backendRefs"]
        if number not in at:
            found = rules(live)[number].get("backendRefs") or [] if number < len(rules(live)) else []
            raise Drifted(f"rule {number} of {key} was changed by somebody else: its backendRefs are {describe(found)}")
        rules(after)[at[number]]["backendRefs"] = (
            deepcopy(before) if form == "original"
            else finished_references(before, key.namespace, moves) if form == "finished"
            else split_references(before, key.namespace, moves, share)
        )
    return after


def moved_rules(original: Manifest, moves: Mapping[PoolKey, str]) -> list[int]:
    """Indexes of the rules that send traffic to a moved pool."""
    return sorted({reference.rule for reference in references(original) if reference.kind == "backend" and reference.target in moves})


def share_of(live: Manifest, original: Manifest, moves: Mapping[PoolKey, str]) -> int | None:
    """The share at which every moved rule of a live route stands, or None where they differ or are not ours."""
    key, at = route_key(original), places(live, original, moves)
    shares = [
        recognise(rules(live)[at[number]].get("backendRefs") or [], rules(original)[number]["backendRefs"], key.namespace, moves) if number in at else set()
        for number in moved_rules(original, moves)
    ]
    return max(set.intersection(*shares), default=None) if shares else None


def form_of(live: Manifest, original: Manifest, moves: Mapping[PoolKey, str]) -> tuple[Form, int]:
    """The form and share by which :func:`reshape` makes a live route's moved rules again. :raises Drifted: when none does."""
    forms: tuple[tuple[Form, int | None], ...] = (("original", 0), ("finished", 100), ("split", share_of(live, original, moves)))
    for form, share in forms:
        if share is not None and reshape(live, original, moves, form, share) == live:
            return form, share
    raise Drifted(f"the moved rules of {route_key(original)} stand at different shares")


def only_references_differ(before: Manifest, after: Manifest, moved: Iterable[int]) -> bool:
    """Whether two versions of a route have the same labels, annotations and spec but for the backendRefs of ``moved`` rules (indexes in them)."""
    chosen = list(moved)

    def bare(route: Manifest) -> Manifest:
        spec = deepcopy(route.get("spec") or {})
        for number in chosen:
            if number < len(spec.get("rules") or []):
                spec["rules"][number].pop("backendRefs", None)
        return {"labels": route["metadata"].get("labels"), "annotations": route["metadata"].get("annotations"), "spec": spec}

    return bare(before) == bare(after)


def describe(found: list[Manifest]) -> str:
    """References with their weights, as a message names them."""
    return ", ".join(f"{reference.get('group') or 'core'}/{reference.get('name')} weight {reference.get('weight', 1)}" for reference in found) or "gone"


# -- marked routes ------------------------------------------------------------------------------------------------------


def mark(variant: Variant, rule: int, index: int) -> str:
    """The value by which one marked rule answers."""
    return f"{variant}-{rule}-{index}"


def probe_value(nonce: str, variant: Variant, rule: int, index: int) -> str:
    """The request header value that leads into one marked rule."""
    return f"{nonce}-{mark(variant, rule, index)}"


def marked_routes(original: Manifest, moves: Mapping[PoolKey, str], variant: Variant, nonce: str) -> list[Manifest]:
    """Copies of a user's rules that only probes reach, for one variant.

    One rule a moved reference: same parents, hostnames, matches and filters (mirrors excepted: a copy must not double
    somebody else's traffic) plus a header match with the nonce, and a response header by which its answers are known.
    Until a gateway has programmed the copy, probes fall through to the user's rule; without the mark that would count.
    The variant ``both`` sends half to each stack: the rehearsal of a mixed rule, before any user meets one.
    """
    key = route_key(original)
    copies = [
        _marked_rule(rules(original)[reference.rule], reference, moves, variant, nonce)
        for reference in references(original)
        if reference.kind == "backend" and reference.target in moves
    ]
    spec = {field: value for field, value in original["spec"].items() if field != "rules"}
    return [
        {
            "apiVersion": key.api_version,
            "kind": key.kind,
            "metadata": {"name": f"{key.name[:200]}-{nonce}-{variant}-{number}", "namespace": key.namespace, "labels": {LABEL: variant}},
            "spec": deepcopy(spec) | {"rules": chunk},
        }
        for number, chunk in enumerate(_chunks(copies))
    ]


def _marked_rule(rule: Manifest, reference: Reference, moves: Mapping[PoolKey, str], variant: Variant, nonce: str) -> Manifest:
    copy = deepcopy(rule)
    copy.pop("name", None)
    header = {"type": "Exact", "name": PROBE_HEADER, "value": probe_value(nonce, variant, reference.rule, reference.index)}
    copy["matches"] = [match | {"headers": [*(match.get("headers") or []), header]} for match in copy.get("matches") or [{}]]
    copy["filters"] = _with_mark(copy.get("filters") or [], mark(variant, reference.rule, reference.index))
    backend = rule["backendRefs"][reference.index]
    if backend.get("filters"):
        backend = backend | {"filters": _without_mirrors(backend["filters"])}
    alpha, v1 = deepcopy(backend) | {"weight": 1}, move_reference(backend, moves[reference.target], 1)
    copy["backendRefs"] = {"alpha": [alpha], "v1": [v1], "both": [alpha, v1]}[variant]
    return copy


def _with_mark(filters: list[Manifest], value: str) -> list[Manifest]:
    """The filters without mirrors and with the mark; a rule may hold one ResponseHeaderModifier only, so it joins the user's."""
    kept = deepcopy(_without_mirrors(filters))
    header = {"name": MARK_HEADER, "value": value}
    own = next((entry for entry in kept if entry.get("type") == "ResponseHeaderModifier"), None)
    if own is None:
        return [*kept, {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [header]}}]
    own.setdefault("responseHeaderModifier", {}).setdefault("set", []).append(header)
    return kept


def _without_mirrors(filters: list[Manifest]) -> list[Manifest]:
    return [entry for entry in filters if entry.get("type") != "RequestMirror"]


def _chunks(copies: list[Manifest]) -> list[list[Manifest]]:
    """Rules in routes that respect Gateway API's limits of rules and matches."""
    chunks: list[list[Manifest]] = []
    for copy in copies:
        full = not chunks or len(chunks[-1]) == MAX_RULES or sum(len(rule["matches"]) for rule in [*chunks[-1], copy]) > MAX_MATCHES
        if full:
            chunks.append([])
        chunks[-1].append(copy)
    return chunks
