# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By which requests each reference to a planned pool can be reached, and which rule takes them first. Pure.

What the plan says here is what the shift will find: both make their requests with cells.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ansible_collections.inference_gateway.migration.plugins.module_utils import cells
from ansible_collections.inference_gateway.migration.plugins.module_utils.draft import Draft
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import Estate, Manifest, dig, name_of, namespace_of
from ansible_collections.inference_gateway.migration.plugins.module_utils.precedence import Table
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import PoolKey, Reference, RouteKey, rules

ANY_MODEL = [{"name": "any"}]
"""Which rule takes a request does not depend on its model."""


@dataclass(frozen=True)
class Parent:
    """One Gateway that a route names. ``manifest`` is None where there is no such Gateway."""

    namespace: str
    name: str
    manifest: Manifest | None
    addresses: tuple[cells.Address, ...]

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
    parents: tuple[Parent, ...]
    matches: tuple[Manifest, ...]
    open_ended: tuple[Manifest, ...]
    ways: tuple[cells.Cell, ...]
    taken: tuple[tuple[cells.Cell, str, int], ...]


def reaches(estate: Estate, drafts: Sequence[Draft], endpoints: Sequence[str]) -> list[Reach]:
    """One entry for each reference of an HTTPRoute to a planned pool."""
    pools = {draft.key: {"models": ANY_MODEL, "endpoints": list(endpoints)} for draft in drafts}
    gateways = {(namespace_of(entry), name_of(entry)): entry for entry in estate.of("gateways")}
    tables = cells.gateway_tables(estate.of("http_routes"))
    keys = dict.fromkeys(reference.route for draft in drafts for reference in draft.references if reference.route.kind == "HTTPRoute")
    return [entry for key in keys for entry in _of_route(key, estate, gateways, pools, tables)]


def _of_route(
    key: RouteKey, estate: Estate, gateways: Mapping[tuple[str, str], Manifest], pools: Mapping[PoolKey, Manifest], tables: Mapping[str, Table]
) -> Iterator[Reach]:
    route = estate.route_of[key.kind, key.namespace, key.name]
    parents = tuple(_parents(route, gateways))
    every = {cell if not cell.stream else replace(cell, stream=False) for cell in cells.cells(route, gateways, pools)}
    found = sorted(every, key=str)
    for reference in estate.route_references(key):
        if reference.kind != "backend" or reference.target not in pools:
            continue
        matches = tuple(rules(route)[reference.rule].get("matches") or [{}])
        mine = tuple(cell for cell in found if (cell.rule, cell.index) == (reference.rule, reference.index))
        winners = [(cell, cells.taken_by(cell, tables)) for cell in mine]
        taken = tuple((cell, *winner) for cell, winner in winners if winner and winner != (cell.route, cell.rule))
        yield Reach(reference, parents, matches, tuple(match for match in matches if open_ended(match)), mine, taken)


def _parents(route: Manifest, gateways: Mapping[tuple[str, str], Manifest]) -> Iterator[Parent]:
    for namespace, name, section in cells.parent_gateways(route):
        gateway = gateways.get((namespace, name))
        places = tuple(cells.addresses(gateway, section, namespace_of(route))) if gateway else ()
        yield Parent(namespace, name, gateway, places)


def open_ended(match: Manifest) -> bool:
    """Whether a match holds a regular expression, for which nobody but its author knows a request."""
    parts: Iterable[Manifest] = [dig(match, "path", default={}), *dig(match, "headers", default=[]), *dig(match, "queryParams", default=[])]
    return any(part.get("type") == "RegularExpression" for part in parts)
