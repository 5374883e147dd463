# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An alpha estate of any size, as manifests: what a platform team's one big cluster holds.

Every pool has an InferenceModel and an HTTPRoute, the Deployment and Service of its EPP, its model servers' Deployment and a
ClusterRoleBinding. The even ones stand as chart v0.3.0 with provider gke leaves them: policies, monitoring and Helm's record
besides, all marked as the release's. The odd ones are plain manifests that kubectl applied. Each namespace has a Gateway.
Every tenth route lies in a namespace of routes alone, and a grant lets it name its pool.
"""
from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from typing import Any

Manifest = dict[str, Any]

ALPHA = "inference.networking.x-k8s.io"
GATEWAY = "gateway.networking.k8s.io"
ROUTES = "edge"
"""The namespace of routes alone."""
POOLS_PER_NAMESPACE = 50
CRITICALITY = ("Critical", "Standard", None, "Sheddable")
_LISTENER = {"name": "http", "protocol": "HTTP", "port": 80, "allowedRoutes": {"namespaces": {"from": "All"}}}


def namespaces(pools: int, each: int = POOLS_PER_NAMESPACE) -> list[str]:
    """Every namespace of the estate."""
    return [*(f"team-{number:04}" for number in range(-(-pools // each))), ROUTES]


def objects(pools: int, each: int = POOLS_PER_NAMESPACE) -> Iterator[Manifest]:
    """All manifests but the namespaces, in an order in which they can be created.

    :param each: pools in a namespace.
    """
    yield _object(f"{GATEWAY}/v1", "GatewayClass", "gke-l7-rilb", None, spec={"controllerName": "networking.gke.io/gateway"})
    for namespace in namespaces(pools, each)[:-1]:
        yield _object(f"{GATEWAY}/v1", "Gateway", "inference-gateway", namespace, spec={"gatewayClassName": "gke-l7-rilb", "listeners": [_LISTENER]},
                      status={"addresses": [{"type": "IPAddress", "value": "10.0.0.1"}]})
    for number in range(pools):
        yield from _one(number, f"team-{number // each:04}")


def _one(number: int, namespace: str) -> Iterator[Manifest]:
    """Everything of one pool."""
    name = f"llm-{number:05}"
    epp, helm = f"{name}-epp", number % 2 == 0
    account = epp if helm or number % 4 == 1 else "default"
    made = {"annotations": {"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": namespace},
            "labels": {"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/version": "v0.3.0"}} if helm else {}
    yield _deployment(name, namespace, _model_server(name), replicas=2)
    yield _deployment(epp, namespace, _picker(name, namespace), account=account, **made)
    yield _object("v1", "Service", epp, namespace, **made, spec={
        "selector": {"app": epp}, "type": "ClusterIP",
        "ports": [{"name": "grpc-ext-proc", "protocol": "TCP", "port": 9002, "targetPort": 9002},
                  {"name": "http-metrics", "protocol": "TCP", "port": 9090, "targetPort": 9090}],
    })
    yield _object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", f"{namespace}-{epp}", None, **made,
                  subjects=[{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
                  roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": f"{namespace}-{epp}"})
    if helm:
        yield from _of_release(name, namespace, made)
    reference: Manifest = {"group": ALPHA, "kind": "InferencePool", "name": name}
    yield _object(f"{ALPHA}/v1alpha2", "InferencePool", name, namespace, **made, spec={
        "targetPortNumber": 8000, "selector": {"app": name}, "extensionRef": {"name": epp, "failureMode": "FailOpen" if number % 3 == 0 else "FailClose"},
    })
    yield _object(f"{ALPHA}/v1alpha2", "InferenceModel", name, namespace, **({} if helm else _applied(name)), spec={
        "modelName": f"review-{number}" if number % 5 == 0 else name, "poolRef": {"group": ALPHA, "kind": "InferencePool", "name": name},
    } | ({"criticality": CRITICALITY[number % 4]} if CRITICALITY[number % 4] else {})
      | ({"targetModels": [{"name": f"{name}-v1", "weight": 90}, {"name": f"{name}-v2", "weight": 10}]} if number % 5 == 0 else {}))
    away = number % 10 == 9
    if away:
        yield _object(f"{GATEWAY}/v1beta1", "ReferenceGrant", name, namespace, spec={
            "from": [{"group": GATEWAY, "kind": "HTTPRoute", "namespace": ROUTES}], "to": [reference],
        })
    yield _object(f"{GATEWAY}/v1", "HTTPRoute", name, ROUTES if away else namespace, **({} if helm else _applied(name)), spec={
        "parentRefs": [{"group": GATEWAY, "kind": "Gateway", "name": "inference-gateway", "namespace": namespace}],
        "hostnames": [f"{name}.example.com"],
        "rules": [{
            "matches": [{"path": {"type": "PathPrefix", "value": path}} for path in ("/v1/completions", "/v1/chat/completions")],
            "backendRefs": [reference | {"weight": 1} | ({"namespace": namespace} if away else {})],
        }],
    }, status={"parents": [{
        "controllerName": "networking.gke.io/gateway",
        "parentRef": {"group": GATEWAY, "kind": "Gateway", "name": "inference-gateway", "namespace": namespace},
        "conditions": [
            {"type": kind, "status": "True", "reason": kind, "message": "", "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"}
            for kind in ("Accepted", "ResolvedRefs", "Reconciled")
        ],
    }]})


def _of_release(name: str, namespace: str, made: Manifest) -> Iterator[Manifest]:
    """What the chart makes besides, and Helm's own record."""
    target = {"group": ALPHA, "kind": "InferencePool", "name": name}
    yield _object("networking.gke.io/v1", "HealthCheckPolicy", name, namespace, **made, spec={
        "targetRef": target, "default": {"config": {"type": "HTTP", "httpHealthCheck": {"requestPath": "/health", "port": 8000}}},
    })
    yield _object("networking.gke.io/v1", "GCPBackendPolicy", name, namespace, **made, spec={
        "targetRef": target, "default": {"timeoutSec": 300, "logging": {"enabled": True}},
    })
    yield _object("monitoring.googleapis.com/v1", "ClusterPodMonitoring", f"{namespace}-{name}", None, **made, spec={
        "endpoints": [{"port": "metrics", "scheme": "http", "interval": "5s", "path": "/metrics"}], "selector": {"matchLabels": {"app": f"{name}-epp"}},
    })
    record = {"name": name, "namespace": namespace, "version": 1, "chart": {"metadata": {"name": "inferencepool", "version": "v0.3.0"}},
              "config": {"inferencePool": {"modelServers": {"matchLabels": {"app": name}}}, "provider": {"name": "gke"}}}
    packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(record).encode(), mtime=0))).decode()
    yield {
        "apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1", "data": {"release": packed},
        "metadata": {"name": f"sh.helm.release.v1.{name}.v1", "namespace": namespace, "labels": {"owner": "helm", "status": "deployed", "name": name}},
    }


def _deployment(name: str, namespace: str, container: Manifest, replicas: int = 1, account: str = "default", **metadata: Any) -> Manifest:
    return _object("apps/v1", "Deployment", name, namespace, **metadata, spec={
        "replicas": replicas, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"serviceAccountName": account, "containers": [container]}},
    })


def _model_server(name: str) -> Manifest:
    return {
        "name": "vllm", "image": "vllm/vllm-openai:v0.8.5", "command": ["python3", "-m", "vllm.entrypoints.openai.api_server"],
        "args": ["--model", name, "--port", "8000", "--max-num-seq", "1024", "--enable-lora", "--max-loras", "2"],
        "env": [{"name": "PORT", "value": "8000"}, {"name": "HUGGING_FACE_HUB_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf-token", "key": "token"}}}],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1},
        "resources": {"limits": {"nvidia.com/gpu": 1}, "requests": {"nvidia.com/gpu": 1}},
    }


def _picker(name: str, namespace: str) -> Manifest:
    return {
        "name": "epp", "image": "registry.k8s.io/gateway-api-inference-extension/epp:v0.3.0",
        "args": ["-poolName", name, "-poolNamespace", namespace, "-v", "4", "-grpcPort", "9002", "-grpcHealthPort", "9003", "-metricsPort", "9090"],
        "env": [{"name": "USE_STREAMING", "value": "true"}],
        "ports": [{"containerPort": port} for port in (9002, 9003)] + [{"name": "metrics", "containerPort": 9090}],
        "livenessProbe": {"grpc": {"port": 9003, "service": "inference-extension"}, "initialDelaySeconds": 5, "periodSeconds": 10},
        "readinessProbe": {"grpc": {"port": 9003, "service": "inference-extension"}, "initialDelaySeconds": 5, "periodSeconds": 10},
    }


def _applied(name: str) -> Manifest:
    """kubectl's annotation; the value is as long as a small manifest, and names the alpha group as that would."""
    said = {"kind": "InferencePool", "group": ALPHA, "name": name, "padding": "x" * 400}
    return {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(said)}}


def _object(api_version: str, kind: str, name: str, namespace: str | None, annotations: Manifest | None = None, labels: Manifest | None = None,
            **fields: Any) -> Manifest:
    metadata: Manifest = {"name": name} | ({"namespace": namespace} if namespace else {})
    metadata |= ({"annotations": annotations} if annotations else {}) | ({"labels": labels} if labels else {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}
