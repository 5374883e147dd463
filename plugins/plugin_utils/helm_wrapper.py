# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs helm in the place of the real one: ends it at a deadline, and lets it end with whoever asked for it.

Helm can't look at the Lease, so none of it may be left when another run takes the Lease. This file is written on the host on which modules run, with a call of
:func:`run` at its end, see fenced_helm.py: it needs the standard library alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

try:
    import ctypes
except ImportError:
    ctypes = None  # type: ignore[assignment]  # a Python that was built without it

PR_SET_PDEATHSIG = 1
"""Of prctl(2), which Linux alone has. Elsewhere the deadline is all that bounds helm."""
EXPIRED = 124
"""Exit code of helm that was ended, as timeout(1) has it."""
UNBOUNDED = ("pull",)
"""Commands that change nothing in a cluster and wait for others than its API server: only the bound of all of them is theirs."""


def run(helm: str, arguments: Sequence[str], seconds: float, altogether: float, made: float) -> int:
    """Run helm and return its exit code. Standard input, output and error are its own.

    :param seconds: for which it may run. :param altogether: for which it may run after ``made``, whenever it begins.
    :param made: when the Lease was renewed, in seconds since the epoch: all helm commands of one module have one file.
    """
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    left = altogether - max(0.0, time.time() - made)
    limit = left if command in UNBOUNDED else min(seconds, left)
    die = dying_with_parent()
    die(os.getppid())
    if limit > 0:
        own = os.getpid()
        with subprocess.Popen([helm, *arguments], preexec_fn=lambda: die(own), start_new_session=True) as child:
            try:
                code = child.wait(limit)
                return 128 - code if code < 0 else code
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)  # with what it has started: a credential plugin, or helm itself behind a script
    sys.stderr.write(f"helm {command} was ended at its deadline, after {max(0.0, limit):.1f} seconds, so that it does not outlive the lock of the migration.\n")
    return EXPIRED


def dying_with_parent() -> Callable[[int], None]:
    """Return what makes a process end with its parent, given the parent's id. Nothing is loaded by it, for a child calls it before it is helm."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None) if ctypes and sys.platform == "linux" else None

    def die(parent: int) -> None:
        if prctl is not None:
            prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:  # it was gone before it could be asked for
            os._exit(EXPIRED)

    return die
