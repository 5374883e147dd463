# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each world breaks v1 in another way: FAILED with the cause, all weight on v1alpha2, no request of a user lost."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
import yaml

from igw_sandbox.world import World
from tests.integration.harness import REAL_GATE, SHIFT, held_harmless, resets, route_spec

EPP = "vllm-llama3-8b-instruct-ga-epp"
POOL = "vllm-llama3-8b-instruct-ga"


def failure_mode(world: World, mode: str) -> None:
    """What the gateway does without the v1 endpoint picker."""
    said = json.dumps({"spec": {"endpointPickerRef": {"failureMode": mode}}})
    world.kubectl("patch", "inferencepools.inference.networking.k8s.io", POOL, "--type=merge", "-p", said)


@pytest.mark.matrix
def test_a_v1_endpoint_picker_in_a_crash_loop(demo, play, tmp_path: Path):
    """The real chart with one flag that no endpoint picker knows."""
    before = route_spec(demo)
    demo.helm("pull", f"{demo.state['charts']}/inferencepool", "--version", "v1.5.0", "--plain-http", "--destination", str(tmp_path))
    with tarfile.open(next(tmp_path.glob("inferencepool-*.tgz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    values = tmp_path / "inferencepool" / "values.yaml"
    said = yaml.safe_load(values.read_text())
    said["inferenceExtension"].setdefault("flags", {})["no-such-flag"] = 1
    values.write_text(yaml.safe_dump(said))
    demo.helm("package", str(tmp_path / "inferencepool"), "--destination", str(tmp_path / "broken"))
    broken = demo.state["charts"].removesuffix("/charts") + "/broken"
    demo.helm("push", str(next((tmp_path / "broken").glob("*.tgz"))), broken, "--plain-http")
    ended = play(demo, rate=20, extra={"migration_chart_ref": f"{broken}/inferencepool", "migration_ready_seconds": 60})
    held_harmless(demo, before, ended, EPP, "CrashLoopBackOff", "no-such-flag")


def test_a_proxy_that_resets_a_third_of_the_streams_to_the_v1_endpoint_picker(installed, play):
    """Whether rounds of it pass is luck, the sequential test is not: with the real bounds it takes v1 for well once in 10^67 runs."""
    before = route_spec(installed)
    with resets(installed, 30):
        ended = play(installed, rate=20, extra=SHIFT | REAL_GATE)
    held_harmless(installed, before, ended, "v1 fails where v1alpha2 does not", "failed on v1 alone", "v1: status 5")


@pytest.mark.matrix
def test_a_dead_v1_endpoint_picker_behind_fail_open(installed, play):
    """The gateway answers 200 without it: only the missing EPP header tells."""
    before = route_spec(installed)
    failure_mode(installed, "FailOpen")
    installed.fault("pod_kill", namespace="default", deployment=EPP, percent=100)
    ended = play(installed, rate=20, extra=SHIFT)
    installed.fault("pod_kill", namespace="default", deployment=EPP, percent=0)
    failure_mode(installed, "FailClose")
    installed.kubectl("rollout", "status", f"deployment/{EPP}", "--timeout=120s")
    held_harmless(installed, before, ended, "without the endpoint picker")


@pytest.mark.matrix
def test_a_health_check_that_no_model_server_answers(installed, play):
    before = route_spec(installed)

    def ask(path: str) -> None:
        said = json.dumps({"spec": {"default": {"config": {"httpHealthCheck": {"requestPath": path}}}}})
        installed.kubectl("patch", "healthcheckpolicy", POOL, "--type=merge", "-p", said)

    ask("/no-such-path")
    ended = play(installed, rate=20, extra=SHIFT)
    ask("/health")
    held_harmless(installed, before, ended, "warm-up", "503", "HealthCheckPolicy")
