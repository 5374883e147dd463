# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Helm, which can't look at the Lease: it is ended at a deadline and with its module, and what that cut short the same run makes anew."""

from __future__ import annotations

import os
import re
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.plugin_utils import fenced_helm

from igw_sandbox.world import World
from tests.e2e.product import leftovers
from tests.integration.harness import ALPHA_POOL, V1_EPP, Ended, alpha_share, unharmed

INSTALL = {"migration_phases": ["plan", "install"]}
DEPLOYMENT = {"method": "POST", "path_regex": "/deployments$", "write": True}
SLOW = {"kind": "delay", "seconds": 60}
FAULTS: dict[str, dict[str, Any]] = {
    "no-answer": SLOW,
    "away": {"kind": "unreachable", "seconds": 60},
    "too-many": {"kind": "status", "status": 429, "retry_after": 20, "count": 1},
    "in-trouble": {"kind": "status", "status": 500, "count": 2, "message": "Internal error occurred: etcdserver: no leader"},
    "lost-answer": {"kind": "drop_answer", "count": 1},
}


def installed(world: World, ended: Ended) -> None:
    """What the end of an installation must show."""
    assert ended.status == 0, ended.reason
    release = world.helm("list", "--all", "--namespace", "default", "--filter", "vllm-llama3-8b-instruct-ga", "--output", "json")
    assert '"status":"deployed"' in release and '"revision":"1"' in release, release
    assert world.kubectl_json("get", "deployment", V1_EPP)["status"]["availableReplicas"] == 1


def break_off(world: World, fault: dict[str, Any], match: dict[str, Any]) -> None:
    """Arm one fault for one kind of request."""
    world.fault(fault["kind"], **{name: value for name, value in fault.items() if name != "kind"}, match=match)


def test_an_installation_that_helm_gets_no_answer_to_is_made_anew_by_the_same_run(demo: World, play: Callable[..., Ended]) -> None:
    """One pull serves all of it."""
    break_off(demo, SLOW, DEPLOYMENT)
    ended = play(demo, extra=INSTALL, arguments=("-v",))
    assert "helm upgrade was ended at its deadline" in ended.log, ended.log[-3000:]
    installed(demo, ended)
    (folder,) = set(re.findall(rf"{tempfile.gettempdir()}/inference-gateway-migration-\w+", ended.log))
    assert not Path(folder).exists(), "the pulled chart is removed"


@pytest.mark.matrix
@pytest.mark.parametrize("fault", [fault for name, fault in FAULTS.items() if name != "no-answer"], ids=[name for name in FAULTS if name != "no-answer"])
def test_an_installation_goes_on_after_the_api_server_was_in_trouble(demo: World, play: Callable[..., Ended], fault: dict[str, Any]) -> None:
    break_off(demo, fault, DEPLOYMENT)
    ended = play(demo, extra=INSTALL)
    (fired,) = demo.proxy("/faults")
    assert fired["fired"] >= 1
    installed(demo, ended)


@pytest.mark.matrix
@pytest.mark.parametrize("fault", [SLOW, FAULTS["away"], FAULTS["lost-answer"]], ids=["no-answer", "away", "lost-answer"])
def test_an_uninstallation_that_was_cut_short_is_finished_by_the_same_run(demo: World, play: Callable[..., Ended], fault: dict[str, Any]) -> None:
    shifted = play(demo, extra={"migration_phases": ["plan", "install", "shift"], "migration_steps": [100]})
    assert (shifted.status, shifted.verdict) == (0, "PROVEN"), shifted.reason
    break_off(demo, fault, {"method": "DELETE", "path_regex": f"/inferencepools/{ALPHA_POOL}$", "write": True})
    with unharmed(demo):
        ended = play(demo, extra={"migration_phases": ["retire"], "migration_drain_seconds": 5})
    assert (ended.status, ended.verdict) == (0, "PROVEN"), ended.reason
    assert "no usable answer; trying again" in ended.log
    assert leftovers(demo) == []
    assert alpha_share(demo) == [("inference.networking.k8s.io", 1)]


@pytest.mark.matrix
def test_helm_ends_with_its_module(demo: World, play: Callable[..., Ended]) -> None:
    """Only the module is killed, in the middle of an installation; the same command begins anew."""
    seen: list[tuple[int, float]] = []
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.05):
            for helm in helms(demo):
                wrapper = parent(helm)
                module = parent(wrapper)
                if b"upgrade" not in command(helm) or b"AnsiballZ" not in command(module):
                    continue
                if demo.proxy("/faults")[0]["fired"]:
                    os.kill(module, signal.SIGKILL)
                    began = time.monotonic()
                    while Path(f"/proc/{helm}").exists() and time.monotonic() - began < fenced_helm.MODULE_SECONDS:
                        time.sleep(0.02)
                    seen.append((helm, time.monotonic() - began))
                    return

    break_off(demo, SLOW, DEPLOYMENT)
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        ended = play(demo, extra=INSTALL)
    finally:
        over.set()
        killer.join()
    assert ended.status != 0 and len(seen) == 1, ended.log[-3000:]
    assert seen[0][1] < 2, "helm lives no longer than its module"
    demo.proxy("/faults/clear", {})
    installed(demo, play(demo, extra=INSTALL))


def command(pid: int) -> bytes:
    """Return the command line of a process, empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def parent(pid: int) -> int:
    """Return the parent of a process, 0 where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def helms(world: World) -> list[int]:
    """Return the real helm processes that are at work on this machine."""
    program = str(world.tool("helm")).encode()
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if command(int(folder.name)).split(b"\0")[0] == program]
