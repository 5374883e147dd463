# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instances of one gateway together: who has which address, which change is where, and when it has reached all."""
from __future__ import annotations

import asyncio
import dataclasses
import json
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..context import write_atomically
from .health import Health
from .instance import Instance, Spawn
from .model import Backend, Endpoints, Model
from .references import Index
from .settings import Settings
from .snapshot import Snapshot
from .translate import translate

FIRST_ADDRESS = 10
LAST_ADDRESS = 250


class Fleet:
    """Turns snapshots into versions of a Model and brings each to every instance.

    ``announce`` is called with a Model when its status may be written. Files under ``folder``: access-N.jsonl (one line a request),
    converged.jsonl (one line per instance and change taken), gateway.json (where everything is).
    """

    def __init__(self, settings: Settings, folder: Path, sockets: Path, subnet: str, announce: Callable[[Model], None], log: Callable[[str], None]) -> None:
        self.settings = settings
        self.folder = folder
        self._subnet = subnet
        self._announce = announce
        self._log = log
        self._model = Model()
        self._version = 0
        self._announced = 0
        self._addresses: dict[str, str] = {}
        self._endpoints: dict[str, Endpoints] = {}
        self._snapshot: Snapshot = {}
        self._classes: set[str] = set()
        self._models: dict[int, Model] = {}
        self._timers: set[asyncio.Task[None]] = set()
        folder.mkdir(parents=True, exist_ok=True)
        self._health = Health(settings.check_seconds, self._poke, log)
        self.instances = [
            Instance(number, folder / f"envoy-{number}", sockets / str(number), f"{subnet}.0.3", self, self._taken, log)
            for number in range(settings.instances)]

    def endpoints(self, key: str) -> Endpoints:
        return self._endpoints.get(key, Endpoints())

    def healthy(self, key: str) -> tuple[str, ...]:
        return self._health.healthy(key)

    async def run(self, spawn: Spawn, envoy_program: Path) -> None:
        """Run all instances until cancelled."""
        self._publish()
        try:
            async with asyncio.TaskGroup() as group:
                for instance in self.instances:
                    group.create_task(instance.run(spawn, envoy_program))
        finally:
            await self._health.close()

    def change_settings(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """Change habits from now on (see settings.Settings for the names); returns all settings."""
        self.settings = self.settings.changed(overrides)
        if self._snapshot:
            self.observe(self._snapshot, self._classes)
        return dataclasses.asdict(self.settings)

    def observe(self, snapshot: Snapshot, classes: set[str]) -> None:
        """Take in the cluster as it is now: endpoints count at once, everything else is a change that each instance takes in its own time."""
        self._snapshot, self._classes = snapshot, classes
        self._allocate(snapshot, classes)
        model = translate(snapshot, self._addresses, self.settings, classes, self._unusable(snapshot))
        if model != self._model:
            self._version += 1
            self._model = self._models[self._version] = model
            delays = [f"{instance.offer(self._version, model):.2f} s" for instance in self.instances]
            self._log(f"gateway: change {self._version} reaches the instances in {', '.join(delays)}")
            if self.settings.status == "early":
                self._later(self._version)
        self._follow_endpoints()

    def _follow_endpoints(self) -> None:
        """Look up the endpoints of every backend that some instance uses; what is gone from the cluster keeps its last ones until no instance does."""
        index = Index(self._snapshot, self.settings.pool_groups, self.settings.pool_groups_of)
        backends: dict[str, Backend] = dict(self._model.backends)
        for instance in self.instances:
            backends |= instance.backends
        found = {key: index.endpoints(backend) or self._endpoints.get(key, Endpoints()) for key, backend in backends.items()}
        self._endpoints = found
        self._health.update(found)
        self._poke()

    def _poke(self) -> None:
        for instance in self.instances:
            instance.poke()

    def _allocate(self, snapshot: Snapshot, classes: set[str]) -> None:
        """Give every served Gateway an address that it keeps while it exists."""
        wanted = sorted((gateway["metadata"].get("creationTimestamp") or "", f"{gateway['metadata']['namespace']}/{gateway['metadata']['name']}")
                        for gateway in snapshot.get("Gateway", []) if gateway["spec"]["gatewayClassName"] in classes)
        keys = [key for _age, key in wanted]
        before = dict(self._addresses)
        self._addresses = {key: address for key, address in self._addresses.items() if key in keys}
        free = (f"{self._subnet}.0.{number}" for number in range(FIRST_ADDRESS, LAST_ADDRESS))
        for key in keys:
            if key not in self._addresses:
                taken = set(self._addresses.values())
                self._addresses[key] = next(address for address in free if address not in taken)
        if self._addresses != before:
            self._publish()

    def _unusable(self, snapshot: Snapshot) -> dict[tuple[str, int], str]:
        """(Gateway, port) -> why it can't be bound, of every listener that the instances do not have yet."""
        found = {}
        served = {(server.gateway, server.port) for server in self._model.servers}
        for gateway in snapshot.get("Gateway", []):
            key = f"{gateway['metadata']['namespace']}/{gateway['metadata']['name']}"
            for listener in gateway["spec"].get("listeners") or []:
                port = listener["port"]
                if key in self._addresses and (key, port) not in served and not bindable(self._addresses[key], port):
                    found[key, port] = f"port {port} of {self._addresses[key]} is taken by another program on this machine; choose another port"
        return found

    def _taken(self, instance: Instance, version: int, model: Model, problem: str | None) -> None:
        """An instance took a change; the last one to do so makes it known to the status writer."""
        line: dict[str, Any] = {"time": time.time(), "instance": instance.number, "version": version, "routes": model.routes,
                                "backends": sorted(model.backends[key].label for key in model.backends)}
        if problem:
            line["problem"] = problem
        with open(self.folder / "converged.jsonl", "a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, sort_keys=True) + "\n")
        self._follow_endpoints()
        everywhere = min(other.version for other in self.instances)
        if self.settings.status == "converged" and everywhere > self._announced:
            self._announced = everywhere
            self._announce(self._models[everywhere])
        for old in [number for number in self._models if number < everywhere]:
            del self._models[old]

    def _later(self, version: int) -> None:
        """Announce a change soon, whether or not the instances have taken it by then."""
        model = self._models[version]

        async def announce() -> None:
            low, high = self.settings.status_delay
            await asyncio.sleep((low + high) / 2)
            if version > self._announced:
                self._announced = version
                self._announce(model)

        task = asyncio.create_task(announce())
        self._timers.add(task)
        task.add_done_callback(self._timers.discard)

    def _publish(self) -> None:
        document = {
            "seed": self.settings.seed,
            "gateways": self._addresses,
            "converged": str(self.folder / "converged.jsonl"),
            "instances": [{"number": instance.number, "admin": instance.admin, "access_log": str(instance.access_log)} for instance in self.instances],
        }
        write_atomically(self.folder / "gateway.json", json.dumps(document, indent=1, sort_keys=True) + "\n")


def bindable(address: str, port: int) -> bool:
    """Whether an Envoy could listen here, beside other Envoys that share the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except PermissionError:
            return True  # a port that needs privileges: the settings know
        except OSError:
            return False
    return True
