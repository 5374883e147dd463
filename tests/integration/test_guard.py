# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The right cluster, or none: refused before any write, whatever part of the playbook is asked for."""

from __future__ import annotations

import os
import subprocess

import pytest

from igw_sandbox.world import World
from tests.e2e.product import ZERO_DOWNTIME, PlaybookRun, variables, write_inventory
from tests.integration.harness import CONTROL, ESTATES

PARTS = {
    "whole": (),
    "tags": ("--tags", "install"),
    "start-at-task": ("--start-at-task", "Phases after the plan"),
    "limit": ("--limit", "one"),
}


@pytest.fixture(scope="module")
def estate(make_world) -> World:
    """An API server with alpha objects; nothing runs, for nothing may be written."""
    world = make_world("guard", services=CONTROL)
    world.add_estate(ESTATES / "two_namespaces")
    return world


def run(world: World, folder, collections, hosts, arguments, environ=None) -> subprocess.CompletedProcess:
    """The playbook on an inventory of one's own."""
    job = PlaybookRun(world, folder, collections, "v1.5.0", ZERO_DOWNTIME, None, arguments)
    inventory = write_inventory(folder / "hosts.json", hosts)
    program = job._argv[0]
    command = [program, "-i", str(inventory), ZERO_DOWNTIME, *arguments]
    return subprocess.run(command, cwd=folder, env=job._environment | (environ or {}), capture_output=True, text=True, check=False, timeout=180)


@pytest.mark.parametrize("part", PARTS)
def test_a_host_in_the_environment_beside_a_kubeconfig_is_refused(estate, collections_path, tmp_path, part):
    estate.reset_requests()
    hosts = {"one": variables(estate, "v1.5.0", tmp_path)}
    ended = run(estate, tmp_path, collections_path, hosts, PARTS[part], {"K8S_AUTH_HOST": "https://another.invalid:6443", "K8S_AUTH_API_KEY": "x"})
    assert ended.returncode != 0, ended.stdout
    assert ("K8S_AUTH_HOST" if part != "start-at-task" else "guard did not run") in ended.stdout, ended.stdout[-3000:]
    assert estate.requests()["writes"] == 0


@pytest.mark.parametrize("part", PARTS)
def test_two_hosts_that_are_one_cluster_are_refused(estate, collections_path, tmp_path, part):
    estate.reset_requests()
    hosts = {name: variables(estate, "v1.5.0", tmp_path) for name in ("one", "two")}
    ended = run(estate, tmp_path, collections_path, hosts, PARTS[part])
    assert ended.returncode != 0, ended.stdout
    assert ("are one cluster" if part != "start-at-task" else "guard did not run") in ended.stdout, ended.stdout[-3000:]
    assert estate.requests()["writes"] == 0


def test_a_cluster_other_than_the_inventory_says_is_refused(estate, collections_path, tmp_path):
    estate.reset_requests()
    hosts = {"one": variables(estate, "v1.5.0", tmp_path) | {"migration_cluster_id": "00000000-0000-0000-0000-000000000000"}}
    ended = run(estate, tmp_path, collections_path, hosts, ())
    assert ended.returncode != 0 and "migration_cluster_id" in ended.stdout
    assert estate.requests()["writes"] == 0


def test_the_environment_alone_is_a_connection(estate):
    """The refusal is about two connections at once, not about AWX's credential as such."""
    from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import refuse_ambiguous_connection

    refuse_ambiguous_connection({"kubeconfig": None, "context": None}, {"K8S_AUTH_HOST": "https://x", **os.environ})
