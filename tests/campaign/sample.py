# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses the runs of a campaign: a seeded pairwise sample of request, fault and what follows. Pure and deterministic.

Each distinct request is disturbed at least once. Beyond that every pair of values of two factors is met that can be met at all: phase, verb and kind of the
object (taken together they are the object's sort), fault, how manieth of equal requests, and what follows.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from tests.campaign.census import Request

DENIED = 'admission webhook "policy.example.com" denied the request: not at this hour'
WRITE_FAULTS: dict[str, dict[str, Any]] = {
    "killed-before": {"kind": "kill", "group": True, "when": "before"},
    "killed-after": {"kind": "kill", "group": True, "when": "after"},
    "orphaned-before": {"kind": "kill", "group": False, "when": "before"},
    "orphaned-after": {"kind": "kill", "group": False, "when": "after"},
    "409": {"kind": "status", "status": 409},
    "429": {"kind": "status", "status": 429, "retry_after": 2},
    "500": {"kind": "status", "status": 500},
    "answer-lost": {"kind": "drop_answer"},
    "denied": {"kind": "status", "status": 403, "message": DENIED},
}
"""Kills of ansible-playbook alone leave its module as an orphan."""
READ_FAULTS: dict[str, dict[str, Any]] = {
    "dropped": {"kind": "reset"},
    "500": {"kind": "status", "status": 500},
    "403": {"kind": "status", "status": 403, "message": 'the object is forbidden: User "client-1" cannot read it'},
}
FAULTS = {True: WRITE_FAULTS, False: READ_FAULTS}
SEED = 20261129


class Case(NamedTuple):
    """One run to be made.

    :param request: what is disturbed; None where ``fault`` is no fault of a request.
    :param after: how many equal requests pass before.
    :param then: ``again`` or ``rollback``.
    """

    request: Request | None
    phase: str
    fault: str
    after: int
    then: str

    @property
    def name(self) -> str:
        """What tells this run from all others, also in another campaign."""
        what = f"{self.request.method} {self.request.path} #{self.after}" if self.request else "-"
        return f"{self.phase}: {what}: {self.fault}, then {self.then}"


def kind_of(path: str) -> str:
    """Return the resource that a path names, e.g. ``httproutes``."""
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    return rest[0] if rest else path


def factors(case: Case) -> tuple[tuple[str, str], ...]:
    """Return the values of a run's factors."""
    request = case.request
    assert request is not None
    sort = f"{request.method} {'probe-' if '-igm' in request.path else ''}{kind_of(request.path)}"
    return (("phase", case.phase), ("sort", sort if request.write else "GET"), ("fault", f"{request.write} {case.fault}"), ("then", case.then))


def candidates(requests: Iterable[Request], follows: Sequence[str], chance: random.Random) -> list[Case]:
    """Return every run that is possible, each with one of the equal requests, chosen by chance: of reads the first half, for how often they come varies."""
    found = []
    for request in requests:
        for fault in FAULTS[request.write]:
            for then in follows if request.phase != "retire" or "rollback" not in follows else ("again",):
                last = request.count if request.write else (request.count + 1) // 2
                after = request.nth if request.nth or request.path.endswith("/llm-route") and request.write else chance.randrange(last)
                found.append(Case(request, request.phase, fault, after, then))
    return found


def pairwise(requests: Sequence[Request], follows: Sequence[str], seed: int = SEED) -> list[Case]:
    """Return the sample, in an order by which each part of it is spread over all phases and faults.

    Greedy: of all that is possible the run that meets most pairs not met before, until none is left and each request was disturbed.
    """
    chance = random.Random(seed)
    possible = candidates(requests, follows, chance)
    chance.shuffle(possible)
    pairs = [frozenset(combinations(factors(case), 2)) for case in possible]
    open_pairs = set().union(*pairs) if pairs else set()
    open_requests = {case.request for case in possible}
    chosen: list[Case] = []
    left = list(range(len(possible)))
    while open_pairs or open_requests:
        best = max(left, key=lambda number: (2 * len(pairs[number] & open_pairs) + (possible[number].request in open_requests)))
        left.remove(best)
        chosen.append(possible[best])
        open_pairs -= pairs[best]
        open_requests.discard(possible[best].request)
    return chosen


def shard(cases: Sequence[Case], number: int, of: int) -> list[Case]:
    """Return the runs of shard ``number`` (from 1) of ``of``."""
    return list(cases[number - 1::of])
