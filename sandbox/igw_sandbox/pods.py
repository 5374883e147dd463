# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of one pod: bound to the node, given an address, its containers kept going, its status written, ended with its grace period."""
from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from lightkube.core import resource
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import Generic
from lightkube.models.authentication_v1 import BoundObjectReference, TokenRequestSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, Pod, Secret, ServiceAccountToken
from lightkube.types import PatchType

from igw_sandbox import podfiles, podstatus
from igw_sandbox.containers import Container
from igw_sandbox.podstatus import ContainerState, now

if TYPE_CHECKING:
    from igw_sandbox.kubelet import Kubelet

JSON = Mapping[str, Any]

# httpx in older releases of lightkube, httpx2 in newer ones: the class that all errors of requests have in common.
HTTP_ERROR: type[Exception] = next(base for base in ApiError.__mro__ if base.__name__ == "HTTPError")
TOKEN_SECONDS = 86400
RETRY_SECONDS = 0.5


class PodBinding(resource.NamespacedSubResource, Generic):
    """pods/binding. The API answers it with a Status, which lightkube's own typed class can't read."""

    _api_info = Pod.Binding._api_info


def status_of(error: Exception) -> int:
    """HTTP status of a refused request, 0 when there was no answer."""
    return int(error.status.code or 0) if isinstance(error, ApiError) else 0


class PodLife:
    """One pod from its first sight to the removal of its object."""

    def __init__(self, kubelet: Kubelet, document: dict[str, Any], number: int) -> None:
        self.kubelet = kubelet
        self.context = kubelet.context
        self.document = document
        self.number = number
        """Counts the sandbox's pods; a seed for what runs in this one."""
        metadata = document["metadata"]
        self.namespace, self.name, self.uid = metadata["namespace"], metadata["name"], metadata["uid"]
        self.folder = self.context.directory / "pods" / f"{self.namespace}_{self.name}_{self.uid[:8]}"
        self.address = ""
        self.containers = [Container(self, spec) for spec in document["spec"]["containers"]]
        self.ending = asyncio.Event()
        self.gone = asyncio.Event()
        self._grace = 30.0
        self._begun = now()
        self._written: dict[str, Any] = {}
        self._writing = asyncio.Lock()

    def update(self, document: dict[str, Any]) -> None:
        """Take a newer version of the pod object."""
        self.document = document
        metadata = document["metadata"]
        if metadata.get("deletionTimestamp"):
            self._grace = float(metadata.get("deletionGracePeriodSeconds") or 0)
            self.ending.set()

    def vanished(self) -> None:
        """The object is gone (a forced deletion): end everything now."""
        self.gone.set()
        self.ending.set()

    async def run(self) -> None:
        """The whole life; returns when the pod is gone."""
        over = self.document.get("status", {}).get("phase") in ("Succeeded", "Failed")
        if not over and not self.ending.is_set():
            self.address = self.kubelet.addresses.take()
            self.folder.mkdir(parents=True, exist_ok=True)
            await self._bind()
            await self.publish()
            await self._work()
        else:
            await self.ending.wait()
        if not self.gone.is_set():
            await self._remove()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.address:
            self.kubelet.addresses.give_back(self.address)
        self.context.log(f"pod {self.namespace}/{self.name} is gone")

    async def _work(self) -> None:
        """Run the containers until the pod has to end, then end them; a failure of ours ends the service, loudly."""
        ending = asyncio.create_task(self.ending.wait())
        tasks = [asyncio.create_task(container.run()) for container in self.containers]
        try:
            while not ending.done():
                await asyncio.wait([ending, *(task for task in tasks if not task.done())], return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task.done():
                        task.result()
        finally:
            for task in (ending, *tasks):
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(container.terminate(self._grace, self.gone) for container in self.containers))

    # Requests to the API server

    async def _persist(self, request: Callable[[], Awaitable[Any]], harmless: tuple[int, ...] = (404, 409)) -> Any:
        """Send a request until it is answered; None when the answer is one of ``harmless`` (the pod went away or was replaced)."""
        while True:
            try:
                return await request()
            except HTTP_ERROR as error:
                status = status_of(error)
                if status in harmless:
                    return None
                if 0 < status < 500 and status != 429:
                    raise
                self.context.log(f"pod {self.namespace}/{self.name}: {type(error).__name__}: {error}; asking again")
            await asyncio.sleep(RETRY_SECONDS)

    async def _bind(self) -> None:
        if self.document["spec"].get("nodeName"):
            return
        node = self.kubelet.node
        binding = PodBinding(metadata={"name": self.name, "namespace": self.namespace}, target={"kind": "Node", "name": node})
        await self._persist(lambda: self.context.client.create(binding, self.name, namespace=self.namespace))
        self.document["spec"]["nodeName"] = node

    async def publish(self) -> None:
        """Write the status if it is not what was written last."""
        async with self._writing:
            if self.gone.is_set():
                return
            initial = [ContainerState(spec["name"], spec["image"]) for spec in self.document["spec"].get("initContainers") or []]
            for state, spec in zip(initial, self.document["spec"].get("initContainers") or []):
                if spec.get("restartPolicy") == "Always":
                    state.run(self._begun, f"sandbox://{self.uid}/{state.name}")
                else:
                    state.end(0, "", self._begun, self._begun)
                state.ready = True
            status = podstatus.compose(self.document, [container.state for container in self.containers], initial, self.address,
                                       self.kubelet.node_address, self._begun, self._written.get("conditions", []), now())
            if status == self._written:
                return
            patch = {"metadata": {"uid": self.uid}, "status": status}
            await self._persist(lambda: self.context.client.patch(Pod.Status, self.name, patch, namespace=self.namespace, patch_type=PatchType.MERGE))
            self._written = status

    async def _remove(self) -> None:
        """Take the object out of the API: grace 0 is the kubelet's word that nothing of the pod runs any more."""
        current = await self._persist(lambda: self.context.client.get(Pod, self.name, namespace=self.namespace))
        if current is not None and current.metadata.uid == self.uid:
            await self._persist(lambda: self.context.client.delete(Pod, self.name, namespace=self.namespace, grace_period=0))

    async def lookup(self, kind: str, name: str) -> dict[str, bytes] | None:
        """Content of a ConfigMap or Secret of the pod's namespace, None when it is not there."""
        kinds = {"ConfigMap": ConfigMap, "Secret": Secret}
        found = await self._persist(lambda: self.context.client.get(kinds[kind], name, namespace=self.namespace))
        return None if found is None else podfiles.content_of(kind, found.to_dict())

    async def token(self) -> str:
        """A token of the pod's own ServiceAccount that ends with the pod; MissingObject when the account or the pod is gone."""
        account = self.document["spec"].get("serviceAccountName") or "default"
        bound = BoundObjectReference(apiVersion="v1", kind="Pod", name=self.name, uid=self.uid)
        spec = TokenRequestSpec(audiences=[], expirationSeconds=TOKEN_SECONDS, boundObjectRef=bound)
        request = ServiceAccountToken(metadata=ObjectMeta(), spec=spec)
        answer = await self._persist(lambda: self.context.client.create(request, account, namespace=self.namespace))
        if answer is None:
            raise podfiles.MissingObject(f'serviceaccount "{account}" not found')
        return answer.status.token
