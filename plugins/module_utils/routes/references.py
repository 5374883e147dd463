# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads which backends a route names: backendRefs and mirrors, each by (group, kind, namespace, name). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import ALPHA_GROUP, POOL_KIND, Manifest, dig, namespace_of

GATEWAY_GROUP = "gateway.networking.k8s.io"


class PoolKey(NamedTuple):
    """The object that a reference names. Never by the name alone: pools of both groups may share name and namespace."""

    group: str
    kind: str
    namespace: str
    name: str


class RouteKey(NamedTuple):
    """The key of one route; as text ``Kind namespace/name``."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True)
class Reference:
    """One backendRef or mirror of a route.

    :param rule: index of the rule.
    :param index: index in the rule's backendRefs, -1 for a mirror.
    :param weight: 1 where the route gives none, as by Gateway API.
    """

    route: RouteKey
    rule: int
    index: int
    kind: Literal["backend", "mirror"]
    target: PoolKey
    weight: int


class Parent(NamedTuple):
    """A Gateway that a route names as its parent; ``section`` is one listener's name, ``port`` that of some, None means all listeners."""

    namespace: str
    name: str
    section: str | None
    port: int | None


def parents(route: Manifest) -> list[Parent]:
    """Return every Gateway that a route names as its parent, in order."""
    return [
        Parent(entry.get("namespace") or namespace_of(route), entry.get("name") or "", entry.get("sectionName"), entry.get("port"))
        for entry in dig(route, "spec", "parentRefs", default=[])
        if (entry.get("group", GATEWAY_GROUP), entry.get("kind", "Gateway")) == (GATEWAY_GROUP, "Gateway")
    ]


def listener_sets(route: Manifest) -> list[str]:
    """Return the sets of listeners that a route names as parents, each as ``Kind namespace/name``; which listeners these are is not known.

    Source: ListenerSet and, before, XListenerSet in https://gateway-api.sigs.k8s.io/geps/gep-1713/
    """
    return [
        f"{entry['kind']} {entry.get('namespace') or namespace_of(route)}/{entry.get('name')}"
        for entry in dig(route, "spec", "parentRefs", default=[]) if (entry.get("kind") or "").endswith("ListenerSet")
    ]


def route_key(route: Manifest) -> RouteKey:
    """Return the key of a route."""
    meta = route["metadata"]
    return RouteKey(route.get("apiVersion", "gateway.networking.k8s.io/v1"), route.get("kind", "HTTPRoute"), meta.get("namespace", "default"), meta["name"])


def pool_key(reference: Mapping[str, Any], namespace: str) -> PoolKey:
    """Return what a backendRef of a route in ``namespace`` names, by Gateway API's defaults (core group, Service, the route's namespace)."""
    return PoolKey(reference.get("group") or "", reference.get("kind") or "Service", reference.get("namespace") or namespace, reference.get("name", ""))


def opened(grant: Manifest) -> list[Manifest]:
    """Return the entries in ``to`` of a ReferenceGrant that are for alpha pools."""
    return [entry for entry in (grant.get("spec") or {}).get("to") or [] if (entry.get("group"), entry.get("kind")) == (ALPHA_GROUP, POOL_KIND)]


def rules(route: Manifest) -> list[Manifest]:
    """Return the rules of a route, none where spec is missing."""
    return (route.get("spec") or {}).get("rules") or []


def references(route: Manifest) -> list[Reference]:
    """Return every backendRef and every mirror of a route, in order."""
    key = route_key(route)
    return [
        Reference(key, number, index, kind, pool_key(reference, key.namespace), reference.get("weight", 1))
        for number, rule in enumerate(rules(route))
        for kind, index, reference in _rule_references(rule)
    ]


def _rule_references(rule: Manifest) -> Iterator[tuple[Literal["backend", "mirror"], int, Mapping[str, Any]]]:
    for index, reference in enumerate(rule.get("backendRefs") or []):
        yield "backend", index, reference
        yield from (("mirror", -1, mirror) for mirror in _mirrors(reference.get("filters")))
    yield from (("mirror", -1, mirror) for mirror in _mirrors(rule.get("filters")))


def _mirrors(filters: list[Manifest] | None) -> list[Mapping[str, Any]]:
    found = ((entry.get("requestMirror") or {}).get("backendRef") for entry in filters or [] if entry.get("type") == "RequestMirror")
    return [reference for reference in found if reference]


def describe_references(found: list[Manifest]) -> str:
    """Describe backendRefs with their weights for a message; ``gone`` where there are none."""
    return ", ".join(f"{reference.get('group') or 'core'}/{reference.get('name')} weight {reference.get('weight', 1)}" for reference in found) or "gone"
