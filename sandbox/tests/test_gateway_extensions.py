# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GCPRoutingExtensions in the gateway's words and in Envoy's, and a callout that nobody answers on real Envoys. No API server, no router."""
from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from igw_sandbox.gateway import envoy
from igw_sandbox.gateway.model import Callout, Check, Model
from igw_sandbox.gateway.references import Index
from igw_sandbox.gateway.settings import ALPHA_GROUP, CLASSES
from igw_sandbox.gateway.translate import translate
from sandbox.tests.gateway_fakes import (
    SUBNET,
    Bench,
    alpha_pool,
    bench,
    extension,
    fake_pod,
    gateway,
    health_policy,
    pod,
    policy,
    reference,
    route,
    service,
    settings,
)

ROUTER = service("router", "router", 9004, 9004)
S = service("s", "m")
EVENTS = {"supportedEvents": ["RequestHeaders", "RequestBody", "RequestTrailers"], "requestBodySendMode": "FullDuplexStreamed", "authority": "myext.com"}
TRUE, PARTLY = {"celMatcher": 'request.path.startsWith("/")'}, {"celMatcher": 'request.path.startsWith("/v1")'}


def run(*extensions: dict[str, Any], options: dict[str, Any] | None = None, **snapshot: Any) -> Model:
    found: dict[str, list[dict[str, Any]]] = {
        "Gateway": [gateway(), gateway("other")], "Service": [ROUTER, S], "HTTPRoute": [route(rules=[{"backendRefs": [reference("s")]}])],
        "GCPRoutingExtension": [item for item in extensions if item["kind"] == "GCPRoutingExtension"],
        "GCPTrafficExtension": [item for item in extensions if item["kind"] == "GCPTrafficExtension"], **snapshot}
    return translate(found, {"default/gw": "127.251.0.10", "default/other": "127.251.0.11"}, settings(**(options or {})), set(CLASSES))


def callouts(model: Model) -> dict[str, Callout | None]:
    return {server.gateway: server.callout for server in model.servers}


def chain(name: str, *expressions: dict[str, Any], to: str = "router", port: int = 9004) -> dict[str, Any]:
    """A chain with a condition, or without one."""
    condition = {"matchCondition": {"celExpressions": list(expressions)}} if expressions else {}
    return {"name": name, **condition, "extensions": [{"name": name, "authority": name, "backendRef": {"name": to, "port": port}}]}


def test_the_gateway_that_an_extension_names_asks_its_service() -> None:
    model = run(extension("e", "router", more={**EVENTS, "timeout": "500ms", "failOpen": True}))
    found = callouts(model)["default/gw"]
    assert found == Callout("Service/default/router:9004@default/gw#default-router#tls", "myext.com", 0.5, True, True, True, True)
    assert callouts(model)["default/other"] is None
    assert [backend.label for backend in model.backends.values() if backend.callout] == ["Service/default/router:9004"]


def test_what_an_extension_leaves_out() -> None:
    assert callouts(run(extension("e", "router")))["default/gw"] == Callout(
        "Service/default/router:9004@default/gw#default-router#tls", "", 1.0, fail_open=False, reads_body=False, reads_trailers=False, full_duplex=False)


def test_a_service_that_is_called_without_tls() -> None:
    plain = {**ROUTER, "spec": {**ROUTER["spec"], "ports": [{"port": 9004, "appProtocol": "kubernetes.io/h2c"}]}}
    model = run(extension("e", "router"), Service=[plain, S])
    (cluster,) = (envoy.clusters(backend, Path("/f"))[0] for backend in model.backends.values() if backend.callout)
    assert "transport_socket" not in cluster and "http2_protocol_options" in str(cluster)


@pytest.mark.parametrize(("chains", "expected"), [
    ([chain("a"), chain("b")], "a"),
    ([chain("a", PARTLY), chain("b", TRUE), chain("c")], "b"),
    ([chain("a", PARTLY, TRUE), chain("b")], "a"),
    ([chain("a", {**TRUE, "backendRefs": [{"name": "s", "port": 80}]}), chain("b")], "b"),
    ([chain("a", PARTLY)], None),
    ([chain("a", to="gone")], None),
    ([chain("a", port=1)], None),
    ([{"name": "a", "extensions": [{"name": "x", "googleAPIServiceName": "x.example.com"}]}], None),
])
def test_the_first_chain_that_plainly_matches_runs(chains: list[dict[str, Any]], expected: str | None) -> None:
    found = callouts(run(extension("e", "router", chains=chains)))["default/gw"]
    assert (found.authority if found else None) == expected


def test_the_oldest_extension_counts_and_one_of_another_namespace_does_not() -> None:
    young, old = (extension(name, "router", more={"authority": name}, created=f"2026-0{month}-01T00:00:00Z") for name, month in (("young", 3), ("old", 2)))
    foreign = extension("foreign", "router", namespace="elsewhere", created="2026-01-01T00:00:00Z")
    traffic = extension("traffic", "router", kind="GCPTrafficExtension")
    found = callouts(run(young, old, foreign, traffic))["default/gw"]
    assert found is not None and found.authority == "old"
    assert callouts(run(foreign, traffic))["default/gw"] is None


@pytest.mark.parametrize(("extensions", "served"), [
    ([], True),
    ([extension("e", "router")], True),
    ([extension("e", "router"), extension("t", "router", kind="GCPTrafficExtension")], False),
    ([extension("e", "router", chains=[chain("a"), chain("b")])], False),
    ([extension("e", "router", target="other"), extension("t", "router", target="other")], True),
])
def test_chains_of_extensions_count_for_the_limit(extensions: list[dict[str, Any]], served: bool) -> None:
    pool = {"AlphaPool": [alpha_pool("p", "m", "epp")], "Service": [ROUTER, service("epp", "epp", 9002, 9002)],
            "HTTPRoute": [route(rules=[{"backendRefs": [reference("p", ALPHA_GROUP)]}])]}
    model = run(*extensions, options={"chain_limit": 2}, **pool)
    share = next(server for server in model.servers if server.gateway == "default/gw").hosts["*"][0].shares[0]
    assert (share.backend is not None) is served


def test_the_routers_health_is_asked_by_grpc_and_its_policy_is_attached() -> None:
    config = {"type": "GRPC", "grpcHealthCheck": {"portSpecification": "USE_FIXED_PORT", "port": 9005}}
    check = policy("HealthCheckPolicy", "h", {"group": "", "kind": "Service", "name": "router"}, {"config": config})
    model = run(extension("e", "router"), HealthCheckPolicy=[check])
    backend = next(backend for backend in model.backends.values() if backend.callout)
    index = Index({"Service": [ROUTER], "HealthCheckPolicy": [check], "Pod": [pod("r", "127.251.1.9", "router")]}, ())
    endpoints = index.endpoints(backend)
    assert endpoints is not None and (endpoints.pods, endpoints.check) == (("127.251.1.9:9004",), Check("GRPC", "", 9005))
    assert [status.kind for status in model.statuses if status.name == "h"] == ["HealthCheckPolicy"]


def filters(model: Model, name: str = "default/gw") -> list[dict[str, Any]]:
    """The HTTP filters of a Gateway's front listener."""
    server = next(server for server in model.servers if server.gateway == name)
    listener = envoy.front_listener(server, Path("/f"), {})
    found: list[dict[str, Any]] = listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    return found


def test_envoy_asks_before_it_routes_and_routes_anew() -> None:
    model = run(extension("e", "router", more=EVENTS))
    asked, last = filters(model)
    backend = next(backend for backend in model.backends.values() if backend.callout)
    (cluster,) = envoy.clusters(backend, Path("/f"))
    config = asked["typed_config"]
    assert (asked["name"], last["name"]) == ("envoy.filters.http.ext_proc", "envoy.filters.http.router")
    assert config["grpc_service"] == {"envoy_grpc": {"cluster_name": cluster["name"], "authority": "myext.com"}}
    assert (config["route_cache_action"], config["failure_mode_allow"], config["message_timeout"]) == ("CLEAR", False, "1.000s")
    assert config["processing_mode"] == {
        "request_header_mode": "SEND", "request_body_mode": "FULL_DUPLEX_STREAMED", "request_trailer_mode": "SEND",
        "response_header_mode": "SKIP", "response_body_mode": "NONE", "response_trailer_mode": "SKIP"}
    assert "transport_socket" in cluster and "http2_protocol_options" in str(cluster)


@pytest.mark.parametrize(("events", "mode", "expected"), [
    (["RequestHeaders"], "FullDuplexStreamed", ("NONE", "SKIP")),
    (["RequestHeaders", "RequestBody"], "Streamed", ("STREAMED", "SKIP")),
    (["RequestHeaders", "RequestBody"], "FullDuplexStreamed", ("FULL_DUPLEX_STREAMED", "SEND")),
])
def test_what_is_sent_of_a_request(events: list[str], mode: str, expected: tuple[str, str]) -> None:
    """Envoy refuses a fully duplex body without trailers; such an extension must not take the whole Gateway down."""
    asked = filters(run(extension("e", "router", more={"supportedEvents": events, "requestBodySendMode": mode})))[0]
    modes = asked["typed_config"]["processing_mode"]
    assert (modes["request_body_mode"], modes["request_trailer_mode"]) == expected


def test_a_gateway_without_an_extension_is_what_it_was() -> None:
    without, beside = run(), run(extension("e", "router"))
    for name in ("default/gw", "default/other"):
        assert [item["name"] for item in filters(without, name)] == ["envoy.filters.http.router"]
    assert filters(beside, "default/other") == filters(without, "default/other")
    assert not any(backend.callout for backend in without.backends.values())


def test_a_callout_that_nobody_answers() -> None:
    """Its failOpen decides; the extension comes and goes like any other change, and a second Gateway never notices."""
    base = {"Gateway": [gateway(), gateway("other")], "Pod": [pod("p", f"{SUBNET}.1.1", "m")], "Service": [ROUTER, S],
            "HealthCheckPolicy": [health_policy("h", "", "Service", "s")],
            "HTTPRoute": [route(rules=[{"backendRefs": [reference("s")]}], parents=[{"name": "gw"}, {"name": "other"}])]}
    beside = f"{SUBNET}.0.11"

    async def play(world: Bench) -> None:
        world.apply(**base)
        await world.settle()
        for address in (f"{SUBNET}.0.10", beside):
            await world.until_status(200, "/x", address=address)
        for fail_open, expected in ((False, 500), (True, 200), (False, 500)):
            world.apply(**base, GCPRoutingExtension=[extension("e", "router", more={**EVENTS, "failOpen": fail_open})])
            await world.settle()
            assert {await world.status("/x") for _number in range(10)} == {expected}
            assert (await world.get("/x", method="POST"))[0] == expected
            assert await world.status("/x", address=beside) == 200
        assert "Service/default/router:9004" in world.fleet.instances[0].cold()
        world.apply(**base)
        await world.settle()
        assert {await world.status("/x") for _number in range(10)} == {200}
        assert not any("problem" in line for line in world.converged())

    async def scenario() -> None:
        async with fake_pod(f"{SUBNET}.1.1"), bench() as world:
            await play(world)

    asyncio.run(scenario())
