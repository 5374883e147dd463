# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for findings about monitors that read the endpoint picker: one small function each. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import CheckContext, Occurrence, finding
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import describe


@finding(
    "monitor-reads-alpha-epp", "warning",
    about="A PodMonitor or ServiceMonitor of Prometheus Operator reads an alpha EPP, and its selector does not reach the v1 EPP, which would go unread. The "
          "plan leaves it, and makes one of the same kind and labels beside it for the v1 EPP. Which monitors a Prometheus takes is its own choice.",
    remedy="Whoever runs that Prometheus sees after the phase install that the v1 EPP is among its targets and up. If it is not: give the new monitor what "
           "serviceMonitorSelector or podMonitorSelector wants, and let its credential get /metrics. Delete the old one when it reads nothing any more.",
    source="prometheus-operator, API reference: serviceMonitorSelector, podMonitorSelector; charts v1.0.0 to v1.5.0: no value for labels of pods or Service",
)
def monitor_reads_alpha_epp(context: CheckContext) -> Iterator[Occurrence]:
    """Find PodMonitors and ServiceMonitors that read an alpha EPP and would not read the v1 EPP."""
    for migration in context.migrations:
        for entry, made in context.monitoring.counterparts(migration):
            if entry.with_prometheus:
                yield Occurrence(
                    describe(entry.manifest),
                    f"it reads the EPP of pool {migration.name} and would leave {migration.epp} unread; {describe(made)} is made for that one, "
                    "and this one stays.",
                )


@finding(
    "shared-monitor", "info",
    about="A monitor of Google's kinds reads others beside alpha EPPs, or somebody else owns it, so it stays when the alpha EPPs go; the plan lists it under "
          "stays. A blocker where the pool's Helm release owns it: uninstalled, it would take that monitor along, and the others would go unread.",
    remedy="Nothing to do; take the alpha EPP out of its selector afterwards.",
    source="kserve 5208: one monitor for all schedulers of a namespace stays until the last of them goes",
)
def shared_monitor(context: CheckContext) -> Iterator[Occurrence]:
    """Find monitors of alpha EPPs that stay, or must, each once with the first pool that it reads. What may only be unknown does not block.

    Left out are those of Prometheus Operator (:func:`monitor_reads_alpha_epp`), unless a Helm release would take them along.
    """
    seen: set[str] = set()
    for migration in context.migrations:
        for entry in context.monitoring.of(migration):
            name = describe(entry.manifest)
            if entry.why is None or name in seen or not (entry.others if entry.release_of else not entry.with_prometheus):
                continue
            seen.add(name)
            if entry.release_of:
                yield Occurrence(
                    name, f"{entry.why}, and Helm release {entry.release_of.owner.name} would take it along.",
                    "Make a monitor for the others outside of that release, then accept shared-monitor.", "blocker",
                )
            else:
                yield Occurrence(name, f"{entry.why}, so it stays when the EPP of pool {migration.name} goes.")
