# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every service of one sandbox shares: its options, its folders, its API client and its child processes.

A service is a coroutine function ``async def run(context: Context) -> None`` that works until it is cancelled. It

* starts programs with :meth:`Context.spawn` (they die with the supervisor, also when it is killed),
* tells others that it is usable with :meth:`Context.mark_ready` and waits for others with :meth:`Context.until`,
* publishes facts for the outside with :meth:`Context.publish` (they land in ``state.json``),
* answers commands from outside by an entry in :attr:`Context.handlers`.
"""
from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Handler = Callable[..., Awaitable[Any]]

PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class SandboxError(Exception):
    """Something a person has to know: one sentence that names the object and the remedy."""


def die_with_parent(parent: int) -> Callable[[], None]:
    """Return what a child runs before exec so that the kernel kills it when process ``parent`` ends, however that happens."""

    def prepare() -> None:
        if _LIBC is not None:
            _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before prctl took effect
            os._exit(1)

    return prepare


def start_time(pid: int) -> int | None:
    """Start of process ``pid`` in clock ticks since boot, None when there is no such process (a zombie counts as none)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def process_tree(root: int) -> list[int]:
    """Process ``root`` and all below it, whatever sessions they made for themselves."""
    found = [root]
    for pid in found:
        for listed in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, listed.read_text().split())
    return found


def write_atomically(path: Path, text: str) -> None:
    """Replace ``path`` in one step, so that a reader sees the old or the new text and never half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    os.replace(temporary, path)


def free_port(address: str, preferred: int = 0) -> int:
    """A TCP port that can be bound on ``address`` now: ``preferred`` when it is free, else one the kernel chooses."""
    for port in dict.fromkeys((preferred, 0)):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise SandboxError(f"Address {address} can't be bound on this machine; the sandbox needs the whole of 127.0.0.0/8 on the loopback interface.")


@dataclass
class Context:
    """One running sandbox, seen from inside its supervisor."""

    name: str
    directory: Path
    """State of the sandbox: kubeconfigs, logs/, gateway/, state.json."""
    runtime: Path
    """A short path for unix sockets (they are limited to 107 bytes)."""
    subnet: str
    """First two parts of the sandbox's own loopback network, e.g. ``127.17``."""
    profile: str = "fast"
    gateway: str = "both"
    seed: int = 0
    release: str = "v0.3.0"
    gke_version: str = ""
    tools: dict[str, Path] = field(default_factory=dict)
    client: Any = None
    """lightkube.AsyncClient (admin, straight to the API server); set by the control plane."""
    admin_token: str = field(default="", repr=False)
    """Bearer token of the administrator; lives in the kubeconfigs only."""
    clients: dict[str, str] = field(default_factory=dict, repr=False)
    """Further administrators: user to bearer token."""
    state: dict[str, Any] = field(default_factory=dict)
    handlers: dict[str, Handler] = field(default_factory=dict)
    """Commands from outside: name -> coroutine function taking keyword arguments, returning JSON."""
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    _ready: dict[str, asyncio.Event] = field(default_factory=dict)

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    def log(self, message: str) -> None:
        """A line for logs/supervisor.log."""
        print(message, flush=True)

    def progress(self, message: str) -> None:
        """A line for the person who waits for ``sandbox up``."""
        self.event("progress", message)

    def event(self, kind: str, message: str) -> None:
        with open(self.directory / "progress.jsonl", "a", encoding="utf-8") as stream:
            stream.write(json.dumps({"event": kind, "message": message}) + "\n")

    def publish(self, **facts: Any) -> None:
        """Merge facts into state.json."""
        self.state.update(facts)
        write_atomically(self.directory / "state.json", json.dumps(self.state, indent=1, sort_keys=True) + "\n")

    def mark_ready(self, service: str) -> None:
        self._ready.setdefault(service, asyncio.Event()).set()

    def forget_ready(self, services: Iterable[str]) -> None:
        """Take back what :meth:`mark_ready` said of services that start anew."""
        for service in services:
            self._ready.pop(service, None)

    async def until(self, service: str, timeout: float = 120.0) -> None:
        """Wait until ``service`` has called mark_ready; SandboxError after ``timeout`` seconds."""
        try:
            await asyncio.wait_for(self._ready.setdefault(service, asyncio.Event()).wait(), timeout)
        except asyncio.TimeoutError:
            raise SandboxError(f"Service {service} of sandbox {self.name} was not ready after {timeout:.0f} s; see {self.logs}.") from None

    async def spawn(self, name: str, argv: Sequence[str | Path], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> asyncio.subprocess.Process:
        """Start a program whose output goes to logs/NAME.log; it dies with the supervisor.

        ``env`` is the program's whole environment when given (add ``os.environ`` yourself if it is wanted), else the supervisor's.
        A finished process leaves the list by itself. Call it in the supervisor's main thread: the kernel ties a child's life to the thread that forked it.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        with open(self.logs / f"{name}.log", "ab") as output:
            process = await asyncio.create_subprocess_exec(
                *map(str, argv), stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, env=None if env is None else dict(env), cwd=cwd,
                preexec_fn=die_with_parent(os.getpid()), start_new_session=True)
        self.processes[name] = process
        self._write_pids()
        asyncio.get_running_loop().create_task(self._forget_when_done(name, process))
        return process

    async def stop(self, process: asyncio.subprocess.Process, grace: float = 5.0) -> None:
        """SIGTERM, then SIGKILL after ``grace`` seconds; returns when the process is gone."""
        if process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), grace)
        except asyncio.TimeoutError:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def _forget_when_done(self, name: str, process: asyncio.subprocess.Process) -> None:
        await process.wait()
        if self.processes.get(name) is process:
            del self.processes[name]
            self._write_pids()

    def _write_pids(self) -> None:
        listed = [{"name": name, "pid": process.pid, "start": start_time(process.pid)} for name, process in self.processes.items()]
        listed.append({"name": "supervisor", "pid": os.getpid(), "start": start_time(os.getpid())})
        write_atomically(self.directory / "pids.json", json.dumps(listed, indent=1) + "\n")

    def tail(self, name: str, lines: int = 5) -> str:
        """The last lines of logs/NAME.log, for error sentences."""
        path = self.logs / f"{name}.log"
        return " | ".join(path.read_text(errors="replace").strip().splitlines()[-lines:]) if path.exists() else ""
