# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a gate's commands: output to its log and, abridged, to the console; a limit on time; nothing left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

HEARTBEAT_SECONDS = 30.0
GRACE_SECONDS = 20.0
"""Seconds that a stopped command gets to clean up; a sandbox ends its processes in them."""
WHY = 1500
"""Characters of a failed test's reason that the last lines hold."""


@dataclass(frozen=True)
class Counts:
    """How many tests, or gates, passed, failed and were skipped."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)


def say(text: str) -> None:
    """Show a line on the console, in one piece: gates beside each other do it at the same time, and print writes the end of a line by itself."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def stop_group(process: subprocess.Popen[str]) -> None:
    """End a command that leads its own process group, and the group with it; by SIGKILL where SIGINT and SIGTERM don't do."""
    for sign, patience in ((signal.SIGINT, GRACE_SECONDS), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(process.pid, sign)
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            break


running: set[subprocess.Popen[str]] = set()
"""Commands that run now, of all threads."""


def stop_all() -> None:
    """End every command that runs now: Ctrl-C reaches one thread alone."""
    for process in list(running):
        stop_group(process)


def run(command: list[str], folder: Path, environment: dict[str, str], log: IO[str], limit: float, echo: bool) -> int:
    """Run one command and return its exit code: 124 when it went over ``limit`` seconds, 127 when it is not installed.

    :param echo: whether every line is shown as it comes (test runs); else a line is shown now and then, and the log has the rest.
    """
    began = time.monotonic()
    log.write(f"$ {' '.join(command)}\n")
    try:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            start_new_session=True,
        )
    except FileNotFoundError:
        log.write(f"{command[0]} is not installed: run make again, it installs tests/requirements.txt.\n")
        return 127
    over = threading.Event()

    def end() -> None:
        over.set()
        stop_group(process)

    timer = threading.Timer(limit, end)
    timer.start()
    running.add(process)
    last = began
    try:
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            log.flush()
            if echo:
                say(f"  {line.rstrip()}")
            elif time.monotonic() - last > HEARTBEAT_SECONDS:
                last = time.monotonic()
                say(f"  {last - began:4.0f} s: {line.strip()[:120]}")
        process.wait()
    finally:
        timer.cancel()
        running.discard(process)
    if over.is_set():
        log.write(f"Stopped after {limit:.0f} s, the limit of this gate.\n")
        return 124
    return process.returncode


def read_junit(path: Path, returncode: int) -> Counts:
    """Return the counts of a pytest run from its JUnit file.

    A run that failed without a failed test (none collected, an internal error), or in which no test passed, counts as one failure.
    """
    counts = Counts()
    if path.exists():
        for suite in ElementTree.parse(path).getroot().iter("testsuite"):
            total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
            failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            counts += Counts(max(0, total - skipped - failed), failed, skipped)
    if counts.failed == 0 and (returncode != 0 or counts.passed == 0):
        counts += Counts(failed=1)
    return counts


def failed_tests(path: Path) -> list[str]:
    """Return one line for each failed test of a pytest run: its name and the first words of the reason."""
    found = []
    for case in ElementTree.parse(path).getroot().iter("testcase") if path.exists() else ():
        trouble = case.find("failure") if case.find("failure") is not None else case.find("error")
        if trouble is not None:
            why = " ".join((trouble.get("message") or trouble.text or "").split())
            found.append(f"{case.get('classname', '')}::{case.get('name', '')}: {why[:WHY]}")
    return found


def tail(path: Path, lines: int) -> str:
    """Return the last lines of a log, indented."""
    return "\n".join(f"  | {line}" for line in path.read_text(errors="replace").splitlines()[-lines:])
