# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/options.md, the one table of ``migration_*`` options, from the roles' defaults and argument specifications."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "options.md"
OPTION = re.compile(r"{{\s*(migration_\w+)\s*\|\s*default\((.*)\)\s*}}", re.DOTALL)
"""A role variable that takes an option of the playbooks, with its default."""
DEFAULT_SENTENCE = re.compile(r"\s*Default is V\(migration_\w+\)[^.]*\.(?=\s|$)|\s*Default is V\(migration_\w+\).*$")
MARKUP = re.compile(r"\b[VOCM]\(([^)]*)\)")
HEAD = """# Options

The playbooks read these variables from the inventory or `-e`. Each role takes them as variables under its own name, which
`ansible-doc -t role inference_gateway.migration.ROLE` lists. Made by `make docs`; do not edit.

| Option | Type | Default | Meaning |
|---|---|---|---|
"""


@dataclass(frozen=True)
class Option:
    """One row."""

    name: str
    kind: str
    default: str
    meaning: str


def plain(text: str) -> str:
    """Description without Ansible's markup, on one line and safe in a table."""
    return " ".join(MARKUP.sub(r"`\1`", text).split()).replace("|", "\\|")


def role_options(role: Path) -> list[Option]:
    """Options that one role takes from the playbook's level."""
    entries = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"].values()
    specifications = {name: option for entry in entries for name, option in (entry.get("options") or {}).items()}
    options = []
    for name, value in (yaml.safe_load((role / "defaults" / "main.yml").read_text()) or {}).items():
        match = OPTION.fullmatch(str(value).strip())
        if match and name in specifications:
            description = specifications[name].get("description", "")
            text = description if isinstance(description, str) else " ".join(description)
            kind = specifications[name].get("type", "str")
            options.append(Option(match[1], kind, plain(match[2]), plain(DEFAULT_SENTENCE.sub("", text))))
    return options


def table() -> str:
    """The whole page; an option that several roles take stands once, in the words of the first."""
    rows: dict[str, Option] = {}
    for role in sorted((ROOT / "roles").iterdir()):
        if (role / "defaults" / "main.yml").exists():
            for option in role_options(role):
                rows.setdefault(option.name, option)
    lines = [f"| `{row.name}` | {row.kind} | `{row.default}` | {row.meaning} |" for row in sorted(rows.values(), key=lambda row: row.name)]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    TABLE.write_text(table())
    print(f"{TABLE.relative_to(ROOT)} written", file=sys.stderr)
