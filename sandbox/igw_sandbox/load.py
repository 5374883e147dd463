# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`sandbox load start|stop`: open-loop load on every rule and model of a running sandbox, journaled and cross-checked.

The load runs in a process of its own (load_run.py), ended by `stop`, or by the end of the sandbox.
"""
from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .context import SandboxError, write_atomically
from .load_client import STREAM_TIMEOUT, UNARY_TIMEOUT
from .load_run import Options, alive, supervisor_of

__all__ = ["Options", "alive", "current", "kill", "main", "start", "status", "stop"]

START_SECONDS = 120.0
STOP_SECONDS = STREAM_TIMEOUT + UNARY_TIMEOUT + 30.0


def current(directory: Path) -> Path | None:
    """Folder of the latest load of a sandbox, None when it never had one."""
    marker = directory / "load" / "current"
    return directory / "load" / marker.read_text().strip() if marker.exists() else None


def status(folder: Path) -> dict[str, Any]:
    """What a load last said about itself."""
    path = folder / "status.json"
    return json.loads(path.read_text()) if path.exists() else {"state": "starting"}


def start(directory: Path, options: Options | None = None, vegeta: Path | None = None) -> dict[str, Any]:
    """Start a load on the running sandbox in `directory` and return its status once requests flow.

    SandboxError when one runs already, when there is nothing to load, or when the estate doesn't answer.
    """
    supervisor_of(directory)
    before = current(directory)
    if before and alive(status(before)):
        raise SandboxError(f"A load already runs on the sandbox in {directory}; end it with `sandbox load stop`.")
    if vegeta is None:
        from .tools import ensure
        vegeta = ensure("vegeta")["vegeta"]
    run = "l" + secrets.token_hex(3)
    folder = directory / "load" / run
    folder.mkdir(parents=True)
    write_atomically(folder / "options.json", json.dumps({**asdict(options or Options()), "vegeta": str(vegeta)}, indent=1) + "\n")
    write_atomically(directory / "load" / "current", run + "\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])}
    with (folder / "load.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "igw_sandbox.load_run", str(directory), run], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
            start_new_session=True)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        now = status(folder)
        if now["state"] == "running":
            return now
        if now["state"] == "failed":
            process.wait()
            raise SandboxError(now["error"])
        if process.poll() is not None:
            break
        time.sleep(0.1)
    process.terminate()
    raise SandboxError(f"The load on the sandbox in {directory} did not begin within {START_SECONDS:.0f} s; see {folder / 'load.log'}.")


def stop(directory: Path) -> dict[str, Any]:
    """End the load's arrivals, wait until its open requests have ended, and return the summary."""
    folder = current(directory)
    if folder is None:
        raise SandboxError(f"No load was started on the sandbox in {directory}; start one with `sandbox load start`.")
    now = status(folder)
    if alive(now):
        os.kill(now["pid"], signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while alive(now) and time.monotonic() < deadline:
            time.sleep(0.1)
    summary = folder / "summary.json"
    if not summary.exists():
        raise SandboxError(f"The load {folder.name} ended without a summary; see {folder / 'load.log'}.")
    return json.loads(summary.read_text())


def kill(directory: Path) -> None:
    """End a load at once, without a summary; harmless when none runs. Its senders die with it."""
    folder = current(directory)
    now = status(folder) if folder else {}
    if now.get("pid") and alive(now):
        os.kill(now["pid"], signal.SIGKILL)
        deadline = time.monotonic() + 5
        while alive(now) and time.monotonic() < deadline:
            time.sleep(0.05)


def main(argv: Sequence[str]) -> int:
    """The command line: start prints where the journal is, stop prints the summary as JSON; 1 when a stopped load was not clean."""
    parser = argparse.ArgumentParser(prog="sandbox load", description="Open-loop traffic through the gateways of a running sandbox.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="start|stop")
    starting = commands.add_parser("start", help="begin; returns once requests flow")
    stopping = commands.add_parser("stop", help="end; prints the summary as JSON, exits 1 unless nothing was lost and the books balance")
    for command in (starting, stopping):
        command.add_argument("--name", default="default", help="the sandbox's name (default: default)")
    defaults = Options()
    starting.add_argument("--rate", type=float, default=defaults.rate, help="arrivals a second, streams included (default: %(default)s)")
    starting.add_argument("--streams", type=float, default=defaults.streams, help="of these, streams (default: %(default)s)")
    starting.add_argument("--tokens", type=int, default=defaults.tokens, help="length of an answer that is no stream (default: %(default)s)")
    options = parser.parse_args(list(argv))
    from .world import World  # here, because world reads this package's other parts

    directory = World.open(options.name).directory
    if options.command == "start":
        begun = start(directory, Options(rate=options.rate, streams=options.streams, tokens=options.tokens))
        for skipped in begun["skipped"]:
            print(f"not loaded: {skipped}", file=sys.stderr)
        print(f"{len(begun['targets'])} targets, {options.rate:g} requests a second; journal in {current(directory)}")
        return 0
    summary = stop(directory)
    print(json.dumps(summary, indent=1))
    return 0 if summary["ok"] else 1
