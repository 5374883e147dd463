# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths, patience, paging and the guard of the right cluster, with a client that answers by script."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client.rest import ApiException
from kubernetes.dynamic.exceptions import api_exception
from urllib3 import HTTPHeaderDict, PoolManager
from urllib3.exceptions import ProtocolError

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import api
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import (
    ApiError,
    Cluster,
    Conflict,
    Forbidden,
    NotAdmitted,
    NotServed,
    Unreachable,
    WrongCluster,
    collection_path,
    object_path,
    refuse_ambiguous_connection,
)


def refusal(status: int, body: Any = None, reason: str = "why") -> ApiException:
    error = ApiException(status=status, reason=reason)
    error.body = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
    return error


class BrokenOff:
    """An answer of which nothing more comes while it is read."""

    @property
    def data(self) -> bytes:
        raise ProtocolError("broken off")


class Client:
    """Answers in turn; the last one for ever. An exception is raised, a function is called with the request."""

    def __init__(self, *answers: Any) -> None:
        self.pools = PoolManager()
        self.client = SimpleNamespace(rest_client=SimpleNamespace(pool_manager=self.pools))
        self.answers = list(answers)
        self.seen: list[tuple[str, str, dict[str, Any]]] = []

    def request(self, method: str, path: str, **arguments: Any) -> Any:
        self.seen.append((method, path, arguments))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            answer = answer(method, path, arguments)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, (BrokenOff, Reply)) else Reply(answer)


class Reply:
    """An answer of the client: text, and the warnings that came with it."""

    def __init__(self, answer: Any, *warnings: str) -> None:
        self.data = answer if isinstance(answer, (str, bytes)) else json.dumps(answer)
        self.headers = HTTPHeaderDict([("Warning", text) for text in warnings])


class Clock:
    def __init__(self) -> None:
        self.now, self.pauses = 0.0, list[float]()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(api, "time", made)
    return made


Make = Callable[..., tuple[Cluster, Client]]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Make:
    monkeypatch.delenv("K8S_AUTH_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", "none")

    def connect(*answers: Any, patience: float = 10.0, **params: Any) -> tuple[Cluster, Client]:
        client = Client(*answers)
        monkeypatch.setattr(api, "get_api_client", lambda module: SimpleNamespace(client=client, configuration=SimpleNamespace(host="https://server")))
        return Cluster(SimpleNamespace(params=params), patience), client

    return connect


# -- paths ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("Gateway", "gateways"),
        ("HTTPRoute", "httproutes"),
        ("GCPBackendPolicy", "gcpbackendpolicies"),
        ("HealthCheckPolicy", "healthcheckpolicies"),
        ("InferencePool", "inferencepools"),
        ("InferenceModelRewrite", "inferencemodelrewrites"),
        ("ConfigMap", "configmaps"),
        ("ReferenceGrant", "referencegrants"),
        ("CustomResourceDefinition", "customresourcedefinitions"),
    ],
)
def test_plurals(kind: str, expected: str) -> None:
    assert api.plural(kind) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("apps/v1", "Deployment", "ns", "x"), "/apis/apps/v1/namespaces/ns/deployments/x"),
        (("v1", "ConfigMap", "ns", "x"), "/api/v1/namespaces/ns/configmaps/x"),
        (("v1", "Namespace", None, "x"), "/api/v1/namespaces/x"),
        (("rbac.authorization.k8s.io/v1", "ClusterRole", None, "system:x"), "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Ax"),
    ],
)
def test_object_paths(arguments: tuple[Any, ...], expected: str) -> None:
    assert object_path(*arguments) == expected


def test_collection_paths() -> None:
    assert collection_path("gateway.networking.k8s.io/v1", "httproutes") == "/apis/gateway.networking.k8s.io/v1/httproutes"
    assert collection_path("v1", "pods", "ns") == "/api/v1/namespaces/ns/pods"


# -- the right cluster ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "environ", "refused"),
    [
        ({"kubeconfig": "a"}, {"K8S_AUTH_HOST": "https://x"}, "kubeconfig given"),
        ({"context": "a"}, {"K8S_AUTH_HOST": "https://x"}, "context given"),
        ({"kubeconfig": {"a": 1}, "context": "b"}, {"K8S_AUTH_HOST": "https://x"}, "kubeconfig and context given"),
        ({"kubeconfig": "a", "host": "https://y"}, {"K8S_AUTH_HOST": "https://x"}, None),
        ({"kubeconfig": "a"}, {"K8S_AUTH_HOST": ""}, None),
        ({"kubeconfig": "a"}, {}, None),
        ({"kubeconfig": None}, {"K8S_AUTH_HOST": "https://x"}, None),
    ],
)
def test_a_connection_that_the_environment_would_win_over_is_refused(params: dict[str, Any], environ: dict[str, str], refused: str | None) -> None:
    if refused is None:
        refuse_ambiguous_connection(params, environ)
    else:
        with pytest.raises(WrongCluster, match=f"{refused}, but K8S_AUTH_HOST=https://x"):
            refuse_ambiguous_connection(params, environ)


def test_it_is_refused_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch, make: Make) -> None:
    monkeypatch.setenv("K8S_AUTH_HOST", "https://x")
    with pytest.raises(WrongCluster):
        make({}, kubeconfig="a")


def test_the_cluster_must_be_the_one_that_was_meant(make: Make) -> None:
    space = {"metadata": {"uid": "uid-1"}}
    cluster, client = make(space, cluster_id="uid-1")
    assert cluster.identity() == "uid-1" and len(client.seen) == 1
    with pytest.raises(WrongCluster, match="https://server is cluster uid-1, but the inventory says migration_cluster_id uid-2"):
        make(space, cluster_id="uid-2")
    cluster, client = make(space)
    assert client.seen == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [(OSError("no such file"), ApiError), (ValueError("bad"), ApiError), (ProtocolError("cut"), Unreachable), (refusal(503), Unreachable)],
)
def test_a_client_that_can_not_be_made(monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type[ApiError]) -> None:
    def fail(module: Any) -> None:
        raise error

    monkeypatch.setattr(api, "get_api_client", fail)
    monkeypatch.setenv("KUBECONFIG", "none")
    with pytest.raises(ApiError) as caught:
        Cluster(SimpleNamespace(params={}))
    assert caught.type is expected


# -- errors and patience -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "kind"), [(403, Forbidden), (404, NotServed), (409, Conflict), (400, ApiError), (422, ApiError), (401, api.Unauthorized)])
@pytest.mark.parametrize("wrap", [lambda error: error, api_exception])
def test_refusals_in_the_servers_own_words_and_at_once(make: Make, clock: Clock, status: int, kind: type[ApiError], wrap: Any) -> None:
    cluster, client = make(wrap(refusal(status, {"kind": "Status", "message": "because"})))
    with pytest.raises(ApiError, match="PUT /x: because") as caught:
        cluster.request("PUT", "/x")
    assert caught.type is kind and caught.value.status == status
    assert len(client.seen) == 1 and clock.pauses == []


@pytest.mark.parametrize(("message", "kind"), [
    ('pods is forbidden: User "detect" cannot create resource "pods" in API group "" in the namespace "chat"', Forbidden),
    ('pods "x" is forbidden: User "x" cannot create resource "pods" in API group "": requires one of ["container.pods.create"]', Forbidden),
    ('pods "x-" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true', NotAdmitted),
    ('pods "x-" is forbidden: exceeded quota: team, requested: pods=1, used: pods=3, limited: pods=3', NotAdmitted),
    ('admission webhook "policies.example.com" denied the request: User "x" cannot create resource of this kind', NotAdmitted),
])
def test_who_may_not_write_and_what_is_not_admitted_are_told_apart(make: Make, message: str, kind: type[ApiError]) -> None:
    cluster, _client = make(refusal(403, {"kind": "Status", "message": message}))
    with pytest.raises(Forbidden) as caught:
        cluster.create("/x", {})
    assert caught.type is kind


def test_what_the_server_warns_of_with_its_last_answer(make: Make) -> None:
    said = ('299 - "would violate PodSecurity \\"restricted:latest\\": a, b"', '299 - "unknown field"')
    cluster, _client = make(lambda *_request: Reply({}, *said), lambda *_request: Reply({}))
    cluster.create("/x", {}, dry_run=True)
    assert cluster.warnings == ['would violate PodSecurity "restricted:latest": a, b', "unknown field"]
    cluster.create("/x", {})
    assert cluster.warnings == []


@pytest.mark.parametrize(
    ("body", "expected"), [("plain text", "plain text"), (None, "why"), ("", "why"), ("[]", "[]"), ({"no": "message"}, '{"no": "message"}')]
)
def test_refusals_without_a_status(make: Make, body: Any, expected: str) -> None:
    cluster, _client = make(refusal(400, body))
    with pytest.raises(ApiError) as caught:
        cluster.request("GET", "/x")
    assert str(caught.value) == f"GET /x: {expected}"


PASSING = [refusal(429), refusal(500), refusal(503), ProtocolError("cut"), ConnectionRefusedError("refused"), TimeoutError("slow"), "<html>", BrokenOff()]


@pytest.mark.parametrize("error", PASSING)
def test_what_passes_is_tried_again(make: Make, clock: Clock, error: Any) -> None:
    cluster, client = make(error, error, error, {"ok": 1})
    assert cluster.request("PUT", "/x", body={"a": 1}) == {"ok": 1}
    assert clock.pauses == [0.2, 0.4, 0.8]
    assert all(arguments["body"] == {"a": 1} for _method, _path, arguments in client.seen)


@pytest.mark.parametrize("error", PASSING)
def test_patience_ends(make: Make, clock: Clock, error: Any) -> None:
    cluster, _client = make(error, patience=10)
    with pytest.raises(Unreachable, match="https://server gave no usable answer to GET /x for 10 s"):
        cluster.request("GET", "/x")
    assert 7 <= clock.now <= 10 and max(clock.pauses) == 3.0


def test_a_server_that_says_when_to_ask_again_is_asked_then(make: Make, clock: Clock) -> None:
    busy = refusal(429)
    busy.headers = {"Retry-After": "7"}
    cluster, client = make(busy, {"done": 1})
    assert cluster.request("GET", "/x") == {"done": 1} and clock.pauses == [7.0]
    cluster, client = make(busy, {"done": 1}, patience=5.0)
    with pytest.raises(Unreachable, match="for 5 s"):
        cluster.request("GET", "/x")
    assert len(client.seen) == 1, "earlier than it says it is not asked"


def test_a_credential_that_is_not_accepted_is_told_of_at_once_and_may_be_waited_for(make: Make) -> None:
    cluster, client = make(refusal(401, {"message": "Unauthorized"}))
    with pytest.raises(Unreachable, match="renew it, then start again") as refused:
        cluster.get("/x")
    assert len(client.seen) == 1 and refused.value.status == 401, "this process can't renew it"


def test_a_request_is_sent_by_the_client_once(make: Make) -> None:
    """urllib3 by itself sends a PUT or DELETE again whose answer was cut off."""
    _cluster, client = make({})
    assert client.pools.connection_from_url("https://server").retries is False


def test_the_fence_is_asked_before_every_sending_of_a_write(make: Make, clock: Clock) -> None:
    cluster, client = make(refusal(500), refusal(503), {})
    asked: list[int] = []
    cluster.fence = lambda: asked.append(len(client.seen))
    cluster.replace("/x", {})
    assert asked == [0, 1, 2]
    cluster.get("/x")
    cluster.create("/x", {}, dry_run=True)
    cluster.delete("/x", dry_run=True)
    assert asked == [0, 1, 2], "reading and trying write nothing"
    cluster.fence = refuse_to_write
    with pytest.raises(ApiError, match="not ours"):
        cluster.delete("/x")
    assert len(client.seen) == 6


def refuse_to_write() -> None:
    """A fence that lets nothing through."""
    raise ApiError("not ours", 418)


def test_every_request_has_a_time_limit_of_its_own(make: Make) -> None:
    cluster, client = make({})
    cluster.request("GET", "/x", query={"a": "b"})
    arguments = client.seen[0][2]
    assert arguments["_request_timeout"] == (2, 60) and arguments["query_params"] == [("a", "b")] and arguments["serialize"] is False


# -- reading -------------------------------------------------------------------------------------------------------------


def page(names: list[str], token: str | None) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PodList",
        "metadata": {"continue": token} if token is not None else {},
        "items": [{"metadata": {"name": name}} for name in names],
    }


def test_lists_come_page_by_page_with_kind_and_version(make: Make) -> None:
    cluster, client = make(page(["a", "b"], "more"), page([], "even more"), page(["c"], ""))
    found = list(cluster.list("/api/v1/pods", labelSelector="x=y"))
    assert [entry["metadata"]["name"] for entry in found] == ["a", "b", "c"]
    assert {(entry["apiVersion"], entry["kind"]) for entry in found} == {("v1", "Pod")}
    common = [("labelSelector", "x=y"), ("limit", api.PAGE)]
    assert [arguments["query_params"] for *_rest, arguments in client.seen] == [common, [*common, ("continue", "more")], [*common, ("continue", "even more")]]


def test_an_empty_list_and_a_kind_that_is_not_served(make: Make) -> None:
    assert list(make(page([], None) | {"items": None})[0].list("/x")) == []
    with pytest.raises(NotServed):
        list(make(refusal(404))[0].list("/x"))


def test_get_of_what_is_not_there(make: Make) -> None:
    assert make(refusal(404))[0].get("/x") is None
    with pytest.raises(Forbidden):
        make(refusal(403))[0].get("/x")


def test_version_and_groups(make: Make) -> None:
    assert make({"gitVersion": "v1.34.0-gke.1626000"})[0].version() == "v1.34.0-gke.1626000"
    groups = {"groups": [{"versions": [{"groupVersion": "apps/v1"}, {"groupVersion": "apps/v1beta1"}]}, {"versions": [{"groupVersion": "x/v1"}]}]}
    assert make(groups)[0].groups() == {"apps/v1", "apps/v1beta1", "x/v1"}


# -- writing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dry_run", [False, True])
def test_writes(make: Make, dry_run: bool) -> None:
    cluster, client = make({"done": 1})
    assert cluster.create("/c", {"a": 1}, dry_run) == cluster.replace("/o", {"b": 1}, dry_run) == {"done": 1}
    assert cluster.delete("/o", dry_run, preconditions={"uid": "u"}) is True
    assert [(method, path) for method, path, _arguments in client.seen] == [("POST", "/c"), ("PUT", "/o"), ("DELETE", "/o")]
    trial, named = [("dryRun", "All")] if dry_run else [], [("fieldManager", "inference-gateway-migration")]
    assert [arguments["query_params"] for *_rest, arguments in client.seen] == [trial + named, trial + named, trial]
    body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background", "preconditions": {"uid": "u"}}
    assert client.seen[2][2]["body"] == body | ({"dryRun": ["All"]} if dry_run else {}), "beside a body the server does not read the query: it would delete"


def test_deleting_what_is_not_there(make: Make) -> None:
    assert make(refusal(404))[0].delete("/o") is False
    with pytest.raises(Conflict):
        make(refusal(409))[0].delete("/o")


def test_auth_options_hold_the_clusters_id_and_are_copies() -> None:
    spec = api.auth_argument_spec()
    assert spec["cluster_id"] == {"type": "str"} and {"kubeconfig", "context", "host", "api_key"} <= set(spec)
    spec["context"]["changed"] = True
    assert "changed" not in api.auth_argument_spec()["context"]
