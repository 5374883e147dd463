# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the load reads from the sandbox's API server: what to ask for, and when a loaded route was written.

It reads with the direct kubeconfig, so that the API proxy counts and disturbs only the product's requests.
"""
from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from .load_answer import Target
from .load_targets import discover

ROUTES = "/apis/gateway.networking.k8s.io/v1/httproutes"
LISTS = {
    "routes": ROUTES,
    "gateways": "/apis/gateway.networking.k8s.io/v1/gateways",
    "models": "/apis/inference.networking.x-k8s.io/v1alpha2/inferencemodels",
    "alpha_pools": "/apis/inference.networking.x-k8s.io/v1alpha2/inferencepools",
    "v1_pools": "/apis/inference.networking.k8s.io/v1/inferencepools",
    "services": "/api/v1/services",
    "pods": "/api/v1/pods",
    "namespaces": "/api/v1/namespaces",
    "extensions": "/apis/networking.gke.io/v1/gcproutingextensions",
}
RECONNECT_SECONDS = 0.5


class Cluster:
    """A reader of one API server."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        context = next(entry["context"] for entry in config["contexts"] if entry["name"] == config["current-context"])
        self._server = next(entry["cluster"]["server"] for entry in config["clusters"] if entry["name"] == context["cluster"])
        self._token = next(entry["user"]["token"] for entry in config["users"] if entry["name"] == context["user"])
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Cluster:
        # The sandbox's API server signs its own certificate and listens on loopback only.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=False), trust_env=False, headers={"Authorization": f"Bearer {self._token}"})
        return self

    async def __aexit__(self, *unused: object) -> None:
        assert self._session
        await self._session.close()

    async def all_of(self, path: str) -> tuple[list[dict[str, Any]], str]:
        """(all objects at a list path, the list's resourceVersion); an absent kind is an empty list."""
        assert self._session
        async with self._session.get(self._server + path) as response:
            if response.status == 404:
                return [], ""
            response.raise_for_status()
            answer = await response.json()
        return answer["items"], answer["metadata"]["resourceVersion"]

    async def targets(self) -> tuple[list[Target], list[str]]:
        """(every target of the estate as it is now, what was skipped and why)."""
        found = {name: (await self.all_of(path))[0] for name, path in LISTS.items()}
        running = [pod for pod in found["pods"] if pod.get("status", {}).get("phase") == "Running"]
        return discover(
            found["routes"], found["gateways"], found["alpha_pools"] + found["v1_pools"], found["models"], found["services"], running,
            found["namespaces"], found["extensions"])

    async def watch_routes(self, seen: Callable[[str, int, str, float], None]) -> None:
        """Call seen(NAMESPACE/NAME, generation, resourceVersion, time) for every state of every HTTPRoute, until cancelled.

        The first call for a route is the state it was found in. An API server that goes away is asked again.
        """
        assert self._session
        while True:
            try:
                items, version = await self.all_of(ROUTES)
                for item in items:
                    _report(item, seen)
                query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "600"}
                timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
                async with self._session.get(self._server + ROUTES, params=query, timeout=timeout) as response:
                    response.raise_for_status()
                    async for line in response.content:
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            break  # the version is too old: list again
                        _report(event["object"], seen)
            except (aiohttp.ClientError, OSError, ValueError, asyncio.TimeoutError):
                pass  # a fault test took the API server away; the next list tells what was missed
            await asyncio.sleep(RECONNECT_SECONDS)


def _report(route: Mapping[str, Any], seen: Callable[[str, int, str, float], None]) -> None:
    metadata = route["metadata"]
    seen(f"{metadata['namespace']}/{metadata['name']}", int(metadata.get("generation") or 0), str(metadata["resourceVersion"]), time.time())
