# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status that a kubelet writes for a pod. Pure: what the containers do in, a status dict out."""
from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

JSON = Mapping[str, Any]

MESSAGE_BYTES = 1024
TELLING = re.compile(r"error|fatal|panic|unknown|not defined|invalid|failed|refused|denied", re.IGNORECASE)


@dataclass
class ContainerState:
    """One container as its status shows it. ``state`` and ``last`` are ContainerState objects of the API (waiting, running or terminated)."""

    name: str
    image: str
    state: dict[str, Any] = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    last: dict[str, Any] = field(default_factory=dict)
    ready: bool = False
    restarts: int = 0
    identifier: str = ""

    def wait(self, reason: str, message: str = "") -> None:
        self.state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        self.ready = False

    def run(self, started: str, identifier: str) -> None:
        self.state = {"running": {"startedAt": started}}
        self.identifier = identifier

    def end(self, code: int, message: str, started: str, finished: str) -> None:
        """The process ended with ``code`` (negative: by a signal, as asyncio says it; shown as 128 + signal)."""
        shown = 128 - code if code < 0 else code
        self.state = {"terminated": {"exitCode": shown, "reason": "Completed" if shown == 0 else "Error", "message": message,
                                     "startedAt": started, "finishedAt": finished, "containerID": self.identifier}}
        self.ready = False

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name, "image": self.image, "imageID": f"sandbox://{self.image}", "containerID": self.identifier, "ready": self.ready,
            "started": "running" in self.state, "restartCount": self.restarts, "state": self.state, "lastState": self.last}


def now() -> str:
    """The present time as the API writes it."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def explain(output: str) -> str:
    """What a program said when it ended, for a status message: its last telling lines, else its last ones; at most 1 KiB.

    Indented lines are the flags of a usage text or a stack trace; they would bury the reason.
    """
    lines = [line.rstrip() for line in output.splitlines() if line.strip() and not line[0].isspace()]
    telling = [line for line in lines if TELLING.search(line)]
    return "\n".join(line[:400] for line in (telling or lines)[-3:]).encode()[:MESSAGE_BYTES].decode(errors="ignore")


def phase(containers: Sequence[ContainerState], restart_policy: str) -> str:
    """The pod's phase; with restart policy Always a container that ended will run again, so the pod is never over."""
    if containers and all("terminated" in container.state for container in containers) and restart_policy != "Always":
        failed = any(container.state["terminated"]["exitCode"] for container in containers)
        return "Failed" if failed else "Succeeded"
    begun = all("waiting" not in container.state or container.last for container in containers)
    return "Running" if begun else "Pending"


def compose(
    pod: JSON, containers: Sequence[ContainerState], initial: Sequence[ContainerState], address: str, node_address: str, begun: str,
    previous: Sequence[JSON], at: str,
) -> dict[str, Any]:
    """The whole status. ``previous`` are the conditions written before: one that keeps its status keeps its transition time."""
    unready = [container.name for container in containers if not container.ready]
    all_ready = not unready
    why = {} if all_ready else {"reason": "ContainersNotReady", "message": f"containers with unready status: [{' '.join(unready)}]"}
    wanted: list[dict[str, Any]] = [
        {"type": "PodReadyToStartContainers", "status": "True"},
        {"type": "Initialized", "status": "True"},
        {"type": "Ready", "status": str(all_ready), **why},
        {"type": "ContainersReady", "status": str(all_ready), **why},
        {"type": "PodScheduled", "status": "True"},
    ]
    before = {condition["type"]: condition for condition in previous}
    for condition in wanted:
        known = before.get(condition["type"], {})
        condition["lastTransitionTime"] = known["lastTransitionTime"] if known.get("status") == condition["status"] else at
    return {
        "phase": phase(containers, pod["spec"].get("restartPolicy", "Always")), "conditions": wanted, "hostIP": node_address,
        "hostIPs": [{"ip": node_address}], "podIP": address, "podIPs": [{"ip": address}], "startTime": begun,
        "containerStatuses": [container.document() for container in containers],
        "initContainerStatuses": [container.document() for container in initial],
    }
