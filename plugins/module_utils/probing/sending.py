# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends probes within the load that they may be, and counts what fails. The sender is handed in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.load import ProbeLoad
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import Probe


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

    @property
    def seconds(self) -> float: ...

    @property
    def first(self) -> float: ...

    @property
    def by_gateway(self) -> bool: ...


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


def placed(probe: Probe, send: Callable[[Probe], Said], load: ProbeLoad) -> Said:
    """Send one probe as soon as its pool has a place for it, and return what the sender returns."""
    with load.place(probe.target):
        return send(probe)


def paced(probe: Probe, send: Callable[[Probe], Said], load: ProbeLoad) -> Said:
    """Send one probe as soon as the rate allows it and its pool has a place for it, and return what the sender returns."""
    load.take()
    return placed(probe, send, load)


def send_round(probes: list[Probe], send: Sender, load: ProbeLoad, pool: ThreadPoolExecutor, workers: int) -> Iterator[list[tuple[Probe, Answered]]]:
    """Send every probe once, a few at a time; yield each few with their answers, so that whoever waits for a long round can look up."""
    left = list(probes)
    while left:
        size = min(workers, load.at_once)
        few, left = left[:size], left[size:]
        answered = list(zip(few, pool.map(lambda probe: paced(probe, send, load), few)))
        load.heed(answered)
        yield answered
