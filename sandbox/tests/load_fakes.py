# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway and an API server of a few lines each, so that the load generator is tested against faults it can be sure of."""
from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from aiohttp import web

from igw_sandbox.context import start_time

TOKEN_SECONDS = 0.01
MODEL = "base"


class FakeWorld:
    """Serves both in a thread. The next requests of a kind ("unary", "stream") meet `faults` of it: a status, "cut", "garbage", "unlogged" or "twice"."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.faults: dict[str, list[Any]] = {"unary": [], "stream": []}
        self.generation = 1
        self.converge = True
        self._watchers: list[web.StreamResponse] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> FakeWorld:
        (self.directory / "gateway").mkdir(parents=True)
        self._thread.start()
        assert self._ready.wait(10)
        (self.directory / "state.json").write_text(json.dumps({"direct_kubeconfig": str(self.directory / "direct.kubeconfig")}))
        (self.directory / "pids.json").write_text(json.dumps([{"name": "supervisor", "pid": os.getpid(), "start": start_time(os.getpid())}]))
        (self.directory / "direct.kubeconfig").write_text(json.dumps({
            "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}], "users": [{"name": "u", "user": {"token": "t"}}]}))
        return self

    def __exit__(self, *unused: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application()
        app.router.add_route("POST", "/v1/{kind:.*}", self._answer)
        app.router.add_get("/plain", self._plain)
        app.router.add_get("/api/v1/{kind}", self._list)
        app.router.add_get("/apis/{group}/{version}/{kind}", self._list)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        self.port = runner.addresses[0][1]
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))

    def write_route(self) -> None:
        """Change the route: a new generation for the watchers, taken by the only instance 0.2 s later."""
        self.generation += 1
        event = json.dumps({"type": "MODIFIED", "object": self._route()}).encode() + b"\n"
        for watcher in list(self._watchers):
            asyncio.run_coroutine_threadsafe(watcher.write(event), self._loop).result(5)
        if self.converge:
            line = {"time": time.time() + 0.2, "instance": 0, "routes": {"default/llm": self.generation}}
            with (self.directory / "gateway" / "converged.jsonl").open("a") as stream:
                stream.write(json.dumps(line) + "\n")

    def _route(self) -> dict[str, Any]:
        return {
            "metadata": {"namespace": "default", "name": "llm", "generation": self.generation, "resourceVersion": str(self.generation)},
            "spec": {"hostnames": ["llm.example.com"], "parentRefs": [{"name": "gw"}], "rules": [
                {"matches": [{"path": {"type": "PathPrefix", "value": "/v1"}}], "backendRefs": [{"kind": "InferencePool", "name": "pool"}]},
                {"matches": [{"path": {"type": "PathPrefix", "value": "/plain"}}], "backendRefs": [{"name": "other", "port": 80}]}]}}

    async def _list(self, request: web.Request) -> web.StreamResponse:
        name = {"namespace": "default", "name": "gw"}
        objects: dict[str, list[dict[str, Any]]] = {
            "httproutes": [self._route()],
            "gateways": [{"metadata": name, "spec": {"listeners": [{"name": "http", "protocol": "HTTP", "port": self.port}]},
                          "status": {"addresses": [{"value": "127.0.0.1"}]}}],
            "inferencemodels": [{"metadata": name, "spec": {"modelName": MODEL, "poolRef": {"name": "pool"}}}],
        }
        if request.query.get("watch"):
            response = web.StreamResponse()
            await response.prepare(request)
            self._watchers.append(response)
            await asyncio.sleep(600)
            return response
        kind = request.match_info["kind"]
        if kind not in ("services", "pods", *objects):
            return web.Response(status=404)
        return web.json_response({"items": objects.get(kind, []), "metadata": {"resourceVersion": "1"}})

    def _log(self, request: web.Request, status: int, fault: Any) -> None:
        line = {"load_id": request.headers.get("x-load-id"), "status": status, "path": request.path}
        with (self.directory / "gateway" / "access-0.jsonl").open("a") as stream:
            stream.write((json.dumps(line) + "\n") * {"unlogged": 0, "twice": 2}.get(fault, 1))

    async def _plain(self, request: web.Request) -> web.StreamResponse:
        self._log(request, 200, None)
        return web.Response(text="hello")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        waiting = self.faults["stream" if body.get("stream") else "unary"]
        fault = waiting.pop(0) if waiting else None
        chat = request.path.endswith("chat/completions")
        if isinstance(fault, int):
            self._log(request, fault, fault)
            return web.Response(status=fault)
        self._log(request, 200, fault)
        if not body.get("stream"):
            await asyncio.sleep(TOKEN_SECONDS * body["max_tokens"])
            choice = {"finish_reason": "length", **({"message": {"content": "x"}} if chat else {"text": "x"})}
            answer = json.dumps({"object": "chat.completion" if chat else "text_completion", "model": body["model"], "choices": [choice]})
            return web.Response(body=answer[:20] if fault == "garbage" else answer, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number in range(body["max_tokens"]):
            await asyncio.sleep(TOKEN_SECONDS)
            if fault == "cut" and number == 1:
                assert request.transport
                request.transport.close()
                return response
            last = "length" if number == body["max_tokens"] - 1 else None
            choice = {"finish_reason": last, **({"delta": {"content": "x"}} if chat else {"text": "x"})}
            await response.write(b"data: " + json.dumps({"model": body["model"], "choices": [choice]}).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response
