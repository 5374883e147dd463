# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server takes a Deployment and refuses its pods: known before v1 is installed, or said when the wait ends; after the remedy the same command goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from igw_sandbox.world import World
from tests.e2e.product import leftovers
from tests.integration.harness import CONTROL, ESTATES, Ended, users_routes

READY_SECONDS = 900
"""How long pickers may take: much longer than a test waits, so that what ends before has ended early."""
ACCEPTED = {"migration_accept": ["pods-refused"], "migration_ready_seconds": READY_SECONDS}


@pytest.fixture
def up(make_world: Callable[..., World]) -> Iterator[Callable[..., World]]:
    """Brings an estate up in a sandbox of the test's own."""
    made: list[World] = []

    def bring(name: str, **options: Any) -> World:
        made.append(make_world(f"admission-{name.replace('_', '-')}", estates=[ESTATES / name], **options))
        return made[-1]

    yield bring
    for world in made:
        world.down()


def room(world: World, pods: int) -> None:
    """Write the quota's status as its controller would after the quota was set to so many pods, of which three are there."""
    said = json.dumps({"status": {"hard": {"pods": str(pods)}, "used": {"pods": "3"}}})
    world.kubectl("patch", "resourcequota", "team", "-n", "budget", "--subresource=status", "--type=merge", "-p", said)


def level(world: World, name: str) -> None:
    """Enforce a level of Pod Security; pods that are there live on."""
    world.kubectl("label", "--overwrite", "namespace", "ward", f"pod-security.kubernetes.io/enforce={name}")


def installed(world: World, namespace: str) -> list[str]:
    """What stands in a namespace of v1, Helm's records included."""
    found = world.kubectl("get", "deployments,services,configmaps,secrets,serviceaccounts,healthcheckpolicies", "-n", namespace, "-o", "name").split()
    return [name for name in found if "-ga" in name]


def test_what_only_the_server_knows_is_said_before_anything_but_definitions_is_written(up, play):
    """A LimitRange, whose words nobody could guess."""
    world = up("pod_quota", services=CONTROL)
    limits = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small", "namespace": "budget"},
              "spec": {"limits": [{"type": "Container", "max": {"cpu": "100m"}}]}}
    world.kubectl("create", "-f", "-", input=json.dumps(limits))
    address = {"status": {"addresses": [{"type": "IPAddress", "value": "127.0.0.1"}]}}
    world.kubectl("patch", "gateway", "edge", "-n", "budget", "--subresource=status", "--type=merge", "-p", json.dumps(address))
    ended = play(world, extra={"migration_connect": False})
    assert (ended.status != 0, ended.verdict) == (True, "FAILED"), ended.reason
    assert "Pod of Deployment budget/ledger-ga-epp" in ended.reason and "maximum cpu usage per Container is 100m" in ended.reason
    assert "no traffic was moved" in ended.reason
    assert installed(world, "budget") == []


def refused_then_proven(world: World, play: Callable[..., Ended], namespace: str, words: str, remedy: Callable[[], None]) -> None:
    """Detect blocks; accepted, the wait ends early with the server's words, while users notice nothing; after the remedy the same command proves v1."""
    route = f"{namespace}/{users_routes(world)[0].partition('/')[2]}"
    before = world.kubectl_json("get", "httproutes", "-n", namespace)["items"][0]["spec"]
    world.reset_requests()
    blocked = play(world)
    assert blocked.status != 0 and "blocker: pods-refused" in blocked.log and world.requests()["writes"] == 0, blocked.reason
    begun = time.monotonic()
    refused = play(world, rate=10, extra=ACCEPTED)
    seconds = time.monotonic() - begun
    assert (refused.status != 0, refused.verdict) == (True, "FAILED"), refused.reason
    assert words in refused.reason and "the same command goes on" in refused.reason
    assert "Refused, which is accepted: Pod of Deployment" in refused.log, "the trial has said it too"
    assert seconds < READY_SECONDS / 3, f"it ended early, after {seconds:.0f} s"
    assert (refused.load["lost"], refused.load["cut"]) == (0, 0)
    assert world.kubectl_json("get", "httproutes", "-n", namespace)["items"][0]["spec"] == before
    remedy()
    proven = play(world, rate=20, extra=ACCEPTED, routes=(route,))
    assert (proven.status, proven.verdict) == (0, "PROVEN"), proven.reason
    assert (proven.load["lost"], proven.load["cut"], proven.load["problems"]) == (0, 0, []), proven.load["reasons"]
    assert leftovers(world) == []


@pytest.mark.matrix
def test_a_quota_that_is_full(up, play):
    world = up("pod_quota")
    room(world, 3)
    refused_then_proven(world, play, "budget", "no pod can be created: pods \"ledger-ga-epp-", lambda: room(world, 4))


@pytest.mark.matrix
def test_a_level_of_pod_security_that_no_chart_meets(up, play):
    """The estate as it is only warns, which is shown."""
    world = up("restricted_pods")
    level(world, "restricted")
    refused_then_proven(world, play, "ward", 'violates PodSecurity "restricted:latest"', lambda: level(world, "baseline"))


@pytest.mark.matrix
@pytest.mark.parametrize(("estate", "said"), [
    ("pod_quota", ""), ("restricted_pods", "Warning: Pod of Deployment ward/triage-ga-epp: would violate PodSecurity"),
])
def test_the_nearest_estate_without_the_fault(up, play, estate, said):
    """Room for one pod more, and a level that only warns."""
    world = up(estate)
    if estate == "pod_quota":
        room(world, 4)
    ended = play(world, rate=20, extra={"migration_ready_seconds": 120})
    assert (ended.status, ended.verdict) == (0, "PROVEN"), ended.reason
    assert (ended.load["lost"], ended.load["cut"], ended.load["problems"]) == (0, 0, []), ended.load["reasons"]
    assert said in ended.log and "blocker: pods-refused" not in ended.log
