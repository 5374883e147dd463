# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scheduler and kubelet in one: a Node, and a life for every pod that is bound to it or to no node yet.

The other files of this part: pods.py (a pod), containers.py (a container), images.py (image to process), podfiles.py (environment and
volumes), podstatus.py (status), probes.py (health), podfaults.py (faults), network.py (the pod network).
"""
from __future__ import annotations

import asyncio
import random
import socket
from collections import deque
from collections.abc import Iterable
from typing import Any

from lightkube.core.exceptions import ApiError
from lightkube.models.core_v1 import NodeSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Node, Pod
from lightkube.types import PatchType

from igw_sandbox.context import Context, SandboxError
from igw_sandbox.network import PodNetwork
from igw_sandbox.podfaults import KINDS, Faults, Target
from igw_sandbox.pods import HTTP_ERROR, PodLife, status_of
from igw_sandbox.podstatus import now

NODE = "gke-sandbox-pool-1"
LOCAL_PORTS = range(20000, 30000)
"""Below the kernel's own range: a port that is chosen now is still free when its program binds it."""
RELIST_SECONDS = 0.5


class Addresses:
    """Pod addresses SUBNET.1.1 to SUBNET.250.254; one that was given back is used again as late as possible."""

    def __init__(self, subnet: str) -> None:
        self._free = deque(f"{subnet}.{third}.{fourth}" for third in range(1, 251) for fourth in range(1, 255))

    def take(self) -> str:
        if not self._free:
            raise SandboxError("All pod addresses of the sandbox are taken: delete pods that are not needed.")
        return self._free.popleft()

    def give_back(self, address: str) -> None:
        self._free.append(address)


class Ports:
    """Local TCP ports for processes that listen on all interfaces. Sandboxes begin at different places, so that they seldom meet."""

    def __init__(self, subnet: str) -> None:
        start = int(subnet.split(".")[1]) * 211 % len(LOCAL_PORTS)
        self._free = deque([*LOCAL_PORTS[start:], *LOCAL_PORTS[:start]])
        self._taken: set[int] = set()

    def take(self) -> int:
        for _attempt in range(len(self._free)):
            port = self._free.popleft()
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                try:
                    probe.bind(("0.0.0.0", port))
                except OSError:
                    self._free.append(port)  # another sandbox or a program of the machine has it
                    continue
            self._taken.add(port)
            return port
        raise SandboxError(f"No TCP port from {LOCAL_PORTS.start} to {LOCAL_PORTS.stop - 1} is free on this machine; end sandboxes that are not needed.")

    def give_back(self, ports: Iterable[int]) -> None:
        for port in ports:
            if port in self._taken:
                self._taken.remove(port)
                self._free.append(port)


class Kubelet:
    """The node and its pods."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.node = NODE
        self.node_address = f"{context.subnet}.0.1"
        self.network = PodNetwork(context)
        self.addresses = Addresses(context.subnet)
        self.ports = Ports(context.subnet)
        self.faults = Faults()
        self.lives: dict[str, PodLife] = {}
        self._random = random.Random(context.seed)
        self._fired: dict[tuple[str, Target], int] = {}

    async def register(self) -> None:
        """Create the Node, Ready, with room for everything."""
        resources = {"cpu": "64", "memory": "256Gi", "pods": "10000", "ephemeral-storage": "500Gi"}
        labels = {"kubernetes.io/hostname": self.node, "kubernetes.io/os": "linux", "cloud.google.com/gke-nodepool": "pool-1"}
        at = now()
        conditions = [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status",
                       "lastHeartbeatTime": at, "lastTransitionTime": at}]
        status = {"capacity": resources, "allocatable": resources, "conditions": conditions,
                  "addresses": [{"type": "InternalIP", "address": self.node_address}, {"type": "Hostname", "address": self.node}],
                  "nodeInfo": {"kubeletVersion": self.context.gke_version or "v1.34.4", "containerRuntimeVersion": "sandbox://1", "operatingSystem": "linux",
                               "architecture": "amd64", "kernelVersion": "", "machineID": "", "systemUUID": "", "bootID": "", "osImage": "sandbox",
                               "kubeProxyVersion": ""}}
        client = self.context.client
        try:
            await client.create(Node(metadata=ObjectMeta(name=self.node, labels=labels), spec=NodeSpec(podCIDR=f"{self.context.subnet}.0.0/16")))
        except ApiError as error:
            if status_of(error) != 409:
                raise
        await client.patch(Node.Status, self.node, {"status": status}, patch_type=PatchType.MERGE)
        await client.patch(Node, self.node, {"spec": {"taints": None}}, patch_type=PatchType.MERGE)  # admission taints a new node as not ready

    async def work(self) -> None:
        """List, then watch, for ever; a life of every pod runs beside. What a broken watch missed, the next list shows."""
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    pods = self.context.client.list(Pod, namespace="*")
                    documents = [pod.to_dict() async for pod in pods]
                    listed = {document["metadata"]["uid"] for document in documents}
                    for document in documents:
                        self._see(group, document)
                    for uid, life in list(self.lives.items()):
                        if uid not in listed:
                            life.vanished()
                    async for event, pod in self.context.client.watch(Pod, namespace="*", resource_version=pods.resourceVersion):
                        document = pod.to_dict()
                        if event != "DELETED":
                            self._see(group, document)
                        elif document["metadata"]["uid"] in self.lives:
                            self.lives[document["metadata"]["uid"]].vanished()
                except HTTP_ERROR as error:
                    self.context.log(f"kubelet: watch of pods ended ({type(error).__name__}: {error}); listing again")
                await asyncio.sleep(RELIST_SECONDS)

    def _see(self, group: asyncio.TaskGroup, document: dict[str, Any]) -> None:
        """A pod as it is now: begin its life, or tell the life that runs."""
        spec, uid = document["spec"], document["metadata"]["uid"]
        if spec.get("nodeName") not in (None, "", self.node) or spec.get("schedulingGates"):
            return
        life = self.lives.get(uid)
        if life is None:
            life = self.lives[uid] = PodLife(self, document, self._random.randrange(1, 10**6))
            group.create_task(self._live(life))
        life.update(document)

    async def _live(self, life: PodLife) -> None:
        try:
            await life.run()
        except ApiError as error:  # a pod that the API server will not have as we write it: its own trouble, not the cluster's
            self.context.log(f"kubelet: gives up pod {life.namespace}/{life.name}, whose status stays as it is: {error}")
            await asyncio.gather(*(container.terminate(0, life.gone) for container in life.containers))
        finally:
            self.lives.pop(life.uid, None)

    # Faults

    async def fault(self, kind: str, namespace: str = "default", deployment: str | None = None, selector: str | None = None,
                    pod: str | None = None, percent: float | None = None) -> dict[str, Any]:
        """Arm, clear or report a fault: ``{"pods": names it meets now, "fired": streams reset or processes hit so far, "percent": as armed}``."""
        target = Target.of(namespace, deployment, selector, pod)
        lives = [life for life in self.lives.values() if target.matches(life.document)]
        containers = [container for life in lives for container in life.containers]
        key = (kind, target)
        if kind == "epp_reset":
            resets = [await self.network.resets(name) for container in containers if (name := container.picker_endpoint())]
            self._fired[key] = max(self._fired.get(key, 0), sum(resets))
        if percent is not None:
            self.faults.arm(kind, target, percent)
            apply = {"epp_reset": "apply_reset", "pod_kill": "apply_kill", "pod_stop": "apply_stop"}[kind]
            hits = [getattr(container, apply)() for container in containers]
            self._fired[key] = self._fired.get(key, 0) + sum(bool(hit) for hit in hits)
        armed = max((self.faults.percent(kind, life.document) for life in lives), default=percent or 0.0)
        return {"pods": sorted(life.name for life in lives), "fired": self._fired.get(key, 0), "percent": armed}


async def run(context: Context) -> None:
    """Run pods until cancelled; marks ``kubelet`` ready when the node is there."""
    await context.until("network")
    kubelet = Kubelet(context)
    await kubelet.register()
    for kind in KINDS:
        context.handlers[f"fault.{kind}"] = _handler(kubelet, kind)
    context.mark_ready("kubelet")
    await kubelet.work()


def _handler(kubelet: Kubelet, kind: str):
    async def handle(**arguments: Any) -> dict[str, Any]:
        return await kubelet.fault(kind, **arguments)

    return handle
