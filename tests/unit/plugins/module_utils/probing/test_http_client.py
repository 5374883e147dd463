# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as an answer: every way a 200 may be none, and real sockets that misbehave."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import answer_checks, http_client, targets, traffic_split
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    RESPONSES,
    Probe,
    ProbeTarget,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.probe_routes import MARK_HEADER, PROBE_HEADER, mark, probe_value

from tests.unit.helpers.connect_proxy import connect_proxy
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


# -- judge ---------------------------------------------------------------------------------------------------------------


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


# -- send ----------------------------------------------------------------------------------------------------------------

Handler = BaseHTTPRequestHandler
Script = Callable[[Handler], None]


class ServerV6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


ServerOf = {socket.AF_INET: ThreadingHTTPServer, socket.AF_INET6: ServerV6}


class Server:
    """A gateway on loopback that does what it is told, and remembers what it was asked."""

    def __init__(self, family: socket.AddressFamily = socket.AF_INET) -> None:
        self.script: Script = lambda handler: None
        self.seen: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        outer = self

        class Scripted(Handler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, json.loads(body)))
                outer.script(self)

            def do_GET(self) -> None:
                outer.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, {}))
                outer.script(self)

            def log_message(self, *_arguments: Any) -> None:
                pass

        self.http = ServerOf[family](("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), Scripted)
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


# -- what a person's own request brings back -----------------------------------------------------------------------------


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


# -- tracer requests ----------------------------------------------------------------------------------------------------------------


# -- long streams ----------------------------------------------------------------------------------------------------------


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


# -- proxy ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy on loopback that tunnels, and the targets it was asked for."""
    with connect_proxy() as made:
        yield made


def through(url: str | None, **options: Any) -> http_client.Client:
    """A client by a module's parameters."""
    defaults = {name: option.get("default") for name, option in http_client.argument_spec().items()}
    return http_client.client(defaults | {"probe_timeout": 5, "probe_proxy": url} | options)


def test_probes_go_through_a_proxy_and_keep_their_hostname(server: Server, proxy: tuple[str, list[str]]) -> None:
    server.script = plain(answer())
    assert through(proxy[0]).send(probe(port=server.port)).ok
    assert proxy[1] == [f"127.0.0.1:{server.port}"] and server.seen[0][1]["host"] == f"llm.example.com:{server.port}"


def test_https_through_a_proxy(server: Server, proxy: tuple[str, list[str]], tmp_path: Path) -> None:
    ca, context = authority(tmp_path, "llm.example.com")
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    server.script = plain(answer())
    place = address("127.0.0.1", server.port, True)
    assert through(proxy[0], probe_ca_cert=str(ca)).send(probe(address=place)).reason is None
    assert len(proxy[1]) == 1


def test_a_proxy_that_is_not_there(server: Server) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert str(through(url).send(probe(port=server.port)).reason).startswith("connection failed")
    assert server.seen == []


WITH_A_PASSWORD = "http://me:secret@proxy:3128"  # pragma: allowlist secret: it is refused by this test


@pytest.mark.parametrize("url", ["", "proxy:3128", "https://proxy:3128", "http://proxy", "http://proxy:x", WITH_A_PASSWORD, "http://:80"])
def test_what_is_no_proxy_is_one_sentence(url: str) -> None:
    with pytest.raises(ValueError, match="probe_proxy must be http://HOST:PORT, without a user."):
        through(url)


# -- before anything is written ------------------------------------------------------------------------------------------


def test_a_connection_is_opened_without_a_request(server: Server) -> None:
    assert http_client.Client(5).connect(address("127.0.0.1", server.port, False), "") is None
    assert server.seen == []


def test_why_no_connection_can_be_opened(server: Server, tmp_path: Path) -> None:
    """Nobody listens, nobody answers by TLS, or the certificate is of another name or authority."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert "refused" in str(http_client.Client(5).connect(address("127.0.0.1", free.getsockname()[1], False), ""))
    assert http_client.Client(5).connect(address("127.0.0.1", server.port, True), "llm.example.com")
    ca, context = authority(tmp_path, "llm.example.com")
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    place = address("127.0.0.1", server.port, True)
    assert http_client.Client(5, ca_file=str(ca)).connect(place, "llm.example.com") is None
    assert "mismatch" in str(http_client.Client(5, ca_file=str(ca)).connect(place, "else.example.com"))
    assert "certificate verify failed" in str(http_client.Client(5).connect(place, "llm.example.com"))


def test_a_server_that_accepts_and_says_nothing_is_given_up_on() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        place = address("127.0.0.1", silent.getsockname()[1], True)
        assert http_client.Client(0.2).connect(place, "llm.example.com") == "no answer within 0.2 s"


@pytest.mark.parametrize(
    ("status", "body", "headers", "expected"),
    [
        (200, b'{"data": [{"id": "a"}, {"id": "b", "parent": "a"}]}', {}, ["a", "b"]),
        (200, b'{"data": []}', {}, []),
        (200, b'{"data": null}', {}, None),
        (200, b'{"data": [{}]}', {}, None),
        (200, b"no JSON", {}, None),
        (200, b"[]", {}, None),
        (404, b'{"data": [{"id": "a"}]}', {}, None),
    ],
)
def test_models_that_a_server_lists(server: Server, status: int, body: bytes, headers: dict[str, str], expected: list[str] | None) -> None:
    server.script = plain(body, status, **headers)
    assert http_client.Client(5, token="secret").served_models(probe(port=server.port, path=targets.MODELS, method="GET").target) == expected
    ((path, sent, _body),) = server.seen
    assert (path, sent["host"], sent["tenant"], sent["authorization"]) == (targets.MODELS, f"llm.example.com:{server.port}", "x", "Bearer secret")


def test_models_that_no_endpoint_picker_lists_are_none() -> None:
    assert answer_checks.listed_models(200, {}, b'{"data": [{"id": "a"}]}') is None


# -- addresses -----------------------------------------------------------------------------------------------------------


def test_an_address_of_version_6_and_one_that_is_a_hostname() -> None:
    """The bare address stands in brackets in the Host header."""
    six = Server(socket.AF_INET6)
    try:
        for host, named in (("::1", "[::1]"), ("localhost", "localhost")):
            here = six if host == "::1" else Server()
            here.script = plain(answer())
            assert http_client.Client(5).send(probe(address=address(host, here.port, False), hostname="")).reason is None
            assert here.seen[-1][1]["host"] == f"{named}:{here.port}"
            here.http.shutdown()
            here.http.server_close()
    finally:
        six.http.server_close()


def test_an_address_of_version_6_through_a_proxy() -> None:
    """What a tunnel leads to stands in brackets too: an address before a port could not be read otherwise."""
    six = Server(socket.AF_INET6)
    six.script = plain(answer())
    with connect_proxy({"[::1]": "::1"}) as (proxy, tunnels):
        assert through(proxy).send(probe(address=address("::1", six.port, False), hostname="")).reason is None
    assert tunnels == [f"[::1]:{six.port}"] and six.seen[0][1]["host"] == f"[::1]:{six.port}"
    six.http.shutdown()
    six.http.server_close()


# -- a request of a person's own by GET ----------------------------------------------------------------------------------


def test_a_get_has_no_body(server: Server) -> None:
    server.script = plain(b'{"data": []}')
    mine = probe(port=server.port, endpoint=targets.OWN, path="/v1/models", method="GET", model="", body="")
    assert http_client.Client(5).send(mine).reason is None
    (path, headers, _body), = server.seen
    assert path == "/v1/models" and headers[PROBE_HEADER] == VALUE and not {"content-type", "content-length"} & {*headers}


@pytest.mark.parametrize(("method", "kind", "body", "fault"), [
    ("GET", "application/json; charset=utf-8", b"llama", True), ("GET", "application/json", b"[]", False), ("GET", "text/plain", b"llama", False),
    ("GET", "", b"", False), ("POST", "text/plain", b"llama", True),
])  # fmt: skip
def test_the_answer_to_a_get_is_json_where_it_says_so(method: str, kind: str, body: bytes, fault: bool) -> None:
    """A server that is well may answer /health with an empty body; what clients post they want an answer to."""
    mine = probe(endpoint=targets.OWN, path="/health", method=method, model="", body="")
    found = answer_checks.judge(mine, 200, HEADERS | ({"content-type": kind} if kind else {}), body)
    assert found == ("200 with a body that is not JSON" if fault else None)


# -- a gateway that wants a key ------------------------------------------------------------------------------------------


def test_headers_of_a_persons_own_go_with_every_request(server: Server) -> None:
    """A gateway that answers 401 without its key."""
    def guarded(handler: Handler) -> None:
        known = handler.headers.get("X-API-Key") == "k: 1"
        plain(answer() if known else b"who are you?", 200 if known else 401)(handler)

    server.script = guarded
    client = through(None, probe_headers=["X-API-Key:  k: 1 ", "x-tenant: a"])  # pragma: allowlist secret: the server is the test's own
    assert str(http_client.Client(5).send(probe(port=server.port)).reason) == "status 401 who are you?"
    assert client.send(probe(port=server.port)).reason is None
    assert client.send_tracer(traffic_split.tracer(probe(port=server.port).target, "v1", "igm1")).status == 200
    assert client.hold_stream(probe(port=server.port, stream=True), time.monotonic()).status == 200
    assert client.served_models(probe(port=server.port, method="GET").target) is None
    assert all((sent["x-api-key"], sent["x-tenant"]) == ("k: 1", "a") for _path, sent, _body in server.seen[1:]) and len(server.seen) == 5


def test_a_secret_that_a_gateway_says_back_is_masked(server: Server) -> None:
    server.script = plain(b"key k-of-mine or t-of-mine is unknown", 401)
    client = through(None, probe_headers=["X-API-Key: k-of-mine"], probe_token="t-of-mine")  # pragma: allowlist secret: the server is the test's own
    assert client.send(probe(port=server.port)).reason == "status 401 key ******** or ******** is unknown"
    assert client.hold_stream(probe(port=server.port, stream=True), time.monotonic()).reason == "status 401 key ******** or ******** is unknown"


@pytest.mark.parametrize("host", ["a..example.com", "x" * 70 + ".example.com"])
def test_an_address_that_is_no_name_is_one_sentence(host: str) -> None:
    place = address(host, 80, False)
    assert http_client.Client(1).connect(place, "") and str(http_client.Client(1).send(probe(address=place)).reason).startswith("connection failed: ")
    assert http_client.Client(1).served_models(probe(address=place).target) is None


@pytest.mark.parametrize("text", ["a: \u20ac secret", "secret", "", ": secret", "a b: secret", "a:  ", "a: b\r\nc: d", "Host: secret", f"{PROBE_HEADER}: x"])
def test_what_is_no_header_is_one_sentence_without_its_value(text: str) -> None:
    with pytest.raises(ValueError, match="Entry 1 of probe_headers m") as refused:
        through(None, probe_headers=["a: b", text])
    assert "secret" not in str(refused.value)


# -- TLS -----------------------------------------------------------------------------------------------------------------


def authority(folder: Path, *names: str) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate for some names: its file, and a server's context with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gateway")])
    now = datetime.now(timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(dns) for dns in names]), False)
    certificate = builder.add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256())
    path, pem = folder / "ca.crt", folder / "server.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem.write_bytes(secret + path.read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return path, context


def test_https_asks_for_the_hostname_and_checks_its_certificate(server: Server, tmp_path: Path) -> None:
    ca, context = authority(tmp_path, "llm.example.com")
    asked: list[str | None] = []
    context.sni_callback = lambda connection, name, _context: asked.append(name)
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    server.script = plain(answer())
    secure = probe(address=address("127.0.0.1", server.port, True))
    assert http_client.Client(5, ca_file=str(ca)).send(secure).reason is None
    assert asked == ["llm.example.com"]
    assert "certificate verify failed" in str(http_client.Client(5).send(secure).reason), "an authority that nobody named"
    other = replace(secure, target=replace(secure.target, hostname="else.example.com"))
    assert "mismatch" in str(http_client.Client(5, ca_file=str(ca)).send(other).reason), "a certificate of another name"
    assert http_client.Client(5, verify=False).send(other).reason is None


def test_tls_where_there_is_none(server: Server) -> None:
    secure = probe(address=address("127.0.0.1", server.port, True))
    for verify in (True, False):
        found = http_client.Client(5, verify=verify).send(secure)
        assert found.status == 0 and str(found.reason).startswith("connection failed: ")


@pytest.mark.parametrize(("port", "tls", "expected"), [(80, False, "llm.example.com"), (443, True, "llm.example.com"), (443, False, "llm.example.com:443")])
def test_the_host_header_names_a_port_that_is_not_usual(port: int, tls: bool, expected: str) -> None:
    place = address("127.0.0.1", port, tls)
    assert dict(http_client._headers(probe(address=place).target))["Host"] == expected
