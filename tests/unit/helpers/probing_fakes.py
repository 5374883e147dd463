# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probe targets of one route, and answers that are as a test says."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import gate, targets
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.load import ProbeLoad
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sprt import Bounds
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import Probe, ProbeTarget
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.listeners import Listener

from tests.unit.helpers.migration_fakes import ALPHA, KEY, http_route, listeners, plan_pool, rule

CELLS = targets.probe_targets(http_route(rule(ALPHA)), listeners(), {KEY: plan_pool()})
GATE = Bounds(p1=0.2)


@dataclass(frozen=True)
class Said:
    reason: str | None = None
    status: int = 200
    model: str = ""
    seconds: float = 0.0
    first: float = 0.0
    by_gateway: bool = False

    @property
    def ok(self) -> bool:
        return self.reason is None

    @property
    def kind(self) -> str:
        return self.reason or ""


def address(host: str, port: int, tls: bool) -> targets.Address:
    """Where a listener of Gateway default/gw answers."""
    return targets.Address(Listener("default", "gw", "http", port, tls, ""), host)


OK, BAD = Said(), Said("status 503", 503)


def probes(*variants: targets.Variant | None, among: tuple[ProbeTarget, ...] = tuple(CELLS)) -> list[Probe]:
    return [targets.probe(target, variant, "igm1", {}) for variant in variants for target in among]


def comparisons(among: tuple[ProbeTarget, ...] = tuple(CELLS)) -> list[gate.Comparison]:
    return [tuple(probes("alpha", "v1", None, among=(target,))) for target in among]


def fast() -> ProbeLoad:
    return ProbeLoad(1e9)


def soon(seconds: float = 20.0) -> float:
    return time.monotonic() + seconds
