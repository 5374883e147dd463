# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Envoys that are driven by files: a bootstrap, the discovery files it watches, and the pieces that every such file needs.

An Envoy of the sandbox reads ``lds.json`` and ``cds.json`` (and whatever route files its listeners name) from one folder. Each file is
replaced by a rename, so Envoy sees the old or the new configuration and never half of it. Documents are plain dicts in Envoy's JSON form.
"""
from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .context import write_atomically

JSON = dict[str, Any]

TYPE = "type.googleapis.com/"
LISTENER = TYPE + "envoy.config.listener.v3.Listener"
CLUSTER = TYPE + "envoy.config.cluster.v3.Cluster"
ROUTES = TYPE + "envoy.config.route.v3.RouteConfiguration"
TCP_PROXY = TYPE + "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
HTTP_MANAGER = TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = TYPE + "envoy.extensions.filters.http.router.v3.Router"
UPSTREAM_TLS = TYPE + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
DOWNSTREAM_TLS = TYPE + "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
UPSTREAM_HTTP = TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Replace ``path`` by ``document`` in one step; the folder is made when it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(document, indent=1) + "\n")


def write_resources(path: Path, kind: str, resources: Iterable[Mapping[str, Any]]) -> None:
    """Replace a discovery file. ``kind`` is LISTENER, CLUSTER or ROUTES; ``resources`` may be empty (Envoy then drops what it had)."""
    write(path, {"resources": [{"@type": kind, **resource} for resource in resources]})


def config_source(path: Path) -> JSON:
    """Where Envoy reads a discovery file from; it must exist when Envoy first asks for it."""
    return {"path_config_source": {"path": str(path), "watched_directory": {"path": str(path.parent)}}, "resource_api_version": "V3"}


def bootstrap(node: str, folder: Path, admin: Path | None = None, runtime: Mapping[str, Any] | None = None) -> JSON:
    """Bootstrap of an Envoy that takes listeners and clusters from ``folder``/lds.json and ``folder``/cds.json.

    ``admin`` is a unix socket (at most 107 bytes, see Context.runtime); ``runtime`` are Envoy runtime keys.
    """
    document: JSON = {
        "node": {"id": node, "cluster": "sandbox"},
        "dynamic_resources": {"lds_config": config_source(folder / "lds.json"), "cds_config": config_source(folder / "cds.json")},
        "layered_runtime": {"layers": [{"name": "sandbox", "static_layer": dict(runtime or {})}]},
    }
    if admin is not None:
        document["admin"] = {"address": {"pipe": {"path": str(admin)}}}
    return document


def prepare(node: str, folder: Path, admin: Path | None = None, runtime: Mapping[str, Any] | None = None) -> Path:
    """Write the bootstrap, and empty discovery files where there are none yet; return the bootstrap's path."""
    for name, kind in (("cds.json", CLUSTER), ("lds.json", LISTENER)):
        if not (folder / name).exists():
            write_resources(folder / name, kind, ())
    if admin is not None:
        admin.unlink(missing_ok=True)  # a socket left by a killed Envoy would refuse the new one
    write(folder / "bootstrap.json", bootstrap(node, folder, admin, runtime))
    return folder / "bootstrap.json"


def command(envoy: Path, bootstrap_file: Path, drain_seconds: int = 2, threads: int = 1, log_level: str = "warning") -> list[str]:
    """Command line of such an Envoy.

    ``drain_seconds`` is how long connections of a listener that went away, or of a filter chain that was replaced, may go on.
    """
    return [str(envoy), "--config-path", str(bootstrap_file), "--disable-hot-restart", "--concurrency", str(threads),
            "--drain-time-s", str(drain_seconds), "--drain-strategy", "immediate", "--log-level", log_level]


def socket_address(address: str, port: int) -> JSON:
    return {"socket_address": {"address": address, "port_value": port}}


def typed(name: str, type_url: str, **fields: Any) -> JSON:
    """A named extension with its configuration."""
    return {"name": name, "typed_config": {"@type": type_url, **fields}}


def upstream_tls() -> JSON:
    """TLS to a peer whose certificate is self-signed and not checked, as gateways talk to an endpoint picker."""
    return typed("envoy.transport_sockets.tls", UPSTREAM_TLS, common_tls_context={
        "alpn_protocols": ["h2"], "validation_context": {"trust_chain_verification": "ACCEPT_UNTRUSTED"}})


def http2_options() -> JSON:
    """typed_extension_protocol_options of a cluster that speaks HTTP/2."""
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"@type": UPSTREAM_HTTP, "explicit_http_config": {"http2_protocol_options": {}}}}


def static_cluster(name: str, endpoints: Iterable[tuple[str, int]], *, http2: bool = False, tls: bool = False, connect_seconds: float = 1.0) -> JSON:
    """A cluster of fixed (address, port) pairs."""
    cluster: JSON = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": f"{connect_seconds:g}s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket_address(*pair)}} for pair in endpoints]}]},
    }
    if http2:
        cluster["typed_extension_protocol_options"] = http2_options()
    if tls:
        cluster["transport_socket"] = upstream_tls()
    return cluster
