# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller writes the user's route back while traffic is shifted: HELD, its name said soon, its weights left, no request lost.

As Argo CD's self-heal does: server-side apply that takes over every field, from a source without kubectl's annotation.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from igw_sandbox.load_writes import read_lines
from igw_sandbox.world import World
from tests.integration.harness import LAST_APPLIED, SHIFT, Controller, Ended, put_back, route_spec, source
from tests.integration.test_never_proven import unproven

MANAGERS = {"apply": "argocd-controller", "update": "kustomize-controller", "patch": "traffic-script"}
"""By the way in which each writes."""
SECONDS = {"every-3-s": 3.0, "once": 0.0}
SAMPLE = (("apply", "every-3-s"),)
"""What make test runs of the table."""
TOLD_WITHIN = 30.0
ROWS = [pytest.param(how, often, marks=() if (how, often) in SAMPLE else pytest.mark.matrix) for how in MANAGERS for often in SECONDS]


@pytest.fixture
def route(installed: World) -> Iterator[dict[str, Any]]:
    """The user's route as a controller's source has it; without kubectl's annotation meanwhile, and as it was afterwards."""
    original = installed.kubectl_json("get", "httproute", "llm-route")
    installed.kubectl("annotate", "httproute", "llm-route", f"{LAST_APPLIED}-")
    yield source(original)
    put_back(installed, original)


def writes_of_the_run(world: World, since: float) -> list[dict[str, Any]]:
    """What came to the user's route through the proxy, which the other writer passes by."""
    return [entry for entry in read_lines(world.directory / "api-requests.jsonl")
            if entry["write"] and entry["time"] > since and entry["path"].partition("?")[0].endswith("/httproutes/llm-route")]


@pytest.mark.parametrize(("how", "often"), ROWS)
def test_a_route_that_somebody_else_writes_back(installed: World, play: Callable[..., Ended], route: dict[str, Any], how: str, often: str) -> None:
    before, manager = route_spec(installed), MANAGERS[how]
    named: list[float] = []

    with Controller(installed, route, how, manager, SECONDS[often]) as controller:

        def watch(line: str) -> None:
            if "step 1 of 3: v1 gets 10 %" in line:
                controller.start()
            elif manager in line:
                named.append(time.time())

        ended = play(installed, rate=20, extra=SHIFT | {"migration_drain_seconds": 20}, show=watch)
    assert controller.begun, "it must have fired"
    assert ended.verdict == "HELD", ended.reason
    unproven(installed, before, ended, manager, "llm-route", "backendRefs")
    assert re.search(r"weight 1\b", ended.reason) and re.search(r"weight 90\b", ended.reason), "what stands there and what the step wrote"
    assert "step 2 of 3" not in ended.log
    assert named and named[0] - controller.begun < TOLD_WITHIN, "a line names the writer while users wait"
    assert writes_of_the_run(installed, controller.begun) == [], "the weights are as the other writer put them, not as we did"
