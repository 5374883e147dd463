# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which requests reach a moved pool, and which rule takes them."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils import manifests
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import targets
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, ProbeTarget
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import precedence, probe_routes, references

from tests.unit.helpers.migration_fakes import ALPHA, KEY, V1, gateway, http_route, listeners, plan_pool, rule

Manifest = dict[str, Any]
POOLS = {KEY: plan_pool()}
HERE = listeners()


def paths(match: Manifest, *, filters: list[Manifest] | None = None) -> list[str]:
    route = http_route({"matches": [match], "backendRefs": [ALPHA], "filters": filters or []})
    return [target.path for target in targets.probe_targets(route, HERE, POOLS) if not target.stream]


def prefix(value: str, **fields: Any) -> Manifest:
    return {"path": {"type": "PathPrefix", "value": value}} | fields


def exact(value: str, **fields: Any) -> Manifest:
    return {"path": {"type": "Exact", "value": value}} | fields


def rewrite(**path: str) -> list[Manifest]:
    return [{"type": "URLRewrite", "urlRewrite": {"path": path}}]


FULL = rewrite(type="ReplaceFullPath", replaceFullPath=CHAT)


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({}, [COMPLETIONS, CHAT]),
        (prefix("/"), [COMPLETIONS, CHAT]),
        (prefix("/v1"), [COMPLETIONS, CHAT]),
        (prefix("/v1/"), [COMPLETIONS, CHAT]),
        (prefix("/v1/chat"), [CHAT]),
        (prefix("/v1/chat/completions"), [CHAT]),
        (prefix("/v1/comp"), []),
        (exact(CHAT), [CHAT]),
        (exact("/v1"), []),
        ({"path": {"type": "RegularExpression", "value": "/v1/.*"}}, []),
        (prefix("/", method="POST"), [COMPLETIONS, CHAT]),
        (prefix("/", method="GET"), []),
        (prefix(CHAT, queryParams=[{"name": "a", "value": "b c"}]), [f"{CHAT}?a=b+c"]),
        (prefix(CHAT, queryParams=[{"name": "a", "value": "b.*", "type": "RegularExpression"}]), []),
        (prefix("/", headers=[{"name": "x", "value": ".*", "type": "RegularExpression"}]), []),
    ],
)
def test_the_path_of_a_request_that_a_match_takes(match: Manifest, expected: list[str]) -> None:
    assert paths(match) == expected


@pytest.mark.parametrize(
    ("match", "filters", "expected"),
    [
        (prefix("/llama"), rewrite(type="ReplacePrefixMatch", replacePrefixMatch="/"), [f"/llama{COMPLETIONS}", f"/llama{CHAT}"]),
        (prefix("/llama/"), rewrite(type="ReplacePrefixMatch", replacePrefixMatch="/v1/"), ["/llama/completions", "/llama/chat/completions"]),
        (prefix("/ask"), rewrite(type="ReplacePrefixMatch", replacePrefixMatch=CHAT), ["/ask"]),
        (prefix("/"), rewrite(type="ReplacePrefixMatch", replacePrefixMatch=CHAT), ["/"]),
        (prefix("/"), rewrite(type="ReplacePrefixMatch", replacePrefixMatch="/v1/chat/comp"), []),
        (exact("/ask"), FULL, ["/ask"]),
        (prefix("/ask"), FULL, ["/ask"]),
        (exact("/ask"), rewrite(type="ReplaceFullPath", replaceFullPath="/v2"), []),
        (exact("/ask"), rewrite(type="ReplacePrefixMatch", replacePrefixMatch="/v1"), []),
        (prefix("/v1"), [{"type": "URLRewrite", "urlRewrite": {"hostname": "inner"}}], [COMPLETIONS, CHAT]),
    ],
)
def test_a_rewritten_path_arrives_as_the_endpoint(match: Manifest, filters: list[Manifest], expected: list[str]) -> None:
    assert paths(match, filters=filters) == expected


def test_a_target_for_every_address_listener_hostname_model_endpoint_and_stream() -> None:
    place = gateway({"name": "a", "protocol": "HTTP", "port": 80}, {"name": "b", "protocol": "HTTPS", "port": 443}, {"name": "c", "protocol": "TCP", "port": 9})
    place["status"]["addresses"].append({"value": "127.0.0.2"})
    pools = {KEY: plan_pool(models=[{"name": "llama"}, {"name": "food"}])}
    found = targets.probe_targets(
        http_route(rule(ALPHA, {"name": "plain", "weight": 0}), hostnames=["a.example.com", "b.example.com"]), listeners(place), pools
    )
    assert len(found) == len({str(target) for target in found}) == 2 * 2 * 2 * 2 * 2 * 2
    assert {(str(target.address.listener), target.address.gateway, target.address.host, target.address.port, target.address.tls) for target in found} == {
        (f"listener {name} of Gateway default/gw", "default/gw", host, port, tls)
        for host in ("127.0.0.1", "127.0.0.2") for name, port, tls in (("a", 80, False), ("b", 443, True))
    }
    assert {(target.rule, target.index, target.shared) for target in found} == {(0, 0, False)}


def test_every_target_has_a_name_of_its_own() -> None:
    other = references.PoolKey(manifests.ALPHA_GROUP, "InferencePool", "default", "llama-two")
    match = [prefix("/"), prefix("/", headers=[{"name": "tenant", "value": "x"}])]
    route = http_route({"matches": match, "backendRefs": [ALPHA, ALPHA | {"name": "llama-two"}]})
    found = targets.probe_targets(route, HERE, POOLS | {other: plan_pool(name="llama-two")})
    assert len({str(target) for target in found}) == len(found) == 2 * 2 * 2 * 2


@pytest.mark.parametrize(
    ("parents", "expected"),
    [
        ([{"name": "gw", "sectionName": "b"}], {8081}),
        ([{"name": "gw"}], {8080, 8081}),
        ([{"name": "gw", "kind": "Service", "group": ""}], set()),
        ([{"name": "gw", "namespace": "elsewhere"}], set()),
        ([], set()),
    ],
)
def test_parents_say_which_listeners(parents: list[Manifest], expected: set[int]) -> None:
    place = gateway({"name": "a", "protocol": "HTTP", "port": 8080}, {"name": "b", "protocol": "HTTP", "port": 8081})
    found = targets.probe_targets(http_route(rule(ALPHA), parentRefs=parents), listeners(place), POOLS)
    assert {target.address.port for target in found} == expected


@pytest.mark.parametrize(
    ("wanted", "listens", "expected"),
    [
        (["llm.example.com"], None, {"llm.example.com"}),
        (None, None, {""}),
        (None, "llm.example.com", {"llm.example.com"}),
        (None, "*.example.com", {"probe.example.com"}),
        (["*.example.com"], None, {"probe.example.com"}),
        (["*.example.com"], "llm.example.com", {"llm.example.com"}),
        (["*.llm.example.com"], "*.example.com", {"probe.llm.example.com"}),
        (["llm.example.com", "llm.example.org"], "*.example.com", {"llm.example.com"}),
        (["llm.example.org"], "llm.example.com", set()),
    ],
)
def test_a_hostname_must_fit_route_and_listener(wanted: list[str] | None, listens: str | None, expected: set[str]) -> None:
    place = gateway({"name": "a", "protocol": "HTTP", "port": 8080} | ({"hostname": listens} if listens else {}))
    route = http_route(rule(ALPHA), hostnames=wanted)
    assert {target.hostname for target in targets.probe_targets(route, listeners(place), POOLS)} == expected


@pytest.mark.parametrize(("address", "expected"), [("127.0.0.1", ""), ("::1", ""), ("lb.example.com", "lb.example.com")])
def test_the_bare_address_asks_for_its_own_name_where_it_has_one(address: str, expected: str) -> None:
    """By that name the listener and the rule are chosen which take it."""
    route = http_route(rule(ALPHA), hostnames=None)
    other = http_route(rule({"name": "plain"}), name="named", hostnames=["lb.example.com"])
    here = listeners(gateway(address=address), routes=[route, other])
    found = targets.probe_targets(route, here, POOLS)
    assert {target.hostname for target in found} == {expected} and (targets.reached(found, here) == []) is bool(expected)


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        ({}, {8080}),
        ({"allowedRoutes": {"namespaces": {"from": "Same"}}}, {8080}),
        ({"allowedRoutes": {"namespaces": {"from": "All"}}}, {8080, 8081}),
        ({"allowedRoutes": {"namespaces": {"from": "Selector", "selector": {}}}}, {8080, 8081}),
    ],
)
def test_a_listener_takes_routes_of_the_namespaces_it_allows(allowed: Manifest, expected: set[int]) -> None:
    open_one = {"name": "a", "protocol": "HTTP", "port": 8080, "allowedRoutes": {"namespaces": {"from": "All"}}}
    place = gateway(open_one, {"name": "b", "protocol": "HTTP", "port": 8081} | allowed, namespace="infra")
    route = http_route(rule(ALPHA), parentRefs=[{"name": "gw", "namespace": "infra"}])
    assert {target.address.port for target in targets.probe_targets(route, listeners(place), POOLS)} == expected


def test_a_gateway_without_an_address_has_no_targets_and_its_rules_are_named() -> None:
    place = gateway()
    del place["status"]
    route = http_route(rule({"name": "plain"}), rule(ALPHA, path="/v1"))
    found = targets.probe_targets(route, listeners(place), POOLS)
    assert found == [] and targets.unprobed(route, found, POOLS) == [1]
    assert targets.unprobed(route, targets.probe_targets(route, HERE, POOLS), POOLS) == []


# -- probes --------------------------------------------------------------------------------------------------------------


def first(route: Manifest, **wanted: Any) -> ProbeTarget:
    return next(target for target in targets.probe_targets(route, HERE, POOLS) if all(getattr(target, field) == value for field, value in wanted.items()))


def test_a_probe_through_a_marked_rule_and_through_the_users() -> None:
    header = {"name": "tenant", "value": "x"}
    route = http_route(rule({"name": "plain"}), {"matches": [prefix("/v1", headers=[header])], "backendRefs": [{"name": "other", "weight": 0}, ALPHA]})
    target = first(route, endpoint=CHAT, stream=True)
    models = {"llama": {"name": "llama", "answer": "llama", "alpha_answers": ["llama-base"]}}
    marked = targets.probe(target, "v1", "igm1", models)
    mark = f"v1-1-1-{hashlib.sha256(b'HTTPRoute default/llm-route').hexdigest()[:8]}"
    assert marked.headers == (("tenant", "x"), (probe_routes.PROBE_HEADER, f"igm1-{mark}")) and marked.mark == mark
    assert marked.answers == {"llama", "llama-base"} and marked.epp
    user = targets.probe(target, None, "igm1", models)
    assert (user.headers, user.mark, user.epp, user.answers) == ((("tenant", "x"),), None, True, marked.answers)
    gone = targets.probe(target, "alpha", "igm1", models, gone=True)
    assert (gone.headers[-1], gone.mark) == ((probe_routes.PROBE_HEADER, f"igm1-{mark.replace('v1', 'alpha')}"), None)
    assert targets.probe(target, "v1", "igm1", {}).answers == {"llama"}
    body = marked.body("hello")
    assert body == {"model": "llama", "max_tokens": 2, "temperature": 0, "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    assert targets.probe(first(route, endpoint=COMPLETIONS, stream=False), "v1", "igm1", models).body("hello")["prompt"] == "hello"


@pytest.mark.parametrize(
    ("endpoint", "said", "streams"),
    [
        (COMPLETIONS, {"prompt": "hi", "max_tokens": 2, "temperature": 0, "stream": False}, 2),
        (CHAT, {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2, "temperature": 0, "stream": False}, 2),
        (EMBEDDINGS, {"input": "hi"}, 1),
        (RESPONSES, {"input": "hi", "max_output_tokens": 16, "temperature": 0}, 1),
        ("/v1/rerank", None, 0),
    ],
)
def test_every_endpoint_has_a_request_of_its_own(endpoint: str, said: Manifest | None, streams: int) -> None:
    found = targets.probe_targets(http_route(rule(ALPHA)), HERE, {KEY: plan_pool(endpoints=[endpoint])})
    assert len(found) == streams
    if said is not None:
        assert targets.probe(found[0], None, "igm1", {}).body("hi") == {"model": "llama"} | said


def test_marks_of_probes_and_of_probe_routes_agree() -> None:
    route = http_route(rule({"name": "plain"}), rule({"name": "other"}, ALPHA, path="/v1"))
    target = first(route)
    for variant in probe_routes.VARIANTS:
        (marked,) = probe_routes.probe_routes_of(route, {KEY: "llama-ga"}, variant, "igm1")
        (copy,) = marked["spec"]["rules"]
        probe = targets.probe(target, variant, "igm1", {})
        assert {"type": "Exact", "name": probe.headers[-1][0], "value": probe.headers[-1][1]} in copy["matches"][0]["headers"]
        assert {"name": probe_routes.MARK_HEADER, "value": probe.mark} in copy["filters"][-1]["responseHeaderModifier"]["set"]


def test_a_users_answer_from_a_shared_rule_need_not_come_from_a_pool() -> None:
    target = first(http_route(rule(ALPHA, {"name": "plain"})))
    assert target.shared
    user, marked = targets.probe(target, None, "igm1", {}), targets.probe(target, "alpha", "igm1", {})
    assert (user.epp, user.answers) == (False, frozenset())
    assert (marked.epp, marked.answers) == (True, {"llama"})
    v1 = references.PoolKey(manifests.V1_GROUP, "InferencePool", "default", "llama-ga")
    assert not any(target.shared for target in targets.probe_targets(http_route(rule(ALPHA, V1)), HERE, POOLS | {v1: plan_pool()}))
    gone = targets.probe(target, "both", "igm1", {}, gone=True)
    assert (gone.mark, gone.epp, gone.answers) == (None, False, frozenset()), "what falls through to the users' rule is answered by it"


# -- precedence ----------------------------------------------------------------------------------------------------------


def test_long_streams_are_asked_for_once_at_each_address_and_reference() -> None:
    route = http_route(*[rule(ALPHA, matches=[prefix(path)]) for path in ("/", "/v1")])
    found = targets.streaming(targets.probe_targets(route, listeners(), POOLS))
    assert [(target.rule, target.stream) for target in found] == [(0, True), (1, True)]
    assert targets.streaming([target for target in found if not target.stream]) == []
    asked = targets.probe(found[0], "v1", "n", {}).long_body("text", 99, False)
    assert (asked["max_tokens"], asked["stream"]) == (99, True) and "ignore_eos" not in asked


def kept(*candidates: Manifest) -> set[tuple[str, int, str]]:
    every = [target for route in candidates for target in targets.probe_targets(route, HERE, POOLS)]
    return {(target.route.rpartition("/")[2], target.rule, target.path) for target in targets.reached(every, listeners(routes=candidates))}


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        (prefix("/"), prefix("/v1/chat"), {(0, COMPLETIONS), (1, CHAT)}),
        (prefix("/v1/chat"), prefix("/v1"), {(0, CHAT), (1, COMPLETIONS)}),
        (prefix(CHAT), exact(CHAT), {(1, CHAT)}),
        (prefix(CHAT), prefix(CHAT), {(0, CHAT)}),
        (prefix(CHAT), prefix(CHAT, method="POST"), {(1, CHAT)}),
        (prefix(CHAT, headers=[{"name": "a", "value": "b"}]), prefix(CHAT), {(0, CHAT), (1, CHAT)}),
        (prefix(CHAT, headers=[{"name": "a", "value": "b"}]), prefix(CHAT, method="POST"), {(1, CHAT)}),
        (prefix(CHAT, headers=[{"name": "a", "value": "b"}]), prefix(CHAT, queryParams=[{"name": "c", "value": "d"}]), {(0, CHAT), (1, f"{CHAT}?c=d")}),
        (prefix(CHAT, headers=[{"name": "A", "value": "b"}]), prefix(CHAT, headers=[{"name": "a", "value": "x|b", "type": "RegularExpression"}]), {(0, CHAT)}),
        (exact(CHAT), {"path": {"type": "RegularExpression", "value": ".*"}}, {(0, CHAT)}),
        (prefix("/v1/chat"), {"path": {"type": "RegularExpression", "value": "(?<bad"}}, {(0, CHAT)}),
        (prefix(CHAT), exact(CHAT, method="GET"), {(0, CHAT)}),
    ],
)
def test_the_more_specific_rule_takes_the_request(one: Manifest, two: Manifest, expected: set[tuple[int, str]]) -> None:
    route = http_route({"matches": [one], "backendRefs": [ALPHA]}, {"matches": [two], "backendRefs": [ALPHA]})
    assert {(number, path) for _route, number, path in kept(route)} == expected


def test_a_rule_of_another_backend_takes_its_requests_too() -> None:
    route = http_route(rule(ALPHA), rule({"name": "plain"}, path="/v1/chat"))
    assert kept(route) == {("llm-route", 0, COMPLETIONS)}


def test_between_routes_hostname_then_age_then_name_decide() -> None:
    wide = http_route(rule(ALPHA), name="a", hostnames=["*.example.com"])
    narrow = http_route(rule(ALPHA), name="b", hostnames=["probe.example.com"])
    assert {name for name, *_rest in kept(wide, narrow)} == {"b"}
    old, new = http_route(rule(ALPHA), name="z"), http_route(rule(ALPHA), name="a")
    old["metadata"]["creationTimestamp"], new["metadata"]["creationTimestamp"] = "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z"
    assert {name for name, *_rest in kept(new, old)} == {"z"}
    old["metadata"]["creationTimestamp"] = new["metadata"]["creationTimestamp"]
    assert {name for name, *_rest in kept(old, new)} == {"a"}
    apart = http_route(rule(ALPHA), name="c", parentRefs=[{"name": "gw", "namespace": "elsewhere"}])
    assert {name for name, *_rest in kept(old, apart)} == {"z"}


def test_no_rule_no_winner() -> None:
    assert precedence.Table([http_route(rule(ALPHA, path="/v1"))]).winner("llm.example.com", "/v2", {}) is None
    assert precedence.Table([http_route(rule(ALPHA))]).winner("other.example.com", "/", {}) is None
    assert precedence.Table([]).winner("llm.example.com", "/", {}) is None


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("", "", ""),
        ("a.b", "", "a.b"),
        ("", "*.b", "*.b"),
        ("*.b", "a.b", "a.b"),
        ("*.b", "b", None),
        ("*.b", "*.c", None),
        ("*.b", "*.a.b", "*.a.b"),
        ("a.b", "c.b", None),
    ],
)
def test_hostnames_meet(one: str, other: str, expected: str | None) -> None:
    assert precedence.meet(one, other) == expected
    one, other = other, one
    assert precedence.meet(one, other) == expected


# -- lists of models -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([rule(ALPHA)], {(0, "/v1/models")}),
        ([rule(ALPHA, path="/v1/chat")], set()),
        ([{"matches": [prefix("/x")], "backendRefs": [ALPHA], "filters": rewrite(type="ReplacePrefixMatch", replacePrefixMatch="/v1")}], {(0, "/x/models")}),
        ([rule(ALPHA, matches=[prefix("/", method="POST")])], set()),
        ([rule(ALPHA, matches=[prefix("/", method="GET")])], {(0, "/v1/models")}),
        ([rule(ALPHA), rule({"name": "plain"}, path="/v1/models")], set()),
        ([rule(ALPHA), {"matches": [prefix("/v1/models", method="POST")], "backendRefs": [{"name": "plain"}]}], {(0, "/v1/models")}),
        ([rule(ALPHA, {"name": "plain"})], set()),
        ([rule({"name": "plain"})], set()),
    ],
)
def test_where_a_pool_can_be_asked_for_its_models(rules: list[Manifest], expected: set[tuple[int, str]]) -> None:
    route = http_route(*rules)
    found = targets.model_lists(route, listeners(routes=[route]), KEY)
    assert {(target.rule, target.path) for target in found} == expected
    assert all((target.endpoint, target.model, target.stream) == (targets.MODELS, "", False) for target in found)


# -- probes that a person added ------------------------------------------------------------------------------------------

TOKENS = {"path": COMPLETIONS, "body": {"model": "llama", "prompt": [1, 2, 3]}}


def own(route: Manifest, given: Manifest) -> list[ProbeTarget]:
    here = listeners(routes=[route])
    return targets.reached(targets.user_defined_targets(route, here, POOLS, given), here)


def test_a_persons_probe_comes_by_the_rule_that_takes_it() -> None:
    route = http_route(rule(ALPHA, path="/v1/chat"), rule(ALPHA), rule({"name": "plain"}, path="/plain"))
    (target,) = own(route, TOKENS)
    assert (target.rule, target.hostname, target.path, target.endpoint, target.stream) == (1, "llm.example.com", COMPLETIONS, targets.OWN, False)
    assert own(route, TOKENS | {"path": "/plain/x"}) == [], "a rule that is not moved"
    assert own(route, TOKENS | {"hostname": "else.example.com"}) == []
    assert [target.rule for target in own(route, TOKENS | {"path": "/v1/chat/x", "hostname": "llm.example.com"})] == [0]
    assert own(route, TOKENS | {"body": {"stream": True}})[0].stream
    assert str(target) != str(own(route, TOKENS | {"body": {"prompt": "x"}})[0]), "the gate counts by the text"


def test_a_get_of_a_persons_own_comes_by_the_rule_that_takes_no_other() -> None:
    only = rule(ALPHA, path="/v1")
    only["matches"][0]["method"] = "GET"
    route, models = http_route(only, rule(ALPHA)), {"path": targets.MODELS, "method": "GET"}
    (target,) = own(route, models)
    assert (target.rule, target.method, target.body, target.stream, target.asks_for) == (0, "GET", "", False, "")
    assert f"{targets.MODELS} GET (HTTPRoute" in str(target) and targets.probe(target, "v1", "igm1", {}).body("x") is None
    assert [target.rule for target in own(route, TOKENS | {"path": targets.MODELS, "method": None})] == [1], "a POST, as it is by default"


def test_a_persons_probe_is_its_own_request_with_the_marks() -> None:
    (target,) = own(http_route(rule(ALPHA, path="/v1")), {"path": COMPLETIONS, "body": {"prompt": "{unique} x", "n": 2}, "headers": {"a": "b"}})
    probe, mark = targets.probe(target, "v1", "igm1", {}), probe_routes.mark("v1", "HTTPRoute default/llm-route", 0, 0)
    assert probe.body("random") == {"prompt": "random x", "n": 2}
    assert probe.headers == (("a", "b"), (probe_routes.PROBE_HEADER, f"igm1-{mark}")) and probe.mark == mark and probe.answers == frozenset()
    user = targets.probe(target, None, "igm1", {})
    assert (user.mark, user.epp, user.headers) == (None, True, (("a", "b"),))
