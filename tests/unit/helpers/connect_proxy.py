# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy on loopback that tunnels what CONNECT asks for, and says what that was."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def connect_proxy(places: Mapping[str, str] | None = None) -> Iterator[tuple[str, list[str]]]:
    """Run a proxy until the end of the block; yields its URL and the targets (HOST:PORT) that it was asked for.

    :param places: addresses of host names that nobody else knows.
    """
    asked: list[str] = []

    class Tunnel(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append(self.path)
            host, _colon, port = self.path.rpartition(":")
            with socket.create_connection(((places or {}).get(host, host), int(port))) as target:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=pump, args=(target, self.connection))
                back.start()
                pump(self.connection, target)
                back.join()
            self.close_connection = True

        def log_message(self, *_arguments: Any) -> None:
            pass

    def pump(source: socket.socket, target: socket.socket) -> None:
        try:
            while part := source.recv(65536):
                target.sendall(part)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Tunnel)
    made.daemon_threads = True
    threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{made.server_address[1]}", asked
    finally:
        made.shutdown()
        made.server_close()
