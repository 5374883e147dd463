# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as an answer: every way a 200 may be none, and real sockets that misbehave."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils import _http, cells
from ansible_collections.inference_gateway.migration.plugins.module_utils.cells import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, Address, Cell, Probe
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import MARK_HEADER, PROBE_HEADER

HEADERS = {MARK_HEADER: "v1-0-0", _http.EPP_HEADER: "true"}
MODELS = {"llama": {"name": "llama", "answer": "llama", "alpha_answers": ["llama-base"]}}


def probe(*, stream: bool = False, endpoint: str = COMPLETIONS, port: int = 8080, variant: cells.Variant | None = "v1", **fields: Any) -> Probe:
    cell = Cell(
        Address("default/gw", "127.0.0.1", port, False), "llm.example.com", "HTTPRoute default/r", 0, 0, endpoint, (("tenant", "x"),), "llama", endpoint, stream
    )
    return cells.probe(replace(cell, **fields), variant, "igm1", MODELS)


def answer(**fields: Any) -> bytes:
    return json.dumps({"model": "llama", "choices": [{"text": "x", "finish_reason": "length"}]} | fields).encode()


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps({"model": "llama", "choices": [{"finish_reason": None}]} | fields).encode() + b"\n\n"


STOP = event(choices=[{"finish_reason": "stop"}])
DONE = b"data: [DONE]\n\n"


# -- judge ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [answer(), answer(model="llama-base"), answer(choices=[{"finish_reason": "stop"}], usage=None)])
def test_an_answer(body: bytes) -> None:
    assert _http.judge(probe(), 200, HEADERS, body) is None


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (200, {_http.EPP_HEADER: "true"}, answer(), "not answered by the marked route (status 200)"),
        (200, HEADERS | {MARK_HEADER: "alpha-0-0"}, answer(), "not answered by the marked route (status 200)"),
        (404, {}, b"", "not answered by the marked route (status 404)"),
        (500, HEADERS, b"", "status 500 with an empty body"),
        (429, HEADERS, b"slow\n  down", "status 429 slow down"),
        (503, HEADERS, b"\xff" + b"x" * 500, "status 503 \ufffd" + "x" * 119),
        (201, HEADERS, answer(), "status 201 " + answer().decode()[:120]),
        (200, {MARK_HEADER: "v1-0-0"}, answer(), "answered without the endpoint picker (it is down or not asked)"),
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
    assert _http.judge(probe(), status, headers, body) == expected


def test_the_users_rule_must_not_carry_a_mark() -> None:
    user = probe(variant=None)
    assert _http.judge(user, 200, {_http.EPP_HEADER: "true"}, answer()) is None
    assert _http.judge(user, 200, HEADERS, answer()) == "still answered by the marked route (status 200)"


def test_a_shared_rule_may_answer_by_another_backend() -> None:
    user = probe(variant=None, shared=True)
    assert _http.judge(user, 200, {}, answer(model="of-somebody-else")) is None
    assert _http.judge(user, 503, {}, b"") == "status 503 with an empty body"


@pytest.mark.parametrize(
    "body",
    [
        event() + STOP + DONE,
        event() + STOP + event(choices=[], usage={"total_tokens": 3}) + DONE,
        b": comment\r\n\r\n" + event(model="llama-base").replace(b"\n", b"\r\n") + STOP + b"data:[DONE]",
    ],
)
def test_a_stream(body: bytes) -> None:
    assert _http.judge(probe(stream=True), 200, HEADERS, body) is None


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
    assert _http.judge(probe(stream=True), 200, HEADERS, body) == expected


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
    assert _http.judge(probe(endpoint=endpoint), 200, HEADERS, body) == expected


# -- send ----------------------------------------------------------------------------------------------------------------

Handler = BaseHTTPRequestHandler
Script = Callable[[Handler], None]


class Server:
    """A gateway on loopback that does what it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.script: Script = lambda handler: None
        self.seen: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        outer = self

        class Scripted(Handler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, json.loads(body)))
                outer.script(self)

            def log_message(self, *_arguments: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


def plain(body: bytes, status: int = 200, claim: int | None = None, **headers: str) -> Script:
    def script(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in (HEADERS | headers).items():
            handler.send_header(name.title(), value)
        handler.send_header("Content-Length", str(len(body) if claim is None else claim))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return script


def chunked(*parts: bytes, end: bool = True, pause: float = 0.0) -> Script:
    def script(handler: Handler) -> None:
        handler.send_response(200)
        for name, value in HEADERS.items():
            handler.send_header(name, value)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        try:
            for part in parts:
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                handler.wfile.flush()
                time.sleep(pause)
            if end:
                handler.wfile.write(b"0\r\n\r\n")
        except OSError:
            pass
        handler.close_connection = True

    return script


def test_a_request_is_small_real_and_its_own(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server.script = plain(answer())
    for _time in range(2):
        found = _http.send(probe(port=server.port), 5, headers=(("Authorization", "Bearer x"),))
        assert (found.ok, found.status, found.reason) == (True, 200, None)
        assert abs(found.sent - time.time()) < 5 and 0 < found.seconds < 5
    (path, headers, body), (_path, _headers, other) = server.seen
    assert path == COMPLETIONS
    assert {name: headers[name] for name in ("host", "connection", "authorization", "tenant", PROBE_HEADER)} == {
        "host": f"llm.example.com:{server.port}", "connection": "close", "authorization": "Bearer x", "tenant": "x", PROBE_HEADER: "igm1-v1-0-0",
    }  # fmt: skip
    assert body["model"] == "llama" and body["temperature"] == 0 and body["prompt"][:8] != other["prompt"][:8]


def test_a_host_without_a_name_is_the_address(server: Server) -> None:
    server.script = plain(answer())
    _http.send(probe(port=server.port, hostname=""), 5)
    assert server.seen[0][1]["host"] == f"127.0.0.1:{server.port}"


def test_a_stream_in_chunks(server: Server) -> None:
    server.script = chunked(event()[:9], event()[9:] + STOP, DONE)
    assert _http.send(probe(port=server.port, stream=True), 5).ok
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
    found = _http.send(probe(port=server.port, stream=True), 5)
    assert not found.ok and found.status == 200 and found.reason is not None and found.reason.startswith(reason)


def test_wrong_answers_of_a_real_server(server: Server) -> None:
    server.script = plain(answer(), **{MARK_HEADER: "alpha-0-0"})
    assert _http.send(probe(port=server.port), 5).reason == "not answered by the marked route (status 200)"
    server.script = plain(b"no healthy upstream", status=503)
    found = _http.send(probe(port=server.port), 5)
    assert (found.status, found.reason) == (503, "status 503 no healthy upstream")
    server.script = plain(answer(), claim=9999)
    assert str(_http.send(probe(port=server.port), 5).reason).startswith("connection failed: IncompleteRead")


def test_silence_is_a_failure_in_time(server: Server) -> None:
    released = threading.Event()
    server.script = lambda handler: (released.wait(5), None)[1]
    found = _http.send(probe(port=server.port), 0.2)
    released.set()
    assert (found.status, found.reason) == (0, "no complete answer within 0.2 s") and found.seconds < 2


def test_an_answer_that_drips_is_a_failure_in_time(server: Server) -> None:
    server.script = chunked(*[event()] * 40, pause=0.05)
    found = _http.send(probe(port=server.port, stream=True), 0.3)
    assert (found.status, found.reason) == (200, "no complete answer within 0.3 s") and found.seconds < 1.5


def test_an_endless_answer_is_not_read_to_its_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "READ_LIMIT", 1000)
    server.script = chunked(*[b"x" * 500] * 50)
    found = _http.send(probe(port=server.port), 5)
    assert found.reason == "the answer is longer than 1000 bytes"


@pytest.mark.parametrize("script", [lambda handler: handler.connection.shutdown(socket.SHUT_RDWR), lambda handler: handler.wfile.write(b"nonsense\r\n\r\n")])
def test_a_connection_that_breaks(server: Server, script: Script) -> None:
    def broken(handler: Handler) -> None:
        script(handler)
        handler.close_connection = True

    server.script = broken
    found = _http.send(probe(port=server.port), 5)
    assert found.status == 0 and found.reason is not None and found.reason.startswith("connection failed: ") and len(found.reason) > len("connection failed: ")


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = _http.send(probe(port=port), 5)
    assert found.status == 0 and "refused" in str(found.reason)


def test_tls_where_there_is_none(server: Server) -> None:
    secure = probe(port=server.port)
    secure = replace(secure, cell=replace(secure.cell, address=replace(secure.cell.address, tls=True)))
    for verify in (True, False):
        found = _http.send(secure, 5, verify=verify)
        assert found.status == 0 and str(found.reason).startswith("connection failed: ")


@pytest.mark.parametrize(("port", "tls", "expected"), [(80, False, "llm.example.com"), (443, True, "llm.example.com"), (443, False, "llm.example.com:443")])
def test_the_host_header_names_a_port_that_is_not_usual(port: int, tls: bool, expected: str) -> None:
    place = Address("default/gw", "127.0.0.1", port, tls)
    assert dict(_http._headers(probe(address=place)))["Host"] == expected
