# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for findings about pools and their models: one small function each. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import v1_objects
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import (
    OBJECTIVE_HEADER,
    UNSET,
    model_name,
    target_models,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import model_pool
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.listings import BINDINGS
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.workloads import WORKLOADS
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import READER_ROLE, CheckContext, Occurrence, finding
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import describe, dig, name_of, namespace_of

_RIGHTS = (WORKLOADS | BINDINGS) - {"deployments"}
"""Listings that are read only to learn who else uses the alpha EPPs' RBAC."""
_MONITORED = frozenset({"monitored_pods", "monitored_services"})
"""Listings that are read only to learn what else the monitors of alpha EPPs read."""


# -- what can't be known ------------------------------------------------------------------------------------------------


@finding(
    "may-not-list", "blocker",
    about="The credential may not list a kind that could hold something that the migration breaks. An empty answer would be a silent no. "
    "A warning where it only hides who else uses the alpha endpoint picker's rights, and no Helm release would be uninstalled with them: those rights stay. "
    "A warning too where it only hides what else a monitor of the alpha endpoint picker reads: that monitor stays.",
    remedy=f"{READER_ROLE}, or accept may-not-list if nothing of that kind concerns the pools.",
    source="docs/protocol.md 1.1",
)
def may_not_list(context: CheckContext) -> Iterator[Occurrence]:
    """Report every kind that the credential may not read; nobody may accept that where no plan would be worth anything without it.

    It is only a warning where all that it hides is who else uses the alpha EPPs' RBAC, and Helm uninstalls no release.
    """
    by_helm = any(migration.uninstalled for migration in context.migrations)
    for entry in context.estate.refused:
        harmless = entry.listing and (entry.listing.name in _MONITORED or (entry.listing.name in _RIGHTS and not by_helm))
        yield Occurrence(
            entry.what, f"{entry.what} may not be read: {entry.message}",
            None if entry.overridable else f"{READER_ROLE}.", "warning" if harmless else None, entry.overridable,
        )


# -- models -------------------------------------------------------------------------------------------------------------


@finding(
    "alias-without-rewrite", "blocker", overridable=False,
    about="An InferenceModel answers under a name that no model server knows. EPPs before v1.3.0 have nothing for that: its requests would get 404.",
    remedy="Set migration_target_version to v1.3.0 or later, whose InferenceModelRewrite does it, or let clients ask for a target model by its own name and "
           "put an InferenceModel with that modelName in place of the alias.",
    source="seen: 404 on EPP v1.0.0, 200 on v1.5.0",
)
def alias_without_rewrite(context: CheckContext) -> Iterator[Occurrence]:
    """Find InferenceModels whose targetModels are not just their own name, where the target EPP knows no InferenceModelRewrite."""
    if context.facts.rewrites:
        return
    for migration in context.migrations:
        for model in migration.models:
            if target_models(model):
                names = ", ".join(entry.get("name", "") for entry in target_models(model))
                yield Occurrence(describe(model), f"clients call {model_name(model)} and get {names}; EPP {context.target} can't translate that.")


@finding(
    "model-name-in-use", "warning",
    about="Two InferenceModels of one pool have the same modelName. The oldest one holds, the others never had an effect and get no v1 counterpart.",
    remedy="Delete the InferenceModel that has no effect.",
    source="inference-extension v0.3.0, datastore: oldest creationTimestamp wins",
)
def model_name_in_use(context: CheckContext) -> Iterator[Occurrence]:
    """Find InferenceModels without effect, because an older one of the pool has the same modelName."""
    for migration in context.migrations:
        holding = {name_of(model) for model in migration.models}
        for model in migration.every_model:
            if model_name(model) and name_of(model) not in holding:
                yield Occurrence(describe(model), f"modelName {model_name(model)} is held by an older InferenceModel of pool {migration.name}.")


@finding(
    "model-without-pool", "warning",
    about="An InferenceModel belongs to a pool that does not exist. It is left alone, and the alpha CRDs stay as long as it is there.",
    remedy="Delete the InferenceModel, or correct its poolRef.",
    source="docs/protocol.md 12.5",
)
def model_without_pool(context: CheckContext) -> Iterator[Occurrence]:
    """Find InferenceModels whose poolRef names no alpha pool of the cluster."""
    for model in context.estate.of("models"):
        if model_pool(model) not in context.estate.pools:
            yield Occurrence(describe(model), f"its pool {model_pool(model).name or '(none)'} does not exist in namespace {namespace_of(model)}.")


@finding(
    "pool-without-models", "blocker",
    about="A pool has no InferenceModel. Where /v1/models lists what it serves, or migration_models says it, these models are probed; else no name "
          "is known that a probe could ask for, and v1 can't be proven before users meet it.",
    remedy="Say which models clients ask it for (migration_models: {NAMESPACE/POOL: [MODEL]}), or accept pool-without-models for a pool that serves nobody, or "
           "that migration_probes ask.",
    source="docs/protocol.md 7.1",
)
def pool_without_models(context: CheckContext) -> Iterator[Occurrence]:
    """Find pools without an InferenceModel that has a modelName; where their models are known all the same, this is information."""
    for migration in context.migrations:
        if migration.undeclared and not migration.models:
            text = f"no InferenceModel names it; it is probed for {', '.join(migration.undeclared)}."
            yield Occurrence(describe(migration.pool), text, "Say others by migration_models where clients ask for others.", "info")
        elif not migration.models:
            say = f"Say which models clients ask it for (migration_models: {{{migration.namespace}/{migration.name}: [MODEL]}})"
            remedy = f"{say}, or accept pool-without-models for a pool that serves nobody, or that migration_probes ask."
            yield Occurrence(describe(migration.pool), "no InferenceModel names it, and nothing else tells which models it serves.", remedy)


@finding(
    "objective-needs-header", "info",
    about="The v1 EPP does not look at the model to find an objective: only requests that carry the header get its priority, all others get 0.",
    remedy=f"Let the clients send {OBJECTIVE_HEADER} with the name that the plan lists under client_headers. Where all models of a rule have one priority, a "
           "RequestHeaderModifier of that rule may set the header for them, if the gateway shows its endpoint picker what filters set: Envoy does where it "
           "asks the picker behind them, of others it is not known, so try it with one request before you rely on it.",
    source="inference-extension v1.0.0, pkg/epp/metadata/consts.go",
)
def objective_needs_header(context: CheckContext) -> Iterator[Occurrence]:
    """Find models whose priority is not 0, which is what a request without the objective header gets."""
    for migration in context.migrations:
        for model in migration.models:
            if migration.priority(model) != 0:
                header = f"'{OBJECTIVE_HEADER}: {name_of(model)}'"
                yield Occurrence(describe(model), f"priority {migration.priority(model)} needs {header} on requests for {model_name(model)}.")


@finding(
    "shedding-changes", "warning",
    about="The alpha EPP sheds (429) everything but Critical when saturated; the v1 EPP sheds below priority 0 only, and requests without the header are at 0. "
          "A blocker where a model is Sheddable, which somebody chose so that others are served first.",
    remedy=f"Let the clients of sheddable models send {OBJECTIVE_HEADER}, keep migration_criticality at preserve_shedding and watch the queues under load; "
           "then, or where v1 may serve these requests like all others, accept shedding-changes.",
    source="inference-extension PR 1361; v0.3.0 admission",
)
def shedding_changes(context: CheckContext) -> Iterator[Occurrence]:
    """Find models that are not Critical, so that the saturated alpha EPP sheds their requests."""
    for migration in context.migrations:
        for model in migration.models:
            criticality = dig(model, "spec", "criticality", default=UNSET)
            if criticality != "Critical":
                now = "never" if migration.priority(model) >= 0 else "only with the objective's header"
                text = f"{model_name(model)} is {criticality}: shed under saturation today, on v1 {now}."
                yield Occurrence(describe(model), text, severity="blocker" if criticality == "Sheddable" else None)


@finding(
    "request-shape-rejected", "blocker",
    about="The alpha EPP takes any JSON with a model. Some v1 EPPs answer 400 to endpoints that the model server would serve.",
    remedy="Choose a later migration_target_version, or list the endpoints in use in migration_endpoints if clients do not call this one.",
    source="seen on EPP v1.0.0 and v1.5.0; request parsers of v1.1.0 to v1.4.0",
)
def request_shape_rejected(context: CheckContext) -> Iterator[Occurrence]:
    """Find endpoints that the target EPP answers with 400.

    One that is in use blocks, and nobody may accept it. Any other is a warning, unless a person listed the endpoints in use.
    """
    for endpoint in context.facts.refuses:
        later = f"Set migration_target_version to {releases.first_that_takes(endpoint)} or later"
        if endpoint in context.options.endpoints:
            remedy = f"{later}, or take {endpoint} out of migration_endpoints if clients do not call it."
            yield Occurrence(f"endpoint {endpoint}", f"EPP {context.target} answers 400 to {endpoint}, which is listed as in use.", remedy, overridable=False)
        elif not context.options.endpoints_said:
            text = f"EPP {context.target} answers 400 to {endpoint}; whether clients call it was not said."
            remedy = f"{later}, or list the endpoints in use in migration_endpoints if clients do not call this one."
            yield Occurrence(f"endpoint {endpoint}", text, remedy, severity="warning")


# -- pools --------------------------------------------------------------------------------------------------------------


@finding(
    "incomplete-pool", "blocker", overridable=False,
    about="A pool lacks what the v1 schema requires. The alpha schema accepts objects without spec.",
    remedy="Write what is missing into the pool's spec, or delete the pool if it serves nobody.",
    source="inference-extension v0.3.0, CRD: spec is not required",
)
def incomplete_pool(context: CheckContext) -> Iterator[Occurrence]:
    """Find pools without targetPortNumber or extensionRef.name, which v1 requires."""
    for migration in context.migrations:
        wanted = {"targetPortNumber": ("spec", "targetPortNumber"), "extensionRef.name": ("spec", "extensionRef", "name")}
        missing = [name for name, path in wanted.items() if not dig(migration.pool, *path)]
        if missing:
            remedy = f"Write {' and '.join(missing)} into the pool's spec, or delete the pool if it serves nobody."
            yield Occurrence(describe(migration.pool), f"spec has no {' and no '.join(missing)}.", remedy)


@finding(
    "empty-selector", "blocker", overridable=False,
    about="A pool selects no label, which in alpha means every pod of the namespace. v1 refuses it, and so does the chart.",
    remedy="Write the labels of its model servers into the alpha pool's spec.selector, flat: the alpha schema refuses a nested matchLabels.",
    source="inference-extension v1.0.2, CRD: minProperties 1; chart validation",
)
def empty_selector(context: CheckContext) -> Iterator[Occurrence]:
    """Find pools whose selector holds no label."""
    for migration in context.migrations:
        if not migration.selector:
            yield Occurrence(describe(migration.pool), "spec.selector holds no label.")


@finding(
    "port-9002-implied", "info",
    about="The pool does not say its EPP's port. v1 requires one, and the plan writes it.",
    remedy="Nothing to do: the new EPP listens on the port that the plan writes.",
    source="inference-extension v1.0.0, CRD: port is required when kind is Service",
)
def port_9002_implied(context: CheckContext) -> Iterator[Occurrence]:
    """Find pools whose extensionRef has no portNumber."""
    for migration in context.migrations:
        if dig(migration.pool, "spec", "extensionRef", "name") and not dig(migration.pool, "spec", "extensionRef", "portNumber"):
            yield Occurrence(describe(migration.pool), f"extensionRef has no portNumber; its EPP is reached on {migration.alpha_epp.port}.")


@finding(
    "fail-open-lost-by-chart", "warning",
    about="The pool fails open, and the chart of the target release ignores failureMode. The plan writes it into the v1 pool after Helm.",
    remedy="Choose migration_target_version v1.4.0 or later, or set failureMode again after every later helm upgrade of this release.",
    source="charts v1.0.0 to v1.3.0, templates/inferencepool.yaml",
)
def fail_open_lost_by_chart(context: CheckContext) -> Iterator[Occurrence]:
    """Find FailOpen pools where the target chart ignores failureMode."""
    for migration in context.migrations:
        if any("endpointPickerRef" in entry["spec"] for entry in v1_objects.patches(migration)):
            yield Occurrence(describe(migration.pool), f"failureMode is FailOpen, which chart {context.target} does not write.")


@finding(
    "controller-owned-pool", "blocker",
    about="A controller or a GitOps tool owns the pool. It would bring alpha back, and it may make the v1 pool itself.",
    remedy="Migrate by that tool's own means (an upgrade of the controller, a change in the repository), or pause it and accept controller-owned-pool.",
    source="docs/protocol.md 12.1; kserve 4949, 5007",
)
def controller_owned_pool(context: CheckContext) -> Iterator[Occurrence]:
    """Find pools that a controller or a GitOps tool owns and would bring back."""
    for migration in context.migrations:
        if migration.owner.kind == "controller":
            yield Occurrence(describe(migration.pool), f"{migration.owner} owns it, by {migration.owner.sign}.")
