# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a loaded route was written and when every gateway instance had taken it. Pure but for read_lines."""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .load_report import Write


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a JSON lines file that something else may still be writing to; [] where there is none."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines() if line]


def converged_writes(seen: Sequence[Mapping[str, Any]], converged: Sequence[Mapping[str, Any]], instances: int) -> list[Write]:
    """The writes among the states of the loaded routes, each with the time at which the last gateway instance took it.

    seen: {"route", "generation", "time", "first"} in order; a first state is where the route began, not a write.
    converged: {"time", "instance", "routes": {NAMESPACE/NAME: generation}}, and "problem" where Envoy refused the change; an
    instance that took a later generation took this one too.
    """
    writes = []
    for entry in seen:
        if entry["first"]:
            continue
        taken: dict[Any, float] = {}
        for line in converged:
            if not line.get("problem") and int((line.get("routes") or {}).get(entry["route"], -1)) >= entry["generation"]:
                taken.setdefault(line["instance"], float(line["time"]))
        last = max(taken.values()) if len(taken) >= instances > 0 else None
        writes.append(Write(route=entry["route"], generation=entry["generation"], written=entry["time"], converged=last))
    return writes
