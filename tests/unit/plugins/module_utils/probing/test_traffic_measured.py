# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measuring the traffic split, with senders that do as they are told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import targets, traffic_split
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import Probe
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.traffic_split import Signature

from tests.unit.helpers.probing_fakes import CELLS, fast

FROM_ALPHA, FROM_V1 = Signature(404, False, False, ""), Signature(404, True, True, "rewritten")


def served(v1_every: int | None, alike: bool = False) -> Callable[[Probe], Signature | None]:
    """v1 serves every so many of the users' requests."""
    lock, count = threading.Lock(), [0]

    def send(probe: Probe) -> Signature | None:
        assert probe.target.model == "nobody-uses-igm1"
        if alike:
            return FROM_V1
        if probe.variant:
            return FROM_V1 if probe.variant == "v1" else FROM_ALPHA
        with lock:
            count[0] += 1
            return FROM_V1 if v1_every and count[0] % v1_every == 0 else FROM_ALPHA

    return send


def measured(send: Callable[[Probe], Signature | None], share: float, count: int = 500) -> traffic_split.TrafficSplit:
    return traffic_split.measure(CELLS, lambda group: traffic_split.Expected(1 - share, share), send, "igm1", count, fast(), 6)


def test_a_share_that_is_what_the_weights_say() -> None:
    found = measured(served(10), 0.1)
    assert (found.faults, found.blind, found.sent) == ((), (), 500 + 2 * traffic_split.SAMPLES)
    where = "rule 0 of HTTPRoute default/llm-route at default/gw 127.0.0.1:8080"
    assert found.counted == (f"answered by alpha 450 and v1 50 of 500 tracer requests, weights say 90.0% and 10.0% ({where})",)
    assert measured(served(None), 0.0).faults == measured(served(1), 1.0).faults == ()


@pytest.mark.parametrize(("every", "share"), [(2, 0.1), (None, 0.1), (500, 0.0), (5, 0.5), (None, 1.0), (2, 1.0)])
def test_a_share_that_is_not(every: int | None, share: float) -> None:
    (fault,) = measured(served(every), share).faults
    assert "tracer requests" in fault and "where its weight says" in fault


def test_stacks_that_answer_alike_are_said_to_be() -> None:
    found = measured(served(None, alike=True), 0.5)
    assert found.faults == found.counted == () and "the stacks answer alike" in found.blind[0] and found.sent == 2 * traffic_split.SAMPLES


SHED = Signature(429, False, True, "")


@pytest.mark.parametrize(("shed", "unsure"), [(20, None), (10, None), (5, "answered 429"), (1, "54 of 54 tracer requests were answered 429 or by an error")])
def test_a_tracer_that_was_too_much_tells_nothing(shed: int, unsure: str | None) -> None:
    """Every so many of the users' tracer requests is shed: at a share of 100 % none of the others is wrong."""
    serve, turn = served(1), iter(range(10**6))

    def send(probe: Probe) -> Signature | None:
        return SHED if probe.variant is None and next(turn) % shed == 0 else serve(probe)

    found = measured(send, 1.0)
    assert found.faults == () and len(found.unsure) == bool(unsure) and (unsure or "") in "".join(found.unsure)
    assert (found.sent == 500 + 2 * traffic_split.SAMPLES) is not bool(unsure), "a stack that sheds load is left alone"


def test_what_is_wrong_is_wrong_whatever_was_shed() -> None:
    turn = iter(range(10**6))
    found = measured(lambda probe: SHED if probe.variant is None and next(turn) % 5 == 0 else served(None)(probe), 1.0)
    assert "where its weight says" in found.faults[0] and found.unsure == ()


def test_where_a_stack_sheds_every_sample_the_other_one_still_tells() -> None:
    """As on the way back from a v1 that sheds load."""
    found = measured(lambda probe: SHED if probe.variant == "v1" else served(None)(probe), 0.0)
    assert found.faults == found.blind == found.unsure == () and "answered by alpha 500 of 500 tracer requests" in found.counted[0]
    both = measured(lambda probe: SHED if probe.variant else served(1)(probe), 1.0)
    assert both.faults == both.blind == () and "no tracer request by the probe routes was answered, or by 429 alone" in both.unsure[0]


@pytest.mark.parametrize("answer", [None, Signature(503, True, False, "")])
def test_a_tracer_that_some_server_failed_is_no_wrong_share(answer: Signature | None) -> None:
    turn = iter(range(10**6))
    found = measured(lambda probe: answer if probe.variant is None and next(turn) % 50 == 0 else served(1)(probe), 1.0)
    assert found.faults == found.unsure == () and "v1 490 of 500 tracer requests" in found.counted[0]


def test_rules_that_only_a_persons_requests_reach_are_said_to_be_uncounted() -> None:
    own = replace(CELLS[0], rule=1, endpoint=targets.OWN, body="{}")
    found = traffic_split.measure([*CELLS, own], lambda group: traffic_split.Expected(0.0, 1.0), served(1), "igm1", 500, fast(), 6)
    assert found.blind == ("rule 1 of HTTPRoute default/llm-route at default/gw 127.0.0.1:8080: only requests of your own reach it",)


def test_less_than_one_tracer_is_refused() -> None:
    with pytest.raises(ValueError, match="tracers must be 1 or more, not -1"):
        measured(served(1), 1.0, -1)


def test_of_an_ill_stack_the_other_one_still_tells() -> None:
    """On the way back from a v1 that answers now so, now so: that all tracer requests are answered by alpha can be seen all the same."""
    turn = iter(range(10**6))

    def ill(probe: Probe) -> Signature | None:
        return Signature(500 + next(turn), True, True, "") if probe.variant == "v1" else FROM_ALPHA

    well, wrong = measured(ill, 0.0), measured(ill, 0.5)
    assert well.faults == well.blind == () and "answered by alpha 500 of 500 tracer requests" in well.counted[0]
    assert "alpha answered 500 of 500 tracer requests (100.0%) where its weight says 50.0%" in wrong.faults[0]
    neither = measured(lambda probe: Signature(500 + next(turn), True, True, ""), 0.5)
    assert "neither stack answers in one way" in neither.blind[0] and neither.faults == ()


def test_no_answer_is_nobodys() -> None:
    unanswered = measured(lambda probe: served(None)(probe) if probe.variant else None, 0.0)
    assert unanswered.faults == () and "54 of 54 tracer requests" in unanswered.unsure[0]
