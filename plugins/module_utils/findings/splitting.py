# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for what keeps the rules of a route from being split and settled at each step: one small function each. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import conditions
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import CheckContext, Occurrence, finding
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.routes import moved_routes
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import POOL_KIND, V1_GROUP, Manifest, describe, namespace_of
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import step_weights, weights
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import pool_key, rules

_ALWAYS = weights.MAX_WEIGHT // 100
"""Weights up to this can be split at every percentage."""


@finding(
    "route-refused-by-gateway", "blocker", overridable=False,
    about="A Gateway says in the status of a route, as the route is now, that it does not take the route or can't resolve a reference of it: a backend of any "
          "rule is missing or of a kind that the Gateway does not know, or no ReferenceGrant lets the route name it. Each step waits until that status is "
          "good, so none would ever settle. A reconciliation that failed is a warning: gateways try it again.",
    remedy="Correct what the Gateway names: create the backend or the ReferenceGrant, or take the reference or the parentRef out of the route.",
    source="Gateway API: conditions Accepted, ResolvedRefs and PartiallyInvalid of a route; docs/protocol.md 8.1",
)
def route_refused_by_gateway(context: CheckContext) -> Iterator[Occurrence]:
    """Find moved routes that a Gateway refuses, whole or in part, as they are now."""
    for route in moved_routes(context):
        refusals = {f"Gateway {gateway} says {_words(condition)}": condition for gateway, condition in conditions.route_refusals(route)}
        for text, condition in refusals.items():
            tried_again = condition["type"] in conditions.OPTIONAL_ROUTE_CONDITIONS
            yield Occurrence(describe(route), text, severity="warning" if tried_again else None)


def _words(condition: Manifest) -> str:
    """Return a condition as a gateway reports it, as the end of a sentence."""
    said = " ".join(part for part in (condition.get("reason"), condition.get("message")) if part)
    return f"{condition['type']} is {condition.get('status')}: {said or 'it gives no reason'}".rstrip(".") + "."


@finding(
    "half-migrated-rule", "blocker", overridable=False,
    about="A rule names both an alpha pool and a v1 pool, under whatever name: somebody began this migration by hand, or an earlier run stands in the middle. "
          "Shares are measured by which stack answers, so the answers of that v1 pool would pass for those of the planned one. Where it has weight 0 it gets "
          "no requests. A pool that is none of the plan's may be accepted, and stays as it is: the shift is held where it can't tell the two v1 pools apart; "
          "the simple path measures no shares.",
    remedy="Let the open migration go on to its end where there is one; where the rule was split by hand, set it to the alpha pool alone, or finish by hand "
           "and take the alpha pool out of it, for a split that was begun by hand is not taken over.",
    source="docs/protocol.md 8.5, 11.4; GKE's guide, stage 2",
)
def half_migrated_rule(context: CheckContext) -> Iterator[Occurrence]:
    """Find rules that name a v1 pool beside a planned alpha pool."""
    planned = {key._replace(group=V1_GROUP, name=name) for key, name in context.moved.items()}
    for migration in context.migrations:
        for reference in migration.references:
            rule = rules(context.estate.route_of[reference.route.kind, reference.route.namespace, reference.route.name])[reference.rule]
            for entry in rule.get("backendRefs") or []:
                beside = pool_key(entry, reference.route.namespace)
                if (beside.group, beside.kind) == (V1_GROUP, POOL_KIND):
                    other = beside not in planned
                    text = f"rule {reference.rule} names alpha pool {migration.name} and v1 pool {beside.name} (weight {entry.get('weight', 1)})."
                    way = f"{beside.name} stays in the rule as it is, and the run is held where its answers can't be told from the planned pool's"
                    accept = f", or accept half-migrated-rule: {way}" if other else ""
                    remedy = ("Let the open migration go on to its end where there is one; where the rule was split by hand, set rule "
                              f"{reference.rule} to the alpha pool alone, or finish by hand and take the alpha pool out of it{accept}.")
                    yield Occurrence(str(reference.route), text, remedy, overridable=other)


@finding(
    "weights-not-splittable", "blocker",
    about="A step splits the weight of each moved reference in whole numbers, and leaves the others of the rule their exact part of the traffic. Gateway API "
          "allows weights up to 1,000,000, and these have no common factor that brings them below.",
    remedy=f"Give the references of that rule weights up to {_ALWAYS} in nearly the same ratio, which can be split at every percentage, or use the simple "
           "path, which splits nothing, and accept weights-not-splittable.",
    source="Gateway API v1.4, BackendRef: weight at most 1,000,000; docs/protocol.md 9",
)
def weights_not_splittable(context: CheckContext) -> Iterator[Occurrence]:
    """Find rules whose weights can't be split at a share of the plan's steps, by the code that splits them."""
    shares = context.options.shift.get("steps", step_weights.STEPS)
    for route in moved_routes(context):
        for number in weights.moved_rules(route, context.moved):
            references = rules(route)[number]["backendRefs"]
            failing = [share for share in shares if not weights.splittable(references, namespace_of(route), context.moved, share)]
            if failing:
                said = ", ".join(str(reference.get("weight", 1)) for reference in references)
                at = ", ".join(f"{share} %" for share in failing)
                text = f"rule {number} has weights {said}, which can't be split in whole numbers up to {weights.MAX_WEIGHT} for v1's share of {at}."
                remedy = (f"Give the references of rule {number} weights up to {_ALWAYS} in nearly the same ratio, which can be split at every percentage, or "
                          "use the simple path, which splits nothing, and accept weights-not-splittable.")
                yield Occurrence(describe(route), text, remedy)
