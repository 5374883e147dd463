# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back of a shift, with module executions that are played: when it is taken, what it asks for, and how it ends."""

from __future__ import annotations

import pytest

from tests.unit.helpers.controller_fakes import (
    ALPHA_ILL,
    BACK,
    BASELINE,
    CLEAN_UP,
    DRAINED,
    EVIDENCE,
    GO_ON,
    GOOD_GATE,
    JUDGED,
    REJECTED,
    START,
    STEP,
    UNDECIDED,
    UNHARMED,
    UNTOUCHED,
    WARM,
    Clock,
    Result,
    Start,
    unsettled,
)

# -- users while a change is taken ----------------------------------------------------------------------------------------

HARMED = {"judgement": {"user": {"decision": "reject"}, "new_failures": ["status 503"]}, "ok": False, "faults": ["user: status 503 x9"]}


@pytest.mark.parametrize(("piece", "what", "back"), [(WARM, "warm-up", UNTOUCHED), (STEP, "10 %", [*BACK, *DRAINED, "traffic_split"])])
def test_a_change_under_which_users_suffer_is_taken_back(start: Start, piece: str, what: str, back: list[str]) -> None:
    result, played = start((piece, unsettled(alpha=True, user=False) | HARMED))
    assert result["verdict"] == "FAILED"
    assert result["reason"].startswith(f"{what}: users' requests fail while the gateway takes the change: user: status 503 x9")
    assert played.done[played.done.index(piece) + 1 :] == [*back, CLEAN_UP]


def test_what_users_met_meanwhile_makes_the_gate_ask_their_own_rule(start: Start, lines: list[str]) -> None:
    met = {"ok": True, "clean": 5, "faults": [], "passing": {}, "sent": 40, "judgement": {"user": {"decision": "accept"}, "new_failures": ["status 503"]}}
    _result, played = start((STEP, met))
    gates = [arguments["judgement"] for _module, arguments in played.calls if arguments.get("check") == "gate"]
    assert [bool(judgement) for judgement in gates] == [False, True, False, False] and gates[1]["new_failures"] == ["status 503"]
    assert any(line.startswith("east: 10 %: settled after") and line.endswith("meanwhile users met status 503") for line in lines)


def test_how_users_fare_is_counted_from_one_stretch_to_the_next(start: Start) -> None:
    _result, played = start((STEP, unsettled(v1=False)))
    watched = [arguments["judgement"] for _module, arguments in played.calls if arguments.get("check") == "settled" and "both" not in arguments["variants"]]
    assert watched[:3] == [{}, UNHARMED["judgement"], {}]


# -- the way back --------------------------------------------------------------------------------------------------------


def test_a_rejected_gate_takes_everything_back(start: Start, clock: Clock, lines: list[str]) -> None:
    result, played = start(("gate", GOOD_GATE), ("gate", REJECTED))
    assert played.done[played.done.index("shifted 10") :] == ["shifted 10", STEP, "traffic_split", "gate", *BACK, *DRAINED, "traffic_split", CLEAN_UP]
    assert (result["failed"], result["verdict"], result["changed"]) == (True, "FAILED", True)
    counted = "41 pairs, 3 failed on v1 alone, 1 without evidence"
    assert result["msg"] == result["reason"] == f"gate at 10 %: v1 fails where v1alpha2 does not ({counted}): v1: status 503 x2"
    assert [gate["failures"] for gate in result["evidence"]] == [0, 3]
    assert clock.slept == 7, "v1's requests end before its probe route, which holds its backends, goes"
    assert any(line.startswith("east: FAILED: gate at 10 %") for line in lines)


def test_where_alpha_fails_too_nothing_can_be_compared(start: Start) -> None:
    result, played = start(("gate", GOOD_GATE), ("gate", UNDECIDED | {"decision": "inconclusive"}))
    assert result["verdict"] == "HELD" and "gate at 10 %: v1alpha2 fails as well" in result["reason"]
    assert "v1 has 0 % of the traffic. Mend the cause and start again" in result["reason"] and "restored" in played.done


def test_a_write_whose_answer_got_lost_is_drained_all_the_same(start: Start) -> None:
    same = {"changed": False, "written": 60.0, "routes": []}
    _result, played = start(("gate", GOOD_GATE), ("gate", REJECTED), ("restored", same))
    assert played.done[-7:] == [*BACK, *DRAINED, "traffic_split", CLEAN_UP]


def test_a_way_back_that_stops_still_lets_v1s_requests_end(start: Start, clock: Clock) -> None:
    result, played = start(("gate", GOOD_GATE), ("gate", REJECTED), *[("settled alpha+user", unsettled(alpha=True, user=False))] * 2, settle_seconds=60)
    assert result["verdict"] == "HELD" and played.done[-1] == CLEAN_UP
    assert clock.now - played.times[-1] < 7 and clock.slept == 7, "before its probe route is removed"


def test_alpha_that_sheds_load_can_be_gone_back_to(start: Start) -> None:
    busy = BASELINE | {"kinds": ["status 429", "it took too long"], "faults": ["alpha: it took too long x1"]}
    known = BASELINE | {"kinds": ["it took too long"]}
    _result, played = start(("baseline", known), ("gate", GOOD_GATE), ("gate", REJECTED), ("baseline alpha", busy))
    assert "restored" in played.done, "nothing fails that did not before, nor by shedding load"
    result, played = start(("baseline", known), ("gate", GOOD_GATE), ("gate", REJECTED), *[("baseline alpha", busy | {"kinds": ["status 500"]})] * 20)
    assert "restored" not in played.done and "v1alpha2 does not answer either (alpha: it took too long x1)" in result["reason"]


@pytest.mark.parametrize("stopped", [{"failed": True, "msg": "no room"}, {"failed": True, "held": True, "msg": "no room"}])
def test_a_run_that_does_not_know_how_users_are_served_writes_nothing(start: Start, stopped: Result) -> None:
    """They may be v1's already, by an earlier run: then nothing is given back unasked."""
    result, played = start(("baseline", stopped))
    assert played.done == ["baseline"]
    assert result["verdict"] == "HELD" and result["reason"] == f"no room. Nothing was written, so weights are as they were{GO_ON}"
    refused, played = start(("finished", stopped), state="withdrawn")
    assert played.done == ["finished"] and refused["verdict"] == "HELD"


def test_a_long_drain_keeps_the_lease(start: Start) -> None:
    _result, played = start(state="withdrawn", drain_seconds=1000)
    kept = [arguments for _module, arguments in played.calls if arguments.get("state") == "kept"]
    assert sum(arguments["seconds"] for arguments in kept) >= 1000 and all(arguments["run"] == "run-1" for arguments in kept)


def test_a_gate_without_a_decision_is_in_the_evidence(start: Start) -> None:
    result, _played = start(*[("gate", UNDECIDED)] * 4, gate_seconds=100)
    assert [gate["faults"] for gate in result["evidence"]] == [["v1: status 503 x2"]]


NOW = unsettled(alpha=True, v1=False, both=True, user=True)
THEN = unsettled(alpha=True, v1=True, both=True, user=True)
REHEARSAL = "settled alpha+both"
BOTH_FAIL = {"ok": False, "judgement": {"user": {"decision": "reject", "failures": 9, "successes": 11}}, "faults": ["both: status 500 x9"], "sent": 40}


@pytest.mark.parametrize("before", [NOW, THEN], ids=["never a whole round", "one now and then"])
def test_whether_v1_once_passed_a_whole_round_changes_no_verdict(start: Start, lines: list[str], before: Result) -> None:
    """What fails three requests in ten passes a round by luck: the sequential test decides."""
    result, played = start((WARM, before), (WARM, NOW), ("gate", UNDECIDED), ("gate", REJECTED), warm_seconds=60)
    assert result["verdict"] == "FAILED"
    counted = "41 pairs, 3 failed on v1 alone, 1 without evidence"
    assert result["reason"].startswith(f"warm-up: not settled within 60 s: v1 fails where v1alpha2 does not ({counted}): v1: status 503 x2. 503 from")
    assert "HealthCheckPolicy of default/llama-ga" in result["reason"]
    assert played.done == ["baseline", "present", WARM, WARM, "gate", "gate", *UNTOUCHED, CLEAN_UP]
    gates = [arguments for _module, arguments in played.calls if arguments.get("check") == "gate"]
    assert [(arguments["judgement"], arguments["known"]) for arguments in gates] == [(None, ["status 429"]), (JUDGED, ["status 429"])]
    assert "east: in pairs: 38 pairs, 0 failed on v1 alone, 1 without evidence: undecided" in lines
    assert result["evidence"] == [], "it is no gate of the migration"


@pytest.mark.parametrize(("answers", "said"), [
    ([GOOD_GATE], "In pairs v1 fails no more than v1alpha2 (38 pairs"),
    ([UNDECIDED] * 4, "Pairs do not tell either (38 pairs"),
    ([UNDECIDED | {"decision": "inconclusive"}], "v1alpha2 fails as well, so v1 can't be compared with it (38 pairs"),
])
def test_what_pairs_do_not_blame_on_v1_is_held(start: Start, answers: list[Result], said: str) -> None:
    """Random failures that both stacks may have keep rounds from being clean, which is nothing against v1."""
    result, played = start((WARM, NOW), (WARM, NOW), *[("gate", answer) for answer in answers], warm_seconds=60, gate_seconds=100)
    assert result["verdict"] == "HELD" and f"warm-up: not settled within 60 s: v1: status 503 x9. {said}" in result["reason"]
    assert played.done.count(REHEARSAL) == (answers == [GOOD_GATE]), "asked where each stack by itself is well"


def test_rules_that_name_both_are_judged_where_each_stack_is_well(start: Start) -> None:
    result, played = start((WARM, NOW), (WARM, NOW), (REHEARSAL, BOTH_FAIL), warm_seconds=60)
    assert result["verdict"] == "FAILED" and "rules that name both fail (9 of 20 requests): both: status 500 x9" in result["reason"]
    asked = next(arguments for _module, arguments in played.calls if arguments.get("variants") == ["alpha", "both"])
    assert (asked["judgement"], asked["gate"]["gates"], asked["known"]) == ({}, 4, ["status 429"])


@pytest.mark.parametrize(("targets", "alpha", "verdict"), [
    ({"chat": 30, "completions": 0}, True, "FAILED"),
    ({"chat": 30, "completions": 1}, True, "HELD"),
    ({"chat": 30, "completions": 0}, False, "HELD"),
    ({f"target {number}": number % 2 for number in range(20)}, True, "HELD"),
], ids=["never", "once", "by v1alpha2 neither", "asked too seldom to tell"])
def test_what_v1_never_answers_is_not_lost_among_many_targets(start: Start, targets: dict[str, int], alpha: bool, verdict: str) -> None:
    gate = UNDECIDED | {"judgement": UNDECIDED["judgement"] | {"targets": targets}}
    settling = NOW | {"passing": NOW["passing"] | {"alpha": alpha}}
    result, _played = start((WARM, settling), (WARM, settling), *[("gate", gate)] * 4, warm_seconds=60, gate_seconds=100)
    assert result["verdict"] == verdict


def test_a_step_that_does_not_settle_is_judged_by_pairs(start: Start) -> None:
    """Users' own rules are in the pairs: what was met before makes their test decide as well."""
    settling = unsettled(alpha=True, v1=True, user=False) | {"judgement": {"user": {"decision": "accept"}, "new_failures": ["status 503"]}}
    own = REJECTED | {"judgement": GOOD_GATE["judgement"] | {"user": EVIDENCE | {"failures": 4}}}
    result, played = start(("gate", GOOD_GATE), *[(STEP, settling)] * 2, ("gate", own), settle_seconds=60)
    assert result["verdict"] == "FAILED" and "1 without evidence, and 4 times users' own rules failed" in result["reason"]
    assert played.done[played.done.index("shifted 10") :] == ["shifted 10", STEP, STEP, "gate", *BACK, *DRAINED, "traffic_split", CLEAN_UP]
    gates = [arguments["judgement"] for _module, arguments in played.calls if arguments.get("check") == "gate"]
    assert gates[0] is None and gates[1]["new_failures"] == ["status 503"]


def test_a_status_that_stays_bad_needs_no_pairs(start: Start) -> None:
    status = THEN | {"passing": THEN["passing"] | {"status": False}}
    result, played = start((WARM, THEN), (WARM, status), warm_seconds=60)
    assert result["verdict"] == "FAILED", "traffic is well, the status is not"
    assert "gate" not in played.done


@pytest.mark.parametrize("piece", ["settled v1+user", "gone both"])
def test_no_pairs_are_asked_where_a_stack_is_on_its_way_out(start: Start, piece: str) -> None:
    _result, played = start(*[(piece, unsettled(v1=False, user=False, both=False))] * 2, state="withdrawn", settle_seconds=60)
    assert "gate" not in played.done


def test_where_nothing_had_moved_nothing_is_drained(start: Start, clock: Clock) -> None:
    result, played = start(("gate", REJECTED))
    assert played.done == [*START, *UNTOUCHED, CLEAN_UP]
    assert result["verdict"] == "FAILED" and clock.slept == 0


@pytest.mark.parametrize(("passed", "expected"), [(0, "restored"), (1, "shifted 10"), (2, "shifted 50")])
def test_a_gate_without_a_decision_is_held_at_what_was_proven(start: Start, clock: Clock, passed: int, expected: str) -> None:
    result, played = start(*[("gate", GOOD_GATE)] * (passed + 1), *[("gate", UNDECIDED)] * 4, gate_seconds=100)
    back = len(played.done) - 1 - played.done[::-1].index("gate")
    drained = [] if passed else DRAINED
    assert played.done[back + 1 :] == ["baseline alpha", expected, "settled alpha+user", *drained, "traffic_split", CLEAN_UP]
    assert result["verdict"] == "HELD" and result["failed"]
    assert result["reason"].endswith(f"v1 has {(0, 10, 50)[passed]} % of the traffic{GO_ON}")
    assert f"gate at {(10, 50, 100)[passed]} %: no decision within 100 s" in result["reason"]


def test_who_wants_held_to_stay_keeps_the_weights(start: Start) -> None:
    result, played = start(*[("gate", GOOD_GATE)] * 2, *[("gate", UNDECIDED)] * 4, gate_seconds=100, on_held="stay")
    assert played.done[-2:] == ["gate", CLEAN_UP] and "restored" not in played.done
    assert result["verdict"] == "HELD" and result["reason"].endswith(f"Weights stay as they are (on_held){GO_ON}")
    failed, other = start(("gate", GOOD_GATE), ("gate", REJECTED), on_held="stay")
    assert failed["verdict"] == "FAILED" and "restored" in other.done, "what fails goes back whatever is wanted of HELD"


def test_where_alpha_does_not_answer_weights_stay(start: Start) -> None:
    result, played = start(("gate", GOOD_GATE), ("gate", REJECTED), ("baseline alpha", ALPHA_ILL))
    assert played.done[-3:] == ["gate", "baseline alpha", CLEAN_UP], "no weight is written after that"
    assert result["verdict"] == "HELD"
    assert result["reason"].endswith(f"v1alpha2 does not answer either (alpha: status 500 x1), so weights stay as they are{GO_ON}")


def test_the_way_back_asks_alpha_before_it_writes(start: Start) -> None:
    _result, played = start(("gate", GOOD_GATE), ("gate", REJECTED))
    assert played.done.index("baseline alpha") < played.done.index("restored")


def test_a_write_that_fails_takes_back(start: Start) -> None:
    result, played = start(("shifted 50", {"failed": True, "msg": "HTTPRoute default/x: refused by a webhook"}))
    assert (result["verdict"], result["reason"]) == ("FAILED", "HTTPRoute default/x: refused by a webhook")
    assert played.done[-6:-1] == ["restored", "settled alpha+user", *DRAINED, "traffic_split"]


def test_somebody_elses_weights_are_held_not_fought(start: Start) -> None:
    drift = {"failed": True, "held": True, "msg": "rule 0 was changed by somebody else"}
    result, played = start(("shifted 50", drift), ("shifted 10", {"changed": True, "written": 60.0, "routes": []}), ("shifted 10", drift))
    assert result["verdict"] == "HELD"
    assert result["reason"] == f"rule 0 was changed by somebody else. On the way back: rule 0 was changed by somebody else{GO_ON}"
    assert played.done[-3:] == ["baseline alpha", "shifted 10", CLEAN_UP]


def test_a_way_back_that_does_not_settle_is_held(start: Start) -> None:
    result, _played = start(("gate", GOOD_GATE), ("gate", REJECTED), *[("settled alpha+user", unsettled(alpha=True, user=False))] * 2, settle_seconds=60)
    assert result["verdict"] == "HELD"
    assert "On the way back: way back: not settled within 60 s" in result["reason"]


def test_a_lost_lease_writes_nothing_more(start: Start) -> None:
    lost = {"failed": True, "msg": "Lease x is held by run-2, not by this run"}
    result, played = start(("gate", lost), ("baseline user", lost), (CLEAN_UP, lost))
    assert played.done == [*START, "baseline user", CLEAN_UP]
    assert result["verdict"] == "HELD" and "Probe routes may be left: Lease x is held by run-2" in result["reason"]


def test_a_withdrawal_that_fails_goes_back_to_alpha(start: Start) -> None:
    broken = unsettled(v1=False, user=False)
    result, played = start(*[("settled v1+user", broken)] * 2, state="withdrawn", settle_seconds=60)
    assert played.done[-7:] == [*BACK, *DRAINED, "traffic_split", CLEAN_UP] and result["verdict"] == "FAILED"


def test_a_withdrawal_that_is_held_goes_back_to_full_share(start: Start) -> None:
    """Every way is answered at some time, and never all of them at once: it can't be told whose fault it is."""
    unsure = unsettled(v1=True, user=True)
    result, played = start(*[("settled v1+user", unsure)] * 2, state="withdrawn", settle_seconds=60)
    assert played.done[-4:] == ["shifted 100", "settled alpha+user", "traffic_split", CLEAN_UP]
    assert result["verdict"] == "HELD"


@pytest.mark.parametrize("refused", [{"failed": True, "msg": "denied: not at this hour"}, {"failed": True, "unreachable_api": True, "msg": "no answer"}])
def test_a_withdrawal_whose_own_work_is_refused_leaves_users_where_they_are(start: Start, refused: Result) -> None:
    """It says nothing of v1, which was proven. The probe routes hold v1alpha2 until the next run has let its requests end."""
    result, played = start(("absent both", refused), state="withdrawn", api_patience=0)
    assert played.done == ["finished", "present v1", "absent both"]
    assert result["verdict"] == "HELD" and "v1 alone serves users, as was proven, and weights stay so" in result["reason"] and GO_ON in result["reason"]


# -- an API server that does not answer ----------------------------------------------------------------------------------

SILENT = {"failed": True, "unreachable_api": True, "msg": "no usable answer"}


def test_a_silent_api_server_is_waited_for_with_a_line(start: Start, lines: list[str]) -> None:
    result, played = start(("shifted 10", SILENT), ("shifted 10", SILENT))
    assert result["verdict"] == "PROVEN" and played.done.count("shifted 10") == 3
    assert [line for line in lines if "no answer" in line or "are answers" in line] == [
        "east: no answer; trying again for up to 299 s more. no usable answer",
        "east: no answer; trying again for up to 297 s more. no usable answer",
        "east: there are answers again",
    ]


def test_an_api_server_that_stays_silent_is_held_and_weights_stay(start: Start) -> None:
    result, played = start(*[("shifted 50", SILENT)] * 3, *[("baseline alpha", SILENT)] * 3, *[(CLEAN_UP, SILENT)] * 3, api_patience=5)
    assert result["verdict"] == "HELD"
    assert result["reason"] == f"no usable answer. On the way back: no usable answer. Probe routes may be left: no usable answer{GO_ON}"
    assert played.done[-6:] == ["baseline alpha"] * 3 + [CLEAN_UP] * 3
