# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was approved is what runs: a plan, an approval, an estate that changed meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from igw_sandbox.world import World
from tests.integration.harness import CONTROL, ESTATES, journalled_plan

DETECT = "inference_gateway.migration.detect"
POOL = "inferencepool.inference.networking.x-k8s.io/chat"
PORT = 8001
LINE = "pools team-a chat chart values inferencePool targetPortNumber: 8000 -> 8001"
ACCEPT = {"migration_namespaces": ["team-a"]}


@pytest.fixture(scope="module")
def world(make_world: Callable[..., World]) -> World:
    """An API server with alpha objects that nothing blocks."""
    made = make_world("approval", services=CONTROL)
    made.add_estate(ESTATES / "two_namespaces")
    return made


def set_port(world: World, number: int) -> None:
    """Change what a pool asks for."""
    world.kubectl("patch", POOL, "-n", "team-a", "--type=merge", "-p", json.dumps({"spec": {"targetPortNumber": number}}))


@pytest.fixture
def planned(world: World) -> Iterator[World]:
    """The same for each test, which may change the pool's port."""
    yield world
    set_port(world, 8000)


@pytest.mark.parametrize("given", ["hash", "plan"])
def test_an_approved_plan_is_refused_when_the_estate_has_changed(planned, play, given):
    approved = play(planned, DETECT, extra=ACCEPT).report["plan"]
    expected = approved["hash"] if given == "hash" else approved
    assert play(planned, DETECT, extra=ACCEPT | {"migration_expected_plan": expected}).status == 0
    set_port(planned, PORT)
    planned.reset_requests()
    refused = play(planned, extra=ACCEPT | {"migration_expected_plan": expected})
    assert refused.verdict == "FAILED" and approved["hash"][:12] in refused.reason
    assert (LINE if given == "plan" else "give the approved plan itself") in refused.reason
    assert planned.requests()["writes"] == 0


def test_a_journalled_plan_is_what_a_later_phase_must_find(planned, play):
    """The hash alone is enough here: the journal has the plan, so the refusal says what differs."""
    first = play(planned, extra=ACCEPT | {"migration_phases": ["plan"]})
    assert first.status == 0, first.log[-3000:]
    set_port(planned, PORT)
    planned.reset_requests()
    refused = play(planned, extra=ACCEPT | {"migration_phases": ["install", "shift", "retire"]})
    assert refused.verdict == "FAILED" and LINE in refused.reason
    assert planned.requests()["writes"] == 0
    again = play(planned, extra=ACCEPT | {"migration_phases": ["plan"]})
    assert again.status == 0, again.log[-3000:]
    assert journalled_plan(planned)["pools"][0]["chart"]["values"]["inferencePool"]["targetPortNumber"] == PORT, "the phase plan takes the new plan"
