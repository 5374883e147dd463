# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Computes what to probe: a route, its Gateways and the Plan's pool become targets; a target and a variant become a request. Pure.

A target is Gateway address x hostname x match of a rule x model x endpoint x stream: every way by which a user's request can
reach a moved pool.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from urllib.parse import urlencode

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.precedence import Table, meet
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.probe_routes import PROBE_HEADER, Variant, mark, probe_value
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey, parents, references, route_key, rules

COMPLETIONS = "/v1/completions"
CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
RESPONSES = "/v1/responses"
STREAMS = {COMPLETIONS: (False, True), CHAT: (False, True), EMBEDDINGS: (False,), RESPONSES: (False,)}
"""Endpoints for which a request can be made and its answer judged, each with the values of ``stream`` to ask with."""
LONG = (COMPLETIONS, CHAT)
"""Endpoints that can be asked for a long stream."""
OWN = "own"
"""The endpoint of a user-defined probe: its request is the person's, and of its answer only status and form are known."""
LENGTHS = ((16_000, True), (7_500, True), (1_900, True), (1_900, False))
"""What to ask for in a long stream: (max_tokens, whether with ignore_eos, which vLLM and SGLang know). The next one is for servers that refuse, for instance
because their context is shorter."""
TOO_MANY = 429
"""Status by which a server sheds load."""
UNIQUE = "{unique}"
"""Placeholder in a user-defined probe's request for a text that differs each time."""


@dataclass(frozen=True)
class Address:
    """Where a listener of a Gateway answers.

    :param gateway: ``namespace/name``. :param host: an address of the Gateway. :param port: 1 to 65535. :param tls: whether it speaks HTTPS.
    :param hostname: the listener's, None for any.
    """

    gateway: str
    host: str
    port: int
    tls: bool
    hostname: str | None = None


@dataclass(frozen=True)
class ProbeTarget:
    """One way by which a user's request reaches a moved pool.

    :param hostname: to ask for, empty for the address. :param route: as text. :param rule: index of the rule. :param index: of the reference in the rule.
    :param path: with its query. :param headers: names and values. :param model: empty in a user-defined probe.
    :param endpoint: of :data:`STREAMS`, or :data:`OWN` in a user-defined probe.
    :param shared: whether the rule has other backends than pools of the migration. :param body: the request of a user-defined probe, as JSON.
    """

    address: Address
    hostname: str
    route: str
    rule: int
    index: int
    path: str
    headers: tuple[tuple[str, str], ...]
    model: str
    endpoint: str
    stream: bool
    shared: bool = False
    body: str = ""

    def __str__(self) -> str:
        """Name the target; no two have the same text, since the gate counts by it."""
        place, stream = self.address, " stream" if self.stream else ""
        headers = "".join(f" {name}={value}" for name, value in self.headers)
        by = f"{self.route} rule {self.rule}" + (f" reference {self.index}" if self.index else "")
        asked = f"body {self.body}" if self.endpoint == OWN else f"model {self.model}{stream}"
        return f"{place.gateway} {place.host}:{place.port} {self.hostname}{self.path}{headers} {asked} ({by})"


@dataclass(frozen=True)
class Probe:
    """One request to send: a target through a probe rule, or through the user's own rule where ``variant`` is None.

    :param mark: the mark that the answer must carry, None for the user's own rule.
    :param answers: model names, of which the answer must carry one; empty where any will do.
    :param epp: whether the answer must show that an endpoint picker handled it.
    """

    target: ProbeTarget
    variant: Variant | None
    headers: tuple[tuple[str, str], ...]
    mark: str | None
    answers: frozenset[str]
    epp: bool = True

    def body(self, text: str) -> Manifest:
        """Return a small request at temperature 0, or the user-defined one. :param text: the prompt; it must be fit to stand in a JSON string."""
        if self.target.endpoint == OWN:
            return dict(json.loads(self.target.body.replace(UNIQUE, text)))
        short: Manifest = {"max_tokens": 4, "temperature": 0, "stream": self.target.stream}
        shapes: dict[str, Manifest] = {
            COMPLETIONS: short | {"prompt": text},
            CHAT: short | {"messages": [{"role": "user", "content": text}]},
            EMBEDDINGS: {"input": text},
            RESPONSES: {"input": text, "max_output_tokens": 16, "temperature": 0},
        }
        return {"model": self.target.model} | shapes[self.target.endpoint]

    def long_body(self, text: str, tokens: int, ignore_eos: bool) -> Manifest:
        """Return the same request for an answer that does not end soon; only for an endpoint in :data:`LONG`."""
        return self.body(text) | {"max_tokens": tokens} | ({"ignore_eos": True} if ignore_eos else {})


def addresses(gateway: Manifest, section: str | None = None, namespace: str | None = None) -> list[Address]:
    """Return each address of a Gateway with each HTTP(S) listener that takes routes of ``namespace`` (None: of the Gateway's own).

    A listener that selects namespaces by label counts, whatever it selects. :param section: the name of one listener, None for all.
    """
    own = gateway["metadata"].get("namespace", "default")
    name = f"{own}/{gateway['metadata']['name']}"
    listeners = [
        listener
        for listener in (gateway.get("spec") or {}).get("listeners") or []
        if listener.get("protocol") in ("HTTP", "HTTPS") and section in (None, listener.get("name"))
        and (namespace in (None, own) or ((listener.get("allowedRoutes") or {}).get("namespaces") or {}).get("from", "Same") != "Same")
    ]
    return [
        Address(name, found["value"], listener["port"], listener["protocol"] == "HTTPS", listener.get("hostname"))
        for found, listener in product((gateway.get("status") or {}).get("addresses") or [], listeners)
    ]


def probe_targets(route: Manifest, gateways: Mapping[tuple[str, str], Manifest], pools: Mapping[PoolKey, Manifest]) -> list[ProbeTarget]:
    """Return every target of a route's moved references; a match for which no request can be made (a regular expression, another method) has none.

    :param gateways: (namespace, name) to manifest. :param pools: pool to its entry in the Plan (models, endpoints).
    """
    key = route_key(route)
    places = _places(route, gateways)
    hostnames = (route.get("spec") or {}).get("hostnames") or [""]
    found = []
    for reference in references(route):
        pool = pools.get(reference.target)
        if reference.kind != "backend" or pool is None:
            continue
        rule = rules(route)[reference.rule]
        shared = _shared(route, reference.rule, pools)
        for place, wanted, match, endpoint in product(places, hostnames, rule.get("matches") or [{}], pool["endpoints"]):
            hostname = _concrete(meet(wanted, place.hostname or ""))
            path = _path(match, rule, endpoint)
            headers = _headers(match)
            if hostname is None or path is None or headers is None or match.get("method", "POST") != "POST":
                continue
            found += [
                ProbeTarget(place, hostname, str(key), reference.rule, reference.index, path, headers, model["name"], endpoint, stream, shared)
                for model, stream in product(pool["models"], STREAMS.get(endpoint, ()))
            ]
    return list(dict.fromkeys(found))


def user_defined_targets(route: Manifest, gateways: Mapping[tuple[str, str], Manifest], pools: Mapping[PoolKey, Manifest], own: Manifest) -> list[ProbeTarget]:
    """Return a user-defined probe as targets of every moved reference of a route; :func:`reached` tells which of these its requests come by.

    :param own: ``path``, ``body`` (dict), and where they are given ``hostname`` and ``headers``.
    """
    key = route_key(route)
    headers = tuple((str(name), str(value)) for name, value in (own.get("headers") or {}).items())
    body = json.dumps(own["body"])
    moved = [reference for reference in references(route) if reference.kind == "backend" and reference.target in pools]
    hostnames = [own["hostname"]] if own.get("hostname") else (route.get("spec") or {}).get("hostnames") or [""]
    found = []
    for place, wanted, reference in product(_places(route, gateways), hostnames, moved):
        hostname = _concrete(meet(wanted, place.hostname or ""))
        if hostname is not None:
            shared = _shared(route, reference.rule, pools)
            found.append(ProbeTarget(place, hostname, str(key), reference.rule, reference.index, own["path"], headers, "", OWN,
                                     bool(own["body"].get("stream")), shared, body))
    return list(dict.fromkeys(found))


def streaming(found: list[ProbeTarget]) -> list[ProbeTarget]:
    """Choose for each address and moved reference one target to ask for a long stream."""
    chosen: dict[tuple[Address, str, int, int], ProbeTarget] = {}
    for target in found:
        if target.stream and target.endpoint in LONG:
            chosen.setdefault((target.address, target.route, target.rule, target.index), target)
    return list(chosen.values())


def _places(route: Manifest, gateways: Mapping[tuple[str, str], Manifest]) -> list[Address]:
    """Where the Gateways of a route answer."""
    return [place for namespace, name, section in parents(route) if (namespace, name) in gateways
            for place in addresses(gateways[namespace, name], section, route_key(route).namespace)]


def _shared(route: Manifest, rule: int, pools: Mapping[PoolKey, Manifest]) -> bool:
    """Whether a rule sends traffic to anything but pools of ours as well."""
    return any(other.kind == "backend" and other.rule == rule and other.weight and other.target not in pools for other in references(route))


def reached(found: list[ProbeTarget], candidates: list[Manifest]) -> list[ProbeTarget]:
    """Return the targets whose requests are taken by their own rule. Where a more specific rule takes them, it takes users' requests too.

    :param candidates: every route known.
    """
    tables = gateway_tables(candidates)
    return [target for target in found if taken_by(target, tables) == (target.route, target.rule)]


def gateway_tables(candidates: Iterable[Manifest]) -> dict[str, Table]:
    """Return for each Gateway (``namespace/name``) the matches of the HTTPRoutes that name it as their parent."""
    beside: dict[str, list[Manifest]] = defaultdict(list)
    for route in candidates:
        for gateway in {f"{namespace}/{name}" for namespace, name, _section in parents(route)}:
            beside[gateway].append(route)
    return {gateway: Table(routes) for gateway, routes in beside.items()}


def taken_by(target: ProbeTarget, tables: Mapping[str, Table]) -> tuple[str, int] | None:
    """Return the route (as text) and rule that take a target's requests, or None where no rule does."""
    found = tables[target.address.gateway].winner(target.hostname, target.path, dict(target.headers))
    return (str(found[0]), found[1]) if found else None


def unprobed(route: Manifest, found: list[ProbeTarget], pools: Mapping[PoolKey, Manifest]) -> list[int]:
    """Return the rules with a moved reference that no target reaches: nothing can be proven for them."""
    return sorted({
        reference.rule
        for reference in references(route)
        if reference.kind == "backend" and reference.target in pools
        and not any((target.rule, target.index) == (reference.rule, reference.index) for target in found)
    })


def probe(target: ProbeTarget, variant: Variant | None, nonce: str, models: Mapping[str, Manifest], gone: bool = False) -> Probe:
    """Make the request for a target through a probe rule, or through the user's own rule where ``variant`` is None.

    :param gone: whether the probe rule was removed, so that its request must now be answered by the user's own rule.
    :param models: model name to its entry in the Plan. EPP v0.3.0 answers with the target model's name, v1 with the name that
        was asked for (seen), so an answer may show either. Where other backends serve the user's rule too, its answer need not
        come from a pool, nor name the pool's models.
    """
    entry = models.get(target.model, {})
    answers = {target.model, entry.get("answer") or target.model} | set(entry.get("alpha_answers") or []) if target.model else set()
    own = () if variant is None else ((PROBE_HEADER, probe_value(nonce, variant, target.rule, target.index)),)
    if variant is None or gone:
        return Probe(target, variant, target.headers + own, None, frozenset(() if target.shared else answers), epp=not target.shared)
    return Probe(target, variant, target.headers + own, mark(variant, target.rule, target.index), frozenset(answers))


def _concrete(hostname: str | None) -> str | None:
    """Return a hostname that a request can name: of a wildcard, one name below it."""
    return f"probe{hostname[1:]}" if hostname and hostname.startswith("*.") else hostname


def _headers(match: Manifest) -> tuple[tuple[str, str], ...] | None:
    """The headers a match asks for; None where a regular expression leaves open what to send."""
    wanted = match.get("headers") or []
    if any(header.get("type", "Exact") != "Exact" for header in wanted):
        return None
    return tuple((header["name"], header["value"]) for header in wanted)


def _path(match: Manifest, rule: Manifest, endpoint: str) -> str | None:
    """The request path that a match takes and that arrives at the model server as ``endpoint``; None where there is none."""
    path = match.get("path") or {"type": "PathPrefix", "value": "/"}
    value, kind = path.get("value", "/"), path.get("type", "PathPrefix")
    query = [(parameter["name"], parameter["value"]) for parameter in match.get("queryParams") or []]
    if any(parameter.get("type", "Exact") != "Exact" for parameter in match.get("queryParams") or []) or kind not in ("Exact", "PathPrefix"):
        return None
    rewrite = next((entry.get("urlRewrite", {}).get("path") for entry in rule.get("filters") or [] if entry.get("type") == "URLRewrite"), None)
    found = _rewritten(value, kind, rewrite, endpoint) if rewrite else _plain(value, kind, endpoint)
    return found if found is None or not query else f"{found}?{urlencode(query)}"


def _plain(value: str, kind: str, endpoint: str) -> str | None:
    if kind == "Exact":
        return endpoint if value == endpoint else None
    prefix = value.rstrip("/")
    return endpoint if endpoint == prefix or endpoint.startswith(prefix + "/") else None


def _rewritten(value: str, kind: str, rewrite: Manifest, endpoint: str) -> str | None:
    if rewrite.get("type") == "ReplaceFullPath":
        return value if rewrite.get("replaceFullPath") == endpoint else None
    replacement = (rewrite.get("replacePrefixMatch") or "/").rstrip("/")
    if kind != "PathPrefix" or not (endpoint == replacement or endpoint.startswith(replacement + "/")):
        return None
    return value.rstrip("/") + endpoint.removeprefix(replacement) or "/"
