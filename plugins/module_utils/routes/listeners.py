# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Computes which listeners of a Gateway take a route, and which rule of which route takes a request there. Pure.

A route says which listeners it wants (sectionName, port), a listener which routes it takes (kinds, namespaces, hostname). Rules
compete for a request only where their routes are on the listener that the request comes by.

Source: ParentReference, AllowedRoutes and Listener.hostname in https://gateway-api.sigs.k8s.io/reference/spec/
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import NamedTuple

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, dig, name_of, namespace_of, selects_labels
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.body_routing import MODEL_HEADER
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.precedence import Table, host_rank, meet
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import GATEWAY_GROUP, Parent, RouteKey, parents, route_key

PROTOCOLS = ("HTTP", "HTTPS")
"""Of listeners that an HTTPRoute can be on."""
NamespaceLabels = Mapping[str, Mapping[str, str]]


class Listener(NamedTuple):
    """One HTTP or HTTPS listener; as text ``listener NAME of Gateway namespace/name``.

    :param namespace: the Gateway's. :param gateway: its name. :param hostname: empty for any.
    """

    namespace: str
    gateway: str
    name: str
    port: int
    tls: bool
    hostname: str

    def __str__(self) -> str:
        return f"listener {self.name} of Gateway {self.namespace}/{self.gateway}"


def wants_labels(gateways: Iterable[Manifest]) -> bool:
    """Return whether any listener of some Gateways chooses namespaces by their labels, so that these must be known."""
    return any(_namespaces(listener).get("from") == "Selector" for gateway in gateways for listener in dig(gateway, "spec", "listeners", default=[]))


def labels_of(namespaces: Iterable[Manifest]) -> NamespaceLabels:
    """Return the labels of each namespace by its name."""
    return {name_of(entry): dig(entry, "metadata", "labels", default={}) for entry in namespaces}


class Listeners:
    """The listeners of some Gateways with the HTTPRoutes that are on them.

    A listener that can't be decided counts as taking the route, so that its requests are asked for and not forgotten; :meth:`undecided` names it.

    :param routes: all HTTPRoutes that may be on them: one that is left out takes no request.
    :param labels: of the cluster's namespaces; None where they are not known. :param by_model: (namespace, name) of the Gateways that set a header to the
        model in a request's body before they choose a rule, see :mod:`body_routing`.
    """

    def __init__(self, gateways: Iterable[Manifest], routes: Iterable[Manifest], labels: NamespaceLabels | None,
                 by_model: Collection[tuple[str, str]] = ()) -> None:
        self.gateways = {(namespace_of(gateway), name_of(gateway)): gateway for gateway in gateways}
        self._routes = list(routes)
        self._labels = labels
        self._by_model = frozenset(by_model)
        self._specs = {
            (*place, listener.get("name") or ""): listener
            for place, gateway in self.gateways.items()
            for listener in dig(gateway, "spec", "listeners", default=[]) if listener.get("protocol") in PROTOCOLS
        }
        self._taking: dict[tuple[Listener, str], bool | None] = {}
        self._of_gateway: dict[tuple[str, str], list[Listener]] = defaultdict(list)
        for (namespace, gateway, name), listener in self._specs.items():
            found = Listener(namespace, gateway, name, listener.get("port", 0), listener["protocol"] == "HTTPS", listener.get("hostname") or "")
            self._of_gateway[namespace, gateway].append(found)

    def of(self, route: Manifest, parent: Parent) -> list[Listener]:
        """Return the listeners of one parent that a route is on, in the Gateway's order."""
        return [listener for listener in self._asked_for(route, parent) if self._takes(listener, namespace_of(route)) is not False]

    def undecided(self, route: Manifest) -> list[Listener]:
        """Return the listeners of which nobody can tell whether they take a route: the labels of its namespace are not known."""
        found = (listener for parent in parents(route) for listener in self._asked_for(route, parent))
        return [listener for listener in dict.fromkeys(found) if self._takes(listener, namespace_of(route)) is None]

    def reached(self, listener: Listener, hostname: str) -> Listener:
        """Return the listener that a request for a hostname meets at another listener's port: the one of the closest hostname.

        :param hostname: empty for the bare address.
        """
        beside = (other for other in self._of_gateway[listener.namespace, listener.gateway] if (other.port, other.tls) == (listener.port, listener.tls))
        ranked = [(rank, other) for other in beside if (rank := host_rank([other.hostname], hostname)) is not None]
        return max(ranked, key=lambda entry: entry[0], default=(None, listener))[1]

    def reads_model(self, listener: Listener) -> bool:
        """Tell whether a listener's Gateway sets the model's header from the body, so that users don't send it."""
        return (listener.namespace, listener.gateway) in self._by_model

    def winner(self, listener: Listener, hostname: str, url: str, headers: Mapping[str, str], method: str = "POST",
               model: str = "") -> tuple[RouteKey, int] | None:
        """Return the route and the index of the rule that take a request at a listener, None where no rule does; see :meth:`Table.winner`.

        :param model: in the request's body, empty for none.
        """
        table = self._tables.get(listener)
        told = {**headers, MODEL_HEADER: model} if model and self.reads_model(listener) else headers
        return table.winner(hostname, url, told, method) if table else None

    def _asked_for(self, route: Manifest, parent: Parent) -> list[Listener]:
        """Return the listeners of a parent that a route asks for and whose hostname has a name in common with its own."""
        wanted = dig(route, "spec", "hostnames", default=[]) or [""]
        return [
            listener for listener in self._of_gateway.get((parent.namespace, parent.name), [])
            if parent.section in (None, listener.name) and parent.port in (None, listener.port)
            and any(meet(hostname, listener.hostname) is not None for hostname in wanted)
        ]

    def _takes(self, listener: Listener, namespace: str) -> bool | None:
        """Return whether a listener takes HTTPRoutes of a namespace; None where that can't be told."""
        key = (listener, namespace)
        if key not in self._taking:
            self._taking[key] = self._decide(listener, namespace)
        return self._taking[key]

    def _decide(self, listener: Listener, namespace: str) -> bool | None:
        spec = self._specs[listener.namespace, listener.gateway, listener.name]
        kinds = dig(spec, "allowedRoutes", "kinds", default=[])
        if kinds and not any((kind.get("group", GATEWAY_GROUP), kind.get("kind")) == (GATEWAY_GROUP, "HTTPRoute") for kind in kinds):
            return False
        chosen = _namespaces(spec)
        if chosen.get("from") == "Selector":
            labels = None if self._labels is None else self._labels.get(namespace)
            return None if labels is None else selects_labels(chosen.get("selector"), labels)
        return {"All": True, "Same": namespace == listener.namespace, "None": False}.get(chosen.get("from") or "Same")

    @cached_property
    def _tables(self) -> dict[Listener, Table]:
        on: dict[Listener, dict[RouteKey, Manifest]] = defaultdict(dict)
        for route in self._routes:
            for parent in parents(route):
                for listener in self.of(route, parent):
                    on[listener][route_key(route)] = route
        return {listener: Table(found.values()) for listener, found in on.items()}


def _namespaces(listener: Manifest) -> Manifest:
    """Return which namespaces' routes a listener takes, as it says it."""
    return dict(dig(listener, "allowedRoutes", "namespaces", default={}))
