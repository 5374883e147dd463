# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures from outside which share of a rule's traffic v1 really serves. Pure.

A tracer request is a request through the user's own rule for a model that nobody uses. EPP v0.3.0 answers it with 404 itself, with an empty
body; EPP v0.5 and v1's EPPs pass it on, and the model server's 404 comes back with a body and the EPP's header (seen). EPP v0.5 and v1 are
told apart by a header that only v1's EPPs heed, from v1.0.0 on: it names another model to ask the server for, and vLLM's 404 says which one
it was asked for (seen). So a tracer request costs no GPU, except where :func:`tracer` says otherwise, and shows which stack answered. How each
stack answers is not assumed: tracer requests through the probe routes show it first.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from math import inf
from typing import Any, Literal, NamedTuple

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import V1_GROUP, Manifest
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.load import ProbeLoad
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sending import Look, paced
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.split_statistics import Expected, ShareTest, shed
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import (
    CHAT,
    COMPLETIONS,
    OWN,
    POLICY_STATUSES,
    TOO_MANY,
    Probe,
    ProbeTarget,
    probe,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.probe_routes import Variant
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey, references

STACKS: tuple[Variant, Variant] = ("alpha", "v1")
SAMPLES = 3
"""Tracer requests that are sent through each probe rule to see how a stack answers."""

REWRITE_HEADER = "x-gateway-model-name-rewrite"
"""ModelNameRewriteKey of the EPP in v1.0.0 to v1.5.0; v0.5.1 does not know it. See
https://github.com/kubernetes-sigs/gateway-api-inference-extension/blob/v1.5.0/pkg/epp/metadata/consts.go."""


class Signature(NamedTuple):
    """What an answer to a tracer request looks like.

    :param body: whether it has one. :param picker: whether an EPP's header is on it. :param names: the model that the body names: the one ``asked`` for in the
        tracer request's body, the one ``rewritten`` by its header, or neither.
    """

    status: int
    body: bool
    picker: bool
    names: Literal["asked", "rewritten", ""]


@dataclass(frozen=True)
class Group:
    """One rule at one Gateway address, which has one set of weights.

    :param target: the target by which it is asked. :param critical: a target for a model that no EPP sheds, None where the rule has none.
    """

    target: ProbeTarget
    critical: ProbeTarget | None = field(default=None, compare=False)

    def __str__(self) -> str:
        place = self.target.address
        return f"rule {self.target.rule} of {self.target.route} at {place.gateway} {place.host}:{place.port}"

    @property
    def key(self) -> str:
        """What names it from one module execution to the next: several listeners may be at one host and port."""
        return f"{self}, listener {self.target.address.listener.name}"


def groups(targets: list[ProbeTarget], critical: Collection[str] = ()) -> list[Group]:
    """Return one group for each rule and address, asked by the endpoint that most servers have; user-defined probes make none.

    :param critical: models that no EPP sheds.
    """
    found: dict[tuple[Any, ...], ProbeTarget] = {}
    spared: dict[tuple[Any, ...], ProbeTarget] = {}
    order = {COMPLETIONS: 0, CHAT: 1}
    for target in sorted(targets, key=lambda target: (target.stream, order.get(target.endpoint, 2))):
        if target.endpoint != OWN:
            place = (target.address, target.route, target.rule)
            found.setdefault(place, target)
            if target.model in critical:
                spared.setdefault(place, target)
    return [Group(target, spared.get(place)) for place, target in found.items()]


def without_tracers(targets: list[ProbeTarget]) -> list[str]:
    """Return a sentence for each rule and address that only user-defined probes reach.

    These can't be made into tracer requests: which models they may ask for is not known.
    """
    own = {(target.address, target.route, target.rule): target for target in targets if target.endpoint == OWN}
    for target in targets:
        if target.endpoint != OWN:
            own.pop((target.address, target.route, target.rule), None)
    return [f"{Group(target)}: only requests of your own reach it" for target in own.values()]


def tracer(target: ProbeTarget, variant: Variant | None, nonce: str, own: bool = False) -> Probe:
    """Make the tracer request for a target: its model has the migration's nonce in its name, so nobody else uses it.

    Where the model decides the rule it must be the rule's own. Then v1alpha2 answers with one token, and v1 as ever, for it heeds the header.

    :param own: whether it is to be the target's own in any case.
    """
    model = target.model if target.by_model or own else f"nobody-uses-{nonce}"
    asked = probe(replace(target, model=model, stream=False), variant, nonce, {})
    return replace(asked, headers=(*asked.headers, (REWRITE_HEADER, f"rewritten-{nonce}")), tokens=1)


def signature(request: Probe, status: int, body: bytes, picker: bool) -> Signature:
    """Return the signature of one answer to a tracer request. :param picker: whether an EPP's header is on it."""
    rewritten = dict(request.headers)[REWRITE_HEADER]
    names: Literal["asked", "rewritten", ""] = "rewritten" if rewritten.encode() in body else "asked" if request.target.model.encode() in body else ""
    return Signature(status, bool(body), picker, names)


def silent(found: Signature | None) -> bool:
    """Tell whether no answer came, or a 429, which either stack may have given (EPP v0.5 sheds requests for unknown models first)."""
    return found is None or found.status == TOO_MANY


def inconclusive(found: Signature | None) -> bool:
    """Tell whether an answer that has neither stack's signature may be either's: none, a 429, a server's error (5xx), or a policy's refusal before them."""
    return found is None or silent(found) or found.status >= 500 or (found.status in POLICY_STATUSES and not found.picker)


def alike(found: list[Signature | None]) -> Signature | None:
    """Return the one signature with which a stack answered all tracer requests, or None where it answered in several ways, or not at all.

    Marks are not looked at, because an EPP's own 404 bears none: that the probe routes serve must be known before.
    """
    kinds = set(found)
    return kinds.pop() if len(kinds) == 1 else None


def expected(route: Manifest, rule: int, pools: Mapping[PoolKey, Manifest]) -> Expected:
    """Return the parts of traffic that the weights of a route's rule give to each stack; all 0 where it has no weight.

    :param pools: every pool of the migration, of both groups.
    """
    weights, others = Counter[str](), Counter[Any]()
    for reference in references(route):
        if reference.kind == "backend" and reference.rule == rule:
            ours = "v1" if reference.target.group == V1_GROUP else "alpha"
            weights[ours if reference.target in pools else "other"] += reference.weight
            others[reference.target] += 0 if reference.target in pools else reference.weight
    total, least = sum(weights.values()), min(filter(None, others.values()), default=0)
    return Expected(weights["alpha"] / total, weights["v1"] / total, weights["other"] / total, least / total) if total else Expected(0.0, 0.0)


Outcome = Literal["open", "right", "wrong", "unsure", "blind", "undecided"]
"""How far the measurement of one group is: ``wrong`` and ``unsure`` until the next execution begins it anew, the others but ``open`` stand."""


@dataclass
class Tally:
    """What one group has answered so far, as it goes from one module execution to the next.

    :param known: how each stack answers; without an entry for one that answers in several ways, for instance because it is ill.
    :param counts: answers of this measurement by who gave them: ``alpha``, ``v1``, ``inconclusive`` (by either), or ``other`` (another backend).
    :param said: why it is unsure, blind or undecided. :param fault: how the share was wrong, until it is right again.
    :param wrong: measurements that doubted the share. :param right: those since then that did not; one more than ``wrong`` is wanted.
    :param spared: whether it is asked for a model that no EPP sheds, since models that nobody uses were shed. EPP v0.5 sheds them even where none of its users
        meets a 429: whenever it asks its pods for their load less often than each 200 ms (seen).
    """

    known: dict[str, Signature] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    outcome: Outcome = "open"
    said: str = ""
    fault: str = ""
    wrong: int = 0
    right: int = 0
    spared: bool = False

    @classmethod
    def load(cls, data: Mapping[str, Any] | None) -> Tally:
        """Make it from what :meth:`dump` returned; a group that was wrong or unsure begins a measurement."""
        if not data:
            return cls()
        found = cls(**{**data, "known": {who: Signature(*seen) for who, seen in data["known"].items()}, "counts": Counter(data["counts"])})
        return found.again() if found.outcome in ("wrong", "unsure") else found

    def again(self, spared: bool = False) -> Tally:
        """Return the beginning of another measurement of the group."""
        return Tally(fault=self.fault, wrong=self.wrong, spared=spared or self.spared)

    def dump(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self) | {"known": {who: list(seen) for who, seen in self.known.items()}, "counts": dict(self.counts)}

    @property
    def sent(self) -> int:
        """Tracer requests of this measurement through the user's own rule."""
        return sum(self.counts.values())

    def learn(self, samples: Mapping[str, list[Signature | None]], wanted: Expected) -> None:
        """Note how each stack answers, or why nothing can be told. :param samples: answers to tracer requests through the probe routes, by stack."""
        found = {who: alike([answer for answer in answers if not silent(answer)]) for who, answers in samples.items()}
        self.known = {who: seen for who, seen in found.items() if seen}
        if all(map(silent, itertools.chain(*samples.values()))):
            self.outcome, self.said = "unsure", f"no tracer request by the probe routes was answered, or by {TOO_MANY} alone"
        elif len(set(self.known.values())) < len(self.known) or not self.known:
            self.outcome = "blind"
            self.said = f"{'the stacks answer alike' if self.known else 'neither stack answers in one way'} to a model that nobody uses"
        elif wanted.other and len(self.known) < len(STACKS):
            self.outcome, self.said = "blind", "the rule has other backends too, and one stack answers a model that nobody uses in several ways"
        elif not wanted.alpha + wanted.v1:
            self.outcome, self.said = "blind", "its weights give neither stack anything"

    def note(self, found: Signature | None) -> None:
        """Count one answer."""
        unknown = "inconclusive" if inconclusive(found) else "other"
        self.counts[next((who for who, signature in self.known.items() if signature == found), unknown)] += 1

    def judge(self, test: ShareTest, wanted: Expected, most: int) -> None:
        """Take what the counts say, if they say anything yet. :param most: tracer requests of one measurement."""
        ruling, sent = test.rule(self.known, self.counts, wanted), self.sent
        if ruling == "undecided" and sent < most:
            return
        if ruling == "wrong":
            who = test.wrong(self.known, self.counts, wanted) or ""
            part = f"({self.counts[who] / sent:.1%}) where its weight says {wanted.of(who):.1%}"
            self.fault = f"{who} answered {self.counts[who]} of {sent} tracer requests {part}"
            self.outcome, self.wrong, self.right = "wrong", self.wrong + 1, 0
        elif shed(self.counts):
            seen = f"{self.counts['inconclusive']} of {sent} tracer requests"
            self.outcome, self.said = "unsure", f"{seen} were answered {TOO_MANY} or by an error, or not at all"
        elif ruling == "right" and self.right == self.wrong:
            self.outcome, self.fault, self.right = "right", "", self.right + 1
        elif self.wrong:
            self.counts, self.right = Counter(), self.right + 1 if ruling == "right" else 0
        else:
            why = "other backends of the rule answer as a stack does" if ruling == "alike" else f"as many as may be sent (tracers {most}) do not tell its share"
            self.outcome, self.said = "undecided", f"{why}: {self}"

    def __str__(self) -> str:
        """Say how many tracer requests each known stack answered."""
        return " and ".join(f"{who} {self.counts[who]}" for who in self.known) + f" of {self.sent} tracer requests"


@dataclass(frozen=True)
class TrafficSplit:
    """What the tracer requests of one measurement say so far.

    :param done: whether every group has been measured, or can't be. :param faults: groups whose share was wrong, and not yet right often enough.
    :param unsure: groups of which too many tracer requests were inconclusive. :param blind: groups in which nothing tells the stacks apart.
    :param undecided: groups whose share so many tracer requests as may be sent do not tell. :param counted: what each group answered, as a line for a person.
    :param left: how many groups are still to be asked. :param tally: what the next execution goes on from. :param sent: tracer requests of this execution.
    """

    done: bool
    faults: tuple[str, ...]
    unsure: tuple[str, ...]
    blind: tuple[str, ...]
    undecided: tuple[str, ...]
    counted: tuple[str, ...]
    left: int
    tally: dict[str, dict[str, Any]]
    sent: int

    @classmethod
    def of(cls, tallies: Mapping[Group, Tally], wanted: Callable[[Group], Expected], blind: list[str], sent: int) -> TrafficSplit:
        """Make it of what each group has answered. :param blind: sentences on rules that no tracer request reaches."""
        told = {outcome: tuple(f"{group}: {tally.said}" for group, tally in tallies.items() if tally.outcome == outcome)
                for outcome in ("unsure", "blind", "undecided")}
        counted = (f"answered by {tally}, weights say {wanted(group).alpha:.1%} and {wanted(group).v1:.1%} ({group})"
                   for group, tally in tallies.items() if tally.outcome == "right")
        faults = (f"{group}: {tally.fault}" for group, tally in tallies.items() if tally.fault)
        left = sum(tally.outcome in ("open", "wrong", "unsure") for tally in tallies.values())
        return cls(not left, tuple(faults), told["unsure"], (*blind, *told["blind"]), told["undecided"], tuple(counted), left,
                   {group.key: tally.dump() for group, tally in tallies.items()}, sent)

    def dump(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


TracerSender = Callable[[Probe], "Signature | None"]
"""Sends one tracer request; None where no complete answer came."""


def measure(targets: list[ProbeTarget], wanted: Callable[[Group], Expected], send: TracerSender, nonce: str, count: int, load: ProbeLoad, workers: int,
            look: Look = lambda: None, deadline: float = inf, before: Mapping[str, Mapping[str, Any]] | None = None,
            critical: Collection[str] = ()) -> TrafficSplit:
    """Send tracer requests to each group in turn until what the stacks answered tells whether it is what the weights say, or until the deadline.

    A group whose share was wrong goes before the others: it must be right as often in a row, and once more, since a small leak may pass by luck. A group gets
    no more of them once too many were inconclusive: a stack that sheds load is left alone. Before that it is asked once more for one of its models that are
    never shed, if it has any.

    :param wanted: what the weights of a group must give. :param nonce: the migration's. :param count: tracer requests of one group's measurement at most.
    :param look: called between batches. :param deadline: on the clock of time.monotonic. :param before: ``tally`` of an earlier execution, to go on from.
    :param critical: models that no EPP sheds. :raises ValueError: when ``count`` is less than 1.
    """
    if count < 1:
        raise ValueError(f"tracers must be 1 or more, not {count}; of state migrated 0 leaves the measurement out.")
    tallies = {group: Tally.load((before or {}).get(group.key)) for group in groups(targets, critical)}
    test, sent = ShareTest(len(tallies)), 0

    def ask(group: Group, variant: Variant | None, times: int) -> list[Signature | None]:
        spared = group.critical if tallies[group].spared else None
        one = tracer(spared or group.target, variant, nonce, spared is not None)
        return list(pool.map(lambda _number: paced(one, send, load), range(times)))

    with ThreadPoolExecutor(workers) as pool:
        while open_ones := [group for group, tally in tallies.items() if tally.outcome == "open"]:
            group = min(open_ones, key=lambda one: (not tallies[one].wrong, tallies[one].sent))
            tally, shares = tallies[group], wanted(group)
            if tally.known:
                answers = ask(group, None, min(workers, count - tally.sent))
                for answer in answers:
                    tally.note(answer)
                tally.judge(test, shares, count)
                sent += len(answers)
            else:
                tally.learn({who: ask(group, who, SAMPLES) for who in STACKS}, shares)
                sent += len(STACKS) * SAMPLES
            if tally.outcome == "unsure" and group.critical and not tally.spared:
                tallies[group] = tally.again(spared=True)
            look()
            if time.monotonic() >= deadline:
                break
    return TrafficSplit.of(tallies, wanted, without_tracers(targets), sent)
