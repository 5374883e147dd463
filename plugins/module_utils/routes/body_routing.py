# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads where the model in a request's body decides which rule takes it (body-based routing). Pure.

An extension before the routes reads the model from the body and sets a header to it, by which rules match. So users send no such header,
and whoever asks such a rule for another model than its own meets another rule.

Source: https://cloud.google.com/kubernetes-engine/docs/how-to/configure-body-based-routing and the inference extension's cmd/bbr,
https://github.com/kubernetes-sigs/gateway-api-inference-extension/blob/v1.0.0/pkg/bbr/handlers/request.go
"""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, dig, namespace_of
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import GATEWAY_GROUP, rules

MODEL_HEADER = "x-gateway-model-name"
"""The header that is set to the model, in lower case."""


def gateways_of(extension: Manifest) -> list[tuple[str, str]]:
    """Return (namespace, name) of the Gateways that a GCPRoutingExtension or GCPTrafficExtension names, which are in its own namespace."""
    return [
        (namespace_of(extension), entry.get("name") or "")
        for entry in dig(extension, "spec", "targetRefs", default=[])
        if (entry.get("group", GATEWAY_GROUP), entry.get("kind", "Gateway")) == (GATEWAY_GROUP, "Gateway")
    ]


def routed_by_model(extensions: Iterable[Manifest]) -> frozenset[tuple[str, str]]:
    """Return (namespace, name) of the Gateways that have an extension before their routes.

    What a routing extension does is not written in it. One that sets no such header would make no rule that matches by it work, so where there are such
    rules it is taken to set it; where there are none it makes no difference.

    :param extensions: GCPRoutingExtensions.
    """
    return frozenset(gateway for extension in extensions for gateway in gateways_of(extension))


def model_of(match: Manifest) -> str | None:
    """Return the one model for which a match takes requests, None where the model does not matter to it."""
    return next((header["value"] for header in match.get("headers") or []
                 if header["name"].lower() == MODEL_HEADER and header.get("type", "Exact") == "Exact"), None)


def models_of(route: Manifest, rule: int) -> list[str]:
    """Return the models for which the matches of a rule take requests, those matches alone to which the model matters."""
    return [model for match in rules(route)[rule].get("matches") or [] if (model := model_of(match)) is not None]


def names_models(route: Manifest) -> bool:
    """Tell whether any rule of a route matches by the model's header."""
    return any(models_of(route, number) for number in range(len(rules(route))))
