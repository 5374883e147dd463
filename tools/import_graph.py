# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes docs/imports.md, the import graph of module_utils.

``python -m tools.import_graph --count [ROOT]`` only counts, also in a tree of another commit.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "imports.md"
OWN = "ansible_collections.inference_gateway.migration.plugins"
FLOORS = (
    ("manifests", "releases", "steps"), ("managers", "plan_schema"), ("cluster",), ("routes",), ("estate", "probing"), ("conversion", "scope"),
    ("findings", "verification"), ("plan",),
)
"""Rooms of module_utils, the lowest floor first: a file imports from its own room and from floors below."""


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports, anywhere in it; ``from a import b`` gives ``a.b``."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; say the full name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def graph(root: Path) -> dict[str, set[str]]:
    """Return for each file of module_utils, by its dotted name there, the files of module_utils that it imports."""
    folder = root / "plugins" / "module_utils"
    files = {".".join(path.relative_to(folder).with_suffix("").parts): path for path in sorted(folder.rglob("*.py")) if path.name != "__init__.py"}
    return {
        name: {other for met in imports(path) for other in files if other != name and f"{met}.".startswith(f"{OWN}.module_utils.{other}.")}
        for name, path in files.items()
    }


def rooms(files: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return for each room the other rooms that its files import from."""
    found: dict[str, set[str]] = {}
    for name, met in files.items():
        mine = name.partition(".")[0]
        found.setdefault(mine, set()).update({other.partition(".")[0] for other in met} - {mine})
    return found


def depth(files: dict[str, set[str]]) -> int:
    """Return how many files the longest chain of imports has."""
    known: dict[str, int] = {}

    def of(name: str) -> int:
        if name not in known:
            known[name] = 1 + max((of(other) for other in files[name]), default=0)
        return known[name]

    return max(map(of, files))


def untyped(root: Path) -> int:
    """Return how many functions of plugins/ lack a type, of an argument or of what they return."""
    functions = (
        node
        for path in sorted((root / "plugins").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return sum(
        node.returns is None or any(
            argument.annotation is None and argument.arg not in ("self", "cls")
            for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg) if argument
        )
        for node in functions
    )


def count(root: Path) -> str:
    """Return all counts as one line for a person and a machine."""
    files = graph(root)
    return f"imports: files={len(files)} rooms={len(rooms(files))} chain={depth(files)} functions_without_types={untyped(root)}"


def page() -> str:
    """Return the whole page: the rooms as a picture, and what each file imports."""
    files = graph(ROOT)
    lines = [
        "# Import graph of module_utils", "",
        "Arrows go from a room to those it imports from; a test lets none go upwards ([architecture.md](architecture.md)).",
        "Made by `make docs`; do not edit.", "",
        "```mermaid", "flowchart TD",
    ]
    for number, names in reversed([*enumerate(FLOORS)]):
        lines += [f"  subgraph floor{number} [floor {number}]", *(f"    {name}" for name in names), "  end"]
    lines += [f"  {room} --> {other}" for room, others in sorted(rooms(files).items()) for other in sorted(others)]
    lines += ["```", "", "| File | Imports |", "|---|---|"]
    lines += [f"| `{name}` | {', '.join(f'`{other}`' for other in sorted(met)) or 'nothing of ours'} |" for name, met in sorted(files.items())]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", nargs="?", const=ROOT, type=Path, metavar="ROOT", help="only count, in this checkout or another")
    chosen = parser.parse_args().count
    if chosen:
        print(count(chosen))
        return
    PAGE.write_text(page())
    print(f"{PAGE.relative_to(ROOT)} written", file=sys.stderr)


if __name__ == "__main__":
    main()
