# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rollback may remove of v1, and what stays because somebody else has changed, owns or needs it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import Forbidden
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import describe, name_of
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification.removal import definitions, objects, referring

from tests.unit.helpers.migration_fakes import ALPHA, V1, FakeCluster, http_route, make_plan, plan_pool, rule

Manifest = dict[str, Any]
GROUP = "inference.networking.x-k8s.io"
OBJECTIVE: Manifest = {
    "apiVersion": f"{GROUP}/v1alpha2", "kind": "InferenceObjective",
    "metadata": {"name": "chat", "namespace": "default", "labels": {"app.kubernetes.io/managed-by": "inference_gateway.migration"}},
    "spec": {"priority": 2, "poolRef": {"name": "llama-ga"}},
}
MERGED: Manifest = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "llama-ga-epp", "namespace": "default"}, "spec": {}}
NAME = f"inferenceobjectives.{GROUP}"
DEFINITION: Manifest = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": NAME, "uid": "u-crd"},
    "spec": {"group": GROUP, "names": {"plural": "inferenceobjectives"},
             "versions": [{"name": "v1alpha1", "served": False}, {"name": "v1alpha2", "served": True}]},
}
PLAN = make_plan(plan_pool(objects=[OBJECTIVE, MERGED])) | {"crds": {"install": [{"name": NAME, "file": "x.yaml"}]}}


def live(manifest: Manifest | None = None, /, manager: str = "OpenAPI-Generator", **changes: Any) -> Manifest:
    """An object as the server holds it: with a uid, a default, and who wrote its spec. ``changes`` go to its metadata, ``spec`` into its spec."""
    found = deepcopy(manifest or OBJECTIVE)
    found["spec"] |= {"defaulted": True} | changes.pop("spec", {})
    written = [{"manager": manager, "fieldsV1": {"f:spec": {}}}, {"manager": "gke-controller", "fieldsV1": {"f:status": {}}, "subresource": "status"}]
    found["metadata"] |= {"uid": "u-1", "managedFields": written} | changes
    return found


def stays(*manifests: Manifest, plan: Manifest = PLAN) -> dict[str, str]:
    """Why each object beside the charts stays, empty where it may go, on a cluster with these objects."""
    return {describe(found): why for found, why in objects(FakeCluster(*manifests), plan)}


def kept(*manifests: Manifest, plan: Manifest = PLAN) -> dict[str, str]:
    """The same of definitions."""
    return {name_of(found): why for found, why in definitions(FakeCluster(*manifests), plan)}


def test_what_the_plan_made_may_go() -> None:
    assert stays(live(), http_route(rule(ALPHA))) == {"InferenceObjective default/chat": ""}


def test_what_is_gone_is_done_and_parts_go_with_their_release() -> None:
    assert stays(live(MERGED)) == {}


@pytest.mark.parametrize(("found", "why"), [
    (live(labels={}), "it does not bear this collection's label"),
    (live(manager="kubectl-edit"), "kubectl-edit has changed it"),
    (live(spec={"priority": 9}), "it is not as the plan made it"),
    (live(spec={"poolRef": {}}), "it is not as the plan made it"),
    (live(manager="kustomize-controller"), "it belongs to Flux"),
    (live(ownerReferences=[{"controller": True, "kind": "App", "name": "a"}]), "it belongs to App a"),
    (live(annotations={"meta.helm.sh/release-name": "r", "meta.helm.sh/release-namespace": "n"}), "it belongs to Helm release n/r"),
], ids=lambda value: value if isinstance(value, str) else "object")
def test_what_somebody_else_has_changed_or_owns_stays_and_is_named(found: Manifest, why: str) -> None:
    assert stays(found) == {"InferenceObjective default/chat": why}


def test_lists_are_compared_whole() -> None:
    planned = OBJECTIVE | {"spec": {"rules": [{"a": 1}]}}
    plan = make_plan(plan_pool(objects=[planned]))
    assert not any(stays(live(planned, spec={"rules": [{"a": 1, "b": 0}]}), plan=plan).values())
    assert all(stays(live(planned, spec={"rules": [{"a": 1}, {"a": 2}]}), plan=plan).values())


@pytest.mark.parametrize("weight", [0, 1])
def test_a_route_that_names_v1_is_found(weight: int) -> None:
    cluster = FakeCluster(http_route(rule(ALPHA)), http_route(rule(ALPHA, V1 | {"weight": weight}), name="other"))
    assert list(referring(cluster, PLAN)) == ["backend of rule 0 of HTTPRoute default/other names v1's InferencePool llama-ga"]


def test_a_definition_goes_when_nothing_of_its_kind_is_left() -> None:
    assert kept(DEFINITION) == {NAME: ""}
    assert kept(DEFINITION, live(namespace="elsewhere")) == {NAME: "InferenceObjective elsewhere/chat is of its kind"}
    assert kept(DEFINITION, plan=PLAN | {"crds": {"install": []}}) == {}, "it was there before"


@pytest.mark.parametrize(("mark", "why"), [
    ({"labels": {"addonmanager.kubernetes.io/mode": "Reconcile"}}, "the platform keeps it"),
    ({"annotations": {"meta.helm.sh/release-name": "r", "meta.helm.sh/release-namespace": "n"}}, "it belongs to Helm release n/r"),
])
def test_a_definition_that_somebody_else_keeps_stays(mark: Manifest, why: str) -> None:
    assert kept(DEFINITION | {"metadata": DEFINITION["metadata"] | mark}) == {NAME: why}


def test_a_definition_whose_objects_may_not_be_listed_stays() -> None:
    cluster = FakeCluster(DEFINITION)

    def forbid(_method: str, path: str, _body: Any) -> None:
        if path.endswith("/inferenceobjectives"):
            raise Forbidden("no")

    cluster.before = forbid
    assert [why for _found, why in definitions(cluster, PLAN)] == ["its objects may not be listed"]
