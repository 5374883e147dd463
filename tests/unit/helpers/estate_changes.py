# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes to an estate of manifests, each by one word."""

from __future__ import annotations

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import health_check_policy
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.helm_records import HelmRelease
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.listings import LISTINGS
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import Address
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.listeners import Listener

ALPHA = "inference.networking.x-k8s.io"
V1 = "inference.networking.k8s.io"
POOL = "vllm-llama3-8b-instruct-preview"
GA = "vllm-llama3-8b-instruct-ga"
EPP = f"{POOL}-epp"
OWNED = {"annotations": {"meta.helm.sh/release-name": POOL, "meta.helm.sh/release-namespace": "default"}}


def spec(world, kind, name=None):
    return world.get(kind, name)["spec"]


def rule(world):
    return spec(world, "HTTPRoute")["rules"][0]


def pod(world):
    return spec(world, "Deployment", EPP)["template"]["spec"]


def container(world):
    return pod(world)["containers"][0]


def alias(world):
    spec(world, "InferenceModel", "food-review")["targetModels"] = [{"name": "other"}]


def objective(world, name, priority=None, group=ALPHA, pool=POOL, **metadata):
    """An InferenceObjective of the alpha pool, as a v1 picker on it has them."""
    named = {"kind": "InferencePool", "name": pool} | ({"group": group} if group else {})
    said = {"poolRef": named} | ({} if priority is None else {"priority": priority})
    made = world.add(f"{ALPHA}/v1alpha2", "InferenceObjective", name, spec=said)
    made["metadata"] |= metadata
    return made


def second_pool(world, name, namespace="default"):
    return world.add(f"{ALPHA}/v1alpha2", "InferencePool", name, namespace, spec=spec(world, "InferencePool", POOL))


def mirror(world):
    rule(world)["filters"].append({"type": "RequestMirror", "requestMirror": {"backendRef": {"group": ALPHA, "kind": "InferencePool", "name": POOL}}})


def crd(world, name, bundle):
    world.add("apiextensions.k8s.io/v1", "CustomResourceDefinition", name, None)["metadata"]["annotations"] = {releases.BUNDLE_ANNOTATION: bundle}


def grant(world):
    origin = [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "web"}]
    world.add("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", "web", spec={"from": origin, "to": [{"group": ALPHA, "kind": "InferencePool"}]})


def foreign_route(world):
    reference = {"group": ALPHA, "kind": "InferencePool", "name": POOL, "namespace": "default"}
    world.add("gateway.networking.k8s.io/v1", "HTTPRoute", "web", "web", spec={"rules": [{"backendRefs": [reference]}]})


def late(manifest):
    manifest["metadata"]["creationTimestamp"] = "2030-01-01T00:00:00Z"


def annotate(world, kind, name, **annotations):
    world.get(kind, name)["metadata"].setdefault("annotations", {}).update(annotations)


def labels(world):
    return spec(world, "Deployment", EPP)["template"]["metadata"]["labels"]


def gateway(world, name, **status):
    manifest = world.add("gateway.networking.k8s.io/v1", "Gateway", name, spec=spec(world, "Gateway"))
    manifest["status"] = status
    spec(world, "HTTPRoute")["parentRefs"].append({"name": name})


ADDRESS = {"addresses": [{"type": "IPAddress", "value": "127.0.0.1"}]}


def second_gateway(world):
    world.get("Gateway")  # the one that is there
    gateway(world, "second", **ADDRESS)


def regex(world):
    rule(world)["matches"].append({"path": {"type": "RegularExpression", "value": "/v[12]/.*"}})


def refused(world, kind="ResolvedRefs", status="False", generation=1, **fields):
    """The Gateway says so of the demo's route, which is at generation 1."""
    route = world.get("HTTPRoute")
    route["metadata"]["generation"] = 1
    said = {"type": kind, "status": status, "reason": "BackendNotFound", "message": "Service default/gone not found", "observedGeneration": generation}
    (parent,) = route["spec"]["parentRefs"]
    route["status"] = {"parents": [{"parentRef": parent, "controllerName": "networking.gke.io/gateway", "conditions": [said | fields]}]}


def uneven(world):
    """Weights without a common factor, of which one is nearly the most that Gateway API allows."""
    rule(world)["backendRefs"][0]["weight"] = 999_999
    rule(world)["backendRefs"].append({"name": "web", "port": 80, "weight": 7})


def shadow(world):
    spec(world, "HTTPRoute")["rules"].append({"matches": [{"path": {"type": "Exact", "value": "/v1/completions"}}], "backendRefs": [{"name": "s", "port": 80}]})


def chosen_by_label(world, **labels):
    """A listener for namespaces with a label; by default nobody may read which ones have it."""
    selector = {"from": "Selector", "selector": {"matchLabels": {"tenant": "chat"}}}
    spec(world, "Gateway")["listeners"][0]["allowedRoutes"] = {"namespaces": selector}
    if labels:
        world.add("v1", "Namespace", "default", None)["metadata"]["labels"] = labels


def unreachable(world):
    """Nobody answers at the Gateway's address."""
    world.unreachable[Address(Listener("default", "inference-gateway", "http", 8080, False, ""), "127.0.0.1"), ""] = "connection refused"


def hpa(world, name, words=None):
    metric = {"name": name} | ({"selector": {"matchLabels": {"name": words}}} if words else {})
    world.add("autoscaling/v2", "HorizontalPodAutoscaler", "scaler", spec={"metrics": [{"type": "External", "external": {"metric": metric}}]})


def keda(world, query):
    world.add("keda.sh/v1alpha1", "ScaledObject", "scaled", spec={"triggers": [{"type": "prometheus", "metadata": {"query": query}}]})


def autoscaling_metric(world):
    world.add("autoscaling.gke.io/v1beta1", "AutoscalingMetric", "queue", spec={"selector": {"matchLabels": dict(labels(world))}})


def network_policy(world, name="guard", **fields):
    world.add("networking.k8s.io/v1", "NetworkPolicy", name, spec=fields)


def only_alpha_may(world):
    network_policy(world, podSelector={"matchLabels": spec(world, "InferencePool")["selector"]},
                   ingress=[{"from": [{"podSelector": {"matchLabels": dict(labels(world))}}]}])


def five_chains(world):
    for number in range(2):
        second_pool(world, f"p{number}")
        rule(world)["backendRefs"].append({"group": ALPHA, "kind": "InferencePool", "name": f"p{number}"})


def routed_by_model(world, model="food-review-1", **chain):
    """An extension reads the model from the body, and a rule asks for it."""
    rule(world)["matches"] = [{"headers": [{"name": "X-Gateway-Model-Name", "value": model}]}]
    target = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "inference-gateway"}
    world.add("networking.gke.io/v1", "GCPRoutingExtension", "bbr", spec={"targetRefs": [target], "extensionChains": [{"name": "chain1"} | chain]})


def plugins(world, text):
    container(world)["args"].extend(["-configText", text])


def release(world, **fields):
    """The release of the demo's pool, recorded otherwise."""
    world.releases = {("default", POOL): HelmRelease(POOL, "inferencepool", "v0.3.0", {})._replace(**fields)}


def bound(world, role, *subjects, name="other", namespace="elsewhere", **metadata):
    """A binding in a namespace without alpha objects."""
    whom = [{"kind": "ServiceAccount", "name": subject} for subject in subjects]
    binding = world.add("rbac.authorization.k8s.io/v1", "RoleBinding", name, namespace, subjects=whom, roleRef={"kind": "ClusterRole", "name": role})
    binding["metadata"] |= metadata


def listing(name):
    (found,) = [entry for entry in LISTINGS if entry.name == name]
    return found


def quota(world, hard, used=None, **fields):
    return world.add("v1", "ResourceQuota", "team", spec={"hard": hard} | fields, status={"hard": hard, "used": used or {}})


def enforced(world, level):
    world.add("v1", "Namespace", "default", None)["metadata"]["labels"] = {"pod-security.kubernetes.io/enforce": level}


def grpc_check(world, **more):
    """Type HTTP with the check of another type."""
    spec(world, "HealthCheckPolicy")["default"]["config"] = {"type": "HTTP", "grpcHealthCheck": {"port": 8000}} | more


def strict_health(world):
    crd(world, health_check_policy.CRD, "")
    rules_ = {"x-kubernetes-validations": [{"rule": "has(self.portSpecification)"}]}
    world.get("CustomResourceDefinition", health_check_policy.CRD)["spec"] = {"versions": [{"schema": {"openAPIV3Schema": {"properties": {"x": rules_}}}}]}


def service_monitor(world, name="scrape", **fields):
    """A ServiceMonitor of the alpha EPP's Service."""
    world.get("Service", EPP)["metadata"]["labels"] = {"scraped": "yes"}
    said = {"selector": {"matchLabels": {"scraped": "yes"}}, "endpoints": [{"port": "http-metrics"}]}
    return world.add("monitoring.coreos.com/v1", "ServiceMonitor", name, spec=said | fields)


def shared_monitor(world):
    """A PodMonitoring of the alpha EPP and of the model servers, by a label that they share."""
    for entry in world.manifests:
        if entry["kind"] == "Deployment":
            entry["spec"]["template"]["metadata"]["labels"]["part-of"] = "platform"
    said = {"selector": {"matchLabels": {"part-of": "platform"}}, "endpoints": [{"port": "metrics"}]}
    return world.add("monitoring.googleapis.com/v1", "PodMonitoring", "platform", spec=said)


# code: (what makes it appear, options, severity, words of the message)
