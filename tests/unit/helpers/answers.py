# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A probe, and answers to it as a model server gives them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import answer_checks, targets
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import COMPLETIONS, Probe, ProbeTarget
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.probe_routes import MARK_HEADER, mark, probe_value

from tests.unit.helpers.probing_fakes import address

R = "HTTPRoute default/r"
VALUE = probe_value("igm1", "v1", R, 0, 0)
HEADERS = {MARK_HEADER: mark("v1", R, 0, 0), answer_checks.EPP_HEADER: "true"}
MODELS = {"llama": {"name": "llama", "answer": "llama", "alpha_answers": ["llama-base"]}}


def probe(*, stream: bool = False, endpoint: str = COMPLETIONS, port: int = 8080, variant: targets.Variant | None = "v1", **fields: Any) -> Probe:
    target = ProbeTarget(
        address("127.0.0.1", port, False), "llm.example.com", "HTTPRoute default/r", 0, 0, endpoint, (("tenant", "x"),), "llama", endpoint, stream
    )
    return targets.probe(replace(target, **fields), variant, "igm1", MODELS)


def answer(**fields: Any) -> bytes:
    return json.dumps({"model": "llama", "choices": [{"text": "x", "finish_reason": "length"}]} | fields).encode()


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps({"model": "llama", "choices": [{"finish_reason": None}]} | fields).encode() + b"\n\n"


STOP = event(choices=[{"finish_reason": "stop"}])
DONE = b"data: [DONE]\n\n"
