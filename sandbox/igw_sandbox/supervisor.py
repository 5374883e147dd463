# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One process per sandbox that runs every service of it. ``python -m igw_sandbox.supervisor DIRECTORY`` reads DIRECTORY/options.json."""
from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from igw_sandbox import assets, etcddata
from igw_sandbox.context import Context, SandboxError

Service = Callable[[Context], Coroutine[Any, Any, None]]

FIRST = ("controlplane", "registry")
"""Started at once."""
AFTER_CONTROL_PLANE = ("apiproxy", "kubelet", "network", "gateway")
"""Started when the API server answers."""
SERVICES = (*FIRST, *AFTER_CONTROL_PLANE)
AWAITED = ("controlplane", "registry", "apiproxy")
"""``up`` returns only after these have called Context.mark_ready."""


def load_service(name: str) -> Service | None:
    """The ``run`` of igw_sandbox.NAME, None when this sandbox has no such service."""
    qualified = f"igw_sandbox.{name}"
    found = importlib.util.find_spec(qualified)
    if found is None or found.origin is None:  # a folder without __init__.py is no service yet
        return None
    return importlib.import_module(qualified).run


def claim_subnet(number: int) -> socket.socket | None:
    """Claim 127.NUMBER.0.0/16 for this process, None when another sandbox has it.

    The claim is an abstract unix socket: seen by all users of this loopback interface, and freed by the kernel when its holder dies, however it dies.
    """
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        claim.bind(f"\0igw-sandbox-127.{number}")
    except OSError:
        claim.close()
        return None
    return claim


def claim_any_subnet() -> tuple[str, socket.socket]:
    """The first free network from 127.17 on and its claim."""
    for number in range(17, 250):
        claim = claim_subnet(number)
        if claim is not None:
            return f"127.{number}", claim
    raise SandboxError("All sandbox networks 127.17 to 127.249 are taken; end sandboxes that are not needed with 'sandbox down --name NAME'.")


class Supervisor:
    """Starts the services, answers commands on a unix socket, ends everything together."""

    def __init__(self, context: Context, chosen: tuple[str, ...] = SERVICES) -> None:
        self.context = context
        self.chosen = chosen
        self.stopping = asyncio.Event()
        self.services: dict[str, asyncio.Task[None]] = {}
        context.handlers["stop"] = self._stop
        context.handlers["commands"] = self._commands
        context.handlers["snapshot"] = self._snapshot
        context.handlers["restore"] = self._restore
        self._restoring: tuple[Path, asyncio.Future[None]] | None = None
        self._asked = asyncio.Event()

    async def _commands(self) -> list[str]:
        """Names of all commands that services have registered."""
        return sorted(self.context.handlers)

    async def _stop(self) -> str:
        self.stopping.set()
        return "stopping"

    async def _snapshot(self, folder: str) -> str:
        """Copy what the cluster holds now into ``folder``, which must not be there yet."""
        await etcddata.save(self.context, Path(folder))
        return folder

    async def _restore(self, folder: str) -> str:
        """Put a snapshot in place; returns when the services run on it."""
        if self._restoring is not None:
            raise SandboxError(f"Sandbox {self.context.name} is putting another snapshot in place; wait for it.")
        etcddata.check(Path(folder))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._restoring = (Path(folder), done)
        self._asked.set()
        await done
        return folder

    def start(self, name: str) -> None:
        run = load_service(name) if name in self.chosen else None
        if run is not None:
            self.services[name] = asyncio.create_task(run(self.context), name=name)

    async def main(self) -> int:
        """Run until told to stop or until a service fails; returns the exit status."""
        context = self.context
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        control = await self._serve_control()
        failure: BaseException | None = None
        try:
            await self._begin(FIRST)
            if not self.stopping.is_set():
                context.publish(phase="running", services=sorted(self.services))
                context.event("ready", "services are running")
            while not self.stopping.is_set():
                await self._unless_failed(self._asked.wait())
                if self._restoring is not None and not self.stopping.is_set():
                    await self._put(*self._restoring)
        except Exception as error:  # reported to the person who waits, and in state.json
            failure = error
            if not isinstance(error, SandboxError):
                traceback.print_exception(error)
            message = str(error) if isinstance(error, SandboxError) else f"{type(error).__name__}: {error} (traceback in {context.logs / 'supervisor.log'})"
            context.publish(phase="failed", failure=message)
            context.event("failed", message)
            context.log(message)
        await self._end(control)
        if failure is None:
            context.publish(phase="stopped")
        return 1 if failure else 0

    async def _begin(self, first: Sequence[str]) -> None:
        """Start the services in their order and wait for those that have to be ready."""
        for name in first:
            self.start(name)
        await self._unless_failed(self.context.until("controlplane"))
        for name in AFTER_CONTROL_PLANE:
            self.start(name)
        for name in AWAITED:
            if name in self.services:
                await self._unless_failed(self.context.until(name))

    async def _put(self, folder: Path, done: asyncio.Future[None]) -> None:
        """End all services but the registry, replace etcd's data, and start them anew."""
        try:
            ending = [name for name in self.services if name != "registry"]
            tasks = [self.services.pop(name) for name in ending]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=5)
            await self._kill({name: process for name, process in self.context.processes.items() if name != "registry"})
            self.context.forget_ready(ending)
            etcddata.put(self.context, folder)
            await self._begin(("controlplane",))
        except Exception as error:
            done.set_exception(SandboxError(f"The snapshot {folder} could not be put in place: {error}"))
            raise
        done.set_result(None)
        self._restoring = None
        self._asked.clear()

    async def _kill(self, processes: dict[str, asyncio.subprocess.Process]) -> None:
        """Kill programs: nothing of a sandbox outlives it, so nothing has to be saved."""
        for process in processes.values():
            if process.returncode is None:
                process.kill()
        await asyncio.gather(*(process.wait() for process in processes.values()))

    async def _unless_failed(self, work: Awaitable[Any]) -> None:
        """Wait for ``work``; raise what a service raised, or that one ended by itself; return early when told to stop."""
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait([task, stop, *self.services.values()], return_when=asyncio.FIRST_COMPLETED)
            for name, service in self.services.items():
                if service.done():
                    service.result()
                    raise SandboxError(f"Service {name} of sandbox {self.context.name} ended by itself; see {self.context.logs / 'supervisor.log'}.")
            if task.done():
                task.result()
        finally:
            task.cancel()
            stop.cancel()

    async def _serve_control(self) -> web.AppRunner:
        """Commands from outside: POST /NAME with JSON keyword arguments on RUNTIME/control.sock."""

        async def call(request: web.Request) -> web.Response:
            handler = self.context.handlers.get(request.match_info["name"])
            if handler is None:
                known = ", ".join(sorted(self.context.handlers))
                return web.json_response({"error": f"Sandbox {self.context.name} has no command {request.match_info['name']}; known: {known}."}, status=404)
            try:
                return web.json_response({"result": await handler(**await request.json())})
            except (SandboxError, TypeError, ValueError, KeyError) as error:
                return web.json_response({"error": str(error)}, status=400)

        application = web.Application()
        application.router.add_post("/{name}", call)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        path = self.context.runtime / "control.sock"
        path.unlink(missing_ok=True)
        await web.UnixSite(runner, str(path)).start()
        self.context.publish(control=str(path))
        return runner

    async def _end(self, control: web.AppRunner) -> None:
        """Services first, so that they can end their own things in order; whatever is left then is killed."""
        tasks = list(self.services.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=5)
        await self._kill(dict(self.context.processes))
        await control.cleanup()


def build_context(directory: Path, subnet: str) -> Context:
    """The context that DIRECTORY/options.json describes."""
    options = json.loads((directory / "options.json").read_text())
    context = Context(
        name=options["name"], directory=directory, runtime=Path(options["runtime"]), subnet=subnet, profile=options["profile"], gateway=options["gateway"],
        seed=options["seed"], release=options["release"], gke_version=options["gke_version"],
        tools={name: Path(path) for name, path in options["tools"].items()})
    for folder in (context.runtime, context.logs, directory / "gateway"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    context.publish(name=context.name, phase="starting", subnet=subnet, directory=str(directory), runtime=str(context.runtime), pid=os.getpid(),
                    options={key: value for key, value in options.items() if key != "tools"}, tools=options["tools"], started=time.time())
    shutil.copytree(assets.folder() / "crds", directory / "crds", dirs_exist_ok=True)
    shutil.copytree(assets.OWN_CRDS, directory / "crds" / "sandbox", dirs_exist_ok=True)
    context.publish(crds=str(directory / "crds"))
    return context


def main(directory: Path) -> int:
    subnet, claim = claim_any_subnet()
    with claim:
        context = build_context(directory, subnet)

        async def supervise() -> int:
            return await Supervisor(context, tuple(context.state["options"]["services"] or SERVICES)).main()

        return asyncio.run(supervise())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
