# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's translation, pure: manifests in, backends, routes and statuses out."""
from __future__ import annotations

from typing import Any

import pytest

from igw_sandbox.context import SandboxError
from igw_sandbox.gateway import matching
from igw_sandbox.gateway.envoy import back_routes, front_routes
from igw_sandbox.gateway.model import Check, Model
from igw_sandbox.gateway.references import Index
from igw_sandbox.gateway.settings import ALPHA_GROUP, CLASSES, V1_GROUP, Settings
from igw_sandbox.gateway.status import cleared, merged
from igw_sandbox.gateway.translate import seconds, translate
from sandbox.tests.gateway_fakes import (
    alpha_pool,
    gateway,
    grant,
    health_policy,
    meta,
    pod,
    policy,
    reference,
    route,
    service,
    settings,
    v1_pool,
)

PICKER = service("epp", "epp", 9002, 9002)
ALPHA = alpha_pool("pa", "m", "epp")
V1 = v1_pool("pv", "m", "epp")


def run(classes: set[str] | None = None, options: dict[str, Any] | None = None, unusable: Any = None, **snapshot: Any) -> Model:
    snapshot.setdefault("Gateway", [gateway()])
    return translate(snapshot, {"default/gw": "127.251.0.10", "default/other": "127.251.0.11"}, settings(**(options or {})), classes or set(CLASSES), unusable)


def conditions(model: Model, kind: str = "HTTPRoute", name: str = "route", parent: int = 0) -> dict[str, tuple[str, str]]:
    """Type -> (status, reason) of one object."""
    value = next(status.value for status in model.statuses if (status.kind, status.name) == (kind, name))
    if kind == "HTTPRoute":
        value = value["parents"][parent]
    elif kind in ("AlphaPool", "Pool"):
        value = (value.get("parent") or value.get("parents"))[parent]
    return {entry["type"]: (entry["status"], entry["reason"]) for entry in value["conditions"]}


def entries(model: Model, host: str = "*") -> Any:
    return model.servers[0].hosts[host]


def names(model: Model) -> list[str]:
    return sorted(backend.label for backend in model.backends.values())


def test_both_groups_are_backends_of_their_own() -> None:
    same_name = [alpha_pool("p", "m", "epp"), v1_pool("p", "m", "epp")]
    model = run(AlphaPool=same_name[:1], Pool=same_name[1:], Service=[PICKER],
                HTTPRoute=[route(rules=[{"backendRefs": [reference("p", ALPHA_GROUP, 90), reference("p", V1_GROUP, 10)]}])])
    assert names(model) == [f"{V1_GROUP}/InferencePool/default/p", f"{ALPHA_GROUP}/InferencePool/default/p"]
    assert [share.weight for share in entries(model)[0].shares] == [90, 10]
    assert conditions(model) == {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("True", "ResolvedRefs"), "Reconciled": ("True", "ReconciliationSucceeded")}


@pytest.mark.parametrize(("kind", "refused", "accepted"), [("alpha_only", V1_GROUP, ALPHA_GROUP), ("v1_only", ALPHA_GROUP, V1_GROUP)])
def test_a_gateway_of_one_group_refuses_the_other(kind: str, refused: str, accepted: str) -> None:
    pools = {ALPHA_GROUP: "pa", V1_GROUP: "pv"}
    rules = [{"backendRefs": [reference(pools[accepted], accepted), reference(pools[refused], refused)]}]
    model = run(options={"gateway": kind}, AlphaPool=[ALPHA], Pool=[V1], Service=[PICKER], HTTPRoute=[route(rules=rules)])
    assert conditions(model)["ResolvedRefs"] == ("False", "InvalidKind")
    assert [share.backend is None for share in entries(model)[0].shares] == [False, True]
    assert [status.kind for status in model.statuses if status.kind in ("AlphaPool", "Pool")] == ["AlphaPool" if accepted == ALPHA_GROUP else "Pool"]


@pytest.mark.parametrize(("rule", "reason"), [
    ({"backendRefs": [reference("gone", V1_GROUP)]}, "BackendNotFound"),
    ({"backendRefs": [reference("gone")]}, "BackendNotFound"),
    ({"backendRefs": [reference("epp", port=1)]}, "BackendNotFound"),
    ({"backendRefs": [{"name": "pa", "kind": "InferencePool"}]}, "InvalidKind"),
    ({"backendRefs": [reference("pa", ALPHA_GROUP, namespace="elsewhere")]}, "RefNotPermitted"),
])
def test_reasons_of_references_that_lead_nowhere(rule: dict[str, Any], reason: str) -> None:
    model = run(AlphaPool=[ALPHA], Service=[PICKER], HTTPRoute=[route(rules=[rule])])
    assert conditions(model)["ResolvedRefs"] == ("False", reason)
    assert conditions(model)["Accepted"][0] == "True"
    assert conditions(model, "Gateway", "gw")["Programmed"] == ("True", "Programmed")
    assert not model.backends


def test_weight_zero_is_a_reference_too() -> None:
    model = run(AlphaPool=[ALPHA], Pool=[V1], Service=[PICKER],
                HTTPRoute=[route(rules=[{"backendRefs": [reference("pa", ALPHA_GROUP, 1), reference("pv", V1_GROUP, 0)]}])])
    assert len(model.backends) == 2
    assert conditions(model, "Pool", "pv") == {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("True", "ResolvedRefs")}


def test_a_grant_is_for_one_group() -> None:
    there = {**ALPHA, "metadata": meta("pa", "models")}
    picker = {**PICKER, "metadata": meta("epp", "models")}
    found = {}
    for group in (ALPHA_GROUP, V1_GROUP):
        model = run(AlphaPool=[there], Service=[picker], ReferenceGrant=[grant("models", "default", group, "InferencePool")],
                    HTTPRoute=[route(rules=[{"backendRefs": [reference("pa", ALPHA_GROUP, namespace="models")]}])])
        found[group] = conditions(model)["ResolvedRefs"]
    assert found == {ALPHA_GROUP: ("True", "ResolvedRefs"), V1_GROUP: ("False", "RefNotPermitted")}


def test_a_pool_whose_picker_service_is_missing() -> None:
    model = run(AlphaPool=[ALPHA], HTTPRoute=[route(rules=[{"backendRefs": [reference("pa", ALPHA_GROUP)]}])])
    assert conditions(model, "AlphaPool", "pa")["ResolvedRefs"] == ("False", "InvalidExtensionRef")
    assert conditions(model)["ResolvedRefs"][0] == "True"
    assert conditions(model)["Reconciled"] == ("False", "ReconciliationFailed")
    assert entries(model)[0].shares[0].backend is None


def test_pool_status_is_singular_in_alpha_and_plural_in_v1() -> None:
    model = run(AlphaPool=[ALPHA], Pool=[V1], Service=[PICKER],
                HTTPRoute=[route(rules=[{"backendRefs": [reference("pa", ALPHA_GROUP), reference("pv", V1_GROUP)]}])])
    fields = {status.kind: list(status.value) for status in model.statuses if status.kind in ("AlphaPool", "Pool")}
    assert fields == {"AlphaPool": ["parent"], "Pool": ["parents"]}


def test_no_status_for_what_no_route_refers_to() -> None:
    model = run(AlphaPool=[ALPHA], Pool=[V1], Service=[PICKER], HealthCheckPolicy=[health_policy("h", V1_GROUP, "InferencePool", "pv")],
                HTTPRoute=[route(rules=[{"backendRefs": [reference("pa", ALPHA_GROUP)]}])])
    assert {(status.kind, status.name) for status in model.statuses} == {("HTTPRoute", "route"), ("Gateway", "gw"), ("AlphaPool", "pa")}


def test_endpoints_are_ready_pods_on_the_pools_port() -> None:
    pods = [pod("a", "127.1.0.1", "m"), pod("b", "127.1.0.2", "m", ready=False), pod("c", "127.1.0.3", "x"),
            pod("d", "127.1.0.4", "m", deletionTimestamp="now"),
            pod("e", "127.1.0.5", "epp"), {**pod("f", "127.1.0.6", "m"), "metadata": meta("f", "other", labels={"app": "m"})}]
    snapshot = {"AlphaPool": [alpha_pool("pa", "m", "epp", port=8001)], "Service": [service("epp", "epp", 9002, 9100)], "Pod": pods}
    index = Index(snapshot, settings().pool_groups)
    backend = index.resolve("default/gw", "default", reference("pa", ALPHA_GROUP)).backend
    assert backend is not None
    found = index.endpoints(backend)
    assert found is not None and (found.pods, found.pickers) == (("127.1.0.1:8001",), ("127.1.0.5:9100",))


def test_an_alpha_pools_empty_selector_takes_every_pod_of_its_namespace() -> None:
    pool = alpha_pool("pa", "m", "epp")
    pool["spec"]["selector"] = {}
    index = Index({"AlphaPool": [pool], "Service": [PICKER], "Pod": [pod("a", "127.1.0.1", "x")]}, settings().pool_groups)
    backend = index.resolve("default/gw", "default", reference("pa", ALPHA_GROUP)).backend
    found = backend and index.endpoints(backend)
    assert found and found.pods == ("127.1.0.1:8000",)


def test_a_pool_made_again_is_another_backend() -> None:
    again = {**ALPHA, "metadata": {**ALPHA["metadata"], "uid": "second"}}
    rules = [{"backendRefs": [reference("pa", ALPHA_GROUP)]}]
    first, second = (run(AlphaPool=[pool], Service=[PICKER], HTTPRoute=[route(rules=rules)]) for pool in (ALPHA, again))
    assert names(first) == names(second) and set(first.backends).isdisjoint(second.backends)


def test_policies_belong_to_one_group_and_the_oldest_wins() -> None:
    target = {"kind": "InferencePool", "name": "p"}
    timeouts = [
        policy("GCPBackendPolicy", "young", {**target, "group": V1_GROUP}, {"timeoutSec": 60}, created="2026-03-01T00:00:00Z"),
        policy("GCPBackendPolicy", "old", {**target, "group": V1_GROUP}, {"timeoutSec": 300}, created="2026-02-01T00:00:00Z"),
    ]
    model = run(AlphaPool=[alpha_pool("p", "m", "epp")], Pool=[v1_pool("p", "m", "epp")], Service=[PICKER], GCPBackendPolicy=timeouts,
                HTTPRoute=[route(rules=[{"backendRefs": [reference("p", ALPHA_GROUP), reference("p", V1_GROUP)]}])])
    assert {backend.group: backend.timeout_seconds for backend in model.backends.values()} == {ALPHA_GROUP: 30, V1_GROUP: 300}
    assert conditions(model, "GCPBackendPolicy", "old") == {"Attached": ("True", "Attached")}
    assert conditions(model, "GCPBackendPolicy", "young") == {"Attached": ("False", "Conflicted")}


def test_health_checks_follow_the_policy() -> None:
    config = {"type": "HTTP", "httpHealthCheck": {"requestPath": "/health", "port": 9001}}
    default = {"checkIntervalSec": 2, "timeoutSec": 1, "healthyThreshold": 3, "unhealthyThreshold": 4, "config": config}
    found = policy("HealthCheckPolicy", "h", {"group": V1_GROUP, "kind": "InferencePool", "name": "pv"}, default)
    for policies, wanted in (([found], Check("HTTP", "/health", 9001, 2.0, 1.0, 3, 4)), ([], Check())):
        index = Index({"Pool": [V1], "Service": [PICKER], "HealthCheckPolicy": policies}, settings().pool_groups)
        backend = index.resolve("default/gw", "default", reference("pv", V1_GROUP)).backend
        assert backend is not None and index.check(backend) == wanted


def test_best_match_comes_first() -> None:
    def match(value: str, kind: str = "PathPrefix", **more: Any) -> dict[str, Any]:
        return {"path": {"type": kind, "value": value}, **more}

    header = {"headers": [{"name": "x", "value": "1"}]}
    matches = [match("/"), match("/v1"), match("/v1", **header), match("/v1/completions"), match("/v1", "Exact"), match("/v1", method="POST"),
               match("/v1", queryParams=[{"name": "q", "value": "1"}])]
    older = route("older", [{"matches": [match("/v1")], "backendRefs": [reference("s")]}], created="2025-01-01T00:00:00Z")
    model = run(Service=[service("s", "m")], HTTPRoute=[route(rules=[{"matches": [one], "backendRefs": [reference("s")]} for one in matches]), older])
    assert [entry.name for entry in entries(model)] == [
        "default/route/4", "default/route/3", "default/route/5", "default/route/2", "default/route/6", "default/older/0", "default/route/1", "default/route/0"]


@pytest.mark.parametrize(("listener", "hosts", "found"), [
    (None, None, ["*"]), (None, ["a.io"], ["a.io"]), ("a.io", None, ["a.io"]), ("*.io", ["a.io", "a.com"], ["a.io"]), ("a.io", ["*.io"], ["a.io"]),
    ("a.io", ["b.io"], []), ("*.io", ["*.b.io"], ["*.b.io"]), ("*.b.io", ["*.io"], ["*.b.io"]), ("*.io", ["io"], []),
])
def test_hostnames_meet(listener: str | None, hosts: list[str] | None, found: list[str]) -> None:
    assert matching.intersect(listener, hosts) == found


def test_routes_that_may_not_attach_say_so() -> None:
    elsewhere = {"metadata": meta("route", "tenant"), "spec": {"parentRefs": [{"name": "gw", "namespace": "default"}], "rules": [{}]}}
    assert conditions(run(HTTPRoute=[elsewhere]))["Accepted"] == ("False", "NotAllowedByListeners")
    assert conditions(run(HTTPRoute=[route(parents=[{"name": "gw", "sectionName": "no"}])]))["Accepted"] == ("False", "NoMatchingParent")
    bound = gateway(listeners=[{"name": "http", "port": 8080, "protocol": "HTTP", "hostname": "a.io"}])
    assert conditions(run(Gateway=[bound], HTTPRoute=[route(hostnames=["b.io"])]))["Accepted"] == ("False", "NoMatchingListenerHostname")
    opened = gateway(listeners=[{"name": "http", "port": 8080, "protocol": "HTTP", "allowedRoutes": {"namespaces": {
        "from": "Selector", "selector": {"matchLabels": {"team": "a"}}}}}])
    tenant = {"metadata": {"name": "tenant", "labels": {"team": "a"}}}
    assert conditions(run(Gateway=[opened], Namespace=[tenant], HTTPRoute=[elsewhere]))["Accepted"] == ("True", "Accepted")


def test_only_served_classes_and_known_gateways() -> None:
    assert run(classes={"another"}, HTTPRoute=[route(rules=[{}])]) == Model()


def test_two_gateways_have_backends_of_their_own() -> None:
    model = run(Gateway=[gateway(), gateway("other")], Service=[service("s", "m")],
                HTTPRoute=[route(rules=[{"backendRefs": [reference("s")]}], parents=[{"name": "gw"}, {"name": "other"}])])
    assert len(model.backends) == 2 and len(model.servers) == 2
    assert len(next(status.value["parents"] for status in model.statuses if status.kind == "HTTPRoute")) == 2


def test_listeners_that_cannot_work_are_reported_and_the_others_serve() -> None:
    listeners = [{"name": "tls", "port": 8443, "protocol": "HTTPS"}, {"name": "low", "port": 80, "protocol": "HTTP"},
                 *({"name": name, "port": port, "protocol": "HTTP"} for name, port in (("busy", 9999), ("a", 8080), ("b", 8080)))]
    model = run(Gateway=[gateway(listeners=listeners)], options={"lowest_port": 1024}, unusable={("default/gw", 9999): "port 9999 is taken"})
    found = {entry["name"]: {item["type"]: item["status"] for item in entry["conditions"]} for entry in model.statuses[0].value["listeners"]}
    assert {name: entry["Programmed"] for name, entry in found.items()} == {"tls": "False", "low": "False", "busy": "False", "a": "True", "b": "False"}
    assert found["b"]["Conflicted"] == "True"
    assert [server.port for server in model.servers] == [8080]
    assert conditions(model, "Gateway", "gw")["Programmed"][0] == "True"


def test_an_unsupported_filter_breaks_its_rule_alone() -> None:
    rules = [{"filters": [{"type": "ExtensionRef"}], "backendRefs": [reference("s")]}, {"backendRefs": [reference("s")]},
             {"matches": [{"path": {"type": "RegularExpression", "value": "("}}], "backendRefs": [reference("s")]}]
    model = run(Service=[service("s", "m")], HTTPRoute=[route(rules=rules)])
    assert [bool(entry.broken) for entry in entries(model)] == [True, False]
    assert conditions(model)["PartiallyInvalid"] == ("True", "UnsupportedValue")
    assert conditions(model)["Reconciled"][0] == "False"


def test_the_limit_of_extension_chains() -> None:
    rules = [{"backendRefs": [reference("pa", ALPHA_GROUP), reference("pv", V1_GROUP), reference("s")]}]
    model = run(options={"chain_limit": 1}, AlphaPool=[ALPHA], Pool=[V1], Service=[PICKER, service("s", "m")], HTTPRoute=[route(rules=rules)])
    assert [share.backend is None for share in entries(model)[0].shares] == [False, True, False]
    assert conditions(model)["Reconciled"][0] == "False"


def shares(options: dict[str, Any], *references: dict[str, Any], name: str = "route") -> tuple[list[tuple[str, int]], dict[str, tuple[str, str]]]:
    """(backend, weight) of a rule's shares as a gateway with an illness serves them, and the route's conditions."""
    model = run(options=options, AlphaPool=[ALPHA], Pool=[V1], Service=[PICKER], HTTPRoute=[route(rules=[{"backendRefs": list(references)}])])
    return [((share.backend or "500").partition("/")[0], share.weight) for share in entries(model)[0].shares], conditions(model)


TEN = (reference("pa", ALPHA_GROUP, 90), reference("pv", V1_GROUP, 10))


@pytest.mark.parametrize(("options", "references", "expected"), [
    ({}, TEN, [(ALPHA_GROUP, 90), (V1_GROUP, 10)]),
    ({"weights": "ignored"}, TEN, [(ALPHA_GROUP, 1), (V1_GROUP, 1)]),
    ({"weights": "ignored"}, (reference("pa", ALPHA_GROUP, 100), reference("pv", V1_GROUP, 0)), [(ALPHA_GROUP, 1), (V1_GROUP, 0)]),
    ({"weights": "leaking"}, (reference("pa", ALPHA_GROUP, 0), reference("pv", V1_GROUP, 100)), [(ALPHA_GROUP, 500), (V1_GROUP, 10000)]),
    ({"mixed": {"default/route": "broken"}}, TEN, [(ALPHA_GROUP, 6300), (V1_GROUP, 700), ("500", 3000)]),
    ({"mixed": {"default/route": "fallback"}}, TEN, [(ALPHA_GROUP, 90), (V1_GROUP, 0)]),
    ({"mixed": {"default/other": "broken"}}, TEN, [(ALPHA_GROUP, 90), (V1_GROUP, 10)]),
    ({"mixed": {"default/route": "broken"}}, TEN[:1], [(ALPHA_GROUP, 90)]),
])
def test_what_a_gateway_does_wrong_with_weights(options: dict[str, Any], references: Any, expected: list[tuple[str, int]]) -> None:
    found, said = shares(options, *references)
    assert found == expected
    assert said["Accepted"][0] == said["ResolvedRefs"][0] == "True", "no status tells"
    assert ("PartiallyInvalid" in said) is ("fallback" in str(options))


def test_one_gateway_of_two_may_serve_one_group_alone() -> None:
    both = route(rules=[{"backendRefs": list(TEN)}], parents=[{"name": "gw"}, {"name": "other"}])
    model = run(options={"pool_groups_of": {"default/other": [ALPHA_GROUP]}}, AlphaPool=[ALPHA], Pool=[V1], Service=[PICKER],
                Gateway=[gateway(), gateway(name="other")], HTTPRoute=[both])
    assert [conditions(model, parent=number)["ResolvedRefs"] for number in (0, 1)] == [("True", "ResolvedRefs"), ("False", "InvalidKind")]


def test_mirrors_are_references() -> None:
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": reference("pa", ALPHA_GROUP), "percent": 5}}
    rules = [{"filters": [mirror], "backendRefs": [reference("s")]}]
    model = run(AlphaPool=[ALPHA], Service=[PICKER, service("s", "m")], HTTPRoute=[route(rules=rules)])
    assert len(model.backends) == 2 and entries(model)[0].mirrors[0].percent == 5.0
    assert conditions(model, "AlphaPool", "pa")["Accepted"][0] == "True"


@pytest.mark.parametrize(("text", "value"), [(None, None), ("0s", None), ("10s", 10.0), ("1h1m1s500ms", 3661.5)])
def test_durations(text: str | None, value: float | None) -> None:
    assert seconds(text) == value


def test_status_keeps_others_parents_and_the_times_of_what_did_not_change() -> None:
    def entry(controller: str, value: str, time: str | None = None) -> dict[str, Any]:
        condition = {"type": "Accepted", "status": value, "reason": "R", "message": "", **({"lastTransitionTime": time} if time else {})}
        return {"parentRef": {"name": "gw"}, "controllerName": controller, "conditions": [condition]}

    current = {"parents": [entry("other", "True", "t0"), entry("networking.gke.io/gateway", "True", "t1")]}
    same = merged("HTTPRoute", {"parents": [entry("networking.gke.io/gateway", "True")]}, current, "t2")
    assert same == current
    changed = merged("HTTPRoute", {"parents": [entry("networking.gke.io/gateway", "False")]}, current, "t2")
    assert [parent["conditions"][0]["lastTransitionTime"] for parent in changed["parents"]] == ["t0", "t2"]
    assert cleared("HTTPRoute", current) == {"parents": [current["parents"][0]]}


def test_status_of_a_pool_is_taken_back_but_its_default_stays() -> None:
    default = {"parentRef": {"kind": "Status", "name": "default"}, "conditions": []}
    ours = {"parentRef": {"kind": "Gateway", "name": "gw"}, "conditions": []}
    assert cleared("AlphaPool", {"parent": [default, ours]}) == {"parent": [default]}
    assert cleared("AlphaPool", {"parent": [default]}) is None
    assert cleared("Pool", {"parents": [ours]}) == {"parents": []}
    assert cleared("HealthCheckPolicy", {"conditions": [{"type": "Attached"}]}) == {"conditions": []}


def test_settings_of_profiles_and_their_overrides() -> None:
    found = Settings.of("gke", "v1_only", 5, {"take": [1, 2], "chain_limit": 3})
    assert (found.take, found.warm, found.pool_groups, found.seed, found.chain_limit) == ((1, 2), (20.0, 60.0), (V1_GROUP,), 5, 3)
    for arguments in (("slow", "both", 1), ("fast", "all", 1), ("fast", "both", 1, {"warmth": 1})):
        with pytest.raises(SandboxError, match="unknown"):
            Settings.of(*arguments)


# -- policies before it -------------------------------------------------------------------------------------------------


def test_a_key_that_a_gateway_wants_is_asked_for_first() -> None:
    """On every host, and of the Gateway that wants it alone."""
    routed = route(rules=[{"backendRefs": [reference("s")]}], parents=[{"name": "gw"}, {"name": "other"}])
    both = {"Gateway": [gateway(), gateway("other")], "HTTPRoute": [routed], "Service": [service("s", "m")]}
    asked, plain = run(options={"keys": {"default/gw": "x-key: a b"}}, **both).servers
    (first, *_others) = front_routes(asked)["virtual_hosts"][0]["routes"]
    assert first["direct_response"]["status"] == 401 and "401" in first["direct_response"]["body"]["inline_string"]
    assert first["match"]["headers"] == [
        {"name": "x-key", "string_match": {"exact": "a b"}, "invert_match": True, "treat_missing_header_as_empty": True}
    ]
    assert all("direct_response" not in entry for entry in front_routes(plain)["virtual_hosts"][0]["routes"])


def test_a_policy_denies_one_address() -> None:
    both = {"Gateway": [gateway(), gateway("other")], "HTTPRoute": [route(parents=[{"name": "gw"}, {"name": "other"}])]}
    denied, plain = run(options={"denied": {"default/gw": 403}}, **both).servers
    (first, *_others) = front_routes(denied)["virtual_hosts"][0]["routes"]
    assert first["direct_response"]["status"] == 403 and "headers" not in first["match"]
    assert all(entry["name"] != "denied" for entry in front_routes(plain)["virtual_hosts"][0]["routes"])


def test_a_policy_refuses_the_pools_of_one_group() -> None:
    rules = [{"backendRefs": [reference("pa", ALPHA_GROUP), reference("pv", V1_GROUP), reference("s")]}]
    model = run(options={"refusals": {V1_GROUP: 403}}, AlphaPool=[ALPHA], Pool=[V1], Service=[PICKER, service("s", "m")], HTTPRoute=[route(rules=rules)])
    assert {backend.label.rpartition("/")[2]: backend.refusal for backend in model.backends.values()} == {"pa": None, "pv": 403, "s:80": None}
    (refused,) = [backend for backend in model.backends.values() if backend.refusal]
    (only,) = back_routes(refused)["virtual_hosts"][0]["routes"]
    assert only["direct_response"]["status"] == 403 and only["typed_per_filter_config"]["envoy.filters.http.ext_proc"]["disabled"]
