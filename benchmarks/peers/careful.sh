#!/bin/sh
# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Peer 2: what a careful specialist would do by hand with kubectl and helm, knowing that a new backend has to warm up.
#
# v1 beside alpha, a route of its own that only a header reaches warms it until it answers five times in a row, then
# 10, 50 and 100 % by JSON patches of the weights alone, a sleep after each change, a drain before anything is deleted.
#
# Environment: KUBECONFIG, CHART, CRDS, TARGET as for guide.sh; PAUSE seconds after each change (60 to 90 is usual); where they differ from it,
# SOAK seconds after each step and DRAIN seconds before anything is deleted; STEPS, v1's percent at each step.
set -eu

PAUSE=${PAUSE:-75}
SOAK=${SOAK:-$PAUSE}
DRAIN=${DRAIN:-$PAUSE}
STEPS=${STEPS:-10 50 100}
ALPHA=vllm-llama3-8b-instruct-preview
GA=vllm-llama3-8b-instruct-ga
LABEL=vllm-llama3-8b-instruct

say() { echo "careful: $*"; }

weights() { # backendRefs of the first rule, as JSON
    kubectl patch httproute llm-route --namespace default --type=json --patch "[{\"op\": \"replace\", \"path\": \"/spec/rules/0/backendRefs\", \"value\": [$1]}]"
}

reference() { # group name weight
    printf '{"group": "%s", "kind": "InferencePool", "name": "%s", "weight": %s}' "$1" "$2" "$3"
}

both() { # weight of alpha, weight of v1
    weights "$(reference inference.networking.x-k8s.io "$ALPHA" "$1"), $(reference inference.networking.k8s.io "$GA" "$2")"
    say "weights $1 to $2; sleeping $SOAK s"
    sleep "$SOAK"
}

ask() { # through the header route; the status code
    curl --silent --noproxy '*' --max-time 10 --output /dev/null --write-out '%{http_code}' -H 'Host: llm.example.com' -H 'x-canary: v1' \
        -H 'Content-Type: application/json' "$address:8080/v1/completions" -d '{"model": "food-review-1", "prompt": "warm up", "max_tokens": 2}' || true
}

for kind in inference.networking.k8s.io_inferencepools inference.networking.x-k8s.io_inferenceobjectives inference.networking.x-k8s.io_inferencemodelrewrites; do
    file="$CRDS/$TARGET/bases/$kind.yaml"
    [ ! -e "$file" ] || kubectl apply -f "$file"
done
helm install "$GA" --set inferencePool.modelServers.matchLabels.app="$LABEL" --set provider.name=gke --set inferenceExtension.failureMode=FailClose \
    --set 'inferencePool.targetPorts[0].number=8000' --version "$TARGET" --plain-http "$CHART"
kubectl rollout status "deployment/$GA-epp" --timeout=300s
for model in food-review:1 base-model:2; do
    kubectl apply -f - <<YAML
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceObjective
metadata: {name: "${model%:*}", namespace: default}
spec:
  priority: ${model#*:}
  poolRef: {group: inference.networking.k8s.io, name: $GA}
YAML
done

kubectl apply -f - <<YAML
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: llm-route-canary, namespace: default}
spec:
  parentRefs: [{name: inference-gateway}]
  hostnames: [llm.example.com]
  rules:
    - matches:
        - path: {type: PathPrefix, value: /v1/completions}
          headers: [{name: x-canary, value: v1}]
        - path: {type: PathPrefix, value: /v1/chat/completions}
          headers: [{name: x-canary, value: v1}]
      backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: $GA}]
YAML
address=$(kubectl get gateway/inference-gateway -o jsonpath='{.status.addresses[0].value}')
say "waiting until the canary route answers"
answered=0
for attempt in $(seq 300); do
    if [ "$(ask)" = 200 ]; then answered=$((answered + 1)); else answered=0; fi
    [ "$answered" -lt 5 ] || break
    sleep 2
done
[ "$answered" -ge 5 ] || { say "the canary route never answered in $attempt attempts"; exit 1; }
say "it answers; sleeping $PAUSE s"
sleep "$PAUSE"

for step in $STEPS; do
    both $((100 - step)) "$step"
done
weights "$(reference inference.networking.k8s.io "$GA" 100)"
say "v1alpha2 is out of the route; draining for $DRAIN s"
sleep "$DRAIN"
kubectl delete httproute llm-route-canary --namespace default
helm uninstall "$ALPHA"
kubectl delete inferencemodels.inference.networking.x-k8s.io --all --namespace default
kubectl delete crd inferencepools.inference.networking.x-k8s.io inferencemodels.inference.networking.x-k8s.io
