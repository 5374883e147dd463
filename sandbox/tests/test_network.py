# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pod network: its configuration, and a real Envoy that takes it."""
from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from igw_sandbox import envoyfiles, network, tools
from igw_sandbox.context import Context
from igw_sandbox.network import Endpoint, PodNetwork
from igw_sandbox.supervisor import claim_any_subnet

PLAIN = Endpoint("127.17.1.1", 8000, 31000)
FAULTY = Endpoint("127.17.1.2", 9002, 31001, tls=True, reset_percent=30)


def test_a_plain_endpoint_is_a_tcp_proxy() -> None:
    (chain,) = network.listener(PLAIN)["filter_chains"]
    assert chain["filters"][0]["typed_config"]["cluster"] == network.cluster(PLAIN)["name"] == "127.17.1.1:8000"
    assert "transport_socket" not in chain
    assert "transport_socket" not in network.cluster(PLAIN)


def test_a_faulty_endpoint_ends_tls_on_both_sides_and_aborts_a_share() -> None:
    (chain,) = network.listener(FAULTY, (Path("c"), Path("k")))["filter_chains"]
    manager = chain["filters"][0]["typed_config"]
    abort = manager["http_filters"][0]["typed_config"]["abort"]
    assert abort == {"grpc_status": 14, "percentage": {"numerator": 300000, "denominator": "MILLION"}}
    assert manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["cluster"] == network.cluster(FAULTY)["name"]
    assert {"transport_socket", "typed_extension_protocol_options"} <= set(network.cluster(FAULTY))
    assert "transport_socket" in chain


def test_a_faulty_endpoint_with_tls_needs_a_certificate() -> None:
    with pytest.raises(ValueError, match="certificate"):
        network.listener(FAULTY)


@pytest.fixture(name="context")
def fixture_context(tmp_path: Path) -> Iterator[Context]:
    subnet, claim = claim_any_subnet()
    with claim, tempfile.TemporaryDirectory(prefix="igw") as runtime:
        yield Context("network", tmp_path, Path(runtime), subnet, tools=tools.ensure("envoy"))


async def _answer(address: str, port: int) -> bytes | None:
    """What is behind a port, None when the connection is refused, nothing where it is reset."""
    try:
        reader, writer = await asyncio.open_connection(address, port)
    except ConnectionRefusedError:
        return None
    except ConnectionResetError:  # it was waiting to be accepted when the listener went away
        return b""
    writer.write(b"hello")
    try:
        return await asyncio.wait_for(reader.read(100), 2)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def _until(expected: bytes | None, address: str, port: int) -> float:
    """Seconds until a port answers as expected; fails after ten."""
    begin = time.monotonic()
    while (found := await _answer(address, port)) != expected:
        assert time.monotonic() - begin < 10, f"{address}:{port} answers {found!r} and not {expected!r}"
        await asyncio.sleep(0.02)
    return time.monotonic() - begin


def test_ports_come_and_go_and_others_do_not_notice(context: Context) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"I heard " + await reader.read(100))
        await writer.drain()
        if await reader.read(100) == b"bye":
            writer.write(b"bye")
        writer.close()

    async def scenario() -> None:
        service = asyncio.create_task(network.run(context))
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        local = server.sockets[0].getsockname()[1]
        first, second = f"{context.subnet}.1.1", f"{context.subnet}.1.2"
        try:
            await context.until("network", 30)
            table = PodNetwork(context)
            table.publish([Endpoint(first, 8000, local), Endpoint(first, 9002, local)])
            await _until(b"I heard hello", first, 8000)
            await _until(b"I heard hello", first, 9002)
            assert await _answer(second, 8000) is None

            reader, writer = await asyncio.open_connection(first, 8000)
            writer.write(b"stay")
            assert await reader.read(100) == b"I heard stay"
            table.publish([Endpoint(second, 8000, local)])
            await _until(b"I heard hello", second, 8000)
            table.withdraw([f"{second}:8000", f"{first}:9002"])
            await _until(None, second, 8000)
            await _until(None, first, 9002)
            await asyncio.sleep(3)  # longer than the time that removed listeners get to drain
            writer.write(b"bye")
            assert await reader.read(100) == b"bye", "a connection ended because another endpoint came or went"
            writer.close()
        finally:
            service.cancel()
            server.close()
            await asyncio.gather(service, return_exceptions=True)
        assert not context.processes, "Envoy outlived its service"

    asyncio.run(scenario())


def test_a_faulty_listener_that_is_read_before_its_cluster_is_taken(context: Context) -> None:
    """Envoy watches two files, and would keep the plain listener until something else is written."""
    async def scenario() -> None:
        service = asyncio.create_task(network.run(context))
        server = await asyncio.start_server(lambda _reader, writer: writer.write(b"plain"), "127.0.0.1", 0)
        endpoint = Endpoint(f"{context.subnet}.1.1", 8000, server.sockets[0].getsockname()[1])
        try:
            await context.until("network", 30)
            table = PodNetwork(context)
            table.publish([endpoint])
            await _until(b"plain", endpoint.address, endpoint.port)
            envoyfiles.write_resources(table.folder / "lds.json", envoyfiles.LISTENER, [network.listener(replace(endpoint, reset_percent=100.0))])
            await _until(b"", endpoint.address, endpoint.port)
        finally:
            service.cancel()
            server.close()
            await asyncio.gather(service, return_exceptions=True)

    asyncio.run(scenario())
