# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from copy import deepcopy

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.plan.diff import difference

POOL = "vllm-llama3-8b-instruct-preview"


def test_equal_plans_do_not_differ(demo):
    assert difference(demo.plan(), demo.plan()) == []


def test_what_the_hash_does_not_cover_is_no_difference(demo):
    before = demo.plan()
    demo.version = "v1.33.6-gke.1"
    assert difference(before, demo.plan()) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda w: w.get("InferencePool")["spec"]["selector"].update(tier="gold"),
         f'pools default {POOL} chart values inferencePool modelServers matchLabels tier: added "gold"'),
        (lambda w: w.remove("InferenceModel", "food-review"), f"pools default {POOL} models food-review-1 food-review: gone"),
        (lambda w: w.get("HTTPRoute")["spec"]["rules"][0]["backendRefs"][0].update(weight=7),
         f"pools default {POOL} references gateway.networking.k8s.io/v1 HTTPRoute default llm-route 0 0 weight: 1 -> 7"),
        (lambda w: w.get("GCPBackendPolicy")["spec"]["default"].update(timeoutSec=60), f"pools default {POOL} timeout_seconds: 30 -> 60"),
    ],
)
def test_a_change_is_one_line_that_names_its_place(demo, change, line):
    before = demo.plan()
    change(demo)
    lines = difference(before, demo.plan())
    assert any(found.startswith(line) for found in lines), lines


def test_another_order_is_a_difference(demo):
    before = demo.plan()
    after = deepcopy(before)
    after["pools"][0]["retire"].reverse()
    assert difference(before, after) == [f"pools default {POOL} retire: in another order"]


def test_unlike_entries_of_one_name_are_told_apart(demo):
    before = demo.plan()
    after = deepcopy(before)
    after["pools"][0]["retire"].append(deepcopy(after["pools"][0]["retire"][0]))
    assert len(difference(before, after)) == 1
