# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the gateway means to do, free of Kubernetes' and Envoy's words: servers with routes, backends, endpoints, statuses."""
from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Backend:
    """A pool or a Service as one Gateway uses it. GKE makes a backend service of its own per Gateway, with its own health and time-out."""

    gateway: str
    """NAMESPACE/NAME of the Gateway."""
    group: str
    kind: str
    namespace: str
    name: str
    port: int | None = None
    """Service port; None for pools, which know their port themselves."""
    timeout_seconds: int = 30
    refusal: int | None = None
    """Status by which a policy answers every request in the backend's place."""
    fail_open: bool = False
    uid: str = ""
    """Of the pool or Service: one that was deleted and made again is another backend, as on GKE."""
    callout: str = ""
    """How a Service is called that no request is sent to but that is asked about requests: ``tls`` or ``plain``, both HTTP/2."""

    @property
    def label(self) -> str:
        """What the access log calls it, e.g. inference.networking.k8s.io/InferencePool/default/llm or Service/default/plain:8000."""
        port = "" if self.port is None else f":{self.port}"
        return "/".join(part for part in (self.group, self.kind, self.namespace, self.name) if part) + port

    @property
    def key(self) -> str:
        return f"{self.label}@{self.gateway}#{self.uid}" + (f"#{self.callout}" if self.callout else "")

    @property
    def slug(self) -> str:
        """A short name for files, sockets and Envoy's statistics."""
        return slug(self.key)

    @property
    def is_pool(self) -> bool:
        return self.kind == "InferencePool"


@dataclass(frozen=True)
class Check:
    """How a backend's endpoints are health checked. ``port`` None is the serving port; times in seconds."""

    kind: str = "HTTP"
    path: str = "/"
    """Of a gRPC check: the service that is asked about, which may be empty."""
    port: int | None = None
    interval: float = 15.0
    timeout: float = 15.0
    healthy: int = 1
    unhealthy: int = 2


@dataclass(frozen=True)
class Endpoints:
    """Addresses (ADDRESS:PORT) behind a backend: ready model server pods or Service pods, ready endpoint pickers, and how to check the former."""

    pods: tuple[str, ...] = ()
    pickers: tuple[str, ...] = ()
    check: Check = Check()


@dataclass(frozen=True)
class Share:
    """One backendRef of a rule. ``backend`` None: an invalid reference, its share answers 500."""

    backend: str | None
    weight: int
    filters: tuple[Manifest, ...] = ()


@dataclass(frozen=True)
class Mirror:
    backend: str
    percent: float


@dataclass(frozen=True)
class Entry:
    """One match of one rule, in the words of the Gateway API."""

    name: str
    match: Manifest
    filters: tuple[Manifest, ...] = ()
    shares: tuple[Share, ...] = ()
    mirrors: tuple[Mirror, ...] = ()
    timeout: float | None = None
    """Seconds that the rule itself allows a request; None: only the backend bounds it."""
    broken: str | None = None
    """Why the whole rule answers 500."""


@dataclass(frozen=True)
class Callout:
    """A service that a Gateway asks about every request before it chooses a route, in the words of a GCPRoutingExtension."""

    backend: str
    """Key of its Service."""
    authority: str = ""
    timeout: float = 1.0
    """Seconds for one message."""
    fail_open: bool = False
    reads_body: bool = False
    reads_trailers: bool = False
    full_duplex: bool = False
    """Whether it may answer once it has the whole body, and not piece by piece."""

    @property
    def slug(self) -> str:
        """That of its Service's backend."""
        return slug(self.backend)


@dataclass(frozen=True)
class Server:
    """One address and port of one Gateway; hosts maps a host name or pattern to its entries, best match first."""

    gateway: str
    address: str
    port: int
    hosts: dict[str, tuple[Entry, ...]]
    callout: Callout | None = None
    key: str = ""
    """``NAME: VALUE`` of the header that every request must carry; empty for none."""
    denied: int | None = None
    """Status by which a policy answers every request."""

    @property
    def slug(self) -> str:
        return slug(f"{self.gateway}:{self.port}")


@dataclass(frozen=True)
class Status:
    """What the gateway says about one object; ``value`` without lastTransitionTime, lists of conditions complete."""

    kind: str
    namespace: str
    name: str
    value: Manifest
    uid: str = ""


@dataclass(frozen=True)
class Model:
    """Everything that a snapshot asks for. ``routes`` are the generations (NAMESPACE/NAME -> generation) it was made from."""

    servers: tuple[Server, ...] = ()
    backends: dict[str, Backend] = field(default_factory=dict)
    statuses: tuple[Status, ...] = ()
    routes: dict[str, int] = field(default_factory=dict)


def slug(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]
