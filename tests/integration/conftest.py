# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks on real sandboxes: worlds to migrate, a migration under load, and what came of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import configuration

from igw_sandbox import load
from igw_sandbox.world import World
from tests.e2e.product import ZERO_DOWNTIME, PlaybookRun
from tests.integration.harness import ESTATES, ON_V1, QUICK, Ended, alpha_share, detect, gone, users_routes

configuration.set_hypothesis_home_dir(Path(__file__).resolve().parents[2] / "build" / "hypothesis")


@pytest.fixture(scope="session")
def make_world() -> Iterator[Callable[..., World]]:
    """Factory with the arguments of World.up; what it made ends with the session."""
    made: list[World] = []

    def make(name: str, **options: Any) -> World:
        world = World.up(f"it-{os.getpid()}-{name}", **options)
        made.append(world)
        return world

    yield make
    for world in made:
        world.down()


@pytest.fixture(scope="session")
def ask(collections_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """What detect says of a world under these options."""
    return lambda world, **options: detect(world, tmp_path_factory.mktemp("detect"), collections_path, **options)


@pytest.fixture
def demo(make_world: Callable[..., World]) -> Iterator[World]:
    """A sandbox of the test's own with the demo's estate."""
    world = make_world("demo", estates=[ESTATES / "demo"])
    yield world
    world.down()


@pytest.fixture(scope="session")
def installed(make_world: Callable[..., World], play: Callable[..., Ended]) -> World:
    """A sandbox on which v1 is installed and nothing shifted, for tests that end where they began: each puts back what it broke."""
    world = make_world("installed", estates=[ESTATES / "demo"])
    prepared = play(world, extra={"migration_phases": ["plan", "install"]})
    assert prepared.status == 0, prepared.log[-2000:]
    return world


@pytest.fixture(scope="session")
def play(collections_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ended]:
    """Run a playbook against a world, under ``rate`` requests a second where that is not 0, one in forty of them a stream unless ``streams`` says how many.
    ``stream_seconds`` are the lengths of streams, in turn. ``routes`` are those that the load asks by (``namespace/name``), by default every user's.

    ``show`` gets each line as it comes, so that a test can break something in the middle; ``begun`` gets the playbook's process id.
    """
    def run(world: World, playbook: str = ZERO_DOWNTIME, rate: float = 0, target: str = "v1.5.0", extra: dict[str, Any] | None = None,
            arguments: tuple[str, ...] = (), collections: Path | None = None, show: Callable[[str], None] = lambda line: None,
            begun: Callable[[int], None] = lambda pid: None, streams: float | None = None,
            stream_seconds: tuple[float, ...] = load.Options().stream_seconds, routes: tuple[str, ...] = ()) -> Ended:
        folder = tmp_path_factory.mktemp("run")
        job = PlaybookRun(world, folder, collections or collections_path, target, playbook, QUICK | (extra or {}), arguments)
        options = load.Options(rate=rate, streams=rate / 40 if streams is None else streams, stream_seconds=stream_seconds,
                               routes=routes or users_routes(world) if rate else ())
        loaded = load.start(world.directory, options) if rate else {}
        summary: dict[str, Any] = {}
        try:
            status = job.run(show, begun)
        finally:
            if rate:
                summary = load.stop(world.directory)
        return Ended(status, job.report(), (folder / "playbook.log").read_text(), summary, loaded)

    return run


@pytest.fixture(scope="module")
def at_v1(request: pytest.FixtureRequest, make_world: Callable[..., World], play: Callable[..., Ended]) -> Iterator[Callable[[], World]]:
    """Gives a sandbox on which a shift has just ended PROVEN and nothing is retired: the last one again where all of v1alpha2 is left."""
    made: list[World] = []
    name = request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")

    def ready() -> World:
        kept = bool(made) and not gone(made[-1])
        if made and not kept:
            made[-1].down()
        if not kept:
            made.append(make_world(f"{name}-{len(made)}", estates=[ESTATES / "demo"]))
        shifted = play(made[-1], extra={"migration_phases": ["shift"] if kept else ["plan", "install", "shift"]})
        assert (shifted.status, shifted.verdict, alpha_share(made[-1])) == (0, "PROVEN", ON_V1), shifted.reason
        return made[-1]

    yield ready
    if made:
        made[-1].down()
