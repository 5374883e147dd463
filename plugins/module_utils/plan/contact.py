# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks an estate's Gateways before a plan is made: whether they can be reached from here, and which models they list where nobody declares any.

Who connects is handed in.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Protocol

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import Options, PoolMigration, pool_migrations
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import Estate
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import CheckContext
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import targets
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sending import Answered
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import Address, Probe, ProbeTarget
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.body_routing import models_of
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import RouteKey

WORKERS = 12
"""Connections at a time, at most."""
LISTS = 3
"""Requests for a list of models: each pod has its own."""
WAYS = 4
"""Ways by which one pool is asked for its list, at most, where it gives none."""


class Caller(Protocol):
    """What connects, see :class:`http_client.Client`."""

    def connect(self, place: Address, hostname: str) -> str | None: ...

    def served_models(self, target: ProbeTarget) -> list[str] | None: ...

    def send(self, probe: Probe) -> Answered: ...


class Contact:
    """Connects to Gateways for one plan, to each address once."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._faults: dict[tuple[Address, str], str | None] = {}

    def learnt(self, estate: Estate, chosen: Options) -> Options:
        """Return the options with the models that nobody has said and pools answer: those that their rules name, and where none is known, those they list."""
        every = pool_migrations(estate, chosen)
        with ThreadPoolExecutor(WORKERS) as pool:
            found = zip(every, pool.map(self._learnt, every))
        models = {f"{migration.namespace}/{migration.name}": [*migration.undeclared, *names] for migration, names in found if names}
        return replace(chosen, models={**chosen.models, **models})

    def unreachable(self, context: CheckContext) -> dict[tuple[Address, str], str]:
        """Open a connection to each address by which users reach a planned pool, by TLS for each hostname there. Return why those fail that do.

        :returns: by address and hostname, which is empty where none matters.
        """
        ways = (way for entry in context.reachability for way in entry.asked)
        asked = sorted(set(map(_place, ways)), key=str)
        with ThreadPoolExecutor(WORKERS) as pool:
            faults = pool.map(self._fault, asked)
        return {entry: fault for entry, fault in zip(asked, faults) if fault}

    def _fault(self, asked: tuple[Address, str]) -> str | None:
        if asked not in self._faults:
            self._faults[asked] = self._caller.connect(*asked)
        return self._faults[asked]

    def _learnt(self, migration: PoolMigration) -> list[str]:
        """Return the models of a pool that nobody has said and that are answered."""
        named = sorted({model for reference in migration.references if reference.route.kind == "HTTPRoute"
                        for model in models_of(_route(migration, reference.route), reference.rule)} - {*migration.model_names})
        return [model for model in named if self._answered(migration, model)] or ([] if migration.model_names else self._served(migration))

    def _served(self, migration: PoolMigration) -> list[str]:
        """Ask a pool for its list of models by the first of its ways that gives one; return those that are in every answer and are answered."""
        for target in islice((target for target in _lists(migration) if not self._fault(_place(target))), WAYS):
            lists: list[set[str]] = []
            while len(lists) < LISTS and (models := self._caller.served_models(target)) is not None:
                lists.append(set(models))
            if len(lists) == LISTS:
                return sorted(model for model in set.intersection(*lists) if self._answered(migration, model, target))
        return []

    def _answered(self, migration: PoolMigration, model: str, listed: ProbeTarget | None = None) -> bool:
        """Ask for a model once, in a few tokens: a picker that wants an InferenceModel for each, as v0.3 does, refuses it though a server lists it.

        :param listed: by which it was listed, so that it is asked for by the same route and address.
        """
        estate, entry = migration.estate, {"models": [{"name": model}], "endpoints": list(migration.options.endpoints)}
        offered = (target for route in _routes(migration) for target in targets.probe_targets(route, estate.listeners, {migration.key: entry})
                   if not target.stream and (listed is None or (target.route, target.address) == (listed.route, listed.address)))
        asked = (target for target in targets.reached(list(offered), estate.listeners) if not self._fault(_place(target)))
        return any(self._caller.send(replace(targets.probe(target, None, "", {}), answers=frozenset())).ok for target in islice(asked, 1))


def _place(target: ProbeTarget) -> tuple[Address, str]:
    return target.address, target.hostname if target.address.tls else ""


def _routes(migration: PoolMigration) -> Iterator[Manifest]:
    for key in dict.fromkeys(reference.route for reference in migration.references if reference.route.kind == "HTTPRoute"):
        yield _route(migration, key)


def _route(migration: PoolMigration, key: RouteKey) -> Manifest:
    return migration.estate.route_of[key.kind, key.namespace, key.name]


def _lists(migration: PoolMigration) -> Iterator[ProbeTarget]:
    return (target for route in _routes(migration) for target in targets.model_lists(route, migration.estate.listeners, migration.key))
