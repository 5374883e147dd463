# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What probes ask of model servers, by what the gateway's access logs say: how many at once, and fewer of a server that has become slow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from igw_sandbox.world import World
from tests.integration.harness import ESTATES, FAST_GATE, Ended, detect, module

SERVERS = "vllm-llama3-8b-instruct"
RATE = 10
"""Probes a second: so few that a server which takes three times as long could still answer them all."""


@pytest.fixture(scope="module")
def quiet(make_world: Callable[..., World]) -> Iterator[World]:
    """A sandbox whose Gateway nobody but probes asks anything."""
    world = make_world("probe-load", estates=[ESTATES / "demo"])
    yield world
    world.down()


@pytest.fixture
def evidence(quiet: World, tmp_path: Path, collections_path: Path) -> Callable[..., dict[str, Any]]:
    """Gathers the evidence of one stage by the users' own rules."""
    plan = detect(quiet, tmp_path, collections_path)["plan"]

    def gather(**options: Any) -> dict[str, Any]:
        answer = module("migration_evidence", quiet, tmp_path, collections_path, plan=plan, **options)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return json.loads(answer.stdout.partition("=> ")[2])

    return gather


def requests(world: World, since: datetime) -> list[tuple[datetime, datetime]]:
    """Begin and end of each request to a pool since a moment, by the access logs."""
    time.sleep(2)  # an Envoy writes its log out every second
    lines = (json.loads(line) for log in (world.directory / "gateway").glob("access-*.jsonl") for line in log.read_text().splitlines())
    served = [line for line in lines if "InferencePool" in (line["backend"] or "")]
    found = [(datetime.fromisoformat(line["time"]), timedelta(milliseconds=line["duration_ms"])) for line in served]
    return [(begun, begun + lasted) for begun, lasted in found if begun >= since]


def most_at_once(found: list[tuple[datetime, datetime]]) -> int:
    """How many of some requests were in flight at the same moment, at most. One that ends as another begins is not."""
    moments = sorted([(begun, 1) for begun, _ended in found] + [(ended, -1) for _begun, ended in found])
    most = here = 0
    for _moment, change in moments:
        here += change
        most = max(most, here)
    return most


def now() -> datetime:
    return datetime.now().astimezone()


def test_each_model_server_has_one_probe_at_a_time(quiet: World, evidence: Callable[..., dict[str, Any]]) -> None:
    begun = now()
    found = evidence(check="settled", rounds=10, probe_rate=500)
    sent = requests(quiet, begun)
    assert found["clean"] == 10 and len(sent) == found["sent"] == 80
    servers = len(quiet.kubectl("get", "pods", "-l", f"app={SERVERS}", "-o", "name").split())
    assert servers == 2 and most_at_once(sent) == servers, "as many as there are, and no more"


def slowed(world: World) -> None:
    """Have every model server take longer to its first token, so that the first byte takes three times as long."""
    name = f"deployment/{SERVERS}"
    arguments = json.loads(world.kubectl("get", name, "-o", "json"))["spec"]["template"]["spec"]["containers"][0]["args"]
    arguments[arguments.index("--time-to-first-token") + 1] = "70ms"
    change = [{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": arguments}]
    world.kubectl("patch", name, "--type=json", "-p", json.dumps(change))
    world.kubectl("rollout", "status", name, "--timeout=120s")


def rate(found: list[tuple[datetime, datetime]]) -> float:
    """Requests a second."""
    times = sorted(begun for begun, _ended in found)
    return (len(times) - 1) / (times[-1] - times[0]).total_seconds()


def test_servers_that_take_three_times_as_long_are_asked_half_as_often(quiet: World, evidence: Callable[..., dict[str, Any]]) -> None:
    """Though they could answer as many as before."""
    usual = evidence(check="baseline", rounds=5)["load"]
    begun = now()
    assert evidence(check="settled", rounds=6, probe_rate=RATE, load=usual)["load"]["ratio"] < 2
    before = rate(requests(quiet, begun))
    slowed(quiet)
    seen = evidence(check="settled", rounds=6, seconds=60, probe_rate=RATE, load=usual)["load"]
    assert 2 <= seen["ratio"] < 4, seen
    begun = now()
    evidence(check="settled", rounds=6, seconds=60, probe_rate=RATE, load=seen)
    after = rate(requests(quiet, begun))
    assert before == pytest.approx(RATE, rel=0.15) and after == pytest.approx(RATE / 2, rel=0.15)


@pytest.mark.matrix
def test_a_shift_costs_what_the_plan_says(quiet: World, play: Callable[..., Ended], tmp_path: Path, collections_path: Path) -> None:
    """At least so many probes, and no more than the rate allows while the gateway is waited for, beside the tracer requests."""
    shift = {"steps": [50, 100], "gate": FAST_GATE, "tracers": 100}
    told = detect(quiet, tmp_path, collections_path, shift=shift)["plan"]["estimate"]
    begun = now()
    ended = play(quiet, extra={"migration_phases": ["plan", "install", "shift"], "migration_steps": shift["steps"]})
    seconds = (now() - begun).total_seconds()
    assert ended.status == 0 and f"A shift sends {told['probes']} probes at least, for {2 * told['probes']} tokens at most" in ended.log, ended.reason
    sent = len(requests(quiet, begun))
    assert told["probes"] <= sent <= told["probes"] + 2 * told["tracers"] + told["rate"] * seconds
