# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A shift that a person pauses, stops or takes back, that is interrupted, and that goes on at a share which has passed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ansible_collections.inference_gateway.migration.plugins.plugin_utils import interrupts, session

from tests.unit.helpers.controller_fakes import ALPHA_ILL, BASELINE, GOOD_GATE, REJECTED, UNDECIDED, Result, Start

GO_ON = "The same command goes on from here, the playbook rollback gives the migration up"
AT_50 = BASELINE | {"serves_v1": True, "share": 50, "passed": 50, "shares": {"HTTPRoute default/llm-route": 50}}


def asked(command: str) -> Result:
    return {"command": command, "by": "on-call", "at": "now"}


def test_a_pause_of_ten_minutes_keeps_the_weights_and_goes_on(start: Start, lines: list[str]) -> None:
    looks = int(600 / session.PAUSED_SECONDS) + 2  # one look before the pause, and the note that the first share has passed
    result, played = start(steer=[None, *[asked("pause")] * looks])
    assert result["verdict"] == "PROVEN"
    assert any("paused as on-call asked" in line for line in lines) and any("going on after 60" in line for line in lines), lines
    before, after = (played.times[played.done.index(f"shifted {share}")] for share in (10, 50))
    assert after - before >= 600, "the pause lies before the second step"


def test_after_more_than_an_hour_v1_is_proven_anew_before_the_next_step(start: Start, lines: list[str]) -> None:
    looks = int(3700 / session.PAUSED_SECONDS)
    result, played = start(steer=[None, *[asked("pause")] * looks])
    assert result["verdict"] == "PROVEN" and any("proven anew at 10 %" in line for line in lines)
    between = played.done[played.done.index("shifted 10"):played.done.index("shifted 50")]
    assert between.count("gate") == 2 and between[-2:] == ["settled alpha+v1+user", "gate"]


def test_a_pause_in_a_gate_takes_nothing_from_its_time(start: Start) -> None:
    paused = UNDECIDED | {"steer": asked("pause")}
    result, _played = start(("gate", paused), gate_seconds=60, steer=[asked("pause")] * 100)
    assert result["verdict"] == "PROVEN"


@pytest.mark.parametrize(("command", "back"), [("stop", "shifted 10"), ("back", "restored")])
def test_a_stop_goes_to_the_last_share_that_passed_and_back_to_v1alpha2(start: Start, command: str, back: str) -> None:
    """Asked in the gate at 50 %."""
    result, played = start(("gate", GOOD_GATE), ("gate", GOOD_GATE), ("gate", UNDECIDED | {"steer": asked(command)}))
    assert result["verdict"] == "HELD" and "as on-call asked" in result["reason"] and result["reason"].endswith(GO_ON), result["reason"]
    assert [piece for piece in played.done if piece.startswith(("shifted", "restored"))] == ["shifted 10", "shifted 50", back]


def test_nothing_that_is_asked_keeps_traffic_from_going_back(start: Start) -> None:
    result, played = start(("gate", GOOD_GATE), ("gate", REJECTED), ("baseline alpha", BASELINE | {"steer": asked("pause")}))
    assert result["verdict"] == "FAILED" and "restored" in played.done


def test_a_run_that_goes_on_and_is_held_keeps_the_share_that_had_passed(start: Start) -> None:
    result, played = start(("baseline", AT_50), *[("gate", UNDECIDED)] * 2, gate_seconds=60)
    assert result["verdict"] == "HELD" and "restored" not in played.done and "v1 has 50 % of the traffic" in result["reason"], result["reason"]


def test_a_share_that_had_not_passed_is_taken_back_to_the_one_that_had(start: Start) -> None:
    result, played = start(("baseline", AT_50 | {"passed": 10}), *[("gate", UNDECIDED)] * 2, gate_seconds=60)
    assert result["verdict"] == "HELD" and "shifted 10" in played.done and "restored" not in played.done


def test_each_share_that_has_passed_is_noted_under_the_lease(start: Start) -> None:
    _result, played = start()
    noted = [arguments for _module, arguments in played.calls if arguments.get("state") == "passed"]
    assert [(arguments["share"], arguments["run"]) for arguments in noted] == [(10, "run-1"), (50, "run-1"), (100, "run-1")]


def test_an_interrupted_run_says_where_the_traffic_stands(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    makers: list[Callable[[], str]] = []

    @contextmanager
    def saying(line: Callable[[], str]) -> Iterator[None]:
        makers.append(line)
        yield

    monkeypatch.setattr(interrupts, "saying", saying)
    start(("gate", GOOD_GATE), ("gate", GOOD_GATE), ("gate", REJECTED), ("baseline alpha", ALPHA_ILL))
    said = makers[0]()
    assert "v1 has 50 % of users' traffic, the last share that passed its gate is 10 %" in said and "migration.rollback" in said
