# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds what a Gateway calls out to before it chooses a route: GKE's GCPRoutingExtension, by which a body's model becomes a header. Pure.

An extension names Gateways of its namespace and holds chains; the first whose condition matches runs, and a routing chain has one extension.
Source: https://github.com/GoogleCloudPlatform/gke-gateway-api, config/crd/networking.gke.io_gcproutingextensions.yaml. Of two extensions on one
Gateway the older one counts.

Not modelled: conditions in CEL other than those that are plainly true (a chain with another one never runs), forwardHeaders, metadata, Google
APIs in the place of a Service, and what a GCPTrafficExtension does to a request once its route is chosen: its chains are only counted. The
kinds have status.ancestors, but which conditions GKE writes there is not documented, so none are written.
"""
from __future__ import annotations

from collections.abc import Iterator

from .durations import seconds
from .model import Backend, Callout, Manifest
from .references import Index
from .settings import GATEWAY_GROUP
from .snapshot import Snapshot

KINDS = ("GCPRoutingExtension", "GCPTrafficExtension")
PLAINLY_TRUE = ("true", "1 == 1", 'request.path.startsWith("/")', "request.path.startsWith('/')")
DEFAULT_EVENTS = ("RequestHeaders",)
DEFAULT_SECONDS = 1.0


def chain_names(snapshot: Snapshot, gateway: str) -> list[str]:
    """KIND/NAMESPACE/NAME/CHAIN of every chain that extensions put on a Gateway (NAMESPACE/NAME)."""
    return [f"{kind}/{extension['metadata']['namespace']}/{extension['metadata']['name']}/{chain.get('name')}"
            for kind in KINDS for extension in _of(snapshot, kind, gateway) for chain in extension["spec"].get("extensionChains") or []]


def routing_callout(snapshot: Snapshot, index: Index, gateway: str) -> tuple[Callout, Backend] | None:
    """The Service that a Gateway (NAMESPACE/NAME) asks before it chooses a route; None without one, or when there is no such Service."""
    for extension in _of(snapshot, "GCPRoutingExtension", gateway):
        chain = next(filter(always_matches, extension["spec"].get("extensionChains") or []), None)
        called = (chain or {}).get("extensions") or [{}]
        namespace, reference = extension["metadata"]["namespace"], called[0].get("backendRef") or {}
        backend = index.callout_backend(gateway, namespace, reference) if reference else None
        return None if backend is None else (_callout(called[0], backend), backend)
    return None


def always_matches(chain: Manifest) -> bool:
    """Whether a chain plainly runs for every request. Expressions are ORed; the backendRefs of one narrow it."""
    expressions = (chain.get("matchCondition") or {}).get("celExpressions") or []
    return not expressions or any(entry.get("celMatcher", "").strip() in PLAINLY_TRUE and not entry.get("backendRefs") for entry in expressions)


def _callout(extension: Manifest, backend: Backend) -> Callout:
    events = extension.get("supportedEvents") or DEFAULT_EVENTS
    return Callout(backend.key, extension.get("authority") or "", seconds(extension.get("timeout")) or DEFAULT_SECONDS, bool(extension.get("failOpen")),
                   reads_body="RequestBody" in events, reads_trailers="RequestTrailers" in events,
                   full_duplex=extension.get("requestBodySendMode") == "FullDuplexStreamed")


def _of(snapshot: Snapshot, kind: str, gateway: str) -> Iterator[Manifest]:
    """Extensions of a kind that name a Gateway, oldest first."""
    namespace, _slash, name = gateway.partition("/")
    for extension in sorted(snapshot.get(kind, []), key=lambda item: (item["metadata"].get("creationTimestamp") or "", item["metadata"]["name"])):
        targets = extension["spec"].get("targetRefs") or []
        if extension["metadata"]["namespace"] == namespace and any(
                (target.get("group"), target.get("kind"), target.get("name")) == (GATEWAY_GROUP, "Gateway", name) for target in targets):
            yield extension
