# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the list of all distinct requests of a migration from the API proxy's log of an undisturbed one, phase by phase. Pure but for load and save."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.campaign.evidence import LEASE

PATH = Path(__file__).resolve().parent / "census.json"
PHASES = ("install", "shift", "retire")
RANDOM = re.compile(r"(?<=igm)[0-9a-f]{8}|(?<=-backup-)[0-9a-f]{8}|(?<=-plan-)[0-9a-f]{8}")
"""What is another in each migration: its id, in the names of probe routes, of the backup and of the plan."""
WILD = "{id}"
ROUTE = re.compile(r"/httproutes/(?!.*-igm)[^/]+$")


class Request(NamedTuple):
    """One distinct request: of a phase, with a verb, to an object.

    :param path: without query, random parts as ``{id}``.
    :param nth: which of several: each write of a user's route is one of its own, for it is another step; else 0.
    :param count: how often it was sent.
    """

    phase: str
    method: str
    path: str
    nth: int
    count: int

    @property
    def write(self) -> bool:
        return self.method != "GET"

    @property
    def pattern(self) -> str:
        """The whole path as a regular expression."""
        return "^" + re.escape(self.path).replace(re.escape(WILD), "[0-9a-f]{8}") + "$"


def distinct(phase: str, calls: Iterable[Mapping[str, Any]]) -> list[Request]:
    """Return the distinct writes and reads of one phase, in the order in which they came first. Renewals of the Lease, reviews and dry runs are none."""
    counts: Counter[tuple[str, str]] = Counter()
    for call in calls:
        path = RANDOM.sub(WILD, call["path"].partition("?")[0])
        if (call["write"] or call["method"] == "GET") and not (call["write"] and path.endswith(f"/leases/{LEASE.name}")):
            counts[call["method"], path] += 1
    found = []
    for (method, path), count in counts.items():
        each = method != "GET" and ROUTE.search(path) is not None
        found += [Request(phase, method, path, number, count) for number in range(count if each else 1)]
    return found


def save(requests: Iterable[Request], path: Path = PATH) -> None:
    """Write the census, a line a request."""
    lines = [json.dumps(list(request)) for request in requests]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n")


def load(path: Path = PATH) -> list[Request]:
    """Read the census."""
    return [Request(*row) for row in json.loads(path.read_text())]
