# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses the runs of a campaign: a seeded pairwise sample of request, fault and what follows. Pure and deterministic.

Each distinct write of each phase is disturbed at least once, and each distinct read in one phase at least, for the same code reads in all of them. Every pair
of values of two factors is met that can be met at all: phase, verb with the part of the migration that the object belongs to, fault, and what follows.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from tests.campaign.census import PHASES, Request
from tests.campaign.evidence import STATE_NAMESPACE

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
AT_A_MOMENT = "killed-at-a-moment"
"""The fault of a run that is killed at some moment, whatever it does then."""
PARTS = 1000
"""Of what a phase takes, in which moments are counted."""


class Case(NamedTuple):
    """One run to be made.

    :param request: what is disturbed; None where ``fault`` is no fault of a request.
    :param after: how many equal requests pass before; for :data:`AT_A_MOMENT` how many thousandths of what the phase takes undisturbed.
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
        what = f"{self.request.method} {self.request.path} #{self.after}" if self.request else f"{self.after}/{PARTS}" if self.after else "-"
        return f"{self.phase}: {what}: {self.fault}, then {self.then}"


def area_of(path: str) -> str:
    """Return what part of a migration a path belongs to."""
    if "-igm" in path:
        return "probe route"
    if "/httproutes/" in path:
        return "user's route"
    if f"/namespaces/{STATE_NAMESPACE}" in path:
        return "state"
    return "definition" if "/customresourcedefinitions" in path else "object"


def factors(case: Case) -> tuple[tuple[str, str], ...]:
    """Return the values of a run's factors. A fault of reads and one of writes are two, for they are met in other places."""
    request = case.request
    assert request is not None
    return (("phase", case.phase), ("area", f"{request.method} {area_of(request.path)}"), ("fault", f"{request.write} {case.fault}"), ("then", case.then))


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


def owed(request: Request | None) -> tuple[str, ...]:
    """Return what must be disturbed once: a write in its phase and as often as it is a step of its own, a read in whichever phase."""
    assert request is not None
    return (request.phase, request.method, request.path, str(request.nth)) if request.write else (request.method, request.path)


def pairwise(requests: Sequence[Request], follows: Sequence[str], seed: int = SEED) -> list[Case]:
    """Return the sample, writes first.

    Greedy: of all that is possible the run that meets most pairs not met before, until none is left and each that is owed was disturbed.
    """
    chance = random.Random(seed)
    possible = candidates(requests, follows, chance)
    chance.shuffle(possible)
    pairs = [frozenset(combinations(factors(case), 2)) for case in possible]
    open_pairs = set().union(*pairs) if pairs else set()
    open_requests = {owed(case.request) for case in possible}
    chosen: list[Case] = []
    left = list(range(len(possible)))
    while open_pairs or open_requests:
        best = max(left, key=lambda number: len(pairs[number] & open_pairs) + 2 * (owed(possible[number].request) in open_requests))
        left.remove(best)
        chosen.append(possible[best])
        open_pairs -= pairs[best]
        open_requests.discard(owed(possible[best].request))
    # Writes first: where the time is up before the end, reads are what is left out
    return sorted(chosen, key=lambda case: case.request is not None and not case.request.write)


def moments(count: int, follows: Sequence[str], seed: int = SEED) -> list[Case]:
    """Return runs that are killed for good at random moments, as many in each phase; what follows them changes with each."""
    chance = random.Random(seed)
    chosen = [(PHASES[number % len(PHASES)], follows[number // len(PHASES) % len(follows)]) for number in range(count)]
    return [Case(None, phase, AT_A_MOMENT, chance.randrange(PARTS), "again" if phase == "retire" else then) for phase, then in chosen]


def shard(cases: Sequence[Case], number: int, of: int) -> list[Case]:
    """Return the runs of shard ``number`` (from 1) of ``of``."""
    return list(cases[number - 1::of])
