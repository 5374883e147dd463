# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A snapshot brings back what the cluster held, and pods and gateways follow it: users are served as before, again and again."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from igw_sandbox import load
from igw_sandbox.context import SandboxError
from igw_sandbox.load_writes import read_lines
from igw_sandbox.world import World

DEMO = Path(__file__).resolve().parents[1] / "estates" / "demo"


def held(world: World) -> set[str]:
    """Kinds and names of what an estate is made of."""
    return set(world.kubectl("get", "httproutes,gateways,deployments,services,namespaces", "-A", "-o", "name").split())


def test_the_estate_of_before_serves_again(make_world: Callable[..., World], tmp_path: Path) -> None:
    world = make_world("snapshots", estates=[DEMO])
    before, route = held(world), world.kubectl_json("get", "httproute", "llm-route")
    world.snapshot(tmp_path / "demo")
    for _round in range(2):
        world.kubectl("delete", "httproute", "llm-route")
        world.kubectl("delete", "deployment", "vllm-llama3-8b-instruct-preview-epp")
        world.kubectl("create", "namespace", "new")
        world.restore(tmp_path / "demo")
        assert held(world) == before
        assert world.kubectl_json("get", "httproute", "llm-route")["spec"] == route["spec"]
        load.start(world.directory, load.Options(rate=10, streams=0, patience=10))
        world.kubectl("label", "httproute", "llm-route", "seen=yes")
        summary = load.stop(world.directory)
        assert (summary["lost"], summary["problems"]) == (0, []), summary["reasons"]


def test_the_log_names_the_administrator_who_asked(bare_world: World) -> None:
    for user in ("client-1", "client-2"):
        bare_world.run(bare_world.tool("kubectl"), "--kubeconfig", bare_world.client_kubeconfig(user), "get", "namespace", "default")
    asked = [line["user"] for line in read_lines(bare_world.directory / "api-requests.jsonl") if line["path"].startswith("/api/v1/namespaces/default")]
    assert asked[-2:] == ["client-1", "client-2"]


def test_what_is_no_snapshot_is_refused(bare_world: World, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="holds no snapshot"):
        bare_world.restore(tmp_path)
    with pytest.raises(SandboxError, match="there already"):
        bare_world.snapshot(tmp_path)
    assert bare_world.kubectl("get", "namespace", "default", "-o", "name").strip() == "namespace/default", "it still runs"
