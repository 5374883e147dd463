# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Long streams: chains of them, and which ends stand against v1. Whoever serves them is played, on a clock that is played too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import long_streams, targets
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.long_streams import Lasted, StreamComparison, keep_open
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import COMPLETIONS, Probe, ProbeTarget

from tests.unit.helpers.probing_fakes import address

CELL = ProbeTarget(address("192.0.2.1", 80, False), "llm.example.com", "HTTPRoute default/r", 0, 0, COMPLETIONS, (), "llama", COMPLETIONS, True)
PAIR = [targets.probe(CELL, "alpha", "igm1", {}), targets.probe(CELL, "v1", "igm1", {})]
CUT = "it ended before [DONE]"


@dataclass
class Served:
    seconds: float
    reason: str | None = None
    opened: float = 5.0
    closed: bool = False


def side(seconds: float, reason: str | None = None) -> Lasted:
    return Lasted(seconds, reason, 5.0, 1)


@pytest.mark.parametrize(
    ("alpha", "v1", "stands"),
    [
        (side(35), side(35), False),
        (side(35), side(30, CUT), True),
        (side(30, CUT), side(30, CUT), False),
        (side(30, CUT), side(29, CUT), False),
        (side(30, CUT), side(5, CUT), True),
        (side(5, CUT), side(30, CUT), False),
        (side(5, CUT), side(35), False),
        (side(0, "status 429"), side(0, "status 429"), False),
        # v1alpha2's streams ended by themselves, whole: that they were shorter is no excuse.
        (side(20), side(25, CUT), True),
    ],
)
def test_what_stands_against_v1(alpha: Lasted, v1: Lasted, stands: bool) -> None:
    assert bool(StreamComparison("there", {"alpha": alpha, "v1": v1}).fault) is stands


def test_the_fault_says_what_was_cut_and_when() -> None:
    found = StreamComparison("there", {"alpha": side(35), "v1": side(30, CUT)}).fault
    assert found == f"v1 cut a stream after 30 s ({CUT}) where v1alpha2 kept one for 35 s (there)"
    earlier = StreamComparison("there", {"alpha": side(30, "x"), "v1": side(5, CUT)})
    assert earlier.fault == f"v1 cut a stream after 5 s ({CUT}) where v1alpha2 cut its own only after 30 s (there)"


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [100.0]
    monkeypatch.setattr(long_streams.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(long_streams.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    return clock


def serving(now: list[float], *ends: Served, for_v1: Served | None = None) -> Callable[[Probe, float], Served]:
    """v1alpha2 serves ``ends`` one after the other, v1 always the same."""
    left = list(ends)

    def keep(probe: Probe, until: float) -> Served:
        if probe.variant == "v1" and for_v1:
            return for_v1
        served = left.pop(0)
        now[0] += served.seconds
        return served

    return keep


def test_a_stream_that_ends_is_followed_by_the_next_until_time_is_up(now: list[float]) -> None:
    found = keep_open([PAIR], serving(now, Served(10), Served(20), for_v1=Served(0, "status 503")), 130.0, 1)
    assert found == [StreamComparison(str(CELL), {"alpha": Lasted(20, None, 5.0, 2, whole=True), "v1": Lasted(0, "status 503", 5.0, 1)})]


def test_of_several_the_first_cut_counts(now: list[float]) -> None:
    found = keep_open([PAIR], serving(now, Served(40), Served(7, CUT), Served(9, CUT), for_v1=Served(40, opened=9.0)), 100.0, 3)
    assert found[0].sides == {"alpha": Lasted(7, CUT, 5.0, 3, whole=True), "v1": Lasted(40, None, 9.0, 3, whole=True)}
    assert found[0].dump() == {"what": str(CELL), "opened": 9.0, "alpha": {"seconds": 7, "reason": CUT, "closed": False},
                               "v1": {"seconds": 40, "reason": None, "closed": False}}


def test_of_several_all_must_be_cut_to_stand_against_v1() -> None:
    """One of three may be a pod's restart."""
    alpha, cut = Lasted(35, None, 5.0, 3, whole=True), Lasted(3, CUT, 5.0, 3)
    assert StreamComparison("there", {"alpha": alpha, "v1": cut}).fault
    assert StreamComparison("there", {"alpha": alpha, "v1": replace(cut, whole=True)}).fault is None


def test_one_that_never_began_has_no_beginning(now: list[float]) -> None:
    found = keep_open([PAIR], serving(now, Served(1), for_v1=Served(0, "status 503", opened=0.0)), 100.0, 1)
    assert found[0].dump()["opened"] == 0.0


def test_streams_by_the_users_own_rule_alone_stand_against_nobody(now: list[float]) -> None:
    (found,) = keep_open([[targets.probe(CELL, None, "igm1", {})]], serving(now, Served(4, CUT)), 100.0, 1)
    assert found.dump() == {"what": str(CELL), "opened": 5.0, "user": {"seconds": 4, "reason": CUT, "closed": False}} and found.fault is None


def test_nothing_to_hold() -> None:
    assert keep_open([], lambda probe, until: Served(1), 0.0, 3) == []
