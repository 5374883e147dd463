# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists what a rollback may remove of v1: what the migration made, and nobody else has changed, owns or needs.

What Helm made of the chart goes with its release, and so do the parts that were merged into it.

For internal use of this collection only.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils import managers
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import (
    Cluster,
    Forbidden,
    NotServed,
    collection_path,
    object_path,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.dry_run import MERGED
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import owners
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import (
    FIELD_MANAGER,
    POOL_KIND,
    V1_GROUP,
    Manifest,
    describe,
    ours,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import references
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification import proof

CRD_VERSION, CRD_KIND = "apiextensions.k8s.io/v1", "CustomResourceDefinition"
WRITERS = (FIELD_MANAGER, "OpenAPI-Generator")
"""Managers of what the migration wrote: its own modules', and the one that API servers make of the user agent of kubernetes.core's modules."""

Plan = Mapping[str, Any]
Listed = Iterator[tuple[Manifest, str]]
"""Live objects, each with the reason why it stays; empty where it may go."""
Listing = Callable[[Cluster, Plan], Listed]


def pools(plan: Plan) -> list[str]:
    """Return the v1 pools of the plan, as :func:`describe` names them."""
    return [f"{POOL_KIND} {pool['namespace']}/{pool['v1_name']}" for pool in plan["pools"]]


def referring(cluster: Cluster, plan: Plan) -> Iterator[str]:
    """Yield a sentence for each rule or mirror of any route that names a v1 pool of the plan, with or without a weight."""
    named = {PoolKey(V1_GROUP, POOL_KIND, pool["namespace"], pool["v1_name"]) for pool in plan["pools"]}
    for route in proof.routes(cluster):
        for reference in references.references(route):
            if reference.target in named:
                yield f"{reference.kind} of rule {reference.rule} of {references.route_key(route)} names v1's {POOL_KIND} {reference.target.name}"


def objects(cluster: Cluster, plan: Plan) -> Listed:
    """Yield each live object that the plan made beside the charts, with the reason why it stays; empty where it may go."""
    for planned in (entry for pool in plan["pools"] for entry in pool.get("objects") or [] if entry["kind"] not in MERGED):
        found = proof.live(cluster, planned)
        if found is not None:
            yield found, _foreign(found) or _altered(found, planned)


def definitions(cluster: Cluster, plan: Plan, going: Collection[str] = ()) -> Listed:
    """Yield each live definition that the plan installed, with the reason why it stays; empty where nothing of its kind is left in any namespace.

    :param going: objects that do not count, as :func:`describe` names them: in check mode they are still there.
    """
    for entry in (plan.get("crds") or {}).get("install") or []:
        found = cluster.get(object_path(CRD_VERSION, CRD_KIND, None, entry["name"]))
        if found is not None:
            managed = "the platform keeps it" if owners.managed_crd(found, platform_ships_it=False) else ""
            yield found, _foreign(found) or managed or _used(cluster, found, going)


def _foreign(found: Manifest) -> str:
    """Return who else owns an object, as a reason why it stays; empty where nobody does."""
    release = owners.helm_owner(found)
    holder = owners.fights_back(found) or (owners.Owner("helm", release[1], release[0]) if release else None)
    return f"it belongs to {holder}" if holder else ""


def _altered(found: Manifest, planned: Manifest) -> str:
    """Return why a live object is not what the plan made, as a reason why it stays; empty where it is."""
    if not ours(found):
        return "it does not bear this collection's label"
    if others := [name for name in managers.of_spec(found) if name not in WRITERS]:
        return f"{managers.words(others[0])} has changed it"
    wanted = {field: value for field, value in planned.items() if field not in ("apiVersion", "kind", "metadata")}
    return "" if _holds(found, wanted) else "it is not as the plan made it"


def _holds(found: Any, planned: Any) -> bool:
    """Tell whether an object holds all that was planned; the server may have added defaults."""
    if isinstance(planned, Mapping):
        return isinstance(found, Mapping) and all(name in found and _holds(found[name], value) for name, value in planned.items())
    if isinstance(planned, list):
        return isinstance(found, list) and len(found) == len(planned) and all(map(_holds, found, planned))
    return bool(found == planned)


def _used(cluster: Cluster, definition: Manifest, going: Collection[str]) -> str:
    """Return which objects of a definition's kind are left, as a reason why it stays; empty where none is."""
    spec = definition["spec"]
    version = next((entry["name"] for entry in spec["versions"] if entry.get("served")), None)
    if version is None:
        return "no version of it is served, so its objects can't be listed"
    try:
        there = map(describe, cluster.list(collection_path(f"{spec['group']}/{version}", spec["names"]["plural"])))
        left = [name for name in there if name not in going]
    except Forbidden:
        return "its objects may not be listed"
    except NotServed:
        return ""
    more = f" and {len(left) - 1} more" if left[1:] else ""
    return f"{left[0]}{more} is of its kind" if left else ""
