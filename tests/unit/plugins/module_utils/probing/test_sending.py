# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cap on the rate of probes."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sending import Pace

from tests.unit.helpers.probing_fakes import OK, Said


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
