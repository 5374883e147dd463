# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoint pickers that are not the inference extension's, and arguments that are never read: finer points."""

from __future__ import annotations

import pytest

from tests.unit.helpers.estate_changes import EPP, container, plugins

CONFIGURED = "plugins:\n- type: queue-scorer\n- type: {}\n"


@pytest.mark.parametrize(
    ("image", "foreign"),
    [
        ("registry.k8s.io/gateway-api-inference-extension/epp:v0.5.1", False),
        ("registry.example:5000/mirror/gateway-api-inference-extension-epp@sha256:0", False),
        ("epp", False),
        ("ghcr.io/llm-d/llm-d-inference-scheduler:v0.3.2", True),
        ("ghcr.io/llm-d/llm-d-router-epp:v1", True),
        ("registry.example/epp-things/picker:v1", True),
        ("", False),
    ],
)
def test_the_extensions_own_picker_is_known_by_its_image(demo, image, foreign):
    container(demo)["image"] = image
    found = demo.found("foreign-endpoint-picker")
    assert [(entry.severity, entry.overridable, entry.object) for entry in found] == [("blocker", True, f"Deployment default/{EPP}")] * foreign


def test_what_would_be_lost_is_said(demo):
    container(demo)["image"] = "ghcr.io/llm-d/llm-d-inference-scheduler:v0.3.2"
    container(demo)["args"].append("--of-llm-d=1")
    plugins(demo, CONFIGURED.format("prefill-filter"))
    (found,) = demo.found("foreign-endpoint-picker")
    assert found.message.endswith("only llm-d's has plugins prefill-filter; EPP v1.5.0 would run without plugins prefill-filter and flags of-llm-d.")


@pytest.mark.parametrize(("plugin", "foreign"), [("precise-prefix-cache-scorer", True), ("low-queue-filter", False), ("max-score-picker", False)])
def test_a_plugin_that_only_llm_d_has_tells_its_picker_under_any_image(demo, plugin, foreign):
    plugins(demo, CONFIGURED.format(plugin))
    assert bool(demo.found("foreign-endpoint-picker")) is foreign


@pytest.mark.parametrize(("words", "message"), [
    (["--secureServing", "false"], "it reads nothing from the word false on."),
    (["--secureServing", "false", "-v", "4"], "it reads nothing from the word false on: not -v 4."),
    (["--secureServing=false"], None),
    (["--"], None),
])
def test_what_stands_behind_a_stray_word(demo, words, message):
    container(demo)["args"] += words
    assert [entry.message for entry in demo.found("flags-never-read")] == ([message] if message else [])


def test_later_pickers_read_on_behind_a_stray_word(demo):
    container(demo).update(image="epp:v1.3.0", args=["--pool-name", "p", "--secure-serving", "false", "-v", "4"])
    assert demo.found("flags-never-read") == []
