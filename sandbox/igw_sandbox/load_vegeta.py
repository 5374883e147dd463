# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Load by vegeta: open loop in Go, with targets piped in one by one so that every request carries its own id.

The id travels in the x-load-id header, and again as the URL's fragment, which is never sent to a server: a vegeta
result shows the URL but not the request's headers, so this is how a result finds its id.
"""
from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from .context import die_with_parent
from .load_answer import Target, judge, request_body
from .load_client import ID_HEADER, UNARY_TIMEOUT
from .load_report import Record


def target_line(target: Target, load_id: str, tokens: int) -> bytes:
    """One line of vegeta's JSON target format."""
    headers = {"Host": [target.host], ID_HEADER: [load_id], **{name: [value] for name, value in target.headers}}
    line: dict[str, Any] = {"method": target.method, "url": f"{target.url}#{load_id}", "header": headers}
    body = request_body(target, load_id, tokens)
    if body:
        headers["Content-Type"] = ["application/json"]
        line["body"] = base64.b64encode(body).decode()
    return json.dumps(line).encode() + b"\n"


def result_record(result: Mapping[str, Any], targets: Mapping[str, Target], source: str) -> Record | None:
    """The Record of one line of `vegeta encode -to json`; None for the empty result that ends an attack without targets.

    targets maps the target number, which is the third part of an id, to the target.
    """
    load_id = str(result.get("url") or "").partition("#")[2]
    if not load_id:
        return None
    target = targets[load_id.split("-")[2]]
    status, error = int(result.get("code") or 0), str(result.get("error") or "")
    reason = judge(target, status, base64.b64decode(result.get("body") or "")) if status else f"no answer: {_kind(error)}"
    # fromisoformat cuts nanoseconds to microseconds, which is enough here.
    start = datetime.fromisoformat(result["timestamp"]).timestamp()
    return Record(
        id=load_id, source=source, kind="unary", target=target.name, rule=target.rule, start=start, end=start + result["latency"] / 1e9,
        status=status, ok=not reason, reason=reason or "",
    )


def _kind(error: str) -> str:
    """The last part of a Go network error: without addresses and ports it can be counted."""
    return error.rpartition(": ")[2] or "unknown"


class Vegeta:
    """One vegeta process and the encoder behind it."""

    def __init__(self, binary: Path, run: str, targets: Sequence[Target], rate: float, keepalive: bool, tokens: int, journal: Callable[[Record], None]) -> None:
        self.source = "vegeta-kept" if keepalive else "vegeta-fresh"
        self._binary, self._run, self._rate, self._keepalive, self._tokens = binary, run, rate, keepalive, tokens
        self._targets = {str(number): target for number, target in enumerate(targets)}
        self._journal = journal
        self._attack: asyncio.subprocess.Process | None = None
        self._encode: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.problems: list[str] = []

    async def start(self, log: Path) -> None:
        """Start both processes; stderr of both goes to `log`."""
        # A vegeta without this empty option would open a metrics port on every interface.
        options = [
            "-format=json", "-lazy", "-targets=stdin", "-duration=0", f"-rate={round(self._rate * 60)}/1m", f"-timeout={UNARY_TIMEOUT:.0f}s",
            f"-keepalive={str(self._keepalive).lower()}", "-http2=false", "-redirects=-1", "-max-body=-1", "-prometheus-addr=", "-dns-ttl=-1",
        ]
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        read, write = os.pipe()
        with log.open("ab") as errors:
            # Sessions of their own: a Ctrl-C in the terminal must not end the load before its answers are in.
            self._attack = await asyncio.create_subprocess_exec(
                str(self._binary), "attack", *options, stdin=asyncio.subprocess.PIPE, stdout=write, stderr=errors, env=environment, start_new_session=True,
                preexec_fn=die_with_parent(os.getpid()))
            os.close(write)
            self._encode = await asyncio.create_subprocess_exec(
                str(self._binary), "encode", "-to", "json", stdin=read, stdout=asyncio.subprocess.PIPE, stderr=errors, env=environment,
                start_new_session=True, limit=1 << 24, preexec_fn=die_with_parent(os.getpid()))
            os.close(read)
        self._tasks = [asyncio.create_task(self._feed()), asyncio.create_task(self._collect())]

    @property
    def pids(self) -> list[int]:
        """The processes of this attack."""
        return [process.pid for process in (self._attack, self._encode) if process]

    async def _feed(self) -> None:
        assert self._attack and self._attack.stdin
        letter = "k" if self._keepalive else "f"
        names = itertools.cycle(self._targets)
        try:
            for number in itertools.count(1):
                name = next(names)
                self._attack.stdin.write(target_line(self._targets[name], f"{self._run}-v{letter}-{name}-{number}", self._tokens))
                await self._attack.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            return  # vegeta has stopped reading: stop() asked it to, or _collect reports that it died

    async def _collect(self) -> None:
        async for result in self._results():
            record = result_record(result, self._targets, self.source)
            if record:
                self._journal(record)

    async def _results(self) -> AsyncIterator[dict[str, Any]]:
        assert self._encode and self._encode.stdout
        async for line in self._encode.stdout:
            yield json.loads(line)

    async def stop(self, seconds: float) -> None:
        """Stop arriving, let open requests end (at most `seconds`), read every result."""
        assert self._attack and self._encode
        if self._attack.returncode is None:
            self._attack.send_signal(signal.SIGINT)
        else:
            self.problems.append(f"{self.source}: vegeta ended by itself with code {self._attack.returncode}; see the load's log")
        feed, collect = self._tasks
        try:
            await asyncio.wait_for(self._attack.wait(), seconds)
            await asyncio.wait_for(collect, 10)
        except TimeoutError:
            self.problems.append(f"{self.source}: vegeta did not end within {seconds:.0f} s and was killed; its open requests have no result")
        for process in (self._attack, self._encode):
            if process.returncode is None:
                process.kill()
            await process.wait()
        for task in (feed, collect):
            task.cancel()
        for outcome in await asyncio.gather(feed, collect, return_exceptions=True):
            if isinstance(outcome, Exception):
                self.problems.append(f"{self.source}: {type(outcome).__name__}: {outcome}")
