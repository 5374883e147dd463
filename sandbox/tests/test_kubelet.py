# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods as processes, with the real API server, pickers and simulators: readiness, crash loops, deletion, faults."""
from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h2.exceptions
import pytest

from igw_sandbox.context import SandboxError, start_time
from igw_sandbox.world import World
from sandbox.tests.picker_client import Verdict, ask, ask_often

DEMO = Path(__file__).resolve().parents[1] / "estates" / "demo"
BASE = "meta-llama/Llama-3.1-8B-Instruct"
V1 = "vllm-llama3-8b-instruct-ga"
EPP = f"{V1}-epp"
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

SIMULATOR = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: %(name)s, namespace: %(namespace)s}
spec:
  replicas: %(replicas)d
  selector: {matchLabels: {app: %(name)s}}
  template:
    metadata: {labels: {app: %(name)s}}
    spec:
      containers:
        - name: server
          image: %(image)s
          args: %(args)s
          envFrom: %(env)s
          ports: [{containerPort: 8000}]
"""


@pytest.fixture(name="world", scope="module")
def fixture_world(make_world: Callable[..., World]) -> World:
    """The demo's estate without a gateway."""
    return make_world("pods", estates=[DEMO], services=("controlplane", "registry", "apiproxy", "network", "kubelet"))


@pytest.fixture(name="v1", scope="module")
def fixture_v1(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The pod of a picker that chart v1.5.0 made, with its plugins in a ConfigMap."""
    for name in ("inference.networking.k8s.io_inferencepools", "inference.networking.x-k8s.io_inferenceobjectives",
                 "inference.networking.x-k8s.io_inferencemodelrewrites"):
        world.kubectl("apply", "--server-side", "--force-conflicts", "-f", f"{world.state['crds']}/v1.5.0/bases/{name}.yaml")
    values = tmp_path_factory.mktemp("values") / "values.json"
    values.write_text(json.dumps({"inferencePool": {"modelServers": {"matchLabels": {"app": "vllm-llama3-8b-instruct"}}}}))
    world.helm("install", V1, f"{world.state['charts']}/inferencepool", "--version", "v1.5.0", "--plain-http", "-f", str(values), "--wait", "--timeout", "120s")
    return only(world, f"inferencepool={EPP}")


def pods(world: World, selector: str, namespace: str = "default") -> list[dict[str, Any]]:
    return world.kubectl_json("get", "pods", "-n", namespace, "-l", selector)["items"]


def only(world: World, selector: str, namespace: str = "default") -> dict[str, Any]:
    (pod,) = pods(world, selector, namespace)
    return pod


def container(pod: dict[str, Any]) -> dict[str, Any]:
    return (pod["status"].get("containerStatuses") or [{"state": {}, "lastState": {}, "ready": False, "restartCount": 0}])[0]


def process(pod: dict[str, Any]) -> int:
    """Process id behind a running pod."""
    return int(container(pod)["containerID"].removeprefix("sandbox://"))


def until(what: Callable[[], Any], timeout: float = 90.0) -> Any:
    """Ask until the answer is true; it is the result."""
    deadline = time.monotonic() + timeout
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
    return found


def settled(address: str, wanted: Callable[[Verdict], bool], count: int = 1) -> None:
    """Ask a picker until ``count`` answers in a row on one connection are as wanted; a connection that its listener's exchange ends is asked anew."""
    def attempt() -> bool:
        try:
            return all(wanted(verdict) for verdict in ask_often(address, 9002, BASE, count))
        except (OSError, h2.exceptions.ProtocolError):  # closed, or told to go away while an answer was on its way
            return False

    until(attempt)


def waiting(world: World, selector: str, reason: str, namespace: str = "default") -> dict[str, Any]:
    """Wait until a pod of a selector waits for ``reason``; returns it."""
    def find() -> dict[str, Any] | None:
        return next((pod for pod in pods(world, selector, namespace) if container(pod)["state"].get("waiting", {}).get("reason") == reason), None)

    return until(find)


def get(url: str, token: str | None = None) -> tuple[int, str]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with OPENER.open(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def simulator(world: World, namespace: str, name: str = "sim", replicas: int = 1, image: str = "ghcr.io/llm-d/llm-d-inference-sim:v0.10.2",
              args: tuple[str, ...] = ("--model", "m"), env: tuple[dict[str, Any], ...] = ()) -> None:
    world.apply(SIMULATOR % {"name": name, "namespace": namespace, "replicas": replicas, "image": image, "args": json.dumps(args), "env": json.dumps(env)})


def test_the_demo_is_ready_soon_and_every_part_answers_on_its_pod_address(world: World) -> None:
    for item in world.kubectl_json("get", "deployments")["items"]:
        ready = next(condition for condition in item["status"]["conditions"] if condition["type"] == "Available")
        parse = "%Y-%m-%dT%H:%M:%SZ"
        took = time.mktime(time.strptime(ready["lastTransitionTime"], parse)) - time.mktime(time.strptime(item["metadata"]["creationTimestamp"], parse))
        assert took < 90, f"{item['metadata']['name']} took {took} s; 3 s are usual on an idle machine"
    servers = {pod["status"]["podIP"] for pod in pods(world, "app=vllm-llama3-8b-instruct")}
    assert len(servers) == 2
    for address in servers:
        status, text = get(f"http://{address}:8000/v1/models")
        assert (status, {model["id"] for model in json.loads(text)["data"]}) == (200, {BASE, "food-review-1"})
    picker = only(world, "inferencepool=vllm-llama3-8b-instruct-preview-epp")["status"]["podIP"]
    verdict = ask(picker, 9002, BASE)
    assert verdict.picked
    assert any(f"{address}:8000".encode() in verdict.body for address in servers)
    assert not ask(picker, 9002, "nobody-knows-it").picked


def test_the_metrics_of_a_picker_need_rights_as_in_a_cluster(world: World) -> None:
    url = f"http://{only(world, 'inferencepool=vllm-llama3-8b-instruct-preview-epp')['status']['podIP']}:9090/metrics"
    assert get(url)[0] == 401
    world.kubectl("create", "serviceaccount", "stranger")
    assert get(url, world.kubectl("create", "token", "stranger").strip())[0] == 403
    world.kubectl("create", "serviceaccount", "reader")
    world.kubectl("create", "clusterrole", "metrics", "--verb=get", "--non-resource-url=/metrics")
    world.kubectl("create", "clusterrolebinding", "metrics", "--clusterrole=metrics", "--serviceaccount=default:reader")
    token = world.kubectl("create", "token", "reader").strip()
    assert get(url, token)[0] == 200
    until(lambda: "inference_pool_ready_pods" in get(url, token)[1])  # flushed every 5 s


def test_chart_v150_runs_with_its_config_map(world: World, v1: dict[str, Any]) -> None:
    command = Path(f"/proc/{process(v1)}/cmdline").read_bytes().decode().split("\0")
    config = Path(command[command.index("--config-file") + 1])
    assert "queue-scorer" in config.read_text()
    assert ask(v1["status"]["podIP"], 9002, BASE).picked


def test_a_rolling_update_and_its_way_back(world: World, v1: dict[str, Any]) -> None:
    """A wrong flag is a crash loop that says why; a wrong tag can't be pulled; the right ones make it ready again."""
    def patch(*operations: dict[str, Any]) -> None:
        world.kubectl("patch", "deployment", EPP, "--type=json", "-p", json.dumps(operations))

    place = "/spec/template/spec/containers/0"
    count = len(world.kubectl_json("get", "deployment", EPP)["spec"]["template"]["spec"]["containers"][0]["args"])
    patch({"op": "add", "path": f"{place}/args/-", "value": "--no-such-flag"})
    until(lambda: any(container(pod)["restartCount"] >= 2 for pod in pods(world, f"inferencepool={EPP}")))
    pod = waiting(world, f"inferencepool={EPP}", "CrashLoopBackOff")
    ended = container(pod)["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (2, "Error", "unknown flag: --no-such-flag")
    assert not container(pod)["ready"]
    assert {condition["type"]: condition["status"] for condition in pod["status"]["conditions"]}["Ready"] == "False"
    with pytest.raises(ConnectionRefusedError):
        ask(pod["status"]["podIP"], 9002, BASE)

    image = container(pod)["image"]
    patch({"op": "replace", "path": f"{place}/image", "value": f"{image.rpartition(':')[0]}:v9.9.9"})
    pod = waiting(world, f"inferencepool={EPP}", "ImagePullBackOff")
    assert "v9.9.9: not found" in container(pod)["state"]["waiting"]["message"]
    assert pod["status"]["phase"] == "Pending"

    patch({"op": "replace", "path": f"{place}/image", "value": image}, {"op": "remove", "path": f"{place}/args/{count}"})
    world.kubectl("rollout", "status", "deployment", EPP, "--timeout=120s")
    until(lambda: len(pods(world, f"inferencepool={EPP}")) == 1)
    assert ask(only(world, f"inferencepool={EPP}")["status"]["podIP"], 9002, BASE).picked


def test_a_stopped_picker_becomes_unready_and_comes_back(world: World, v1: dict[str, Any]) -> None:
    answer = world.fault("pod_stop", deployment=EPP, percent=100)
    assert (len(answer["pods"]), answer["fired"]) == (1, 1)
    until(lambda: not container(only(world, f"inferencepool={EPP}"))["ready"])
    with pytest.raises(TimeoutError):
        ask(only(world, f"inferencepool={EPP}")["status"]["podIP"], 9002, BASE, timeout=1)
    world.fault("pod_stop", deployment=EPP, percent=0)
    until(lambda: container(only(world, f"inferencepool={EPP}"))["ready"])
    assert container(only(world, f"inferencepool={EPP}"))["restartCount"] == 0


def test_a_killed_picker_stays_down_until_the_fault_is_cleared(world: World, v1: dict[str, Any]) -> None:
    victim = process(only(world, f"inferencepool={EPP}"))
    assert world.fault("pod_kill", selector=f"inferencepool={EPP}", percent=100)["fired"] == 1
    pod = waiting(world, f"inferencepool={EPP}", "CrashLoopBackOff")
    assert container(pod)["lastState"]["terminated"]["exitCode"] == 137
    assert start_time(victim) is None
    time.sleep(5)  # longer than the longest back-off
    with pytest.raises(ConnectionRefusedError):
        ask(pod["status"]["podIP"], 9002, BASE)
    world.fault("pod_kill", selector=f"inferencepool={EPP}", percent=0)
    until(lambda: container(only(world, f"inferencepool={EPP}"))["ready"])
    assert ask(pod["status"]["podIP"], 9002, BASE).picked


def test_a_share_of_a_pickers_streams_is_reset_and_no_other_pickers(world: World, v1: dict[str, Any]) -> None:
    address = only(world, f"inferencepool={EPP}")["status"]["podIP"]
    alpha = only(world, "inferencepool=vllm-llama3-8b-instruct-preview-epp")["status"]["podIP"]
    assert world.fault("epp_reset", deployment=EPP, percent=100)["fired"] == 0
    settled(address, lambda verdict: verdict.status == "14")
    world.fault("epp_reset", deployment=EPP, percent=50)
    settled(address, lambda verdict: verdict.picked)
    verdicts = ask_often(address, 9002, BASE, 80)
    reset = sum(verdict.status == "14" for verdict in verdicts)
    assert reset + sum(verdict.picked for verdict in verdicts) == 80
    assert 15 <= reset <= 65, "red for nothing: one in 300 million, 80 fair coins of which 14 or fewer fall one way"
    assert all(verdict.picked for verdict in ask_often(alpha, 9002, BASE, 20))
    # Aborts of earlier asks count as well; the counter begins again when a fault's share changes.
    assert world.fault("epp_reset", deployment=EPP)["fired"] >= reset
    world.fault("epp_reset", deployment=EPP, percent=0)
    settled(address, lambda verdict: verdict.picked, count=20)


def test_a_fault_can_be_there_before_its_pod(world: World, v1: dict[str, Any]) -> None:
    world.fault("epp_reset", deployment=EPP, percent=100)
    world.kubectl("rollout", "restart", "deployment", EPP)
    world.kubectl("rollout", "status", "deployment", EPP, "--timeout=120s")
    until(lambda: len(pods(world, f"inferencepool={EPP}")) == 1)
    assert ask(only(world, f"inferencepool={EPP}")["status"]["podIP"], 9002, BASE).status == "14"
    world.fault("epp_reset", deployment=EPP, percent=0)
    settled(only(world, f"inferencepool={EPP}")["status"]["podIP"], lambda verdict: verdict.picked)


def test_a_fault_says_what_is_wrong_with_its_arguments(world: World) -> None:
    with pytest.raises(SandboxError, match="exactly one of deployment, selector or pod"):
        world.fault("epp_reset", percent=10)
    with pytest.raises(SandboxError, match="from 0 to 100"):
        world.fault("epp_reset", deployment=EPP, percent=101)


def test_the_rights_of_a_picker_are_its_service_accounts(world: World) -> None:
    """Without its ClusterRoleBinding a new picker can't read its pool and is never ready."""
    name = "vllm-llama3-8b-instruct-preview-epp"
    binding = world.kubectl("get", "clusterrolebinding", name, "-o", "json")
    world.kubectl("delete", "clusterrolebinding", name)
    world.kubectl("rollout", "restart", "deployment", name)

    def starting() -> dict[str, Any] | None:
        return next((pod for pod in pods(world, f"inferencepool={name}") if not container(pod)["ready"] and "running" in container(pod)["state"]), None)

    fresh = until(starting)
    log = world.directory / "logs" / f"pod-default-{fresh['metadata']['name']}-epp.log"
    until(lambda: "is forbidden" in log.read_text())
    assert not container(world.kubectl_json("get", "pod", fresh["metadata"]["name"]))["ready"]
    world.apply("\n" + binding)
    world.kubectl("rollout", "status", "deployment", name, "--timeout=120s")


def test_scaling_to_nothing_ends_the_processes(world: World, namespace: str) -> None:
    simulator(world, namespace, replicas=2)
    world.kubectl("rollout", "status", "deployment", "sim", "-n", namespace, "--timeout=120s")
    found = pods(world, "app=sim", namespace)
    numbers = [process(pod) for pod in found]
    assert all(start_time(number) is not None for number in numbers)
    world.kubectl("scale", "deployment", "sim", "-n", namespace, "--replicas=0")
    until(lambda: not pods(world, "app=sim", namespace))
    assert all(start_time(number) is None for number in numbers)
    with pytest.raises(urllib.error.URLError, match="refused"):
        get(f"http://{found[0]['status']['podIP']}:8000/health")


def test_deletion_waits_for_what_is_being_answered(world: World, namespace: str) -> None:
    """SIGTERM first: a pod that still answers a stream is Terminating, and its grace period ends it."""
    simulator(world, namespace, args=("--model", "m", "--inter-token-latency", "100ms"))
    world.kubectl("rollout", "status", "deployment", "sim", "-n", namespace, "--timeout=120s")
    pod = only(world, "app=sim", namespace)
    world.fault("pod_stop", namespace=namespace, pod=pod["metadata"]["name"], percent=100)
    world.kubectl("scale", "deployment", "sim", "-n", namespace, "--replicas=0")
    until(lambda: start_time(process(pod)) is None)
    until(lambda: not pods(world, "app=sim", namespace))


def test_a_forced_deletion_ends_the_process_too(world: World, namespace: str) -> None:
    simulator(world, namespace)
    world.kubectl("rollout", "status", "deployment", "sim", "-n", namespace, "--timeout=120s")
    old = only(world, "app=sim", namespace)
    world.kubectl("delete", "pod", old["metadata"]["name"], "-n", namespace, "--force", "--grace-period=0")
    until(lambda: start_time(process(old)) is None)
    new = until(lambda: next((pod for pod in pods(world, "app=sim", namespace) if container(pod)["ready"]), None))
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert new["status"]["podIP"] != old["status"]["podIP"]


def test_a_pod_waits_for_its_config_map(world: World, namespace: str) -> None:
    simulator(world, namespace, args=("--model", "$(NAME)"), env=({"configMapRef": {"name": "late"}},))
    pod = waiting(world, "app=sim", "CreateContainerConfigError", namespace)
    assert 'configmap "late" not found' in container(pod)["state"]["waiting"]["message"]
    world.kubectl("create", "configmap", "late", "-n", namespace, "--from-literal=NAME=named-late")
    world.kubectl("rollout", "status", "deployment", "sim", "-n", namespace, "--timeout=120s")
    assert "named-late" in get(f"http://{only(world, 'app=sim', namespace)['status']['podIP']}:8000/v1/models")[1]


def test_a_crash_loop_outlives_its_service_account(world: World, namespace: str) -> None:
    """An uninstall takes the account before the pod: the pod waits, and nothing else of the sandbox suffers."""
    simulator(world, namespace, name="epp", image="registry.k8s.io/gateway-api-inference-extension/epp:v1.5.0", args=("--wrong",))
    world.kubectl("create", "serviceaccount", "short", "-n", namespace)
    world.kubectl("patch", "deployment", "epp", "-n", namespace, "-p", '{"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}, '
                  '"template": {"spec": {"serviceAccountName": "short"}}}}')
    until(lambda: any(container(pod)["restartCount"] >= 1 and pod["spec"]["serviceAccountName"] == "short" for pod in pods(world, "app=epp", namespace)))
    world.kubectl("delete", "serviceaccount", "short", "-n", namespace)
    pod = waiting(world, "app=epp", "CreateContainerConfigError", namespace)
    assert container(pod)["state"]["waiting"]["message"] == 'serviceaccount "short" not found'
    world.kubectl("delete", "deployment", "epp", "-n", namespace)
    until(lambda: not pods(world, "app=epp", namespace))


def test_any_other_image_is_ready_without_a_process(world: World, namespace: str) -> None:
    simulator(world, namespace, name="web", image="nginx:1.27", args=())
    world.kubectl("rollout", "status", "deployment", "web", "-n", namespace, "--timeout=120s")
    assert not (world.directory / "logs" / f"pod-{namespace}-{only(world, 'app=web', namespace)['metadata']['name']}-server.log").exists()


def test_a_real_vllm_image_runs_as_a_simulator(world: World, namespace: str) -> None:
    args = ("--model", "m", "--tensor-parallel-size", "2", "--enable-lora", "--lora-modules", "a=/adapters/a", "--gpu-memory-utilization=0.9")
    simulator(world, namespace, name="gpu", image="vllm/vllm-openai:v0.8.5", args=args)
    world.kubectl("rollout", "status", "deployment", "gpu", "-n", namespace, "--timeout=120s")
    status, text = get(f"http://{only(world, 'app=gpu', namespace)['status']['podIP']}:8000/v1/models")
    assert (status, {model["id"] for model in json.loads(text)["data"]}) == (200, {"m", "a"})


@pytest.fixture(autouse=True)
def _no_fault_is_left(world: World) -> Iterator[None]:
    yield
    for kind in ("epp_reset", "pod_kill", "pod_stop"):
        world.fault(kind, deployment=EPP, percent=0)
