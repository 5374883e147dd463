# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends probes in bounded number and at a bounded rate, and counts what fails. The sender is handed in."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import TOO_MANY, Probe

SLOWEST = 16
"""How many times slower than its highest rate a pace gets at most."""


class Answered(Protocol):
    """What a sender returns, see :class:`answer_checks.Answer`. ``kind`` is the reason without what differs between failures of one kind."""

    @property
    def model(self) -> str: ...

    @property
    def status(self) -> int: ...

    @property
    def reason(self) -> str | None: ...

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
    """Counts probes, and those that failed.

    :param counts: failures by text: variant, reason and target. :param sent: probes by variant. The users' own rules are ``user``.
    """

    counts: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)

    def note(self, probe: Probe, answer: Answered) -> None:
        """Count one answer."""
        who = probe.variant or "user"
        self.sent[who] += 1
        if not answer.ok:
            self.counts[f"{who}: {answer.reason} [{probe.target}]"] += 1

    def worst(self, who: str | None = None, most: int = 3) -> list[str]:
        """Return the most frequent failures as lines with their counts, ``most`` at most; of one variant, or of all where ``who`` is None."""
        chosen = Counter({text: count for text, count in self.counts.items() if who is None or text.startswith(f"{who}: ")})
        return [f"{text} x{count}" for text, count in chosen.most_common(most)]


class Pace:
    """Caps the rate of requests, and slows down while anything answers 429."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        """Begin with the highest rate, ``per_second`` requests. :raises ValueError: when that is less than one a second."""
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
        """Halve the rate after a batch with a 429, and give a little of it back after each batch without one."""
        saturated = any(answer.status == TOO_MANY for answer in answers)
        with self._lock:
            self._slower = min(SLOWEST, self._slower * 2) if saturated else max(1.0, self._slower * 0.9)


def paced(probe: Probe, send: Callable[[Probe], Said], pace: Pace) -> Said:
    """Send one probe as soon as the pace allows it, and return what the sender returns."""
    pace.take()
    return send(probe)


def send_round(probes: list[Probe], send: Sender, pace: Pace, pool: ThreadPoolExecutor) -> list[Answered]:
    """Send every probe once and return the answers, in the same order."""
    answers = list(pool.map(lambda probe: paced(probe, send, pace), probes))
    pace.heed(answers)
    return answers
