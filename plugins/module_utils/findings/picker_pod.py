# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for findings about the endpoint picker's image and pod: one small function each. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import chart_values, picker_image, picker_pod, picker_resources
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import epp_flags
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import CheckContext, Occurrence, finding
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import describe, dig


@finding(
    "epp-image-registry", "blocker",
    about="The alpha EPP's image comes from another registry than the v1 EPP's. Clusters that reach one registry only, or admit images of their own only, "
          "refuse the v1 EPP's Deployment or can't pull its image. It is a warning where alpha's comes from a registry for everybody, without a pull secret.",
    remedy="Mirror the target's image and name it by migration_epp_image, or accept epp-image-registry if nodes and admission policies take the target's own.",
    source="charts v1.0.0 to v1.5.0, values.yaml; seen with a policy that admits one registry",
)
def epp_image_registry(context: CheckContext) -> Iterator[Occurrence]:
    """Find alpha EPPs whose image comes from another registry than the v1 EPP's, unless a person chose the v1 EPP's."""
    for migration in context.migrations:
        doubt = picker_image.doubt(migration)
        if doubt:
            v1 = picker_image.v1(migration)
            yield Occurrence(
                describe(migration.alpha_epp.deployment or {}),
                f"its image comes from {picker_image.parsed(picker_image.alpha(migration)).registry}, and the v1 EPP's would be {v1}.",
                remedy=f"Mirror that image and set migration_epp_image to where it is then, e.g. {picker_image.fitting(migration)}; or accept "
                       f"epp-image-registry if nodes may pull {v1} and admission policies take it.",
                severity="warning" if doubt == "some" else None,
            )


@finding(
    "epp-pod-settings-merged", "warning",
    about="The alpha EPP's pod has settings for which the target release's chart takes no value. The plan merges them into the v1 EPP's Deployment after "
          "Helm, so its pod is started twice, and Helm does not know them: a release that is installed again, or upgraded with --force, is without them.",
    remedy="Set them again after every later installation or forced upgrade of this release, e.g. by kubectl patch.",
    source="charts v1.0.0 to v1.5.0, the EPP's Deployment; seen with Helm 3.19.5: an upgrade keeps them, one with --force does not",
)
def epp_pod_settings_merged(context: CheckContext) -> Iterator[Occurrence]:
    """Find alpha EPPs with settings of the pod that the target chart takes no value for."""
    for migration in context.migrations:
        names = picker_pod.patched(migration)
        if names:
            said = ", ".join(names)
            yield Occurrence(describe(migration.alpha_epp.deployment or {}), f"chart {context.target} takes no value for {said}: merged into {migration.epp}.")


@finding(
    "epp-pod-settings-not-carried", "warning",
    about="The alpha EPP's pod has variables or settings that the v1 EPP's does not get: variables that the target EPP does not read, or whose values look "
          "like credentials in clear (they would stand in the plan), further containers, volumes, network settings, annotations.",
    remedy="Set what is still needed: variables by migration_chart_values (inferenceExtension.env; a credential by valueFrom of a Secret), SD_* from v1.5.0 "
           "on in the plugin configuration (saturationDetector), volumes from v1.3.0 on by inferenceExtension.volumes and volumeMounts, anything else by a "
           "patch of the v1 EPP's Deployment between the phases install and shift.",
    source="inference-extension v0.3.0 to v1.5.0, cmd/epp and pkg/epp: variables; charts v1.0.0 to v1.5.0",
)
def epp_pod_settings_not_carried(context: CheckContext) -> Iterator[Occurrence]:
    """Find alpha EPPs with variables or settings of the pod that the plan does not carry."""
    for migration in context.migrations:
        left = picker_pod.left(migration)
        if left:
            yield Occurrence(describe(migration.alpha_epp.deployment or {}), f"{', '.join(left)}: not in the plan for {migration.epp}.")


@finding(
    "epp-resources-grow", "warning",
    about="The v1 EPP asks for more than alpha's EPP asks today, and both run side by side until the end. With epp_resources=chart it asks what the chart "
          "asks; else this is an info: it requests what alpha's is seen to use, or a little where alpha's requests nothing beside the chart's limit.",
    remedy="Make sure that the nodes have room, or leave epp_resources at preserve.",
    source="charts v1.4.0 and v1.5.0: 4 CPU and 8 GiB requested; Kubernetes: a missing request is the limit",
)
def epp_resources_grow(context: CheckContext) -> Iterator[Occurrence]:
    """Find alpha EPPs with fewer resources than the v1 EPP gets, but for those that a person says by chart values."""
    if any(name.startswith("inferenceExtension.resources") for name, _value in chart_values.lines(context.options.chart_values)):
        return
    chart = context.options.epp_resources == "chart"
    for migration in context.migrations:
        alpha = dig(migration.alpha_epp.container, "resources", default={})
        if chart:
            more = epp_flags.grown(alpha, context.facts.resources)
        else:
            requests = picker_pod.resources(migration).get("requests", {}) if migration.alpha_epp.deployment else {}
            more = epp_flags.grown({"requests": picker_resources.asked(alpha)}, {"requests": requests})
        if more:
            yield Occurrence(
                describe(migration.alpha_epp.deployment or migration.pool), f"the v1 EPP asks for {', '.join(more)}.",
                remedy=None if chart else "Nothing to do where the nodes have room; else set inferenceExtension.resources by migration_chart_values.",
                severity=None if chart else "info",
            )
