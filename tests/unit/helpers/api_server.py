# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An API server of dictionaries on a loopback port, for playbooks that run as a person runs them. Every request is written down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import collection_path, object_path, plural

Manifest = dict[str, Any]
UID = "00000000-0000-0000-0000-00000000abcd"
VERBS = ["get", "list", "create", "update", "patch", "delete"]
KUBE_SYSTEM = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": UID}}


class ApiServer:
    """Objects by path; ``requests`` are (method, path) in their order."""

    def __init__(self, manifests: list[Manifest]) -> None:
        self.objects: dict[str, Manifest] = {}
        self.requests: list[tuple[str, str]] = []
        self.url = ""
        for manifest in (KUBE_SYSTEM, *manifests):
            meta = manifest["metadata"]
            self.objects[object_path(manifest["apiVersion"], manifest["kind"], meta.get("namespace"), meta["name"])] = manifest

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [request for request in self.requests if request[0] != "GET"]

    def kubeconfig(self, path: Path) -> Path:
        """A kubeconfig that leads here."""
        cluster = {"name": "here", "cluster": {"server": self.url}}
        context = {"name": "here", "context": {"cluster": "here", "user": "nobody"}}
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "here", "clusters": [cluster], "contexts": [context],
                                    "users": [{"name": "nobody", "user": {}}]}))
        return path

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """Status and body. Dry runs are refused as forbidden, which detect takes for what could not be tried."""
        path, _mark, query = path.partition("?")
        self.requests.append((method, path))
        if path == "/version":
            return 200, {"major": "1", "minor": "33", "gitVersion": "v1.33.5"}
        if path in ("/api", "/apis"):
            served = sorted({entry["apiVersion"] for entry in self.objects.values() if "/" in entry["apiVersion"]})
            versions = [{"groupVersion": name, "version": name.partition("/")[2]} for name in served]
            groups = [{"name": one["groupVersion"].partition("/")[0], "versions": [one], "preferredVersion": one} for one in versions]
            return 200, {"kind": "APIGroupList", "versions": ["v1"], "groups": groups}
        if method == "GET":
            return self.read(path)
        if "dryRun" in query:
            return 403, {"message": 'User "nobody" cannot create resource "objects" in API group ""'}
        if method == "DELETE":
            return 200, self.objects.pop(path, {})
        path = f"{path}/{body['metadata']['name']}" if method == "POST" else path
        if method == "POST" and path in self.objects:
            return 409, {"message": "exists"}
        self.objects[path] = body | {"metadata": body["metadata"] | {"resourceVersion": str(len(self.requests)), "uid": path}}
        return 201, self.objects[path]

    def read(self, path: str) -> tuple[int, Any]:
        if path in self.objects:
            return 200, self.objects[path]
        version = path.removeprefix("/apis/").removeprefix("/api/")
        kinds = sorted({(entry["kind"], "namespace" in entry["metadata"]) for entry in self.objects.values() if entry["apiVersion"] == version})
        if kinds:
            resources = [{"name": plural(kind), "kind": kind, "namespaced": namespaced, "verbs": VERBS} for kind, namespaced in kinds]
            return 200, {"kind": "APIResourceList", "groupVersion": version, "resources": resources}
        found = [entry for entry in self.objects.values() if path in _collections(entry)]
        if not found:
            return 404, {"kind": "Status", "message": f"{path} is not there"}
        return 200, {"apiVersion": found[0]["apiVersion"], "kind": f"{found[0]['kind']}List", "metadata": {}, "items": found}


def _collections(manifest: Manifest) -> list[str]:
    resource = plural(manifest["kind"])
    return [collection_path(manifest["apiVersion"], resource), collection_path(manifest["apiVersion"], resource, manifest["metadata"].get("namespace"))]


@contextmanager
def api_server(manifests: list[Manifest]) -> Iterator[ApiServer]:
    """One that serves until the end of a block."""
    api = ApiServer(manifests)

    class Handler(BaseHTTPRequestHandler):
        def serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            status, body = api.answer(self.command, self.path, json.loads(self.rfile.read(length)) if length else None)
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
