# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for findings about the names that a migration gives, and that it was given: one small function each. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import PoolMigration
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.owners import helm_owner
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import CheckContext, Occurrence, finding
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, describe, dig, name_of, namespace_of, ours

_RELEASE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_RELEASE_LENGTH = 53
"""Helm's upper bound of a release name, in characters."""


@finding(
    "name-invalid", "blocker", overridable=False,
    about="The v1 pool's name can't be a Helm release (53 characters) or the start of a Service's name (a letter first, no dots).",
    remedy="Choose another name for the v1 pool (migration_pool_names: {NAMESPACE/POOL: NAME}, where no NAME-epp is there yet).",
    source="Helm release names; Kubernetes Service names (RFC 1035)",
)
def name_invalid(context: CheckContext) -> Iterator[Occurrence]:
    """Find pools whose v1 name Helm or the API server would refuse."""
    for migration in context.migrations:
        if len(migration.v1_name) > _RELEASE_LENGTH or not _RELEASE_NAME.fullmatch(migration.v1_name):
            remedy = f"Choose a name of at most {_RELEASE_LENGTH} characters, a letter first and without dots ({_renaming(migration)})."
            yield Occurrence(describe(migration.pool), f"its v1 pool would be named {migration.v1_name} ({len(migration.v1_name)} characters).", remedy)


def _renaming(migration: PoolMigration) -> str:
    """Return how a person says another name for a v1 pool."""
    return f"migration_pool_names: {{{migration.namespace}/{migration.name}: NAME}}, where no NAME-epp is there yet"


def _collisions(context: CheckContext) -> Iterator[tuple[int, str]]:
    """Yield the index of each pool migration whose v1 EPP gets the name of another EPP, live or planned, with words for that EPP."""

    def place(namespace: str) -> str:
        # ClusterRoles of chart v1.0.0 do not have the namespace in their names, so those collide across namespaces.
        return namespace if context.facts.namespaced_cluster_roles else ""

    alpha = {(place(migration.namespace), migration.alpha_epp.name): describe(migration.pool) for migration in context.migrations}
    planned = Counter((place(migration.namespace), migration.epp) for migration in context.migrations)
    for number, migration in enumerate(context.migrations):
        scope = (place(migration.namespace), migration.epp)
        if scope in alpha:
            yield number, f"the EPP of {alpha[scope]}"
        elif planned[scope] > 1:
            yield number, "the EPP of another planned pool"


@finding(
    "name-collision-40", "blocker", overridable=False,
    about="The chart keeps 40 characters of a release's name for the EPP's objects. Releases that share them would collide (v1.0.0: across namespaces too).",
    remedy="Choose a name for the v1 pool that differs within its first 40 characters (migration_pool_names: {NAMESPACE/POOL: NAME}, where no NAME-epp is "
           "there yet).",
    source="charts v0.3.0 to v1.5.0, _helpers.tpl",
)
def name_collision_40(context: CheckContext) -> Iterator[Occurrence]:
    """Find pools whose v1 EPP would get the name of another EPP."""
    for number, whose in _collisions(context):
        migration = context.migrations[number]
        remedy = f"Choose a name for the v1 pool that differs within its first 40 characters ({_renaming(migration)})."
        yield Occurrence(describe(migration.pool), f"the v1 EPP would be named {migration.epp}, as is {whose}.", remedy)


_LISTING_OF = {
    "InferenceObjective": "objectives",
    "InferenceModelRewrite": "rewrites",
    "HealthCheckPolicy": "health_policies",
    "GCPBackendPolicy": "backend_policies",
    "GCPTrafficDistributionPolicy": "traffic_policies",
    "PodMonitoring": "pod_monitorings",
    "ClusterPodMonitoring": "cluster_pod_monitorings",
    "PodMonitor": "pod_monitors",
    "ServiceMonitor": "service_monitors",
}


def _taken(context: CheckContext, number: int) -> Iterator[Manifest]:
    """Yield live objects that have the name of an object of a pool migration, and that it must not take over.

    It may take over objects of its own Helm release, those labelled as this collection's, and those with the planned spec.
    """
    migration, named = context.migrations[number], context.estate.named
    for listing, name in (("v1_pools", migration.v1_name), ("deployments", migration.epp), ("services", migration.epp)):
        live = named.get((listing, migration.namespace, name))
        if live and helm_owner(live) != (migration.namespace, migration.v1_name):
            yield live
    for planned in context.planned[migration.key]:
        live = named.get((_LISTING_OF.get(planned["kind"], ""), namespace_of(planned), name_of(planned)))
        if live and not ours(live) and dig(live, "spec") != planned["spec"]:
            yield live


@finding(
    "name-taken", "blocker", overridable=False,
    about="Something else already stands under a name that the migration would use. It would be overwritten, or Helm would refuse to adopt it.",
    remedy="Choose another name for the v1 pool (migration_pool_names: {NAMESPACE/POOL: NAME}), give an object that is not named after the pool the planned "
           "spec, or delete it if it is a left-over.",
    source="docs/protocol.md 3.8",
)
def name_taken(context: CheckContext) -> Iterator[Occurrence]:
    """Find live objects with names that the migration would use, but for pools with finding name-collision-40."""
    colliding = {number for number, _whose in _collisions(context)}
    for number, migration in enumerate(context.migrations):
        if number not in colliding:
            for live in _taken(context, number):
                elsewhere = (f"Choose another name for the v1 pool ({_renaming(migration)})" if name_of(live) in (migration.v1_name, migration.epp)
                             else "Give it the spec that the plan has for this name")
                remedy = f"{elsewhere}, or delete {describe(live)} if it is a left-over."
                yield Occurrence(describe(live), f"the migration of pool {migration.name} would use this name.", remedy)


@finding(
    "pool-names-unused", "warning",
    about="pool_names or models names a pool that this cluster does not have.",
    remedy="Correct the name, or ignore it where one list serves several clusters.",
    source="docs/protocol.md 3.8",
)
def pool_names_unused(context: CheckContext) -> Iterator[Occurrence]:
    """Find entries of ``pool_names`` and ``models`` for which there is no alpha pool."""
    known = {name for migration in context.migrations for name in (migration.name, f"{migration.namespace}/{migration.name}")}
    for option, said in (("pool_names", context.options.pool_names), ("models", context.options.models)):
        for name in sorted(set(said) - known):
            yield Occurrence(f"{option} {name}", f"there is no alpha InferencePool {name} here.")
