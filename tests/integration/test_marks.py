# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why answers carry marks: a run that trusts the status code is fooled by its own probes."""

from __future__ import annotations

import json

import pytest

from igw_sandbox.world import World
from tests.integration.harness import Ended, patched
from tests.integration.patches import MARK

pytestmark = pytest.mark.matrix


def believed(ended: Ended) -> bool:
    """The watch of this file: whether a run took v1 for warm."""
    return "warm-up: settled" in ended.log


def all_taken(world: World) -> None:
    """Wait until the gateway has taken every change so far, among them probe routes that a run made and removed; an instance takes changes in their order."""
    route = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "last", "namespace": "default"},
             "spec": {"parentRefs": [{"name": "inference-gateway"}], "hostnames": ["last.example.com"],
                      "rules": [{"backendRefs": [{"name": "plain", "port": 80}]}]}}
    world.apply(json.dumps(route) + "\n")
    world.kubectl("wait", "httproute/last", "--for=jsonpath={.status.parents[0].conditions[0].status}=True", "--timeout=120s")
    world.kubectl("delete", "httproute", "last")


def test_without_the_mark_alphas_answers_pass_for_v1s(demo, play, tmp_path):
    """v1's endpoint picker is dead, and the gateway takes longer than warm-up and gate to program the probe routes: all that answers is alpha.

    Red for nothing: 2 in 10^14, a tenth of 300 users' requests or more, of which none meets the dead stack.
    """
    prepared = play(demo, extra={"migration_phases": ["plan", "install"]})
    assert prepared.status == 0, prepared.log[-2000:]
    demo.fault("pod_kill", namespace="default", deployment="vllm-llama3-8b-instruct-ga-epp", percent=100)
    demo.fault("gateway", take=[80, 84])
    shift = {"migration_phases": ["shift"], "migration_warm_seconds": 40, "migration_settle_seconds": 120, "migration_drain_seconds": 2}

    honest = play(demo, rate=10, extra=shift | {"migration_warm_seconds": 12})  # the pairs that are asked then end before the routes are there
    assert honest.verdict == "HELD" and "not answered by the probe route" in honest.reason, honest.reason
    assert not believed(honest)
    assert (honest.load["lost"], honest.load["cut"]) == (0, 0)
    all_taken(demo)

    fooled = play(demo, rate=10, extra=shift, collections=patched(tmp_path, MARK))
    assert believed(fooled) and "step 1 of" in fooled.log, f"warm-up and gate must end before the gateway takes the probe routes: {fooled.log[-3000:]}"
    assert fooled.load["lost"] > 0, "without the mark users meet the dead stack"
