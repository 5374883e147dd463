# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of one container: image, volumes, process, health, crash, restart, end."""
from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igw_sandbox import images, pki, podfiles, tools
from igw_sandbox.context import SandboxError
from igw_sandbox.images import Launch, PullError
from igw_sandbox.network import Endpoint
from igw_sandbox.podfiles import MissingObject
from igw_sandbox.podstatus import ContainerState, explain, now
from igw_sandbox.probes import accepts, passes

if TYPE_CHECKING:
    from igw_sandbox.pods import PodLife

JSON = Mapping[str, Any]

BACK_OFF: Mapping[str, tuple[float, ...]] = {"fast": (1, 2, 4), "gke": (10, 20, 40, 80, 160, 300)}
"""Seconds between the end of a process and its restart, by profile."""
FORGIVEN = {"fast": 60.0, "gke": 600.0}
"""A process that ran this long starts the row again."""
PULL_RETRY = 2.0
MOUNT_RETRY = 1.0
PROBE_SECONDS = 3.0
"""Least time-out of a probe in the fast profile, which asks ten times as often as a cluster on a machine that may be busy."""


class Container:
    """One container of a pod."""

    def __init__(self, pod: PodLife, spec: JSON) -> None:
        self.pod = pod
        self.spec = spec
        self.state = ContainerState(spec["name"], spec["image"])
        self.process: asyncio.subprocess.Process | None = None
        self.launch: Launch | None = None
        self.log = f"pod-{pod.namespace}-{pod.name}-{spec['name']}"
        self._wanted = asyncio.Event()
        """Set while no fault keeps the process down."""
        self._wanted.set()
        self._short_row = 0

    async def run(self) -> None:
        """Keep the container going until cancelled. Cancelling leaves the process: terminate() ends it."""
        tool = await self._pull()
        if tool is None:
            self.state.run(now(), f"sandbox://{self.pod.uid}/{self.spec['name']}")
            self.state.ready = True
            await self.pod.publish()
            return
        policy = self.pod.document["spec"].get("restartPolicy", "Always")
        while True:
            self.apply_kill()
            await self._wanted.wait()
            code, seconds = await self._once(tool)
            if policy == "Never" or (policy == "OnFailure" and code == 0):
                await self.pod.publish()
                return
            await self._back_off(seconds)

    async def _pull(self) -> str | None:
        """The tool that runs this image; tried again and again while it can't be had, as a kubelet does."""
        while True:
            try:
                tool = images.tool_of(self.spec["image"], tools.EXTENSIONS)
                if tool is not None and tool not in self.pod.context.tools:
                    self.pod.context.log(f"pod {self.pod.name} needs {tool}")
                    self.pod.context.tools.update(await asyncio.to_thread(tools.ensure, tool, progress=self.pod.context.log))
                return tool
            except (PullError, SandboxError) as error:
                for reason, message in (("ErrImagePull", f"{error}"), ("ImagePullBackOff", f'Back-off pulling image "{self.spec["image"]}": {error}')):
                    self.state.wait(reason, message)
                    await self.pod.publish()
                    await asyncio.sleep(PULL_RETRY)

    async def _once(self, tool: str) -> tuple[int, float]:
        """One run of the process: (exit code, seconds it ran); the state then shows how it ended."""
        loop = asyncio.get_running_loop()
        argv, environment = await self._prepare(tool)
        self.launch = images.launch(tool, self.spec, argv, self.pod.kubelet.ports.take, self.pod.number)
        begin = self._log_size()
        process = await self.pod.context.spawn(self.log, [self.pod.context.tools[tool], *self.launch.argv], environment, cwd=self.pod.folder)
        self.process, started, clock = process, now(), loop.time()
        self.state.run(started, f"sandbox://{process.pid}")
        self._publish_ports()
        self.apply_stop()
        await self.pod.publish()
        health = asyncio.create_task(self._health(self.launch))
        try:
            code = await _ended(process, health)
        finally:
            health.cancel()
        self.withdraw()
        self.state.end(code, explain(self._log_since(begin)), started, now())
        self.pod.context.log(f"container {self.spec['name']} of pod {self.pod.namespace}/{self.pod.name} ended with status {code}")
        return code, loop.time() - clock

    async def _prepare(self, tool: str) -> tuple[list[str], dict[str, str]]:
        """Command line and environment with volumes in place; waits for ConfigMaps and Secrets that are not there yet."""
        pod = self.pod
        needs_api = tool != "simulator" and pod.document["spec"].get("automountServiceAccountToken") is not False
        while True:
            try:
                mounted = await podfiles.mount(self.spec, pod.document, pod.folder, pod.lookup)
                declared = await podfiles.environment(self.spec, pod.document, pod.address, pod.lookup)
                own = {"KUBECONFIG": str(await self._kubeconfig())} if needs_api else {}
                break
            except MissingObject as error:
                self.state.wait("CreateContainerConfigError", str(error))
                await pod.publish()
                await asyncio.sleep(MOUNT_RETRY)
        words = [images.expand(word, declared) for word in (*(self.spec.get("command") or ()), *(self.spec.get("args") or ()))]
        environment = {"PATH": os.defpath, "HOME": str(pod.folder), "HOSTNAME": pod.name, **own,
                       **{name: podfiles.relocate(value, mounted) for name, value in declared.items()}}
        return [podfiles.relocate(word, mounted) for word in words], environment

    async def _kubeconfig(self) -> Path:
        """A kubeconfig with a token of the pod's own ServiceAccount: its RBAC is what decides."""
        pod, context = self.pod, self.pod.context
        authority = (context.directory / "pki" / "ca.crt").read_bytes()
        return pki.write_kubeconfig(pod.folder / "kubeconfig", context.state["direct_server"], authority, await pod.token(), "in-cluster")

    async def _health(self, launch: Launch) -> None:
        """Probe for as long as the process runs and publish every change of readiness.

        A picker or router says that it is healthy seconds before it serves, while it makes its certificate; a cluster's initial delay hides that. The
        fast profile has no such delay, so there the port has to be open once.
        """
        fast, probe = self.pod.context.profile == "fast", launch.probe
        if fast:
            probe = replace(probe, timeout=max(probe.timeout, PROBE_SECONDS))
        closed = launch.picker_port if fast else None
        await asyncio.sleep(0.2 if fast else probe.delay)
        good = bad = 0
        while True:
            passed = await passes(probe, self.pod.address)
            if passed and closed:
                # Both: the pod network accepts before the process does, and takes a moment to listen.
                passed = await accepts("127.0.0.1", launch.ports[closed]) and await accepts(self.pod.address, closed)
                closed = None if passed else closed
            good, bad = (good + 1, 0) if passed else (0, bad + 1)
            if self.state.ready != passed and (good >= probe.successes or bad >= probe.failures):
                self.state.ready = passed
                await self.pod.publish()
            await asyncio.sleep(min(probe.period, 1.0 if self.state.ready else 0.3) if fast else probe.period)

    async def _back_off(self, seconds: float) -> None:
        """Show the crash loop, wait, and count the restart."""
        profile = self.pod.context.profile
        row = BACK_OFF[profile]
        self._short_row = 0 if seconds > FORGIVEN[profile] else self._short_row
        delay = row[min(self._short_row, len(row) - 1)]
        self._short_row += 1
        self.state.last = self.state.state
        self.state.wait("CrashLoopBackOff", f"back-off {delay:g}s restarting failed container={self.spec['name']} pod={self.pod.name}")
        await self.pod.publish()
        await asyncio.sleep(delay)
        self.state.restarts += 1

    # The pod network and faults

    def _publish_ports(self) -> None:
        assert self.launch is not None
        percent = self.pod.kubelet.faults.percent("epp_reset", self.pod.document)
        self.pod.kubelet.network.publish(
            Endpoint(self.pod.address, port, local, self.launch.picker_tls, percent if port == self.launch.picker_port else 0.0)
            for port, local in self.launch.ports.items())

    def endpoint_names(self) -> list[str]:
        return [f"{self.pod.address}:{port}" for port in (self.launch.ports if self.launch else ())]

    def withdraw(self) -> None:
        """Take the ports of a process that ended out of the pod network."""
        self.pod.kubelet.network.withdraw(self.endpoint_names())
        self.pod.kubelet.ports.give_back(self.launch.ports.values() if self.launch else ())
        self.process = self.launch = None

    def picker_endpoint(self) -> str | None:
        """Name of the ext_proc endpoint, None when this is no running picker or router."""
        return f"{self.pod.address}:{self.launch.picker_port}" if self.launch and self.launch.picker_port else None

    def apply_reset(self) -> None:
        name = self.picker_endpoint()
        if name:
            self.pod.kubelet.network.set_reset(name, self.pod.kubelet.faults.percent("epp_reset", self.pod.document))

    def apply_stop(self) -> bool:
        """Stop or continue the process as the armed faults say; whether it is stopped now."""
        stopped = self.pod.kubelet.faults.percent("pod_stop", self.pod.document) > 0
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGSTOP if stopped else signal.SIGCONT)
        return stopped

    def apply_kill(self) -> bool:
        """Kill the process and keep it down, or let it start again, as the armed faults say; whether a process was killed."""
        if not self.pod.kubelet.faults.percent("pod_kill", self.pod.document):
            self._wanted.set()
            return False
        self._wanted.clear()
        if self.process is None or self.process.returncode is not None:
            return False
        self.process.kill()
        return True

    async def terminate(self, grace: float, gone: asyncio.Event) -> None:
        """End the process as a kubelet does: preStop sleep, SIGTERM, and SIGKILL after ``grace`` seconds or when the pod object is gone."""
        process = self.process
        if process is None:
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        pause = ((self.spec.get("lifecycle") or {}).get("preStop") or {}).get("sleep") or {}
        await _first(gone.wait(), process.wait(), timeout=min(float(pause.get("seconds", 0)), grace))
        if process.returncode is None:
            process.terminate()
            process.send_signal(signal.SIGCONT)  # a stopped process would never see it
        await _first(gone.wait(), process.wait(), timeout=max(0.0, deadline - loop.time()))
        if process.returncode is None:
            process.kill()
            await process.wait()
        self.withdraw()

    # The log

    def _log_size(self) -> int:
        path = self.pod.context.logs / f"{self.log}.log"
        return path.stat().st_size if path.exists() else 0

    def _log_since(self, begin: int) -> str:
        """The last 64 KiB of what the process wrote since ``begin``."""
        with open(self.pod.context.logs / f"{self.log}.log", "rb") as stream:
            end = stream.seek(0, os.SEEK_END)
            stream.seek(max(begin, end - 65536))
            return stream.read().decode(errors="replace")


async def _ended(process: asyncio.subprocess.Process, health: asyncio.Task[None]) -> int:
    """Exit code of ``process``; raises when its health task fails, which it never should."""
    ended = asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait([ended, health], return_when=asyncio.FIRST_COMPLETED)
        if health.done():
            health.result()
        return await ended
    finally:
        ended.cancel()


async def _first(*work: Any, timeout: float) -> None:
    """Return when the first of several waits is over, or after ``timeout`` seconds."""
    tasks = [asyncio.ensure_future(item) for item in work]
    try:
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
