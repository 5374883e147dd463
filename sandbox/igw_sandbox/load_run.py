# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that loads a sandbox, from the first check to the summary; `load.py` starts and ends it.

Four senders share the arrival rate: vegeta on fresh and on kept-alive connections, and our own client on both, which
also sends the streams. Everything is written below DIR/load/RUN/: requests.jsonl (a line a request), writes.jsonl
(states of the loaded routes), summary.json.
"""
from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .context import SandboxError, start_time, write_atomically
from .load_answer import STREAMING, Target
from .load_client import STREAM_TIMEOUT, UNARY_TIMEOUT, Client, Pace
from .load_cluster import Cluster
from .load_report import Record, summarise
from .load_vegeta import Vegeta
from .load_writes import converged_writes, read_lines

# Share of the arrival rate that our own client takes; vegeta halves the rest between fresh and kept-alive connections.
OWN_SHARE = 0.15
PREFLIGHT_ROUNDS = 8


@dataclass(frozen=True)
class Options:
    """What a load is asked for. rate and streams are arrivals a second; tokens the length of a unary answer; stream_seconds how long streams last;
    patience the seconds in which every target must answer before the load begins; log_seconds how long the access logs are waited for;
    routes the only ones that are asked for (namespace/name), none for every route that is there."""

    rate: float = 110.0
    streams: float = 1.1
    tokens: int = 2
    stream_seconds: tuple[float, ...] = (15.5, 17.0, 18.5, 20.0)
    patience: float = 60.0
    log_seconds: float = 15.0
    max_seconds: float = 7200.0
    routes: Sequence[str] = ()


class Load:
    """One load, from discovery to summary. directory is DIR of the sandbox; run names it in ids and files."""

    def __init__(self, directory: Path, run: str, options: Options, vegeta: Path) -> None:
        self._directory, self._run, self._options, self._vegeta = directory, run, options, vegeta
        self._state = json.loads((directory / "state.json").read_text())
        self._supervisor = supervisor_of(directory)
        self.folder = directory / "load" / run
        self._records: list[Record] = []
        self._seen: list[dict[str, Any]] = []
        self._routes: set[str] = set()
        self._problems: list[str] = []
        self._stop = asyncio.Event()
        self._journal = (self.folder / "requests.jsonl").open("a", buffering=1 << 16)
        self._writes = (self.folder / "writes.jsonl").open("a", buffering=1)

    def stop(self) -> None:
        """No more arrivals; run() then ends by itself."""
        self._stop.set()

    def _record(self, record: Record) -> None:
        self._records.append(record)
        self._journal.write(json.dumps(record.as_dict()) + "\n")

    def _route(self, route: str, generation: int, version: str, when: float) -> None:
        """One state of a route: the first is where it starts, each later generation is a write."""
        known = [entry for entry in self._seen if entry["route"] == route]
        if route in self._routes and not (known and known[-1]["generation"] >= generation):
            entry = {"route": route, "generation": generation, "resource_version": version, "time": when, "first": not known}
            self._seen.append(entry)
            self._writes.write(json.dumps(entry) + "\n")

    async def run(self) -> dict[str, Any]:
        """Load until stop() is called; returns the summary, which is also in summary.json."""
        async with Cluster(Path(self._state["direct_kubeconfig"])) as cluster, Client(self._run, self._record) as client:
            targets, skipped = await cluster.targets()
            if self._options.routes:
                targets = [target for target in targets if target.rule.rpartition("/")[0] in self._options.routes]
            if not targets:
                raise SandboxError(f"there is nothing to load in this sandbox ({'; '.join(skipped) or 'it has no HTTPRoute'}): apply an estate first")
            streaming = [target for target in targets if target.endpoint in STREAMING and self._options.streams]
            per_token = await self._preflight(client, targets, streaming)
            first = len(self._records)
            self._routes = {target.rule.rpartition("/")[0] for target in targets}
            watching = asyncio.create_task(cluster.watch_routes(self._route))
            # Whoever waits for "running" may write at once: the states before that must be known.
            while not watching.done() and {entry["route"] for entry in self._seen} != self._routes:
                await asyncio.sleep(0.02)
            begin = time.time()
            self._status("running", targets=[target.as_dict() for target in targets], skipped=skipped, seconds_per_token=per_token, begin=begin)
            late, end = await self._send(client, targets, streaming, per_token)
            if watching.done():
                self._problems.append(f"the watch of the routes ended early: {watching.exception()!r}")
            watching.cancel()
        return await self._finish(first, begin, end, late)

    async def _preflight(self, client: Client, targets: Sequence[Target], streaming: Sequence[Target]) -> float:
        """Every target answers several times in a row before anything is counted; returns how long a token takes in seconds, 0.0 without streams.

        Backends may still be warming up, on one gateway instance longer than on another; a load on a broken estate would prove nothing.
        """
        deadline = time.monotonic() + self._options.patience
        while True:
            try:
                for _round in range(PREFLIGHT_ROUNDS):
                    for record in await asyncio.gather(*(client.send(target, self._options.tokens, stream=False) for target in targets)):
                        if not record.ok:
                            raise SandboxError(f"{record.target} answers '{record.reason}' before the load begins; see the gateway's and the pods' logs.")
                return await client.seconds_per_token(streaming) if streaming else 0.0
            except SandboxError:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(1)

    async def _send(self, client: Client, targets: Sequence[Target], streaming: Sequence[Target], per_token: float) -> tuple[float, float]:
        """All senders side by side until stop; returns (worst delay of our own starts, end of the arrivals)."""
        options = self._options
        streams = options.streams if streaming else 0.0
        own = max(0.1, options.rate * OWN_SHARE - streams)
        each = (options.rate - own - streams) / 2
        attacks = [
            Vegeta(self._vegeta, self._run, targets, each, keepalive, options.tokens, self._record) for keepalive in (False, True)
        ]
        for attack in attacks:
            await attack.start(self.folder / "vegeta.log")
        # A session keeps its turn for a whole round of targets, so that each target meets both.
        rounds = itertools.cycle([(target, session) for session in ("fresh", "kept") for target in targets])
        stream_rounds = itertools.cycle([(target, session) for session in ("fresh", "kept") for target in streaming])
        lengths = itertools.cycle(options.stream_seconds)

        def unary() -> None:
            target, session = next(rounds)
            client.launch(target, options.tokens, False, session)

        def stream() -> None:
            target, session = next(stream_rounds)
            client.launch(target, max(2, round(next(lengths) / per_token)), True, session)

        paces = [(Pace(own), unary)] + ([(Pace(streams), stream)] if streams else [])
        guard = asyncio.create_task(self._guard())
        await asyncio.gather(*(pace.run(send, self._stop) for pace, send in paces))
        end = time.time()
        guard.cancel()
        await asyncio.gather(client.drain(STREAM_TIMEOUT + 5), *(attack.stop(UNARY_TIMEOUT + 5) for attack in attacks))
        self._problems += [problem for attack in attacks for problem in attack.problems]
        return max(pace.late for pace, unused in paces), end

    async def _guard(self) -> None:
        """End the load when its sandbox is gone or its longest time is over."""
        begun = time.monotonic()
        while True:
            await asyncio.sleep(1)
            if not alive(self._supervisor):
                self._problems.append("the sandbox ended during the load")
                return self.stop()
            if time.monotonic() - begun > self._options.max_seconds:
                self._problems.append(f"the load reached its longest time of {self._options.max_seconds:.0f} s and ended by itself")
                return self.stop()

    async def _finish(self, first: int, begin: float, end: float, late: float) -> dict[str, Any]:
        """Wait for the access logs to be written out, then account."""
        self._journal.flush()
        logs = sorted((self._directory / "gateway").glob("access-*.jsonl"))
        ids, deadline = {record.id for record in self._records}, time.monotonic() + (self._options.log_seconds if alive(self._supervisor) else 0)
        while True:
            access = [line for log in logs for line in read_lines(log)]
            if time.monotonic() > deadline or ids <= {line.get("load_id") for line in access}:
                break
            await asyncio.sleep(0.5)
        writes = converged_writes(self._seen, read_lines(self._directory / "gateway" / "converged.jsonl"), len(logs))
        summary = summarise(
            self._records[first:], writes, access, self._run, begin, end, self._options.rate, problems=self._problems, late=late,
            before=self._records[:first])
        (self.folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
        self._status("ended")
        return summary

    def _status(self, state: str, **more: Any) -> None:
        write_status(self.folder, state, **more)


def write_status(folder: Path, state: str, **more: Any) -> None:
    """Replace status.json of a load: state is starting, running, ended or failed."""
    status = {"state": state, "pid": os.getpid(), "start": start_time(os.getpid()), **more}
    write_atomically(folder / "status.json", json.dumps(status, indent=1) + "\n")


def alive(entry: Mapping[str, Any]) -> bool:
    """Whether the process {"pid", "start"} still runs; the start time tells it from a later one with the same pid."""
    return entry.get("start") is not None and start_time(entry["pid"]) == entry["start"]


def supervisor_of(directory: Path) -> dict[str, Any]:
    """The supervisor's entry in DIR/pids.json; SandboxError when the sandbox does not run."""
    path = directory / "pids.json"
    entries = json.loads(path.read_text()) if path.exists() else []
    for entry in entries:
        if entry["name"] == "supervisor" and alive(entry):
            return entry
    raise SandboxError(f"The sandbox in {directory} does not run; start it with `sandbox up`.")


async def _main(directory: Path, run: str) -> int:
    folder = directory / "load" / run
    settings = json.loads((folder / "options.json").read_text())
    vegeta = Path(settings.pop("vegeta"))
    write_status(folder, "starting")
    try:
        load = Load(directory, run, Options(**{**settings, "stream_seconds": tuple(settings["stream_seconds"])}), vegeta)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, load.stop)
        await load.run()
    except SandboxError as error:
        write_status(folder, "failed", error=str(error))
        return 1
    except BaseException as error:
        write_status(folder, "failed", error=f"The load {run} failed with {type(error).__name__}: {error}; see {folder / 'load.log'}.")
        raise
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main(Path(sys.argv[1]), sys.argv[2])))
