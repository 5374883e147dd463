# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the Plan from an estate and options: all that will change, as data, with a hash over the intended changes alone. Pure.

The Plan is plain JSON: later phases, and runs days later, work from it and never see the Estate.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Optional

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import chart_values, objectives, v1_objects
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import (
    OBJECTIVE_HEADER,
    Options,
    PoolMigration,
    model_name,
    pool_migrations,
    target_models,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import rbac
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import DEFAULT_EPP_PORT, Estate, policy_targets
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.owners import helm_owner
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.workloads import named
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings import catalogue
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import CATALOGUE, CheckContext, Finding
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, describe, dig, name_of, namespace_of
from ansible_collections.inference_gateway.migration.plugins.module_utils.plan import cost
from ansible_collections.inference_gateway.migration.plugins.module_utils.plan_schema import (
    HASHED,
    SCHEMA,
    KeptCrd,
    Plan,
    PlanBody,
    PlannedCrds,
    PlannedModel,
    PlannedOwner,
    PlannedPool,
    PlannedReference,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import parents

_POLICY = "helm.sh/resource-policy"
_BASE_SECONDS = 120
_POOL_SECONDS = 20
"""Seconds for a migration and for each of its pools, at the defaults and without the drain: install and the gates of three steps. Nothing waits for it."""

_LEFT = {
    "hidden": "its record may not be read, so nothing tells what else it owns",
    "missing": "Helm has no record of it, so there is nothing to uninstall",
    "garbled": "its record could not be read, so nothing tells what else it owns",
    None: "its uninstall began already",
}
"""Why a Helm release is not uninstalled, by :attr:`PoolMigration.release_unknown`."""


def make(estate: Estate, options: Options) -> Plan:
    """Make the plan of one cluster; see :func:`of`."""
    return of(context_of(estate, options))


def context_of(estate: Estate, options: Options) -> CheckContext:
    """Return what checks may look at, with a pool migration for every alpha pool."""
    return CheckContext(estate, options, tuple(pool_migrations(estate, options)))


def of(context: CheckContext) -> Plan:
    """Make the plan by what checks may look at. Where v1alpha2 is not in use, it holds no pools and nothing is blocked."""
    estate, options = context.estate, context.options
    found = catalogue.find(context) if estate.in_use else []
    body: PlanBody = {"target": options.release.version, "crds": crds(context), "pools": [pool(migration, context) for migration in context.migrations]}
    return {
        "schema": SCHEMA,
        "hash": digest(body),
        **body,
        "cluster": {"id": estate.cluster_id, "server": estate.server, "version": estate.version},
        "in_use": estate.in_use,
        "blocked": catalogue.blocked(found, options.accept),
        "findings": [_as_dict(entry) for entry in found],
        "unchecked": [f"{name}: the credential may not list them" for name in estate.unread_limits] if context.migrations else [],
        "estimate": _estimate(context),
    }


def with_trial(plan: Plan, refused: list[tuple[Manifest, str]], unchecked: list[str], accept: Collection[str]) -> Plan:
    """Return the plan with what a dry run on the server showed; a refused object is a blocker that nobody may accept.

    :param refused: objects, each with the server's own words.
    :param unchecked: for each kind, a phrase that says how many objects were not tried, and why.
    :param accept: codes of blockers that a person accepts; refused objects block all the same.
    """
    entry = CATALOGUE["chart-object-refused-by-live-crd"]
    remedy = "Change what the message names in the alpha object it comes from, or the definition on the server, then plan again."
    more = [Finding(entry.code, "blocker", describe(manifest), f"the server refuses it in a dry run: {words}", remedy, False) for manifest, words in refused]
    blocked = sorted({*plan["blocked"], *catalogue.blocked(more, accept)})
    return plan | {"findings": [_as_dict(entry) for entry in more] + plan["findings"], "blocked": blocked, "unchecked": [*plan["unchecked"], *unchecked]}


def digest(plan: Mapping[str, Any]) -> str:
    """Return the sha256, in hexadecimal, over the intended changes alone: no estimate, finding, cluster or resourceVersion."""
    canonical = json.dumps({field: plan[field] for field in HASHED}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _as_dict(entry: Finding) -> dict[str, str]:
    return {"code": entry.code, "severity": entry.severity, "object": entry.object, "message": entry.message, "remedy": entry.remedy}


def _estimate(context: CheckContext) -> dict[str, int]:
    """Return the ``seconds`` that the migration will take, the longest drain included, and what its shift sends (:func:`cost.probing`); 0 without pools."""
    drains = [migration.timeout for migration in context.migrations]
    seconds = _BASE_SECONDS + _POOL_SECONDS * len(drains) + max(drains) if drains else 0
    return {"seconds": seconds, **cost.probing(context)}


# -- CRDs ---------------------------------------------------------------------------------------------------------------


def crds(context: CheckContext) -> PlannedCrds:
    """Return what happens to CRDs: missing ones are installed, live ones are kept as they are, alpha's own are deleted at the end.

    Alpha's own are left where the platform, a Helm release or a controller keeps them.

    :returns: ``install`` (``name``, ``file``), ``keep`` (``name``, ``bundle``: the release or None, ``managed``: whether by the platform), ``retire`` (names),
        ``stays`` (``object``, ``why``) where there are such.
    """
    live = context.estate.crds
    kept = {name: keeper for name in releases.ALPHA_CRDS if name in live and (keeper := context.estate.crd_keeper(name))}
    missing = [name for name in context.options.release.crds if name not in live] if context.migrations else []
    planned: PlannedCrds = {
        "install": [{"name": name, "file": releases.CRD_FILES[name]} for name in missing],
        "keep": [_kept(context, name) for name in context.options.release.crds if name in live],
        "retire": [name for name in releases.ALPHA_CRDS if name in live and name not in kept],
    }
    if kept:
        planned["stays"] = [{"object": f"CustomResourceDefinition {name}", "why": keeper} for name, keeper in kept.items()]
    return planned


def _kept(context: CheckContext, name: str) -> KeptCrd:
    bundle = dig(context.estate.crds[name], "metadata", "annotations", releases.BUNDLE_ANNOTATION)
    return {"name": name, "bundle": bundle, "managed": context.estate.platform_keeps(name)}


# -- pools --------------------------------------------------------------------------------------------------------------


def pool(migration: PoolMigration, context: CheckContext) -> PlannedPool:
    """Return all that will be created, changed and deleted for one pool: its entry in the Plan."""
    epp = migration.alpha_epp
    alpha = [(entry, _needed(migration, context, entry)) for entry in _all_of_alpha(migration, context)]
    return {
        "namespace": migration.namespace,
        "name": migration.name,
        "v1_name": migration.v1_name,
        "release": migration.v1_name,
        "epp": {"deployment": migration.epp, "service": migration.epp, "port": DEFAULT_EPP_PORT},
        "alpha_epp": {"deployment": name_of(epp.deployment) if epp.deployment else None, "service": epp.name or None, "port": epp.port},
        "owner": owner(migration) | {"objects": [_address(entry) for entry in released(migration, context, alpha)]},
        "chart": chart(migration),
        "objects": context.planned[migration.key],
        "failure_mode": migration.failure_mode,
        "models": [*(model(migration, entry) for entry in migration.models), *map(undeclared_model, migration.undeclared)],
        "endpoints": list(migration.options.endpoints),
        "references": references(migration),
        "gateways": gateways(migration),
        "timeout_seconds": migration.timeout,
        "retire": [_address(entry) for entry in retired(migration, alpha)],
        "repoint": [objectives.repointed(entry, migration.v1_name) for entry in migration.objectives],
        "stays": [entry._asdict() for entry in stays(migration, context, alpha)],
        "client_headers": client_headers(migration),
    }


def chart(migration: PoolMigration) -> dict[str, Any]:
    """Return the chart's ``values`` and, under ``yours``, what a person chose of them by dotted name, where there is any."""
    image = {"image": migration.options.epp_image} if migration.options.epp_image else {}
    yours = image | dict(chart_values.lines(migration.options.chart_values))
    return {"values": v1_objects.chart_values(migration)} | ({"yours": yours} if yours else {})


def owner(migration: PoolMigration) -> PlannedOwner:
    """Return who owns the alpha pool, and what a restore needs of its Helm release.

    A release that Helm does not uninstall is named under ``left``, and what it owns counts as plain objects.
    """
    release = migration.release
    return {
        "kind": "objects" if migration.release_key and not migration.uninstalled else migration.owner.kind,
        "release": migration.owner.name if migration.uninstalled else None,
        "left": None if migration.uninstalled or not migration.release_key else "/".join(migration.release_key),
        "controller": migration.owner.name if migration.owner.kind == "controller" else None,
        "namespace": migration.release_key[0] if migration.release_key else migration.namespace,
        "chart": release.chart if release else None,
        "version": release.version if release else dig(migration.pool, "metadata", "labels", "app.kubernetes.io/version"),
        "values": release.values if release else None,
    }


def model(migration: PoolMigration, manifest: Manifest) -> PlannedModel:
    """Return one model as clients call it, with the model names that answers may hold.

    EPPs before v1.5.0 answer a rewritten request under the name of the target model, v1.5.0 under the name that the client asked for (seen with v0.3.0
    and v1.5.0).

    :returns: among others ``answer``: v1's name, None where there are several; ``alpha_answers``: all of alpha's names.
    """
    name = model_name(manifest)
    aimed: list[str | None] = [entry.get("name") for entry in target_models(manifest)]
    answer = name if migration.options.release.facts.answers_alias or not aimed else aimed[0] if len(aimed) == 1 else None
    return {
        "name": name,
        "answer": answer,
        "alpha_answers": aimed or [name],
        "objective": name_of(manifest),
        "criticality": dig(manifest, "spec", "criticality"),
        "priority": migration.priority(manifest),
    }


def undeclared_model(name: str) -> PlannedModel:
    """Return a model that no InferenceModel declares: it gets no objective, so its requests keep the priority 0 that they have."""
    return {"name": name, "answer": name, "alpha_answers": [name], "objective": None, "criticality": None, "priority": 0}


def references(migration: PoolMigration) -> list[PlannedReference]:
    """Return the backendRefs that will move, in order of route, rule and index."""
    return [
        {
            "api_version": entry.route.api_version, "kind": entry.route.kind, "namespace": entry.route.namespace, "name": entry.route.name,
            "rule": entry.rule, "index": entry.index, "weight": entry.weight,
        }
        for entry in sorted(migration.references, key=lambda entry: (entry.route, entry.rule, entry.index))
    ]


def gateways(migration: PoolMigration) -> list[dict[str, str | int | None]]:
    """Return the Gateways through which users reach the pool, each once: ``namespace``, ``name``, ``section`` (a listener) and ``port``, None for all."""
    found: dict[tuple[str, str, str, int], dict[str, str | int | None]] = {}
    for entry in migration.references:
        for parent in parents(migration.estate.route_of[entry.route.kind, entry.route.namespace, entry.route.name]):
            found[parent.namespace, parent.name, parent.section or "", parent.port or 0] = parent._asdict()
    return [parent for _key, parent in sorted(found.items())]


def client_headers(migration: PoolMigration) -> list[dict[str, str]]:
    """Return for each model and alpha objective with a priority other than 0 the header that clients must send, and its value (``objective``).

    :returns: ``meanwhile`` is the value that gives an alpha objective's priority on v1 until the phase retire.
    """
    said = [
        {"objective": name_of(entry), "model": model_name(entry), "header": OBJECTIVE_HEADER}
        for entry in migration.models if migration.priority(entry) != 0
    ]
    return said + [
        {"objective": name_of(entry), "meanwhile": objectives.twin_name(name_of(entry)), "header": OBJECTIVE_HEADER}
        for entry in migration.objectives if objectives.priority(entry) != 0
    ]


# -- retire -------------------------------------------------------------------------------------------------------------

OfAlpha = Sequence[tuple[Manifest, Optional[str]]]  # noqa: UP045 (pylint of ansible-test knows | between types as an error)
"""All objects of one alpha pool, each with why it is left, None where it goes."""


def retired(migration: PoolMigration, alpha: OfAlpha) -> Iterator[Manifest]:
    """Yield what is deleted object by object, in order: models, pool, EPP, its RBAC, monitoring, policies.

    What a Helm release owns is left to Helm, unless all of alpha is deleted object by object (:attr:`PoolMigration.by_hand`).
    """
    release = None if migration.by_hand else migration.release_key
    for manifest, why in alpha:
        if not why and (release is None or helm_owner(manifest) != release):
            yield manifest


def _needed(migration: PoolMigration, context: CheckContext, manifest: Manifest) -> str | None:
    """Return why an object of alpha is left: somebody else than the pool's owner owns it, or it serves what stays as well; None where it goes."""
    holder = migration.estate.holder(manifest)
    if holder and holder != migration.owner:
        return f"{holder} owns it, by {holder.sign}"
    beside = [f"{target.kind} {target.namespace}/{target.name}" for target in policy_targets(manifest) if target not in context.moved]
    return f"it also serves {named(beside)}" if beside else None


def _all_of_alpha(migration: PoolMigration, context: CheckContext) -> Iterator[Manifest]:
    yield from migration.every_model
    yield migration.pool
    yield from (entry for entry in (migration.alpha_epp.deployment, migration.alpha_epp.service) if entry)
    # Helm knows the RBAC that it made; object by object, only what is certainly the EPP's own is deleted.
    account = rbac.account(migration.namespace, migration.alpha_epp)
    if account and not migration.uninstalled:
        for entry in context.rights.of(account):
            # As it is live, for its marks tell whose it is.
            yield migration.estate.named.get(("service_accounts", account.namespace, account.name), entry) if entry["kind"] == "ServiceAccount" else entry
    yield from context.monitoring.going(migration)
    yield from migration.estate.policies.get(migration.key, [])


def released(migration: PoolMigration, context: CheckContext, alpha: OfAlpha) -> Iterator[Manifest]:
    """Yield what Helm's uninstall deletes, as far as it is known; nothing where Helm does not uninstall the release.

    kubernetes.core.helm takes an uninstall that was cut short for a finished one, so what it left of these objects is deleted one by one.
    """
    if not migration.uninstalled:
        return
    for manifest, _why in alpha:
        if helm_owner(manifest) == migration.release_key and dig(manifest, "metadata", "annotations", _POLICY) != "keep":
            yield manifest
    account = rbac.account(migration.namespace, migration.alpha_epp)
    if account and migration.release_key and not any(context.rights.beside(account, migration.release_key)):  # all of them are the release's
        yield from context.rights.of(account)


def stays(migration: PoolMigration, context: CheckContext, alpha: OfAlpha) -> Iterator[rbac.Stay]:
    """Yield what of alpha is left on purpose, and why: what others own or use as well, a Helm release that is not uninstalled, and RBAC that others may use."""
    for manifest, why in alpha:
        if why:
            yield rbac.Stay(describe(manifest), why)
    yield from (rbac.Stay(describe(entry.manifest), entry.why or "") for entry in context.monitoring.staying(migration))
    account = rbac.account(migration.namespace, migration.alpha_epp)
    if migration.release_key and migration.uninstalled:
        yield from context.rights.beside(account, migration.release_key) if account else ()
        return
    if migration.release_key:
        yield rbac.Stay(f"Helm release {'/'.join(migration.release_key)}", _LEFT[migration.release_unknown])
    yield from context.rights.staying(account) if account else ()


def _address(manifest: Manifest) -> Manifest:
    """Return the part of an object that names it, which is what kubernetes.core.k8s needs to delete it."""
    where = {"namespace": namespace_of(manifest)} if namespace_of(manifest) else {}
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": {"name": name_of(manifest)} | where}
