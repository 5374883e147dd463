# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The path with a downtime on an estate of plain manifests; on one that Helm owns it is molecule's scenario ``simple``."""

from __future__ import annotations

import re

import pytest

from tests.e2e.product import SIMPLE, leftovers
from tests.e2e.route_check import route_problems
from tests.integration.harness import CONTROL, ESTATES
from tests.integration.killing import PICKER, killed


def test_v1_serves_alpha_is_gone_and_the_downtime_is_printed(make_world, play):
    """Also by a run that goes on after one that was killed in the middle of the downtime."""
    world = make_world("simple-raw", estates=[ESTATES / "raw"])
    try:
        before = world.kubectl_json("get", "httproute", "llm-route")
        killed(world, play, PICKER, SIMPLE, {})
        ended = play(world, SIMPLE)
        assert (ended.status, ended.verdict) == (0, "PROVEN"), ended.reason
        assert re.search(r"downtime at most \d+\.\d seconds", ended.log)
        assert leftovers(world) == []
        assert route_problems(before, world.kubectl_json("get", "httproute", "llm-route")) == []
        deployments = world.kubectl("get", "deployments", "-A", "-o", "name")
        assert "preview-epp" not in deployments, "alpha's endpoint picker is gone"
    finally:
        world.down()


@pytest.fixture(scope="module")
def control(make_world):
    """An API server with alpha objects; nothing runs, for nothing may be written."""
    world = make_world("simple-phases", services=CONTROL)
    world.add_estate(ESTATES / "two_namespaces")
    return world


@pytest.mark.parametrize("phases", [["plan"], ["plan", "install", "shift"]], ids=["plan", "no-retire"])
def test_phases_are_refused(control, play, phases):
    """Who asks for the plan alone must not get a downtime: this path has no phases to stop between."""
    control.reset_requests()
    refused = play(control, SIMPLE, extra={"migration_phases": phases})
    assert refused.status != 0 and refused.verdict != "PROVEN", refused.log[-2000:]
    assert "migration_phases" in refused.log and "simple" in refused.reason, refused.reason
    assert control.requests()["writes"] == 0
