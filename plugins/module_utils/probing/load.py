# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounds what probes ask of model servers: how many at once, how many a second, and less where servers take longer or refuse.

Model servers are somebody's GPUs, and busy: 60 probes a second that take 2 s each would be 120 sequences there. So each pool has at most
one probe in flight for each model server that is ready, and the rate falls as the time to the first byte rises.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import log2
from statistics import median
from typing import Protocol, TypedDict

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import TOO_MANY, Probe, ProbeTarget

SLOWEST = 16
"""How many times slower than its highest rate probing gets at most."""
RAMP = 8
"""How many times slower than its highest rate probing begins, where it does not know the servers yet."""
LEARN = 5
"""Answers of one pool, model and kind of request whose median is how long the first byte usually takes."""
HEEDED = 12
"""Answers in which the rate changes once."""
UNBOUNDED = 1_000
"""Probes in flight where no pool has a bound."""
WINDOW = 24
"""Latest answers whose times are looked at; fewer than :data:`ENOUGH` say nothing."""
ENOUGH = 8
TWICE = 2.0
"""How many times as long as usual the first byte takes when the rate is halved; at twice that it is halved again, and so on."""


class Timed(Protocol):
    """What is heeded of an answer, see :class:`answer_checks.Answer`."""

    @property
    def status(self) -> int: ...

    @property
    def ok(self) -> bool: ...

    @property
    def first(self) -> float: ...

    @property
    def by_gateway(self) -> bool: ...


class LoadState(TypedDict):
    """What one module execution hands to the next.

    ``usual``: seconds to the first byte, by pool, model and kind of request. ``refused``: how many times slower because of refusals. ``ratio``: how many times
    as long as usual the first byte took lately.
    """

    usual: dict[str, float]
    refused: float
    ratio: float


class ProbeLoad:
    """Bounds the probes of one module execution.

    :param per_second: requests a second at most. :param servers: model servers that are ready, by pool; a pool that is not named has no bound of its own.
    :param pool_of: the pool behind a target. :param before: what :meth:`dump` returned when the execution before ended.
    :param ramp: whether to begin slowly, and to be faster after each batch that no server refused.
    :raises ValueError: when ``per_second`` is less than one.
    """

    def __init__(self, per_second: float, servers: Mapping[str, int] | None = None, pool_of: Callable[[ProbeTarget], str] = lambda _target: "",
                 before: LoadState | None = None, ramp: bool = False,
                 clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        if per_second < 1:
            raise ValueError(f"probe_rate must be 1 or more probes a second, not {per_second}.")
        self._gap = 1.0 / per_second
        self._clock, self._sleep = clock, sleep
        self._next = clock()
        self._lock = threading.Lock()
        self._pool_of = pool_of
        self._places = {pool: threading.Semaphore(max(1, count)) for pool, count in (servers or {}).items()}
        self._at_once = min(max(1, count) for count in servers.values()) * len(servers) if servers else UNBOUNDED
        self._usual = dict(before["usual"]) if before else {}
        self._refused = before["refused"] if before else 1.0
        self._ratio = before["ratio"] if before else 1.0
        self._ramp = float(RAMP) if ramp else 1.0
        self._heard, self._halved = 0, False
        self._learning: dict[str, list[float]] = defaultdict(list)
        self._ratios: deque[float] = deque(maxlen=WINDOW)

    @property
    def slower(self) -> float:
        """How many times slower than its highest rate probing is now."""
        longer = 2.0 ** int(log2(self._ratio)) if self._ratio >= TWICE else 1.0
        return min(float(SLOWEST), max(self._refused, longer, self._ramp))

    @property
    def at_once(self) -> int:
        """Work for model servers to begin at a time: as much of each pool as the smallest has servers, and less while probing is slower. It ends soon."""
        return max(1, int(self._at_once / self.slower))

    def take(self, count: int = 1) -> None:
        """Wait until ``count`` more requests may be sent."""
        with self._lock:
            now = self._clock()
            mine = max(self._next, now)
            self._next = mine + count * self._gap * self.slower
        if mine > now:
            self._sleep(mine - now)

    @contextmanager
    def place(self, target: ProbeTarget) -> Iterator[None]:
        """Hold one of the places in flight that the pool behind a target has, once one is free."""
        places = self._places.get(self._pool_of(target))
        if places is None:
            yield
            return
        with places:
            yield

    def heed(self, answered: Iterable[tuple[Probe, Timed]]) -> None:
        """Look at answers: halve the rate after a few with a refusal (429, or one of the gateway's own) and give a little of it back after a few without.

        Answers that succeeded show how long the first byte takes.
        """
        with self._lock:
            for probe, answer in answered:
                self._count(answer.status == TOO_MANY or answer.by_gateway)
                if answer.ok and answer.first:
                    target = probe.target
                    self._time(f"{self._pool_of(target)} {target.model} {target.endpoint}{' stream' if target.stream else ''}", answer.first)
            if len(self._ratios) >= ENOUGH:
                self._ratio = median(self._ratios)

    def _count(self, refused: bool) -> None:
        """Count one answer. Of :data:`HEEDED` the first refusal halves the rate at once, and where there was none it rises at their end."""
        self._heard += 1
        if refused and not self._halved:
            self._refused, self._halved = min(float(SLOWEST), self._refused * 2), True
        if self._heard == HEEDED:
            if not self._halved:
                self._refused, self._ramp = max(1.0, self._refused * 0.9), max(1.0, self._ramp / 2)
            self._heard, self._halved = 0, False

    def _time(self, kind: str, first: float) -> None:
        """Count how long a first byte took; the first ones of a kind are what is usual."""
        if kind in self._usual:
            self._ratios.append(first / self._usual[kind])
            return
        self._learning[kind].append(first)
        if len(self._learning[kind]) == LEARN:
            self._usual[kind] = median(self._learning.pop(kind))

    def dump(self) -> LoadState:
        """Return what the next execution goes on from."""
        return {"usual": dict(self._usual), "refused": self._refused, "ratio": self._ratio}
