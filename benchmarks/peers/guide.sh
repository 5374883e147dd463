#!/bin/sh
# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Peer 1: GKE's guide "Migrate Inference Gateway from v1alpha2 to v1", zero-downtime path, its commands back to back.
#
# At its best: the HTTPRoute that it applies keeps the hostname, matches and filters of the route that is there (the
# guide's own example replaces the whole spec and would drop them), and CRDs and chart come from local copies. Its
# "after a few minutes" before a verification is no command and is not waited for.
#
# Environment: KUBECONFIG, CHART (oci:// URL), CRDS (folder of CRD files by release), TARGET (release of v1).
set -eux

ALPHA=vllm-llama3-8b-instruct-preview
GA=vllm-llama3-8b-instruct-ga
LABEL=vllm-llama3-8b-instruct

route() { # backendRefs of the first rule
    kubectl apply -f - <<YAML
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: llm-route
  namespace: default
  labels: {team: search}
spec:
  parentRefs: [{name: inference-gateway}]
  hostnames: [llm.example.com]
  rules:
    - matches:
        - path: {type: PathPrefix, value: /v1/completions}
        - path: {type: PathPrefix, value: /v1/chat/completions}
      filters:
        - type: RequestHeaderModifier
          requestHeaderModifier: {set: [{name: x-team, value: search}]}
      backendRefs: [$1]
    - matches:
        - path: {type: PathPrefix, value: /plain}
      filters:
        - type: URLRewrite
          urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /v1}}
      backendRefs: [{name: plain, port: 80}]
YAML
}

objective() { # name priority
    kubectl apply -f - <<YAML
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceObjective
metadata: {name: $1, namespace: default}
spec:
  priority: $2
  poolRef: {group: inference.networking.k8s.io, name: $GA}
YAML
}

verify() { # the guide's two checks: the Gateway is PROGRAMMED, one request answers
    kubectl get gateway inference-gateway -o wide
    address=$(kubectl get gateway/inference-gateway -o jsonpath='{.status.addresses[0].value}')
    curl --silent --show-error --noproxy '*' --output /dev/null --write-out '%{http_code}\n' -H 'Host: llm.example.com' -H 'Content-Type: application/json' \
        "$address:8080/v1/completions" -d '{"model": "food-review-1", "prompt": "What is the best pizza in the world?", "max_tokens": 2, "temperature": 0}' || true
}

# Stage 1: v1 beside alpha
kubectl apply -f "$CRDS/$TARGET/bases/inference.networking.k8s.io_inferencepools.yaml"
kubectl apply -f "$CRDS/$TARGET/bases/inference.networking.x-k8s.io_inferenceobjectives.yaml"
[ ! -e "$CRDS/$TARGET/bases/inference.networking.x-k8s.io_inferencemodelrewrites.yaml" ] ||
    kubectl apply -f "$CRDS/$TARGET/bases/inference.networking.x-k8s.io_inferencemodelrewrites.yaml"
helm install "$GA" --set inferencePool.modelServers.matchLabels.app="$LABEL" --set provider.name=gke --version "$TARGET" --plain-http "$CHART"
objective food-review 2
objective base-model 2

# Stage 2: shift
route "{group: inference.networking.x-k8s.io, kind: InferencePool, name: $ALPHA, weight: 50}, {group: inference.networking.k8s.io, kind: InferencePool, name: $GA, weight: 50}"
verify

# Stage 3: finalize
route "{group: inference.networking.k8s.io, kind: InferencePool, name: $GA, weight: 100}"
verify
helm uninstall "$ALPHA"
kubectl delete inferencemodels.inference.networking.x-k8s.io --all --namespace default
kubectl get inferencepools.inference.networking.x-k8s.io --all-namespaces
kubectl get inferencemodels.inference.networking.x-k8s.io --all-namespaces
kubectl delete -f "$CRDS/v0.3.0/manifests.yaml"
