# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Computes what to probe: a route, its listeners and the Plan's pool become targets; a target and a variant become a request. Pure.

A target is Gateway address x hostname x match of a rule x model x endpoint x stream: every way by which a user's request can
reach a moved pool.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from urllib.parse import urlencode

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, dig
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.body_routing import MODEL_HEADER, model_of
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.listeners import Listener, Listeners
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.precedence import meet
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.probe_routes import PROBE_HEADER, Variant, mark, probe_value
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import Parent, PoolKey, parents, references, route_key, rules

COMPLETIONS = "/v1/completions"
CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
RESPONSES = "/v1/responses"
STREAMS = {COMPLETIONS: (False, True), CHAT: (False, True), EMBEDDINGS: (False,), RESPONSES: (False,)}
"""Endpoints for which a request can be made and its answer judged, each with the values of ``stream`` to ask with."""
LONG = (COMPLETIONS, CHAT)
"""Endpoints that can be asked for a long stream."""
MODELS = "/v1/models"
"""The endpoint that lists the models of a server."""
OWN = "own"
"""The endpoint of a user-defined probe: its request is the person's, and of its answer only status and form are known."""
LENGTHS = ((16_000, True), (7_500, True), (1_900, True), (1_900, False))
"""What to ask for in a long stream: (max_tokens, whether with ignore_eos, which vLLM and SGLang know). The next one is for servers that refuse, for instance
because their context is shorter."""
TOO_MANY = 429
"""Status by which a server sheds load."""
POLICY_STATUSES = (401, 403, TOO_MANY)
"""Statuses by which a gateway itself refuses a request: a key is missing, or a security policy (Cloud Armor) denies the address or its rate."""
UNIQUE = "{unique}"
"""Placeholder in a user-defined probe's request for a text that differs each time."""


@dataclass(frozen=True)
class Address:
    """Where a listener of a Gateway answers.

    :param host: an address of the Gateway.
    """

    listener: Listener
    host: str

    @property
    def port(self) -> int:
        """The listener's port, 1 to 65535."""
        return self.listener.port

    @property
    def tls(self) -> bool:
        """Whether it speaks HTTPS."""
        return self.listener.tls

    @property
    def gateway(self) -> str:
        """The Gateway's ``namespace/name``."""
        return f"{self.listener.namespace}/{self.listener.gateway}"


@dataclass(frozen=True)
class ProbeTarget:
    """One way by which a user's request reaches a moved pool.

    :param hostname: to ask for, empty for the address. :param route: as text. :param rule: index of the rule. :param index: of the reference in the rule.
    :param path: with its query. :param headers: names and values. :param model: empty in a user-defined probe.
    :param endpoint: of :data:`STREAMS`, or :data:`OWN` in a user-defined probe.
    :param shared: whether the rule has other backends than pools of the migration.
    :param body: of a user-defined probe, as JSON; empty where it has none. :param method: of the request.
    :param by_model: whether its match takes requests for this model alone, and the Gateway reads the model from the body.
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
    method: str = "POST"
    by_model: bool = field(default=False, compare=False)

    @property
    def asks_for(self) -> str:
        """The model in the request's body, empty where it names none."""
        return str(json.loads(self.body or "{}").get("model") or "") if self.endpoint == OWN else self.model

    def __str__(self) -> str:
        """Name the target; no two have the same text, since the gate counts by it."""
        place, stream = self.address, " stream" if self.stream else ""
        headers = "".join(f" {name}={value}" for name, value in self.headers)
        by = f"{self.route} rule {self.rule}" + (f" reference {self.index}" if self.index else "")
        own = " ".join(([] if self.method == "POST" else [self.method]) + ([f"body {self.body}"] if self.body else []))
        asked = own if self.endpoint == OWN else f"model {self.model}{stream}"
        return f"{place.gateway} {place.host}:{place.port} {self.hostname}{self.path}{headers} {asked} ({by})"


@dataclass(frozen=True)
class Probe:
    """One request to send: a target through a probe rule, or through the user's own rule where ``variant`` is None.

    :param mark: the mark that the answer must carry, None for the user's own rule.
    :param answers: model names, of which the answer must carry one; empty where any will do.
    :param epp: whether the answer must show that an endpoint picker handled it. :param tokens: to ask for, at most.
    """

    target: ProbeTarget
    variant: Variant | None
    headers: tuple[tuple[str, str], ...]
    mark: str | None
    answers: frozenset[str]
    epp: bool = True
    tokens: int = 2

    def body(self, text: str) -> Manifest | None:
        """Return a small request at temperature 0, or the user-defined one, None where that has no body.

        :param text: the prompt; it must be fit to stand in a JSON string.
        """
        if self.target.endpoint == OWN:
            return dict(json.loads(self.target.body.replace(UNIQUE, text))) if self.target.body else None
        short: Manifest = {"max_tokens": self.tokens, "temperature": 0, "stream": self.target.stream}
        shapes: dict[str, Manifest] = {
            COMPLETIONS: short | {"prompt": text},
            CHAT: short | {"messages": [{"role": "user", "content": text}]},
            EMBEDDINGS: {"input": text},
            RESPONSES: {"input": text, "max_output_tokens": 16, "temperature": 0},
        }
        return {"model": self.target.model} | shapes[self.target.endpoint]

    def long_body(self, text: str, tokens: int, ignore_eos: bool) -> Manifest:
        """Return the same request for an answer that does not end soon; only for an endpoint in :data:`LONG`."""
        return (self.body(text) or {}) | {"max_tokens": tokens} | ({"ignore_eos": True} if ignore_eos else {})


def addresses(route: Manifest, parent: Parent, listeners: Listeners) -> list[Address]:
    """Return each address of a route's parent with each of its listeners that the route is on; none where there is no such Gateway."""
    gateway = listeners.gateways.get((parent.namespace, parent.name)) or {}
    return [
        Address(listener, found["value"])
        for found, listener in product(dig(gateway, "status", "addresses", default=[]), listeners.of(route, parent)) if found.get("value")
    ]


def probe_targets(route: Manifest, listeners: Listeners, pools: Mapping[PoolKey, Manifest]) -> list[ProbeTarget]:
    """Return every target of a route's moved references; a match for which no request can be made (a regular expression, another method) has none.

    A match that takes requests for one model is asked for that model alone.

    :param pools: pool to its entry in the Plan (models, endpoints).
    """
    key = route_key(route)
    places = _places(route, (route.get("spec") or {}).get("hostnames") or [""], listeners)
    found = []
    for reference in references(route):
        pool = pools.get(reference.target)
        if reference.kind != "backend" or pool is None:
            continue
        rule = rules(route)[reference.rule]
        shared = _shared(route, reference.rule, pools)
        for (place, hostname), match, endpoint in product(places, rule.get("matches") or [{}], pool["endpoints"]):
            path = _path(match, rule, endpoint)
            headers = _headers(match)
            if path is None or headers is None or match.get("method", "POST") != "POST":
                continue
            only = model_of(match)
            by_model = only is not None and listeners.reads_model(place.listener)
            sent = tuple(header for header in headers if not (by_model and header[0].lower() == MODEL_HEADER))
            found += [
                ProbeTarget(place, hostname, str(key), reference.rule, reference.index, path, sent, model["name"], endpoint, stream, shared, by_model=by_model)
                for model, stream in product(pool["models"], STREAMS.get(endpoint, ())) if only in (None, model["name"])
            ]
    return list(dict.fromkeys(found))


def user_defined_targets(route: Manifest, listeners: Listeners, pools: Mapping[PoolKey, Manifest], own: Manifest) -> list[ProbeTarget]:
    """Return a user-defined probe as targets of every moved reference of a route; :func:`reached` tells which of these its requests come by.

    :param own: ``path``, and where they are given ``body`` (dict), ``method`` (else POST), ``hostname`` and ``headers``.
    """
    key = route_key(route)
    headers = tuple((str(name), str(value)) for name, value in (own.get("headers") or {}).items())
    body = own.get("body") or {}
    moved = [reference for reference in references(route) if reference.kind == "backend" and reference.target in pools]
    hostnames = [own["hostname"]] if own.get("hostname") else (route.get("spec") or {}).get("hostnames") or [""]
    found = [
        ProbeTarget(place, hostname, str(key), reference.rule, reference.index, own["path"], headers, "", OWN,
                    bool(body.get("stream")), _shared(route, reference.rule, pools), json.dumps(body) if body else "", own.get("method") or "POST")
        for (place, hostname), reference in product(_places(route, hostnames, listeners), moved)
    ]
    return list(dict.fromkeys(found))


def model_lists(route: Manifest, listeners: Listeners, pool: PoolKey) -> list[ProbeTarget]:
    """Return the targets by which a GET of ``/v1/models`` reaches a pool by a route's own rules, those that have no other backend."""
    key, found = route_key(route), []
    places = _places(route, (route.get("spec") or {}).get("hostnames") or [""], listeners)
    for reference in references(route):
        if reference.kind != "backend" or reference.target != pool or _shared(route, reference.rule, {pool: {}}):
            continue
        rule = rules(route)[reference.rule]
        for (place, hostname), match in product(places, rule.get("matches") or [{}]):
            path, headers = _path(match, rule, MODELS), _headers(match)
            if path is not None and headers is not None and match.get("method", "GET") == "GET":
                found.append(ProbeTarget(place, hostname, str(key), reference.rule, reference.index, path, headers, "", MODELS, False, method="GET"))
    return reached(list(dict.fromkeys(found)), listeners)


def streaming(found: list[ProbeTarget]) -> list[ProbeTarget]:
    """Choose for each address and moved reference one target to ask for a long stream."""
    chosen: dict[tuple[Address, str, int, int], ProbeTarget] = {}
    for target in found:
        if target.stream and target.endpoint in LONG:
            chosen.setdefault((target.address, target.route, target.rule, target.index), target)
    return list(chosen.values())


def _places(route: Manifest, hostnames: Iterable[str], listeners: Listeners) -> list[tuple[Address, str]]:
    """Return where requests for some hostnames go: each address of the route's Gateways, by the listener that they meet there, and the hostname to ask for.

    That listener may be another than the route is on, one with a closer hostname at the same port: then its routes take the requests.
    """
    found = []
    for parent, wanted in product(parents(route), hostnames):
        for place in addresses(route, parent, listeners):
            hostname = _concrete(meet(wanted, place.listener.hostname))
            if hostname == "" and not _is_ip(place.host):
                hostname = place.host  # what a request for the bare address asks for
            if hostname is not None:
                found.append((replace(place, listener=listeners.reached(place.listener, hostname)), hostname))
    return list(dict.fromkeys(found))


def _shared(route: Manifest, rule: int, pools: Mapping[PoolKey, Manifest]) -> bool:
    """Whether a rule sends traffic to anything but pools of ours as well."""
    return any(other.kind == "backend" and other.rule == rule and other.weight and other.target not in pools for other in references(route))


def reached(found: list[ProbeTarget], listeners: Listeners) -> list[ProbeTarget]:
    """Return the targets whose requests are taken by their own rule. Where a more specific rule takes them, it takes users' requests too."""
    return [target for target in found if taken_by(target, listeners) == (target.route, target.rule)]


def taken_by(target: ProbeTarget, listeners: Listeners) -> tuple[str, int] | None:
    """Return the route (as text) and rule that take a target's requests, or None where no rule does."""
    found = listeners.winner(target.address.listener, target.hostname, target.path, dict(target.headers), target.method, target.asks_for)
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
    answers = answers_of(target.model, models.get(target.model, {})) if target.model else set()
    own = () if variant is None else ((PROBE_HEADER, probe_value(nonce, variant, target.route, target.rule, target.index)),)
    if variant is None or gone:
        return Probe(target, variant, target.headers + own, None, frozenset(() if target.shared else answers), epp=not target.shared)
    return Probe(target, variant, target.headers + own, mark(variant, target.route, target.rule, target.index), frozenset(answers))


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def answers_of(model: str, entry: Manifest) -> set[str]:
    """Return the models that an answer may name to a request for a model. :param entry: the model's in the Plan, empty where it has none."""
    return {model, entry.get("answer") or model, *(entry.get("alpha_answers") or [])}


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
