# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what gateways and GKE report of routes, pools and policies, and says what stands against going on.

For internal use of this collection only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import product

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import conditions
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import NotServed, collection_path, object_path
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import (
    ALPHA_GROUP,
    POOL_KIND,
    V1_GROUP,
    Manifest,
    name_of,
    namespace_of,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import probe_routes, references
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.probe_routes import Variant
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey
from ansible_collections.inference_gateway.migration.plugins.module_utils.scope import GKE_VERSION, MigrationScope

POLICIES = ("gcpbackendpolicies", "healthcheckpolicies")


def faults(scope: MigrationScope, variants: Sequence[Variant] = ()) -> list[str]:
    """Return what stands against Gateways, routes, both groups' pools and policies of v1's pools, by status at the current generation.

    v1's pools and policies count while a route refers to v1's pools: what is wrong with them must not stand in the way of traffic that leaves them. Whatever
    the Gateways of a pool's routes report of v1alpha2's pool, and what is reported of its policies, must then be reported of v1's as well: gateways differ in
    what they report, and these have shown what they do.

    :param variants: whose probe routes count, beside the users' own routes.
    """
    found = [fault for gateway in scope.gateways.values() for fault in conditions.gateway_faults(gateway)]
    found += [fault for route in (*scope.live.values(), *_live_probe_routes(scope, variants)) for fault in conditions.route_faults(route)]
    referred = bool({"v1", "both"} & {*variants}) or any(map(scope.serves_v1, scope.live))
    serving = _serving(scope)
    alpha_of = {alpha._replace(group=V1_GROUP, name=name): alpha for alpha, name in scope.moves.items() if alpha in serving}
    pools = {key: _pool(scope, key) for key in scope.pools() if referred or key.group == ALPHA_GROUP}
    for key, pool in pools.items():
        alpha = alpha_of.get(key)
        found += conditions.pool_faults(pool, pools.get(alpha) if alpha else None, serving[alpha] if alpha else ()) if pool else []
    attached = list(policies(scope)) if referred else []
    alike = {(key, policy["kind"]): policy for key, policy in attached if key.group == ALPHA_GROUP}
    for key, policy in attached:
        if key.group == V1_GROUP:
            found += conditions.policy_faults(policy, alike.get((alpha_of[key], policy["kind"])) if key in alpha_of else None)
    return found


def _serving(scope: MigrationScope) -> dict[PoolKey, set[str]]:
    """Return the live Gateways of the routes that refer to each v1alpha2 pool, as ``namespace/name``; pools without a route are left out."""
    found: dict[PoolKey, set[str]] = defaultdict(set)
    for route in scope.current.values():
        here = {f"{parent.namespace}/{parent.name}" for parent in references.parents(route) if (parent.namespace, parent.name) in scope.gateways}
        for reference in references.references(route):
            if reference.kind == "backend" and reference.target in scope.moves:
                found[reference.target] |= here
    return found


def policies(scope: MigrationScope) -> Iterator[tuple[PoolKey, Manifest]]:
    """Yield GKE's policies of both groups' pools, each with its pool; on other clusters there are none."""
    wanted = scope.pools()
    for namespace, plural in product(sorted({key.namespace for key in wanted}), POLICIES):
        with suppress(NotServed):
            for policy in scope.cluster.list(collection_path(GKE_VERSION, plural, namespace)):
                target = policy["spec"].get("targetRef") or {}
                key = PoolKey(target.get("group", ""), target.get("kind", ""), namespace, target.get("name", ""))
                if key in wanted:
                    yield key, policy


def _pool(scope: MigrationScope, key: PoolKey) -> Manifest | None:
    version = "v1" if key.group == V1_GROUP else "v1alpha2"
    return scope.cluster.get(object_path(f"{key.group}/{version}", POOL_KIND, key.namespace, key.name))


def _live_probe_routes(scope: MigrationScope, variants: Sequence[Variant]) -> Iterator[Manifest]:
    """Yield the migration's probe routes of some variants that are there."""
    chosen = f"{probe_routes.LABEL} in ({','.join(variants)})"
    made = {(namespace_of(manifest), name_of(manifest)) for manifest in scope.probe_routes(list(variants))}
    for version, namespace in sorted({(key.api_version, key.namespace) for key in scope.current}) if scope.nonce and variants else ():
        for route in scope.cluster.list(collection_path(version, "httproutes", namespace), labelSelector=chosen):
            if (namespace_of(route), name_of(route)) in made and not route["metadata"].get("deletionTimestamp"):
                yield route
