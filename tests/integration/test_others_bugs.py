# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What other tools that shift traffic have got wrong, on one route that has it all, shifted once under load.

(A weight of 0 that leaks is a gateway's bug: test_never_proven.py.)
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest

from igw_sandbox.world import World
from tests.integration.harness import ESTATES, Ended

ALPHA_GROUP, V1_GROUP = "inference.networking.x-k8s.io", "inference.networking.k8s.io"
ALPHA, GA = "vllm-llama3-8b-instruct-preview", "vllm-llama3-8b-instruct-ga"
TEAM = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-team", "value": "a"}]}}
NEW_RULE = {"matches": [{"path": {"type": "PathPrefix", "value": "/new"}}], "backendRefs": [{"name": "plain", "port": 80}]}
PUT_DELAY = 6.0
# Somebody else's pool of the new group, which happens to bear alpha's name.
SAME_NAME = {
    "apiVersion": f"{V1_GROUP}/v1",
    "kind": "InferencePool",
    "metadata": {"name": ALPHA, "namespace": "default"},
    "spec": {
        "selector": {"matchLabels": {"app": "vllm-llama3-8b-instruct"}},
        "targetPorts": [{"number": 8000}],
        "endpointPickerRef": {"name": f"{ALPHA}-epp", "port": {"number": 9002}},
    },
}


@dataclass
class Shifted:
    """A shift of a rule with three kinds of references, in whose first weight change a user wrote too."""

    before: dict[str, Any]
    after: dict[str, Any]
    seen: list[dict[str, Any]]
    ended: Ended
    put_faults: list[Any]

    @property
    def rule(self) -> dict[str, Any]:
        """The one that is moved, below the one that the user inserted."""
        return self.after["spec"]["rules"][1]


def prepare(world: World) -> dict[str, Any]:
    """The demo's route with a rule of several references, of which one has filters; the route as it is stored."""
    world.kubectl("apply", "-f", f"{world.state['crds']}/v1.5.0/bases/{V1_GROUP}_inferencepools.yaml")
    world.kubectl("wait", "--for=condition=Established", f"crd/inferencepools.{V1_GROUP}", "--timeout=60s")
    world.apply(json.dumps(SAME_NAME) + "\n")
    policy = world.kubectl_json("get", "healthcheckpolicies", "-n", "default")["items"]
    ours = deepcopy(next(entry for entry in policy if entry["spec"]["targetRef"]["name"] == ALPHA))
    ours["metadata"] = {"name": "of-others", "namespace": "default"}
    ours["spec"]["targetRef"]["group"] = V1_GROUP
    world.apply(json.dumps({name: ours[name] for name in ("apiVersion", "kind", "metadata", "spec")}) + "\n")
    rules = world.kubectl_json("get", "httproute", "llm-route")["spec"]["rules"]
    rules[0]["backendRefs"] = [
        {"group": ALPHA_GROUP, "kind": "InferencePool", "name": ALPHA, "weight": 6, "filters": [TEAM]},
        {"group": V1_GROUP, "kind": "InferencePool", "name": ALPHA, "weight": 1},
        {"name": "plain", "port": 80, "weight": 3},
    ]
    world.kubectl("patch", "httproute", "llm-route", "--type=merge", "-p", json.dumps({"spec": {"rules": rules}}))
    return world.kubectl_json("get", "httproute", "llm-route")


@pytest.fixture(scope="module")
def shifted(make_world: Callable[..., World], play: Callable[..., Ended]) -> Iterator[Shifted]:
    world = make_world("others", estates=[ESTATES / "demo"])
    before = prepare(world)
    path = "/httproutes/llm-route$"
    seen: list[dict[str, Any]] = []

    def user_writes() -> None:
        """Between the tool's read and its write: an annotation, a timeout in the rule that is not moved, and a rule above the one that is."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not any(fault["seen"] for fault in world.proxy("/faults")):
            time.sleep(0.1)
        time.sleep(1)
        world.kubectl("annotate", "httproute", "llm-route", "team.example.com/changed=yes")
        patch = [{"op": "add", "path": "/spec/rules/1/timeouts", "value": {"request": "55s"}}, {"op": "add", "path": "/spec/rules/0", "value": NEW_RULE}]
        world.kubectl("patch", "httproute", "llm-route", "--type=json", "-p", json.dumps(patch))

    def watch(line: str) -> None:
        if "warm-up: settled" in line:
            world.fault("delay", seconds=PUT_DELAY, match={"method": "PUT", "path_regex": path})
            threading.Thread(target=user_writes, daemon=True).start()
        if ": settled after" in line and " %" in line:
            seen.append(world.kubectl_json("get", "httproute", "llm-route"))

    ended = play(world, rate=20, extra={"migration_phases": ["plan", "install", "shift"], "migration_accept": ["half-migrated-rule"]}, show=watch)
    after = world.kubectl_json("get", "httproute", "llm-route")
    yield Shifted(before, after, seen, ended, world.proxy("/faults"))
    world.down()


def fractions(references: list[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """Share of each (group, name)."""
    total = sum(reference.get("weight", 1) for reference in references)
    return {(reference.get("group", ""), reference["name"]): reference.get("weight", 1) / total for reference in references}


def test_the_shift_was_proven_and_nobody_lost_anything(shifted: Shifted) -> None:
    assert (shifted.ended.status, shifted.ended.verdict) == (0, "PROVEN"), shifted.ended.reason
    assert (shifted.ended.load["lost"], shifted.ended.load["cut"], shifted.ended.load["problems"]) == (0, 0, []), shifted.ended.load["reasons"]


def test_a_users_write_between_read_and_write_is_not_lost(shifted: Shifted) -> None:
    """A tool that computes the rule before its retry loop writes it over what a user wrote meanwhile."""
    assert [fault["fired"] for fault in shifted.put_faults] == [1], "the write was held back while the user wrote"
    assert shifted.after["metadata"]["annotations"]["team.example.com/changed"] == "yes"
    assert shifted.after["spec"]["rules"][2] == shifted.before["spec"]["rules"][1] | {"timeouts": {"request": "55s"}}
    assert shifted.after["spec"]["rules"][0]["matches"] == NEW_RULE["matches"]


def test_pools_of_one_name_in_two_groups_are_told_apart(shifted: Shifted) -> None:
    """A tool that knows references by name alone moves somebody else's pool."""
    assert fractions(shifted.rule["backendRefs"]) == pytest.approx({(ALPHA_GROUP, ALPHA): 0, (V1_GROUP, GA): 0.6, (V1_GROUP, ALPHA): 0.1, ("", "plain"): 0.3})


def test_filters_of_rules_and_references_survive(shifted: Shifted) -> None:
    """A tool that builds the route anew drops filters that it does not know."""
    original = shifted.before["spec"]["rules"][0]
    for route in (*shifted.seen, shifted.after):
        rule = route["spec"]["rules"][1]
        assert rule | {"backendRefs": []} == original | {"backendRefs": []}
        assert [(reference["name"], reference.get("filters")) for reference in rule["backendRefs"]] == [
            (ALPHA, [TEAM]), (GA, [TEAM]), (ALPHA, None), ("plain", None),
        ]  # fmt: skip


def test_shares_of_third_parties_never_change(shifted: Shifted) -> None:
    """A tool that writes weights of its own leaves a rule with other shares than it had."""
    assert len(shifted.seen) == 3
    for route in shifted.seen:
        found = fractions(route["spec"]["rules"][1]["backendRefs"])
        assert (found["", "plain"], found[V1_GROUP, ALPHA]) == (pytest.approx(0.3), pytest.approx(0.1))
        assert found[ALPHA_GROUP, ALPHA] + found[V1_GROUP, GA] == pytest.approx(0.6)
