# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Computes which weights a moved route must have at a step, and names who wrote others. Pure.

The wanted weights come from the step and from the route as it was before the migration, never from the live route: where
a controller wrote the route back, live weights and traffic agree with each other, but not with the step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Union

from ansible_collections.inference_gateway.migration.plugins.module_utils import managers, manifests
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import references, weights
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey

Share = Union[int, Literal["finished"]]  # noqa: UP007 (pylint of ansible-test knows | between types as an error outside annotations)
"""Percent of the moved traffic that the weights give to v1; ``finished`` where v1alpha2 is out of the rules."""
Shares = Union[Share, Mapping[str, Share]]  # noqa: UP007 (as above)
"""One share for all routes, or a share for each by ``Kind namespace/name``."""

FINISHED = "finished"
STEPS = (10, 50, 100)
"""The steps of a shift where nobody says others, in percent."""


def share(said: Any) -> Share:
    """Return the share that a person or a template gave, as a number or as text. :raises ValueError: for anything but 0 to 100 and ``finished``."""
    if said == FINISHED:
        return "finished"
    if not isinstance(said, bool) and str(said).isdigit() and int(said) <= 100:
        return int(said)
    raise ValueError(f"A share is a percentage from 0 to 100, or finished, not {said!r}.")


def shares(said: Any) -> Shares | None:
    """Return the shares that an option gives, None where it gives none. :raises ValueError: as :func:`share`."""
    if said is None:
        return None
    return {str(route): share(value) for route, value in said.items()} if isinstance(said, Mapping) else share(said)


def of(route: str, wanted: Shares) -> Share:
    """Return the share of one route (``Kind namespace/name``). :raises ValueError: when shares are given by route, and none for this one."""
    if not isinstance(wanted, Mapping):
        return wanted
    if route not in wanted:
        raise ValueError(f"No share was given for {route}.")
    return wanted[route]


def shaped(original: Manifest, moves: Mapping[PoolKey, str], wanted: Share) -> Manifest:
    """Return a route as it was before the migration, but with its moved rules at a share."""
    if wanted == FINISHED:
        return weights.reshape(original, original, moves, "finished")
    return weights.reshape(original, original, moves, "split", int(wanted)) if wanted else original


def faults(live: Manifest, original: Manifest, moves: Mapping[PoolKey, str], wanted: Share) -> Iterator[str]:
    """Yield a sentence for each moved rule that does not stand at a share: its field, what is there, what should be, and who wrote it."""
    key, at, there = references.route_key(original), weights.places(live, original, moves), references.rules(live)
    for number in weights.moved_rules(original, moves):
        index = at.get(number, number)
        found = there[index].get("backendRefs") or [] if index < len(there) else []
        if not _stands(found, references.rules(original)[number]["backendRefs"], key.namespace, moves, wanted):
            should = references.rules(shaped(original, moves, wanted))[number]["backendRefs"]
            yield (f"{key} was written by {writer(live)}: spec.rules[{index}].backendRefs are {references.describe_references(found)}, "
                   f"where this step has {references.describe_references(should)}")


def _stands(found: list[Manifest], original: list[Manifest], namespace: str, moves: Mapping[PoolKey, str], wanted: Share) -> bool:
    if wanted == FINISHED:
        return found == weights.finished_references(original, namespace, moves)
    return wanted in weights.recognise(found, original, namespace, moves)


def writer(route: Manifest) -> str:
    """Name who last wrote a route's rules besides this collection, by managedFields: the manager, its operation and the time."""
    entries = [
        entry for entry in route["metadata"].get("managedFields") or []
        if entry.get("manager") != manifests.FIELD_MANAGER and "f:rules" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    ]
    if not entries:
        return "somebody whom its managedFields do not name"
    last = max(entries, key=lambda entry: entry.get("time") or "")
    return f"{managers.words(last.get('manager'))} ({last.get('operation')} at {last.get('time')})"


def left_alone(error: Exception) -> str:
    """Return the message for weights that somebody else wrote and that were left alone, with the remedy."""
    return f"{error}. Nothing was written over it: keep that writer from the weights (pause its sync, or migrate by its own means), then start again."
