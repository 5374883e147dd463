# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the API proxy: which request they hit, and the log of those that fired. No I/O here."""
from __future__ import annotations

import itertools
import re
from dataclasses import asdict, dataclass, field
from typing import Any

READS = frozenset({"GET", "HEAD", "OPTIONS"})
REVIEW = re.compile(r"/(selfsubjectaccessreviews|selfsubjectrulesreviews|subjectaccessreviews|localsubjectaccessreviews|tokenreviews|selfsubjectreviews)$")
KINDS = {
    "unreachable": "the proxy's port is closed for `seconds`",
    "status": "answer `status` (409, 429 with `retry_after` seconds, 500) instead of asking the API server",
    "delay": "wait `seconds`, then go on",
    "drop_answer": "the API server does the work, the client's connection ends without an answer",
    "reset": "the client's connection ends and the API server never sees the request",
    "drop_watches": "all open watches end",
    "kill": "SIGKILL to process `pid` (`group`: to its group and all that it has started), `before` the API server sees the request or `after` it has done "
            "the work (`when`); the connection ends",
}
REASONS = {409: "Conflict", 429: "TooManyRequests", 403: "Forbidden", 401: "Unauthorized", 404: "NotFound", 500: "InternalError", 503: "ServiceUnavailable"}


@dataclass(frozen=True)
class Call:
    """One request as faults and counters see it."""

    method: str
    path: str
    """Path without the query."""
    dry_run: bool
    watch: bool
    user_agent: str = ""
    user: str = ""
    """Whose token it carries; "" for one that the proxy does not know."""

    @property
    def review(self) -> bool:
        """A question asked with POST; it changes nothing."""
        return self.method == "POST" and REVIEW.search(self.path) is not None

    @property
    def write(self) -> bool:
        return self.method not in READS and not self.dry_run and not self.review


@dataclass
class Fault:
    """Hits ``count`` matching requests (0: all) after letting ``after`` of them pass."""

    kind: str
    after: int = 0
    count: int = 1
    status: int = 500
    retry_after: int | None = None
    seconds: float = 0.0
    message: str = ""
    pid: int = 0
    group: bool = False
    when: str = "before"
    match: dict[str, Any] = field(default_factory=dict)
    """``method`` (one or a list), ``path_regex`` (searched in the path), ``user_agent_regex``, ``user``, ``write`` (true: only writes)."""
    id: int = 0
    seen: int = 0
    fired: int = 0
    fired_on: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"There is no fault kind {self.kind}; known: {', '.join(KINDS)}.")
        unknown = set(self.match) - {"method", "path_regex", "user_agent_regex", "user", "write"}
        if unknown:
            raise ValueError(f"Fault match has unknown keys {', '.join(sorted(unknown))}; known: method, path_regex, user_agent_regex, user, write.")
        if self.kind in ("unreachable", "delay") and self.seconds <= 0:
            raise ValueError(f"Fault {self.kind} needs seconds greater than 0.")
        if self.kind == "kill" and self.pid <= 1:
            raise ValueError("Fault kill needs the pid of the process to kill.")
        if self.group and self.kind != "kill":
            raise ValueError("Fault key group goes with kill.")
        if self.when not in ("before", "after"):
            raise ValueError("Fault key when must be before or after.")
        re.compile(self.match.get("path_regex", ""))

    def matches(self, call: Call) -> bool:
        methods = self.match.get("method")
        if methods is not None and call.method not in ([methods] if isinstance(methods, str) else methods):
            return False
        if self.match.get("write") and not call.write or self.match.get("user", call.user) != call.user:
            return False
        return (re.search(self.match.get("path_regex", ""), call.path) is not None
                and re.search(self.match.get("user_agent_regex", ""), call.user_agent) is not None)

    def hits(self, call: Call) -> bool:
        """Count ``call``; whether the fault fires on it."""
        if not self.matches(call) or (self.count and self.fired >= self.count):
            return False
        self.seen += 1
        if self.seen <= self.after:
            return False
        self.fire(f"{call.method} {call.path}")
        return True

    def fire(self, on: str) -> None:
        self.fired += 1
        self.fired_on.append(on)


class Faults:
    """The faults of one proxy, oldest first."""

    def __init__(self) -> None:
        self.listed: list[Fault] = []
        self._ids = itertools.count(1)

    def add(self, arguments: dict[str, Any]) -> Fault:
        """A new fault; ValueError or TypeError when its arguments make no sense."""
        fault = Fault(**arguments)
        fault.id = next(self._ids)
        self.listed.append(fault)
        return fault

    def clear(self) -> None:
        self.listed.clear()

    def hit_by(self, call: Call) -> list[Fault]:
        """All faults that fire on this request."""
        return [fault for fault in self.listed if fault.hits(call)]

    def describe(self) -> list[dict[str, Any]]:
        return [asdict(fault) for fault in self.listed]


class Counters:
    """Requests by method, and the sums the benchmarks need."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.by_method: dict[str, int] = {}
        self.writes = self.dry_run = self.reviews = self.total = self.watches = 0

    def add(self, call: Call) -> None:
        self.by_method[call.method] = self.by_method.get(call.method, 0) + 1
        self.total += 1
        self.writes += call.write
        self.reviews += call.review
        self.dry_run += call.dry_run
        self.watches += call.watch

    def as_dict(self) -> dict[str, int]:
        return {"GET": 0, "POST": 0, "PUT": 0, "PATCH": 0, "DELETE": 0, **self.by_method, "writes": self.writes, "dry_run": self.dry_run,
                "reviews": self.reviews, "watches": self.watches, "total": self.total}


def status_body(code: int, message: str, retry_after: int | None) -> dict[str, Any]:
    """What an API server would answer with this code."""
    body: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": REASONS.get(code, "Unknown"),
                            "message": message or f"fault injected by the sandbox: {code}"}
    if retry_after is not None:
        body["details"] = {"retryAfterSeconds": retry_after}
    return body
