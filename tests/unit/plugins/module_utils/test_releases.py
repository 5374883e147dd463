# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases


@pytest.mark.parametrize(
    ("version", "flags", "failure_mode", "rewrites", "alpha_in_manifests"),
    [
        ("v1.0.0", "list", "ignored", False, True),
        ("v1.0.2", "list", "ignored", False, True),
        ("v1.1.0", "list", "ignored", False, True),
        ("v1.2.0", "map", "ignored", False, True),
        ("v1.3.0", "map", "ignored", True, True),
        ("v1.4.0", "map", "taken", True, True),
        ("v1.5.0", "map", "taken", True, False),
    ],
)
def test_facts_of_each_release(version, flags, failure_mode, rewrites, alpha_in_manifests):
    release = releases.target(version)
    assert release.version == version
    facts = release.facts
    assert (facts.flags, facts.failure_mode, facts.rewrites, facts.alpha_in_manifests) == (flags, failure_mode, rewrites, alpha_in_manifests)
    assert (releases.REWRITES_CRD in release.crds) == rewrites
    assert releases.V1_POOLS_CRD in release.crds and releases.OBJECTIVES_CRD in release.crds


def test_a_version_without_v_is_the_same_release():
    assert releases.target("1.5.0") == releases.target("v1.5.0")


@pytest.mark.parametrize(
    ("version", "reason"),
    [("v1.6.0", "moved to llm-d"), ("v2.0.0", "moved to llm-d"), ("v0.5.1", "from v1.0.0 on"), ("latest", "not a release"), ("v1.5", "not a release")],
)
def test_other_targets_are_refused_with_the_reason(version, reason):
    with pytest.raises(releases.UnsupportedTarget, match=reason):
        releases.target(version)


@pytest.mark.parametrize(
    ("version", "ships"),
    [
        ("v1.34.0-gke.1626000", True),
        ("v1.34.0-gke.1625999", False),
        ("v1.34.1-gke.1000", True),
        ("v1.33.5-gke.9999999", False),
        ("v1.35.0", False),
        ("nonsense", False),
    ],
)
def test_which_gke_brings_the_v1_crd(version, ships):
    assert releases.gke_ships_v1(version) is ships


def test_chart_policies_differ_by_release():
    old = releases.chart_policies(releases.target("v1.0.0").facts, 8000)
    new = releases.chart_policies(releases.target("v1.5.0").facts, 8000)
    assert old["HealthCheckPolicy"] == {"config": {"type": "HTTP", "httpHealthCheck": {"requestPath": "/health", "port": 8000}}}
    assert new["HealthCheckPolicy"] == old["HealthCheckPolicy"] | {"timeoutSec": 2, "checkIntervalSec": 2}
    assert old["GCPBackendPolicy"] == new["GCPBackendPolicy"] == {"timeoutSec": 300, "logging": {"enabled": True}}
