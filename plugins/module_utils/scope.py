# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what one bounded piece of work needs: the Plan, the routes as they were before the migration, and what of them is live now.

For internal use of this collection only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import conditions
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import (
    ApiError,
    Cluster,
    Forbidden,
    NotServed,
    collection_path,
    object_path,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.journal import Journal, Record
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.lease import Lease
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import (
    ALPHA_GROUP,
    POOL_KIND,
    V1_GROUP,
    Manifest,
    describe,
    dig,
    name_of,
    namespace_of,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import targets, traffic_split
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.split_statistics import Expected
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import Probe, ProbeTarget
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import body_routing, probe_routes, references, step_weights, weights
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.listeners import Listeners, labels_of, wants_labels
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.probe_routes import Variant
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey, RouteKey
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.step_weights import Shares
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.writer import RouteWriter, route_path

GKE_VERSION = "networking.gke.io/v1"
ROUTING_EXTENSIONS = "gcproutingextensions"
ROUTE_KINDS = ("HTTPRoute", "GRPCRoute")


def moves(plan: Mapping[str, Any]) -> dict[PoolKey, str]:
    """Return the name of the v1 pool for every v1alpha2 pool of a Plan; none where nothing is migrated (:func:`plan_of`)."""
    return {PoolKey(ALPHA_GROUP, POOL_KIND, pool["namespace"], pool["name"]): pool["v1_name"] for pool in plan["pools"] if not pool.get("v1_only")}


def route_keys(plan: Mapping[str, Any]) -> list[RouteKey]:
    """Return every route that a Plan changes, once."""
    return list(dict.fromkeys(_route_of(ref) for pool in plan["pools"] for ref in pool["references"]))


def _route_of(reference: Mapping[str, Any]) -> RouteKey:
    return RouteKey(reference["api_version"], reference["kind"], reference["namespace"], reference["name"])


def as_it_is(cluster: Cluster, plan: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a Plan without the routes that are gone since it was made, and these: what nobody sends requests by needs no way back."""
    gone = {key for key in route_keys(plan) if cluster.get(route_path(key)) is None}
    pools = [{**pool, "references": [ref for ref in pool["references"] if _route_of(ref) not in gone]} for pool in plan["pools"]]
    return {**plan, "pools": pools}, sorted(map(str, gone))


def gone_of_alpha(cluster: Cluster, backup: Sequence[Manifest]) -> list[str]:
    """Return what of v1alpha2 was there when the migration began and is not any more; routes are not of it."""
    return [describe(manifest) for manifest in backup if manifest["kind"] not in ROUTE_KINDS
            and cluster.get(object_path(manifest["apiVersion"], manifest["kind"], namespace_of(manifest) or None, name_of(manifest))) is None]


def plan_of(cluster: Cluster, pools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Make a stand-in for a Plan where nothing is migrated: v1 pools, and for each the HTTPRoutes that send it requests.

    :param pools: each with ``namespace``, ``name``, ``models`` and ``endpoints``.
    :raises ApiError: when a pool is not there, or no route sends anything to it: there would be nothing to verify.
    """
    found = list(cluster.list(collection_path("gateway.networking.k8s.io/v1", "httproutes")))
    entries = []
    for pool in pools:
        namespace, name = pool["namespace"], pool["name"]
        live = cluster.get(object_path(f"{V1_GROUP}/v1", POOL_KIND, namespace, name))
        if live is None:
            raise ApiError(f"{POOL_KIND} {namespace}/{name} of {V1_GROUP} is not there: correct its namespace and name.")
        key = PoolKey(V1_GROUP, POOL_KIND, namespace, name)
        naming = [references.route_key(route) for route in found
                  if any(reference.target == key and reference.kind == "backend" and reference.weight for reference in references.references(route))]
        if not naming:
            raise ApiError(f"{POOL_KIND} {namespace}/{name}: no HTTPRoute gives it any weight, so no request reaches it and nothing can be verified.")
        entries.append({
            "namespace": namespace, "name": name, "v1_name": name, "models": [{"name": model} for model in pool["models"]],
            "endpoints": pool["endpoints"], "references": [route._asdict() for route in naming],
            # A pool of v1alpha2 with the same name is another one.
            "v1_only": True, "selector": dig(live, "spec", "selector", "matchLabels", default={}),
        })
    return {"pools": entries}


def selector_of(pool: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels of a pool's model servers. :param pool: of a Plan, or of :func:`plan_of`."""
    return dict(pool.get("selector") or dig(dict(pool), "chart", "values", "inferencePool", "modelServers", "matchLabels", default={}))


def affected(plan: Mapping[str, Any]) -> list[tuple[str, str, str | None, str]]:
    """Return (api_version, kind, namespace, name) of every route that a migration changes, and of every object that it deletes."""
    found: list[tuple[str, str, str | None, str]] = [(key.api_version, key.kind, key.namespace, key.name) for key in route_keys(plan)]
    for pool in plan["pools"]:
        found.append((f"{ALPHA_GROUP}/v1alpha2", POOL_KIND, pool["namespace"], pool["name"]))
        found += [_key(item) for item in pool["retire"]]
        found += [("apps/v1", "Deployment", pool["namespace"], pool["alpha_epp"]["deployment"])] if pool["alpha_epp"].get("deployment") else []
    return list(dict.fromkeys(found))


def saved(plan: Mapping[str, Any]) -> list[tuple[str, str, str | None, str]]:
    """Return what the backup holds, in the form of :func:`affected`: all of that, and the objectives that the phase retire points at v1 pools."""
    return [*affected(plan), *(_key(entry) for pool in plan["pools"] for entry in pool.get("repoint") or [])]


def _key(manifest: Manifest) -> tuple[str, str, str | None, str]:
    return manifest["apiVersion"], manifest["kind"], manifest["metadata"].get("namespace"), manifest["metadata"]["name"]


def pickers_services(plan: Mapping[str, Any]) -> list[tuple[str, str, str | None, str]]:
    """Return the Services of v1alpha2's endpoint pickers, in the form of :func:`affected`."""
    return [("v1", "Service", pool["namespace"], pool["alpha_epp"]["service"]) for pool in plan["pools"] if pool["alpha_epp"].get("service")]


@dataclass(frozen=True)
class MigrationScope:
    """One migration on one cluster, as of now.

    :param nonce: names the migration's probe routes; empty where none was begun.
    :param originals: the routes as they were before the migration. :param live: the same routes as they are.
    :param current: as they are, but with the references that they had, see :func:`weights.current`: from these, probe routes and probes are made.
    :param gateways: those that routes name, by (namespace, name); only those that are there.
    :param own: user-defined probes, see :func:`targets.user_defined_targets`.
    :param answers: for a model the further models that v1alpha2 named in its answers, as the journal has them.
    """

    cluster: Cluster
    plan: Mapping[str, Any]
    nonce: str
    originals: dict[RouteKey, Manifest]
    live: dict[RouteKey, Manifest]
    current: dict[RouteKey, Manifest]
    gateways: dict[tuple[str, str], Manifest]
    own: Sequence[Manifest] = ()
    answers: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, cluster: Cluster, plan: Mapping[str, Any], nonce: str, backup: list[Manifest] | None, own: Sequence[Manifest] = (),
             answers: Mapping[str, Sequence[str]] | None = None) -> MigrationScope:
        """Read the scope from the cluster.

        :param backup: the objects as they were; where it is None or lacks a route, what is live counts as such. :param answers: see :class:`MigrationScope`.
        :raises ApiError: when a route of the Plan is gone.
        """
        keys = route_keys(plan)
        live = {key: manifest for key in keys if (manifest := cluster.get(route_path(key)))}
        missing = [str(key) for key in keys if key not in live]
        if missing:
            raise ApiError(f"{', '.join(missing)}: gone since the plan was made. Make a new plan.")
        saved = {references.route_key(manifest): manifest for manifest in backup or [] if manifest["kind"] in ROUTE_KINDS}
        originals = {key: saved.get(key, live[key]) for key in keys}
        current = {key: weights.current(live[key], original, moves(plan)) for key, original in originals.items()}
        named = {parent[:2] for route in current.values() for parent in references.parents(route)}
        gateways = {
            place: manifest for place in named
            if (manifest := cluster.get(object_path("gateway.networking.k8s.io/v1", "Gateway", *place)))
        }
        return cls(cluster, plan, nonce, originals, live, current, gateways, own, answers or {})

    def serves_v1(self, key: RouteKey) -> bool:
        """Tell whether any rule of a live route gives a v1 pool of the migration any traffic."""
        pools = self.pools()
        return any(reference.kind == "backend" and reference.weight and reference.target.group == V1_GROUP and reference.target in pools
                   for reference in references.references(self.live[key]))

    @property
    def moves(self) -> dict[PoolKey, str]:
        """The name of the v1 pool, by v1alpha2 pool."""
        return moves(self.plan)

    @property
    def models(self) -> dict[str, Manifest]:
        """The entry in the Plan, by model name, with what v1alpha2 answered; where several pools serve one name, it has the answers of all of them."""
        found: dict[str, Manifest] = {}
        for model in (model for pool in self.plan["pools"] for model in pool["models"]):
            known = found.setdefault(model["name"], model)
            if known is not model:
                both = [*(known.get("alpha_answers") or []), *(model.get("alpha_answers") or []), *filter(None, [model.get("answer")])]
                found[model["name"]] = known | {"alpha_answers": both}
        return {name: model | {"alpha_answers": [*(model.get("alpha_answers") or []), *self.answers.get(name, [])]} for name, model in found.items()}

    def pools(self) -> dict[PoolKey, Manifest]:
        """Return the Plan's entries, each under its v1alpha2 and its v1 pool, so that references are known before, during and after the migration."""
        found = {}
        for pool in self.plan["pools"]:
            if not pool.get("v1_only"):
                found[PoolKey(ALPHA_GROUP, POOL_KIND, pool["namespace"], pool["name"])] = pool
            found[PoolKey(V1_GROUP, POOL_KIND, pool["namespace"], pool["v1_name"])] = pool
        return found

    def pool_of(self, target: ProbeTarget) -> str:
        """Return the pool that a target's reference leads to, as ``namespace/name`` of its v1 pool."""
        return self._pool_of[target.route, target.rule, target.index]

    @cached_property
    def _pool_of(self) -> dict[tuple[str, int, int], str]:
        pools = self.pools()
        moved = [reference for route in self.current.values() for reference in references.references(route)
                 if reference.kind == "backend" and reference.target in pools]
        return {(str(entry.route), entry.rule, entry.index): f"{pools[entry.target]['namespace']}/{pools[entry.target]['v1_name']}" for entry in moved}

    def ready_servers(self) -> dict[str, int]:
        """Return how many model servers are ready now, by pool as :meth:`pool_of` names it; 1 where none is, or where pods may not be listed."""
        return {
            f"{pool['namespace']}/{pool['v1_name']}": max(1, sum(map(conditions.ready, self._servers(pool["namespace"], selector_of(pool)))))
            for pool in self.plan["pools"]
        }

    def _servers(self, namespace: str, labels: Mapping[str, str]) -> list[Manifest]:
        try:
            return list(self._pods(namespace, labels)) if labels else []
        except Forbidden:
            return []

    def _pods(self, namespace: str, labels: Mapping[str, str]) -> Iterator[Manifest]:
        chosen = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
        return self.cluster.list(collection_path("v1", "pods", namespace), labelSelector=chosen)

    @cached_property
    def listeners(self) -> Listeners:
        """The listeners of the routes' Gateways, with all that is on them: other people's routes as they are, the migration's with the references they had.

        Without leave to list namespaces no labels are known. Routing extensions are listed only where a rule asks for what they set.
        """
        mine = {(key.namespace, key.name): route for key, route in self.current.items()}
        version = next((key.api_version for key in self.current), None)
        others = [route for route in (self._listed(version, "httproutes") if version else None) or ()
                  if (namespace_of(route), name_of(route)) not in mine and not probe_routes.is_probe_route(route)]
        gateways = self.gateways.values()
        namespaces = self._listed("v1", "namespaces") if wants_labels(gateways) else []
        every = [*others, *mine.values()]
        extensions = self._listed(GKE_VERSION, ROUTING_EXTENSIONS) if any(map(body_routing.names_models, every)) else []
        return Listeners(gateways, every, None if namespaces is None else labels_of(namespaces), body_routing.routed_by_model(extensions or ()))

    def _listed(self, api_version: str, plural: str) -> list[Manifest] | None:
        """Return all objects of a kind, none where it is not served, None where the credential may not list them."""
        try:
            return list(self.cluster.list(collection_path(api_version, plural)))
        except NotServed:
            return []
        except Forbidden:
            return None

    @cached_property
    def targets(self) -> list[ProbeTarget]:
        """The probe targets of all routes; for each route the user-defined ones come last.

        :raises ApiError: when a moved rule has none, or a user-defined probe comes by no moved rule; the message has the remedy.
        """
        pools, found = self.pools(), []
        extra: list[ProbeTarget] = []
        for number, own in enumerate(self.own):
            offered = [target for route in self.current.values() for target in targets.user_defined_targets(route, self.listeners, pools, own)]
            mine = targets.reached(offered, self.listeners)
            extra += mine
            if not mine:
                raise ApiError(f"Probe {number} of probes ({own.get('hostname') or 'any hostname'}{own['path']}) comes by no rule that is moved: correct its "
                               "hostname, path or headers, or leave it out.")
        for key, route in self.current.items():
            mine = targets.reached(targets.probe_targets(route, self.listeners, pools), self.listeners)
            mine += [target for target in extra if target.route == str(key)]
            bare = targets.unprobed(route, mine, pools)
            if bare:
                raise ApiError(
                    f"{key}: no request can be made that reaches rule {bare[0]} (a Gateway address, a model and an endpoint under an exact or prefix path "
                    "that no other rule takes first are needed): nothing can be proven for it, so it is not shifted. Check that its Gateway has an address, "
                    "that the pool serves a model, and that the rule is not hidden behind others, or add a request of your own that reaches it "
                    "(migration_probes)."
                )
            found += mine
        return found

    def probes(self, variants: list[Variant | None], gone: bool = False) -> list[Probe]:
        """Make one probe for every target and variant. :param gone: whether the probe routes were removed."""
        return [targets.probe(target, variant, self.nonce, self.models, gone) for variant in variants for target in self.targets]

    def expected(self, wanted: Shares) -> Callable[[traffic_split.Group], Expected]:
        """Return a function that says what the weights of a group's rule must give to each stack.

        It goes by the rule that the user had and the share of the step, never by what is live.
        """
        shaped = {str(key): step_weights.shaped(original, self.moves, step_weights.of(str(key), wanted)) for key, original in self.originals.items()}
        pools = self.pools()
        return lambda group: traffic_split.expected(shaped[group.target.route], group.target.rule, pools)

    def demand(self, wanted: Shares) -> None:
        """Read every moved route anew and check that it stands at its share.

        :raises weights.Drifted: when one has other weights, which somebody else wrote. :raises ApiError: when one is gone.
        """
        found: list[str] = []
        for key, original in self.originals.items():
            live = self.cluster.get(route_path(key))
            if live is None:
                raise ApiError(f"{key}: gone since the plan was made.")
            found += step_weights.faults(live, original, self.moves, step_weights.of(str(key), wanted))
        if found:
            raise weights.Drifted("; ".join(found))

    def probe_routes(self, variants: list[Variant]) -> list[Manifest]:
        """Return the probe routes of some variants, as they should be."""
        return [manifest for route in self.current.values() for variant in variants
                for manifest in probe_routes.probe_routes_of(route, self.moves, variant, self.nonce)]

    def epp_faults(self) -> list[str]:
        """Return why v1 endpoint pickers are not available, with what their pods say; empty where all are."""
        found = []
        for pool in self.plan["pools"]:
            name, namespace = pool["epp"]["deployment"], pool["namespace"]
            deployment = self.cluster.get(object_path("apps/v1", "Deployment", namespace, name))
            if deployment is None:
                found.append(f"Deployment {namespace}/{name}: not there")
                continue
            faults = conditions.deployment_faults(deployment)
            found += [*self._pod_faults(deployment), *faults] if faults else []
        return found

    def _pod_faults(self, deployment: Manifest) -> list[str]:
        pods = self._pods(deployment["metadata"]["namespace"], deployment["spec"]["selector"].get("matchLabels") or {})
        return [fault for pod in pods for fault in conditions.pod_faults(pod)]


@dataclass(frozen=True)
class OpenMigration:
    """The open migration of a cluster, for a module that writes: its journal and record, its scope, and the writer, which writes under the Lease."""

    store: Journal
    record: Record
    scope: MigrationScope
    writer: RouteWriter


@contextmanager
def open_migration(cluster: Cluster, params: Mapping[str, Any], check_mode: bool) -> Iterator[OpenMigration | None]:
    """Read the open migration and hold its Lease while the block runs, by a module's ``plan``, ``run`` and ``state_namespace``.

    :returns: None in check mode where none was begun: what would be written can't be known then.
    :raises ApiError: when none was begun. :raises LeaseLost: when this run does not hold the Lease. :raises BackupBroken: when the backup is not whole.
    """
    store = Journal(cluster, params["state_namespace"])
    record = store.read()
    if record is None:
        if not check_mode:
            raise ApiError("No migration was begun on this cluster: run migration_journal with state opened first.")
        yield None
        return
    with nullcontext() if check_mode else Lease(cluster).held(params["run"]):
        record = record if check_mode else store.read() or record
        backup = store.backup(record["backup"])
        scope = MigrationScope.read(cluster, params["plan"], record["nonce"], backup)
        begun_with = frozenset(references.route_key(manifest) for manifest in backup if manifest["kind"] in ROUTE_KINDS)
        yield OpenMigration(store, record, scope, RouteWriter(cluster, scope.originals, scope.moves, check_mode, begun_with))
