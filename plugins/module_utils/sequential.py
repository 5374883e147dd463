# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statistics of the gate: Wald's sequential probability ratio test on pairs of probes.

Each pair asks the alpha and the v1 stack the same kind of question at the same time. v1's failures count only where alpha
succeeded, so that an outage of the model servers, which both share, is no evidence against v1. The test decides between
v1 failing a share p0 of such pairs (fine) and p1 (not fine) with stated error probabilities, after as few pairs as any test
can (Wald and Wolfowitz 1948), and may be looked at after every pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import ceil, log
from typing import Any, Literal

Decision = Literal["accept", "reject", "undecided"]
Pair = Literal["success", "failure", "void"]


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

    @property
    def accept_at(self) -> float:
        """Log likelihood ratio at or below which a gate accepts v1.

        A v1 stack at p1 must get through every gate to be promoted, but each step exposes users, so the whole error is
        split evenly: the sum over the gates then stays within it (Bonferroni).
        """
        return log((self.false_promotion / self.gates) / (1 - self.false_rollback / self.gates))

    @property
    def reject_at(self) -> float:
        """Log likelihood ratio at or above which a gate rejects v1."""
        return log((1 - self.false_promotion / self.gates) / (self.false_rollback / self.gates))

    @property
    def clean_pairs(self) -> int:
        """Pairs without a failure after which a gate accepts."""
        return ceil(self.accept_at / log((1 - self.p1) / (1 - self.p0)))


@dataclass(frozen=True)
class Evidence:
    """What one gate has seen. Immutable: :meth:`add` returns the next one; all fields are JSON-safe."""

    ratio: float = 0.0
    successes: int = 0
    failures: int = 0
    void: int = 0

    def add(self, pair: Pair, bounds: Bounds) -> Evidence:
        """The evidence after one more pair."""
        if pair == "void":
            return replace(self, void=self.void + 1)
        if pair == "failure":
            return replace(self, failures=self.failures + 1, ratio=self.ratio + log(bounds.p1 / bounds.p0))
        return replace(self, successes=self.successes + 1, ratio=self.ratio + log((1 - bounds.p1) / (1 - bounds.p0)))

    def decide(self, bounds: Bounds) -> Decision:
        """What the evidence says so far; the caller turns a used-up budget into HELD, never into a promotion."""
        if self.ratio <= bounds.accept_at:
            return "accept"
        if self.ratio >= bounds.reject_at:
            return "reject"
        return "undecided"


def classify(alpha_ok: bool, v1_ok: bool) -> Pair:
    """One pair as evidence: only where alpha succeeded does it say something of v1; where only alpha failed, v1 did well."""
    if v1_ok:
        return "success"
    return "failure" if alpha_ok else "void"
