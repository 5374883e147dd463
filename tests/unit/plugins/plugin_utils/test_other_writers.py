# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights that somebody else writes while a shift runs, with module executions that are played."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.plugin_utils import controller

from tests.unit.helpers.controller_fakes import BASELINE, CLEAN_UP, END, FOUND, GOOD_GATE, LOOKING, PROVEN, REJECTED, STEP, WARM, Played, Start
from tests.unit.helpers.migration_fakes import plan_pool

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
    assert played.done[-4:] == ["restored", "absent both", "gone both", CLEAN_UP], "requests that it took are waited for from when all have taken its change"
    assert "east: waiting 7 s for requests in flight to both stacks to end" in lines


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
    wrong = PROVEN | {"ok": False, "verdict": "HELD", "clean": 0, "faults": ["HTTPRoute default/new names v1alpha2's InferencePool"]}
    result, played = start((END, wrong))
    assert result["verdict"] == "HELD" and result["reason"].startswith("the end of the shift is not proven: HTTPRoute default/new names")
    (asked,) = [arguments for _module, arguments in played.calls if arguments.get("check") == "phase_end"]
    assert (asked["phase"], asked["stack"], asked["shares"]) == ("shift", BASELINE["stack"], 100)


def test_a_last_word_that_takes_long_goes_on_with_its_clean_rounds(start: Start) -> None:
    late = PROVEN | {"ok": False, "verdict": "HELD", "clean": 2, "faults": ["2 rounds of 3 without a failure ended in time"]}
    result, played = start((END, late))
    assert result["verdict"] == "PROVEN"
    assert [arguments["clean"] for _module, arguments in played.calls if arguments.get("check") == "phase_end"] == [0, 2]
    stuck = PROVEN | {"ok": False, "verdict": "HELD", "clean": 0, "faults": ["0 rounds of 3 without a failure ended in time"]}
    result, _played = start((END, stuck))
    assert result["verdict"] == "HELD"


def test_a_withdrawal_of_pools_that_no_route_names_asks_nothing(start: Start) -> None:
    result, played = start(state="withdrawn", plan={"pools": [plan_pool(references=[])]})
    assert (result["verdict"], result["reason"], played.done) == ("", controller.NOT_ROUTED, [])
