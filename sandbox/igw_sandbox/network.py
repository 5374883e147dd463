# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pod network: an Envoy that listens on every pod IP and port and forwards to the process behind it.

A plain port is a TCP proxy: what the process does, refuses or breaks off is what the client sees. A port of a picker can be made
faulty: then Envoy ends TLS and HTTP/2 itself and refuses a share of the gRPC streams with UNAVAILABLE.
"""
from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp

from igw_sandbox import envoyfiles, pki
from igw_sandbox.context import Context, SandboxError
from igw_sandbox.envoyfiles import JSON

FAULT = envoyfiles.TYPE + "envoy.extensions.filters.http.fault.v3.HTTPFault"
GRPC_UNAVAILABLE = 14
CONNECTIONS = {"thresholds": [{"max_connections": 65536, "max_pending_requests": 65536, "max_requests": 65536}]}


@dataclass(frozen=True)
class Endpoint:
    """One port of one pod."""

    address: str
    port: int
    local: int
    """Port of the process on 127.0.0.1."""
    tls: bool = False
    """Whether the process speaks TLS; matters only for a faulty endpoint."""
    reset_percent: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.address}:{self.port}"

    @property
    def stat(self) -> str:
        """Prefix of its statistics; dots would nest them."""
        return re.sub(r"[.:]", "_", self.name)


def cluster(endpoint: Endpoint) -> JSON:
    """The process behind an endpoint, as bytes, or as HTTP/2 when Envoy has to see single streams."""
    faulty = endpoint.reset_percent > 0
    name = f"{endpoint.name}/http2" if faulty else endpoint.name
    return {**envoyfiles.static_cluster(name, [("127.0.0.1", endpoint.local)], http2=faulty, tls=faulty and endpoint.tls), "circuit_breakers": CONNECTIONS}


def listener(endpoint: Endpoint, certificate: tuple[Path, Path] | None = None) -> JSON:
    """The listener of an endpoint; ``certificate`` (certificate, key) is needed by a faulty one that speaks TLS."""
    chain = _faulty_chain(endpoint, certificate) if endpoint.reset_percent else {"filters": [envoyfiles.typed(
        "envoy.filters.network.tcp_proxy", envoyfiles.TCP_PROXY, stat_prefix=endpoint.stat, cluster=endpoint.name, idle_timeout="0s")]}
    return {"name": endpoint.name, "address": envoyfiles.socket_address(endpoint.address, endpoint.port), "filter_chains": [chain]}


def _faulty_chain(endpoint: Endpoint, certificate: tuple[Path, Path] | None) -> JSON:
    """HTTP/2 that refuses ``reset_percent`` of the streams."""
    abort = {"grpc_status": GRPC_UNAVAILABLE, "percentage": {"numerator": round(endpoint.reset_percent * 10000), "denominator": "MILLION"}}
    manager = envoyfiles.typed(
        "envoy.filters.network.http_connection_manager", envoyfiles.HTTP_MANAGER,
        stat_prefix=endpoint.stat, codec_type="HTTP2", stream_idle_timeout="0s", drain_timeout="1s",
        # Envoy may read the listeners before the clusters that were written first, and would never try a listener again that it has refused.
        route_config={"validate_clusters": False, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": f"{endpoint.name}/http2", "timeout": "0s"}}]}]},
        http_filters=[envoyfiles.typed("envoy.filters.http.fault", FAULT, abort=abort),
                      envoyfiles.typed("envoy.filters.http.router", envoyfiles.ROUTER)])
    chain: JSON = {"filters": [manager]}
    if endpoint.tls:
        if certificate is None:
            raise ValueError(f"endpoint {endpoint.name} speaks TLS: a certificate is needed to make it faulty")
        files = {"certificate_chain": {"filename": str(certificate[0])}, "private_key": {"filename": str(certificate[1])}}
        chain["transport_socket"] = envoyfiles.typed(
            "envoy.transport_sockets.tls", envoyfiles.DOWNSTREAM_TLS, common_tls_context={"alpn_protocols": ["h2"], "tls_certificates": [files]})
    return chain


class PodNetwork:
    """The table of endpoints, written to the files that the pod network's Envoy watches."""

    def __init__(self, context: Context) -> None:
        self.folder = context.directory / "network"
        self.admin = context.runtime / "pod-network.sock"
        self._endpoints: dict[str, Endpoint] = {}
        self._certificate: tuple[Path, Path] | None = None

    def publish(self, endpoints: Iterable[Endpoint]) -> None:
        """Make endpoints reachable (an endpoint of the same name is replaced)."""
        self._endpoints.update({endpoint.name: endpoint for endpoint in endpoints})
        self._write()

    def withdraw(self, names: Iterable[str]) -> None:
        """Connections to these endpoints are refused from now on."""
        for name in names:
            self._endpoints.pop(name, None)
        self._write()

    def set_reset(self, name: str, percent: float) -> None:
        """Refuse a share (0 to 100) of the streams to an endpoint; 0 makes it plain again. Open connections end within the drain time."""
        known = self._endpoints.get(name)
        if known and known.reset_percent != percent:
            self._endpoints[name] = replace(known, reset_percent=percent)
            self._write()

    async def resets(self, name: str) -> int:
        """How many streams to an endpoint were refused since it became faulty (0 when it is not)."""
        known = self._endpoints.get(name)
        if known is None or not known.reset_percent:
            return 0
        wanted = f"http.{known.stat}.fault.aborts_injected"
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self.admin))) as session:
            async with session.get("http://envoy/stats", params={"filter": f"^{wanted}$"}) as answer:
                text = await answer.text()
        return sum(int(line.rpartition(": ")[2]) for line in text.splitlines() if line.startswith(f"{wanted}: "))

    def _write(self) -> None:
        """Clusters first: a listener must not name one that is not there."""
        endpoints = sorted(self._endpoints.values(), key=lambda endpoint: endpoint.name)
        if self._certificate is None and any(endpoint.reset_percent and endpoint.tls for endpoint in endpoints):
            self._certificate = pki.Authority.create("pod network").issue(self.folder, "faulty", ["127.0.0.1"], ["localhost"])
        envoyfiles.write_resources(self.folder / "cds.json", envoyfiles.CLUSTER, map(cluster, endpoints))
        envoyfiles.write_resources(self.folder / "lds.json", envoyfiles.LISTENER, (listener(endpoint, self._certificate) for endpoint in endpoints))


async def run(context: Context) -> None:
    """Run the pod network's Envoy until cancelled; marks ``network`` ready when it has its first configuration."""
    network = PodNetwork(context)
    for name in ("lds.json", "cds.json"):
        (network.folder / name).unlink(missing_ok=True)  # endpoints of an earlier life
    bootstrap = envoyfiles.prepare("pods", network.folder, network.admin)
    process = await context.spawn("pod-network", envoyfiles.command(context.tools["envoy"], bootstrap))
    ended = asyncio.create_task(process.wait())
    try:
        await _answering(network.admin, ended)
        context.mark_ready("network")
        await ended
        raise SandboxError(f"The pod network's Envoy of sandbox {context.name} ended with status {process.returncode}: "
                           f"{context.tail('pod-network', 3)}; the whole log is {context.logs / 'pod-network.log'}.")
    finally:
        ended.cancel()
        await context.stop(process)


async def _answering(admin: Path, ended: asyncio.Task[int]) -> None:
    """Wait until Envoy says that it is live, or has ended."""
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(admin)), timeout=aiohttp.ClientTimeout(total=1)) as session:
        while not ended.done():
            try:
                async with session.get("http://envoy/ready") as answer:
                    if answer.status == 200:
                        return
            except (aiohttp.ClientError, OSError, asyncio.TimeoutError):
                pass  # not listening yet; the caller reports an Envoy that ended
            await asyncio.sleep(0.05)
