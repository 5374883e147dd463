# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges v1 by comparisons with v1alpha2, until the sequential tests decide. The sender is handed in.

Two tests are over all targets: v1's probe routes, and the users' own rules. A failure opens a third, of its target alone.
"""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypedDict

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.load import ProbeLoad
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sending import Answered, Faults, Look, Sender, placed
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sprt import Bounds, Evidence, classify
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import Probe, ProbeTarget

INCONCLUSIVE_PAIRS = 30
"""Inconclusive pairs from which on a gate is inconclusive, if they are at least half of all pairs."""

Ruling = Literal["accept", "reject", "undecided", "inconclusive"]
"""What a gate decides: ``inconclusive`` where v1alpha2 fails, or the gateway itself refuses, so often that v1 can't be compared with it."""


class GateState(TypedDict):
    """A gate's evidence as plain data, which one module execution hands to the next, see :class:`Judgement`.

    ``pairs`` and ``user``: the fields of :class:`sprt.Evidence`. ``targets`` and ``live``: successes by target. ``alone``: the same fields by test.
    """

    pairs: dict[str, Any]
    user: dict[str, Any]
    refusals: dict[str, Any]
    targets: dict[str, int]
    live: dict[str, int]
    alone: dict[str, dict[str, Any]]
    sent: int
    refused: int
    faults: list[str]
    new_failures: list[str]


@dataclass(frozen=True)
class Judgement:
    """The evidence of one gate so far; plain data through :meth:`dump`, so that one module execution can go on where another ended.

    :param pairs: v1 against v1alpha2, both through probe routes. :param user: the user's own rule against v1alpha2's probe route.
    :param targets: successes through v1, by target as text. :param live: successes through the users' own rules, likewise.
    :param refusals: the test in which a refusal of the gateway's own counts as a failure: it never rejects v1, but what it doubts is not accepted.
    :param alone: the test of each target at which v1 or the user's own rule failed, by both as text, see :func:`alone_key`.
    :param sent: probes sent. :param refused: of these, refused by the gateway itself. :param faults: the most frequent failures, six at most.
    :param new_failures: kinds of failure of the user's own rule that the baseline lacks.
    """

    pairs: Evidence = Evidence()
    user: Evidence = Evidence()
    refusals: Evidence = Evidence()
    targets: tuple[tuple[str, int], ...] = ()
    live: tuple[tuple[str, int], ...] = ()
    alone: tuple[tuple[str, Evidence], ...] = ()
    sent: int = 0
    refused: int = 0
    faults: tuple[str, ...] = ()
    new_failures: tuple[str, ...] = ()

    def dump(self) -> GateState:
        """Return the evidence as plain data, for :meth:`load`."""
        return {
            "pairs": asdict(self.pairs), "user": asdict(self.user), "refusals": asdict(self.refusals), "targets": dict(self.targets),
            "live": dict(self.live), "alone": {key: asdict(test) for key, test in self.alone}, "sent": self.sent, "refused": self.refused,
            "faults": list(self.faults), "new_failures": list(self.new_failures),
        }

    @classmethod
    def load(cls, data: GateState | None) -> Judgement:
        """Make the evidence from what :meth:`dump` returned; without data it is empty."""
        if not data:
            return cls()
        tests = (Evidence(**data["pairs"]), Evidence(**data["user"]), Evidence(**data["refusals"]))
        alone = tuple((key, Evidence(**test)) for key, test in data["alone"].items())
        return cls(*tests, tuple(data["targets"].items()), tuple(data["live"].items()), alone, data["sent"], data["refused"],
                   tuple(data["faults"]), tuple(data["new_failures"]))

    @property
    def suspects(self) -> set[str]:
        """The targets, as text, whose own test has not decided yet."""
        return {key.partition(" ")[2] for key, test in self.alone if test.decision == "undecided"}

    def decide(self, targets: Collection[ProbeTarget], bounds: Bounds) -> Ruling:
        """Return what the gate decides by the evidence so far.

        It rejects as soon as any test rejects but that of refusals, which makes it inconclusive. It accepts when the test of the pairs accepts, every target
        was answered often enough through v1 and through the users' own rules, and no test of a single target is open; where the user's own rule failed in a new
        way, the user's test must accept as well, and where the gateway itself refused, that of refusals.
        Without targets nothing was measured, so it is inconclusive.
        """
        if not targets:
            return "inconclusive"
        tests = (self.pairs.decision, self.user.decision)
        if "reject" in tests or any(test.decision == "reject" for _key, test in self.alone):
            return "reject"
        if any(test.inconclusive >= max(INCONCLUSIVE_PAIRS, test.successes + test.failures) for test in (self.pairs, self.user)):
            return "inconclusive"
        if self.refusals.decision == "reject":
            return "inconclusive"
        wanted = {*(tests if self.new_failures else tests[:1]), *([self.refusals.decision] if self.refused else [])}
        return "accept" if wanted == {"accept"} and not self.suspects and self._covered(targets, bounds.target_successes) else "undecided"

    def _covered(self, targets: Iterable[ProbeTarget], least: int) -> bool:
        by_v1, by_user = dict(self.targets), dict(self.live)
        return all(min(by_v1.get(name, 0), by_user.get(name, 0)) >= least for name in map(str, targets))


Comparison = tuple[Probe, Probe, Probe]
"""The probes of one target through v1alpha2's probe rule, v1's, and the user's own rule, in this order."""


def alone_key(who: str, target: ProbeTarget) -> str:
    """Return the name of the test of one target. :param who: ``v1`` or ``user``."""
    return f"{who} {target}"


def next_batch(order: list[Comparison], comparisons: list[Comparison], judgement: Judgement, size: int) -> list[tuple[Comparison, bool]]:
    """Take the next comparisons, each with whether it is asked again for its target's own test; up to half of them are while such tests are open.

    :param order: comparisons to come, every target as often as the others; those that are taken go out of it, and it is filled up.
    """
    suspects = judgement.suspects
    mine = [comparison for comparison in comparisons if str(comparison[0].target) in suspects] if suspects else []
    half = size // 2 + (size % 2 and random.randrange(2))  # a batch of one is asked again or fresh by turns
    again = random.sample(mine, min(len(mine), half))
    while len(order) < size:
        order += random.sample(comparisons, len(comparisons))
    fresh = [order.pop(0) for _number in range(size - len(again))]
    return [*((comparison, True) for comparison in again), *((comparison, False) for comparison in fresh)]


def judge(comparisons: list[Comparison], send: Sender, bounds: Bounds, before: Judgement, deadline: float, load: ProbeLoad, workers: int,
          known: frozenset[str] = frozenset(), soak_until: float = 0.0, look: Look = lambda: None) -> Judgement:
    """Send comparisons in random order, every target as often as the others but for suspects, until the gate decides or the deadline; return the evidence.

    :param before: the evidence to go on from. :param deadline: on the clock of time.monotonic. :param workers: comparisons at once, at most.
    :param known: kinds of failure that the users' own rules had before v1 got any of their traffic.
    :param soak_until: on the clock of time.monotonic; until then it goes on though v1 was accepted. :param look: called after every batch.
    """
    after, faults = before, Faults()
    targets = [comparison[0].target for comparison in comparisons]
    order: list[Comparison] = []
    with ThreadPoolExecutor(workers) as pool:
        while comparisons and time.monotonic() < deadline:
            ruling = after.decide(targets, bounds)
            if ruling in ("reject", "inconclusive") or (ruling == "accept" and time.monotonic() >= soak_until):
                break
            chosen = next_batch(order, comparisons, after, min(workers, load.at_once))
            load.take(3 * len(chosen))
            answered = list(pool.map(lambda entry: compare(entry[0], send, load), chosen))
            pairs = [pair for (comparison, _again), answers in zip(chosen, answered) for pair in zip((*comparison, comparison[0]), answers)]
            load.heed(pairs)
            for probe, answer in pairs:
                faults.note(probe, answer)
            for (comparison, again), answers in zip(chosen, answered):
                after = add_comparison(after, comparison[0].target, answers, bounds, known, again)
            look()
    return replace(after, faults=tuple([*before.faults, *faults.worst()][-6:]))


def compare(comparison: Comparison, send: Sender, load: ProbeLoad) -> list[Answered]:
    """Send the probes of one comparison, one after the other, so that they are no more load than one request; return the answers in their order.

    Both stacks share the model servers, and one may have gone down in between. So after a failure of another v1alpha2 is asked once more, and that answer is
    the fourth.
    """
    found = [placed(probe, send, load) for probe in comparison]
    failed = found[0].ok and not all(answer.ok for answer in found)
    return [*found, placed(comparison[0], send, load)] if failed else found


def add_comparison(judgement: Judgement, target: ProbeTarget, answers: list[Answered], bounds: Bounds, known: frozenset[str], again: bool = False) -> Judgement:
    """Return the evidence with the answers of one comparison added.

    An answer that the gateway itself gave in the place of a stack tells nothing about that stack.

    :param answers: as :func:`compare` returns them. :param known: kinds of failure that are not new.
    :param again: whether the target was chosen for its own test: then the tests over all targets, for which all count alike, leave it out.
    """
    alpha, v1, user, *once_more = answers
    alpha_ok = all(answer.ok for answer in (alpha, *once_more))
    name = str(target)
    alone = dict(judgement.alone)
    for who, answer in (("v1", v1), ("user", user)):
        key = alone_key(who, target)
        # Users met these before v1 had any of their traffic. What v1 does alone is compared with v1alpha2 in the same moment.
        usual = who == "user" and not answer.ok and answer.kind in known
        told = alpha_ok and not usual and not answer.by_gateway
        if key in alone and alone[key].decision != "accept":
            alone[key] = alone[key].add(classify(told, answer.ok), bounds.target)
        elif told and not answer.ok:
            alone[key] = Evidence()
    after = replace(judgement, targets=_counted(judgement.targets, name, v1.ok), live=_counted(judgement.live, name, user.ok), alone=tuple(alone.items()),
                    sent=judgement.sent + len(answers), refused=judgement.refused + sum(answer.by_gateway for answer in answers))
    if again:
        return after
    pairs = after.pairs.add(classify(alpha_ok and not v1.by_gateway, v1.ok), bounds)
    refusals = after.refusals.add(classify(alpha_ok, not (v1.by_gateway or user.by_gateway)), bounds)
    return add_user(replace(after, pairs=pairs, refusals=refusals), alpha_ok and not user.by_gateway, user, bounds, known, user.ok)


def _counted(successes: tuple[tuple[str, int], ...], name: str, ok: bool) -> tuple[tuple[str, int], ...]:
    found = dict(successes)
    found[name] = found.get(name, 0) + ok
    return tuple(found.items())


def add_user(judgement: Judgement, alpha_ok: bool, user: Answered, bounds: Bounds, known: frozenset[str], user_ok: bool) -> Judgement:
    """Return the evidence with one answer of the user's own rule added.

    :param alpha_ok: whether v1alpha2 succeeded in the same comparison. :param known: kinds of failure that are not new.
    :param user_ok: whether the answer counts as a success in the test.
    """
    fresh = () if user.ok or user.by_gateway or user.kind in known or user.kind in judgement.new_failures else (user.kind,)
    return replace(judgement, user=judgement.user.add(classify(alpha_ok, user_ok), bounds), new_failures=judgement.new_failures + fresh)
