# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By which requests each reference to a planned pool can be reached, and which rule takes them first. Pure.

What the plan says here is what the shift will find: both make their requests with targets.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import Draft
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import Estate
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, dig, name_of, namespace_of
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import targets
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.precedence import Table
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey, Reference, RouteKey, parents, rules

ANY_MODEL = [{"name": "any"}]
"""Which rule takes a request does not depend on its model."""


@dataclass(frozen=True)
class ParentGateway:
    """One Gateway that a route names. ``manifest`` is None where there is no such Gateway."""

    namespace: str
    name: str
    manifest: Manifest | None
    addresses: tuple[targets.Address, ...]

    def __str__(self) -> str:
        return f"Gateway {self.namespace}/{self.name}"


@dataclass(frozen=True)
class Reach:
    """One reference to a planned pool.

    :param matches: the rule's. :param open_ended: those that leave open what to send (regular expressions).
    :param ways: requests by which a user would reach it, one for each way, whatever the model.
    :param taken: those that another rule takes first, with the route and rule that does.
    """

    reference: Reference
    parents: tuple[ParentGateway, ...]
    matches: tuple[Manifest, ...]
    open_ended: tuple[Manifest, ...]
    ways: tuple[targets.Cell, ...]
    taken: tuple[tuple[targets.Cell, str, int], ...]


def reaches(estate: Estate, drafts: Sequence[Draft], endpoints: Sequence[str]) -> list[Reach]:
    """One entry for each reference of an HTTPRoute to a planned pool."""
    pools = {draft.key: {"models": ANY_MODEL, "endpoints": list(endpoints)} for draft in drafts}
    gateways = {(namespace_of(entry), name_of(entry)): entry for entry in estate.of("gateways")}
    tables = targets.gateway_tables(estate.of("http_routes"))
    keys = dict.fromkeys(reference.route for draft in drafts for reference in draft.references if reference.route.kind == "HTTPRoute")
    return [entry for key in keys for entry in _of_route(key, estate, gateways, pools, tables)]


def _of_route(
    key: RouteKey, estate: Estate, gateways: Mapping[tuple[str, str], Manifest], pools: Mapping[PoolKey, Manifest], tables: Mapping[str, Table]
) -> Iterator[Reach]:
    route = estate.route_of[key.kind, key.namespace, key.name]
    named = tuple(_parents(route, gateways))
    every = {cell if not cell.stream else replace(cell, stream=False) for cell in targets.cells(route, gateways, pools)}
    found = sorted(every, key=str)
    for reference in estate.route_references(key):
        if reference.kind != "backend" or reference.target not in pools:
            continue
        matches = tuple(rules(route)[reference.rule].get("matches") or [{}])
        mine = tuple(cell for cell in found if (cell.rule, cell.index) == (reference.rule, reference.index))
        winners = [(cell, targets.taken_by(cell, tables)) for cell in mine]
        taken = tuple((cell, *winner) for cell, winner in winners if winner and winner != (cell.route, cell.rule))
        yield Reach(reference, named, matches, tuple(match for match in matches if open_ended(match)), mine, taken)


def _parents(route: Manifest, gateways: Mapping[tuple[str, str], Manifest]) -> Iterator[ParentGateway]:
    for namespace, name, section in parents(route):
        gateway = gateways.get((namespace, name))
        places = tuple(targets.addresses(gateway, section, namespace_of(route))) if gateway else ()
        yield ParentGateway(namespace, name, gateway, places)


def open_ended(match: Manifest) -> bool:
    """Whether a match holds a regular expression, for which nobody but its author knows a request."""
    parts: Iterable[Manifest] = [dig(match, "path", default={}), *dig(match, "headers", default=[]), *dig(match, "queryParams", default=[])]
    return any(part.get("type") == "RegularExpression" for part in parts)
