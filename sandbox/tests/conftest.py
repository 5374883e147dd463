# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sandboxes for tests, each ended with the session: ``world`` (empty), ``bare_world`` (empty, neither pods nor gateways), ``demo_world`` (the demo's estate)
and ``make_world`` (any). A module that defines its own ``world`` gets ``api``, ``direct_api`` and ``namespace`` of that one."""
from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from igw_sandbox.world import World

DEMO = Path(__file__).resolve().parents[1] / "estates" / "demo"


@dataclass(frozen=True)
class Answer:
    """What came back: ``status``, ``headers`` and the whole ``body``."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Api:
    """One request at a time to the server of a kubeconfig, each on a connection of its own and never retried."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self.server = urlsplit(cluster["server"])
        self.token = config["users"][0]["user"]["token"]
        self.tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())

    def connect(self, timeout: float = 10.0) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self.server.hostname, self.server.port, context=self.tls, timeout=timeout)

    def send(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, timeout: float = 10.0) -> Answer:
        """Send one request; a dict as body is sent as JSON."""
        connection = self.connect(timeout)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()


@pytest.fixture(scope="session")
def make_world() -> Iterator[Callable[..., World]]:
    """Factory with the arguments of World.up; names get this process's id, so that test runs side by side don't meet."""
    made: list[World] = []

    def make(name: str, **options: Any) -> World:
        world = World.up(f"test-{os.getpid()}-{name}", **options)
        made.append(world)
        return world

    yield make
    for world in made:
        world.down()


@pytest.fixture(scope="session")
def world(make_world: Callable[..., World]) -> World:
    """An empty sandbox: a test that shares it makes its own namespace and takes its faults back."""
    return make_world("empty")


@pytest.fixture(scope="session")
def bare_world(make_world: Callable[..., World]) -> World:
    """An API server with its proxy and chart registry: quick to start, and nothing touches the objects but their own controllers."""
    return make_world("bare", services=("controlplane", "registry", "apiproxy"))


@pytest.fixture(scope="session")
def demo_world(make_world: Callable[..., World]) -> World:
    """A sandbox with the demo's estate, ready. Only for tests that leave it as it was."""
    return make_world("demo", estates=[DEMO])


@pytest.fixture
def api(world: World) -> Api:
    """The sandbox's API server through the proxy."""
    return Api(world.kubeconfig)


@pytest.fixture
def direct_api(world: World) -> Api:
    """The sandbox's API server without the proxy."""
    return Api(world.direct_kubeconfig)


@pytest.fixture
def namespace(world: World, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own in the sandbox."""
    name = "".join(character if character.isalnum() else "-" for character in request.node.name.lower())[:50].strip("-")
    world.kubectl("create", "namespace", name)
    yield name
    world.kubectl("delete", "namespace", name, "--wait=false")
