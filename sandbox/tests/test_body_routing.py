# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Body-based routing as a whole: the estate body_routing with its real router, endpoint pickers and model servers."""
from __future__ import annotations

import copy
import http.client
import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from igw_sandbox import load
from igw_sandbox.tools import ensure
from igw_sandbox.world import World

ESTATE = Path(__file__).resolve().parents[1] / "estates" / "body_routing"
POOLS = {"alder-70b": "alder-preview", "birch-8b": "birch-preview", "cedar-1b": "cedar-preview"}
RULES = {model: f"default/by-model/{number}" for number, model in enumerate(POOLS)}
ALPHA = "inference.networking.x-k8s.io"
PATIENCE = 30.0
HEADER = "X-Gateway-Model-Name"


class Client:
    """Requests to the estate's Gateway, each over a connection of its own, and what the access logs say of them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._address = world.kubectl_json("get", "gateway", "inference-gateway")["status"]["addresses"][0]["value"]

    def ask(self, model: str | None, path: str = "/v1/chat/completions", load_id: str = "", **more: Any) -> tuple[int, str]:
        """(status, body): a chat with a model, or a GET where there is none. ``headers`` among ``more`` are sent, the rest are fields of the body."""
        headers = {"Host": "llm.example.com", "Content-Type": "application/json", "x-load-id": load_id, **more.pop("headers", {})}
        body = None if model is None else json.dumps({"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4, **more})
        connection = http.client.HTTPConnection(self._address, 8080, timeout=20)
        try:
            connection.request("GET" if body is None else "POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def logged(self, model: str | None, **more: Any) -> tuple[int, str, dict[str, Any]]:
        """(status, body, its line in an access log) of one request."""
        load_id = f"test-{uuid.uuid4()}"
        status, body = self.ask(model, load_id=load_id, **more)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            lines = [line for path in self._world.state["gateway"]["access_logs"] for line in Path(path).read_text().splitlines() if load_id in line]
            if lines:
                (line,) = lines
                return status, body, json.loads(line)
            time.sleep(0.1)
        raise AssertionError(f"no access log has a line of {load_id}")

    def until(self, model: str | None, wanted: int, **more: Any) -> None:
        """Wait for 30 answers in a row with this status: that one instance alone gave them all is one in 10^9."""
        deadline, row, status = time.monotonic() + PATIENCE, 0, 0
        while row < 30:
            status = self.ask(model, **more)[0]
            row = row + 1 if status == wanted else 0
            assert time.monotonic() < deadline, f"{model} is answered {status} and not {wanted} after {PATIENCE:.0f} s"


@pytest.fixture(name="world", scope="module")
def fixture_world(make_world: Callable[..., World]) -> World:
    return make_world("router", estates=[ESTATE], seed=7)


@pytest.fixture(name="client", scope="module")
def fixture_client(world: World) -> Client:
    client = Client(world)
    for model in POOLS:
        client.until(model, 200)
    return client


def backend(pool: str) -> str:
    return f"{ALPHA}/InferencePool/default/{pool}"


@pytest.mark.parametrize("model", POOLS)
def test_the_bodys_model_chooses_the_pool(client: Client, model: str) -> None:
    for path in ("/v1/chat/completions", "/v1/completions"):
        status, body, line = client.logged(model, path=path, prompt="hello")
        assert status == 200, body
        assert json.loads(body)["model"] == model
        assert (line["route"], line["backend"], line["path"]) == (RULES[model], backend(POOLS[model]), path)


def test_a_model_that_no_rule_names_is_not_found(client: Client) -> None:
    status, _body, line = client.logged("elm-3b")
    assert (status, line["details"], line["backend"]) == (404, "route_not_found", None)


def test_a_request_without_a_body_passes_the_router(client: Client) -> None:
    status, body, line = client.logged(None, path="/v1/models")
    assert (status, line["backend"]) == (200, backend("cedar-preview"))
    assert [model["id"] for model in json.loads(body)["data"]] == ["cedar-1b"]


def test_a_streamed_chat_comes_whole(client: Client) -> None:
    status, body = client.ask("birch-8b", stream=True, max_tokens=150, ignore_eos=True)
    events = [json.loads(line.removeprefix("data: ")) for line in body.splitlines() if line.startswith("data: {")]
    assert (status, {event["model"] for event in events}) == (200, {"birch-8b"})
    assert len(events) >= 150 and body.rstrip().endswith("data: [DONE]")


def test_a_body_of_some_hundred_kilobytes_comes_whole(client: Client) -> None:
    text = "word " * 60_000
    status, body = client.ask("cedar-1b", messages=[{"role": "user", "content": text}])
    assert status in (200, 400), body  # 400: the model server's own limit of its context, so the whole prompt has reached it
    assert status == 200 or "context length" in body


@pytest.mark.parametrize("name", [HEADER, HEADER.lower()])
def test_the_routers_word_replaces_what_a_client_says_about_the_model(client: Client, name: str) -> None:
    status, body, line = client.logged("birch-8b", headers={name: "alder-70b"})
    assert (status, line["backend"]) == (200, backend("birch-preview"))
    assert json.loads(body)["model"] == "birch-8b"


@pytest.fixture(name="extension")
def fixture_extension(world: World, client: Client) -> Iterator[dict[str, Any]]:
    """The estate's routing extension, which is put back and in force afterwards."""
    found = world.kubectl_json("get", "gcproutingextensions.networking.gke.io", "body-based-router")
    wanted = {"apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": {"name": "body-based-router"}, "spec": found["spec"]}
    yield wanted
    world.apply(yaml.safe_dump(wanted))
    client.until("alder-70b", 200)


def test_an_extension_is_taken_away_and_made_again(world: World, client: Client, extension: dict[str, Any]) -> None:
    """Without it no request has the header unless the client sends it; with it every rule is reached again."""
    world.kubectl("delete", "gcproutingextensions.networking.gke.io", "body-based-router")
    client.until("alder-70b", 404)
    client.until("alder-70b", 200, headers={HEADER: "alder-70b"})
    world.apply(yaml.safe_dump(extension))
    client.until("alder-70b", 200)


def test_without_a_router_requests_fail_closed(world: World, client: Client, extension: dict[str, Any]) -> None:
    """Also one without a body; with failOpen it passes, and a model's rule is out of reach."""
    world.kubectl("scale", "deployment", "body-based-router", "--replicas=0")
    try:
        client.until("alder-70b", 500)
        client.until(None, 500, path="/v1/models")
        opened = copy.deepcopy(extension)
        opened["spec"]["extensionChains"][0]["extensions"][0]["failOpen"] = True
        world.apply(yaml.safe_dump(opened))
        client.until("alder-70b", 404)
        client.until(None, 200, path="/v1/models")
    finally:
        world.kubectl("scale", "deployment", "body-based-router", "--replicas=1")
        world.kubectl("rollout", "status", "deployment", "body-based-router", "--timeout=60s")


def test_a_load_names_its_models_in_bodies_alone_and_loses_nothing(world: World, client: Client) -> None:
    status = load.start(world.directory, load.Options(rate=30.0, streams=2.0, stream_seconds=(1.0, 2.0)), ensure("vegeta")["vegeta"])
    try:
        time.sleep(6)
    finally:
        summary = load.stop(world.directory)
    assert (summary["ok"], summary["lost"], summary["cut"], summary["problems"]) == (True, 0, 0, [])
    assert {(target["rule"], target["model"]) for target in status["targets"]} == {
        *((RULES[model], model) for model in POOLS), (RULES["cedar-1b"], "")}
    assert not any(target["headers"] for target in status["targets"])
