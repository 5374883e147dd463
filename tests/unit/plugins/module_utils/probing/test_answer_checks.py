# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as an answer: every way a 200 may be none."""

from __future__ import annotations

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import answer_checks, targets
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import CHAT, EMBEDDINGS, RESPONSES
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.probe_routes import MARK_HEADER, mark

from tests.unit.helpers.answers import DONE, HEADERS, STOP, R, answer, event, probe


@pytest.mark.parametrize("body", [answer(), answer(model="llama-base"), answer(choices=[{"finish_reason": "stop"}], usage=None)])
def test_an_answer(body: bytes) -> None:
    assert answer_checks.judge(probe(), 200, HEADERS, body) is None


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (200, {answer_checks.EPP_HEADER: "true"}, answer(), "not answered by the probe route (status 200)"),
        (200, HEADERS | {MARK_HEADER: mark("alpha", R, 0, 0)}, answer(), "not answered by the probe route (status 200)"),
        (200, HEADERS | {MARK_HEADER: mark("v1", "HTTPRoute default/other", 0, 0)}, answer(), "not answered by the probe route (status 200)"),
        (404, {}, b"", "not answered by the probe route (status 404)"),
        (500, HEADERS, b"", "status 500 with an empty body"),
        (429, HEADERS, b"slow\n  down", "status 429 slow down"),
        (503, HEADERS, b"\xff" + b"x" * 500, "status 503 \ufffd" + "x" * 119),
        (201, HEADERS, answer(), "status 201 " + answer().decode()[:120]),
        (200, {MARK_HEADER: mark("v1", R, 0, 0)}, answer(), "answered without the endpoint picker (it is down or not asked)"),
        (200, HEADERS, b"", "200 with a body that is not JSON"),
        (200, HEADERS, answer()[:-1], "200 with a body that is not JSON"),
        (200, HEADERS, b"\xff", "200 with a body that is not JSON"),
        (200, HEADERS, b"[]", "200 without choices"),
        (200, HEADERS, b"{}", "200 without choices"),
        (200, HEADERS, answer(choices=[]), "200 without choices"),
        (200, HEADERS, answer(choices=[None]), "200 without choices"),
        (200, HEADERS, answer(choices={"0": {}}), "200 without choices"),
        (200, HEADERS, answer(model="mistral"), "answer names model mistral, asked for llama"),
        (200, HEADERS, answer(model=None), "answer names model None, asked for llama"),
        (200, HEADERS, answer(model=["llama"]), "answer names model ['llama'], asked for llama"),
        (200, HEADERS, answer(choices=[{}]), "finish_reason is None"),
        (200, HEADERS, answer(choices=[{"finish_reason": "error"}]), "finish_reason is error"),
    ],
)
def test_what_is_no_answer(status: int, headers: dict[str, str], body: bytes, expected: str) -> None:
    assert answer_checks.judge(probe(), status, headers, body) == expected


@pytest.mark.parametrize(
    ("stream", "headers", "body", "expected"),
    [
        (False, HEADERS, answer(), "llama"),
        (False, {}, answer(), ""),
        (False, HEADERS, b"[]", ""),
        (False, HEADERS, b"no JSON", ""),
        (False, HEADERS, answer(model=["x"]), ""),
        (True, HEADERS, b": comment\n\n" + event(model="other") + STOP + DONE, "other"),
        (True, HEADERS, DONE, ""),
        (True, {}, event() + DONE, ""),
    ],
)
def test_the_model_that_an_answer_names_is_read_where_an_endpoint_picker_has_handled_it(
    stream: bool, headers: dict[str, str], body: bytes, expected: str
) -> None:
    assert answer_checks.model_named(probe(stream=stream), headers, body) == expected


def test_the_users_rule_must_not_carry_a_mark() -> None:
    user = probe(variant=None)
    assert answer_checks.judge(user, 200, {answer_checks.EPP_HEADER: "true"}, answer()) is None
    assert answer_checks.judge(user, 200, HEADERS, answer()) == "still answered by the probe route (status 200)"


def test_a_shared_rule_may_answer_by_another_backend() -> None:
    user = probe(variant=None, shared=True)
    assert answer_checks.judge(user, 200, {}, answer(model="of-somebody-else")) is None
    assert answer_checks.judge(user, 503, {}, b"") == "status 503 with an empty body"


@pytest.mark.parametrize(
    "body",
    [
        event() + STOP + DONE,
        event() + STOP + event(choices=[], usage={"total_tokens": 3}) + DONE,
        b": comment\r\n\r\n" + event(model="llama-base").replace(b"\n", b"\r\n") + STOP + b"data:[DONE]",
    ],
)
def test_a_stream(body: bytes) -> None:
    assert answer_checks.judge(probe(stream=True), 200, HEADERS, body) is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "stream cut before [DONE]"),
        (event() + STOP, "stream cut before [DONE]"),
        (DONE + event(), "stream cut before [DONE]"),
        (answer(), "stream cut before [DONE]"),
        (DONE, "stream without choices"),
        (b'data: {"error": "x"}\n\n' + DONE, "stream without choices"),
        (event(choices={"a": 1}) + event(choices=[1]) + DONE, "stream without choices"),
        (event() + b"data: {\n\n" + DONE, "stream with an event that is not JSON"),
        (event(model="mistral") + STOP + DONE, "answer names model mistral, asked for llama"),
        (event() + DONE, "finish_reason is None"),
        (event() + event(choices=[{"finish_reason": "error"}]) + DONE, "finish_reason is error"),
    ],
)
def test_what_is_no_stream(body: bytes, expected: str) -> None:
    assert answer_checks.judge(probe(stream=True), 200, HEADERS, body) == expected


@pytest.mark.parametrize(
    ("endpoint", "body", "expected"),
    [
        (CHAT, answer(choices=[{"message": {}, "finish_reason": "stop"}]), None),
        (EMBEDDINGS, answer(data=[{"embedding": [0.1]}]), None),
        (EMBEDDINGS, answer(), "200 without data"),
        (EMBEDDINGS, answer(data=[{"embedding": []}]), "200 with an empty embedding"),
        (EMBEDDINGS, answer(data=[{"embedding": [0.1]}], model="mistral"), "answer names model mistral, asked for llama"),
        (RESPONSES, answer(output=[{}], status="completed"), None),
        (RESPONSES, answer(output=[{}], status="incomplete"), None),
        (RESPONSES, answer(output=[{}], status="failed"), "status of the response is failed"),
        (RESPONSES, answer(output=[]), "200 without output"),
    ],
)
def test_other_endpoints(endpoint: str, body: bytes, expected: str | None) -> None:
    assert answer_checks.judge(probe(endpoint=endpoint), 200, HEADERS, body) == expected


# -- what a person's own request brings back --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "status", "body", "expected"),
    [
        (False, 200, b'{"anything": 1}', None),
        (False, 200, b"[]", None),
        (False, 200, b"<html>", "200 with a body that is not JSON"),
        (False, 400, b"bad prompt", "status 400 bad prompt"),
        (True, 200, b"data: {}\n\n" + DONE, None),
        (True, 200, b"data: {}\n\n", "stream cut before [DONE]"),
        (True, 200, b"data: {\n\n" + DONE, "stream with an event that is not JSON"),
    ],
)
def test_of_a_persons_own_request_form_and_status_are_judged(stream: bool, status: int, body: bytes, expected: str | None) -> None:
    own = probe(endpoint=targets.OWN, body='{"prompt": [1]}', model="", stream=stream)
    assert answer_checks.judge(own, status, HEADERS, body) == expected
    assert answer_checks.judge(own, status, {answer_checks.EPP_HEADER: "true"}, body) == f"not answered by the probe route (status {status})"
    assert status != 200 or "without the endpoint picker" in str(answer_checks.judge(own, 200, {MARK_HEADER: mark("v1", R, 0, 0)}, body))


@pytest.mark.parametrize(
    ("reason", "status", "kind"),
    [
        ("status 503 no healthy upstream", 503, "status 503"),
        ("connection failed: [Errno 111] Connection refused", 0, "connection failed"),
        ("no complete answer within 10 s", 0, "no complete answer within 10 s"),
        ("answered without the endpoint picker (it is down or not asked)", 200, "answered without the endpoint picker"),
        ("not answered by the probe route (status 404)", 404, "not answered by the probe route"),
        (None, 200, "none"),
    ],
)
def test_the_kind_of_a_failure_is_what_repeats(reason: str | None, status: int, kind: str) -> None:
    assert answer_checks.Answer(status, reason, 0.0, 0.0).kind == kind


@pytest.mark.parametrize(("method", "kind", "body", "fault"), [
    ("GET", "application/json; charset=utf-8", b"llama", True), ("GET", "application/json", b"[]", False), ("GET", "text/plain", b"llama", False),
    ("GET", "", b"", False), ("POST", "text/plain", b"llama", True),
])  # fmt: skip
def test_the_answer_to_a_get_is_json_where_it_says_so(method: str, kind: str, body: bytes, fault: bool) -> None:
    """A server that is well may answer /health with an empty body; what clients post they want an answer to."""
    mine = probe(endpoint=targets.OWN, path="/health", method=method, model="", body="")
    found = answer_checks.judge(mine, 200, HEADERS | ({"content-type": kind} if kind else {}), body)
    assert found == ("200 with a body that is not JSON" if fault else None)


def test_models_that_no_endpoint_picker_lists_are_none() -> None:
    assert answer_checks.listed_models(200, {}, b'{"data": [{"id": "a"}]}') is None
