# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each safety stage switched off by a patch: what its own test asserts must fail then. (The response mark is in test_marks.py.)

What a patched run is fooled by, the shipped one is not: here where both runs are short, else in test_never_proven.py and in every migration
that is proven. A stage whose absence nobody notices would be no stage.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from igw_sandbox.world import World
from tests.e2e import misroute
from tests.integration.harness import ESTATES, SHIFT, Ended, patched, resets, route_spec
from tests.integration.patches import ANSWERS, DRAIN, SETTLING, THE_GATE, UNMARKED_PROBES, WARM_UP
from tests.integration.test_never_proven import POOL, ROUTE, ill, impatient

pytestmark = pytest.mark.matrix
Play = Callable[..., Ended]


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
