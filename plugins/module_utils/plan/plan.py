# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Estate and options to the Plan: all that will change, as data, with a hash over the intended changes alone. Pure.

The Plan is plain JSON: later phases, and runs days later, work from it and never see the Estate.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import v1_objects
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import (
    OBJECTIVE_HEADER,
    Draft,
    Options,
    drafts,
    model_name,
    targets,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import rbac
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import DEFAULT_EPP_PORT, Estate, helm_owner, managed_crd
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings import catalogue
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import CATALOGUE, Finding, View
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, describe, dig, name_of, namespace_of
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import parents

SCHEMA = 1
HASHED = ("target", "crds", "pools")

_POLICY = "helm.sh/resource-policy"
_BASE_SECONDS = 120
_POOL_SECONDS = 20
"""What install and the gates of three steps take at the defaults, besides the drain; a shown estimate, nothing waits for it."""

_LEFT = {
    "hidden": "its record may not be read, so nothing tells what else it owns",
    "missing": "Helm has no record of it, so there is nothing to uninstall",
    "garbled": "its record could not be read, so nothing tells what else it owns",
    None: "its uninstall began already",
}
"""Why a release is not uninstalled, by what is not known of it."""


def make(estate: Estate, options: Options) -> dict[str, Any]:
    """The plan of one cluster. Where v1alpha2 is not in use it holds no pools and nothing is blocked."""
    view = View(estate, options, tuple(drafts(estate, options)))
    found = catalogue.find(view) if estate.in_use else []
    body = {"target": options.release.version, "crds": crds(view), "pools": [pool(draft, view) for draft in view.drafts]}
    return {
        "schema": SCHEMA,
        "hash": digest(body),
        **body,
        "cluster": {"id": estate.cluster_id, "server": estate.server, "version": estate.version},
        "in_use": estate.in_use,
        "blocked": catalogue.blocked(found, options.accept),
        "findings": [_as_dict(entry) for entry in found],
        "unchecked": [],
        "estimate": {"seconds": _estimate(view)},
    }


def with_trial(plan: dict[str, Any], refused: list[tuple[Manifest, str]], unchecked: list[str], accept: Collection[str]) -> dict[str, Any]:
    """The plan with what a dry run on the server showed: a refused object is a blocker, what could not be tried is listed.

    :param refused: objects and the server's own words. :param accept: codes that a person overrules.
    """
    entry = CATALOGUE["chart-object-refused-by-live-crd"]
    remedy = "Change what the message names in the alpha object it comes from, or the definition on the server, then plan again."
    more = [Finding(entry.code, "blocker", describe(manifest), f"the server refuses it in a dry run: {words}", remedy, False) for manifest, words in refused]
    blocked = sorted({*plan["blocked"], *catalogue.blocked(more, accept)})
    return plan | {"findings": [_as_dict(entry) for entry in more] + plan["findings"], "blocked": blocked, "unchecked": unchecked}


def digest(plan: dict[str, Any]) -> str:
    """sha256 over the intended changes alone: no estimate, finding, cluster or resourceVersion."""
    canonical = json.dumps({field: plan[field] for field in HASHED}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _as_dict(entry: Finding) -> dict[str, str]:
    return {"code": entry.code, "severity": entry.severity, "object": entry.object, "message": entry.message, "remedy": entry.remedy}


def _estimate(view: View) -> int:
    """Seconds: base, a share for each pool and the longest drain."""
    return _BASE_SECONDS + _POOL_SECONDS * len(view.drafts) + max((draft.timeout for draft in view.drafts), default=0) if view.drafts else 0


# -- CRDs ---------------------------------------------------------------------------------------------------------------


def crds(view: View) -> dict[str, Any]:
    """By what is live first: what is missing is installed, what is there is kept as it is, alpha's own go at the end."""
    live = view.estate.crds
    missing = [name for name in view.options.release.crds if name not in live] if view.drafts else []
    return {
        "install": [{"name": name, "file": releases.CRD_FILES[name]} for name in missing],
        "keep": [_kept(view, name) for name in view.options.release.crds if name in live],
        "retire": [name for name in releases.ALPHA_CRDS if name in live and not managed_crd(live[name], False)],
    }


def _kept(view: View, name: str) -> dict[str, Any]:
    crd = view.estate.crds[name]
    shipped = name == releases.V1_POOLS_CRD and releases.gke_ships_v1(view.estate.version)
    return {"name": name, "bundle": dig(crd, "metadata", "annotations", releases.BUNDLE_ANNOTATION), "managed": managed_crd(crd, shipped)}


# -- pools --------------------------------------------------------------------------------------------------------------


def pool(draft: Draft, view: View) -> dict[str, Any]:
    """All that will be created, changed and deleted for one pool."""
    epp = draft.alpha_epp
    return {
        "namespace": draft.namespace,
        "name": draft.name,
        "v1_name": draft.v1_name,
        "release": draft.v1_name,
        "epp": {"deployment": draft.epp, "service": draft.epp, "port": DEFAULT_EPP_PORT},
        "alpha_epp": {"deployment": name_of(epp.deployment) if epp.deployment else None, "service": epp.name or None, "port": epp.port},
        "owner": owner(draft) | {"objects": [_address(entry) for entry in released(draft, view)]},
        "chart": {"values": v1_objects.chart_values(draft)},
        "objects": view.planned[draft.key],
        "failure_mode": draft.failure_mode,
        "models": [model(draft, entry) for entry in draft.models],
        "endpoints": list(draft.options.endpoints),
        "references": references(draft),
        "gateways": gateways(draft),
        "timeout_seconds": draft.timeout,
        "retire": [_address(entry) for entry in retired(draft, view)],
        "stays": [entry._asdict() for entry in stays(draft, view)],
        "client_headers": client_headers(draft),
    }


def owner(draft: Draft) -> dict[str, Any]:
    """Who owns the alpha pool, and what a restore needs of its release. A release that Helm does not uninstall is left, and owns nothing here."""
    release = draft.release
    return {
        "kind": "objects" if draft.release_key and not draft.uninstalled else draft.owner.kind,
        "release": draft.owner.name if draft.uninstalled else None,
        "left": None if draft.uninstalled or not draft.release_key else "/".join(draft.release_key),
        "controller": draft.owner.name if draft.owner.kind == "controller" else None,
        "namespace": draft.release_key[0] if draft.release_key else draft.namespace,
        "chart": release.chart if release else None,
        "version": release.version if release else dig(draft.pool, "metadata", "labels", "app.kubernetes.io/version"),
        "values": release.values if release else None,
    }


def model(draft: Draft, manifest: Manifest) -> dict[str, Any]:
    """One model as clients call it, and what answers on each side may call it."""
    name, aimed = model_name(manifest), [entry.get("name") for entry in targets(manifest)]
    answer = name if draft.options.release.facts.answers_alias or not aimed else aimed[0] if len(aimed) == 1 else None
    return {
        "name": name,
        "answer": answer,
        "alpha_answers": aimed or [name],
        "objective": name_of(manifest),
        "criticality": dig(manifest, "spec", "criticality"),
        "priority": draft.priority(manifest),
    }


def references(draft: Draft) -> list[dict[str, Any]]:
    """The backendRefs that will move."""
    return [
        {
            "api_version": entry.route.api_version, "kind": entry.route.kind, "namespace": entry.route.namespace, "name": entry.route.name,
            "rule": entry.rule, "index": entry.index, "weight": entry.weight,
        }
        for entry in sorted(draft.references, key=lambda entry: (entry.route, entry.rule, entry.index))
    ]


def gateways(draft: Draft) -> list[dict[str, str | None]]:
    """The Gateways (and sections) through which users reach the pool, each once."""
    found: dict[tuple[str, str, str], dict[str, str | None]] = {}
    for entry in draft.references:
        for parent in parents(draft.estate.route_of[entry.route.kind, entry.route.namespace, entry.route.name]):
            found[parent.namespace, parent.name, parent.section or ""] = parent._asdict()
    return [parent for _key, parent in sorted(found.items())]


def client_headers(draft: Draft) -> list[dict[str, str]]:
    """Who must send which header to get its objective."""
    return [{"objective": name_of(entry), "model": model_name(entry), "header": OBJECTIVE_HEADER} for entry in draft.models if draft.priority(entry) != 0]


# -- retire -------------------------------------------------------------------------------------------------------------


def retired(draft: Draft, view: View) -> Iterator[Manifest]:
    """What is deleted by hand, in order: models, pool, EPP, its rights, policies last. Helm uninstalls what its release owns."""
    release = None if draft.by_hand else draft.release_key
    for manifest in _all_of_alpha(draft, view):
        if release is None or helm_owner(manifest) != release:
            yield manifest


def _all_of_alpha(draft: Draft, view: View) -> Iterator[Manifest]:
    yield from draft.every_model
    yield draft.pool
    yield from (entry for entry in (draft.alpha_epp.deployment, draft.alpha_epp.service) if entry)
    # Helm knows the rights that it made; by hand only what is certainly the EPP's own goes.
    account = rbac.account(draft.namespace, draft.alpha_epp)
    if account and not draft.uninstalled:
        yield from view.rights.of(account)
    yield from draft.monitorings
    yield from draft.estate.policies.get(draft.key, [])


def released(draft: Draft, view: View) -> Iterator[Manifest]:
    """What is known of what Helm's uninstall deletes: of one that was cut short the rest is deleted by hand, for Helm's module takes it for done."""
    if not draft.uninstalled:
        return
    for manifest in _all_of_alpha(draft, view):
        if helm_owner(manifest) == draft.release_key and dig(manifest, "metadata", "annotations", _POLICY) != "keep":
            yield manifest
    account = rbac.account(draft.namespace, draft.alpha_epp)
    if account and draft.release_key and not any(view.rights.beside(account, draft.release_key)):  # all of them are the release's
        yield from view.rights.of(account)


def stays(draft: Draft, view: View) -> Iterator[rbac.Stay]:
    """What of alpha is left on purpose: a release that is not uninstalled, and rights that others use, or may use."""
    account = rbac.account(draft.namespace, draft.alpha_epp)
    if draft.release_key and draft.uninstalled:
        yield from view.rights.beside(account, draft.release_key) if account else ()
        return
    if draft.release_key:
        yield rbac.Stay(f"Helm release {'/'.join(draft.release_key)}", _LEFT[draft.release_unknown])
    yield from view.rights.staying(account) if account else ()


def _address(manifest: Manifest) -> Manifest:
    """As much of an object as names it: what kubernetes.core.k8s needs to delete it."""
    where = {"namespace": namespace_of(manifest)} if namespace_of(manifest) else {}
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": {"name": name_of(manifest)} | where}
