# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Model in Envoy's words: clusters, listeners, routes and endpoints as discovery resources. Pure.

Two levels in one Envoy. Level 1 listens on the Gateway's address and chooses a backend by the HTTPRoutes; level 2 is a listener of its own
per backend, on a unix socket, that calls the pool's endpoint picker and sends the request to the pod it names. Why two: time-outs, FailOpen
and the life of a backend belong to the backend, while Envoy knows them per route only; and a backend that leaves takes its listener, and so
its streams, with it. Endpoints come from a file per cluster, so that a pod or a health check never touches a cluster or its requests.

A Gateway that a GCPRoutingExtension names asks that service at level 1 and then chooses the route anew, so that a header which the service
sets decides. A listener that gets or loses this filter ends the connections it had, a second later.
"""
from __future__ import annotations

from pathlib import Path
from typing import Any

from ..envoyfiles import HTTP_MANAGER, ROUTER, http2_options, socket_address, typed, upstream_tls
from .envoyroutes import DESTINATION_HEADER, refusal, route_configuration
from .model import Backend, Callout, Server

JSON = dict[str, Any]
ENDPOINTS = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
EXT_PROC = "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor"
EXT_PROC_ROUTE = "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute"
ACCESS_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
UPSTREAM_HTTP = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
PROCESSING_MODE = {
    "request_header_mode": "SEND", "response_header_mode": "SEND", "request_body_mode": "FULL_DUPLEX_STREAMED",
    "response_body_mode": "FULL_DUPLEX_STREAMED", "request_trailer_mode": "SEND", "response_trailer_mode": "SEND",
}
PICKER_SECONDS = 10
"""How long an endpoint picker may take for one message; Google's load balancers allow their extensions 10 s at most."""
POD_IDLE_SECONDS = 4
"""Less than the 5 s after which model servers close idle connections: a request never meets a connection that is just being closed."""
CLIENT_IDLE_SECONDS = 610
"""As Google's load balancers keep idle connections of clients; level 1 closes its own to level 2 sooner than level 2 would."""
LIMITS = {"thresholds": [{"max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000}]}


def access_log(instance: int, path: Path) -> JSON:
    """One JSON line per request, written by level 1."""
    return typed("envoy.access_loggers.file", ACCESS_LOG, path=str(path), log_format={"json_format": {
        "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%", "instance": instance, "method": "%REQ(:METHOD)%", "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
        "host": "%REQ(:AUTHORITY)%", "status": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%", "details": "%RESPONSE_CODE_DETAILS%", "route": "%ROUTE_NAME%",
        "backend": "%UPSTREAM_CLUSTER%", "load_id": "%REQ(X-LOAD-ID)%", "duration_ms": "%DURATION%", "bytes": "%BYTES_SENT%"}})


def manager(name: str, routes: Path, filters: list[JSON], log: JSON | None = None) -> JSON:
    """An HTTP connection manager filter whose routes come from a file. ``name`` is the route configuration's and the statistics' name."""
    fields: JSON = {
        "stat_prefix": name, "codec_type": "AUTO", "stream_idle_timeout": "0s", "request_timeout": "0s", "generate_request_id": False,
        "common_http_protocol_options": {"idle_timeout": f"{CLIENT_IDLE_SECONDS}s"},
        "rds": {"route_config_name": name, "config_source": file_source(routes)},
        "http_filters": [*filters, typed("envoy.filters.http.router", ROUTER, suppress_envoy_headers=True)],
    }
    if log is not None:
        fields.update(access_log=[log], use_remote_address=True)
    return typed("envoy.filters.network.http_connection_manager", HTTP_MANAGER, **fields)


def file_source(path: Path) -> JSON:
    """One file that is watched by itself, so that a write to another one in its folder is not a reload of this one."""
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3", "initial_fetch_timeout": "5s"}


def front_name(server: Server) -> str:
    return f"front-{server.slug}"


def back_name(backend: Backend) -> str:
    return f"back-{backend.slug}"


def front_listener(server: Server, folder: Path, log: JSON) -> JSON:
    """Level 1: the Gateway's address and port, shared with the other instances."""
    name = front_name(server)
    return {
        "name": name, "address": socket_address(server.address, server.port), "enable_reuse_port": True,
        "filter_chains": [{"filters": [manager(name, folder / f"{name}.json", [callout_filter(server.callout)] if server.callout else [], log)]}],
    }


def callout_filter(callout: Callout) -> JSON:
    """The call of a routing extension; the route is chosen after it, by the headers that it leaves.

    A body that is fully duplex needs its trailers, and Envoy refuses one without.
    """
    service: JSON = {"cluster_name": callout_name(callout.slug), **({"authority": callout.authority} if callout.authority else {})}
    body = "NONE" if not callout.reads_body else "FULL_DUPLEX_STREAMED" if callout.full_duplex else "STREAMED"
    trailers = callout.reads_trailers or body == "FULL_DUPLEX_STREAMED"
    mode = {"request_header_mode": "SEND", "request_body_mode": body, "request_trailer_mode": "SEND" if trailers else "SKIP",
            "response_header_mode": "SKIP", "response_body_mode": "NONE", "response_trailer_mode": "SKIP"}
    return typed("envoy.filters.http.ext_proc", EXT_PROC, grpc_service={"envoy_grpc": service}, processing_mode=mode,
                 message_timeout=f"{callout.timeout:.3f}s", route_cache_action="CLEAR", failure_mode_allow=callout.fail_open)


def callout_name(slug: str) -> str:
    """Cluster of a service that is asked before a route is chosen."""
    return f"callout-{slug}"


def front_routes(server: Server) -> JSON:
    return route_configuration(server, front_name(server), cluster_name)


def cluster_name(key: str) -> str:
    """Level 1's cluster for a backend key."""
    return key


def back_listener(backend: Backend, socket: Path, folder: Path) -> JSON:
    """Level 2: a backend's own listener on a unix socket."""
    name = back_name(backend)
    filters = [ext_proc(backend)] if backend.is_pool else []
    return {"name": f"{name}-{socket.stem}", "address": {"pipe": {"path": str(socket)}}, "filter_chains": [{"filters": [
        manager(name, folder / f"{name}.json", filters)]}]}


def ext_proc(backend: Backend) -> JSON:
    """The call of a pool's endpoint picker; the route is chosen anew after it, by the destination it named."""
    return typed("envoy.filters.http.ext_proc", EXT_PROC, grpc_service=picker_service(backend), processing_mode=PROCESSING_MODE,
                 message_timeout=f"{PICKER_SECONDS}s", route_cache_action="CLEAR", failure_mode_allow=False)


def picker_service(backend: Backend) -> JSON:
    return {"envoy_grpc": {"cluster_name": f"picker-{backend.slug}"}}


def back_routes(backend: Backend) -> JSON:
    """Level 2's routes: to the pod that the picker named; without a name to any healthy pod (Services, FailOpen) or nowhere (FailClose)."""
    if backend.refusal:
        unasked = {"envoy.filters.http.ext_proc": {"@type": EXT_PROC_ROUTE, "disabled": True}}  # a policy comes before the picker
        refused = {"match": {"prefix": "/"}, "direct_response": refusal(backend.refusal), "typed_per_filter_config": unasked}
        return {"name": back_name(backend), "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [refused]}]}
    timeout = f"{backend.timeout_seconds}s"
    to_named: JSON = {"match": {"prefix": "/", "headers": [{"name": DESTINATION_HEADER, "present_match": True}]},
                      "route": {"cluster": f"named-{backend.slug}", "timeout": timeout}}
    fallback = "any" if backend.fail_open or not backend.is_pool else "named"
    to_any: JSON = {"match": {"prefix": "/"}, "route": {"cluster": f"{fallback}-{backend.slug}", "timeout": timeout}}
    routes = [to_named, to_any] if backend.is_pool else [to_any]
    if backend.is_pool:
        override = {"@type": EXT_PROC_ROUTE, "overrides": {"failure_mode_allow": backend.fail_open}}
        for item in routes:
            item["typed_per_filter_config"] = {"envoy.filters.http.ext_proc": override}
    return {"name": back_name(backend), "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]}


def clusters(backend: Backend, folder: Path) -> list[JSON]:
    """Level 1's cluster (the unix socket while the backend is healthy) and level 2's: picker, named pod, any pod. Of a callout: the one that is called."""
    if backend.callout:
        secured = {"transport_socket": upstream_tls()} if backend.callout == "tls" else {}
        return [endpoint_cluster(callout_name(backend.slug), endpoint_file(folder, backend, "callout"), typed_extension_protocol_options=http2_options(),
                                 **secured)]
    slug = backend.slug
    front = endpoint_cluster(cluster_name(backend.key), endpoint_file(folder, backend, "front"),
                             typed_extension_protocol_options=http1(CLIENT_IDLE_SECONDS // 2))
    front["alt_stat_name"] = backend.label  # what the access log prints
    pod_options = http1(POD_IDLE_SECONDS)
    anyone = endpoint_cluster(f"any-{slug}", endpoint_file(folder, backend, "any"), typed_extension_protocol_options=pod_options)
    if not backend.is_pool:
        return [front, anyone]
    picker = endpoint_cluster(f"picker-{slug}", endpoint_file(folder, backend, "picker"), typed_extension_protocol_options=http2_options(),
                              transport_socket=upstream_tls())
    named = {
        "name": f"named-{slug}", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "2s", "circuit_breakers": LIMITS,
        "original_dst_lb_config": {"use_http_header": True, "http_header_name": DESTINATION_HEADER}, "typed_extension_protocol_options": pod_options,
    }
    return [front, anyone, picker, named]


def http1(idle_seconds: int) -> JSON:
    """Protocol options of a cluster that speaks HTTP/1.1 and closes connections that were idle for so long."""
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": UPSTREAM_HTTP, "common_http_protocol_options": {"idle_timeout": f"{idle_seconds}s"}, "explicit_http_config": {"http_protocol_options": {}}}}


def endpoint_cluster(name: str, path: Path, **fields: Any) -> JSON:
    """A round-robin cluster whose endpoints come from a file."""
    return {"name": name, "type": "EDS", "connect_timeout": "2s", "circuit_breakers": LIMITS, "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
            "eds_cluster_config": {"eds_config": file_source(path)}, **fields}


def endpoint_file(folder: Path, backend: Backend, role: str) -> Path:
    """Where the endpoints of one of a backend's clusters (role: front, any, picker, callout) are written."""
    return folder / f"{role}-{backend.slug}.json"


def assignment(name: str, addresses: list[JSON]) -> JSON:
    """Endpoints of a cluster. addresses: Envoy addresses."""
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}} for address in addresses]}] if addresses else []}


def parsed(endpoint: str) -> JSON:
    """ADDRESS:PORT as an Envoy address."""
    address, _colon, port = endpoint.rpartition(":")
    return socket_address(address, int(port))


def assignments(backend: Backend, socket: Path | None, pods: tuple[str, ...], pickers: tuple[str, ...]) -> dict[str, JSON]:
    """Role -> endpoints of a backend's clusters. socket None: the backend is not healthy (yet), level 1 answers 503, and a callout fails."""
    if backend.callout:
        return {"callout": assignment(callout_name(backend.slug), [] if socket is None else [parsed(pod) for pod in pods])}
    found = {
        "front": assignment(cluster_name(backend.key), [] if socket is None else [{"pipe": {"path": str(socket)}}]),
        "any": assignment(f"any-{backend.slug}", [parsed(pod) for pod in pods]),
    }
    if backend.is_pool:
        found["picker"] = assignment(f"picker-{backend.slug}", [parsed(picker) for picker in pickers])
    return found
