# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settling and judging: probes are sent in bounded number, rate and time, and counted. The sender is handed in."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from ansible_collections.inference_gateway.migration.plugins.module_utils.cells import Cell, Probe
from ansible_collections.inference_gateway.migration.plugins.module_utils.sequential import Bounds, Decision, Evidence, classify

CELL_SUCCESSES = 3
"""Successes every cell must have in a gate, whatever the sum over all cells says."""


class Answered(Protocol):
    """What a sender returns."""

    status: int
    reason: str | None

    @property
    def ok(self) -> bool: ...


Sender = Callable[[Probe], Answered]


@dataclass
class Faults:
    """Failed probes, by whom they asked and why; the first one of each kind keeps its cell as an example."""

    counts: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)

    def note(self, probe: Probe, answer: Answered) -> None:
        """Count one answer."""
        who = probe.variant or "user"
        self.sent[who] += 1
        if not answer.ok:
            self.counts[f"{who}: {answer.reason} [{probe.cell}]"] += 1

    def worst(self, who: str | None = None, most: int = 3) -> list[str]:
        """The most frequent failures, each with its count."""
        chosen = Counter({text: count for text, count in self.counts.items() if who is None or text.startswith(f"{who}: ")})
        return [f"{text} x{count}" for text, count in chosen.most_common(most)]


class Pace:
    """A cap on the rate of requests."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        self._gap = 1.0 / per_second
        self._clock, self._sleep = clock, sleep
        self._next = clock()
        self._lock = threading.Lock()

    def take(self, count: int = 1) -> None:
        """Wait until ``count`` more requests may be sent."""
        with self._lock:
            now = self._clock()
            mine = max(self._next, now)
            self._next = mine + count * self._gap
        if mine > now:
            self._sleep(mine - now)


@dataclass(frozen=True)
class Settled:
    """How settling ended.

    :param rounds: clean ones in a row. :param passing: whether each stack (alpha, v1, both, user) passed all its probes in the last round.
    :param first: when the first of the clean rounds had ended, in seconds since the epoch; 0 without one.
    """

    done: bool
    rounds: int
    passing: dict[str, bool]
    faults: Faults
    first: float


def settle(probes: list[Probe], send: Sender, rounds: int, deadline: float, pace: Pace, workers: int, clean: int = 0) -> Settled:
    """Send every probe in rounds until ``rounds`` rounds in a row are without any failure, or until the deadline.

    A failure anywhere starts the count anew: front ends converge at different times, and only a run of fresh connections
    without a single miss says that all have.

    :param deadline: on the clock of time.monotonic; the round that is on its way then is ended.
    :param clean: rounds in a row with which an earlier stretch ended, since many cells may need longer than one.
    """
    first = time.time() if clean else 0.0
    with ThreadPoolExecutor(workers) as pool:
        while True:
            last = Faults()
            answers = list(pool.map(lambda probe: _paced(probe, send, pace), probes))
            for probe, answer in zip(probes, answers):
                last.note(probe, answer)
            passing = {who: not last.worst(who) for who in last.sent}
            clean = clean + 1 if all(passing.values()) else 0
            if clean < 2:
                first = time.time() if clean else 0.0
            if clean >= rounds or time.monotonic() >= deadline:
                return Settled(clean >= rounds, clean, passing, last, first)


def _paced(probe: Probe, send: Sender, pace: Pace) -> Answered:
    pace.take()
    return send(probe)


@dataclass(frozen=True)
class Judgement:
    """A gate's evidence so far; JSON-safe through :meth:`dump`, so that one module execution can go on where another ended.

    :param pairs: v1 against alpha through marked routes. :param user: the user's own rule against alpha's marked route.
    :param cells: successes by cell.
    """

    pairs: Evidence = Evidence()
    user: Evidence = Evidence()
    cells: tuple[tuple[str, int], ...] = ()
    sent: int = 0
    faults: tuple[str, ...] = ()

    def dump(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self) | {"cells": dict(self.cells), "faults": list(self.faults)}

    @classmethod
    def load(cls, data: dict[str, Any] | None) -> Judgement:
        """From plain data."""
        if not data:
            return cls()
        return cls(Evidence(**data["pairs"]), Evidence(**data["user"]), tuple(data["cells"].items()), data["sent"], tuple(data["faults"]))

    def decide(self, bounds: Bounds, cells: Iterable[Cell]) -> Decision:
        """Reject as soon as either test rejects; accept when the pairs accept and every cell has been seen to work.

        Two tests may reject, so each has half of the error that the gate may make. Without cells there is nothing to prove.
        """
        known, cells = dict(self.cells), list(cells)
        if not cells:
            return "accept"
        each = replace(bounds, false_rollback=bounds.false_rollback / 2)
        if "reject" in (self.pairs.decide(each), self.user.decide(each)):
            return "reject"
        covered = all(known.get(str(cell), 0) >= CELL_SUCCESSES for cell in cells)
        return "accept" if self.pairs.decide(each) == "accept" and covered else "undecided"


Trio = tuple[Probe, Probe, Probe]


def judge(trios: list[Trio], send: Sender, bounds: Bounds, before: Judgement, deadline: float, pace: Pace, workers: int) -> Judgement:
    """Send alpha, v1 and user probes side by side, cell by cell in random order, until the gate decides or the deadline.

    :param trios: for each cell the probe through alpha's marked rule, through v1's, and through the user's own rule.
    """
    after, faults = before, Faults()
    cells = [trio[0].cell for trio in trios]
    order: list[Trio] = []
    batch = max(1, workers // 3)
    with ThreadPoolExecutor(workers) as pool:
        while after.decide(bounds, cells) == "undecided" and time.monotonic() < deadline:
            while len(order) < batch:
                order += random.sample(trios, len(trios))
            chosen, order = order[:batch], order[batch:]
            pace.take(3 * batch)
            answers = list(pool.map(send, [probe for trio in chosen for probe in trio]))
            for number, trio in enumerate(chosen):
                mine = answers[3 * number:3 * number + 3]
                for probe, answer in zip(trio, mine):
                    faults.note(probe, answer)
                after = _add(after, trio[0].cell, mine, bounds)
    return replace(after, faults=tuple([*before.faults, *faults.worst()][-6:]))


def _add(judgement: Judgement, cell: Cell, answers: list[Answered], bounds: Bounds) -> Judgement:
    alpha, v1, user = (answer.ok for answer in answers)
    known = dict(judgement.cells)
    known[str(cell)] = known.get(str(cell), 0) + v1
    return replace(
        judgement,
        pairs=judgement.pairs.add(classify(alpha, v1), bounds),
        user=judgement.user.add(classify(alpha, user), bounds),
        cells=tuple(known.items()),
        sent=judgement.sent + 3,
    )
