# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS proxy in front of the API server: says any GKE version, counts requests, and breaks them on demand.

Admin endpoint (plain HTTP on loopback): GET /requests, POST /reset, POST /fault, GET /faults, POST /faults/clear, GET /log.
A dropped request shows in the log with status 0.
"""
from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TextIO

import aiohttp
import yarl
from aiohttp import web

from igw_sandbox import pki
from igw_sandbox.context import Context, free_port, process_tree
from igw_sandbox.proxyfaults import Call, Counters, Fault, Faults, status_body

HOP_BY_HOP = frozenset(("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailers", "transfer-encoding", "upgrade", "host",
                        "content-length"))
BODY_LIMIT = 64 * 1024 * 1024
"""Bytes of one request; etcd's own limit is far below."""


def parse_call(request: web.BaseRequest, body: bytes | None) -> Call:
    """What counts about a request. An empty dryRun is none; ``watch`` may be a flag without a value.

    Of a DELETE with a body the API server reads dryRun there alone: in the query it does not keep the server from deleting.
    """
    query = request.query
    dry_run = bool(query.get("dryRun"))
    if request.method == "DELETE" and body:
        dry_run = b'"dryRun":["All"]' in body.replace(b" ", b"")
    watch = request.method == "GET" and ("/watch/" in request.path or query.get("watch", "false").lower() in ("", "1", "true"))
    return Call(request.method, request.path, dry_run, watch, request.headers.get("User-Agent", ""))


def as_gke(body: bytes, gke_version: str) -> bytes:
    """The answer of /version with GKE's version in place of the real one."""
    version = json.loads(body)
    major, minor = gke_version.removeprefix("v").split(".")[:2]
    version.update(gitVersion=gke_version, major=major, minor=minor)
    return json.dumps(version, indent=2).encode()


class ApiProxy:
    """One proxy in front of one API server; several with different ``cluster_uid`` make several clusters of it."""

    def __init__(self, upstream: str, authority_pem: bytes, log: TextIO, gke_version: str = "", cluster_uid: str = "",
                 users: Mapping[str, str] | None = None) -> None:
        self.upstream = upstream
        self.gke_version = gke_version
        self.cluster_uid = cluster_uid
        self._users = dict(users or {})
        """Bearer token to user."""
        self.log = log
        self.faults = Faults()
        self.counters = Counters()
        self.watches: set[asyncio.Transport] = set()
        self._tls = ssl.create_default_context(cadata=authority_pem.decode())
        self._address: tuple[str, int] = ("", 0)
        self._closed_until = 0.0
        self._runner: web.AppRunner
        self._site: web.TCPSite
        self._session: aiohttp.ClientSession
        self._reopening: asyncio.Task[None] | None = None

    async def start(self, address: str, port: int, tls: ssl.SSLContext) -> None:
        """Listen; ``tls`` is the server's side."""
        application = web.Application(client_max_size=BODY_LIMIT)
        application.router.add_route("*", "/{path:.*}", self.handle)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self._tls, limit=0), auto_decompress=False,
                                              timeout=aiohttp.ClientTimeout(total=None), cookie_jar=aiohttp.DummyCookieJar())
        self._runner = web.AppRunner(application, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        self._address, self._server_tls = (address, port), tls
        await self._open()

    async def _open(self) -> None:
        self._site = web.TCPSite(self._runner, *self._address, ssl_context=self._server_tls, reuse_address=True, shutdown_timeout=0)
        await self._site.start()

    async def stop(self) -> None:
        if self._reopening:
            self._reopening.cancel()
        for connection in self._connections():
            connection.abort()
        await self._runner.cleanup()
        await self._session.close()

    def _connections(self) -> list[asyncio.Transport]:
        server = self._runner.server
        return [] if server is None else [handler.transport for handler in server.connections if handler.transport is not None]

    async def close_for(self, seconds: float) -> None:
        """Refuse and end every connection for ``seconds``; a second call prolongs."""
        self._closed_until = max(self._closed_until, time.monotonic() + seconds)
        if self._reopening is None or self._reopening.done():
            await self._site.stop()  # the listening socket alone
            self._reopening = asyncio.create_task(self._reopen())
        for connection in self._connections():
            connection.abort()

    async def _reopen(self) -> None:
        while (left := self._closed_until - time.monotonic()) > 0:
            await asyncio.sleep(left)
        await self._open()

    async def add_fault(self, arguments: dict) -> Fault:
        """Register a fault. ``unreachable`` and ``drop_watches`` act at once unless ``after`` or ``match`` tie them to a request."""
        fault = self.faults.add(arguments)
        if fault.kind in ("unreachable", "drop_watches") and not {"after", "match"} & set(arguments):
            fault.fire("at once")
            await self._outage(fault)
        return fault

    async def _outage(self, fault: Fault) -> None:
        if fault.kind == "unreachable":
            await self.close_for(fault.seconds)
        elif fault.kind == "drop_watches":
            for transport in list(self.watches):
                transport.abort()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Forward one request, or do to it what a fault says."""
        began = time.time()
        body = await request.read() if request.can_read_body else None
        call = replace(parse_call(request, body), user=self._users.get(request.headers.get("Authorization", "").removeprefix("Bearer "), ""))
        status, fired = 0, []
        self.counters.add(call)
        try:
            fired = self.faults.hit_by(call)
            drop = False
            for fault in fired:
                if fault.kind == "delay":
                    await asyncio.sleep(fault.seconds)
                elif fault.kind == "kill" and fault.when == "before":
                    kill(fault.pid, fault.group)
                    drop = True
                elif fault.kind == "status":
                    status = fault.status
                    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
                    return web.json_response(status_body(fault.status, fault.message, fault.retry_after), status=fault.status, headers=headers)
                elif fault.kind in ("unreachable", "drop_watches"):
                    await self._outage(fault)
                    drop = drop or fault.kind == "unreachable"
                elif fault.kind == "reset":
                    drop = True
            if drop:
                return self._drop(request)
            response, status = await self._forward(request, body, call, fired)
            return response
        finally:
            self._write_log(call, request, status, began, fired)

    def _drop(self, request: web.Request) -> web.Response:
        """End the client's connection without an answer."""
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)  # goes nowhere: the connection is gone

    async def _forward(self, request: web.Request, body: bytes | None, call: Call, fired: list[Fault]) -> tuple[web.StreamResponse, int]:
        """Ask the API server and hand its answer on as it comes; returns the response and its status (0: dropped)."""
        headers = [(key, value) for key, value in request.headers.items() if key.lower() not in HOP_BY_HOP]
        if "upgrade" in request.headers.get("Connection", "").lower():
            return web.json_response(status_body(501, "the sandbox has no kubelets: exec, attach and port-forward are not possible", None), status=501), 501
        url = yarl.URL(self.upstream + request.raw_path, encoded=True)
        try:
            async with self._session.request(request.method, url, headers=headers, data=body, allow_redirects=False) as answer:
                if any(fault.kind == "drop_answer" for fault in fired):
                    await answer.read()
                    return self._drop(request), 0
                for fault in fired:
                    if fault.kind == "kill":  # the API server has answered, the client has not heard of it
                        kill(fault.pid, fault.group)
                        return self._drop(request), 0
                return await self._hand_on(request, call, answer), answer.status
        except aiohttp.ClientConnectionError as error:
            return web.json_response(status_body(502, f"the sandbox's API server does not answer: {error}", None), status=502), 502

    async def _hand_on(self, request: web.Request, call: Call, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        rewritten = await self._rewritten(call, answer)
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        for key, value in answer.headers.items():
            if key.lower() not in HOP_BY_HOP and not (rewritten is not None and key.lower() == "content-encoding"):
                response.headers.add(key, value)
        if rewritten is not None:
            response.content_length = len(rewritten)
            await response.prepare(request)
            await response.write(rewritten)
        else:
            if answer.content_length is not None and not call.watch:
                response.content_length = answer.content_length
            transport = request.transport
            await response.prepare(request)
            if call.watch and transport is not None:
                self.watches.add(transport)
            try:
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
            finally:
                self.watches.discard(transport)
        await response.write_eof()
        return response

    async def _rewritten(self, call: Call, answer: aiohttp.ClientResponse) -> bytes | None:
        """The whole new body where the proxy changes one, else None."""
        if answer.status != 200 or call.method != "GET":
            return None
        if self.gke_version and call.path == "/version":
            return as_gke(await answer.read(), self.gke_version)
        if self.cluster_uid and call.path == "/api/v1/namespaces/kube-system" and "json" in answer.headers.get("Content-Type", ""):
            namespace = json.loads(await answer.read())
            namespace["metadata"]["uid"] = self.cluster_uid
            return json.dumps(namespace).encode()
        return None

    def _write_log(self, call: Call, request: web.Request, status: int, began: float, fired: list[Fault]) -> None:
        line = {"time": round(began, 3), "method": call.method, "path": request.raw_path, "user_agent": call.user_agent, "user": call.user,
                "dry_run": call.dry_run, "write": call.write, "status": status, "duration_ms": round((time.time() - began) * 1000, 1)}
        if fired:
            line["faults"] = [fault.kind for fault in fired]
        self.log.write(json.dumps(line) + "\n")
        self.log.flush()

    def admin(self) -> web.Application:
        """The admin endpoint."""

        async def requests(_request: web.Request) -> web.Response:
            return web.json_response(self.counters.as_dict())

        async def reset(_request: web.Request) -> web.Response:
            self.counters.reset()
            return web.json_response({})

        async def fault(request: web.Request) -> web.Response:
            try:
                added = await self.add_fault(await request.json())
            except (TypeError, ValueError, re.error) as error:
                return web.json_response({"error": str(error)}, status=400)
            return web.json_response({"id": added.id})

        async def faults(_request: web.Request) -> web.Response:
            return web.json_response(self.faults.describe())

        async def clear(_request: web.Request) -> web.Response:
            self.faults.clear()
            return web.json_response({})

        application = web.Application()
        application.add_routes([web.get("/requests", requests), web.post("/reset", reset), web.post("/fault", fault), web.get("/faults", faults),
                                web.post("/faults/clear", clear)])
        return application


def kill(pid: int, group: bool) -> None:
    """SIGKILL; a process that is gone already is fine, the fault is about the moment.

    :param group: the process's whole group too, and all that it has started: ansible-playbook's workers make sessions of their own.
    """
    for victim in process_tree(pid) if group else [pid]:
        with suppress(ProcessLookupError):
            leads = group and os.getpgid(victim) == victim
            (os.killpg if leads else os.kill)(victim, signal.SIGKILL)


async def run(context: Context) -> None:
    """Serve until cancelled; publishes ``kubeconfig``, ``server`` and ``api_proxy`` (URL of the admin endpoint)."""
    address = f"{context.subnet}.0.1"
    port, admin_port = free_port(address, 6443), free_port(address, 6480)
    folder = context.directory / "proxy-pki"
    folder.mkdir(exist_ok=True)
    authority = pki.Authority.create(f"sandbox {context.name} proxy")
    certificate, key = authority.issue(folder, "proxy", [address, "127.0.0.1"], ["localhost"])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with open(context.directory / "api-requests.jsonl", "a", encoding="utf-8") as log:
        users = {token: user for user, token in {"admin": context.admin_token, **context.clients}.items()}
        proxy = ApiProxy(context.state["direct_server"], (context.directory / "pki" / "ca.crt").read_bytes(), log, context.gke_version, users=users)
        admin = web.AppRunner(proxy.admin(), access_log=None)
        await proxy.start(address, port, tls)
        try:
            await admin.setup()
            await web.TCPSite(admin, address, admin_port).start()
            kubeconfig = pki.write_kubeconfig(context.directory / "kubeconfig", f"https://{address}:{port}", authority.pem, context.admin_token, context.name)
            (context.directory / "clients").mkdir(exist_ok=True)
            for user, token in context.clients.items():
                pki.write_kubeconfig(context.directory / "clients" / f"{user}.kubeconfig", f"https://{address}:{port}", authority.pem, token, context.name)
            context.publish(kubeconfig=str(kubeconfig), server=f"https://{address}:{port}", api_proxy=f"http://{address}:{admin_port}")
            context.mark_ready("apiproxy")
            await asyncio.Event().wait()
        finally:
            await proxy.stop()
            await admin.cleanup()
