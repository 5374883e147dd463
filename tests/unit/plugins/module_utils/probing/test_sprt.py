# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate's error probabilities: worked out exactly for one test, and simulated for the two tests of a whole migration."""

from __future__ import annotations

import random
from math import ceil, exp, log

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sprt import Bounds, Evidence, classify

CHOICES = [{}, {"p1": 0.2}, {"p0": 0.005, "p1": 0.05}, {"p0": 0.05, "p1": 0.1, "false_promotion": 0.1, "false_rollback": 0.1}]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"p0": 0.02, "p1": 0.02}, "0 < p0 < p1 < 1"),
        ({"p0": 0}, "0 < p0 < p1 < 1"),
        ({"p1": 1}, "0 < p0 < p1 < 1"),
        ({"false_promotion": 0}, "between 0 and 0.5"),
        ({"false_rollback": 0.5}, "between 0 and 0.5"),
        ({"gates": 0}, "at least one gate"),
    ],
)
def test_bounds_that_mean_nothing_are_refused(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Bounds(**wrong)


def test_bounds_as_a_person_writes_them() -> None:
    assert Bounds.of({}) == Bounds()
    assert Bounds.of({"p1": "0.2", "gates": "3"}) == Bounds(p1=0.2, gates=3)
    for wrong, said in (
        ({"p2": 1}, "takes p0, p1, false_promotion and false_rollback, not p2"),
        ({"p1": "much"}, "could not convert"),
        ({"p1": None}, "takes numbers"),
    ):
        with pytest.raises(ValueError, match=said):
            Bounds.of(wrong)


def test_thresholds_are_walds_with_the_error_split_over_the_gates() -> None:
    bounds = Bounds(gates=4)
    each = 0.8 * 0.01 / 4 / 2
    assert bounds.test_error == pytest.approx(each), "two tests a gate, and a tenth each for the watch and for single targets"
    assert exp(bounds.accept_at) == pytest.approx((0.001 / 4) / (1 - each))
    assert exp(bounds.reject_at) == pytest.approx((1 - 0.001 / 4) / each)
    assert exp(-bounds.cusum_limit) * 1_000_000 * 4 * 2 == pytest.approx(0.1 * 0.01)


@pytest.mark.parametrize(
    ("bounds", "pairs"), [(Bounds(gates=4), 432), (Bounds(p1=0.2, gates=4), 38), (Bounds(p1=0.2, gates=3), 37), (Bounds(p1=0.2, gates=1), 32)]
)
def test_clean_pairs(bounds: Bounds, pairs: int) -> None:
    assert bounds.clean_pairs == pairs
    evidence = Evidence()
    for number in range(1, pairs + 1):
        evidence = evidence.add("success", bounds)
        assert evidence.decision == ("accept" if number == pairs else "undecided")


def test_failures_in_a_row_reject_and_each_one_costs_clean_pairs() -> None:
    bounds = Bounds()
    one = Evidence().add("failure", bounds)
    assert one.decision == "undecided"
    assert one.add("failure", bounds).decision == "undecided"
    assert one.add("failure", bounds).add("failure", bounds).decision == "reject"
    for _pair in range(bounds.clean_pairs):
        one = one.add("success", bounds)
    assert one.decision == "undecided"


def test_void_pairs_are_counted_and_say_nothing() -> None:
    after = Evidence().add("inconclusive", Bounds())
    assert (after.ratio, after.successes, after.failures, after.inconclusive) == (0.0, 0, 0, 1)


def test_only_where_alpha_succeeds_does_a_pair_say_anything() -> None:
    assert [classify(True, True), classify(True, False)] == ["success", "failure"]
    assert [classify(False, True), classify(False, False)] == ["inconclusive", "inconclusive"]


def test_a_decision_stands() -> None:
    bounds, evidence = Bounds(p1=0.2), Evidence()
    for _pair in range(bounds.clean_pairs):
        evidence = evidence.add("success", bounds)
    ratio = evidence.ratio
    for _pair in range(3):
        evidence = evidence.add("failure", bounds)
    assert (evidence.decision, evidence.ratio, evidence.failures) == ("accept", ratio, 3)


def test_the_watch_finds_what_turns_bad_after_it_was_accepted() -> None:
    bounds, evidence = Bounds(), Evidence()
    for _pair in range(20_000):
        evidence = evidence.add("success", bounds)
    failures = 0
    while evidence.decision == "accept":
        evidence, failures = evidence.add("failure", bounds), failures + 1
    assert (evidence.decision, failures) == ("reject", ceil(bounds.cusum_limit / bounds.up)) and failures <= 8


def test_the_watch_keeps_its_promise() -> None:
    """Bounds that make it err often enough to be counted: 200 runs of 20,000 pairs at p0, against n exp(-h)."""
    rng, bounds = random.Random(7), Bounds(p0=0.01, p1=0.2, gates=1)
    limit, pairs, runs, wrong = 13.0, 20_000, 200, 0
    for _run in range(runs):
        sum_, sent = 0.0, 0
        while sent < pairs:
            clean = int(log(1 - rng.random()) / log(1 - bounds.p0))
            sent += clean + 1
            sum_ = max(0.0, sum_ + clean * bounds.down) + bounds.up
            if sum_ >= limit:
                wrong += 1
                break
    assert 0 < wrong / runs <= pairs * exp(-limit) + 3 * (pairs * exp(-limit) / runs) ** 0.5


def errors(bounds: Bounds, share: float) -> tuple[float, float]:
    """The exact probabilities that one test accepts and rejects a v1 stack failing ``share`` of pairs, step by step over all walks."""
    walks, accepted, rejected, sent = {0: 1.0}, 0.0, 0.0, 0
    while sum(walks.values()) > 1e-9:
        sent += 1
        after: dict[int, float] = {}
        for failures, mass in walks.items():
            for now, part in ((failures, mass * (1 - share)), (failures + 1, mass * share)):
                ratio = now * bounds.up + (sent - now) * bounds.down
                if ratio <= bounds.accept_at:
                    accepted += part
                elif ratio >= bounds.reject_at:
                    rejected += part
                else:
                    after[now] = after.get(now, 0.0) + part
        walks = after
    return accepted, rejected


@pytest.mark.parametrize("chosen", CHOICES)
@pytest.mark.parametrize("gates", [1, 4])
def test_one_test_errs_no_more_than_promised_over_a_migration(chosen: dict[str, float], gates: int) -> None:
    bounds = Bounds(gates=gates, **chosen)
    promoted, _rejected = errors(bounds, bounds.p1)
    _accepted, rolled_back = errors(bounds, bounds.p0)
    assert gates * promoted <= bounds.false_promotion
    assert gates * rolled_back <= bounds.false_rollback
    assert gates * promoted > bounds.false_promotion / 10, "a test that never errs waits too long"


def migration(bounds: Bounds, share: float, rng: random.Random) -> tuple[bool, bool, int]:
    """One migration in which v1 and the users' own rule fail by chance, each ``share`` of the time.

    Jumps from failure to failure, and asks the evidence itself at each of them.

    :returns: whether any gate accepted, whether one rejected, and pairs until then.
    """
    accepted, sent = False, 0
    nothing_fails = log((1 - share) ** 2)
    for _gate in range(bounds.gates):
        pairs = user = Evidence()
        while True:
            clean = int(log(1 - rng.random()) / nothing_fails)
            left = ceil((bounds.accept_at - pairs.ratio) / bounds.down)
            if clean >= left:
                sent += left
                accepted = True
                break
            pairs, user = (_clean(entry, clean, bounds) for entry in (pairs, user))
            which = rng.random() * (2 - share)
            pairs = pairs.add("failure" if which < 1 else "success", bounds)
            user = user.add("failure" if which > 1 - share else "success", bounds)
            sent += clean + 1
            if "reject" in (pairs.decision, user.decision):
                return accepted, True, sent
    return accepted, False, sent


def _clean(before: Evidence, count: int, bounds: Bounds) -> Evidence:
    """``count`` pairs without a failure at once; none of them may decide."""
    change = count * bounds.down
    ratio = before.ratio + change if before.decision == "undecided" else before.ratio
    decision = "accept" if before.decision == "undecided" and ratio <= bounds.accept_at else before.decision
    return Evidence(ratio, before.successes + count, before.failures, before.inconclusive, max(0.0, before.cusum + change), decision)


RUNS = 100_000


@pytest.mark.parametrize("seed", [20261126])
def test_five_steps_err_no_more_than_promised(seed: int) -> None:
    """100,000 migrations of five steps each at p1 = 2 % and p0 = 0.1 %: what is promised over the whole migration, both tests counted."""
    bounds, rng = Bounds(gates=6), random.Random(seed)
    promoted = sum(migration(bounds, bounds.p1, rng)[0] for _run in range(RUNS))
    rolled_back = sum(migration(bounds, bounds.p0, rng)[1] for _run in range(RUNS))
    assert promoted <= bounds.false_promotion * RUNS
    assert rolled_back <= bounds.false_rollback * RUNS
    assert rolled_back > bounds.false_rollback * RUNS / 20, "a test that never errs waits too long"


def test_five_percent_errors_are_caught_in_few_pairs() -> None:
    bounds, rng, runs = Bounds(gates=6), random.Random(5), 20_000
    assert sum(migration(bounds, 0.05, rng)[2] for _run in range(runs)) / runs <= 65
