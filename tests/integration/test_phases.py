# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Phases in runs of their own, as approvals between them ask for, and an API server that goes away in a step."""

from __future__ import annotations

from harness import alpha_share

ALPHA, V1 = "inference.networking.x-k8s.io", "inference.networking.k8s.io"


def test_check_mode_writes_nothing_then_phases_run_one_by_one(demo, play):
    demo.reset_requests()
    checked = play(demo, arguments=("--check",))
    assert checked.status == 0, checked.log[-2000:]
    assert "CRDs to install: inferencepools.inference.networking.k8s.io" in checked.log
    assert demo.requests()["writes"] == 0

    planned = play(demo, extra={"migration_phases": ["plan", "install"]})
    assert planned.status == 0, planned.log[-2000:]
    assert alpha_share(demo) == [(ALPHA, 1)], "no traffic is moved before the phase shift"

    shifted = play(demo, extra={"migration_phases": ["shift"]})
    assert (shifted.status, shifted.verdict) == (0, "PROVEN"), shifted.reason
    assert alpha_share(demo) == [(ALPHA, 0), (V1, 100)]

    retired = play(demo, extra={"migration_phases": ["retire"], "migration_drain_seconds": 2})
    assert (retired.status, retired.verdict) == (0, "PROVEN"), retired.reason
    assert alpha_share(demo) == [(V1, 1)]


def test_an_api_server_that_goes_away_for_20_seconds_in_a_step(demo, play):
    gone = []

    def cut(line: str) -> None:
        if "step 1 of 3" in line:
            gone.append(demo.fault("unreachable", seconds=20))

    ended = play(demo, rate=20, extra={"migration_phases": ["plan", "install", "shift"]}, show=cut)
    assert gone, "the fault must have fired"
    assert (ended.status, ended.verdict) == (0, "PROVEN"), ended.reason
    assert "the API server does not answer" in ended.log
    assert "the API server answers again" in ended.log
    assert (ended.load["lost"], ended.load["cut"]) == (0, 0)
