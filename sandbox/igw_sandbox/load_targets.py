# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which requests exercise every rule and every model of an estate. Pure: Kubernetes objects in, targets out."""
from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from .gateway.listeners import Listener
from .load_answer import EMBEDDINGS, STREAMING, Target

Object = Mapping[str, Any]
ENDPOINTS = (*STREAMING, EMBEDDINGS)
MODEL_HEADER = "x-gateway-model-name"
"""What a body-based router sets; a client names its model in the body alone."""
MODEL_FLAG = re.compile(r"^--(model|served-model-name)(?:=(.*))?$")


def discover(
    routes: Sequence[Object], gateways: Sequence[Object], pools: Sequence[Object],
    models: Sequence[Object], services: Sequence[Object], pods: Sequence[Object], namespaces: Sequence[Object] = (),
    extensions: Sequence[Object] = (),
) -> tuple[list[Target], list[str]]:
    """(targets, what was skipped and why). All lists are plain API objects of all namespaces.

    A rule that reaches model servers gives one target for each model and endpoint that its matches let through;
    any other rule gives one GET for each match. Where a Gateway has a routing extension (``extensions``: GCPRoutingExtensions), a rule that is
    chosen by the model's header is asked for that model alone, without the header.
    """
    routed = {(extension["metadata"]["namespace"], target.get("name"))
              for extension in extensions for target in extension.get("spec", {}).get("targetRefs") or [] if target.get("kind") == "Gateway"}
    targets: dict[tuple[str, ...], Target] = {}
    skipped: list[str] = []
    labels = {namespace["metadata"]["name"]: dict(namespace["metadata"].get("labels") or {}) for namespace in namespaces}
    for route in routes:
        where = f"{route['metadata']['namespace']}/{route['metadata']['name']}"
        addresses = _addresses(route, gateways, labels, routed)
        if not addresses:
            skipped.append(f"route {where}: none of its Gateways has an address and an HTTP listener that takes it")
            continue
        host = _host(route)
        for index, rule in enumerate(route.get("spec", {}).get("rules", [])):
            served = _served_models(route, rule, pools, models, services, pods)
            found = 0
            for address, by_body in addresses.items():
                for target in _rule_targets(f"{where}/{index}", rule, address, host, served, by_body):
                    targets.setdefault((target.url, target.host, target.model, str(target.headers)), target)
                    found += 1
            if not found:
                skipped.append(f"route {where}, rule {index}: no path of its matches can be asked for")
    return list(targets.values()), skipped


def _addresses(route: Object, gateways: Sequence[Object], labels: dict[str, dict[str, str]], routed: Container[tuple[str, str]]) -> dict[str, bool]:
    """ADDRESS:PORT of the first HTTP listener that the route attaches to, for each parent Gateway -> whether the Gateway is one of ``routed``.

    :param labels: namespace -> its labels.
    :param routed: (namespace, name) of the Gateways that read the model from the body.
    """
    found: dict[str, bool] = {}
    for parent in route.get("spec", {}).get("parentRefs", []):
        namespace = parent.get("namespace") or route["metadata"]["namespace"]
        for gateway in gateways:
            if (gateway["metadata"]["namespace"], gateway["metadata"]["name"]) != (namespace, parent.get("name")):
                continue
            wanted = [
                listener for listener in gateway.get("spec", {}).get("listeners", [])
                if listener.get("protocol") == "HTTP" and parent.get("sectionName") in (None, listener.get("name"))
                and parent.get("port") in (None, listener.get("port"))
                and Listener(listener["name"], listener["port"], None, dict(listener.get("allowedRoutes") or {})).admits(
                    route["metadata"]["namespace"], namespace, labels)
            ]
            values = [address.get("value") for address in gateway.get("status", {}).get("addresses", [])]
            if wanted and values:
                found[f"{values[0]}:{wanted[0]['port']}"] = (namespace, parent["name"]) in routed
    return found


def _host(route: Object) -> str:
    """The Host header: the first hostname, with a label of ours for a wildcard; "" for any."""
    names = route.get("spec", {}).get("hostnames") or [""]
    return str(names[0]).replace("*", "load", 1)


def _served_models(
    route: Object, rule: Object, pools: Sequence[Object], models: Sequence[Object], services: Sequence[Object], pods: Sequence[Object],
) -> dict[str, set[str]]:
    """Model name -> names its answers may carry, over all backends of a rule; {} where no model server is behind it."""
    served: dict[str, set[str]] = {}
    for reference in rule.get("backendRefs", []):
        namespace = reference.get("namespace") or route["metadata"]["namespace"]
        kind, name = reference.get("kind", "Service"), reference.get("name")
        owned = _declared_models(models, namespace, name) if kind == "InferencePool" else {}
        known: dict[str, set[str]] = {}
        for backend in pools if kind == "InferencePool" else services:
            if (backend["metadata"]["namespace"], backend["metadata"]["name"]) == (namespace, name):
                known = known or pod_models(_selected(pods, namespace, _selector(backend)))
        for model, names in (owned or known).items():
            served.setdefault(model, set()).update(names | known.get(model, set()))
    return served


def _declared_models(models: Sequence[Object], namespace: str, pool: str | None) -> dict[str, set[str]]:
    """The names of a pool's alpha InferenceModels; a target model's name may come back instead of the alias."""
    declared: dict[str, set[str]] = {}
    for model in models:
        spec = model.get("spec", {})
        if model["metadata"]["namespace"] == namespace and spec.get("poolRef", {}).get("name") == pool:
            names = {spec["modelName"], *(target["name"] for target in spec.get("targetModels") or [])}
            declared.setdefault(spec["modelName"], set()).update(names)
    return declared


def _selector(backend: Object) -> dict[str, str]:
    selector = backend.get("spec", {}).get("selector") or {}
    return dict(selector.get("matchLabels", selector))


def _selected(pods: Sequence[Object], namespace: str, selector: Mapping[str, str]) -> list[Object]:
    return [
        pod for pod in pods
        if selector and pod["metadata"]["namespace"] == namespace and selector.items() <= (pod["metadata"].get("labels") or {}).items()
    ]


def pod_models(pods: Iterable[Object]) -> dict[str, set[str]]:
    """The models that model server pods say they serve in their arguments: --model or --served-model-name, and --lora-modules.

    Of several served names every answer carries the first.
    """
    found: dict[str, set[str]] = {}
    for pod in pods:
        for container in pod["spec"].get("containers", []):
            words = [*container.get("command", []), *container.get("args", [])]
            names: dict[str, list[str]] = {}
            for position, word in enumerate(words):
                match = MODEL_FLAG.match(word)
                if match:
                    names[match[1]] = [match[2]] if match[2] is not None else _values(words[position + 1:])
                elif word.startswith("--lora-modules"):
                    found.update({name: {name} for name in _lora_names(words[position:])})
            base = names.get("served-model-name") or names.get("model") or []
            found.update({name: {name, base[0]} for name in base})
    return found


def _values(words: Sequence[str]) -> list[str]:
    """The words up to the next flag."""
    return list(takewhile(lambda word: not word.startswith("--"), words))


def _lora_names(words: Sequence[str]) -> list[str]:
    """The "name" of each JSON value that follows --lora-modules (or its =) up to the next flag."""
    values = ([words[0].partition("=")[2]] if "=" in words[0] else []) + _values(words[1:])
    names: list[str] = []
    for value in values:
        try:
            parsed = json.loads(value)
        except ValueError:
            names.append(value.partition("=")[0])
            continue
        names += [entry["name"] for entry in (parsed if isinstance(parsed, list) else [parsed])]
    return names


def _rule_targets(name: str, rule: Object, address: str, host: str, served: Mapping[str, set[str]], by_body: bool) -> list[Target]:
    """The targets of one rule at one Gateway address. by_body: the Gateway sets the model's header itself."""
    targets: list[Target] = []
    for match in rule.get("matches") or [{}]:
        kind, value = match.get("path", {}).get("type", "PathPrefix"), match.get("path", {}).get("value", "/")
        headers = tuple((header["name"], header["value"]) for header in match.get("headers") or [])
        regular = [header for header in match.get("headers") or [] if header.get("type", "Exact") != "Exact"]
        if kind == "RegularExpression" or regular or match.get("queryParams"):
            continue
        asked = served
        if by_body:
            asked = _chosen_by_body(served, headers)
            headers = tuple(pair for pair in headers if pair[0].lower() != MODEL_HEADER)
        paths = endpoint_paths(kind, value, rule.get("filters") or []) if match.get("method", "POST") == "POST" else {}
        if asked and paths:
            for endpoint, path in paths.items():
                for model, names in sorted(asked.items()):
                    targets.append(Target(
                        name=f"{name} {path} {model}", rule=name, url=f"http://{address}{path}", host=host or address, headers=headers,
                        endpoint=endpoint, model=model, accepts=tuple(sorted(names)),
                    ))
        elif match.get("method", "GET") == "GET":
            targets.append(Target(name=f"{name} {value}", rule=name, url=f"http://{address}{value}", host=host or address, headers=headers))
    return targets


def _chosen_by_body(served: Mapping[str, set[str]], headers: Iterable[tuple[str, str]]) -> Mapping[str, set[str]]:
    """The models that reach a rule whose Gateway sets the model's header: the one that its match names, else every one that is served.

    A name that no model server has is an alias, which may be answered with any of theirs.
    """
    own = [model for header, model in headers if header.lower() == MODEL_HEADER]
    return {model: served.get(model) or {model}.union(*served.values()) for model in own} if own and served else served


def endpoint_paths(kind: str, value: str, filters: Sequence[Object]) -> dict[str, str]:
    """Endpoint of the model server -> path to ask for, for one path match and the rule's URL rewrite.

    {} when no endpoint can be reached through it (say, PathPrefix /v1/models). Embeddings are asked for only where a match leads to them alone:
    not every model server has them, and a route that names their path says that this one does.
    """
    rewrite: Object = next((f["urlRewrite"].get("path", {}) for f in filters if f.get("type") == "URLRewrite"), {})
    if rewrite.get("type") == "ReplaceFullPath":
        return {rewrite["replaceFullPath"]: value} if rewrite["replaceFullPath"] in ENDPOINTS else {}
    prefix = value.rstrip("/")
    replaced = rewrite["replacePrefixMatch"].rstrip("/") if rewrite.get("type") == "ReplacePrefixMatch" else prefix
    paths = {}
    for endpoint in ENDPOINTS:
        if kind == "Exact":
            if value == endpoint:
                paths[endpoint] = value
        elif endpoint == replaced or (endpoint in STREAMING and endpoint.startswith(replaced + "/")):
            paths[endpoint] = prefix + endpoint[len(replaced):]
    return paths
