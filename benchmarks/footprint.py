# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command and measure it: seconds, and the peak of the summed proportional set sizes (PSS) of its process tree."""
from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

INTERVAL = 0.05
"""Seconds between two samples: often enough to see what lives for a tenth of a second, seldom enough to cost little."""
PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


class Footprint(NamedTuple):
    """What a command took.

    :param seconds: from its start to its end. :param cpu_seconds: user and system time of its whole tree.
    :param peak_kb: of the summed PSS. :param samples: how often that was looked at.
    """

    status: int
    seconds: float
    cpu_seconds: float
    peak_kb: int
    samples: int


def tree(root: int) -> list[int]:
    """A process and everything below it."""
    found = [root]
    for pid in found:
        for listed in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                found += map(int, listed.read_text().split())
            except OSError:
                continue
    return found


def pss(pid: int) -> int:
    """Proportional set size in kB, 0 of a process that has ended."""
    try:
        said = PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
    except OSError:
        return 0
    return int(said[1]) if said else 0


def measure(command: Sequence[str], folder: Path, environment: Mapping[str, str], output: Path, errors: Path, seconds: float) -> Footprint:
    """Run a command with its output into a file, e.g. the null device, and its errors into ``errors``; it is ended after so many seconds."""
    with output.open("wb") as stream, errors.open("wb") as complaints:
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=stream, stderr=complaints,
                                   start_new_session=True)
        peak = samples = 0
        alive, ending = True, os.pidfd_open(process.pid)
        try:
            while alive:
                peak, samples = max(peak, sum(map(pss, tree(process.pid)))), samples + 1
                alive = not select.select([ending], [], [], INTERVAL)[0]
                if alive and time.monotonic() - began > seconds:
                    raise TimeoutError(f"{command[0]} has not ended after {seconds:.0f} s; see {errors}.")
        finally:
            if alive:
                os.killpg(process.pid, signal.SIGKILL)
            took = time.monotonic() - began
            _pid, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            os.close(ending)
    return Footprint(process.returncode, round(took, 3), round(usage.ru_utime + usage.ru_stime, 2), peak, samples)
