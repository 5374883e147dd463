# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watches what the invariants speak of while a run goes: every version of every object, straight from the API server, past the proxy and its faults."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from igw_sandbox.context import SandboxError
from tests.campaign.evidence import STATE_NAMESPACE, Key, Manifest, State, key_of
from tests.e2e.product import ALPHA_GROUP

WATCHED = (
    "/apis/gateway.networking.k8s.io/v1/httproutes",
    "/apis/gateway.networking.k8s.io/v1/gateways",
    f"/apis/{ALPHA_GROUP}/v1alpha2/inferencepools",
    f"/apis/{ALPHA_GROUP}/v1alpha2/inferencemodels",
    f"/apis/{ALPHA_GROUP}/v1alpha2/inferenceobjectives",
    "/apis/inference.networking.k8s.io/v1/inferencepools",
    "/apis/apps/v1/deployments",
    "/api/v1/services",
    "/apis/networking.gke.io/v1/healthcheckpolicies",
    "/apis/networking.gke.io/v1/gcpbackendpolicies",
    f"/apis/coordination.k8s.io/v1/namespaces/{STATE_NAMESPACE}/leases",
    f"/api/v1/namespaces/{STATE_NAMESPACE}/configmaps",
)
"""Collections; one whose definition is not there is asked for until it is."""
ABSENT_SECONDS = 0.3
FIRST_SECONDS = 20.0
"""Longest time until every collection was listed once."""
QUIET_SECONDS = 0.7
MOST_STATES = 50_000
"""A run that writes more than this is not judged."""


class ObserverError(SandboxError):
    """Something was not seen, so that the run can't be judged."""


class Observer:
    """Collects versions of objects from :meth:`start` to :meth:`stop`.

    :param kubeconfig: of an administrator, past the proxy.
    """

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self._server = urlsplit(cluster["server"])
        self._headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}", "Accept": "application/json"}
        self._tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._states: list[State] = []
        self._known: dict[str, dict[Key, Manifest]] = {path: {} for path in WATCHED}
        self._listed: set[str] = set()
        self._problems: list[str] = []
        self._open: dict[str, http.client.HTTPSConnection] = {}
        self._threads = [threading.Thread(target=self._follow, args=(path,), daemon=True) for path in WATCHED]
        self.before: list[Manifest] = []

    def start(self) -> None:
        """Begin; returns when every collection that exists was listed."""
        for thread in self._threads:
            thread.start()
        deadline = time.monotonic() + FIRST_SECONDS
        while len(self._listed) < len(WATCHED):
            if time.monotonic() > deadline:
                raise ObserverError(f"not listed within {FIRST_SECONDS:.0f} s: {', '.join(sorted(set(WATCHED) - self._listed))}")
            time.sleep(0.05)
        with self._lock:
            self.before = [manifest for known in self._known.values() for manifest in known.values()]
            self._states.clear()

    def stop(self) -> list[State]:
        """End and return what was seen, by revision. :raises ObserverError: when something may have been missed."""
        time.sleep(QUIET_SECONDS)
        self._over.set()
        for connection in list(self._open.values()):
            with suppress(OSError):
                if connection.sock:
                    connection.sock.shutdown(2)
        for thread in self._threads:
            thread.join(5)
        if self._problems:
            raise ObserverError("; ".join(self._problems[:3]))
        return sorted(self._states, key=lambda state: state.revision)

    def revision(self) -> int:
        """Return the last revision that was seen."""
        with self._lock:
            return max((state.revision for state in self._states), default=0)

    def _connection(self, path: str) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(self._server.hostname or "", self._server.port, context=self._tls, timeout=3600)
        self._open[path] = connection
        return connection

    def _follow(self, path: str) -> None:
        while not self._over.is_set():
            try:
                revision = self._list(path)
                if revision:
                    self._watch(path, revision)
                else:
                    self._over.wait(ABSENT_SECONDS)
            except (OSError, http.client.HTTPException, ValueError) as error:
                if not self._over.is_set():
                    # The next list shows what came meanwhile, but not what came and went.
                    self._problems.append(f"watch of {path} broke: {type(error).__name__}: {error}")
                    self._over.wait(ABSENT_SECONDS)

    def _list(self, path: str) -> str:
        connection = self._connection(path)
        connection.request("GET", path, headers=self._headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            self._gone(path, set(), None)
            self._listed.add(path)
            return ""
        body = json.loads(text)
        head = {"apiVersion": body["apiVersion"], "kind": body["kind"].removesuffix("List")}
        found = {key_of(item): item for item in ({**head, **item} for item in body["items"])}
        for key, item in found.items():
            before = self._known[path].get(key)
            if before is None or before["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
                self._take(path, key, item, gone=False)
        self._gone(path, set(found), int(body["metadata"]["resourceVersion"]))
        self._listed.add(path)
        return body["metadata"]["resourceVersion"]

    def _gone(self, path: str, kept: set[Key], revision: int | None) -> None:
        """Take for deleted what a list does not have any more."""
        for key in set(self._known[path]) - kept:
            manifest = self._known[path][key]
            self._take(path, key, manifest, gone=True, revision=revision or int(manifest["metadata"]["resourceVersion"]) + 1)

    def _watch(self, path: str, revision: str) -> None:
        connection = self._connection(path)
        connection.request("GET", f"{path}?watch=1&resourceVersion={revision}", headers=self._headers)
        answer = connection.getresponse()
        while not self._over.is_set() and (line := answer.readline()):
            event = json.loads(line)
            if event["type"] == "ERROR":
                return
            manifest = event["object"]
            self._take(path, key_of(manifest), manifest, gone=event["type"] == "DELETED")

    def _take(self, path: str, key: Key, manifest: Manifest, gone: bool, revision: int = 0) -> None:
        meta: dict[str, Any] = {field: value for field, value in manifest["metadata"].items() if field != "managedFields"}
        slim = {**manifest, "metadata": meta}
        with self._lock:
            if gone:
                self._known[path].pop(key, None)
            else:
                self._known[path][key] = slim
            if len(self._states) >= MOST_STATES:
                self._problems.append(f"more than {MOST_STATES} versions of objects")
                self._over.set()
                return
            self._states.append(State(revision or int(meta["resourceVersion"]), time.time(), gone, slim))
