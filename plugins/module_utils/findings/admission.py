# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for v1 endpoint pickers whose pods the server will refuse, though it takes their Deployments. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import v1_objects
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pods import planned
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import PoolMigration
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import admission
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.label_index import grouped
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import CheckContext, Occurrence, finding
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, describe, dig, name_of, namespace_of

_LOWER = "kubectl label --overwrite namespace {} pod-security.kubernetes.io/enforce=baseline"
_SAY = "Make a LimitRange that gives containers of this namespace what the message names, or accept pods-refused where your own chart's say it."


@finding(
    "pods-refused", "blocker",
    about="The server takes the Deployment of the v1 endpoint picker and refuses its pods, which run beside alpha's until the end: by the Pod Security level "
          "of the namespace, or because they do not fit into a ResourceQuota. Detect says only what is certain by the namespace's label and the quota's "
          "status. The phase install tries the chart's pods on the server before it installs anything but definitions; accepted, what that shows is printed "
          "and does not stop it.",
    remedy="Raise the quota until v1alpha2 is gone; accept pods-refused where room comes free before.",
    source="Kubernetes: Pod Security Standards, ResourceQuota; kserve issues 5301 and 867",
)
def pods_refused(context: CheckContext) -> Iterator[Occurrence]:
    """Find namespaces whose Pod Security level, and ResourceQuotas whose room, the v1 endpoint pickers that are not there yet do not meet."""
    estate = context.estate
    coming = grouped((entry for entry in context.migrations if ("deployments", entry.namespace, entry.epp) not in estate.named), lambda entry: entry.namespace)
    labels = {name_of(entry): dig(entry, "metadata", "labels", default={}) for entry in estate.of("namespaces")}
    limited = {namespace_of(entry) for entry in estate.of("limit_ranges")}
    pods: dict[str, list[Manifest]] = {}

    def of(namespace: str) -> list[Manifest]:
        if namespace not in pods:
            pods[namespace] = [pod for migration in coming[namespace] for pod in _pods(migration, context)]
        return pods[namespace]

    for namespace in sorted(coming):
        if labels.get(namespace, {}).get(admission.ENFORCE) == "restricted":
            unsaid = {name: None for pod in of(namespace) for name in admission.unsaid_for_restricted(pod)}
            if unsaid:
                text = f"it enforces Pod Security level restricted, and the v1 endpoint picker's pod does not say {', '.join(unsaid)}."
                yield Occurrence(f"Namespace {namespace}", text, f"Lower its level while you migrate: {_LOWER.format(namespace)}; or install a chart of your "
                                 "own whose pods have a securityContext (migration_chart_ref), and accept pods-refused.")
    for quota in estate.of("resource_quotas"):
        namespace = namespace_of(quota)
        if namespace in coming:
            for entry in admission.exceeded(quota, map(admission.charges, of(namespace)), namespace in limited):
                yield Occurrence(describe(quota), f"{entry.phrase}.", _SAY if entry.unsaid else None)


def _pods(migration: PoolMigration, context: CheckContext) -> Iterator[Manifest]:
    """Yield the spec of each pod of a v1 EPP that must find room at once.

    Where the chart's Deployment replaces pods one by one and the plan changes it right after Helm, a second pod comes before the first goes.
    """
    values = v1_objects.chart_values(migration)["inferenceExtension"].get("resources", {})
    parts = [entry for entry in context.planned[migration.key] if entry["kind"] == "Deployment"]
    yield from [planned(migration.namespace, migration.epp, context.facts.resources, values, parts)] * (1 if context.facts.recreates or not parts else 2)
