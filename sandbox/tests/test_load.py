# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load generator as a whole, with vegeta, on a fake gateway whose faults are known."""
from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from igw_sandbox import load
from igw_sandbox.context import SandboxError, start_time
from igw_sandbox.tools import ensure
from sandbox.tests.load_fakes import FakeWorld

OPTIONS = load.Options(rate=60.0, streams=4.0, tokens=2, stream_seconds=(1.0, 2.0))


@pytest.fixture(name="vegeta", scope="session")
def fixture_vegeta() -> Path:
    """The real load generator."""
    return ensure("vegeta")["vegeta"]


@pytest.fixture(name="world")
def fixture_world(tmp_path: Path) -> Iterator[FakeWorld]:
    """A fake gateway and API server."""
    with FakeWorld(tmp_path / "sandbox") as world:
        yield world


def test_a_quiet_load_loses_nothing_and_agrees_with_the_log(world: FakeWorld, vegeta: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sender sends, a write in the middle counts the streams that span it, and proxies in the environment are ignored."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    status = load.start(world.directory, OPTIONS, vegeta)
    assert {target["name"] for target in status["targets"]} == {
        "default/llm/0 /v1/completions base", "default/llm/0 /v1/chat/completions base", "default/llm/1 /plain"}
    time.sleep(2)
    world.write_route()
    time.sleep(2)
    summary = load.stop(world.directory)
    assert summary["problems"] == []
    assert summary["ok"] and summary["lost"] == summary["cut"] == 0
    assert set(summary["sent"]) == {"client-fresh", "client-kept", "vegeta-fresh", "vegeta-kept"}
    assert summary["requests"] >= 0.95 * 60 * summary["seconds"]
    assert summary["logged"] == summary["requests"] + summary["sent_before"] == sum(summary["sent"].values()) + summary["sent_before"]
    assert 1 <= summary["streams"] < summary["streams_sent"]
    assert [write["generation"] for write in summary["writes"]] == [2]
    journal = (world.directory / "load" / summary["run"] / "requests.jsonl").read_text().splitlines()
    assert len(journal) == summary["logged"]
    assert {json.loads(line)["rule"] for line in journal} == {"default/llm/0", "default/llm/1"}


def test_each_fault_is_lost(world: FakeWorld, vegeta: Path) -> None:
    """What is not a complete, valid answer is lost, and a stream without its end is cut too."""
    load.start(world.directory, OPTIONS, vegeta)
    world.faults = {"unary": [503, 429, "garbage"], "stream": ["cut", 500]}
    time.sleep(3)
    summary = load.stop(world.directory)
    assert not summary["ok"] and summary["problems"] == []
    assert summary["cut"] == 2
    assert summary["lost"] == 5 == len(summary["reasons"])
    assert {"status 503", "status 429", "not JSON", "status 500"} < set(summary["reasons"])


def test_a_log_that_disagrees_is_a_problem(world: FakeWorld, vegeta: Path) -> None:
    """A request that the gateway did not log, or logged twice, spoils the run although no client lost anything."""
    load.start(world.directory, replace(OPTIONS, log_seconds=1.0), vegeta)
    world.faults["unary"] = ["unlogged", "twice"]
    time.sleep(1)
    summary = load.stop(world.directory)
    assert summary["lost"] == 0 and not summary["ok"]
    assert [problem.partition(" ")[0] for problem in summary["problems"]] == ["1", "1"]
    assert "in no access log" in summary["problems"][0] and "more than once" in summary["problems"][1]


def test_a_write_that_was_never_taken_is_a_problem(world: FakeWorld, vegeta: Path) -> None:
    """Without the gateway's word no stream counts, and the run says why."""
    world.converge = False
    load.start(world.directory, OPTIONS, vegeta)
    time.sleep(2)
    world.write_route()
    time.sleep(1)
    summary = load.stop(world.directory)
    assert summary["streams"] == 0
    assert any("never seen to be taken" in problem for problem in summary["problems"])


def test_a_broken_estate_is_refused(world: FakeWorld, vegeta: Path) -> None:
    """A load that starts on an estate that does not answer would prove nothing."""
    world.faults["unary"] = [503]
    with pytest.raises(SandboxError, match="status 503"):
        load.start(world.directory, replace(OPTIONS, patience=0), vegeta)
    world.faults["unary"] = [503]
    load.start(world.directory, OPTIONS, vegeta)
    time.sleep(1)
    assert load.stop(world.directory)["ok"], "what was asked before the load began is not counted"


def test_only_one_load_runs(world: FakeWorld, vegeta: Path) -> None:
    """A second start, a stop without a start and a stop after a kill are refused with the remedy."""
    with pytest.raises(SandboxError, match="load start"):
        load.stop(world.directory)
    running = load.start(world.directory, OPTIONS, vegeta)
    with pytest.raises(SandboxError, match="load stop"):
        load.start(world.directory, OPTIONS, vegeta)
    load.kill(world.directory)
    assert not load.alive(running)
    with pytest.raises(SandboxError, match="without a summary"):
        load.stop(world.directory)


def test_the_load_ends_with_its_sandbox(world: FakeWorld, vegeta: Path) -> None:
    """When the supervisor dies the load ends by itself, says so, and leaves no process."""
    with subprocess.Popen(["sleep", "600"]) as supervisor:
        (world.directory / "pids.json").write_text(json.dumps([{"name": "supervisor", "pid": supervisor.pid, "start": start_time(supervisor.pid)}]))
        running = load.start(world.directory, OPTIONS, vegeta)
        supervisor.kill()
    deadline = time.monotonic() + 15
    while load.alive(running) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not load.alive(running)
    assert "the sandbox ended during the load" in load.stop(world.directory)["problems"]
