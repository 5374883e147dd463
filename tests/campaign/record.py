# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the record of a campaign's shard: each run as JSON, with the commit it ran on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from igw_sandbox.context import write_atomically
from tests.campaign.disturbances import EXPECTED_LOSS
from tests.campaign.runs import Outcome
from tools.stage import ROOT

FOLDER = Path(__file__).resolve().parent / "results"


def path_of(number: int, of: int, what: str = "shard") -> Path:
    """Return the file of a shard's record."""
    return FOLDER / f"{what}-{number}-of-{of}.json"


def commit() -> str:
    """Return the checkout's commit, with ``+`` where it was edited since."""
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--", "plugins", "roles", "playbooks", "sandbox", "tests/campaign/*.py") else "")


class Record:
    """The runs of one shard, written after each."""

    def __init__(self, path: Path, seed: int, runs: list[dict[str, Any]] | None = None) -> None:
        self.path, self.seed = path, seed
        self.runs = runs or []

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read a record to go on with; an empty one where there is none."""
        if not path.exists():
            return cls(path, 0)
        found = json.loads(path.read_text())
        return cls(path, found["seed"], found["runs"])

    def names(self) -> set[str]:
        """Return the names of the runs that were made and are not broken: those are to be made again."""
        return {run["case"] for run in self.runs if not is_broken(run)}

    def add(self, outcome: Outcome) -> None:
        """Add a run, in place of an earlier one of that name, and write the record."""
        self.runs = [run for run in self.runs if run["case"] != outcome.case] + [asdict(outcome) | {"commit": commit()}]
        machine = {"cpus": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, json.dumps({"campaign": 1, "seed": self.seed, "machine": machine, "runs": self.runs}, indent=1) + "\n")

    def last_line(self) -> str:
        """Return the line for machines."""
        return f"campaign: {' '.join(f'{name}={value}' for name, value in figures(self.runs).items())}"

    def good(self) -> bool:
        """Whether nothing is broken or lost."""
        found = figures(self.runs)
        return bool(found["runs"]) and not found["broken"] and not found["lost"]


def is_broken(run: Mapping[str, Any]) -> bool:
    """Whether a run proves nothing, or something bad."""
    return bool(run["broken"] or run["violations"] or not run["fired"])


def figures(runs: list[dict[str, Any]]) -> dict[str, int]:
    """Return what the last line says: runs, disturbed writes, faults that fired, users' requests, broken runs and lost requests."""
    disturbed = [run for run in runs if run["fault"] != "none"]
    return {
        "runs": len(runs),
        "writes": sum(run["method"] not in ("", "GET") for run in disturbed),
        "fired": sum(bool(run["fired"]) for run in disturbed),
        "requests": sum(run["load"].get("requests", 0) for run in runs),
        "broken": sum(map(is_broken, runs)),
        "lost": sum(run["load"].get("lost", 0) for run in runs if run["fault"] not in EXPECTED_LOSS),
    }
