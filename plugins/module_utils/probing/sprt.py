# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statistics of the gate: Wald's sequential probability ratio test on pairs of probes.

Each pair asks the alpha and the v1 stack the same kind of question at the same time. v1's failures count only where alpha
succeeded, so that an outage of the model servers, which both share, is no evidence against v1. The test decides between
v1 failing a share p0 of such pairs (fine) and p1 (not fine) with stated error probabilities, after as few pairs as any test
can (Wald and Wolfowitz 1948), and may be looked at after every pair.

A decision stands, but a soak goes on: a watch beside the test (Page's cumulative sum, 1954) forgets what went well and
so finds a stack that turns bad after it was accepted. Started anew at every pair, the sum reaches h with a probability of
at most exp(-h) from each start (Ville's inequality), and so within n pairs with at most n exp(-h).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from math import ceil, log
from typing import Any, Literal

Decision = Literal["accept", "reject", "undecided"]
Pair = Literal["success", "failure", "inconclusive"]

TESTS = 2
"""Tests that may reject at a gate: v1's probe route against alpha's, and the user's own rule against alpha's."""
CUSUM_SHARE = 0.1
"""Part of a gate's false_rollback that the watch may use: its limit grows with the logarithm, so that a tenth costs one failure."""
CUSUM_PAIRS = 1_000_000
"""Pairs of one gate for which the watch keeps its promise: 14 hours of soak at 20 pairs a second."""


@dataclass(frozen=True)
class Bounds:
    """What the gate promises over a whole migration.

    :param p0: share of failing pairs that is fine, in (0, p1).
    :param p1: share that must be caught.
    :param false_promotion: probability that a v1 stack failing at p1 passes any gate of the migration.
    :param false_rollback: probability that a v1 stack failing at p0 is rejected by any gate of the migration.
    :param gates: how many gates the migration has: its steps and the final one.
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
        """From a person's choice, whose numbers may be text (``-e`` hands them on so).

        :raises ValueError: one sentence for what means nothing.
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
        """Probability that one test of one gate rejects a stack at p0: the whole, split over gates and tests, less the watch's part."""
        return self.false_rollback * (1 - CUSUM_SHARE) / (self.gates * TESTS)

    @cached_property
    def accept_at(self) -> float:
        """Log likelihood ratio at or below which a gate accepts v1.

        A v1 stack at p1 must get through every gate to be promoted, but each step exposes users, so the whole error is
        split evenly: the sum over the gates then stays within it (Bonferroni).
        """
        return log((self.false_promotion / self.gates) / (1 - self.test_error))

    @cached_property
    def reject_at(self) -> float:
        """Log likelihood ratio at or above which a test rejects v1."""
        return log((1 - self.false_promotion / self.gates) / self.test_error)

    @cached_property
    def cusum_limit(self) -> float:
        """Cumulative sum at or above which the watch rejects v1."""
        return log(CUSUM_PAIRS * self.gates * TESTS / (self.false_rollback * CUSUM_SHARE))

    @cached_property
    def up(self) -> float:
        """What a failing pair adds to the ratio."""
        return log(self.p1 / self.p0)

    @cached_property
    def down(self) -> float:
        """What a pair that went well adds to the ratio; negative."""
        return log((1 - self.p1) / (1 - self.p0))

    @property
    def clean_pairs(self) -> int:
        """Pairs without a failure after which a gate accepts."""
        return ceil(self.accept_at / self.down)


@dataclass(frozen=True)
class Evidence:
    """What one test of a gate has seen. Immutable: :meth:`add` returns the next one; all fields are JSON-safe.

    :param ratio: log likelihood ratio until the decision, at which it stands still. :param watch: the cumulative sum.
    """

    ratio: float = 0.0
    successes: int = 0
    failures: int = 0
    inconclusive: int = 0
    cusum: float = 0.0
    decision: Decision = "undecided"

    def add(self, pair: Pair, bounds: Bounds) -> Evidence:
        """The evidence after one more pair."""
        if pair == "inconclusive":
            return replace(self, inconclusive=self.inconclusive + 1)
        change = bounds.up if pair == "failure" else bounds.down
        ratio = self.ratio + change if self.decision == "undecided" else self.ratio
        cusum = max(0.0, self.cusum + change)
        return Evidence(
            ratio,
            self.successes + (pair == "success"),
            self.failures + (pair == "failure"),
            self.inconclusive,
            cusum,
            _decision(self.decision, ratio, cusum, bounds),
        )


def _decision(before: Decision, ratio: float, cusum: float, bounds: Bounds) -> Decision:
    """The first decision stands, but that the watch may reject at any time; the caller turns a used-up budget into HELD, never into a promotion."""
    if cusum >= bounds.cusum_limit:
        return "reject"
    if before != "undecided":
        return before
    return "accept" if ratio <= bounds.accept_at else "reject" if ratio >= bounds.reject_at else "undecided"


def classify(alpha_ok: bool, other_ok: bool) -> Pair:
    """One pair as evidence: where alpha fails, be it alone, the pair says nothing, for what is judged is who fails where alpha does not."""
    if not alpha_ok:
        return "inconclusive"
    return "success" if other_ok else "failure"
