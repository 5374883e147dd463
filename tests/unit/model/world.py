# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds one state of the model, and judges it by the invariants of the protocol.

The cluster has one route, one v1alpha2 pool and its v1 counterpart. A *flow* is what may be on its way to a stack: 2, the gateway may still send it
requests; 1, none that is new; 0, none at all. The model keeps a flow as high as it may be, since more requests never make a state safer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.unit.model.ways import ALL, FINISHED, FOREIGN, HALF

NOBODY, DEAD = 0, 3
"""Holders of the Lease besides runners, which are 1 and 2: nobody, and the run that was killed last."""
OPEN, ENDED, ROLLED_BACK = range(3)
"""What the journal says of the migration."""


class Log(NamedTuple):
    """What the journal says."""

    retiring: bool = False
    shifted: bool = False
    installed: bool = False
    proven: bool = False
    retired: bool = False
    status: int = OPEN


class Write(NamedTuple):
    """A write that is prepared under a look at the Lease, or a task that is under way.

    :param kind: of its piece. :param stale: whether the route that was read was written since: 1, by anybody; 2, by a user.
    """

    kind: str
    stale: int = 0


class Runner(NamedTuple):
    """One run of a playbook.

    :param at: number of its piece. :param stands: where it found or last put the route. :param served: whether it knows that v1 may have requests of users.
    """

    working: bool = False
    way: int = 0
    at: int = 0
    stands: int = 0
    served: bool = False
    write: Write | None = None


class Orphan(NamedTuple):
    """A module execution, or a task of another collection, that outlives its run. :param mine: whether its run is the dead holder of the Lease."""

    way: int
    at: int
    stands: int
    write: Write | None
    mine: bool


class World(NamedTuple):
    """One state.

    :param stance: where the route stands. :param fresh: whether somebody else wrote it since the last look. :param budget: whether the one write of its
        weights by others is still to come. :param lost: whether a user's edit of the route was written over.
    :param alpha: 2, whole; 1, partly deleted and still answering; 0, gone. :param ill: whether it does not answer. :param v1: 2, installed; 1, half; 0, not
        there. :param warm: whether v1 was proven to answer. :param held_alpha: whether a probe route names v1alpha2.
    :param module: one that was left by a killed run. :param task: the same of another collection.
    """

    holder: int = NOBODY
    log: Log = Log()
    stance: int = 0
    fresh: bool = False
    budget: bool = True
    lost: bool = False
    flow_alpha: int = 2
    flow_v1: int = 0
    alpha: int = 2
    ill: bool = False
    v1: int = 0
    warm: bool = False
    held_alpha: bool = False
    held_v1: bool = False
    runners: tuple[Runner, Runner] = (Runner(), Runner())
    module: Orphan | None = None
    task: Orphan | None = None


def weighs_alpha(stance: int) -> bool:
    """Tell whether the route gives v1alpha2 traffic."""
    return stance in (0, HALF, FOREIGN)


def weighs_v1(stance: int) -> bool:
    """Tell whether the route gives v1 traffic."""
    return stance in (HALF, ALL, FINISHED, FOREIGN)


def faults(world: World) -> Iterator[tuple[str, str]]:
    """Yield the invariants that do not hold in a state, with a sentence each."""
    stance, log, alpha, v1 = world.stance, world.log, world.alpha, world.v1
    to_alpha, to_v1 = weighs_alpha(stance), weighs_v1(stance)
    if to_v1 and v1 < 2 or to_alpha and alpha == 0:
        yield "I2", "a weight over 0 leads to a pool that is not there"
    if to_v1 and not world.warm:
        yield "I1", "v1 has a weight and was not proven to answer"
    if stance == 0 and world.ill:
        yield "I1", "all weight is on a v1alpha2 that does not answer"
    if alpha < 2 and (stance != FINISHED or world.held_alpha or world.flow_alpha):
        yield "I4", "something of v1alpha2 is gone that a route names or a request needs"
    if world.flow_alpha and stance == FINISHED and not world.held_alpha:
        yield "I4", "no route holds v1alpha2's backends, and a request may be open"
    if world.flow_v1 and (v1 < 2 or stance == 0 and not world.held_v1):
        yield "I4", "nothing holds v1's backends, and a request may be open (10.3)"
    if log.status == ROLLED_BACK and (alpha < 2 or stance):
        yield "I5", "the journal says rolled back, and v1alpha2 is not as it was"
    if world.lost:
        yield "I9", "a user's edit of the route is lost"
    if log.installed and v1 < 2:
        yield "I10", "the journal says that v1 is installed"
    if log.proven and stance not in (ALL, FINISHED) and not log.retiring:  # on the way back from a withdrawal it says afterwards what was written (11.2)
        yield "I10", "the journal says that all traffic is on v1"
    if log.retired and alpha:
        yield "I10", "the journal says that v1alpha2 is gone"
