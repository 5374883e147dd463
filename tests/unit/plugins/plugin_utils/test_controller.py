# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The loop that drives a shift, with module executions that are played: what it asks for, in which order, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.modules.shift_traffic import argument_spec
from ansible_collections.inference_gateway.migration.plugins.plugin_utils import controller, long_streams, phases, session
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.controller import ShiftController

from tests.unit.helpers.migration_fakes import make_plan, plan_pool

Result = dict[str, Any]
EVIDENCE = {"successes": 38, "failures": 0, "inconclusive": 1, "ratio": -9.0}
JUDGED = {"pairs": EVIDENCE, "user": EVIDENCE, "targets": {"chat": 38}, "sent": 117, "new_failures": []}
GOOD_GATE = {"ok": True, "decision": "accept", "judgement": JUDGED, "faults": [], "sent": 117}
FOUND = {"HTTPRoute default/llm-route": 0}
LOOKING = ("verify_gateway", "migration_evidence")
BASELINE = {"ok": True, "kinds": ["status 429"], "serves_v1": False, "share": 0, "shares": FOUND, "others": [], "faults": [], "sent": 20}
BASELINE |= {"stack": {"default/llama-ga": "as installed"}}
SHARE = {"ok": True, "faults": [], "unsure": [], "blind": [], "counted": ["rule 0: v1 answered 52 of 500 tracer requests"], "sent": 506}
WRONG_SHARE = SHARE | {"ok": False, "faults": ["rule 0: v1 answered 250 of 500 tracer requests"], "counted": []}
SHED = SHARE | {"ok": False, "unsure": ["rule 0: 400 of 500 tracer requests were answered 429"], "counted": []}
UNDECIDED = GOOD_GATE | {"ok": False, "decision": "undecided", "faults": ["v1: status 503 x2"]}
STREAM = {"what": "there", "opened": 50.0, "alpha": {"seconds": 35.0, "reason": None}, "v1": {"seconds": 35.0, "reason": None}}
STREAMS = {"ok": True, "faults": [], "streams": [STREAM], "sent": 2, "finished": True}
CUT_BY_V1 = STREAMS | {"ok": False, "faults": ["v1 cut a stream after 30 s"]}
REJECTED = UNDECIDED | {"decision": "reject", "judgement": GOOD_GATE["judgement"] | {"pairs": EVIDENCE | {"failures": 3}}}


class Clock:
    def __init__(self) -> None:
        self.now, self.slept = 1000.0, 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


class Played:
    """Plays the action plugin: writes down each piece of work as one word or two, and answers by script.

    ``answers``: (piece as it is written down, answer) in the order in which they are wanted; each is given once. Everything
    else goes well. A stretch that does not end well takes all its seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.done: list[str] = []
        self.times: list[float] = []
        self.calls: list[tuple[str, Result]] = []
        self.answers: list[tuple[str, Result]] = []
        self.share = 0

    def execute(self, module: str, arguments: Result, task_vars: Result) -> Result:
        name = self.name(module, arguments)
        self.note(name)
        self.calls.append((module, arguments))
        scripted = next((entry for entry in self.answers if entry[0] == name), None)
        if scripted:
            self.answers.remove(scripted)
        result = scripted[1] if scripted else self.good(module, arguments)
        self.clock.now += 1 if result.get("ok", True) else arguments.get("seconds", 5)
        return result

    def note(self, name: str) -> None:
        self.done.append(name)
        self.times.append(self.clock.now)

    def begin(self, module: str, arguments: Result, task_vars: Result, seconds: int) -> Result:
        self.note(f"begin {arguments['check']}")
        self.calls.append((module, arguments))
        return {"ansible_job_id": "j1"}

    def ended(self, job: str, task_vars: Result) -> Result:
        self.note("ended")
        scripted = next((entry for entry in self.answers if entry[0] == "ended"), None)
        if scripted:
            self.answers.remove(scripted)
        return scripted[1] if scripted else STREAMS

    @staticmethod
    def name(module: str, arguments: Result) -> str:
        if module in LOOKING:
            return " ".join(filter(None, [arguments["check"], "+".join(arguments.get("variants", []))]))
        extra = arguments.get("share", "+".join(arguments.get("variants", [])))
        return f"{arguments['state']} {extra}".strip()

    def good(self, module: str, arguments: Result) -> Result:
        if module not in LOOKING:
            untouched = arguments["state"] == "restored" and not any(piece.startswith(("shifted", "finished")) for piece in self.done)
            return {"changed": not untouched, "written": 60.0, "routes": ["HTTPRoute default/llm-route"]}
        special = {"gate": GOOD_GATE, "baseline": BASELINE, "traffic_split": SHARE, "phase_end": PROVEN}.get(arguments["check"])
        return special or {"ok": True, "clean": 5, "faults": [], "passing": {name: True for name in arguments.get("variants", [])}, "sent": 40} | UNHARMED


PROVEN = {"ok": True, "verdict": "PROVEN", "faults": [], "sent": 6}
END = "phase_end v1+user"
UNHARMED = {"judgement": {"user": {"decision": "accept"}, "new_failures": []}}
ALPHA_ILL = BASELINE | {"ok": False, "faults": ["alpha: status 500 x1", "more"]}


def unsettled(**passing: bool) -> Result:
    return {"ok": False, "clean": 0, "faults": ["v1: status 503 x9"], "passing": passing, "sent": 40} | UNHARMED


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (controller, phases, session):
        monkeypatch.setattr(module, "time", made)
    monkeypatch.setattr(long_streams, "time", made)
    return made


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(session, "Display", lambda: SimpleNamespace(display=said.append))
    return said


Start = Callable[..., tuple[Result, Played]]


@pytest.fixture
def start(clock: Clock, lines: list[str]) -> Start:
    def run(*answers: tuple[str, Result], check_mode: bool = False, stream_seconds: int = 0, **options: Any) -> tuple[Result, Played]:
        played = Played(clock)
        played.answers = list(answers)
        chosen = {name: option.get("default") for name, option in argument_spec().items()} | {"plan": make_plan(), "run": "run-1", "drain_seconds": 7} | options
        chosen["stream_seconds"] = stream_seconds
        result = ShiftController(played, chosen, {"inventory_hostname": "east"}, check_mode).run()
        assert played.answers == [], "every scripted answer was asked for"
        return result, played

    return run


WARM = "settled alpha+v1+both+user"
STEP = "settled alpha+v1+user"
CLEAN_UP = "absent"
START = ["baseline", "present", WARM, "gate"]
OPENED = ["baseline", "begin streams", "present", WARM, "ended"]
"""How it starts with long streams: the first ones by the users' own rules."""
BACK = ["baseline alpha", "restored", "settled alpha+user"]
UNTOUCHED = ["baseline user", "restored", "settled user"]
GO_ON = f". {controller.GO_ON}"
DRAINED = ["absent both", "gone both"]

# -- the way through -----------------------------------------------------------------------------------------------------


def test_a_migration_that_goes_well(start: Start, lines: list[str], clock: Clock) -> None:
    result, played = start()
    assert played.done == START + [piece for share in (10, 50, 100) for piece in (f"shifted {share}", STEP, "traffic_split", "gate")] + [END]
    assert (result["verdict"], result["changed"], result["stack"]) == ("PROVEN", True, BASELINE["stack"]) and "failed" not in result
    assert result["reason"] == "v1 proven at 100 % by 152 pairs in 4 gates"
    assert [gate["share"] for gate in result["evidence"]] == [0, 10, 50, 100]
    counted = {"pairs": 38, "sent": 117, "failures": 0, "inconclusive": 1, "user_failures": 0, "new_failures": [], "faults": []}
    assert result["evidence"][0] == {"share": 0} | counted
    assert result["evidence"][1] == {"share": 10, "counted": SHARE["counted"], "blind": []} | counted
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
    result, played = start(("traffic_split", WRONG_SHARE), tracers=900)
    assert result["verdict"] == "PROVEN" and played.done.count("traffic_split") == 5, "once wrong, so twice right"
    assert "east: traffic split at 10 %: not yet: rule 0: v1 answered 250 of 500 tracer requests" in lines
    assert "east: traffic split at 10 %: right 1 of 2 times in a row" in lines
    assert {arguments["tracers"] for _module, arguments in played.calls if arguments.get("check") == "traffic_split"} == {900}


def test_a_small_leak_does_not_get_by_with_luck(start: Start) -> None:
    """Some measurements of a small leak see none of it."""
    result, played = start(*[("traffic_split", WRONG_SHARE), ("traffic_split", SHARE)] * 10, settle_seconds=310)
    assert result["verdict"] == "FAILED" and "the gateway does not do what the weights say: rule 0: v1 answered 250" in result["reason"]


def test_a_gateway_that_ignores_weights_is_failed(start: Start) -> None:
    result, played = start(*[("traffic_split", WRONG_SHARE)] * 2, settle_seconds=60)
    assert result["verdict"] == "FAILED" and "traffic split at 10 %: the gateway does not do what the weights say: rule 0: v1 answered 250" in result["reason"]
    assert played.done[len(START) :] == ["shifted 10", STEP, "traffic_split", "traffic_split", *BACK, *DRAINED, "traffic_split", CLEAN_UP]


def test_a_share_that_load_hides_is_held(start: Start, clock: Clock, lines: list[str]) -> None:
    result, played = start(*[("traffic_split", SHED)] * 4, settle_seconds=60)
    assert result["verdict"] == "HELD" and "east: traffic split at 10 %: not yet: rule 0: 400 of 500 tracer requests were answered 429" in lines
    told = "it can't be told while so much fails: rule 0: 400 of 500 tracer requests were answered 429. Lower probe_rate, or wait for less load"
    assert result["reason"] == f"traffic split at 10 %: {told}. On the way back: traffic split at 0 %: {told}{GO_ON}"
    assert played.done[len(START) :] == ["shifted 10", STEP, "traffic_split", "traffic_split", *BACK, *DRAINED, "traffic_split", "traffic_split", CLEAN_UP]
    assert clock.slept == 7 + 2 * phases.PAUSE, "v1's requests have ended, though on the way back it can't be told either"


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


def test_a_run_that_goes_on_has_no_baseline_and_goes_back_by_alphas_probe_routes(start: Start, lines: list[str]) -> None:
    result, played = start(("baseline", BASELINE | {"serves_v1": True, "kinds": []}), ("gate", REJECTED))
    assert played.done[: len(START) + 1] == [*START, "baseline alpha"] and result["verdict"] == "FAILED"
    assert any("v1 has 0 % of users' traffic already" in line for line in lines)


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
    assert [arguments["run"] for _module, arguments in played.calls if arguments.get("check") == "installed"] == ["run-1"] * 3


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
    result, played = start(("present v1", {"failed": True, "held": True, "msg": "drift"}), state="withdrawn")
    assert played.done == ["finished", "present v1", "baseline alpha", "shifted 100", "settled alpha+user", "traffic_split", CLEAN_UP]
    assert result["verdict"] == "HELD"


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


# -- somebody else who writes the weights ---------------------------------------------------------------------------------

FOREIGN = {"failed": True, "held": True, "foreign": True, "msg": "HTTPRoute default/llm-route was written by argocd-controller (Apply at 12:00)"}


@pytest.mark.parametrize("where", [STEP, "traffic_split", "gate"])
def test_weights_that_somebody_else_writes_are_held_and_left_alone(start: Start, lines: list[str], where: str) -> None:
    answers = [("gate", GOOD_GATE)] if where == "gate" else []
    result, played = start(*answers, (where, FOREIGN))
    assert result["verdict"] == "HELD" and result["reason"].startswith(FOREIGN["msg"]) and "Traffic stays where that writer put it" in result["reason"]
    at = played.done.index("shifted 10")
    assert not any(piece.startswith(("shifted", "restored", "finished")) for piece in played.done[at + 1:]), "nothing is fought over"
    assert played.done[-1] == CLEAN_UP
    assert f"east: stopped, {FOREIGN['msg']}" in lines and "east: waiting 7 s for requests in flight to both stacks to end" in lines


def test_a_writer_found_on_the_way_back_is_left_alone_too(start: Start, lines: list[str]) -> None:
    result, played = start(("gate", GOOD_GATE), ("gate", REJECTED), ("restored", FOREIGN))
    assert result["verdict"] == "HELD" and f"On the way back: {FOREIGN['msg']}" in result["reason"]
    assert played.done[-2:] == ["restored", CLEAN_UP] and "east: waiting 7 s for requests in flight to both stacks to end" in lines


def test_every_stretch_demands_the_share_of_its_own_step(start: Start) -> None:
    _result, played = start(soak_seconds=40, steps=[10, 100])
    demanded: list[tuple[str, Any]] = [
        (Played.name(module, arguments), arguments.get("shares")) for module, arguments in played.calls if module in LOOKING
    ]
    assert demanded[0] == ("baseline", None) and demanded[1:3] == [(WARM, FOUND), ("gate", FOUND)]
    rest = [share for _name, share in demanded[3:]]
    assert set(rest) == {10, 100} and rest == sorted(rest) and demanded[-1] == (END, 100)


def test_what_is_written_over_is_what_this_run_wrote(start: Start) -> None:
    _result, played = start(steps=[10, 100])
    assert [arguments["standing"] for _module, arguments in played.calls if arguments.get("state") == "shifted"] == [[FOUND, 10], [10, 100]]
    _result, played = start(state="withdrawn")
    (finished,) = [arguments for _module, arguments in played.calls if arguments.get("state") == "finished"]
    assert finished["standing"] == [100, "finished"]
    assert {arguments["shares"] for module, arguments in played.calls if module in LOOKING} == {"finished"}


def test_after_a_write_whose_answer_got_lost_either_share_may_stand(start: Start) -> None:
    """The weights may be those of before or those that were asked for: neither is somebody else's."""
    silent = {"failed": True, "unreachable_api": True, "msg": "away"}
    result, played = start(("shifted 10", silent), api_patience=0)
    assert result["verdict"] == "HELD" and "away" in result["reason"]
    (ill,) = [arguments for _module, arguments in played.calls if arguments.get("check") == "baseline"][1:]
    assert "shares" not in ill
    (back,) = [arguments for _module, arguments in played.calls if arguments.get("state") == "restored"]
    assert back["standing"] == [FOUND, 10, 0]


def test_a_route_made_since_the_plan_is_held_before_anything_is_made(start: Start) -> None:
    result, played = start(("baseline", BASELINE | {"others": ["backend of rule 0 of GRPCRoute default/late names v1alpha2's InferencePool"]}))
    assert result["verdict"] == "HELD" and result["reason"].startswith("backend of rule 0 of GRPCRoute default/late") and "present" not in played.done


def test_the_end_of_a_shift_is_the_last_word(start: Start) -> None:
    wrong = PROVEN | {"ok": False, "verdict": "HELD", "faults": ["HTTPRoute default/new names v1alpha2's InferencePool"]}
    result, played = start((END, wrong))
    assert result["verdict"] == "HELD" and result["reason"].startswith("the end of the shift is not proven: HTTPRoute default/new names")
    (asked,) = [arguments for _module, arguments in played.calls if arguments.get("check") == "phase_end"]
    assert (asked["phase"], asked["stack"], asked["shares"]) == ("shift", BASELINE["stack"], 100)


def test_a_withdrawal_of_pools_that_no_route_names_asks_nothing(start: Start) -> None:
    result, played = start(state="withdrawn", plan={"pools": [plan_pool(references=[])]})
    assert (result["verdict"], result["reason"], played.done) == ("", controller.NOT_ROUTED, [])
