# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench-detect`: time and memory of detecting 10,000 pools, models and routes, against kubectl that only reads them.

The last line is for machines: bench-detect: wall_ratio=X memory_ratio=X requests=N, the medians of ours divided by kubectl's.
"""
from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import parse_qs, urlsplit

from benchmarks import raw
from benchmarks.fill import collection, fill
from benchmarks.footprint import Footprint, measure
from igw_sandbox import large_estate
from igw_sandbox.context import SandboxError
from igw_sandbox.world import World
from tests.e2e.product import COLLECTION, REPORT, environment, variables, write_inventory
from tools.stage import ROOT, link_tree

CONTROL = ("controlplane", "registry", "apiproxy")
SUBJECTS = ("ours", "kubectl")
LIMIT = 900.0
"""Seconds for one run of a subject."""


def arguments() -> argparse.Namespace:
    """The command line; all of it is recorded with the results."""
    parser = argparse.ArgumentParser(description="Time and memory of detect on a cluster with very many pools, against kubectl get.")
    parser.add_argument("--objects", type=int, default=10_000, help="pools, models and routes; more belongs to them (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each, alternately (default: %(default)s)")
    parser.add_argument("--fill-seconds", type=float, default=1200.0, help="time-out for creating the objects (default: %(default)s)")
    return parser.parse_args()


class Subjects:
    """The two commands on one sandbox."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.environment = environment(folder, link_tree(ROOT / "build" / "collections"), world.tool("helm")) | {"HOME": str(folder)}
        self.kinds: list[str] = []

    def ours(self, kubeconfig: Path) -> tuple[list[str], Path]:
        """The whole playbook as a person starts it; what it prints goes to a file."""
        own = variables(self.world, "v1.5.0", self.folder, {"migration_kubeconfig": str(kubeconfig)})
        inventory = write_inventory(self.folder / f"{kubeconfig.name}.json", {self.world.name: own})
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        return [program, "-i", str(inventory), f"{COLLECTION}.detect"], self.folder / "ours.log"

    def kubectl(self, kubeconfig: Path) -> tuple[list[str], Path]:
        """One call for every kind, in chunks of 500 as is its default; discovery is cached by the run that is not measured."""
        return [str(self.world.tool("kubectl")), "--kubeconfig", str(kubeconfig), "get", ",".join(self.kinds), "-A", "-o", "json"], Path(os.devnull)

    def run(self, subject: str, kubeconfig: Path) -> Footprint:
        """One measured run; SandboxError when it fails."""
        command, output = getattr(self, subject)(kubeconfig)
        errors = self.folder / f"{subject}.err"
        took = measure(command, self.folder, self.environment, output, errors, LIMIT)
        if took.status:
            raise SandboxError(f"{subject} ended with status {took.status}: {errors.read_text(errors='replace')[-500:]}; its output is in {output}")
        return took

    def found(self) -> int:
        """Pools in the report of the last run of ours."""
        return len(json.loads((self.folder / REPORT).read_text())["plan"]["pools"])


def lists(log: Path) -> Counter[tuple[str, str, str]]:
    """The LISTs of the API proxy's log that were answered: path, selectors and page, and how often each was asked."""
    asked: Counter[tuple[str, str, str]] = Counter()
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        parts = urlsplit(entry["path"])
        query = parse_qs(parts.query)
        if entry["method"] == "GET" and "limit" in query and entry["status"] == 200:
            selectors = "&".join(f"{name}={query[name][0]}" for name in ("fieldSelector", "labelSelector") if name in query)
            asked[parts.path, selectors, query.get("continue", [""])[0]] += 1
    return asked


def kubectl_kinds(asked: Counter[tuple[str, str, str]]) -> list[str]:
    """The kinds that were listed in all namespaces, as kubectl takes them: services.v1., httproutes.v1.gateway.networking.k8s.io."""
    found = []
    for path in dict.fromkeys(path for path, _selectors, _page in asked if "/namespaces/" not in path):
        *_root, group, version, plural = path.split("/")
        found.append(f"{plural}.{version}.{'' if group == 'api' else group}")
    return found


@contextmanager
def still(world: World) -> Iterator[None]:
    """The controller manager stopped: it would make replica sets of every Deployment while others are measured."""
    (pid,) = [entry["pid"] for entry in json.loads((world.directory / "pids.json").read_text()) if entry["name"] == "kube-controller-manager"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def counted(subjects: Subjects) -> tuple[int, Counter[tuple[str, str, str]]]:
    """One run through the API proxy: how many requests, and which LISTs."""
    log = subjects.world.directory / "api-requests.jsonl"
    log.write_text("")
    subjects.world.reset_requests()
    subjects.run("ours", subjects.world.kubeconfig)
    requests = subjects.world.requests()
    if requests["writes"]:
        raise SandboxError(f"detect wrote: {requests}")
    return requests["total"], lists(log)


def rounds(subjects: Subjects, count: int) -> list[dict[str, Any]]:
    """Each subject so many times, in turn, past the proxy; who begins changes with each round. One run of each before is not measured."""
    direct = subjects.world.direct_kubeconfig
    for subject in SUBJECTS:
        subjects.run(subject, direct)
    results = []
    for number in range(count):
        for subject in SUBJECTS if number % 2 else reversed(SUBJECTS):
            took = subjects.run(subject, direct)
            say(f"round {number + 1}: {subject} {took.seconds:.2f} s, {took.cpu_seconds:.2f} s of CPU, {took.peak_kb / 1000:.0f} MB")
            results.append({"round": number + 1, "subject": subject, **took._asdict()})
    return results


def say(text: str) -> None:
    """Progress, shown at once."""
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", flush=True)


def medians(results: list[dict[str, Any]], field: str) -> dict[str, float]:
    """The median of each subject."""
    return {subject: median(entry[field] for entry in results if entry["subject"] == subject) for subject in SUBJECTS}


def problems_of(asked: Counter[tuple[str, str, str]], present: Counter[str], subjects: Subjects, pools: int) -> list[str]:
    """What makes the figures worthless: a page asked twice, a page too many, pools that were not found."""
    found = [f"{path} was listed {times} times from one page on" for (path, *_rest), times in asked.items() if times > 1]
    pages = Counter(path for path, _selectors, _page in asked)
    for path, count in present.items():
        if path in pages and pages[path] != -(-count // 500):
            found.append(f"{path} holds {count} objects and was read in {pages[path]} pages")
    if subjects.found() != pools:
        found.append(f"ours found {subjects.found()} of {pools} pools")
    return found


def compare(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Fill a sandbox, count one run, measure the rounds."""
    pools = -(-options.objects // 3)
    present = Counter(entry["kind"] for entry in large_estate.objects(pools))
    paths = Counter(collection({**entry, "metadata": {}}) for entry in large_estate.objects(pools))
    world = World.up(name="bench-detect", release="v0.3.0", services=CONTROL, progress=say)
    try:
        with still(world):
            say(f"creating {sum(present.values())} objects: {', '.join(f'{count} {kind}' for kind, count in present.items())}")
            fill(world.direct_kubeconfig, large_estate.namespaces(pools), large_estate.objects(pools), options.fill_seconds)
            subjects = Subjects(world, folder)
            requests, asked = counted(subjects)
            subjects.kinds = kubectl_kinds(asked)
            say(f"ours asks {requests} requests, {sum(asked.values())} of them LISTs; kubectl get {','.join(subjects.kinds)}")
            results = rounds(subjects, options.rounds)
            problems = problems_of(asked, paths, subjects, pools)
    finally:
        world.down()
    pages = Counter(path for path, _selectors, _page in asked)
    return {"objects": present, "kinds": subjects.kinds, "requests": requests, "pages": pages, "rounds": results, "problems": problems}


def main() -> int:
    """0 when the figures can be trusted, whatever they are."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    folder = Path(tempfile.mkdtemp(prefix="igw-bench-detect-"))
    try:
        found = compare(options, folder)
    except (SandboxError, TimeoutError) as error:
        print(f"bench-detect: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench-detect: interrupted", file=sys.stderr)
        return 130
    seconds, memory = medians(found["rounds"], "seconds"), medians(found["rounds"], "peak_kb")
    ratios = {"wall_ratio": round(seconds["ours"] / seconds["kubectl"], 2), "memory_ratio": round(memory["ours"] / memory["kubectl"], 2)}
    written = raw.write("detect", vars(options), **ratios, **found)
    for subject in SUBJECTS:
        say(f"{subject}: median {seconds[subject]:.2f} s and {memory[subject] / 1000:.0f} MB in {options.rounds} rounds")
    for problem in found["problems"]:
        say(f"not to be trusted: {problem}")
    say(f"logs in {folder}, raw results in {written}")
    print(f"bench-detect: wall_ratio={ratios['wall_ratio']} memory_ratio={ratios['memory_ratio']} requests={found['requests']}", flush=True)
    return 1 if found["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
