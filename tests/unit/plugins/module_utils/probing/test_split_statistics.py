# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the counts of one group say: what is far from a weight, how often it is missed or seen where it is not, and what others' backends hide. Seeded."""

from __future__ import annotations

import random
from collections import Counter
from math import exp
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import split_statistics
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.split_statistics import STACKS, Expected, ShareTest

from benchmarks.one_wrong_share import expected, measured

SHARES = (0.1, 0.5, 1.0)
RULE_OF_TWO = Expected(0.0, 0.01, 0.99, 0.99)
"""Weight 1 for the pool beside 99 for one backend of somebody else, at 100 %."""


def ruled(wanted: Expected, groups: int = 1, **counts: int) -> str:
    return ShareTest(groups).rule(STACKS, Counter(counts), wanted)


@pytest.mark.parametrize(("share", "low", "high"), [
    (0.1, 0.05, 0.2), (0.5, 0.25, 0.75), (0.9, 0.8, 0.95), (0.25, 0.125, 0.5), (0.01, 0.0, 0.06), (0.05, 0.0, 0.1),
])
def test_far_is_half_or_twice_and_five_points(share: float, low: float, high: float) -> None:
    test = ShareTest(1)
    assert (test.far(share), 1 - test.far(1 - share)) == pytest.approx((low, high))


@pytest.mark.parametrize(("groups", "clean"), [(1, 342), (2, 171), (5, 69), (6, 66), (100, 66)])
def test_at_the_ends_clean_answers_bound_the_leak_of_a_group_and_of_all(groups: int, clean: int) -> None:
    for wanted, who in ((Expected(0.0, 1.0), "v1"), (Expected(1.0, 0.0), "alpha")):
        assert ruled(wanted, groups, **{who: clean}) == "right" and ruled(wanted, groups, **{who: clean - 1}) == "undecided"
    assert (1 - split_statistics.LEAK_OF_ALL) ** (groups * clean) <= split_statistics.MISSED
    assert (1 - split_statistics.LEAK) ** clean <= split_statistics.MISSED


@pytest.mark.parametrize("wrong", [{"alpha": 1, "v1": 9}, {"v1": 499, "other": 1}])
def test_at_the_ends_none_may_be_wrong(wrong: dict[str, int]) -> None:
    assert ruled(Expected(0.0, 1.0), **wrong) == "wrong"
    assert ruled(Expected(0.0, 1.0), v1=340, inconclusive=30) == "undecided", "what tells nothing is not wrong"


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("half", ["v1", "alpha"])
def test_a_group_of_a_hundred_that_leaks_half_is_caught(share: float, half: str) -> None:
    """Of what the weight of v1 says, or of v1alpha2 where it has one; in 999 of 1,000 measurements."""
    rng, part = random.Random(5), share / 2 if half == "v1" else min(1.0, (1 + share) / 2)
    if half == "alpha" and share == 1.0:
        part = 0.5
    outcomes = Counter(measured(100, expected(share), expected(part), rng).outcome for _run in range(1000))
    assert outcomes["right"] <= 1 and outcomes["wrong"] + outcomes["undecided"] >= 999
    assert outcomes["undecided"] <= 1, "nor is it left unproven"


def test_true_shares_of_a_hundred_groups_are_right() -> None:
    """Ten whole migrations."""
    rng = random.Random(7)
    found = {share: [measured(100, expected(share), expected(share), rng) for _run in range(1000)] for share in SHARES}
    assert {tally.outcome for tallies in found.values() for tally in tallies} == {"right"}
    needed = {share: mean(tally.sent for tally in tallies) for share, tallies in found.items()}
    assert needed[0.1] < 450 and needed[0.5] < 90 and needed[1.0] == 72, "66 by batches of 12"


def test_how_often_a_true_share_is_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound of all tests, groups and measurements together is kept; and each test keeps its own, shown with one that can be seen in a simulation."""
    for groups in (1, 100):
        assert split_statistics.TESTS * split_statistics.MEASUREMENTS * groups * exp(-ShareTest(groups).reject_at) <= split_statistics.FALSE_ALARM * 1.001
    rng = random.Random(11)
    monkeypatch.setattr(split_statistics, "MEASUREMENTS", 1)
    monkeypatch.setattr(split_statistics, "FALSE_ALARM", 0.4)
    for share in (0.1, 0.5):
        doubted = sum(measured(1, expected(share), expected(share), rng).outcome == "wrong" for _run in range(1000))
        assert 0 < doubted <= 2 * 1000 * 0.4 / split_statistics.TESTS, "two of the tests are others"


@given(share=some.floats(0.0, 1.0), batch=some.integers(1, 60), seed=some.integers(0, 10**6))
def test_a_share_that_is_what_the_weights_say_is_never_doubted_whenever_it_is_looked_at(share: float, batch: int, seed: int) -> None:
    assert measured(1, expected(share), expected(share), random.Random(seed), 600, batch).outcome in ("right", "undecided")


# -- what is inconclusive -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("alpha", "v1", "share", "ruling"), [
    (180, 270, 0.5, "right"), (149, 301, 0.5, "undecided"), (100, 350, 0.5, "wrong"), (350, 100, 0.5, "wrong"),
    (450, 0, 0.0, "right"), (449, 1, 0.0, "wrong"), (0, 450, 1.0, "right"), (1, 449, 1.0, "wrong"),
])
def test_what_tells_nothing_may_be_either_stacks(alpha: int, v1: int, share: float, ruling: str) -> None:
    """A stack that sheds more than the other answers less than its share, and has it all the same."""
    assert ruled(expected(share), alpha=alpha, v1=v1, inconclusive=50) == ruling


def test_a_group_that_sheds_is_left_alone_and_one_that_sheds_a_little_is_not() -> None:
    wanted = expected(0.5)
    assert ruled(wanted, alpha=3, v1=3, inconclusive=20) == "undecided", "so few may be chance"
    assert ruled(wanted, alpha=3, v1=3, inconclusive=21) == ruled(wanted, alpha=500, v1=500, inconclusive=120) == "unsure"


# -- rules with others' backends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("real", "ruling"), [
    (Expected(0.0, 0.01, 0.99), "undecided"), (Expected(0.01, 0.0, 0.99), "wrong"), (Expected(0.005, 0.005, 0.99), "wrong"),
])
def test_a_pool_of_weight_1_beside_99_that_is_on_alpha_is_seen(real: Expected, ruling: str) -> None:
    """That it is well takes 34,200 tracer requests; with fewer it is not proven."""
    rng = random.Random(13)
    outcomes = Counter(measured(1, RULE_OF_TWO, real, rng).outcome for _run in range(100))
    assert "right" not in outcomes and outcomes[ruling] >= 99
    if ruling == "undecided":
        assert measured(1, RULE_OF_TWO, real, rng, 60_000).outcome == "right"


@pytest.mark.parametrize(("share", "half", "caught"), [(0.1, 0.05, 160), (0.5, 0.25, 200), (1.0, 0.5, 200)])
def test_half_of_a_rule_that_is_ours_is_measured_by_our_answers_alone(share: float, half: float, caught: int) -> None:
    """Where the answers that are allowed do not suffice to catch a leak, it is not right either."""
    rng, wanted = random.Random(17), Expected((1 - share) / 2, share / 2, 0.5, 0.5)
    well = Counter(measured(10, wanted, wanted, rng).outcome for _run in range(200))
    leaks = Counter(measured(10, wanted, Expected((1 - half) / 2, half / 2, 0.5), rng).outcome for _run in range(200))
    assert well["wrong"] == 0 and leaks["right"] <= 1 and well["right"] >= 198 and leaks["wrong"] >= caught, (well, leaks)


@pytest.mark.parametrize("like", STACKS)
@pytest.mark.parametrize("leaks", [0.0, 0.5, 1.0])
def test_where_another_backend_answers_like_a_stack_nothing_is_right(like: str, leaks: float) -> None:
    """At 100 % half of the rule is another's: what it answers hides whether ours leaks, and counts for nobody's fault."""
    alpha, v1 = 0.5 * leaks + 0.5 * (like == "alpha"), 0.5 * (1 - leaks) + 0.5 * (like == "v1")
    rng, wanted = random.Random(19), Expected(0.0, 0.5, 0.5, 0.5)
    outcomes = {measured(1, wanted, Expected(alpha, v1), rng).outcome for _run in range(100)}
    assert "right" not in outcomes and (leaks or outcomes == {"undecided"}), outcomes


@pytest.mark.parametrize("like", STACKS)
def test_the_smallest_of_several_backends_may_be_the_one_that_answers_like_a_stack(like: str) -> None:
    rng, wanted = random.Random(23), Expected(0.0, 0.6, 0.4, 0.1)
    part = {"alpha": 0.0, "v1": 0.6} | {like: 0.1 + 0.6 * (like == "v1")}
    assert {measured(1, wanted, Expected(other=0.3, **part), rng).outcome for _run in range(100)} == {"undecided"}
    assert {measured(1, wanted, wanted, rng).outcome for _run in range(100)} == {"right"}
