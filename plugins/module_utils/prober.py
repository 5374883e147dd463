# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settling and judging: probes are sent in bounded number, rate and time, and counted. The sender is handed in."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Protocol, TypeVar

from ansible_collections.inference_gateway.migration.plugins.module_utils import dyes
from ansible_collections.inference_gateway.migration.plugins.module_utils.cells import TOO_MANY, Cell, Probe
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import Variant
from ansible_collections.inference_gateway.migration.plugins.module_utils.sequential import Bounds, Decision, Evidence, classify

CELL_SUCCESSES = 3
"""Successes every cell must have in a gate, whatever the sum over all cells says."""
VOID_PAIRS = 30
"""Pairs without evidence that, once they are the most, say that nothing can be decided."""
STACKS: tuple[Variant, Variant] = ("alpha", "v1")
SAMPLES = 3
"""Dyes through each marked rule that show how a stack answers."""
SLOWEST = 16
"""How many times slower than its cap a pace gets at most."""

Ruling = Literal["accept", "reject", "undecided", "void"]
"""What a gate says: ``void`` where v1alpha2 fails so often that v1 can't be compared with it."""


class Answered(Protocol):
    """What a sender returns. ``kind`` is the failure without what differs from one to the next."""

    status: int
    reason: str | None

    @property
    def ok(self) -> bool: ...

    @property
    def kind(self) -> str: ...


Sender = Callable[[Probe], Answered]
Look = Callable[[], None]
"""Called between requests; what it raises ends the work."""
Said = TypeVar("Said")


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
    """A cap on the rate of requests, which gives way where somebody answers that it is too much."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        """:raises ValueError: for less than one a second."""
        if per_second < 1:
            raise ValueError(f"probe_rate must be 1 or more probes a second, not {per_second}.")
        self._gap = 1.0 / per_second
        self._slower = 1.0
        self._clock, self._sleep = clock, sleep
        self._next = clock()
        self._lock = threading.Lock()

    def take(self, count: int = 1) -> None:
        """Wait until ``count`` more requests may be sent."""
        with self._lock:
            now = self._clock()
            mine = max(self._next, now)
            self._next = mine + count * self._gap * self._slower
        if mine > now:
            self._sleep(mine - now)

    def heed(self, answers: Iterable[Answered]) -> None:
        """Half the rate after a 429, a little more of it back after each batch without one."""
        saturated = any(answer.status == TOO_MANY for answer in answers)
        with self._lock:
            self._slower = min(SLOWEST, self._slower * 2) if saturated else max(1.0, self._slower * 0.9)


@dataclass(frozen=True)
class Settled:
    """How settling ended.

    :param rounds: clean ones in a row. :param passing: whether each stack (alpha, v1, both, user) passed all its probes in any round of this stretch.
    :param faults: of the last round.
    :param first: when the first of the clean rounds had ended, in seconds since the epoch; 0 without one.
    :param sent: probes of this stretch.
    """

    done: bool
    rounds: int
    passing: dict[str, bool]
    faults: Faults
    first: float
    sent: int


class Watch:
    """How users fare while a gateway takes a change, for which a few rounds without a failure afterwards make up for nothing.

    What fails where v1alpha2 does not counts in the gate's watch, whose error is for a million pairs: these rounds are among them.
    Where the users' own rules are not asked it is their rehearsal that counts, the marked rules that name both stacks.

    :param control: whether v1alpha2's marked rules are compared with; without it, while the users' own rules are v1alpha2's, every new kind of failure counts.
    :param before: what :attr:`judgement` was when an earlier stretch ended.
    """

    def __init__(self, bounds: Bounds, known: Iterable[str], control: bool, before: dict[str, Any]) -> None:
        self.bounds, self.known, self.control = bounds, frozenset(known), control
        self.judgement = Judgement.load(before) if before else Judgement(user=Evidence(decision="accept"))

    @property
    def rejects(self) -> bool:
        """Whether so much failed that it is no chance."""
        return self.judgement.user.decision == "reject"

    def note(self, round_of: list[tuple[Probe, Answered]]) -> None:
        """Count one round."""
        watched = None if any(probe.variant is None for probe, _answer in round_of) else "both"
        control = self.control or watched == "both"
        failed = {probe.cell for probe, answer in round_of if control and probe.variant == "alpha" and not answer.ok}
        for probe, answer in round_of:
            if probe.variant == watched:
                fine = answer.ok or answer.kind in self.known
                self.judgement = _add_user(self.judgement, probe.cell not in failed, answer, self.bounds, self.known, fine)


def settle(probes: list[Probe], send: Sender, rounds: int, deadline: float, pace: Pace, workers: int, clean: int = 0, watch: Watch | None = None,
           look: Look = lambda: None) -> Settled:
    """Send every probe in rounds until ``rounds`` rounds in a row are without any failure, or until the deadline.

    A failure anywhere starts the count anew: front ends converge at different times, and only a run of fresh connections
    without a single miss says that all have.

    :param deadline: on the clock of time.monotonic; the round that is on its way then is ended.
    :param clean: rounds in a row with which an earlier stretch ended, since many cells may need longer than one.
    :param watch: ends it early where users suffer. :param look: called after every round.
    """
    first, sent, passing = time.time() if clean else 0.0, 0, dict[str, bool]()
    with ThreadPoolExecutor(workers) as pool:
        while True:
            last = Faults()
            sent += len(probes)
            answered = list(zip(probes, _round(probes, send, pace, pool)))
            for probe, answer in answered:
                last.note(probe, answer)
            passing |= {who: passing.get(who, False) or not last.worst(who) for who in last.sent}
            clean = 0 if last.counts else clean + 1
            if clean < 2:
                first = time.time() if clean else 0.0
            if watch:
                watch.note(answered)
            look()
            if clean >= rounds or time.monotonic() >= deadline or (watch and watch.rejects):
                return Settled(clean >= rounds, clean, passing, last, first, sent)


def _paced(probe: Probe, send: Callable[[Probe], Said], pace: Pace) -> Said:
    pace.take()
    return send(probe)


def _round(probes: list[Probe], send: Sender, pace: Pace, pool: ThreadPoolExecutor) -> list[Answered]:
    """Every probe once."""
    answers = list(pool.map(lambda probe: _paced(probe, send, pace), probes))
    pace.heed(answers)
    return answers


def baseline(probes: list[Probe], send: Sender, rounds: int, deadline: float, pace: Pace, workers: int) -> tuple[Faults, tuple[str, ...], tuple[str, ...]]:
    """How the users' own rules answer before v1 has any of their traffic.

    :returns: what failed, the kinds of failure, and the cells (as text) that never answered.
    """
    faults, kinds, answered = Faults(), set(), {str(probe.cell): False for probe in probes}
    with ThreadPoolExecutor(workers) as pool:
        for number in range(rounds):
            if number and time.monotonic() >= deadline:
                break
            for probe, answer in zip(probes, _round(probes, send, pace, pool)):
                faults.note(probe, answer)
                answered[str(probe.cell)] |= answer.ok
                kinds |= set() if answer.ok else {answer.kind}
    return faults, tuple(sorted(kinds)), tuple(cell for cell, ok in answered.items() if not ok)


@dataclass(frozen=True)
class Judgement:
    """A gate's evidence so far; JSON-safe through :meth:`dump`, so that one module execution can go on where another ended.

    :param pairs: v1 against alpha through marked routes. :param user: the user's own rule against alpha's marked route.
    :param cells: successes by cell. :param novel: kinds of failure of the user's own rule that alpha's baseline does not have.
    """

    pairs: Evidence = Evidence()
    user: Evidence = Evidence()
    cells: tuple[tuple[str, int], ...] = ()
    sent: int = 0
    faults: tuple[str, ...] = ()
    novel: tuple[str, ...] = ()

    def dump(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self) | {"cells": dict(self.cells), "faults": list(self.faults), "novel": list(self.novel)}

    @classmethod
    def load(cls, data: dict[str, Any] | None) -> Judgement:
        """From plain data."""
        if not data:
            return cls()
        pairs, user = Evidence(**data["pairs"]), Evidence(**data["user"])
        return cls(pairs, user, tuple(data["cells"].items()), data["sent"], tuple(data["faults"]), tuple(data["novel"]))

    def decide(self, cells: Iterable[Cell]) -> Ruling:
        """Reject as soon as either test rejects; accept when the pairs accept and every cell has been seen to work.

        A failure of the users' own rule of a kind that they did not meet before pauses the step: then their test must
        accept as well. Without cells nothing was measured, so nothing has passed.
        """
        known, cells = dict(self.cells), list(cells)
        if not cells:
            return "void"
        tests = (self.pairs.decision, self.user.decision)
        if "reject" in tests:
            return "reject"
        if self.pairs.void >= max(VOID_PAIRS, self.pairs.successes + self.pairs.failures):
            return "void"
        covered = all(known.get(str(cell), 0) >= CELL_SUCCESSES for cell in cells)
        wanted: tuple[Decision, ...] = tests if self.novel else tests[:1]
        return "accept" if covered and set(wanted) == {"accept"} else "undecided"


Trio = tuple[Probe, Probe, Probe]


def judge(trios: list[Trio], send: Sender, bounds: Bounds, before: Judgement, deadline: float, pace: Pace, workers: int,
          known: frozenset[str] = frozenset(), hold: float = 0.0, look: Look = lambda: None) -> Judgement:
    """Send trios in random order, every cell as often as the others, until the gate decides or the deadline.

    :param trios: for each cell the probe through alpha's marked rule, through v1's, and through the user's own rule.
    :param known: kinds of failure that the users' own rules had before v1 got any of their traffic.
    :param hold: on the clock of time.monotonic; until then it goes on though v1 was accepted. :param look: called after every batch.
    """
    after, faults = before, Faults()
    cells = [trio[0].cell for trio in trios]
    order: list[Trio] = []
    batch = max(1, workers // 3)
    with ThreadPoolExecutor(workers) as pool:
        while trios and time.monotonic() < deadline:
            ruling = after.decide(cells)
            if ruling in ("reject", "void") or (ruling == "accept" and time.monotonic() >= hold):
                break
            while len(order) < batch:
                order += random.sample(trios, len(trios))
            chosen, order = order[:batch], order[batch:]
            pace.take(3 * batch)
            answers = list(pool.map(send, [probe for trio in chosen for probe in trio]))
            pace.heed(answers)
            for number, trio in enumerate(chosen):
                mine = answers[3 * number:3 * number + 3]
                for probe, answer in zip(trio, mine):
                    faults.note(probe, answer)
                after = _add(after, trio[0].cell, mine, bounds, known)
            look()
    return replace(after, faults=tuple([*before.faults, *faults.worst()][-6:]))


def _add(judgement: Judgement, cell: Cell, answers: list[Answered], bounds: Bounds, known: frozenset[str]) -> Judgement:
    alpha, v1, user = answers
    counted = dict(judgement.cells)
    counted[str(cell)] = counted.get(str(cell), 0) + v1.ok
    paired = replace(judgement, pairs=judgement.pairs.add(classify(alpha.ok, v1.ok), bounds), cells=tuple(counted.items()), sent=judgement.sent + 3)
    return _add_user(paired, alpha.ok, user, bounds, known, user.ok)


def _add_user(judgement: Judgement, alpha_ok: bool, user: Answered, bounds: Bounds, known: frozenset[str], user_ok: bool) -> Judgement:
    fresh = () if user.ok or user.kind in known or user.kind in judgement.novel else (user.kind,)
    return replace(judgement, user=judgement.user.add(classify(alpha_ok, user_ok), bounds), novel=judgement.novel + fresh)


@dataclass(frozen=True)
class Shares:
    """What the dyes of one stretch say.

    :param faults: groups whose share is not what the weights say. :param unsure: those of which too many dyes told nothing.
    :param blind: groups in which nothing tells the stacks apart. :param counted: what each other group answered, as a line for a person.
    """

    faults: tuple[str, ...]
    unsure: tuple[str, ...]
    blind: tuple[str, ...]
    counted: tuple[str, ...]
    sent: int

    def dump(self) -> dict[str, Any]:
        """As plain data."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


Dyer = Callable[[Probe], "dyes.Signature | None"]


def measure(cells: list[Cell], wanted: Callable[[dyes.Group], dyes.Expected], send: Dyer, nonce: str, count: int,
            pace: Pace, workers: int, look: Look = lambda: None) -> Shares:
    """Send ``count`` dyes, spread evenly over the groups of the cells, and compare what each stack answered with the weights.

    Of a group no more are sent once too many told nothing: a stack that sheds load is left alone.

    :param wanted: what the weights of a group must be. :param look: called between the dyes. :raises ValueError: for less than one dye.
    """
    if count < 1:
        raise ValueError(f"dyes must be 1 or more, not {count}; of state migrated 0 leaves the measurement out.")
    groups = dyes.groups(cells)
    faults, unsure, blind, counted, sent = [], [], dyes.undyed(cells), [], 0
    each = -(-count // max(1, len(groups)))

    def ask(group: dyes.Group, variant: Variant | None, times: int) -> list[dyes.Signature | None]:
        one, found = dyes.dye(group.cell, variant, nonce), list[dyes.Signature | None]()
        while len(found) < times and sum(map(dyes.silent, found)) <= dyes.UNTOLD * times:
            found += pool.map(lambda _number: _paced(one, send, pace), range(min(workers, times - len(found))))
            look()
        return found

    with ThreadPoolExecutor(workers) as pool:
        for group in groups:
            samples = {who: ask(group, who, SAMPLES) for who in STACKS}
            sent += sum(map(len, samples.values()))
            signatures = {who: dyes.alike([found for found in answers if not dyes.silent(found)]) for who, answers in samples.items()}
            known = {str(who): signature for who, signature in signatures.items() if signature}
            if all(map(dyes.silent, itertools.chain(*samples.values()))):
                unsure.append(f"{group}: no dye by the marked routes was answered, or by {TOO_MANY} alone")
                continue
            if len(set(known.values())) < len(known) or not known:
                blind.append(f"{group}: {'the stacks answer alike' if known else 'neither stack answers in one way'} to a model that nobody uses")
                continue
            tally = dyes.Tally(known)
            for answer in ask(group, None, each):
                tally.note(answer)
            sent += sum(tally.counts.values())
            shares = wanted(group)
            fault, doubt = tally.fault(shares), tally.unsure()
            counted.append(f"answered by {tally}, weights say {shares.alpha:.1%} and {shares.v1:.1%} ({group})")
            faults += [f"{group}: {fault}"] if fault else []
            unsure += [f"{group}: {doubt}"] if doubt and not fault else []
    return Shares(tuple(faults), tuple(unsure), tuple(blind), tuple(counted), sent)
