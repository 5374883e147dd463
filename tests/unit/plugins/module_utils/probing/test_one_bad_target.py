# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One target of many that fails, which the sum over all of them hides: simulated with a seed, so the same in every run."""

from __future__ import annotations

import random

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.gate import Judgement, add_comparison, alone_key, next_batch
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sprt import Bounds, Evidence

from benchmarks.one_bad_target import BAD, GOOD, Ended, comparisons, migration

BOUNDS = Bounds(gates=4)
RUNS = 100


@pytest.fixture(autouse=True)
def seeded() -> None:
    random.seed(20261128)


def simulated(count: int, bad: float, who: str, runs: int = RUNS) -> list[Ended]:
    asked = comparisons(count)
    return [migration(asked, BOUNDS, bad, who) for _run in range(runs)]


@pytest.mark.parametrize("who", ["v1", "user"])
@pytest.mark.parametrize("count", [1, 10, 120, 240])
def test_one_that_fails_half_the_time_is_not_promoted(count: int, who: str) -> None:
    """But for one migration in 4096 in which all gates meet its good halves alone; how often that is, ``make bench-gate`` shows."""
    found = simulated(count, 0.5, who)
    assert sum(ended.promoted for ended in found) <= 1 and all(ended.rejected or ended.promoted for ended in found)


@pytest.mark.parametrize("who", ["v1", "user"])
def test_one_that_always_fails_is_rejected_by_itself(who: str) -> None:
    """On the sum alone one of 160 was accepted."""
    assert all(ended.rejected and ended.comparisons < 700 for ended in simulated(160, 1.0, who, 4))


def test_a_v1_that_fails_as_little_as_p0_allows_is_promoted() -> None:
    asked = comparisons(10)
    found = [migration(asked, BOUNDS, BOUNDS.p0, "v1", BOUNDS.p0) for _run in range(30)]
    assert all(ended.promoted for ended in found)


def test_one_failure_of_a_good_target_holds_nobody_up_for_long() -> None:
    asked = comparisons(10)
    judgement = add_comparison(Judgement(), asked[0][0].target, [GOOD, BAD, GOOD], BOUNDS, frozenset())
    again, order = 0, []
    while judgement.suspects:
        for comparison, extra in next_batch(order, asked, judgement, 4):
            judgement = add_comparison(judgement, comparison[0].target, [GOOD, GOOD, GOOD], BOUNDS, frozenset(), extra)
            again += extra
    assert again <= 40 and judgement.pairs.successes + judgement.pairs.failures == sum(dict(judgement.targets).values()) + 1 - again
    assert dict(judgement.alone)[alone_key("v1", asked[0][0].target)].decision == "accept"


def test_while_a_targets_own_test_is_open_the_gate_does_not_accept() -> None:
    asked = comparisons(1)
    name, good = str(asked[0][0].target), Evidence(decision="accept")
    whole = ((name, 9),)
    assert Judgement(good, targets=whole, live=whole).decide([asked[0][0].target], BOUNDS) == "accept"
    for decision, ruling in (("undecided", "undecided"), ("accept", "accept"), ("reject", "reject")):
        alone = ((f"user {name}", Evidence(decision=decision)),)
        assert Judgement(good, targets=whole, live=whole, alone=alone).decide([asked[0][0].target], BOUNDS) == ruling


def test_what_fails_on_v1alpha2_too_or_was_known_before_is_no_suspicion() -> None:
    target = comparisons(1)[0][0].target
    usual = frozenset({"status 503"})
    for answers, known in (([BAD, BAD, BAD], frozenset()), ([GOOD, GOOD, BAD], usual), ([GOOD, GOOD, GOOD], frozenset())):
        assert add_comparison(Judgement(), target, answers, BOUNDS, known).alone == ()
    of_v1 = add_comparison(Judgement(), target, [GOOD, BAD, BAD], BOUNDS, usual)
    assert [key.partition(" ")[0] for key, _test in of_v1.alone] == ["v1"], "what v1 fails alone is never usual"
    opened = Judgement(alone=((alone_key("user", target), Evidence()),))
    after = add_comparison(opened, target, [GOOD, GOOD, BAD], BOUNDS, usual)
    assert [(test.failures, test.inconclusive) for _key, test in after.alone] == [(0, 1)], "nor does it count in a test that another kind has opened"
    both = add_comparison(Judgement(), target, [GOOD, BAD, BAD], BOUNDS, frozenset())
    assert {key.partition(" ")[0] for key, _test in both.alone} == {"v1", "user"} and both.suspects == {str(target)}


@pytest.mark.parametrize(("bounds", "least"), [(Bounds(gates=4), 3), (Bounds(gates=2), 5), (Bounds(gates=1), 10), (Bounds(false_promotion=0.1, gates=1), 4)])
def test_successes_that_a_target_must_have(bounds: Bounds, least: int) -> None:
    """One that fails half the time gets through all gates unseen within false_promotion."""
    assert bounds.target_successes == least and 0.5 ** (least * bounds.gates) <= bounds.false_promotion


def test_what_failures_at_p0_open_stays_within_its_part_of_a_false_rollback() -> None:
    opened = 1_000_000 * BOUNDS.p0 * BOUNDS.gates * 2
    test, failures = Evidence(), 0
    while test.decision == "undecided":
        test, failures = test.add("failure", BOUNDS.target), failures + 1
    assert failures == 3 and opened * BOUNDS.p0 ** failures < 0.1 * BOUNDS.false_rollback
