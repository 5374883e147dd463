# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers that a gateway gives by itself: a key is missing, or a policy refuses. They tell nothing of either stack."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from igw_sandbox.world import World
from tests.integration.harness import SHIFT, V1_GROUP, Ended, route_spec

KEY = "x-apikey: 5e7c-0b1d"
ASKED_FOR = {"default/inference-gateway": KEY}


@pytest.mark.matrix
def test_a_gateway_that_wants_a_key(demo: World, play: Callable[..., Ended]) -> None:
    """Without it nothing is asked of v1alpha2, so nothing is shifted. With it the same migration goes on to its end, and shows it nowhere."""
    demo.fault("gateway", keys=ASKED_FOR)
    before = route_spec(demo)
    without = play(demo)
    assert without.status != 0 and without.verdict == "HELD" and route_spec(demo) == before, without.reason
    assert "user: status 401 by the gateway itself" in without.reason and "migration_probe_headers" in without.reason, without.reason
    ended = play(demo, extra={"migration_probe_headers": [KEY]})
    assert (ended.status, ended.verdict) == (0, "PROVEN"), ended.reason
    secret = KEY.split()[1]
    assert secret not in ended.log and secret not in str(ended.report) and secret not in str(demo.kubectl_json("get", "configmaps", "-A"))


@pytest.mark.matrix
@pytest.mark.parametrize("status", [403, 429])
def test_a_policy_that_refuses_v1s_backend_alone(installed: World, play: Callable[..., Ended], status: int) -> None:
    """As one does that counts the requests of each backend by themselves: v1 is not to blame, and users stay where they are."""
    before = route_spec(installed)
    installed.fault("gateway", refusals={V1_GROUP: status})
    try:
        ended = play(installed, rate=20, extra=SHIFT)
    finally:
        installed.fault("gateway", refusals={})
    assert ended.status != 0 and ended.verdict == "HELD" and route_spec(installed) == before, ended.reason
    assert f"status {status} by the gateway itself" in ended.reason and "a policy of the gateway refuses probes" in ended.reason, ended.reason
    assert (ended.load["lost"], ended.load["cut"]) == (0, 0), ended.load["reasons"]


@pytest.mark.matrix
def test_a_policy_that_denies_one_of_two_addresses(installed: World, play: Callable[..., Ended]) -> None:
    """What users of that address get today can't be compared with v1, so nothing is shifted, and the sentence has the address and the policy's answer."""
    plain, gateway = route_spec(installed), installed.kubectl_json("get", "gateway", "inference-gateway")
    second = {"apiVersion": gateway["apiVersion"], "kind": "Gateway", "metadata": {"name": "second", "namespace": "default"}, "spec": gateway["spec"]}
    installed.apply(json.dumps(second) + "\n")
    patch = {"spec": {"parentRefs": [*plain["parentRefs"], {"name": "second"}]}}
    installed.kubectl("patch", "httproute", "llm-route", "--type=merge", "-p", json.dumps(patch))
    installed.kubectl("wait", "gateway/second", "--for=condition=Programmed", "--timeout=60s")
    installed.fault("gateway", denied={"default/second": 403})
    before = route_spec(installed)
    try:
        ended = play(installed, extra=SHIFT)
        assert ended.status != 0 and ended.verdict == "HELD" and route_spec(installed) == before, ended.reason
        assert "user: status 403 by the gateway itself" in ended.reason and "[default/second " in ended.reason, ended.reason
        assert "a policy of the gateway refuses probes" in ended.reason
    finally:
        installed.fault("gateway", denied={})
        installed.kubectl("patch", "httproute", "llm-route", "--type=merge", "-p", json.dumps({"spec": {"parentRefs": plain["parentRefs"]}}))
        installed.kubectl("delete", "gateway", "second")
