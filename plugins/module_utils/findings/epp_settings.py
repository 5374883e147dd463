# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings about what surrounds the endpoint picker: its settings, network policies, IAP. One small function each. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import epp_flags, health_check_policy, network_policy
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.label_index import grouped
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import Hit, View, finding
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import describe, dig, namespace_of


@finding(
    "plugins-unknown-to-target", "warning",
    about="The alpha EPP's plugin configuration names plugins that no v1 EPP has; with it the EPP would not start. The v1 EPP runs with the "
          "chart's own configuration.",
    remedy="Compare how requests are spread once v1 serves its first share; write a configuration with v1 plugins into the release's values afterwards.",
    source="inference-extension v1.0.0, cmd/epp/runner/runner.go; PR 1305, PR 1238",
)
def plugins_unknown_to_target(view: View) -> Iterator[Hit]:
    """EPPs whose configuration can't be carried over."""
    for draft in view.drafts:
        if draft.unknown_plugins:
            yield Hit(describe(draft.alpha_epp.deployment or draft.pool), f"plugins {', '.join(draft.unknown_plugins)} are gone.")


@finding(
    "epp-resources-grow", "warning",
    about="With epp_resources=chart the v1 EPP asks what the chart asks, which is more than alpha's EPP asks today. Both run side by side until the end.",
    remedy="Make sure that the nodes have room, or leave epp_resources at preserve.",
    source="charts v1.4.0 and v1.5.0: 4 CPU and 8 GiB requested",
)
def epp_resources_grow(view: View) -> Iterator[Hit]:
    """EPPs that would ask for more."""
    if view.options.epp_resources != "chart":
        return
    for draft in view.drafts:
        more = epp_flags.grown(dig(draft.alpha_epp.container, "resources", default={}), view.facts.resources)
        if more:
            yield Hit(describe(draft.alpha_epp.deployment or draft.pool), f"the v1 EPP asks for {', '.join(more)}.")


@finding(
    "epp-shared-by-pools", "warning",
    about="Several pools name one EPP. An EPP serves the one pool that it was started for, so requests to the others are answered from the wrong "
          "pods or not at all.",
    remedy="Nothing to do for the migration: each v1 pool gets an EPP of its own; expect the others to begin to work.",
    source="inference-extension v0.3.0, cmd/epp: flag poolName",
)
def epp_shared_by_pools(view: View) -> Iterator[Hit]:
    """Pools whose EPP is not theirs alone."""
    used = Counter((draft.namespace, draft.alpha_epp.name) for draft in view.drafts if draft.alpha_epp.name)
    for draft in view.drafts:
        if used[draft.namespace, draft.alpha_epp.name] > 1:
            yield Hit(describe(draft.pool), f"EPP {draft.alpha_epp.name} is named by {used[draft.namespace, draft.alpha_epp.name]} pools.")


@finding(
    "iap-audience-changes", "warning",
    about="Identity-Aware Proxy guards the pool. The audience of its tokens names the backend service, and the v1 pool gets another one.",
    remedy="Let whoever checks the token's audience accept both during the migration: the new backend service exists after the phase install and "
           "the first marked route.",
    source="GKE: GCPBackendPolicy iap; the audience of signed headers holds the backend service id",
)
def iap_audience_changes(view: View) -> Iterator[Hit]:
    """Pools behind IAP."""
    for draft in view.drafts:
        policy = draft.policies.get("GCPBackendPolicy", {})
        if dig(policy, "spec", "default", "iap", "enabled") is True:
            yield Hit(describe(policy), f"pool {draft.name} is behind IAP, and so will be {draft.v1_name}, with another audience.")


@finding(
    "networkpolicy-blocks-new-epp", "warning",
    about="A NetworkPolicy admits the alpha EPP by its labels, or closes the namespace with an exception for it. The v1 EPP carries other labels "
          "and would be cut off.",
    remedy="Admit pods with label inferencepool: the v1 EPP's name as the policy admits alpha's, before the phase install.",
    source="Kubernetes: NetworkPolicy podSelector; chart: label inferencepool",
)
def networkpolicy_blocks_new_epp(view: View) -> Iterator[Hit]:
    """Policies that know only the alpha EPP."""
    by_namespace = grouped(view.estate.of("network_policies"), namespace_of)
    for draft in view.drafts:
        policies, new = by_namespace.get(draft.namespace), {"inferencepool": draft.epp}
        old = dig(draft.alpha_epp.deployment or {}, "spec", "template", "metadata", "labels", default={})
        if not policies or not old:
            continue
        for policy in network_policy.admitting_only(policies, draft.selector, old, new):
            yield Hit(describe(policy), f"it lets EPP {draft.alpha_epp.name} reach the model servers of {draft.name}, and not {draft.epp}.")
        for direction in ("Ingress", "Egress"):
            for policy in network_policy.closing(policies, direction, old, new):
                yield Hit(describe(policy), f"it closes {direction.lower()} for {draft.epp}, while others open it for {draft.alpha_epp.name}.")


@finding(
    "chart-object-refused-by-live-crd", "info",
    about="The live CRD refuses a HealthCheckPolicy as the chart, or alpha's policy, writes it: without portSpecification. The plan writes the "
          "policy itself, with the portSpecification that was meant all along. Whatever else the server refuses in a dry run is a blocker.",
    remedy="Nothing to do for the policy; a blocker needs what its message says.",
    source="GoogleCloudPlatform/gke-gateway-api, HealthCheckPolicy CRD; seen with charts v0.3.0 and v1.0.0",
)
def chart_object_refused_by_live_crd(view: View) -> Iterator[Hit]:
    """Policies that need another form. Refusals of a dry run are added by the plan (:func:`plan.with_trial`)."""
    if view.estate.strict_health_checks:
        for draft in view.drafts:
            policy = draft.policies.get("HealthCheckPolicy")
            if policy and health_check_policy.lacking(policy):
                yield Hit(describe(policy), f"its twin {draft.v1_name} says portSpecification, which the live CRD wants.")
