# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller that plays its module executions on a clock of its own.

The product is imported in the fixtures: pytest may read this file before pytest-ansible has made the checkout importable.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.helpers.controller_fakes import Clock, Played, Result, Start


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    from ansible_collections.inference_gateway.migration.plugins.plugin_utils import controller, long_streams, phases, session

    from tests.unit.helpers.controller_fakes import Clock

    made = Clock()
    for module in (controller, phases, session):
        monkeypatch.setattr(module, "time", made)
    monkeypatch.setattr(long_streams, "time", made)
    return made


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    from ansible_collections.inference_gateway.migration.plugins.plugin_utils import session

    said: list[str] = []
    monkeypatch.setattr(session, "Display", lambda: SimpleNamespace(display=said.append))
    return said


@pytest.fixture
def start(clock: Clock, lines: list[str]) -> Start:
    from ansible_collections.inference_gateway.migration.plugins.modules.shift_traffic import argument_spec
    from ansible_collections.inference_gateway.migration.plugins.plugin_utils.controller import ShiftController

    from tests.unit.helpers.controller_fakes import Played
    from tests.unit.helpers.migration_fakes import make_plan

    def run(*answers: tuple[str, Result], check_mode: bool = False, stream_seconds: int = 0,
            steer: list[Result | None] | None = None, **options: Any) -> tuple[Result, Played]:
        played = Played(clock)
        played.answers, played.steer = list(answers), list(steer or ())
        chosen = {name: option.get("default") for name, option in argument_spec().items()} | {"plan": make_plan(), "run": "run-1", "drain_seconds": 7} | options
        chosen["stream_seconds"] = stream_seconds
        result = ShiftController(played, chosen, {"inventory_hostname": "east"}, check_mode).run()
        assert played.answers == [], "every scripted answer was asked for"
        return result, played

    return run
