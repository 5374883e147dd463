# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The estates that come with the sandbox hold what their descriptions say."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from igw_sandbox import estate
from igw_sandbox.world import World

ESTATES = Path(__file__).resolve().parents[1] / "estates"
ALPHA = "inference.networking.x-k8s.io"
POOL = "vllm-llama3-8b-instruct-preview"


def objects(name: str) -> dict[tuple[str, str, str], dict[str, Any]]:
    """(kind, namespace, name) -> object of an estate."""
    found = [item for file in estate.manifest_files(ESTATES / name) for item in estate.load(file)]
    return {(item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"]): item for item in found}


def test_every_estate_has_a_line_in_the_readme() -> None:
    text = (ESTATES / "README.md").read_text()
    for folder in ESTATES.iterdir():
        if folder.is_dir():
            assert f"| `{folder.name}` |" in text


def test_the_demo_is_the_estate_that_was_asked_for() -> None:
    found = objects("demo")
    (release,) = estate.helm_releases(ESTATES / "demo")
    assert (release["release"], release["version"], release["values"]["provider"]["name"]) == (POOL, "v0.3.0", "gke")
    assert found[("GCPBackendPolicy", "default", POOL)]["spec"]["default"] == {"timeoutSec": 30}
    assert found[("Deployment", "default", "vllm-llama3-8b-instruct")]["spec"]["replicas"] == 2
    models = {item["spec"]["modelName"]: item["spec"]["criticality"] for (kind, _namespace, _name), item in found.items() if kind == "InferenceModel"}
    assert models == {"meta-llama/Llama-3.1-8B-Instruct": "Critical", "food-review-1": "Standard"}
    assert all("targetModels" not in item["spec"] for (kind, _namespace, _name), item in found.items() if kind == "InferenceModel")
    assert found[("Gateway", "default", "inference-gateway")]["spec"]["gatewayClassName"] == "gke-l7-regional-external-managed"
    route = found[("HTTPRoute", "default", "llm-route")]["spec"]
    first, second = route["rules"]
    assert (route["hostnames"], first["filters"][0]["type"], len(first["matches"])) == (["llm.example.com"], "RequestHeaderModifier", 2)
    assert (first["backendRefs"][0]["group"], second["backendRefs"]) == (ALPHA, [{"name": "plain", "port": 80}])


def test_the_raw_estate_is_the_demo_without_helm() -> None:
    raw, demo = objects("raw"), objects("demo")
    assert estate.helm_releases(ESTATES / "raw") == []
    assert {key: item for key, item in demo.items() if key[0] != "GCPBackendPolicy"}.items() <= raw.items()
    kinds = {kind for kind, _namespace, _name in raw} - {kind for kind, _namespace, _name in demo}
    assert kinds == {"InferencePool", "ServiceAccount", "ClusterRole", "ClusterRoleBinding"}


@pytest.fixture(name="world", scope="module")
def fixture_world(make_world: Callable[..., World]) -> World:
    services = ("controlplane", "registry", "apiproxy", "network", "kubelet")
    return make_world("estates", estates=[ESTATES / "raw", ESTATES / "two_namespaces"], services=services)


def test_the_raw_estate_is_ready(world: World) -> None:
    assert all(item["status"].get("availableReplicas") == item["spec"]["replicas"] for item in world.kubectl_json("get", "deployments")["items"])
    assert world.kubectl_json("get", f"inferencepools.{ALPHA}", POOL)["spec"]["extensionRef"]["name"] == f"{POOL}-epp"
    assert "managed-by" not in world.kubectl("get", f"inferencepools.{ALPHA}", POOL, "-o", "yaml")


def test_two_namespaces_hold_alpha_objects_and_nothing_runs(world: World) -> None:
    for kind, count in (("inferencepools", {"team-a": 1, "team-b": 1}), ("inferencemodels", {"team-a": 1, "team-b": 2})):
        items = world.kubectl_json("get", f"{kind}.{ALPHA}", "-A")["items"]
        assert {name: sum(item["metadata"]["namespace"] == name for item in items) for name in count} == count
    assert {pod["metadata"]["namespace"] for pod in world.kubectl_json("get", "pods", "-A")["items"]} == {"default"}


def test_the_policy_of_the_demos_chart_ends_with_30_seconds(demo_world: World) -> None:
    policy = demo_world.kubectl_json("get", "gcpbackendpolicies.networking.gke.io", POOL)
    assert policy["spec"]["default"]["timeoutSec"] == 30
    assert policy["metadata"]["annotations"]["meta.helm.sh/release-name"] == POOL
