# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox from outside: start, furnish, ask, break and end it. Tests, benchmarks and the command line use this."""
from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from igw_sandbox import assets, estate, preflight, tools
from igw_sandbox.context import SandboxError, start_time

Progress = Callable[[str], None]

DEFAULT_GKE_VERSION = "v1.34.0-gke.1626000"
VERSION = re.compile(r"^v\d+\.\d+\.\d+")
CORE_TOOLS = ("etcd", "kube-apiserver", "kube-controller-manager", "helm", "crane", "envoy", "kubectl")
START_TIMEOUT = 240.0
"""Seconds until a started supervisor must be ready."""
READY_TIMEOUT = 240.0
"""Seconds until an estate must be ready; the gke profile needs up to a minute for a first health check."""


def run_folder(name: str) -> Path:
    """State folder of the sandbox called ``name``."""
    if not name or not all(character.isalnum() or character in "-_." for character in name) or name.startswith("."):
        raise SandboxError(f"'{name}' can't be a sandbox's name: use letters, digits, '-', '_' and '.'.")
    return tools.cache_root() / "run" / name


def runtime_folder(directory: Path) -> Path:
    """A short folder for unix sockets, the same for every command on this sandbox."""
    digest = hashlib.sha256(str(directory).encode()).hexdigest()[:10]
    return Path(tempfile.gettempdir()) / f"igw-{os.getuid()}-{digest}"


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class World:
    """One sandbox that runs (or is being started)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.directory = run_folder(name)

    # Life cycle

    @classmethod
    def up(cls, name: str = "default", estates: Sequence[str | Path] = (), release: str = "v0.3.0",
           gke_version: str = DEFAULT_GKE_VERSION, profile: str = "fast", gateway: str = "both", seed: int | None = None, progress: Progress = print,
           services: Sequence[str] | None = None) -> World:
        """Start a sandbox, apply its estates and wait until they are ready. A sandbox that crashed is cleaned first; one that runs is refused.

        ``estates``: folders or files of manifests. ``seed``: of all random delays; chosen and printed when None. ``services``: only these (see
        supervisor.SERVICES), for an API server without pods and gateways; None: all.
        """
        world = cls(name)
        chosen = [Path(path) for path in estates]
        if release != "none" and release not in assets.RELEASES:
            raise SandboxError(f"--release {release} is unknown; choose none or one of {', '.join(assets.RELEASES)}.")
        if gke_version and not VERSION.match(gke_version):
            raise SandboxError(f"--gke-version {gke_version} is no version; give one like {DEFAULT_GKE_VERSION}.")
        preflight.check_machine()
        needed = _needed_tools(chosen, services)
        preflight.check_resources(needed)
        paths = tools.ensure(*needed, progress=progress)
        assets.ensure(progress)
        with tools.locked(world.directory.with_name(f".{name}.lock"), progress, f"starting sandbox {name}"):
            if world.alive():
                raise SandboxError(f"Sandbox {name} is already running; end it with 'sandbox down --name {name}' or choose another --name.")
            world.clean()
            seed = random.SystemRandom().randrange(10**6) if seed is None else seed
            progress(f"starting sandbox {name} (release {release}, profile {profile}, gateway {gateway}, seed {seed})")
            world._start({"name": name, "runtime": str(runtime_folder(world.directory)), "release": release, "gke_version": gke_version,
                          "profile": profile, "gateway": gateway, "seed": seed,
                          "services": None if services is None else list(services), "tools": {tool: str(path) for tool, path in paths.items()}}, progress)
        try:
            for path in chosen:
                world.add_estate(path, progress)
            world.wait_ready(progress=progress)
        except BaseException:
            world.stop()  # its state and logs stay for a look; the next up or down removes them
            raise
        return world

    @classmethod
    def open(cls, name: str = "default") -> World:
        """A sandbox that runs already."""
        world = cls(name)
        if not world.alive():
            raise SandboxError(f"There is no running sandbox {name}; start it with 'sandbox up --name {name}'.")
        return world

    def _start(self, options: dict[str, Any], progress: Progress) -> None:
        """Start the supervisor in a session of its own and follow its progress until it is ready."""
        (self.directory / "logs").mkdir(parents=True)
        (self.directory / "options.json").write_text(json.dumps(options))
        events = self.directory / "progress.jsonl"
        events.touch()
        package = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join(part for part in (package, os.environ.get("PYTHONPATH")) if part)
        with open(self.directory / "logs" / "supervisor.log", "ab") as log:
            process = subprocess.Popen([sys.executable, "-m", "igw_sandbox.supervisor", str(self.directory)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       start_new_session=True, env={**os.environ, "PYTHONPATH": path})
        try:
            for kind, message in _follow(events, process):
                if kind == "failed":
                    raise SandboxError(message)
                if kind == "ready":
                    return
                progress(message)
        except BaseException:
            process.terminate()
            process.wait(20)
            raise

    def alive(self) -> bool:
        """Whether the supervisor runs."""
        return any(entry["name"] == "supervisor" for entry in self._living()) or self._starting()

    def _starting(self) -> bool:
        with suppress(OSError, ValueError, KeyError):
            state = json.loads((self.directory / "state.json").read_text())
            return state["phase"] in ("starting", "running") and start_time(state["pid"]) is not None and _is_supervisor(state["pid"], self.directory)
        return False

    def _living(self) -> list[dict[str, Any]]:
        """The processes of pids.json that still are what they were (a reused pid has another start time)."""
        try:
            listed = json.loads((self.directory / "pids.json").read_text())
        except (OSError, ValueError):
            return []
        return [entry for entry in listed if entry["start"] is not None and start_time(entry["pid"]) == entry["start"]]

    def down(self) -> None:
        """End the sandbox and remove its state; also after a crash, and harmless when there is none."""
        self.stop()
        self.clean()

    def stop(self) -> None:
        """End every process of the sandbox; its state and logs stay."""
        with suppress(OSError, ValueError, KeyError):
            pid = self.state["pid"]
            if _is_supervisor(pid, self.directory):
                os.kill(pid, signal.SIGTERM)
                deadline = time.monotonic() + 20
                while start_time(pid) is not None and time.monotonic() < deadline:
                    _reap(pid)
                    time.sleep(0.05)
        for entry in self._living():
            with suppress(ProcessLookupError):
                os.kill(entry["pid"], signal.SIGKILL)
            _reap(entry["pid"])

    def clean(self) -> None:
        """Remove what a sandbox left behind, also one that crashed: living processes (by pid and start time), sockets, state."""
        self.stop()
        shutil.rmtree(runtime_folder(self.directory), ignore_errors=True)
        if self.directory.exists():
            shutil.rmtree(self.directory)

    # Facts

    @property
    def state(self) -> dict[str, Any]:
        """What the services have published (state.json)."""
        return json.loads((self.directory / "state.json").read_text())

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig through the API proxy, as a user has it."""
        return Path(self.state["kubeconfig"])

    @property
    def direct_kubeconfig(self) -> Path:
        """Kubeconfig that passes by the API proxy: its requests are neither counted nor disturbed."""
        return Path(self.state["direct_kubeconfig"])

    def client_kubeconfig(self, user: str) -> Path:
        """Kubeconfig through the API proxy of another administrator (``client-1`` to ``client-6``), whom the proxy's log names."""
        return self.directory / "clients" / f"{user}.kubeconfig"

    # Commands

    def run(self, *argv: str | Path, input: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program with the direct kubeconfig; SandboxError with its stderr when it fails and ``check`` is set."""
        environment = {**os.environ, "KUBECONFIG": str(self.direct_kubeconfig), **_helm_home(self.directory)}
        answer = subprocess.run([str(part) for part in argv], input=input, capture_output=True, text=True, check=False, env=environment)
        if check and answer.returncode:
            command = " ".join([Path(argv[0]).name, *map(str, argv[1:])])
            raise SandboxError(f"'{command}' failed in sandbox {self.name}: {answer.stderr.strip() or answer.stdout.strip()}")
        return answer

    def tool(self, name: str) -> Path:
        return Path(self.state["tools"][name])

    def kubectl(self, *args: str, input: str | None = None) -> str:
        """Output of kubectl, as the administrator, not counted by the proxy."""
        return self.run(self.tool("kubectl"), *args, input=input).stdout

    def kubectl_json(self, *args: str) -> Any:
        return json.loads(self.kubectl(*args, "-o", "json"))

    def helm(self, *args: str) -> str:
        return self.run(self.tool("helm"), *args).stdout

    def apply(self, source: str | Path) -> str:
        """kubectl apply of a file, a folder or a YAML text."""
        if isinstance(source, Path) or "\n" not in source:
            return self.kubectl("apply", "-f", str(source))
        return self.kubectl("apply", "-f", "-", input=source)

    def add_release(self, release: str, progress: Progress = lambda _message: None) -> None:
        """Put chart and CRD files of a release into the sandbox: nothing to do for those that every sandbox has, downloaded once for the others."""
        if release in assets.RELEASES:
            return
        made = assets.ensure_release(release, progress)
        for chart in sorted((made / "charts").glob("*.tgz")):
            self.helm("push", str(chart), self.state["charts"], "--plain-http")
        shutil.copytree(made / "crds", self.state["crds"], dirs_exist_ok=True)

    def add_estate(self, path: str | Path, progress: Progress = lambda _message: None) -> None:
        """Apply a folder or file of manifests; a file helm.yaml in it lists releases to install from the sandbox's registry."""
        estate.add(self, Path(path), progress)

    def remove_estate(self, path: str | Path) -> None:
        """Uninstall the releases of an estate and delete its objects."""
        estate.remove(self, Path(path))

    def wait_ready(self, timeout: float = READY_TIMEOUT, progress: Progress = lambda _message: None) -> None:
        """Wait until every Deployment is available and, when a gateway runs, every Gateway is programmed."""
        estate.wait_ready(self, timeout, progress)

    def snapshot(self, folder: Path) -> None:
        """Copy what the cluster holds now into ``folder``, for :meth:`restore` of this sandbox."""
        self.call("snapshot", folder=str(folder))

    def restore(self, folder: Path, timeout: float = READY_TIMEOUT, progress: Progress = lambda _message: None) -> None:
        """Put a snapshot in place of all that the cluster holds, and wait until pods and gateways follow it.

        Requests of before are as if they had never been: faults and counters of the API proxy, access logs and the gateway's own record begin anew, and
        credentials change in the kubeconfigs, whose paths stay. A load must not run meanwhile.
        """
        self.call("restore", timeout=timeout, folder=str(folder))
        self.wait_ready(timeout, progress)
        deadline = time.monotonic() + timeout
        while "gateway" in self.state["services"] and any(self.call("gateway.cold").values()):
            if time.monotonic() > deadline:
                raise SandboxError(f"Backends of sandbox {self.name} are not healthy {timeout:.0f} s after a snapshot was put in place.")
            time.sleep(0.1)

    def call(self, command: str, timeout: float = 60.0, **arguments: Any) -> Any:
        """Call a handler of a service (Context.handlers) and return its answer."""
        connection = _UnixConnection(self.state["control"], timeout)
        try:
            connection.request("POST", f"/{command}", json.dumps(arguments), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status >= 500:
            raise SandboxError(f"Command {command} failed in sandbox {self.name}: see {self.directory / 'logs' / 'supervisor.log'}.")
        body = json.loads(text)
        if answer.status != 200:
            raise SandboxError(body["error"])
        return body["result"]

    def proxy(self, path: str, body: Any = None) -> Any:
        """Ask the API proxy's admin endpoint: GET without a body, else POST."""
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.state["api_proxy"] + path, content, {"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise SandboxError(json.load(error).get("error", str(error))) from None

    def requests(self) -> dict[str, int]:
        """Requests through the proxy since the last reset: by method, and ``writes``, ``dry_run``, ``reviews``, ``total``."""
        return self.proxy("/requests")

    def reset_requests(self) -> None:
        self.proxy("/reset", {})

    def fault(self, kind: str, **arguments: Any) -> Any:
        """Break something: a fault of the API proxy, one registered in igw_sandbox.faults, or a handler of a service."""
        from igw_sandbox import faults  # services may register more on import

        return faults.dispatch(self, kind, arguments)


def _needed_tools(chosen: Iterable[Path], services: Sequence[str] | None) -> list[str]:
    pods = services is None or "kubelet" in services
    return [*CORE_TOOLS, *(estate.needed_tools(chosen) if pods else [])]


def _follow(path: Path, process: subprocess.Popen[bytes]) -> Iterator[tuple[str, str]]:
    """Yield the supervisor's events until it ends or START_TIMEOUT is over (both raise)."""
    deadline = time.monotonic() + START_TIMEOUT
    with open(path, encoding="utf-8") as stream:
        while True:
            ended = process.poll() is not None
            for line in stream:
                event = json.loads(line)
                yield event["event"], event["message"]
            if ended:
                log = path.parent / "logs" / "supervisor.log"
                last = " | ".join(log.read_text(errors="replace").strip().splitlines()[-3:])
                raise SandboxError(f"The sandbox's supervisor ended with status {process.returncode}: {last}; the whole log is {log}.")
            if time.monotonic() > deadline:
                raise SandboxError(f"The sandbox was not ready after {START_TIMEOUT:.0f} s; see the logs in {path.parent / 'logs'}.")
            time.sleep(0.05)


def _is_supervisor(pid: int, directory: Path) -> bool:
    """Whether process ``pid`` is the supervisor of ``directory`` (and no stranger that got its number)."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"igw_sandbox.supervisor" in arguments and str(directory).encode() in arguments


def _reap(pid: int) -> None:
    """Take the exit status when the process is a child of ours, so that it does not stay as a zombie."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _helm_home(directory: Path) -> dict[str, str]:
    """A helm home of the sandbox's own: the person's repositories and plugins stay out of it."""
    home = str(directory / "helm")
    return {"HELM_CACHE_HOME": home, "HELM_CONFIG_HOME": home, "HELM_DATA_HOME": home}
