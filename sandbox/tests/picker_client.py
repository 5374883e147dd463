# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talks ext_proc to an endpoint picker as a gateway does, for tests: TLS without checks, HTTP/2, two messages of one request."""
from __future__ import annotations

import json
import socket
import ssl
from dataclasses import dataclass

import h2.config
import h2.connection
import h2.events

PATH = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"


@dataclass(frozen=True)
class Verdict:
    """``status`` of gRPC as text (``reset`` when the stream was reset, ``open`` when the picker waits for more), ``body`` all its messages as bytes."""

    status: str
    body: bytes

    @property
    def picked(self) -> bool:
        """Whether the picker named an endpoint."""
        return b"x-gateway-destination-endpoint" in self.body


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    size, length = b"", len(content)
    while length > 127:
        size += bytes([length & 127 | 128])
        length >>= 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + content


def _message(content: bytes) -> bytes:
    return b"\x00" + len(content).to_bytes(4, "big") + content


def messages(model: str) -> bytes:
    """ProcessingRequests of a POST /v1/completions for ``model``: request_headers (field 2), then the whole request_body (field 4)."""
    headers = {":method": "POST", ":path": "/v1/completions", "content-type": "application/json", "x-request-id": "1"}
    values = b"".join(_field(1, _field(1, name.encode()) + _field(3, value.encode())) for name, value in headers.items())
    body = json.dumps({"model": model, "prompt": "one", "max_tokens": 1}).encode()
    return _message(_field(2, _field(1, values))) + _message(_field(4, _field(1, body) + b"\x10\x01"))


def ask(address: str, port: int, model: str, timeout: float = 5.0) -> Verdict:
    """One ext_proc stream on a connection of its own; OSError when nothing listens or nothing answers."""
    return ask_often(address, port, model, 1, timeout)[0]


def ask_often(address: str, port: int, model: str, count: int, timeout: float = 5.0) -> list[Verdict]:
    """``count`` streams one after the other on one connection, as a gateway has it."""
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    tls.set_alpn_protocols(["h2"])
    with socket.create_connection((address, port), timeout) as plain, tls.wrap_socket(plain) as connection:
        link = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        link.initiate_connection()
        return [_stream(link, connection, f"{address}:{port}", model) for _number in range(count)]


def _stream(link: h2.connection.H2Connection, connection: ssl.SSLSocket, authority: str, model: str) -> Verdict:
    """Open a stream, send the request's messages and read until the picker has answered both; the stream is then reset by us."""
    stream = link.get_next_available_stream_id()
    link.send_headers(stream, [(":method", "POST"), (":scheme", "https"), (":authority", authority), (":path", PATH),
                               ("te", "trailers"), ("content-type", "application/grpc")])
    link.send_data(stream, messages(model))
    connection.sendall(link.data_to_send())
    body = b""
    while True:
        data = connection.recv(65536)
        if not data:
            return Verdict("reset", body)
        for event in link.receive_data(data):
            if getattr(event, "stream_id", stream) != stream:
                continue  # what is left of an earlier stream
            if isinstance(event, h2.events.DataReceived):
                body += event.data
                link.acknowledge_received_data(event.flow_controlled_length, stream)
            elif isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                status = dict(event.headers).get("grpc-status")
                if status is not None:
                    return Verdict(status, body)
            elif isinstance(event, h2.events.StreamReset):
                return Verdict("reset", body)
        if Verdict("open", body).picked:
            link.reset_stream(stream)
            connection.sendall(link.data_to_send())
            return Verdict("open", body)
        connection.sendall(link.data_to_send())
