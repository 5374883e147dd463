# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which requests the load makes out of an estate."""
from __future__ import annotations

from typing import Any

import pytest

from igw_sandbox.load_answer import CHAT, COMPLETIONS, EMBEDDINGS
from igw_sandbox.load_targets import discover, endpoint_paths, pod_models


def named(name: str, namespace: str = "default", **more: Any) -> dict[str, Any]:
    """An object with metadata."""
    return {"metadata": {"name": name, "namespace": namespace, "labels": more.pop("labels", {})}, **more}


GATEWAY = named("gw", spec={"listeners": [{"name": "tls", "protocol": "HTTPS", "port": 8443}, {"name": "http", "protocol": "HTTP", "port": 8080}]},
                status={"addresses": [{"value": "127.17.0.10"}]})
POOL = named("pool", spec={"selector": {"app": "llm"}})
MODELS = [named("m1", spec={"modelName": "base", "poolRef": {"name": "pool"}}),
          named("m2", spec={"modelName": "alias", "poolRef": {"name": "pool"}, "targetModels": [{"name": "lora"}]}),
          named("m3", "other", spec={"modelName": "foreign", "poolRef": {"name": "pool"}})]
POD = named("pod", labels={"app": "llm"}, spec={"containers": [{"args": ["--model", "base", "--lora-modules", '{"name":"lora"}', "--port=8000"]}]})
SERVICE = named("plain", spec={"selector": {"app": "llm"}})
REWRITE = [{"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/v1"}}}]


def route(*rules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """An HTTPRoute on the gateway."""
    return named("route", spec={"parentRefs": [{"name": "gw"}], "hostnames": ["llm.example.com"], "rules": list(rules), **spec})


def rule(path: str = "/v1", kind: str = "InferencePool", name: str = "pool", filters: Any = None, **match: Any) -> dict[str, Any]:
    """One rule with one match and one backend."""
    return {"matches": [{"path": {"type": "PathPrefix", "value": path}, **match}], "filters": filters or [], "backendRefs": [{"kind": kind, "name": name}]}


def found(*rules: dict[str, Any], pods: Any = (POD,), models: Any = tuple(MODELS), **spec: Any) -> tuple[list[Any], list[str]]:
    """discover() on the small estate above."""
    return discover([route(*rules, **spec)], [GATEWAY], [POOL], models, [SERVICE], pods)


def test_every_model_and_endpoint_of_a_pool() -> None:
    """Declared models only, an alias may be answered with its target's name, and another namespace's model is not ours."""
    targets, skipped = found(rule())
    assert not skipped
    assert {(t.endpoint, t.model) for t in targets} == {(e, m) for e in (COMPLETIONS, CHAT) for m in ("base", "alias")}
    assert {t.url for t in targets} == {f"http://127.17.0.10:8080{e}" for e in (COMPLETIONS, CHAT)}
    assert {t.accepts for t in targets if t.model == "alias"} == {("alias", "lora")}
    assert {(t.host, t.rule) for t in targets} == {("llm.example.com", "default/route/0")}


def test_a_pool_without_models_is_asked_for_what_its_pods_serve() -> None:
    """As after a migration, when no InferenceModel is left."""
    targets, skipped = found(rule(), models=())
    assert not skipped and {t.model for t in targets} == {"base", "lora"}


def test_a_plain_service_of_model_servers_behind_a_rewrite() -> None:
    """The path in front of the gateway, the endpoint behind it."""
    targets, unused = found(rule("/plain", "Service", "plain", REWRITE))
    assert {(t.url.partition("8080")[2], t.endpoint) for t in targets} == {("/plain/completions", COMPLETIONS), ("/plain/chat/completions", CHAT)}


def test_anything_else_is_a_get() -> None:
    """A Service without model servers, and a path that reaches no endpoint."""
    targets, unused = found(rule("/static", "Service", "plain"), rule("/v1/models"), pods=(POD,))
    assert [(t.method, t.url.partition("8080")[2]) for t in targets] == [("GET", "/static"), ("GET", "/v1/models")]


def test_what_can_not_be_asked_for_is_said() -> None:
    """No silent gap in the coverage."""
    targets, skipped = found(rule(queryParams=[{"name": "a", "value": "b"}]), rule(headers=[{"name": "x", "value": "y"}]))
    assert {t.headers for t in targets} == {(("x", "y"),)}
    assert skipped == ["route default/route, rule 0: no path of its matches can be asked for"]
    assert "none of its Gateways" in discover([route(rule())], [], [POOL], MODELS, [], [POD])[1][0]


def test_wildcard_hostname_and_listener_choice() -> None:
    """A wildcard gets a label; sectionName chooses the listener, and an HTTPS one can't be asked."""
    assert {t.host for t in found(rule(), hostnames=["*.example.com"])[0]} == {"load.example.com"}
    assert found(rule(), parentRefs=[{"name": "gw", "sectionName": "tls"}])[0] == []


@pytest.mark.parametrize(("kind", "value", "filters", "paths"), [
    ("PathPrefix", "/", [], {COMPLETIONS: COMPLETIONS, CHAT: CHAT}),
    ("PathPrefix", "/v1/completions", [], {COMPLETIONS: COMPLETIONS}),
    ("PathPrefix", "/v1/comp", [], {}),
    ("Exact", CHAT, [], {CHAT: CHAT}),
    ("Exact", EMBEDDINGS, [], {EMBEDDINGS: EMBEDDINGS}),
    ("PathPrefix", EMBEDDINGS + "/", [], {EMBEDDINGS: EMBEDDINGS}),
    ("PathPrefix", "/a/", REWRITE, {COMPLETIONS: "/a/completions", CHAT: "/a/chat/completions"}),
    ("PathPrefix", "/a", [{"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplaceFullPath", "replaceFullPath": CHAT}}}], {CHAT: "/a"}),
    ("PathPrefix", "/a", [{"type": "RequestHeaderModifier", "requestHeaderModifier": {}}], {}),
])
def test_paths_of_a_match(kind: str, value: str, filters: Any, paths: dict[str, str]) -> None:
    """Prefixes end at a slash, as the Gateway API says."""
    assert endpoint_paths(kind, value, filters) == paths


@pytest.mark.parametrize(("words", "models"), [
    (["--model", "a"], {"a"}),
    (["--model=a", "--served-model-name=b"], {"b"}),
    (["--model", "a", "--lora-modules", '{"name":"x"}', '{"name":"y"}', "--max-loras", "2"], {"a", "x", "y"}),
    (["--model", "a", '--lora-modules=[{"name":"x"}]'], {"a", "x"}),
    (["--model", "a", "--lora-modules", "x=/path"], {"a", "x"}),
    (["--model", "a", "--served-model-name", "b", "c", "--port", "1"], {"b", "c"}),
    (["--config", "c"], set()),
])
def test_models_of_a_pod(words: list[str], models: set[str]) -> None:
    """vLLM's spellings of the same flags."""
    assert set(pod_models([{"spec": {"containers": [{"args": words}]}}])) == models


@pytest.mark.parametrize(("labels", "expected"), [({"tenant": "a"}, {"8081"}), ({"tenant": "b"}, set()), ({}, set())])
def test_a_listener_that_does_not_take_the_route_is_not_asked(labels: dict[str, str], expected: set[str]) -> None:
    """By a label of the route's namespace, or because it takes routes of its Gateway's namespace alone."""
    allowed = {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"tenant": "a"}}}}
    listeners = [{"name": "own", "protocol": "HTTP", "port": 8080}, {"name": "a", "protocol": "HTTP", "port": 8081, "allowedRoutes": allowed}]
    gateway = named("gw", "edge", spec={"listeners": listeners}, status=GATEWAY["status"])
    asked = route(rule(), parentRefs=[{"name": "gw", "namespace": "edge"}])
    targets, _skipped = discover([asked], [gateway], [POOL], MODELS, [SERVICE], [POD], [named("default", "", labels=labels)])
    assert {target.url.split("/")[2].rpartition(":")[2] for target in targets} == expected


def test_of_several_served_names_answers_carry_the_first() -> None:
    """Also where InferenceModels declare the others."""
    pod = named("pod", labels={"app": "llm"}, spec={"containers": [{"args": ["--model", "/x", "--served-model-name", "dated", "base"]}]})
    targets, _skipped = found(rule(), pods=(pod,), models=MODELS[:1])
    assert {(target.model, target.accepts) for target in targets} == {("base", ("base", "dated"))}


EXTENSION = named("bbr", spec={"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gw"}]})


def by_model(model: str, name: str = "pool") -> dict[str, Any]:
    """A rule that is chosen by the model's header, beside another header."""
    return rule(name=name, headers=[{"name": "X-Gateway-Model-Name", "value": model}, {"name": "x-team", "value": "a"}])


@pytest.mark.parametrize(("extensions", "headers", "models"), [
    ([EXTENSION], {("x-team", "a")}, {"alias"}),
    ([], {("X-Gateway-Model-Name", "alias"), ("x-team", "a")}, {"base", "alias"}),
    ([named("bbr", "other", spec=EXTENSION["spec"])], {("X-Gateway-Model-Name", "alias"), ("x-team", "a")}, {"base", "alias"}),
])
def test_a_router_sets_the_models_header(extensions: Any, headers: set[tuple[str, str]], models: set[str]) -> None:
    """Clients of such a Gateway name the model in the body alone, and a rule is asked for its own."""
    targets, skipped = discover([route(by_model("alias"))], [GATEWAY], [POOL], MODELS, [SERVICE], [POD], extensions=extensions)
    assert not skipped and {pair for target in targets for pair in target.headers} == headers
    assert {target.model for target in targets} == models and {target.endpoint for target in targets} == {COMPLETIONS, CHAT}


def test_a_routers_rule_is_asked_for_an_alias_that_no_server_has() -> None:
    """As after a migration, when only a rewrite knows it; a rule without the header keeps all its models."""
    targets, _skipped = discover([route(by_model("alias"), rule())], [GATEWAY], [POOL], [], [SERVICE], [POD], extensions=[EXTENSION])
    asked = {(target.rule[-1], target.model): target.accepts for target in targets}
    assert asked == {("0", "alias"): ("alias", "base", "lora"), ("1", "base"): ("base",), ("1", "lora"): ("lora",)}


def test_a_request_without_a_body_is_asked_without_the_header() -> None:
    targets, _skipped = discover([route(rule("/v1/models"))], [GATEWAY], [POOL], MODELS, [SERVICE], [POD], extensions=[EXTENSION])
    assert [(target.method, target.headers) for target in targets] == [("GET", ())]
