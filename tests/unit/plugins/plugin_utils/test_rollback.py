# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollback, with module executions that are played: what it asks for, in which order, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.helpers.controller_fakes import (
    ALPHA_ILL,
    BACK,
    BASELINE,
    DRAINED,
    GO_ON,
    SHARE,
    UNTOUCHED,
    WRONG_SHARE,
    Clock,
    Played,
    Result,
    Start,
    unsettled,
)
from tests.unit.helpers.migration_fakes import make_plan, plan_pool

AT_50 = BASELINE | {"serves_v1": True, "share": 50, "shares": {"HTTPRoute default/llm-route": 50}, "kinds": []}
NOTE = "returning"
MADE = ["present v1+both", "present alpha"]
GONE = ["absent", "gone alpha+v1", "returned"]
NONE = {"changed": False, "routes": []}


def noted(shifted_since: float | None) -> Result:
    """What the journal says when the rollback is noted."""
    return {"changed": True, "journal": {"shifted_since": shifted_since}}


def arguments_of(played: Played, piece: str) -> dict[str, Any]:
    """The arguments of the first execution of a piece."""
    return next(arguments for module, arguments in played.calls if played.name(module, arguments) == piece)


def test_a_rollback_asks_v1alpha2_first_and_leaves_nothing(start: Start, clock: Clock, lines: list[str]) -> None:
    result, played = start(("baseline", AT_50), state="returned")
    assert played.done == ["baseline", NOTE, *MADE, *BACK, *DRAINED, "traffic_split", *GONE]
    assert (result["verdict"], result["changed"]) == ("ROLLED BACK", True) and "failed" not in result
    assert result["reason"] == ("all traffic is on v1alpha2 again, which answers, and v1's requests have ended; "
                                "the routes are as they were before the migration")
    assert clock.slept == 7, "v1's requests end before its probe route, which holds its backends, goes"
    assert arguments_of(played, "restored")["standing"] == [AT_50["shares"], 0]
    assert "east: traffic is back at 0 % on v1: the migration is rolled back" in lines
    assert result["unproven"] == []


def test_whoever_never_left_v1alpha2_is_asked_by_their_own_rules(start: Start, clock: Clock) -> None:
    result, played = start(("restored", NONE), ("absent", NONE), state="returned")
    assert played.done == ["baseline", NOTE, *UNTOUCHED, "absent"] and clock.slept == 0
    assert result["verdict"] == "ROLLED BACK" and result["reason"].startswith("all traffic is on v1alpha2, which answers; the routes")


@pytest.mark.parametrize("journal", [{"shifted_since": 50.0}, {}], ids=["noted", "of an earlier version"])
def test_what_v1_may_still_answer_is_drained_though_the_weights_are_back(start: Start, clock: Clock, journal: Result) -> None:
    """As after a kill right after the write."""
    _result, played = start((NOTE, {"changed": False, "journal": journal}), ("restored", NONE), state="returned")
    assert played.done == ["baseline", NOTE, *MADE, *BACK, *DRAINED, "traffic_split", *GONE] and clock.slept == 7


def test_v1alpha2s_probe_routes_are_made_last(start: Start) -> None:
    """Whoever has taken them has taken the others too: the drain begins when the removal of those is seen."""
    _result, played = start(("baseline", AT_50), state="returned")
    assert played.done.index("present v1+both") < played.done.index("present alpha") < played.done.index("baseline alpha")


def test_probe_routes_that_were_just_made_get_the_time_of_a_change(start: Start, clock: Clock) -> None:
    ill = [("baseline alpha", ALPHA_ILL)] * 5
    result, played = start(("baseline", AT_50), *ill, state="returned", settle_seconds=100)
    assert result["verdict"] == "HELD" and played.done.count("baseline alpha") == 5
    there = [("present v1+both", NONE), ("present alpha", NONE)]
    _result, played = start(("baseline", AT_50), *there, ("baseline alpha", ALPHA_ILL), state="returned", settle_seconds=100)
    assert played.done.count("baseline alpha") == 1


def test_a_v1alpha2_that_does_not_answer_keeps_the_weights(start: Start) -> None:
    result, played = start(("baseline", AT_50), ("present v1+both", NONE), ("present alpha", NONE), ("baseline alpha", ALPHA_ILL), state="returned")
    assert "restored" not in played.done and played.done[-1] == "absent"
    assert (result["failed"], result["verdict"]) == (True, "HELD")
    assert result["reason"] == ("v1alpha2 does not answer (alpha: status 500 x1): see the pods of its endpoint picker and model servers. "
                                f"Weights stay as they are{GO_ON}")


def test_what_a_killed_run_took_from_v1_ends_also_where_v1alpha2_is_ill(start: Start, clock: Clock) -> None:
    """Killed right after the write of its way back: the probe routes hold v1's backends, and nothing else does."""
    result, played = start((NOTE, noted(50.0)), ("present v1+both", NONE), ("present alpha", NONE), ("baseline alpha", ALPHA_ILL), state="returned")
    assert result["verdict"] == "HELD" and played.done[-3:] == ["absent both", "gone both", "absent"] and clock.slept >= 7


def test_somebody_elses_weights_are_left_alone(start: Start) -> None:
    foreign = {"failed": True, "held": True, "foreign": True, "msg": "rule 0 was written by argocd-controller"}
    result, played = start(("baseline", foreign), state="returned")
    assert played.done == ["baseline"], "not even the journal is written"
    assert result["verdict"] == "HELD" and result["reason"] == f"rule 0 was written by argocd-controller. Traffic stays where that writer put it{GO_ON}"
    late, played = start(("baseline", AT_50), ("restored", foreign), state="returned")
    assert late["verdict"] == "HELD" and played.done[-4:] == ["restored", "absent both", "gone both", "absent"] and "Traffic stays" in late["reason"]


def test_a_write_is_noted_first(start: Start) -> None:
    lost = {"failed": True, "msg": "Lease x is held by run-2"}
    result, played = start(("baseline", AT_50), (NOTE, lost), state="returned")
    assert played.done == ["baseline", NOTE] and result["verdict"] == "HELD" and not result["changed"]


def test_what_v1_still_serves_is_no_rollback(start: Start) -> None:
    result, played = start(("baseline", AT_50), *[("traffic_split", WRONG_SHARE | {"tally": {"rule 0": {"wrong": wrong}}}) for wrong in (1, 2)],
                           state="returned", settle_seconds=20)
    assert result["verdict"] == "HELD" and "traffic split at 0 %: the gateway does not do what the weights say" in result["reason"]
    assert f"The routes are as they were before the migration{GO_ON}" in result["reason"] and played.done[-1] == "absent"


def test_a_way_back_that_does_not_settle_lets_v1s_requests_end(start: Start, clock: Clock) -> None:
    result, played = start(("baseline", AT_50), *[("settled alpha+user", unsettled(alpha=True, user=False))] * 2, state="returned", settle_seconds=60)
    assert result["verdict"] == "HELD" and played.done[-1] == "absent" and clock.slept == 7


def test_no_limit_of_probes_ends_a_rollback(start: Start) -> None:
    result, _played = start(("baseline", AT_50), state="returned", probe_limit=1)
    assert result["verdict"] == "ROLLED BACK"


@pytest.mark.parametrize(("options", "said"), [
    ({}, "rule 1: nothing tells the stacks apart"), ({"tracers": 0}, "share (tracers is 0, so none was measured)"),
])
def test_what_was_not_measured_is_named(start: Start, options: dict[str, Any], said: str) -> None:
    split = [] if options else [("traffic_split", SHARE | {"blind": ["rule 1: nothing tells the stacks apart"]})]
    result, _played = start(("baseline", AT_50), *split, state="returned", **options)
    assert result["verdict"] == "ROLLED BACK" and said in result["reason"] and [entry["kind"] for entry in result["unproven"]] == ["share"]


def test_without_routes_there_is_nothing_to_give_back(start: Start, clock: Clock) -> None:
    """Where there were some, their probe routes go once v1's requests have ended."""
    _result, played = start((NOTE, noted(50.0)), state="returned", plan=make_plan(plan_pool(references=[])))
    assert played.done == [NOTE, "absent"] and clock.slept == 7
    result, played = start((NOTE, noted(None)), state="returned", plan=make_plan(plan_pool(references=[])))
    assert played.done == [NOTE, "absent"] and clock.slept == 7 and result["verdict"] == "ROLLED BACK" and "no traffic to give back" in result["reason"]


def test_check_mode_and_diff_mode_show_the_route(start: Start) -> None:
    lines = [{"before": "v1 50\n", "after": "v1alpha2 1\n"}]
    written = {"changed": True, "written": 60.0, "routes": ["HTTPRoute default/llm-route"], "diff": lines}
    shown, played = start(("restored", written), state="returned", check_mode=True)
    assert played.done == ["restored"] and shown["diff"] == lines and shown["verdict"] is None and "standing" not in played.calls[0][1]
    done, _played = start(("baseline", AT_50), ("restored", written), state="returned")
    assert done["diff"] == lines


def test_failures_that_users_met_by_v1alpha2_before_hold_nobody_up(start: Start) -> None:
    known = BASELINE | {"kinds": ["it took too long"]}
    result, _played = start(("baseline", known), ("baseline user", known), state="returned")
    assert result["verdict"] == "ROLLED BACK"
