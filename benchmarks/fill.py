# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fill an API server with thousands of objects, many requests at a time. Loopback only."""
from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from igw_sandbox.context import SandboxError

Manifest = dict[str, Any]
WORKERS = 24
"""Requests at a time: more only queue up in the API server."""
MOST = 500_000
"""Objects; more is a slip of the keyboard."""


def fill(kubeconfig: Path, namespaces: Iterable[str], manifests: Iterable[Manifest], seconds: float) -> int:
    """Create namespaces, then everything else, with status; returns how many objects.

    :param kubeconfig: as the sandbox writes it: one context, a token.
    :param seconds: the time-out for all of it.
    """
    config = json.loads(kubeconfig.read_text())
    cluster, token = config["clusters"][0]["cluster"], config["users"][0]["user"]["token"]
    if not (urlsplit(cluster["server"]).hostname or "").startswith("127."):
        raise SandboxError(f"{cluster['server']} is not on the loopback interface: only a sandbox is filled.")
    tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    first = ({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in namespaces)

    async def all_of_it() -> int:
        connector = aiohttp.TCPConnector(ssl=tls, limit=WORKERS)
        async with aiohttp.ClientSession(cluster["server"], headers={"Authorization": f"Bearer {token}"}, connector=connector) as session:
            return await _create(session, first) + await _create(session, manifests)

    async def in_time() -> int:
        return await asyncio.wait_for(all_of_it(), seconds)

    try:
        return asyncio.run(in_time())
    except TimeoutError:
        raise SandboxError(f"The API server was not filled within {seconds:.0f} s; give fewer --objects or more --fill-seconds.") from None


async def _create(session: aiohttp.ClientSession, manifests: Iterable[Manifest]) -> int:
    """Create manifests by as many workers as there may be requests; returns how many."""
    waiting, counts = iter(manifests), [0] * WORKERS

    async def work(number: int) -> None:
        for manifest in waiting:
            await _one(session, manifest)
            counts[number] += 1
            if sum(counts) > MOST:
                raise SandboxError(f"More than {MOST} objects are no benchmark any more.")

    async with asyncio.TaskGroup() as group:
        for number in range(WORKERS):
            group.create_task(work(number))
    return sum(counts)


async def _one(session: aiohttp.ClientSession, manifest: Manifest) -> None:
    """Create one object, then its status, which the API server drops at first."""
    path = collection(manifest)
    await _send(session, "POST", path, manifest, "application/json")
    if "status" in manifest:
        await _send(session, "PATCH", f"{path}/{manifest['metadata']['name']}/status", {"status": manifest["status"]}, "application/merge-patch+json")


async def _send(session: aiohttp.ClientSession, method: str, path: str, body: Manifest, content_type: str) -> None:
    async with session.request(method, path, data=json.dumps(body), headers={"Content-Type": content_type}) as answer:
        if answer.status >= 300:
            raise SandboxError(f"{method} {path} was answered {answer.status}: {(await answer.text())[:300]}")


def collection(manifest: Manifest) -> str:
    """The path of an object's collection."""
    version, namespace = manifest["apiVersion"], manifest["metadata"].get("namespace")
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return "/".join([root, *(["namespaces", namespace] if namespace else []), plural(manifest["kind"])])


def plural(kind: str) -> str:
    """Enough English for the kinds of the estate."""
    word = kind.lower()
    if word.endswith("y") and not word.endswith("ay"):
        return word[:-1] + "ies"
    return word + ("es" if word.endswith("s") else "s")
