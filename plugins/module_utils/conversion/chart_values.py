# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Merges a person's chart values over those of a plan, and refuses those that would break what the migration needs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.epp_flags import BOOLEANS

_OURS = "the migration sets it itself: leave it out"
_ROUTES = "it would make a route beside those that are migrated: leave it out"
_IMAGE = "say the image by epp_image"
RESERVED = {
    "inferencePool.apiVersion": _OURS,
    "inferencePool.modelServerProtocol": "the v1 pool would speak another protocol than alpha's: leave it out",
    "inferencePool.modelServers": _OURS,
    "inferencePool.targetPortNumber": _OURS,
    "inferencePool.targetPorts": _OURS,
    "inferenceExtension.enableLeaderElection": "its standbys never get ready, so the installation would wait for ever: set it after the migration",
    "inferenceExtension.endpointsServer": _OURS,
    "inferenceExtension.extProcPort": _OURS,
    "inferenceExtension.failureMode": _OURS,
    "inferenceExtension.image.hub": _IMAGE,
    "inferenceExtension.image.name": _IMAGE,
    "inferenceExtension.image.registry": _IMAGE,
    "inferenceExtension.image.repository": _IMAGE,
    "inferenceExtension.image.tag": _IMAGE,
    "inferenceExtension.replicas": "standbys never get ready, so the installation would wait for ever: raise it after the migration",
    "provider.name": _OURS,
    "experimentalHttpRoute": _ROUTES,
    "inferenceObjectives": "the plan makes InferenceObjectives itself: add others after the migration",
}
"""Values of the chart that nobody may set, by their dotted names, with what to do instead."""
RESERVED_FLAGS = frozenset({"pool-name", "pool-namespace", "pool-group", "grpc-port", "grpc-health-port", "ha-enable-leader-election"})
"""Flags of the EPP by which it finds its pool, and is found."""


def chosen(said: Any) -> dict[str, Any]:
    """Return option ``chart_values`` as it was said. :raises ValueError: with the remedy, for values that the migration needs as they are."""
    if not isinstance(said, dict):
        raise ValueError(f"chart_values is {said!r}: give a dictionary.")
    for name, why in RESERVED.items():
        path = name.split(".")
        for depth in range(1, len(path) + 1):
            found, value = _at(said, path[:depth])
            if not found:
                break
            if depth == len(path):
                raise ValueError(f"chart_values sets {name}: {why}.")
            if not isinstance(value, dict):
                raise ValueError(f"chart_values sets {'.'.join(path[:depth])} to {value!r}, under which the migration sets values itself: give a dictionary.")
    flags = said.get("inferenceExtension", {}).get("flags") or {}
    names = {entry.get("name") for entry in flags if isinstance(entry, dict)} if isinstance(flags, list) else {*flags}
    for flag in sorted(BOOLEANS & names):
        raise ValueError(f"chart_values sets flag {flag} of the EPP, which the chart would turn into true: write {flag}=false in place of the name, and "
                         f"--{flag}=false as its value, or true in both.")
    for flag in sorted(RESERVED_FLAGS & names):
        raise ValueError(f"chart_values sets flag {flag} of the EPP: {_OURS}.")
    return said


def _at(values: Mapping[str, Any], path: list[str]) -> tuple[bool, Any]:
    """Return whether a place is there, and what it holds."""
    here: Any = values
    for part in path:
        if not isinstance(here, dict) or part not in here:
            return False, None
        here = here[part]
    return True, here


def merged(ours: Any, theirs: Any) -> Any:
    """Return ``ours`` with ``theirs`` over it: dictionaries deeply, lists whose entries all have a ``name`` by these names; anything else is replaced."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours | {name: merged(ours[name], value) if name in ours else value for name, value in theirs.items()}
    if _named(ours) and _named(theirs):
        entries = {entry["name"]: entry for entry in ours}
        return [*({**entries, **{entry["name"]: entry for entry in theirs}}.values())]
    return theirs


def _named(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) and "name" in entry for entry in value)


def lines(values: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value that is no dictionary, under its dotted name, sorted by it."""
    for name, value in sorted(values.items()):
        if isinstance(value, dict) and value:
            yield from lines(value, f"{place}{name}.")
        else:
            yield f"{place}{name}", value
