# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images and arguments to command lines, environment and volumes, and the status a kubelet writes. Pure."""
from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from igw_sandbox import images, podfiles, podstatus
from igw_sandbox.images import PullError
from igw_sandbox.podfaults import Faults, Target

EXTENSIONS = ("epp-v0.3.0", "epp-v0.5.1", "epp-v1.0.0", "epp-v1.5.0", "bbr-v1.0.0")
POD: dict[str, Any] = {"metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"app": "x"}}, "spec": {"nodeName": "n", "containers": []}}


def free():
    """Ports 31001, 31002, ... as a free() for launches."""
    return itertools.count(31001).__next__


@pytest.mark.parametrize(("image", "tool"), [
    ("registry.k8s.io/gateway-api-inference-extension/epp:v0.3.0", "epp-v0.3.0"),
    ("localhost:5000/epp:v1.5.0@sha256:0a", "epp-v1.5.0"),
    ("ghcr.io/llm-d/llm-d-inference-sim:v0.10.2", "simulator"),
    ("vllm/vllm-openai:latest", "simulator"),
    ("public.ecr.aws/q9t5s3a7/vllm-cpu-release-repo:v0.8.0", "simulator"),
    ("registry.k8s.io/gateway-api-inference-extension/bbr:v1.0.0", "bbr-v1.0.0"),
    ("nginx", None),
    ("example.com/pepper:v1", None),
])
def test_an_image_names_its_tool(image: str, tool: str | None) -> None:
    assert images.tool_of(image, EXTENSIONS) == tool


@pytest.mark.parametrize("image", ["registry.k8s.io/x/epp:v9.9.9", "registry.k8s.io/x/epp", "ghcr.io/llm-d/llm-d-inference-sim:nope"])
def test_a_tag_that_does_not_exist_is_a_pull_error(image: str) -> None:
    with pytest.raises(PullError, match="not found"):
        images.tool_of(image, EXTENSIONS)


def test_a_pull_error_names_the_tags_of_that_program_alone() -> None:
    with pytest.raises(PullError, match=r"this sandbox has the tags v1\.0\.0\)$"):
        images.tool_of("registry.k8s.io/gateway-api-inference-extension/bbr:v1.5.0", EXTENSIONS)


def test_the_routers_ports_become_local_ones_and_it_is_asked_for_its_health() -> None:
    container = {"name": "bbr", "image": "bbr:v1.0.0"}
    launch = images.launch("bbr-v1.0.0", container, ["/bbr", "--streaming", "--v", "3", "--metrics-port", "9091"], free(), 1)
    assert launch.argv == ("--streaming", "--v", "3", "--metrics-port", "31003", "--grpc-port=31001", "--grpc-health-port=31002")
    assert (launch.ports, launch.picker_port, launch.picker_tls) == ({9004: 31001, 9005: 31002, 9091: 31003}, 9004, True)
    assert (launch.probe.kind, launch.probe.port, launch.probe.target) == ("grpc", 9005, "")


def test_the_old_pickers_flags_get_local_ports_in_place() -> None:
    argv = ["-poolName", "p", "-grpcPort", "9002", "-grpcHealthPort", "9003", "-metricsPort", "9090"]
    launch = images.picker("epp-v0.3.0", argv, free())
    assert launch.argv == ("-poolName", "p", "-grpcPort", "31001", "-grpcHealthPort", "31002", "-metricsPort", "31003",
                           "--refreshMetricsInterval=200ms")
    assert (launch.ports, launch.picker_port, launch.picker_tls) == ({9002: 31001, 9003: 31002, 9090: 31003}, 9002, True)


def test_the_new_pickers_missing_flags_are_added_and_given_ones_kept_in_their_style() -> None:
    launch = images.picker("epp-v1.5.0", ["/epp", "--pool-name", "p", "--grpc-port=9100", "--secure-serving=false", "--refresh-metrics-interval=50ms"], free())
    assert launch.argv == ("--pool-name", "p", "--grpc-port=31001", "--secure-serving=false", "--refresh-metrics-interval=50ms",
                           "--grpc-health-port=31002", "--metrics-port=31003")
    assert (launch.ports[9100], launch.picker_port, launch.picker_tls) == (31001, 9100, False)


def test_flags_of_the_other_style_stay_for_the_program_to_refuse() -> None:
    launch = images.picker("epp-v1.5.0", ["-grpcPort", "9002"], free())
    assert launch.argv[:2] == ("-grpcPort", "9002")


@pytest.mark.parametrize("port", ["0", "many", "70000"])
def test_a_value_that_is_no_port_stays_for_the_program_to_refuse(port: str) -> None:
    assert f"--grpc-port={port}" in images.picker("epp-v1.5.0", [f"--grpc-port={port}"], free()).argv


def test_the_simulator_keeps_its_own_arguments_and_gets_what_is_missing() -> None:
    launch = images.simulator("ghcr.io/llm-d/llm-d-inference-sim:v0.10.2", ["--model", "m", "--port", "8000", "--inter-token-latency=9ms"], free(), 7)
    assert launch.argv[:5] == ("--model", "m", "--port", "31001", "--inter-token-latency=9ms")
    assert {"--max-model-len=32768", "--seed=7", "--force-dummy-tokenizer"} <= set(launch.argv)
    assert "--inter-token-latency=2ms" not in launch.argv
    assert (launch.ports, launch.probe.kind, launch.probe.target, launch.picker_port) == ({8000: 31001}, "http", "/health", None)


def test_a_real_vllm_command_line_is_reduced_to_what_both_know() -> None:
    argv = ["python3", "-m", "vllm.entrypoints.openai.api_server", "--model", "m", "--tensor-parallel-size", "4", "--enable-lora", "--max-loras", "2",
            "--lora-modules", '{"name": "a", "path": "/x", "base_model_name": "m"}', "b=/adapters/b", "--gpu-memory-utilization=0.9"]
    assert images.from_vllm(argv) == ["--model", "m", "--max-loras", "2", "--lora-modules", '{"name": "a"}', '{"name": "b"}']
    assert images.from_vllm(["vllm", "serve", "m", "--max_model_len=99"]) == ["--model", "m", "--max-model-len=99"]


def test_a_readiness_probe_of_the_pod_wins() -> None:
    container = {"name": "c", "image": "epp:v1.5.0", "ports": [{"name": "web", "containerPort": 81}],
                 "readinessProbe": {"httpGet": {"port": "web", "path": "/up"}, "periodSeconds": 2, "failureThreshold": 5}}
    probe = images.launch("epp-v1.5.0", container, [], free(), 1).probe
    assert (probe.kind, probe.port, probe.target, probe.period, probe.failures) == ("http", 81, "/up", 2.0, 5)
    container["readinessProbe"] = {"grpc": {"port": 9003, "service": "readiness"}}
    probe = images.launch("epp-v1.5.0", container, [], free(), 1).probe
    assert (probe.kind, probe.port, probe.target) == ("grpc", 9003, "readiness")
    container["readinessProbe"] = {"httpGet": {"port": "absent"}}
    assert images.launch("epp-v1.5.0", container, [], free(), 1).probe.port == 0


def test_variables_expand_as_in_a_kubelet() -> None:
    assert images.expand("$(A)-$(B)-$$(A)-$C", {"A": "1"}) == "1-$(B)-$(A)-$C"


def test_environment_and_volumes_come_from_the_pods_namespace(tmp_path: Path) -> None:
    objects = {("ConfigMap", "cm"): {"key": b"v", "default.yaml": b"x: 1"}, ("Secret", "s"): {"token": b"t"}}

    async def lookup(kind: str, name: str) -> dict[str, bytes] | None:
        return objects.get((kind, name))

    container = {
        "name": "c", "image": "i",
        "envFrom": [{"prefix": "P_", "configMapRef": {"name": "cm"}}, {"secretRef": {"name": "absent", "optional": True}}],
        "env": [{"name": "NS", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
                {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}},
                {"name": "BOTH", "value": "$(NS)/$(KEY)"}],
        "volumeMounts": [{"name": "config", "mountPath": "/config"}, {"name": "empty", "mountPath": "/data"}]}
    pod = {**POD, "spec": {"volumes": [{"name": "config", "configMap": {"name": "cm", "items": [{"key": "default.yaml", "path": "d/e.yaml"}]}},
                                       {"name": "empty", "emptyDir": {}}]}}
    values = asyncio.run(podfiles.environment(container, pod, "127.17.1.1", lookup))
    assert values == {"P_key": "v", "P_default.yaml": "x: 1", "NS": "ns", "APP": "x", "IP": "127.17.1.1", "KEY": "t", "BOTH": "ns/t"}
    mounted = asyncio.run(podfiles.mount(container, pod, tmp_path, lookup))
    path = Path(podfiles.relocate("--config-file=/config/d/e.yaml", mounted).partition("=")[2])
    assert path.read_text() == "x: 1"
    assert podfiles.relocate("/configuration", mounted) == "/configuration"
    assert Path(podfiles.relocate("/data", mounted)).is_dir()


def test_a_missing_config_map_is_named(tmp_path: Path) -> None:
    async def nothing(kind: str, name: str) -> None:
        return None

    container = {"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    pod = {**POD, "spec": {"volumes": [{"name": "v", "configMap": {"name": "cm"}}]}}
    with pytest.raises(podfiles.MissingObject, match='configmap "cm" not found'):
        asyncio.run(podfiles.mount(container, pod, tmp_path, nothing))


def test_status_of_a_pod_that_becomes_ready_keeps_times_of_what_did_not_change() -> None:
    state = podstatus.ContainerState("c", "i")
    first = podstatus.compose(POD, [state], [], "127.17.1.1", "127.17.0.1", "T0", [], "T0")
    assert (first["phase"], first["conditions"][2]["status"]) == ("Pending", "False")
    state.run("T1", "id")
    state.ready = True
    second = podstatus.compose(POD, [state], [], "127.17.1.1", "127.17.0.1", "T0", first["conditions"], "T1")
    times = {condition["type"]: (condition["status"], condition["lastTransitionTime"]) for condition in second["conditions"]}
    assert (second["phase"], times["Ready"], times["PodScheduled"]) == ("Running", ("True", "T1"), ("True", "T0"))


def test_a_signal_is_shown_as_a_shell_does_and_phases_follow_the_restart_policy() -> None:
    state = podstatus.ContainerState("c", "i")
    state.end(-9, "gone", "T0", "T1")
    assert state.state["terminated"]["exitCode"] == 137
    assert podstatus.phase([state], "Never") == "Failed"
    assert podstatus.phase([state], "Always") == "Running"
    state.end(0, "", "T0", "T1")
    assert podstatus.phase([state], "OnFailure") == "Succeeded"


def test_the_message_of_a_crash_is_the_reason_and_not_the_usage() -> None:
    usage = "".join(f"      --flag-{number} string\n    \tan error level\n" for number in range(50))
    assert podstatus.explain(f"{usage}\nunknown flag: --no-such-flag\n") == "unknown flag: --no-such-flag"
    assert podstatus.explain(f"flag provided but not defined: -x\nUsage of epp:\n{usage}") == "flag provided but not defined: -x"
    assert podstatus.explain("a\nb\nc\nd\n") == "b\nc\nd"
    assert len(podstatus.explain("error " + "x" * 5000).encode()) <= podstatus.MESSAGE_BYTES


def test_a_fault_knows_its_pods() -> None:
    pod = {"metadata": {"name": "a-epp-6f-x", "namespace": "ns", "labels": {"pod-template-hash": "6f", "app": "e"},
                        "ownerReferences": [{"kind": "ReplicaSet", "name": "a-epp-6f"}]}}
    assert Target("ns", deployment="a-epp").matches(pod)
    assert not Target("ns", deployment="a").matches(pod)
    assert not Target("other", deployment="a-epp").matches(pod)
    assert Target("ns", selector="app=e, pod-template-hash=6f").matches(pod)
    assert not Target("ns", selector="app=e,x=y").matches(pod)
    faults = Faults()
    faults.arm("epp_reset", Target("ns", deployment="a-epp"), 30)
    faults.arm("epp_reset", Target("ns", pod="a-epp-6f-x"), 10)
    assert (faults.percent("epp_reset", pod), faults.percent("pod_stop", pod)) == (30, 0)
    faults.arm("epp_reset", Target("ns", deployment="a-epp"), 0)
    assert faults.percent("epp_reset", pod) == 10


def test_an_adapter_that_is_no_json_stays_for_the_simulator_to_refuse() -> None:
    assert images.from_vllm(["--lora-modules={broken"]) == ["--lora-modules={broken"]
    assert json.loads(images.from_vllm(["--lora-modules", "a=/b"])[1]) == {"name": "a"}
