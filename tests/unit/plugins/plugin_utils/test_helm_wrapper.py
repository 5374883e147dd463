# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real processes in the place of helm: within its bounds it is as if nothing was between, and none outlives its deadline or its module."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import lease, processes
from ansible_collections.inference_gateway.migration.plugins.plugin_utils import fenced_helm
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.passing import passes

Written = Callable[..., Path]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process end with its parent")


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Writes the program that stands for helm, and a shell script for helm itself; returns the former. The Lease was renewed now, or when it is said."""
    def write(script: str, renewed: float = 0.0) -> Path:
        helm, program = tmp_path / "real-helm", tmp_path / "helm"
        helm.write_text(f"#!/bin/sh\n{script}\n")
        program.write_text(fenced_helm.program(sys.executable, str(helm), renewed or time.time()))
        for path in (helm, program):
            path.chmod(0o755)
        return program

    return write


def eventually(true: Callable[[], object], seconds: float = 10) -> bool:
    """Whether it becomes true in time."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_the_bounds_are_within_the_leases_duration() -> None:
    assert fenced_helm.COMMAND_SECONDS <= lease.SECONDS / 3
    assert fenced_helm.BEGIN_SECONDS + fenced_helm.MODULE_SECONDS <= lease.SECONDS, "whoever takes the Lease of a dead run meets no helm of it"


def test_all_is_passed_on(written: Written) -> None:
    program = written('cat; echo "$1 $2|$KUBECONFIG"; echo words >&2; exit 3')
    done = subprocess.run([program, "list", "two words"], input="given\n", capture_output=True, text=True, env=os.environ | {"KUBECONFIG": "/a"}, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "given\nlist two words|/a\n", "words\n")


def test_a_signal_is_told_as_a_shell_does(written: Written) -> None:
    assert subprocess.run([written("kill -TERM $$")], check=False).returncode == 128 + signal.SIGTERM


def test_helm_is_ended_at_the_deadline_of_a_command(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fenced_helm, "COMMAND_SECONDS", 0.5)
    program = written("echo begun; sleep 60 & wait")
    began = time.monotonic()
    done = subprocess.run([program, "--version=v1", "upgrade", "-i"], capture_output=True, text=True, check=False)
    assert time.monotonic() - began < 10, "also what it has started"
    assert (done.returncode, done.stdout) == (124, "begun\n")
    assert done.stderr == "helm upgrade was ended at its deadline, after 0.5 seconds, so that it does not outlive the lock of the migration.\n"
    assert passes({"failed": True, "stderr": done.stderr}), "it is tried again"


def test_a_pull_may_take_longer_but_not_longer_than_all_of_a_module(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fenced_helm, "COMMAND_SECONDS", 0.2)
    monkeypatch.setattr(fenced_helm, "MODULE_SECONDS", 2.0)
    program = written('sleep "$2"')
    assert subprocess.run([program, "pull", "0.6"], check=False).returncode == 0
    assert subprocess.run([program, "pull", "60"], check=False, stderr=subprocess.DEVNULL).returncode == 124


def test_no_command_begins_after_the_modules_time(written: Written, tmp_path: Path) -> None:
    script = f"touch {tmp_path / 'begun'}"
    program = written(script, time.time() - fenced_helm.MODULE_SECONDS - 1)
    os.utime(program, (time.time() + 3600, time.time() + 3600))  # the clock of a file server says nothing
    done = subprocess.run([program, "upgrade"], capture_output=True, text=True, check=False)
    assert (done.returncode, (tmp_path / "begun").exists()) == (124, False)
    program = written(script, time.time() + 3600)
    assert subprocess.run([program, "upgrade"], check=False).returncode == 0, "a clock that was set back gives no less time, and no more than to a command"


@LINUX
@pytest.mark.parametrize("killed", ["module", "program"])
def test_helm_ends_with_whoever_asked_for_it(written: Written, tmp_path: Path, killed: str) -> None:
    """And until then it bears the run's mark, by which the next run knows that something of this one is left."""
    run = f"run-of-{os.getpid()}-{killed}"
    program = written(f"echo $$ > {tmp_path / 'pid.new'}; mv {tmp_path / 'pid.new'} {tmp_path / 'pid'}; exec sleep 60")
    code = f"import subprocess, sys; subprocess.run([{str(program)!r}, 'upgrade'])"
    with subprocess.Popen([sys.executable, "-c", code], env=os.environ | {processes.MARK: run}) as module:
        try:
            assert eventually((tmp_path / "pid").exists)
            helm = int((tmp_path / "pid").read_text())
            found = processes.marked(run)
            assert {module.pid, helm} < set(found) and len(found) == 3
            (between,) = set(found) - {module.pid, helm}
            os.kill({"module": module.pid, "program": between}[killed], signal.SIGKILL)
            assert eventually(lambda: not processes.started(helm)), "it lives on"
            assert eventually(lambda: not processes.marked(run))
        finally:
            module.kill()
