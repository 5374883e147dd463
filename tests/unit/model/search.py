# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Goes through every state that the model can reach, the nearest ones first, and says how the first broken invariant comes about.

By hand, at the top of the checkout: ``python -m tests.unit.model.search`` with all guards, without each, and as the product is; or with names of
guards to go without.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from tests.unit.model.guards import GUARDS
from tests.unit.model.moves import Move, Moves
from tests.unit.model.world import Runner, World, faults


class Broken(NamedTuple):
    """An invariant that is broken, how, and the shortest way to it from the beginning, a line for each move."""

    invariant: str
    sentence: str
    lines: list[str]


class Found(NamedTuple):
    """What a search went through.

    :param broken: None where every invariant holds in every state. :param endings: how migrations may end, by the journal.
    :param done: every piece that a run has begun, by number of way and of piece.
    """

    states: int
    transitions: int
    seconds: float
    broken: Broken | None
    endings: frozenset[int]
    done: frozenset[tuple[int, int]]


def key(runner: Runner) -> tuple[bool, int, int, int, bool, bool]:
    """Return what orders the two runners."""
    return not runner.working, runner.way, runner.at, runner.stands, runner.served, runner.write is None


def canonical(world: World) -> tuple[World, bool]:
    """Return the state that stands for both that differ in which runner has which place alone, and whether the two have changed places."""
    first, second = world.runners
    if key(first) <= key(second):
        return world, False
    return world._replace(runners=(second, first), holder={1: 2, 2: 1}.get(world.holder, world.holder)), True


def broken_by(before: World, move: Move) -> tuple[str, str] | None:
    """Return the invariant that a move of the migration breaks, and how.

    What others broke before, or may have since the last look at the route, is not the migration's.
    """
    if not move.writes:
        return None
    if move.beside:
        return "I6", "a write is done while another run holds the Lease"
    old = set(faults(before))
    return next((fault for fault in faults(move.after) if fault not in old and (not before.fresh or fault[0] == "I9")), None)


def search(*off: str) -> Found:
    """Go through all states without some guards, until an invariant is broken or there is no further state."""
    begun, moves = time.process_time(), Moves(*off)
    start = canonical(World())[0]
    came: dict[World, World | None] = {start: None}
    edge, transitions, broken = [start], 0, None
    endings, done = set[int](), set[tuple[int, int]]()
    while edge and not broken:
        further = []
        for world in edge:
            endings.add(world.log.status)
            done.update((runner.way, runner.at) for runner in world.runners if runner.working)
            for move in moves.of(world):
                transitions += 1
                if fault := broken_by(world, move):
                    broken = Broken(*fault, told(moves, came, world, move))
                    break
                after, _swapped = canonical(move.after)
                if after not in came:
                    came[after] = world
                    further.append(after)
            if broken:
                break
        edge = further
    return Found(len(came), transitions, time.process_time() - begun, broken, frozenset(endings), frozenset(done))


def told(moves: Moves, came: dict[World, World | None], last: World, move: Move) -> list[str]:
    """Return how a state comes about, and the move that follows, a line each. A run keeps its number, though states have it in either place."""
    path = [last]
    while (before := came[path[-1]]) is not None:
        path.append(before)
    path.reverse()
    lines, turned = [], False
    for here, there in zip(path, path[1:], strict=False):
        step, swapped = next((step, swapped) for step in moves.of(here) for after, swapped in [canonical(step.after)] if after == there)
        lines.append(line(step, turned))
        turned ^= swapped
    return [*lines, line(move, turned)]


def line(move: Move, turned: bool) -> str:
    """Return a move as a line. :param turned: whether the runners have changed places."""
    who = f"run {'AB'[(move.who == 2) ^ turned]}" if isinstance(move.who, int) else move.who
    return f"{who}: {move.says}"


def report(found: Found) -> Iterator[str]:
    """Yield lines that say what a search found."""
    yield f"{found.states} states, {found.transitions} transitions, {found.seconds:.1f} s"
    if found.broken:
        yield f"{found.broken.invariant}: {found.broken.sentence}, after {len(found.broken.lines)} moves"
        yield from (f"  {number}. {text}" for number, text in enumerate(found.broken.lines, 1))


def main() -> None:
    """Search with every guard, then without each one, or without those that are named, and print what is found."""
    if unknown := {part for name in sys.argv[1:] for part in name.split(",")} - {*GUARDS, ""}:
        sys.exit(f"There is no guard {', '.join(sorted(unknown))}. There are {', '.join(GUARDS)}; several at once with a comma between them.")
    for name in sys.argv[1:] or ["", *GUARDS]:
        print(f"without {name}:" if name else "with every guard:", *report(search(*filter(None, name.split(",")))), sep="\n")


if __name__ == "__main__":
    main()
