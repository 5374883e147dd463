# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host names and matches of the Gateway API: what meets what, and which match wins."""
from __future__ import annotations

import re

from .model import Entry, Manifest

PATH_ORDER = {"Exact": 0, "RegularExpression": 1, "PathPrefix": 2}


def hostname_covers(pattern: str, host: str) -> bool:
    """Whether a pattern (a name or *.suffix) covers a name or a narrower pattern."""
    if pattern == host:
        return True
    return pattern.startswith("*.") and host.removeprefix("*").endswith(pattern[1:]) and host.removeprefix("*.") != pattern[2:]


def intersect(listener: str | None, route: list[str] | None) -> list[str]:
    """Host names under which a route is reachable at a listener; ``*`` when neither names one, [] when they don't meet."""
    if not route:
        return [listener or "*"]
    if not listener:
        return list(route)
    narrower = (host if hostname_covers(listener, host) else listener if hostname_covers(host, listener) else None for host in route)
    return [host for host in dict.fromkeys(narrower) if host]


def path_of(match: Manifest) -> tuple[str, str]:
    """(type, value) of a match's path, after the API's defaults."""
    path = match.get("path") or {}
    return path.get("type", "PathPrefix"), path.get("value", "/")


def precedence(entry: Entry, age: str, route: str, rule: int, position: int) -> tuple[object, ...]:
    """Sort key, best match first: exact path, longest prefix, method, number of headers, number of query parameters, oldest route, name, order."""
    kind, value = path_of(entry.match)
    return (
        PATH_ORDER[kind], -len(value), 0 if entry.match.get("method") else 1,
        -len(entry.match.get("headers") or []), -len(entry.match.get("queryParams") or []), age, route, rule, position,
    )


def bad_match(match: Manifest) -> str | None:
    """Why no gateway can program a match, or None: a pattern that is none."""
    kind, value = path_of(match)
    patterns = [value] if kind == "RegularExpression" else []
    for name in ("headers", "queryParams"):
        patterns += [entry["value"] for entry in match.get(name) or [] if entry.get("type") == "RegularExpression"]
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            return f"regular expression {pattern!r} is invalid: {error}"
    return None
