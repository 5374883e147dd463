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
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.answer_checks import REFUSED
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.long_streams import SLACK
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import (
    OWN,
    STREAMS,
    Address,
    ProbeTarget,
    addresses,
    probe_targets,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.listeners import Listeners
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey, listener_sets, parents, route_key

LONG_STREAMS, SHARE, ADDRESS, MODEL, ENDPOINT = KINDS = ("long-streams", "share", "address", "model", "endpoint")
"""What may be unproven, by the names that ``migration_require`` takes."""
USUAL_TIMEOUT = 30
"""Seconds after which a gateway without a policy gives up on an answer: a stream that ends by itself before tells nothing about that."""
STACKS = ("alpha", "v1")
NO_LENGTH = (REFUSED, "status 400")
"""Beginnings of the reasons of streams that a server refuses at every length; others, like a 429, pass."""


class Unproven(TypedDict):
    """One thing that was not proven. ``kind``: one of :data:`KINDS`. ``what``: the thing and why, in a few words."""

    kind: str
    what: str


class Streaming(TypedDict):
    """A reference and address (``what``, as text) that can be asked for long streams, and the ``pool`` behind it."""

    pool: str
    what: str


def of_targets(routes: Iterable[Manifest], listeners: Listeners, pools: Mapping[PoolKey, Manifest], targets: Mapping[ProbeTarget, str]) -> list[Unproven]:
    """Return the addresses, models and endpoints that no request of ours asks.

    What no user's request reaches either is none of them: an address whose requests another rule takes, an endpoint that no rule's matches let through.

    :param routes: those that are moved. :param pools: entries of the Plan, by their pools of both groups. :param targets: what is asked, each with its pool as
        ``namespace/name`` of v1.
    """
    found: list[Unproven] = []
    for route in routes:
        asked = {_socket(target.address) for target in (*probe_targets(route, listeners, pools), *targets)}
        for parent in parents(route):
            places, key = addresses(route, parent, listeners), route_key(route)
            found += [Unproven(kind=ADDRESS, what=f"{place.gateway} {place.host}:{place.port} ({key})") for place in places if _socket(place) not in asked]
            found += [] if places else [Unproven(kind=ADDRESS, what=f"Gateway {parent.namespace}/{parent.name} has none for {key}")]
        found += [Unproven(kind=ADDRESS, what=f"{name}, which {route_key(route)} names as a parent") for name in listener_sets(route)]
    for pool in {(pool["namespace"], pool["v1_name"]): pool for pool in pools.values()}.values():
        mine = [target for target, name in targets.items() if name == f"{pool['namespace']}/{pool['v1_name']}"]
        if mine:
            models, paths = {target.asks_for for target in mine}, {target.path.partition("?")[0] for target in mine if target.endpoint == OWN}
            name = f"pool {pool['namespace']}/{pool['name']}"
            found += [Unproven(kind=MODEL, what=f"{model['name']} of {name}") for model in pool["models"] if model["name"] not in models]
            found += [Unproven(kind=ENDPOINT, what=f"{endpoint} of {name}") for endpoint in pool["endpoints"] if endpoint not in {*STREAMS, *paths}]
    return list({(entry["kind"], entry["what"]): entry for entry in found}.values())


def _socket(place: Address) -> tuple[str, str, int]:
    """Return where a request goes, whichever listener there takes it: of several at one port the hostname decides."""
    return place.gateway, place.host, place.port


def of_options(streaming: Sequence[Streaming], tracers: int, stream_seconds: int) -> list[Unproven]:
    """Return what is known before anything is asked: nothing to hold long streams by, or that none are wanted.

    :param tracers: how many tracer requests the measurement of one rule and address may send. :param stream_seconds: for which streams are held.
    """
    found = [] if tracers else [Unproven(kind=SHARE, what="tracers is 0, so none was measured")]
    if not stream_seconds:
        return [*found, Unproven(kind=LONG_STREAMS, what="stream_seconds is 0, so none was held")]
    return found if streaming else [*found, Unproven(kind=LONG_STREAMS, what="no endpoint that is asked has them")]


def of_split(gates: Iterable[Mapping[str, Any]]) -> list[Unproven]:
    """Return the rules and addresses at which no share could be measured, or not with as many tracer requests as may be sent. :param gates: their evidence."""
    return [Unproven(kind=SHARE, what=text) for text in dict.fromkeys(text for gate in gates for text in (*gate.get("blind", ()), *gate.get("undecided", ())))]


def of_streams(gates: Iterable[Mapping[str, Any]], streaming: Sequence[Streaming], stream_seconds: int, timeouts: Mapping[str, int]) -> list[Unproven]:
    """Return the pools of which no stream lasted on both stacks as long as it was to, or until it was cut alike on both.

    :param gates: their evidence. :param timeouts: seconds after which v1alpha2 ends a request, by pool.
    """
    seen: dict[str, list[Mapping[str, Any]]] = {}
    for one in (one for gate in gates for one in gate.get("streams", ())):
        seen.setdefault(one["what"], []).append(one)
    pools: dict[str, list[Mapping[str, Any]]] = {}
    for entry in streaming if stream_seconds else ():
        pools.setdefault(entry["pool"], []).extend(seen.get(entry["what"], ()))
    return [
        Unproven(kind=LONG_STREAMS, what=f"pool {pool}: {_why(held)}" + _longer(timeouts.get(pool, 0)))
        for pool, held in pools.items() if not any(_told(one, stream_seconds, timeouts.get(pool, 0)) for one in held)
    ]


def of_refused(gates: Sequence[Mapping[str, Any]], streaming: Sequence[Streaming], stream_seconds: int, timeouts: Mapping[str, int]) -> list[Unproven]:
    """Return the pools whose servers have refused long streams at every length, as is known after the first gate."""
    refused = {one["what"] for gate in gates for one in gate.get("streams", ())
               if any((one.get(stack, {}).get("reason") or "").startswith(NO_LENGTH) for stack in STACKS)}
    pools = {entry["pool"] for entry in streaming if entry["what"] in refused}
    return of_streams(gates, [entry for entry in streaming if entry["pool"] in pools], stream_seconds, timeouts)


def _told(one: Mapping[str, Any], stream_seconds: int, timeout: int) -> bool:
    """Tell whether the streams of one comparison prove something: each was closed by us, lasted, or was cut as the other stack's was.

    Where v1alpha2 lets a request take longer than a gateway does without a policy, they prove it only by lasting as long.
    """
    alpha, v1 = (one.get(stack) for stack in STACKS)
    if not (alpha and v1 and alpha["seconds"] and v1["seconds"]):
        return False
    if alpha["reason"] and v1["reason"]:
        return bool(abs(alpha["seconds"] - v1["seconds"]) <= SLACK)
    longer = timeout > USUAL_TIMEOUT
    least = timeout if longer else min(USUAL_TIMEOUT, stream_seconds)
    return all(side["reason"] or (side.get("closed") and not longer) or side["seconds"] + SLACK >= least for side in (alpha, v1))


def _longer(timeout: int) -> str:
    return f", and its time-out is {timeout} s" if timeout > USUAL_TIMEOUT else ""


def _why(held: Sequence[Mapping[str, Any]]) -> str:
    """Say how the streams of one pool ended that lasted longest."""
    if not held:
        return "none was asked for"
    one = max(held, key=lambda one: min(one[stack]["seconds"] for stack in STACKS if stack in one))
    how = {stack: one[stack]["reason"] or ("was closed" if one[stack].get("closed") else "ended by itself") for stack in STACKS if stack in one}
    return "; ".join(f"{stack} {ended} after {one[stack]['seconds']:.0f} s" for stack, ended in how.items())


def sentence(found: Iterable[Unproven]) -> str:
    """Return the end of a verdict's sentence: each kind with the first thing and how many more there are; empty where all was proven."""
    by_kind: dict[str, list[str]] = {}
    for entry in found:
        by_kind.setdefault(entry["kind"], []).append(entry["what"])
    words = [f"{kind} ({what[0]}{f' and {len(what) - 1} more' if what[1:] else ''})" for kind, what in by_kind.items()]
    return f"not proven: {', '.join(words)}" if words else ""
