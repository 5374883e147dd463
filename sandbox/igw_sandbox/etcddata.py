# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of a sandbox: etcd's data directory, copied while etcd stands still and put back while it does not run.

A snapshot belongs to the sandbox that made it: what the cluster holds names its addresses and its registry. Revisions go back with it, which no watch
survives, so all that reads the API server starts anew: API server, controllers, pods, gateways, proxy.
"""
from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path

from lightkube.core.exceptions import ApiError
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Pod
from lightkube.types import PatchType

from igw_sandbox.context import Context, SandboxError

MEMBER = "member"
SEEN_SECONDS = 20.0
"""Longest wait until the controllers have seen that no pod is ready."""


def folder(context: Context) -> Path:
    """Where etcd of this sandbox has its data."""
    return context.directory / "etcd"


def check(snapshot: Path) -> None:
    """Refuse a folder that holds no snapshot."""
    if not (snapshot / MEMBER).is_dir():
        raise SandboxError(f"{snapshot} holds no snapshot of a sandbox; make one with 'sandbox snapshot PATH'.")


async def save(context: Context, snapshot: Path) -> None:
    """Copy etcd's data. It is stopped for the copy, so that the files fit together as after a power cut, which etcd's log makes good."""
    if snapshot.exists():
        raise SandboxError(f"{snapshot} is there already; choose another folder for the snapshot.")
    process = context.processes["etcd"]
    os.kill(process.pid, signal.SIGSTOP)
    try:
        await asyncio.to_thread(shutil.copytree, folder(context), snapshot)
    finally:
        os.kill(process.pid, signal.SIGCONT)


def put(context: Context, snapshot: Path) -> None:
    """Replace etcd's data, and remove what pods and gateways have written since; nothing of them may run."""
    for stale in (folder(context), context.directory / "pods", context.directory / "gateway"):
        shutil.rmtree(stale, ignore_errors=True)
    shutil.copytree(snapshot, folder(context))
    (context.directory / "gateway").mkdir(mode=0o700)


async def after_restart(context: Context) -> None:
    """Say of every pod that it is not ready, as a node controller does of a node that is gone, and wait until the Deployments show it.

    Else the cluster would look healthy until the kubelet has written its first status of each.
    """
    client = context.client
    conditions = [{"type": kind, "status": "False", "reason": "NodeRestarted"} for kind in ("Ready", "ContainersReady")]
    running = [pod async for pod in client.list(Pod, namespace="*") if pod.status.phase == "Running"]
    for pod in running:
        try:
            patch = {"status": {"conditions": conditions}}
            await client.patch(Pod.Status, pod.metadata.name, patch, namespace=pod.metadata.namespace, patch_type=PatchType.STRATEGIC)
        except ApiError as error:  # it went away meanwhile
            context.log(f"snapshot: pod {pod.metadata.namespace}/{pod.metadata.name} keeps its status: {error}")
    deadline = asyncio.get_running_loop().time() + SEEN_SECONDS
    while [item async for item in client.list(Deployment, namespace="*") if item.status.readyReplicas]:
        if asyncio.get_running_loop().time() > deadline:
            raise SandboxError(f"The controllers of sandbox {context.name} have not seen within {SEEN_SECONDS:.0f} s that its pods start anew.")
        await asyncio.sleep(0.1)
