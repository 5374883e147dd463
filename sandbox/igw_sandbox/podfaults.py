# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of pods: streams to an endpoint picker reset, processes killed and kept down, processes stopped.

A fault is armed for pods that match now or later, so that it can be there before the pod is. Commands (Context.handlers):

* ``fault.epp_reset``: refuse ``percent`` of the gRPC streams on port 9002 of the pickers,
* ``fault.pod_kill``: end the processes and do not restart them,
* ``fault.pod_stop``: stop the processes (SIGSTOP): their ports accept and never answer,

each with ``namespace`` and one of ``deployment``, ``selector`` ("key=value,...") or ``pod``; ``percent`` 0 clears it, no ``percent`` only reports.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from igw_sandbox.context import SandboxError

JSON = Mapping[str, Any]
KINDS = ("epp_reset", "pod_kill", "pod_stop")


@dataclass(frozen=True)
class Target:
    """Which pods a fault is for."""

    namespace: str
    deployment: str | None = None
    selector: str | None = None
    pod: str | None = None

    @classmethod
    def of(cls, namespace: str, deployment: str | None, selector: str | None, pod: str | None) -> Target:
        if sum(part is not None for part in (deployment, selector, pod)) != 1:
            raise SandboxError("A pod fault needs exactly one of deployment, selector or pod.")
        return cls(namespace, deployment, selector, pod)

    def matches(self, pod: JSON) -> bool:
        """Whether ``pod`` is meant. A Deployment's pods are known by the ReplicaSet that owns them."""
        metadata = pod["metadata"]
        if metadata["namespace"] != self.namespace:
            return False
        labels = metadata.get("labels") or {}
        if self.deployment is not None:
            owners = [owner["name"] for owner in metadata.get("ownerReferences") or [] if owner["kind"] == "ReplicaSet"]
            return f"{self.deployment}-{labels.get('pod-template-hash')}" in owners
        if self.selector is not None:
            return all(labels.get(key) == value for key, _equals, value in (part.strip().partition("=") for part in self.selector.split(",")))
        return metadata["name"] == self.pod


class Faults:
    """The armed faults: (kind, target) -> percent."""

    def __init__(self) -> None:
        self._armed: dict[tuple[str, Target], float] = {}

    def arm(self, kind: str, target: Target, percent: float) -> None:
        """Arm, change or (percent 0) clear a fault."""
        if not 0 <= percent <= 100:
            raise SandboxError(f"percent of fault {kind} is {percent}; give a number from 0 to 100.")
        if percent:
            self._armed[(kind, target)] = percent
        else:
            self._armed.pop((kind, target), None)

    def percent(self, kind: str, pod: JSON) -> float:
        """The strongest fault of ``kind`` that is armed for ``pod``, 0 when there is none."""
        return max((percent for (armed, target), percent in self._armed.items() if armed == kind and target.matches(pod)), default=0.0)
