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
from typing import Protocol

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import Options, PoolMigration, pool_migrations
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import Estate
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import CheckContext
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import targets
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import Address, ProbeTarget

WORKERS = 12
"""Connections at a time, at most."""
ASKED = 3
"""Requests for a list of models: each pod has its own."""


class Caller(Protocol):
    """What connects, see :class:`http_client.Client`."""

    def connect(self, place: Address, hostname: str) -> str | None: ...

    def served_models(self, target: ProbeTarget) -> list[str] | None: ...


def learnt(estate: Estate, chosen: Options, caller: Caller) -> Options:
    """Return the options with the models of each pool for which nobody has said any, as the pool itself lists them; where it lists none, without."""
    found = {
        f"{migration.namespace}/{migration.name}": _served(migration, caller)
        for migration in pool_migrations(estate, chosen) if not (migration.models or migration.undeclared)
    }
    return replace(chosen, models={**chosen.models, **{pool: models for pool, models in found.items() if models}})


def _served(migration: PoolMigration, caller: Caller) -> list[str]:
    """Ask a pool for its list of models by the first of its rules that gives one, and return those that are in every answer."""
    for target in _lists(migration):
        lists = [set(models) for models in (caller.served_models(target) for _time in range(ASKED)) if models is not None]
        if lists and set.intersection(*lists):
            return sorted(set.intersection(*lists))
    return []


def _lists(migration: PoolMigration) -> Iterator[ProbeTarget]:
    estate = migration.estate
    for key in dict.fromkeys(reference.route for reference in migration.references if reference.route.kind == "HTTPRoute"):
        yield from targets.model_lists(estate.route_of[key.kind, key.namespace, key.name], estate.listeners, migration.key)


def unreachable(context: CheckContext, caller: Caller) -> dict[tuple[Address, str], str]:
    """Open a connection to each address by which users reach a planned pool, by TLS for each hostname there. Return why those fail that do.

    :returns: by address and hostname, which is empty where none matters.
    """
    ways = (way for entry in context.reachability for way in entry.ways)
    asked = sorted({(way.address, way.hostname if way.address.tls else "") for way in ways}, key=str)
    with ThreadPoolExecutor(WORKERS) as pool:
        faults = pool.map(lambda entry: caller.connect(*entry), asked)
    return {entry: fault for entry, fault in zip(asked, faults) if fault}
