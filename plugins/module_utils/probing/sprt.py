# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Computes the statistics of the gate: Wald's sequential probability ratio test (SPRT) on pairs of probes.

Each pair asks v1alpha2 and v1 the same kind of question at the same time. v1's failures count only where v1alpha2
succeeded, so that an outage of the model servers, which both share, is no evidence against v1. The test decides between a
v1 that fails a share p0 of such pairs (fine) and one that fails p1 (not fine), with stated error probabilities (Wald, Ann.
Math. Stat. 16, 1945). It needs as few pairs as any test can (Wald and Wolfowitz 1948), and may be looked at after every pair.

The sum over many targets hides one that fails alone. So a failure opens a test of that target by itself, which begins after the failure and asks it again and
again, for a v1 that fails p1 of a fifth there.

A decision stands, but a soak goes on: CUSUM beside the test (Page's cumulative sum, 1954) forgets what went well and
so finds a stack that turns bad after it was accepted. Started anew at every pair, the sum reaches h with a probability of
at most exp(-h) from each start (Ville's inequality), and so within n pairs with at most n exp(-h).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from math import ceil, inf, log, log2
from typing import Any, Literal, NamedTuple, Protocol

Decision = Literal["accept", "reject", "undecided"]
Pair = Literal["success", "failure", "inconclusive"]

TESTS = 2
"""Tests that may reject at a gate: v1's probe route against v1alpha2's, and the user's own rule against v1alpha2's probe route."""
CUSUM_SHARE = 0.1
"""Part of false_rollback that CUSUM may use. Its limit grows with the logarithm alone: with a tenth it rejects one failure later
than with all of it."""
TARGET_P1 = 0.2
"""Share of failing pairs that the test of one target must catch; a person's p1 where that is more."""
TARGET_SHARE = 0.1
"""Part of false_rollback that the tests of single targets may use."""
LEAST_SUCCESSES = 3
"""Successes that every target must have before a gate accepts, however few gates and however loose the bounds."""
CUSUM_PAIRS = 1_000_000
"""Pairs of one gate for which CUSUM keeps its error probability: 14 hours of soak at 20 pairs a second."""


class Limits(Protocol):
    """What one test adds to its log likelihood ratio by a failing and by a successful pair, and where it accepts, rejects, and CUSUM rejects."""

    @property
    def up(self) -> float: ...

    @property
    def down(self) -> float: ...

    @property
    def accept_at(self) -> float: ...

    @property
    def reject_at(self) -> float: ...

    @property
    def cusum_limit(self) -> float: ...


class TargetLimits(NamedTuple):
    """The :class:`Limits` of the test of one target."""

    up: float
    down: float
    accept_at: float
    reject_at: float
    cusum_limit: float = inf


@dataclass(frozen=True)
class Bounds:
    """What the gates promise over a whole migration (option ``migration_gate``).

    :param p0: share of failing pairs that is fine, in (0, p1).
    :param p1: share of failing pairs that must be caught.
    :param false_promotion: probability that a v1 stack failing at p1 passes any gate of the migration.
    :param false_rollback: probability that a v1 stack failing at p0 is rejected by any gate of the migration.
    :param gates: how many gates the migration has: one before each step, and the final one.
    :raises ValueError: when these are not probabilities in their order, or there is no gate.
    """

    p0: float = 0.001
    p1: float = 0.02
    false_promotion: float = 0.001
    false_rollback: float = 0.01
    gates: int = 4

    def __post_init__(self) -> None:
        if not 0 < self.p0 < self.p1 < 1:
            raise ValueError(f"migration_gate needs 0 < p0 < p1 < 1, not p0={self.p0} and p1={self.p1}.")
        if not (0 < self.false_promotion < 0.5 and 0 < self.false_rollback < 0.5):
            raise ValueError("migration_gate needs false_promotion and false_rollback between 0 and 0.5.")
        if self.gates < 1:
            raise ValueError("A migration has at least one gate.")

    @classmethod
    def of(cls, chosen: Mapping[str, Any]) -> Bounds:
        """Make the bounds from a person's choice, whose numbers may be text (``-e`` hands them on so).

        :raises ValueError: when a key is unknown or a value makes no sense.
        """
        unknown = sorted(set(chosen) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"migration_gate takes p0, p1, false_promotion and false_rollback, not {', '.join(unknown)}.")
        try:
            numbers: dict[str, Any] = {name: int(value) if name == "gates" else float(value) for name, value in chosen.items()}
            return cls(**numbers)
        except TypeError as error:
            raise ValueError(f"migration_gate takes numbers: {error}.") from error

    @cached_property
    def test_error(self) -> float:
        """Probability that one test of one gate rejects a stack at p0: false_rollback less CUSUM's and single targets' parts, split over gates and tests."""
        return self.false_rollback * (1 - CUSUM_SHARE - TARGET_SHARE) / (self.gates * TESTS)

    @cached_property
    def accept_at(self) -> float:
        """Log likelihood ratio at or below which a gate accepts v1.

        A v1 stack at p1 must pass every gate to be promoted, but each step exposes users. So false_promotion is split evenly over the gates:
        their sum then stays within it (Bonferroni).
        """
        return log((self.false_promotion / self.gates) / (1 - self.test_error))

    @cached_property
    def reject_at(self) -> float:
        """Log likelihood ratio at or above which a test rejects v1."""
        return log((1 - self.false_promotion / self.gates) / self.test_error)

    @cached_property
    def cusum_limit(self) -> float:
        """Cumulative sum at or above which CUSUM rejects v1."""
        return log(CUSUM_PAIRS * self.gates * TESTS / (self.false_rollback * CUSUM_SHARE))

    @cached_property
    def up(self) -> float:
        """What a failing pair adds to the log likelihood ratio."""
        return log(self.p1 / self.p0)

    @cached_property
    def down(self) -> float:
        """What a successful pair adds to the log likelihood ratio; negative."""
        return log((1 - self.p1) / (1 - self.p0))

    @cached_property
    def target(self) -> TargetLimits:
        """The limits of the test of one target, which a failure there has opened.

        Each rejects a stack at p0 with so small a probability that all that failures at p0 open, within as many pairs as CUSUM's promise is for, stay within
        their part of false_rollback.
        """
        p1 = max(TARGET_P1, self.p1)
        error = self.false_rollback * TARGET_SHARE / (self.gates * TESTS * max(1.0, CUSUM_PAIRS * self.p0))
        missed = self.false_promotion / self.gates
        return TargetLimits(log(p1 / self.p0), log((1 - p1) / (1 - self.p0)), log(missed / (1 - error)), log((1 - missed) / error))

    @cached_property
    def target_successes(self) -> int:
        """Successes that a target must have before a gate accepts: one that fails half the time gets through all gates unseen within false_promotion."""
        return max(LEAST_SUCCESSES, ceil(-log2(self.false_promotion) / self.gates))

    @property
    def clean_pairs(self) -> int:
        """Pairs without a failure after which a gate accepts."""
        return ceil(self.accept_at / self.down)


@dataclass(frozen=True)
class Evidence:
    """What one test of a gate has seen. Immutable: :meth:`add` returns the next one; all fields are JSON-safe.

    :param ratio: log likelihood ratio, which stands still after the decision. :param cusum: the cumulative sum, which goes on after it.
    :param successes: pairs in which both succeeded. :param failures: pairs in which v1alpha2 alone did. :param inconclusive: pairs in which v1alpha2 failed.
    """

    ratio: float = 0.0
    successes: int = 0
    failures: int = 0
    inconclusive: int = 0
    cusum: float = 0.0
    decision: Decision = "undecided"

    def add(self, pair: Pair, limits: Limits) -> Evidence:
        """Return the evidence after one more pair."""
        if pair == "inconclusive":
            return replace(self, inconclusive=self.inconclusive + 1)
        change = limits.up if pair == "failure" else limits.down
        ratio = self.ratio + change if self.decision == "undecided" else self.ratio
        cusum = max(0.0, self.cusum + change)
        return Evidence(
            ratio,
            self.successes + (pair == "success"),
            self.failures + (pair == "failure"),
            self.inconclusive,
            cusum,
            _decision(self.decision, ratio, cusum, limits),
        )


def _decision(before: Decision, ratio: float, cusum: float, limits: Limits) -> Decision:
    """Return the decision after one more pair: the first one stands, except that CUSUM may reject at any time.

    When time is up without a decision the caller ends HELD, never with a promotion.
    """
    if cusum >= limits.cusum_limit:
        return "reject"
    if before != "undecided":
        return before
    return "accept" if ratio <= limits.accept_at else "reject" if ratio >= limits.reject_at else "undecided"


def classify(alpha_ok: bool, other_ok: bool) -> Pair:
    """Classify one pair: inconclusive where v1alpha2 fails, whatever the other answer is, since a failure counts only where v1alpha2 succeeds."""
    if not alpha_ok:
        return "inconclusive"
    return "success" if other_ok else "failure"
