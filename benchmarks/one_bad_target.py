# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulates migrations in which one target of many fails, by the gate's own code and without a network."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import gate, targets
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.gate import Comparison, Judgement
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sprt import Bounds
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.listeners import Listener

BATCH = 4
"""Comparisons at a time, as a run has them that meets four model servers."""
MOST = 50_000
"""Comparisons after which a gate's time is over: 40 minutes at 20 a second."""
PLACE = targets.Address(Listener("default", "gw", "http", 80, False, ""), "192.0.2.1")


@dataclass(frozen=True)
class Said:
    """An answer, of which only whether it is one matters."""

    ok: bool
    status: int = 200
    model: str = ""
    seconds: float = 0.0
    first: float = 0.0
    by_gateway: bool = False

    @property
    def reason(self) -> str | None:
        """Why it is none."""
        return None if self.ok else "status 503"

    @property
    def kind(self) -> str:
        """The same."""
        return self.reason or "none"


GOOD, BAD = Said(True), Said(False)


class Ended(NamedTuple):
    """How a simulated migration ended.

    :param promoted: whether every gate accepted. :param rejected: whether one rejected; else its time was over. :param comparisons: asked in all gates.
    """

    promoted: bool
    rejected: bool
    comparisons: int


def comparisons(count: int) -> list[Comparison]:
    """Make the comparisons of so many targets."""
    asked = targets.COMPLETIONS
    found = [targets.ProbeTarget(PLACE, "", "HTTPRoute default/r", number, 0, asked, (), "llama", asked, False) for number in range(count)]
    return [(targets.probe(one, "alpha", "igm", {}), targets.probe(one, "v1", "igm", {}), targets.probe(one, None, "igm", {})) for one in found]


def migration(asked: list[Comparison], bounds: Bounds, bad: float, who: str, everywhere: float = 0.0) -> Ended:
    """Run the gates of one migration whose v1alpha2 is well.

    :param bad: share of comparisons in which the first target fails. :param who: by what, ``v1`` or ``user``.
    :param everywhere: share in which each other target fails, by both.
    """
    sent = 0
    for _gate in range(bounds.gates):
        judgement, order, last = Judgement(), list[Comparison](), sent + MOST
        names = [comparison[0].target for comparison in asked]
        while (ruling := judgement.decide(names, bounds)) == "undecided" and sent < last:
            for comparison, again in gate.next_batch(order, asked, judgement, BATCH):
                share = {"v1": everywhere, "user": everywhere} | ({who: bad} if comparison is asked[0] else {})
                v1, user = (BAD if random.random() < share[side] else GOOD for side in ("v1", "user"))
                judgement, sent = gate.add_comparison(judgement, comparison[0].target, [GOOD, v1, user], bounds, frozenset(), again), sent + 1
        if ruling != "accept":
            return Ended(False, ruling == "reject", sent)
    return Ended(True, False, sent)
