# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judging pairs, with senders that do as they are told."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import gate
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.gate import Judgement
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sprt import Bounds, Evidence
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import Probe

from tests.unit.helpers.probing_fakes import BAD, CELLS, GATE, OK, Said, comparisons, fast, soon

NOTHING = Judgement()
"""Of a gate that begins."""


def judge(send: Callable[[Probe], Said], before: Judgement = NOTHING, bounds: Bounds = GATE, seconds: float = 20.0) -> Judgement:
    return gate.judge(comparisons(), send, bounds, before, soon(seconds), fast(), 2)


def test_a_good_v1_is_accepted_after_its_clean_pairs() -> None:
    after = judge(lambda probe: OK)
    assert after.decide(CELLS, GATE) == "accept"
    assert (after.pairs.failures, after.user.failures, after.faults) == (0, 0, ())
    assert GATE.clean_pairs <= after.pairs.successes <= GATE.clean_pairs + 2
    assert after.sent == 3 * after.pairs.successes
    assert {str(target) for target in CELLS} == {name for name, count in after.targets if count >= GATE.target_successes}


@pytest.mark.parametrize(("bad", "who"), [("v1", "v1"), (None, "user")])
def test_a_bad_v1_or_a_bad_way_of_the_users_is_rejected_at_once(bad: str | None, who: str) -> None:
    after = judge(lambda probe: BAD if probe.variant == bad else OK)
    assert after.decide(CELLS, GATE) == "reject"
    assert after.sent <= 3 * 6
    assert sum(dict(after.targets).values()) == (0 if bad else after.pairs.successes), "a target is covered by v1's successes"
    assert after.faults and all(fault.startswith(f"{who}: status 503") for fault in after.faults)


def test_accepting_needs_successes_in_every_target() -> None:
    silent = CELLS[-1]
    after = judge(lambda probe: BAD if probe.target == silent else OK, seconds=0.5)
    assert after.pairs.decision == "accept"
    assert after.decide(CELLS, GATE) == "undecided"
    assert after.decide(CELLS[:-1], GATE) == "accept"
    assert dict(after.targets)[str(silent)] == 0


@pytest.mark.parametrize("missing", ["targets", "live"])
def test_three_successes_a_target(missing: str) -> None:
    """Through v1 and through the users' own rules alike."""
    pairs, whole = Evidence(decision="accept"), tuple((str(target), 3) for target in CELLS)
    short = (*whole[:-1], (str(CELLS[-1]), 2))
    assert Judgement(pairs, targets=whole, live=whole).decide(CELLS, GATE) == "accept"
    assert Judgement(pairs, **{missing: short, "targets" if missing == "live" else "live": whole}).decide(CELLS, GATE) == "undecided"


def test_both_tests_share_the_error_of_a_false_rollback() -> None:
    bounds, evidence = Bounds(), Evidence()
    for failures in (1, 2, 3):
        evidence = evidence.add("failure", bounds)
        expected = "reject" if failures == 3 else "undecided"
        assert Judgement(user=evidence).decide(CELLS, GATE) == Judgement(pairs=evidence).decide(CELLS, GATE) == expected
    whole = Bounds(false_rollback=2 * bounds.false_rollback / 0.8 * 1.01)
    assert Evidence().add("failure", whole).add("failure", whole).decision == "reject", "with the whole error to itself, two would do"


def test_what_mostly_fails_on_alpha_too_is_void() -> None:
    after = judge(lambda probe: BAD)
    assert after.decide(CELLS, GATE) == "inconclusive"
    assert gate.INCONCLUSIVE_PAIRS <= after.pairs.inconclusive == after.user.inconclusive <= gate.INCONCLUSIVE_PAIRS + 2
    assert (after.pairs.successes, after.pairs.failures, after.user.failures) == (0, 0, 0)
    assert Judgement(Evidence(inconclusive=30, successes=31)).decide(CELLS, GATE) == "undecided"
    assert Judgement(Evidence(inconclusive=30, successes=30)).decide(CELLS, GATE) == "inconclusive"
    assert Judgement(Evidence(inconclusive=29)).decide(CELLS, GATE) == "undecided", "a few say nothing"


def test_where_only_alpha_fails_v1_has_not_won() -> None:
    after = judge(lambda probe: BAD if probe.variant == "alpha" else OK)
    assert (after.pairs.successes, after.pairs.failures) == (0, 0) and after.decide(CELLS, GATE) == "inconclusive"


def test_a_new_kind_of_failure_pauses_the_step() -> None:
    covered = tuple((str(target), 3) for target in CELLS)
    good = Evidence(decision="accept")
    assert Judgement(good, targets=covered, live=covered).decide(CELLS, GATE) == "accept", "the pairs alone decide"
    assert Judgement(good, targets=covered, live=covered, new_failures=("status 500",)).decide(CELLS, GATE) == "undecided"
    assert Judgement(good, good, targets=covered, live=covered, new_failures=("status 500",)).decide(CELLS, GATE) == "accept"
    flaky, lock = iter([BAD]), threading.Lock()

    def first_of_the_users(probe: Probe) -> Said:
        with lock:
            return next(flaky, OK) if probe.variant is None else OK

    paused = judge(first_of_the_users)
    assert paused.new_failures == ("status 503",) and paused.user.decision == paused.decide(CELLS, GATE) == "accept"
    assert paused.user.successes > GATE.clean_pairs + 10, "the users' own test had to accept as well"
    flaky = iter([BAD])
    known = gate.judge(comparisons(), first_of_the_users, GATE, Judgement(), soon(), fast(), 2, frozenset({"status 503"}))
    assert known.new_failures == () and known.decide(CELLS, GATE) == "accept" and known.sent < paused.sent


def test_a_gate_is_held_and_finds_what_turns_bad() -> None:
    held = gate.judge(comparisons(), lambda probe: OK, GATE, Judgement(), soon(0.5), fast(), 2, soak_until=soon(0.5))
    assert held.pairs.successes > 2 * GATE.clean_pairs and held.decide(CELLS, GATE) == "accept"
    turned = gate.judge(comparisons(), lambda probe: BAD if probe.variant == "v1" else OK, GATE, held, soon(), fast(), 2, soak_until=soon())
    assert turned.decide(CELLS, GATE) == "reject" and turned.pairs.failures <= 12


def test_the_evidence_goes_on_in_another_execution() -> None:
    first = judge(lambda probe: OK, seconds=0.0)
    assert first == Judgement()
    part = gate.judge(comparisons(tuple(CELLS[:2])), lambda probe: OK, GATE, Judgement(), soon(), fast(), 2)
    dumped = json.loads(json.dumps(part.dump()))
    assert Judgement.load(dumped) == part
    whole = judge(lambda probe: OK, before=Judgement.load(dumped))
    assert whole.decide(CELLS, GATE) == "accept"
    assert whole.sent - part.sent <= 3 * (GATE.target_successes * 4 + 2), "three rounds of all targets show the other two often enough"
    assert Judgement.load(None) == Judgement.load({}) == Judgement()


def test_faults_of_earlier_stretches_are_kept_but_bounded() -> None:
    before = Judgement(faults=tuple(f"old {number}" for number in range(6)))
    after = judge(lambda probe: BAD if probe.variant == "v1" else OK, before=before)
    assert len(after.faults) == 6 and after.faults[0].startswith("old") and after.faults[-1].startswith("v1: ")


def test_nothing_to_probe_is_nothing_that_has_passed() -> None:
    after = gate.judge([], lambda probe: BAD, GATE, Judgement(), soon(2), fast(), 2)
    assert after.sent == 0 and after.decide([], GATE) == "inconclusive"
    assert Judgement().decide(CELLS, GATE) == "undecided"


REFUSED = Said("status 403 by the gateway itself: denied", 403, by_gateway=True)


@pytest.mark.parametrize("who", ["v1", None])
def test_a_refusal_of_the_gateways_own_never_judges_v1(who: str | None) -> None:
    """A policy may count the requests of v1's backend alone."""
    after = judge(lambda probe: REFUSED if probe.variant == who else OK)
    assert after.decide(CELLS, GATE) == "inconclusive" and after.refused >= 1
    assert after.pairs.failures == after.user.failures == 0 and after.alone == after.new_failures == ()
    assert Judgement.load(json.loads(json.dumps(after.dump()))) == after


@pytest.mark.parametrize("share", [0.03, 0.3])
def test_a_v1_that_is_refused_more_than_v1alpha2_is_not_accepted(share: float) -> None:
    """A picker before v1.5 that sheds load looks as a policy does, so a few are no reason to promote v1, nor to blame it."""
    chance = random.Random(20261128)
    for _migration in range(20):
        after = judge(lambda probe: REFUSED if probe.variant == "v1" and chance.random() < share else OK, bounds=Bounds(), seconds=60)
        assert after.decide(CELLS, Bounds()) == "inconclusive" and after.pairs.failures == 0


def test_a_server_that_both_share_and_that_goes_down_in_between_is_not_v1s_fault() -> None:
    """v1alpha2 is asked before the others, and once more after a failure."""
    answers = iter([OK, BAD, BAD, BAD])
    target = comparisons()[0][0].target
    down = gate.compare(comparisons()[0], lambda _probe: next(answers), fast())
    after = gate.add_comparison(NOTHING, target, down, GATE, frozenset())
    assert (after.pairs.failures, after.pairs.inconclusive, after.user.inconclusive, after.alone, after.sent) == (0, 1, 1, (), 4)


def test_a_batch_of_one_asks_again_and_afresh_by_turns() -> None:
    asked, order = comparisons(), []
    suspected = gate.add_comparison(NOTHING, asked[0][0].target, [OK, BAD, OK], GATE, frozenset())
    turns = [gate.next_batch(order, asked, suspected, 1)[0][1] for _time in range(400)]
    assert 120 < sum(turns) < 280
