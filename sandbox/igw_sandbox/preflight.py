# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine must offer, checked before anything is built or started: one sentence with the remedy each."""
from __future__ import annotations

import importlib.util
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from igw_sandbox import golang, tools
from igw_sandbox.context import SandboxError

ARCHITECTURES = ("x86_64", "aarch64")
BUILD_BYTES: dict[str, int] = {"kubernetes": 4_000_000_000}
"""Disk for sources and Go's build cache of one cold build; all together took less than 12 GB, the programs themselves 0.5 GB."""
OTHER_BUILD_BYTES = 1_000_000_000
PROGRAM_BYTES = 250_000_000
RUN_BYTES = 1_000_000_000
"""Disk for one running sandbox: etcd, logs, access logs."""
RUN_MEMORY = 1_200_000_000
"""Bytes one sandbox with the demo's estate needs (about 0.8 GB seen)."""
BUILD_MEMORY = 3_000_000_000
"""Bytes that linking kube-apiserver needs."""
MODULES = ("aiohttp", "cryptography", "lightkube", "yaml")


def check_system(system: str | None = None, machine: str | None = None) -> None:
    """Linux on x86_64 or aarch64: Envoy's wheels, abstract sockets and 127.0.0.0/8 on one interface are needed."""
    system, machine = system or platform.system(), machine or platform.machine()
    if system != "Linux":
        raise SandboxError(f"The sandbox runs on Linux only, this is {system}: use a Linux machine, virtual machine or container.")
    if machine.replace("arm64", "aarch64").replace("AMD64", "x86_64") not in ARCHITECTURES:
        raise SandboxError(f"The sandbox runs on {' and '.join(ARCHITECTURES)} only (there is no Envoy wheel for {machine}): use another machine.")


def check_python(version: tuple[int, ...] = sys.version_info[:2], find: Callable[[str], object] = importlib.util.find_spec) -> None:
    """Python 3.11 or later with what sandbox/requirements.txt lists. (A missing venv module shows earlier: when the environment is made.)"""
    if version < (3, 11):
        raise SandboxError(f"The sandbox needs Python 3.11 or later, {sys.executable} is {'.'.join(map(str, version))}: set IGW_PYTHON to a newer one.")
    missing = [module for module in MODULES if find(module) is None]
    if missing:
        raise SandboxError(f"{sys.executable} lacks the Python module{'s' * (len(missing) > 1)} {', '.join(missing)}: run '{sys.executable} -m pip install -r "
                           "sandbox/requirements.txt', or unset IGW_PYTHON to use the project's own environment.")


def check_machine() -> None:
    """All that does not depend on what is going to be built."""
    check_system()
    check_python()


def existing(path: Path) -> Path:
    """The nearest folder above ``path`` that exists, to ask for its free space."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def check_disk(needed: int, path: Path, purpose: str, usage: Callable[[Path], Any] = shutil.disk_usage) -> None:
    """``needed`` bytes free where ``path`` is (or will be)."""
    free = usage(existing(path)).free
    if free < needed:
        raise SandboxError(f"{purpose} needs {_gigabytes(needed)} on the disk of {path}, only {_gigabytes(free)} are free: free some space or set "
                           "XDG_CACHE_HOME (and for builds GOCACHE and GOMODCACHE) to a larger disk.")


def available_memory(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Bytes the kernel says are available without swapping."""
    for line in meminfo.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise SandboxError(f"{meminfo} does not say how much memory is available; the sandbox needs a Linux kernel of 3.14 or later.")


def check_memory(needed: int, purpose: str, available: int | None = None) -> None:
    available = available_memory() if available is None else available
    if available < needed:
        has = _gigabytes(available)
        raise SandboxError(f"{purpose} needs {_gigabytes(needed)} of memory, only {has} are available: end other programs or sandboxes first.")


def check_port(address: str, port: int, purpose: str) -> None:
    """The port must be free: nothing may listen on it at this address or at 0.0.0.0."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except PermissionError:
            raise SandboxError(f"{purpose} can't listen on {address}:{port} without privileges: use a port from 1024 up.") from None
        except OSError as error:
            raise SandboxError(f"{purpose} can't listen on {address}:{port} ({error.strerror}): end the program that uses the port (see 'ss -ltnp') "
                               "or choose another port.") from None


def check_resources(names: Sequence[str]) -> None:
    """Disk and memory for building what is missing of the tools ``names``, and for running one sandbox."""
    builds = tools.missing(names)
    if builds:
        needed = sum(BUILD_BYTES.get(build.folder, OTHER_BUILD_BYTES) for build in builds)
        check_disk(needed, golang.cache_folder(), f"Building {', '.join(build.folder for build in builds)}")
    check_disk(RUN_BYTES + PROGRAM_BYTES * len(builds), tools.cache_root(), "A sandbox")
    check_memory(BUILD_MEMORY if any(build.folder == "kubernetes" for build in builds) else RUN_MEMORY, "Building kube-apiserver" if builds else "A sandbox")


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
