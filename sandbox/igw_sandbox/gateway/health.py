# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks: every endpoint of every backend in use is asked again and again, as its HealthCheckPolicy says."""
from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp

from ..images import Probe
from ..probes import passes
from .model import Check, Endpoints


@dataclass
class Counter:
    """Health of one endpoint: it begins unhealthy, and changes after as many equal answers in a row as the check asks for."""

    healthy: bool = False
    row: int = 0
    """Answers in a row that speak against the present state."""

    def note(self, passed: bool, check: Check) -> bool:
        """Take one answer in; True when the state changed."""
        if passed is self.healthy:
            self.row = 0
            return False
        self.row += 1
        if self.row < (check.healthy if passed else check.unhealthy):
            return False
        self.healthy, self.row = passed, 0
        return True


class Health:
    """Checks backends (by key) while they are in use; ``changed`` is called when an endpoint's state changes."""

    def __init__(self, longest_interval: float, changed: Callable[[], None], log: Callable[[str], None]) -> None:
        self._longest_interval = longest_interval
        self._changed = changed
        self._log = log
        self._targets: dict[str, Endpoints] = {}
        self._counters: dict[str, dict[str, Counter]] = {}
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._session: aiohttp.ClientSession | None = None

    def healthy(self, key: str) -> tuple[str, ...]:
        """The healthy endpoints (ADDRESS:PORT) of a backend, in order."""
        return tuple(endpoint for endpoint, counter in sorted(self._counters.get(key, {}).items()) if counter.healthy)

    def update(self, targets: Mapping[str, Endpoints]) -> None:
        """Check these backends from now on; what is no longer among them is forgotten, endpoint by endpoint."""
        for key in set(self._loops) - set(targets):
            self._loops.pop(key).cancel()
            self._counters.pop(key, None)
        self._targets = dict(targets)
        for key, endpoints in targets.items():
            counters = self._counters.setdefault(key, {})
            for gone in set(counters) - set(endpoints.pods):
                del counters[gone]
            for pod in endpoints.pods:
                counters.setdefault(pod, Counter())
            if key not in self._loops:
                self._loops[key] = asyncio.create_task(self._loop(key))

    async def close(self) -> None:
        self.update({})
        if self._session is not None:
            await self._session.close()

    async def _loop(self, key: str) -> None:
        while True:
            endpoints = self._targets[key]
            results = await asyncio.gather(*(self._ask(endpoint, endpoints.check) for endpoint in endpoints.pods))
            changes = []
            for endpoint, problem in zip(endpoints.pods, results):
                counter = self._counters[key].get(endpoint)
                if counter is not None and counter.note(problem is None, endpoints.check):
                    changes.append(f"{endpoint} {'healthy' if problem is None else 'unhealthy: ' + problem}")
            if changes:
                self._log(f"gateway: {key}: {'; '.join(changes)}")
                self._changed()
            await asyncio.sleep(min(endpoints.check.interval, self._longest_interval))

    async def _ask(self, endpoint: str, check: Check) -> str | None:
        """None when the endpoint passes, else why not. Only 200 is healthy, as for Google's checks."""
        address, _colon, serving = endpoint.rpartition(":")
        port = check.port or int(serving)
        timeout = min(check.timeout, self._longest_interval)
        try:
            if check.kind == "TCP":
                _reader, writer = await asyncio.wait_for(asyncio.open_connection(address, port), timeout)
                writer.close()
                return None
            if check.kind == "GRPC":
                probe = Probe("grpc", port, check.path, timeout=timeout)
                return None if await passes(probe, address) else f"the gRPC health check on port {port} is not answered with SERVING"
            if check.kind != "HTTP":
                return f"health checks of type {check.kind} are not supported; use HTTP, TCP or GRPC"
            if self._session is None:
                self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0), trust_env=False)
            limit = aiohttp.ClientTimeout(total=timeout)
            async with self._session.get(f"http://{address}:{port}{check.path}", timeout=limit, allow_redirects=False) as answer:
                return None if answer.status == 200 else f"GET {check.path} on port {port} answers {answer.status}"
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
            return f"{check.kind} check on port {port}: {type(error).__name__} {error}".strip()
