# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each part of the proof at the end of a phase switched off by a patch: the run is PROVEN though it should not be.

What the shipped collection says of the same worlds is in test_never_proven.py and test_never_retired.py, or here where only this part tells.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from igw_sandbox.world import World
from tests.integration.harness import ALPHA_POOL, ALPHA_POOLS, RETIRE, SHIFT, V1_EPP, Ended, patched, put_back, source, write_route
from tests.integration.patches import ABSENT, ANSWERS, EMPTY, JOURNAL, LISTED, OTHERS, WEIGHTS, Patch
from tests.integration.test_broken_worlds import failure_mode
from tests.integration.test_never_proven import MANAGER, made_since
from tests.integration.test_never_retired import install_another_chart, keep_pool

pytestmark = pytest.mark.matrix
Play = Callable[..., Ended]
Ready = Callable[[], World]


def fooled(ended: Ended) -> None:
    """What the absence of a part must show."""
    assert (ended.status, ended.verdict) == (0, "PROVEN"), ended.reason


def test_weights(installed: World, play: Play, tmp_path: Path) -> None:
    """The route is written back in the last soak: v1 is called proven while v1alpha2 serves all."""
    original = installed.kubectl_json("get", "httproute", "llm-route")
    fired: list[str] = []

    def watch(line: str) -> None:
        if "traffic split at 100 %: " in line and not fired:
            fired.append(line)
            write_route(installed, source(original), "apply", MANAGER)

    try:
        fooled(play(installed, extra=SHIFT | {"migration_soak_seconds": 20}, show=watch, collections=patched(tmp_path, WEIGHTS)))
        assert fired and installed.kubectl_json("get", "httproute", "llm-route")["spec"] == original["spec"]
    finally:
        put_back(installed, original)


def test_nothing_is_there_of_what_was_taken_away(at_v1: Ready, play: Play, tmp_path: Path) -> None:
    world = at_v1()
    keep_pool(world, tmp_path)
    fooled(play(world, extra=RETIRE, collections=patched(tmp_path, ABSENT)))
    assert world.kubectl("get", ALPHA_POOLS, ALPHA_POOL, "-o", "name")


@pytest.mark.parametrize("off", [False, True])
def test_every_way_is_answered_by_a_picker(at_v1: Ready, play: Play, tmp_path: Path, off: bool) -> None:
    """v1's endpoint picker dies, behind FailOpen, while v1alpha2 is deleted: users get their 200, and nobody picks."""
    world = at_v1()
    fired: list[str] = []

    def watch(line: str) -> None:
        if "probe routes removed (alpha): settled" in line and not fired:
            fired.append(line)
            world.fault("pod_kill", namespace="default", deployment=V1_EPP, percent=100)

    failure_mode(world, "FailOpen")
    assert play(world, extra=SHIFT).verdict == "PROVEN", "with that setting too"
    extra: dict[str, Any] = RETIRE | {"migration_settle_seconds": 30}
    ended = play(world, extra=extra, show=watch, **({"collections": patched(tmp_path, ANSWERS)} if off else {}))
    world.fault("pod_kill", namespace="default", deployment=V1_EPP, percent=0)
    assert fired
    if off:
        fooled(ended)
    else:
        assert ended.verdict == "FAILED" and "without the endpoint picker" in ended.reason, ended.reason


@pytest.mark.parametrize(("parts", "off"), [(EMPTY, False), (LISTED, True)], ids=["shipped", "off"])
def test_no_list_is_empty_that_should_not_be(at_v1: Ready, play: Play, tmp_path: Path, parts: Patch, off: bool) -> None:
    """From an empty list of routes it follows that no route names v1alpha2: here a GRPCRoute does."""
    world = at_v1()
    with made_since(world, "GRPCRoute"):
        ended = play(world, extra=RETIRE, collections=patched(tmp_path, parts))
    if off:
        fooled(ended)
    else:
        assert ended.status != 0 and "missing in the server's own list of routes" in ended.reason, ended.reason


def test_no_other_route_names_v1alpha2(at_v1: Ready, play: Play, tmp_path: Path) -> None:
    world = at_v1()
    with made_since(world, "GRPCRoute"):
        fooled(play(world, extra=RETIRE, collections=patched(tmp_path, OTHERS)))


def test_the_journals_word_is_about_what_is_installed(at_v1: Ready, play: Play, tmp_path: Path) -> None:
    world = at_v1()
    install_another_chart(world)
    fooled(play(world, extra=RETIRE, collections=patched(tmp_path, JOURNAL)))
