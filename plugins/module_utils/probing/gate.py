# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges v1 by comparisons with v1alpha2, until the sequential test decides. The sender is handed in."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypedDict

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sending import Answered, Faults, Look, Pace, Sender
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sprt import Bounds, Decision, Evidence, classify
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import Probe, ProbeTarget

TARGET_SUCCESSES = 3
"""Successes through v1 that every target must have before a gate accepts, however many the others have."""
INCONCLUSIVE_PAIRS = 30
"""Inconclusive pairs from which on a gate is inconclusive, if they are at least half of all pairs."""

Ruling = Literal["accept", "reject", "undecided", "inconclusive"]
"""What a gate decides: ``inconclusive`` where v1alpha2 fails so often that v1 can't be compared with it."""


class GateState(TypedDict):
    """A gate's evidence as plain data, which one module execution hands to the next, see :class:`Judgement`.

    ``pairs`` and ``user``: the fields of :class:`sprt.Evidence`. ``targets``: successes by target.
    """

    pairs: dict[str, Any]
    user: dict[str, Any]
    targets: dict[str, int]
    sent: int
    faults: list[str]
    new_failures: list[str]


@dataclass(frozen=True)
class Judgement:
    """The evidence of one gate so far; plain data through :meth:`dump`, so that one module execution can go on where another ended.

    :param pairs: v1 against v1alpha2, both through probe routes. :param user: the user's own rule against v1alpha2's probe route.
    :param targets: successes through v1, by target as text. :param sent: probes sent. :param faults: the most frequent failures, six at most.
    :param new_failures: kinds of failure of the user's own rule that the baseline lacks.
    """

    pairs: Evidence = Evidence()
    user: Evidence = Evidence()
    targets: tuple[tuple[str, int], ...] = ()
    sent: int = 0
    faults: tuple[str, ...] = ()
    new_failures: tuple[str, ...] = ()

    def dump(self) -> GateState:
        """Return the evidence as plain data, for :meth:`load`."""
        return {
            "pairs": asdict(self.pairs), "user": asdict(self.user), "targets": dict(self.targets), "sent": self.sent, "faults": list(self.faults),
            "new_failures": list(self.new_failures),
        }

    @classmethod
    def load(cls, data: GateState | None) -> Judgement:
        """Make the evidence from what :meth:`dump` returned; without data it is empty."""
        if not data:
            return cls()
        pairs, user = Evidence(**data["pairs"]), Evidence(**data["user"])
        return cls(pairs, user, tuple(data["targets"].items()), data["sent"], tuple(data["faults"]), tuple(data["new_failures"]))

    def decide(self, targets: Iterable[ProbeTarget]) -> Ruling:
        """Return what the gate decides by the evidence so far.

        It rejects as soon as either test rejects. It accepts when the test of the pairs accepts and every target was answered often enough through v1;
        where the user's own rule failed in a new way, the user's test must accept as well. Without targets nothing was measured, so it is inconclusive.
        """
        known, targets = dict(self.targets), list(targets)
        if not targets:
            return "inconclusive"
        tests = (self.pairs.decision, self.user.decision)
        if "reject" in tests:
            return "reject"
        if self.pairs.inconclusive >= max(INCONCLUSIVE_PAIRS, self.pairs.successes + self.pairs.failures):
            return "inconclusive"
        covered = all(known.get(str(target), 0) >= TARGET_SUCCESSES for target in targets)
        wanted: tuple[Decision, ...] = tests if self.new_failures else tests[:1]
        return "accept" if covered and set(wanted) == {"accept"} else "undecided"


Comparison = tuple[Probe, Probe, Probe]
"""The probes of one target through v1alpha2's probe rule, v1's, and the user's own rule, in this order."""


def judge(comparisons: list[Comparison], send: Sender, bounds: Bounds, before: Judgement, deadline: float, pace: Pace, workers: int,
          known: frozenset[str] = frozenset(), soak_until: float = 0.0, look: Look = lambda: None) -> Judgement:
    """Send comparisons in random order, every target as often as the others, until the gate decides or the deadline; return the evidence.

    :param before: the evidence to go on from. :param deadline: on the clock of time.monotonic. :param workers: probes in flight at most.
    :param known: kinds of failure that the users' own rules had before v1 got any of their traffic.
    :param soak_until: on the clock of time.monotonic; until then it goes on though v1 was accepted. :param look: called after every batch.
    """
    after, faults = before, Faults()
    targets = [comparison[0].target for comparison in comparisons]
    order: list[Comparison] = []
    batch = max(1, workers // 3)
    with ThreadPoolExecutor(workers) as pool:
        while comparisons and time.monotonic() < deadline:
            ruling = after.decide(targets)
            if ruling in ("reject", "inconclusive") or (ruling == "accept" and time.monotonic() >= soak_until):
                break
            while len(order) < batch:
                order += random.sample(comparisons, len(comparisons))
            chosen, order = order[:batch], order[batch:]
            pace.take(3 * batch)
            answers = list(pool.map(send, [probe for comparison in chosen for probe in comparison]))
            pace.heed(answers)
            for number, comparison in enumerate(chosen):
                mine = answers[3 * number:3 * number + 3]
                for probe, answer in zip(comparison, mine):
                    faults.note(probe, answer)
                after = _add(after, comparison[0].target, mine, bounds, known)
            look()
    return replace(after, faults=tuple([*before.faults, *faults.worst()][-6:]))


def _add(judgement: Judgement, target: ProbeTarget, answers: list[Answered], bounds: Bounds, known: frozenset[str]) -> Judgement:
    alpha, v1, user = answers
    counted = dict(judgement.targets)
    counted[str(target)] = counted.get(str(target), 0) + v1.ok
    paired = replace(judgement, pairs=judgement.pairs.add(classify(alpha.ok, v1.ok), bounds), targets=tuple(counted.items()), sent=judgement.sent + 3)
    return add_user(paired, alpha.ok, user, bounds, known, user.ok)


def add_user(judgement: Judgement, alpha_ok: bool, user: Answered, bounds: Bounds, known: frozenset[str], user_ok: bool) -> Judgement:
    """Return the evidence with one answer of the user's own rule added.

    :param alpha_ok: whether v1alpha2 succeeded in the same comparison. :param known: kinds of failure that are not new.
    :param user_ok: whether the answer counts as a success in the test.
    """
    fresh = () if user.ok or user.kind in known or user.kind in judgement.new_failures else (user.kind,)
    return replace(judgement, user=judgement.user.add(classify(alpha_ok, user_ok), bounds), new_failures=judgement.new_failures + fresh)
