# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils import plan, releases, screen
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import HelmRelease, Refused

POOL = "vllm-llama3-8b-instruct-preview"
GA = "vllm-llama3-8b-instruct-ga"


def only(made):
    (one,) = made["pools"]
    return one


def names(entries):
    return [f"{entry['kind']} {entry['metadata']['name']}" for entry in entries]


def test_the_demos_plan(demo):
    made = demo.plan()
    assert (made["schema"], made["target"], made["in_use"], made["blocked"]) == (1, "v1.5.0", True, [])
    assert made["cluster"] == {"id": "cluster-uid", "server": "https://127.0.0.1:6443", "version": "v1.33.5-gke.1080000"}
    assert made["crds"] == {
        "install": [
            {"name": releases.V1_POOLS_CRD, "file": "inference.networking.k8s.io_inferencepools.yaml"},
            {"name": releases.OBJECTIVES_CRD, "file": "inference.networking.x-k8s.io_inferenceobjectives.yaml"},
            {"name": releases.REWRITES_CRD, "file": "inference.networking.x-k8s.io_inferencemodelrewrites.yaml"},
        ],
        "keep": [],
        "retire": [releases.ALPHA_POOLS_CRD, releases.ALPHA_MODELS_CRD],
    }
    one = only(made)
    assert {field: one[field] for field in ("namespace", "name", "v1_name", "release", "epp", "alpha_epp", "failure_mode", "endpoints", "timeout_seconds")} == {
        "namespace": "default",
        "name": POOL,
        "v1_name": GA,
        "release": GA,
        "epp": {"deployment": f"{GA}-epp", "service": f"{GA}-epp", "port": 9002},
        "alpha_epp": {"deployment": f"{POOL}-epp", "service": f"{POOL}-epp", "port": 9002},
        "failure_mode": "FailClose",
        "endpoints": ["/v1/completions", "/v1/chat/completions"],
        "timeout_seconds": 30,
    }
    assert one["owner"] == {
        "kind": "helm", "release": POOL, "controller": None, "namespace": "default", "chart": "inferencepool", "version": "v0.3.0", "values": None,
    }
    assert one["references"] == [
        {"api_version": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "namespace": "default", "name": "llm-route", "rule": 0, "index": 0, "weight": 1}
    ]
    assert one["gateways"] == [{"namespace": "default", "name": "inference-gateway", "section": None}]
    assert [(model["name"], model["answer"], model["criticality"], model["priority"], model["objective"]) for model in one["models"]] == [
        ("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B-Instruct", "Critical", 2, "base-model"),
        ("food-review-1", "food-review-1", "Standard", -1, "food-review"),
    ]
    assert [(entry["objective"], entry["model"]) for entry in one["client_headers"]] == [
        ("base-model", "meta-llama/Llama-3.1-8B-Instruct"), ("food-review", "food-review-1"),
    ]
    assert names(one["retire"]) == ["InferenceModel base-model", "InferenceModel food-review"], "Helm uninstalls all the rest"
    assert [entry["kind"] for entry in one["objects"]] == [
        "InferenceObjective", "InferenceObjective", "GCPBackendPolicy", "HealthCheckPolicy", "ClusterPodMonitoring", "ClusterRole", "ClusterRoleBinding",
    ]


def test_the_plan_is_plain_json(demo):
    made = demo.plan()
    assert json.loads(json.dumps(made)) == made


def test_plain_objects_are_retired_in_order_with_their_own_rights(raw):
    assert names(only(raw.plan())["retire"]) == [
        "InferenceModel llama", "InferencePool llama", "Deployment llama-epp", "Service llama-epp",
        "ClusterRoleBinding pod-read-binding", "ClusterRole pod-read", "ServiceAccount llama-epp",
    ]


def test_policies_go_last(raw):
    target = {"targetRef": {"group": "inference.networking.x-k8s.io", "kind": "InferencePool", "name": "llama"}}
    raw.add("networking.gke.io/v1", "HealthCheckPolicy", "health", "models", spec=target)
    assert names(only(raw.plan())["retire"])[-1] == "HealthCheckPolicy health"


def test_rights_that_others_need_stay(raw):
    raw.add(
        "rbac.authorization.k8s.io/v1", "RoleBinding", "other", "models",
        subjects=[{"kind": "ServiceAccount", "name": "someone"}], roleRef={"kind": "ClusterRole", "name": "pod-read"},
    )
    raw.get("ClusterRoleBinding")["subjects"] = [{"kind": "ServiceAccount", "name": "llama-epp", "namespace": "models"}]
    retired = names(only(raw.plan())["retire"])
    assert "ClusterRoleBinding pod-read-binding" in retired and "ClusterRole pod-read" not in retired


@pytest.mark.parametrize("more", [[{"kind": "ServiceAccount", "name": "x", "namespace": "models"}], [{"kind": "Group", "name": "all"}]])
def test_a_binding_with_other_subjects_stays(raw, more):
    raw.get("ClusterRoleBinding")["subjects"] += more
    retired = names(only(raw.plan())["retire"])
    assert "ClusterRoleBinding pod-read-binding" not in retired and "ClusterRole pod-read" not in retired


def test_a_built_in_role_stays(raw):
    raw.get("ClusterRoleBinding")["roleRef"]["name"] = "view"
    assert "ClusterRole view" not in names(only(raw.plan())["retire"])


@pytest.mark.parametrize("shared", ["default", "llama-epp"])
def test_an_account_that_others_may_use_stays_with_its_rights(raw, shared):
    raw.get("Deployment")["spec"]["template"]["spec"]["serviceAccountName"] = shared
    raw.add("apps/v1", "Deployment", "other", "models", spec={"template": {"spec": {"serviceAccountName": shared, "containers": []}}})
    assert names(only(raw.plan())["retire"]) == ["InferenceModel llama", "InferencePool llama", "Deployment llama-epp", "Service llama-epp"]


def test_what_is_retired_is_named_as_kubernetes_core_takes_it(raw):
    retire = only(raw.plan())["retire"]
    assert retire[1] == {"apiVersion": "inference.networking.x-k8s.io/v1alpha2", "kind": "InferencePool", "metadata": {"name": "llama", "namespace": "models"}}
    assert retire[4] == {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "pod-read-binding"}}


def test_what_a_person_attached_to_a_helm_pool_is_retired_by_hand(demo):
    demo.get("HealthCheckPolicy")["metadata"].pop("annotations")
    assert names(only(demo.plan())["retire"])[-1] == f"HealthCheckPolicy {POOL}"


def test_a_restore_keeps_chart_version_and_values(demo):
    demo.releases = {("default", POOL): HelmRelease(POOL, "inferencepool", "v0.3.1", {"provider": {"name": "gke"}})}
    owner = only(demo.plan())["owner"]
    assert (owner["chart"], owner["version"], owner["values"]) == ("inferencepool", "v0.3.1", {"provider": {"name": "gke"}})


@pytest.mark.parametrize(
    ("target", "targets", "answer", "alpha"),
    [
        ("v1.5.0", [{"name": "x"}], "food-review-1", ["x"]),
        ("v1.5.0", [{"name": "x"}, {"name": "y"}], "food-review-1", ["x", "y"]),
        ("v1.4.0", [{"name": "x"}], "x", ["x"]),
        ("v1.4.0", [{"name": "x"}, {"name": "y"}], None, ["x", "y"]),
        ("v1.5.0", [], "food-review-1", ["food-review-1"]),
    ],
)
def test_the_name_in_the_answer(demo, target, targets, answer, alpha):
    demo.get("InferenceModel", "food-review")["spec"]["targetModels"] = targets
    model = only(demo.plan(target=target))["models"][1]
    assert (model["answer"], model["alpha_answers"]) == (answer, alpha)


# -- CRDs ---------------------------------------------------------------------------------------------------------------


def test_live_crds_are_kept_whatever_their_age(demo):
    live = demo.add("apiextensions.k8s.io/v1", "CustomResourceDefinition", releases.V1_POOLS_CRD, None)
    live["metadata"]["annotations"] = {releases.BUNDLE_ANNOTATION: "v1.0.0"}
    crds = demo.plan(target="v1.0.0")["crds"]
    assert crds["keep"] == [{"name": releases.V1_POOLS_CRD, "bundle": "v1.0.0", "managed": False}]
    assert [entry["name"] for entry in crds["install"]] == [releases.OBJECTIVES_CRD]


def test_a_managed_crd_is_said_to_be_managed(demo):
    demo.version = "v1.34.0-gke.1626000"
    demo.add("apiextensions.k8s.io/v1", "CustomResourceDefinition", releases.V1_POOLS_CRD, None)
    assert demo.plan()["crds"]["keep"] == [{"name": releases.V1_POOLS_CRD, "bundle": None, "managed": True}]


def test_a_managed_alpha_crd_is_not_deleted(demo):
    demo.get("CustomResourceDefinition", releases.ALPHA_POOLS_CRD)["metadata"]["labels"] = {"addonmanager.kubernetes.io/mode": "Reconcile"}
    assert demo.plan()["crds"]["retire"] == [releases.ALPHA_MODELS_CRD]


# -- hash ---------------------------------------------------------------------------------------------------------------


def test_the_hash_is_of_the_intended_changes_alone(demo):
    before = demo.plan()
    demo.get("InferencePool")["metadata"].update(uid="other", resourceVersion="999")
    demo.get("HTTPRoute")["metadata"]["annotations"] = {"team": "reviews"}
    demo.refused = (Refused("gateways", "no", False, True),)
    after = demo.plan()
    assert after["hash"] == before["hash"] and after["findings"] != before["findings"]


def test_the_hash_sees_every_intended_change(demo):
    before = demo.plan()["hash"]
    assert demo.plan(target="v1.4.0")["hash"] != before
    assert demo.plan(pool_names={POOL: "other"})["hash"] != before
    demo.get("HTTPRoute")["spec"]["rules"][0]["backendRefs"][0]["weight"] = 2
    assert demo.plan()["hash"] != before


def test_the_order_of_the_servers_lists_does_not_matter(demo):
    before = demo.plan()
    demo.manifests.reverse()
    assert demo.plan()["hash"] == before["hash"]


# -- not in use, blocked, for a person ----------------------------------------------------------------------------------


def test_not_in_use_plans_nothing(demo):
    demo.remove("InferencePool")
    demo.remove("InferenceModel")
    made = demo.plan()
    assert (made["in_use"], made["pools"], made["blocked"], made["findings"], made["crds"]["install"]) == (False, [], [], [], [])
    assert screen.summary(made) == [f"v1alpha2 is not in use on {made['cluster']['server']} (cluster id cluster-uid): nothing to migrate."]


def test_models_without_pools_are_in_use(demo):
    demo.remove("InferencePool")
    made = demo.plan()
    assert made["in_use"] and made["pools"] == []
    assert {entry["code"] for entry in made["findings"]} >= {"model-without-pool"}


def test_blockers_block_until_accepted(demo):
    demo.get("Gateway")["spec"]["gatewayClassName"] = "istio"
    assert demo.plan()["blocked"] == ["gateway-serves-one-group"]
    assert demo.plan(accept=frozenset({"gateway-serves-one-group"}))["blocked"] == []


def test_two_pools_in_two_namespaces(demo, raw):
    demo.manifests += raw.manifests
    made = demo.plan()
    assert [(one["namespace"], one["v1_name"]) for one in made["pools"]] == [("default", GA), ("models", "llama-ga")]


def test_one_screen_for_a_person(demo):
    made = demo.plan()
    lines = screen.summary(made)
    assert lines[0].startswith("Cluster https://127.0.0.1:6443") and made["hash"][:12] in lines[0]
    assert f"Pool default/{POOL} -> {GA}: chart v1.5.0, EPP {GA}-epp:9002, FailClose" in lines
    moved = f"inference.networking.x-k8s.io/{POOL} -> inference.networking.k8s.io/{GA}"
    assert f"  move: HTTPRoute default/llm-route rule 0 reference 0, weight 1: {moved}" in lines
    assert f"  delete after a drain of 30 s: InferenceModel base-model, InferenceModel food-review, Helm release {POOL}" in lines
    assert len([line for line in lines if line.startswith(("Pool", "  "))]) <= 20


def test_a_blocked_plan_says_so_first(demo):
    demo.get("Gateway")["spec"]["gatewayClassName"] = "istio"
    assert "BLOCKED by gateway-serves-one-group" in screen.summary(demo.plan())[0]


def test_the_digest_needs_its_fields():
    with pytest.raises(KeyError):
        plan.digest({"target": "v1.5.0"})


def test_of_thousands_the_summary_shows_some_and_says_how_many_more(raw, monkeypatch):
    monkeypatch.setattr(screen, "MOST", 1)
    for name in ("qwen", "gemma"):
        raw.add("inference.networking.x-k8s.io/v1alpha2", "InferencePool", name, "models", spec=raw.get("InferencePool", "llama")["spec"])
    lines = screen.summary(raw.plan())
    assert len([line for line in lines if line.startswith("Pool ")]) == 1
    assert "2 pools more: detect writes all 3 to migration_report_path" in lines
    shown, counted = [line for line in lines if line.startswith("blocker: pool-without-models: ")]
    assert "models/gemma" in shown and counted.endswith(": 1 more: detect writes all 2 to migration_report_path")
