# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make campaign`: the sampled runs of the fault campaign, or a shard of them, within a time.

The last line is for machines: campaign: runs=N writes=N fired=N requests=N broken=N lost=N. Exit status 0 only when nothing is broken or lost.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from igw_sandbox.context import SandboxError
from tests.campaign import census, disturbances, prepare, record, sample
from tests.campaign.runs import ROLLBACK, Outcome
from tools.stage import ROOT, link_tree

MINUTES = 150.0
RUN_MINUTES = 5.0
"""None is begun in the last minutes, so that it ends in time."""
END_SECONDS = 90.0
"""A run that is still at it this long before the end is given up: load and sandbox need time to end."""


class TimeUp(Exception):
    """The campaign's time is over."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make campaign", description="Disturb every distinct request of a migration and check the invariants on every run.")
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="make the Ith of N parts of the sample (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="sandboxes at a time, each with its part and its record; 1 with --record (default: %(default)s)")
    parser.add_argument("--resume", action="store_true", help="leave out what the shard's record has already and is not broken, and add to it")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="make N runs at most, beside those without a fault (default: all)")
    parser.add_argument("--only", default="", metavar="TEXT", help="make only runs whose name has this text")
    parser.add_argument("--moments", type=int, default=0, metavar="N", help="instead of the sample make N runs that are killed at random moments")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="begin no run that could end later than this (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=sample.SEED, help="of the sample (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="print the runs of the shard and make none")
    parser.add_argument("--census", action="store_true", help="migrate without a fault, write the census anew, and make no run")
    parser.add_argument("--record", type=Path, help="the record's file (default: one of the shard's own in tests/campaign/results)")
    return parser.parse_args()


def say(text: str) -> None:
    """Print progress with the time, at once."""
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", flush=True)


def follows() -> list[str]:
    """Return what may follow a disturbed run in this checkout."""
    return ["again", "rollback"] if (ROOT / "playbooks" / f"{ROLLBACK.rpartition('.')[2]}.yml").exists() else ["again"]


def chosen(options: argparse.Namespace, number: int, of: int) -> list[sample.Case]:
    """Return the shard's runs."""
    if options.moments:
        cases = sample.moments(options.moments, follows(), options.seed)
    else:
        cases = [sample.Case(None, "shift", kind, 0, then) for kind in disturbances.KINDS for then in follows()]
        cases += sample.pairwise(census.load(), follows(), options.seed)
    say(f"sample: {len(cases)} runs by seed {options.seed}; this is shard {number} of {of}")
    return [case for case in sample.shard(cases, number, of) if options.only in case.name]


def kind(options: argparse.Namespace) -> str:
    """Return what the records' files are called."""
    return "moments" if options.moments else "shard"


def told(outcome: Outcome) -> str:
    """Return one line on a run."""
    plays = ", ".join(f"{play['what']} {play['verdict']} {play['seconds']:.0f} s" for play in outcome.plays)
    faults = "; ".join([*outcome.violations, *outcome.broken])
    return f"{outcome.case}: {plays}; lost {outcome.load.get('lost', 0)} of {outcome.load.get('requests', 0)}; {faults or 'good'} ({outcome.seconds:.0f} s)"


def parts(number: int, of: int, jobs: int) -> list[tuple[int, int]]:
    """Return the shards of which one shard consists."""
    return [(number + of * job, of * jobs) for job in range(jobs)]


def side_by_side(options: argparse.Namespace, shards: list[tuple[int, int]]) -> int:
    """Make each shard in a process of its own, show what they say, and sum up."""
    said = ["--jobs", "1", "--minutes", str(options.minutes), "--seed", str(options.seed), "--only", options.only]
    said += (["--resume"] if options.resume else []) + (["--moments", str(options.moments)] if options.moments else [])
    children: list[subprocess.Popen[bytes]] = []
    try:
        for place, (number, of) in enumerate(shards):
            limit = (options.limit + len(shards) - 1 - place) // len(shards)
            if options.limit and not limit:
                continue
            argv = [sys.executable, "-m", "tests.campaign", *said, "--shard", f"{number}/{of}", "--limit", str(limit)]
            children.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL))
        statuses = [child.wait() for child in children]
    finally:
        for child in children:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in children:
            child.wait(120)
    runs = [run for number, of in shards for run in record.Record.load(record.path_of(number, of, kind(options))).runs]
    whole = record.Record(record.path_of(1, 1), options.seed, runs)
    print(whole.last_line(), flush=True)
    return 0 if whole.good() and not any(statuses) else 1


def _time_is_up(_number: int, _frame: object) -> NoReturn:
    raise TimeUp


def make(cases: list[sample.Case], options: argparse.Namespace, kept: record.Record, folder: Path, deadline: float) -> None:
    """Make runs until all are made or the time is up; each is in the record as soon as it has ended."""
    collections = link_tree(ROOT / "build" / "collections")
    world = prepare.sandbox(f"campaign-{os.getpid()}", say)
    try:
        runner, requests = prepare.undisturbed(world, collections, folder, say, kept.add, set() if options.moments else {case.phase for case in cases})
        if options.census:
            census.save(requests)
            say(f"census: {sum(request.write for request in requests)} distinct writes and {sum(not request.write for request in requests)} reads")
            return
        for case in cases:
            if time.monotonic() > deadline:
                say("the time is up: go on with --resume")
                return
            try:
                outcome = runner.run(case)
            except SandboxError as error:
                # The sandbox, not the migration: the run counts as broken and the next one begins from its snapshot.
                outcome = Outcome(case.name, case.phase, "", "", case.after, case.fault, case.then, broken=[f"not made: {error}"])
                traceback.print_exc()
            kept.add(outcome)
            say(told(outcome))
    finally:
        world.down()


def main() -> int:
    """Make the runs of one shard."""
    options = arguments()
    deadline = time.monotonic() + (options.minutes - RUN_MINUTES) * 60
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    signal.signal(signal.SIGALRM, _time_is_up)
    number, of = (int(part) for part in options.shard.split("/"))
    if options.jobs > 1 and not (options.census or options.list or options.record):
        return side_by_side(options, parts(number, of, options.jobs))
    cases = [] if options.census else chosen(options, number, of)
    if options.list:
        print("\n".join(case.name for case in cases))
        return 0
    path = options.record or record.path_of(number, of, kind(options))
    kept = record.Record.load(path) if options.resume else record.Record(path, options.seed)
    cases = [case for case in cases if case.name not in kept.names()]
    cases = cases[:options.limit] if options.limit else cases
    folder = Path(tempfile.mkdtemp(prefix="igw-campaign-"))
    say(f"{len(cases)} runs to make; logs in {folder}, record in {path}")
    try:
        if cases or options.census:
            signal.setitimer(signal.ITIMER_REAL, max(1.0, options.minutes * 60 - END_SECONDS))
            make(cases, options, kept, folder, deadline)
    except TimeUp:
        say("the time is up in the middle of a run, which is not in the record: go on with --resume")
    except SandboxError as error:
        print(f"campaign: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("campaign: interrupted", file=sys.stderr)
        return 130
    print(kept.last_line(), flush=True)
    return 0 if kept.good() else 1


if __name__ == "__main__":
    sys.exit(main())
