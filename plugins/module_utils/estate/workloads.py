# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds what runs as which ServiceAccount, whatever kind of workload it is. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import Estate
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.label_index import grouped
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.listings import LISTINGS
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, describe, dig, namespace_of

Account = tuple[str, str]
"""Namespace and name of a ServiceAccount."""

DEFAULT_ACCOUNT = "default"
WORKLOADS = frozenset({"deployments", *(listing.name for listing in LISTINGS if listing.scope in ("workloads", "crowds"))})
"""Names of the listings of all kinds that run pods."""

_POD = {"Pod": ("spec",), "CronJob": ("spec", "jobTemplate", "spec", "template", "spec")}
_TEMPLATE = ("spec", "template", "spec")


def account(workload: Manifest) -> Account:
    """Return the ServiceAccount that a workload's pods run as."""
    path = _POD.get(workload["kind"], _TEMPLATE)
    return namespace_of(workload), dig(workload, *path, "serviceAccountName", default=DEFAULT_ACCOUNT)


def bare(workload: Manifest) -> Manifest:
    """Return only the fields of a workload that this file reads, to save memory: a cluster holds very many pods."""
    kept: Manifest = {"serviceAccountName": account(workload)[1]}
    for part in reversed(_POD.get(workload["kind"], _TEMPLATE)):
        kept = {part: kept}
    metadata = {name: workload["metadata"][name] for name in ("name", "namespace", "uid", "ownerReferences") if name in workload["metadata"]}
    return {"apiVersion": workload["apiVersion"], "kind": workload["kind"], "metadata": metadata} | kept


def epps(estate: Estate) -> Iterator[tuple[Account, Manifest]]:
    """Yield the Deployments of the alpha EPPs that go, each with its account. One whose pool a controller owns stays: it would be brought back."""
    for pool in estate.pools.values():
        deployment = estate.epp(pool).deployment
        if deployment and estate.owner(pool).kind != "controller":
            yield account(deployment), deployment


class Workloads:
    """Finds everything that runs pods by its ServiceAccount."""

    def __init__(self, workloads: Iterable[Manifest]) -> None:
        every = list(workloads)
        self._running = grouped(every, account)
        self._by_uid = {entry["metadata"]["uid"]: entry for entry in every if "uid" in entry["metadata"]}

    def running_as(self, wanted: Account) -> set[str]:
        """Return ``Kind namespace/name`` of everything that runs as an account; a pod, ReplicaSet or Job under the name of its origin."""
        return {self._origin(entry) for entry in self._running.get(wanted, [])}

    def _origin(self, workload: Manifest) -> str:
        """Return the last object that the controlling ownerReferences lead to, though never beyond a Deployment; the workload itself where it has no owner."""
        while workload["kind"] != "Deployment":  # the owner of an EPP's Deployment may own other Deployments too
            owners = dig(workload, "metadata", "ownerReferences", default=[])
            reference = next((entry for entry in owners if entry.get("controller")), None)
            if reference is None:
                break
            known = self._by_uid.get(reference.get("uid", ""))
            if known is None:
                return f"{reference.get('kind')} {namespace_of(workload)}/{reference.get('name')}"
            workload = known
        return describe(workload)


def workloads(estate: Estate) -> Workloads:
    """Return the workloads of an estate."""
    return Workloads(entry for listing in sorted(WORKLOADS) for entry in estate.of(listing))


def others(estate: Estate) -> dict[Account, list[str]]:
    """Return the accounts of the EPPs that go, except ``default``, each with what else runs as it; empty where only those EPPs do."""
    running = workloads(estate)
    own: dict[Account, set[str]] = {}
    for found, deployment in epps(estate):
        if found[1] != DEFAULT_ACCOUNT:
            own.setdefault(found, set()).add(describe(deployment))
    return {found: sorted(running.running_as(found) - names) for found, names in own.items()}


def named(names: Collection[str]) -> str:
    """Return the first three of some names for a sentence. The number of the others is left out: the plan would change with it."""
    shown = sorted(names)[:3]
    return ", ".join(shown) + (" and others" if len(names) > len(shown) else "")
