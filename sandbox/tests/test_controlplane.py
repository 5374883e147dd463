# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The control plane is a real one: its controllers work, RBAC decides, and the CRDs of day one are there."""
from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from igw_sandbox import assets
from igw_sandbox.context import SandboxError
from igw_sandbox.world import World

CRDS = Path(__file__).resolve().parents[1] / "crds"
GKE = {"gcpbackendpolicies.networking.gke.io", "healthcheckpolicies.networking.gke.io", "podmonitorings.monitoring.googleapis.com",
       "clusterpodmonitorings.monitoring.googleapis.com"}
ALPHA = {"inferencemodels.inference.networking.x-k8s.io", "inferencepools.inference.networking.x-k8s.io"}


@pytest.fixture(scope="session")
def world(bare_world: World) -> World:
    return bare_world


def crd_names(world: World) -> set[str]:
    return {line.partition("/")[2] for line in world.kubectl("get", "crd", "-o", "name").split()}


def eventually(probe: Callable[[], Any], timeout: float = 20.0) -> Any:
    """The first true answer of ``probe``; fails after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not (found := probe()):
        assert time.monotonic() < deadline, f"still {found!r} after {timeout} s"
        time.sleep(0.2)
    return found


def policy(name: str, health_check: dict[str, Any]) -> str:
    return json.dumps({
        "apiVersion": "networking.gke.io/v1", "kind": "HealthCheckPolicy", "metadata": {"name": name},
        "spec": {"default": {"config": {"type": "HTTP", "httpHealthCheck": health_check}},
                 "targetRef": {"group": "inference.networking.x-k8s.io", "kind": "InferencePool", "name": name}}})


def test_the_real_version_is_1_34_4(direct_api) -> None:
    assert direct_api.send("GET", "/version").json["gitVersion"] == "v1.34.4"


def test_day_one_has_gateway_api_gke_kinds_and_alpha_only(world: World) -> None:
    names = crd_names(world)
    assert names >= GKE | ALPHA
    assert {name for name in names if name.endswith("gateway.networking.k8s.io")} == {
        f"{plural}.gateway.networking.k8s.io" for plural in ("backendtlspolicies", "gatewayclasses", "gateways", "grpcroutes", "httproutes", "referencegrants")}
    assert {name for name in names if "inference" in name} == ALPHA
    route = world.kubectl_json("get", "crd", "httproutes.gateway.networking.k8s.io")
    assert route["metadata"]["annotations"]["gateway.networking.k8s.io/bundle-version"] == "v1.4.1"


def test_every_release_has_a_local_mirror_of_its_crd_files(world: World) -> None:
    for release in assets.RELEASES:
        folder = Path(world.state["crds"]) / release
        bases = sorted((folder / "bases").glob("*.yaml"))
        assert bases, release
        assert len(assets.documents(folder / "manifests.yaml")) == len(bases)
    world.kubectl("apply", "--dry-run=server", "-f", str(Path(world.state["crds"]) / "v1.5.0" / "manifests.yaml"))


def test_release_none_has_no_inference_kind() -> None:
    names = [path.name for path in assets.day_one_crds("none")]
    assert names and not [name for name in names if "inference" in name]


def test_a_deployment_gets_its_pods_objects(world: World, namespace: str) -> None:
    world.kubectl("-n", namespace, "create", "deployment", "web", "--image=example.com/web", "--replicas=2")
    pods = eventually(lambda: [pod for pod in world.kubectl_json("-n", namespace, "get", "pods")["items"] if len(pod["spec"]["containers"]) == 1][1:])
    assert pods[0]["spec"]["serviceAccountName"] == "default"
    assert pods[0]["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet"


def test_service_account_tokens_are_real_and_rbac_decides(world: World, namespace: str, direct_api) -> None:
    world.kubectl("-n", namespace, "create", "serviceaccount", "reader")
    token = world.kubectl("-n", namespace, "create", "token", "reader").strip()
    path, headers = f"/api/v1/namespaces/{namespace}/configmaps", {"Authorization": f"Bearer {token}"}
    assert direct_api.send("GET", path, headers=headers).status == 403
    world.kubectl("-n", namespace, "create", "rolebinding", "reader", "--clusterrole=view", f"--serviceaccount={namespace}:reader")
    eventually(lambda: direct_api.send("GET", path, headers=headers).status == 200)
    assert direct_api.send("GET", path, headers={"Authorization": "Bearer wrong"}).status == 401


def test_a_deleted_namespace_really_goes(world: World) -> None:
    world.kubectl("create", "namespace", "short-lived")
    world.kubectl("-n", "short-lived", "create", "configmap", "inside")
    world.kubectl("delete", "namespace", "short-lived", "--timeout=30s")
    assert "short-lived" not in world.kubectl("get", "namespaces")


def test_the_strict_health_check_policy_refuses_what_old_charts_write(world: World, namespace: str) -> None:
    def create(name: str, health_check: dict[str, Any]) -> str:
        return world.kubectl("-n", namespace, "create", "-f", "-", input=policy(name, health_check))

    create("lenient", {"requestPath": "/health", "port": 8000})
    try:
        world.kubectl("apply", "-f", str(CRDS / "strict"))

        def refused() -> bool:
            try:
                create("old-chart", {"requestPath": "/health", "port": 8000})
            except SandboxError as error:
                assert "USE_SERVING_PORT" in str(error)
                return True
            world.kubectl("-n", namespace, "delete", "healthcheckpolicy", "old-chart")
            return False

        eventually(refused)
        create("fixed-port", {"requestPath": "/health", "port": 8000, "portSpecification": "USE_FIXED_PORT"})
        create("serving-port", {"requestPath": "/health", "portSpecification": "USE_SERVING_PORT"})
        with pytest.raises(SandboxError, match="no such key: portSpecification"):
            create("nothing-said", {"requestPath": "/health"})
        with pytest.raises(SandboxError, match="needs portName"):
            create("no-name", {"portSpecification": "USE_NAMED_PORT"})
    finally:
        world.kubectl("replace", "-f", str(CRDS / "networking.gke.io_healthcheckpolicies.yaml"))
