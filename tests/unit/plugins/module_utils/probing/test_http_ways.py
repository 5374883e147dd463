# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways to a gateway: proxies, addresses, keys, certificates, and what is known before anything is written."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import http_client, targets, traffic_split
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.probe_routes import PROBE_HEADER

from tests.unit.helpers.answers import answer, probe
from tests.unit.helpers.connect_proxy import connect_proxy
from tests.unit.helpers.probing_fakes import address
from tests.unit.helpers.scripted_server import Handler, Server, plain

# -- proxy ------------------------------------------------------------------------------------------------------------


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


# -- before anything is written ---------------------------------------------------------------------------------------


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


# -- addresses --------------------------------------------------------------------------------------------------------


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


# -- a gateway that wants a key ---------------------------------------------------------------------------------------


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


# -- TLS --------------------------------------------------------------------------------------------------------------


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
