# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench-overhead`: how much longer a migration takes than it must wait, by this collection and by a plain kubectl and helm script.

What must be waited for is the same for both: the soak that was asked for at each step, the drain, and the gateway's own delays, which are
fixed here. The peer sleeps exactly these and looks at nothing. The last line is for machines: bench-overhead: of_required_wait=X peer=X.
"""
from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import raw
from benchmarks.bench_traffic import say, script
from igw_sandbox import tools
from igw_sandbox.context import SandboxError
from igw_sandbox.world import World
from tests.e2e.product import PlaybookRun, leftovers
from tools.stage import ROOT, link_tree

ESTATE = ROOT / "sandbox" / "estates" / "demo"
STEPS = (10, 25, 50, 75, 100)
DRAIN = 30
"""timeoutSec of the estate's backend policy."""
SUBJECTS = ("ours", "peer")


def arguments() -> argparse.Namespace:
    """The command line; all of it is recorded with the results."""
    parser = argparse.ArgumentParser(description="What a migration takes beyond what it must wait for.")
    parser.add_argument("--soak", type=int, default=240, help="seconds of soak at each of five steps (default: %(default)s)")
    parser.add_argument("--take", type=float, default=5.0, help="seconds in which the gateway takes a change (default: %(default)s)")
    parser.add_argument("--warm", type=float, default=30.0, help="seconds for which it answers 503 for a new backend (default: %(default)s)")
    parser.add_argument("--in-turn", action="store_true", help="one after the other, on a machine too small for two sandboxes at once")
    parser.add_argument("--only", choices=SUBJECTS, action="append", help="run this subject alone (for development)")
    return parser.parse_args()


def required(options: argparse.Namespace) -> float:
    """Seconds that nobody can do without: soaks, the drain, and of the gateway the first backend's warm-up, each step's taking, and that of the last change."""
    return len(STEPS) * (options.soak + options.take) + options.take + options.warm + options.take + DRAIN


def measure(subject: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One subject on a sandbox of its own: seconds of its whole command."""
    world = World.up(name=f"bench-overhead-{subject}", estates=[ESTATE], release="v0.3.0", seed=7, progress=say)
    try:
        world.fault("gateway", take=[options.take, options.take], warm=[options.warm, options.warm])
        began = time.monotonic()
        if subject == "ours":
            run = PlaybookRun(world, folder / subject, link_tree(ROOT / "build" / "collections"), "v1.5.0",
                              extra={"migration_steps": list(STEPS), "migration_soak_seconds": options.soak})
            status = run.run(lambda line: print(f"  {line}", flush=True))
            verdict = run.report()["verdict"]
        else:
            # At its best: it sleeps what must be waited for and not a second more.
            waits = {"STEPS": " ".join(map(str, STEPS)), "SOAK": f"{options.soak + options.take:g}", "DRAIN": f"{options.take + DRAIN:g}"}
            chosen = argparse.Namespace(target="v1.5.0", pause=0)
            ended = script("careful", world, chosen, folder / subject, waits)
            status, verdict = ended["status"], ended["verdict"]
        seconds = time.monotonic() - began
        left = leftovers(world)
        if status or left:
            raise SandboxError(f"{subject} did not get to its end: {verdict}; left: {', '.join(left) or 'nothing'}; see {folder}")
        say(f"{subject}: {seconds:.0f} s")
        return {"subject": subject, "seconds": round(seconds, 1), "verdict": verdict}
    finally:
        world.down()


def main() -> int:
    """0 when both got to their end."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    folder = Path(tempfile.mkdtemp(prefix="igw-bench-overhead-"))
    needed, subjects = required(options), options.only or SUBJECTS
    say(f"at least {needed:.0f} s must be waited for")
    try:
        tools.ensure("epp-v1.5.0", progress=say)
        with ThreadPoolExecutor(1 if options.in_turn else len(subjects)) as pool:
            results = list(pool.map(lambda subject: measure(subject, options, folder), subjects))
    except SandboxError as error:
        print(f"bench-overhead: {error}", file=sys.stderr)
        return 2
    for result in results:
        result["of_required_wait"] = round((result["seconds"] - needed) / needed, 4)
    parameters = {name: value for name, value in vars(options).items() if name != "only"} | {"required_s": needed, "steps": STEPS}
    written = raw.write("overhead", parameters, results=results)
    say(f"raw results in {written}")
    figures = {result["subject"]: result["of_required_wait"] for result in results}
    print("bench-overhead: " + " ".join(f"{'of_required_wait' if name == 'ours' else name}={value:.4f}" for name, value in figures.items()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
