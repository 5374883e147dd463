# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists what a shift has not proven: what could not be asked, or told nothing. Pure.

A stage that measured nothing has passed nothing, so its name stands beside the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.long_streams import SLACK
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import OWN, ProbeTarget, addresses
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.listeners import Listeners
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import parents, route_key

LONG_STREAMS, SHARE, ADDRESS, MODEL, ENDPOINT = KINDS = ("long-streams", "share", "address", "model", "endpoint")
"""What may be unproven, by the names that ``migration_require`` takes."""
USUAL_TIMEOUT = 30
"""Seconds after which a gateway without a policy gives up on an answer: a stream that ends by itself before tells nothing about that."""
STACKS = ("alpha", "v1")


class Unproven(TypedDict):
    """One thing that was not proven. ``kind``: one of :data:`KINDS`. ``what``: the thing and why, in a few words."""

    kind: str
    what: str


def of_targets(routes: Iterable[Manifest], listeners: Listeners, pools: Iterable[Mapping[str, Any]], targets: Sequence[ProbeTarget]) -> list[Unproven]:
    """Return the addresses, models and endpoints that no target asks.

    :param routes: those that are moved. :param pools: entries of the Plan.
    """
    asked = {(target.address.gateway, target.address.host, target.address.port) for target in targets}
    found = [
        Unproven(kind=ADDRESS, what=f"{place.gateway} {place.host}:{place.port} ({route_key(route)})")
        for route in routes for parent in parents(route) for place in addresses(route, parent, listeners)
        if (place.gateway, place.host, place.port) not in asked
    ]
    found += [
        Unproven(kind=ADDRESS, what=f"Gateway {parent.namespace}/{parent.name} has none for {route_key(route)}")
        for route in routes for parent in parents(route) if not addresses(route, parent, listeners)
    ]
    by_pool = [(pool, {target for target in targets if target.endpoint != OWN and _leads_to(target, pool)}) for pool in pools if pool["references"]]
    for pool, mine in by_pool:
        name = f"pool {pool['namespace']}/{pool['name']}"
        found += [Unproven(kind=MODEL, what=f"{model['name']} of {name}") for model in pool["models"]
                  if model["name"] not in {target.model for target in mine}]
        found += [Unproven(kind=ENDPOINT, what=f"{endpoint} of {name}") for endpoint in pool["endpoints"]
                  if endpoint not in {target.endpoint for target in mine}]
    return list({(entry["kind"], entry["what"]): entry for entry in found}.values())


def _leads_to(target: ProbeTarget, pool: Mapping[str, Any]) -> bool:
    references = {(f"{entry['kind']} {entry['namespace']}/{entry['name']}", entry.get("rule"), entry.get("index")) for entry in pool["references"]}
    return bool({(target.route, target.rule, target.index), (target.route, None, None)} & references)


def of_gates(gates: Sequence[Mapping[str, Any]], streaming: Sequence[str], tracers: int, stream_seconds: int) -> list[Unproven]:
    """Return what the gates of a shift did not measure.

    :param gates: their evidence, the first one before any traffic was moved. :param streaming: what can be asked for long streams, as text.
    :param tracers: how many tracer requests a measurement sends. :param stream_seconds: for which streams are held.
    """
    return [*of_streams(gates, streaming, stream_seconds), *of_split(gates, tracers)]


def of_split(gates: Sequence[Mapping[str, Any]], tracers: int) -> list[Unproven]:
    """Return the rules and addresses at which no share could be measured."""
    if not tracers:
        return [Unproven(kind=SHARE, what="tracers is 0, so none was measured")]
    blind = dict.fromkeys(text for gate in gates for text in gate.get("blind", ()))
    return [Unproven(kind=SHARE, what=text) for text in blind]


def of_streams(gates: Sequence[Mapping[str, Any]], streaming: Sequence[str], stream_seconds: int) -> list[Unproven]:
    """Return the references and addresses of which no stream lasted on both stacks as long as it was to, or until it was cut alike on both."""
    if not stream_seconds:
        return [Unproven(kind=LONG_STREAMS, what="stream_seconds is 0, so none was held")]
    if not streaming:
        return [Unproven(kind=LONG_STREAMS, what="no endpoint that is asked has them")]
    held = [one for gate in gates for one in gate.get("streams", ())]
    proven = {one["what"] for one in held if all(_told(one.get(stack), stream_seconds) for stack in STACKS) and one["opened"]}
    seen = {one["what"]: one for one in held}
    return [Unproven(kind=LONG_STREAMS, what=f"{what}: {_why(seen.get(what))}") for what in streaming if what not in proven]


def of_refused(gates: Sequence[Mapping[str, Any]], stream_seconds: int) -> list[Unproven]:
    """Return the references and addresses of which a stack has begun no stream in any gate so far, though it was asked for one."""
    asked = list(dict.fromkeys(one["what"] for gate in gates for one in gate.get("streams", ()) if not one["opened"]))
    return of_streams(gates, asked, stream_seconds) if asked else []


def _told(side: Mapping[str, Any] | None, stream_seconds: int) -> bool:
    if side is None or not side["seconds"]:
        return False
    return side["reason"] is not None or side["seconds"] + SLACK >= min(USUAL_TIMEOUT, stream_seconds)


def _why(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return "none was asked for"
    short = [f"{stack} {side['reason'] or 'ended by itself'} after {side['seconds']:.0f} s" for stack in STACKS if (side := one.get(stack))]
    return "; ".join(short) or "none was asked for"


def sentence(found: Iterable[Unproven]) -> str:
    """Return the end of a verdict's sentence: each kind with the first thing and how many more there are; empty where all was proven."""
    by_kind: dict[str, list[str]] = {}
    for entry in found:
        by_kind.setdefault(entry["kind"], []).append(entry["what"])
    words = [f"{kind} ({what[0]}{f' and {len(what) - 1} more' if what[1:] else ''})" for kind, what in by_kind.items()]
    return f"not proven: {', '.join(words)}" if words else ""
