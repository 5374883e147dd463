# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measuring the traffic split, with senders that do as they are told."""

from __future__ import annotations

import json
import math
import random
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import targets, traffic_split
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.split_statistics import Expected
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


def measured(send: Callable[[Probe], Signature | None], share: float, count: int = 3000) -> traffic_split.TrafficSplit:
    return traffic_split.measure(CELLS, lambda group: Expected(1 - share, share), send, "igm1", count, fast(), 6)


SAMPLED = 2 * traffic_split.SAMPLES


def test_a_share_that_is_what_the_weights_say() -> None:
    found = measured(served(10), 0.1)
    assert (found.done, found.faults, found.blind, found.undecided, found.left) == (True, (), (), (), 0)
    where = "rule 0 of HTTPRoute default/llm-route at default/gw 127.0.0.1:8080"
    assert re.fullmatch(rf"answered by alpha \d+ and v1 \d+ of {found.sent - SAMPLED} tracer requests, weights say 90.0% and 10.0% \({where}\)", *found.counted)
    assert 200 < found.sent < 600
    assert measured(served(None), 0.0).done and measured(served(1), 1.0).sent == SAMPLED + 342


@pytest.mark.parametrize(("every", "share"), [(2, 0.1), (None, 0.1), (300, 0.0), (5, 0.5), (None, 1.0), (2, 1.0)])
def test_a_share_that_is_not(every: int | None, share: float) -> None:
    found = measured(served(every), share)
    (fault,) = found.faults
    assert "tracer requests" in fault and "where its weight says" in fault and not found.done and found.left == 1


def test_stacks_that_answer_alike_are_said_to_be() -> None:
    found = measured(served(None, alike=True), 0.5)
    assert found.faults == found.counted == () and "the stacks answer alike" in found.blind[0] and found.sent == SAMPLED


SHED = Signature(429, False, True, "")


@pytest.mark.parametrize(("shed", "unsure"), [(20, None), (12, None), (5, "answered 429"), (1, "24 of 24 tracer requests were answered 429 or by an error")])
def test_a_tracer_that_was_too_much_tells_nothing(shed: int, unsure: str | None) -> None:
    """Every so many of the users' tracer requests is shed: at a share of 100 % none of the others is wrong."""
    serve, turn = served(1), iter(range(10**6))

    def send(probe: Probe) -> Signature | None:
        return SHED if probe.variant is None and next(turn) % shed == 0 else serve(probe)

    found = measured(send, 1.0)
    assert found.faults == () and len(found.unsure) == bool(unsure) and (unsure or "") in "".join(found.unsure)
    assert (found.sent >= SAMPLED + 342) is found.done is not bool(unsure), "a stack that sheds load is left alone"


FOOD = CELLS[0].model


def picky(share: float, sheds: Callable[[str], bool]) -> Callable[[Probe], Signature | None]:
    """v1alpha2 sheds requests for some models; otherwise it answers, and v1's server does not know the model that the header names."""
    chance, lock = random.Random(7), threading.Lock()

    def send(probe: Probe) -> Signature | None:
        with lock:
            v1 = probe.variant == "v1" or (probe.variant is None and chance.random() < share)
        if v1:
            return FROM_V1
        return SHED if sheds(probe.target.model) else Signature(200, True, True, "asked") if probe.target.model == FOOD else Signature(404, True, True, "asked")

    return send


def test_a_stack_that_sheds_unknown_models_is_asked_for_a_critical_one() -> None:
    """As EPP v0.5 does where it looks at its pods less often than each 200 ms, though no user meets a 429."""

    def ask(send: Callable[[Probe], Signature | None], share: float, critical: list[str], before: dict | None = None) -> traffic_split.TrafficSplit:
        return traffic_split.measure(CELLS, lambda group: Expected(1 - share, share), send, "igm1", 3000, fast(), 6, before=before, critical=critical)

    found = ask(picky(0.5, lambda model: model != FOOD), 0.5, [FOOD])
    assert found.done and found.faults == found.unsure == found.blind == () and "weights say 50.0% and 50.0%" in found.counted[0]
    wrong = ask(picky(0.9, lambda model: model != FOOD), 0.5, [FOOD])
    assert "where its weight says 50.0%" in wrong.faults[0]
    assert ask(picky(0.5, lambda model: model != FOOD), 0.5, []).unsure and ask(picky(0.5, lambda model: model != FOOD), 0.5, ["other"]).unsure
    every = ask(picky(0.5, lambda model: True), 0.5, [FOOD])
    (kept,) = every.tally.values()
    assert every.unsure and kept["spared"] and ask(picky(0.5, lambda model: model != FOOD), 0.5, [FOOD], every.tally).done


def test_what_is_wrong_is_wrong_whatever_was_shed() -> None:
    turn = iter(range(10**6))
    found = measured(lambda probe: SHED if probe.variant is None and next(turn) % 5 == 0 else served(None)(probe), 1.0)
    assert "where its weight says" in found.faults[0] and found.unsure == ()


def test_where_a_stack_sheds_every_sample_the_other_one_still_tells() -> None:
    """As on the way back from a v1 that sheds load."""
    found = measured(lambda probe: SHED if probe.variant == "v1" else served(None)(probe), 0.0)
    assert found.faults == found.blind == found.unsure == () and "answered by alpha 342 of 342 tracer requests" in found.counted[0]
    both = measured(lambda probe: SHED if probe.variant else served(1)(probe), 1.0)
    assert both.faults == both.blind == () and "no tracer request by the probe routes was answered, or by 429 alone" in both.unsure[0]


@pytest.mark.parametrize("answer", [None, Signature(503, True, False, "")])
def test_a_tracer_that_some_server_failed_is_no_wrong_share(answer: Signature | None) -> None:
    turn = iter(range(10**6))
    found = measured(lambda probe: answer if probe.variant is None and next(turn) % 50 == 0 else served(1)(probe), 1.0)
    assert found.faults == found.unsure == () and re.search(r"v1 34\d of 35\d tracer requests", found.counted[0])


def test_rules_that_only_a_persons_requests_reach_are_said_to_be_uncounted() -> None:
    own = replace(CELLS[0], rule=1, endpoint=targets.OWN, body="{}")
    found = traffic_split.measure([*CELLS, own], lambda group: Expected(0.0, 1.0), served(1), "igm1", 3000, fast(), 6)
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
    assert well.faults == well.blind == () and "answered by alpha 342 of 342 tracer requests" in well.counted[0]
    assert re.search(r"alpha answered (\d+) of \1 tracer requests \(100.0%\) where its weight says 50.0%", wrong.faults[0])
    neither = measured(lambda probe: Signature(500 + next(turn), True, True, ""), 0.5)
    assert "neither stack answers in one way" in neither.blind[0] and neither.faults == ()


def test_no_answer_is_nobodys() -> None:
    unanswered = measured(lambda probe: served(None)(probe) if probe.variant else None, 0.0)
    assert unanswered.faults == () and "24 of 24 tracer requests" in unanswered.unsure[0]


# -- many groups, and several executions --------------------------------------------------------------------------------


MANY = [replace(CELLS[0], rule=number) for number in range(20)]


class Gateway:
    """Serves each rule by a seed of its own, so that what it answers does not depend on who is asked when."""

    def __init__(self, share: float, leaking: dict[int, float] | None = None) -> None:
        self.shares = {target.rule: (leaking or {}).get(target.rule, share) for target in MANY}
        self.chances = {target.rule: random.Random(target.rule) for target in MANY}
        self.asked = Counter[int]()
        self.lock = threading.Lock()

    def __call__(self, probe: Probe) -> Signature | None:
        if probe.variant:
            return FROM_V1 if probe.variant == "v1" else FROM_ALPHA
        with self.lock:
            self.asked[probe.target.rule] += 1
            return FROM_V1 if self.chances[probe.target.rule].random() < self.shares[probe.target.rule] else FROM_ALPHA


def stretch(send: Callable[[Probe], Signature | None], share: float, before: traffic_split.TrafficSplit | None = None, *, whole: bool = False,
            count: int = 3000) -> traffic_split.TrafficSplit:
    """One execution: whole, or with a deadline that is over after the first batch; what it hands on has been through JSON."""
    tally = json.loads(json.dumps(before.dump()["tally"])) if before else None
    deadline = math.inf if whole else 0.0
    return traffic_split.measure(MANY, lambda group: Expected(1 - share, share), send, "igm1", count, fast(), 6, deadline=deadline, before=tally)


@pytest.mark.parametrize("share", [0.5, 1.0])
@pytest.mark.parametrize("leaking", [{}, {7: 0.25}])
def test_several_executions_decide_as_one_does(share: float, leaking: dict[int, float]) -> None:
    whole, gateway, found, executions = stretch(Gateway(share, leaking), share, whole=True), Gateway(share, leaking), None, 0
    while executions < 1000 and (found is None or not (found.done or found.faults)):
        found, executions = stretch(gateway, share, found), executions + 1
        assert found.sent <= 6
    assert found
    assert executions > 10 and (found.done, found.faults) == (whole.done, whole.faults) and whole.done is not bool(leaking)
    assert leaking or found.counted == whole.counted


def test_no_group_starves() -> None:
    gateway, found = Gateway(0.5), None
    for _execution in range(20 * 5):
        found = stretch(gateway, 0.5, found)
    assert len(gateway.asked) == 20 and max(gateway.asked.values()) - min(gateway.asked.values()) <= 6


def test_only_the_group_that_was_wrong_is_asked_again_and_must_be_right_twice() -> None:
    gateway = Gateway(1.0, {7: 0.0})
    first = stretch(gateway, 1.0, whole=True)
    assert first.left == 1 and "rule 7 of" in first.faults[0]
    gateway.shares[7], before = 1.0, gateway.asked.copy()
    second = stretch(gateway, 1.0, first, whole=True)
    assert second.done and second.faults == () and len(second.counted) == 20
    assert gateway.asked - before == Counter({7: 2 * 66}), "once wrong, so twice right"


def test_a_group_that_sheds_is_asked_anew_by_the_next_execution_alone() -> None:
    gateway = Gateway(1.0)
    first = stretch(lambda probe: SHED if probe.target.rule == 3 and probe.variant is None else gateway(probe), 1.0, whole=True)
    assert first.left == 1 and first.faults == () and "rule 3 of" in first.unsure[0]
    second = stretch(gateway, 1.0, first, whole=True)
    assert second.done and second.unsure == () and second.sent == SAMPLED + 66


def test_a_cap_that_is_too_small_leaves_shares_undecided_and_not_right() -> None:
    found = stretch(Gateway(1.0), 1.0, whole=True, count=60)
    assert found.done and found.counted == found.faults == () and len(found.undecided) == 20
    assert "rule 0 of" in found.undecided[0] and "as many as may be sent (tracers 60) do not tell its share: alpha 0 and v1 60 of 60" in found.undecided[0]


def test_each_group_in_which_nothing_tells_the_stacks_apart_is_named() -> None:
    gateway = Gateway(1.0)
    found = stretch(lambda probe: FROM_V1 if probe.target.rule in (2, 5) else gateway(probe), 1.0, whole=True)
    assert found.done and [text.partition(" of ")[0] for text in found.blind] == ["rule 2", "rule 5"] and len(found.counted) == 18


@pytest.mark.parametrize(("wanted", "why"), [
    (Expected(0.0, 0.5, 0.5, 0.5), "the rule has other backends too, and one stack answers"), (Expected(0.0, 0.0, 1.0, 1.0), "its weights give neither stack"),
])
def test_what_can_not_be_told_beside_other_backends_is_said(wanted: Expected, why: str) -> None:
    turn = iter(range(10**6))

    def send(probe: Probe) -> Signature | None:
        return Signature(400 + next(turn), True, True, "") if probe.variant == "v1" and wanted.v1 else FROM_V1 if probe.variant == "v1" else FROM_ALPHA

    found = traffic_split.measure(CELLS, lambda group: wanted, send, "igm1", 3000, fast(), 6)
    assert found.done and why in found.blind[0]


def test_another_backend_that_answers_like_a_stack_is_said() -> None:
    found = traffic_split.measure(CELLS, lambda group: Expected(0.0, 0.5, 0.5, 0.5), served(1), "igm1", 3000, fast(), 6)
    assert found.done and "other backends of the rule answer as a stack does: alpha 0 and v1" in found.undecided[0] and found.sent < 100
