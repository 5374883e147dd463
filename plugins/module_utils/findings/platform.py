# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for findings about endpoint pickers, policies and CRDs: one small function each. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import target_models
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.label_index import grouped
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import CheckContext, Occurrence, finding
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import (
    ALPHA_GROUP,
    POOL_KIND,
    V1_GROUP,
    describe,
    dig,
    name_of,
    namespace_of,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey

# -- endpoint pickers ---------------------------------------------------------------------------------------------------


@finding(
    "epp-missing", "warning",
    about="The pool names an EPP whose Service or Deployment does not exist, so alpha can't answer by it today.",
    remedy="Repair the alpha EPP first: without it nothing can be compared, and nothing can be gone back to.",
    source="docs/protocol.md 1.2",
)
def epp_missing(context: CheckContext) -> Iterator[Occurrence]:
    """Find pools that name an EPP whose Service or Deployment does not exist."""
    for migration in context.migrations:
        epp = migration.alpha_epp
        if epp.name and (epp.service is None or epp.deployment is None):
            what = "Service" if epp.service is None else "Deployment behind Service"
            yield Occurrence(describe(migration.pool), f"there is no {what} {migration.namespace}/{epp.name}.")


@finding(
    "epp-replicas-reduced", "warning",
    about="Several replicas of a v1 EPP are one leader and idle standbys that never get ready. The plan installs one replica.",
    remedy="Raise inferenceExtension.replicas after the migration if you want standbys.",
    source="charts v1.0.1 to v1.5.0: --ha-enable-leader-election",
)
def epp_replicas_reduced(context: CheckContext) -> Iterator[Occurrence]:
    """Find alpha EPPs with several replicas."""
    for migration in context.migrations:
        replicas = dig(migration.alpha_epp.deployment or {}, "spec", "replicas", default=1)
        if replicas > 1:
            yield Occurrence(describe(migration.alpha_epp.deployment or {}), f"{replicas} replicas become 1.")


@finding(
    "epp-settings-not-carried", "warning",
    about="The alpha EPP runs with flags that the target EPP does not have, e.g. a plugin configuration whose plugins are gone. The v1 EPP runs without them.",
    remedy="Compare how requests are spread once v1 serves its first share; set the v1 counterpart in the release's values afterwards.",
    source="inference-extension v1.0.0, cmd/epp/runner/runner.go",
)
def epp_settings_not_carried(context: CheckContext) -> Iterator[Occurrence]:
    """Find alpha EPPs with flags for which the target EPP has no counterpart."""
    for migration in context.migrations:
        if migration.lost_flags:
            yield Occurrence(describe(migration.alpha_epp.deployment or {}), f"flags {', '.join(migration.lost_flags)} have no counterpart in the plan.")


# -- policies -----------------------------------------------------------------------------------------------------------


@finding(
    "policy-bound-to-alpha-group", "info",
    about="A policy names the pool by its alpha group and would not hold for the v1 pool. It gets a v1 counterpart with the same spec.",
    remedy="Nothing to do; change your own files to the v1 group afterwards.",
    source="docs/protocol.md 3.6",
)
def policy_bound_to_alpha_group(context: CheckContext) -> Iterator[Occurrence]:
    """Find the policies of alpha pools that get a v1 counterpart."""
    for migration in context.migrations:
        for policy in migration.policies.values():
            yield Occurrence(describe(policy), f"it is attached to the alpha pool {migration.name}; {migration.v1_name} gets the same.")


@finding(
    "policy-twice-on-target", "warning",
    about="Two policies of one kind are attached to one pool. The oldest one holds, and only that one gets a v1 counterpart.",
    remedy="Delete the policy that does not hold.",
    source="GKE: conflicting policies, oldest wins",
)
def policy_twice_on_target(context: CheckContext) -> Iterator[Occurrence]:
    """Find policies without effect, because an older one of their kind is attached to the same pool."""
    for migration in context.migrations:
        for policy in context.estate.policies.get(migration.key, []):
            if policy is not migration.policies[policy["kind"]]:
                yield Occurrence(describe(policy), f"{describe(migration.policies[policy['kind']])} is older and holds for pool {migration.name}.")


@finding(
    "policy-without-pool", "warning",
    about="A policy names an InferencePool that does not exist, while a pool of its namespace has no policy of that kind: most likely a mistyped name, or the "
          "pool was renamed. That pool lives by the defaults, and so will its v1 counterpart.",
    remedy="Correct the policy's targetRef before the migration if it is meant for that pool, so that the v1 pool gets the same; else delete the policy.",
    source="GKE: a policy without its target has no effect; docs/protocol.md 3.6",
)
def policy_without_pool(context: CheckContext) -> Iterator[Occurrence]:
    """Find policies whose target is an alpha pool that does not exist, in a namespace in which a pool has no policy of the kind.

    The v1 group counts too: its pools are those that are there and those that are planned.
    """
    known = {*context.estate.pools, *(PoolKey(V1_GROUP, POOL_KIND, namespace_of(pool), name_of(pool)) for pool in context.estate.of("v1_pools"))}
    known |= {PoolKey(V1_GROUP, POOL_KIND, migration.namespace, migration.v1_name) for migration in context.migrations}
    pools = grouped(context.migrations, lambda migration: migration.namespace)
    for target, policies in context.estate.policies.items():
        if target in known or target.kind != POOL_KIND or target.group not in (ALPHA_GROUP, V1_GROUP):
            continue
        for policy in policies:
            without = [migration.name for migration in pools.get(target.namespace, []) if policy["kind"] not in migration.policies]
            if without:
                text = f"there is no InferencePool {target.name} of group {target.group} in namespace {target.namespace}"
                yield Occurrence(describe(policy), f"{text}, and pool {', '.join(without[:3])} has no {policy['kind']}.")


# -- CRDs ---------------------------------------------------------------------------------------------------------------


@finding(
    "managed-crd", "info",
    about="The platform, a Helm release or a controller keeps this CRD. It is neither written nor deleted; an alpha CRD is left at the end, and named.",
    remedy="Nothing to do; remove an alpha CRD by the means of its owner when nothing needs it any more.",
    source="docs/protocol.md 4, 12.5; GKE from 1.34.0-gke.1626000 on",
)
def managed_crds(context: CheckContext) -> Iterator[Occurrence]:
    """Find CRDs of v1alpha2 and v1 that the platform manages, or that somebody else owns."""
    for name in sorted({*releases.ALPHA_CRDS, *releases.CRD_FILES} & set(context.estate.crds)):
        keeper = context.estate.crd_keeper(name)
        if keeper:
            yield Occurrence(f"CustomResourceDefinition {name}", f"{keeper}, so it stays as it is.")


@finding(
    "crd-older-than-target", "warning",
    about="A CRD that is there already comes from an older release than the target. It is never rewritten, and fields that it lacks are dropped silently.",
    remedy="If the CRD is yours to update, replace it by the target release's own: kubectl replace -f FILE, from config/crd/bases.",
    source="bundle-version annotation; InferenceModelRewrite was incompatible before v1.3.0",
)
def crd_older_than_target(context: CheckContext) -> Iterator[Occurrence]:
    """Find live CRDs of an older release than the target, by their bundle-version annotation.

    An InferenceModelRewrite CRD from before v1.3.0 has no field ``targets``: where a model needs a rewrite it blocks, and nobody may accept it.
    """
    wanted = releases.parse(context.target)
    for name in context.options.release.crds:
        bundle = dig(context.estate.crds.get(name, {}), "metadata", "annotations", releases.BUNDLE_ANNOTATION, default="")
        found = releases.parse(bundle)
        if found is None or wanted is None or found >= wanted:
            continue
        models = (model for migration in context.migrations for model in migration.models)
        unusable = name == releases.REWRITES_CRD and found < (1, 3, 0) and any(map(target_models, models))
        yield Occurrence(
            f"CustomResourceDefinition {name}", f"it is of release {bundle}, the target is {context.target}.",
            f"If it is yours to update, replace it by that of release {context.target}, from config/crd/bases: kubectl replace -f {releases.CRD_FILES[name]}.",
            severity="blocker" if unusable else None, overridable=not unusable,
        )


@finding(
    "alpha-crd-in-v1-manifests", "info",
    about="manifests.yaml of the target release carries the alpha InferencePool CRD: applying it rewrites that CRD, and after the migration brings it back.",
    remedy="Do not apply that file, now or later; the collection applies the single CRD files of the release.",
    source="manifests.yaml of v1.0.0 to v1.4.0",
)
def alpha_crd_in_v1_manifests(context: CheckContext) -> Iterator[Occurrence]:
    """Report a target release whose manifests.yaml contains the alpha InferencePool CRD."""
    if context.migrations and context.facts.alpha_in_manifests:
        yield Occurrence(f"release {context.target}", f"manifests.yaml of {context.target} holds {releases.ALPHA_POOLS_CRD}.")


@finding(
    "gitops-owned-model", "warning",
    about="A GitOps tool, another controller or another Helm release than the pool's owns an InferenceModel. Deleted, it would come back, so it is left, and "
    "while it is there the alpha CRDs stay.",
    remedy="Remove it from its owner's source before the retire phase.",
    source="docs/protocol.md 12.1, 12.2",
)
def gitops_owned_model(context: CheckContext) -> Iterator[Occurrence]:
    """Find InferenceModels that somebody else than the pool's owner would bring back."""
    for migration in context.migrations:
        for model in migration.every_model:
            holder = context.estate.holder(model)
            if holder and holder != migration.owner:
                yield Occurrence(describe(model), f"{holder} owns it, by {holder.sign}.")
