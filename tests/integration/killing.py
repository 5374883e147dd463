# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills a playbook for good right after one of its writes, with all that it has started, before it hears of the write."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from igw_sandbox.world import World
from tests.integration.harness import Ended

ALPHA = "vllm-llama3-8b-instruct-preview"
JOURNAL = "inference-gateway-migration"


class Interrupt:
    """Sends a signal to a playbook at the first line that holds some words, as a person does who sees it, and takes the time until it has ended.

    Use :meth:`begun` and :meth:`show` as those of ``play``.
    """

    def __init__(self, words: str, number: int = signal.SIGINT) -> None:
        self.words, self.number, self.pid, self.sent = words, number, 0, 0.0
        self.lines: list[str] = []
        """What it said after the signal."""
        self.told_after = float("inf")
        """Seconds from the signal to the line that says how to go on."""

    def begun(self, pid: int) -> None:
        self.pid = pid

    def show(self, line: str) -> None:
        if self.sent:
            self.lines.append(line)
            if "interrupted" in line and "goes on from here" in line:
                self.told_after = min(self.told_after, time.monotonic() - self.sent)
        elif self.words in line:
            os.kill(self.pid, self.number)
            self.sent = time.monotonic()


class Write(NamedTuple):
    """A write after which a run is killed: the one after ``earlier`` others like it."""

    method: str
    path: str
    """Searched in the request's path."""
    earlier: int = 0


ROUTE = Write("PUT", "/httproutes/llm-route$")
FINISHED = ROUTE._replace(earlier=3)
"""Of a whole migration: the three steps of its shift write the route before."""
MODEL = Write("DELETE", "/inferencemodels/base-model$")
RELEASE = Write("PUT", f"/secrets/sh.helm.release.v1.{ALPHA}[.]")
"""Helm marks the release as being uninstalled."""
POOL = Write("DELETE", f"/inferencepools/{ALPHA}$")
PICKER = Write("DELETE", f"/deployments/{ALPHA}-epp$")
RECORD = Write("DELETE", f"/secrets/sh.helm.release.v1.{ALPHA}[.]")
DEFINITION = Write("DELETE", "/customresourcedefinitions/inference(models|pools).inference.networking.x-k8s.io$")
DEFINITIONS = DEFINITION._replace(earlier=1)
"""After it both v1alpha2 definitions are gone."""
NOTE = Write("PUT", f"/configmaps/{JOURNAL}$")


def killed(world: World, play: Callable[..., Ended], write: Write, playbook: str, extra: dict[str, Any]) -> None:
    """A run that ends in the moment when the API server has done a write, before it hears of it."""
    world.proxy("/faults/clear", {})

    def begun(pid: int) -> None:
        match = {"method": write.method, "path_regex": write.path, "write": True}
        world.fault("kill", pid=pid, group=True, when="after", after=write.earlier, match=match)

    ended = play(world, playbook, extra=extra, begun=begun)
    (fault,) = world.proxy("/faults")
    world.proxy("/faults/clear", {})
    assert (ended.status, fault["fired"]) == (-signal.SIGKILL, 1), f"it must have fired: {ended.log[-2000:]}"
