# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a shift has not proven: what could not be asked, and what told nothing."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.scope import MigrationScope
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification import unproven

from tests.unit.helpers.migration_fakes import ALPHA, FakeCluster, gateway, http_route, make_plan, plan_pool, rule

Side = dict[str, Any]
CLOSED: Side = {"seconds": 30.0, "reason": None, "closed": True}
LATE: Side = {"seconds": 20.0, "reason": None, "closed": True}
ENDED: Side = {"seconds": 8.0, "reason": None, "closed": False}
LASTED: Side = {"seconds": 31.0, "reason": None, "closed": False}
CUT: Side = {"seconds": 12.0, "reason": "it ended before [DONE]", "closed": False}
SOONER: Side = CUT | {"seconds": 3.0}
REFUSED: Side = {"seconds": 0.0, "reason": "status 400 too long", "closed": False}
SHED: Side = {"seconds": 0.0, "reason": "status 429", "closed": False}


def gate(**streams: tuple[Side, Side]) -> dict[str, Any]:
    return {"streams": [{"what": what, "opened": 1.0 if alpha["seconds"] and v1["seconds"] else 0.0, "alpha": alpha, "v1": v1}
                        for what, (alpha, v1) in streams.items()]}


def streaming(**pools: str) -> list[unproven.Streaming]:
    """Places by pool, each a letter."""
    return [unproven.Streaming(pool=pool, what=what) for pool, places in pools.items() for what in places]


def of_streams(*gates: dict[str, Any], seconds: int = 35, timeout: int = 30, **pools: str) -> list[str]:
    asked = streaming(**pools or {"p": "a"})
    return [entry["what"] for entry in unproven.of_streams(gates, asked, seconds, {entry["pool"]: timeout for entry in asked})]


@pytest.mark.parametrize(
    ("alpha", "v1", "seconds", "proven"),
    [
        (CLOSED, CLOSED, 35, True),
        (LATE, CLOSED, 35, True),
        (LASTED, LASTED, 35, True),
        (ENDED, ENDED, 8, True),
        (ENDED, ENDED, 35, False),
        (CLOSED, ENDED, 35, False),
        (CUT, CUT, 35, True),
        (SOONER, CUT, 35, False),
        (CUT, CLOSED, 35, True),
        (REFUSED, REFUSED, 35, False),
        (REFUSED, CUT, 35, False),
    ],
)
def test_streams_prove_something_where_both_stacks_kept_or_cut_them(alpha: Side, v1: Side, seconds: int, proven: bool) -> None:
    assert (of_streams(gate(a=(alpha, v1)), seconds=seconds) == []) is proven


PAST: Side = CLOSED | {"seconds": 63.0}


@pytest.mark.parametrize(
    ("alpha", "v1", "told"),
    [
        (PAST, PAST, []),
        (CUT, CUT, []),
        (CLOSED, PAST, ["pool p: alpha was closed after 30 s; v1 was closed after 63 s, and its time-out is 60 s"]),
        (LASTED, LASTED, ["pool p: alpha ended by itself after 31 s; v1 ended by itself after 31 s, and its time-out is 60 s"]),
    ],
)
def test_where_v1alpha2_lets_requests_take_longer_streams_must_last_as_long(alpha: Side, v1: Side, told: list[str]) -> None:
    """One gate is enough; the streams of later ones are shorter."""
    assert of_streams(gate(a=(alpha, v1)), gate(a=(CLOSED, CLOSED)), timeout=60) == told


def test_one_gate_and_one_place_of_a_pool_are_enough_and_who_was_never_asked_is_named() -> None:
    gates = (gate(a=(REFUSED, REFUSED), c=(SHED, SHED)), gate(b=(CLOSED, CLOSED)), {})
    assert of_streams(*gates, p="ab", q="c", r="d") == [
        "pool q: alpha status 429 after 0 s; v1 status 429 after 0 s", "pool r: none was asked for",
    ]


def test_refused_streams_are_known_after_the_first_gate_and_what_passes_by_itself_is_not() -> None:
    def refused(*gates: dict[str, Any], **pools: str) -> list[str]:
        return [entry["what"].partition(":")[0] for entry in unproven.of_refused(gates, streaming(**pools), 35, {})]

    assert refused(gate(a=(CLOSED, CLOSED)), p="a") == refused(gate(a=(SHED, SHED)), p="a") == []
    assert refused(gate(a=(CLOSED, CLOSED), b=(REFUSED, REFUSED)), p="a", q="b") == ["pool q"]
    assert refused(gate(a=(CLOSED, CLOSED), b=(REFUSED, REFUSED)), p="ab") == []


@pytest.mark.parametrize(
    ("pools", "tracers", "seconds", "kinds"),
    [
        ({"p": "a"}, 500, 35, []),
        ({"p": "a"}, 0, 35, ["share"]),
        ({"p": "a"}, 500, 0, ["long-streams"]),
        ({}, 500, 35, ["long-streams"]),
        ({}, 0, 0, ["share", "long-streams"]),
    ],
)
def test_what_is_known_before_anything_is_asked(pools: dict[str, str], tracers: int, seconds: int, kinds: list[str]) -> None:
    assert [entry["kind"] for entry in unproven.of_options(streaming(**pools), tracers, seconds)] == kinds


def test_the_share() -> None:
    assert [entry["what"] for entry in unproven.of_split([{}, {"blind": ["x", "y"]}, {"blind": ["x"]}])] == ["x", "y"]
    assert [entry["what"] for entry in unproven.of_split([{"blind": ["x"], "undecided": ["z"]}])] == ["x", "z"]
    assert unproven.of_split([{"blind": [], "undecided": []}]) == []


def of_targets(place: Any = None, route: Any = None, own: Any = (), others: Any = (), **pool: Any) -> list[tuple[str, str]]:
    cluster = FakeCluster(route or http_route(rule(ALPHA)), place or gateway(), *others)
    here = MigrationScope.read(cluster, make_plan(plan_pool(**pool)), "igm", None, own)
    asked = {target: here.pool_of(target) for target in here.targets}
    return [(one["kind"], one["what"]) for one in unproven.of_targets(here.current.values(), here.listeners, here.pools(), asked)]


def test_what_no_request_of_ours_asks() -> None:
    assert of_targets() == []
    assert of_targets(endpoints=["/v1/completions", "/v1/rerank"]) == [("endpoint", "/v1/rerank of pool default/llama-preview")]
    own = {"path": "/v1/rerank", "body": {"model": "other"}}
    assert of_targets(endpoints=["/v1/completions", "/v1/rerank"], own=[own]) == [], "a person's own request asks it"
    silent = gateway(name="silent")
    del silent["status"]
    two = http_route(rule(ALPHA), parentRefs=[{"name": "gw"}, {"name": "silent"}])
    assert of_targets(route=two, others=[silent]) == [("address", "Gateway default/silent has none for HTTPRoute default/llm-route")]


def test_a_set_of_listeners_is_named() -> None:
    parents = [{"name": "gw"}, {"group": "gateway.networking.x-k8s.io", "kind": "XListenerSet", "name": "more"}]
    assert of_targets(route=http_route(rule(ALPHA), parentRefs=parents)) == [
        ("address", "XListenerSet default/more, which HTTPRoute default/llm-route names as a parent"),
    ]


def test_what_no_users_request_reaches_either_is_not_named() -> None:
    """An endpoint that no match lets through, and a listener on which another route takes everything."""
    assert of_targets(route=http_route(rule(ALPHA, path="/v1/chat"))) == []
    place = gateway({"name": "main", "protocol": "HTTP", "port": 8080}, {"name": "plain", "protocol": "HTTP", "port": 8081})
    redirect = http_route(rule({"name": "plain"}), name="a-redirect", parentRefs=[{"name": "gw", "sectionName": "plain"}])
    assert of_targets(place, others=[redirect]) == []


def test_an_address_is_asked_whichever_listener_there_takes_the_request() -> None:
    """The route is on a wide listener too, whose requests a closer one at the same port takes."""
    listeners = [{"name": "wide", "protocol": "HTTP", "port": 80}, {"name": "close", "protocol": "HTTP", "port": 80, "hostname": "llm.example.com"}]
    here = MigrationScope.read(FakeCluster(http_route(rule(ALPHA)), gateway(*listeners)), make_plan(), "igm1", None)
    assert {str(target.address.listener) for target in here.targets} == {"listener close of Gateway default/gw"}
    assert unproven.of_targets(here.current.values(), here.listeners, here.pools(), {target: here.pool_of(target) for target in here.targets}) == []


def test_the_sentence_has_each_kind_once() -> None:
    found = [unproven.Unproven(kind="model", what=what) for what in ("a", "b", "c")] + [unproven.Unproven(kind="share", what="x")]
    assert unproven.sentence(found) == "not proven: model (a and 2 more), share (x)"
    assert unproven.sentence([]) == ""
