# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds look-ups in one pass, so that thousands of pools cost thousands of steps and not millions. Pure.

Labels are looked up by name and value within a namespace. A look-up returns candidates, in the order in which they were put
in: few, but perhaps too many, so the caller still compares selector and labels.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")
Pair = tuple[str, str, str]
"""Namespace, label and value; the value made text, since manifests found in clusters also hold other types."""


def grouped(entries: Iterable[Value], key: Callable[[Value], Key]) -> dict[Key, list[Value]]:
    """Group entries by a key, each group in the order of the entries."""
    found: dict[Key, list[Value]] = defaultdict(list)
    for entry in entries:
        found[key(entry)].append(entry)
    return found


def _pairs(namespace: str, labels: Mapping[str, Any]) -> list[Pair]:
    return [(namespace, name, str(value)) for name, value in labels.items()]


class Labelled(Generic[Value]):
    """Finds objects that carry labels by a selector.

    :param entries: namespace, labels, and the object to find.
    """

    def __init__(self, entries: Iterable[tuple[str, Mapping[str, Any], Value]]) -> None:
        self._holding: dict[Pair, list[Value]] = defaultdict(list)
        for namespace, labels, entry in entries:
            for pair in _pairs(namespace, labels):
                self._holding[pair].append(entry)

    def candidates(self, namespace: str, selector: Mapping[str, Any]) -> list[Value]:
        """Return the objects of a namespace that carry the selector's rarest label; none for an empty selector."""
        return min((self._holding.get(pair, []) for pair in _pairs(namespace, selector)), key=len, default=[])


class Selectors(Generic[Value]):
    """Finds objects that carry a selector by the labels that it selects. One with an empty selector is never found.

    :param entries: namespace, selector, and the object to find.
    """

    def __init__(self, entries: Iterable[tuple[str, Mapping[str, Any], Value]]) -> None:
        every = [(_pairs(namespace, selector), entry) for namespace, selector, entry in entries]
        common = Counter(pair for pairs, _entry in every for pair in pairs)
        self._wanting: dict[Pair, list[tuple[int, Value]]] = defaultdict(list)
        for number, (pairs, entry) in enumerate(every):
            if pairs:
                self._wanting[min(pairs, key=common.__getitem__)].append((number, entry))

    def candidates(self, namespaces: Iterable[str], labels: Mapping[str, Any]) -> list[Value]:
        """Return the objects of some namespaces whose selector's rarest label is among these labels."""
        found = [hit for namespace in namespaces for pair in _pairs(namespace, labels) for hit in self._wanting.get(pair, [])]
        return [entry for _number, entry in sorted(found, key=lambda hit: hit[0])]
