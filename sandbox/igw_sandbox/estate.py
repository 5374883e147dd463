# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Estates: folders or files of manifests, with an optional helm.yaml, applied as an administrator would."""
from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from igw_sandbox import preflight
from igw_sandbox.context import SandboxError

if TYPE_CHECKING:
    from igw_sandbox.world import World

Progress = Callable[[str], None]

HELM_FILE = "helm.yaml"
CHART_EPP = {"v0.3.0": "epp-v0.3.0", "v1.0.0": "epp-v1.0.0", "v1.5.0": "epp-v1.5.0"}
DEFAULT_TARGET = "epp-v1.5.0"
CLUSTER_WIDE = ("Namespace", "CustomResourceDefinition")


def manifest_files(path: Path) -> list[Path]:
    """The manifests of an estate in the order of their names, without helm.yaml; SandboxError when there are none."""
    if not path.exists():
        raise SandboxError(f"Estate {path} does not exist; give a folder or a file of manifests with --estate.")
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.suffix in (".yaml", ".yml", ".json") and file.name != HELM_FILE)
    if not files and not helm_releases(path):
        raise SandboxError(f"Estate {path} holds no manifest: put .yaml, .yml or .json files into it.")
    return files


def load(path: Path) -> list[dict[str, Any]]:
    """The objects of one manifest file."""
    try:
        parsed = list(yaml.load_all(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SandboxError(f"Estate file {path} can't be read as YAML: {' '.join(str(error).split())}.") from None
    objects = [item for document in parsed if document for item in (document.get("items", [document]) if isinstance(document, dict) else [document])]
    for item in objects:
        if not isinstance(item, dict) or not item.get("kind") or not item.get("apiVersion"):
            raise SandboxError(f"Estate file {path} holds something that is no Kubernetes object (it has no kind or apiVersion); "
                               f"only manifests and {HELM_FILE} belong there.")
    return objects


def helm_releases(path: Path) -> list[dict[str, Any]]:
    """The releases that an estate's helm.yaml lists: dicts with release, namespace, chart, version, values."""
    file = path / HELM_FILE
    if not path.is_dir() or not file.exists():
        return []
    releases = yaml.safe_load(file.read_text())
    if not isinstance(releases, list) or not all(isinstance(item, dict) and {"release", "version"} <= set(item) for item in releases):
        raise SandboxError(f"{file} must be a list of releases with the keys release, namespace, chart, version and values.")
    return releases


def needed_tools(paths: Iterable[Path]) -> list[str]:
    """Which model server, endpoint picker and body-based router programs the images in these estates stand for."""
    needed: list[str] = []
    for path in paths:
        text = "".join(file.read_text(errors="replace") for file in manifest_files(path))
        if re.search(r"llm-d-inference-sim|vllm", text):
            needed.append("simulator")
        needed += [f"epp-{version}" for version in re.findall(r"/epp:(v0\.3\.0|v0\.5\.1|v1\.0\.0|v1\.5\.0)", text)]
        needed += [f"bbr-{version}" for version in re.findall(r"/bbr:(v1\.0\.0)", text)]
        for release in helm_releases(path):
            if str(release["version"]) not in CHART_EPP:
                raise SandboxError(f"{path / HELM_FILE} asks for chart version {release['version']}; the sandbox has {', '.join(CHART_EPP)}.")
            needed.append(CHART_EPP[str(release["version"])])
    if any(name.startswith("epp-") for name in needed):
        needed.append(DEFAULT_TARGET)  # a migration installs it into the running sandbox; nobody should wait for a build then
    return list(dict.fromkeys(needed))


def add(world: World, path: Path, progress: Progress) -> None:
    """Apply an estate: namespaces and CRDs, then workloads, then releases, then everything else (it may need what the charts make)."""
    objects = [item for file in manifest_files(path) for item in load(file)]
    _check_listeners(world, objects)
    progress(f"applying estate {path} ({len(objects)} objects)")
    first = [item for item in objects if item["kind"] in CLUSTER_WIDE]
    if first:
        _apply(world, first)
        for item in first:
            if item["kind"] == "CustomResourceDefinition":
                world.kubectl("wait", "--for=condition=Established", "--timeout=60s", f"crd/{item['metadata']['name']}")
    early = [item for item in objects if item not in first and item["apiVersion"] in ("v1", "apps/v1", "rbac.authorization.k8s.io/v1")]
    _apply(world, early)
    for release in helm_releases(path):
        _install(world, release, progress)
    _apply(world, [item for item in objects if item not in first and item not in early])


def remove(world: World, path: Path) -> None:
    """Take back what ``add`` applied, and wait until it is gone; what others made for it (pods, ...) goes with its owners a moment later."""
    for release in helm_releases(path):
        world.helm("uninstall", release["release"], "--namespace", release.get("namespace", "default"), "--ignore-not-found")
    objects = [item for file in manifest_files(path) for item in load(file)]
    world.kubectl("delete", "--ignore-not-found", "--timeout=60s", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def _check_listeners(world: World, objects: list[dict[str, Any]]) -> None:
    """Every listener's port must be free in the sandbox's network: a program that listens on 0.0.0.0 has it everywhere."""
    for gateway in (item for item in objects if item["kind"] == "Gateway"):
        for listener in gateway.get("spec", {}).get("listeners", []):
            preflight.check_port(f"{world.state['subnet']}.0.250", listener["port"], f"Gateway {_name(gateway)}")


def _apply(world: World, objects: list[dict[str, Any]]) -> None:
    if objects:
        world.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def _install(world: World, release: dict[str, Any], progress: Progress) -> None:
    """helm upgrade --install from the sandbox's registry, as GKE's guide does."""
    chart, version = release.get("chart", "inferencepool"), str(release["version"])
    progress(f"installing {chart} {version} as {release['release']}")
    values = world.directory / f"values-{release['release']}.json"
    values.write_text(json.dumps(release.get("values", {})))
    world.helm("upgrade", "--install", release["release"], f"{world.state['charts']}/{chart}", "--version", version, "--plain-http",
               "--namespace", release.get("namespace", "default"), "--create-namespace", "--values", str(values))


def unready(world: World) -> list[str]:
    """What is not ready yet, one phrase each."""
    state = world.state
    if state["phase"] == "failed":
        raise SandboxError(state["failure"])
    reasons = []
    if "kubelet" in state["services"]:
        for item in world.kubectl_json("get", "deployments", "-A")["items"]:
            status = item.get("status", {})
            if not _condition(status.get("conditions", []), "Available") or status.get("observedGeneration") != item["metadata"]["generation"]:
                reasons.append(f"Deployment {_name(item)} is not available")
    if "gateway" in state["services"]:
        for item in world.kubectl_json("get", "gateways.gateway.networking.k8s.io", "-A")["items"]:
            if not _condition(item.get("status", {}).get("conditions", []), "Programmed"):
                reasons.append(f"Gateway {_name(item)} is not programmed")
        for item in world.kubectl_json("get", "httproutes.gateway.networking.k8s.io", "-A")["items"]:
            if not _route_settled(item):
                reasons.append(f"HTTPRoute {_name(item)} has no status of its present generation")
    return reasons


def wait_ready(world: World, timeout: float, progress: Progress) -> None:
    """Wait until nothing is unready; SandboxError with the list after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while reasons := unready(world):
        if time.monotonic() > deadline:
            raise SandboxError(f"Sandbox {world.name} was not ready after {timeout:.0f} s: {'; '.join(reasons)} (pods: {_pods(world)}); "
                               f"see the logs in {world.directory / 'logs'}.")
        time.sleep(0.3)
    progress("the estate is ready")


def _pods(world: World) -> str:
    """Each pod's phase or its container's reason, for error sentences."""
    told = []
    for pod in world.kubectl_json("get", "pods", "-A")["items"]:
        states = [status.get("state", {}) for status in pod.get("status", {}).get("containerStatuses", [])]
        waiting = [state["waiting"].get("reason") for state in states if "waiting" in state]
        told.append(f"{_name(pod)} {waiting[0] if waiting else pod.get('status', {}).get('phase')}")
    return ", ".join(told) or "none"


def _route_settled(route: dict[str, Any]) -> bool:
    parents = route.get("status", {}).get("parents", [])
    generation = route["metadata"]["generation"]
    return bool(parents) and all(condition.get("observedGeneration") == generation for parent in parents for condition in parent.get("conditions", []))


def _condition(conditions: list[dict[str, Any]], kind: str) -> bool:
    return any(condition["type"] == kind and condition["status"] == "True" for condition in conditions)


def _name(item: dict[str, Any]) -> str:
    return f"{item['metadata'].get('namespace', 'default')}/{item['metadata']['name']}"
