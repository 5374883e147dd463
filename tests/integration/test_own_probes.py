# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules that the plan's own requests do not reach are proven by a person's; what a real gateway refuses is known before a write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from igw_sandbox.world import World
from tests.integration.harness import ON_V1, Ended, detect, route_spec

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
HIDDEN, REFUSED = "probe-shadowed-by-rule", "route-refused-by-gateway"


def rules(world: World, *more: Any, first: Any = None) -> None:
    """Give the user's route these rules after its first one, which gets ``first`` merged in, and wait until the Gateway has said what it thinks of them."""
    route = world.kubectl_json("get", "httproute", "llm-route")
    changed = [route["spec"]["rules"][0] | (first or {}), *more]
    world.kubectl("patch", "httproute", "llm-route", "--type=merge", "-p", json.dumps({"spec": {"rules": changed}}))
    generation = world.kubectl_json("get", "httproute", "llm-route")["metadata"]["generation"]
    said = "{.status.parents[0].conditions[?(@.type=='ResolvedRefs')].observedGeneration}"
    world.kubectl("wait", "httproute/llm-route", f"--for=jsonpath={said}={generation}", "--timeout=30s")


@pytest.mark.matrix
def test_what_a_gateway_refuses_is_known_before_a_write(demo: World, play: Callable[..., Ended], tmp_path: Path, collections_path: Path) -> None:
    """A second backend that is missing: no status would ever settle, and nobody may accept that. Once it is there, nothing stands in the way."""
    alpha = route_spec(demo)["rules"][0]["backendRefs"]
    rules(demo, first={"backendRefs": [*alpha, {"name": "gone", "port": 80, "weight": 1}]})
    (found,) = [entry for entry in detect(demo, tmp_path / "before", collections_path)["findings"] if entry["code"] == REFUSED]
    assert found["message"] == "Gateway inference-gateway says ResolvedRefs is False: BackendNotFound Service default/gone not found."
    demo.reset_requests()
    ended = play(demo, extra={"migration_accept": [REFUSED]})
    assert ended.status != 0 and found["message"] in ended.log and demo.requests()["writes"] == 0
    rules(demo, first={"backendRefs": alpha})
    assert REFUSED not in [entry["code"] for entry in detect(demo, tmp_path / "after", collections_path)["findings"]]


@pytest.mark.matrix
def test_rules_that_only_a_persons_own_requests_reach(demo: World, play: Callable[..., Ended]) -> None:
    """The first rule takes all that the plan asks; the second is left with other endpoints, the third takes a GET alone. Each is proven by one request."""
    pool = {"backendRefs": route_spec(demo)["rules"][0]["backendRefs"]}
    rules(demo, {"matches": [{"path": {"type": "PathPrefix", "value": "/v1"}}]} | pool,
          {"matches": [{"path": {"type": "Exact", "value": "/v1/models"}, "method": "GET"}]} | pool)
    accepted = {"migration_accept": [HIDDEN, "rule-not-probed"], "migration_phases": ["plan", "install", "shift"]}
    without = play(demo, extra=accepted)
    assert without.status != 0 and without.verdict == "HELD" and "no request can be made that reaches rule 1" in without.reason, without.reason
    own = [{"path": "/v1/embeddings", "body": {"model": MODEL, "input": "{unique}"}}, {"path": "/v1/models", "method": "GET"}]
    ended = play(demo, rate=20, extra=accepted | {"migration_probes": own})
    assert (ended.status, ended.verdict) == (0, "PROVEN"), ended.reason
    assert (ended.load["lost"], ended.load["cut"]) == (0, 0), ended.load["reasons"]
    assert all([(reference["group"], reference["weight"]) for reference in rule["backendRefs"]] == ON_V1 for rule in route_spec(demo)["rules"])
    assert "rule 1 of" in ended.reason and "only requests of your own reach it" in ended.reason, "the share of these rules was not measured"
