# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tracer requests ask, and what weights let one expect."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils import manifests
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import targets, traffic_split
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import CHAT, COMPLETIONS, OWN
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.traffic_split import Signature
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import references, weights

from tests.unit.helpers.migration_fakes import ALPHA, KEY, MOVES, V1, http_route, listeners, plan_pool, rule

V1_KEY = references.PoolKey(manifests.V1_GROUP, "InferencePool", "default", "llama-ga")
POOLS = {KEY: plan_pool(), V1_KEY: plan_pool()}
ROUTE = http_route(rule(ALPHA), rule(ALPHA, path="/v1/chat"))
CELLS = targets.probe_targets(ROUTE, listeners(), {KEY: plan_pool()})


def test_one_group_for_each_rule_and_address() -> None:
    found = traffic_split.groups(CELLS)
    assert [(group.target.rule, group.target.endpoint, group.target.stream) for group in found] == [(0, COMPLETIONS, False), (1, CHAT, False)]
    assert str(found[1]) == "rule 1 of HTTPRoute default/llm-route at default/gw 127.0.0.1:8080"
    own = [replace(target, endpoint=OWN, body="{}") for target in CELLS]
    assert traffic_split.groups(own) == [], "what a person's request means is not known"


@pytest.mark.parametrize("variant", ["alpha", None])
def test_a_tracer_asks_for_a_model_that_nobody_uses(variant: targets.Variant | None) -> None:
    tracer = traffic_split.tracer(CELLS[0], variant, "igm1")
    assert tracer.body("x")["model"] == "nobody-uses-igm1" and tracer.body("x")["stream"] is False
    assert tracer.headers == (*targets.probe(CELLS[0], variant, "igm1", {}).headers, ("x-gateway-model-name-rewrite", "rewritten-igm1"))


@pytest.mark.parametrize(("body", "names"), [
    (b'{"error": {"message": "The model `nobody-uses-igm1` does not exist."}}', "asked"),
    (b'{"error": {"message": "The model `rewritten-igm1` does not exist."}}', "rewritten"),
    (b"not found", ""),
    (b"", ""),
])
def test_the_model_that_an_answer_speaks_of_tells_who_passed_the_tracer_on(body: bytes, names: str) -> None:
    assert traffic_split.signature(traffic_split.tracer(CELLS[0], None, "igm1"), 404, body, True) == (404, bool(body), True, names)


SERVICE = {"name": "plain", "port": 80}


@pytest.mark.parametrize(
    ("references", "expected"),
    [
        ([ALPHA], (1.0, 0.0, 0.0, 0.0)),
        ([V1 | {"weight": 7}], (0.0, 1.0, 0.0, 0.0)),
        ([ALPHA | {"weight": 90}, V1 | {"weight": 10}], (0.9, 0.1, 0.0, 0.0)),
        ([ALPHA | {"weight": 45}, V1 | {"weight": 5}, SERVICE | {"weight": 50}], (0.45, 0.05, 0.5, 0.5)),
        ([ALPHA | {"weight": 60}, SERVICE | {"weight": 30}, SERVICE | {"weight": 9, "name": "b"}, SERVICE | {"weight": 1}], (0.6, 0.0, 0.4, 0.09)),
        ([ALPHA | {"weight": 9}, SERVICE | {"weight": 1}, SERVICE | {"weight": 0, "name": "b"}], (0.9, 0.0, 0.1, 0.1)),
        ([ALPHA | {"weight": 1}, V1 | {"weight": 1, "name": "of-others"}], (0.5, 0.0, 0.5, 0.5)),
        ([ALPHA | {"weight": 0}], (0.0, 0.0, 0.0, 0.0)),
    ],
)
def test_what_the_weights_let_one_expect(references: list[dict[str, object]], expected: tuple[float, float, float]) -> None:
    assert traffic_split.expected(http_route(rule(SERVICE), rule(*references)), 1, POOLS) == pytest.approx(expected)


def test_shares_of_every_step_are_what_is_expected() -> None:
    for share in (0, 10, 50, 100):
        split = weights.reshape(ROUTE, ROUTE, MOVES, "split", share)
        assert traffic_split.expected(split, 0, POOLS) == pytest.approx((1 - share / 100, share / 100, 0, 0))


def test_a_stack_that_answers_in_several_ways_tells_nothing() -> None:
    one, other = Signature(404, True, True, "asked"), Signature(404, True, True, "rewritten")
    assert traffic_split.alike([one, one]) == one
    assert not any(traffic_split.alike(answers) for answers in ([one, other], [None, None], [one, None]))
