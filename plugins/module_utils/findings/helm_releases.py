# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for findings about what is deleted with an alpha pool, Helm releases and RBAC, and who else needs it. One small function each. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import CHART, PoolMigration
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import rbac
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import policy_targets
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.label_index import grouped
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.owners import UNMARK, helm_owner
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.workloads import DEFAULT_ACCOUNT
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import CheckContext, Occurrence, finding
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import describe, name_of, namespace_of

_ROLE = "inference-gateway-migration-helm-values"
_FILE = "roles/migration/files/rbac/helm-values.yaml"
"""The collection's file with the optional Role that lets Helm's records be read."""


@finding(
    "helm-values-unreadable", "info",
    about="A Helm release owns the pool. Its record names the chart, but its values can't be read, so they are not kept for a restore.",
    remedy="Keep the values yourself (helm get values).",
    source="docs/protocol.md 1.3",
)
def helm_values_unreadable(context: CheckContext) -> Iterator[Occurrence]:
    """Find pools of a Helm release whose record can be read, but not the values in it."""
    for migration in context.migrations:
        if migration.release and migration.release.values is None:
            yield Occurrence(describe(migration.pool), f"the values of Helm release {migration.owner.name}, which owns it, could not be read.")


@finding(
    "helm-release-unknown", "blocker",
    about="The pool is marked as a Helm release's, and nothing tells what that release owns: its record may not be read, is not there, or is garbled. "
    "Uninstalled, it might take along what is not alpha's, or Helm might not know it and delete nothing. Where this is accepted, alpha's objects are "
    "deleted one by one as plain objects are, with the rights that are certainly the endpoint picker's own, and the release is left and named.",
    remedy="Let Helm's record be read, or accept helm-release-unknown.",
    source="docs/protocol.md 1.3, 12.3; helm issues 13279 and 12098",
)
def helm_release_unknown(context: CheckContext) -> Iterator[Occurrence]:
    """Find pools annotated with a Helm release whose record is hidden (may not be read), missing or garbled."""
    for migration in context.migrations:
        if migration.release_key and migration.release_unknown:
            namespace, name = migration.release_key
            messages = {
                "hidden": f"Helm release {name} owns it, but this credential may not list the Secrets of namespace {namespace}, where Helm keeps its record.",
                "missing": f"its marks name Helm release {name}, of which Helm has no record: no Secret in namespace {namespace} holds one.",
                "garbled": f"Helm release {name} owns it, but the newest record of that release in namespace {namespace} could not be read.",
            }
            accept = "or accept helm-release-unknown: alpha's objects are then deleted one by one and the release is left."
            remedies = {
                "hidden": f"Bind the optional Role of the collection: kubectl -n {namespace} apply -f {_FILE} && "
                f"kubectl -n {namespace} create rolebinding {_ROLE} --role={_ROLE} --user=WHO, {accept}",
                "missing": f"Restore the release's Secrets if there is a copy of them, {accept} What else bears its marks stays as it is.",
                "garbled": f"Delete the Secret that kubectl -n {namespace} get secrets -l owner=helm,name={name} --sort-by=.metadata.creationTimestamp shows "
                f"last, and install the release over what is there (helm -n {namespace} upgrade --install {name} CHART, with its values), {accept}",
            }
            yield Occurrence(describe(migration.pool), messages[migration.release_unknown], remedies[migration.release_unknown])


@finding(
    "helm-release-not-deployed", "warning",
    about="The newest revision of the release that owns the pool is in another status than deployed. Helm uninstalls by the objects of that revision "
    "alone, and those may not be all that live: alpha's objects are deleted one by one before Helm is asked to uninstall the rest. A release whose "
    "uninstall was begun already is left, for Ansible's helm module takes it for uninstalled.",
    remedy="See that no helm command is at work on it, then bring it back to deployed (helm rollback or helm upgrade) and plan again, or go on.",
    source="helm v3, pkg/action/uninstall.go; kubernetes.core 6.2.0, helm.py: skips uninstalled and uninstalling",
)
def helm_release_not_deployed(context: CheckContext) -> Iterator[Occurrence]:
    """Find pools of a Helm release whose newest revision is not ``deployed``, e.g. after an upgrade that did not finish."""
    for migration in context.migrations:
        if migration.release and not migration.release.whole:
            then = "Helm then uninstalls the rest" if migration.uninstalled else "the release itself is left"
            status = f"the newest revision of Helm release {migration.owner.name}, which owns it, is in status {migration.release.status}"
            yield Occurrence(describe(migration.pool), f"{status}: alpha's objects are deleted one by one, and {then}.")


@finding(
    "release-owns-more", "blocker", overridable=False,
    about="The pool's Helm release owns more than an inferencepool chart does, or rights that others use as well. Uninstalling it would take that along. "
    "Rights alone may be accepted, where the others need them no more.",
    remedy="Take what is alpha's out of that release first: annotate it with helm.sh/resource-policy: keep, upgrade to a chart without it, then take Helm's "
    "annotations off: Helm leaves them on what it keeps.",
    source="docs/protocol.md 12.2, 12.3; helm 3 and 4: what is kept keeps its meta.helm.sh annotations",
)
def release_owns_more(context: CheckContext) -> Iterator[Occurrence]:
    """Find Helm releases whose uninstall would delete more than pool and EPP.

    That is other objects, whatever a chart other than inferencepool brings, or RBAC that others use. Only the last may be accepted.
    """
    estate = context.estate
    candidates = (*estate.of("deployments"), *estate.of("services"), *estate.routes, *estate.of("gateways"), *estate.of("pools"), *estate.of("v1_pools"))
    owned = grouped((*candidates, *estate.crds.values()), helm_owner)
    for migration in context.migrations:
        if migration.release is None or migration.release_key is None or not migration.uninstalled:
            continue
        known = {describe(entry) for entry in (migration.pool, migration.alpha_epp.service, migration.alpha_epp.deployment) if entry}
        of_release = owned.get(migration.release_key, [])
        foreign = [describe(entry) for entry in of_release if describe(entry) not in known]
        policies = (entry for entry in estate.policies.get(migration.key, []) if helm_owner(entry) == migration.release_key)
        foreign += [f"{describe(entry)}, which serves others too" for entry in policies if not set(policy_targets(entry)) <= set(context.moved)]
        if migration.release.chart != CHART:
            foreign.append(f"whatever else chart {migration.release.chart} brings")
        if foreign:
            owns = f"Helm release {migration.owner.name} also owns {', '.join(sorted(foreign)[:5])}."
            yield Occurrence(describe(migration.pool), owns, _taken_out(migration, context))
        account = rbac.account(migration.namespace, migration.alpha_epp)
        for entry in context.rights.shared(account, migration.release_key) if account else ():
            yield Occurrence(
                describe(migration.pool), f"Helm release {migration.owner.name} would take {entry.object} along, which others use: {entry.why}.",
                f"Give the others rights of their own in place of {entry.object}, or accept release-owns-more if they need it no more.", overridable=True,
            )


def _taken_out(migration: PoolMigration, context: CheckContext) -> str:
    """Return the commands that take what is alpha's out of its Helm release, so that it goes as plain objects do."""
    namespace, release = migration.release_key or ("", "")
    account, epp = rbac.account(migration.namespace, migration.alpha_epp), migration.alpha_epp
    marked = [entry for entry in (migration.pool, epp.deployment, epp.service, *migration.every_model, *context.monitoring.going(migration),
                                  *context.estate.policies.get(migration.key, [])) if entry and helm_owner(entry) == (namespace, release)]
    rights = list(context.rights.of(account)) if account else []
    kept: dict[str, list[str]] = {}
    for entry in (*marked, *rights):
        group = entry["apiVersion"].rpartition("/")[0]
        named = f"{entry['kind'].lower()}{f'.{group}' if '.' in group else ''}/{name_of(entry)}"
        kept.setdefault(namespace_of(entry), []).append(named)
    commands = {where: f"kubectl {f'-n {where} ' if where else ''}annotate --overwrite {' '.join(dict.fromkeys(names))}" for where, names in kept.items()}
    keep = "; ".join(f"{command} helm.sh/resource-policy=keep" for command in commands.values())
    unmark = "; ".join(f"{command} {UNMARK} helm.sh/resource-policy-" for command in commands.values())
    return (f"Take what is alpha's out of that release. First: {keep}. Then: helm -n {namespace} upgrade {release} to a chart without it. Helm leaves its "
            f"annotations on what it keeps, so last: {unmark}.")


@finding(
    "shared-epp-rbac", "info",
    about="Others use rights of the alpha EPP as well, or may: its ServiceAccount (any kind of workload runs as it), a binding that names somebody else "
    "too, or a role that another binding anywhere in the cluster gives to somebody else. Those rights are left when the EPP goes; the plan lists them "
    "under stays.",
    remedy="Remove the bindings to the alpha group yourself when nothing needs them any more.",
    source="docs/protocol.md 12.2; inference-extension v0.3.0, config/manifests: ClusterRole pod-read bound to ServiceAccount default",
)
def shared_epp_rbac(context: CheckContext) -> Iterator[Occurrence]:
    """Find alpha EPPs whose RBAC is left in place, because others use it or may use it.

    Left out are EPPs that Helm uninstalls (:func:`release_owns_more` looks at those) and EPPs of pools that a controller owns.
    """
    for migration in context.migrations:
        account = rbac.account(migration.namespace, migration.alpha_epp)
        if account is None or migration.uninstalled or migration.owner.kind == "controller":
            continue
        kept = context.rights.staying(account)
        if kept or account.name == DEFAULT_ACCOUNT:
            shown = "; ".join(f"{entry.object} stays: {entry.why}" for entry in kept[:3])
            name = f"ServiceAccount {account.namespace}/{account.name}"
            yield Occurrence(describe(migration.alpha_epp.deployment or {}), f"it runs as {name}" + (f". {shown}." if shown else ", as others may."))
