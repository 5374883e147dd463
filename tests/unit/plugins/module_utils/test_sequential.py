# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate's error probabilities: worked out exactly for one test, and simulated for the two tests of a whole migration."""

from __future__ import annotations

import random
from math import ceil, exp, log

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.prober import Judgement
from ansible_collections.inference_gateway.migration.plugins.module_utils.sequential import Bounds, Evidence, classify

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
    assert exp(bounds.accept_at) == pytest.approx((0.001 / 4) / (1 - 0.01 / 4))
    assert exp(bounds.reject_at) == pytest.approx((1 - 0.001 / 4) / (0.01 / 4))


@pytest.mark.parametrize(
    ("bounds", "pairs"), [(Bounds(gates=4), 432), (Bounds(p1=0.2, gates=4), 38), (Bounds(p1=0.2, gates=3), 37), (Bounds(p1=0.2, gates=1), 32)]
)
def test_clean_pairs(bounds: Bounds, pairs: int) -> None:
    assert bounds.clean_pairs == pairs
    evidence = Evidence()
    for number in range(1, pairs + 1):
        evidence = evidence.add("success", bounds)
        assert evidence.decide(bounds) == ("accept" if number == pairs else "undecided")


def test_failures_in_a_row_reject_and_each_one_costs_clean_pairs() -> None:
    bounds = Bounds()
    one = Evidence().add("failure", bounds)
    assert one.decide(bounds) == "undecided"
    assert one.add("failure", bounds).decide(bounds) == "reject"
    for _pair in range(bounds.clean_pairs):
        one = one.add("success", bounds)
    assert one.decide(bounds) == "undecided"


def test_void_pairs_are_counted_and_say_nothing() -> None:
    after = Evidence().add("void", Bounds())
    assert (after.ratio, after.successes, after.failures, after.void) == (0.0, 0, 0, 1)


def test_only_where_alpha_succeeds_is_a_failure_v1s_own() -> None:
    assert [classify(True, True), classify(True, False), classify(False, True), classify(False, False)] == ["success", "failure", "success", "void"]


def errors(bounds: Bounds, share: float) -> tuple[float, float]:
    """The exact probabilities that one gate accepts and rejects a v1 stack failing ``share`` of pairs, step by step over all walks."""
    walks, accepted, rejected, sent = {0: 1.0}, 0.0, 0.0, 0
    up, down = log(bounds.p1 / bounds.p0), log((1 - bounds.p1) / (1 - bounds.p0))
    while sum(walks.values()) > 1e-9:
        sent += 1
        after: dict[int, float] = {}
        for failures, mass in walks.items():
            for now, part in ((failures, mass * (1 - share)), (failures + 1, mass * share)):
                ratio = now * up + (sent - now) * down
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


def migration(bounds: Bounds, share: float, rng: random.Random) -> tuple[bool, bool]:
    """One migration in which marked pairs and users' probes fail by chance: whether any gate accepted, and whether one rejected.

    Jumps from failure to failure, and asks Judgement itself at each of them.
    """
    down = log((1 - bounds.p1) / (1 - bounds.p0))
    accepted = False
    for _gate in range(bounds.gates):
        pairs = user = Evidence()
        while True:
            clean = int(log(1 - rng.random()) / log((1 - share) ** 2))
            needed = max(0, ceil((bounds.accept_at - pairs.ratio) / down) + 1)
            step = min(clean, needed)
            pairs, user = (Evidence(entry.ratio + step * down, entry.successes + step, entry.failures) for entry in (pairs, user))
            if step == clean < needed:
                first = rng.random() < 0.5
                pairs, user = pairs.add("failure" if first else "success", bounds), user.add("success" if first else "failure", bounds)
            decision = Judgement(pairs, user, (("cell", 3),)).decide(bounds, ["cell"])  # type: ignore[list-item]
            if decision == "reject":
                return accepted, True
            if decision == "accept":
                accepted = True
                break
    return accepted, False


@pytest.mark.parametrize("chosen", CHOICES[:3])
def test_both_tests_together_err_no_more_than_promised_over_a_migration(chosen: dict[str, float]) -> None:
    bounds, rng, runs = Bounds(gates=4, **chosen), random.Random(20260101), 1500
    rolled_back = sum(migration(bounds, bounds.p0, rng)[1] for _run in range(runs)) / runs
    promoted = sum(migration(bounds, bounds.p1, rng)[0] for _run in range(runs)) / runs
    # Three standard errors of what is promised: what 1500 runs may show by chance.
    assert rolled_back <= bounds.false_rollback + 3 * (bounds.false_rollback / runs) ** 0.5
    assert promoted <= bounds.false_promotion + 3 * (bounds.false_promotion / runs) ** 0.5
