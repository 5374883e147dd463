# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at the end of a phase for what no request shows: other routes, what is left of v1alpha2, and what of v1 the shift was proven for.

For internal use of this collection only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from operator import itemgetter
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import (
    Cluster,
    Forbidden,
    NotServed,
    collection_path,
    object_path,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.listings import ALPHA_VERSION, LISTINGS
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import ALPHA_GROUP, POOL_KIND, V1_GROUP, Manifest, describe, dig
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import probe_routes, references, weights
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey
from ansible_collections.inference_gateway.migration.plugins.module_utils.scope import MigrationScope, affected, pickers_services, route_keys
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification import statuses

ROUTES = tuple(listing for listing in LISTINGS if listing.name in ("http_routes", "grpc_routes"))
MODELS = ("inferencepools", "inferencemodels")
RESTARTED = "kubectl.kubernetes.io/restartedAt"
"""Annotation that kubectl rollout restart writes: the same picker, started again."""


def faults(scope: MigrationScope, phase: str, record: Mapping[str, Any] | None, before: Mapping[str, str] | None = None) -> list[str]:
    """Return what stands against a phase having come to its end, each a sentence; see docs/gate.md.

    :param phase: ``shift``, ``retire``, or ``simple`` for the path with a downtime. :param record: the journal, None where there is none.
    :param before: :func:`stack` when the shift began, None where it is not to be compared.
    """
    found = [*others(scope, phase)]
    if phase == "shift" and before is not None and (pools := changed(scope, before)):
        found.append(f"{pools}: what is installed of v1 was changed while it was being proven: run the phase shift again")
    if phase == "retire" and scope.originals:  # without routes there was nothing to shift
        found += [f"{text}: run the phase shift again" for text in [unproven_shift(scope, record)] if text]
    if phase != "shift":
        found += [f"{entry} of v1alpha2 is still there, or was made again: see what keeps it (a controller, helm.sh/resource-policy), then start again"
                  for entry in alpha_objects(scope)]
        found += [f"{describe(entry)} still names v1alpha2's pool: see who turns it back, then start again" for entry in to_repoint(scope.cluster, scope.plan)]
    return found


def unproven_shift(scope: MigrationScope, record: Mapping[str, Any] | None) -> str | None:
    """Return why no shift counts as proven, or None where one does.

    It counts where the journal's last word on it is PROVEN, and what is installed of v1 is what was proven.
    """
    if "shift" not in (record or {}).get("phases", ()):
        return "the journal has no shift that ended PROVEN, with no weight changed and no other shift begun since"
    if pools := changed(scope, (record or {}).get("stack")):
        return f"{pools}: what is installed of v1 (endpoint picker, its configuration, pool or policies) is not what the shift proved"
    return None


# -- routes -------------------------------------------------------------------------------------------------------------


def others(scope: MigrationScope, phase: str) -> Iterator[str]:
    """Yield a sentence for each rule or mirror in the cluster that was made since the plan and names one of its v1alpha2 pools.

    Probe routes do not count. In phase ``shift``, while v1alpha2 is still there, only backendRefs with a weight do. Another sentence names each
    route of the plan that the server's list of routes lacks.

    :raises weights.Drifted: when somebody else changed the references of a moved rule.
    """
    moved = {(key.kind, key.namespace, key.name): original for key, original in scope.originals.items()}
    seen = set()
    for route in routes(scope.cluster):
        key = references.route_key(route)
        place = (key.kind, key.namespace, key.name)
        seen.add(place)
        if probe_routes.is_probe_route(route):
            continue
        after = weights.reshape(route, moved[place], scope.moves, "finished") if place in moved else route
        for reference in references.references(after):
            if reference.target in scope.moves and (phase != "shift" or (reference.kind == "backend" and reference.weight)):
                yield f"{reference.kind} of rule {reference.rule} of {key} names v1alpha2's {POOL_KIND} {reference.target.namespace}/{reference.target.name}"
    for kind, namespace, name in sorted(set(moved) - seen):
        yield f"{kind} {namespace}/{name} is missing in the server's own list of routes, so that list can't be trusted"


def routes(cluster: Cluster) -> Iterator[Manifest]:
    """Yield every route of the cluster, probe routes too."""
    for listing in ROUTES:
        yield from _listed(cluster, listing)


def _listed(cluster: Cluster, listing: Any) -> Iterator[Manifest]:
    """Every object of a kind, in the first version that serves it."""
    for version in listing.api_versions:
        with suppress(NotServed):
            yield from cluster.list(collection_path(version, listing.plural))
            return


# -- v1alpha2 -----------------------------------------------------------------------------------------------------------


def live(cluster: Cluster, address: Mapping[str, Any]) -> Manifest | None:
    """Return the object that an address (apiVersion, kind, metadata) names, or None where it, or its kind, is not there."""
    meta = address["metadata"]
    return cluster.get(object_path(address["apiVersion"], address["kind"], meta.get("namespace"), meta["name"]))


def alpha_objects(scope: MigrationScope) -> Iterator[str]:
    """Yield each object that is still there of what the plan takes away, described, with the finalizers that hold it while it is being deleted."""
    known, stays = {tuple(key) for key in route_keys(scope.plan)}, staying(scope)
    for address in dict.fromkeys([*affected(scope.plan), *pickers_services(scope.plan)]):
        found = scope.cluster.get(object_path(*address)) if address not in known else None
        if found is not None and describe(found) not in stays:
            yield described(found)


def there(cluster: Cluster, addresses: Iterable[Mapping[str, Any]]) -> list[Manifest]:
    """Return those of the objects that addresses name which are there."""
    return [found for address in addresses if (found := live(cluster, address))]


def described(found: Manifest) -> str:
    """Return an object as findings name it, with the finalizers that hold it while it is being deleted."""
    held = (found["metadata"].get("finalizers") or []) if found["metadata"].get("deletionTimestamp") else []
    return describe(found) + (f" (being deleted, held by {', '.join(held)})" if held else "")


def staying(scope: MigrationScope) -> dict[str, str]:
    """Return what the plan leaves on purpose of v1alpha2 and of its definitions, each with the reason."""
    entries = [entry for pool in scope.plan["pools"] for entry in pool.get("stays") or []] + [*((scope.plan.get("crds") or {}).get("stays") or [])]
    return {entry["object"]: entry["why"] for entry in entries}


def to_repoint(cluster: Cluster, plan: Mapping[str, Any]) -> list[Manifest]:
    """Return the objectives of the plan that still name its alpha pools: what to merge into each, with the resourceVersion that it has now."""
    found = []
    for pool in plan["pools"]:
        for entry in pool.get("repoint") or []:
            there = live(cluster, entry)
            named = dig(there or {}, "spec", "poolRef", default={})
            if there and (named.get("group"), named.get("name")) == (ALPHA_GROUP, pool["name"]):
                found.append(entry | {"metadata": entry["metadata"] | {"resourceVersion": there["metadata"]["resourceVersion"]}})
    return found


def left(scope: MigrationScope) -> list[str]:
    """Return what of v1alpha2 stays on purpose, by name: what the plan leaves to others, and pools and models of other migrations."""
    mine = {(kind, namespace, name) for _version, kind, namespace, name in affected(scope.plan)}
    stays = staying(scope)
    found = [f"{name} ({why})" for name, why in stays.items()]
    for resource in MODELS:
        try:
            for manifest in scope.cluster.list(collection_path(ALPHA_VERSION, resource)):
                meta = manifest["metadata"]
                if (manifest["kind"], meta.get("namespace"), meta["name"]) not in mine and describe(manifest) not in stays:
                    found.append(describe(manifest))
        except NotServed:
            continue
        except Forbidden:
            found.append(f"perhaps other {resource}, which may not be listed")
    return found


def sentence(scope: MigrationScope, phase: str) -> str:
    """Say in one sentence what a finished phase leaves, with each name: a person may read no more than this."""
    unnamed = [f"{POOL_KIND} {pool['namespace']}/{pool['v1_name']}" for pool in scope.plan["pools"] if not pool["references"]]
    stays = left(scope) if phase != "shift" else []
    words = ["all traffic is on v1" if phase == "shift" else "v1alpha2 is gone and v1 answers" if scope.targets else "v1alpha2 is gone"]
    words += [f"left in place: {', '.join(stays)}"] if stays else []
    words += [f"no route names {', '.join(unnamed)}, so nothing is proven there"] if unnamed else []
    return "; ".join(words)


# -- v1 -----------------------------------------------------------------------------------------------------------------


def stack(scope: MigrationScope) -> dict[str, str]:
    """Return a fingerprint (sha256) of what is installed of v1 for each pool, by ``namespace/name``: pool, picker with its configuration, policies.

    Replicas and restarts of a picker do not change it.
    """
    found, attached = {}, list(statuses.policies(scope))
    for pool in scope.plan["pools"]:
        namespace, name = pool["namespace"], pool["epp"]["deployment"]
        served = scope.cluster.get(object_path(f"{V1_GROUP}/v1", POOL_KIND, namespace, pool["v1_name"])) or {}
        template = ((scope.cluster.get(object_path("apps/v1", "Deployment", namespace, name)) or {}).get("spec") or {}).get("template") or {}
        meta = template.get("metadata") or {}
        said = {key: value for key, value in (meta.get("annotations") or {}).items() if key != RESTARTED}
        configured = (scope.cluster.get(object_path("v1", "ConfigMap", namespace, name)) or {}).get("data")
        mine = PoolKey(V1_GROUP, POOL_KIND, namespace, pool["v1_name"])
        policies = sorted(([policy["kind"], policy["metadata"]["name"], policy["spec"]] for key, policy in attached if key == mine), key=itemgetter(0, 1))
        whole = [served.get("spec"), template.get("spec"), meta.get("labels"), said, configured, policies]
        found[f"{namespace}/{pool['v1_name']}"] = hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()
    return found


def changed(scope: MigrationScope, before: Mapping[str, str] | None) -> str:
    """Return the v1 pools whose fingerprint is not the one in ``before``, with commas; empty where all are as they were."""
    return ", ".join(f"{POOL_KIND} {name}" for name, said in stack(scope).items() if said != (before or {}).get(name))
