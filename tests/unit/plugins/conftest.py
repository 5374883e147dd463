# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Estates from plain manifests, and a cluster that answers from them.

The product is imported in the fixtures: pytest may read this file before pytest-ansible has made the checkout importable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.helpers.worlds import FakeCluster, World


@pytest.fixture
def world() -> Callable[..., World]:
    """Makes a World from a fixture file."""
    from tests.unit.helpers.worlds import World, load

    return lambda name="demo", **settings: World(load(name), **settings)


@pytest.fixture
def demo() -> World:
    """The demo's estate."""
    from tests.unit.helpers.worlds import World, load

    return World(load("demo"))


@pytest.fixture
def raw() -> World:
    """One pool of plain manifests: an estate without anything to warn of."""
    from tests.unit.helpers.worlds import World, load

    return World(load("raw"))


@pytest.fixture
def fake_cluster() -> type[FakeCluster]:
    """The class, to be made from manifests."""
    from tests.unit.helpers.worlds import FakeCluster

    return FakeCluster
