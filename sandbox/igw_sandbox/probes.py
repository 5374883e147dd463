# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health probes as a kubelet sends them, through the pod network: a gRPC health check, or an HTTP GET that answers 200 to 399."""
from __future__ import annotations

import asyncio

import aiohttp
import h2.config
import h2.connection
import h2.events

from igw_sandbox.images import Probe

HEALTH_PATH = "/grpc.health.v1.Health/Check"
SERVING = b"\x08\x01"
"""HealthCheckResponse{status: SERVING}: field 1, varint 1."""


async def passes(probe: Probe, address: str) -> bool:
    """Whether one probe of the pod at ``address`` succeeds; never longer than the probe's time-out."""
    try:
        async with asyncio.timeout(probe.timeout):
            if probe.kind == "grpc":
                return await grpc_health(address, probe.port, probe.target)
            return await http_get(address, probe.port, probe.target)
    except (OSError, asyncio.TimeoutError, aiohttp.ClientError):
        return False


async def accepts(address: str, port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        _reader, writer = await asyncio.open_connection(address, port)
    except OSError:
        return False
    writer.close()
    return True


async def http_get(address: str, port: int, path: str) -> bool:
    async with aiohttp.ClientSession(trust_env=False) as session:
        async with session.get(f"http://{address}:{port}{path}", allow_redirects=False) as answer:
            return 200 <= answer.status < 400


def health_request(service: str) -> bytes:
    """A gRPC message with HealthCheckRequest{service}."""
    name = service.encode()
    body = b"\x0a" + bytes([len(name)]) + name if name else b""
    return b"\x00" + len(body).to_bytes(4, "big") + body


async def grpc_health(address: str, port: int, service: str) -> bool:
    """One health check without TLS, on a connection of its own as a kubelet makes it."""
    reader, writer = await asyncio.open_connection(address, port)
    try:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        connection.initiate_connection()
        stream = connection.get_next_available_stream_id()
        connection.send_headers(stream, [
            (":method", "POST"), (":scheme", "http"), (":authority", f"{address}:{port}"), (":path", HEALTH_PATH),
            ("te", "trailers"), ("content-type", "application/grpc")])
        connection.send_data(stream, health_request(service), end_stream=True)
        writer.write(connection.data_to_send())
        return await _answer(connection, reader, writer)
    finally:
        writer.close()


async def _answer(connection: h2.connection.H2Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Read until the stream ends: SERVING with gRPC status 0 passes."""
    body = b""
    status: str | None = None
    while data := await reader.read(65536):
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                body += event.data
            elif isinstance(event, (h2.events.TrailersReceived, h2.events.ResponseReceived)):
                status = next((str(value) for name, value in event.headers if name == "grpc-status"), status)
            elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                return False
            elif isinstance(event, h2.events.StreamEnded):
                return status == "0" and body[5:] == SERVING
        writer.write(connection.data_to_send())
    return False
