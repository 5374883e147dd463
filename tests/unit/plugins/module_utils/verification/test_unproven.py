# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a shift has not proven: what could not be asked, and what told nothing."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import targets
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification import unproven

from tests.unit.helpers.migration_fakes import ALPHA, KEY, gateway, http_route, listeners, plan_pool, rule

Side = dict[str, Any]
KEPT: Side = {"seconds": 35.0, "reason": None}
CUT: Side = {"seconds": 12.0, "reason": "it ended before [DONE]"}
REFUSED: Side = {"seconds": 0.0, "reason": "status 400"}
ENDED: Side = {"seconds": 8.0, "reason": None}


def gate(**streams: tuple[Side, Side]) -> dict[str, Any]:
    return {"streams": [{"what": what, "opened": 1.0 if alpha["seconds"] and v1["seconds"] else 0.0, "alpha": alpha, "v1": v1}
                        for what, (alpha, v1) in streams.items()]}


def of_streams(*gates: dict[str, Any], streaming: tuple[str, ...] = ("a",), seconds: int = 35) -> list[str]:
    return [entry["what"] for entry in unproven.of_streams(gates, streaming, seconds)]


@pytest.mark.parametrize(
    ("alpha", "v1", "seconds", "expected"),
    [
        (KEPT, KEPT, 35, []),
        (CUT, CUT, 35, []),
        (ENDED, ENDED, 8, []),
        (ENDED, ENDED, 35, ["a: alpha ended by itself after 8 s; v1 ended by itself after 8 s"]),
        (KEPT, ENDED, 35, ["a: alpha ended by itself after 35 s; v1 ended by itself after 8 s"]),
        (REFUSED, REFUSED, 35, ["a: alpha status 400 after 0 s; v1 status 400 after 0 s"]),
        (REFUSED, CUT, 35, ["a: alpha status 400 after 0 s; v1 it ended before [DONE] after 12 s"]),
        (KEPT, KEPT, 0, ["stream_seconds is 0, so none was held"]),
    ],
)
def test_long_streams_prove_something_where_both_stacks_kept_or_cut_them(alpha: Side, v1: Side, seconds: int, expected: list[str]) -> None:
    assert of_streams(gate(a=(alpha, v1)), seconds=seconds) == expected


def test_one_gate_is_enough_and_whoever_was_never_asked_is_named() -> None:
    assert of_streams(gate(a=(REFUSED, REFUSED)), gate(a=(KEPT, KEPT)), {}, streaming=("a", "b")) == ["b: none was asked for"]
    assert of_streams(streaming=()) == ["no endpoint that is asked has them"]


def test_refused_streams_are_known_after_the_first_gate() -> None:
    assert unproven.of_refused([gate(a=(KEPT, KEPT))], 35) == []
    assert [entry["what"][:2] for entry in unproven.of_refused([gate(a=(KEPT, KEPT), b=(REFUSED, REFUSED))], 35)] == ["b:"]
    assert unproven.of_refused([gate(b=(REFUSED, REFUSED)), gate(b=(KEPT, KEPT))], 35) == []


def test_the_share() -> None:
    assert [entry["what"] for entry in unproven.of_split([{}, {"blind": ["x", "y"]}, {"blind": ["x"]}], 500)] == ["x", "y"]
    assert unproven.of_split([{"blind": []}], 500) == [] and len(unproven.of_split([{"blind": ["x"]}], 0)) == 1


def of_targets(*, asked: bool = True, place: Any = None, **pool: Any) -> list[tuple[str, str]]:
    route, entry = http_route(rule(ALPHA)), plan_pool(**pool)
    here = listeners(place or gateway(), routes=[route])
    found = targets.probe_targets(route, here, {KEY: entry}) if asked else []
    return [(one["kind"], one["what"]) for one in unproven.of_targets([route], here, [entry], found)]


def test_what_no_request_can_ask() -> None:
    assert of_targets() == []
    assert of_targets(endpoints=["/v1/completions", "/v1/rerank"]) == [("endpoint", "/v1/rerank of pool default/llama-preview")]
    assert of_targets(asked=False) == [
        ("address", "default/gw 127.0.0.1:8080 (HTTPRoute default/llm-route)"),
        ("model", "llama of pool default/llama-preview"),
        ("endpoint", "/v1/completions of pool default/llama-preview"),
        ("endpoint", "/v1/chat/completions of pool default/llama-preview"),
    ]
    silent = gateway()
    del silent["status"]
    assert ("address", "Gateway default/gw has none for HTTPRoute default/llm-route") in of_targets(place=silent)
    assert of_targets(asked=False, references=[], place=silent) == [("address", "Gateway default/gw has none for HTTPRoute default/llm-route")]


def test_the_sentence_has_each_kind_once() -> None:
    found = [unproven.Unproven(kind="model", what=what) for what in ("a", "b", "c")] + [unproven.Unproven(kind="share", what="x")]
    assert unproven.sentence(found) == "not proven: model (a and 2 more), share (x)"
    assert unproven.sentence([]) == ""
