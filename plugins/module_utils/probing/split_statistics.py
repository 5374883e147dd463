# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides by who answered tracer requests whether one rule at one Gateway address serves each stack as its weights say. Pure.

Four likelihood ratio tests (Wald, Ann. Math. Stat. 16, 1945), one for each stack and side, look at the counts alone. Each compares the share that the weights
say with one that is far from it. Far is a stack that gets half of what its weight says, or twice as much, and at least five points more or less. At 0 and 100 %
one wrong answer decides, and far is a leak of a tenth at one rule and address, or of a fiftieth over all of them, among the answers that can be told. A
likelihood ratio reaches 1 / e at any of its looks with a probability of at most e (Ville's inequality), so looks may be as many as one likes, and a measurement
may go on where an earlier one ended.

A rule may name others' backends too. What they answer can look like a stack's: each backend is taken to answer in one way. Where the part of the answers that
look like neither stack's is all that the others' weights say, none of them does: another likelihood ratio test, against the smallest of them being missing.
Then the stacks are compared among their own answers alone. Until then more answers of a stack than its weight says may be others', so only too few count
against it, or more than its weight and all of the others' together; and nothing is right, for what is right may be others' as well.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import inf, log
from typing import Literal, NamedTuple

MISSED = 0.001
"""Probability that a share which is far off passes one measurement of its group."""
FALSE_ALARM = 0.001
"""Probability that shares which are right are doubted anywhere in a migration."""
MEASUREMENTS = 100
"""Measurements of a migration over which FALSE_ALARM is split: shares are whole percents. That many cost only those groups answers that are wrong."""
TESTS = 8
"""Tests that may doubt one group: two stacks, two sides, among all answers and among the stacks' own."""
LEAST = 0.05
"""A share that is off by less than these five points is never far: to tell 1 % from 2 % takes thousands of tracer requests."""
LEAK, LEAK_OF_ALL = 0.1, 0.02
"""Leaks that must be caught at 0 and 100 %: of one group, and of all groups together."""
MOST_INCONCLUSIVE = 0.1
"""Part of the tracer requests that may be inconclusive: with more, a share that is far off could hide behind them."""
PATIENT = 200
"""Tracer requests of which :data:`MOST_INCONCLUSIVE` may be inconclusive at the start of a measurement, when that part of what was sent tells nothing yet."""
STACKS = ("alpha", "v1")

Ruling = Literal["right", "wrong", "alike", "unsure", "undecided"]
"""What counts say: ``alike`` where what others answer looks like a stack's, ``unsure`` where too much is inconclusive, ``undecided`` where more are needed."""


class Expected(NamedTuple):
    """The parts (0 to 1) of a rule's traffic that its weights give to each stack.

    :param other: of backends that are no pools of the migration. :param least: of the smallest of these that has any.
    """

    alpha: float
    v1: float
    other: float = 0.0
    least: float = 0.0

    def of(self, who: str) -> float:
        """Return the part of one stack."""
        return self.alpha if who == "alpha" else self.v1


def ratio(seen: int, rest: int, share: float, far: float) -> float:
    """Return the log likelihood ratio of a share ``far`` against ``share``, by how many answers are of it and how many are not."""
    return sum(0.0 if not count else inf if not right else -inf if not wrong else count * log(wrong / right)
               for count, wrong, right in ((seen, far, share), (rest, 1.0 - far, 1.0 - share)))


@dataclass(frozen=True)
class ShareTest:
    """The test of each group. :param groups: how many there are, over which false alarms are split (Bonferroni)."""

    groups: int

    @property
    def accept_at(self) -> float:
        """Log likelihood ratio at or below which a share is not far off."""
        return log(MISSED)

    @property
    def reject_at(self) -> float:
        """Log likelihood ratio at or above which a share is doubted."""
        return log(TESTS * MEASUREMENTS * max(1, self.groups) / FALSE_ALARM)

    def far(self, share: float) -> float:
        """Return the highest share that is far below a share over 0."""
        if share >= 1.0:
            return float(max(1.0 - LEAK, (1.0 - LEAK_OF_ALL) ** self.groups))
        return max(0.0, min(max(share / 2, 2 * share - 1), share - LEAST))

    def fewer(self, seen: int, rest: int, share: float) -> float:
        """Return the log likelihood ratio of getting far less than a share against getting it; none gets less than nothing."""
        return ratio(seen, rest, share, self.far(share)) if share > 0.0 else -inf

    def rule(self, known: Collection[str], counts: Mapping[str, int], wanted: Expected) -> Ruling:
        """Return what the counts of one group say.

        An inconclusive answer may be either stack's: a stack that sheds more load than the other is not taken to serve less.

        :param known: the stacks whose answers are known. :param counts: of ``alpha``, ``v1``, ``inconclusive`` and ``other``.
        """
        if self.wrong(known, counts, wanted):
            return "wrong"
        if self._apart(counts, wanted, counts["inconclusive"]) >= self.reject_at:
            return "alike"
        if counts["inconclusive"] > MOST_INCONCLUSIVE * max(PATIENT, sum(counts.values())):
            return "unsure"
        return "right" if self._right(known, counts, wanted) and not shed(counts) else "undecided"

    def wrong(self, known: Collection[str], counts: Mapping[str, int], wanted: Expected) -> str | None:
        """Return the stack whose answers are far from its weight, or None where none is.

        Among all answers each stack must have its part, and not more than that and what others have. Among the stacks' own it must be exact.
        """
        doubt, answered = counts["inconclusive"], sum(counts.values()) - counts["inconclusive"]
        own, part = counts["alpha"] + counts["v1"], wanted.alpha + wanted.v1
        exact = bool(wanted.other) and self._apart(counts, wanted) <= self.accept_at
        for who in known:
            mine, share = counts[who], wanted.of(who)
            found = [self.fewer(mine + doubt, answered - mine, share), self.fewer(answered - mine + doubt, mine, part - share)]
            if exact:
                found += [self.fewer(mine + doubt, own - mine, share / part), self.fewer(own - mine + doubt, mine, (part - share) / part)]
            if max(found) >= self.reject_at:
                return who
        return None

    def _right(self, known: Collection[str], counts: Mapping[str, int], wanted: Expected) -> bool:
        own, part = counts["alpha"] + counts["v1"], wanted.alpha + wanted.v1
        found = [self._apart(counts, wanted), self.fewer(own, counts["other"], part)] if wanted.other else []
        among = own if wanted.other else own + counts["other"]
        for who in known:
            mine, share = counts[who], wanted.of(who) / part
            found += [self.fewer(mine, among - mine, share), self.fewer(among - mine, mine, 1.0 - share)]
        return max(found) <= self.accept_at

    def _apart(self, counts: Mapping[str, int], wanted: Expected, doubt: int = 0) -> float:
        """Return the log likelihood ratio of the smallest other backend looking like a stack, against all of them looking like neither."""
        own, other = counts["alpha"] + counts["v1"], wanted.other
        return ratio(counts["other"] + doubt, own, other, max(0.0, other - wanted.least)) if other else -inf


def shed(counts: Mapping[str, int]) -> bool:
    """Tell whether too many answers are inconclusive to tell anything."""
    return counts["inconclusive"] > MOST_INCONCLUSIVE * sum(counts.values())
