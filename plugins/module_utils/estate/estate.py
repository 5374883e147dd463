# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds all that matters here of one cluster: lists in, a frozen Estate with its look-ups out. Pure.

No function here trusts a manifest's shape: the alpha CRD accepts objects without spec, and clusters hold worse.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import health_check_policy, owners
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.helm_records import HelmRelease
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.label_index import Labelled, grouped
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.listings import LISTINGS, MONITORS, OWNED, Listing
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.owners import Owner
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import (
    ALPHA_GROUP,
    POOL_KIND,
    Manifest,
    age_order,
    dig,
    name_of,
    namespace_of,
    selects,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.body_routing import routed_by_model
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.listeners import Listeners, labels_of
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey, Reference, RouteKey, opened, references

DEFAULT_EPP_PORT = 9002
"""The port that v1alpha2 documents for an extensionRef without portNumber.

Source: https://github.com/kubernetes-sigs/gateway-api-inference-extension/blob/v0.3.0/api/v1alpha2/inferencepool_types.go
"""


class Refused(NamedTuple):
    """A list or an object that the credential may not read.

    :param what: its name in a sentence, e.g. ``services (v1) in namespace x``.
    :param message: the API server's refusal.
    :param alpha: whether this hides if v1alpha2 is in use.
    :param overridable: whether a person may accept a plan that was made without it.
    :param listing: None for an object that is read by name.
    :param namespace: None for all namespaces.
    """

    what: str
    message: str
    alpha: bool
    overridable: bool
    listing: Listing | None = None
    namespace: str | None = None


@dataclass(frozen=True)
class Epp:
    """The endpoint picker that an alpha pool names; ``service`` and ``deployment`` are None where they don't exist, ``port`` is the Service's."""

    name: str
    port: int
    service: Manifest | None
    deployment: Manifest | None

    @property
    def container(self) -> Manifest:
        """The container named epp, else the first one; empty where there is no Deployment."""
        containers = dig(self.deployment or {}, "spec", "template", "spec", "containers", default=[])
        return next((entry for entry in containers if entry.get("name") == "epp"), containers[0] if containers else {})

    @property
    def service_account(self) -> str:
        """Name of the ServiceAccount that the EPP runs as."""
        return dig(self.deployment or {}, "spec", "template", "spec", "serviceAccountName", default="default")


def alpha_key(pool: Manifest) -> PoolKey:
    """Return the key by which references name an alpha pool."""
    return PoolKey(ALPHA_GROUP, POOL_KIND, namespace_of(pool), name_of(pool))


def policy_targets(policy: Manifest) -> list[PoolKey]:
    """Return what a policy's targetRef and targetRefs name, in the policy's own namespace unless they give another."""
    spec = dig(policy, "spec", default={})
    named = [*dig(spec, "targetRefs", default=[]), *([spec["targetRef"]] if dig(spec, "targetRef") else [])]
    return [
        PoolKey(entry.get("group") or "", entry.get("kind") or "", entry.get("namespace") or namespace_of(policy), entry.get("name") or "") for entry in named
    ]


def model_pool(model: Manifest) -> PoolKey:
    """Return the pool that poolRef of an InferenceModel or InferenceObjective names, by v1alpha2's defaults."""
    ref = dig(model, "spec", "poolRef", default={})
    return PoolKey(ref.get("group", ALPHA_GROUP), ref.get("kind") or POOL_KIND, namespace_of(model), ref.get("name") or "")


# -- the estate ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Estate:
    """All that matters here of one cluster.

    :param server: address of the API server.
    :param cluster_id: uid of namespace kube-system.
    :param version: the server's gitVersion.
    :param objects: manifests by the name of their listing; a listing whose kind is not served is empty, one that was not read is absent.
    :param crds: live CustomResourceDefinitions by name.
    :param refused: lists and objects that were forbidden.
    :param releases: Helm releases by (namespace, release): None where the record can't be parsed, absent where none was found.
    :param config_maps: ConfigMaps that hold an alpha EPP's plugin configuration, by (namespace, name).
    :param hidden_records: namespaces whose Helm records may not be read.
    """

    server: str
    cluster_id: str
    version: str
    objects: Mapping[str, tuple[Manifest, ...]]
    crds: Mapping[str, Manifest] = field(default_factory=dict)
    refused: tuple[Refused, ...] = ()
    releases: Mapping[tuple[str, str], HelmRelease | None] = field(default_factory=dict)
    config_maps: Mapping[tuple[str, str], Manifest] = field(default_factory=dict)
    hidden_records: frozenset[str] = frozenset()

    def holder(self, manifest: Manifest) -> Owner | None:
        """Return who owns an object and is there to bring it back, None where nobody is: see :func:`owners.holder`."""
        return owners.holder(manifest, self.releases, self.hidden_records, self.argo_applications)

    def owner(self, manifest: Manifest) -> Owner:
        """Return who owns an object, a Helm release by its marks alone: see :func:`owners.owner`."""
        return owners.owner(manifest, self.releases, self.argo_applications)

    @cached_property
    def argo_applications(self) -> frozenset[str]:
        """The names of Argo CD's applications that are known by more than their label."""
        return owners.argo_applications([*(manifest for listing in sorted(OWNED) for manifest in self.of(listing)), *self.crds.values()])

    def platform_keeps(self, name: str) -> bool:
        """Return whether the platform, not a person, maintains a live CRD."""
        shipped = name == releases.V1_POOLS_CRD and releases.gke_ships_v1(self.version)
        return owners.managed_crd(self.crds[name], shipped)

    def crd_keeper(self, name: str) -> str | None:
        """Say who maintains a live CRD, in a clause; None where nobody does but people."""
        if self.platform_keeps(name):
            return "the platform manages it"
        found = self.holder(self.crds[name])
        return f"{found} owns it, by {found.sign}" if found else None

    def of(self, listing: str) -> tuple[Manifest, ...]:
        """Return every object of one listing, none where it was not read."""
        return self.objects.get(listing, ())

    @property
    def in_use(self) -> bool:
        """Whether v1alpha2 is in use; true as well where the credential may not see it."""
        return bool(self.of("pools") or self.of("models")) or any(entry.alpha for entry in self.refused)

    @property
    def unread_limits(self) -> list[str]:
        """The kinds that limit pods and could not be listed, by their resource names; the namespaces' labels among them."""
        return [listing.plural for listing in LISTINGS if listing.scope in ("labels", "admission") and listing.name not in self.objects]

    @cached_property
    def strict_health_checks(self) -> bool:
        """Whether the live HealthCheckPolicy CRD refuses a check without portSpecification."""
        return health_check_policy.wants_port_specification(self.crds.get(health_check_policy.CRD))

    @cached_property
    def pools(self) -> dict[PoolKey, Manifest]:
        """Alpha pools by key, in order of namespace and name."""
        return {alpha_key(pool): pool for pool in sorted(self.of("pools"), key=lambda pool: (namespace_of(pool), name_of(pool)))}

    @cached_property
    def routes(self) -> tuple[Manifest, ...]:
        """HTTPRoutes and GRPCRoutes."""
        return (*self.of("http_routes"), *self.of("grpc_routes"))

    @cached_property
    def route_of(self) -> dict[tuple[str, str, str], Manifest]:
        """Routes by (kind, namespace, name)."""
        return {(route["kind"], namespace_of(route), name_of(route)): route for route in self.routes}

    @cached_property
    def listeners(self) -> Listeners:
        """The listeners of all Gateways, with the HTTPRoutes that are on them."""
        labels = labels_of(self.of("namespaces")) if "namespaces" in self.objects else None
        return Listeners(self.of("gateways"), self.of("http_routes"), labels, routed_by_model(self.of("routing_extensions")))

    @cached_property
    def _controllers(self) -> dict[str, str]:
        return {name_of(entry): dig(entry, "spec", "controllerName", default="") for entry in self.of("gateway_classes")}

    def is_gke(self, gateway: Manifest) -> bool:
        """Tell whether a Gateway is GKE's, by its class's name or that class's controller."""
        name = dig(gateway, "spec", "gatewayClassName", default="")
        return bool(name.startswith("gke-l7-")) or self._controllers.get(name) == "networking.gke.io/gateway"

    @cached_property
    def references(self) -> dict[PoolKey, list[Reference]]:
        """Every backendRef and mirror, by the object that it names."""
        found: dict[PoolKey, list[Reference]] = defaultdict(list)
        for route in self.routes:
            for reference in references(route):
                found[reference.target].append(reference)
        return found

    @cached_property
    def _references_of(self) -> dict[RouteKey, list[Reference]]:
        return grouped((reference for named in self.references.values() for reference in named), lambda reference: reference.route)

    def route_references(self, key: RouteKey) -> list[Reference]:
        """Return every backendRef and mirror of one route, in order of rule and index."""
        return sorted(self._references_of.get(key, []), key=lambda reference: (reference.rule, reference.index))

    @cached_property
    def models(self) -> dict[PoolKey, list[Manifest]]:
        """InferenceModels by pool, oldest first."""
        found: dict[PoolKey, list[Manifest]] = defaultdict(list)
        for model in sorted(self.of("models"), key=age_order):
            found[model_pool(model)].append(model)
        return found

    @cached_property
    def alpha_objectives(self) -> dict[PoolKey, list[Manifest]]:
        """InferenceObjectives by the pool of the alpha group that they name, in order of namespace and name; their own default is the v1 group."""
        named = [entry for entry in self.of("objectives") if dig(entry, "spec", "poolRef", "group") == ALPHA_GROUP]
        return grouped(sorted(named, key=lambda entry: (namespace_of(entry), name_of(entry))), model_pool)

    @cached_property
    def policies(self) -> dict[PoolKey, list[Manifest]]:
        """GKE policies by the object that they name, oldest first: of two of one kind only the oldest is attached."""
        found: dict[PoolKey, list[Manifest]] = defaultdict(list)
        every = (*self.of("health_policies"), *self.of("backend_policies"), *self.of("traffic_policies"))
        for policy in sorted(every, key=age_order):
            for attached in policy_targets(policy):
                found[attached].append(policy)
        return found

    @cached_property
    def grants(self) -> dict[PoolKey, list[Manifest]]:
        """ReferenceGrants by the alpha pool that they open to other namespaces; under an empty name, those that open every pool of their namespace."""
        found: dict[PoolKey, list[Manifest]] = defaultdict(list)
        for grant in self.of("grants"):
            for name in sorted({entry.get("name") or "" for entry in opened(grant)}):
                found[PoolKey(ALPHA_GROUP, POOL_KIND, namespace_of(grant), name)].append(grant)
        return found

    @cached_property
    def monitorings(self) -> tuple[Manifest, ...]:
        """Monitors of all kinds: PodMonitorings, ClusterPodMonitorings, PodMonitors and ServiceMonitors."""
        return tuple(entry for name in MONITORS for entry in self.of(name))

    @cached_property
    def named(self) -> dict[tuple[str, str, str], Manifest]:
        """Namespaced objects of the pools' namespaces, and monitors of any, by (listing, namespace, name)."""
        return {
            (listing.name, namespace_of(manifest), name_of(manifest)): manifest
            for listing in LISTINGS if listing.scope == "pools" or listing.name in MONITORS
            for manifest in self.of(listing.name)
        }

    @cached_property
    def _pods(self) -> Labelled[Manifest]:
        return Labelled((namespace_of(entry), pod_labels(entry), entry) for entry in self.of("deployments"))

    @cached_property
    def services(self) -> dict[str, list[Manifest]]:
        """Services by namespace."""
        return grouped(self.of("services"), namespace_of)

    def selected(self, namespace: str, selector: Mapping[str, str]) -> list[Manifest]:
        """Return the Deployments whose pods a Service's selector selects, none for an empty one."""
        return [entry for entry in self._pods.candidates(namespace, selector) if selects(selector, pod_labels(entry))]

    @cached_property
    def _pod_metrics(self) -> Labelled[Manifest]:
        return Labelled((namespace_of(entry), dig(entry, "metadata", "labels", default={}), entry) for entry in self.of("pod_metrics"))

    def usage(self, deployment: Manifest) -> list[Manifest]:
        """Return the PodMetrics of a Deployment's pods; none where nothing is known."""
        selector = dig(deployment, "spec", "selector", "matchLabels", default={})
        near = self._pod_metrics.candidates(namespace_of(deployment), selector)
        return [entry for entry in near if selects(selector, dig(entry, "metadata", "labels", default={}))]

    @cached_property
    def _epps(self) -> dict[PoolKey, Epp]:
        return {}

    def epp(self, pool: Manifest) -> Epp:
        """Find the endpoint picker of an alpha pool as traffic finds it: by the selector of the Service that the pool names."""
        key = alpha_key(pool)
        if key not in self._epps:
            self._epps[key] = self._epp_of(pool)
        return self._epps[key]

    def _epp_of(self, pool: Manifest) -> Epp:
        name = dig(pool, "spec", "extensionRef", "name", default="")
        service = self.named.get(("services", namespace_of(pool), name))
        deployment = next(iter(self.selected(namespace_of(pool), dig(service or {}, "spec", "selector", default={}))), None)
        return Epp(name, dig(pool, "spec", "extensionRef", "portNumber", default=None) or _service_port(service), service, deployment)

    def unlisted(self, names: Collection[str], namespace: str = "") -> list[str]:
        """Return which of some listings were forbidden, everywhere or in this namespace, by their plurals, e.g. ``rolebindings``."""
        hidden = (entry.listing for entry in self.refused if entry.namespace in (None, namespace))
        return sorted({listing.plural for listing in hidden if listing and listing.name in names})


def pod_labels(deployment: Manifest) -> dict[str, str]:
    """Return the labels of a Deployment's pods."""
    return dig(deployment, "spec", "template", "metadata", "labels", default={})


def _service_port(service: Manifest | None) -> int:
    """Return the ext_proc port of an EPP's Service: the one named so or numbered as documented, else its only port, else the documented one."""
    ports = dig(service or {}, "spec", "ports", default=[])
    numbers = [entry.get("port") for entry in ports if entry.get("name") == "grpc-ext-proc" or entry.get("port") == DEFAULT_EPP_PORT]
    only = [entry.get("port") for entry in ports] if len(ports) == 1 else []
    return next(iter([*numbers, *only]), DEFAULT_EPP_PORT)


def in_scope(manifests: Iterable[Manifest], namespaces: frozenset[str]) -> tuple[Manifest, ...]:
    """Return only the objects in the pools' namespaces: a cluster may hold thousands of Deployments that do not matter here."""
    return tuple(manifest for manifest in manifests if namespace_of(manifest) in namespaces)
