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
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from math import exp, lgamma, log
from typing import Any, Literal, NamedTuple

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import V1_GROUP, Manifest
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.load import ProbeLoad
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sending import Look, paced
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import CHAT, COMPLETIONS, OWN, TOO_MANY, Probe, ProbeTarget, probe
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.probe_routes import Variant
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey, references

FAR = 6.8e-6
"""Two-sided probability of 4.5 standard deviations: counts that are less probable under a weight disagree with it."""
MOST_INCONCLUSIVE = 0.1
"""Part of the tracer requests that may be inconclusive: with more, a share that is far off could hide behind them."""

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
    """One rule at one Gateway address, which has one set of weights. :param target: the target by which it is asked."""

    target: ProbeTarget

    def __str__(self) -> str:
        place = self.target.address
        return f"rule {self.target.rule} of {self.target.route} at {place.gateway} {place.host}:{place.port}"


def groups(targets: list[ProbeTarget]) -> list[Group]:
    """Return one group for each rule and address, asked by the endpoint that most servers have; user-defined probes make none."""
    found: dict[tuple[Any, ...], ProbeTarget] = {}
    order = {COMPLETIONS: 0, CHAT: 1}
    for target in sorted(targets, key=lambda target: (target.stream, order.get(target.endpoint, 2))):
        if target.endpoint != OWN:
            found.setdefault((target.address, target.route, target.rule), target)
    return [Group(target) for target in found.values()]


def without_tracers(targets: list[ProbeTarget]) -> list[str]:
    """Return a sentence for each rule and address that only user-defined probes reach.

    These can't be made into tracer requests: which models they may ask for is not known.
    """
    own = {(target.address, target.route, target.rule): target for target in targets if target.endpoint == OWN}
    for target in targets:
        if target.endpoint != OWN:
            own.pop((target.address, target.route, target.rule), None)
    return [f"{Group(target)}: only requests of your own reach it" for target in own.values()]


def tracer(target: ProbeTarget, variant: Variant | None, nonce: str) -> Probe:
    """Make the tracer request for a target: its model has the migration's nonce in its name, so nobody else uses it.

    Where the model decides the rule it must be the rule's own. Then v1alpha2 answers with one token, and v1 as ever, for it heeds the header.
    """
    model = target.model if target.by_model else f"nobody-uses-{nonce}"
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
    """Tell whether an answer that has neither stack's signature may come from either: none, a 429, or a server's error (5xx)."""
    return silent(found) or (found is not None and found.status >= 500)


def alike(found: list[Signature | None]) -> Signature | None:
    """Return the one signature with which a stack answered all tracer requests, or None where it answered in several ways, or not at all.

    Marks are not looked at, because an EPP's own 404 bears none: that the probe routes serve must be known before.
    """
    kinds = set(found)
    return kinds.pop() if len(kinds) == 1 else None


class Expected(NamedTuple):
    """The parts (0 to 1) of a rule's traffic that its weights give to each stack.

    :param other: of backends that are no pools of the migration; their answers may look like either stack's, or like none.
    """

    alpha: float
    v1: float
    other: float = 0.0


def expected(route: Manifest, rule: int, pools: Mapping[PoolKey, Manifest]) -> Expected:
    """Return the parts of traffic that the weights of a route's rule give to each stack; all 0 where it has no weight.

    :param pools: every pool of the migration, of both groups.
    """
    weights = Counter[str]()
    for reference in references(route):
        if reference.kind == "backend" and reference.rule == rule:
            ours = "v1" if reference.target.group == V1_GROUP else "alpha"
            weights[ours if reference.target in pools else "other"] += reference.weight
    total = sum(weights.values())
    return Expected(weights["alpha"] / total, weights["v1"] / total, weights["other"] / total) if total else Expected(0.0, 0.0)


@dataclass
class Tally:
    """Counts answers to tracer requests of one group, by who gave them: ``alpha``, ``v1``, ``inconclusive`` (by either), or ``other`` (another backend).

    :param known: how each stack answers; without an entry for one that answers in several ways, for instance because it is ill.
    """

    known: Mapping[str, Signature]
    counts: Counter[str] = field(default_factory=Counter)

    def note(self, found: Signature | None) -> None:
        """Count one answer."""
        unknown = "inconclusive" if inconclusive(found) else "other"
        self.counts[next((who for who, signature in self.known.items() if signature == found), unknown)] += 1

    def unsure(self) -> str | None:
        """Return why the counts tell nothing (too many tracer requests were inconclusive), or None where they tell something."""
        sent, inconclusive_ones = sum(self.counts.values()), self.counts["inconclusive"]
        said = f"{inconclusive_ones} of {sent} tracer requests were answered {TOO_MANY} or by an error, or not at all"
        return said if inconclusive_ones > MOST_INCONCLUSIVE * sent else None

    def fault(self, wanted: Expected) -> str | None:
        """Return why the counts disagree with the weights, or None when they agree. At a share of 0 or 1 not one answer may be wrong.

        An inconclusive answer may be either stack's: a stack that sheds more load than the other is not taken to serve less.
        """
        sent = sum(self.counts.values())
        for who, share in (("alpha", wanted.alpha), ("v1", wanted.v1)):
            if who in self.known and not plausible(self.counts[who], self.counts[who] + self.counts["inconclusive"], sent, share, share + wanted.other):
                return f"{who} answered {self.counts[who]} of {sent} tracer requests ({self.counts[who] / sent:.1%}) where its weight says {share:.1%}"
        return None

    def __str__(self) -> str:
        """Say how many tracer requests each known stack answered."""
        return " and ".join(f"{who} {self.counts[who]}" for who in self.known) + f" of {sum(self.counts.values())} tracer requests"


def plausible(fewest: int, highest: int, sent: int, least: float, most: float) -> bool:
    """Tell whether a count between ``fewest`` and ``highest``, of ``sent``, fits a share between ``least`` and ``most``.

    It fits within 4.5 standard deviations, computed by exact binomial tails.
    """
    few = least > 0.0 and (highest < sent if least >= 1.0 else sum(chance(number, sent, least) for number in range(highest + 1)) <= FAR / 2)
    many = most < 1.0 and (fewest > 0 if most <= 0.0 else sum(chance(number, sent, most) for number in range(fewest, sent + 1)) <= FAR / 2)
    return not few and not many


def chance(count: int, sent: int, share: float) -> float:
    """Return the binomial probability of a count. By logarithms: the number of ways alone leaves the range of floats from about 1,000 sent on."""
    ways = lgamma(sent + 1) - lgamma(count + 1) - lgamma(sent - count + 1)
    return exp(ways + count * log(share) + (sent - count) * log(1 - share))


@dataclass(frozen=True)
class TrafficSplit:
    """What the tracer requests of one stretch say.

    :param faults: groups whose share is not what the weights say. :param unsure: groups of which too many tracer requests were inconclusive.
    :param blind: groups in which nothing tells the stacks apart. :param counted: what each measured group answered, as a line for a person.
    :param sent: tracer requests.
    """

    faults: tuple[str, ...]
    unsure: tuple[str, ...]
    blind: tuple[str, ...]
    counted: tuple[str, ...]
    sent: int

    def dump(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


TracerSender = Callable[[Probe], "Signature | None"]
"""Sends one tracer request; None where no complete answer came."""


def measure(targets: list[ProbeTarget], wanted: Callable[[Group], Expected], send: TracerSender, nonce: str, count: int,
            load: ProbeLoad, workers: int, look: Look = lambda: None) -> TrafficSplit:
    """Send ``count`` tracer requests, spread evenly over the groups of the targets, and compare what each stack answered with the weights.

    A group gets no more of them once too many had no answer or a 429: a stack that sheds load is left alone.

    :param wanted: what the weights of a group must give. :param nonce: the migration's. :param look: called between batches.
    :raises ValueError: when ``count`` is less than 1.
    """
    if count < 1:
        raise ValueError(f"tracers must be 1 or more, not {count}; of state migrated 0 leaves the measurement out.")
    chosen = groups(targets)
    faults, unsure, blind, counted, sent = [], [], without_tracers(targets), [], 0
    each = -(-count // max(1, len(chosen)))

    def ask(group: Group, variant: Variant | None, times: int) -> list[Signature | None]:
        one, found = tracer(group.target, variant, nonce), list[Signature | None]()
        while len(found) < times and sum(map(silent, found)) <= MOST_INCONCLUSIVE * times:
            found += pool.map(lambda _number: paced(one, send, load), range(min(workers, times - len(found))))
            look()
        return found

    with ThreadPoolExecutor(workers) as pool:
        for group in chosen:
            samples = {who: ask(group, who, SAMPLES) for who in STACKS}
            sent += sum(map(len, samples.values()))
            signatures = {who: alike([found for found in answers if not silent(found)]) for who, answers in samples.items()}
            known = {str(who): signature for who, signature in signatures.items() if signature}
            if all(map(silent, itertools.chain(*samples.values()))):
                unsure.append(f"{group}: no tracer request by the probe routes was answered, or by {TOO_MANY} alone")
                continue
            if len(set(known.values())) < len(known) or not known:
                blind.append(f"{group}: {'the stacks answer alike' if known else 'neither stack answers in one way'} to a model that nobody uses")
                continue
            tally = Tally(known)
            for answer in ask(group, None, each):
                tally.note(answer)
            sent += sum(tally.counts.values())
            shares = wanted(group)
            fault, doubt = tally.fault(shares), tally.unsure()
            counted.append(f"answered by {tally}, weights say {shares.alpha:.1%} and {shares.v1:.1%} ({group})")
            faults += [f"{group}: {fault}"] if fault else []
            unsure += [f"{group}: {doubt}"] if doubt and not fault else []
    return TrafficSplit(tuple(faults), tuple(unsure), tuple(blind), tuple(counted), sent)
