# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a migration may have changed in a user's route, and when its writes happened. Pure."""
from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

ALLOWED_LINE = re.compile(r"^[+-]\s*(- )?(group|name|weight): ")
HUNK = re.compile(r"^(---|\+\+\+|@@)")


def comparable(route: Mapping[str, Any]) -> list[str]:
    """The part of a route that belongs to its user, as YAML lines: labels, annotations and spec."""
    metadata = route["metadata"]
    own = {"metadata": {key: metadata.get(key) or {} for key in ("labels", "annotations")}, "spec": route["spec"]}
    return yaml.safe_dump(own, sort_keys=True, default_flow_style=False, width=10_000).splitlines()


def route_diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The changed lines of a route's user part, with their + and -."""
    lines = difflib.unified_diff(comparable(before), comparable(after), lineterm="", n=0)
    return [line for line in lines if not HUNK.match(line)]


def forbidden_lines(diff: Iterable[str]) -> list[str]:
    """The lines of a diff that are no group, name or weight line."""
    return [line for line in diff if not ALLOWED_LINE.match(line)]


def route_problems(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Sentences about what a migration should have left alone in a route, or should have changed and did not."""
    name = f"{before['metadata']['namespace']}/{before['metadata']['name']}"
    problems = []
    diff = route_diff(before, after)
    forbidden = forbidden_lines(diff)
    if not diff:
        problems.append(f"route {name} did not change at all")
    if forbidden:
        problems.append(f"route {name} changed in more than group, name and weight lines: {' | '.join(forbidden)}")
    old, new = before["spec"]["rules"], after["spec"]["rules"]
    for index, (one, other) in enumerate(zip(old, new)):
        pools = any(reference.get("kind") == "InferencePool" for reference in one.get("backendRefs", []))
        if not pools and one != other:
            problems.append(f"rule {index} of route {name} goes to no pool and was changed")
    if len(old) != len(new):
        problems.append(f"route {name} has {len(new)} rules instead of {len(old)}")
    return problems


def write_times(requests: Iterable[Mapping[str, Any]]) -> tuple[float | None, float | None]:
    """(time of the first write, time of the last delete's end) in the API proxy's request log, seconds since the epoch.

    Lease renewals and the journal are writes too; a delete is what `load ends 10 s after the last delete` speaks of.
    """
    writes = [float(line["time"]) for line in requests if line.get("write")]
    deletes = [float(line["time"]) + float(line.get("duration_ms") or 0) / 1000 for line in requests if line.get("write") and line["method"] == "DELETE"]
    return min(writes, default=None), max(deletes, default=None)


def span_problems(requests: Iterable[Mapping[str, Any]], begin: float, end: float, margin: float) -> list[str]:
    """Whether the load ran from `margin` seconds before the first write to `margin` seconds after the last delete."""
    first, last = write_times(list(requests))
    if first is None or last is None:
        return ["the migration wrote nothing, or deleted nothing"]
    problems = []
    if begin > first - margin:
        problems.append(f"the load began {first - begin:.1f} s before the first write, not {margin:g} s")
    if end < last + margin:
        problems.append(f"the load ended {end - last:.1f} s after the last delete, not {margin:g} s")
    return problems


def main() -> int:
    """``python -m tests.e2e.route_check BEFORE AFTER``: compare two files that hold a route as JSON; exit 1 with a sentence for each problem."""
    before, after = (json.loads(Path(name).read_text()) for name in sys.argv[1:])
    problems = route_problems(before, after)
    print("\n".join(problems or route_diff(before, after)))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
