# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Twice the estate is twice the work. Calls are counted, not seconds: the same on every machine."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import pool_migration
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import reader
from ansible_collections.inference_gateway.migration.plugins.module_utils.plan import plan, render

from igw_sandbox import large_estate

SMALL = 60


def calls(work):
    """How often functions, Python's and the interpreter's own, are called in some work."""
    counted = Counter()
    sys.setprofile(lambda _frame, event, _argument: counted.update((event,)))
    try:
        work()
    finally:
        sys.setprofile(None)
    return counted["call"] + counted["c_call"]


@pytest.fixture
def read(fake_cluster):
    """Makes the estate of many pools, so many in each namespace."""
    return lambda pools, each: reader.read_estate(fake_cluster(list(large_estate.objects(pools, each))), [])


@pytest.fixture(params=["v1.5.0", "v1.0.0"])
def options(request):
    """Of a target that knows rewrites, and of one that does not."""
    return pool_migration.Options(release=releases.target(request.param))


@pytest.mark.parametrize("one_namespace", [True, False])
def test_twice_the_pools_are_twice_the_work(read, options, one_namespace):
    counts = []
    for pools in (SMALL, 2 * SMALL):
        here = read(pools, pools if one_namespace else 10)
        counts.append(calls(lambda here=here: render.summary(plan.make(here, options))))
    assert counts[1] < 2.2 * counts[0], counts


def test_the_large_estate_is_one_that_can_be_migrated(read, options):
    made = plan.make(read(20, 10), options)
    assert len(made["pools"]) == 20 and {pool["owner"]["kind"] for pool in made["pools"]} == {"helm", "objects"}
    assert all(pool["references"] and pool["models"] and pool["alpha_epp"]["deployment"] for pool in made["pools"])
    # What a person must accept, or choose another target for.
    assert made["blocked"] == [*(["alias-without-rewrite"] if options.release.version == "v1.0.0" else []), "shedding-changes"]
    assert {finding["code"] for finding in made["findings"]} > {"port-9002-implied", "shared-epp-rbac", "route-source-names-alpha"}
