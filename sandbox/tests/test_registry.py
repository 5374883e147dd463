# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry serves the charts over OCI, and a live server takes what they make."""
from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from igw_sandbox.context import SandboxError
from igw_sandbox.world import World

VALUES = ("--set", "provider.name=gke", "--set", "gke.monitoringSecret.name=s", "--set", "gke.monitoringSecret.namespace=default",
          "--set", "inferencePool.modelServers.matchLabels.app=web")


@pytest.fixture(scope="session")
def world(bare_world: World) -> World:
    return bare_world


@pytest.mark.parametrize(("version", "group"), [
    ("v0.3.0", "inference.networking.x-k8s.io/v1alpha2"), ("v1.0.0", "inference.networking.k8s.io/v1"), ("v1.5.0", "inference.networking.k8s.io/v1")])
def test_each_chart_renders_a_pool_of_its_group(world: World, version: str, group: str) -> None:
    rendered = world.helm("template", "pool", f"{world.state['charts']}/inferencepool", "--version", version, "--plain-http", *VALUES)
    objects = [item for item in yaml.safe_load_all(rendered) if item]
    (pool,) = [item for item in objects if item["kind"] == "InferencePool"]
    assert pool["apiVersion"] == group
    (deployment,) = [item for item in objects if item["kind"] == "Deployment"]
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"].endswith(f"epp:{version}")


def test_the_registry_has_an_address_of_its_own(world: World) -> None:
    """A port of a shared address was chosen by two sandboxes at once, and one of them did not come up."""
    server = urlsplit(json.loads(world.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]).hostname
    assert server is not None and world.state["registry"].split(".")[:2] == server.split(".")[:2] != ["127", "0"]


def test_a_release_between_is_there_when_it_was_asked_for(world: World) -> None:
    show = ("show", "chart", f"{world.state['charts']}/inferencepool", "--version", "v1.4.0", "--plain-http")
    with pytest.raises(SandboxError, match="v1.4.0"):
        world.helm(*show)
    world.add_release("v1.4.0")
    assert yaml.safe_load(world.helm(*show))["appVersion"] == "v1.4.0"
    assert (Path(world.state["crds"]) / "v1.4.0" / "bases" / "inference.networking.k8s.io_inferencepools.yaml").exists()


def test_the_alpha_chart_installs_and_uninstalls(world: World, namespace: str) -> None:
    world.helm("install", "alpha", f"{world.state['charts']}/inferencepool", "--version", "v0.3.0", "--plain-http", "--namespace", namespace, *VALUES)
    assert world.kubectl_json("-n", namespace, "get", "inferencepools.inference.networking.x-k8s.io", "alpha")["spec"]["targetPortNumber"] == 8000
    assert world.kubectl("-n", namespace, "get", "gcpbackendpolicy,healthcheckpolicy", "-o", "name").count("alpha") == 2
    world.helm("uninstall", "alpha", "--namespace", namespace)
    assert "alpha" not in world.kubectl("-n", namespace, "get", "deployments,services", "-o", "name")


def test_a_chart_version_that_is_not_there_is_an_error(world: World) -> None:
    with pytest.raises(SandboxError, match="v9.9.9"):
        world.helm("show", "chart", f"{world.state['charts']}/inferencepool", "--version", "v9.9.9", "--plain-http")
