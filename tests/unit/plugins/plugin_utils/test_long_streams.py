# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Long streams beside a shift: what is asked for, and what their ends mean. The module executions are played."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.plugin_utils import long_streams
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.long_streams import COPIES, GRACE, OPENING, Ending, LongStreams

Result = dict[str, Any]
CUT = "it ended before [DONE]"


def stream(alpha: float = 35.0, v1: float = 35.0, cut: str | None = None, opened: float = 50.0) -> Result:
    return {"what": "there", "opened": opened, "alpha": {"seconds": alpha, "reason": cut}, "v1": {"seconds": v1, "reason": None}}


def held(*streams: Result, faults: tuple[str, ...] = ()) -> Result:
    return {"ok": not faults, "faults": list(faults), "streams": list(streams), "sent": 2}


class Played:
    """Plays the action plugin. ``results``: of each execution in turn; ``slow``: how often one is not ended yet."""

    def __init__(self, *results: Result, slow: int = 0) -> None:
        self.results, self.slow = list(results), slow
        self.begun: list[Result] = []
        self.refuse: Result | None = None

    def begin(self, module: str, arguments: Result, task_vars: Result, seconds: int) -> Result:
        assert module == "migration_evidence" and seconds == arguments["seconds"] + GRACE
        self.begun.append(arguments)
        return self.refuse or {"ansible_job_id": f"j{len(self.begun)}", "started": True}

    def ended(self, job: str, task_vars: Result) -> Result | None:
        assert job == f"j{len(self.begun)}"
        self.slow -= 1
        return None if self.slow >= 0 else self.results.pop(0)


class StreamOutcome:
    """One shift's streams, of 35 s."""

    def __init__(self, played: Played, seconds: int = 35) -> None:
        self.lines: list[str] = []
        self.played = played
        self.looks = 0
        self.streams = LongStreams(played, {"plan": {}}, {}, seconds, self.lines.append, self.looked)

    def looked(self) -> None:
        self.looks += 1

    def look(self, written: float | None = None) -> Ending:
        self.streams.begin()
        return self.streams.end(written)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    made = SimpleNamespace(now=1000.0, monotonic=lambda: made.now, sleep=lambda seconds: setattr(made, "now", made.now + seconds))
    monkeypatch.setattr(long_streams, "time", made)
    return made


def test_streams_that_last(clock: SimpleNamespace) -> None:
    held_open = StreamOutcome(Played(held(stream()), slow=1))
    found = held_open.look()
    assert found == Ending(None, "v1alpha2 kept all open for 35 s, v1 kept all open for 35 s", (stream(),), False, 2)
    assert held_open.played.begun == [{"plan": {}, "check": "streams", "variants": ["alpha", "v1"], "seconds": 35, "copies": 1, "fail": False}]
    assert clock.now == 1035.0 and held_open.lines == []


@pytest.mark.parametrize(("opened", "spanned"), [(50.0, True), (60.0, True), (61.0, False), (0.0, False)])
def test_they_span_a_change_when_they_began_before_it(opened: float, spanned: bool) -> None:
    found = StreamOutcome(Played(held(stream(opened=opened)))).look(written=60.0)
    assert found.spanned is spanned and found.reason.endswith(", over the change of weights") is spanned


def test_a_change_is_put_off_until_they_are_open(clock: SimpleNamespace) -> None:
    held_open = StreamOutcome(Played(held(stream()), slow=1))
    held_open.streams.begin(before_a_change=True)
    assert clock.now == 1000.0 + OPENING
    held_open.streams.end(60.0)
    assert clock.now == 1035.0, "that time is part of theirs"
    StreamOutcome(Played(), seconds=0).streams.begin(before_a_change=True)
    assert clock.now == 1035.0


def test_what_v1_cuts_is_looked_at_again_before_it_counts() -> None:
    once = StreamOutcome(Played(held(stream(), faults=("v1 cut a stream",)), held(stream())))
    found = once.look()
    assert (found.verdict, found.sent) == (None, 4) and once.lines == ["streams: v1 cut a stream; looking again with 3 of each"]
    assert [arguments["copies"] for arguments in once.played.begun] == [1, COPIES]
    twice = StreamOutcome(Played(held(stream(), faults=("one",)), held(stream(), faults=("other",))))
    assert twice.look()[:2] == ("FAILED", "other")


@pytest.mark.parametrize("again", [{"failed": True, "msg": "away", "unreachable_api": True}, {"failed": True, "msg": "away"}])
def test_a_suspicion_that_can_not_be_looked_into_is_held(again: Result) -> None:
    found = StreamOutcome(Played(held(stream(), faults=("v1 cut a stream",)), again)).look()
    assert found.verdict == "HELD" and "long streams can't be held: away" in found.reason


def test_a_place_that_was_not_asked_before_says_nothing_of_changes() -> None:
    held_open = StreamOutcome(Played(held(stream()), held(stream(alpha=30.0, cut=CUT) | {"what": "elsewhere"})))
    held_open.look()
    assert held_open.look(written=60.0).verdict is None


def test_a_change_that_cuts_is_told_from_a_timeout_that_always_does() -> None:
    always = StreamOutcome(Played(held(stream(alpha=30.0, cut=CUT)), held(stream(alpha=29.0, cut=CUT))))
    assert always.look().reason == "v1alpha2 ended one after 30 s, v1 kept all open for 35 s" and always.look(written=60.0).verdict is None
    change = StreamOutcome(Played(held(stream(alpha=30.0, cut=CUT)), held(stream(alpha=4.0, cut=CUT))))
    change.look()
    found = change.look(written=60.0)
    assert found.verdict == "HELD" and found.reason.startswith(f"a stream of v1alpha2 ended after 4 s ({CUT}) when weights changed, and not before")
    never = StreamOutcome(Played(held(stream()), held(stream(alpha=30.0, cut=CUT))))
    never.look()
    assert never.look(written=60.0).verdict == "HELD", "it kept them before"
    busy = StreamOutcome(Played(held(stream()), held(stream(alpha=0.0, cut="status 429"))))
    busy.look()
    assert busy.look(written=60.0).verdict is None, "it never began, so no change cut it"


def test_a_change_that_cuts_streams_of_v1_alone_is_held_too() -> None:
    """While nothing changes v1 keeps them, so a second look clears it of a timeout, not of what the change did."""
    cut = stream() | {"v1": {"seconds": 6.0, "reason": CUT}}
    change = StreamOutcome(Played(held(stream()), held(cut, faults=("v1 cut a stream",)), held(stream())))
    change.look()
    found = change.look(written=60.0)
    assert found.verdict == "HELD" and found.reason.startswith(f"a stream of v1 ended after 6 s ({CUT}) when weights changed, and not before (there)")


def users(seconds: float, cut: str | None = None) -> Result:
    return held({"what": "there", "opened": 50.0, "user": {"seconds": seconds, "reason": cut}})


@pytest.mark.parametrize(("marking", "verdict"), [(users(35.0), None), (users(29.0, CUT), None), (users(4.0, CUT), "HELD"), (users(0.0, "status 429"), None)])
def test_users_streams_over_the_making_of_the_probe_routes_are_compared_with_v1alpha2s(marking: Result, verdict: str | None) -> None:
    """They are judged when it is known for how long v1alpha2 keeps a stream while nothing changes."""
    held_open = StreamOutcome(Played(marking, held(stream(alpha=30.0, cut=CUT))))
    held_open.streams.begin(before_a_change=True, variants=["user"])
    held_open.streams.keep()
    found = held_open.look()
    assert found.verdict == verdict and found.sent == 4 and held_open.played.begun[0]["variants"] == ["user"]
    if verdict:
        assert found.reason.startswith(f"a stream of v1alpha2 ended after 4 s ({CUT}) when routes changed, and not before (there): the gateway may cut users'")
        assert found.streams == tuple(marking["streams"]), "the evidence shows what the reason names"


def test_where_none_could_be_held_over_the_making_of_the_probe_routes_it_is_said() -> None:
    held_open = StreamOutcome(Played({"failed": True, "msg": "away", "unreachable_api": True}, held(stream())))
    held_open.streams.begin(variants=["user"])
    held_open.streams.keep()
    assert held_open.lines == ["streams: none over the making of the probe routes: away"] and held_open.look().verdict is None


def test_nothing_is_begun_where_none_are_wanted() -> None:
    none = StreamOutcome(Played(), seconds=0)
    assert none.look() == Ending() and none.played.begun == []


def test_endpoints_without_streams_are_not_waited_for(clock: SimpleNamespace) -> None:
    assert StreamOutcome(Played(held())).look(written=60.0) == Ending(None, "no endpoint has them", (), False, 2) and clock.now == 1000.0


AWAY = {"failed": True, "unreachable_api": True, "msg": "away"}


@pytest.mark.parametrize("written", [None, 60.0])
def test_after_an_api_server_was_away_they_are_opened_again(written: float | None) -> None:
    """Those over the change can't be had again; for how long v1 keeps one can be seen."""
    again = StreamOutcome(Played(AWAY, held(stream())))
    found = again.look(written)
    assert (found.verdict, found.spanned, len(found.streams)) == (None, False, 1)
    assert again.lines == ["streams: none could be held, opening them now: away"] and again.streams.usual[("v1", "there")] == 35.0
    assert StreamOutcome(Played(AWAY, AWAY)).look(written).verdict == "HELD"


def test_it_is_said_where_some_places_were_not_asked() -> None:
    found = StreamOutcome(Played(held(stream()) | {"left_out": 3})).look()
    assert found.reason.endswith("v1 kept all open for 35 s (1 of 4 references and addresses, chosen anew each time)")


@pytest.mark.parametrize(
    ("played", "refuse", "why"),
    [
        (Played({"failed": True, "msg": "no route"}), None, "no route"),
        (Played(), {"failed": True, "msg": "no space"}, "no space"),
        (Played(), {"changed": True}, "no job was made"),
        (Played(slow=10_000), None, "they did not end 30 s after their time"),
    ],
)
def test_what_can_not_be_held_is_held(played: Played, refuse: Result | None, why: str) -> None:
    played.refuse = refuse
    assert StreamOutcome(played).look()[:2] == ("HELD", f"long streams can't be held: {why}. stream_seconds 0 goes on without them")


def test_the_routes_are_looked_at_while_the_ends_are_waited_for(clock: SimpleNamespace) -> None:
    held_open = StreamOutcome(Played(held(stream()), slow=1))
    held_open.look()
    assert (held_open.looks, clock.now) == (3, 1035.0)


def test_a_result_that_comes_late_is_waited_for(clock: SimpleNamespace) -> None:
    assert StreamOutcome(Played(held(stream()), slow=3)).look().verdict is None and clock.now == 1037.0


@pytest.mark.parametrize(
    ("alpha", "v1", "line"),
    [
        (31.0, 30.5, "both stacks end streams after 30 s, so nothing changes for users"),
        (30.0, 5.0, "v1alpha2 ended one after 30 s, v1 ended one after 5 s"),
        (0.0, 0.0, "v1alpha2 ended one after 0 s, v1 ended one after 0 s"),
    ],
)
def test_streams_that_both_stacks_end_are_told_as_they_were(alpha: float, v1: float, line: str) -> None:
    """A healthy gateway that ends streams on both stacks must not sound broken, and a stack that is worse not healthy."""
    ended = {"what": "there", "opened": 50.0, "alpha": {"seconds": alpha, "reason": CUT}, "v1": {"seconds": v1, "reason": CUT}}
    assert long_streams.LongStreams._line((ended,), False, 0) == line


@pytest.mark.parametrize(("past", "seconds"), [(0, 35), (30, 35), (31, 36), (60, 65), (3600, 600)])
def test_streams_beside_the_first_gate_outlast_a_time_out_that_a_policy_has_made_longer(past: int, seconds: int) -> None:
    """For up to ten minutes; what is longer is named in the verdict."""
    outcome = StreamOutcome(Played())
    outcome.streams.begin(past=past)
    assert outcome.played.begun[-1]["seconds"] == seconds
