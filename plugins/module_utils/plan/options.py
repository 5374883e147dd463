# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a person chose for a plan from a module's parameters, and refuses what can't be meant. Pure."""

from __future__ import annotations

from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import chart_values, picker_image
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import ENDPOINTS, PRIORITIES, Options
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings import catalogue
from ansible_collections.inference_gateway.migration.plugins.module_utils.plan import cost


def priorities(said: Any) -> dict[str, int]:
    """Return the table of criticality to priority that option ``criticality`` asks for. :raises ValueError: with the remedy."""
    if isinstance(said, str) and said in PRIORITIES:
        return PRIORITIES[said]
    table = PRIORITIES["preserve_shedding"]
    if not isinstance(said, dict):
        raise ValueError(f"criticality is {said!r}: give preserve_shedding, upstream, or a dictionary of {', '.join(table)} to integers.")
    for name, value in said.items():
        if name not in table:
            raise ValueError(f"criticality names {name!r}: the levels are {', '.join(table)}.")
        if not str(value).lstrip("-").isdigit():
            raise ValueError(f"criticality gives {name} the priority {value!r}: give an integer.")
    return table | {name: int(value) for name, value in said.items()}


def models(said: dict[str, Any]) -> dict[str, list[str]]:
    """Return the models by pool that option ``models`` names. :raises ValueError: with the remedy."""
    for pool, names in said.items():
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            raise ValueError(f"models gives pool {pool} {names!r}: give a list of model names.")
    return said


def options(params: dict[str, Any]) -> Options:
    """Make the options of the plan from the module's parameters. :raises ValueError: with the remedy."""
    unknown = catalogue.unknown_code(params["accept"])
    if unknown:
        raise ValueError(unknown)
    return Options(
        release=releases.target(params["target_version"]),
        priorities=priorities(params["criticality"]),
        pool_names=params["pool_names"],
        endpoints=tuple(params["endpoints"] or ENDPOINTS),
        endpoints_said=bool(params["endpoints"]),
        models=models(params["models"]),
        accept=frozenset(params["accept"]),
        namespaces=tuple(params["namespaces"]),
        epp_resources=params["epp_resources"],
        epp_image=picker_image.chosen(params["epp_image"] or ""),
        chart_values=chart_values.chosen(params["chart_values"]),
        shift=cost.shift_of({**params["shift"], "probe_rate": params["probe_rate"]}),
    )
