# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One Envoy of the gateway: it takes every change when its time has come, and each backend it meets for the first time has to warm up.

A change is taken in an order in which no request can fall into a gap: endpoints, clusters and listeners that are new, then the routes, then
the removal of what the routes no longer name. Envoy's own statistics say when it has taken a step.
"""
from __future__ import annotations

import asyncio
import json
import math
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp

from .. import envoyfiles
from ..context import free_port, write_atomically
from . import envoy
from .model import Backend, Endpoints, Model, Server
from .settings import Settings

JSON = dict[str, Any]
STEP_SECONDS = 20.0
"""How long an Envoy may take for one step; usually it takes some milliseconds."""
DRAIN_SECONDS = 1

Spawn = Callable[[str, list[str | Path]], Awaitable[asyncio.subprocess.Process]]


class EnvoyRejected(Exception):
    """An Envoy did not take a configuration."""


class Directory(Protocol):
    """What an instance asks its fleet."""

    settings: Settings

    def endpoints(self, key: str) -> Endpoints: ...

    def healthy(self, key: str) -> tuple[str, ...]: ...


class Instance:
    """One Envoy with its files under ``folder`` and its backends' sockets under ``sockets``."""

    def __init__(self, number: int, folder: Path, sockets: Path, address: str, directory: Directory,
                 taken: Callable[[Instance, int, Model, str | None], None], log: Callable[[str], None]) -> None:
        self.number = number
        self.name = f"gateway-{number}"
        self.access_log = folder.parent / f"access-{number}.jsonl"
        self.version = 0
        self.model = Model()
        """What was taken last."""
        self._folder = folder
        self._sockets = sockets
        self._admin = (address, free_port(address))
        self._directory = directory
        self._taken = taken
        self._log = log
        self._random = random.Random(f"{directory.settings.seed}/{number}")
        self._queue: deque[tuple[float, int, Model]] = deque()
        self._poked = asyncio.Event()
        self._backends: dict[str, Backend] = {}
        self._servers: dict[str, Server] = {}
        self._paths: dict[str, Path] = {}
        """Backend key -> socket; a new one each time a backend comes, so that it never meets the sockets of its former life."""
        self._warm: dict[str, float] = {}
        """Backend key -> monotonic time at which its first health checks are through; 0 when that is past."""
        self._written: dict[Path, str] = {}
        self._rejected: dict[str, int] = {}
        """What the Envoy had rejected when it was last asked, by statistic."""
        self._counter = 0
        self._session: aiohttp.ClientSession | None = None

    @property
    def admin(self) -> str:
        return "http://%s:%d" % self._admin

    @property
    def backends(self) -> dict[str, Backend]:
        """Every backend that this instance uses or is about to use."""
        found = dict(self._backends)
        for _due, _version, model in self._queue:
            found.update(model.backends)
        return found

    def cold(self) -> list[str]:
        """Labels of the backends that answer 503 here: not taken yet, warming up, or without a healthy endpoint; sorted."""
        return sorted({backend.label for key, backend in self.backends.items() if self._warm.get(key, math.inf) or not self._directory.healthy(key)})

    def offer(self, version: int, model: Model) -> float:
        """Queue a change; it is taken after this instance's own delay, never before an earlier one. Returns the delay in seconds."""
        delay = self._random.uniform(*self._directory.settings.take)
        due = time.monotonic() + delay
        if self._queue:
            due = max(due, self._queue[-1][0])
        self._queue.append((due, version, model))
        self._poked.set()
        return delay

    def poke(self) -> None:
        """Endpoints or their health changed."""
        self._poked.set()

    async def run(self, spawn: Spawn, envoy_program: Path) -> None:
        """Keep the Envoy alive and up to date until cancelled."""
        self._sockets.mkdir(parents=True, exist_ok=True)
        bootstrap = self._prepare()
        async with aiohttp.ClientSession(trust_env=False, timeout=aiohttp.ClientTimeout(total=5)) as self._session:
            keeper = asyncio.create_task(self._keep_alive(spawn, envoyfiles.command(envoy_program, bootstrap, DRAIN_SECONDS)))
            try:
                while True:
                    work = asyncio.create_task(self._work())
                    await asyncio.wait([keeper, work], return_when=asyncio.FIRST_COMPLETED)
                    if keeper.done():
                        work.cancel()
                        keeper.result()
                    work.result()
            finally:
                keeper.cancel()

    def _prepare(self) -> Path:
        bootstrap = envoyfiles.prepare(self.name, self._folder)
        document = json.loads(bootstrap.read_text())
        document["admin"] = {"address": envoyfiles.socket_address(*self._admin)}
        envoyfiles.write(bootstrap, document)
        return bootstrap

    async def _keep_alive(self, spawn: Spawn, command: list[str]) -> None:
        """An Envoy that ended is started again with the files it had."""
        while True:
            process = await spawn(self.name, [*command, "--file-flush-interval-msec", "200", "--component-log-level", "ext_proc:error"])
            code = await process.wait()
            self._log(f"gateway: {self.name} ended with exit code {code} and is started again; its output is in {self.name}.log")
            await asyncio.sleep(0.5)

    async def _work(self) -> None:
        """Wait for the next thing to do and do it."""
        now = time.monotonic()
        times = [*(due for due, _version, _model in list(self._queue)[:1]), *(end for end in self._warm.values() if 0 < end < math.inf)]
        try:
            await asyncio.wait_for(self._poked.wait(), max(0.0, min(times) - now) if times else None)
        except asyncio.TimeoutError:
            pass  # the time has come for a change or the end of a warm-up
        self._poked.clear()
        due = []
        while self._queue and self._queue[0][0] <= time.monotonic():
            due.append(self._queue.popleft())
        if due:
            _due, version, model = due[-1]
            problem = None
            try:
                await self._take(model)
            except EnvoyRejected as error:
                problem = str(error)
                self._log(f"gateway: {problem}")
            self.version, self.model = version, model
            self._taken(self, version, model, problem)
        self._write_endpoints(self._backends.values())

    async def _take(self, model: Model) -> None:
        """Additions, then routes, then removals."""
        for key in model.backends:
            if key not in self._backends:
                self._counter += 1
                self._paths[key] = self._sockets / f"{self._counter}.sock"
                self._warm[key] = math.inf
        servers = {server.slug: server for server in model.servers}
        new_servers = [server for slug, server in servers.items() if slug not in self._servers]
        new_backends = [backend for key, backend in model.backends.items() if key not in self._backends]
        self._backends |= model.backends
        self._servers |= servers
        self._write_endpoints(self._backends.values())
        self._write_routes(new_servers, new_backends)
        await self._write_both()
        await self._await_versions(self._write_routes(servers.values(), model.backends.values()))
        for backend in new_backends:  # its health checks begin when it is programmed
            self._warm[backend.key] = time.monotonic() + self._random.uniform(*self._directory.settings.warm)
        gone = [key for key in self._backends if key not in model.backends]
        self._backends = dict(model.backends)
        self._servers = servers
        await self._write_both()
        for key in gone:
            del self._paths[key], self._warm[key]
        if self._directory.settings.streams == "cut" and self._session:
            await self._session.post(f"{self.admin}/quitquitquit")

    async def _write_both(self) -> None:
        clusters = [cluster for backend in self._backends.values() for cluster in envoy.clusters(backend, self._folder)]
        log = envoy.access_log(self.number, self.access_log)
        listeners = [envoy.front_listener(server, self._folder, log) for server in self._servers.values()]
        listeners += [envoy.back_listener(backend, self._paths[key], self._folder) for key, backend in self._backends.items() if not backend.callout]
        await self._await_versions(self._write("cds.json", "cluster_manager.cds", envoyfiles.CLUSTER, clusters))
        await self._await_versions(self._write("lds.json", "listener_manager.lds", envoyfiles.LISTENER, listeners))

    def _write_routes(self, servers: Iterable[Server], backends: Iterable[Backend]) -> dict[str, str]:
        expected: dict[str, str] = {}
        documents = [envoy.front_routes(server) for server in servers] + [envoy.back_routes(backend) for backend in backends if not backend.callout]
        for document in documents:
            name = document["name"]
            expected |= self._write(f"{name}.json", f"http.{name}.rds.{name}", envoyfiles.ROUTES, [document])
        return expected

    def _write_endpoints(self, backends: Iterable[Backend]) -> None:
        """Endpoint files as of now; a backend that is warming up or has no healthy endpoint is closed at level 1."""
        now = time.monotonic()
        self._warm = {key: 0.0 if end <= now else end for key, end in self._warm.items()}
        for backend in backends:
            endpoints, healthy = self._directory.endpoints(backend.key), self._directory.healthy(backend.key)
            is_open = bool(healthy) and not self._warm[backend.key]
            found = envoy.assignments(backend, self._paths[backend.key] if is_open else None, healthy, endpoints.pickers)
            for role, document in found.items():
                self._write(envoy.endpoint_file(self._folder, backend, role).name, "", envoy.ENDPOINTS, [document])

    def _write(self, name: str, statistic: str, kind: str, resources: list[JSON]) -> dict[str, str]:
        """Replace a discovery file if its contents changed; returns {statistic: version} to wait for, {} when nothing changed."""
        path = self._folder / name
        body = json.dumps([{"@type": kind, **resource} for resource in resources])
        if self._written.get(path) == body:
            return {}
        self._written[path] = body
        self._counter += 1
        version = f"v{self._counter}"
        write_atomically(path, f'{{"version_info": "{version}", "resources": {body}}}\n')
        return {f"{statistic}.version_text": version}

    async def _await_versions(self, expected: dict[str, str]) -> None:
        """Wait until the Envoy runs these versions; EnvoyRejected when it refuses or does not answer in time."""
        if not expected:
            return
        deadline = time.monotonic() + STEP_SECONDS
        while True:
            try:
                found = await self._statistics()
            except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
                found, failure = {}, f"{type(error).__name__} {error}"
            else:
                failure = ", ".join(f"{name} is {found.get(name)}, not {version}" for name, version in expected.items() if found.get(name) != version)
                warming = found.get("cluster_manager.warming_clusters", 0) + found.get("listener_manager.total_listeners_warming", 0)
                if not failure and not warming:
                    return
                failure = failure or "something is still warming"
                rejected = {name: value for name, value in found.items() if name.endswith("update_rejected")}
                before, self._rejected = self._rejected, rejected
                if any(value > before.get(name, 0) for name, value in rejected.items()):
                    raise EnvoyRejected(f"{self.name} rejected a configuration ({failure}); the reason is in {self.name}.log")
            if time.monotonic() > deadline:
                raise EnvoyRejected(f"{self.name} did not take a configuration within {STEP_SECONDS:.0f} s: {failure}; see {self.name}.log")
            await asyncio.sleep(0.02)

    async def _statistics(self) -> dict[str, Any]:
        assert self._session is not None
        wanted = r"(version_text|update_rejected|warming_clusters|total_listeners_warming)$"
        async with self._session.get(f"{self.admin}/stats?format=json&filter={quote(wanted)}") as answer:
            return {entry["name"]: entry["value"] for entry in (await answer.json(content_type=None))["stats"] if "name" in entry}
