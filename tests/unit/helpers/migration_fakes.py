# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An API server of dictionaries, and small manifests for it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils import manifests
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import Conflict, NotServed, object_path
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import references
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.listeners import Listeners, NamespaceLabels

Manifest = dict[str, Any]
ALPHA = {"group": manifests.ALPHA_GROUP, "kind": "InferencePool", "name": "llama-preview"}
V1 = {"group": manifests.V1_GROUP, "kind": "InferencePool", "name": "llama-ga"}
KEY = references.PoolKey(manifests.ALPHA_GROUP, "InferencePool", "default", "llama-preview")
MOVES = {KEY: "llama-ga"}
NAMESPACE = "inference-gateway-migration"


class FakeCluster:
    """Objects by path, with resourceVersion, 404 and 409 as an API server has them; every request is written down.

    ``before``: called with (method, path, body) before each request; what it raises is raised.
    ``losing``: (method, part of a path) of answers that get lost once. The write is done, and the caller sees what trying
    again brings: a conflict with its own write.
    """

    server = "https://127.0.0.1:6443"

    def __init__(self, *manifests: Manifest) -> None:
        self.objects: dict[str, Manifest] = {}
        self.requests: list[tuple[str, str]] = []
        self.before: Callable[[str, str, Any], None] = lambda method, path, body: None
        self.losing: list[tuple[str, str]] = []
        self.warnings: list[str] = []
        self.fence: Callable[[], None] | None = None
        self._versions = itertools.count(1)
        for manifest in manifests:
            self.put(manifest)

    def put(self, manifest: Manifest) -> str:
        """Somebody else writes an object; its path."""
        meta = manifest["metadata"]
        path = object_path(manifest["apiVersion"], manifest["kind"], meta.get("namespace"), meta["name"])
        self._save(path, manifest)
        return path

    def _save(self, path: str, manifest: Manifest) -> Manifest:
        self.objects[path] = deepcopy(manifest)
        self.objects[path]["metadata"]["resourceVersion"] = str(next(self._versions))
        return deepcopy(self.objects[path])

    def _seen(self, method: str, path: str, body: Any = None, dry_run: bool = False) -> None:
        if self.fence and method != "GET" and not dry_run:
            self.fence()
        self.requests.append((method, path))
        self.before(method, path, body)

    def _lost(self, method: str, path: str) -> bool:
        for entry in self.losing:
            if entry[0] == method and entry[1] in path:
                self.losing.remove(entry)
                return True
        return False

    @property
    def writes(self) -> list[tuple[str, str]]:
        """All requests but GET."""
        return [request for request in self.requests if request[0] != "GET"]

    def identity(self) -> str:
        return "uid-of-kube-system"

    def get(self, path: str) -> Manifest | None:
        self._seen("GET", path)
        return deepcopy(self.objects.get(path))

    def list(self, path: str, labelSelector: str = "") -> Iterator[Manifest]:
        self._seen("GET", path)
        for at, manifest in sorted(self.objects.items()):
            holding = at.rpartition("/")[0]
            if path in (holding, re.sub(r"/namespaces/[^/]+", "", holding)) and _selected(manifest["metadata"].get("labels") or {}, labelSelector):
                yield deepcopy(manifest)

    def create(self, path: str, manifest: Manifest, dry_run: bool = False) -> Manifest:
        at = f"{path}/{manifest['metadata'].get('name', manifest['metadata'].get('generateName'))}"
        self._seen("POST", at, manifest, dry_run)
        if at in self.objects:
            raise Conflict(f"POST {at}: already exists", 409)
        if dry_run:
            return manifest
        saved = self._save(at, manifest)
        if self._lost("POST", at):
            raise Conflict(f"POST {at}: already exists", 409)
        return saved

    def replace(self, path: str, manifest: Manifest, dry_run: bool = False) -> Manifest:
        self._seen("PUT", path, manifest, dry_run)
        if path not in self.objects:
            raise NotServed(f"PUT {path}: not found")
        if manifest["metadata"].get("resourceVersion") != self.objects[path]["metadata"]["resourceVersion"]:
            raise Conflict(f"PUT {path}: the object has been modified", 409)
        if dry_run:
            return manifest
        saved = self._save(path, manifest)
        if self._lost("PUT", path):
            raise Conflict(f"PUT {path}: the object has been modified", 409)
        return saved

    def delete(self, path: str, dry_run: bool = False, **options: Any) -> bool:
        self._seen("DELETE", path, None, dry_run)
        if dry_run:
            return path in self.objects
        found = self.objects.pop(path, None) is not None
        return False if self._lost("DELETE", path) else found


def _selected(labels: dict[str, str], selector: str) -> bool:
    """``a=b`` with commas, or one ``a in (b,c)``."""
    if " in (" in selector:
        name, _in, values = selector.partition(" in ")
        return labels.get(name) in values.strip("()").split(",")
    return all(labels.get(name) == value for name, _eq, value in (part.partition("=") for part in selector.split(",") if part))


def condition(kind: str, status: str = "True", generation: int = 1, **fields: str) -> Manifest:
    """One condition."""
    return {"type": kind, "status": status, "observedGeneration": generation, "reason": fields.pop("reason", kind), **fields}


def rule(*references: Manifest, path: str = "/", **fields: Any) -> Manifest:
    """One rule of a route."""
    return {"matches": [{"path": {"type": "PathPrefix", "value": path}}], "backendRefs": list(references), **fields}


def http_route(*rules: Manifest, name: str = "llm-route", namespace: str = "default", **spec: Any) -> Manifest:
    """A route as an API server holds it, accepted by its Gateway."""
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gw"}
    reported = {"parentRef": parent, "controllerName": "x", "conditions": [condition("Accepted"), condition("ResolvedRefs")]}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": namespace, "generation": 1, "labels": {"team": "a"}},
        "spec": {"parentRefs": [parent], "hostnames": ["llm.example.com"], "rules": list(rules)} | spec,
        "status": {"parents": [reported]},
    }


def gateway(*listeners: Manifest, name: str = "gw", namespace: str = "default", address: str = "127.0.0.1") -> Manifest:
    """A Gateway that is programmed."""
    chosen = list(listeners) or [{"name": "http", "protocol": "HTTP", "port": 8080}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": namespace, "generation": 1},
        "spec": {"listeners": chosen},
        "status": {"addresses": [{"type": "IPAddress", "value": address}], "conditions": [condition("Programmed")]},
    }


def listeners(*gateways: Manifest, routes: Iterable[Manifest] = (), labels: NamespaceLabels | None = None) -> Listeners:
    """The listeners of some Gateways, by default of one that is programmed, with some routes on them."""
    return Listeners(gateways or [gateway()], routes, labels)


def plan_pool(**fields: Any) -> Manifest:
    """A pool's entry in a Plan, with what shifting reads."""
    return {
        "namespace": "default",
        "name": "llama-preview",
        "v1_name": "llama-ga",
        "models": [{"name": "llama", "answer": "llama", "alpha_answers": ["llama-base"]}],
        "endpoints": ["/v1/completions", "/v1/chat/completions"],
        "references": [{"api_version": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "namespace": "default", "name": "llm-route"}],
        "retire": [],
        "alpha_epp": {"deployment": "llama-epp"},
        "epp": {"deployment": "llama-ga-epp"},
        "timeout_seconds": 30,
    } | fields


def make_plan(*pools: Manifest) -> Manifest:
    """A Plan, with what shifting reads."""
    return {"pools": list(pools) or [plan_pool()]}


class Ended(Exception):
    """A module's exit, with its result."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__(result.get("msg"))
        self.result = result


class FakeModule:
    """AnsibleK8SModule without Ansible: the argument spec's defaults, and an exit that can be looked at."""

    given: dict[str, Any] = {}
    check_mode = False

    def __init__(self, argument_spec: dict[str, Any], **_settings: Any) -> None:
        self.params = {name: option.get("default") for name, option in argument_spec.items()} | self.given

    def exit_json(self, **result: Any) -> None:
        raise Ended(result | {"failed": False})

    def fail_json(self, msg: str, **result: Any) -> None:
        raise Ended(result | {"failed": True, "msg": msg})


def run_module(monkeypatch: Any, module: Any, cluster: Any, check_mode: bool = False, **given: Any) -> dict[str, Any]:
    """The result of a module's main() with an API server of dictionaries; ``cluster`` may be the error that connecting raises."""

    def connect(*_arguments: Any, **_settings: Any) -> Any:
        if isinstance(cluster, Exception):
            raise cluster
        return cluster

    monkeypatch.setattr(module, "AnsibleK8SModule", type("Chosen", (FakeModule,), {"given": given, "check_mode": check_mode}))
    monkeypatch.setattr(module, "Cluster", connect)
    try:
        module.main()
    except Ended as ended:
        return ended.result
    raise AssertionError("the module neither exited nor failed")
