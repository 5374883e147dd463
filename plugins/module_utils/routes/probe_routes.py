# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes probe routes: copies of a user's rules that only probes reach, and whose answers carry a mark. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from copy import deepcopy
from typing import Literal

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, dig
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey, Reference, references, route_key, rules
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.weights import move_reference

MAX_RULES = 16
"""Gateway API's limit of rules in one route.

Source of both limits: https://github.com/kubernetes-sigs/gateway-api/blob/v1.3.0/apis/v1/httproute_types.go
"""
MAX_MATCHES = 128
"""Gateway API's limit of matches in all rules of one route together."""

PROBE_HEADER = "x-inference-gateway-migration-probe"
MARK_HEADER = "x-inference-gateway-migration-mark"
LABEL = "inference-gateway-migration/probe-route"

Variant = Literal["alpha", "v1", "both"]
"""The stack that a probe route sends to; ``both`` sends half to each."""
VARIANTS: tuple[Variant, ...] = ("alpha", "v1", "both")


def mark(variant: Variant, route: str, rule: int, index: int) -> str:
    """Return the mark of one probe rule, which no other rule has.

    :param route: the user's route, as text: without it the answers of one route would pass for those of another. :param rule: of the moved reference.
    :param index: of the reference.
    """
    return f"{variant}-{rule}-{index}-{hashlib.sha256(route.encode()).hexdigest()[:8]}"


def probe_value(nonce: str, variant: Variant, route: str, rule: int, index: int) -> str:
    """Return the value of the request header that leads to one probe rule."""
    return f"{nonce}-{mark(variant, route, rule, index)}"


def probe_routes_of(original: Manifest, moves: Mapping[PoolKey, str], variant: Variant, nonce: str) -> list[Manifest]:
    """Make the probe routes of a user's route for one variant.

    Every moved reference gets a rule of its own, with the parents, hostnames, matches and filters of the user's rule. Mirrors are
    left out, since a copy must not double somebody else's traffic. Each match also asks for a header with the nonce, and
    a filter puts the mark on the answers: until a gateway has programmed the copy, probes fall through to the user's rule, and
    without the mark those answers would count. Variant ``both`` rehearses a mixed rule before any user meets one.

    :param moves: alpha pool to the name of its v1 pool.
    :param nonce: of the migration, for names and header values that nobody else uses.
    :returns: as many routes as Gateway API's limits make necessary; none where nothing moves.
    """
    key = route_key(original)
    copies = [
        _probe_rule(rules(original)[reference.rule], reference, moves, variant, nonce)
        for reference in references(original)
        if reference.kind == "backend" and reference.target in moves
    ]
    spec = {field: value for field, value in original["spec"].items() if field != "rules"}
    return [
        {
            "apiVersion": key.api_version,
            "kind": key.kind,
            "metadata": {"name": f"{key.name[:200]}-{nonce}-{variant}-{number}", "namespace": key.namespace, "labels": {LABEL: variant}},
            "spec": deepcopy(spec) | {"rules": chunk},
        }
        for number, chunk in enumerate(_chunks(copies))
    ]


def is_probe_route(route: Manifest) -> bool:
    """Tell whether a route is a probe route, of whatever migration."""
    return LABEL in dig(route, "metadata", "labels", default={})


def _probe_rule(rule: Manifest, reference: Reference, moves: Mapping[PoolKey, str], variant: Variant, nonce: str) -> Manifest:
    copy = deepcopy(rule)
    copy.pop("name", None)
    header = {"type": "Exact", "name": PROBE_HEADER, "value": probe_value(nonce, variant, str(reference.route), reference.rule, reference.index)}
    copy["matches"] = [match | {"headers": [*(match.get("headers") or []), header]} for match in copy.get("matches") or [{}]]
    copy["filters"] = _with_mark(copy.get("filters") or [], mark(variant, str(reference.route), reference.rule, reference.index))
    backend = rule["backendRefs"][reference.index]
    if backend.get("filters"):
        backend = backend | {"filters": _without_mirrors(backend["filters"])}
    alpha, v1 = deepcopy(backend) | {"weight": 1}, move_reference(backend, moves[reference.target], 1)
    copy["backendRefs"] = {"alpha": [alpha], "v1": [v1], "both": [alpha, v1]}[variant]
    return copy


def _with_mark(filters: list[Manifest], value: str) -> list[Manifest]:
    """Return filters without mirrors and with the mark, which joins the user's ResponseHeaderModifier: a rule may hold only one."""
    kept = deepcopy(_without_mirrors(filters))
    header = {"name": MARK_HEADER, "value": value}
    own = next((entry for entry in kept if entry.get("type") == "ResponseHeaderModifier"), None)
    if own is None:
        return [*kept, {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [header]}}]
    own.setdefault("responseHeaderModifier", {}).setdefault("set", []).append(header)
    return kept


def _without_mirrors(filters: list[Manifest]) -> list[Manifest]:
    return [entry for entry in filters if entry.get("type") != "RequestMirror"]


def _chunks(copies: list[Manifest]) -> list[list[Manifest]]:
    """Split rules into lists that each fit into one route by Gateway API's limits of rules and matches."""
    chunks: list[list[Manifest]] = []
    for copy in copies:
        full = not chunks or len(chunks[-1]) == MAX_RULES or sum(len(rule["matches"]) for rule in [*chunks[-1], copy]) > MAX_MATCHES
        if full:
            chunks.append([])
        chunks[-1].append(copy)
    return chunks
