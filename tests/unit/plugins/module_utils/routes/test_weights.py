# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Weight arithmetic and probe routes, for any rule that Gateway API allows."""

from __future__ import annotations

from copy import deepcopy
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ansible_collections.inference_gateway.migration.plugins.module_utils import manifests
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import probe_routes, references, weights
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey

from tests.unit.helpers.migration_fakes import ALPHA, KEY, MOVES, V1, http_route, rule

Reference = dict[str, Any]

OTHER_KEY = PoolKey(manifests.ALPHA_GROUP, "InferencePool", "models", "mistral")
"""In another namespace than the route: references say so."""
TWO_MOVES = MOVES | {OTHER_KEY: "llama-preview"}
"""The second v1 pool bears the first alpha pool's name: only group and namespace tell them apart."""

KINDS: list[Reference] = [
    ALPHA,
    {"group": manifests.ALPHA_GROUP, "kind": "InferencePool", "name": "mistral", "namespace": "models"},
    {"name": "plain", "port": 8000},
    {"group": "", "kind": "Service", "name": "llama-preview", "port": 80},
    {"group": manifests.V1_GROUP, "kind": "InferencePool", "name": "llama-preview"},
    {"group": manifests.ALPHA_GROUP, "kind": "InferencePool", "name": "llama-preview", "namespace": "elsewhere"},
]
EXTRAS: list[Reference] = [
    {},
    {"x-of-the-future": {"keep": ["me"]}},
    {"filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "a", "value": "b"}]}}]},
]


def one_reference(weights: st.SearchStrategy[int]) -> st.SearchStrategy[Reference]:
    said = st.one_of(st.just({}), weights.map(lambda weight: {"weight": weight}))
    return st.tuples(st.sampled_from(KINDS), st.sampled_from(EXTRAS), said).map(lambda parts: parts[0] | parts[1] | parts[2])


WEIGHTS = st.one_of(st.integers(0, 100), st.sampled_from([0, 1, 3, 7, 97, 9973]))
RULES = st.lists(one_reference(WEIGHTS), min_size=1, max_size=16)
SHARES = st.integers(0, 100)


def weight(reference: Reference) -> int:
    return reference.get("weight", 1)


def moved(reference: Reference, moves: dict[PoolKey, str] = TWO_MOVES) -> bool:
    return references.pool_key(reference, "default") in moves


def fractions(references: list[Reference]) -> list[Fraction]:
    total = sum(map(weight, references))
    return [Fraction(weight(reference), total) for reference in references]


def without_weight(reference: Reference) -> Reference:
    return {field: value for field, value in reference.items() if field != "weight"}


# -- split --------------------------------------------------------------------------------------------------------------


@given(RULES, SHARES)
@settings(max_examples=150)
def test_split_gives_v1_its_share_and_nobody_else_a_different_one(original: list[Reference], share: int) -> None:
    kept = deepcopy(original)
    after = weights.split_references(original, "default", TWO_MOVES, share)
    assert original == kept, "what was handed in is not changed"
    assert all(0 <= weight(reference) <= weights.MAX_WEIGHT and isinstance(weight(reference), int) for reference in after)
    if sum(map(weight, original)) == 0:
        assert sum(map(weight, after)) == 0
        return
    assert sum(map(weight, after)) > 0
    shares, left = fractions(after), list(zip(after, fractions(after)))
    assert sum(shares) == 1
    for reference, before in zip(original, fractions(original)):
        found, part = left.pop(0)
        if not moved(reference):
            assert (without_weight(found), part) == (without_weight(reference), before)
            continue
        twin, v1_part = left.pop(0)
        assert without_weight(found) == without_weight(reference)
        assert without_weight(twin) == without_weight(reference) | {"group": manifests.V1_GROUP, "name": TWO_MOVES[references.pool_key(reference, "default")]}
        assert v1_part == before * Fraction(share, 100)
        assert part == before * Fraction(100 - share, 100)
    assert not left


@pytest.mark.parametrize("share", [-1, 101])
def test_share_is_a_percentage(share: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 100"):
        weights.split_references([ALPHA], "default", MOVES, share)


def test_weights_that_read_well_stay_as_they_are() -> None:
    assert [weight(entry) for entry in weights.split_references([ALPHA], "default", MOVES, 10)] == [90, 10]
    assert [weight(entry) for entry in weights.split_references([ALPHA | {"weight": 3}, {"name": "plain"}], "default", MOVES, 0)] == [300, 0, 100]


def test_large_weights_are_reduced_exactly() -> None:
    original = [ALPHA | {"weight": 1_000_000}, {"name": "plain", "weight": 500_000}]
    after = weights.split_references(original, "default", MOVES, 25)
    assert max(map(weight, after)) <= weights.MAX_WEIGHT
    assert fractions(after) == [Fraction(1, 2), Fraction(1, 6), Fraction(1, 3)]


def test_weights_that_can_not_be_split_say_what_to_do() -> None:
    with pytest.raises(ValueError, match="smaller weights of the same ratio"):
        weights.split_references([ALPHA | {"weight": 999_983}, {"name": "plain", "weight": 1}], "default", MOVES, 1)


def test_sixteen_references() -> None:
    original = [{"name": f"plain-{number}", "weight": number} for number in range(15)] + [ALPHA | {"weight": 15}]
    after = weights.split_references(original, "default", MOVES, 50)
    assert len(after) == 17 and fractions(after)[-2:] == [Fraction(15, 240)] * 2


# -- recognise and round trips -------------------------------------------------------------------------------------------


@given(RULES.filter(lambda refs: any(moved(reference) and weight(reference) for reference in refs)), SHARES)
@settings(max_examples=60)
@example([ALPHA | {"weight": 20011}, {"name": "plain", "weight": 1}], 50)
def test_a_split_rule_is_recognised(original: list[Reference], share: int) -> None:
    live = weights.split_references(original, "default", TWO_MOVES, share)
    assert weights.recognise(live, original, "default", TWO_MOVES) == {share}


def test_a_split_rule_that_a_person_wrote_is_recognised_by_its_ratio() -> None:
    """1 and 0 by hand are the share 0, and another order or another reference is somebody else's."""
    alpha, v1 = dict(ALPHA), dict(V1)
    original = [alpha | {"weight": 7}]
    for pair, share in (((1, 0), 0), ((2, 2), 50), ((0, 3), 100)):
        assert weights.recognise([alpha | {"weight": pair[0]}, v1 | {"weight": pair[1]}], original, "default", MOVES) == {share}
    assert weights.recognise([v1 | {"weight": 0}, alpha | {"weight": 1}], original, "default", MOVES) == set()
    assert weights.recognise([alpha | {"weight": 1}], original, "default", MOVES) == set(), "without v1 it is not ours"
    route = http_route(rule(alpha | {"weight": 7}))
    by_hand = http_route(rule(alpha | {"weight": 1}, v1 | {"weight": 1}))
    assert weights.share_of(by_hand, route, MOVES) == 50 and weights.form_of(by_hand, route, MOVES) == ("split", 50)


@given(RULES)
@settings(max_examples=100)
def test_original_and_finished_rules_are_recognised(original: list[Reference]) -> None:
    finished = weights.finished_references(original, "default", TWO_MOVES)
    assert [without_weight(entry) for entry in finished if not moved(entry)] == [without_weight(entry) for entry in finished]
    assert list(map(weight, finished)) == list(map(weight, original))
    assert weights.recognise(original, original, "default", TWO_MOVES) == {0}
    if any(map(moved, original)):
        assert weights.recognise(finished, original, "default", TWO_MOVES) == {100}


FOREIGN = [
    pytest.param(lambda refs: refs[:1], id="a reference gone"),
    pytest.param(lambda refs: [*refs, {"name": "other"}], id="a reference more"),
    pytest.param(lambda refs: [refs[0] | {"weight": refs[0]["weight"] + 1}, *refs[1:]], id="another weight"),
    pytest.param(lambda refs: [refs[0] | {"port": 9}, *refs[1:]], id="another port"),
    pytest.param(lambda refs: list(reversed(refs)), id="another order"),
    pytest.param(lambda refs: [], id="nothing"),
]


@pytest.mark.parametrize("meddle", FOREIGN)
def test_a_foreign_change_is_drift_and_is_not_written_over(meddle: Any) -> None:
    original = http_route(rule(ALPHA))
    live = weights.reshape(original, original, MOVES, "split", 30)
    live["spec"]["rules"][0]["backendRefs"] = meddle(live["spec"]["rules"][0]["backendRefs"])
    assert weights.share_of(live, original, MOVES) is None
    for form in ("original", "split", "finished"):
        with pytest.raises(weights.Drifted, match="rule 0 of HTTPRoute default/llm-route was changed by somebody else"):
            weights.reshape(live, original, MOVES, form, 50)


def test_a_rule_that_is_gone_is_drift() -> None:
    original = http_route(rule({"name": "plain"}), rule(ALPHA, path="/v1"))
    with pytest.raises(weights.Drifted, match="backendRefs are gone"):
        weights.reshape(http_route(rule({"name": "plain"})), original, MOVES, "split", 50)


ROUTES = st.lists(st.tuples(RULES, st.sampled_from(EXTRAS)), min_size=1, max_size=3).map(
    lambda rules: http_route(*(rule(*refs) | extra for refs, extra in rules))
)


@given(ROUTES, st.lists(SHARES, min_size=1, max_size=2))
@settings(max_examples=20)
def test_every_way_through_the_forms_leads_back(original: dict[str, Any], shares: list[int]) -> None:
    live = original
    for share in shares:
        live = weights.reshape(live, original, TWO_MOVES, "split", share)
        assert weights.only_references_differ(original, live, weights.moved_rules(original, TWO_MOVES))
        assert weights.reshape(live, original, TWO_MOVES, "original") == original
        form, found = weights.form_of(live, original, TWO_MOVES)
        assert weights.reshape(original, original, TWO_MOVES, form, found) == live
    finished = weights.reshape(live, original, TWO_MOVES, "finished")
    assert not any(reference.target in TWO_MOVES for reference in references.references(finished))
    assert weights.reshape(finished, original, TWO_MOVES, "original") == original
    if weights.moved_rules(original, TWO_MOVES):
        assert weights.share_of(finished, original, TWO_MOVES) == 100


def test_reshape_keeps_what_the_user_changed_elsewhere() -> None:
    original = http_route(rule(ALPHA), rule({"name": "plain"}, path="/plain"))
    live = deepcopy(original)
    live["metadata"]["annotations"] = {"new": "yes"}
    live["spec"]["hostnames"].append("more.example.com")
    live["spec"]["rules"][0]["timeouts"] = {"request": "10s"}
    live["spec"]["rules"][1]["backendRefs"] = [{"name": "other"}]
    after = weights.reshape(live, original, MOVES, "split", 40)
    assert after["spec"]["rules"][0]["backendRefs"] == [ALPHA | {"weight": 60}, V1 | {"weight": 40}]
    after["spec"]["rules"][0]["backendRefs"] = live["spec"]["rules"][0]["backendRefs"]
    assert after == live


NAME = "HTTPRoute default/llm-route"
OURS = http_route(rule(ALPHA, path="/v1"), rule({"name": "plain"}, path="/plain"), rule(ALPHA, path="/v2"))


def inserted(route: dict[str, Any], *at: int) -> dict[str, Any]:
    """The route with rules of a user's at some places, one after the other."""
    after = deepcopy(route)
    for place in at:
        after["spec"]["rules"].insert(place, rule({"name": "new"}, path=f"/new{place}"))
    return after


@pytest.mark.parametrize(("at", "expected"), [((), {0: 0, 2: 2}), ((0,), {0: 1, 2: 3}), ((1,), {0: 0, 2: 3}), ((0, 0, 4), {0: 2, 2: 5}), ((3,), {0: 0, 2: 2})])
def test_rules_that_a_user_inserts_move_ours_along(at: tuple[int, ...], expected: dict[int, int]) -> None:
    live = inserted(OURS, *at)
    for share in (10, 50, 100):
        live = weights.reshape(live, OURS, MOVES, "split", share)
        assert weights.places(live, OURS, MOVES) == expected
        assert weights.share_of(live, OURS, MOVES) == share
    assert weights.reshape(live, OURS, MOVES, "original") == inserted(OURS, *at), "and the way back leaves them where they are"


def test_a_rule_that_was_taken_out_moves_ours_along_too() -> None:
    live = deepcopy(OURS)
    del live["spec"]["rules"][1]
    assert weights.places(live, OURS, MOVES) == {0: 0, 2: 1}


def test_a_moved_rule_whose_matches_a_user_changed_is_known_by_its_place() -> None:
    live = weights.reshape(OURS, OURS, MOVES, "split", 10)
    live["spec"]["rules"][2]["matches"] = [{"path": {"type": "PathPrefix", "value": "/v3"}}]
    assert weights.places(live, OURS, MOVES) == {0: 0, 2: 2}
    assert weights.places(inserted(live, 0), OURS, MOVES) == {0: 1}, "changed and elsewhere: nobody knows it"
    with pytest.raises(weights.Drifted, match="rule 2"):
        weights.reshape(inserted(live, 0), OURS, MOVES, "split", 50)


def test_marked_copies_are_of_the_route_as_it_is_today() -> None:
    live = inserted(weights.reshape(OURS, OURS, MOVES, "split", 50), 0)
    live["spec"]["parentRefs"].append({"name": "second"})
    live["spec"]["hostnames"] = ["new.example.com"]
    today = weights.current(live, OURS, MOVES)
    assert today["spec"] == OURS["spec"] | {"parentRefs": live["spec"]["parentRefs"], "hostnames": ["new.example.com"]}
    (marked,) = probe_routes.probe_routes_of(today, MOVES, "v1", "igm1")
    assert marked["spec"]["parentRefs"] == live["spec"]["parentRefs"]
    marks = [entry["filters"][-1]["responseHeaderModifier"]["set"][0]["value"] for entry in marked["spec"]["rules"]]
    assert marks == [probe_routes.mark("v1", NAME, number, 0) for number in (0, 2)]
    changed = deepcopy(live)
    changed["spec"]["rules"][1]["filters"] = [{"type": "URLRewrite", "urlRewrite": {"hostname": "x"}}]
    assert weights.current(changed, OURS, MOVES)["spec"]["rules"][0] == OURS["spec"]["rules"][0], "changed and elsewhere: it stays as it was known"
    del changed["spec"]["rules"][0]
    assert weights.current(changed, OURS, MOVES)["spec"]["rules"][0]["filters"] == changed["spec"]["rules"][0]["filters"]
    assert weights.current(OURS, OURS, MOVES) == OURS


def test_a_rule_with_a_reference_of_weight_0_stands_wherever_the_others_do() -> None:
    original = http_route(rule(ALPHA | {"weight": 0}, {"name": "plain"}), rule(ALPHA, path="/v1"))
    for share in (10, 100):
        live = weights.reshape(original, original, MOVES, "split", share)
        assert weights.share_of(live, original, MOVES) == share
        assert weights.form_of(live, original, MOVES) == ("split", share)


def test_rules_at_different_shares_have_no_share() -> None:
    original = http_route(rule(ALPHA), rule(ALPHA, path="/v1"))
    live = weights.reshape(original, original, MOVES, "split", 10)
    live["spec"]["rules"][1] = original["spec"]["rules"][1]
    assert weights.share_of(live, original, MOVES) is None
    with pytest.raises(weights.Drifted, match="different shares"):
        weights.form_of(live, original, MOVES)


# -- who is meant --------------------------------------------------------------------------------------------------------


def test_pools_of_both_groups_with_one_name_are_told_apart() -> None:
    v1 = {"group": manifests.V1_GROUP, "kind": "InferencePool", "name": "llama-preview", "weight": 5}
    original = [v1, ALPHA | {"weight": 5}]
    after = weights.split_references(original, "default", {KEY: "llama-preview"}, 20)
    assert [(entry["group"], entry["name"], entry["weight"]) for entry in after] == [
        (manifests.V1_GROUP, "llama-preview", 500),
        (manifests.ALPHA_GROUP, "llama-preview", 400),
        (manifests.V1_GROUP, "llama-preview", 100),
    ]
    assert weights.recognise(after, original, "default", {KEY: "llama-preview"}) == {20}
    assert weights.moved_rules(http_route(rule(v1)), {KEY: "llama-preview"}) == []


def test_references_have_gateway_apis_defaults() -> None:
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": ALPHA}}
    route = http_route(rule({"name": "plain"}, ALPHA | {"weight": 0, "namespace": "models", "filters": [mirror]}, filters=[mirror]))
    del route["kind"], route["apiVersion"], route["metadata"]["namespace"]
    key = references.RouteKey("gateway.networking.k8s.io/v1", "HTTPRoute", "default", "llm-route")
    assert references.references(route) == [
        references.Reference(key, 0, 0, "backend", PoolKey("", "Service", "default", "plain"), 1),
        references.Reference(key, 0, 1, "backend", KEY._replace(namespace="models"), 0),
        references.Reference(key, 0, -1, "mirror", KEY, 1),
        references.Reference(key, 0, -1, "mirror", KEY, 1),
    ]
    assert references.references({"metadata": {"name": "empty"}}) == []


def test_only_references_differ_sees_everything_else() -> None:
    before = http_route(rule(ALPHA), rule({"name": "plain"}, path="/plain"))
    after = weights.reshape(before, before, MOVES, "split", 40)
    assert weights.only_references_differ(before, after, [0])
    changes = [
        lambda route: route["metadata"]["labels"].update(team="b"),
        lambda route: route["metadata"].update(annotations={"a": "b"}),
        lambda route: route["spec"]["hostnames"].append("x"),
        lambda route: route["spec"]["rules"][0].update(timeouts={"request": "1s"}),
        lambda route: route["spec"]["rules"][1]["backendRefs"].append({"name": "y"}),
        lambda route: route["spec"]["rules"].pop(),
    ]
    for change in changes:
        changed = deepcopy(after)
        change(changed)
        assert not weights.only_references_differ(before, changed, [0])


# -- probe routes -------------------------------------------------------------------------------------------------------

USER_FILTERS = [
    {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "a", "value": "b"}]}},
    {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "shadow"}}},
    {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "c", "value": "d"}], "remove": ["e"]}},
]


def test_a_probe_route_copies_the_rule_and_leads_only_probes_there() -> None:
    header = {"name": "tenant", "value": "x"}
    matches = [{"path": {"type": "Exact", "value": "/v1/completions"}}, {"headers": [header], "method": "POST"}]
    backend = ALPHA | {"weight": 7, "filters": [USER_FILTERS[0], USER_FILTERS[1]]}
    original = http_route(
        rule({"name": "plain"}),
        {"name": "mine", "matches": matches, "filters": USER_FILTERS, "timeouts": {"request": "5s"}, "backendRefs": [{"name": "plain"}, backend]},
    )
    kept = deepcopy(original)
    made = {variant: probe_routes.probe_routes_of(original, MOVES, variant, "igm1") for variant in probe_routes.VARIANTS}
    assert original == kept
    for variant, (route,) in made.items():
        assert route["metadata"] == {"name": f"llm-route-igm1-{variant}-0", "namespace": "default", "labels": {probe_routes.LABEL: variant}}
        assert {field: value for field, value in route["spec"].items() if field != "rules"} == {
            "parentRefs": original["spec"]["parentRefs"],
            "hostnames": ["llm.example.com"],
        }
        (copy,) = route["spec"]["rules"]
        ours = {"type": "Exact", "name": probe_routes.PROBE_HEADER, "value": probe_routes.probe_value("igm1", variant, NAME, 1, 1)}
        assert copy["matches"] == [{"path": matches[0]["path"], "headers": [ours]}, {"headers": [header, ours], "method": "POST"}]
        assert copy["timeouts"] == {"request": "5s"}
        assert "name" not in copy
        assert copy["filters"] == [
            USER_FILTERS[0],
            {
                "type": "ResponseHeaderModifier",
                "responseHeaderModifier": {
                    "set": [{"name": "c", "value": "d"}, {"name": probe_routes.MARK_HEADER, "value": probe_routes.mark(variant, NAME, 1, 1)}],
                    "remove": ["e"],
                },
            },
        ]
        assert [(entry["group"], entry["weight"]) for entry in copy["backendRefs"]] == {
            "alpha": [(manifests.ALPHA_GROUP, 1)],
            "v1": [(manifests.V1_GROUP, 1)],
            "both": [(manifests.ALPHA_GROUP, 1), (manifests.V1_GROUP, 1)],
        }[variant]
        assert all(entry["filters"] == [USER_FILTERS[0]] for entry in copy["backendRefs"]), "a mirror of a reference is a mirror too"
        assert not [reference for reference in references.references(route) if reference.kind == "mirror"]


def test_a_rule_without_matches_or_filters_gets_its_own() -> None:
    (route,) = probe_routes.probe_routes_of(http_route({"backendRefs": [ALPHA]}), MOVES, "v1", "igm1")
    (copy,) = route["spec"]["rules"]
    mark = probe_routes.mark("v1", NAME, 0, 0)
    assert copy["matches"] == [{"headers": [{"type": "Exact", "name": probe_routes.PROBE_HEADER, "value": f"igm1-{mark}"}]}]
    assert copy["filters"] == [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": probe_routes.MARK_HEADER, "value": mark}]}}]
    assert copy["backendRefs"] == [V1 | {"weight": 1}]


@given(st.lists(st.integers(1, 64), min_size=1, max_size=40))
@settings(max_examples=40)
@example([1] * 17)
@example([64, 64, 1])
def test_probe_routes_respect_the_limits(matches: list[int]) -> None:
    rules = [
        rule(ALPHA) | {"matches": [{"path": {"type": "PathPrefix", "value": f"/{number}/{entry}"}} for entry in range(count)]}
        for number, count in enumerate(matches)
    ]
    made = probe_routes.probe_routes_of(http_route(*rules), MOVES, "alpha", "igm1")
    assert len({route["metadata"]["name"] for route in made}) == len(made)
    assert all(len(route["spec"]["rules"]) <= probe_routes.MAX_RULES for route in made)
    assert all(sum(len(entry["matches"]) for entry in route["spec"]["rules"]) <= probe_routes.MAX_MATCHES for route in made)
    copied = [entry for route in made for entry in route["spec"]["rules"]]
    assert [len(entry["matches"]) for entry in copied] == matches
    values = [entry["matches"][0]["headers"][-1]["value"] for entry in copied]
    assert len(set(values)) == len(rules)


def test_no_probe_route_for_a_route_that_does_not_move() -> None:
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": ALPHA}}
    assert probe_routes.probe_routes_of(http_route(rule({"name": "plain"}, filters=[mirror])), MOVES, "alpha", "igm1") == []


def test_the_name_of_a_probe_route_fits() -> None:
    (route,) = probe_routes.probe_routes_of(http_route(rule(ALPHA), name="x" * 253), MOVES, "alpha", "igm01234567")
    assert len(route["metadata"]["name"]) <= 253
