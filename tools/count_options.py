# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts in how many lines of the roles an option stands, and how long the roles are.

``python -m tools.count_options [ROOT]``, also for a tree of another commit.

A line counts where it names the option, also as a variable of one role (``migration_install_context`` for ``migration_context``), or hands a value on under
the option's own name (``context:``). Options are read from docs/options.md, which has had them at all times.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).resolve().parents[1]
KINDS = {"options": ("defaults/*.yml", "meta/argument_specs.yml"), "tasks": ("tasks/*.yml", "vars/*.yml")}


def count(root: Path) -> str:
    """Return all counts as one line for a person and a machine."""
    roles = sorted(path for path in (root / "roles").iterdir() if path.is_dir())
    lines = {kind: [line for role in roles for name in names for path in role.glob(name) for line in path.read_text().splitlines()]
             for kind, names in KINDS.items()}
    options = re.findall(r"^\| `migration_(\w+)`", (root / "docs" / "options.md").read_text(), re.MULTILINE)
    owners = "|".join(role.name for role in roles if role.name != "migration")
    places = {}
    for option in options:
        pattern = re.compile(rf"\b(?:migration|{owners})_{option}\b|^\s+{option}: ")
        places[option] = sum(bool(pattern.search(line)) for kind in lines.values() for line in kind)
    total = sum(len(path.read_text().splitlines()) for role in roles for path in role.rglob("*.yml"))
    most = max(places, key=lambda option: places[option])
    return (f"count-options: options={len(options)} places_mean={mean(places.values()):.1f} places_most={places[most]} of={most}"
            f" option_lines={len(lines['options'])} task_lines={len(lines['tasks'])} role_lines={total}")


if __name__ == "__main__":
    print(count(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT))
