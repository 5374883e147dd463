# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""InferenceObjectives of alpha pools, and what is lost or gained in what is shed: finer points."""

from __future__ import annotations

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import objectives, v1_objects
from ansible_collections.inference_gateway.migration.plugins.module_utils.plan import plan, render

from tests.unit.helpers.estate_changes import ALPHA, GA, POOL, V1, objective, spec

HEADER = "x-gateway-inference-objective"


def made(context, kind="InferenceObjective"):
    (one,) = context.migrations
    return {entry["metadata"]["name"]: entry for entry in v1_objects.objects(one, context.moved) if entry["kind"] == kind}


def planned(demo):
    (one,) = demo.plan()["pools"]
    return one


@pytest.mark.parametrize(("name", "expected"), [("interactive", "interactive-ga"), ("chat-preview", "chat-ga"), ("preview-chat", "preview-chat-ga")])
def test_a_twin_is_named_as_a_pool_is(name, expected):
    assert objectives.twin_name(name) == expected


def test_an_objective_of_the_alpha_pool_gets_a_twin_with_its_spec(demo):
    objective(demo, "interactive", 10)["spec"]["ofTomorrow"] = {"a": 1}
    objective(demo, "backfill", -5)
    objective(demo, "plain")
    found = made(demo.context())
    ref = {"group": V1, "kind": "InferencePool", "name": GA}
    assert found["interactive-ga"]["spec"] == {"priority": 10, "ofTomorrow": {"a": 1}, "poolRef": ref}
    assert found["backfill-ga"]["spec"] == {"priority": -5, "poolRef": ref}
    assert found["plain-ga"]["spec"] == {"poolRef": ref}
    assert found["plain-ga"]["apiVersion"] == f"{ALPHA}/v1alpha2"


@pytest.mark.parametrize(("group", "pool"), [(V1, POOL), (None, POOL), (ALPHA, "another")])
def test_an_objective_of_another_pool_is_left_alone(demo, group, pool):
    """One without a group names a v1 pool: that is the kind's own default."""
    objective(demo, "interactive", 10, group=group, pool=pool)
    assert set(made(demo.context())) == {"base-model", "food-review"}
    assert planned(demo)["repoint"] == [] and demo.found("objective-names-alpha-pool") == []


def test_the_plan_says_what_is_pointed_at_v1_and_which_header_gives_the_priority_meanwhile(demo):
    objective(demo, "interactive", 10)
    objective(demo, "plain")
    one = planned(demo)
    assert one["repoint"] == [
        {"apiVersion": f"{ALPHA}/v1alpha2", "kind": "InferenceObjective", "metadata": {"name": name, "namespace": "default"},
         "spec": {"poolRef": {"group": V1, "kind": "InferencePool", "name": GA}}}
        for name in ("interactive", "plain")
    ]
    assert [entry for entry in one["client_headers"] if "meanwhile" in entry] == [
        {"objective": "interactive", "meanwhile": "interactive-ga", "header": HEADER},
    ]
    assert not [entry for entry in one["retire"] if entry["kind"] == "InferenceObjective"], "it is never deleted"
    assert f"  point at {GA} in the phase retire: InferenceObjective interactive, plain" in render.summary(demo.plan())


def test_the_hash_covers_what_is_pointed_at_v1(demo):
    objective(demo, "interactive", 10)
    before = demo.plan()
    before["pools"][0]["repoint"] = []
    assert plan.digest(before) != before["hash"]


@pytest.mark.parametrize(("priority", "severity"), [(10, "warning"), (-5, "warning"), (0, "info"), (None, "info")])
def test_priority_0_is_no_warning_for_it_is_what_v1_gives_anyway(demo, priority, severity):
    objective(demo, "interactive", priority)
    (found,) = demo.found("objective-names-alpha-pool")
    assert (found.severity, found.object) == (severity, "InferenceObjective default/interactive")
    assert f"'{HEADER}: interactive' get priority 0" in found.message and GA in found.message


def test_who_would_turn_an_objective_back_is_named(demo):
    objective(demo, "interactive", 10, annotations={"argocd.argoproj.io/tracking-id": "x"})
    objective(demo, "batch", 10, annotations={"meta.helm.sh/release-name": "batch", "meta.helm.sh/release-namespace": "default"})
    batch, interactive = demo.found("objective-names-alpha-pool")
    assert "Argo CD owns it" in interactive.message and "Helm release default/batch owns it" in batch.message


def test_a_twin_takes_no_name_that_is_taken(demo):
    objective(demo, "interactive", 10)
    objective(demo, "interactive-ga", 3, group=V1, pool="another")
    assert [found.object for found in demo.found("name-taken")] == ["InferenceObjective default/interactive-ga"]


def test_a_model_and_an_objective_may_not_become_one(demo):
    demo.get("InferenceModel", "food-review")["metadata"]["name"] = "review-ga"
    objective(demo, "review", 1)
    assert [found.object for found in demo.found("objectives-of-one-name")] == ["InferenceObjective default/review-ga"]


# -- shedding -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("criticality", "severity"), [("Sheddable", "blocker"), ("Standard", "warning"), (None, "warning"), ("Critical", None)],
)
def test_only_a_sheddable_model_blocks(demo, criticality, severity):
    spec(demo, "InferenceModel", "food-review")["criticality"] = criticality
    assert [(found.severity, found.overridable) for found in demo.found("shedding-changes")] == ([(severity, True)] if severity else [])


def test_a_sheddable_model_can_be_accepted(demo):
    spec(demo, "InferenceModel", "food-review")["criticality"] = "Sheddable"
    assert demo.plan()["blocked"] == ["shedding-changes"]
    assert demo.plan(accept=frozenset({"shedding-changes"}))["blocked"] == []
