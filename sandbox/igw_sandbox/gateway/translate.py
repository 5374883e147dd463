# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what is in the cluster to what the gateway means to do. Pure: a snapshot in, a Model out."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from . import extensions, illnesses, matching
from .durations import seconds
from .listeners import GatewayView, Listener, served_gateways
from .model import Backend, Callout, Entry, Manifest, Mirror, Model, Server, Share, Status
from .references import Index, Resolution
from .settings import GATEWAY_GROUP, Settings
from .snapshot import Snapshot
from .statuses import policy_statuses, pool_status, route_parent

RULE_FILTERS = {"RequestHeaderModifier", "ResponseHeaderModifier", "URLRewrite", "RequestRedirect", "RequestMirror"}
BACKEND_FILTERS = {"RequestHeaderModifier", "ResponseHeaderModifier"}
Target = tuple[str, str, str, str]
"""(namespace, group, kind, name)"""


@dataclass
class Rules:
    """The rules of one route as one Gateway sees them."""

    entries: list[tuple[int, int, Entry]] = field(default_factory=list)
    """(rule, match, entry)"""
    unresolved: list[tuple[str, str]] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


class Translation:
    """One run of translate: collects backends, servers and statuses on the way."""

    def __init__(self, snapshot: Snapshot, addresses: Mapping[str, str], settings: Settings, classes: set[str],
                 unusable: Mapping[tuple[str, int], str]) -> None:
        self.settings = settings
        self.index = Index(snapshot, settings.pool_groups, settings.pool_groups_of)
        self.labels = {item["metadata"]["name"]: item["metadata"].get("labels") or {} for item in snapshot.get("Namespace", [])}
        self.gateways = served_gateways(snapshot.get("Gateway", []), classes, dict(addresses), settings, unusable)
        self.backends: dict[str, Backend] = {}
        self.pools: dict[Target, set[str]] = defaultdict(set)
        """Pools that routes refer to -> Gateways (keys) of these routes."""
        self.used: set[Target] = set()
        self.chains: dict[str, list[str]] = defaultdict(list)
        """Gateway -> chains of its extensions, then pools (keys) whose picker it calls in the order of their first reference."""
        self.callouts: dict[str, Callout] = {}
        """Gateway -> what it asks before it chooses a route."""
        self.statuses: list[Status] = []
        self.hosts: dict[tuple[str, int], dict[str, list[tuple[tuple[object, ...], Entry]]]] = defaultdict(lambda: defaultdict(list))
        self.routes: dict[str, int] = {}
        for gateway in self.gateways:
            self._extensions(snapshot, gateway)
        for route in sorted(snapshot.get("HTTPRoute", []), key=_age):
            self._route(route)

    def model(self) -> Model:
        for view in self.gateways.values():
            for listener in view.listeners:
                if listener.problem is None:
                    self.hosts[view.key, listener.port].setdefault(listener.hostname or "*", [])
            self.statuses.append(view.status())
        servers = tuple(
            Server(gateway, self.gateways[gateway].address, port,
                   {host: tuple(entry for _key, entry in sorted(found, key=lambda pair: pair[0])) for host, found in sorted(hosts.items())},
                   self.callouts.get(gateway), self.settings.keys.get(gateway, ""), self.settings.denied.get(gateway))
            for (gateway, port), hosts in sorted(self.hosts.items()))
        for (namespace, group, _kind, name), gateways in sorted(self.pools.items()):
            self.statuses.append(pool_status(self.index, group, namespace, name, gateways))
        self.statuses += policy_statuses(self.index, self.used)
        return Model(servers, self.backends, tuple(self.statuses), self.routes)

    def _extensions(self, snapshot: Snapshot, gateway: str) -> None:
        """Note what a Gateway asks before it chooses a route, and the chains that its extensions take."""
        self.chains[gateway] += extensions.chain_names(snapshot, gateway)
        if found := extensions.routing_callout(snapshot, self.index, gateway):
            self.callouts[gateway], backend = found
            self.backends[backend.key] = backend
            self.used.add((backend.namespace, backend.group, backend.kind, backend.name))

    def _route(self, route: Manifest) -> None:
        """Attach a route to its parents and note what each of them says."""
        meta, spec = route["metadata"], route["spec"]
        parents = []
        seen: dict[str, Rules] = {}
        placed: set[tuple[str, int, str]] = set()
        for parent in spec.get("parentRefs") or []:
            view = self._gateway(parent, meta["namespace"])
            if view is None:
                continue
            attached, refusal = self._attach(view, parent, route)
            if view.key not in seen and attached:
                seen[view.key] = self._rules(view.key, route)
            rules = seen.get(view.key, Rules())
            for listener, hosts in attached:
                listener.attached.add(_name(route))
                for host in hosts:
                    if (view.key, listener.port, host) not in placed:  # two parentRefs may lead to one place
                        placed.add((view.key, listener.port, host))
                        self.hosts[view.key, listener.port][host] += [
                            (matching.precedence(entry, _age(route)[0], _name(route), rule, position), entry) for rule, position, entry in rules.entries]
            parents.append(route_parent(parent, meta.get("generation", 1), refusal, rules.unresolved, rules.troubles, rules.broken))
        if parents:
            self.routes[_name(route)] = meta.get("generation", 1)
            self.statuses.append(Status("HTTPRoute", meta["namespace"], meta["name"], {"parents": parents}, meta.get("uid", "")))

    def _gateway(self, parent: Manifest, namespace: str) -> GatewayView | None:
        if (parent.get("group", GATEWAY_GROUP), parent.get("kind", "Gateway")) != (GATEWAY_GROUP, "Gateway"):
            return None
        return self.gateways.get(f"{parent.get('namespace') or namespace}/{parent['name']}")

    def _attach(self, view: GatewayView, parent: Manifest, route: Manifest) -> tuple[list[tuple[Listener, list[str]]], tuple[str, str] | None]:
        """The listeners that take a route, with the host names it has there, or why none does: (reason, message)."""
        named = [listener for listener in view.listeners if parent.get("sectionName") in (None, listener.name) and parent.get("port") in (None, listener.port)]
        if not named:
            return [], ("NoMatchingParent", f"Gateway {view.key} has no listener that the parentRef names")
        namespace = route["metadata"]["namespace"]
        admitting = [listener for listener in named if listener.admits(namespace, view.namespace, self.labels)]
        if not admitting:
            return [], ("NotAllowedByListeners", f"the listeners of Gateway {view.key} do not allow HTTPRoutes of namespace {namespace}")
        met = [(listener, matching.intersect(listener.hostname, route["spec"].get("hostnames"))) for listener in admitting]
        met = [(listener, hosts) for listener, hosts in met if hosts]
        if not met:
            return [], ("NoMatchingListenerHostname", f"no listener of Gateway {view.key} has a hostname of the route")
        return [(listener, hosts) for listener, hosts in met if listener.problem is None], None

    def _rules(self, gateway: str, route: Manifest) -> Rules:
        found = Rules()
        namespace = route["metadata"]["namespace"]
        for number, rule in enumerate(route["spec"].get("rules") or [{}]):
            problems = [f"rule {number}: {text}" for text in [*_bad_filters(rule), *filter(None, map(matching.bad_match, rule.get("matches") or []))]]
            found.broken += problems
            shares = tuple(
                Share(self._backend(gateway, namespace, reference, found), reference.get("weight", 1), tuple(reference.get("filters") or []))
                for reference in rule.get("backendRefs") or [])
            shares = illnesses.shares_of(self.settings, _name(route), rule.get("backendRefs") or [], shares, found.broken)
            mirrors = tuple(
                Mirror(key, _percent(entry["requestMirror"]))
                for entry in rule.get("filters") or [] if entry["type"] == "RequestMirror" and entry.get("requestMirror")
                for key in [self._backend(gateway, namespace, entry["requestMirror"]["backendRef"], found)] if key)
            timeout = seconds((rule.get("timeouts") or {}).get("request"))
            for position, match in enumerate(rule.get("matches") or [{}]):
                if matching.bad_match(match):
                    continue  # nothing can be matched by it
                found.entries.append((number, position, Entry(f"{_name(route)}/{number}", match, tuple(rule.get("filters") or []), shares, mirrors, timeout,
                                                              "; ".join(problems) or None)))
        return found

    def _backend(self, gateway: str, namespace: str, reference: Manifest, rules: Rules) -> str | None:
        """Key of the backend that a reference leads to; None when it leads nowhere, which ``rules`` then says."""
        resolution: Resolution = self.index.resolve(gateway, namespace, reference)
        group, kind = reference.get("group") or "", reference.get("kind") or "Service"
        target = (reference.get("namespace") or namespace, group, kind, reference["name"])
        if resolution.reason:
            rules.unresolved.append((resolution.reason, resolution.message))
        else:
            self.used.add(target)
            if kind == "InferencePool":
                self.pools[target].add(gateway)
        if resolution.trouble:
            rules.troubles.append(resolution.trouble)
        backend = resolution.backend
        if backend is None or not self._chain(backend, rules):
            return None
        self.backends[backend.key] = replace(backend, refusal=self.settings.refusals.get(backend.group) if backend.is_pool else None)
        return backend.key

    def _chain(self, backend: Backend, rules: Rules) -> bool:
        """Whether the Gateway has an extension chain left for a pool's endpoint picker."""
        chains, limit = self.chains[backend.gateway], self.settings.chain_limit
        if not backend.is_pool or backend.key in chains:
            return True
        if limit is not None and len(chains) >= limit:
            rules.troubles.append(f"Gateway {backend.gateway} has all its {limit} extension chains in use: {backend.label} can't be programmed")
            return False
        chains.append(backend.key)
        return True


def translate(snapshot: Snapshot, addresses: Mapping[str, str], settings: Settings, classes: set[str],
              unusable: Mapping[tuple[str, int], str] | None = None) -> Model:
    """The Model of a snapshot. addresses: NAMESPACE/NAME of a Gateway -> its address; classes: names of the served GatewayClasses;
    unusable: (Gateway, port) -> why it can't be bound."""
    return Translation(snapshot, addresses, settings, classes, unusable or {}).model()


def _bad_filters(rule: Manifest) -> list[str]:
    wrong = [f"filter {entry['type']} is not supported" for entry in rule.get("filters") or [] if entry["type"] not in RULE_FILTERS]
    for reference in rule.get("backendRefs") or []:
        types = [entry["type"] for entry in reference.get("filters") or []]
        wrong += [f"filter {name} of a backendRef is not supported" for name in types if name not in BACKEND_FILTERS]
    return wrong


def _percent(mirror: Manifest) -> float:
    fraction = mirror.get("fraction")
    if fraction:
        return float(100.0 * fraction["numerator"] / fraction.get("denominator", 100))
    return float(mirror.get("percent", 100))


def _name(route: Manifest) -> str:
    return f"{route['metadata']['namespace']}/{route['metadata']['name']}"


def _age(route: Manifest) -> tuple[str, str]:
    return route["metadata"].get("creationTimestamp") or "", _name(route)
