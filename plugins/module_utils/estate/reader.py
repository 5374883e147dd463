# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads one cluster into an Estate; writes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from ansible_collections.inference_gateway.migration.plugins.module_utils import managers
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import ApiError, Cluster, Forbidden, NotServed, collection_path
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import epp_flags, health_check_policy, helm_records, monitors, workloads
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import Estate, Refused, in_scope, policy_targets
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.helm_records import HelmRelease
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.listings import EXTENSIONS, LISTINGS, OWNED, Listing
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.owners import helm_owner, hooked
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import ALPHA_GROUP, Manifest, dig, name_of, namespace_of
from ansible_collections.inference_gateway.migration.plugins.module_utils.releases import ALPHA_CRDS, CRD_FILES
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.body_routing import names_models
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.listeners import wants_labels
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import references

WORKERS = 4
"""Lists at a time."""
SINGLE = 20
"""Namespaces that are listed one by one, at most; of more the whole cluster is one list."""
One = TypeVar("One")
Result = TypeVar("Result")


def read_estate(cluster: Cluster, namespaces: list[str]) -> Estate:
    """Read all that matters here of a cluster.

    :param namespaces: in which alpha objects count; empty for all.
    :raises ApiError: when the server gives no usable answer. A forbidden list raises nothing, but is in ``refused`` of the Estate.
    """
    return _Reader(cluster, namespaces).estate()


def asked(found: Mapping[str, tuple[Manifest, ...]]) -> Iterator[Manifest]:
    """Yield the objects whose owner is asked for: pools and models, policies and routes that name alpha pools, and the Services of endpoint pickers."""
    yield from found["pools"]
    yield from found["models"]
    pickers = {(namespace_of(pool), dig(pool, "spec", "extensionRef", "name")) for pool in found["pools"]}
    yield from (service for service in found.get("services", ()) if (namespace_of(service), name_of(service)) in pickers)
    # What else goes with a picker: which of these are its own is known only when all is read.
    inside = {namespace for namespace, _name in pickers}
    yield from (entry for name in ("deployments", "service_accounts") for entry in found.get(name, ()) if namespace_of(entry) in inside)
    bindings = (binding for name in ("role_bindings", "cluster_role_bindings") for binding in found.get(name, ()))
    yield from (binding for binding in bindings if any(subject.get("namespace") in inside for subject in binding.get("subjects") or []))
    policies = (policy for name in ("health_policies", "backend_policies", "traffic_policies") for policy in found.get(name, ()))
    yield from (policy for policy in policies if any(target.group == ALPHA_GROUP for target in policy_targets(policy)))
    routes = (route for name in ("http_routes", "grpc_routes") for route in found.get(name, ()))
    yield from (route for route in routes if (helm_owner(route) or hooked(route)) and any(entry.target.group == ALPHA_GROUP for entry in references(route)))


def beside(work: Callable[[One], Result], each: Iterable[One]) -> list[Result]:
    """Do some work for each kind or namespace, several at a time, since each waits for the server, and return what it gave, in their order."""
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(work, each))


class _Reader:
    """Reads one cluster into an Estate: one LIST for each kind; skips kinds that are not served, and notes forbidden ones."""

    def __init__(self, cluster: Cluster, namespaces: list[str]) -> None:
        self.cluster = cluster
        self.namespaces = namespaces
        self.served = cluster.groups() | {"v1"}
        self.refused: list[Refused] = []

    def estate(self) -> Estate:
        """Read the estate; nothing but the alpha kinds where these show that v1alpha2 is not in use."""
        found = self.all_of({"alpha"}, lambda listing: tuple(self.read(listing, self.namespaces)))
        alpha = (*found["pools"], *found["models"])
        crds: dict[str, Manifest] = {}
        if alpha or self.refused:
            scope = frozenset(namespace_of(entry) for entry in alpha)

            def read(listing: Listing) -> tuple[Manifest, ...]:
                return in_scope(self.read(listing, self.namespaces), scope) if listing.scope == "pools" else tuple(self.read(listing))

            found |= self.all_of({"pools", "cluster"}, read)
            found |= self.namespace_labels(None if wants_labels(found["gateways"]) else scope) | self.limits(scope) | self.usage(scope)
            if not any(map(names_models, found["http_routes"])):
                # Then no rule depends on what such an extension sets, and a Role from before need not list them.
                self.refused = [entry for entry in self.refused if entry.listing is None or entry.listing.name not in EXTENSIONS]
            crds = self.crds()
        releases, hidden = self.releases([*asked(found), *crds.values()])
        cluster = self.cluster
        estate = Estate(cluster.server, cluster.identity(), cluster.version(), found, crds, tuple(self.refused), releases, hidden_records=hidden)
        # Workloads, ConfigMaps and what monitors read are read by the EPPs, which the estate finds. Nobody else has the estate yet, so it is completed in
        # place: a copy would have to build every look-up again.
        self.workloads(estate, found)
        self.monitored(estate, found)
        unread = (entry for entry in monitors.of_alpha(estate) if helm_owner(entry) not in releases and (helm_owner(entry) or ("",))[0] not in hidden)
        more, unseen = self.releases(unread)
        releases |= more
        config_maps = self.config_maps(estate)
        refused = tuple(self.refused)
        if not config_maps and not unseen and refused == estate.refused:
            return estate
        return replace(estate, config_maps=config_maps, refused=refused, hidden_records=hidden | unseen)

    def all_of(self, scopes: set[str], read: Callable[[Listing], tuple[Manifest, ...]]) -> dict[str, tuple[Manifest, ...]]:
        """Read every listing of some scopes; what is refused is noted in their order."""
        listings, known = [listing for listing in LISTINGS if listing.scope in scopes], len(self.refused)
        found = dict(zip([listing.name for listing in listings], beside(read, listings)))
        self.refused[known:] = sorted(self.refused[known:], key=lambda entry: listings.index(entry.listing) if entry.listing else 0)
        return found

    def workloads(self, estate: Estate, found: dict[str, tuple[Manifest, ...]]) -> None:
        """Add to ``found`` what runs as an EPP's ServiceAccount, by one list for each kind.

        Kinds with very many objects are listed only where nothing else is known yet to run as the account, and only in these namespaces unless they are many.
        """
        accounts = workloads.others(estate).keys()

        def of_accounts(manifests: Iterator[Manifest]) -> Iterator[Manifest]:
            return (workloads.bare(entry) for entry in manifests if workloads.account(entry) in accounts)

        if accounts:
            found |= self.all_of({"workloads"}, lambda listing: tuple(of_accounts(self.read(listing, self.namespaces))))
        open_: dict[str, list[str]] = defaultdict(list)
        for (namespace, account), others in sorted(workloads.others(estate).items()):
            if not others:
                open_[namespace].append(account)

        def of_namespace(listing: Listing, namespace: str) -> list[Manifest]:
            # The server can choose pods by account, and no other kind.
            known = open_[namespace] if listing.name == "pods" else []
            query = {"fieldSelector": f"spec.serviceAccountName={known[0]}"} if len(known) == 1 else {}
            return list(of_accounts(self.read(listing, [namespace], **query)))

        def read(listing: Listing) -> tuple[Manifest, ...]:
            if len(open_) > SINGLE and not self.namespaces:
                return tuple(entry for entry in of_accounts(self.read(listing)) if namespace_of(entry) in open_)
            return tuple(chain.from_iterable(map(partial(of_namespace, listing), open_)))

        if open_:
            found |= self.all_of({"crowds"}, read)

    def monitored(self, estate: Estate, found: dict[str, tuple[Manifest, ...]]) -> None:
        """Add to ``found`` the pods and Services that the monitors of alpha EPPs read, of whatever namespace and kind of workload."""
        for listing in (entry for entry in LISTINGS if entry.scope == "monitored" and estate.monitorings):
            every = (entry for where, labels in monitors.questions(estate, listing.plural)
                     for entry in self.read(listing, [where] if where else [], labelSelector=labels))
            found[listing.name] = tuple(monitors.bare(entry) for entry in every if not monitors.ended(entry))

    def namespace_labels(self, wanted: frozenset[str] | None) -> dict[str, tuple[Manifest, ...]]:
        """Read the cluster's namespaces under the name of their listing; nothing where that is refused (finding listener-undecided).

        :param wanted: whose labels matter; None for all.
        """
        (listing,) = (entry for entry in LISTINGS if entry.scope == "labels")
        found = self.allowed(listing, ())
        return {} if found is None else {listing.name: tuple(entry for entry in found if wanted is None or name_of(entry) in wanted)}

    def limits(self, namespaces: frozenset[str]) -> dict[str, tuple[Manifest, ...]]:
        """Read what limits pods in the pools' namespaces; what is refused is left out, for the server is asked itself before the installation."""
        read = {listing.name: self.allowed(listing, self.namespaces) for listing in LISTINGS if listing.scope == "admission"}
        return {name: in_scope(found, namespaces) for name, found in read.items() if found is not None}

    def allowed(self, listing: Listing, namespaces: Sequence[str]) -> list[Manifest] | None:
        """Return the objects of one kind, or None where that is refused, of which nothing is noted."""
        known = len(self.refused)
        found = list(self.read(listing, namespaces))
        refused, self.refused = self.refused[known:], self.refused[:known]
        return None if refused else found

    def usage(self, scope: frozenset[str]) -> dict[str, tuple[Manifest, ...]]:
        """Read what pods in the pools' namespaces use now, under the name of its listing; nothing where metrics are not served, or not now, or not to us."""
        (listing,) = (entry for entry in LISTINGS if entry.scope == "usage")
        if listing.api_versions[0] not in self.served:
            return {}
        paths = [collection_path(listing.api_versions[0], listing.plural, namespace) for namespace in (*self.namespaces,) or (None,)]
        try:
            # No patience: a metrics server that is away is no reason to wait, nor to fail.
            return {listing.name: in_scope((entry for path in paths for entry in self.cluster.list(path, patience=0.0)), scope)}
        except ApiError:
            return {}

    def read(self, listing: Listing, namespaces: Sequence[str] = (), **query: Any) -> Iterator[Manifest]:
        """Yield every object of one kind, in the first version that serves it: a group may be served in v1, and the kind in v1beta1 alone.

        :param namespaces: empty for all.
        :param query: query parameters of the list.
        """
        for version in (entry for entry in listing.api_versions if entry in self.served):
            try:
                for namespace in (*namespaces,) or (None,):
                    yield from self.collection(listing, version, namespace, **query)
            except NotServed:
                continue
            return

    def collection(self, listing: Listing, version: str, namespace: str | None, **query: Any) -> Iterator[Manifest]:
        """Yield the objects of one list, or note that it is forbidden. :raises NotServed: before the first object, when the kind is not served."""
        try:
            for manifest in self.cluster.list(collection_path(version, listing.plural, namespace), **query):
                if listing.name in OWNED:
                    managers.compact(manifest["metadata"])
                else:
                    manifest["metadata"].pop("managedFields", None)
                yield manifest
        except Forbidden as error:
            where = f" in namespace {namespace}" if namespace else ""
            alpha = listing.scope == "alpha"
            entry = Refused(f"{listing.plural} ({version}){where}", str(error), alpha, not alpha, listing, namespace)
            self.refused += [entry] if entry not in self.refused else []

    def crds(self) -> dict[str, Manifest]:
        """Read the CRDs that matter, by name: that is cheaper than to list every CRD of the cluster."""
        found: dict[str, Manifest] = {}
        for name in (*ALPHA_CRDS, *CRD_FILES, *([health_check_policy.CRD] if "networking.gke.io/v1" in self.served else [])):
            try:
                crd = self.cluster.get(collection_path("apiextensions.k8s.io/v1", "customresourcedefinitions") + f"/{name}")
            except Forbidden as error:
                # Without reading it nobody knows whether that CRD is there already, and it might be overwritten.
                self.refused.append(Refused(f"CustomResourceDefinition {name}", str(error), alpha=False, overridable=False))
                continue
            if crd is not None:
                managers.compact(crd["metadata"])
                found[name] = crd
        return found

    def releases(self, owned: Iterable[Manifest]) -> tuple[dict[tuple[str, str], HelmRelease | None], frozenset[str]]:
        """Read Helm's records of the releases whose marks objects bear, or whose hooks made them, and return with them the namespaces that refuse it."""
        found: dict[tuple[str, str], HelmRelease | None] = {}
        hidden: set[str] = set()
        wanted: dict[str, set[str]] = defaultdict(set)
        by_hook: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for manifest in owned:
            release = helm_owner(manifest)
            if release:
                wanted[release[0]].add(release[1])
            elif hooked(manifest):
                by_hook[namespace_of(manifest)].add((manifest["kind"], name_of(manifest)))
        namespaces = sorted({*wanted, *by_hook} - {""})
        for namespace, records in zip(namespaces, beside(lambda name: self.records_of(name, wanted.get(name, set())), namespaces)):
            if records is None:
                hidden.add(namespace)
                continue
            named = wanted.get(namespace, set())
            found |= {(namespace, name): record for name, record in records.items()
                      if name in named or record and by_hook.get(namespace, set()) & {*record.hooks}}
        return found, frozenset(hidden)

    def records_of(self, namespace: str, names: set[str]) -> dict[str, HelmRelease | None] | None:
        """Read the newest records of a namespace, those of the named releases among them where there are any; None where it refuses to show them."""
        try:
            # Superseded revisions are most of a history, and the newest one is not among them unless somebody deleted Secrets.
            records = self.records(namespace, "status!=superseded")
            for name in sorted(names - {*records}):
                records |= self.records(namespace, f"name={name}")
        except Forbidden:
            return None
        return records

    def records(self, namespace: str, selector: str) -> dict[str, HelmRelease | None]:
        """Read the newest record of each release of a namespace among the records that a label selector chooses."""
        path = collection_path("v1", "secrets", namespace)
        return helm_records.newest(self.cluster.list(path, fieldSelector="type=helm.sh/release.v1", labelSelector=f"owner=helm,{selector}"))

    def config_maps(self, estate: Estate) -> dict[tuple[str, str], Manifest]:
        """Read the ConfigMaps that hold alpha EPPs' plugin configurations. A refused one is left out (finding epp-settings-not-carried)."""
        found: dict[tuple[str, str], Manifest] = {}
        for pool in estate.pools.values():
            epp = estate.epp(pool)
            source = epp_flags.plugin_source(epp.deployment, epp.container)
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
