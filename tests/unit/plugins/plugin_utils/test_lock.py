# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a Lease may be taken from a run, by what is seen of it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.plugin_utils.lock import LEFT_SECONDS, Lock, first_look

SECONDS = 35


class Watch:
    """A lock whose clock stands still between looks, and whose holder lives or not as ``alive`` says."""

    def __init__(self, alive: bool | None, seen: dict[str, Any] | None = None) -> None:
        self.now, self.alive = 100.0, alive
        self.lock = Lock(seen, ({"pid": 5}, "one"), lambda: self.now, lambda _origin: self.alive)

    def __call__(self, after: float = 0.0, beat: str = "1", run: str = "run-1", here: bool = True, left: tuple[int, ...] = ()) -> str:
        self.now += after
        seen: dict[str, Any] = {"run": run, "beat": beat, "seconds": SECONDS, "holder": {"origin": {"pid": 1}}, "here": here, "left": list(left)}
        return self.lock.look(seen)


def test_a_holder_of_this_machine_that_lives_is_left_alone_however_long_it_is_silent() -> None:
    look = Watch(alive=True)
    assert look() == "refuse" and look(after=1000) == "refuse"


def test_a_holder_of_this_machine_that_is_dead_is_followed_at_once() -> None:
    assert Watch(alive=False)() == "take"


def test_its_last_processes_are_waited_for() -> None:
    look = Watch(alive=False)
    assert look(left=(7,)) == "wait" and look(after=10, beat="2", left=(7,)) == "wait", "they may still renew it"
    assert look(after=1) == "take"


def test_last_processes_that_never_end_are_told_of() -> None:
    look = Watch(alive=False)
    assert [look(after=30, beat=str(number), left=(7,)) for number in range(5)][-1] == "refuse" and look.now >= 100 + LEFT_SECONDS


def test_where_modules_run_elsewhere_its_time_tells() -> None:
    look = Watch(alive=False)
    assert look(here=False) == "wait" and look(after=SECONDS - 1, here=False) == "wait" and look(after=1, here=False) == "take"


def test_a_holder_elsewhere_is_dead_when_it_is_silent_for_its_time() -> None:
    look = Watch(None)
    assert look() == "wait" and look(after=SECONDS - 0.1) == "wait" and look.lock.left({"seconds": SECONDS}) == pytest.approx(0.1)
    assert look(after=0.1) == "take"


@pytest.mark.parametrize("change", [{"beat": "2"}, {"run": "run-2"}])
def test_a_holder_elsewhere_that_is_seen_to_renew_lives(change: dict[str, str]) -> None:
    look = Watch(None)
    assert look() == "wait" and look(after=SECONDS + 1, **change) == "refuse"


def test_the_time_since_an_earlier_look_counts() -> None:
    assert Watch(None, {"run": "run-1", "beat": "1", "at": 100.0 - SECONDS})() == "take"
    assert Watch(None, {"run": "run-1", "beat": "0", "at": 0.0})() == "refuse", "it was renewed since"
    assert Watch(None, {"run": "run-1", "beat": "1", "at": 101.0})() == "wait", "by a clock that began anew"


def test_a_look_keeps_its_time_while_nothing_changes() -> None:
    first = first_look({"run": "run-1", "beat": "1", "seconds": SECONDS}, None)
    assert first_look({"run": "run-1", "beat": "1"}, first | {"at": 5.0})["at"] == 5.0
    assert first_look({"run": "run-1", "beat": "2"}, first | {"at": 5.0})["at"] > 5.0
