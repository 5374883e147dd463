# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a piece of work knows: the Plan, the routes as they were, and what of them is live."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import ApiError, Forbidden
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import OWN
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import probe_routes, weights
from ansible_collections.inference_gateway.migration.plugins.module_utils.scope import MigrationScope, affected, moves, route_keys, saved

from tests.unit.helpers.migration_fakes import ALPHA, KEY, MOVES, FakeCluster, gateway, http_route, make_plan, plan_pool, rule

Manifest = dict[str, Any]
ORIGINAL = http_route(rule(ALPHA))


def read(*manifests: Manifest, plan: Manifest | None = None, backup: list[Manifest] | None = None) -> MigrationScope:
    return MigrationScope.read(FakeCluster(*manifests), plan or make_plan(), "igm1", backup)


def test_the_plan_names_moves_routes_and_what_the_backup_holds() -> None:
    retire = [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "llama-epp", "namespace": "default"}}]
    plan = make_plan(plan_pool(retire=retire), plan_pool(name="other", v1_name="other-ga", alpha_epp={"deployment": None}))
    assert moves(plan) == MOVES | {KEY._replace(name="other"): "other-ga"}
    assert [str(key) for key in route_keys(plan)] == ["HTTPRoute default/llm-route"]
    assert affected(plan) == [
        ("gateway.networking.k8s.io/v1", "HTTPRoute", "default", "llm-route"),
        ("inference.networking.x-k8s.io/v1alpha2", "InferencePool", "default", "llama-preview"),
        ("v1", "Service", "default", "llama-epp"),
        ("apps/v1", "Deployment", "default", "llama-epp"),
        ("inference.networking.x-k8s.io/v1alpha2", "InferencePool", "default", "other"),
    ]


def test_the_backup_holds_objectives_too_though_none_is_deleted() -> None:
    objective = {"apiVersion": "inference.networking.x-k8s.io/v1alpha2", "kind": "InferenceObjective", "metadata": {"name": "a", "namespace": "default"}}
    plan = make_plan(plan_pool(repoint=[objective]))
    assert saved(plan) == [*affected(plan), ("inference.networking.x-k8s.io/v1alpha2", "InferenceObjective", "default", "a")]


def test_targets_come_from_the_routes_as_they_were() -> None:
    live = weights.reshape(ORIGINAL, ORIGINAL, MOVES, "finished")
    here = read(live, gateway(), backup=[ORIGINAL, {"kind": "InferencePool", "metadata": {"name": "x"}}])
    (key,) = here.originals
    assert here.originals[key] == ORIGINAL and here.live[key]["spec"] == live["spec"]
    assert len(here.targets) == 4
    assert [probe.variant for probe in here.probes(["v1", None])] == ["v1"] * 4 + [None] * 4
    assert {probe.mark for probe in here.probes(["v1"], gone=True)} == {None}
    assert {manifest["metadata"]["labels"][probe_routes.LABEL] for manifest in here.probe_routes(["alpha", "both"])} == {"alpha", "both"}


def test_without_a_backup_what_is_live_counts() -> None:
    here = read(weights.reshape(ORIGINAL, ORIGINAL, MOVES, "finished"), gateway())
    assert len(here.targets) == 4, "a finished route is known by its v1 reference"


def test_a_route_that_is_gone_is_named() -> None:
    with pytest.raises(ApiError, match="HTTPRoute default/llm-route: gone since the plan was made. Make a new plan."):
        read(gateway())


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda place, route, pool: place["status"].clear(), id="no address"),
        pytest.param(lambda place, route, pool: pool["models"].clear(), id="no model"),
        pytest.param(lambda place, route, pool: route["spec"]["rules"][0]["matches"][0]["path"].update(value="/elsewhere"), id="no endpoint"),
        pytest.param(lambda place, route, pool: route["spec"]["rules"].insert(0, rule({"name": "plain"})), id="hidden behind another rule"),
    ],
)
def test_a_rule_that_nothing_reaches_is_not_shifted(change: Any) -> None:
    place, route, pool = gateway(), deepcopy(ORIGINAL), plan_pool()
    change(place, route, pool)
    with pytest.raises(ApiError, match=r"HTTPRoute default/llm-route: no request can be made that reaches rule \d"):
        _found = read(place, route, plan=make_plan(pool)).targets


def test_a_rule_that_only_a_persons_own_request_reaches_is_shifted() -> None:
    """Whatever hides it from the plan's requests: another rule that takes them, its method, or a regular expression."""
    hidden, get, open_ended = rule(ALPHA, path="/v1"), rule(ALPHA, path="/v1/models"), rule(ALPHA)
    get["matches"][0]["method"] = "GET"
    open_ended["matches"][0]["path"] = {"type": "RegularExpression", "value": "/v[23]/.*"}
    route = http_route(rule(ALPHA, path="/v1/completions"), rule(ALPHA, path="/v1/chat/completions"), hidden, get, open_ended)
    own = [{"path": path, "method": method, "body": None if method == "GET" else {"input": "x"}}
           for path, method in (("/v1/embeddings", "POST"), ("/v1/models", "GET"), ("/v2/embeddings", "POST"))]
    for missing in range(len(own)):
        others = [entry for entry in own if entry is not own[missing]]
        with pytest.raises(ApiError, match=f"no request can be made that reaches rule {missing + 2} "):
            _found = MigrationScope.read(FakeCluster(route, gateway()), make_plan(), "igm1", None, others).targets
    here = MigrationScope.read(FakeCluster(route, gateway()), make_plan(), "igm1", None, own)
    assert [(target.rule, target.method) for target in here.targets if target.endpoint == OWN] == [(2, "POST"), (3, "GET"), (4, "POST")]


def test_a_target_that_a_rule_of_another_route_takes_is_not_asked() -> None:
    references = [{"api_version": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "namespace": "default", "name": name} for name in ("llm-route", "chat")]
    here = read(gateway(), ORIGINAL, http_route(rule(ALPHA, path="/v1/chat"), name="chat"), plan=make_plan(plan_pool(references=references)))
    asked = {(target.route.rpartition("/")[2], target.endpoint) for target in here.targets}
    assert asked == {("llm-route", "/v1/completions"), ("chat", "/v1/chat/completions")}


def forbid(monkeypatch: pytest.MonkeyPatch, plural: str) -> None:
    """Nobody may list a kind any more."""
    real = FakeCluster.list

    def listed(self: FakeCluster, path: str, **query: str) -> Iterator[Manifest]:
        if path.endswith(f"/{plural}"):
            raise Forbidden(f"{path} is forbidden")
        return real(self, path, **query)

    monkeypatch.setattr(FakeCluster, "list", listed)


def endpoints(here: MigrationScope) -> set[str]:
    return {target.endpoint for target in here.targets}


def test_a_target_that_a_route_of_somebody_else_takes_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As detect says it. Probe routes are no such routes, and where HTTPRoutes may not be listed, others are not known."""
    other = http_route(rule({"name": "plain"}, path="/v1/chat"), name="others")
    left = http_route(rule({"name": "plain"}, path="/v1/completions"), name="left")
    left["metadata"]["labels"] = {probe_routes.LABEL: "v1"}
    manifests_ = (gateway(), ORIGINAL, other, left)
    assert endpoints(read(*manifests_)) == {"/v1/completions"}
    forbid(monkeypatch, "httproutes")
    assert endpoints(read(*manifests_)) == {"/v1/completions", "/v1/chat/completions"}


def test_a_finished_route_counts_with_the_references_that_it_had() -> None:
    """Live it names v1 alone, and the list of all routes holds it as it is live."""
    live = weights.reshape(ORIGINAL, ORIGINAL, MOVES, "finished")
    assert len(read(live, gateway(), backup=[ORIGINAL]).targets) == 4


def test_a_listener_chooses_by_the_labels_of_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    def listens(name: str, port: int, tenant: str) -> Manifest:
        selector = {"from": "Selector", "selector": {"matchLabels": {"tenant": tenant}}}
        return {"name": name, "protocol": "HTTP", "port": port, "allowedRoutes": {"namespaces": selector}}

    place = gateway(listens("a", 8080, "chat"), listens("b", 8081, "search"))
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default", "labels": {"tenant": "chat"}}}
    assert {target.address.port for target in read(place, ORIGINAL, namespace).targets} == {8080}
    forbid(monkeypatch, "namespaces")
    assert {target.address.port for target in read(place, ORIGINAL, namespace).targets} == {8080, 8081}, "as a plan that was accepted so"


def test_pools_that_serve_one_name_accept_the_answers_of_both() -> None:
    other = plan_pool(
        name="other", models=[{"name": "llama", "answer": "llama-x", "alpha_answers": ["llama-y"]}, {"name": "food", "answer": None, "alpha_answers": []}]
    )
    here = read(ORIGINAL, gateway(), plan=make_plan(plan_pool(), other))
    assert set(here.models) == {"llama", "food"}
    assert {answer for probe in here.probes(["v1"]) for answer in probe.answers} == {"llama", "llama-base", "llama-x", "llama-y"}


# -- endpoint pickers ----------------------------------------------------------------------------------------------------


def deployment(available: int) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "llama-ga-epp", "namespace": "default", "generation": 1},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "epp"}}},
        "status": {"observedGeneration": 1, "availableReplicas": available, "updatedReplicas": 1},
    }


def pod(name: str, app: str) -> Manifest:
    waiting = {"name": "epp", "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "labels": {"app": app}},
        "status": {"containerStatuses": [waiting]},
    }


def test_endpoint_pickers_say_what_their_own_pods_say() -> None:
    pods = [pod("mine", "epp"), pod("others", "web")]
    assert read(ORIGINAL, gateway(), *pods).epp_faults() == ["Deployment default/llama-ga-epp: not there"]
    assert read(ORIGINAL, gateway(), deployment(1), *pods).epp_faults() == []
    assert read(ORIGINAL, gateway(), deployment(0), *pods).epp_faults() == [
        "Pod default/mine container epp: CrashLoopBackOff back-off", "Deployment default/llama-ga-epp: 0 of 1 replicas available",
    ]  # fmt: skip


def test_an_extension_before_the_routes_is_read_where_a_rule_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users do not send the header that it sets, so probes do not either; a cluster without that kind has none."""
    header = {"name": "X-Gateway-Model-Name", "value": "llama"}
    route = http_route(rule(ALPHA) | {"matches": [{"headers": [header]}]})
    sent = {"headers": (("X-Gateway-Model-Name", "llama"),), "by_model": False}
    assert {(target.headers, target.by_model) for target in read(route, gateway()).targets} == {tuple(sent.values())}
    spec = {"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gw"}]}
    extension = {"apiVersion": "networking.gke.io/v1", "kind": "GCPRoutingExtension", "metadata": {"namespace": "default", "name": "bbr"}, "spec": spec}
    here = read(route, gateway(), extension)
    assert {(target.headers, target.by_model) for target in here.targets} == {((), True)}
    forbid(monkeypatch, "gcproutingextensions")
    assert len(read(ORIGINAL, gateway(), extension).targets) == 4, "nobody asks for what no rule needs"
