# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import Refused
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.helm_records import HelmRelease
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.listings import LISTINGS
from ansible_collections.inference_gateway.migration.plugins.module_utils.plan import plan, render
from ansible_collections.inference_gateway.migration.plugins.module_utils.plan.cost import shift_of
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sprt import Bounds

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
    released = one["owner"].pop("objects")
    assert names(released)[:3] == [f"InferencePool {POOL}", f"Deployment {POOL}-epp", f"Service {POOL}-epp"], "of an uninstallation that was cut short"
    assert not {"InferenceModel base-model", "InferenceModel food-review"} & set(names(released))
    assert one["owner"] == {
        "kind": "helm", "release": POOL, "left": None, "controller": None, "namespace": "default", "chart": "inferencepool", "version": "v0.3.0",
        "values": {"provider": {"name": "gke"}},
    }
    assert one["references"] == [
        {"api_version": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "namespace": "default", "name": "llm-route", "rule": 0, "index": 0, "weight": 1}
    ]
    assert one["gateways"] == [{"namespace": "default", "name": "inference-gateway", "section": None, "port": None}]
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


RIGHTS = ["ClusterRoleBinding pod-read-binding", "ClusterRole pod-read", "ServiceAccount llama-epp"]


def rights(made):
    """What is deleted of the raw estate's rights, and what stays and why."""
    one = only(made)
    return [name for name in names(one["retire"]) if name in RIGHTS], {entry["object"]: entry["why"] for entry in one["stays"]}


def bind(world, name, namespace, *subjects):
    role = {"kind": "ClusterRole", "name": "pod-read"}
    world.add("rbac.authorization.k8s.io/v1", "RoleBinding", name, namespace, subjects=list(subjects), roleRef=role)


@pytest.mark.parametrize("namespace", ["models", "elsewhere"])
def test_a_role_that_a_binding_gives_to_somebody_else_stays_wherever_that_lies(raw, namespace):
    bind(raw, "other", namespace, {"kind": "ServiceAccount", "name": "someone"})
    gone, kept = rights(raw.plan())
    assert gone == ["ClusterRoleBinding pod-read-binding", "ServiceAccount llama-epp"]
    assert kept == {"ClusterRole pod-read": f"RoleBinding {namespace}/other gives it to ServiceAccount {namespace}/someone"}


def test_a_binding_that_serves_nobody_yet_keeps_its_role(raw):
    bind(raw, "empty", "elsewhere")
    assert rights(raw.plan())[1] == {"ClusterRole pod-read": "RoleBinding elsewhere/empty gives it to nobody yet"}


def test_an_account_of_the_same_name_elsewhere_is_somebody_else(raw):
    bind(raw, "other", "elsewhere", {"kind": "ServiceAccount", "name": "llama-epp"})
    assert "ClusterRole pod-read" in rights(raw.plan())[1]


def test_a_second_binding_of_the_epp_alone_goes_too(raw):
    bind(raw, "second", "elsewhere", {"kind": "ServiceAccount", "name": "llama-epp", "namespace": "models"})
    assert "RoleBinding second" in names(only(raw.plan())["retire"]) and rights(raw.plan()) == (RIGHTS, {})


def workload(world, kind, api_version, spec, **metadata):
    world.add(api_version, kind, "other", "models", spec=spec)["metadata"] |= metadata


TEMPLATE = {"template": {"spec": {"serviceAccountName": "llama-epp"}}}


@pytest.mark.parametrize(("kind", "api_version", "spec"), [
    *((kind, "apps/v1", TEMPLATE) for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")),
    ("Job", "batch/v1", TEMPLATE), ("CronJob", "batch/v1", {"jobTemplate": {"spec": TEMPLATE}}),
    ("Pod", "v1", TEMPLATE["template"]["spec"]), ("ReplicationController", "v1", TEMPLATE),
])
def test_an_account_that_any_workload_runs_as_stays_with_its_rights(raw, kind, api_version, spec):
    workload(raw, kind, api_version, spec)
    gone, kept = rights(raw.plan())
    assert gone == [] and kept["ServiceAccount models/llama-epp"] == f"in use by {kind} models/other"
    assert set(kept) == {"ServiceAccount models/llama-epp", "ClusterRoleBinding pod-read-binding", "ClusterRole pod-read"}


def test_what_the_epps_own_deployment_made_is_nobody_else(raw):
    raw.get("Deployment")["metadata"]["uid"] = "d"
    workload(raw, "ReplicaSet", "apps/v1", TEMPLATE, uid="r", ownerReferences=[{"kind": "Deployment", "name": "llama-epp", "uid": "d", "controller": True}])
    workload(raw, "Pod", "v1", TEMPLATE["template"]["spec"], ownerReferences=[{"kind": "ReplicaSet", "name": "other", "uid": "r", "controller": True}])
    assert rights(raw.plan()) == (RIGHTS, {})


@pytest.mark.parametrize(("listing", "where", "words"), [
    ("role_bindings", None, "rolebindings may not be listed, so others may use it"),
    ("cluster_role_bindings", None, "clusterrolebindings may not be listed"),
    ("cron_jobs", None, "cronjobs may not be listed, so others may run as it"),
    ("pods", "models", "pods may not be listed, so others may run as it"),
])
def test_what_may_not_be_listed_keeps_all_rights(raw, listing, where, words):
    (refused,) = [entry for entry in LISTINGS if entry.name == listing]
    raw.refused = (Refused(listing, "no", False, True, refused, where),)
    gone, kept = rights(raw.plan())
    assert gone == [] and words in kept["ServiceAccount models/llama-epp"]
    assert words in kept["ClusterRole pod-read"] and words in kept["ClusterRoleBinding pod-read-binding"]


def test_pods_that_may_not_be_listed_elsewhere_keep_nothing(raw):
    (pods,) = [entry for entry in LISTINGS if entry.name == "pods"]
    raw.refused = (Refused("pods", "no", False, True, pods, "elsewhere"),)
    assert rights(raw.plan()) == (RIGHTS, {})


def second_epp(world, account):
    """A second pool with an EPP of its own."""
    for kind, name in (("InferencePool", "llama"), ("Service", "llama-epp"), ("Deployment", "llama-epp")):
        copied = json.loads(json.dumps(world.get(kind, name)).replace("llama", "qwen"))
        world.manifests.append(copied)
    world.get("Deployment", "qwen-epp")["spec"]["template"]["spec"]["serviceAccountName"] = account
    return {"kind": "ServiceAccount", "name": account, "namespace": "models"}


@pytest.mark.parametrize("account", ["llama-epp", "qwen-epp"])
def test_rights_that_only_epps_of_the_plan_share_go_with_the_last_of_them(raw, account):
    raw.get("ClusterRoleBinding")["subjects"].append(second_epp(raw, account))
    made = raw.plan()
    assert len(made["pools"]) == 2 and all(set(RIGHTS[:2]) <= set(names(one["retire"])) and one["stays"] == [] for one in made["pools"])


def test_what_a_controller_owns_keeps_its_rights(raw):
    raw.get("InferencePool")["metadata"]["labels"] = {"argocd.argoproj.io/instance": "x"}
    gone, kept = rights(raw.plan())
    assert gone == [] and kept["ServiceAccount models/llama-epp"] == "Argo CD owns the pool and may have made it"


def test_of_very_many_rights_the_first_are_named(raw):
    workload(raw, "Pod", "v1", TEMPLATE["template"]["spec"])
    for number in range(30):
        bind(raw, f"b{number:02}", "models", {"kind": "ServiceAccount", "name": "llama-epp"})
    kept = only(raw.plan())["stays"]
    assert len(kept) == 21 and kept[-1]["object"] == "13 more of the rights of ServiceAccount models/llama-epp"


@pytest.mark.parametrize("more", [[{"kind": "ServiceAccount", "name": "x", "namespace": "models"}], [{"kind": "Group", "name": "all"}]])
def test_a_binding_with_other_subjects_stays(raw, more):
    raw.get("ClusterRoleBinding")["subjects"] += more
    gone, kept = rights(raw.plan())
    assert gone == ["ServiceAccount llama-epp"] and set(kept) == {"ClusterRoleBinding pod-read-binding", "ClusterRole pod-read"}
    assert kept["ClusterRoleBinding pod-read-binding"].startswith("it also serves ")


def test_a_built_in_role_stays(raw):
    raw.get("ClusterRoleBinding")["roleRef"]["name"] = "view"
    assert "ClusterRole view" not in names(only(raw.plan())["retire"])
    assert only(raw.plan())["stays"] == [], "it is not alpha's"


@pytest.mark.parametrize("shared", ["default", "llama-epp"])
def test_an_account_that_others_may_use_stays_with_its_rights(raw, shared):
    raw.get("Deployment")["spec"]["template"]["spec"]["serviceAccountName"] = shared
    raw.get("ClusterRoleBinding")["subjects"][0]["name"] = shared
    raw.add("apps/v1", "Deployment", "other", "models", spec={"template": {"spec": {"serviceAccountName": shared, "containers": []}}})
    assert names(only(raw.plan())["retire"]) == ["InferenceModel llama", "InferencePool llama", "Deployment llama-epp", "Service llama-epp"]
    kept = rights(raw.plan())[1]
    assert {"ClusterRoleBinding pod-read-binding", "ClusterRole pod-read"} <= set(kept)
    assert ("ServiceAccount models/default" in kept) is False, "Kubernetes makes that one"


def test_what_is_retired_is_named_as_kubernetes_core_takes_it(raw):
    retire = only(raw.plan())["retire"]
    assert retire[1] == {"apiVersion": "inference.networking.x-k8s.io/v1alpha2", "kind": "InferencePool", "metadata": {"name": "llama", "namespace": "models"}}
    assert retire[4] == {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "pod-read-binding"}}


def test_what_a_person_attached_to_a_helm_pool_is_retired_by_hand(demo):
    demo.get("HealthCheckPolicy")["metadata"].pop("annotations")
    assert names(only(demo.plan())["retire"])[-1] == f"HealthCheckPolicy {POOL}"


# -- Helm's releases ----------------------------------------------------------------------------------------------------

OF_ALPHA = [
    "InferenceModel base-model", "InferenceModel food-review", f"InferencePool {POOL}", f"Deployment {POOL}-epp", f"Service {POOL}-epp",
    f"RoleBinding {POOL}-epp", f"ClusterRole {POOL}-epp", f"ServiceAccount {POOL}-epp", f"ClusterPodMonitoring default-{POOL}",
    f"HealthCheckPolicy {POOL}", f"GCPBackendPolicy {POOL}",
]


def helm_rights(world, **annotations):
    account, role = ({"kind": kind, "name": f"{POOL}-epp"} for kind in ("ServiceAccount", "ClusterRole"))
    binding = world.add("rbac.authorization.k8s.io/v1", "RoleBinding", f"{POOL}-epp", subjects=[account], roleRef=role)
    binding["metadata"]["annotations"] = annotations


OF_RELEASE = {"meta.helm.sh/release-name": POOL, "meta.helm.sh/release-namespace": "default"}


@pytest.mark.parametrize(("releases_", "hidden", "words"), [
    ({}, frozenset(), "Helm has no record of it"), ({("default", POOL): None}, frozenset(), "its record could not be read"),
    ({}, frozenset({"default"}), "its record may not be read"),
])
def test_a_release_that_nobody_knows_is_left_and_alpha_goes_object_by_object(demo, releases_, hidden, words):
    helm_rights(demo, **OF_RELEASE)
    demo.releases, demo.hidden_records = releases_, hidden
    one = only(demo.plan(accept=frozenset({"helm-release-unknown"})))
    assert sorted(names(one["retire"])) == sorted(OF_ALPHA) and names(one["retire"])[-1].endswith(f"Policy {POOL}")
    assert {field: one["owner"][field] for field in ("kind", "release", "left", "chart", "values")} == {
        "kind": "objects", "release": None, "left": f"default/{POOL}", "chart": None, "values": None}
    (kept,) = one["stays"]
    assert kept["object"] == f"Helm release default/{POOL}" and words in kept["why"]


def test_the_rights_of_a_left_release_stay_where_others_use_them(demo):
    helm_rights(demo, **OF_RELEASE)
    demo.releases = {}
    demo.add("v1", "Pod", "debug", spec={"serviceAccountName": f"{POOL}-epp"})
    one = only(demo.plan())
    assert sorted(names(one["retire"])) == sorted(set(OF_ALPHA) - {f"RoleBinding {POOL}-epp", f"ClusterRole {POOL}-epp", f"ServiceAccount {POOL}-epp"})
    assert f"ServiceAccount default/{POOL}-epp" in {entry["object"] for entry in one["stays"]}


@pytest.mark.parametrize("status", ["failed", "pending-upgrade", "pending-install", "pending-rollback", "superseded"])
def test_an_unfinished_release_is_uninstalled_after_alphas_objects(demo, status):
    helm_rights(demo, **OF_RELEASE)
    demo.releases = {("default", POOL): HelmRelease(POOL, "inferencepool", "v0.3.0", {}, status)}
    one = only(demo.plan())
    assert (one["owner"]["kind"], one["owner"]["release"], one["owner"]["left"], one["stays"]) == ("helm", POOL, None, [])
    assert names(one["retire"]) == [name for name in OF_ALPHA if f"{POOL}-epp" not in name or not name.startswith(("RoleB", "ClusterRole ", "ServiceA"))]


@pytest.mark.parametrize("status", ["uninstalling", "uninstalled"])
def test_a_release_whose_uninstall_began_is_left(demo, status):
    demo.releases = {("default", POOL): HelmRelease(POOL, "inferencepool", "v0.3.0", {}, status)}
    one = only(demo.plan())
    assert (one["owner"]["kind"], one["owner"]["left"], one["owner"]["chart"]) == ("objects", f"default/{POOL}", "inferencepool")
    assert one["stays"] == [{"object": f"Helm release default/{POOL}", "why": "its uninstall began already"}]
    assert f"InferencePool {POOL}" in names(one["retire"])


def test_a_release_is_uninstalled_where_it_lies(demo):
    for entry in demo.manifests:
        if "meta.helm.sh/release-namespace" in entry["metadata"].get("annotations", {}):
            entry["metadata"]["annotations"]["meta.helm.sh/release-namespace"] = "platform"
    demo.releases = {("platform", POOL): HelmRelease(POOL, "inferencepool", "v0.3.0", {})}
    one = only(demo.plan())
    assert (one["owner"]["namespace"], one["owner"]["release"]) == ("platform", POOL)
    assert names(one["retire"]) == ["InferenceModel base-model", "InferenceModel food-review"]


def test_what_a_person_bound_to_a_releases_account_stays(demo):
    helm_rights(demo)
    assert only(demo.plan())["stays"] == [{"object": f"RoleBinding default/{POOL}-epp", "why": f"Helm release default/{POOL} did not make it"}]


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
    helm_rights(demo)
    assert demo.plan()["hash"] != before, "what stays is part of what was approved"
    before = demo.plan()["hash"]
    assert demo.plan(target="v1.4.0")["hash"] != before
    assert demo.plan(pool_names={POOL: "other"})["hash"] != before
    demo.get("HTTPRoute")["spec"]["rules"][0]["backendRefs"][0]["weight"] = 2
    assert demo.plan()["hash"] != before


def test_the_order_of_the_servers_lists_does_not_matter(demo):
    before = demo.plan()
    demo.manifests.reverse()
    assert demo.plan()["hash"] == before["hash"]


def test_nor_does_that_of_bindings_that_stay(raw):
    for name in ("b", "a", "c"):
        bind(raw, name, "elsewhere", *({"kind": "ServiceAccount", "name": other} for other in ("z", "y")))
    before = raw.plan()
    raw.manifests.reverse()
    assert raw.plan()["hash"] == before["hash"]


# -- not in use, blocked, for a person ----------------------------------------------------------------------------------


def test_not_in_use_plans_nothing(demo):
    demo.remove("InferencePool")
    demo.remove("InferenceModel")
    made = demo.plan()
    assert (made["in_use"], made["pools"], made["blocked"], made["findings"], made["crds"]["install"]) == (False, [], [], [], [])
    assert render.summary(made) == [f"v1alpha2 is not in use on {made['cluster']['server']} (cluster id cluster-uid): nothing to migrate."]


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
    lines = render.summary(made)
    assert lines[0].startswith("Cluster https://127.0.0.1:6443") and made["hash"][:12] in lines[0]
    assert f"Pool default/{POOL} -> {GA}: chart v1.5.0, EPP {GA}-epp:9002, FailClose" in lines
    moved = f"inference.networking.x-k8s.io/{POOL} -> inference.networking.k8s.io/{GA}"
    assert f"  move: HTTPRoute default/llm-route rule 0 reference 0, weight 1: {moved}" in lines
    assert f"  delete after a drain of 30 s: InferenceModel base-model, InferenceModel food-review, Helm release {POOL}" in lines
    assert len([line for line in lines if line.startswith(("Pool", "  "))]) <= 20


def test_the_screen_says_how_many_tracer_requests_a_step_takes_at_most(demo, raw):
    assert "In a shift the traffic split takes up to 3000 tracer requests a step (1 rule at Gateway addresses)" in render.summary(demo.plan())
    none = render.summary(demo.plan(shift=shift_of({"tracers": 0})))
    assert "In a shift the traffic split is not measured (tracers is 0) (1 rule at Gateway addresses)" in none
    demo.get("Gateway")["status"]["addresses"].append({"type": "IPAddress", "value": "192.0.2.7"})
    demo.manifests += raw.manifests
    made = demo.plan(shift=shift_of({"tracers": 700}))
    assert made["estimate"]["groups"] > 2 and made["estimate"]["tracers"] == 700 * made["estimate"]["groups"]
    assert made["hash"] == demo.plan()["hash"], "it is no intended change"


def test_the_screen_says_what_a_shift_asks_of_model_servers(demo):
    """8 targets: 5 rounds of a baseline, 20 of a warm-up, 15 of a step, 6 at the end; and 4 gates, which end after their clean comparisons of three probes."""
    made = demo.plan()
    clean = Bounds().clean_pairs
    assert (made["estimate"]["probes"], made["estimate"]["tokens"]) == (8 * (5 + 20 + 3 * 15 + 6) + 4 * 3 * clean, 2 * made["estimate"]["probes"])
    told = f"A shift sends {made['estimate']['probes']} probes at least, for {made['estimate']['tokens']} tokens at most, one at a time to each model server, "
    assert f"{told}and up to 60 a second more while it waits for a Gateway or soaks" in render.summary(made)
    quicker = demo.plan(shift=shift_of({"steps": [100], "gate": {"p1": "0.2"}, "probe_rate": 9}))["estimate"]
    assert quicker["probes"] < made["estimate"]["probes"] / 5 and quicker["rate"] == 9
    demo.remove("HTTPRoute")
    assert demo.plan()["estimate"] | {"seconds": 0} == {"seconds": 0, "groups": 0, "tracers": 0, "probes": 0, "tokens": 0, "rate": 60}


@pytest.mark.parametrize(("said", "words"), [({"stepz": []}, "not stepz"), ({"gate": {"p1": 2}}, "migration_gate needs 0 < p0 < p1 < 1")])
def test_a_shift_that_makes_no_sense_is_refused_with_the_plan(said, words):
    with pytest.raises(ValueError, match=words):
        shift_of(said)


def test_the_screen_says_what_stays_and_why(demo):
    demo.remove("Secret")
    lines = render.summary(demo.plan())
    assert f"  stays: Helm release default/{POOL}: Helm has no record of it, so there is nothing to uninstall" in lines
    assert not any(f", Helm release {POOL}" in line for line in lines)


def test_a_blocked_plan_says_so_first(demo):
    demo.get("Gateway")["spec"]["gatewayClassName"] = "istio"
    assert "BLOCKED by gateway-serves-one-group" in render.summary(demo.plan())[0]


def test_the_digest_needs_its_fields():
    with pytest.raises(KeyError):
        plan.digest({"target": "v1.5.0"})


def test_of_thousands_the_summary_shows_some_and_says_how_many_more(raw, monkeypatch):
    monkeypatch.setattr(render, "MOST", 1)
    for name in ("qwen", "gemma"):
        raw.add("inference.networking.x-k8s.io/v1alpha2", "InferencePool", name, "models", spec=raw.get("InferencePool", "llama")["spec"])
    lines = render.summary(raw.plan())
    assert len([line for line in lines if line.startswith("Pool ")]) == 1
    assert "2 pools more: detect writes all 3 to migration_report_path" in lines
    shown, counted = [line for line in lines if line.startswith("blocker: pool-without-models: ")]
    assert "models/gemma" in shown and counted.endswith(": 1 more: detect writes all 2 to migration_report_path")


def test_what_helm_is_told_to_keep_is_not_deleted_after_it(demo):
    demo.get("InferencePool")["metadata"]["annotations"]["helm.sh/resource-policy"] = "keep"
    assert f"InferencePool {POOL}" not in names(only(demo.plan())["owner"]["objects"])


def test_of_plain_objects_helm_has_none(raw):
    assert only(raw.plan())["owner"]["objects"] == []


@pytest.mark.parametrize(("made_by_helm", "goes"), [(True, True), (False, False)])
def test_after_helm_only_rights_that_it_made_are_deleted(demo, made_by_helm, goes):
    helm_rights(demo, **(OF_RELEASE if made_by_helm else {}))
    released = names(only(demo.plan())["owner"]["objects"])
    assert ({f"RoleBinding {POOL}-epp", f"ClusterRole {POOL}-epp", f"ServiceAccount {POOL}-epp"} <= set(released)) is goes
