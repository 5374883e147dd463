# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many probes are sent a second and at once, and how both fall where model servers take longer or refuse."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import gate
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.load import ENOUGH, SLOWEST, ProbeLoad
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sending import send_round
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import Probe

from tests.unit.helpers.probing_fakes import BAD, CELLS, OK, Said, comparisons, probes


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
        ProbeLoad(rate)


def test_the_rate_spreads_requests() -> None:
    clock = Clock()
    load = ProbeLoad(10, clock=clock, sleep=clock.sleep)
    for _request in range(21):
        load.take()
    assert clock.slept == pytest.approx(2.0)
    load.take(30)
    load.take()
    assert clock.slept == pytest.approx(2.0 + 0.1 + 3.0)


def test_the_rate_lends_nothing_for_idle_time() -> None:
    clock = Clock()
    load = ProbeLoad(10, clock=clock, sleep=clock.sleep)
    clock.now += 1000
    for _request in range(11):
        load.take()
    assert clock.slept == pytest.approx(1.0)


def test_the_rate_holds_for_threads_that_ask_at_once() -> None:
    waits: list[float] = []
    load = ProbeLoad(10, clock=lambda: 100.0, sleep=waits.append)
    threads = [threading.Thread(target=load.take) for _thread in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == pytest.approx([number / 10 for number in range(1, 12)])


def test_the_rate_gives_way_to_429_and_comes_back() -> None:
    clock = Clock()
    load = ProbeLoad(10, clock=clock, sleep=clock.sleep)

    def second_of(answers: list[Said], times: int) -> float:
        for _time in range(times):
            load.heed(zip(probes(None) * 3, answers))
        load.take()
        before = clock.now
        load.take()
        return clock.now - before

    much, none = [OK, Said("status 429", 429), *[OK] * 10], [OK] * 12
    assert second_of(much, 1) == pytest.approx(0.2)
    assert second_of(much, 9) == pytest.approx(1.6), "at most 16 times slower"
    assert second_of(none, 1) == pytest.approx(1.44)
    assert second_of(none, 99) == pytest.approx(0.1), "and never faster than its cap"


def timed(load: ProbeLoad, first: float, count: int = 24) -> float:
    """How many times slower probing is after so many answers whose first byte took so long."""
    (probe,) = probes(None, among=CELLS[:1])
    for _answer in range(count):
        load.heed([(probe, Said(first=first))])
    return load.slower


def test_the_rate_is_halved_when_the_first_byte_takes_twice_as_long() -> None:
    """By how much longer it takes, and no more: a server that stays slow is still asked."""
    load = ProbeLoad(10)
    assert timed(load, 0.2) == 1 and [*load.dump()["usual"].values()] == [0.2]
    assert timed(load, 0.39) == 1
    assert timed(load, 0.6) == 2 and load.dump()["ratio"] == pytest.approx(3)
    assert timed(load, 0.6, 200) == 2
    assert timed(load, 0.81) == 4
    assert timed(load, 60.0) == SLOWEST
    assert timed(load, 0.2) == 1


def test_a_few_slow_answers_are_chance() -> None:
    load = ProbeLoad(10)
    timed(load, 0.2)
    assert timed(load, 9.0, 10) == 1
    load = ProbeLoad(10, before=load.dump() | {"ratio": 1.0})
    assert timed(load, 9.0, ENOUGH - 1) == 1 and timed(load, 9.0, 1) == SLOWEST


def test_what_is_usual_is_known_by_pool_and_kind_and_goes_on_in_another_execution() -> None:
    load = ProbeLoad(10, pool_of=lambda target: "default/llama")
    stream, plain = (next(probe for probe in probes(None) if probe.target.stream is wanted) for wanted in (True, False))
    for first in (0.1, 0.1, 0.1, 0.1, 5.0):
        load.heed([(stream, Said(first=first)), (plain, Said(first=2 * first)), (plain, Said("status 503", 503, first=7.0))])
    kind = "default/llama llama /v1/completions"
    assert load.dump()["usual"] == {f"{kind} stream": 0.1, kind: 0.2}, "the median, and failures tell nothing"
    later = ProbeLoad(10, pool_of=lambda target: "default/llama", before=load.dump())
    for _answer in range(24):
        later.heed([(stream, Said(first=0.3))])
    assert later.slower == 2 and ProbeLoad(10, before=later.dump()).slower == 2


def test_a_refusal_of_the_gateways_own_slows_as_well() -> None:
    load = ProbeLoad(10)
    load.heed([(probes(None)[0], Said("status 403 by the gateway itself", 403, by_gateway=True))])
    assert load.slower == 2
    load.heed([(probes(None)[0], OK)] * (11 + 36))
    assert load.slower == pytest.approx(2 * 0.9 ** 3), "the more answers, the more is given back"


def test_probing_begins_slowly_where_it_does_not_know_the_servers() -> None:
    load = ProbeLoad(10, ramp=True)
    speeds = [load.slower]
    for _batch in range(4):
        load.heed([(probes(None)[0], OK)] * 12)
        speeds.append(load.slower)
    assert speeds == [8, 4, 2, 1, 1]
    load = ProbeLoad(10, ramp=True)
    load.heed([(probes(None)[0], answer) for answer in [Said("status 429", 429), *[OK] * 11]])
    assert load.slower == 8, "not faster while anything refuses"


def most_at_once(load: ProbeLoad, workers: int = 12) -> int:
    here, most, lock = 0, 0, threading.Lock()

    def send(_probe: object) -> Said:
        nonlocal here, most
        with lock:
            here += 1
            most = max(most, here)
        time.sleep(0.005)
        with lock:
            here -= 1
        return OK

    asked = [probe for probe in probes("alpha", "v1", None) for _time in range(3)]
    with ThreadPoolExecutor(workers) as pool:
        for _few in send_round(asked, send, load, pool, workers):
            pass
    return most


@pytest.mark.parametrize(("servers", "most"), [({"p": 1}, 1), ({"p": 3}, 3), ({"p": 0}, 1)])
def test_a_pool_has_as_many_probes_in_flight_as_servers(servers: dict[str, int], most: int) -> None:
    assert most_at_once(ProbeLoad(1e6, servers, lambda _target: "p")) == most


def test_the_probes_of_one_comparison_follow_each_other() -> None:
    """Else the two of a pair would be two requests on one server."""
    load, asked = ProbeLoad(1e6, {"p": 2}, lambda _target: "p"), list[str]()

    def send(probe: Probe) -> Said:
        asked.append(str(probe.variant))
        return BAD if probe.variant == "v1" else OK

    answers = gate.compare(comparisons(CELLS[:1])[0], send, load)
    assert asked == ["alpha", "v1", "None", "alpha"] and [answer.ok for answer in answers] == [True, False, True, True]
    assert load.at_once == 2 and ProbeLoad(1, {"p": 5, "q": 2}).at_once == 4, "work that is begun at a time ends at about the same time"
    assert ProbeLoad(1, {"p": 4}, before={"usual": {}, "refused": 8.0, "ratio": 1.0}).at_once == 1
