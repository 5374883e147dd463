# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules that are chosen by the model in the body: what they are asked for, and how the stacks behind them are told apart."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import targets, traffic_split
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import body_routing
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.listeners import Listeners
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.probe_routes import PROBE_HEADER

from tests.unit.helpers.migration_fakes import ALPHA, KEY, gateway, http_route, plan_pool

HEADER = "X-Gateway-Model-Name"
POOLS = {KEY: plan_pool(models=[{"name": "llama"}, {"name": "food"}])}
BY_MODEL = (("default", "gw"),)


def asks(model: str, **fields: Any) -> dict[str, Any]:
    match = {"path": {"type": "PathPrefix", "value": "/"}, "headers": [{"name": HEADER, "value": model} | fields]}
    return {"matches": [match], "backendRefs": [ALPHA]}


def probed(*rules: dict[str, Any], by_model: tuple[tuple[str, str], ...] = BY_MODEL) -> list[targets.ProbeTarget]:
    """The targets that reach their rule, without streams."""
    route = http_route(*rules)
    here = Listeners([gateway()], [route], None, by_model)
    return [target for target in targets.reached(targets.probe_targets(route, here, POOLS), here) if not target.stream]


def asked(found: list[targets.ProbeTarget]) -> set[tuple[int, str, tuple[tuple[str, str], ...]]]:
    return {(target.rule, target.model, target.headers) for target in found}


def test_a_rule_is_asked_for_its_own_model_and_the_rest_for_the_others() -> None:
    """Users name the model in the body alone, and what no rule asks for comes by the rule without a header."""
    rest = {"backendRefs": [ALPHA]}
    assert asked(probed(asks("llama"), rest)) == {(0, "llama", ()), (1, "food", ())}
    assert asked(probed(asks("llama"), asks("food"), rest)) == {(0, "llama", ()), (1, "food", ())}


def test_without_an_extension_clients_send_the_header_with_its_model() -> None:
    """Then it is no matter of the body what the rule without a header takes."""
    rest = {"backendRefs": [ALPHA]}
    assert asked(probed(asks("llama"), rest, by_model=())) == {(0, "llama", ((HEADER, "llama"),)), (1, "llama", ()), (1, "food", ())}
    assert asked(probed(asks("llama"), by_model=(("default", "other"),))) == {(0, "llama", ((HEADER, "llama"),))}


def test_a_model_that_the_pool_does_not_serve_and_an_expression_are_not_asked() -> None:
    assert probed(asks("strange")) == [] and probed(asks("ll.*", type="RegularExpression")) == []


def test_the_names_of_headers_know_no_case() -> None:
    rule = asks("llama")
    rule["matches"][0]["headers"][0]["name"] = HEADER.upper()
    assert asked(probed(rule)) == {(0, "llama", ())}


def test_a_request_of_a_person_is_judged_by_the_model_in_its_body() -> None:
    route = http_route(asks("llama"), asks("food"))
    here = Listeners([gateway()], [route], None, BY_MODEL)
    own = targets.user_defined_targets(route, here, POOLS, {"path": "/v1/rerank", "body": {"model": "food"}})
    assert {target.rule for target in targets.reached(own, here)} == {1}
    silent = targets.user_defined_targets(route, here, POOLS, {"path": "/v1/rerank", "body": {"query": "x"}})
    assert targets.reached(silent, here) == [], "without a model no header is set"


@pytest.mark.parametrize("variant", ["alpha", "v1", None])
def test_a_tracer_request_asks_for_the_rules_own_model(variant: targets.Variant | None) -> None:
    """For another one it would meet no rule; v1 heeds the header, and v1alpha2 answers with a token."""
    (target, *_others) = probed(asks("llama"))
    tracer = traffic_split.tracer(target, variant, "n1")
    body, headers = tracer.body("x"), dict(tracer.headers)
    assert (body["model"], body["max_tokens"], headers[traffic_split.REWRITE_HEADER]) == ("llama", 1, "rewritten-n1")
    assert (PROBE_HEADER in headers) == (variant is not None) and HEADER.lower() not in map(str.lower, headers)
    served = json.dumps({"model": "llama", "choices": []}).encode()
    refused = json.dumps({"message": "The model `rewritten-n1` does not exist."}).encode()
    alpha, v1 = traffic_split.signature(tracer, 200, served, True), traffic_split.signature(tracer, 404, refused, True)
    assert alpha != v1 and (alpha.names, v1.names) == ("asked", "rewritten")


def test_a_tracer_request_by_a_rule_without_a_header_still_names_nobodys_model() -> None:
    (target, *_others) = probed({"backendRefs": [ALPHA]})
    assert traffic_split.tracer(target, None, "n1").body("x")["model"] == "nobody-uses-n1"


def test_which_gateways_are_routed_by_the_model() -> None:
    def extension(*refs: dict[str, str]) -> dict[str, Any]:
        return {"metadata": {"namespace": "web", "name": "bbr"}, "spec": {"targetRefs": list(refs)}}

    named = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gw"}
    assert body_routing.routed_by_model([extension(named), extension({"group": "", "kind": "Service", "name": "s"})]) == {("web", "gw")}
    assert body_routing.routed_by_model([{"metadata": {"name": "broken"}}]) == frozenset()
