# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a process lives, told of real processes of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import processes

RUN = f"run-of-{os.getpid()}"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process of a run, which waits for the end of its input."""
    with subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          env=os.environ | {processes.MARK: RUN}) as process:
        process.stdout.readline()
        yield process
        process.kill()


def test_a_process_lives_until_it_has_ended(child: subprocess.Popen[bytes]) -> None:
    origin = processes.origin(child.pid)
    assert processes.lives(origin) is True and processes.lives(origin | {"started": "1"}) is False, "a process id is used again"
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert processes.lives(origin) is False, "one that has ended is dead before its parent asks for it"
    child.wait()
    assert processes.lives(origin) is False


@pytest.mark.parametrize("other", [{"host": "another"}, {"boot": "another"}, {"namespace": "pid:[1]"}, {"started": ""}])
def test_of_another_machine_nothing_is_known(child: subprocess.Popen[bytes], other: dict[str, str]) -> None:
    assert processes.lives(processes.origin(child.pid) | other) is None


def test_processes_of_a_run_are_found_by_their_mark(child: subprocess.Popen[bytes]) -> None:
    assert processes.marked(RUN) == [child.pid]
    assert processes.marked(RUN[:-1]) == []
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert processes.marked(RUN) == []


def test_without_proc_nothing_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = processes.origin(os.getpid())
    monkeypatch.setattr(processes, "PROC", tmp_path)
    assert processes.machine()["boot"] == "" and not processes.same_machine(processes.machine())
    assert processes.lives(here) is None and processes.marked(RUN) == []
