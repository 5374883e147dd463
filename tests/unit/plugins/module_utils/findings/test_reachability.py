# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is found of what probes can't reach."""

from __future__ import annotations

import pytest

from tests.unit.helpers.estate_changes import chosen_by_label, rule, shadow, spec


def test_a_route_whose_only_gateway_is_silent_blocks(demo):
    demo.get("Gateway").pop("status")
    assert [(entry.severity, entry.overridable) for entry in demo.found("address-not-probed")] == [("blocker", False)]


@pytest.mark.parametrize(("listener", "words"), [({"protocol": "TLS"}, "no HTTP or HTTPS listener"), ({"name": "other"}, None)])
def test_listeners_that_take_no_probe(demo, listener, words):
    spec(demo, "Gateway")["listeners"][0].update(listener)
    found = demo.found("address-not-probed")
    assert [words in entry.message for entry in found] == ([True] if words else [])


@pytest.mark.parametrize(("tenant", "probed"), [("chat", True), ("search", False)])
def test_a_listener_that_chooses_namespaces_is_decided_by_their_labels(demo, tenant, probed):
    chosen_by_label(demo, tenant=tenant)
    assert demo.found("listener-undecided") == []
    assert (demo.found("address-not-probed") == []) is probed


@pytest.mark.parametrize("created", ["2024-01-01T00:00:00Z", "2026-01-01T00:00:00Z"])
def test_a_redirect_on_a_sibling_listener_takes_nothing(demo, created):
    """Whether it is the older route of the two or the younger one; on the same listener the older one would take all."""
    spec(demo, "Gateway")["listeners"].append({"name": "plain", "protocol": "HTTP", "port": 8081})
    parent = {"name": "inference-gateway", "sectionName": "plain"}
    redirect = demo.add("gateway.networking.k8s.io/v1", "HTTPRoute", "a-redirect", spec={
        "parentRefs": [parent], "hostnames": ["llm.example.com"],
        "rules": [{"filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}]}],
    })
    demo.get("HTTPRoute", "llm-route")["metadata"]["creationTimestamp"] = "2025-01-01T00:00:00Z"
    redirect["metadata"]["creationTimestamp"] = created
    spec(demo, "HTTPRoute", "llm-route")["parentRefs"][0]["sectionName"] = "http"
    spec(demo, "HTTPRoute", "llm-route")["rules"][0]["matches"] = [{}]
    assert demo.found("probe-shadowed-by-rule") == []
    parent["sectionName"] = "http"
    assert [entry.severity for entry in demo.found("probe-shadowed-by-rule")] == (["blocker"] if created < "2025" else [])


def test_requests_that_meet_another_listener_are_no_way_to_the_rule(demo):
    """Both are at one port, and the other has the closer hostname."""
    spec(demo, "Gateway")["listeners"].append({"name": "named", "protocol": "HTTP", "port": 8080, "hostname": "llm.example.com"})
    spec(demo, "HTTPRoute")["parentRefs"][0]["sectionName"] = "http"
    (found,) = demo.found("probe-shadowed-by-rule")
    assert found.severity == "blocker" and "come by listener named of Gateway default/inference-gateway, where no rule takes them" in found.message
    spec(demo, "HTTPRoute")["parentRefs"][0].pop("sectionName")
    assert demo.found("probe-shadowed-by-rule") == []


def test_a_gateway_that_does_not_exist(demo):
    spec(demo, "HTTPRoute")["parentRefs"] = [{"name": "gone"}]
    assert "does not exist" in demo.found("address-not-probed")[0].message


def test_a_listener_makes_a_vague_hostname_concrete(demo):
    spec(demo, "HTTPRoute").pop("hostnames")
    assert [entry.message for entry in demo.found("hostname-not-concrete")] == ["it takes requests for any; one name stands for all of them."]
    spec(demo, "Gateway")["listeners"][0]["hostname"] = "llm.example.com"
    assert demo.found("hostname-not-concrete") == []


@pytest.mark.parametrize(
    "match",
    [
        {"path": {"type": "RegularExpression", "value": "/v1/.*"}},
        {"headers": [{"name": "x", "type": "RegularExpression", "value": ".*"}]},
        {"queryParams": [{"name": "x", "type": "RegularExpression", "value": ".*"}]},
    ],
)
def test_a_rule_of_nothing_but_regular_expressions_blocks(demo, match):
    rule(demo)["matches"] = [match]
    assert [(entry.severity, entry.overridable) for entry in demo.found("regex-precedence-undefined")] == [("blocker", True)]
    assert demo.found("rule-not-probed") == []


def test_a_rule_that_nothing_reaches_blocks(demo):
    spec(demo, "HTTPRoute")["rules"].insert(0, {"matches": rule(demo)["matches"], "backendRefs": [{"name": "s", "port": 80}]})
    (found,) = demo.found("probe-shadowed-by-rule")
    assert (found.severity, found.overridable) == ("blocker", True)
    assert found.message.endswith("none of /v1/completions, /v1/chat/completions reaches this rule."), "others may"


def test_a_route_of_another_gateway_shadows_nothing(demo):
    shadow(demo)
    taken = spec(demo, "HTTPRoute")["rules"].pop()
    parents = [{"name": "inference-gateway", "namespace": "elsewhere"}]
    demo.add("gateway.networking.k8s.io/v1", "HTTPRoute", "other", spec={"parentRefs": parents, "hostnames": ["llm.example.com"], "rules": [taken]})
    assert demo.found("probe-shadowed-by-rule") == []
    demo.get("HTTPRoute", "other")["spec"]["parentRefs"] = [{"name": "inference-gateway"}]
    assert "rule 0 of HTTPRoute default/other" in demo.found("probe-shadowed-by-rule")[0].message


def test_a_rule_of_another_method_is_not_probed(demo):
    rule(demo)["matches"] = [{"method": "GET"}]
    (found,) = demo.found("rule-not-probed")
    assert found.message.startswith("rule 0: it takes GET alone") and "method GET" in found.remedy
    rule(demo)["matches"] = [{"method": "POST"}]
    assert demo.found("rule-not-probed") == []
