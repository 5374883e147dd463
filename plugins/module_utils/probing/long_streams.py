# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds long streams open while weights change, and tells by their ends whether v1 is worse. The sender is handed in.

A gateway gives up on an answer after its backend's time-out, 30 s unless a policy says more. No short request shows that such a policy was not moved along
with its pool.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import Probe

SLACK = 2.0
"""Seconds by which a stream must end before another one to count as shorter."""
CHAIN_GAP = 1.0
"""Seconds between the end of a stream and the beginning of the next one of its chain."""


class Streamed(Protocol):
    """How one long stream was served, see :class:`answer_checks.StreamOutcome`."""

    @property
    def opened(self) -> float: ...

    @property
    def seconds(self) -> float: ...

    @property
    def reason(self) -> str | None: ...

    @property
    def closed(self) -> bool: ...


Keeper = Callable[[Probe, float], Streamed]
"""Holds one long stream open, until a moment on the clock of time.monotonic at most."""


@dataclass(frozen=True)
class Lasted:
    """How long the streams through one rule were served: chains side by side, each of streams one after the other.

    :param seconds: of the shortest stream that was cut; where none was, of the longest. :param reason: why that one was cut, None where none was.
    :param opened: when the first stream of every chain had begun, in seconds since the epoch; 0 where one did not. :param asked: how many streams there were.
    :param whole: whether any chain was not cut. :param closed: whether the shown one was closed on purpose.
    """

    seconds: float
    reason: str | None
    opened: float
    asked: int
    whole: bool = False
    closed: bool = False


@dataclass(frozen=True)
class StreamComparison:
    """The long streams of one target, by rule.

    :param what: the target, as text. :param sides: by probe rule (``alpha``, ``v1``), and ``user`` for the user's own rule.
    """

    what: str
    sides: Mapping[str, Lasted]

    @property
    def fault(self) -> str | None:
        """Why v1 is worse than v1alpha2, None where it is not: it cut its streams, and v1alpha2 kept its own or cut them later.

        Of several side by side every one must have been cut: one alone may be a pod's restart.
        """
        alpha, v1 = self.sides.get("alpha"), self.sides.get("v1")
        if alpha is None or v1 is None or v1.reason is None or v1.whole or (alpha.reason is not None and v1.seconds + SLACK >= alpha.seconds):
            return None
        kept = f"{'kept one for' if alpha.reason is None else 'cut its own only after'} {alpha.seconds:.0f} s"
        return f"v1 cut a stream after {v1.seconds:.0f} s ({v1.reason}) where v1alpha2 {kept} ({self.what})"

    def dump(self) -> dict[str, Any]:
        """Return it as plain data: ``what``, ``opened``, and for each side ``seconds``, ``reason`` and ``closed``.

        ``opened`` is when every side had begun, in seconds since the epoch, or 0 where one did not.
        """
        opened = [side.opened for side in self.sides.values()]
        sides = {who: {"seconds": round(side.seconds, 1), "reason": side.reason, "closed": side.closed} for who, side in self.sides.items()}
        return {"what": self.what, "opened": max(opened) if all(opened) else 0.0} | sides


def keep_open(chosen: list[list[Probe]], keep: Keeper, until: float, copies: int) -> list[StreamComparison]:
    """Hold long streams open, ``copies`` side by side for each probe; one that ends with ``[DONE]`` is followed by the next.

    :param chosen: for each target its probes, each through another rule. :param until: on the clock of time.monotonic. :returns: a comparison for each target.
    """
    if not chosen:
        return []
    with ThreadPoolExecutor(copies * sum(len(probes) for probes in chosen)) as pool:
        chains = [[[pool.submit(_chain, probe, keep, until) for _copy in range(copies)] for probe in probes] for probes in chosen]
        lasted = [[_lasted([chain.result() for chain in side]) for side in probes] for probes in chains]
    return [
        StreamComparison(str(probes[0].target), {probe.variant or "user": side for probe, side in zip(probes, sides)})
        for probes, sides in zip(chosen, lasted)
    ]


def _chain(probe: Probe, keep: Keeper, until: float) -> list[Streamed]:
    """Streams one after the other, until one is cut or time is up."""
    held = [keep(probe, until)]
    while held[-1].reason is None and time.monotonic() + CHAIN_GAP < until:
        time.sleep(CHAIN_GAP)
        held.append(keep(probe, until))
    return held


def _lasted(chains: list[list[Streamed]]) -> Lasted:
    ends = [chain[-1] for chain in chains if chain[-1].reason is not None]
    shown = min(ends, key=lambda held: held.seconds) if ends else max((held for chain in chains for held in chain), key=lambda held: held.seconds)
    firsts = [chain[0].opened for chain in chains]
    return Lasted(shown.seconds, shown.reason, max(firsts) if all(firsts) else 0.0, sum(len(chain) for chain in chains), len(ends) < len(chains),
                  shown.closed)
