# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Computes which rule takes a request, by Gateway API's precedence. Pure.

A rule's match may cover requests that a more specific rule takes (``/`` beside ``/v1/chat``). A probe for such a match would
never reach its own rule, and no user's request does either: there is nothing to prove.

The order is that of HTTPRouteSpec.hostnames and HTTPRouteRule.matches in https://gateway-api.sigs.k8s.io/reference/spec/
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import RouteKey, route_key, rules

Rank = tuple[Any, ...]
HostRank = tuple[bool, int]


class Table:
    """Finds the matches of a listener's HTTPRoutes by hostname and path, since a listener may hold thousands."""

    def __init__(self, routes: Iterable[Manifest]) -> None:
        self._entries: dict[tuple[str, str, str], list[tuple[Manifest, int, Manifest]]] = defaultdict(list)
        for route in routes:
            hostnames = (route.get("spec") or {}).get("hostnames") or [""]
            for number, rule in enumerate(rules(route)):
                for match, hostname in product(rule.get("matches") or [{}], hostnames):
                    kind, value = _path(match)
                    self._entries[hostname, kind, _place(kind, value)].append((route, number, match))

    def winner(self, hostname: str, url: str, headers: Mapping[str, str], method: str = "POST") -> tuple[RouteKey, int] | None:
        """Return the route and the index of the rule that take a request, None where no rule does.

        :param url: path and query.
        """
        ranked = [
            (rank, (*_age(route), number), (route_key(route), number))
            for key in _keys(hostname, urlsplit(url).path)
            for route, number, match in self._entries.get(key, ())
            if (host := host_rank((route.get("spec") or {}).get("hostnames") or [""], hostname)) is not None
            and (rank := _rank(match, host, url, headers, method)) is not None
        ]
        best = max((rank for rank, _order, _place in ranked), default=None)
        return min(((order, place) for rank, order, place in ranked if rank == best), default=(None, None))[1]


def _keys(hostname: str, path: str) -> Iterator[tuple[str, str, str]]:
    """Return the keys under which a table may hold a request's matches: its hostname and the wildcards above it, each with its path and prefixes."""
    labels = hostname.split(".")
    hostnames = dict.fromkeys([hostname, *(".".join(["*", *labels[number:]]) for number in range(1, len(labels))), ""])
    segments = path.rstrip("/").split("/")
    prefixes = ["/".join(segments[:number]) for number in range(1, len(segments) + 1)]
    places = [("Exact", path), ("RegularExpression", ""), *(("PathPrefix", prefix) for prefix in dict.fromkeys(["", *prefixes]))]
    return ((name, *place) for name, place in product(hostnames, places))


def _path(match: Manifest) -> tuple[str, str]:
    """Return type and value of a match's path, by Gateway API's defaults."""
    path = match.get("path") or {}
    return path.get("type", "PathPrefix"), path.get("value", "/")


def _place(kind: str, value: str) -> str:
    """Return the part of a path by which a table finds a match; empty for regular expressions, which every request is compared with."""
    return {"Exact": value, "PathPrefix": value.rstrip("/")}.get(kind, "")


def host_rank(hostnames: Iterable[str], hostname: str) -> HostRank | None:
    """Return how closely the hostnames of a route or a listener fit, the greater the closer; None where none fits.

    A name is closer than a wildcard, a longer wildcard closer than a shorter one, and any of these closer than the empty hostname, which stands for all.
    """
    fitting = [(bool(entry) and not entry.startswith("*"), len(entry)) for entry in hostnames if _covers(entry, hostname)]
    return max(fitting, default=None)


def meet(one: str, other: str) -> str | None:
    """Return the narrower of two hostnames, each of which may be empty or a wildcard; None where they have no name in common."""
    for wide, narrow in ((one, other), (other, one)):
        if _covers(wide, narrow):
            return narrow
    return None


def _covers(wide: str, narrow: str) -> bool:
    return wide in ("", narrow) or (wide.startswith("*.") and narrow.removeprefix("*").endswith(wide[1:]) and narrow != wide[1:])


def _age(route: Manifest) -> tuple[str, str, str]:
    """Return the order of routes whose matches rank the same: older ones first, then by namespace and name."""
    meta = route["metadata"]
    return meta.get("creationTimestamp") or "", meta.get("namespace", ""), meta["name"]


def _rank(match: Manifest, host: HostRank, url: str, headers: Mapping[str, str], method: str) -> Rank | None:
    """Return a match's rank: hostname, exact path, length of path, method, headers, parameters; None where it does not cover the request."""
    parts = urlsplit(url)
    kind, value = _path(match)
    covered = {
        "Exact": parts.path == value,
        "PathPrefix": parts.path == value.rstrip("/") or parts.path.startswith(value.rstrip("/") + "/"),
        "RegularExpression": _fits(value, parts.path),
    }.get(kind, False)
    sent = {name.lower(): content for name, content in headers.items()}
    asked = dict(parse_qsl(parts.query))
    if not covered or match.get("method", method) != method:
        return None
    if not all(_same(entry, sent.get(entry["name"].lower())) for entry in match.get("headers") or []):
        return None
    if not all(_same(entry, asked.get(entry["name"])) for entry in match.get("queryParams") or []):
        return None
    return host, kind == "Exact", len(value), "method" in match, len(match.get("headers") or []), len(match.get("queryParams") or [])


def _same(entry: Manifest, content: str | None) -> bool:
    if content is None:
        return False
    return content == entry["value"] if entry.get("type", "Exact") == "Exact" else _fits(entry["value"], content)


def _fits(pattern: str, text: str) -> bool:
    """Tell whether a pattern matches a whole text; a pattern that only gateways can read, not Python, counts as no match."""
    try:
        return re.fullmatch(pattern, text) is not None
    except re.error:
        return False
