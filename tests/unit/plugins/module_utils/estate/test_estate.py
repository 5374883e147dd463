# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils import manifests
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import estate, owners
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import ALPHA_GROUP, POOL_KIND
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import references
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey

KEY = PoolKey(ALPHA_GROUP, POOL_KIND, "default", "vllm-llama3-8b-instruct-preview")


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [({"a": {"b": 1}}, 1), ({"a": {}}, "no"), ({"a": None}, "no"), ({"a": ["b"]}, "no"), ({"a": {"b": None}}, "no"), (None, "no"), ({"a": {"b": 0}}, 0)],
)
def test_dig_never_trips_over_a_shape(manifest, expected):
    assert manifests.dig(manifest, "a", "b", default="no") == expected


def test_the_epp_is_found_as_traffic_finds_it(demo):
    here = demo.estate()
    epp = here.epp(here.pools[KEY])
    assert (epp.name, epp.port) == ("vllm-llama3-8b-instruct-preview-epp", 9002)
    assert epp.deployment["metadata"]["name"] == "vllm-llama3-8b-instruct-preview-epp"
    assert epp.service_account == "vllm-llama3-8b-instruct-preview-epp"
    assert epp.container["name"] == "epp"


def test_a_missing_service_means_no_deployment_and_the_documented_port(demo):
    demo.remove("Service")
    here = demo.estate()
    epp = here.epp(here.pools[KEY])
    assert (epp.service, epp.deployment, epp.port, epp.container, epp.service_account) == (None, None, 9002, {}, "default")


@pytest.mark.parametrize(
    ("ports", "said", "expected"),
    [
        ([{"port": 9102}], None, 9102),
        ([{"name": "metrics", "port": 9090}, {"name": "grpc-ext-proc", "port": 9102}], None, 9102),
        ([{"port": 9090}, {"port": 9002}], None, 9002),
        ([{"port": 1}, {"port": 2}], None, 9002),
        ([{"port": 9102}], 9200, 9200),
    ],
)
def test_the_port_of_an_epp(demo, ports, said, expected):
    demo.get("Service")["spec"]["ports"] = ports
    demo.get("InferencePool")["spec"]["extensionRef"]["portNumber"] = said
    here = demo.estate()
    assert here.epp(here.pools[KEY]).port == expected


def test_a_service_without_selector_selects_no_deployment(demo):
    demo.get("Service")["spec"]["selector"] = {}
    here = demo.estate()
    assert here.epp(here.pools[KEY]).deployment is None


def test_models_are_found_with_and_without_the_group_and_oldest_first(demo):
    demo.add("inference.networking.x-k8s.io/v1alpha2", "InferenceModel", "first", spec={"modelName": "m", "poolRef": {"name": KEY.name}})
    demo.get("InferenceModel", "first")["metadata"]["creationTimestamp"] = "2025-12-31T00:00:00Z"
    assert [manifests.name_of(model) for model in demo.estate().models[KEY]] == ["first", "base-model", "food-review"]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, ("objects", None)),
        ({"annotations": {"meta.helm.sh/release-name": "r", "meta.helm.sh/release-namespace": "default"}}, ("helm", "r")),
        ({"labels": {"argocd.argoproj.io/instance": "x"}}, ("controller", "Argo CD")),
        ({"annotations": {"configmanagement.gke.io/managed": "enabled"}}, ("controller", "Config Sync")),
        ({"annotations": {"configmanagement.gke.io/managed": "disabled"}}, ("objects", None)),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "x"}}, ("controller", "Flux")),
        ({"ownerReferences": [{"kind": "LLMInferenceService", "name": "llm", "controller": True}]}, ("controller", "LLMInferenceService llm")),
        ({"ownerReferences": [{"kind": "ConfigMap", "name": "x"}]}, ("objects", None)),
    ],
)
def test_who_owns_a_pool(metadata, expected):
    found = owners.owner({"metadata": {"name": "p", "namespace": "default"} | metadata}, {})
    assert (found.kind, found.name) == expected


def test_a_release_may_lie_in_another_namespace_than_its_pool():
    marks = {"meta.helm.sh/release-name": "r", "meta.helm.sh/release-namespace": "platform"}
    assert owners.owner({"metadata": {"name": "p", "namespace": "default", "annotations": marks}}, {}) == owners.Owner("helm", "r", "platform")


def test_policies_by_target_singular_and_plural(demo):
    ref = {"group": ALPHA_GROUP, "kind": POOL_KIND, "name": KEY.name}
    demo.add("networking.gke.io/v1", "GCPTrafficDistributionPolicy", "spread", spec={"targetRefs": [ref]})
    assert sorted(policy["kind"] for policy in demo.estate().policies[KEY]) == ["GCPBackendPolicy", "GCPTrafficDistributionPolicy", "HealthCheckPolicy"]


def test_references_name_pools_by_group_never_by_name_alone(demo):
    demo.get("HTTPRoute")["spec"]["rules"][0]["backendRefs"][0]["group"] = "inference.networking.k8s.io"
    assert KEY not in demo.estate().references


@pytest.mark.parametrize(
    ("parent", "expected"),
    [
        ({"name": "g"}, [("default", "g", None, None)]),
        ({"name": "g", "namespace": "infra", "sectionName": "https"}, [("infra", "g", "https", None)]),
        ({"name": "g", "port": 8080}, [("default", "g", None, 8080)]),
        ({"group": "other.example.com", "name": "g"}, []),
        ({"kind": "Service", "name": "g"}, []),
    ],
)
def test_parents_of_a_route(parent, expected):
    assert references.parents({"metadata": {"name": "r", "namespace": "default"}, "spec": {"parentRefs": [parent]}}) == expected


@pytest.mark.parametrize(
    ("crd", "shipped", "expected"),
    [
        ({"metadata": {}}, False, False),
        ({"metadata": {}}, True, True),
        ({"metadata": {"labels": {"addonmanager.kubernetes.io/mode": "Reconcile"}}}, False, True),
        ({"metadata": {"annotations": {"components.gke.io/layer": "addon"}}}, False, True),
    ],
)
def test_managed_crds(crd, shipped, expected):
    assert owners.managed_crd(crd, shipped) is expected


@pytest.mark.parametrize(
    ("kinds", "alpha", "expected"),
    [((), False, False), ((), True, True), (("InferenceModel",), False, True), (("InferencePool",), False, True)],
)
def test_in_use_when_either_kind_exists_or_can_not_be_known(demo, kinds, alpha, expected):
    for kind in {"InferenceModel", "InferencePool"} - set(kinds):
        demo.remove(kind)
    demo.refused = (estate.Refused("inferencepools", "no", alpha, not alpha),)
    assert demo.estate().in_use is expected
