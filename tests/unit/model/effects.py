# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Computes what one piece of a way finds and does in a state of the model."""

from __future__ import annotations

from collections.abc import Set

from tests.unit.model.ways import ALL, BACK, END, FINISHED, FLIGHT, FOREIGN, FORTH, HALT, REFUSED, RETIRES, RETREAT, STEP_BACK, WAYS, Op
from tests.unit.model.world import ENDED, OPEN, ROLLED_BACK, Log, Orphan, Runner, World, Write, weighs_alpha, weighs_v1

WRITES = ("journal", "route", "probe")
"""Writes of this collection's modules, which look at the Lease."""
BLIND = ("journal", "installed", "ended")
"""Looks that do not look at the routes."""
ILL = ": v1alpha2 does not answer"
NOTES: dict[str, dict[str, bool]] = {
    "noted install": {"installed": True},
    "giving": {"shifted": True},
    "unsaid": {"proven": False, "retiring": False},
    "noted shift": {"proven": True},
    "retiring": {"retiring": True},
    "noted retire": {"retired": True, "retiring": True},
    "returning": {"proven": False, "installed": False},
    "returned": {"shifted": False},
}
"""What the journal says after each note that needs no look at what it said before."""


# -- writes -------------------------------------------------------------------------------------------------------------


def idle(world: World, runner: Runner, op: Op, off: Set[str]) -> bool:
    """Tell whether a write that is not prepared yet would change nothing, or is left out."""
    if op.kind == "probe":
        if op.name == "present":
            if runner.way == BACK and not runner.served:
                return True
            return ("alpha" not in op.what or world.held_alpha) and ("v1" not in op.what or world.held_v1)
        return ("alpha" not in op.what or not world.held_alpha) and ("v1" not in op.what or not world.held_v1)
    if op.kind == "route":  # a share that an earlier run has passed is left out
        return world.stance == op.what[0] or op.name == "shifted" and runner.way == FORTH and int(op.what[0]) < runner.stands
    if op.kind == "task":
        return task(world, op)[0] is world
    if op.name == "closed":
        return False
    if op.name in off or op.name == "returned" and not runner.served:
        return True
    return noted(world.log, op, runner.way) == world.log


def refused(world: World, op: Op, off: Set[str]) -> bool:
    """Tell whether the journal refuses what a run wants to note."""
    return op.name == "returning" and world.log.retiring and "refused" not in off


def drifted(world: World, runner: Runner | Orphan, op: Op, off: Set[str]) -> bool:
    """Tell whether a write finds weights of somebody else."""
    return "standing" not in off and world.stance not in (runner.stands, op.what[0])


def noted(log: Log, op: Op, way: int) -> Log:
    """Return what the journal says after a note."""
    if op.name in NOTES:
        return log._replace(**NOTES[op.name])
    if op.name == "opened":
        return log._replace(proven=log.proven and log.retiring)
    assert op.name == "closed", op.name
    return log._replace(status=ROLLED_BACK if way == BACK else ENDED if log.retired else OPEN)


def moved(world: World, stance: int) -> World:
    """Return a state whose route was written: who has a weight may be sent requests."""
    after = outdate(world, 1)
    return after._replace(stance=stance, flow_alpha=2 if weighs_alpha(stance) else world.flow_alpha, flow_v1=2 if weighs_v1(stance) else world.flow_v1)


def outdate(world: World, how: int) -> World:
    """Return a state in which what was read for prepared writes of the route is old. :param how: as in :class:`Write`."""
    def old(write: Write | None) -> Write | None:
        return write._replace(stale=max(write.stale, how)) if write and write.kind == "route" else write

    first, second = world.runners
    if not (first.write or second.write or world.module):
        return world
    runners = first._replace(write=old(first.write)), second._replace(write=old(second.write))
    return world._replace(runners=runners, module=world.module and world.module._replace(write=old(world.module.write)))


def write(world: World, op: Op, prepared: Write, way: int, off: Set[str]) -> World | None:
    """Return the state after a write was sent, None where the server refuses it."""
    if op.kind == "journal":
        return world._replace(log=noted(world.log, op, way))
    if op.kind == "route":
        if prepared.stale and "version" not in off:
            return None
        return moved(world, int(op.what[0]))._replace(fresh=False, lost=world.lost or prepared.stale == 2)
    there = op.name == "present"
    return world._replace(held_alpha=there if "alpha" in op.what else world.held_alpha, held_v1=there if "v1" in op.what else world.held_v1)


def task(world: World, op: Op) -> tuple[World, bool]:
    """Return the state after the next part of a task of another collection, and whether that was its last."""
    if op.name == "install":
        return (world, True) if world.v1 == 2 else (world._replace(v1=world.v1 + 1, warm=False), world.v1 == 1)
    if op.name == "uninstall":
        return (world._replace(v1=0, warm=False), True) if world.v1 else (world, True)
    if op.name == "objects":
        return (world._replace(alpha=1), True) if world.alpha == 2 else (world, True)
    assert op.name == "releases", op.name
    return (world._replace(alpha=0), True) if world.alpha else (world, True)


# -- looks --------------------------------------------------------------------------------------------------------------


def halted(world: World, runner: Runner, off: Set[str], foreign: bool = False) -> Runner:
    """Return a run that ends HELD where v1alpha2 has not begun to go: its probe routes go, after a wait where one is due.

    :param foreign: whether somebody else's write is the reason.
    """
    if runner.way == FLIGHT or runner.way == STEP_BACK or runner.way == FORTH and runner.at >= RETIRES:
        return Runner(True, END)
    done = WAYS[runner.way][:runner.at]
    written = runner.way in (BACK, RETREAT) and any(op.kind == "route" for op in done) and Op("look", "drain", ("v1",)) not in done
    left = "waited" not in off and runner.served and world.stance == 0
    return Runner(True, HALT, 0 if foreign or written or left else 1)


def goes_back(runner: Runner, op: Op) -> tuple[int, ...]:
    """Return the ways that a run may take instead of going on at a look, because v1 fails, or for a reason that is nobody's fault."""
    if runner.way != FORTH:
        return ()
    if runner.at >= RETIRES:
        return (FLIGHT, STEP_BACK) if op.name == "settle" else ()
    return (RETREAT,) if op.name == "gate" else ()


def look(world: World, runner: Runner, op: Op, off: Set[str]) -> tuple[World, Runner | None, str]:
    """Return the state after a look, the run if it does not simply go on, and words that say why."""
    name, on = op.name, runner._replace(at=runner.at + 1)
    if name == "journal":
        return (world, None, "") if world.log.status == OPEN else (world, Runner(True, END), ": the migration is closed")
    if name == "baseline":
        if world.stance == FOREIGN:
            return world, Runner(True, END), ": somebody else's weights"
        serves = weighs_v1(world.stance)
        served = serves or world.log.shifted and (runner.way == BACK or "waited" not in off)
        found = on._replace(stands=world.stance, served=served)
        if runner.way == FORTH and world.ill and not serves:
            return world, halted(world, found, off), ILL
        return world, found, ""
    if name == "shifted":
        if "shifted" not in off and not (world.log.proven and world.stance in (ALL, FINISHED)):
            return world, Runner(True, REFUSED if world.alpha == 2 or "begun" in off else END), ": no shift is proven"
        return world, on._replace(stands=FINISHED if world.stance == FINISHED else ALL), ""
    if name == "installed":
        return (world, None, "") if world.v1 == 2 else (world, Runner(True, END), ": it is not")
    if name == "referred":
        if "referred" not in off and (weighs_v1(world.stance) or world.held_v1):
            return world, Runner(True, END), ": a route names v1"
        return world, None, ""
    if name == "retired":
        fine = world.stance == FINISHED and not world.alpha
        return (world, None, "") if fine else (world, Runner(True, END), ": v1alpha2 is there")
    if name == "ended":  # a wait for both stacks
        return drained(world if "followed" in off else settled(world), "alpha", "v1"), None, ""
    if "standing" not in off and world.stance != runner.stands:
        return world, halted(world, runner, off, foreign=True), ": somebody else's weights"
    if name in ("warm", "settle", "gate") and not ("warm" in off and name == "warm"):
        asked = op.what or ("alpha", "v1")
        if "alpha" in asked and not world.held_alpha or "v1" in asked and not world.held_v1:
            return world, halted(world, runner, off), ": probe routes do not answer"
    if name == "baseline alpha":
        if "answers" not in off and (world.ill or not world.alpha or runner.served and not world.held_alpha):
            return world, halted(world, runner, off), ILL
        return world, None, ""
    if name == "warm":
        if "warm" not in off and (world.v1 < 2 or world.ill or not world.alpha):
            return world, halted(world, runner, off), ": not settled"
        return world._replace(warm=world.warm or "warm" not in off), None, ""
    if name in ("settle", "gone"):
        return (world if "settled" in off else settled(world)), None, ""
    if name == "drain" and not (runner.way in (BACK, RETREAT) and not runner.served):
        return (world if "drain" in off else drained(world, "alpha" if op.what[0] == "v1alpha2" else "v1")), None, ""
    assert name in ("drain", "gate", "phase_end"), name
    return world, None, ""


def settled(world: World) -> World:
    """Return a state in which every gateway instance has taken the route as it is."""
    return world._replace(flow_alpha=2 if weighs_alpha(world.stance) else min(world.flow_alpha, 1),
                          flow_v1=2 if weighs_v1(world.stance) else min(world.flow_v1, 1))


def drained(world: World, *stacks: str) -> World:
    """Return a state in which requests have ended that were on their way to stacks without a weight; new ones may have come where the gateway lags."""
    return world._replace(flow_alpha=0 if "alpha" in stacks and world.flow_alpha == 1 else world.flow_alpha,
                          flow_v1=0 if "v1" in stacks and world.flow_v1 == 1 else world.flow_v1)
