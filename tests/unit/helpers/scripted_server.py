# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway on real sockets of loopback that answers as it is told."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.unit.helpers.answers import HEADERS

Handler = BaseHTTPRequestHandler
Script = Callable[[Handler], None]


class ServerV6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


ServerOf = {socket.AF_INET: ThreadingHTTPServer, socket.AF_INET6: ServerV6}


class Server:
    """A gateway on loopback that does what it is told, and remembers what it was asked."""

    def __init__(self, family: socket.AddressFamily = socket.AF_INET) -> None:
        self.script: Script = lambda handler: None
        self.seen: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        outer = self

        class Scripted(Handler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, json.loads(body)))
                outer.script(self)

            def do_GET(self) -> None:
                outer.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, {}))
                outer.script(self)

            def log_message(self, *_arguments: Any) -> None:
                pass

        self.http = ServerOf[family](("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), Scripted)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


def plain(body: bytes, status: int = 200, claim: int | None = None, **headers: str) -> Script:
    def script(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in (HEADERS | headers).items():
            handler.send_header(name.title(), value)
        handler.send_header("Content-Length", str(len(body) if claim is None else claim))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return script


def chunked(*parts: bytes, end: bool = True, pause: float = 0.0) -> Script:
    def script(handler: Handler) -> None:
        handler.send_response(200)
        for name, value in HEADERS.items():
            handler.send_header(name, value)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        try:
            for part in parts:
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                handler.wfile.flush()
                time.sleep(pause)
            if end:
                handler.wfile.write(b"0\r\n\r\n")
        except OSError:
            pass
        handler.close_connection = True

    return script
