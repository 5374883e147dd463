# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes docs/options.md, the one table of ``migration_*`` options, from the defaults and the argument specification of role ``migration``."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "options.md"
MARKUP = re.compile(r"\b[VOCM]\(([^)]*)\)")
HEAD = """# Options

The playbooks and roles read these variables from the inventory or `-e`. A variable whose name begins with `migration_` and is not here is refused; only the
playbooks' own `migration_hosts`, which says what hosts they run on, is known besides. Made by `make docs`; do not edit.

| Option | Type | Default | Meaning |
|---|---|---|---|
"""


@dataclass(frozen=True)
class Option:
    """One row of the table."""

    name: str
    kind: str
    default: str
    meaning: str


def plain(text: str) -> str:
    """Return a description without Ansible's markup, on one line and safe in a table."""
    return " ".join(MARKUP.sub(r"`\1`", text).split()).replace("|", "\\|")


def options() -> list[Option]:
    """Return every option, sorted by name."""
    role = ROOT / "roles" / "migration"
    specifications = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text())
    return [Option(name, said["type"], json.dumps(defaults[name]), plain(said["description"])) for name, said in sorted(specifications.items())]


def table() -> str:
    """Return the whole page."""
    return HEAD + "".join(f"| `{row.name}` | {row.kind} | `{row.default}` | {row.meaning} |\n" for row in options())


if __name__ == "__main__":
    TABLE.write_text(table())
    print(f"{TABLE.relative_to(ROOT)} written", file=sys.stderr)
