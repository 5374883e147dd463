# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Census, sample and record of the fault campaign: what is distinct, that every pair is met, and what the last line says."""

from __future__ import annotations

import random
import re
from itertools import combinations
from typing import Any

import pytest

from tests.campaign import census, record, sample
from tools.campaign_page import PAGE, load, page

ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/inference-gateway-migration/leases/inference-gateway-migration"


def call(method: str, path: str, write: bool | None = None) -> dict[str, Any]:
    return {"method": method, "path": path, "write": method != "GET" if write is None else write}


CALLS = [
    call("PUT", LEASE), call("POST", "/api/v1/namespaces?dryRun=All", write=False), call("GET", f"{ROUTES}?limit=500"), call("GET", ROUTES),
    call("PUT", f"{ROUTES}/llm-route?fieldManager=x"), call("PUT", f"{ROUTES}/llm-route"), call("DELETE", f"{ROUTES}/llm-route-igm01234567-both-0"),
    call("DELETE", f"{ROUTES}/llm-route-igm76543210-both-0"),
]


def test_what_is_distinct() -> None:
    assert census.distinct("shift", CALLS) == [
        census.Request("shift", "GET", ROUTES, 0, 2),
        census.Request("shift", "PUT", f"{ROUTES}/llm-route", 0, 2),
        census.Request("shift", "PUT", f"{ROUTES}/llm-route", 1, 2),
        census.Request("shift", "DELETE", f"{ROUTES}/llm-route-igm{{id}}-both-0", 0, 2),
    ]


def test_a_pattern_meets_another_migrations_request() -> None:
    pattern = census.distinct("shift", CALLS)[-1].pattern
    assert re.search(pattern, f"{ROUTES}/llm-route-igmdeadbeef-both-0") and not re.search(pattern, f"{ROUTES}/llm-route-igmdeadbeef-both-01")


@pytest.mark.parametrize("follows", [("again",), ("again", "rollback")])
def test_the_sample_meets_every_request_and_every_pair(follows: tuple[str, ...]) -> None:
    requests = [*census.distinct("shift", CALLS), *census.distinct("retire", CALLS)]
    chosen = sample.pairwise(requests, follows)
    assert {case.request for case in chosen if case.request and case.request.write} == {request for request in requests if request.write}
    assert {case.request.path for case in chosen if case.request and not case.request.write} == {ROUTES}, "a read in one phase at least"
    possible = sample.candidates(requests, follows, random.Random(1))
    met = {pair for case in chosen for pair in combinations(sample.factors(case), 2)}
    assert met == {pair for case in possible for pair in combinations(sample.factors(case), 2)}
    assert chosen == sample.pairwise(requests, follows) and len({case.name for case in chosen}) == len(chosen), "the same each time, and each once"
    assert sorted(case for number in (1, 2, 3) for case in sample.shard(chosen, number, 3)) == sorted(chosen)


def test_moments_are_in_every_phase_and_followed_by_both_ways_where_there_are_two() -> None:
    chosen = sample.moments(20, ("again", "rollback"))
    assert len({case.name for case in chosen}) == 20 and chosen == sample.moments(20, ("again", "rollback")) != sample.moments(20, ("again", "rollback"), 1)
    ways = {(phase, then) for phase in census.PHASES for then in ("again", "rollback")}
    assert {(case.phase, case.then) for case in chosen} == ways - {("retire", "rollback")}
    assert all(0 <= case.after < sample.PARTS and case.fault == sample.AT_A_MOMENT for case in chosen)


def test_the_committed_census_has_every_phase() -> None:
    requests = census.load()
    assert {request.phase for request in requests} == set(census.PHASES)
    assert all(any(request.write for request in requests if request.phase == phase) for phase in census.PHASES)


def run(**changed: Any) -> dict[str, Any]:
    plain = {"case": "c", "phase": "shift", "method": "PUT", "path": "/x", "after": 0, "fault": "409", "then": "again", "fired": 1, "seconds": 1.0,
             "plays": [{"what": "fault", "verdict": "PROVEN"}], "load": {"requests": 10, "lost": 0, "cut": 0}, "violations": [], "broken": [], "commit": "abc"}
    return plain | changed


def test_the_last_line() -> None:
    runs = [run(), run(fired=0), run(violations=["I1: x"]), run(fault="models-killed", method="", load={"requests": 5, "lost": 3}), run(fault="none")]
    assert record.figures(runs) == {"runs": 5, "writes": 3, "fired": 3, "requests": 45, "broken": 2, "lost": 0}


def test_broken_runs_are_made_again() -> None:
    kept = record.Record(record.path_of(1, 1), 1, [run(), run(case="d", broken=["x"]), run(case="e", fired=0), run(case="f", violations=["I1: x"])])
    assert kept.names() == {"c"}


def test_the_page_tells_what_is_broken() -> None:
    text = page([run(), run(case="d", fired=0), run(case="e", violations=["I9: a | b"])], ["one.json"])
    assert "| shift | 409 | 3 | 2 | 30 | 0 | 0 | 2 |" in text
    assert "the fault did not fire" in text and "I9: a \\| b" in text


def test_the_page_is_made_from_the_records() -> None:
    assert PAGE.read_text() == page(*load()), "docs/campaign.md is not what the records say: make docs"
