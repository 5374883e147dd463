# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gateway of a sandbox: a controller with GKE's habits and the Envoys that it drives.

Files in DIR/gateway: gateway.json (addresses, admin URLs, seed), access-N.jsonl, converged.jsonl. The program's own lines are in
logs/gateway.log. Single habits (settings.Settings) can be changed before ``up`` by the environment variable IGW_GATEWAY_SETTINGS (a JSON
object) and at any time by the fault ``gateway``, e.g. ``sandbox fault gateway take=[30,40]``.
The command ``gateway.cold`` (World.call) names the backends that each instance still answers 503 for.
"""
from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Callable
from typing import Any

from lightkube.core.exceptions import ApiError
from lightkube.types import PatchType

from ..context import Context
from .fleet import Fleet
from .model import Model
from .settings import CLASSES, CONTROLLER, GATEWAY_GROUP, Settings
from .snapshot import KINDS, RequestError, Watched
from .status import StatusWriter
from .statuses import condition

SETTINGS_VARIABLE = "IGW_GATEWAY_SETTINGS"
SETTLE_SECONDS = 0.05
"""Events that come together are one change."""


async def run(context: Context) -> None:
    """Serve the Gateways of one sandbox until cancelled."""
    folder = context.directory / "gateway"
    seed = context.seed or random.SystemRandom().randrange(1, 1_000_000)
    settings = Settings.of(context.profile, context.gateway, seed, json.loads(os.environ.get(SETTINGS_VARIABLE) or "{}"))
    context.logs.mkdir(parents=True, exist_ok=True)
    log_path = context.logs / "gateway.log"

    def log(message: str) -> None:
        with open(log_path, "a", encoding="utf-8") as stream:
            stream.write(f"{time.strftime('%H:%M:%S')} {message}\n")

    log(f"gateway: profile {context.profile}, kind {context.gateway}, seed {seed}")
    changed = asyncio.Event()
    watched = Watched(context.client, changed.set, log)
    writer = StatusWriter(context.client, watched, log)

    def announce(model: Model) -> None:
        writer.announce(model.statuses)

    fleet = Fleet(settings, folder, context.runtime / "gw", context.subnet, announce, log)

    async def change_settings(**overrides: Any) -> dict[str, Any]:
        log(f"gateway: settings {overrides}")
        return fleet.change_settings(overrides)

    async def cold() -> dict[str, list[str]]:
        return {instance.name: instance.cold() for instance in fleet.instances}

    context.handlers["fault.gateway"] = change_settings
    context.handlers["gateway.cold"] = cold
    context.publish(gateway={
        "file": str(folder / "gateway.json"), "converged": str(folder / "converged.jsonl"), "log": str(log_path), "seed": seed,
        "access_logs": [str(instance.access_log) for instance in fleet.instances], "instances": [instance.admin for instance in fleet.instances]})

    async def spawn(name: str, argv: list[Any]) -> asyncio.subprocess.Process:
        return await context.spawn(name, argv)

    async def control() -> None:
        """Every change in the cluster becomes what the instances shall do."""
        await watched.synced()
        context.mark_ready("gateway")
        while True:
            await changed.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            changed.clear()
            snapshot = watched.snapshot()
            classes = {item["metadata"]["name"] for item in snapshot["GatewayClass"] if item["spec"].get("controllerName") == CONTROLLER}
            fleet.observe(snapshot, classes & set(CLASSES))
            writer.poke()

    async with asyncio.TaskGroup() as group:
        group.create_task(watched.run())
        group.create_task(make_classes(context.client, watched, log))
        group.create_task(fleet.run(spawn, context.tools["envoy"]))
        group.create_task(control())
        group.create_task(writer.run())


async def make_classes(client: Any, watched: Watched, log: Callable[[str], None]) -> None:
    """Make the GatewayClasses that GKE has, as soon as their kind is there."""
    await watched.wait_served("GatewayClass")
    kind = KINDS["GatewayClass"]
    resource, status = kind.resource(), kind.status()
    for name in CLASSES:
        manifest = {"apiVersion": f"{GATEWAY_GROUP}/v1", "kind": "GatewayClass", "metadata": {"name": name}, "spec": {"controllerName": CONTROLLER}}
        accepted = {**condition("Accepted", True, "Accepted", 1), "lastTransitionTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        while True:
            try:
                try:
                    await client.create(resource(manifest))
                except ApiError as error:
                    if error.status.code != 409:  # 409: it is there from an earlier start
                        raise
                await client.patch(status, name, {"status": {"conditions": [accepted]}}, patch_type=PatchType.MERGE)
                break
            except RequestError as error:  # the kind may be established, but not yet served everywhere inside the API server
                log(f"gateway: GatewayClass {name} can't be made yet: {error}")
                await asyncio.sleep(0.5)
