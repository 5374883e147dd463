# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a shift that was proven: what must keep v1alpha2 from being taken away, and what is left of it though it should be gone.

All on one sandbox, which each test gets with its traffic proven on v1, as long as none takes v1alpha2 away.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from igw_sandbox.context import SandboxError
from igw_sandbox.world import World
from tests.e2e.product import ALPHA_GROUP
from tests.integration.harness import ALPHA_POOL, ALPHA_POOLS, ESTATES, ON_V1, RETIRE, SHIFT, V1_EPP, Ended, alpha_share, gone, source, write_route
from tests.integration.test_never_proven import ALPHA_BACKEND, LATER, MANAGER, POOL, V1_GROUP, injected, made_since

pytestmark = pytest.mark.matrix


def kept_v1alpha2(world: World, ended: Ended, *cause: str) -> None:
    """What a refused retire must show: not PROVEN, the cause in the reason, and all of v1alpha2 still there."""
    assert ended.status != 0 and ended.verdict in ("FAILED", "HELD"), ended.reason
    assert all(words in ended.reason for words in cause), ended.reason
    assert gone(world) == []


def install_another_chart(world: World) -> None:
    """Upgrade v1's release to another picker than the plan's."""
    chart = [POOL, f"{world.state['charts']}/inferencepool", "--version", "v1.5.0", "--plain-http", "-n", "default"]
    before = world.kubectl_json("get", "deployment", V1_EPP)["metadata"]["generation"]
    world.helm("upgrade", *chart, "--reuse-values", "--set", "inferenceExtension.flags.v=5", "--wait")
    assert world.kubectl_json("get", "deployment", V1_EPP)["metadata"]["generation"] > before, "the plan says just that"


def test_check_mode_after_a_shift_has_nothing_to_prove(at_v1: Callable[[], World], play: Callable[..., Ended]) -> None:
    """It sends no request: what an earlier run has proven is not its to say."""
    world = at_v1()
    world.reset_requests()
    checked = play(world, arguments=("--check",))
    assert checked.status == 0, checked.log[-2000:]
    assert checked.verdict != "PROVEN" and "nothing to prove" in checked.log, checked.reason
    assert world.requests()["writes"] == 0


def test_retire_after_a_later_shift_that_was_held(at_v1: Callable[[], World], play: Callable[..., Ended]) -> None:
    """The weights stayed as they were, so they alone do not tell that the last word on them is no proof."""
    world = at_v1()
    later = play(world, extra=SHIFT | {"migration_probe_limit": 1, "migration_on_held": "stay"})
    assert (later.verdict, alpha_share(world)) == ("HELD", ON_V1), later.reason
    kept_v1alpha2(world, play(world, extra=RETIRE), "shift")
    assert alpha_share(world) == ON_V1


def test_retire_after_a_later_shift_that_found_both_stacks_ill(at_v1: Callable[[], World], play: Callable[..., Ended]) -> None:
    """The same, but what held it was real: no model server answered, so traffic could go nowhere else."""
    world = at_v1()
    with injected(world, 100, "server_error"):
        later = play(world, extra=SHIFT | {"migration_warm_seconds": 10})
    assert (later.verdict, alpha_share(world)) == ("HELD", ON_V1), later.reason
    kept_v1alpha2(world, play(world, extra=RETIRE), "shift")
    assert alpha_share(world) == ON_V1


def test_retire_after_another_chart_was_installed(at_v1: Callable[[], World], play: Callable[..., Ended]) -> None:
    """What was proven does not run any more."""
    world = at_v1()
    install_another_chart(world)
    ended = play(world, extra=RETIRE)
    world.helm("rollback", POOL, "-n", "default", "--wait")
    kept_v1alpha2(world, ended, POOL, "shift")
    assert alpha_share(world) == ON_V1


@pytest.mark.parametrize("what", LATER)
def test_retire_under_what_needs_v1alpha2_since_the_plan(at_v1: Callable[[], World], play: Callable[..., Ended], what: str) -> None:
    world = at_v1()
    with made_since(world, what):
        kept_v1alpha2(world, play(world, extra=RETIRE), LATER[what])


def test_a_route_that_is_reverted_after_it_was_finished(at_v1: Callable[[], World], play: Callable[..., Ended]) -> None:
    """v1alpha2 must stay for it."""
    world = at_v1()
    fired: list[str] = []
    reverted = source(world.kubectl_json("get", "httproute", "llm-route"))
    reverted["spec"]["rules"][0]["backendRefs"] = [ALPHA_BACKEND]

    def watch(line: str) -> None:
        if "v1alpha2 references are out of the routes" in line and not fired:
            fired.append(line)
            write_route(world, reverted, "apply", MANAGER)

    ended = play(world, rate=20, extra=RETIRE | {"migration_drain_seconds": 20}, show=watch)
    assert fired, "it must have fired"
    kept_v1alpha2(world, ended, MANAGER, "llm-route", "backendRefs")
    assert ended.verdict == "HELD"
    assert alpha_share(world) == [(ALPHA_GROUP, 1)]
    assert (ended.load["lost"], ended.load["cut"], ended.load["problems"]) == (0, 0, []), ended.load["reasons"]


def left_behind(world: World, ended: Ended) -> None:
    """What a retire must show that could not take the v1alpha2 pool away: HELD, and the pool by its name."""
    assert world.kubectl("get", ALPHA_POOLS, ALPHA_POOL, "-o", "name"), "it must have fired"
    assert ended.status != 0 and ended.verdict == "HELD", ended.reason
    assert f"InferencePool default/{ALPHA_POOL}" in ended.reason, ended.reason
    assert alpha_share(world) == [(V1_GROUP, 1)]


@contextmanager
def restored(world: World, manifest: dict[str, Any]) -> Iterator[None]:
    """A controller makes the v1alpha2 pool again as soon as it and the release that it came from are gone, until the end of a block."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.1):
            with suppress(SandboxError):  # its definition may be gone by now
                if ALPHA_POOL not in world.kubectl("get", f"{ALPHA_POOLS},secrets", "-n", "default", "-o", "name"):
                    world.kubectl("create", "-f", "-", input=json.dumps(manifest))

    controller = threading.Thread(target=run)
    controller.start()
    try:
        yield
    finally:
        over.set()
        controller.join()


def test_a_v1alpha2_pool_that_a_controller_restores(at_v1: Callable[[], World], play: Callable[..., Ended]) -> None:
    world = at_v1()
    pool = source(world.kubectl_json("get", ALPHA_POOLS, ALPHA_POOL))
    pool["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "pool-controller"}
    with restored(world, pool):
        ended = play(world, extra=RETIRE)
    left_behind(world, ended)


KEEPING = """#!{python}
import sys, yaml
documents = [document for document in yaml.safe_load_all(sys.stdin) if document]
for document in documents:
    if document["kind"] == "InferencePool":
        document["metadata"].setdefault("annotations", {{}})["helm.sh/resource-policy"] = "keep"
yaml.safe_dump_all(documents, sys.stdout)
"""
"""A post-renderer for Helm."""


def keep_pool(world: World, folder: Path) -> None:
    """Let the release say by Helm's resource policy that its pool stays when it is uninstalled."""
    keeping = folder / "keeping"
    keeping.write_text(KEEPING.format(python=sys.executable))
    keeping.chmod(0o755)
    chart = [ALPHA_POOL, f"{world.state['charts']}/inferencepool", "--version", "v0.3.0", "--plain-http", "-n", "default"]
    world.helm("upgrade", *chart, "--reuse-values", "--post-renderer", str(keeping))


def test_a_v1alpha2_pool_that_its_release_keeps(make_world: Callable[..., World], play: Callable[..., Ended], tmp_path: Path) -> None:
    world = make_world("kept", estates=[ESTATES / "demo"])
    keep_pool(world, tmp_path)
    ended = play(world, extra={"migration_drain_seconds": 5})
    left_behind(world, ended)
    world.down()
