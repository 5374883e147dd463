# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job, with the collection as Galaxy would install it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.product import leftovers
from tests.e2e.route_check import route_problems


@pytest.mark.second_python
def test_the_tarball_migrates_the_demo_and_loses_nothing(demo, play, installed_collections_path: Path):
    before = demo.kubectl_json("get", "httproute", "llm-route")
    ended = play(demo, rate=40, collections=installed_collections_path, extra={"migration_stream_seconds": 12})
    assert (ended.status, ended.verdict) == (0, "PROVEN"), ended.reason
    assert (ended.load["lost"], ended.load["cut"], ended.load["problems"]) == (0, 0, [])
    assert ended.load["requests"] > 500
    assert "over the change of weights" in ended.log, "long streams were open before a change and whole after it"
    assert leftovers(demo) == []
    assert route_problems(before, demo.kubectl_json("get", "httproute", "llm-route")) == []
    assert demo.kubectl("get", "httproutes", "-A", "-o", "name").split() == ["httproute.gateway.networking.k8s.io/llm-route"], "no probe route is left"

    demo.reset_requests()
    again = play(demo, collections=installed_collections_path)
    assert again.status == 0, again.log[-2000:]
    assert "v1alpha2 is not in use" in again.log
    assert demo.requests()["writes"] == 0, "a run after the end writes nothing"
