# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A playbook that is killed for good right after one of its writes, with all that it has started: the same command again ends PROVEN.

Here a run of its own for each write. ``make test`` kills twice, in the worlds of test_phases.py and test_simple.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from igw_sandbox.world import World
from tests.e2e.product import SIMPLE, ZERO_DOWNTIME, leftovers
from tests.e2e.route_check import route_problems
from tests.integration.harness import ESTATES, MARKED, Ended, alpha_share, unharmed
from tests.integration.killing import ALPHA, DEFINITION, DEFINITIONS, FINISHED, MODEL, NOTE, PICKER, POOL, RECORD, RELEASE, ROUTE, Write, killed

V1_GROUP = "inference.networking.k8s.io"
pytestmark = pytest.mark.matrix


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


@pytest.mark.parametrize("earlier", [0, 1])
def test_objectives_that_are_pointed_at_v1(make_world: Callable[..., World], play: Callable[..., Ended], earlier: int) -> None:
    """Killed after the first of two, and after both."""
    world = make_world("kills-objectives", estates=[ESTATES / "v1_picker"])
    extra = {"migration_drain_seconds": 5}
    killed(world, play, Write("PATCH", "/inferenceobjectives/", earlier), ZERO_DOWNTIME, extra)
    ended = play(world, extra=extra)
    assert (ended.status, ended.verdict) == (0, "PROVEN"), ended.reason
    objectives = world.kubectl_json("get", "inferenceobjectives.inference.networking.x-k8s.io", "-n", "stepping")["items"]
    assert {entry["metadata"]["name"]: entry["spec"]["poolRef"]["group"] for entry in objectives} == dict.fromkeys(
        ("interactive", "interactive-ga", "backfill", "backfill-ga"), V1_GROUP)
    world.down()


@pytest.mark.parametrize("write", DOWNTIME.values(), ids=DOWNTIME)
def test_simple(estate: World, play: Callable[..., Ended], write: Write) -> None:
    before = estate.kubectl_json("get", "httproute", "llm-route")
    killed(estate, play, write, SIMPLE, {})
    migrated(estate, before, play(estate, SIMPLE))


@pytest.mark.parametrize("how", ["failed", "cut-short", "taking-away-cut-short"])
def test_an_installation_that_helm_did_not_finish(estate: World, play: Callable[..., Ended], how: str) -> None:
    """Helm's module takes a release that failed for installed, and Helm refuses one that was cut short, or whose removal was."""
    extra = {"migration_phases": ["plan", "install"]}
    deployments = {"method": "POST", "path_regex": "/deployments$", "write": True}
    if how == "failed":
        estate.fault("status", status=403, count=0, message="somebody says no", match=deployments)
        assert play(estate, extra=extra).status != 0
        estate.proxy("/faults/clear", {})
    else:
        killed(estate, play, Write("POST", "/deployments$"), ZERO_DOWNTIME, extra)
    if how == "taking-away-cut-short":
        killed(estate, play, Write("DELETE", "/services/vllm-llama3-8b-instruct-ga-epp$"), ZERO_DOWNTIME, extra)
    with unharmed(estate):
        again = play(estate, extra=extra)
    assert again.status == 0, again.reason
    picker = estate.kubectl_json("get", "deployment", "vllm-llama3-8b-instruct-ga-epp")
    assert picker["status"]["availableReplicas"] == 1
    assert "deployed" in estate.helm("list", "--all", "--namespace", "default", "--filter", "vllm-llama3-8b-instruct-ga")
