# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo`: a whole zero-downtime migration under load, from nothing, on this machine alone.

The last line is for machines: demo: VERDICT requests=N lost=N streams=N cut=N seconds=N. Exit status 0 only when the
migration is PROVEN, nothing was lost or cut, and every check of the demo itself holds.
"""
from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from igw_sandbox import load, tools
from igw_sandbox.context import SandboxError
from igw_sandbox.load_writes import read_lines
from igw_sandbox.world import World
from tests.e2e.product import PlaybookRun, leftovers
from tests.e2e.route_check import route_diff, route_problems, span_problems
from tools.stage import ROOT, link_tree

ESTATE = ROOT / "sandbox" / "estates" / "demo"
ROUTE = ("httproute", "llm-route", "-n", "default")
MARGIN = 10.0
# The load begins this much earlier and ends this much later than asked for, so that the margins hold on a slow machine.
SLACK = 1.0
WRITES_LOG = "api-requests.jsonl"


@dataclass
class Outcome:
    """What the last line says, and why it is not better."""

    verdict: str = "FAILED"
    summary: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the demo succeeded."""
        return self.verdict == "PROVEN" and not self.problems and bool(self.summary) and self.summary["lost"] == self.summary["cut"] == 0

    def last_line(self) -> str:
        """A PROVEN that the demo's own checks contradict is not printed as one."""
        verdict = "FAILED" if self.verdict == "PROVEN" and self.problems else self.verdict
        figures = {key: self.summary.get(key, 0) for key in ("requests", "lost", "streams", "cut")}
        return f"demo: {verdict} {' '.join(f'{key}={value}' for key, value in figures.items())} seconds={self.summary.get('seconds', 0.0):.1f}"


class Clock:
    """Prints progress with the minutes and seconds since the demo began."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def say(self, text: str) -> None:
        """One line, shown at once."""
        minutes, seconds = divmod(int(time.monotonic() - self._begun), 60)
        print(f"[{minutes:02d}:{seconds:02d}] {text}", flush=True)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Migrate a v0.3.0 estate to v1 under load and show that nothing is lost.")
    parser.add_argument("--target", default="v1.5.0", choices=["v1.5.0", "v1.0.0"], help="release to migrate to (default: %(default)s)")
    parser.add_argument("--profile", default="fast", choices=["fast", "gke"], help="how slowly the gateway takes changes (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=load.Options().rate, help="requests a second (default: %(default)s)")
    parser.add_argument("--name", default="demo", help="the sandbox's name (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="of the gateway's random delays (default: a random one, printed)")
    parser.add_argument("--collections-path", type=Path, help="use the collection installed there (default: this checkout)")
    parser.add_argument("--keep", action="store_true", help="leave the sandbox running at the end")
    return parser.parse_args()


def migrate(world: World, options: argparse.Namespace, folder: Path, clock: Clock, outcome: Outcome) -> None:
    """Load, migrate, check; fills the outcome as far as it comes. The folder keeps the playbook's log and report and the load's summary."""
    collections = options.collections_path.resolve() if options.collections_path else link_tree(ROOT / "build" / "collections")
    before = world.kubectl_json("get", *ROUTE)
    run = PlaybookRun(world, folder, collections, options.target)
    clock.say(f"load begins: {options.rate:g} requests a second on every rule and model")
    begun = load.start(world.directory, load.Options(rate=options.rate))
    outcome.problems += [f"not loaded: {skipped}" for skipped in begun["skipped"]]
    for target in begun["targets"]:
        clock.say(f"  {target['name']}")
    # Counted from the load's first arrival; the playbook's own first write comes later still.
    time.sleep(max(0.0, begun["begin"] + MARGIN + SLACK - time.time()))
    clock.say(f"ansible-playbook begins: v0.3.0 to {options.target}")
    status = run.run(clock.say)
    report = run.report()
    outcome.verdict = report["verdict"]
    clock.say(f"the playbook ended with status {status}: {report['verdict']}: {report['reason']}")
    if (status == 0) != (report["verdict"] == "PROVEN"):
        outcome.problems.append(f"the playbook's exit status {status} contradicts its verdict {report['verdict']}")
    time.sleep(MARGIN + SLACK)
    clock.say("load ends; open streams are waited for")
    outcome.summary = load.stop(world.directory)
    (folder / "load.json").write_text(json.dumps(outcome.summary, indent=1) + "\n")
    check(world, before, outcome, clock)


def check(world: World, before: dict[str, Any], outcome: Outcome, clock: Clock) -> None:
    """The demo's own checks; each adds a sentence to the outcome when it doesn't hold."""
    summary = outcome.summary
    outcome.problems += summary["problems"]
    after = world.kubectl_json("get", *ROUTE)
    clock.say("the route, first version against last:")
    for line in route_diff(before, after):
        clock.say(f"  {line}")
    if outcome.verdict == "PROVEN":
        outcome.problems += route_problems(before, after)
        outcome.problems += [f"still there: {left}" for left in leftovers(world)]
        requests = read_lines(world.directory / WRITES_LOG)
        outcome.problems += span_problems(requests, summary["first"], summary["last"], MARGIN)
    clock.say(f"sent by vegeta and our own client: {summary['sent']}; before the load: {summary['sent_before']}; in the access logs: {summary['logged']}")
    clock.say(f"{summary['rate']:.1f} requests a second, p99 {summary['p99_seconds'] * 1000:.0f} ms, longest gap {summary['max_gap_seconds']:.2f} s, "
              f"{len(summary['writes'])} route writes, streams {summary['streams']} counted of {summary['streams_sent']} sent")
    for reason, number in summary["reasons"].items():
        clock.say(f"lost: {number} with {reason}")


def interrupt(number: int, frame: Any) -> None:
    """Signal handler: as Ctrl-C."""
    raise KeyboardInterrupt


def main() -> int:
    """Everything, and the sandbox goes whatever happens."""
    options = arguments()
    # A terminated demo takes its sandbox down as an interrupted one does.
    signal.signal(signal.SIGTERM, interrupt)
    clock = Clock()
    outcome = Outcome()
    folder = Path(tempfile.mkdtemp(prefix="igw-demo-"))
    world: World | None = None
    try:
        clock.say("checking the machine and building tools where they are missing")
        tools.ensure(f"epp-{options.target}", "vegeta", progress=clock.say)
        world = World.up(name=options.name, estates=[ESTATE], release="v0.3.0", profile=options.profile, seed=options.seed, progress=clock.say)
        migrate(world, options, folder, clock, outcome)
    except SandboxError as error:
        outcome.problems.append(str(error))
    except KeyboardInterrupt:
        outcome.problems.append("interrupted")
    finally:
        if world is not None:
            load.kill(world.directory)  # only an interrupted demo still has one
        if world is not None and not options.keep:
            clock.say("taking the sandbox down")
            world.down()
    for problem in outcome.problems:
        clock.say(f"check failed: {problem}")
    if outcome.ok:
        clock.say("every check holds")
    clock.say(f"playbook log, report and load summary: {folder}")
    print(outcome.last_line(), flush=True)
    return 0 if outcome.ok else 1


if __name__ == "__main__":
    sys.exit(main())
