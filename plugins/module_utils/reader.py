# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads one cluster into an Estate, through whatever lists and gets as _api.Cluster does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ansible_collections.inference_gateway.migration.plugins.module_utils import health, pickers
from ansible_collections.inference_gateway.migration.plugins.module_utils._api import Cluster, Forbidden, NotServed, collection_path
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import (
    Estate,
    HelmRelease,
    Manifest,
    Refused,
    helm_release,
    in_scope,
    namespace_of,
    owner,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.listings import LISTINGS, Listing
from ansible_collections.inference_gateway.migration.plugins.module_utils.releases import ALPHA_CRDS, CRD_FILES


def read_estate(cluster: Cluster, namespaces: list[str]) -> Estate:
    """Everything that matters of a cluster.

    :param namespaces: only alpha objects of these; empty for all.
    :raises ApiError: when the server gives no usable answer. A forbidden list is no error, the estate says it.
    """
    return _Reader(cluster, namespaces).estate()


class _Reader:
    """Reads one cluster into an Estate: one LIST a kind, kinds that are not served skipped, forbidden ones written down."""

    def __init__(self, cluster: Cluster, namespaces: list[str]) -> None:
        self.cluster = cluster
        self.namespaces = namespaces
        self.served = cluster.groups() | {"v1"}
        self.refused: list[Refused] = []

    def estate(self) -> Estate:
        """The estate; only the alpha kinds where they show that nothing else matters."""
        found = {listing.name: tuple(self.read(listing)) for listing in LISTINGS if listing.scope == "alpha"}
        alpha = (*found["pools"], *found["models"])
        crds: dict[str, Manifest] = {}
        held: dict[tuple[str, str], HelmRelease] = {}
        if alpha or self.refused:
            scope = frozenset(namespace_of(entry) for entry in alpha)
            for listing in LISTINGS:
                if listing.scope == "pools":
                    found[listing.name] = in_scope(self.read(listing), scope)
                elif listing.scope == "cluster":
                    found[listing.name] = tuple(self.read(listing))
            crds = self.crds()
            held = self.releases(found["pools"])
        estate = Estate(self.cluster.server, self.cluster.identity(), self.cluster.version(), found, crds, tuple(self.refused), held)
        config_maps = self.config_maps(estate)
        return replace(estate, config_maps=config_maps) if config_maps else estate

    def read(self, listing: Listing) -> Iterator[Manifest]:
        """Every object of one kind, in the first version that has it: a group may be served in v1 and a kind of it in v1beta1 alone."""
        namespaces: list[str | None] = [] if listing.scope == "cluster" else [*self.namespaces]
        for version in (entry for entry in listing.api_versions if entry in self.served):
            try:
                for namespace in namespaces or [None]:
                    yield from self.collection(listing, version, namespace)
            except NotServed:
                continue
            return

    def collection(self, listing: Listing, version: str, namespace: str | None) -> Iterator[Manifest]:
        """One list, or a note that it was forbidden. :raises NotServed: before the first object, where there is no such kind."""
        try:
            for manifest in self.cluster.list(collection_path(version, listing.plural, namespace)):
                # Half of an object in memory, and no finding asks who wrote which field.
                manifest["metadata"].pop("managedFields", None)
                yield manifest
        except Forbidden as error:
            where = f" in namespace {namespace}" if namespace else ""
            self.refused.append(Refused(f"{listing.plural} ({version}){where}", str(error), listing.scope == "alpha", listing.scope != "alpha"))

    def crds(self) -> dict[str, Manifest]:
        """The CRDs that matter, by name: reading each is cheaper than every CRD of the cluster."""
        found: dict[str, Manifest] = {}
        for name in (*ALPHA_CRDS, *CRD_FILES, *([health.CRD] if "networking.gke.io/v1" in self.served else [])):
            try:
                crd = self.cluster.get(collection_path("apiextensions.k8s.io/v1", "customresourcedefinitions") + f"/{name}")
            except Forbidden as error:
                # Without it nothing tells whether that CRD is there already, and it might be overwritten.
                self.refused.append(Refused(f"CustomResourceDefinition {name}", str(error), alpha=False, overridable=False))
                continue
            if crd is not None:
                found[name] = crd
        return found

    def releases(self, pools: tuple[Manifest, ...]) -> dict[tuple[str, str], HelmRelease]:
        """Helm's records of the releases that own pools. A refusal is no error: the finding helm-values-unreadable says it."""
        found: dict[tuple[str, str], HelmRelease] = {}
        for namespace in sorted({namespace_of(pool) for pool in pools if owner(pool).kind == "helm"}):
            path = collection_path("v1", "secrets", namespace)
            try:
                for secret in self.cluster.list(path, fieldSelector="type=helm.sh/release.v1", labelSelector="owner=helm,status=deployed"):
                    release = helm_release(secret)
                    if release is not None:
                        found[namespace, release.name] = release
            except Forbidden:
                continue
        return found

    def config_maps(self, estate: Estate) -> dict[tuple[str, str], Manifest]:
        """ConfigMaps that alpha EPPs read their plugins from. A refusal is no error: the finding epp-settings-not-carried says it."""
        found: dict[tuple[str, str], Manifest] = {}
        for pool in estate.pools.values():
            epp = estate.epp(pool)
            source = pickers.plugin_source(epp.deployment, epp.container)
            key = (namespace_of(pool), source.config_map if source else "")
            if source is None or key in found:
                continue
            try:
                config_map = self.cluster.get(collection_path("v1", "configmaps", key[0]) + f"/{key[1]}")
            except Forbidden:
                continue
            if config_map is not None:
                found[key] = config_map
        return found
