# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps what a person asks of a running migration from a second shell: one object, which neither Lease nor journal is.

For internal use of this collection only.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TypedDict

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import Cluster, Conflict, Forbidden, collection_path, object_path
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.journal import LABELS, NAME
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.lease import NAMESPACE

COMMANDS = ("pause", "go_on", "stop", "back")
STEER = f"{NAME}-steer"
ATTEMPTS = 3


class Asked(TypedDict):
    """What a person asked for: one of :data:`COMMANDS`, who, and when (UTC, ISO 8601)."""

    command: str
    by: str
    at: str


class Steering:
    """Writes and reads what is asked of the run at work on one cluster; what was asked of an earlier run counts no more."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._path = object_path("v1", "ConfigMap", NAMESPACE, STEER)

    def asked(self, run: str | None) -> Asked | None:
        """Return what is asked of a run; None where it shall go on."""
        try:
            data = (self.cluster.get(self._path) or {}).get("data") or {}
        except Forbidden:  # whoever may not read it is not steered
            return None
        command = data.get("command")
        if not run or data.get("run") != run or command not in COMMANDS or command == "go_on":
            return None
        return {"command": command, "by": data.get("by") or "somebody", "at": data.get("at") or ""}

    def ask(self, run: str, command: str, by: str) -> bool:
        """Ask something of a run; return False where that was asked already. :raises Conflict: when others keep writing it."""
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        data = {"run": run, "command": command, "by": by, "at": now}
        for attempt in range(ATTEMPTS):
            there = self.cluster.get(self._path)
            said = (there or {}).get("data") or {}
            if (said.get("run"), said.get("command")) == (run, command):
                return False
            try:
                if there is None:
                    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": STEER, "namespace": NAMESPACE, "labels": LABELS}, "data": data}
                    self.cluster.create(collection_path("v1", "configmaps", NAMESPACE), body)
                else:
                    self.cluster.replace(self._path, there | {"data": data})
                return True
            except Conflict:
                if attempt == ATTEMPTS - 1:
                    raise
        return True
