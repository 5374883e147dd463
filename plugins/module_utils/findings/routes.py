# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for findings about routes, gateways and grants: one small function each. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ansible_collections.inference_gateway.migration.plugins.module_utils import managers
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import PoolMigration
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.owners import UNMARK, fights_back, helm_owner, hook_release, unknown_record
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import CheckContext, Occurrence, finding
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import (
    ALPHA_GROUP,
    POOL_KIND,
    Manifest,
    describe,
    dig,
    name_of,
    namespace_of,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import GATEWAY_GROUP, parents, rules

MAX_BACKENDS = 16
"""Gateway API's upper bound of backendRefs in a rule."""
MAX_HEADERS = 16
"""Gateway API's upper bound of headers in a match, and of those that a filter sets."""
MAX_FILTERS = 16
"""Gateway API's upper bound of filters in a rule."""
_ACCEPTED = "Change that source to the v1 pool before the retire phase is over, and accept route-source-names-alpha."
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def moved_routes(context: CheckContext) -> list[Manifest]:
    """Return the routes that send traffic to a planned pool, each once."""
    keys = {reference.route for migration in context.migrations for reference in migration.references}
    return [context.estate.route_of[key.kind, key.namespace, key.name] for key in sorted(keys)]


@finding(
    "gitops-owned-route", "blocker",
    about="A GitOps tool or a controller owns a route whose weights the migration moves. It would set them back, in the middle of a step.",
    remedy="Pause the tool for this route and let its source name the v1 pool before it goes on, then accept gitops-owned-route.",
    source="docs/protocol.md 12.1",
)
def gitops_owned_route(context: CheckContext) -> Iterator[Occurrence]:
    """Find routes of planned pools that a GitOps tool or a controller would set back."""
    for route in moved_routes(context):
        who = fights_back(route, context.estate.argo_applications)
        if who:
            yield Occurrence(describe(route), f"{who} owns it, by {who.sign}.")


@finding(
    "route-source-names-alpha", "warning",
    about="Where the route came from still names the alpha pool. Applied again, it would send traffic to a pool that is gone. A blocker "
    "where a Helm release, a Helm hook or a tool like Terraform brings it back.",
    remedy="Change that source to the v1 pool before the retire phase is over.",
    source="docs/protocol.md 12.1; Helm leaves its annotations off what hooks make",
)
def route_source_names_alpha(context: CheckContext) -> Iterator[Occurrence]:
    """Find routes of planned pools that come from a Helm release, a hook of one or a tool like Terraform, or by ``kubectl apply`` from a file of alpha's.

    All but the last block: they may be upgraded, or installed again, at any time.
    """
    for route in moved_routes(context):
        brought = _brought_back(context, route)
        if brought:
            yield Occurrence(describe(route), f"{brought[0]} brings the alpha reference back.", brought[1], "blocker")
        elif ALPHA_GROUP in dig(route, "metadata", "annotations", _LAST_APPLIED, default=""):
            yield Occurrence(describe(route), "it was made by kubectl apply from a file that names the alpha pool.", remedy="Update your file to the v1 pool.")


def _brought_back(context: CheckContext, route: Manifest) -> tuple[str, str] | None:
    """Return the beginning of a sentence about what writes a route anew when it runs next, and the remedy; None where nothing does."""
    estate, release = context.estate, helm_owner(route)
    if release:
        who, record = f"Helm release {'/'.join(release)}", estate.releases.get(release)
        if unknown_record(release, estate.releases, estate.hidden_records) == "missing":
            unmark = f"kubectl -n {namespace_of(route)} annotate {route['kind']} {name_of(route)} {UNMARK}"
            return f"its marks name {who}, of which Helm has no record, and helm upgrade --install of it", f"Take the marks off the route: {unmark}"
        status = "" if record is None or record.whole else f" (in status {record.status})"
        return f"{who}{status} owns it, and its next upgrade", _ACCEPTED
    hook, tool = hook_release(route, estate.releases), managers.source(route)
    if hook:
        return f"a hook of {hook[0]} made it, by {hook[1]}, and its next run", _ACCEPTED
    return (f"{tool} wrote it, by its managedFields, and its next run", _ACCEPTED) if tool else None


@finding(
    "mirror-to-alpha-pool", "blocker", overridable=False,
    about="A RequestMirror filter names the alpha pool. Mirrors have no weights to shift, and the pool can't go while one needs it.",
    remedy="Take the mirror out of the route; after the migration it may name the v1 pool.",
    source="docs/protocol.md 12.1",
)
def mirror_to_alpha_pool(context: CheckContext) -> Iterator[Occurrence]:
    """Find RequestMirror filters that name a planned pool."""
    for migration in context.migrations:
        for reference in migration.mirrors:
            remedy = f"Take the mirror out of rule {reference.rule}; after the migration it may name v1 pool {migration.v1_name}."
            yield Occurrence(str(reference.route), f"rule {reference.rule} mirrors to alpha pool {migration.name}.", remedy)


@finding(
    "backend-refs-full", "blocker",
    about="A rule has no room for the second reference of each pool: Gateway API allows 16.",
    remedy="Take backendRefs out of the rule, those of weight 0 first, or use the simple path, which needs no room, and accept backend-refs-full.",
    source="Gateway API v1.4, HTTPRoute: backendRefs maxItems 16",
)
def backend_refs_full(context: CheckContext) -> Iterator[Occurrence]:
    """Find rules that have no room for a second backendRef beside each one that moves."""
    added = Counter((reference.route, reference.rule) for migration in context.migrations for reference in migration.references)
    for (key, number), more in sorted(added.items()):
        present = len(rules(context.estate.route_of[key.kind, key.namespace, key.name])[number].get("backendRefs") or [])
        if present + more > MAX_BACKENDS:
            remedy = (f"Take {present + more - MAX_BACKENDS} or more backendRefs out of rule {number}, those of weight 0 first, or use the simple path, which "
                      "needs no room, and accept backend-refs-full.")
            yield Occurrence(str(key), f"rule {number} has {present} backendRefs and would need {present + more}.", remedy)


@finding(
    "no-room-for-mark", "blocker",
    about="A rule has no room for what a probe copy of it needs: one more header in each match and one more response header. Gateway API allows 16.",
    remedy="Take a header or filter out of the rule, or use the simple path, which makes no copies, and accept no-room-for-mark.",
    source="Gateway API v1.4, HTTPRoute: maxItems 16 of headers, filters and responseHeaderModifier.set",
)
def no_room_for_mark(context: CheckContext) -> Iterator[Occurrence]:
    """Find rules from which no probe route can be made, because its headers or filters would exceed a limit."""
    moved = {(reference.route, reference.rule) for migration in context.migrations for reference in migration.references}
    simple = "or use the simple path, which makes no copies, and accept no-room-for-mark"
    for key, number in sorted(moved):
        rule = rules(context.estate.route_of[key.kind, key.namespace, key.name])[number]
        if any(len(match.get("headers") or []) >= MAX_HEADERS for match in rule.get("matches") or []):
            remedy = f"Take a header out of that match, {simple}."
            yield Occurrence(str(key), f"rule {number} has a match with {MAX_HEADERS} headers already.", remedy)
        filters = rule.get("filters") or []
        own = next((entry for entry in filters if entry.get("type") == "ResponseHeaderModifier"), None)
        if own and len((own.get("responseHeaderModifier") or {}).get("set") or []) >= MAX_HEADERS:
            remedy = f"Take a header out of responseHeaderModifier.set, {simple}."
            yield Occurrence(str(key), f"rule {number} sets {MAX_HEADERS} response headers already.", remedy)
        # A probe route leaves mirrors out, so these do not count.
        if own is None and len([entry for entry in filters if entry.get("type") != "RequestMirror"]) >= MAX_FILTERS:
            yield Occurrence(str(key), f"rule {number} has {MAX_FILTERS} filters already.", f"Take a filter out of rule {number}, {simple}.")


@finding(
    "grpc-route", "blocker", overridable=False,
    about="A GRPCRoute sends traffic to the pool. Probes speak HTTP and JSON only, so its share can't be proven.",
    remedy="Let the GRPCRoute name another backend, such as a v1 pool that you install yourself, or delete it, before this pool is migrated.",
    source="docs/protocol.md 7.1",
)
def grpc_route(context: CheckContext) -> Iterator[Occurrence]:
    """Find GRPCRoutes that send traffic to a planned pool."""
    for migration in context.migrations:
        for reference in migration.references:
            if reference.route.kind == "GRPCRoute":
                yield Occurrence(str(reference.route), f"rule {reference.rule} sends traffic to alpha pool {migration.name}.")


@finding(
    "unrouted-pool", "warning",
    about="No route names the pool, so it gets its v1 counterpart without any request that proves it.",
    remedy="Delete the pool if nobody uses it.",
    source="docs/protocol.md 1.2",
)
def unrouted_pool(context: CheckContext) -> Iterator[Occurrence]:
    """Find pools to which no route sends traffic."""
    for migration in context.migrations:
        if not migration.references:
            yield Occurrence(describe(migration.pool), "no route sends traffic to it.")


@finding(
    "route-to-missing-pool", "warning",
    about="A route names an alpha pool that does not exist; that share of its traffic fails today. It is left alone.",
    remedy="Correct or remove the reference.",
    source="docs/protocol.md 1.2",
)
def route_to_missing_pool(context: CheckContext) -> Iterator[Occurrence]:
    """Find references to alpha pools that don't exist, in the namespaces to be migrated."""
    for key, found in sorted(context.estate.references.items()):
        if (key.group, key.kind) == (ALPHA_GROUP, POOL_KIND) and key not in context.moved and context.concerns(key.namespace):
            for reference in found:
                yield Occurrence(str(reference.route), f"rule {reference.rule} names alpha pool {key.namespace}/{key.name}, which does not exist.")


@finding(
    "group-less-reference", "warning",
    about="A reference has kind InferencePool but no group, which means the core group: no gateway can resolve it.",
    remedy="Write the group into the reference.",
    source="Gateway API: group defaults to core; found in public manifests",
)
def group_less_reference(context: CheckContext) -> Iterator[Occurrence]:
    """Find references to kind InferencePool without a group."""
    for key, found in sorted(context.estate.references.items()):
        if (key.group, key.kind) == ("", POOL_KIND):
            for reference in found:
                yield Occurrence(str(reference.route), f"rule {reference.rule} names InferencePool {key.name} without a group.")


@finding(
    "gateway-serves-one-group", "blocker",
    about="Only GKE serves alpha and v1 pools at once. Every other gateway answers 500 for the share of the group it does not know, so weights can't be moved.",
    remedy="Let the routes name a GKE Gateway, or migrate what is behind this one by its own upgrade path and leave it out here (name the other namespaces in "
           "migration_namespaces); accept gateway-serves-one-group only if this one is known to serve both groups.",
    source="seen on Istio, built from its sources of 2026-08-27; sources of kgateway, agentgateway, Envoy AI Gateway, NGINX Gateway Fabric",
)
def gateway_serves_one_group(context: CheckContext) -> Iterator[Occurrence]:
    """Find Gateways of planned pools' routes that have another class than GKE's."""
    wanted = {(parent.namespace, parent.name) for route in moved_routes(context) for parent in parents(route)}
    for gateway in context.estate.of("gateways"):
        if (namespace_of(gateway), name_of(gateway)) in wanted and not context.estate.is_gke(gateway):
            yield Occurrence(describe(gateway), f"its class {dig(gateway, 'spec', 'gatewayClassName', default='')} is not one of GKE's.")


@finding(
    "grant-for-alpha-group", "info",
    about="A ReferenceGrant lets another namespace's routes name alpha pools. It gets a v1 counterpart for the v1 pools.",
    remedy="Nothing to do; change your own files to the v1 group afterwards.",
    source="docs/protocol.md 3.7",
)
def grant_for_alpha_group(context: CheckContext) -> Iterator[Occurrence]:
    """Find the ReferenceGrants for planned pools, each of which gets a v1 counterpart."""
    for grant in {describe(grant): grant for migration in context.migrations for grant in migration.grants}.values():
        yield Occurrence(describe(grant), "it allows references to alpha pools; a v1 counterpart allows the same for v1 pools.")


def _admitted(migration: PoolMigration) -> set[tuple[str, str, str]]:
    """Return (group, kind, namespace) of the routes that the ReferenceGrants for an alpha pool let in."""
    sources = (source for grant in migration.grants for source in dig(grant, "spec", "from", default=[]))
    return {(source.get("group", ""), source.get("kind", ""), source.get("namespace", "")) for source in sources}


@finding(
    "cross-namespace-without-grant", "warning",
    about="A route names a pool of another namespace without a ReferenceGrant that allows it, so that share of its traffic fails today, and will on v1.",
    remedy="Create the ReferenceGrant in the pool's namespace first, from group gateway.networking.k8s.io, or remove the reference.",
    source="Gateway API: cross-namespace references need a ReferenceGrant",
)
def cross_namespace_without_grant(context: CheckContext) -> Iterator[Occurrence]:
    """Find references to pools of another namespace that no ReferenceGrant allows."""
    for migration in context.migrations:
        abroad = [reference for reference in migration.references if reference.route.namespace != migration.namespace]
        admitted = _admitted(migration) if abroad else set()
        for reference in abroad:
            if (GATEWAY_GROUP, reference.route.kind, reference.route.namespace) not in admitted:
                text = f"rule {reference.rule} names pool {migration.namespace}/{migration.name}, and no ReferenceGrant there allows it."
                yield Occurrence(str(reference.route), text)
