# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own load client: open loop, whole validation, unary and streams, no retries, no environment proxies."""
from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp

from .context import SandboxError
from .load_answer import Target, judge, judge_stream, request_body
from .load_report import Record

ID_HEADER = "x-load-id"
UNARY_TIMEOUT = 30.0
STREAM_TIMEOUT = 60.0
# Calibration: long enough to average the time a token takes, short enough to be over at once.
CALIBRATION_TOKENS = 20


@dataclass
class Pace:
    """Arrival times of an open loop: one every 1/rate seconds, whatever the answers do. late is the worst delay of a start, in seconds."""

    rate: float
    late: float = 0.0

    async def run(self, send: Callable[[], None], stop: asyncio.Event) -> None:
        """Call send at every arrival until stop is set. Arrivals that were missed are made up at once, never dropped."""
        begun = asyncio.get_running_loop().time()
        for number in itertools.count():
            due = begun + number / self.rate
            delay = due - asyncio.get_running_loop().time()
            if delay > 0:
                try:
                    await asyncio.wait_for(stop.wait(), delay)
                except TimeoutError:
                    pass
            if stop.is_set():
                return
            self.late = max(self.late, asyncio.get_running_loop().time() - due)
            send()


class Client:
    """Sends requests of its own and hands a Record of each to `journal`.

    Two sessions: `fresh` opens a connection for each request; `kept` reuses them, for POST alone, because aiohttp
    re-sends an idempotent request when a kept connection turns out to be closed and this load never retries.
    """

    def __init__(self, run: str, journal: Callable[[Record], None]) -> None:
        self._run = run
        self._journal = journal
        self._number = itertools.count(1)
        self._open: set[asyncio.Task[None]] = set()
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> Client:
        for name, fresh in (("fresh", True), ("kept", False)):
            connector = aiohttp.TCPConnector(limit=0, force_close=fresh, enable_cleanup_closed=False)
            self._sessions[name] = aiohttp.ClientSession(connector=connector, trust_env=False, auto_decompress=True, raise_for_status=False)
        return self

    async def __aexit__(self, *unused: object) -> None:
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        for session in self._sessions.values():
            await session.close()

    async def send(self, target: Target, tokens: int, stream: bool, session: str = "fresh") -> Record:
        """Send one request and judge its answer; never raises for what the network or the gateway does."""
        if target.method != "POST":
            session = "fresh"
        load_id = f"{self._run}-c{session[0]}{'s' if stream else 'u'}-{next(self._number)}"
        headers = {"Host": target.host, ID_HEADER: load_id, **dict(target.headers)}
        body = request_body(target, load_id, tokens, stream)
        if body:
            headers["Content-Type"] = "application/json"
        timeout = aiohttp.ClientTimeout(total=STREAM_TIMEOUT if stream else UNARY_TIMEOUT)
        status, done, start, raw = 0, False, time.time(), bytearray()
        try:
            async with self._sessions[session].request(
                target.method, target.url, data=body or None, headers=headers, timeout=timeout, allow_redirects=False,
            ) as response:
                status = response.status
                async for piece in response.content.iter_any():
                    raw += piece
            if stream:
                reason, done = judge_stream(target, status, bytes(raw))
            else:
                reason = judge(target, status, bytes(raw))
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
            what = "timed out" if isinstance(error, asyncio.TimeoutError) else type(error).__name__
            reason = f"{'cut' if status else 'no answer'}: {what}"
        except asyncio.CancelledError:
            self._record(load_id, session, stream, target, start, status, "abandoned by the load generator", False)
            raise
        return self._record(load_id, session, stream, target, start, status, reason or "", done)

    def _record(self, load_id: str, session: str, stream: bool, target: Target, start: float, status: int, reason: str, done: bool) -> Record:
        record = Record(
            id=load_id, source=f"client-{session}", kind="stream" if stream else "unary", target=target.name, rule=target.rule,
            start=start, end=time.time(), status=status, ok=not reason, reason=reason, done=done,
        )
        self._journal(record)
        return record

    def launch(self, target: Target, tokens: int, stream: bool, session: str) -> None:
        """Start a request and return at once: the open loop never waits for an answer."""
        task = asyncio.get_running_loop().create_task(self._quiet(target, tokens, stream, session))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _quiet(self, target: Target, tokens: int, stream: bool, session: str) -> None:
        await self.send(target, tokens, stream, session)

    async def drain(self, seconds: float) -> None:
        """Wait for the open requests to end by themselves, at most `seconds`."""
        if self._open:
            await asyncio.wait(set(self._open), timeout=seconds)

    async def seconds_per_token(self, targets: Sequence[Target]) -> float:
        """How long one more token takes, in seconds: a long answer against a short one, the median over the targets."""
        measured = []
        for target in targets:
            short = await self.send(target, 1, stream=True)
            long = await self.send(target, 1 + CALIBRATION_TOKENS, stream=True)
            for record in (short, long):
                if not record.ok:
                    raise SandboxError(f"A stream from {target.name} ends with '{record.reason}' before the load begins; see the gateway's logs.")
            measured.append(((long.end - long.start) - (short.end - short.start)) / CALIBRATION_TOKENS)
        return max(0.0001, sorted(measured)[len(measured) // 2])
