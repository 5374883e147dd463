# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each sign of an owner on a route, a pool, a model, a policy and a definition, and each near miss; what of alpha is left because somebody owns it."""

from __future__ import annotations

from copy import deepcopy

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils import managers, releases
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import owners, reader
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.helm_records import HelmRelease
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.owners import Owner

from tests.unit.helpers.estate_changes import ALPHA, OWNED, POOL, annotate

INSTANCE = {"app.kubernetes.io/instance": "web"}
HELM = {"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "default"}
WEB = HelmRelease("web", "web", "1.0.0", {})
APPLIED, UPDATED = {"f:spec": {"f:rules": {}}}, {"f:metadata": {"f:labels": {}}, "f:spec": {"f:selector": {}}}


def written(manager, fields=None, **more):
    return {"managedFields": [{"manager": manager, "operation": "Apply", "fieldsV1": APPLIED if fields is None else fields} | more]}


SIGNS = {
    "helm": ({"annotations": HELM}, "Helm release default/web"),
    "helm-hook": ({"annotations": {"helm.sh/hook": "post-install,post-upgrade"}, "labels": INSTANCE}, "a hook of Helm release default/web"),
    "helm-hook-label": ({"labels": {"helm.sh/hook": "post-install"} | INSTANCE}, "a hook of Helm release default/web"),
    "argo-annotation": ({"annotations": {"argocd.argoproj.io/tracking-id": "web:x"}}, "Argo CD"),
    "argo-label": ({"labels": {"argocd.argoproj.io/instance": "web"}}, "Argo CD"),
    "argo-instance-and-wave": ({"labels": INSTANCE, "annotations": {"argocd.argoproj.io/sync-wave": "1"}}, "Argo CD"),
    "argo-manager": (written("argocd-controller"), "Argo CD"),
    "argo-manager-2": (written("argocd-application-controller", UPDATED, operation="Update"), "Argo CD"),
    "flux-label": ({"labels": {"kustomize.toolkit.fluxcd.io/name": "web"}}, "Flux"),
    "flux-manager": (written("kustomize-controller"), "Flux"),
    "flux-helm-manager": ({"annotations": HELM} | written("helm-controller"), "Flux"),
    "config-sync": ({"annotations": {"configsync.gke.io/resource-id": "x"}}, "Config Sync"),
    "config-sync-manager": (written("configsync.gke.io"), "Config Sync"),
    "kserve": ({"ownerReferences": [{"kind": "LLMInferenceService", "name": "llm", "controller": True}]}, "LLMInferenceService llm"),
    "kserve-manager": (written("llmisvc-controller-manager"), "KServe"),
    "another-controller": (written("rollouts-controller"), "controller rollouts-controller"),
    "a-controller-beside-a-person": ({"managedFields": [*written("kubectl")["managedFields"], *written("flagger")["managedFields"]]}, "controller flagger"),
}
NEAR_MISSES = {
    "instance-label-alone": {"labels": INSTANCE},
    "argo-without-instance": {"annotations": {"argocd.argoproj.io/sync-wave": "1"}},
    "config-sync-disabled": {"annotations": {"configmanagement.gke.io/managed": "disabled"}},
    "owner-that-is-no-controller": {"ownerReferences": [{"kind": "ConfigMap", "name": "x"}]},
    "status": written("argocd-controller", {"f:status": {}}),
    "status-subresource": written("gke", APPLIED, subresource="status"),
    "metadata": written("argocd-controller", {"f:metadata": {"f:labels": {}}}),
    **{name: written(name) for name in (
        "kubectl", "kubectl-client-side-apply", "kubectl-edit", "kubectl-patch", "helm", "helm3", "helm-linux-amd64", "Helm", "OpenAPI-Generator",
        "python-requests", "Python", "ansible", "before-first-apply", "inference-gateway-migration", "Terraform", "HashiCorp",
        "terraform-provider-helm_v2.17.0_x5", "pulumi-kubernetes", "Mozilla", "addon-manager", "fabric8-kubernetes-client",
        "Kubernetes Java Client", "okhttp", "headlamp",
    )},
}
KINDS = ("HTTPRoute", "InferencePool", "InferenceModel", "HealthCheckPolicy", "CustomResourceDefinition")


def made(kind, metadata):
    return {"kind": kind, "metadata": {"name": "it", "namespace": "default"} | deepcopy(metadata)}


def held(manifest, records=None, **more):
    """Who owns it after it was read, when its fields' managers are compact."""
    managers.compact(manifest["metadata"])
    return owners.holder(manifest, {("default", "web"): WEB} if records is None else records, frozenset(), **more)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sign", SIGNS)
def test_each_sign_on_each_kind(kind, sign):
    metadata, expected = SIGNS[sign]
    found = held(made(kind, metadata))
    assert str(found) == expected and found.sign


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sign", NEAR_MISSES)
def test_what_is_no_sign(kind, sign):
    assert held(made(kind, NEAR_MISSES[sign])) is None


def test_whole_managed_fields_say_the_same_as_compact_ones():
    for metadata, _expected in SIGNS.values():
        manifest = made("HTTPRoute", metadata)
        assert owners.owner(deepcopy(manifest), {}) == owners.owner(manifest if managers.compact(manifest["metadata"]) else manifest, {})


def test_few_words_are_kept_of_managed_fields_and_once_for_all_objects():
    one, two, person = made("HTTPRoute", written("argocd-controller")), made("HTTPRoute", written("argocd-controller")), made("HTTPRoute", written("kubectl"))
    for manifest in (one, two, person):
        managers.compact(manifest["metadata"])
    assert one["metadata"]["managedFields"] == [{"manager": "argocd-controller", "fieldsV1": {"f:spec": {}}}]
    assert one["metadata"]["managedFields"] is two["metadata"]["managedFields"]
    assert "managedFields" not in person["metadata"]


@pytest.mark.parametrize(("records", "hidden", "expected"), [
    ({}, (), None), ({("other", "web"): WEB}, (), None), ({("default", "web"): WEB._replace(status="failed")}, (), "Helm release default/web"),
    ({("default", "web"): None}, (), "Helm release default/web"), ({}, ("default",), "Helm release default/web"),
])
def test_a_release_owns_where_its_record_is_there_or_may_not_be_read(records, hidden, expected):
    found = owners.holder(made("HealthCheckPolicy", {"annotations": HELM}), records, frozenset(hidden))
    assert (str(found) if found else None) == expected


def test_the_release_of_a_hook_is_known_by_its_record_before_its_label():
    hook = made("HTTPRoute", {"annotations": {"helm.sh/hook": "post-install"}, "labels": {"app.kubernetes.io/instance": "label"}})
    records = {("default", "web"): WEB._replace(hooks=(("HTTPRoute", "it"),))}
    assert owners.hook_release(hook, records) == ("Helm release default/web", "that release's record")
    assert owners.hook_release(hook, {("other", "web"): records["default", "web"]})[0] == "Helm release default/label"
    del hook["metadata"]["labels"]
    assert owners.hook_release(hook, {})[0] == "a Helm release that neither a record nor a label names"
    hook["metadata"]["annotations"] |= HELM
    assert owners.hook_release(hook, records) is None, "Helm marks no object that a hook makes"


def test_a_label_counts_where_argo_cd_is_known_by_another_object_to_have_that_application(demo):
    """As case 12 has it: the route alone was written by Argo CD, the pool bears the same label."""
    demo.get("HTTPRoute")["metadata"].update(deepcopy(written("argocd-controller")) | {"labels": INSTANCE})
    pool = demo.get("InferencePool")["metadata"]
    pool["labels"] = INSTANCE
    assert demo.found("controller-owned-pool") == [], "Helm's own marks say who made it"
    assert "by its managedFields" in demo.found("gitops-owned-route")[0].message, "what is seen on the object itself comes first"
    pool.pop("annotations")
    (found,) = demo.found("controller-owned-pool")
    assert found.message == "Argo CD owns it, by its label app.kubernetes.io/instance beside the same label on what Argo CD writes."
    pool["labels"] = {"app.kubernetes.io/instance": "other"}
    assert demo.found("controller-owned-pool") == []


# -- routes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("metadata", "words"), [
    ({"annotations": {"helm.sh/hook": "post-upgrade"}, "labels": INSTANCE}, "a hook of Helm release default/web made it"),
    (written("Terraform"), "Terraform wrote it, by its managedFields, and its next run brings"),
    ({"annotations": HELM}, "its marks name Helm release default/web, of which Helm has no record"),
])
def test_what_brings_a_route_back_blocks(demo, metadata, words):
    assert demo.found("route-source-names-alpha") == []
    demo.get("HTTPRoute")["metadata"].update(deepcopy(metadata))
    (found,) = demo.found("route-source-names-alpha")
    assert words in found.message and (found.severity, found.overridable) == ("blocker", True)
    assert demo.found("gitops-owned-route") == [], "it writes nothing by itself"


def test_the_status_of_a_routes_release_is_said(demo):
    annotate(demo, "HTTPRoute", None, **HELM)
    demo.releases = demo.records() | {("default", "web"): WEB._replace(status="pending-upgrade")}
    assert "Helm release default/web (in status pending-upgrade) owns it" in demo.found("route-source-names-alpha")[0].message


@pytest.mark.parametrize(("manager", "words"), [
    ("argocd-controller", "Argo CD owns it, by its managedFields: argocd-controller writes its spec."), ("kubectl", ""),
])
def test_a_route_that_a_controller_writes_blocks(demo, manager, words):
    demo.get("HTTPRoute")["metadata"].update(deepcopy(written(manager)))
    assert "".join(entry.message for entry in demo.found("gitops-owned-route")) == words


# -- what is left -------------------------------------------------------------------------------------------------------


def of_web(world, kind, name, **fields):
    """Give an object to a release that has a record."""
    world.releases = world.records() | {("default", "web"): WEB}
    world.get(kind, name)["metadata"].update(deepcopy({"annotations": HELM}) | fields)


@pytest.mark.parametrize(("kind", "name"), [("InferenceModel", "food-review"), ("HealthCheckPolicy", POOL), ("GCPBackendPolicy", POOL)])
def test_what_somebody_else_owns_is_left_and_named(demo, kind, name):
    described = f"{kind} default/{name}"
    assert not demo.plan()["pools"][0]["stays"], "it goes, with its release or one by one"
    of_web(demo, kind, name)
    (one,) = demo.plan()["pools"]
    assert described not in deleted(demo.plan())
    assert demo.found("gitops-owned-model") if kind == "InferenceModel" else True
    assert {"object": described, "why": "Helm release default/web owns it, by its meta.helm.sh annotations"} in one["stays"]
    demo.releases = None
    assert described in deleted(demo.plan()), "Helm has no record of that release, so it goes as plain objects do"


def deleted(plan):
    return [f"{entry['kind']} {entry['metadata']['namespace']}/{entry['metadata']['name']}" for entry in plan["pools"][0]["retire"]
            if "namespace" in entry["metadata"]]


def test_what_the_pools_own_owner_has_goes_with_it(raw):
    policy = shared(raw)
    policy["metadata"].update(deepcopy(written("argocd-controller")))
    assert "GCPTrafficDistributionPolicy models/spread" not in deleted(raw.plan())
    raw.get("InferencePool")["metadata"].update(deepcopy(written("argocd-controller")))
    assert "GCPTrafficDistributionPolicy models/spread" in deleted(raw.plan())


def shared(world, **target):
    """A policy that names the pool, and perhaps another object beside it."""
    refs = [{"group": ALPHA, "kind": "InferencePool", "name": world.get("InferencePool")["metadata"]["name"]}, *([target] if target else [])]
    return world.add("networking.gke.io/v1", "GCPTrafficDistributionPolicy", "spread", "models", spec={"targetRefs": refs})


def test_a_policy_that_serves_others_too_stays(raw):
    shared(raw, group="", kind="Service", name="web")
    (one,) = raw.plan()["pools"]
    assert {"object": "GCPTrafficDistributionPolicy models/spread", "why": "it also serves Service models/web"} in one["stays"]
    assert "GCPTrafficDistributionPolicy models/spread" not in deleted(raw.plan())
    del raw.get("GCPTrafficDistributionPolicy")["spec"]["targetRefs"][1]
    assert "GCPTrafficDistributionPolicy models/spread" in deleted(raw.plan())


@pytest.mark.parametrize(("metadata", "why"), [
    ({"annotations": HELM}, "Helm release default/web owns it, by its meta.helm.sh annotations"),
    (written("argocd-controller"), "Argo CD owns it, by its managedFields: argocd-controller writes its spec"),
    ({"labels": {"addonmanager.kubernetes.io/mode": "Reconcile"}}, "the platform manages it"),
])
def test_a_definition_that_somebody_keeps_is_never_deleted(demo, metadata, why):
    assert demo.plan()["crds"]["retire"] == list(releases.ALPHA_CRDS) and "stays" not in demo.plan()["crds"]
    demo.releases = demo.records() | {("default", "web"): WEB}
    demo.get("CustomResourceDefinition", releases.ALPHA_POOLS_CRD)["metadata"].update(deepcopy(metadata))
    planned = demo.plan()["crds"]
    assert planned["retire"] == [releases.ALPHA_MODELS_CRD]
    assert planned["stays"] == [{"object": f"CustomResourceDefinition {releases.ALPHA_POOLS_CRD}", "why": why}]
    assert [entry.message for entry in demo.found("managed-crd")] == [f"{why}, so it stays as it is."]


def test_a_definition_of_the_pools_own_release_blocks_its_uninstallation(demo):
    annotate(demo, "CustomResourceDefinition", releases.ALPHA_POOLS_CRD, **OWNED["annotations"])
    (found,) = demo.found("release-owns-more")
    assert f"also owns CustomResourceDefinition {releases.ALPHA_POOLS_CRD}" in found.message and not found.overridable


def test_owners_are_compared_by_who_they_are_and_not_by_how_they_are_known():
    assert Owner("controller", "Argo CD", None, "a") == Owner("controller", "Argo CD", None, "b") != Owner("controller", "Flux")


def test_whose_release_made_the_pickers_rights_is_asked_too():
    """Else what another release made would look like a release without a record, whose objects are nobody's."""

    def inside(kind, name, namespace="default", **fields):
        return {"kind": kind, "metadata": {"name": name, "namespace": namespace}} | fields

    found = {
        "pools": [inside("InferencePool", "llama", spec={"extensionRef": {"name": "epp"}})], "models": [],
        "deployments": [inside("Deployment", "epp"), inside("Deployment", "epp", "elsewhere")],
        "service_accounts": [inside("ServiceAccount", "epp")],
        "role_bindings": [inside("RoleBinding", "epp", "shared", subjects=[{"kind": "ServiceAccount", "name": "epp", "namespace": "default"}]),
                          inside("RoleBinding", "other", subjects=[{"kind": "User", "name": "me"}])],
        "cluster_role_bindings": [inside("ClusterRoleBinding", "nobody", "", subjects=None)],
    }
    assert [(entry["kind"], entry["metadata"]["name"]) for entry in reader.asked(found)] == [
        ("InferencePool", "llama"), ("Deployment", "epp"), ("ServiceAccount", "epp"), ("RoleBinding", "epp"),
    ]
