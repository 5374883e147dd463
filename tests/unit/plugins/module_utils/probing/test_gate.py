# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settling, judging and the cap on the rate, with senders that do as they are told."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import gate, sending, settle, targets, traffic_split
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.gate import Judgement
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sending import Pace
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sprt import Bounds, Evidence
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import Probe, ProbeTarget
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.traffic_split import Signature

from tests.unit.helpers.migration_fakes import ALPHA, KEY, gateway, http_route, plan_pool, rule

CELLS = targets.probe_targets(http_route(rule(ALPHA)), {("default", "gw"): gateway()}, {KEY: plan_pool()})
GATE = Bounds(p1=0.2)


@dataclass(frozen=True)
class Said:
    reason: str | None = None
    status: int = 200

    @property
    def ok(self) -> bool:
        return self.reason is None

    @property
    def kind(self) -> str:
        return self.reason or ""


OK, BAD = Said(), Said("status 503", 503)


def probes(*variants: targets.Variant | None, among: tuple[ProbeTarget, ...] = tuple(CELLS)) -> list[Probe]:
    return [targets.probe(target, variant, "igm1", {}) for variant in variants for target in among]


def comparisons(among: tuple[ProbeTarget, ...] = tuple(CELLS)) -> list[gate.Comparison]:
    return [tuple(probes("alpha", "v1", None, among=(target,))) for target in among]  # type: ignore[misc]


def fast() -> Pace:
    return Pace(1e9)


def soon(seconds: float = 20.0) -> float:
    return time.monotonic() + seconds


# -- settle --------------------------------------------------------------------------------------------------------------


def in_rounds(size: int, failing: Iterable[int]) -> Callable[[Probe], Said]:
    """One probe of each of these rounds (from 0) fails."""
    sent, lock, bad = [0], threading.Lock(), set(failing)

    def send(probe: Probe) -> Said:
        with lock:
            number, place = divmod(sent[0], size)
            sent[0] += 1
        return BAD if number in bad and place == size // 2 else OK

    return send


def test_rounds_in_a_row_settle() -> None:
    asked = probes("alpha", None)
    found = settle.settle(asked, in_rounds(len(asked), []), 3, soon(), fast(), 4)
    assert (found.done, found.rounds, found.passing, found.faults.worst()) == (True, 3, {"alpha": True, "user": True}, [])


@pytest.mark.parametrize("failing", [[0], [2], [0, 3], [1, 4]])
def test_one_failure_starts_the_count_anew(failing: list[int]) -> None:
    asked, rounds = probes("alpha"), Counter[int]()
    send = in_rounds(len(asked), failing)

    def counted(probe: Probe) -> Said:
        rounds["sent"] += 1
        return send(probe)

    found = settle.settle(asked, counted, 3, soon(), fast(), 1)
    assert found.done and rounds["sent"] == (max(failing) + 1 + 3) * len(asked)


def test_the_deadline_ends_it_with_who_passed_and_why_not() -> None:
    found = settle.settle(probes("alpha", "v1", None), lambda probe: BAD if probe.variant == "v1" else OK, 3, time.monotonic(), fast(), 4)
    assert (found.done, found.rounds, found.passing) == (False, 0, {"alpha": True, "v1": False, "user": True})
    assert len(found.faults.worst()) == 3 and all(text.startswith("v1: status 503 [default/gw ") and text.endswith(" x1") for text in found.faults.worst())
    assert found.faults.worst("alpha") == []


def test_a_deadline_in_the_middle_of_a_clean_run_is_not_settled() -> None:
    found = settle.settle(probes("alpha"), lambda probe: OK, 3, time.monotonic(), fast(), 4)
    assert (found.done, found.rounds, found.passing) == (False, 1, {"alpha": True})


def test_a_clean_run_goes_on_in_the_next_stretch() -> None:
    late, clean = time.monotonic(), 0
    for stretch in range(1, 4):
        found = settle.settle(probes("alpha"), lambda probe: OK, 3, late, fast(), 4, clean)
        clean = found.rounds
        assert (found.done, clean) == (stretch == 3, stretch)
    assert settle.settle(probes("alpha"), lambda probe: BAD, 3, late, fast(), 4, clean).rounds == 0


def test_who_passed_in_any_round_is_told() -> None:
    """That v1 never does is another matter than that it failed in the last round."""
    asked = probes("v1")
    found = settle.settle(asked, in_rounds(len(asked), range(1, 10**6)), 3, soon(0.3), fast(), 1)
    assert (found.done, found.rounds, found.passing) == (False, 0, {"v1": True}) and found.faults.worst() != []


def monitor(control: bool = True, before: dict[str, Any] | None = None) -> settle.LiveTrafficMonitor:
    return settle.LiveTrafficMonitor(Bounds(), ["status 429"], control, before or {})


def test_a_few_failures_of_users_are_kept_and_many_end_it() -> None:
    asked = probes("alpha", None)
    few = monitor()
    found = settle.settle(asked, in_rounds(len(asked), [1]), 3, soon(), fast(), 1, monitor=few)
    assert found.done and few.judgement.new_failures == ("status 503",) and not few.rejects
    many = monitor()
    found = settle.settle(asked, lambda probe: OK if probe.variant else BAD, 3, soon(), fast(), 1, monitor=many)
    assert not found.done and many.rejects and 8 <= many.judgement.user.failures <= 8 + len(CELLS)
    assert found.faults.worst()[0].startswith("user: status 503")
    more = monitor(before=json.loads(json.dumps(few.judgement.dump())))
    assert more.judgement == few.judgement


@pytest.mark.parametrize(("alpha", "rejected"), [(OK, True), (BAD, False)])
def test_without_users_rules_their_rehearsal_is_watched(alpha: Said, rejected: bool) -> None:
    """Against v1alpha2 also before v1 has any traffic: the probe rules that name both lead to v1."""
    rehearsal = monitor(control=False)
    settle.settle(probes("alpha", "both"), lambda probe: alpha if probe.variant == "alpha" else BAD, 3, soon(0.3), fast(), 1, monitor=rehearsal)
    assert rehearsal.rejects is rejected
    rule = monitor(control=False)
    settle.settle(probes("both", None), lambda probe: BAD if probe.variant else OK, 3, soon(0.3), fast(), 1, monitor=rule)
    assert rule.judgement.user.failures == 0, "where users' rules are asked they are what counts"


def test_what_well_served_rounds_before_can_not_make_up_for() -> None:
    """The change is taken in the middle of settling: that all went well until then says nothing."""
    asked, late = probes("alpha", None), monitor()
    found = settle.settle(asked, in_rounds(len(asked), range(300, 10**6)), 10**6, soon(5.0), fast(), 1, monitor=late)
    assert late.rejects and not found.done


def test_the_first_clean_round_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, now = probes("alpha"), [1000.0]
    send = in_rounds(len(asked), [0, 2])

    def each_takes_a_second(probe: Probe) -> Said:
        now[0] += 1
        return send(probe)

    monkeypatch.setattr(settle.time, "time", lambda: now[0])
    found = settle.settle(asked, each_takes_a_second, 3, soon(), fast(), 1)
    assert found.done and found.first == 1000.0 + 4 * len(asked)
    assert settle.settle(asked, lambda probe: BAD, 3, time.monotonic(), fast(), 1).first == 0.0


def test_worst_names_the_most_frequent_first() -> None:
    faults = sending.Faults()
    for probe, said, times in zip(probes("v1"), (Said("a"), Said("b"), Said("c"), OK), (1, 3, 2, 9)):
        for _time in range(times):
            faults.note(probe, said)
    assert [text.split(" [")[0] for text in faults.worst(most=2)] == ["v1: b", "v1: c"]
    assert faults.sent == {"v1": 15}


# -- judge ---------------------------------------------------------------------------------------------------------------


def judge(send: Callable[[Probe], Said], before: Judgement = Judgement(), bounds: Bounds = GATE, seconds: float = 20.0) -> Judgement:  # noqa: B008
    return gate.judge(comparisons(), send, bounds, before, soon(seconds), fast(), 6)


def test_a_good_v1_is_accepted_after_its_clean_pairs() -> None:
    after = judge(lambda probe: OK)
    assert after.decide(CELLS) == "accept"
    assert (after.pairs.failures, after.user.failures, after.faults) == (0, 0, ())
    assert GATE.clean_pairs <= after.pairs.successes <= GATE.clean_pairs + 2
    assert after.sent == 3 * after.pairs.successes
    assert {str(target) for target in CELLS} == {name for name, count in after.targets if count >= gate.TARGET_SUCCESSES}


@pytest.mark.parametrize(("bad", "who"), [("v1", "v1"), (None, "user")])
def test_a_bad_v1_or_a_bad_way_of_the_users_is_rejected_at_once(bad: str | None, who: str) -> None:
    after = judge(lambda probe: BAD if probe.variant == bad else OK)
    assert after.decide(CELLS) == "reject"
    assert after.sent <= 3 * 6
    assert sum(dict(after.targets).values()) == (0 if bad else after.pairs.successes), "a target is covered by v1's successes"
    assert after.faults and all(fault.startswith(f"{who}: status 503") for fault in after.faults)


def test_accepting_needs_successes_in_every_target() -> None:
    silent = CELLS[-1]
    after = judge(lambda probe: BAD if probe.target == silent else OK, seconds=0.5)
    assert after.pairs.decision == "accept"
    assert after.decide(CELLS) == "undecided"
    assert after.decide(CELLS[:-1]) == "accept"
    assert dict(after.targets)[str(silent)] == 0


@pytest.mark.parametrize("missing", ["one", "two"])
def test_three_successes_a_target(missing: str) -> None:
    covered = tuple((str(target), gate.TARGET_SUCCESSES) for target in CELLS[:-1])
    pairs = Evidence(decision="accept")
    assert Judgement(pairs, targets=(*covered, (str(CELLS[-1]), 2))).decide(CELLS) == "undecided"
    assert Judgement(pairs, targets=(*covered, (str(CELLS[-1]), 3))).decide(CELLS) == "accept"


def test_both_tests_share_the_error_of_a_false_rollback() -> None:
    bounds, evidence = Bounds(), Evidence()
    for failures in (1, 2, 3):
        evidence = evidence.add("failure", bounds)
        expected = "reject" if failures == 3 else "undecided"
        assert Judgement(user=evidence).decide(CELLS) == Judgement(pairs=evidence).decide(CELLS) == expected
    whole = Bounds(false_rollback=2 * bounds.false_rollback / 0.9 * 1.01)
    assert Evidence().add("failure", whole).add("failure", whole).decision == "reject", "with the whole error to itself, two would do"


def test_what_mostly_fails_on_alpha_too_is_void() -> None:
    after = judge(lambda probe: BAD)
    assert after.decide(CELLS) == "inconclusive"
    assert gate.INCONCLUSIVE_PAIRS <= after.pairs.inconclusive == after.user.inconclusive <= gate.INCONCLUSIVE_PAIRS + 2
    assert (after.pairs.successes, after.pairs.failures, after.user.failures) == (0, 0, 0)
    assert Judgement(Evidence(inconclusive=30, successes=31)).decide(CELLS) == "undecided"
    assert Judgement(Evidence(inconclusive=30, successes=30)).decide(CELLS) == "inconclusive"
    assert Judgement(Evidence(inconclusive=29)).decide(CELLS) == "undecided", "a few say nothing"


def test_where_only_alpha_fails_v1_has_not_won() -> None:
    after = judge(lambda probe: BAD if probe.variant == "alpha" else OK)
    assert (after.pairs.successes, after.pairs.failures) == (0, 0) and after.decide(CELLS) == "inconclusive"


def test_a_new_kind_of_failure_pauses_the_step() -> None:
    covered = tuple((str(target), 3) for target in CELLS)
    good = Evidence(decision="accept")
    assert Judgement(good, targets=covered).decide(CELLS) == "accept", "the pairs alone decide"
    assert Judgement(good, targets=covered, new_failures=("status 500",)).decide(CELLS) == "undecided"
    assert Judgement(good, good, targets=covered, new_failures=("status 500",)).decide(CELLS) == "accept"
    flaky, lock = iter([BAD]), threading.Lock()

    def first_of_the_users(probe: Probe) -> Said:
        with lock:
            return next(flaky, OK) if probe.variant is None else OK

    paused = judge(first_of_the_users)
    assert paused.new_failures == ("status 503",) and paused.user.decision == paused.decide(CELLS) == "accept"
    assert paused.user.successes > GATE.clean_pairs + 10, "the users' own test had to accept as well"
    flaky = iter([BAD])
    known = gate.judge(comparisons(), first_of_the_users, GATE, Judgement(), soon(), fast(), 6, frozenset({"status 503"}))
    assert known.new_failures == () and known.decide(CELLS) == "accept" and known.sent < paused.sent


def test_a_gate_is_held_and_finds_what_turns_bad() -> None:
    held = gate.judge(comparisons(), lambda probe: OK, GATE, Judgement(), soon(0.5), fast(), 6, soak_until=soon(0.5))
    assert held.pairs.successes > 2 * GATE.clean_pairs and held.decide(CELLS) == "accept"
    turned = gate.judge(comparisons(), lambda probe: BAD if probe.variant == "v1" else OK, GATE, held, soon(), fast(), 6, soak_until=soon())
    assert turned.decide(CELLS) == "reject" and turned.pairs.failures <= 12


# -- baseline ------------------------------------------------------------------------------------------------------------


def test_a_baseline_knows_the_kinds_of_failure_and_who_never_answers() -> None:
    asked = probes(None)
    faults, kinds, silent = settle.baseline(asked, in_rounds(len(asked), [1]), 3, soon(), fast(), 4)
    assert (kinds, silent, faults.sent["user"]) == (("status 503",), (), 3 * len(asked))
    _faults, kinds, silent = settle.baseline(asked, lambda probe: BAD if probe.target == CELLS[0] else OK, 3, soon(), fast(), 4)
    assert (kinds, silent) == (("status 503",), (str(CELLS[0]),))
    faults, _kinds, _silent = settle.baseline(asked, lambda probe: OK, 3, time.monotonic(), fast(), 4)
    assert faults.sent["user"] == len(asked), "one round is the least"


# -- measure -------------------------------------------------------------------------------------------------------------

FROM_ALPHA, FROM_V1 = Signature(404, False, False, ""), Signature(404, True, True, "rewritten")


def served(v1_every: int | None, alike: bool = False) -> Callable[[Probe], Signature | None]:
    """v1 serves every so many of the users' requests."""
    lock, count = threading.Lock(), [0]

    def send(probe: Probe) -> Signature | None:
        assert probe.target.model == "nobody-uses-igm1"
        if alike:
            return FROM_V1
        if probe.variant:
            return FROM_V1 if probe.variant == "v1" else FROM_ALPHA
        with lock:
            count[0] += 1
            return FROM_V1 if v1_every and count[0] % v1_every == 0 else FROM_ALPHA

    return send


def measured(send: Callable[[Probe], Signature | None], share: float, count: int = 500) -> traffic_split.TrafficSplit:
    return traffic_split.measure(CELLS, lambda group: traffic_split.Expected(1 - share, share), send, "igm1", count, fast(), 6)


def test_a_share_that_is_what_the_weights_say() -> None:
    found = measured(served(10), 0.1)
    assert (found.faults, found.blind, found.sent) == ((), (), 500 + 2 * traffic_split.SAMPLES)
    where = "rule 0 of HTTPRoute default/llm-route at default/gw 127.0.0.1:8080"
    assert found.counted == (f"answered by alpha 450 and v1 50 of 500 tracer requests, weights say 90.0% and 10.0% ({where})",)
    assert measured(served(None), 0.0).faults == measured(served(1), 1.0).faults == ()


@pytest.mark.parametrize(("every", "share"), [(2, 0.1), (None, 0.1), (500, 0.0), (5, 0.5), (None, 1.0), (2, 1.0)])
def test_a_share_that_is_not(every: int | None, share: float) -> None:
    (fault,) = measured(served(every), share).faults
    assert "tracer requests" in fault and "where its weight says" in fault


def test_stacks_that_answer_alike_are_said_to_be() -> None:
    found = measured(served(None, alike=True), 0.5)
    assert found.faults == found.counted == () and "the stacks answer alike" in found.blind[0] and found.sent == 2 * traffic_split.SAMPLES


SHED = Signature(429, False, True, "")


@pytest.mark.parametrize(("shed", "unsure"), [(20, None), (10, None), (5, "answered 429"), (1, "54 of 54 tracer requests were answered 429 or by an error")])
def test_a_tracer_that_was_too_much_tells_nothing(shed: int, unsure: str | None) -> None:
    """Every so many of the users' tracer requests is shed: at a share of 100 % none of the others is wrong."""
    serve, turn = served(1), iter(range(10**6))

    def send(probe: Probe) -> Signature | None:
        return SHED if probe.variant is None and next(turn) % shed == 0 else serve(probe)

    found = measured(send, 1.0)
    assert found.faults == () and len(found.unsure) == bool(unsure) and (unsure or "") in "".join(found.unsure)
    assert (found.sent == 500 + 2 * traffic_split.SAMPLES) is not bool(unsure), "a stack that sheds load is left alone"


def test_what_is_wrong_is_wrong_whatever_was_shed() -> None:
    turn = iter(range(10**6))
    found = measured(lambda probe: SHED if probe.variant is None and next(turn) % 5 == 0 else served(None)(probe), 1.0)
    assert "where its weight says" in found.faults[0] and found.unsure == ()


def test_where_a_stack_sheds_every_sample_the_other_one_still_tells() -> None:
    """As on the way back from a v1 that sheds load."""
    found = measured(lambda probe: SHED if probe.variant == "v1" else served(None)(probe), 0.0)
    assert found.faults == found.blind == found.unsure == () and "answered by alpha 500 of 500 tracer requests" in found.counted[0]
    both = measured(lambda probe: SHED if probe.variant else served(1)(probe), 1.0)
    assert both.faults == both.blind == () and "no tracer request by the probe routes was answered, or by 429 alone" in both.unsure[0]


@pytest.mark.parametrize("answer", [None, Signature(503, True, False, "")])
def test_a_tracer_that_some_server_failed_is_no_wrong_share(answer: Signature | None) -> None:
    turn = iter(range(10**6))
    found = measured(lambda probe: answer if probe.variant is None and next(turn) % 50 == 0 else served(1)(probe), 1.0)
    assert found.faults == found.unsure == () and "v1 490 of 500 tracer requests" in found.counted[0]


def test_rules_that_only_a_persons_requests_reach_are_said_to_be_uncounted() -> None:
    own = replace(CELLS[0], rule=1, endpoint=targets.OWN, body="{}")
    found = traffic_split.measure([*CELLS, own], lambda group: traffic_split.Expected(0.0, 1.0), served(1), "igm1", 500, fast(), 6)
    assert found.blind == ("rule 1 of HTTPRoute default/llm-route at default/gw 127.0.0.1:8080: only requests of your own reach it",)


def test_less_than_one_tracer_is_refused() -> None:
    with pytest.raises(ValueError, match="tracers must be 1 or more, not -1"):
        measured(served(1), 1.0, -1)


def test_of_an_ill_stack_the_other_one_still_tells() -> None:
    """On the way back from a v1 that answers now so, now so: that all tracer requests are answered by alpha can be seen all the same."""
    turn = iter(range(10**6))

    def ill(probe: Probe) -> Signature | None:
        return Signature(500 + next(turn), True, True, "") if probe.variant == "v1" else FROM_ALPHA

    well, wrong = measured(ill, 0.0), measured(ill, 0.5)
    assert well.faults == well.blind == () and "answered by alpha 500 of 500 tracer requests" in well.counted[0]
    assert "alpha answered 500 of 500 tracer requests (100.0%) where its weight says 50.0%" in wrong.faults[0]
    neither = measured(lambda probe: Signature(500 + next(turn), True, True, ""), 0.5)
    assert "neither stack answers in one way" in neither.blind[0] and neither.faults == ()


def test_no_answer_is_nobodys() -> None:
    unanswered = measured(lambda probe: served(None)(probe) if probe.variant else None, 0.0)
    assert unanswered.faults == () and "54 of 54 tracer requests" in unanswered.unsure[0]


def test_the_evidence_goes_on_in_another_execution() -> None:
    first = judge(lambda probe: OK, seconds=0.0)
    assert first == Judgement()
    part = gate.judge(comparisons(tuple(CELLS[:2])), lambda probe: OK, GATE, Judgement(), soon(), fast(), 6)
    dumped = json.loads(json.dumps(part.dump()))
    assert Judgement.load(dumped) == part
    whole = judge(lambda probe: OK, before=Judgement.load(dumped))
    assert whole.decide(CELLS) == "accept"
    assert whole.sent - part.sent <= 3 * (gate.TARGET_SUCCESSES * 4 + 2), "three rounds of all targets show the other two often enough"
    assert Judgement.load(None) == Judgement.load({}) == Judgement()


def test_faults_of_earlier_stretches_are_kept_but_bounded() -> None:
    before = Judgement(faults=tuple(f"old {number}" for number in range(6)))
    after = judge(lambda probe: BAD if probe.variant == "v1" else OK, before=before)
    assert len(after.faults) == 6 and after.faults[0].startswith("old") and after.faults[-1].startswith("v1: ")


def test_nothing_to_probe_is_nothing_that_has_passed() -> None:
    after = gate.judge([], lambda probe: BAD, GATE, Judgement(), soon(2), fast(), 6)
    assert after.sent == 0 and after.decide([]) == "inconclusive"
    assert Judgement().decide(CELLS) == "undecided"


# -- pace ----------------------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now, self.slept = 100.0, 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds
        self.slept += seconds


@pytest.mark.parametrize("rate", [0, -5])
def test_a_rate_that_is_none_is_refused(rate: int) -> None:
    with pytest.raises(ValueError, match=f"probe_rate must be 1 or more probes a second, not {rate}"):
        Pace(rate)


def test_pace_spreads_requests() -> None:
    clock = Clock()
    pace = Pace(10, clock, clock.sleep)
    for _request in range(21):
        pace.take()
    assert clock.slept == pytest.approx(2.0)
    pace.take(30)
    pace.take()
    assert clock.slept == pytest.approx(2.0 + 0.1 + 3.0)


def test_pace_lends_nothing_for_idle_time() -> None:
    clock = Clock()
    pace = Pace(10, clock, clock.sleep)
    clock.now += 1000
    for _request in range(11):
        pace.take()
    assert clock.slept == pytest.approx(1.0)


def test_pace_holds_for_threads_that_ask_at_once() -> None:
    waits: list[float] = []
    pace = Pace(10, lambda: 100.0, waits.append)
    threads = [threading.Thread(target=pace.take) for _thread in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == pytest.approx([number / 10 for number in range(1, 12)])


def test_pace_gives_way_to_429_and_comes_back() -> None:
    clock = Clock()
    pace = Pace(10, clock, clock.sleep)

    def second_of(answers: list[Said], times: int) -> float:
        for _time in range(times):
            pace.heed(answers)
        pace.take()
        before = clock.now
        pace.take()
        return clock.now - before

    much = [OK, Said("status 429", 429)]
    assert second_of(much, 1) == pytest.approx(0.2)
    assert second_of(much, 9) == pytest.approx(1.6), "at most 16 times slower"
    assert second_of([OK], 1) == pytest.approx(1.44)
    assert second_of([OK], 99) == pytest.approx(0.1), "and never faster than its cap"
