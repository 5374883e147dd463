# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gateways and their listeners: which are served, which routes may attach, what their status says. Pure."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .model import Manifest, Status
from .settings import GATEWAY_GROUP, Settings
from .statuses import condition


@dataclass
class Listener:
    """One listener of a served Gateway; ``problem`` is (condition, reason, message) or None."""

    name: str
    port: int
    hostname: str | None
    allowed: Manifest
    problem: tuple[str, str, str] | None = None
    attached: set[str] = field(default_factory=set)
    """Routes (NAMESPACE/NAME) that attached."""

    def admits(self, route_namespace: str, gateway_namespace: str, labels: dict[str, dict[str, str]]) -> bool:
        """Whether routes of a namespace may attach. labels: namespace -> its labels."""
        namespaces = self.allowed.get("namespaces") or {}
        kinds = self.allowed.get("kinds")
        if kinds and not any(kind.get("kind") == "HTTPRoute" and kind.get("group", GATEWAY_GROUP) == GATEWAY_GROUP for kind in kinds):
            return False
        where = namespaces.get("from", "Same")
        if where == "All":
            return True
        if where == "Selector":
            return selector_matches(namespaces.get("selector") or {}, labels.get(route_namespace, {}))
        return where == "Same" and route_namespace == gateway_namespace


def selector_matches(selector: Manifest, labels: dict[str, str]) -> bool:
    """A Kubernetes label selector (matchLabels and matchExpressions) on labels."""
    if any(labels.get(name) != value for name, value in (selector.get("matchLabels") or {}).items()):
        return False
    for entry in selector.get("matchExpressions") or []:
        value, values = labels.get(entry["key"]), entry.get("values") or []
        fits = {"In": value in values, "NotIn": value not in values, "Exists": value is not None, "DoesNotExist": value is None}
        if not fits[entry["operator"]]:
            return False
    return True


@dataclass
class GatewayView:
    """One served Gateway."""

    key: str
    namespace: str
    name: str
    generation: int
    address: str
    listeners: list[Listener]
    uid: str = ""

    def status(self) -> Status:
        """Accepted, Programmed, the address and the listeners. A broken route never changes Programmed."""
        bad = [listener for listener in self.listeners if listener.problem]
        message = "; ".join(f"listener {listener.name}: {listener.problem[2]}" for listener in bad if listener.problem)
        usable = len(bad) < len(self.listeners)
        value = {
            "addresses": [{"type": "IPAddress", "value": self.address}],
            "conditions": [
                condition("Accepted", usable, "ListenersNotValid" if bad else "Accepted", self.generation, message),
                condition("Programmed", usable, "Programmed" if usable else "Invalid", self.generation, "" if usable else message),
            ],
            "listeners": [self._listener_status(listener) for listener in self.listeners],
        }
        return Status("Gateway", self.namespace, self.name, value, self.uid)

    def _listener_status(self, listener: Listener) -> Manifest:
        kind, reason, message = listener.problem or ("", "", "")
        good = listener.problem is None
        return {
            "name": listener.name,
            "attachedRoutes": len(listener.attached),
            "supportedKinds": [{"group": GATEWAY_GROUP, "kind": "HTTPRoute"}],
            "conditions": [
                condition("Accepted", kind != "Accepted", reason if kind == "Accepted" else "Accepted", self.generation, message if kind == "Accepted" else ""),
                condition("Programmed", good, "Programmed" if good else "Invalid", self.generation, message),
                condition("ResolvedRefs", True, "ResolvedRefs", self.generation),
                condition("Conflicted", kind == "Conflicted", reason if kind == "Conflicted" else "NoConflicts", self.generation,
                          message if kind == "Conflicted" else ""),
            ],
        }


def served_gateways(gateways: list[Manifest], classes: set[str], addresses: dict[str, str], settings: Settings,
                    unusable: Mapping[tuple[str, int], str]) -> dict[str, GatewayView]:
    """NAMESPACE/NAME -> view of every Gateway of a served class that has an address. unusable: (Gateway, port) -> why it can't be bound."""
    views = {}
    for gateway in gateways:
        meta = gateway["metadata"]
        key = f"{meta['namespace']}/{meta['name']}"
        if gateway["spec"]["gatewayClassName"] in classes and key in addresses:
            listeners = _listeners(gateway["spec"].get("listeners") or [], settings, {port: why for (owner, port), why in unusable.items() if owner == key})
            views[key] = GatewayView(key, meta["namespace"], meta["name"], meta.get("generation", 1), addresses[key], listeners, meta.get("uid", ""))
    return views


def _listeners(specs: list[Manifest], settings: Settings, unusable: Mapping[int, str]) -> list[Listener]:
    found: list[Listener] = []
    taken: set[tuple[int, str | None]] = set()
    for spec in specs:
        listener = Listener(spec["name"], spec["port"], spec.get("hostname"), spec.get("allowedRoutes") or {})
        place = (listener.port, listener.hostname)
        if spec["protocol"] != "HTTP":
            listener.problem = ("Accepted", "UnsupportedProtocol", f"protocol {spec['protocol']} is not served by this gateway; use HTTP")
        elif listener.port < settings.lowest_port:
            listener.problem = ("Accepted", "PortUnavailable", f"port {listener.port} needs privileges; use one from {settings.lowest_port} on")
        elif listener.port in unusable:
            listener.problem = ("Accepted", "PortUnavailable", unusable[listener.port])
        elif place in taken:
            listener.problem = ("Conflicted", "HostnameConflict", f"another listener has port {listener.port} and the same hostname")
        else:
            taken.add(place)
        found.append(listener)
    return found
