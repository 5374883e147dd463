# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for findings about what surrounds the endpoint picker: its settings, network policies, IAP. One small function each. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import health_check_policy, network_policy
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.label_index import grouped
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import CheckContext, Occurrence, finding
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import describe, dig, namespace_of


@finding(
    "plugins-unknown-to-target", "warning",
    about="The alpha EPP's plugin configuration names plugins that no v1 EPP has; with it the EPP would not start. The v1 EPP runs with the "
          "chart's own configuration.",
    remedy="Compare how requests are spread once v1 serves its first share; write a configuration with v1 plugins into the release's values afterwards.",
    source="inference-extension v1.0.0, cmd/epp/runner/runner.go; PR 1305, PR 1238",
)
def plugins_unknown_to_target(context: CheckContext) -> Iterator[Occurrence]:
    """Find alpha EPPs whose plugin configuration names plugins that no v1 EPP has."""
    for migration in context.migrations:
        if migration.unknown_plugins:
            yield Occurrence(describe(migration.alpha_epp.deployment or migration.pool), f"plugins {', '.join(migration.unknown_plugins)} are gone.")


@finding(
    "epp-shared-by-pools", "warning",
    about="Several pools name one EPP. An EPP serves the one pool that it was started for, so requests to the others are answered from the wrong "
          "pods or not at all.",
    remedy="Nothing to do for the migration: each v1 pool gets an EPP of its own; expect the others to begin to work.",
    source="inference-extension v0.3.0, cmd/epp: flag poolName",
)
def epp_shared_by_pools(context: CheckContext) -> Iterator[Occurrence]:
    """Find pools that share their EPP with another pool."""
    used = Counter((migration.namespace, migration.alpha_epp.name) for migration in context.migrations if migration.alpha_epp.name)
    for migration in context.migrations:
        if used[migration.namespace, migration.alpha_epp.name] > 1:
            number = used[migration.namespace, migration.alpha_epp.name]
            yield Occurrence(describe(migration.pool), f"EPP {migration.alpha_epp.name} is named by {number} pools.")


@finding(
    "iap-audience-changes", "warning",
    about="Identity-Aware Proxy guards the pool. The audience of its tokens names the backend service, and the v1 pool gets another one.",
    remedy="Let whoever checks the token's audience accept both during the migration: the new backend service exists after the phase install and "
           "the first probe route.",
    source="GKE: GCPBackendPolicy iap; the audience of signed headers holds the backend service id",
)
def iap_audience_changes(context: CheckContext) -> Iterator[Occurrence]:
    """Find GCPBackendPolicies that put a pool behind Identity-Aware Proxy (IAP)."""
    for migration in context.migrations:
        policy = migration.policies.get("GCPBackendPolicy", {})
        if dig(policy, "spec", "default", "iap", "enabled") is True:
            yield Occurrence(describe(policy), f"pool {migration.name} is behind IAP, and so will be {migration.v1_name}, with another audience.")


@finding(
    "security-policy", "warning",
    about="A Cloud Armor policy guards the pool, and its v1 counterpart gets it too. Its rules are not in the cluster. One that limits rates counts the "
          "requests of each backend by themselves, so v1's own may pass the limit when all traffic is there; one that bans an address bans the probes'.",
    remedy="Look at the policy's rules (gcloud compute security-policies describe). Where it bans or limits, exempt the address that probes come from before "
           "the migration: refusals of the gateway's own end it HELD.",
    source="GKE: GCPBackendPolicy securityPolicy; Cloud Armor: rate limits count by backend service",
)
def security_policy(context: CheckContext) -> Iterator[Occurrence]:
    """Find GCPBackendPolicies that put a pool behind a security policy of Cloud Armor."""
    for migration in context.migrations:
        policy = migration.policies.get("GCPBackendPolicy", {})
        name = dig(policy, "spec", "default", "securityPolicy", default="")
        if name:
            yield Occurrence(describe(policy), f"pool {migration.name} is behind security policy {name}, and so will be {migration.v1_name}.")


@finding(
    "networkpolicy-blocks-new-epp", "warning",
    about="A NetworkPolicy admits the alpha EPP by its labels, or closes the namespace with an exception for it. The v1 EPP carries other labels "
          "and would be cut off.",
    remedy="Admit pods with label inferencepool: the v1 EPP's name as the policy admits alpha's, before the phase install.",
    source="Kubernetes: NetworkPolicy podSelector; chart: label inferencepool",
)
def networkpolicy_blocks_new_epp(context: CheckContext) -> Iterator[Occurrence]:
    """Find NetworkPolicies that would cut off the v1 EPP, though not the alpha EPP.

    Either they let only the alpha EPP reach the model servers, or they close ingress or egress for the v1 EPP while others open it for the alpha EPP.
    """
    by_namespace = grouped(context.estate.of("network_policies"), namespace_of)
    for migration in context.migrations:
        policies, new = by_namespace.get(migration.namespace), {"inferencepool": migration.epp}
        old = dig(migration.alpha_epp.deployment or {}, "spec", "template", "metadata", "labels", default={})
        if not policies or not old:
            continue
        for policy in network_policy.admitting_only(policies, migration.selector, old, new):
            yield Occurrence(describe(policy), f"it lets EPP {migration.alpha_epp.name} reach the model servers of {migration.name}, and not {migration.epp}.")
        for direction in ("Ingress", "Egress"):
            for policy in network_policy.closing(policies, direction, old, new):
                yield Occurrence(describe(policy), f"it closes {direction.lower()} for {migration.epp}, while others open it for {migration.alpha_epp.name}.")


@finding(
    "chart-object-refused-by-live-crd", "info",
    about="The live CRD refuses a HealthCheckPolicy as the chart, or alpha's policy, writes it: without portSpecification. The plan writes the "
          "policy itself, with the portSpecification that was meant all along. Whatever else the server refuses in a dry run is a blocker.",
    remedy="Nothing to do for the policy; a blocker needs what its message says.",
    source="GoogleCloudPlatform/gke-gateway-api, HealthCheckPolicy CRD; seen with charts v0.3.0 and v1.0.0",
)
def chart_object_refused_by_live_crd(context: CheckContext) -> Iterator[Occurrence]:
    """Find HealthCheckPolicies without the portSpecification that the live CRD requires.

    What the server refuses in a dry run gets the same code, from :func:`plan.with_trial`.
    """
    if context.estate.strict_health_checks:
        for migration in context.migrations:
            policy = migration.policies.get("HealthCheckPolicy")
            if policy and health_check_policy.lacking(health_check_policy.by_type(policy)):
                yield Occurrence(describe(policy), f"its v1 counterpart {migration.v1_name} says portSpecification, which the live CRD wants.")


@finding(
    "health-check-type-differs", "warning",
    about="A HealthCheckPolicy holds a check that is not the one its type names, e.g. type HTTP with grpcHealthCheck. GKE 1.34 and later refuses such an "
          "object, though one from before lives on, and its type holds. The v1 counterpart has the check of the type alone.",
    remedy="Nothing to do where the type is what you mean; else correct type and check of this policy first.",
    source="GKE 1.34: HealthCheckPolicy type and check must agree; GoogleCloudPlatform/gke-gateway-api, HealthCheckPolicy CRD",
)
def health_check_type_differs(context: CheckContext) -> Iterator[Occurrence]:
    """Find HealthCheckPolicies of pools whose check is not the one that their type names, or not the only one."""
    for migration in context.migrations:
        policy = migration.policies.get("HealthCheckPolicy")
        found = health_check_policy.difference(policy) if policy else None
        if policy and found:
            kept = f"gets {found.kept} with its defaults, since the policy has none" if found.absent else f"keeps {found.kept}"
            yield Occurrence(describe(policy), f"its type is {found.type}: its v1 counterpart {migration.v1_name} {kept}, and not {', '.join(found.dropped)}.")
