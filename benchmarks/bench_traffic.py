# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench-traffic`: requests lost by the guide's commands, by a careful specialist's script and by this collection.

Each subject migrates the demo's estate on a fresh sandbox of its own with the same seed, under the same load. The last
line is for machines: bench-traffic: guide_sent=N guide_lost=N careful_sent=N careful_lost=N ours_sent=N ours_lost=N.
"""
from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import raw
from igw_sandbox import load, tools
from igw_sandbox.context import SandboxError
from igw_sandbox.world import World
from tests.e2e.product import PlaybookRun, environment
from tools.stage import ROOT, link_tree

SUBJECTS = ("guide", "careful", "ours")
ESTATE = ROOT / "sandbox" / "estates" / "demo"
PEERS = ROOT / "benchmarks" / "peers"
LEAD = 10.0


def arguments() -> argparse.Namespace:
    """The command line: every length is an option and is recorded with the results."""
    parser = argparse.ArgumentParser(description="Lost requests: the guide's commands, a careful script, and this collection.")
    defaults = load.Options()
    parser.add_argument("--profile", default="gke", choices=["fast", "gke"], help="how slowly the gateway takes changes (default: %(default)s)")
    parser.add_argument("--target", default="v1.5.0", choices=["v1.5.0", "v1.0.0"], help="release to migrate to (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=defaults.rate, help="requests a second (default: %(default)s)")
    parser.add_argument("--streams", type=float, default=defaults.streams, help="of these, streams (default: %(default)s)")
    parser.add_argument("--tail", type=float, default=90.0,
                        help="seconds of load after a subject's last command: slow gateways are still taking its changes then (default: %(default)s)")
    parser.add_argument("--pause", type=int, default=75, help="seconds that the careful script sleeps after each change (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="of the gateway's random delays, the same for every subject (default: a random one)")
    parser.add_argument("--only", choices=SUBJECTS, action="append", help="run this subject alone (for development; may be given more than once)")
    return parser.parse_args()


def script(name: str, world: World, options: argparse.Namespace, folder: Path, more: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a peer's script, with ``more`` in its environment; returns its exit status. Its output goes to FOLDER/NAME.log."""
    folder.mkdir(parents=True, exist_ok=True)
    variables = environment(folder, folder, world.tool("helm"))
    variables |= {
        "KUBECONFIG": str(world.kubeconfig), "CHART": f"{world.state['charts']}/inferencepool", "CRDS": world.state["crds"],
        "TARGET": options.target, "PAUSE": str(options.pause),
        "PATH": os.pathsep.join([str(world.tool("kubectl").parent), variables["PATH"]]),
        **(more or {}),
    }
    log = folder / f"{name}.log"
    with log.open("w") as output:
        process = subprocess.Popen([str(PEERS / f"{name}.sh")], cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        try:
            status = process.wait()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(30)
    last = log.read_text(errors="replace").strip().splitlines()[-1:]
    return {"status": status, "verdict": "done" if status == 0 else f"its commands ended with status {status}: {' '.join(last)}"}


def ours(world: World, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the collection's playbook."""
    run = PlaybookRun(world, folder, link_tree(ROOT / "build" / "collections"), options.target)
    status = run.run(lambda line: print(f"  {line}", flush=True))
    report = run.report()
    return {"status": status, "verdict": f"{report['verdict']}: {report['reason']}"}


def measure(subject: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One subject on a fresh sandbox: figures of its load, how it ended and how long it took."""
    world = World.up(name=f"bench-{subject}", estates=[ESTATE], release="v0.3.0", profile=options.profile, seed=options.seed, progress=say)
    try:
        begun = load.start(world.directory, load.Options(rate=options.rate, streams=options.streams))
        time.sleep(max(0.0, begun["begin"] + LEAD - time.time()))
        say(f"{subject}: migrating under {options.rate:g} requests a second")
        began = time.time()
        ended = ours(world, options, folder / subject) if subject == "ours" else script(subject, world, options, folder / subject)
        seconds = time.time() - began
        say(f"{subject}: {ended['verdict']} after {seconds:.0f} s; {options.tail:g} s of load more")
        time.sleep(options.tail)
        summary = load.stop(world.directory)
        return {"subject": subject, **ended, "seconds": round(seconds, 1), "load": summary}
    finally:
        load.kill(world.directory)  # only an interrupted subject still has one
        world.down()


def say(text: str) -> None:
    """Progress, shown at once."""
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", flush=True)


def problems_of(result: dict[str, Any]) -> list[str]:
    """What makes a subject's figures worthless: books that don't balance, or a subject that did not get to its end."""
    found = [f"{result['subject']}: {problem}" for problem in result["load"]["problems"]]
    if result["status"] != 0:
        found.append(f"{result['subject']}: {result['verdict']}")
    return found


def last_line(results: list[dict[str, Any]]) -> str:
    """The machine-readable line."""
    figures = [f"{result['subject']}_sent={result['load']['requests']} {result['subject']}_lost={result['load']['lost']}" for result in results]
    return f"bench-traffic: {' '.join(figures)}"


def main() -> int:
    """All subjects one after the other; 0 when every figure can be trusted and ours lost nothing."""
    options = arguments()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(10**6)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    folder = Path(tempfile.mkdtemp(prefix="igw-bench-traffic-"))
    results = []
    try:
        if shutil.which("curl") is None:
            raise SandboxError("The peers' scripts need curl and it is not on PATH; install it.")
        tools.ensure(f"epp-{options.target}", "vegeta", progress=say)
        for subject in options.only or SUBJECTS:
            results.append(measure(subject, options, folder))
    except SandboxError as error:
        print(f"bench-traffic: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench-traffic: interrupted", file=sys.stderr)
        return 130
    parameters = {name: value for name, value in vars(options).items() if name != "only"}
    written = raw.write("traffic", parameters, results=results)
    problems = [problem for result in results for problem in problems_of(result)]
    for result in results:
        figures = result["load"]
        share = 100 * figures["lost"] / max(1, figures["requests"])
        say(f"{result['subject']}: {figures['lost']} of {figures['requests']} lost ({share:.2f} %), {figures['cut']} streams cut, longest gap "
            f"{figures['max_gap_seconds']:.1f} s, in {result['seconds']:.0f} s: {figures['reasons']}")
    for problem in problems:
        say(f"not to be trusted: {problem}")
    say(f"logs in {folder}, raw results in {written}")
    print(last_line(results), flush=True)
    return 1 if problems or any(result["subject"] == "ours" and result["load"]["lost"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
