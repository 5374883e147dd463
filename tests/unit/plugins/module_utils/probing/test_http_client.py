# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests over real sockets that misbehave."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import answer_checks, http_client, targets, traffic_split
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import COMPLETIONS
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.probe_routes import MARK_HEADER, PROBE_HEADER, mark

from tests.unit.helpers.answers import DONE, STOP, VALUE, R, answer, event, probe
from tests.unit.helpers.scripted_server import Handler, Script, Server, chunked, plain


def test_a_request_is_small_real_and_its_own(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red for nothing: 2 in 10^10, two prompts that begin with the same 32 random bits."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server.script = plain(answer())
    for _time in range(2):
        found = http_client.Client(5, token="x").send(probe(port=server.port))
        assert (found.ok, found.status, found.reason) == (True, 200, None)
        assert abs(found.sent - time.time()) < 5 and 0 < found.seconds < 5
    (path, headers, body), (_path, _headers, other) = server.seen
    assert path == COMPLETIONS
    assert {name: headers[name] for name in ("host", "connection", "authorization", "tenant", PROBE_HEADER)} == {
        "host": f"llm.example.com:{server.port}", "connection": "close", "authorization": "Bearer x", "tenant": "x", PROBE_HEADER: VALUE,
    }  # fmt: skip
    assert body["model"] == "llama" and body["temperature"] == 0 and body["prompt"][:8] != other["prompt"][:8]


def test_a_host_without_a_name_is_the_address(server: Server) -> None:
    server.script = plain(answer())
    http_client.Client(5).send(probe(port=server.port, hostname=""))
    assert server.seen[0][1]["host"] == f"127.0.0.1:{server.port}"


def test_a_stream_in_chunks(server: Server) -> None:
    server.script = chunked(event()[:9], event()[9:] + STOP, DONE)
    assert http_client.Client(5).send(probe(port=server.port, stream=True)).ok
    assert server.seen[0][2]["stream"] is True


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (chunked(event(), end=False), "connection failed: IncompleteRead"),
        (chunked(event(), STOP), "stream cut before [DONE]"),
        (plain(event() + STOP + DONE, claim=5), "stream cut before [DONE]"),
        (plain(event() + STOP + DONE, claim=9999), "connection failed: IncompleteRead"),
    ],
)
def test_a_stream_that_is_cut(server: Server, script: Script, reason: str) -> None:
    server.script = script
    found = http_client.Client(5).send(probe(port=server.port, stream=True))
    assert not found.ok and found.status == 200 and found.reason is not None and found.reason.startswith(reason)


def test_wrong_answers_of_a_real_server(server: Server) -> None:
    server.script = plain(answer(), **{MARK_HEADER: mark("alpha", R, 0, 0)})
    assert http_client.Client(5).send(probe(port=server.port)).reason == "not answered by the probe route (status 200)"
    server.script = plain(b"no healthy upstream", status=503)
    found = http_client.Client(5).send(probe(port=server.port))
    assert (found.status, found.reason) == (503, "status 503 no healthy upstream")
    server.script = plain(answer(), claim=9999)
    assert str(http_client.Client(5).send(probe(port=server.port)).reason).startswith("connection failed: IncompleteRead")


def test_silence_is_a_failure_in_time(server: Server) -> None:
    released = threading.Event()
    server.script = lambda handler: (released.wait(5), None)[1]
    found = http_client.Client(0.2).send(probe(port=server.port))
    released.set()
    assert (found.status, found.reason) == (0, "no complete answer within 0.2 s") and found.seconds < 2


def test_an_answer_that_drips_is_a_failure_in_time(server: Server) -> None:
    server.script = chunked(*[event()] * 40, pause=0.05)
    found = http_client.Client(0.3).send(probe(port=server.port, stream=True))
    assert (found.status, found.reason) == (200, "no complete answer within 0.3 s") and found.seconds < 1.5


def test_an_endless_answer_is_not_read_to_its_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "READ_LIMIT", 1000)
    server.script = chunked(*[b"x" * 500] * 50)
    found = http_client.Client(5).send(probe(port=server.port))
    assert found.reason == "the answer is longer than 1000 bytes"


@pytest.mark.parametrize("script", [lambda handler: handler.connection.shutdown(socket.SHUT_RDWR), lambda handler: handler.wfile.write(b"nonsense\r\n\r\n")])
def test_a_connection_that_breaks(server: Server, script: Script) -> None:
    def broken(handler: Handler) -> None:
        script(handler)
        handler.close_connection = True

    server.script = broken
    found = http_client.Client(5).send(probe(port=server.port))
    assert found.status == 0 and found.reason is not None and found.reason.startswith("connection failed: ") and len(found.reason) > len("connection failed: ")


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = http_client.Client(5).send(probe(port=port))
    assert found.status == 0 and "refused" in str(found.reason)


# -- a request of a person's own by GET -------------------------------------------------------------------------------


def test_a_get_has_no_body(server: Server) -> None:
    server.script = plain(b'{"data": []}')
    mine = probe(port=server.port, endpoint=targets.OWN, path="/v1/models", method="GET", model="", body="")
    assert http_client.Client(5).send(mine).reason is None
    (path, headers, _body), = server.seen
    assert path == "/v1/models" and headers[PROBE_HEADER] == VALUE and not {"content-type", "content-length"} & {*headers}


# -- long streams -----------------------------------------------------------------------------------------------------


def held(server: Server, script: Script, seconds: float = 5.0, timeout: float = 5.0) -> answer_checks.StreamOutcome:
    server.script = script
    return http_client.Client(timeout).hold_stream(probe(port=server.port, stream=True), time.monotonic() + seconds)


def test_a_long_stream_is_asked_for_and_read_to_its_end(server: Server) -> None:
    found = held(server, chunked(*[event()] * 5, DONE, pause=0.05))
    assert (found.status, found.reason) == (200, None) and 0.25 <= found.seconds < 4 and abs(found.opened - time.time()) < 5
    (_path, headers, body), = server.seen
    assert headers[PROBE_HEADER] == VALUE and (body["stream"], body["max_tokens"], body["ignore_eos"]) == (True, 16_000, True)


def test_a_long_stream_is_let_go_when_time_is_up(server: Server) -> None:
    found = held(server, chunked(*[event()] * 100, pause=0.05), seconds=0.4)
    assert found.reason is None and 0.3 <= found.seconds < 3


@pytest.mark.parametrize(("end", "reason"), [(True, "it ended before [DONE]"), (False, "connection failed: IncompleteRead")])
def test_a_long_stream_that_is_cut(server: Server, end: bool, reason: str) -> None:
    found = held(server, chunked(event(), event(), end=end, pause=0.1))
    assert str(found.reason).startswith(reason) and 0.1 <= found.seconds < 3


def test_a_long_stream_that_falls_silent(server: Server) -> None:
    found = held(server, chunked(event(), DONE, pause=1.5), timeout=0.3)
    assert found.reason == "nothing came for 0.3 s"


@pytest.mark.parametrize("refusal", [plain(b"too long", status=400), chunked(b'data: {"error":{"message":"too long"}}\n\n', DONE)])
def test_a_server_with_a_short_context_is_asked_for_less(server: Server, refusal: Script) -> None:
    def short(handler: Handler) -> None:
        body = server.seen[-1][2]
        (refusal if body["max_tokens"] > 2000 or "ignore_eos" in body else chunked(event(), DONE))(handler)

    assert held(server, short).reason is None
    asked = [(body["max_tokens"], body.get("ignore_eos")) for _path, _headers, body in server.seen]
    assert asked == [(16_000, True), (7_500, True), (1_900, True), (1_900, None)]
    assert held(server, plain(b"never", status=400)).reason == "status 400 never"


def test_a_long_stream_by_another_rule_counts_as_none(server: Server) -> None:
    found = held(server, plain(event() + DONE, **{MARK_HEADER: mark("alpha", R, 0, 0)}))
    assert found == answer_checks.StreamOutcome(200, "not answered by the probe route (status 200)", 0.0, 0.0)


def test_a_tracer_brings_back_what_the_answer_looks_like(server: Server) -> None:
    tracer = traffic_split.tracer(probe(port=server.port).target, "v1", "igm1")
    server.script = plain(b"", status=404)
    assert http_client.Client(5).send_tracer(tracer) == (404, False, True, "")
    server.script = plain(b"no model rewritten-igm1", status=404)
    assert http_client.Client(5).send_tracer(tracer) == (404, True, True, "rewritten")
    (_path, headers, body), = server.seen[1:]
    assert (headers[traffic_split.REWRITE_HEADER], body["model"]) == ("rewritten-igm1", "nobody-uses-igm1")
    server.script = chunked(b"x" * 10, end=False)
    assert http_client.Client(5).send_tracer(tracer) is None
    released = threading.Event()
    server.script = lambda handler: (released.wait(5), None)[1]
    assert http_client.Client(0.2).send_tracer(tracer) is None
    released.set()
