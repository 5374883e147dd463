# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a rule from being split, and what only looks like it."""

from __future__ import annotations

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.findings import catalogue
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import weights

from tests.unit.helpers.estate_changes import ALPHA, GA, POOL, V1, foreign_route, grant, refused, rule, spec, uneven

REFUSED = "route-refused-by-gateway"


# -- what a Gateway says ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{"generation": 0}, {"status": "Unknown"}, {"status": "True"}, {"kind": "Programmed"},
                                    {"kind": "PartiallyInvalid"}])
def test_what_passes_by_itself_or_is_well(demo, fields):
    """A status of the generation before may be well a moment later."""
    refused(demo, **fields)
    assert demo.found(REFUSED) == []


@pytest.mark.parametrize(("fields", "severity"), [({"kind": "Accepted", "reason": "NotAllowedByListeners"}, "blocker"),
                                                  ({"kind": "PartiallyInvalid", "status": "True"}, "blocker"),
                                                  ({"kind": "Reconciled", "reason": "ReconciliationFailed"}, "warning")])
def test_what_else_a_gateway_says_against_a_route(demo, fields, severity):
    refused(demo, **fields)
    (found,) = demo.found(REFUSED)
    assert (found.severity, found.overridable) == (severity, False) and fields["kind"] in found.message


def test_a_gateway_that_gives_no_words(demo):
    refused(demo, reason="", message=None)
    assert [entry.message for entry in demo.found(REFUSED)] == ["Gateway inference-gateway says ResolvedRefs is False: it gives no reason."]


def test_a_refusal_may_not_be_accepted(demo):
    refused(demo)
    assert REFUSED in catalogue.blocked(catalogue.find(demo.context()), {REFUSED})


def test_each_parent_is_read_and_one_that_is_none_any_more_is_not(demo):
    refused(demo)
    route = demo.get("HTTPRoute")
    route["spec"]["parentRefs"].append({"name": "second"})
    second = [route["status"]["parents"][0] | {"parentRef": {"name": name}} for name in ("second", "gone")]
    route["status"]["parents"] += second
    assert [entry.message.split()[1] for entry in demo.found(REFUSED)] == ["inference-gateway", "second"]


def test_a_route_that_is_not_moved_may_be_refused(demo):
    refused(demo)
    rule(demo)["backendRefs"] = [{"name": "web", "port": 80}]
    assert demo.found(REFUSED) == []


# -- grants -------------------------------------------------------------------------------------------------------------


def test_a_grant_for_routes_of_another_group_allows_nothing(demo):
    foreign_route(demo)
    grant(demo)
    assert demo.found("cross-namespace-without-grant") == []
    spec(demo, "ReferenceGrant")["from"][0]["group"] = "gateway.example.com"
    assert len(demo.found("cross-namespace-without-grant")) == 1


# -- a v1 pool beside alpha ---------------------------------------------------------------------------------------------


def beside(demo, name, **fields):
    rule(demo)["backendRefs"].append({"group": V1, "kind": "InferencePool", "name": name} | fields)
    return demo.found("half-migrated-rule")


@pytest.mark.parametrize(("name", "fields", "accepted"), [(GA, {}, False), ("mine", {}, True), ("mine", {"weight": 10}, True),
                                                          (GA, {"weight": 0}, False), ("mine", {"weight": 0}, True)])
def test_a_v1_pool_under_any_name(demo, name, fields, accepted):
    """One that is not the one that would be made may be another that stays."""
    (found,) = beside(demo, name, **fields)
    assert (found.severity, found.overridable) == ("blocker", accepted)
    assert f"alpha pool {POOL} and v1 pool {name} (weight {fields.get('weight', 1)})" in found.message


def test_what_is_no_v1_pool_beside_alpha(demo):
    spec(demo, "HTTPRoute")["rules"].append({"backendRefs": [{"group": V1, "kind": "InferencePool", "name": GA}]})
    rule(demo)["backendRefs"].append({"group": ALPHA, "kind": "InferencePool", "name": "other"})
    assert beside(demo, "web", group="", kind="Service", port=80) == []


# -- weights ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "failing"), [([10, 50, 100], "10 %"), ([50, 100], None), ([1, 3, 100], "1 %, 3 %")])
def test_weights_are_tried_at_the_shares_that_a_shift_will_take(demo, steps, failing):
    uneven(demo)
    found = demo.found("weights-not-splittable", shift={"steps": steps})
    assert [entry.message.endswith(f"share of {failing}.") for entry in found] == ([True] if failing else [])


@pytest.mark.parametrize("own", [1, 9_999, 10_000])
def test_the_weights_of_the_remedy_can_be_split_at_every_share(demo, own):
    uneven(demo)
    first, second = rule(demo)["backendRefs"]
    first["weight"], second["weight"] = 10_000, own
    assert demo.found("weights-not-splittable", shift={"steps": list(range(101))}) == []


def test_a_weight_that_stands_alone_can_be_split(demo):
    """It has itself as a factor; and what is judged is what the run does."""
    uneven(demo)
    del rule(demo)["backendRefs"][1]
    rule(demo)["backendRefs"][0]["weight"] = weights.MAX_WEIGHT
    assert demo.found("weights-not-splittable") == []
