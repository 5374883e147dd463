# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends requests through a gateway; no other file does.

Every probe opens a connection of its own (a gateway's front ends take a change at different times, and a kept connection
sees only one of them), is sent once and never again, and ignores proxies of the environment.

For internal use of this collection only.
"""

from __future__ import annotations

import http.client
import json
import re
import secrets
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.answer_checks import (
    EPP_HEADER,
    ERROR_EVENT,
    REFUSED,
    Answer,
    StreamOutcome,
    by_gateway,
    head_fault,
    judge,
    listed_models,
    model_named,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import LENGTHS, Address, Probe, ProbeTarget
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.traffic_split import REWRITE_HEADER, Signature, signature
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.probe_routes import PROBE_HEADER

READ_LIMIT = 1_000_000
"""Bytes of an answer that are read at most; a probe asks for a handful of tokens."""

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
OURS = frozenset({"host", "connection", "content-type", "content-length", "transfer-encoding", PROBE_HEADER, REWRITE_HEADER})
"""Headers that requests of our own have, in lower case."""
LAST = 64
"""Bytes at the end of a long stream that are kept: ``data: [DONE]`` is in them."""


def argument_spec() -> dict[str, Any]:
    """Return the options on how probes are sent and on user-defined probes, for modules that send them and for the plugin that drives these."""
    probe = {
        "path": {"type": "str", "required": True},
        "method": {"type": "str", "choices": ["GET", "POST"], "default": "POST"},
        "body": {"type": "dict"},
        "hostname": {"type": "str"},
        "headers": {"type": "dict", "default": {}},
    }
    return {
        "probes": {"type": "list", "elements": "dict", "default": [], "options": probe, "required_if": [("method", "POST", ("body",))]},
        "probe_token": {"type": "str", "no_log": True},
        "probe_headers": {"type": "list", "elements": "str", "default": [], "no_log": True},
        "probe_ca_cert": {"type": "path"},
        "probe_validate_certs": {"type": "bool", "default": True},
        "probe_proxy": {"type": "str"},
        "probe_rate": {"type": "int", "default": 60},
        "probe_timeout": {"type": "int", "default": 10},
    }


def client(params: dict[str, Any]) -> Client:
    """Make the client that a module's parameters ask for.

    :raises ValueError: when a header, the proxy or the file of certificate authorities can't be used. No header's value is in the message.
    """
    made = Client(params["probe_timeout"], params["probe_ca_cert"], params["probe_validate_certs"], params["probe_token"], _proxy(params["probe_proxy"]),
                  tuple(_header(number, text) for number, text in enumerate(params["probe_headers"])))
    if params["probe_ca_cert"]:
        try:
            made.tls  # noqa: B018  (read now, so that a wrong file is one sentence and not a failure of every probe)
        except OSError as error:
            raise ValueError(f"probe_ca_cert {params['probe_ca_cert']} can't be used: {error.strerror or error}.") from error
    return made


def _header(number: int, text: str) -> tuple[str, str]:
    """Return name and value of one of a person's own headers. :raises ValueError: when it is none, or one that requests of our own need."""
    name, colon, value = text.partition(":")
    if not colon or not HEADER_NAME.fullmatch(name) or not value.strip().isprintable() or not value.strip() or not value.isascii():
        raise ValueError(f"Entry {number} of probe_headers must be NAME: VALUE.")
    if name.lower() in OURS:
        raise ValueError(f"Entry {number} of probe_headers may not be {name}: every probe has its own.")
    return name, value.strip()


def _proxy(url: str | None) -> tuple[str, int] | None:
    """Return host and port of a proxy's URL, None for None. :raises ValueError: when it is not ``http://HOST:PORT``."""
    if url is None:
        return None
    found = urlsplit(url)
    try:
        port = found.port
    except ValueError:
        port = None
    if found.scheme != "http" or not found.hostname or port is None or found.username is not None:
        raise ValueError("probe_proxy must be http://HOST:PORT, without a user.")
    return found.hostname, port


class TooLong(Exception):
    """An answer was longer than :data:`READ_LIMIT`, so it was not read to its end."""


@dataclass(frozen=True)
class Client:
    """Sends probes, tracer requests and long streams.

    :param timeout: seconds for a whole answer; of a long stream, for its next part. :param ca_file: certificate authorities of HTTPS listeners, None for the
        system's. :param verify: whether their certificates are checked. :param token: bearer token that goes with each request. :param proxy: host and port.
    :param headers: that go with each request too, for a gateway that wants a key of its own.
    """

    timeout: float
    ca_file: str | None = None
    verify: bool = True
    token: str | None = None
    proxy: tuple[str, int] | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """The TLS context of all connections, made once because that reads a file of authorities.

        :raises OSError: when there is no such file. :raises ssl.SSLError: when there is no certificate in it.
        """
        context = ssl.create_default_context(cafile=self.ca_file)
        if not self.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def send(self, probe: Probe) -> Answer:
        """Send one probe and judge its answer: status, mark, EPP header, JSON shape, model, finish_reason, ``[DONE]``."""
        sent, begun = time.time(), time.monotonic()
        status, reason, model, first, refused = 0, None, "", 0.0, False
        try:
            with self._asked(probe, _body(probe)) as response:
                status, headers = response.status, _named(response)
                body, came = _read(response, begun + self.timeout)
                reason, model, first = judge(probe, status, headers, body), model_named(probe, headers, body), came - begun
                refused = by_gateway(status, headers, body)
        except (TimeoutError, socket.timeout):
            reason = f"no complete answer within {self.timeout:g} s"
        except TooLong as error:
            reason = f"{error}"
        except (OSError, UnicodeError, http.client.HTTPException) as error:
            reason = f"connection failed: {error or type(error).__name__}"
        return Answer(status, self._masked(reason), sent, time.monotonic() - begun, model, first, refused)

    def send_tracer(self, probe: Probe) -> Signature | None:
        """Send one tracer request and return the signature of its answer, or None where no complete answer came."""
        begun = time.monotonic()
        try:
            with self._asked(probe, _body(probe)) as response:
                body, _came = _read(response, begun + self.timeout)
                return signature(probe, response.status, body, EPP_HEADER in _named(response))
        except (OSError, UnicodeError, http.client.HTTPException, TooLong):
            return None

    def hold_stream(self, probe: Probe, until: float) -> StreamOutcome:
        """Hold one long stream open until it ends, or until a moment on the clock of time.monotonic, when it is closed.

        A server that can't give so many tokens refuses, and is asked for fewer. Some part of the answer must come within each ``timeout`` seconds.
        """
        held = StreamOutcome(0, None, 0.0, 0.0)
        for tokens, ignore_eos in LENGTHS:
            text = f"{secrets.token_hex(8)}: count from one upwards, one number a line, and do not stop."
            held = self._held(probe, json.dumps(probe.long_body(text, tokens, ignore_eos)).encode(), until)
            if held.status != 400 and held.reason != REFUSED:
                break
        return held

    def _held(self, probe: Probe, body: bytes, until: float) -> StreamOutcome:
        status, opened, begun, last, reason, closed = 0, 0.0, time.monotonic(), b"", None, False
        try:
            with self._asked(probe, body) as response:
                status = response.status
                reason = head_fault(probe, status, _named(response), b"" if status == 200 else response.read(LAST))
                opened, begun = (time.time(), time.monotonic()) if reason is None else (0.0, begun)
                while reason is None and not (closed := time.monotonic() >= until):
                    part = response.read1(65536)
                    if ERROR_EVENT in last + part:
                        reason = REFUSED
                    last = (last + part)[-LAST:]
                    if not part:
                        reason = None if b"data: [DONE]" in last else "it ended before [DONE]"
                        break
        except (TimeoutError, socket.timeout):
            reason = f"nothing came for {self.timeout:g} s"
        except (OSError, UnicodeError, http.client.HTTPException) as error:
            reason = f"connection failed: {error or type(error).__name__}"
        if reason == REFUSED:  # it was no answer that began
            opened = 0.0
        return StreamOutcome(status, self._masked(reason), opened, time.monotonic() - begun if opened else 0.0, closed)

    def _masked(self, reason: str | None) -> str | None:
        """Return a reason without secrets, which a gateway may have put into the text of its error."""
        for secret in filter(None, [self.token, *(value for _name, value in self.headers)]):
            reason = reason and reason.replace(secret, "********")
        return reason

    def connect(self, place: Address, hostname: str) -> str | None:
        """Open a connection to an address as a probe would, and close it. Return why that fails, None where it does not.

        :param hostname: for which the certificate must be; empty for the address itself.
        """
        connection = self._connection(place, hostname)
        try:
            connection.connect()
        except (TimeoutError, socket.timeout):
            return f"no answer within {self.timeout:g} s"
        except OSError as error:
            return f"{error.strerror or error}"
        except (UnicodeError, http.client.HTTPException) as error:
            return f"{error or type(error).__name__}"
        finally:
            connection.close()
        return None

    def served_models(self, target: ProbeTarget) -> list[str] | None:
        """Ask by a target of endpoint ``/v1/models`` and return the models that are listed, None where no such answer came from an endpoint picker."""
        begun = time.monotonic()
        try:
            with self._request(target, None, _headers(target)) as response:
                body, _came = _read(response, begun + self.timeout)
                return listed_models(response.status, _named(response), body)
        except (OSError, UnicodeError, http.client.HTTPException, TooLong):
            return None

    def _asked(self, probe: Probe, body: bytes | None) -> AbstractContextManager[http.client.HTTPResponse]:
        """Send one probe and yield the response, its body unread."""
        form = () if body is None else (("Content-Type", "application/json"),)
        return self._request(probe.target, body, (*_headers(probe.target, probe.headers), *form))

    @contextmanager
    def _request(self, target: ProbeTarget, body: bytes | None, headers: tuple[tuple[str, str], ...]) -> Iterator[http.client.HTTPResponse]:
        """Send one request over a connection of its own and yield the response, its body unread."""
        connection = self._connection(target.address, target.hostname)
        try:
            own = (*((("Authorization", f"Bearer {self.token}"),) if self.token else ()), *self.headers)
            connection.request(target.method, target.path, body, dict((*headers, *own)))
            yield connection.getresponse()
        finally:
            connection.close()

    def _connection(self, place: Address, hostname: str) -> http.client.HTTPConnection:
        host, port = self.proxy or (place.host, place.port)
        made = (_NamedTLS(host, port, self.timeout, self.tls, hostname or place.host) if place.tls
                else http.client.HTTPConnection(host, port, timeout=self.timeout))
        if self.proxy:
            # A tunnel for plain HTTP as well: a proxy that forwards puts the address into the Host header, and routes match by hostname.
            made.set_tunnel(_bracketed(place.host), place.port)
        return made


class _NamedTLS(http.client.HTTPSConnection):
    """Connects by HTTPS to an address, but asks for and checks the certificate of another host name."""

    def __init__(self, address: str, port: int, timeout: float, context: ssl.SSLContext, server_name: str) -> None:
        super().__init__(address, port, timeout=timeout, context=context)
        self._server = server_name
        self._tls = context

    def connect(self) -> None:
        """Connect to the address, and begin TLS under the other host name."""
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._server)


def _named(response: http.client.HTTPResponse) -> dict[str, str]:
    """Headers with their names in lower case."""
    return {name.lower(): value for name, value in response.getheaders()}


def _headers(target: ProbeTarget, further: tuple[tuple[str, str], ...] | None = None) -> tuple[tuple[str, str], ...]:
    """Return the headers of a request by a target: the ones that its match asks for, or ``further`` in their place."""
    place = target.address
    host = _bracketed(target.hostname or place.host)
    port = "" if place.port == (443 if place.tls else 80) else f":{place.port}"
    return (("Host", host + port), ("Connection", "close"), *(target.headers if further is None else further))


def _bracketed(host: str) -> str:
    """Return a host as it stands before a port: an IPv6 address in brackets, which Python's CONNECT leaves out before 3.13."""
    return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host


def _body(probe: Probe) -> bytes | None:
    """The request, its text random from the first character on: prefix caching would pin equal prompts to one pod. None where it has no body."""
    body = probe.body(f"{secrets.token_hex(8)}: answer with one word.")
    return None if body is None else json.dumps(body).encode()


def _read(response: http.client.HTTPResponse, deadline: float) -> tuple[bytes, float]:
    """Read a body to its end; return it and when its first byte came, on the clock of time.monotonic."""
    parts, size, came = [], 0, 0.0
    while part := response.read1(65536):
        came = came or time.monotonic()
        parts.append(part)
        size += len(part)
        if time.monotonic() > deadline:
            raise TimeoutError
        if size > READ_LIMIT:
            raise TooLong(f"the answer is longer than {READ_LIMIT} bytes")
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return b"".join(parts), came or time.monotonic()
