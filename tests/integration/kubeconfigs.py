# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubeconfigs that name their proxy, their server's name, a program and files beside them, for one sandbox."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from igw_sandbox.pki import Authority
from igw_sandbox.world import World
from tests.unit.helpers.connect_proxy import connect_proxy

NOWHERE = "cluster.invalid"
"""A host name that the proxy alone knows, and the server's certificate does not."""
PROGRAM = """#!/bin/sh
[ "$STATUS" = 0 ] || { echo "no session" >&2; exit "$STATUS"; }
printf '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "%s"}}' "$TOKEN"
"""
RELATIVE = {"certificate-authority-data": None, "certificate-authority": "pki/ca.crt"}
"""Fields of a cluster whose authority is a file beside the kubeconfig."""


@contextmanager
def proxy_to(world: World) -> Iterator[tuple[str, list[str]]]:
    """Run a proxy that knows where the cluster is; yields its URL and what it was asked for."""
    with connect_proxy({NOWHERE: world.state["server"].split("//")[1].split(":")[0]}) as made:
        yield made


class Kubeconfigs:
    """Kubeconfigs for one cluster, in a folder with all that their relative paths name."""

    def __init__(self, world: World, folder: Path, proxy: str) -> None:
        self.folder, self.proxy = folder, proxy
        config = json.loads(world.kubeconfig.read_text())
        self.cluster: dict[str, Any] = config["clusters"][0]["cluster"]
        self.token: str = config["users"][0]["user"]["token"]
        address, _colon, self.port = self.cluster["server"].rpartition(":")
        self.address = address.removeprefix("https://")
        (folder / "pki").mkdir(parents=True)
        (folder / "pki" / "ca.crt").write_bytes(base64.b64decode(self.cluster["certificate-authority-data"]))
        (folder / "pki" / "token").write_text(self.token)
        (folder / "pki" / "line").write_text(self.token + "\n")
        Authority.create("nobody").issue(folder / "pki", "client", [], ["client"])
        (folder / "credential").write_text(PROGRAM)
        (folder / "credential").chmod(0o755)

    def made(self, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None, name: str = "c") -> dict[str, Any]:
        """Return a kubeconfig whose cluster differs from the administrator's in what ``cluster`` says (None: without it); ``user`` is instead of its user."""
        entry = {field: value for field, value in (self.cluster | (cluster or {})).items() if value is not None}
        return {"apiVersion": "v1", "kind": "Config", "current-context": name, "clusters": [{"name": name, "cluster": entry}],
                "users": [{"name": name, "user": user or {"token": self.token}}],
                "contexts": [{"name": name, "context": {"cluster": name, "user": name}}]}

    def write(self, config: dict[str, Any], name: str = "kubeconfig") -> Path:
        (self.folder / name).write_text(json.dumps(config))
        return self.folder / name

    def through_the_proxy(self) -> dict[str, Any]:
        """A cluster's fields with which there is no other way than the proxy's, and no name to check but the one that is said."""
        return {"server": f"https://{NOWHERE}:{self.port}", "proxy-url": self.proxy, "tls-server-name": "localhost"}

    def program(self, **fields: Any) -> dict[str, Any]:
        """A user whose credential a program of the kubeconfig's folder gives. :param fields: of exec, beside it; ``status`` is the program's."""
        env = [{"name": "TOKEN", "value": self.token}, {"name": "STATUS", "value": str(fields.pop("status", 0))}]
        return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./credential", "interactiveMode": "Never", "env": env} | fields}
