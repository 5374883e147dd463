# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells by /proc whether the process that began a run lives, and which others of that run do.

Where there is no /proc (macOS), or on another machine, nothing is known, and only the Lease's time tells.

For internal use of this collection only.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TypedDict

MARK = "INFERENCE_GATEWAY_MIGRATION_RUN"
"""Environment variable of every module execution that may write for a run: its name. The role sets it."""
PROC = Path("/proc")


class Machine(TypedDict):
    """Where processes run: the same ids mean the same processes only where all three are equal.

    ``boot``: id of this start of the system. ``namespace``: of process ids, another one in each container.
    """

    host: str
    boot: str
    namespace: str


class Origin(Machine):
    """The process that began a run, and its user.

    ``started``: clock ticks since the boot, by which a process id that was used again is known.
    """

    pid: int
    started: str
    user: int


class Workplace(Machine):
    """Where the modules of a run work, and as which user."""

    user: int


def machine() -> Machine:
    """Return where this process runs; with empty ids where there is no /proc."""
    try:
        boot, namespace = (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip(), os.readlink(PROC / "self/ns/pid")
    except OSError:
        boot = namespace = ""
    return {"host": platform.node(), "boot": boot, "namespace": namespace}


def started(pid: int) -> str:
    """Return when a process began, in clock ticks since the boot; an empty text where there is none, or where it has ended and waits for its parent.

    Source: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    """
    try:
        fields = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def origin(pid: int) -> Origin:
    """Return what is to be known of a process of this machine."""
    here = machine()
    return {"host": here["host"], "boot": here["boot"], "namespace": here["namespace"], "pid": pid, "started": started(pid), "user": os.getuid()}


def same_machine(one: Machine) -> bool:
    """Tell whether it is this machine; False where that is not known."""
    here = machine()
    return bool(here["boot"]) and all(one.get(field) == value for field, value in here.items())


def lives(one: Origin) -> bool | None:
    """Tell whether a process lives; None where that can't be seen from this machine, or by this user: /proc may hide others' processes."""
    if not same_machine(one) or not one.get("started") or not sees(one.get("user")):
        return None
    return started(one["pid"]) == one["started"]


def sees(user: int | None) -> bool:
    """Tell whether this process may see all processes of a user and their environments."""
    return os.getuid() in (0, user)


def workplace() -> Workplace:
    """Return where this module works, and as which user."""
    here = machine()
    return {"host": here["host"], "boot": here["boot"], "namespace": here["namespace"], "user": os.getuid()}


def marked(run: str) -> list[int]:
    """Return the processes of this machine that were started with a run's mark, as far as this user may see their environment."""
    wanted = f"{MARK}={run}".encode()
    found = []
    for folder in PROC.glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
        except OSError:  # it has ended, or is another user's
            continue
        if wanted in environment.split(b"\0") and started(int(folder.name)):
            found.append(int(folder.name))
    return sorted(found)
