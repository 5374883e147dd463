# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Phases in runs of their own, as approvals between them ask for. Each test goes on where the one before it ended."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from igw_sandbox.world import World
from tests.e2e.product import ZERO_DOWNTIME, leftovers
from tests.integration.harness import ESTATES, alpha_share, held_harmless, route_spec, unharmed
from tests.integration.killing import DEFINITIONS, killed
from tests.integration.kubeconfigs import NOWHERE, RELATIVE, Kubeconfigs, proxy_to

ALPHA, V1 = "inference.networking.x-k8s.io", "inference.networking.k8s.io"


@pytest.fixture(scope="module")
def cluster(make_world: Callable[..., World]) -> Iterator[World]:
    """One sandbox for all of it."""
    world = make_world("phases", estates=[ESTATES / "demo"])
    yield world
    world.down()


def test_check_mode_writes_nothing(cluster, play):
    cluster.reset_requests()
    checked = play(cluster, arguments=("--check",))
    assert checked.status == 0, checked.log[-2000:]
    assert "CRDs to install: inferencepools.inference.networking.k8s.io" in checked.log
    assert cluster.requests()["writes"] == 0


def test_no_definition_is_installed_when_one_file_holds_another(cluster, play, tmp_path):
    """Every file is looked at before any is applied."""
    right = Path(cluster.state["crds"]) / "v1.5.0" / "bases"
    source = shutil.copytree(right, tmp_path / "bases")
    shutil.copy(source / f"{ALPHA}_inferencepoolimports.yaml", source / f"{ALPHA}_inferenceobjectives.yaml")
    refused = play(cluster, extra={"migration_crds_source": str(source), "migration_phases": ["plan", "install"]})
    assert (refused.status != 0, refused.verdict) == (True, "FAILED"), refused.log[-2000:]
    assert "does not hold exactly the CustomResourceDefinition" in refused.reason, refused.reason
    assert "inferencepools.inference.networking.k8s.io" not in cluster.kubectl("get", "crds", "-o", "name")


def test_a_chart_that_is_not_there(cluster, play):
    before = route_spec(cluster)
    ended = play(cluster, rate=20, extra={"migration_chart_ref": f"{cluster.state['charts']}/no-such-chart"})
    held_harmless(cluster, before, ended, "no-such-chart", "not found", "migration_chart_ref")


def test_installing_moves_no_traffic_and_goes_by_the_kubeconfig(cluster, play, tmp_path):
    """Modules of ours, kubernetes.core's and Helm reach the cluster through the kubeconfig's proxy alone, by the program and the files beside it."""
    with proxy_to(cluster) as (url, asked):
        made = Kubeconfigs(cluster, tmp_path / "of a person", url)
        path = made.write(made.made(made.through_the_proxy() | RELATIVE, made.program()))
        installed = play(cluster, extra={"migration_phases": ["plan", "install"], "migration_kubeconfig": str(path)})
    assert installed.status == 0, installed.log[-2000:]
    assert alpha_share(cluster) == [(ALPHA, 1)]
    assert set(asked) == {f"{NOWHERE}:{made.port}"}
    assert made.token not in installed.log + cluster.kubectl("get", "configmaps,leases", "-A", "-o", "json")


def test_a_shift_goes_on_after_an_api_server_was_away_for_20_seconds_in_a_step(cluster, play):
    gone = []

    def cut(line: str) -> None:
        if "step 1 of 1" in line:
            gone.append(cluster.fault("unreachable", seconds=20))

    shifted = play(cluster, rate=20, extra={"migration_phases": ["shift"], "migration_steps": [100]}, show=cut)
    assert gone, "the fault must have fired"
    assert (shifted.status, shifted.verdict) == (0, "PROVEN"), shifted.reason
    assert "no answer; trying again" in shifted.log
    assert "there are answers again" in shifted.log
    assert (shifted.load["lost"], shifted.load["cut"]) == (0, 0)
    assert alpha_share(cluster) == [(ALPHA, 0), (V1, 100)]


def test_a_retire_that_is_killed_takes_v1alpha2_away(cluster, play):
    """When both definitions are gone; the same command goes on."""
    extra = {"migration_phases": ["retire"], "migration_drain_seconds": 2}
    with unharmed(cluster):
        killed(cluster, play, DEFINITIONS, ZERO_DOWNTIME, extra)
        retired = play(cluster, extra=extra)
    assert (retired.status, retired.verdict) == (0, "PROVEN"), retired.reason
    assert leftovers(cluster) == []
    assert alpha_share(cluster) == [(V1, 1)]
