# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which rights are one ServiceAccount's alone: they go with the alpha EPP, all others stay. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import Manifest, dig, namespace_of

_BUILT_IN = ("view", "edit", "admin", "cluster-admin")


class Role(NamedTuple):
    """What a binding refers to; ``namespace`` is empty for a ClusterRole."""

    kind: str
    namespace: str
    name: str


class Subject(NamedTuple):
    """Whom a binding serves."""

    kind: str
    namespace: str
    name: str


class Rights:
    """Every binding of an estate, by whom it serves alone, and how many refer to each role."""

    def __init__(self, bindings: Iterable[Manifest]) -> None:
        self._serving: dict[Subject, list[Manifest]] = defaultdict(list)
        self._bound: Counter[Role] = Counter()
        for binding in bindings:
            self._bound[role(binding)] += 1
            served = subjects(binding)
            if len(served) == 1:
                self._serving[served.pop()].append(binding)

    def of(self, namespace: str, account: str) -> Iterator[Manifest]:
        """Bindings that serve a ServiceAccount alone, roles that nothing else binds, and the account."""
        own = self._serving.get(Subject("ServiceAccount", namespace, account), [])
        yield from own
        for found, count in sorted(Counter(role(binding) for binding in own).items()):
            if count == self._bound[found] and not found.name.startswith("system:") and found.name not in _BUILT_IN:
                yield _bare("rbac.authorization.k8s.io/v1", *found)
        yield _bare("v1", "ServiceAccount", namespace, account)


def subjects(binding: Manifest) -> set[Subject]:
    """Whom a binding serves."""
    said = dig(binding, "subjects", default=[])
    return {Subject(entry.get("kind", ""), entry.get("namespace") or namespace_of(binding), entry.get("name", "")) for entry in said}


def role(binding: Manifest) -> Role:
    """What a binding refers to."""
    kind = dig(binding, "roleRef", "kind", default="")
    return Role(kind, namespace_of(binding) if kind == "Role" else "", dig(binding, "roleRef", "name", default=""))


def _bare(api_version: str, kind: str, namespace: str, name: str) -> Manifest:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace}}
