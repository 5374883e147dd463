# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names the kinds that one detection lists, each once. Pure."""

from __future__ import annotations

from typing import Literal, NamedTuple

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import ALPHA_GROUP


class Listing(NamedTuple):
    """One kind to list.

    :param name: by which :class:`Estate` holds its objects.
    :param api_versions: in order of preference; the first one that serves the kind is listed.
    :param scope: ``alpha``: its objects show whether v1alpha2 is in use; ``pools``: only those in the pools' namespaces matter; ``cluster``: those of any
        namespace may name a pool or the rights of its EPP; ``workloads``: only those matter that run as an alpha EPP's ServiceAccount; ``crowds``: the same,
        but a cluster holds so many that they are listed only in the namespaces in question; ``labels``: they matter by
        their labels alone; ``admission``: what limits pods in the pools' namespaces; ``usage``: what pods use now, of which nothing is said where it can't
        be read; ``monitored``: only those matter that a monitor of an alpha EPP reads.
    """

    name: str
    api_versions: tuple[str, ...]
    plural: str
    scope: Literal["alpha", "pools", "cluster", "workloads", "crowds", "labels", "admission", "usage", "monitored"]


ALPHA_VERSION = f"{ALPHA_GROUP}/v1alpha2"
_GATEWAY = ("gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1")
_RBAC = ("rbac.authorization.k8s.io/v1",)
_GKE = ("networking.gke.io/v1",)
_MONITORING = ("monitoring.googleapis.com/v1",)
_PROMETHEUS = ("monitoring.coreos.com/v1",)

LISTINGS = (
    Listing("pools", (ALPHA_VERSION,), "inferencepools", "alpha"),
    Listing("models", (ALPHA_VERSION,), "inferencemodels", "alpha"),
    Listing("v1_pools", ("inference.networking.k8s.io/v1",), "inferencepools", "pools"),
    Listing("objectives", (ALPHA_VERSION,), "inferenceobjectives", "pools"),
    Listing("rewrites", (ALPHA_VERSION,), "inferencemodelrewrites", "pools"),
    Listing("services", ("v1",), "services", "pools"),
    Listing("deployments", ("apps/v1",), "deployments", "pools"),
    Listing("service_accounts", ("v1",), "serviceaccounts", "pools"),
    Listing("health_policies", _GKE, "healthcheckpolicies", "pools"),
    Listing("backend_policies", _GKE, "gcpbackendpolicies", "pools"),
    Listing("traffic_policies", _GKE, "gcptrafficdistributionpolicies", "pools"),
    Listing("pod_monitorings", _MONITORING, "podmonitorings", "pools"),
    Listing("hpas", ("autoscaling/v2",), "horizontalpodautoscalers", "pools"),
    Listing("scaled_objects", ("keda.sh/v1alpha1",), "scaledobjects", "pools"),
    Listing("autoscaling_metrics", ("autoscaling.gke.io/v1beta1",), "autoscalingmetrics", "pools"),
    Listing("network_policies", ("networking.k8s.io/v1",), "networkpolicies", "pools"),
    Listing("cluster_pod_monitorings", _MONITORING, "clusterpodmonitorings", "cluster"),
    Listing("pod_monitors", _PROMETHEUS, "podmonitors", "cluster"),
    Listing("service_monitors", _PROMETHEUS, "servicemonitors", "cluster"),
    Listing("cluster_role_bindings", _RBAC, "clusterrolebindings", "cluster"),
    Listing("role_bindings", _RBAC, "rolebindings", "cluster"),
    Listing("http_routes", _GATEWAY, "httproutes", "cluster"),
    Listing("grpc_routes", ("gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha2"), "grpcroutes", "cluster"),
    Listing("gateways", _GATEWAY, "gateways", "cluster"),
    Listing("gateway_classes", _GATEWAY, "gatewayclasses", "cluster"),
    Listing("routing_extensions", _GKE, "gcproutingextensions", "cluster"),
    Listing("traffic_extensions", _GKE, "gcptrafficextensions", "cluster"),
    Listing("grants", ("gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"), "referencegrants", "cluster"),
    Listing("stateful_sets", ("apps/v1",), "statefulsets", "workloads"),
    Listing("daemon_sets", ("apps/v1",), "daemonsets", "workloads"),
    Listing("cron_jobs", ("batch/v1",), "cronjobs", "workloads"),
    Listing("replication_controllers", ("v1",), "replicationcontrollers", "workloads"),
    Listing("replica_sets", ("apps/v1",), "replicasets", "crowds"),
    Listing("jobs", ("batch/v1",), "jobs", "crowds"),
    Listing("pods", ("v1",), "pods", "crowds"),
    Listing("namespaces", ("v1",), "namespaces", "labels"),
    Listing("resource_quotas", ("v1",), "resourcequotas", "admission"),
    Listing("limit_ranges", ("v1",), "limitranges", "admission"),
    Listing("pod_metrics", ("metrics.k8s.io/v1beta1",), "pods", "usage"),
    Listing("monitored_pods", ("v1",), "pods", "monitored"),
    Listing("monitored_services", ("v1",), "services", "monitored"),
)
MONITORS = ("pod_monitorings", "cluster_pod_monitorings", "pod_monitors", "service_monitors")
OWNED = frozenset({"pools", "models", "objectives", "http_routes", "grpc_routes", "health_policies", "backend_policies", "traffic_policies", *MONITORS})
"""Listings of which it matters who writes them, see managers.py."""
EXTENSIONS = frozenset({"routing_extensions", "traffic_extensions"})
BINDINGS = frozenset({"role_bindings", "cluster_role_bindings"})
