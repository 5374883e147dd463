# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings a sandbox through one undisturbed migration: a snapshot at the beginning of each phase, the census, and the first run that is judged."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from igw_sandbox.world import World
from tests.campaign import census
from tests.campaign.runs import PHASES, Outcome, Runner, Undisturbed
from tests.e2e.product import ZERO_DOWNTIME
from tests.integration.harness import ESTATES

Say = Callable[[str], None]


def sandbox(name: str, say: Say) -> World:
    """Start a sandbox with the demo's estate."""
    return World.up(name, estates=[ESTATES / "demo"], seed=7, progress=say)


def undisturbed(world: World, collections: Path, folder: Path, say: Say, keep: Callable[[Outcome], None], wanted: set[str],
                ) -> tuple[Runner, list[census.Request]]:
    """Migrate without a fault, phase by phase; return a runner with the snapshots, and the census.

    :param keep: gets how each phase was judged.
    :param wanted: phases of which the snapshot is wanted; the way to the last of them is all that is gone; empty: the whole way.
    """
    snapshots: dict[str, Path] = {}
    runner = Runner(world, collections, folder, snapshots, [])
    requests: list[census.Request] = []
    kept = world.directory / "snapshots"
    kept.mkdir()
    for phase, phases in PHASES.items():
        world.snapshot(kept / phase)
        snapshots[phase] = kept / phase
        if wanted and wanted <= set(snapshots):
            break
        began = time.monotonic()
        outcome = Outcome(f"{phase}: undisturbed", phase, "", "", 0, "none", "again", fired=1)
        with runner.observed(outcome) as watching:
            if phase == "install":
                watching.play("check", ZERO_DOWNTIME, {}, arguments=("--check",))
            play = watching.play("fault", ZERO_DOWNTIME, {"migration_phases": phases})
            runner.end_well(outcome, play)
            taken = outcome.plays[-1]
            runner.undisturbed[phase] = Undisturbed(taken["seconds"], taken["to_first_write"])
            before, calls = watching.observed_now()
            if phase == "retire":
                runner.end_well(outcome, watching.play("rerun", ZERO_DOWNTIME, {"migration_phases": phases}))
        if phase == "install":
            runner.baseline = before
        requests += census.distinct(phase, [call for call in calls if call["user"] == play.user])
        outcome.seconds = round(time.monotonic() - began, 1)
        keep(outcome)
        say(f"{phase} undisturbed: {outcome.plays[-1]['verdict']} in {outcome.seconds:.0f} s; {outcome.violations or 'no violation'} {outcome.broken or ''}")
    return runner, requests
