# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from copy import deepcopy

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.plan.diff import approved_with, difference, drift, refusal, since

from tests.unit.helpers.estate_changes import annotate, mirror

POOL = "vllm-llama3-8b-instruct-preview"


def test_equal_plans_do_not_differ(demo):
    assert difference(demo.plan(), demo.plan()) == []


def test_what_the_hash_does_not_cover_is_no_difference(demo):
    before = demo.plan()
    demo.version = "v1.33.6-gke.1"
    assert difference(before, demo.plan()) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda w: w.get("InferencePool")["spec"]["selector"].update(tier="gold"),
         f'pools default {POOL} chart values inferencePool modelServers matchLabels tier: added "gold"'),
        (lambda w: w.remove("InferenceModel", "food-review"), f"pools default {POOL} models food-review-1 food-review: gone"),
        (lambda w: w.get("HTTPRoute")["spec"]["rules"][0]["backendRefs"][0].update(weight=7),
         f"pools default {POOL} references gateway.networking.k8s.io/v1 HTTPRoute default llm-route 0 0 weight: 1 -> 7"),
        (lambda w: w.get("GCPBackendPolicy")["spec"]["default"].update(timeoutSec=60), f"pools default {POOL} timeout_seconds: 30 -> 60"),
    ],
)
def test_a_change_is_one_line_that_names_its_place(demo, change, line):
    before = demo.plan()
    change(demo)
    lines = difference(before, demo.plan())
    assert any(found.startswith(line) for found in lines), lines


def test_another_order_is_a_difference(demo):
    before = demo.plan()
    after = deepcopy(before)
    after["pools"][0]["retire"].reverse()
    assert difference(before, after) == [f"pools default {POOL} retire: in another order"]


def test_unlike_entries_of_one_name_are_told_apart(demo):
    before = demo.plan()
    after = deepcopy(before)
    after["pools"][0]["retire"].append(deepcopy(after["pools"][0]["retire"][0]))
    assert len(difference(before, after)) == 1


# -- definitions that came ----------------------------------------------------------------------------------------------

NAMES = ("inferencepools.inference.networking.k8s.io", "inferenceobjectives.inference.networking.x-k8s.io")


def install(world, *names, bundle="v1.5.0", **annotations):
    for name in names:
        meta = world.add("apiextensions.k8s.io/v1", "CustomResourceDefinition", name, None)["metadata"]
        meta["annotations"] = {"inference.networking.k8s.io/bundle-version": bundle} | annotations


@pytest.mark.parametrize("names", [NAMES, NAMES[:1]])
def test_definitions_that_the_plan_installs_leave_it_approved(demo, names):
    approved = demo.plan()
    install(demo, *names)
    made = demo.plan()
    assert refusal(approved, made)
    again = approved_with(approved, made)
    assert (again["hash"], again["crds"], refusal(approved, again)) == (approved["hash"], approved["crds"], None)
    assert again["findings"] == made["findings"], "these are as of now"


@pytest.mark.parametrize("target", ["v1.0.0", "v1.5.0"])
def test_other_use_of_the_picker_leaves_it_approved(demo, target):
    """What it is seen to use is another thing each hour."""

    def using(amount):
        demo.get("Deployment", f"{POOL}-epp")["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": amount}}
        return demo.plan(target=target)

    approved, made = using("250m"), using("1")
    assert approved["hash"] != made["hash"]
    again = approved_with(approved, made)
    assert (again["hash"], again["pools"], refusal(approved, again)) == (approved["hash"], approved["pools"], None)


@pytest.mark.parametrize("change", [
    lambda w: install(w, NAMES[0], bundle="v1.0.0"),
    lambda w: install(w, NAMES[0], **{"components.gke.io/component-name": "x"}),
    lambda w: (install(w, NAMES[0]), w.get("GCPBackendPolicy")["spec"]["default"].update(timeoutSec=60)),
    lambda w: w.get("GCPBackendPolicy")["spec"]["default"].update(timeoutSec=60),
])
def test_anything_else_that_came_does_not(demo, change):
    approved = demo.plan()
    change(demo)
    made = demo.plan()
    assert approved_with(approved, made) == made and refusal(approved, made)


@pytest.mark.parametrize("expected", [None, "", "hash", {"hash": "x"}, 5])
def test_without_the_approved_plan_itself_there_is_nothing_to_compare(demo, expected):
    assert approved_with(expected, demo.plan()) == demo.plan()


# -- an open migration and what came since -------------------------------------------------------------------------------


def test_what_the_migration_itself_does_is_no_drift(demo):
    """Definitions that it installs, weights that it writes, use of the hour."""
    before = demo.plan()
    install(demo, *NAMES)
    route = demo.get("HTTPRoute")
    for rule in route["spec"]["rules"]:
        for reference in [entry for entry in rule["backendRefs"] if entry.get("kind") == "InferencePool"]:
            rule["backendRefs"].append(reference | {"group": "inference.networking.k8s.io", "name": "vllm-llama3-8b-instruct-ga", "weight": 50})
            reference["weight"] = 50
    assert since(before, demo.plan()) == [] and drift(before, demo.plan()) is None and drift(None, demo.plan()) is None


def test_a_model_that_nobody_declares_may_come_and_go(demo):
    """It was learnt from the server, whom another adapter or a moment of silence makes say something else."""
    key = f"default/{POOL}"
    before = demo.plan(models={key: ["learnt"]})
    assert before["hash"] != demo.plan()["hash"]
    assert since(before, demo.plan()) == since(demo.plan(), before) == []
    demo.remove("InferenceModel", "food-review")
    assert since(before, demo.plan(models={key: ["food-review"]})), "an InferenceModel that went is another thing"


def test_a_definition_that_it_installs_may_count_as_the_platforms(demo):
    """By GKE's version, which says nothing of who put it there."""
    demo.version = "v1.34.1-gke.100"
    before = demo.plan()
    install(demo, *NAMES)
    assert since(before, demo.plan()) == [] and refusal(before, approved_with(before, demo.plan())) is None


@pytest.mark.parametrize(("change", "said"), [
    (lambda w: w.get("GCPBackendPolicy")["spec"]["default"].update(timeoutSec=777), "timeout_seconds: 30 -> 777"),
    (lambda w: w.get("InferenceModel", "base-model")["spec"].update(criticality="Sheddable"), "criticality"),
    (lambda w: w.add("inference.networking.x-k8s.io/v1alpha2", "InferenceModel", "late", "default", spec={
        "modelName": "late", "criticality": "Critical", "poolRef": {"name": POOL}}), "late: added"),
    (lambda w: install(w, NAMES[0], **{"components.gke.io/component-name": "x"}), "managed"),
])
def test_what_came_since_is_held_with_its_place_and_the_remedy(demo, change, said):
    before = demo.plan()
    change(demo)
    found = drift(before, demo.plan())
    assert found["verdict"] == "HELD" and any(said in line for line in found["difference"]), found
    assert "migration_phases: [plan]" in found["msg"]


def test_a_blocker_that_came_since_is_held_unless_it_was_there_or_is_accepted(demo):
    before = demo.plan()
    mirror(demo)
    found = drift(before, demo.plan())
    assert found["verdict"] == "HELD", found
    assert [line.partition(": rule")[0] for line in found["difference"]] == ["blocker mirror-to-alpha-pool since: HTTPRoute default/llm-route"]
    assert since(demo.plan(), demo.plan()) == []
    annotate(demo, "HTTPRoute", None, **{"configsync.gke.io/resource-id": "x"})
    assert any("gitops-owned-route" in line for line in since(before, demo.plan()))
    assert not any("gitops-owned-route" in line for line in since(before, demo.plan(accept=["gitops-owned-route"])))


def test_another_target_can_not_be_taken_any_more(demo):
    assert drift(demo.plan(), demo.plan(target="v1.4.0"))["difference"][0] == 'target: "v1.5.0" -> "v1.4.0"'
