# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes in Envoy's words: virtual hosts, matches, weighted clusters, filters. Pure."""
from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .matching import path_of
from .model import Entry, Manifest, Server

JSON = dict[str, Any]
DESTINATION_HEADER = "x-gateway-destination-endpoint"
BROKEN_BODY = "fault filter abort"
"""What GKE answers for a rule that could not be programmed."""
REFUSED_BODY = '<!doctype html><meta charset="utf-8"><title>{status}</title>{status} {words}'
"""What Google's load balancers answer where a policy denies a request."""
WORDS = {401: "Unauthorized", 403: "Forbidden", 429: "Too Many Requests"}


def refusal(status: int) -> JSON:
    """An answer of the gateway's own in the place of any backend's."""
    return {"status": status, "body": {"inline_string": REFUSED_BODY.format(status=status, words=WORDS.get(status, "Denied"))}}


def route_configuration(server: Server, name: str, cluster_of: Callable[[str], str]) -> JSON:
    """Routes of one server. cluster_of: key of a backend -> name of its cluster.

    Where to is the endpoint picker's word alone: what a client says about it is dropped before anything else sees it.
    """
    return {
        "name": name,
        "ignore_port_in_host_matching": True,
        "request_headers_to_remove": [DESTINATION_HEADER],
        "virtual_hosts": [
            {"name": host, "domains": [host], "routes": [*policies(server), *(route(entry, cluster_of) for entry in entries)]}
            for host, entries in server.hosts.items()],
    }


def policies(server: Server) -> list[JSON]:
    """The routes before all others that refuse requests by themselves: every one, or those without a key's header."""
    if server.denied:
        return [{"name": "denied", "match": {"prefix": "/"}, "direct_response": refusal(server.denied)}]
    name, colon, value = server.key.partition(":")
    lacking = {"name": name.strip(), "string_match": {"exact": value.strip()}, "invert_match": True, "treat_missing_header_as_empty": True}
    return [{"name": "keyless", "match": {"prefix": "/", "headers": [lacking]}, "direct_response": refusal(401)}] if colon else []


def route(entry: Entry, cluster_of: Callable[[str], str]) -> JSON:
    """One entry as an Envoy route."""
    found: JSON = {"name": entry.name, "match": match(entry.match)}
    redirect = next((item["requestRedirect"] for item in entry.filters if item["type"] == "RequestRedirect"), None)
    positive = [share for share in entry.shares if share.weight > 0]
    found.update(headers(entry.filters))
    if entry.broken or (redirect is None and not positive):
        found["direct_response"] = {"status": 500, "body": {"inline_string": BROKEN_BODY}}
        return found
    if redirect is not None:
        found["redirect"] = redirect_action(redirect, entry.match)
        return found
    action: JSON = {
        "timeout": f"{entry.timeout or 0:.3f}s",
        "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR",
        "weighted_clusters": {"clusters": [
            {"name": cluster_of(share.backend) if share.backend else "invalid", "weight": share.weight, **headers(share.filters)} for share in positive]},
    }
    if entry.mirrors:
        action["request_mirror_policies"] = [
            {"cluster": cluster_of(mirror.backend),
             "runtime_fraction": {"default_value": {"numerator": round(mirror.percent * 10_000), "denominator": "MILLION"}}} for mirror in entry.mirrors]
    rewrite = next((item["urlRewrite"] for item in entry.filters if item["type"] == "URLRewrite"), None)
    if rewrite:
        action.update(rewrite_action(rewrite, entry.match))
    found["route"] = action
    return found


def match(value: Manifest) -> JSON:
    """A route match. A path prefix ends at a slash: /v1 does not match /v1beta."""
    kind, path = path_of(value)
    found: JSON
    if kind == "Exact":
        found = {"path": path}
    elif kind == "RegularExpression":
        found = {"safe_regex": {"regex": path}}
    elif path.rstrip("/"):
        found = {"path_separated_prefix": path.rstrip("/")}
    else:
        found = {"prefix": "/"}
    wanted = [{"name": item["name"], "string_match": string_match(item)} for item in value.get("headers") or []]
    if value.get("method"):
        wanted.append({"name": ":method", "string_match": {"exact": value["method"]}})
    if wanted:
        found["headers"] = wanted
    if value.get("queryParams"):
        found["query_parameters"] = [{"name": item["name"], "string_match": string_match(item)} for item in value["queryParams"]]
    return found


def string_match(item: Manifest) -> JSON:
    return {"safe_regex": {"regex": item["value"]}} if item.get("type") == "RegularExpression" else {"exact": item["value"]}


def headers(filters: tuple[Manifest, ...]) -> JSON:
    """RequestHeaderModifier and ResponseHeaderModifier filters as fields of a route or a weighted cluster."""
    found: JSON = {}
    for item in filters:
        side = {"RequestHeaderModifier": "request", "ResponseHeaderModifier": "response"}.get(item["type"])
        if side is None:
            continue
        change = item.get(f"{side}HeaderModifier") or {}
        options = [{"header": {"key": entry["name"], "value": entry["value"]}, "append_action": action}
                   for field, action in (("set", "OVERWRITE_IF_EXISTS_OR_ADD"), ("add", "APPEND_IF_EXISTS_OR_ADD")) for entry in change.get(field) or []]
        if options:
            found.setdefault(f"{side}_headers_to_add", []).extend(options)
        if change.get("remove"):
            found.setdefault(f"{side}_headers_to_remove", []).extend(change["remove"])
    return found


def path_rewrite(path: Manifest, matched: Manifest) -> JSON:
    """prefix_rewrite or regex_rewrite for a URLRewrite's or a redirect's path modifier."""
    if path["type"] == "ReplaceFullPath":
        return {"regex_rewrite": {"pattern": {"regex": "^/.*$"}, "substitution": escape(path["replaceFullPath"])}}
    kind, value = path_of(matched)
    prefix, new = value.rstrip("/") if kind == "PathPrefix" else value, path["replacePrefixMatch"].rstrip("/")
    if not prefix:
        return {"prefix_rewrite": f"{new}/"}
    if not new:  # /prefix and /prefix/x become / and /x, never an empty path or a double slash
        return {"regex_rewrite": {"pattern": {"regex": f"^{re.escape(prefix)}/*"}, "substitution": "/"}}
    return {"prefix_rewrite": new}


def escape(substitution: str) -> str:
    return substitution.replace("\\", "\\\\")


def rewrite_action(rewrite: Manifest, matched: Manifest) -> JSON:
    found: JSON = {}
    if rewrite.get("hostname"):
        found["host_rewrite_literal"] = rewrite["hostname"]
    if rewrite.get("path"):
        found.update(path_rewrite(rewrite["path"], matched))
    return found


def redirect_action(redirect: Manifest, matched: Manifest) -> JSON:
    codes = {301: "MOVED_PERMANENTLY", 302: "FOUND", 303: "SEE_OTHER", 307: "TEMPORARY_REDIRECT", 308: "PERMANENT_REDIRECT"}
    found: JSON = {"response_code": codes[redirect.get("statusCode", 302)]}
    for field, name in (("scheme", "scheme_redirect"), ("hostname", "host_redirect"), ("port", "port_redirect")):
        if redirect.get(field):
            found[name] = redirect[field]
    path = redirect.get("path")
    if path and path["type"] == "ReplaceFullPath":
        found["path_redirect"] = path["replaceFullPath"]
    elif path:
        found.update(path_rewrite(path, matched))
    return found
