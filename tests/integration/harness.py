# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What integration tests share: estates, options that make a run quick, how a playbook ended, what a route says."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SANDBOX = Path(__file__).resolve().parents[1] / "sandbox"
sys.path.insert(0, str(SANDBOX))

from igw_sandbox.world import World  # noqa: E402

ESTATES = SANDBOX / "estates"
FAST_GATE = {"p1": 0.2}
"""37 pairs and a few more for the split over gates: for tests that are not about the gate."""
QUICK = {"migration_gate": FAST_GATE, "migration_warm_seconds": 60, "migration_settle_seconds": 90, "migration_gate_seconds": 120}


@dataclass
class Ended:
    """How a playbook ended: exit status, report, log, and the load's summary where there was one."""

    status: int
    report: dict[str, Any]
    log: str
    load: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        return self.report["verdict"]

    @property
    def reason(self) -> str:
        return self.report["reason"]


def route_spec(world: World) -> Any:
    """The user's route as it is now."""
    return world.kubectl_json("get", "httproute", "llm-route")["spec"]


def alpha_share(world: World) -> list[tuple[str, int]]:
    """(group, weight) of what the first rule of the user's route names."""
    return [(reference.get("group", ""), reference.get("weight", 1)) for reference in route_spec(world)["rules"][0]["backendRefs"]]
