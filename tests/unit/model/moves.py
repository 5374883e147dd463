# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Yields all that can happen next in a state of the model: to the runs, to what outlives them, to the route by others' hands, and time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.unit.model import effects
from tests.unit.model.effects import BLIND, WRITES
from tests.unit.model.ways import BACK, CLOSED, END, FINISHED, FOREIGN, FORTH, OPENED, RETIRES, Op, ways
from tests.unit.model.world import DEAD, NOBODY, OPEN, Orphan, Runner, World, Write

RESTING = Runner()


class Move(NamedTuple):
    """One thing that may happen.

    :param who: a runner (1, 2), or in words. :param says: what it does. :param after: the state it leads to.
    :param writes: whether something was written by the migration; only such a move can break an invariant. :param beside: whether the Lease was another
        run's by then.
    """

    who: int | str
    says: str
    after: World
    writes: bool = False
    beside: bool = False


class Moves:
    """Yields the moves of the model without some of its guards. :param off: their names."""

    def __init__(self, *off: str) -> None:
        self.off = frozenset(off)
        self.ways = ways(self.off)

    def of(self, world: World) -> Iterator[Move]:
        """Yield every move in a state."""
        for number in (1, 2):
            runner = world.runners[number - 1]
            if runner.working:
                yield from self.work(world, number, runner)
                yield from self.kill(world, number, runner)
            elif world.log.status == OPEN and (number == 1 or world.runners[0].working):  # which of two that rest begins is the same
                yield from self.take(world, number)
        if world.module:
            yield from self.module(world, world.module)
        if world.task:
            yield from self.task(world, world.task)
        yield from self.others(world)

    # -- the Lease ------------------------------------------------------------------------------------------------------

    def take(self, world: World, number: int) -> Iterator[Move]:
        """Take the Lease where its holder has given it up, is seen to be dead, or was silent for its duration."""
        holder = world.holder
        if holder in (NOBODY, DEAD):
            left = bool(world.module and world.module.mine or world.task and world.task.mine)
            if holder == NOBODY or not left or "left" in self.off:
                yield from self.begin(world, number, "takes the Lease" + (" of a run that is dead on this machine" if holder else ""))
            if left:
                ended = world._replace(module=keep(world.module), task=keep(world.task))
                yield from self.begin(ended, number, "takes the Lease once nothing is left of the dead run on this machine")
        if holder not in (NOBODY, DEAD) or world.module or world.task:  # of a dead run that has left nothing it is the same
            yield from self.begin(self.silent(world), number, "takes the Lease of a run that was silent for its duration")

    def silent(self, world: World) -> World:
        """Return the state after a Lease was not renewed for its duration.

        By then whoever held it has sent what it had prepared or never will, unless it looks at the Lease alone, and not at when it renewed it last. A task has
        ended, and its run hears of that too late.
        """
        tasks, writes = not self.off & {"beat", "short"}, not self.off & {"beat", "look", "bound", "renewed"}
        first, second = (RESTING if runner.write and (tasks if runner.write.kind == "task" else writes) else runner for runner in world.runners)
        return world._replace(runners=(first, second), task=None if tasks else world.task, module=None if writes else world.module)

    def begin(self, world: World, number: int, says: str) -> Iterator[Move]:
        """Begin a run under the Lease, on each way that it may be asked for.

        The run that held it can do no more than send what it has prepared, since all else begins with a look at the Lease: without that it has ended.
        """
        if "look" not in self.off and not world.runners[2 - number].write:
            world = put(world, 3 - number, RESTING)
        kept = {"holder": number, "module": lost(world.module), "task": lost(world.task)}
        for way, at, words in ((FORTH, 0, "to migrate"), (FORTH, RETIRES, "to retire"), (BACK, 0, "to roll back")):
            yield Move(number, f"{says}, {words}", put(world, number, Runner(True, way, at, world.stance), **kept))

    # -- a run ----------------------------------------------------------------------------------------------------------

    def work(self, world: World, number: int, runner: Runner) -> Iterator[Move]:
        """Take the next piece of a run's way, or the next part of it."""
        op, mine = self.ways[runner.way][runner.at], world.holder == number
        if op.kind == "release":
            yield Move(number, "ends, and gives the Lease up", put(world, number, RESTING, **({"holder": NOBODY} if mine else {})))
        elif op.kind == "look":
            yield from self.look(world, number, runner, op)
        elif runner.write is not None:
            yield from self.send(world, number, runner, op, mine)
        elif op == OPENED and world.log.retiring:
            yield Move(number, "goes on where v1alpha2 was being taken away", put(world, number, runner._replace(at=RETIRES)))
        elif effects.refused(world, op, self.off):
            yield Move(number, f"is refused: {op.name}", put(world, number, Runner(True, END)))
        elif effects.idle(world, runner, op, self.off):
            stands = int(op.what[0]) if op.kind == "route" and world.stance == op.what[0] else runner.stands
            yield Move(number, f"has nothing to do: {op.kind} {op.name}", put(world, number, forth(runner)._replace(stands=stands)))
        elif op.kind == "route" and effects.drifted(world, runner, op, self.off):
            yield Move(number, "finds weights of somebody else, and writes nothing", put(world, number, effects.halted(world, runner, self.off, True)))
        else:
            what = "looks at the Lease, begins" if op.kind == "task" else "reads, looks at the Lease, prepares"
            yield Move(number, f"{what}: {op.kind} {op.name}", put(world, number, runner._replace(write=Write(op.kind))))

    def send(self, world: World, number: int, runner: Runner, op: Op, mine: bool) -> Iterator[Move]:
        """Send what a run has prepared, or go on with a task. A run that has lost the Lease ends with that."""
        write = runner.write
        assert write is not None
        ends = not mine and "look" not in self.off
        if op.kind == "task":
            part, done = effects.task(world, op)
            further = runner if not done else RESTING if ends else forth(runner)
            yield Move(number, f"has a task at work: {op.name}", put(part, number, further), True, not mine)
            return
        after = effects.write(world, op, write, runner.way, self.off)
        if after is None:
            again = RESTING if ends else runner._replace(write=None) if op.kind == "route" else Runner(True, END)
            yield Move(number, f"meets a conflict: {op.kind} {op.name}", put(world, number, again))
            return
        gone = forth(runner)
        if op.kind == "route":
            gone = gone._replace(stands=int(op.what[0]), served=runner.served or op.name == "shifted")
        if op == CLOSED:
            gone = Runner(True, END)
        yield Move(number, f"writes: {op.kind} {op.name} {' '.join(map(str, op.what))}".rstrip(), put(after, number, RESTING if ends else gone), True, not mine)

    def look(self, world: World, number: int, runner: Runner, op: Op) -> Iterator[Move]:
        """Look at what stands, and go on, or end HELD or FAILED."""
        seen = world if op.name in BLIND else world._replace(fresh=False)
        after, next_runner, words = effects.look(seen, runner, op, self.off)
        yield Move(number, f"looks: {op.name}{words}", put(after, number, forth(runner) if next_runner is None else next_runner))
        if not words:
            for way in effects.goes_back(runner, op):
                back = Runner(True, way, 0, runner.stands, runner.served or runner.at >= RETIRES)
                yield Move(number, f"finds at {op.name} that v1 fails or nothing settles, and goes back", put(seen, number, back))

    def kill(self, world: World, number: int, runner: Runner) -> Iterator[Move]:
        """Kill a run: nothing is left of it, or the module or task that it was in."""
        op = self.ways[runner.way][runner.at]
        mine = world.holder == number
        dead = put(world, number, RESTING, holder=DEAD if mine else world.holder, module=lost(world.module) if mine else world.module,
                   task=lost(world.task) if mine else world.task)
        if mine or runner.write:
            yield Move(number, "is killed", dead)
        left = Orphan(runner.way, runner.at, runner.stands, runner.write, mine)
        if op.kind in WRITES and (runner.write or not effects.idle(world, runner, op, self.off)):
            yield Move(number, "is killed, and its module is left", dead._replace(module=left))
        elif op.kind == "task" and runner.write:
            yield Move(number, "is killed, and its task is left", dead._replace(task=left))

    # -- what outlives a run ----------------------------------------------------------------------------------------------

    def module(self, world: World, orphan: Orphan) -> Iterator[Move]:
        """Go on with a module whose run is dead: it looks and sends as in a run, and ends with its last piece."""
        op, mine, write = self.ways[orphan.way][orphan.at], world.holder == DEAD and orphan.mine, orphan.write
        if write is None:
            refused = op.kind == "route" and effects.drifted(world, orphan, op, self.off) or effects.refused(world, op, self.off)
            if not (mine or "look" in self.off) or refused:
                yield Move("orphaned module", "ends: it may not write", world._replace(module=None))
                return
            made = orphan._replace(write=Write(op.kind))
            yield Move("orphaned module", f"looks at the Lease, prepares: {op.kind} {op.name}", world._replace(module=made))
            return
        after = effects.write(world, op, write, orphan.way, self.off)
        if after is None:
            yield Move("orphaned module", f"meets a conflict, and ends: {op.kind} {op.name}", world._replace(module=None))
            return
        further = orphan._replace(at=orphan.at + 1, write=None) if op.joined and mine else None
        yield Move("orphaned module", f"writes: {op.kind} {op.name} {' '.join(map(str, op.what))}".rstrip(), after._replace(module=further), True, not mine)

    def task(self, world: World, orphan: Orphan) -> Iterator[Move]:
        """Go on with a task whose run is dead, which looks at no Lease."""
        op = self.ways[orphan.way][orphan.at]
        after, done = effects.task(world, op)
        yield Move("orphaned task", f"at work: {op.name}", after._replace(task=None if done else orphan), True, not (world.holder == DEAD and orphan.mine))

    # -- others -----------------------------------------------------------------------------------------------------------

    def others(self, world: World) -> Iterator[Move]:
        """Let somebody else write the weights, once; let v1alpha2 fall ill, once; and let a user edit the route beside the weights as often as it matters."""
        if world.budget:
            spent = world._replace(budget=False)
            if world.stance:
                yield Move("GitOps", "writes the route back", effects.moved(spent, 0)._replace(fresh=True))
            if world.alpha == 2 and world.v1 == 2 and world.stance != FINISHED:
                yield Move("a user", "gives other weights", effects.moved(spent, FOREIGN)._replace(fresh=True))
        if not world.ill:
            yield Move("v1alpha2", "falls ill", world._replace(ill=True, fresh=True))
        if prepared(world):
            yield Move("a user", "edits the route beside the weights", effects.outdate(world, 2))


def prepared(world: World) -> bool:
    """Tell whether a write of the route is prepared: only then does it matter that the route is edited."""
    return any(entry and entry.write and entry.write.kind == "route" for entry in (*world.runners, world.module))


def put(world: World, number: int, runner: Runner, **fields: Any) -> World:
    """Return a state with one runner replaced, and other fields too."""
    runners = (runner, world.runners[1]) if number == 1 else (world.runners[0], runner)
    return world._replace(runners=runners, **fields)


def forth(runner: Runner) -> Runner:
    """Return a run at its next piece."""
    return runner._replace(at=runner.at + 1, write=None)


def keep(orphan: Orphan | None) -> Orphan | None:
    """Return what is left of an earlier run once the last one's has ended."""
    return None if orphan is None or orphan.mine else orphan


def lost(orphan: Orphan | None) -> Orphan | None:
    """Return what is left of a run that holds the Lease no more."""
    return orphan._replace(mine=False) if orphan and orphan.mine else orphan
