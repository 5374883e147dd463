# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of real runs: after a kill the next one is soon at work, and a run that lives is never displaced.

Phase plan alone, on a sandbox on which nothing runs. Two runs that write are in the campaign.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from igw_sandbox.world import World
from tests.integration.harness import CONTROL, ESTATES, Ended

LOCK = "inference-gateway-migration"
HOLDER = "inference-gateway-migration/holder"
PLAN = {"migration_phases": ["plan"], "migration_connect": False, "migration_namespaces": ["team-a"]}


@pytest.fixture(scope="module")
def cluster(make_world: Callable[..., World]) -> Iterator[World]:
    """An API server with alpha objects that nothing blocks."""
    world = make_world("lock", services=CONTROL)
    world.add_estate(ESTATES / "two_namespaces")
    yield world
    world.down()


def lease(world: World) -> dict[str, Any]:
    return world.kubectl_json("get", "lease", "-n", LOCK, LOCK)


def held_by(world: World, holder: dict[str, Any], run: str = "run-dead") -> None:
    """A Lease as a run leaves it that was killed just now."""
    world.apply(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LOCK}}, indent=1))
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
    spec = {"holderIdentity": run, "leaseDurationSeconds": 35, "renewTime": now, "acquireTime": now}
    meta = {"name": LOCK, "namespace": LOCK, "annotations": {HOLDER: json.dumps(holder)}}
    world.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}))


def here(pid: int) -> dict[str, Any]:
    """A holder on this machine."""
    machine = {"host": os.uname().nodename, "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(), "namespace": os.readlink("/proc/self/ns/pid")}
    started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return {"origin": machine | {"pid": pid, "started": started}, "modules": machine, "host": "one"}


@pytest.mark.matrix  # it waits as long as a person would
def test_a_run_on_another_machine_that_died_is_followed_within_45_seconds(cluster: World, play: Callable[..., Ended]) -> None:
    elsewhere = here(os.getpid())
    elsewhere["origin"] |= {"boot": "of another machine"}
    held_by(cluster, elsewhere)
    died, taken = time.monotonic(), []

    def look(line: str) -> None:
        if not taken and lease(cluster)["spec"].get("holderIdentity") not in ("run-dead", None):
            taken.append(time.monotonic())

    ended = play(cluster, extra=PLAN, show=look)
    assert ended.status == 0, ended.log[-2000:]
    assert "Run run-dead, ansible-playbook with process id" in ended.log and "may be dead: looking for" in ended.log
    assert taken and 30 < taken[0] - died < 45, taken[0] - died


def test_a_run_of_this_machine_that_died_is_followed_at_once(cluster: World, play: Callable[..., Ended]) -> None:
    """With what is left of it: a process that bears its mark ends first."""
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        holder = here(dead.pid)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env=os.environ | {"INFERENCE_GATEWAY_MIGRATION_RUN": "run-dead"}) as left:
        held_by(cluster, holder)
        lines: list[str] = []

        def look(line: str) -> None:
            lines.append(line)
            if "may be dead" in line:
                left.kill()

        ended = play(cluster, extra=PLAN, show=look)
        left.kill()
    assert ended.status == 0, ended.log[-2000:]
    assert sum("may be dead" in line for line in lines) == 1, "its last process was waited for, and no longer"
    held_by(cluster, holder)
    again = play(cluster, extra=PLAN)
    assert again.status == 0 and "may be dead" not in again.log, again.log[-2000:]


def test_a_run_that_lives_is_named_and_never_displaced(cluster: World, play: Callable[..., Ended]) -> None:
    held_by(cluster, here(os.getpid()), run="run-alive")
    before = lease(cluster)
    ended = play(cluster, extra=PLAN)
    assert ended.status != 0 and f"Run run-alive, ansible-playbook with process id {os.getpid()} on {os.uname().nodename}" in ended.reason, ended.reason
    assert lease(cluster) == before
    cluster.kubectl("delete", "lease", "-n", LOCK, LOCK)


def test_a_run_that_was_killed_in_its_opening_is_followed_at_once(cluster: World, play: Callable[..., Ended]) -> None:
    """A real run, killed with all that it started right after it took the lock."""

    def begun(pid: int) -> None:
        cluster.fault("kill", pid=pid, group=True, when="after", match={"method": "PUT", "path_regex": f"/leases/{LOCK}$"})

    killed = play(cluster, extra=PLAN, begun=begun)
    assert killed.status == -signal.SIGKILL and lease(cluster)["spec"]["holderIdentity"], killed.log[-1000:]
    cluster.proxy("/faults/clear", {})
    ended = play(cluster, extra=PLAN)
    assert ended.status == 0 and "may be dead" not in ended.log, ended.log[-2000:]
    assert "holderIdentity" not in lease(cluster)["spec"]


@pytest.mark.matrix
@pytest.mark.parametrize("time_of_ten", range(10))
def test_of_two_runs_at_once_one_writes_and_the_other_names_it(cluster: World, play: Callable[..., Ended], time_of_ten: int) -> None:
    """The first is slow with its backup, so that the other meets it."""
    cluster.kubectl("delete", "configmaps", "-n", LOCK, "-l", "app.kubernetes.io/managed-by=inference-gateway-migration", "--ignore-not-found")
    cluster.proxy("/faults/clear", {})
    cluster.reset_requests()
    cluster.fault("delay", seconds=8, match={"method": "POST", "path_regex": "/configmaps$", "write": True})
    ended: list[Ended] = []
    runs = [threading.Thread(target=lambda: ended.append(play(cluster, extra=PLAN))) for _run in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    won, lost = sorted(ended, key=lambda one: one.status)
    assert won.status == 0 and lost.status != 0, [one.reason for one in ended]
    assert "is at work on this cluster" in lost.reason and "ansible-playbook with process id" in lost.reason, lost.reason
    assert cluster.requests()["POST"] - cluster.requests()["dry_run"] >= 3, "backup, plan and record, once"
    assert lease(cluster)["spec"]["leaseTransitions"] >= 0 and "holderIdentity" not in lease(cluster)["spec"]
