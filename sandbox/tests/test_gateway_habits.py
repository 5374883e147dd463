# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway's habits, one test each, shown with kubectl and requests alone on a sandbox with real model servers and endpoint pickers.

Every test has routes and pools of its own under one Gateway. Pools whose picker does not matter are FailOpen with a picker Service without
pods: the gateway then picks a healthy pod itself.
"""
from __future__ import annotations

import http.client
import json
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from igw_sandbox.world import World

ALPHA_GROUP = "inference.networking.x-k8s.io"
V1_GROUP = "inference.networking.k8s.io"
KINDS = {ALPHA_GROUP: "inferencepools.inference.networking.x-k8s.io", V1_GROUP: "inferencepools.inference.networking.k8s.io"}
PORT = 8080
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
COMPLETION = {"model": MODEL, "prompt": "hello", "max_tokens": 4}
PATIENCE = 20.0
"""Seconds after which a habit that has not shown itself is missing; the fast profile needs six at most."""

ESTATE = f"""
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: gw, namespace: default}}
spec:
  gatewayClassName: gke-l7-rilb
  listeners: [{{name: http, protocol: HTTP, port: {PORT}, allowedRoutes: {{namespaces: {{from: All}}}}}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: model, namespace: default}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: model}}}}
  template:
    metadata: {{labels: {{app: model}}}}
    spec:
      containers:
        - name: vllm
          image: ghcr.io/llm-d/llm-d-inference-sim:v0.10.2
          args: [--model, {MODEL}, --port, "8000", --max-model-len, "8192", --max-num-seqs, "256", --time-to-first-token, 5ms,
                 --inter-token-latency, 20ms, --force-dummy-tokenizer]
          readinessProbe: {{httpGet: {{path: /health, port: 8000}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: nobody, namespace: default}}
spec:
  selector: {{app: nobody}}
  ports: [{{port: 9002, targetPort: 9002}}]
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModel
metadata: {{name: base, namespace: default}}
spec: {{modelName: {MODEL}, criticality: Critical, poolRef: {{name: real-alpha}}}}
"""
CHART_VALUES = {"inferencePool": {"targetPortNumber": 8000, "targetPorts": [{"number": 8000}], "modelServers": {"matchLabels": {"app": "model"}}},
                "inferenceExtension": {"failureMode": "FailClose", "resources": {}}, "provider": {"name": "gke"}}
RELEASES = {"real-alpha": "v0.3.0", "real-ga": "v1.5.0"}


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: str


class Stream(threading.Thread):
    """One long streamed completion; ``done`` tells whether its [DONE] came."""

    def __init__(self, address: str, host: str) -> None:
        super().__init__(daemon=True)
        self._address, self._host = address, host
        self.status = 0
        self.done = False
        self.ended = 0.0
        self.started = threading.Event()
        self.start()
        assert self.started.wait(10), "the stream did not begin"

    def run(self) -> None:
        connection = http.client.HTTPConnection(self._address, PORT, timeout=30)
        body = {**COMPLETION, "max_tokens": 400, "ignore_eos": True, "stream": True}
        try:
            connection.request("POST", "/v1/completions", json.dumps(body), {"Host": self._host, "Content-Type": "application/json"})
            answer = connection.getresponse()
            self.status = answer.status
            while line := answer.readline():
                self.started.set()
                self.done = self.done or line.startswith(b"data: [DONE]")
        except (OSError, http.client.HTTPException):
            pass  # cut
        finally:
            self.ended = time.time()
            self.started.set()
            connection.close()


class Habits:
    """kubectl and a client for one test; its objects carry the test's own name."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.host = f"{name}.example.com"
        self.made: dict[tuple[str, str], dict[str, Any]] = {}
        self.address = self.json("get", "gateway", "gw")["status"]["addresses"][0]["value"]

    def json(self, *args: str) -> Any:
        return self.world.kubectl_json(*args)

    def apply(self, *objects: dict[str, Any]) -> None:
        self.made |= {(item["kind"] + item["apiVersion"], item["metadata"]["name"]): item for item in objects}
        self.world.apply(yaml.safe_dump_all(objects))

    def clean(self) -> None:
        if self.made:
            self.world.kubectl("delete", "--ignore-not-found", "--wait=false", "-f", "-", input=yaml.safe_dump_all(reversed(self.made.values())))

    def pool(self, group: str, suffix: str = "", mode: str = "FailOpen", picker: str = "nobody", health: bool = True) -> dict[str, Any]:
        """Make a pool over the model servers and, with ``health``, the policy it needs; returns a reference to it."""
        name = self.name + suffix
        meta = {"name": name, "namespace": "default"}
        if group == ALPHA_GROUP:
            spec: dict[str, Any] = {"selector": {"app": "model"}, "targetPortNumber": 8000, "extensionRef": {"name": picker, "failureMode": mode}}
        else:
            spec = {"selector": {"matchLabels": {"app": "model"}}, "targetPorts": [{"number": 8000}],
                    "endpointPickerRef": {"name": picker, "port": {"number": 9002}, "failureMode": mode}}
        version = "v1alpha2" if group == ALPHA_GROUP else "v1"
        objects = [{"apiVersion": f"{group}/{version}", "kind": "InferencePool", "metadata": meta, "spec": spec}]
        self.apply(*objects, *([self.health(group, suffix)] if health else []))
        return {"group": group, "kind": "InferencePool", "name": name}

    def health(self, group: str, suffix: str = "", path: str = "/health", name: str = "") -> dict[str, Any]:
        """A HealthCheckPolicy for a pool of this test."""
        version = "alpha" if group == ALPHA_GROUP else "v1"
        config = {"type": "HTTP", "httpHealthCheck": {"requestPath": path, "portSpecification": "USE_FIXED_PORT", "port": 8000}}
        return self.policy("HealthCheckPolicy", name or f"{self.name}{suffix}-{version}", group, suffix, {"config": config})

    def policy(self, kind: str, name: str, group: str, suffix: str, default: dict[str, Any]) -> dict[str, Any]:
        return {"apiVersion": "networking.gke.io/v1", "kind": kind, "metadata": {"name": name, "namespace": "default"},
                "spec": {"targetRef": {"group": group, "kind": "InferencePool", "name": self.name + suffix}, "default": default}}

    def route(self, *references: dict[str, Any], rules: list[dict[str, Any]] | None = None, suffix: str = "", host: str = "") -> str:
        """Write a route of this test; returns its name."""
        name = self.name + suffix
        spec = {"parentRefs": [{"name": "gw"}], "hostnames": [host or self.host], "rules": rules or [{"backendRefs": list(references)}]}
        self.apply({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": name, "namespace": "default"}, "spec": spec})
        return name

    def ask(self, path: str = "/v1/completions", host: str = "", body: Any = None, **headers: str) -> Reply:
        """One request over a fresh connection, without retries; without a body a small completion, with an empty one a GET."""
        body = COMPLETION if body is None else body
        connection = http.client.HTTPConnection(self.address, PORT, timeout=15)
        try:
            sent = {"Host": host or self.host, "Content-Type": "application/json", **headers}
            connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, sent)
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode())
        finally:
            connection.close()

    def statuses(self, count: int = 20, **more: Any) -> Counter[int]:
        return Counter(self.ask(**more).status for _number in range(count))

    def until(self, wanted: int, **more: Any) -> float:
        """Wait for 30 answers in a row with this status; seconds that it took. That one instance alone gave them all is one in 10^9."""
        started, row, status = time.monotonic(), 0, 0
        while row < 30:
            status = self.ask(**more).status
            row = row + 1 if status == wanted else 0
            assert time.monotonic() - started < PATIENCE, f"{self.host} answers {status} and not {wanted} after {PATIENCE:.0f} s"
            if not row:
                time.sleep(0.1)
        return time.monotonic() - started

    def conditions(self, kind: str, name: str, parents: str = "parents") -> dict[str, tuple[str, str]]:
        """Type -> (status, reason) of an object's (first parent's) conditions; {} when there are none."""
        status = self.json("get", kind, name).get("status", {})
        found = status.get("conditions") or next(iter(status.get(parents) or []), {}).get("conditions", [])
        return {entry["type"]: (entry["status"], entry["reason"]) for entry in found}

    def until_condition(self, kind: str, name: str, condition: str, wanted: tuple[str, str], parents: str = "parents") -> None:
        """Wait until a condition is (status, reason): status comes late."""
        started = time.monotonic()
        while (found := self.conditions(kind, name, parents).get(condition)) != wanted:
            assert time.monotonic() - started < PATIENCE, f"{condition} of {kind} {name} is {found}, not {wanted}"
            time.sleep(0.1)

    def settled(self, name: str) -> dict[str, tuple[str, str]]:
        """Wait until a route's status is of its present generation; its conditions."""
        started = time.monotonic()
        while True:
            item = self.json("get", "httproute", name)
            parents = item.get("status", {}).get("parents", [])
            if parents and all(entry["observedGeneration"] == item["metadata"]["generation"] for entry in parents[0]["conditions"]):
                return {entry["type"]: (entry["status"], entry["reason"]) for entry in parents[0]["conditions"]}
            assert time.monotonic() - started < PATIENCE, f"HTTPRoute {name} has no status of its generation"
            time.sleep(0.1)

    def generation(self, name: str) -> int:
        """The present generation of a route."""
        return int(self.json("get", "httproute", name)["metadata"]["generation"])

    def taken(self, name: str, generation: int) -> list[float]:
        """Times at which the instances took this generation of a route or a later one, so far."""
        first: dict[int, float] = {}
        for text in (self.world.directory / "gateway" / "converged.jsonl").read_text().splitlines():
            line = json.loads(text)
            if line["routes"].get(f"default/{name}", 0) >= generation:
                first.setdefault(line["instance"], line["time"])
        return list(first.values())


@pytest.fixture(scope="module")
def habits_world(make_world: Callable[..., World], tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two model servers, a Gateway and, beside each other, real pools of both groups with their charts' endpoint pickers."""
    folder: Path = tmp_path_factory.mktemp("estate")
    (folder / "estate.yaml").write_text(ESTATE)
    releases = [{"release": release, "version": version, "values": CHART_VALUES} for release, version in RELEASES.items()]
    (folder / "helm.yaml").write_text(json.dumps(releases[:1]))
    world = make_world("habits", estates=[folder], seed=11)
    world.apply(Path(world.state["crds"]) / "v1.5.0" / "manifests.yaml")
    (folder / "helm.yaml").write_text(json.dumps(releases))
    world.add_estate(folder)
    world.wait_ready()
    return world


@pytest.fixture
def habits(habits_world: World, request: pytest.FixtureRequest) -> Iterator[Habits]:
    found = Habits(habits_world, f"h{zlib.crc32(request.node.name.encode()):08x}")
    yield found
    found.clean()


def alpha(habits: Habits, **more: Any) -> dict[str, Any]:
    return habits.pool(ALPHA_GROUP, **more)


REAL = {release: {"group": group, "kind": "InferencePool", "name": release} for release, group in (("real-alpha", ALPHA_GROUP), ("real-ga", V1_GROUP))}


def weighted(*pairs: tuple[dict[str, Any], int]) -> list[dict[str, Any]]:
    return [{**reference, "weight": weight} for reference, weight in pairs]


def test_both_groups_serve_one_rule_through_their_own_pickers(habits: Habits) -> None:
    """Red for nothing: one in 6 million, 60 fair coins of which 10 or fewer fall one way."""
    habits.settled(habits.route(*weighted((REAL["real-alpha"], 50), (REAL["real-ga"], 50))))
    habits.until(200)
    replies = [habits.ask(**{"x-load-id": f"{habits.name}-{number}"}) for number in range(60)]
    assert {reply.status for reply in replies} == {200}
    assert {reply.headers.get("x-went-into-resp-headers") for reply in replies} == {"true"}
    time.sleep(0.5)
    shares = Counter(line["backend"] for line in access(habits.world) if str(line["load_id"]).startswith(habits.name))
    assert set(shares) == {f"{ALPHA_GROUP}/InferencePool/default/real-alpha", f"{V1_GROUP}/InferencePool/default/real-ga"} and min(shares.values()) > 10


def access(world: World) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted((world.directory / "gateway").glob("access-*.jsonl")) for line in path.read_text().splitlines()]


def test_an_unknown_model_gets_its_404_from_the_alpha_picker_and_from_the_model_server_behind_v1(habits: Habits) -> None:
    rules = [{"matches": [{"headers": [{"name": "x-to", "value": to}]}], "backendRefs": [REAL[to]]} for to in REAL]
    habits.route(rules=rules)
    for to in REAL:
        habits.until(200, **{"x-to": to})
    unknown = {**COMPLETION, "model": "nobody-uses-it"}
    picker, server = (habits.ask(body=unknown, **{"x-to": to}) for to in REAL)
    assert (picker.status, picker.body) == (404, "")
    assert server.status == 404 and server.body and server.headers.get("x-went-into-resp-headers") == "true"


def test_an_embeddings_answer_says_what_vllms_says_and_leaves_the_old_picker_alive(habits: Habits) -> None:
    habits.route(REAL["real-alpha"])
    habits.until(200)
    for number in range(5):
        reply = habits.ask("/v1/embeddings", body={"model": COMPLETION["model"], "input": f"{number} words"})
        assert reply.status == 200 and json.loads(reply.body)["usage"]["completion_tokens"] == 0, reply
    assert habits.statuses() == {200: 20}


def test_two_instances_share_the_load(habits: Habits) -> None:
    """Red for nothing: one in 6 million, 60 fair coins of which 10 or fewer fall one way."""
    habits.route(alpha(habits))
    habits.until(200)
    for number in range(60):
        assert habits.ask(**{"x-load-id": f"{habits.name}-{number}"}).status == 200
    time.sleep(0.5)
    lines = [line for line in access(habits.world) if str(line["load_id"]).startswith(habits.name)]
    assert len(lines) == 60 and min(Counter(line["instance"] for line in lines).values()) > 10


def test_each_instance_takes_a_change_after_its_own_delay(habits: Habits) -> None:
    """Between the first and the last, one and the same request is answered both ways.

    Red for nothing: one in 2 million. Two delays of 0.3 to 1.5 s are within 0.15 s of each other in 23 of 100 changes, and ten are tried.
    """
    reference = alpha(habits)
    habits.route(reference)
    habits.until(200)
    spreads, mixed = [0.0], False
    name, before = habits.name, habits.generation(habits.name)
    for number in range(1, 11):
        if mixed and max(spreads) > 0.15:
            break
        mark = {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x-mark", "value": str(number)}]}}
        written = time.time()
        habits.route(rules=[{"filters": [mark], "backendRefs": [reference]}])
        seen = []
        while len(habits.taken(name, before + number)) < 2:
            seen.append(habits.ask("/health", body="").headers.get("x-mark") == str(number))
            assert time.time() - written < PATIENCE
        mixed = mixed or (True in seen and False in seen[seen.index(True):])
        times = habits.taken(name, before + number)
        spreads.append(max(times) - min(times))
        assert min(times) - written > 0.3
    assert mixed and max(spreads) > 0.15


def test_a_new_backend_answers_503_until_its_first_health_checks_pass_and_is_forgotten_with_its_last_reference(habits: Habits) -> None:
    reference = alpha(habits)
    habits.world.fault("gateway", warm=[6.0, 6.5])  # long enough to be seen on a busy machine
    try:
        for _round in range(2):
            name = habits.route(reference)
            habits.settled(name)
            assert habits.statuses(10) == {503: 10}
            assert habits.until(200) > 1.0
            habits.world.kubectl("delete", "httproute", name)
            habits.until(404)
    finally:
        habits.world.fault("gateway", warm=[2.0, 4.0])


def test_a_weight_of_zero_is_a_reference(habits: Habits) -> None:
    """It warms up and gets a status; the first request it is given afterwards is served."""
    first, second = alpha(habits), habits.pool(V1_GROUP)
    habits.route(*weighted((first, 1), (second, 0)))
    habits.until(200)
    habits.until_condition(KINDS[V1_GROUP], habits.name, "Accepted", ("True", "Accepted"))
    time.sleep(4.5)
    name = habits.route(*weighted((first, 0), (second, 1)))
    found: Counter[int] = Counter()
    generation = habits.generation(name)
    while len(habits.taken(name, generation)) < 2:
        found += habits.statuses(5)
    assert set(found + habits.statuses()) == {200}


def test_a_backend_without_its_own_health_check_policy_is_unhealthy(habits: Habits) -> None:
    """The same name in the other group does not help: a model server answers / with 404."""
    alpha(habits)
    habits.settled(habits.route(habits.pool(V1_GROUP, health=False)))
    time.sleep(5.0)
    assert habits.statuses(10) == {503: 10}
    habits.apply(habits.health(V1_GROUP))
    habits.until(200)


def test_the_oldest_of_two_policies_on_one_target_wins(habits: Habits) -> None:
    reference = alpha(habits, health=False)
    habits.apply(habits.health(ALPHA_GROUP, path="/nowhere", name=f"{habits.name}-z"))
    time.sleep(1.1)  # creation times have whole seconds
    habits.apply(habits.health(ALPHA_GROUP, name=f"{habits.name}-a"))
    habits.settled(habits.route(reference))
    time.sleep(4.5)
    assert habits.statuses(10) == {503: 10}
    habits.until_condition("healthcheckpolicy", f"{habits.name}-a", "Attached", ("False", "Conflicted"))
    habits.world.kubectl("delete", "healthcheckpolicy", f"{habits.name}-z")
    habits.until(200)
    habits.until_condition("healthcheckpolicy", f"{habits.name}-a", "Attached", ("True", "Attached"))


@pytest.mark.parametrize(("reason", "reference"), [
    ("BackendNotFound", {"group": V1_GROUP, "kind": "InferencePool", "name": "gone"}),
    ("InvalidKind", {"group": "example.com", "kind": "InferencePool", "name": "real-ga"}),
    ("RefNotPermitted", {"group": V1_GROUP, "kind": "InferencePool", "name": "real-ga", "namespace": "kube-system"}),
])
def test_an_invalid_backend_answers_500_for_its_share_and_the_gateway_stays_programmed(habits: Habits, reason: str, reference: dict[str, Any]) -> None:
    """Red for nothing: one in 6 million, 60 fair coins of which 10 or fewer fall one way."""
    good = alpha(habits)
    rules = [{"matches": [{"path": {"type": "PathPrefix", "value": "/v1"}}], "backendRefs": weighted((good, 1), (reference, 1))},
             {"matches": [{"path": {"type": "PathPrefix", "value": "/health"}}], "backendRefs": [good]}]
    found = habits.settled(habits.route(rules=rules))
    assert found["ResolvedRefs"] == ("False", reason) and found["Accepted"][0] == "True"
    habits.until(200, path="/health", body="")
    shares = habits.statuses(60)
    assert set(shares) == {200, 500} and 10 < shares[500] < 50
    assert habits.conditions("gateway", "gw")["Programmed"] == ("True", "Programmed")


def test_a_missing_picker_service_answers_500(habits: Habits) -> None:
    name = habits.route(alpha(habits, picker="gone"))
    assert habits.settled(name)["Reconciled"] == ("False", "ReconciliationFailed")
    assert habits.statuses(10) == {500: 10}
    habits.until_condition(KINDS[ALPHA_GROUP], habits.name, "ResolvedRefs", ("False", "InvalidExtensionRef"), "parent")


def test_without_a_ready_picker_requests_fail_closed_and_pass_open(habits: Habits) -> None:
    rules = [{"matches": [{"headers": [{"name": "x-mode", "value": mode}]}], "backendRefs": [alpha(habits, suffix=f"-{mode.lower()}", mode=mode)]}
             for mode in ("FailOpen", "FailClose")]
    habits.route(rules=rules)
    habits.until(200, **{"x-mode": "FailOpen"})
    assert habits.ask(**{"x-mode": "FailOpen"}).headers.get("x-went-into-resp-headers") is None
    habits.until(500, **{"x-mode": "FailClose"})


def test_a_grant_permits_one_group(habits: Habits) -> None:
    namespace = f"{habits.name}-tenant"
    habits.world.kubectl("create", "namespace", namespace)
    try:
        reference = {**habits.pool(V1_GROUP), "namespace": "default"}
        alpha(habits)
        route = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": habits.name, "namespace": namespace},
                 "spec": {"parentRefs": [{"name": "gw", "namespace": "default"}], "hostnames": [habits.host], "rules": [{"backendRefs": [reference]}]}}
        habits.world.apply(yaml.safe_dump(route))
        for group, wanted in ((ALPHA_GROUP, 500), (V1_GROUP, 200)):
            habits.apply({"apiVersion": "gateway.networking.k8s.io/v1beta1", "kind": "ReferenceGrant",
                          "metadata": {"name": habits.name, "namespace": "default"},
                          "spec": {"from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": namespace}],
                                   "to": [{"group": group, "kind": "InferencePool"}]}})
            habits.until(wanted)
    finally:
        habits.world.kubectl("delete", "namespace", namespace, "--wait=false")


def test_a_backend_that_leaves_cuts_its_streams(habits: Habits) -> None:
    first, second = REAL["real-alpha"], REAL["real-ga"]
    rules = [{"matches": [{"headers": [{"name": "x-to", "value": "ga"}]}], "backendRefs": [second]}, {"backendRefs": [first]}]
    habits.route(rules=rules)
    habits.until(200)
    habits.until(200, **{"x-to": "ga"})
    streams = [Stream(habits.address, habits.host) for _number in range(3)]
    name = habits.route(rules=rules[:1])
    habits.settled(name)
    for stream in streams:
        stream.join(4)
        assert not stream.is_alive() and stream.status == 200 and not stream.done


def test_a_weight_change_cuts_no_stream(habits: Habits) -> None:
    habits.route(*weighted((REAL["real-alpha"], 100), (REAL["real-ga"], 0)))
    habits.until(200)
    streams = [Stream(habits.address, habits.host) for _number in range(3)]
    habits.settled(habits.route(*weighted((REAL["real-alpha"], 0), (REAL["real-ga"], 100))))
    for stream in streams:
        stream.join(14)
        assert stream.status == 200 and stream.done


def test_the_backend_policys_timeout_bounds_a_request(habits: Habits) -> None:
    reference = alpha(habits)
    habits.apply(habits.policy("GCPBackendPolicy", f"{habits.name}-t", ALPHA_GROUP, "", {"timeoutSec": 2}))
    habits.route(reference)
    habits.until(200)
    habits.until_condition("gcpbackendpolicy", f"{habits.name}-t", "Attached", ("True", "Attached"))
    started = time.time()
    stream = Stream(habits.address, habits.host)
    stream.join(10)
    assert not stream.done and 1.8 < stream.ended - started < 7.0  # whole, it takes 8 s


def test_route_status_comes_after_the_last_instance_took_the_change(habits: Habits) -> None:
    reference = alpha(habits)
    name = habits.route(reference)
    assert habits.settled(name) == {
        "Accepted": ("True", "Accepted"), "ResolvedRefs": ("True", "ResolvedRefs"), "Reconciled": ("True", "ReconciliationSucceeded")}
    for number in range(2):
        name = habits.route(rules=[{"timeouts": {"request": f"{number + 10}s"}, "backendRefs": [reference]}])
        while True:
            item = habits.json("get", "httproute", name)
            observed = item["status"]["parents"][0]["conditions"][0]["observedGeneration"]
            if observed == item["metadata"]["generation"]:
                break
            assert observed == item["metadata"]["generation"] - 1
        assert len(habits.taken(name, item["metadata"]["generation"])) == 2


def test_a_pool_has_a_status_only_while_a_route_refers_to_it(habits: Habits) -> None:
    references = [alpha(habits), habits.pool(V1_GROUP)]
    assert "parents" not in habits.json("get", KINDS[V1_GROUP], habits.name).get("status", {})
    name = habits.route(*references)
    habits.settled(name)
    for group, field in ((ALPHA_GROUP, "parent"), (V1_GROUP, "parents")):
        habits.until_condition(KINDS[group], habits.name, "Accepted", ("True", "Accepted"), field)
    found = {group: habits.json("get", KINDS[group], habits.name)["status"] for group in KINDS}
    assert found[ALPHA_GROUP]["parent"][0]["parentRef"]["name"] == found[V1_GROUP]["parents"][0]["parentRef"]["name"] == "gw"
    habits.world.kubectl("delete", "httproute", name)
    started = time.monotonic()
    while any(habits.conditions(KINDS[group], habits.name, field) for group, field in ((ALPHA_GROUP, "parent"), (V1_GROUP, "parents"))):
        assert time.monotonic() - started < PATIENCE
        time.sleep(0.1)
    while habits.conditions("healthcheckpolicy", f"{habits.name}-v1"):
        assert time.monotonic() - started < PATIENCE


@pytest.mark.parametrize("refused", [V1_GROUP, ALPHA_GROUP])
def test_a_gateway_of_one_group_refuses_the_other(habits: Habits, refused: str) -> None:
    names = {group: habits.route(habits.pool(group), suffix=f"-{index}", host=f"{index}-{habits.host}") for index, group in enumerate(KINDS)}
    hosts = {group: f"{index}-{habits.host}" for index, group in enumerate(KINDS)}
    accepted = next(group for group in KINDS if group != refused)
    habits.until(200, host=hosts[refused])
    habits.world.fault("gateway", pool_groups=[accepted])
    try:
        habits.until(500, host=hosts[refused])
        habits.until_condition("httproute", names[refused], "ResolvedRefs", ("False", "InvalidKind"))
        habits.until(200, host=hosts[accepted])
        habits.until_condition("httproute", names[accepted], "ResolvedRefs", ("True", "ResolvedRefs"))
    finally:
        habits.world.fault("gateway", pool_groups=list(KINDS))


def test_extension_chains_can_be_limited(habits: Habits) -> None:
    """Red for nothing: 2 in 10^12, 40 fair coins that all fall one way."""
    habits.world.fault("gateway", chain_limit=1)
    try:
        first, second = alpha(habits), habits.pool(V1_GROUP)
        name = habits.route(*weighted((first, 1), (second, 1)))
        assert habits.settled(name)["Reconciled"] == ("False", "ReconciliationFailed")
        time.sleep(4.5)
        assert set(habits.statuses(40)) == {200, 500}
    finally:
        habits.world.fault("gateway", chain_limit=None)


def test_what_a_client_says_about_the_destination_is_ignored(habits: Habits) -> None:
    habits.route(alpha(habits))
    habits.until(200)
    assert habits.statuses(10, **{"x-gateway-destination-endpoint": "127.0.0.1:1"}) == {200: 10}


def test_only_gkes_classes_are_served(habits: Habits) -> None:
    for name in ("gke-l7-regional-external-managed", "gke-l7-rilb"):
        assert habits.conditions("gatewayclass", name)["Accepted"] == ("True", "Accepted")
    other = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": habits.name},
             "spec": {"controllerName": "example.com/x"}}
    gateway = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": habits.name, "namespace": "default"},
               "spec": {"gatewayClassName": habits.name, "listeners": [{"name": "http", "port": PORT, "protocol": "HTTP"}]}}
    habits.apply(other, gateway)
    time.sleep(2.5)
    assert "addresses" not in habits.json("get", "gateway", habits.name).get("status", {})
