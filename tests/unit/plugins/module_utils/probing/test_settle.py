# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settling in rounds, what users meet meanwhile, and the baseline, with senders that do as they are told."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import sending, settle
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sprt import Bounds
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import Probe

from tests.unit.helpers.probing_fakes import BAD, CELLS, OK, Said, fast, probes, soon


def in_rounds(size: int, failing: Iterable[int]) -> Callable[[Probe], Said]:
    """One probe of each of these rounds (from 0) fails."""
    sent, lock, bad = [0], threading.Lock(), set(failing)

    def send(probe: Probe) -> Said:
        with lock:
            number, place = divmod(sent[0], size)
            sent[0] += 1
        return BAD if number in bad and place == size // 2 else OK

    return send


def test_rounds_in_a_row_settle() -> None:
    asked = probes("alpha", None)
    found = settle.settle(asked, in_rounds(len(asked), []), 3, soon(), fast(), 4)
    assert (found.done, found.rounds, found.passing, found.faults.worst()) == (True, 3, {"alpha": True, "user": True}, [])


@pytest.mark.parametrize("failing", [[0], [2], [0, 3], [1, 4]])
def test_one_failure_starts_the_count_anew(failing: list[int]) -> None:
    asked, rounds = probes("alpha"), Counter[int]()
    send = in_rounds(len(asked), failing)

    def counted(probe: Probe) -> Said:
        rounds["sent"] += 1
        return send(probe)

    found = settle.settle(asked, counted, 3, soon(), fast(), 1)
    assert found.done and rounds["sent"] == (max(failing) + 1 + 3) * len(asked)


def test_the_deadline_ends_it_with_who_passed_and_why_not() -> None:
    found = settle.settle(probes("alpha", "v1", None), lambda probe: BAD if probe.variant == "v1" else OK, 3, time.monotonic(), fast(), 4)
    assert (found.done, found.rounds, found.passing) == (False, 0, {"alpha": True, "v1": False, "user": True})
    assert len(found.faults.worst()) == 3 and all(text.startswith("v1: status 503 [default/gw ") and text.endswith(" x1") for text in found.faults.worst())
    assert found.faults.worst("alpha") == []


def test_a_deadline_in_the_middle_of_a_clean_run_is_not_settled() -> None:
    found = settle.settle(probes("alpha"), lambda probe: OK, 3, time.monotonic(), fast(), 4)
    assert (found.done, found.rounds, found.passing) == (False, 1, {"alpha": True})


def test_a_clean_run_goes_on_in_the_next_stretch() -> None:
    late, clean = time.monotonic(), 0
    for stretch in range(1, 4):
        found = settle.settle(probes("alpha"), lambda probe: OK, 3, late, fast(), 4, clean)
        clean = found.rounds
        assert (found.done, clean) == (stretch == 3, stretch)
    assert settle.settle(probes("alpha"), lambda probe: BAD, 3, late, fast(), 4, clean).rounds == 0


def test_who_passed_in_any_round_is_told() -> None:
    """That v1 never does is another matter than that it failed in the last round."""
    asked = probes("v1")
    found = settle.settle(asked, in_rounds(len(asked), range(1, 10**6)), 3, soon(0.3), fast(), 1)
    assert (found.done, found.rounds, found.passing) == (False, 0, {"v1": True}) and found.faults.worst() != []


def monitor(control: bool = True, before: dict[str, Any] | None = None) -> settle.LiveTrafficMonitor:
    return settle.LiveTrafficMonitor(Bounds(), ["status 429"], control, before or {})


def test_a_few_failures_of_users_are_kept_and_many_end_it() -> None:
    asked = probes("alpha", None)
    few = monitor()
    found = settle.settle(asked, in_rounds(len(asked), [1]), 3, soon(), fast(), 1, monitor=few)
    assert found.done and few.judgement.new_failures == ("status 503",) and not few.rejects
    many = monitor()
    found = settle.settle(asked, lambda probe: OK if probe.variant else BAD, 3, soon(), fast(), 1, monitor=many)
    assert not found.done and many.rejects and 8 <= many.judgement.user.failures <= 8 + len(CELLS)
    assert found.faults.worst()[0].startswith("user: status 503")
    more = monitor(before=json.loads(json.dumps(few.judgement.dump())))
    assert more.judgement == few.judgement


@pytest.mark.parametrize(("alpha", "rejected"), [(OK, True), (BAD, False)])
def test_without_users_rules_their_rehearsal_is_watched(alpha: Said, rejected: bool) -> None:
    """Against v1alpha2 also before v1 has any traffic: the probe rules that name both lead to v1."""
    rehearsal = monitor(control=False)
    settle.settle(probes("alpha", "both"), lambda probe: alpha if probe.variant == "alpha" else BAD, 3, soon(0.3), fast(), 1, monitor=rehearsal)
    assert rehearsal.rejects is rejected
    rule = monitor(control=False)
    settle.settle(probes("both", None), lambda probe: BAD if probe.variant else OK, 3, soon(0.3), fast(), 1, monitor=rule)
    assert rule.judgement.user.failures == 0, "where users' rules are asked they are what counts"


def test_what_well_served_rounds_before_can_not_make_up_for() -> None:
    """The change is taken in the middle of settling: that all went well until then says nothing."""
    asked, late = probes("alpha", None), monitor()
    found = settle.settle(asked, in_rounds(len(asked), range(300, 10**6)), 10**6, soon(5.0), fast(), 1, monitor=late)
    assert late.rejects and not found.done


def test_the_first_clean_round_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, now = probes("alpha"), [1000.0]
    send = in_rounds(len(asked), [0, 2])

    def each_takes_a_second(probe: Probe) -> Said:
        now[0] += 1
        return send(probe)

    monkeypatch.setattr(settle.time, "time", lambda: now[0])
    found = settle.settle(asked, each_takes_a_second, 3, soon(), fast(), 1)
    assert found.done and found.first == 1000.0 + 4 * len(asked)
    assert settle.settle(asked, lambda probe: BAD, 3, time.monotonic(), fast(), 1).first == 0.0


def test_worst_names_the_most_frequent_first() -> None:
    faults = sending.Faults()
    for probe, said, times in zip(probes("v1"), (Said("a"), Said("b"), Said("c"), OK), (1, 3, 2, 9)):
        for _time in range(times):
            faults.note(probe, said)
    assert [text.split(" [")[0] for text in faults.worst(most=2)] == ["v1: b", "v1: c"]
    assert faults.sent == {"v1": 15}


def test_a_baseline_knows_the_kinds_of_failure_and_who_never_answers() -> None:
    asked = probes(None)
    found = settle.baseline(asked, in_rounds(len(asked), [1]), 3, soon(), fast(), 4)
    assert (found.kinds, found.silent, found.faults.sent["user"]) == (("status 503",), (), 3 * len(asked))
    found = settle.baseline(asked, lambda probe: BAD if probe.target == CELLS[0] else OK, 3, soon(), fast(), 4)
    assert (found.kinds, found.silent) == (("status 503",), (str(CELLS[0]),))
    found = settle.baseline(asked, lambda probe: OK, 3, time.monotonic(), fast(), 4)
    assert found.faults.sent["user"] == len(asked), "one round is the least"


def test_a_baseline_learns_names_from_good_answers() -> None:
    names = iter(["a", "b", "", "d"])
    found = settle.baseline(probes(None), lambda probe: replace(BAD if probe.target == CELLS[3] else OK, model=next(names)), 1, soon(), fast(), 1)
    assert found.answers == {"llama": {"a", "b"}}
