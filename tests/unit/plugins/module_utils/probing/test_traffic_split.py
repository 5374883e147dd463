# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tracer requests ask, what weights let one expect, and what is too far from it."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ansible_collections.inference_gateway.migration.plugins.module_utils import manifests
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import targets, traffic_split
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import CHAT, COMPLETIONS, OWN
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.traffic_split import Signature, plausible
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
BOTH = {"alpha": Signature(404, False, False, ""), "v1": Signature(404, True, True, "rewritten")}


@pytest.mark.parametrize(
    ("references", "expected"),
    [
        ([ALPHA], (1.0, 0.0, 0.0)),
        ([V1 | {"weight": 7}], (0.0, 1.0, 0.0)),
        ([ALPHA | {"weight": 90}, V1 | {"weight": 10}], (0.9, 0.1, 0.0)),
        ([ALPHA | {"weight": 45}, V1 | {"weight": 5}, SERVICE | {"weight": 50}], (0.45, 0.05, 0.5)),
        ([ALPHA | {"weight": 1}, V1 | {"weight": 1, "name": "of-others"}], (0.5, 0.0, 0.5)),
        ([ALPHA | {"weight": 0}], (0.0, 0.0, 0.0)),
    ],
)
def test_what_the_weights_let_one_expect(references: list[dict[str, object]], expected: tuple[float, float, float]) -> None:
    assert traffic_split.expected(http_route(rule(SERVICE), rule(*references)), 1, POOLS) == pytest.approx(expected)


def test_shares_of_every_step_are_what_is_expected() -> None:
    for share in (0, 10, 50, 100):
        split = weights.reshape(ROUTE, ROUTE, MOVES, "split", share)
        assert traffic_split.expected(split, 0, POOLS) == pytest.approx((1 - share / 100, share / 100, 0))


def fits(count: int, sent: int, share: float) -> bool:
    """Whether a count that is known is what one share gives."""
    return plausible(count, count, sent, share, share)


def test_at_the_ends_none_may_be_wrong() -> None:
    assert fits(0, 500, 0.0) and fits(500, 500, 1.0)
    assert not fits(1, 500, 0.0) and not fits(499, 500, 1.0)


def test_what_is_not_ours_may_answer_like_either_stack() -> None:
    """Somebody else's pool of the old API in the same rule: at 100 % its tenth looks like v1alpha2's."""
    wanted = traffic_split.Expected(0.0, 0.6, 0.4)
    for alpha, v1, fine in ((0, 300, True), (50, 300, True), (200, 300, True), (260, 240, False), (0, 500, True), (0, 230, False)):
        tally = traffic_split.Tally(BOTH, Counter(alpha=alpha, v1=v1, other=500 - alpha - v1))
        assert (tally.fault(wanted) is None) is fine, (alpha, v1)
    assert traffic_split.Tally(BOTH, Counter(alpha=1, v1=499)).fault(traffic_split.Expected(0.0, 1.0)), "but where all is ours none may be wrong"


@pytest.mark.parametrize(
    ("alpha", "v1", "share", "fine"),
    [(170, 280, 0.5, True), (280, 170, 0.5, True), (149, 301, 0.5, False), (450, 0, 0.0, True), (449, 1, 0.0, False), (0, 450, 1.0, True), (1, 449, 1, False)],
)
def test_what_tells_nothing_may_be_either_stacks(alpha: int, v1: int, share: float, fine: bool) -> None:
    """A stack that sheds more than the other answers less than its share, and has it all the same."""
    tally = traffic_split.Tally(BOTH, Counter(alpha=alpha, v1=v1, inconclusive=50))
    assert (tally.fault(traffic_split.Expected(1 - share, share)) is None) is fine and tally.unsure() is None


@pytest.mark.parametrize(
    ("count", "share", "fine"),
    [(50, 0.1, True), (25, 0.1, True), (19, 0.1, False), (81, 0.1, True), (85, 0.1, False), (250, 0.5, True), (301, 0.5, False), (208, 0.5, True)],
)
def test_what_is_too_far_from_a_share(count: int, share: float, fine: bool) -> None:
    assert fits(count, 500, share) is fine


@given(sent=some.integers(1, 5000), share=some.floats(0.01, 0.99), seed=some.integers(0, 10**6))
def test_what_a_share_gives_is_plausible_and_the_rest_of_the_range_is_not(sent: int, share: float, seed: int) -> None:
    rng = random.Random(seed)
    low, high = round(sent * share) - 1, round(sent * share) + 1
    assert fits(max(0, min(sent, rng.randint(low, high))), sent, share)
    deviation = 12 * (sent * share * (1 - share)) ** 0.5 + 8
    for wrong in (round(sent * share - deviation), round(sent * share + deviation)):
        assert not 0 <= wrong <= sent or not fits(wrong, sent, share)


def test_how_often_a_true_share_is_doubted() -> None:
    """20,000 measurements of 500 tracer requests: at 4.5 standard deviations one in 147,000 is."""
    rng = random.Random(3)
    assert sum(not fits(sum(rng.random() < 0.1 for _dye in range(100)), 100, 0.1) for _run in range(20_000)) <= 2


def test_a_stack_that_answers_in_several_ways_tells_nothing() -> None:
    one, other = Signature(404, True, True, "asked"), Signature(404, True, True, "rewritten")
    assert traffic_split.alike([one, one]) == one
    assert not any(traffic_split.alike(answers) for answers in ([one, other], [None, None], [one, None]))
