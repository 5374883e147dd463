# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watched objects: a list, then a watch, of every kind that the gateway reads, kept as plain dicts.

A kind whose CRD is not there has no objects; its watch begins when the CRD is established and ends when it goes.
"""
from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lightkube.core.exceptions import ApiError
from lightkube.core.resource import ApiInfo, ResourceDef
from lightkube.generic_resource import GenericGlobalResource, GenericGlobalStatus, GenericNamespacedResource, GenericNamespacedStatus

from .model import Manifest
from .settings import ALPHA_GROUP, GATEWAY_GROUP, POLICY_GROUP, V1_GROUP

Snapshot = dict[str, list[Manifest]]
"""Alias of a kind (a key of KINDS) -> its objects."""

RequestError: type[Exception] = next(base for base in ApiError.__mro__ if base.__name__ == "HTTPError")
"""Base of everything that goes wrong with a request: httpx.HTTPError or httpx2.HTTPError, as the installed lightkube has it."""
RETRY_SECONDS = 0.5


@dataclass(frozen=True)
class Kind:
    """One resource. Its classes are not put into lightkube's registry: other services of the sandbox have their own there."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def is_custom(self) -> bool:
        return "." in self.group

    def resource(self) -> Any:
        """The class that lightkube's calls take; its instances are dicts."""
        base = GenericNamespacedResource if self.namespaced else GenericGlobalResource
        verbs = ["get", "list", "global_list", "watch", "global_watch", "post", "patch"]
        info = ApiInfo(ResourceDef(self.group, self.version, self.kind), self.plural, verbs)
        return type(self.kind, (base,), {"_api_info": info})

    def status(self) -> Any:
        """The class of its status subresource."""
        definition = ResourceDef(self.group, self.version, self.kind)
        base = GenericNamespacedStatus if self.namespaced else GenericGlobalStatus
        info = ApiInfo(definition, self.plural, ["get", "patch", "put"], parent=definition, action="status")
        return type(f"{self.kind}Status", (base,), {"_api_info": info})


KINDS: dict[str, Kind] = {
    "GatewayClass": Kind(GATEWAY_GROUP, "v1", "GatewayClass", "gatewayclasses", namespaced=False),
    "Gateway": Kind(GATEWAY_GROUP, "v1", "Gateway", "gateways"),
    "HTTPRoute": Kind(GATEWAY_GROUP, "v1", "HTTPRoute", "httproutes"),
    "ReferenceGrant": Kind(GATEWAY_GROUP, "v1beta1", "ReferenceGrant", "referencegrants"),
    "AlphaPool": Kind(ALPHA_GROUP, "v1alpha2", "InferencePool", "inferencepools"),
    "Pool": Kind(V1_GROUP, "v1", "InferencePool", "inferencepools"),
    "HealthCheckPolicy": Kind(POLICY_GROUP, "v1", "HealthCheckPolicy", "healthcheckpolicies"),
    "GCPBackendPolicy": Kind(POLICY_GROUP, "v1", "GCPBackendPolicy", "gcpbackendpolicies"),
    "GCPRoutingExtension": Kind(POLICY_GROUP, "v1", "GCPRoutingExtension", "gcproutingextensions"),
    "GCPTrafficExtension": Kind(POLICY_GROUP, "v1", "GCPTrafficExtension", "gcptrafficextensions"),
    "Service": Kind("", "v1", "Service", "services"),
    "Pod": Kind("", "v1", "Pod", "pods"),
    "Namespace": Kind("", "v1", "Namespace", "namespaces", namespaced=False),
}
CRD = Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)


def established(definitions: list[Manifest]) -> set[tuple[str, str, str]]:
    """(group, plural, version) of everything that a list of CustomResourceDefinitions serves now."""
    served = set()
    for definition in definitions:
        conditions = {entry["type"]: entry["status"] for entry in (definition.get("status") or {}).get("conditions") or []}
        if conditions.get("Established") == "True" and conditions.get("Terminating") != "True":
            spec = definition["spec"]
            served |= {(spec["group"], spec["names"]["plural"], version["name"]) for version in spec["versions"] if version.get("served")}
    return served


class Watched:
    """The live contents of all KINDS. ``changed`` is called after every change, at most once per event."""

    def __init__(self, client: Any, changed: Callable[[], None], log: Callable[[str], None]) -> None:
        self._client = client
        self._changed = changed
        self._log = log
        self._objects: dict[str, dict[tuple[str, str], Manifest]] = {name: {} for name in [*KINDS, "CRD"]}
        self._served: set[tuple[str, str, str]] = set()
        self._serving = asyncio.Condition()
        self._waiting = set(KINDS)
        """Kinds that were not listed yet."""
        self._synced = asyncio.Event()

    def snapshot(self) -> Snapshot:
        """The objects of now; treat them as read-only."""
        return {name: list(self._objects[name].values()) for name in KINDS}

    def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        return self._objects[kind].get((namespace, name))

    def serves(self, kind: str) -> bool:
        """Whether the API server has this kind now."""
        entry = KINDS[kind]
        return not entry.is_custom or (entry.group, entry.plural, entry.version) in self._served

    async def synced(self) -> None:
        """Wait until every kind that exists was listed once."""
        await self._synced.wait()

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._definitions())
            for name in KINDS:
                group.create_task(self._follow(name))

    async def wait_served(self, kind: str, wanted: bool = True) -> None:
        async with self._serving:
            await self._serving.wait_for(lambda: self.serves(kind) is wanted)

    async def _definitions(self) -> None:
        async def update() -> None:
            self._served = established(list(self._objects["CRD"].values()))
            for name in KINDS:
                if not self.serves(name):
                    self._listed(name)
            async with self._serving:
                self._serving.notify_all()

        await self._keep("CRD", CRD, update)

    async def _follow(self, name: str) -> None:
        """Watch one kind while its CRD is there."""
        kind = KINDS[name]
        while True:
            await self.wait_served(name)
            watching = asyncio.create_task(self._keep(name, kind))
            gone = asyncio.create_task(self.wait_served(name, wanted=False))
            try:
                await asyncio.wait([watching, gone], return_when=asyncio.FIRST_COMPLETED)
                if watching.done():
                    watching.result()
            finally:
                watching.cancel()
                gone.cancel()
            self._objects[name] = {}
            self._changed()

    async def _keep(self, name: str, kind: Kind, after: Callable[[], Any] | None = None) -> None:
        """List and watch for ever; every error ends in a new list, so that nothing that happened meanwhile is missed."""
        while True:
            try:
                await self._list_and_watch(name, kind, after)
            except Exception as error:  # whatever went wrong with a watch, a new list makes it good
                self._log(f"gateway: watch of {kind.plural}.{kind.group} begins anew after {type(error).__name__}: {error}")
            await asyncio.sleep(RETRY_SECONDS)

    async def _list_and_watch(self, name: str, kind: Kind, after: Callable[[], Any] | None) -> None:
        resource = kind.resource()
        everywhere = {"namespace": "*"} if kind.namespaced else {}
        listed = self._client.list(resource, **everywhere)
        found: dict[tuple[str, str], Manifest] = {}
        async for item in listed:
            found[_key(item)] = dict(item)
        self._objects[name] = found
        await self._done(name, after)
        async for event, item in self._client.watch(resource, resource_version=listed.resourceVersion, **everywhere):
            if event in ("ADDED", "MODIFIED"):
                self._objects[name][_key(item)] = dict(item)
            elif event == "DELETED":
                self._objects[name].pop(_key(item), None)
            await self._done(name, after)

    async def _done(self, name: str, after: Callable[[], Any] | None) -> None:
        if after is not None:
            await after()
        self._listed(name)
        self._changed()

    def _listed(self, name: str) -> None:
        self._waiting.discard(name)
        if not self._waiting:
            self._synced.set()


def _key(item: Manifest) -> tuple[str, str]:
    meta = item["metadata"]
    return meta.get("namespace") or "", meta["name"]
