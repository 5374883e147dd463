# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes docs/campaign.md from the records in tests/campaign/results: ``python -m tools.campaign_page``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tools.stage import ROOT

PAGE = ROOT / "docs" / "campaign.md"
RECORDS = ROOT / "tests" / "campaign" / "results"
HEAD = """\
# Fault campaign

Made by `python -m tools.campaign_page` from the records in `tests/campaign/results`; `make campaign` makes those. Each run begins at the snapshot of a phase,
under load. One request of the playbook is disturbed, or the playbook is killed at a moment (nth: in thousandths of what the phase takes), then the same command
runs again, or the rollback, and one piece of code judges all that was observed by the invariants I1 to I10;
`tests/campaign/invariants.py` says what they are and by which evidence. A run is broken when its fault did not fire, an invariant
does not hold, the second run does not end well, or the load's books do not balance.

"""


def load() -> tuple[list[dict[str, Any]], list[str]]:
    """Return every run of every record, the newest of each name, and the files."""
    runs: dict[str, dict[str, Any]] = {}
    files = sorted(RECORDS.glob("*.json"))
    for path in files:
        for run in json.loads(path.read_text())["runs"]:
            runs[run["case"]] = run
    return list(runs.values()), [path.name for path in files]


def broken(run: Mapping[str, Any]) -> bool:
    """Whether a run proves nothing, or something bad."""
    return bool(run["broken"] or run["violations"] or not run["fired"])


def row(cells: Iterable[Any]) -> str:
    """Return one row of a table."""
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |\n"


def page(runs: list[dict[str, Any]], files: list[str]) -> str:
    """Return the whole page."""
    disturbed = [run for run in runs if run["fault"] != "none"]
    commits = sorted({run["commit"][:10] + ("+" if run["commit"].endswith("+") else "") for run in runs})
    text = HEAD + f"{len(runs)} runs from {', '.join(files) or 'no record'}, on commit {', '.join(commits) or '-'}.\n\n## By phase and fault\n\n"
    text += row(("Phase", "Fault", "Runs", "Fired", "Requests", "Lost", "Cut", "Broken")) + row(["---"] * 8)
    for phase, fault in sorted({(run["phase"], run["fault"]) for run in disturbed}):
        part = [run for run in disturbed if (run["phase"], run["fault"]) == (phase, fault)]
        sums = [sum(run["load"].get(name, 0) for run in part) for name in ("requests", "lost", "cut")]
        text += row((phase, fault, len(part), sum(bool(run["fired"]) for run in part), *sums, sum(map(broken, part))))
    text += "\n## Every run\n\n" + row(("Phase", "Request", "nth", "Fault", "Runs of the playbook", "Lost", "Seconds", "Result")) + row(["---"] * 8)
    for run in sorted(runs, key=lambda entry: (entry["phase"], entry["method"], entry["path"], entry["fault"], entry["case"])):
        plays = ", ".join(f"{play['what']} {play['verdict']}" for play in run["plays"])
        faults = [*run["violations"], *run["broken"], *([] if run["fired"] else ["the fault did not fire"])]
        request = f"`{run['method']} {run['path']}`" if run["method"] else "-"
        told = "; ".join(dict.fromkeys(faults[:3])) or "good"
        text += row((run["phase"], request, run["after"], run["fault"], plays, run["load"].get("lost", "-"), run["seconds"], told))
    return text


def main(path: Path = PAGE) -> None:
    """Write the page."""
    path.write_text(page(*load()))
    print(f"{path.relative_to(ROOT)} written", file=sys.stderr)


if __name__ == "__main__":
    main()
