# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which listeners take a route, and which of two routes on one Gateway takes a request."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import listeners as module
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.listeners import Listener, Listeners
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import parents

from tests.unit.helpers.migration_fakes import ALPHA, gateway, http_route, rule

Manifest = dict[str, Any]
PARENT = {"name": "gw", "namespace": "infra"}
LABELS = {"default": {"tenant": "chat"}, "infra": {}}


def listens(name: str = "http", port: int = 8080, namespaces: Manifest | None = None, **fields: Any) -> Manifest:
    """One listener, by default open to all namespaces."""
    return {"name": name, "protocol": "HTTP", "port": port, "allowedRoutes": {"namespaces": namespaces or {"from": "All"}}} | fields


def selector(**labels: str) -> Manifest:
    return {"from": "Selector", "selector": {"matchLabels": labels}}


def of(*specs: Manifest, routes: tuple[Manifest, ...] = (), **labels: Any) -> Listeners:
    """The listeners of one Gateway. ``labels``: of the namespaces, by default :data:`LABELS`."""
    return Listeners([gateway(*specs, namespace="infra")], routes, labels.get("labels", LABELS))


def on(listeners: Listeners, route: Manifest) -> list[str]:
    return [listener.name for parent in parents(route) for listener in listeners.of(route, parent)]


@pytest.mark.parametrize(
    ("parent", "expected"),
    [
        (PARENT, ["a", "b", "c"]),
        (PARENT | {"sectionName": "b"}, ["b"]),
        (PARENT | {"port": 8081}, ["b", "c"]),
        (PARENT | {"sectionName": "a", "port": 8081}, []),
        (PARENT | {"kind": "ListenerSet"}, []),
        (PARENT | {"group": "other.example.com"}, []),
        ({"name": "gw"}, []),
    ],
)
def test_a_route_says_which_listeners(parent: Manifest, expected: list[str]) -> None:
    here = of(listens("a"), listens("b", 8081), listens("c", 8081, hostname="llm.example.com"), listens("d", 8081, protocol="TCP"))
    assert on(here, http_route(rule(ALPHA), parentRefs=[parent])) == expected


@pytest.mark.parametrize(
    ("allowed", "taken"),
    [
        ({"namespaces": {"from": "All"}}, True),
        ({"namespaces": {"from": "Same"}}, False),
        ({"namespaces": {"from": "None"}}, False),
        ({"namespaces": {}}, False),
        ({}, False),
        (None, False),
        ({"namespaces": selector(tenant="chat")}, True),
        ({"namespaces": selector(tenant="search")}, False),
        ({"namespaces": {"from": "Selector", "selector": {}}}, True),
        ({"namespaces": {"from": "Selector", "selector": {"matchExpressions": [{"key": "tenant", "operator": "In", "values": ["chat", "x"]}]}}}, True),
        ({"namespaces": {"from": "Selector", "selector": {"matchExpressions": [{"key": "tenant", "operator": "DoesNotExist"}]}}}, False),
        ({"namespaces": {"from": "All"}, "kinds": []}, True),
        ({"namespaces": {"from": "All"}, "kinds": [{"kind": "HTTPRoute"}]}, True),
        ({"namespaces": {"from": "All"}, "kinds": [{"kind": "GRPCRoute"}]}, False),
        ({"namespaces": {"from": "All"}, "kinds": [{"kind": "HTTPRoute", "group": "other.example.com"}]}, False),
    ],
)
def test_a_listener_says_which_routes(allowed: Manifest | None, taken: bool) -> None:
    here = of(listens() | {"allowedRoutes": allowed})
    route = http_route(rule(ALPHA), parentRefs=[PARENT])
    assert on(here, route) == (["http"] if taken else []) and here.undecided(route) == []


@pytest.mark.parametrize("labels", [None, {}, {"infra": {"tenant": "chat"}}])
def test_a_listener_that_nobody_can_decide_is_named_and_counts_as_taking_the_route(labels: Any) -> None:
    here = of(listens("a"), listens("b", namespaces=selector(tenant="chat")), labels=labels)
    route = http_route(rule(ALPHA), parentRefs=[PARENT, PARENT | {"sectionName": "b"}])
    assert on(here, route) == ["a", "b", "b"]
    assert [str(listener) for listener in here.undecided(route)] == ["listener b of Gateway infra/gw"]
    assert here.undecided(http_route(rule(ALPHA), parentRefs=[PARENT | {"sectionName": "a"}])) == []


def test_labels_are_wanted_where_a_listener_asks_for_them() -> None:
    assert not module.wants_labels([gateway(listens())]) and module.wants_labels([gateway(), gateway(listens(), listens("b", namespaces=selector(a="b")))])


def at(name: str, port: int = 8080, hostname: str = "") -> Listener:
    return Listener("infra", "gw", name, port, False, hostname)


def taker(here: Listeners, listener: Listener, hostname: str = "llm.example.com") -> str | None:
    found = here.winner(listener, hostname, "/v1/completions", {})
    return found[0].name if found else None


def test_routes_of_sibling_listeners_take_nothing_from_each_other() -> None:
    """A redirect to HTTPS beside the route that serves, the older one of the two."""
    redirect = http_route(rule({"name": "plain"}), name="a-redirect", parentRefs=[PARENT | {"sectionName": "plain"}])
    serving = http_route(rule(ALPHA), name="serving", parentRefs=[PARENT | {"sectionName": "main"}])
    here = of(listens("plain", 8081), listens("main"), routes=(redirect, serving))
    assert (taker(here, at("plain", 8081)), taker(here, at("main"))) == ("a-redirect", "serving")
    together = http_route(rule({"name": "plain"}), name="a-redirect", parentRefs=[PARENT])
    assert taker(of(listens("plain", 8081), listens("main"), routes=(together, serving)), at("main")) == "a-redirect"


def test_routes_of_other_tenants_take_nothing() -> None:
    mine = http_route(rule(ALPHA), name="z-mine", parentRefs=[PARENT])
    other = http_route(rule({"name": "plain"}), name="a-other", namespace="search", parentRefs=[PARENT])
    specs = (listens("chat", namespaces=selector(tenant="chat")), listens("search", 8081, namespaces=selector(tenant="search")))
    here = of(*specs, routes=(other, mine), labels=LABELS | {"search": {"tenant": "search"}})
    assert (taker(here, at("chat")), taker(here, at("search", 8081))) == ("z-mine", "a-other")


@pytest.mark.parametrize(
    ("hostname", "expected"),
    [("llm.example.com", "named"), ("probe.example.com", "wild"), ("a.b.example.com", "wild"), ("example.com", "any"), ("", "any"), ("other.org", "any")],
)
def test_a_request_meets_the_listener_of_the_closest_hostname(hostname: str, expected: str) -> None:
    here = of(listens("any"), listens("wild", hostname="*.example.com"), listens("named", hostname="llm.example.com"),
              listens("elsewhere", 8081, hostname="other.org"), listens("secure", protocol="HTTPS", hostname="other.org"))
    for listener in (at("any"), at("wild", hostname="*.example.com"), at("named", hostname="llm.example.com")):
        assert here.reached(listener, hostname).name == expected


def test_a_listener_without_routes_has_no_winner() -> None:
    assert taker(of(listens()), at("http")) is None
