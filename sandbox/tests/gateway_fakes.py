# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hand-made clusters and pods for tests of the gateway alone: manifests in, a real Envoy behind it, no API server."""
from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from igw_sandbox.context import die_with_parent
from igw_sandbox.gateway.fleet import Fleet
from igw_sandbox.gateway.model import Model
from igw_sandbox.gateway.settings import ALPHA_GROUP, CLASSES, GATEWAY_GROUP, POLICY_GROUP, V1_GROUP, Settings

Manifest = dict[str, Any]
PORT = 18080
SUBNET = "127.251"
"""Outside what sandboxes take (17 to 249)."""
QUICK = {"take": (0.05, 0.1), "warm": (0.2, 0.3), "check_seconds": 0.1}


def meta(name: str, namespace: str = "default", created: str = "2026-01-01T00:00:00Z", generation: int = 1, **more: Any) -> Manifest:
    return {"name": name, "namespace": namespace, "creationTimestamp": created, "generation": generation, "uid": f"{namespace}-{name}", **more}


def gateway(name: str = "gw", port: int = PORT, **spec: Any) -> Manifest:
    return {"metadata": meta(name), "spec": {"gatewayClassName": CLASSES[0], "listeners": [{"name": "http", "port": port, "protocol": "HTTP"}], **spec}}


def reference(name: str, group: str = "", weight: int | None = None, **more: Any) -> Manifest:
    """A backendRef: to a Service (port 80) where no group is given, else to a pool."""
    found: Manifest = {"name": name, "group": group, "kind": "InferencePool" if group else "Service", **more}
    if not group:
        found.setdefault("port", 80)
    if weight is not None:
        found["weight"] = weight
    return found


def route(name: str = "route", rules: list[Manifest] | None = None, parents: list[Manifest] | None = None, hostnames: list[str] | None = None,
          **more: Any) -> Manifest:
    spec: Manifest = {"parentRefs": parents or [{"name": "gw"}], "rules": rules or []}
    if hostnames:
        spec["hostnames"] = hostnames
    return {"metadata": meta(name, **more), "spec": spec}


def service(name: str, app: str, port: int = 80, target: int | str = 8000, **more: Any) -> Manifest:
    return {"metadata": meta(name, **more), "spec": {"selector": {"app": app}, "ports": [{"port": port, "targetPort": target}]}}


def pod(name: str, address: str, app: str, ready: bool = True, **more: Any) -> Manifest:
    status = {"podIP": address, "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
    return {"metadata": meta(name, labels={"app": app}, **more), "spec": {"containers": []}, "status": status}


def alpha_pool(name: str, app: str, picker: str, port: int = 8000, **extension: Any) -> Manifest:
    return {"apiVersion": f"{ALPHA_GROUP}/v1alpha2", "kind": "InferencePool", "metadata": meta(name),
            "spec": {"selector": {"app": app}, "targetPortNumber": port, "extensionRef": {"name": picker, **extension}}}


def v1_pool(name: str, app: str, picker: str, port: int = 8000, number: int = 9002, **extension: Any) -> Manifest:
    return {"apiVersion": f"{V1_GROUP}/v1", "kind": "InferencePool", "metadata": meta(name),
            "spec": {"selector": {"matchLabels": {"app": app}}, "targetPorts": [{"number": port}],
                     "endpointPickerRef": {"name": picker, "port": {"number": number}, **extension}}}


def policy(kind: str, name: str, target: Manifest, default: Manifest, **more: Any) -> Manifest:
    return {"apiVersion": f"{POLICY_GROUP}/v1", "kind": kind, "metadata": meta(name, **more), "spec": {"targetRef": target, "default": default}}


def health_policy(name: str, group: str, kind: str, target: str, path: str = "/health", **more: Any) -> Manifest:
    config = {"type": "HTTP", "httpHealthCheck": {"requestPath": path}}
    return policy("HealthCheckPolicy", name, {"group": group, "kind": kind, "name": target}, {"config": config}, **more)


def extension(name: str, service_name: str, kind: str = "GCPRoutingExtension", port: int = 9004, target: str = "gw", more: Manifest | None = None,
              chains: list[Manifest] | None = None, **fields: Any) -> Manifest:
    """A GCPRoutingExtension (or traffic extension) on a Gateway; ``more`` are fields of its one extension, ``chains`` stand in the place of its one chain."""
    called = {"name": "ext1", "timeout": "1s", "backendRef": {"kind": "Service", "name": service_name, "port": port}, **(more or {})}
    return {"apiVersion": f"{POLICY_GROUP}/v1", "kind": kind, "metadata": meta(name, **fields),
            "spec": {"targetRefs": [{"group": GATEWAY_GROUP, "kind": "Gateway", "name": target}],
                     "extensionChains": chains or [{"name": "chain1", "extensions": [called]}]}}


def grant(namespace: str, source: str, group: str, kind: str) -> Manifest:
    allowed = {"from": [{"group": GATEWAY_GROUP, "kind": "HTTPRoute", "namespace": source}], "to": [{"group": group, "kind": kind}]}
    return {"metadata": meta("grant", namespace), "spec": allowed}


def settings(**more: Any) -> Settings:
    return Settings.of("fast", more.pop("gateway", "both"), more.pop("seed", 1), {**QUICK, **more})


@dataclass
class FakePod:
    health: int = 200
    """Status of /health."""


@asynccontextmanager
async def fake_pod(address: str, port: int = 8000) -> AsyncIterator[FakePod]:
    """A model server of sorts: /health 200, / 404, /stream sends an event every 0.1 s for 8 s, everything else tells what it got."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/health":
            return web.Response(status=fake.health)
        if request.path == "/":
            return web.json_response({"path": "/"}, status=404)
        if request.path == "/slow":
            await asyncio.sleep(3)
        if request.path == "/stream":
            stream = web.StreamResponse()
            await stream.prepare(request)
            with suppress(ConnectionError):  # a stream that is cut ends here
                for number in range(80):
                    await stream.write(f"data: {number}\n\n".encode())
                    await asyncio.sleep(0.1)
                await stream.write(b"data: [DONE]\n\n")
            return stream
        return web.json_response({"pod": address, "path": request.path_qs, "host": request.host, "headers": dict(request.headers)})

    fake = FakePod()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, address, port).start()
    try:
        yield fake
    finally:
        await runner.cleanup()


class Bench:
    """A gateway without a cluster: ``apply`` a snapshot, send requests, read what was announced."""

    def __init__(self, fleet: Fleet, announced: list[Model], folder: Path, session: aiohttp.ClientSession,
                 processes: list[asyncio.subprocess.Process]) -> None:
        self.fleet = fleet
        self.announced = announced
        self.folder = folder
        self.session = session
        self.processes = processes

    def apply(self, **snapshot: list[Manifest]) -> None:
        self.fleet.observe(dict(snapshot), set(CLASSES))

    async def settle(self, seconds: float = 15.0) -> Model:
        """Wait until all instances have taken the last change; its Model."""
        version = self.fleet._version

        def done() -> bool:
            return all(instance.version >= version for instance in self.fleet.instances)

        await until(done, seconds, "the instances did not take the change")
        return self.announced[-1]

    async def get(self, path: str, host: str = "llm.example.com", method: str = "GET", port: int = PORT, address: str = f"{SUBNET}.0.10",
                  **headers: str) -> tuple[int, Any, Any]:
        """(status, headers, JSON or text) of one request over a fresh connection."""
        url = f"http://{address}:{port}{path}"
        async with self.session.request(method, url, headers={"Host": host, **headers}, allow_redirects=False) as answer:
            text = await answer.text()
            return answer.status, answer.headers, json.loads(text) if text.startswith("{") else text

    async def status(self, path: str, **more: Any) -> int:
        return (await self.get(path, **more))[0]

    async def until_status(self, wanted: int, path: str, seconds: float = 10.0, **more: Any) -> None:
        """Wait until thirty answers in a row have this status: that one instance alone gave them is one in 10^9."""
        deadline = asyncio.get_running_loop().time() + seconds
        row = 0
        while row < 30:
            status = await self.status(path, **more)
            row = row + 1 if status == wanted else 0
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"{path} answers {status}, not {wanted}, after {seconds} s; see {self.folder}")
            if not row:
                await asyncio.sleep(0.05)

    def access(self) -> list[Manifest]:
        return [json.loads(line) for path in sorted(self.folder.glob("access-*.jsonl")) for line in path.read_text().splitlines()]

    def converged(self) -> list[Manifest]:
        return [json.loads(line) for line in (self.folder / "converged.jsonl").read_text().splitlines()]


async def until(condition: Callable[[], bool], seconds: float, complaint: str) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"{complaint} within {seconds} s")
        await asyncio.sleep(0.02)


def envoy_program() -> Path:
    """The Envoy of the Python environment that runs the tests."""
    beside = Path(sys.executable).with_name("envoy")
    found = str(beside) if beside.exists() else shutil.which("envoy")
    assert found, "envoy is missing: pip install -r sandbox/requirements.txt"
    return Path(found)


@asynccontextmanager
async def bench(**options: Any) -> AsyncIterator[Bench]:
    """A running gateway with two Envoys; everything it started ends with the block."""
    with tempfile.TemporaryDirectory(prefix="igw-") as name:
        folder = Path(name)
        announced: list[Model] = []
        processes: list[asyncio.subprocess.Process] = []

        async def spawn(program: str, argv: list[Any]) -> asyncio.subprocess.Process:
            with open(folder / f"{program}.log", "ab") as output:
                process = await asyncio.create_subprocess_exec(*map(str, argv), stdout=output, stderr=output, preexec_fn=die_with_parent(os.getpid()))
            processes.append(process)
            return process

        def log(message: str) -> None:
            with open(folder / "gateway.log", "a", encoding="utf-8") as lines:
                print(message, file=lines)

        fleet = Fleet(settings(**options), folder / "gateway", folder / "s", SUBNET, announced.append, log)
        running = asyncio.create_task(fleet.run(spawn, envoy_program()))
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        try:
            async with aiohttp.ClientSession(connector=connector, trust_env=False) as session:
                yield Bench(fleet, announced, folder / "gateway", session, processes)
        except BaseException:
            print(*(f"{path.name}: {path.read_text(errors='replace')[-3000:]}" for path in folder.glob("*.log")), sep="\n")
            raise
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            for process in processes:
                if process.returncode is None:
                    process.kill()
                await process.wait()
