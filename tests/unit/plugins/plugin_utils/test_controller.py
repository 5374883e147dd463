# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller of a shift, with module executions that are played: what it asks for, in which order, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.plugin_utils import controller, long_streams, phases, session

from tests.unit.helpers.controller_fakes import (
    ALPHA_ILL,
    BACK,
    BASELINE,
    CLEAN_UP,
    CUT_BY_V1,
    DRAINED,
    END,
    GO_ON,
    GOOD_GATE,
    LOOKING,
    OPENED,
    REJECTED,
    SHARE,
    SHED,
    START,
    STEP,
    STREAM,
    STREAMS,
    UNDECIDED,
    UNTOUCHED,
    WARM,
    WATCH,
    WRONG_SHARE,
    Clock,
    Start,
    unsettled,
)
from tests.unit.helpers.migration_fakes import make_plan, plan_pool

# -- the way through -----------------------------------------------------------------------------------------------------


def test_a_migration_that_goes_well(start: Start, lines: list[str], clock: Clock) -> None:
    result, played = start()
    assert played.done == START + [piece for share in (10, 50, 100) for piece in (f"shifted {share}", STEP, "traffic_split", "gate")] + [END]
    assert (result["verdict"], result["changed"], result["stack"]) == ("PROVEN", True, BASELINE["stack"]) and "failed" not in result
    assert result["reason"] == "v1 proven at 100 % by 152 pairs in 4 gates; not proven: long-streams (stream_seconds is 0, so none was held)"
    assert result["unproven"] == [{"kind": "long-streams", "what": "stream_seconds is 0, so none was held"}]
    assert [gate["share"] for gate in result["evidence"]] == [0, 10, 50, 100]
    counted = {"pairs": 38, "sent": 117, "failures": 0, "inconclusive": 1, "user_failures": 0, "new_failures": [], "faults": []}
    assert result["evidence"][0] == {"share": 0} | counted
    assert result["evidence"][1] == {"share": 10, "counted": SHARE["counted"], "blind": [], "undecided": []} | counted
    assert all(arguments["known"] == ["status 429"] for _module, arguments in played.calls if arguments.get("check") == "gate")
    assert lines and all(line.startswith("east: ") for line in lines)
    assert "east: step 2 of 3: v1 gets 50 %" in lines
    assert clock.slept == 0


def test_every_piece_is_bounded_and_bears_the_lease(start: Start) -> None:
    _result, played = start(probe_rate=9, probe_timeout=3, gate={"p1": 0.2}, steps=[50, 100])
    for module, arguments in played.calls:
        assert arguments["run"] == "run-1" and arguments["plan"] == make_plan() and arguments["state_namespace"]
        if module in LOOKING:
            assert 1 <= arguments["seconds"] <= session.STRETCH
            assert (arguments["probe_rate"], arguments["probe_timeout"], arguments["fail"]) == (9, 3, False)
    gates = [arguments["gate"] for module, arguments in played.calls if arguments.get("check") == "gate"]
    assert gates == [{"p1": 0.2, "gates": 3}] * 3


def test_nothing_changed_is_said_so(start: Start) -> None:
    same = {"changed": False, "written": 60.0, "routes": []}
    result, _played = start(("present", same), *[(f"shifted {share}", same) for share in (10, 50, 100)])
    assert result["changed"] is False


def test_a_gate_goes_on_with_its_evidence(start: Start, lines: list[str]) -> None:
    _result, played = start(("gate", UNDECIDED), ("gate", UNDECIDED))
    handed_on = [arguments["judgement"] for _module, arguments in played.calls if arguments.get("check") == "gate"]
    assert handed_on[:4] == [None, UNDECIDED["judgement"], UNDECIDED["judgement"], None]
    assert "east: gate at 0 %: 38 pairs, 0 failed on v1 alone, 1 without evidence: undecided" in lines


def test_settling_goes_on_with_its_clean_rounds(start: Start, lines: list[str]) -> None:
    _result, played = start((WARM, unsettled(alpha=True) | {"clean": 3}), (WARM, unsettled(alpha=True)))
    handed_on = [arguments["clean"] for _module, arguments in played.calls if arguments.get("check") == "settled"]
    assert handed_on[:4] == [0, 3, 0, 0]
    assert "east: warm-up: waiting, 30 s: v1: status 503 x9" in lines


def test_a_soak_holds_the_gate_and_says_a_line_a_minute(start: Start, lines: list[str]) -> None:
    _result, played = start(soak_seconds=130, steps=[100])
    gates = [arguments["soak"] for _module, arguments in played.calls if arguments.get("check") == "gate"]
    # Each played gate takes a second; share and settling belong to the soak.
    assert gates[0] == 0 and set(gates[1:-1]) <= {*range(1, 31)} and len(gates) == 1 + 129
    soaking = [line for line in lines if line.startswith("east: gate at 100 %")]
    assert len(soaking) == 4 and "accept, soak 128 s left" in soaking[0] and soaking[-1].endswith(": accept")


def test_what_turns_bad_in_a_soak_goes_back(start: Start) -> None:
    result, played = start(*[("gate", GOOD_GATE)] * 5, ("gate", REJECTED), soak_seconds=600)
    assert result["verdict"] == "FAILED" and played.done[-7:] == [*BACK, *DRAINED, "traffic_split", CLEAN_UP]


def test_long_streams_go_on_beside_the_first_gate_and_over_each_change(start: Start, lines: list[str]) -> None:
    result, played = start(stream_seconds=35, steps=[50, 100])
    assert played.done == [*OPENED, "begin streams", "gate", "ended"] + [
        piece for share in (50, 100) for piece in ("begin streams", f"shifted {share}", STEP, "traffic_split", "gate", "ended")] + [END]
    assert [gate["spanned"] for gate in result["evidence"]] == [False, True, True] and result["evidence"][2]["streams"] == [STREAM]
    assert "east: streams at 50 %: v1alpha2 kept all open for 35 s, v1 kept all open for 35 s, over the change of weights" in lines
    begun = [arguments for _module, arguments in played.calls if arguments.get("check") == "streams"]
    assert all("run" not in arguments for arguments in begun), "two executions at once do not both renew the Lease"


def test_what_v1_cuts_ends_a_soak_at_once(start: Start, clock: Clock) -> None:
    result, played = start(*[("ended", STREAMS)] * 2, *[("ended", CUT_BY_V1)] * 2, stream_seconds=35, soak_seconds=600, steps=[50, 100])
    assert result["verdict"] == "FAILED" and result["reason"].startswith("streams at 50 %: v1 cut a stream after 30 s")
    assert [gate["share"] for gate in result["evidence"]] == [0, 50] and clock.now < 1000 + 200
    assert [gate["streams"] for gate in result["evidence"]] == [[STREAM]] * 2, "also of the streams that ended it"


def test_streams_are_opened_within_the_soak_before(start: Start, clock: Clock) -> None:
    _result, played = start(stream_seconds=35, soak_seconds=60, steps=[50, 100])
    at = dict(zip(played.done, played.times))  # the last time of each
    assert at["shifted 100"] - at["shifted 50"] == 60 + 2, "nothing but the write and the settling is beyond the soak"
    assert at["shifted 100"] - at["begin streams"] >= long_streams.OPENING


def test_it_is_said_where_no_endpoint_has_streams(start: Start, lines: list[str]) -> None:
    result, _played = start(*[("ended", STREAMS | {"streams": [], "sent": 0})] * 2, stream_seconds=35, steps=[100])
    assert result["verdict"] == "PROVEN" and "east: streams at 0 %: no endpoint has them" in lines


def test_a_v1_that_cuts_long_streams_gets_no_traffic(start: Start) -> None:
    result, played = start(("ended", STREAMS), ("ended", CUT_BY_V1), ("ended", CUT_BY_V1), stream_seconds=35)
    assert result["verdict"] == "FAILED"
    assert result["reason"].startswith("streams at 0 %: v1 cut a stream after 30 s. look at the timeout in the backend policies of")
    assert played.done == [*OPENED, "begin streams", "gate", "ended", "begin streams", "ended", *UNTOUCHED, CLEAN_UP]


def test_a_change_that_cuts_streams_goes_back_to_what_was_proven(start: Start) -> None:
    cut = STREAMS | {"streams": [STREAM | {"alpha": {"seconds": 4.0, "reason": "it ended before [DONE]"}}]}
    result, played = start(*[("ended", STREAMS)] * 3, ("ended", cut), stream_seconds=35)
    assert result["verdict"] == "HELD" and result["reason"].startswith("streams at 50 %: a stream of v1alpha2 ended after 4 s")
    assert "shifted 10" in played.done[played.done.index("shifted 50") :]


def test_a_share_is_measured_until_it_is_what_the_weights_say(start: Start, lines: list[str]) -> None:
    result, played = start(("traffic_split", WRONG_SHARE | {"tally": {"rule 0": {"wrong": 1}}}), tracers=900)
    assert result["verdict"] == "PROVEN" and played.done.count("traffic_split") == 4
    assert "east: traffic split at 10 %: not yet, 1 still to be told: rule 0: v1 answered 250 of 500 tracer requests" in lines
    asked = [arguments for _module, arguments in played.calls if arguments.get("check") == "traffic_split"]
    assert {arguments["tracers"] for arguments in asked} == {900}
    assert [arguments["tally"] for arguments in asked] == [None, {"rule 0": {"wrong": 1}}, None, None], "goes on where the last execution ended"


def test_many_groups_take_as_long_as_they_need(start: Start, lines: list[str], clock: Clock) -> None:
    """Longer than the time to settle, which is for shares that are wrong, and begins with the first of them."""
    going_on = ("traffic_split", SHARE | {"ok": False, "left": 90, "counted": []})
    result, _played = start(*[going_on] * 5, ("traffic_split", WRONG_SHARE), settle_seconds=60)
    assert result["verdict"] == "PROVEN" and lines.count("east: traffic split at 10 %: not yet, 90 still to be told") == 5
    assert clock.slept == phases.PAUSE
    result, _played = start(*[("traffic_split", WRONG_SHARE), going_on] * 5, settle_seconds=60)
    assert result["verdict"] == "PROVEN", "each time it was right again"


def test_what_as_many_tracers_as_may_be_sent_do_not_tell_is_unproven(start: Start, lines: list[str]) -> None:
    found = ("traffic_split", SHARE | {"undecided": ["rule 2: 60 of 60"]})
    result, _played = start(found)
    assert "east: traffic split at 10 %: not told: rule 2: 60 of 60" in lines
    assert result["evidence"][1]["undecided"] == ["rule 2: 60 of 60"] and {"kind": "share", "what": "rule 2: 60 of 60"} in result["unproven"]
    result, _played = start(found, require=["share"])
    assert result["verdict"] == "HELD" and "share (rule 2: 60 of 60), which is required" in result["reason"]


def test_a_gateway_that_ignores_weights_is_failed(start: Start) -> None:
    wrong = [("traffic_split", WRONG_SHARE | {"tally": {"rule 0": {"wrong": number}}}) for number in (1, 2, 3)]
    result, played = start(*wrong, settle_seconds=60)
    assert result["verdict"] == "FAILED" and "traffic split at 10 %: the gateway does not do what the weights say: rule 0: v1 answered 250" in result["reason"]
    assert played.done[len(START) :] == ["shifted 10", STEP, *["traffic_split", WATCH] * 2, "traffic_split", *BACK, *DRAINED, "traffic_split", CLEAN_UP]


def test_what_was_doubted_while_the_gateway_took_the_change_is_measured_anew(start: Start) -> None:
    """After its time to settle too: with many rules the doubts of the first moments take longer to be measured again."""
    doubted = ("traffic_split", WRONG_SHARE | {"tally": {"rule 0": {"wrong": 1}}})
    result, _played = start(*[doubted] * 5, settle_seconds=60)
    assert result["verdict"] == "PROVEN"


def test_users_are_watched_while_a_share_takes_long_to_measure(start: Start) -> None:
    failing = unsettled() | {"faults": ["user: status 503 x3"], "judgement": {"user": {"decision": "reject"}, "new_failures": ["status 503"]}}
    result, played = start(("traffic_split", SHARE | {"ok": False, "left": 90, "counted": []}), (WATCH, failing))
    assert result["verdict"] == "FAILED" and "traffic split at 10 %: users' requests fail meanwhile: user: status 503 x3" in result["reason"]
    assert played.done[len(START) :] == ["shifted 10", STEP, "traffic_split", WATCH, *BACK, *DRAINED, "traffic_split", CLEAN_UP]


def test_a_share_that_load_hides_is_held(start: Start, clock: Clock, lines: list[str]) -> None:
    result, played = start(*[("traffic_split", SHED)] * 6, settle_seconds=60)
    assert result["verdict"] == "HELD"
    assert "east: traffic split at 10 %: not yet, 1 still to be told: rule 0: 400 of 500 tracer requests were answered 429" in lines
    told = "it can't be told while so much fails: rule 0: 400 of 500 tracer requests were answered 429. Lower probe_rate, or wait for less load"
    assert result["reason"] == f"traffic split at 10 %: {told}. On the way back: traffic split at 0 %: {told}{GO_ON}"
    way_there = ["shifted 10", STEP, *["traffic_split", WATCH] * 2, "traffic_split"]
    assert played.done[len(START) :] == [*way_there, *BACK, *DRAINED, *["traffic_split"] * 3, CLEAN_UP]
    assert clock.slept == 7 + 4 * phases.PAUSE, "v1's requests have ended, though on the way back it can't be told either"


def test_without_tracers_no_traffic_split_is_measured(start: Start) -> None:
    result, played = start(tracers=0)
    assert "traffic_split" not in played.done and result["verdict"] == "PROVEN" and "counted" not in result["evidence"][-1]


def test_what_is_blind_is_said_and_kept(start: Start, lines: list[str]) -> None:
    result, _played = start(("traffic_split", SHARE | {"blind": ["rule 1: alike"], "counted": ["one", "two", "three"]}))
    assert "east: traffic split at 10 %: nothing tells the stacks apart: rule 1: alike" in lines
    assert "east: traffic split at 10 %: as it should be: one and 2 more" in lines
    assert result["evidence"][1]["blind"] == ["rule 1: alike"]


def test_where_alpha_is_ill_from_the_start_nothing_is_made(start: Start) -> None:
    ill = BASELINE | {"ok": False, "faults": ["user: status 500 x9"]}
    result, played = start(("baseline", ill), ("baseline user", ALPHA_ILL))
    assert played.done == ["baseline", "baseline user", CLEAN_UP] and result["verdict"] == "HELD"
    assert "v1alpha2 does not serve every way by which users reach it" in result["reason"] and "status 500 x9" in result["reason"]


MODEL = {"kind": "model", "what": "food of pool default/llama"}


def test_what_can_not_be_asked_is_named_and_where_it_is_required_nothing_is_moved(start: Start) -> None:
    ill = ("baseline", BASELINE | {"unproven": [MODEL]})
    result, _played = start(ill)
    assert result["verdict"] == "PROVEN" and "not proven: model (food of pool default/llama), long-streams (" in result["reason"]
    result, played = start(ill, require=["model"])
    assert result["verdict"] == "HELD" and result["reason"].startswith("not proven: model (food of pool default/llama), which is required")
    assert not [piece for piece in played.done if piece.startswith(("shifted", "gate"))]


def test_a_share_that_could_not_be_measured_is_held_where_it_is_required(start: Start) -> None:
    blind = ("traffic_split", SHARE | {"blind": ["rule 0: the stacks answer alike"], "counted": []})
    result, _played = start(blind)
    assert result["verdict"] == "PROVEN" and {"kind": "share", "what": "rule 0: the stacks answer alike"} in result["unproven"]
    result, played = start(blind, require=["share"])
    assert result["verdict"] == "HELD" and "share (rule 0: the stacks answer alike), which is required" in result["reason"]
    assert [piece for piece in played.done if piece.startswith("shifted")] == ["shifted 10"], "as soon as it is known"


def test_what_is_required_is_asked_of_a_run_that_goes_on_when_its_first_gate_has_passed(start: Start) -> None:
    """Users are on v1 already: by a gate that let it through they stay there."""
    result, played = start(("baseline", BASELINE | {"serves_v1": True, "share": 50, "unproven": [MODEL]}), require=["model"])
    assert result["verdict"] == "HELD" and "which is required" in result["reason"] and "gate" in played.done
    assert "restored" not in played.done and "v1 has 50 % of the traffic" in result["reason"]


def test_what_v1alpha2_answers_is_recorded_before_any_probe_route_is_made(start: Start, lines: list[str]) -> None:
    result, played = start(("baseline", BASELINE | {"answers": {"writer": ["writer-2026-03"]}}))
    assert played.done[:3] == ["baseline", "learnt", START[1]] and result["verdict"] == "PROVEN"
    assert "east: v1alpha2 answers requests for writer as writer-2026-03; v1 may too" in lines


def test_a_run_that_goes_on_has_no_baseline_and_goes_back_by_alphas_probe_routes(start: Start, lines: list[str]) -> None:
    result, played = start(("baseline", BASELINE | {"serves_v1": True, "kinds": []}), ("gate", REJECTED))
    assert played.done[: len(START) + 1] == [*START, "baseline alpha"] and result["verdict"] == "FAILED"
    assert any("v1 has 0 % of users' traffic already" in line for line in lines)


@pytest.mark.parametrize("served", [False, True])
def test_what_a_killed_run_took_from_v1_ends_before_probe_routes_go(start: Start, lines: list[str], served: bool) -> None:
    """The route is back at 0, and nobody knows since when."""
    result, played = start(("baseline", BASELINE | {"served": served, "ok": False, "faults": ["chat: status 503"]}))
    assert result["verdict"] == "HELD" and played.done[-1] == CLEAN_UP
    assert ("east: waiting 7 s for requests in flight to v1 to end" in lines) is served
    assert ("gone both" in played.done) is served
    undecided = [("gate", UNDECIDED)] * 30
    ended, played = start(("baseline", BASELINE | {"served": served}), ("gate", GOOD_GATE), *undecided, on_held="stay")
    assert ended["verdict"] == "HELD" and "gone both" not in played.done, "a rule that is split holds them itself"


@pytest.mark.parametrize(("at", "expected"), [(0, [10, 50, 100]), (10, [10, 50, 100]), (30, [50, 100]), (50, [50, 100]), (100, [100])])
def test_a_run_that_goes_on_takes_nothing_back_to_give_it_again(start: Start, at: int, expected: list[int]) -> None:
    result, played = start(("baseline", BASELINE | {"serves_v1": at > 0, "share": at}))
    assert [piece for piece in played.done if piece.startswith("shifted")] == [f"shifted {share}" for share in expected]
    assert result["verdict"] == "PROVEN" and [gate["share"] for gate in result["evidence"]] == [at, *expected]


def test_where_no_route_names_the_pools_nothing_is_claimed(start: Start) -> None:
    result, played = start(plan={"pools": [plan_pool(references=[])]})
    assert played.done == [] and result["evidence"] == []
    assert result["verdict"] == "" and result["reason"] == controller.NOT_ROUTED


def test_a_used_up_number_of_probes_is_held(start: Start) -> None:
    result, played = start(probe_limit=200)
    assert result["verdict"] == "HELD" and "217 probes were sent, which is as many as probe_limit allows" in result["reason"]
    assert played.done == [*START, "shifted 10", STEP, *BACK, *DRAINED, "traffic_split", CLEAN_UP], "the way back has its own"


def test_a_withdrawal(start: Start, clock: Clock) -> None:
    result, played = start(state="withdrawn")
    assert played.done == ["finished", "present v1", "absent both", "settled v1+user", "gone both", "absent alpha", "gone alpha"]
    assert result["verdict"] == "PROVEN" and clock.slept == 7


@pytest.mark.parametrize(("said", "timeouts", "expected"), [(None, [30, 300], 300), (None, [None], 30), (45, [300], 45), (0, [300], 0)])
def test_how_long_requests_get_to_end(start: Start, clock: Clock, said: int | None, timeouts: list[int | None], expected: int) -> None:
    plan = {"pools": [plan_pool(timeout_seconds=seconds) for seconds in timeouts]}
    _result, played = start(state="withdrawn", drain_seconds=said, plan=plan)
    assert clock.slept == expected
    assert played.done.index("gone both") < played.done.index("absent alpha")


# -- options and check mode ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [[], [10, 50], [50, 10, 100], [10, 10, 100], [-10, 100], [10, 100, 110]])
def test_steps_that_are_none_are_refused_before_anything(start: Start, steps: list[int]) -> None:
    result, played = start(steps=steps)
    assert result == {"failed": True, "msg": f"steps must rise from 0 or more and end with 100, not {steps}."} and played.done == []


@pytest.mark.parametrize("gate", [{"p1": 0}, {"p2": 0.1}, {"p1": "much"}, {"p1": []}])
def test_a_gate_that_means_nothing_is_refused_before_anything(start: Start, gate: dict[str, Any]) -> None:
    result, played = start(gate=gate)
    assert result["failed"] and result["msg"] and played.done == []


@pytest.mark.parametrize(("state", "first"), [("migrated", "shifted 10"), ("withdrawn", "finished")])
def test_check_mode_shows_the_first_change(start: Start, state: str, first: str) -> None:
    result, played = start(check_mode=True, state=state)
    assert played.done == [first]
    assert (result["changed"], result["verdict"]) == (True, None) and "check mode" in result["reason"]


def test_check_mode_that_fails_says_why(start: Start) -> None:
    result, played = start(("shifted 10", {"failed": True, "msg": "no migration"}), check_mode=True)
    assert result == {"failed": True, "msg": "no migration"} and played.done == ["shifted 10"]


def test_the_load_is_handed_on_and_a_change_of_it_is_said(start: Start, lines: list[str]) -> None:
    """Else each execution would begin as fast as ever on servers that can't bear it."""
    usual = {"usual": {"default/llama-ga": 0.2}, "refused": 1.0}
    slow, well = usual | {"ratio": 3.1}, usual | {"ratio": 1.2}
    _result, played = start(
        ("baseline", BASELINE | {"load": well}), ("gate", UNDECIDED | {"load": slow}), ("gate", UNDECIDED), ("gate", UNDECIDED | {"load": well}))
    handed_on = [arguments["load"] for module, arguments in played.calls if module in LOOKING]
    assert handed_on[:6] == [{}, well, well, slow, slow, well]
    told = [line for line in lines if "model servers" in line]
    assert told == [
        "east: model servers take 3.1 times as long to the first byte as at the beginning: fewer probes are sent",
        "east: model servers are as fast as at the beginning again",
    ]


def test_a_gate_that_could_not_end_in_its_time_is_not_begun(start: Start) -> None:
    """38 clean pairs and more are needed, three answers each; one at a time on each server they take longer than a gate may."""
    result, played = start(("baseline", BASELINE | {"round_seconds": 40.0}))
    assert result["verdict"] == "HELD" and "present" not in played.done
    told = "with one probe at a time on each model server this takes longer than it may: about"
    assert told in result["reason"] and "gate_seconds is 900, about 600 s, and settle_seconds is 300. Raise migration_gate_seconds and" in result["reason"]
