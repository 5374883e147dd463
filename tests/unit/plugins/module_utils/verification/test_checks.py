# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which targets are asked for long streams."""

from __future__ import annotations

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import targets
from ansible_collections.inference_gateway.migration.plugins.module_utils.scope import MigrationScope
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification import checks

from tests.unit.helpers.migration_fakes import ALPHA, FakeCluster, gateway, http_route, make_plan, plan_pool


def scope(pools: int) -> MigrationScope:
    """One route with a rule for each pool, by a header."""
    names = [f"p{number}" for number in range(pools)]
    matches = [[{"headers": [{"name": "tenant", "value": name}]}] for name in names]
    route = http_route(*[{"matches": match, "backendRefs": [ALPHA | {"name": name}]} for match, name in zip(matches, names)])
    return MigrationScope.read(FakeCluster(route, gateway()), make_plan(*[plan_pool(name=name, v1_name=f"{name}-ga") for name in names]), "igm", None)


@pytest.mark.parametrize(("pools", "addresses", "expected"), [(1, 1, 1), (12, 1, 12), (3, 1, 3), (3, 9, 8), (10, 9, 10)])
def test_every_pool_is_asked_for_a_long_stream_and_no_more_than_eight_where_that_is_enough(pools: int, addresses: int, expected: int) -> None:
    here = scope(pools)
    place = here.gateways["default", "gw"]
    place["status"]["addresses"] = [{"value": f"127.0.0.{number}"} for number in range(1, addresses + 1)]
    found = targets.streaming(here.targets)
    assert len(found) == pools * addresses
    chosen = checks.sampled(here, found)
    assert len(chosen) == len(set(chosen)) == expected
    assert {here.pool_of(target) for target in chosen} == {f"default/p{number}-ga" for number in range(pools)}
