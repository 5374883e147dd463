# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Computes which requests reach each reference to a planned pool, and which rule takes them first. Pure.

What the plan says here is what the shift will find: both make their requests with probing/targets.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import PoolMigration
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import Estate
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, dig
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import targets
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.body_routing import names_models
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.listeners import Listeners
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey, Reference, RouteKey, parents, rules

ANY_MODEL = ["any"]
"""Stands for all models of a pool where no rule asks for the model's header: then it does not matter which rule takes a request."""


@dataclass(frozen=True)
class ParentGateway:
    """One Gateway that a route names as its parent.

    :param manifest: None where there is no such Gateway.
    :param addresses: where it answers requests for the route; empty where it can't be probed.
    """

    namespace: str
    name: str
    manifest: Manifest | None
    addresses: tuple[targets.Address, ...]

    def __str__(self) -> str:
        return f"Gateway {self.namespace}/{self.name}"


@dataclass(frozen=True)
class Reachability:
    """How requests reach one reference to a planned pool.

    :param parents: the Gateways that its route names.
    :param matches: those of its rule; one empty match, which fits all requests, where the rule has none.
    :param open_ended: the matches with a regular expression, for which no request can be made.
    :param ways: probe targets by which a user would reach the reference, all without a stream; by one model where it does not matter which.
    :param taken: the probe targets of ``ways`` that another rule takes first, each with that rule's route and index; with None where they meet another
        listener, on which no rule takes them.
    """

    reference: Reference
    parents: tuple[ParentGateway, ...]
    matches: tuple[Manifest, ...]
    open_ended: tuple[Manifest, ...]
    ways: tuple[targets.ProbeTarget, ...]
    taken: tuple[tuple[targets.ProbeTarget, tuple[str, int] | None], ...]

    @property
    def asked(self) -> set[targets.ProbeTarget]:
        """The probe targets that reach the reference: those that no other rule takes."""
        return {*self.ways} - {taken for taken, _winner in self.taken}


def reachability(estate: Estate, migrations: Sequence[PoolMigration], endpoints: Sequence[str]) -> list[Reachability]:
    """Return one entry for each backendRef of an HTTPRoute to a planned pool.

    :param endpoints: the paths that clients call.
    """
    matters = any(map(names_models, estate.of("http_routes")))
    pools = {
        migration.key: {"models": [{"name": name} for name in (migration.model_names if matters else ()) or ANY_MODEL], "endpoints": list(endpoints)}
        for migration in migrations
    }
    keys = dict.fromkeys(reference.route for migration in migrations for reference in migration.references if reference.route.kind == "HTTPRoute")
    return [entry for key in keys for entry in _of_route(key, estate, pools)]


def _of_route(key: RouteKey, estate: Estate, pools: Mapping[PoolKey, Manifest]) -> Iterator[Reachability]:
    route, listeners = estate.route_of[key.kind, key.namespace, key.name], estate.listeners
    named = tuple(_parents(route, listeners))
    every = {target if not target.stream else replace(target, stream=False) for target in targets.probe_targets(route, listeners, pools)}
    found = sorted(every, key=str)
    for reference in estate.route_references(key):
        if reference.kind != "backend" or reference.target not in pools:
            continue
        matches = tuple(rules(route)[reference.rule].get("matches") or [{}])
        mine = tuple(target for target in found if (target.rule, target.index) == (reference.rule, reference.index))
        winners = [(target, targets.taken_by(target, listeners)) for target in mine]
        taken = tuple((target, winner) for target, winner in winners if winner != (target.route, target.rule))
        yield Reachability(reference, named, matches, tuple(match for match in matches if open_ended(match)), mine, taken)


def _parents(route: Manifest, listeners: Listeners) -> Iterator[ParentGateway]:
    for parent in parents(route):
        yield ParentGateway(parent.namespace, parent.name, listeners.gateways.get(parent[:2]), tuple(targets.addresses(route, parent, listeners)))


def open_ended(match: Manifest) -> bool:
    """Return whether a match holds a regular expression: nobody but its author knows a request that fits."""
    parts: Iterable[Manifest] = [dig(match, "path", default={}), *dig(match, "headers", default=[]), *dig(match, "queryParams", default=[])]
    return any(part.get("type") == "RegularExpression" for part in parts)
