# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A playbook that is killed for good right after one of its writes, with all that it has started: the same command again ends PROVEN.

Here a run of its own for each write. ``make test`` kills three times, in the worlds of test_phases.py and test_simple.py.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from igw_sandbox import load
from igw_sandbox.world import World
from tests.e2e.product import ZERO_DOWNTIME, leftovers
from tests.e2e.route_check import route_problems
from tests.integration.harness import ESTATES, MARKED, Ended, alpha_share, users_routes

SIMPLE = "inference_gateway.migration.simple"
V1_GROUP = "inference.networking.k8s.io"
ALPHA, V1 = "vllm-llama3-8b-instruct-preview", "vllm-llama3-8b-instruct-ga"
JOURNAL = "inference-gateway-migration"
pytestmark = pytest.mark.matrix


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

RETIRE = {
    "route": ROUTE,
    "journal": NOTE,
    "journal-again": NOTE._replace(earlier=1),
    "marked-both": Write("DELETE", "/httproutes/llm-route-.*-both-0$"),
    "marked-alpha": Write("DELETE", "/httproutes/llm-route-.*-alpha-0$"),
    "model": MODEL,
    "release": RELEASE,
    "pool": POOL,
    "picker": PICKER,
    "record": RECORD,
    "definition": DEFINITION,
    "definitions": DEFINITIONS,
    "marked-v1": Write("DELETE", "/httproutes/llm-route-.*-v1-0$"),
    "journal-at-last": NOTE._replace(earlier=2),
}
"""The distinct writes of a retire, Lease renewals excepted, and of Helm's a few from its first to its last."""
DOWNTIME = {
    "v1-definition": Write("POST", "/customresourcedefinitions$"),
    "model": MODEL,
    "release": RELEASE,
    "picker": PICKER,
    "record": RECORD,
    "definition": DEFINITION,
    "definitions": DEFINITIONS,
    "v1-release": Write("POST", "/secrets$"),
    "v1-pool": Write("POST", "/inferencepools$"),
    "v1-picker": Write("POST", "/deployments$"),
    "objective": Write("POST", "/inferenceobjectives$"),
    "route": ROUTE,
}
"""The same of the path with a downtime."""


def give_up_lock(world: World) -> None:
    """What the message of a run that meets a dead run's Lease says. It is to go when a run takes a dead run's Lease over by itself."""
    world.kubectl("delete", "lease", "-n", JOURNAL, JOURNAL, "--ignore-not-found")


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
    give_up_lock(world)


@contextmanager
def unharmed(world: World) -> Iterator[None]:
    """A load beside all of a block, of which nothing may be lost or cut."""
    load.start(world.directory, load.Options(rate=5, streams=0.5, routes=users_routes(world)))
    try:
        yield
    finally:
        summary = load.stop(world.directory)
    assert (summary["lost"], summary["cut"], summary["problems"]) == (0, 0, []), summary["reasons"]


def migrated(world: World, before: dict[str, Any], ended: Ended) -> None:
    """What the last run must show."""
    assert (ended.status, ended.verdict) == (0, "PROVEN"), ended.reason
    assert leftovers(world) == []
    assert route_problems(before, world.kubectl_json("get", "httproute", "llm-route")) == []
    assert alpha_share(world) == [(V1_GROUP, 1)]
    assert f"{ALPHA}-epp" not in world.kubectl("get", "deployments", "-A", "-o", "name"), "alpha's endpoint picker is gone"
    assert world.kubectl("get", "httproutes", "-A", "-l", MARKED, "-o", "name") == "", "no probe route is left"


@pytest.fixture
def estate(make_world: Callable[..., World]) -> Iterator[World]:
    """A sandbox of the test's own with the demo's estate."""
    world = make_world("kills", estates=[ESTATES / "demo"])
    yield world
    world.down()


@pytest.mark.parametrize("write", RETIRE.values(), ids=RETIRE)
def test_retire(estate: World, play: Callable[..., Ended], write: Write) -> None:
    before = estate.kubectl_json("get", "httproute", "llm-route")
    shifted = play(estate, extra={"migration_phases": ["plan", "install", "shift"], "migration_steps": [100]})
    assert (shifted.status, shifted.verdict) == (0, "PROVEN"), shifted.reason
    extra = {"migration_phases": ["retire"], "migration_drain_seconds": 5}
    with unharmed(estate):
        killed(estate, play, write, ZERO_DOWNTIME, extra)
        ended = play(estate, extra=extra)
    migrated(estate, before, ended)


@pytest.mark.parametrize("writes", [[FINISHED, RELEASE, DEFINITIONS], [DEFINITIONS]], ids=["route-then-release-then-definitions", "definitions"])
def test_a_whole_migration_in_its_retire(estate: World, play: Callable[..., Ended], writes: list[Write]) -> None:
    """A person's own command, all phases in one."""
    before = estate.kubectl_json("get", "httproute", "llm-route")
    extra = {"migration_drain_seconds": 5}
    with unharmed(estate):
        for write in writes:
            killed(estate, play, write, ZERO_DOWNTIME, extra)
        ended = play(estate, extra=extra)
    migrated(estate, before, ended)


@pytest.mark.parametrize("write", DOWNTIME.values(), ids=DOWNTIME)
def test_simple(estate: World, play: Callable[..., Ended], write: Write) -> None:
    before = estate.kubectl_json("get", "httproute", "llm-route")
    killed(estate, play, write, SIMPLE, {})
    migrated(estate, before, play(estate, SIMPLE))
