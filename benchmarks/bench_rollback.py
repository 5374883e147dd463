# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench-rollback`: how soon users are off a v1 stack that turns bad at half of the traffic, by this collection and by Flagger's rule.

Two parts on one sandbox and under one kind of load. First a migration soaks at 50 % and v1 begins to answer a share of its new requests
404, by a rewrite to a model that no server has: from then until the weights are written back is ``ours_s``. Then the same weights and the
same fault again, left alone, and Flagger's rule looks at what users got, at its best and at every phase of its interval: on average it
needs ``peer_s``. In both cases the gateway takes the weights after the write, which is ``propagation_s``. The last line is for machines:
bench-rollback: ours_s=X peer_s=X propagation_s=X.
"""
from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import raw
from benchmarks.bench_gate import ENOUGH, peer
from benchmarks.bench_traffic import say
from igw_sandbox import load, tools
from igw_sandbox.context import SandboxError
from igw_sandbox.world import World
from tests.e2e import misroute
from tests.e2e.product import PlaybookRun
from tools.stage import ROOT, link_tree

ESTATE = ROOT / "sandbox" / "estates" / "demo"
POOL = "vllm-llama3-8b-instruct-ga"
V1 = "inference.networking.k8s.io/"
LEAD = 10.0


def arguments() -> argparse.Namespace:
    """The command line; all of it is recorded with the results."""
    parser = argparse.ArgumentParser(description="Seconds until users are off a v1 that turns bad: this collection and Flagger's rule.")
    defaults = load.Options()
    parser.add_argument("--profile", default="gke", choices=["fast", "gke"], help="how slowly the gateway takes changes (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=defaults.rate, help="requests a second (default: %(default)s)")
    parser.add_argument("--streams", type=float, default=defaults.streams, help="of these, streams (default: %(default)s)")
    parser.add_argument("--percent", type=int, default=30, help="of v1's requests that fail once it is bad (default: %(default)s)")
    parser.add_argument("--watch", type=float, default=200.0, help="seconds for which the bad v1 is left alone for the peer's rule (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="of the gateway's random delays (default: a random one)")
    return parser.parse_args()


class Request(NamedTuple):
    """One line of a gateway's access log: when it began, whether v1 got it, and its status."""

    time: float
    v1: bool
    status: int


def requests(world: World, since: float) -> list[Request]:
    """Users' requests (those with the load's id) from a time on, by their beginning."""
    found = []
    for path in sorted((world.directory / "gateway").glob("access-*.jsonl")):
        for text in path.read_text().splitlines():
            line = json.loads(text)
            at = datetime.fromisoformat(line["time"]).timestamp()
            if at >= since and line["load_id"] not in (None, "-"):
                found.append(Request(at, str(line["backend"]).startswith(V1), int(line["status"])))
    return sorted(found)


def written_back(world: World, since: float) -> float:
    """When the route was first written after a time."""
    for text in (world.directory / "api-requests.jsonl").read_text().splitlines():
        line = json.loads(text)
        if line["time"] > since and line["write"] and not line["dry_run"] and line["method"] == "PUT" and line["path"].endswith("/httproutes/llm-route"):
            return float(line["time"]) + line["duration_ms"] / 1000
    raise SandboxError("The weights were never written back: see the playbook's log.")


def rollback(world: World, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Part one: a migration that soaks at 50 % when v1 turns bad."""
    bad: list[float] = []

    def watch(line: str) -> None:
        print(f"  {line}", flush=True)
        if "gate at 50 %" in line and "accept, soak" in line and not bad:
            bad.append(time.time())
            misroute.turn_bad(world, POOL, options.percent)

    extra = {"migration_steps": [50, 100], "migration_soak_seconds": 300}
    run = PlaybookRun(world, folder, link_tree(ROOT / "build" / "collections"), "v1.5.0", extra=extra)
    run.run(watch)
    report = run.report()
    if report["verdict"] != "FAILED" or not bad:
        raise SandboxError(f"The migration should have been taken back, and it ended {report['verdict']}: {report['reason']}")
    back = written_back(world, bad[0])
    on_v1 = [request for request in requests(world, back) if request.v1]
    last = max((request.time for request in on_v1), default=back)
    failed = [request for request in requests(world, bad[0]) if request.status != 200]
    return {
        "ours_s": back - bad[0],
        "propagation_s": max(0.0, last - back),
        "reason": report["reason"],
        "failed": len(failed),
        "failed_not_on_v1": sum(not request.v1 for request in failed),
        "failed_after_propagation": sum(request.time > last for request in failed),
        "statuses": {str(status): sum(request.status == status for request in failed) for status in {request.status for request in failed}},
    }


def left_alone(world: World, options: argparse.Namespace) -> tuple[list[Request], float]:
    """Part two: half on v1 again, bad again, and nobody takes it back; v1's requests, and when it turned bad."""
    misroute.turn_good(world)
    rule = world.kubectl_json("get", "httproute", "llm-route")["spec"]["rules"][0]["backendRefs"]
    half = [rule[0] | {"weight": 50}, rule[0] | {"group": "inference.networking.k8s.io", "name": "vllm-llama3-8b-instruct-ga", "weight": 50}]

    def weights(references: list[dict[str, Any]]) -> None:
        patch = json.dumps([{"op": "replace", "path": "/spec/rules/0/backendRefs", "value": references}])
        world.kubectl("patch", "httproute", "llm-route", "--type=json", "-p", patch)

    weights(half)
    deadline = time.time() + 300
    while True:  # a backend that comes back is cold again: until it serves, what fails is not what is measured
        time.sleep(10)
        recent = [request for request in requests(world, time.time() - 10) if request.v1]
        if len(recent) > 100 and all(request.status == 200 for request in recent):
            break
        if time.time() > deadline:
            raise SandboxError("v1 did not serve its half within 300 s.")
    time.sleep(options.watch)  # intervals that were good before
    began = time.time()
    misroute.turn_bad(world, POOL, options.percent)
    time.sleep(options.watch)
    misroute.turn_good(world)
    weights(rule)
    return [request for request in requests(world, began - options.watch) if request.v1 and request.time < began + options.watch], began


def decided(stream: list[Request], bad: float, interval: int, threshold: int, phase: float) -> float | None:
    """Seconds after v1 turned bad until the rule rolls back, with checks every ``interval`` seconds from ``phase`` on; None when it does not in time."""
    end, failed = stream[0].time + phase + interval, 0
    while end <= stream[-1].time:
        window = [request.status == 200 for request in stream if end - interval <= request.time < end]
        if window and sum(window) / len(window) < ENOUGH:
            failed += 1
            if failed >= threshold:
                return end - bad
        end += interval
    return None


def peers(stream: list[Request], bad: float) -> dict[str, Any]:
    """The rule at its best (see bench_gate.py) and as its documentation has it, averaged over ten phases."""
    best, _tried = peer(0.001)
    found: dict[str, Any] = {}
    for name, interval, threshold in (("best", int(best["interval"]), int(best["threshold"])), ("documented", 60, 10), ("quickest", 10, 1)):
        times = [decided(stream, bad, interval, threshold, interval * number / 10) for number in range(10)]
        known = [seconds for seconds in times if seconds is not None]
        found[name] = {"interval": interval, "threshold": threshold, "seconds": times, "early": sum(seconds < 0 for seconds in known),
                       "mean": sum(known) / len(known) if len(known) == len(times) else None}
    return found


def main() -> int:
    """0 when no stream was cut and every failure is explained."""
    options = arguments()
    options.seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    folder = Path(tempfile.mkdtemp(prefix="igw-bench-rollback-"))
    world = None
    try:
        tools.ensure("epp-v1.5.0", "vegeta", progress=say)
        world = World.up(name="bench-rollback", estates=[ESTATE], release="v0.3.0", profile=options.profile, seed=options.seed, progress=say)
        begun = load.start(world.directory, load.Options(rate=options.rate, streams=options.streams))
        time.sleep(max(0.0, begun["begin"] + LEAD - time.time()))
        ours = rollback(world, options, folder)
        summary = load.stop(world.directory)
        # A stream that was refused from the start has no [DONE] either: cut is one that had begun.
        ours["cut_in_flight"] = sum(count for reason, count in summary["reasons"].items() if reason.startswith("cut"))
        say(f"ours: {ours['ours_s']:.1f} s until the weights were back, {ours['propagation_s']:.1f} s more until the gateway had taken them; {ours['reason']}")
        say(f"users: {summary['lost']} of {summary['requests']} lost, {ours['cut_in_flight']} streams in flight cut: {summary['reasons']}; "
            f"{ours['failed_not_on_v1']} of them not on v1, {ours['failed_after_propagation']} after the gateway had taken the weights")
        say("the same again, left alone, for the peer's rule")
        load.start(world.directory, load.Options(rate=options.rate, streams=options.streams))
        stream, bad = left_alone(world, options)
        load.stop(world.directory)
    except SandboxError as error:
        print(f"bench-rollback: {error}", file=sys.stderr)
        return 2
    finally:
        if world:
            load.kill(world.directory)
            world.down()
    other = peers(stream, bad)
    for name, entry in other.items():
        mean = f"{entry['mean']:.1f} s on average" if entry["mean"] is not None else f"not within {options.watch:.0f} s at every phase"
        say(f"Flagger's rule, {name} (interval {entry['interval']} s, threshold {entry['threshold']}): {mean}")
    written = raw.write("rollback", vars(options), ours=ours, load=summary, peers=other)
    say(f"raw results in {written}")
    best = other["best"]["mean"]
    peer_s = f"{best:.1f}" if best is not None else "inf"
    print(f"bench-rollback: ours_s={ours['ours_s']:.1f} peer_s={peer_s} propagation_s={ours['propagation_s']:.1f}", flush=True)
    unexplained = ours["failed_not_on_v1"] + ours["failed_after_propagation"] + abs(summary["lost"] - ours["failed"])
    return 1 if ours["cut_in_flight"] or unexplained or summary["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
