# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for findings about InferenceObjectives of alpha pools: one small function each. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import objectives
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import OBJECTIVE_HEADER
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import CheckContext, Occurrence, finding
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, describe, name_of, namespace_of


def _owner(context: CheckContext, objective: Manifest) -> str:
    """Return a sentence on who would turn a change of the objective back, after a blank; empty where nobody is known."""
    owner = context.estate.owner(objective)
    return f" {owner} owns it, by {owner.sign}: change poolRef there too, or it is turned back." if owner.kind != "objects" else ""


@finding(
    "objective-names-alpha-pool", "warning",
    about="An InferenceObjective names a pool of the alpha group, which the v1 EPP does not look at. It gets a twin for the v1 pool, under a name of its own, "
          "since names are unique in a namespace; in the phase retire, when alpha serves nobody any more, the objective itself is pointed at the v1 pool. "
          "Until then an objective's name gives its priority on one of the two stacks, and 0 on the other. Information where its priority is 0.",
    remedy=f"Nothing to do where priority 0 will do on v1 until the phase retire. Else let the clients send {OBJECTIVE_HEADER} with the twin's name, which the "
           "plan lists under client_headers; both names hold afterwards.",
    source="inference-extension v1.0.0, pkg/epp/controller/inferenceobjective_reconciler.go: group and name of poolRef",
)
def objective_names_alpha_pool(context: CheckContext) -> Iterator[Occurrence]:
    """Find InferenceObjectives that name an alpha pool."""
    for migration in context.migrations:
        for entry in migration.objectives:
            name, twin, level = name_of(entry), objectives.twin_name(name_of(entry)), objectives.priority(entry)
            text = (
                f"on v1 requests with '{OBJECTIVE_HEADER}: {name}' get priority 0, and those with '{OBJECTIVE_HEADER}: {twin}' get {level}, until the phase "
                f"retire points it at {migration.v1_name}.{_owner(context, entry)}"
            )
            yield Occurrence(describe(entry), text, severity=None if level else "info")


@finding(
    "objectives-of-one-name", "blocker", overridable=False,
    about="Two InferenceObjectives that the migration would create have one name, and names are unique in a namespace. An InferenceModel's has the model's "
          "name, the twin of an objective its name with -ga in place of -preview, or at its end.",
    remedy="Rename one of the objects that they come from: create it under another name, let the clients send that, and delete the old one.",
    source="Kubernetes: names are unique for a kind and namespace",
)
def objectives_of_one_name(context: CheckContext) -> Iterator[Occurrence]:
    """Find names that two planned objectives would have."""
    planned = [entry for each in context.planned.values() for entry in each if entry["kind"] == "InferenceObjective"]
    for (namespace, name), number in Counter((namespace_of(entry), name_of(entry)) for entry in planned).items():
        if number > 1:
            here = [migration for migration in context.migrations if migration.namespace == namespace]
            models = [describe(model) for migration in here for model in migration.models if name_of(model) == name]
            alphas = [describe(entry) for migration in here for entry in migration.objectives if objectives.twin_name(name_of(entry)) == name]
            remedy = f"Rename {' or '.join([*models, *alphas])}: create it under another name, let the clients send that, and delete the old one."
            yield Occurrence(f"InferenceObjective {namespace}/{name}", f"{number} objects of the plan would have this name.", remedy)
