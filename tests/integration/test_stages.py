# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each safety stage switched off by a patch: what its own test asserts must fail then.

What a patched run is fooled by, the shipped one is not: here where both runs are short, else in test_never_proven.py and in every migration
that is proven. A stage whose absence nobody notices would be no stage.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from igw_sandbox.world import World
from tests.e2e import misroute
from tests.integration.harness import ESTATES, SHIFT, Ended, patched, resets, route_spec
from tests.integration.patches import ANSWERS, DRAIN, MARK, SETTLING, THE_GATE, UNMARKED_PROBES, WARM_UP
from tests.integration.test_never_proven import POOL, ROUTE, ill, impatient

pytestmark = pytest.mark.matrix
Play = Callable[..., Ended]
WARM = "warm-up: settled"
"""What a run says that took v1 for warm."""


def back(world: World, play: Play) -> None:
    """What a run that was fooled left: all traffic on v1 by weights. A run that finds the stack rejected takes it back."""
    if [reference["group"] for reference in route_spec(world)["rules"][0]["backendRefs"] if reference.get("weight", 1)] == ["inference.networking.x-k8s.io"]:
        return
    misroute.turn_bad(world, POOL, 100)
    try:
        ended = play(world, extra=SHIFT | {"migration_settle_seconds": 10})
    finally:
        misroute.turn_good(world)
    assert ended.verdict in ("FAILED", "HELD"), ended.reason


def all_taken(world: World) -> None:
    """Wait until the gateway has taken every change so far, among them probe routes that a run made and removed; an instance takes changes in their order."""
    route = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "last", "namespace": "default"},
             "spec": {"parentRefs": [{"name": "inference-gateway"}], "hostnames": ["last.example.com"],
                      "rules": [{"backendRefs": [{"name": "plain", "port": 80}]}]}}
    world.apply(json.dumps(route) + "\n")
    world.kubectl("wait", "httproute/last", "--for=jsonpath={.status.parents[0].conditions[0].status}=True", "--timeout=120s")
    world.kubectl("delete", "httproute", "last")


def test_mark(demo: World, play: Play, tmp_path: Path) -> None:
    """v1's endpoint picker is dead, and the gateway takes longer than warm-up and gate to program the probe routes: all that answers is alpha.

    What the gateway reports of the probe routes is left out with the mark: here it would tell as well, but it tells nothing of a front end that is late.
    Red for nothing: 2 in 10^14, a tenth of 300 users' requests or more, of which none meets the dead stack.
    """
    prepared = play(demo, extra={"migration_phases": ["plan", "install"]})
    assert prepared.status == 0, prepared.log[-2000:]
    demo.fault("pod_kill", namespace="default", deployment="vllm-llama3-8b-instruct-ga-epp", percent=100)
    demo.fault("gateway", take=[80, 84])
    shift = {"migration_phases": ["shift"], "migration_warm_seconds": 40, "migration_settle_seconds": 120, "migration_drain_seconds": 2}

    honest = play(demo, rate=10, extra=shift | {"migration_warm_seconds": 12})  # the pairs that are asked then end before the routes are there
    assert honest.verdict == "HELD" and "not answered by the probe route" in honest.reason, honest.reason
    assert WARM not in honest.log
    assert (honest.load["lost"], honest.load["cut"]) == (0, 0)
    all_taken(demo)

    fooled = play(demo, rate=10, extra=shift, collections=patched(tmp_path, MARK | SETTLING))
    assert WARM in fooled.log and "step 1 of" in fooled.log, f"warm-up and gate must end before the gateway takes the probe routes: {fooled.log[-3000:]}"
    assert fooled.load["lost"] > 0, "without the mark users meet the dead stack"


def test_warm_up(installed: World, play: Play, tmp_path: Path) -> None:
    """The gateway takes its time for a backend that it meets for the first time: without the warm-up the first gate rejects a healthy stack."""
    with ill(installed, warm=[12.0, 15.0]):
        fooled = play(installed, extra=SHIFT, collections=patched(tmp_path, WARM_UP))
    assert fooled.verdict == "FAILED" and "gate at 0 %" in fooled.reason, fooled.reason


def test_settle(installed: World, play: Play, tmp_path: Path) -> None:
    """Route status at an old generation: without settling, traffic alone is believed."""
    before = route_spec(installed)
    with ill(installed, status="frozen"):
        fooled = play(installed, extra=SHIFT, collections=patched(tmp_path, SETTLING))
    assert fooled.verdict == "PROVEN", fooled.reason
    back(installed, play)
    assert route_spec(installed) == before


def test_gate(installed: World, play: Play, tmp_path: Path) -> None:
    """v1 fails half of its requests from when the last step has settled: only the gate still looks, and the end of the shift, which is off here too.

    Red for nothing: 4 in 10^12, by the sequential test; that of 50 requests or more none is lost is one in 10^15.
    """
    before = route_spec(installed)

    def run(**more: Any) -> Ended:
        with ExitStack() as bad:
            return play(installed, extra=SHIFT | {"migration_tracers": 0},
                        show=lambda line: bad.enter_context(resets(installed, 50)) if "100 %: settled" in line else None, **more)

    honest = run()
    assert honest.verdict == "FAILED" and "gate at 100 %: v1 fails where v1alpha2 does not" in honest.reason, honest.reason
    assert route_spec(installed) == before
    fooled = run(rate=40, collections=patched(tmp_path, THE_GATE | ANSWERS))
    assert fooled.verdict == "PROVEN" and fooled.load["lost"] > 0, fooled.reason
    back(installed, play)
    assert route_spec(installed) == before


def test_unmarked_probes(installed: World, play: Play, tmp_path: Path) -> None:
    """The users' own rule is broken while the probe routes are healthy: without unmarked probes (and tracer requests) nobody looks there
    but the end of the shift, which is off here too.

    Red for nothing: one in 10^15, 100 users' requests or more that all are among the seven in ten that go well.
    """
    before = route_spec(installed)
    with ill(installed, mixed={ROUTE: "broken"}):
        fooled = play(installed, rate=20, extra=SHIFT | {"migration_tracers": 0, "migration_steps": [50, 100]},
                      collections=patched(tmp_path, UNMARKED_PROBES | ANSWERS))
    assert fooled.verdict == "PROVEN" and fooled.load["lost"] > 0, fooled.reason
    back(installed, play)
    assert route_spec(installed) == before


def test_share(installed: World, play: Play) -> None:
    """A gateway that ignores weights: without tracer requests nothing tells, for both stacks serve well."""
    before = route_spec(installed)
    with ill(installed, weights="ignored"):
        fooled = play(installed, extra=SHIFT | {"migration_tracers": 0})
    assert fooled.verdict == "PROVEN", fooled.reason
    back(installed, play)
    assert route_spec(installed) == before


def test_long_streams(installed: World, play: Play) -> None:
    """A v1 that gives up on long answers: short requests are served well, so without streams nothing tells."""
    before = route_spec(installed)
    with impatient(installed, 4):
        fooled = play(installed, extra=SHIFT | {"migration_stream_seconds": 0})
    assert fooled.verdict == "PROVEN", fooled.reason
    back(installed, play)
    assert route_spec(installed) == before


@pytest.mark.parametrize("drained", [True, False])
def test_drain(make_world: Callable[..., World], play: Play, tmp_path: Path, drained: bool) -> None:
    """v1 turns bad at half of the traffic: what streams through it then ends whole, unless its backends go before.

    Without tracer requests: measuring the traffic split on the way back takes as long as most streams. Red for nothing: 4 in 10^9, of 15 streams
    or more that outlast the way back, and 40 that are begun on it and of which v1 serves a fifth, none on v1.
    """
    world = make_world("drain" if drained else "cut", estates=[ESTATES / "demo"])
    bad: list[str] = []

    def watch(line: str) -> None:
        if "v1 gets 50 %" in line and not bad:
            bad.append(line)
        elif bad and len(bad) == 1 and "gate at 50 %" in line:
            bad.append(line)
            misroute.turn_bad(world, POOL, 60)

    extra: dict[str, Any] = {"migration_soak_seconds": 90, "migration_steps": [50, 100], "migration_tracers": 0}
    collections = None if drained else patched(tmp_path, DRAIN)
    ended = play(world, rate=6, streams=2.5, stream_seconds=(27.0, 28.0), extra=extra, show=watch, **({"collections": collections} if collections else {}))
    world.down()
    assert ended.verdict == "FAILED" and len(bad) == 2, ended.reason
    # A stream that v1 refused from the start has no [DONE] either: cut is one that had begun.
    cut = sum(count for reason, count in ended.load["reasons"].items() if reason.startswith("cut"))
    assert (cut == 0) is drained, ended.load
