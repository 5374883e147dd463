# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An OCI registry with the inferencepool charts of all releases: ``oci://HOST:PORT/charts/inferencepool``."""
from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import aiohttp

from igw_sandbox import assets
from igw_sandbox.context import Context, SandboxError, free_port

READY_TIMEOUT = 30.0


async def run(context: Context) -> None:
    """Serve until cancelled; publishes ``registry`` (host:port) and ``charts`` (oci:// URL of the folder)."""
    # An address of the sandbox's own: on a shared one two sandboxes that come up at once could choose the same port.
    address = f"{context.subnet}.0.4"
    host = f"{address}:{free_port(address, 5000)}"
    environment = {**os.environ, "PORT": host.rpartition(":")[2]}
    process = await context.spawn("registry", [context.tools["crane"], "registry", "serve", "--address", host], env=environment)
    await _answering(process, host, context)
    await asyncio.gather(*(_push(context, chart, host) for chart in sorted((assets.folder() / "charts").glob("*.tgz"))))
    context.publish(registry=host, charts=f"oci://{host}/charts")
    context.mark_ready("registry")
    code = await process.wait()
    raise SandboxError(f"The chart registry of sandbox {context.name} ended with status {code}: {context.tail('registry', 3)}.")


async def _answering(process: asyncio.subprocess.Process, host: str, context: Context) -> None:
    deadline = time.monotonic() + READY_TIMEOUT
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline and process.returncode is None:
            try:
                async with session.get(f"http://{host}/v2/") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass  # not listening yet
            await asyncio.sleep(0.05)
    raise SandboxError(f"The chart registry of sandbox {context.name} does not answer on {host}: {context.tail('registry', 3)}.")


async def _push(context: Context, chart: Path, host: str) -> None:
    home = str(context.directory / "helm")
    environment = {**os.environ, "HELM_CACHE_HOME": home, "HELM_CONFIG_HOME": home, "HELM_DATA_HOME": home}
    process = await context.spawn(f"push-{chart.stem}", [context.tools["helm"], "push", chart, f"oci://{host}/charts", "--plain-http"], env=environment)
    if await process.wait():
        raise SandboxError(f"helm could not push {chart.name} into the sandbox's registry: {context.tail(f'push-{chart.stem}', 3)}.")
