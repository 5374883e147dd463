# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import ApiError, Conflict, Forbidden, NotServed, WrongCluster
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.lease import Lease
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import reader
from ansible_collections.inference_gateway.migration.plugins.module_utils.plan import options
from ansible_collections.inference_gateway.migration.plugins.modules import detect_v1alpha2

from tests.unit.helpers.migration_fakes import FakeCluster

POOL = "vllm-llama3-8b-instruct-preview"
PARAMS = {
    "namespaces": [], "target_version": "v1.5.0", "pool_names": {}, "criticality": "preserve_shedding", "accept": [], "endpoints": None, "expected_plan": None,
    "open_plan": None, "run": None,
    "epp_resources": "preserve", "epp_image": None, "chart_values": {}, "dry_run": True, "report": None, "brief": False, "models": {}, "connect": False,
    "shift": {}, "probe_rate": 60,
}


class Exited(Exception):
    """What a module would have printed."""


class FakeModule:
    def __init__(self, params):
        self.params = params

    def exit_json(self, **result):
        raise Exited({"failed": False} | result)

    def fail_json(self, **result):
        raise Exited({"failed": True} | result)


@pytest.fixture
def run(monkeypatch):
    """Runs main() against a fake cluster, or against an error where the connection is made."""

    def call(cluster, **params):
        def connect(module):
            if isinstance(cluster, Exception):
                raise cluster
            return cluster

        monkeypatch.setattr(detect_v1alpha2, "AnsibleK8SModule", lambda **_settings: FakeModule(PARAMS | params))
        monkeypatch.setattr(detect_v1alpha2, "Cluster", connect)
        with pytest.raises(Exited) as exited:
            detect_v1alpha2.main()
        return exited.value.args[0]

    return call


# -- main ---------------------------------------------------------------------------------------------------------------


def test_the_demo(run, fake_cluster, demo):
    result = run(fake_cluster(demo.manifests))
    assert (result["failed"], result["changed"], result["in_use"]) == (False, False, True)
    assert result["msg"] == "v1alpha2 is in use: 1 pool in 1 namespace."
    assert result["cluster"] == result["plan"]["cluster"] == {"id": "cluster-uid", "server": "https://127.0.0.1:6443", "version": "v1.33.5-gke.1080000"}
    assert result["findings"] == result["plan"]["findings"] and result["summary"]
    assert result["plan"]["hash"] == demo.plan()["hash"], "the reader sees what the fixture holds"


def test_no_crds_is_not_in_use(run, fake_cluster, demo):
    result = run(fake_cluster([entry for entry in demo.manifests if "inference" not in entry["apiVersion"]]))
    assert (result["in_use"], result["findings"], result["plan"]["pools"], result["plan"]["blocked"]) == (False, [], [], [])
    assert result["msg"].startswith("v1alpha2 is not in use on https://127.0.0.1:6443")
    assert result["summary"] == [result["msg"]]


def test_crds_without_objects_are_not_in_use_and_nothing_more_is_read(run, fake_cluster, demo):
    demo.remove("InferencePool")
    demo.remove("InferenceModel")
    cluster = fake_cluster(demo.manifests, served={"inference.networking.x-k8s.io/v1alpha2", "gateway.networking.k8s.io/v1"})
    result = run(cluster)
    assert result["in_use"] is False and result["msg"].startswith("v1alpha2 is not in use")
    assert len(cluster.lists) == 2


def test_a_group_that_serves_objectives_only_is_not_in_use(run, fake_cluster, demo):
    demo.remove("InferencePool")
    demo.remove("InferenceModel")
    demo.add("inference.networking.x-k8s.io/v1alpha2", "InferenceObjective", "base-model")
    assert run(fake_cluster(demo.manifests))["in_use"] is False


def test_two_namespaces(run, fake_cluster, demo, raw):
    result = run(fake_cluster(demo.manifests + raw.manifests))
    assert result["msg"] == "v1alpha2 is in use: 2 pools in 2 namespaces."


def test_only_the_chosen_namespaces(run, fake_cluster, demo, raw):
    cluster = fake_cluster(demo.manifests + raw.manifests)
    result = run(cluster, namespaces=["models"])
    assert [pool["name"] for pool in result["plan"]["pools"]] == ["llama"]
    assert "/apis/gateway.networking.k8s.io/v1/httproutes" in cluster.lists, "any namespace may name a pool"
    assert "/apis/apps/v1/namespaces/models/deployments" in cluster.lists and "/apis/apps/v1/deployments" not in cluster.lists


@pytest.mark.parametrize("kind", ["inferencepools", "inferencemodels"])
def test_a_forbidden_alpha_list_is_a_blocker_never_a_silent_no(run, fake_cluster, demo, kind):
    result = run(fake_cluster(demo.manifests, forbidden=(kind,)), accept=["may-not-list"])
    assert result["in_use"] is True and "may-not-list" in result["plan"]["blocked"]
    assert "Blocked by may-not-list" in result["msg"]
    assert any(kind in finding["object"] and finding["severity"] == "blocker" for finding in result["findings"])


@pytest.mark.parametrize(("kind", "blocked"), [("gateways", []), ("customresourcedefinitions", ["may-not-list"])])
def test_other_forbidden_lists_block_until_accepted_where_a_plan_is_worth_anything(run, fake_cluster, demo, kind, blocked):
    assert run(fake_cluster(demo.manifests, forbidden=(kind,)))["plan"]["blocked"] == ["may-not-list"]
    assert run(fake_cluster(demo.manifests, forbidden=(kind,)), accept=["may-not-list"])["plan"]["blocked"] == blocked


def test_an_approved_plan_goes_on_and_another_is_refused(run, fake_cluster, demo):
    approved = run(fake_cluster(demo.manifests))["plan"]["hash"]
    assert run(fake_cluster(demo.manifests), expected_plan=approved)["failed"] is False
    demo.get("InferencePool")["spec"]["targetPortNumber"] = 8001
    refused = run(fake_cluster(demo.manifests), expected_plan=approved)
    assert refused["failed"] is True and approved[:12] in refused["msg"] and refused["plan"]["hash"][:12] in refused["msg"]
    assert refused["difference"] == [] and "give the approved plan itself" in refused["msg"]


def test_given_the_approved_plan_the_refusal_says_what_differs(run, fake_cluster, demo):
    approved = run(fake_cluster(demo.manifests))["plan"]
    assert run(fake_cluster(demo.manifests), expected_plan=approved)["failed"] is False
    demo.get("InferencePool")["spec"]["targetPortNumber"] = 8001
    refused = run(fake_cluster(demo.manifests), expected_plan=approved)
    assert f"pools default {POOL} chart values inferencePool targetPortNumber: 8000 -> 8001" in refused["difference"]
    assert refused["difference"][0] in refused["msg"]


@pytest.mark.parametrize("expected", [{"pools": []}, 5, {"hash": "x"}])
def test_what_is_no_plan_is_refused(run, fake_cluster, demo, expected):
    refused = run(fake_cluster(demo.manifests), expected_plan=expected)
    assert refused == {"failed": True, "msg": "expected_plan is neither a plan as this module returns it nor its hash."}


# -- the dry run --------------------------------------------------------------------------------------------------------


def test_what_the_server_refuses_is_a_blocker_in_its_own_words(run, fake_cluster, demo):
    cluster = fake_cluster(demo.manifests, refuses={"InferenceObjective": ApiError("spec.priority: Invalid value", 422)})
    result = run(cluster)
    refused = [finding for finding in result["findings"] if finding["code"] == "chart-object-refused-by-live-crd"]
    assert {finding["object"] for finding in refused} == {"InferenceObjective default/base-model", "InferenceObjective default/food-review"}
    assert all("spec.priority: Invalid value" in finding["message"] for finding in refused)
    assert "chart-object-refused-by-live-crd" in result["plan"]["blocked"]
    assert result["plan"]["hash"] == demo.plan()["hash"], "a trial changes no intention"


@pytest.mark.parametrize(("error", "words"), [(NotServed("no"), "not installed yet"), (Forbidden("no"), "may not create it")])
def test_what_can_not_be_tried_is_listed(run, fake_cluster, demo, error, words):
    cluster = fake_cluster(demo.manifests, refuses={"InferenceObjective": error})
    result = run(cluster)
    (line,) = [line for line in result["plan"]["unchecked"] if "InferenceObjective" in line]
    assert line.startswith("2 InferenceObjective: ") and words in line
    assert any(line in shown for shown in result["summary"]) and result["plan"]["blocked"] == []
    assert cluster.tried["InferenceObjective"] == 1, "asked once a kind"


def test_what_is_there_already_is_no_refusal(run, fake_cluster, demo):
    assert run(fake_cluster(demo.manifests, refuses={"InferenceObjective": Conflict("exists")}))["plan"]["blocked"] == []


def test_of_many_objects_of_a_kind_some_are_tried(run, fake_cluster, demo):
    for number in range(30):
        spec = {"modelName": f"m{number}", "poolRef": {"name": POOL}}
        demo.add("inference.networking.x-k8s.io/v1alpha2", "InferenceModel", f"m{number}", spec=spec)
    cluster = fake_cluster(demo.manifests)
    assert "12 InferenceObjective: only 20 of a kind are tried" in run(cluster)["plan"]["unchecked"]


def test_without_a_dry_run_nothing_is_tried(run, fake_cluster, demo):
    cluster = fake_cluster(demo.manifests)
    run(cluster, dry_run=False)
    assert not cluster.tried


@pytest.mark.parametrize("error", [WrongCluster("another cluster"), ApiError("no answer")])
def test_a_connection_that_fails_is_one_sentence(run, error):
    assert run(error) == {"failed": True, "msg": str(error)}


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"target_version": "v1.6.0"}, "moved to llm-d"),
        ({"accept": ["name-takn"]}, "did you mean name-taken?"),
        ({"criticality": "other"}, "give preserve_shedding, upstream"),
        ({"criticality": {"critical": 1}}, "the levels are Critical, Standard, Unset, Sheddable"),
        ({"criticality": {"Critical": "high"}}, "give an integer"),
    ],
)
def test_bad_options_are_one_sentence_before_anything_is_read(run, params, words):
    result = run(AssertionError("connected"), **params)
    assert result["failed"] is True and words in result["msg"]


def test_a_brief_result_leaves_the_whole_to_the_report(run, fake_cluster, demo):
    whole = run(fake_cluster(demo.manifests))
    brief = run(fake_cluster(demo.manifests), report="plan.json", brief=True)
    assert json.loads(brief.pop("report_text")) == {name: whole.pop(name) for name in ("findings", "plan")} | {name: whole[name] for name in ("msg", "summary")}
    assert brief == whole
    assert "plan" in run(fake_cluster(demo.manifests), report="plan.json")


# -- options ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("upstream", {"Critical": 2, "Standard": 1, "Unset": 1, "Sheddable": -1}),
        ({"Critical": "10", "Unset": -5}, {"Critical": 10, "Standard": -1, "Unset": -5, "Sheddable": -2}),
        ({}, {"Critical": 2, "Standard": -1, "Unset": -1, "Sheddable": -2}),
    ],
)
def test_priorities(said, expected):
    assert options.priorities(said) == expected


@pytest.mark.parametrize(("said", "paths", "known"), [(None, 2, False), ([], 2, False), (["/v1/embeddings"], 1, True)])
def test_endpoints_said_or_not(said, paths, known):
    chosen = options.options(PARAMS | {"endpoints": said})
    assert (len(chosen.endpoints), chosen.endpoints_said) == (paths, known)


def test_a_comparison_keeps_the_lease_and_ends_where_it_is_lost(run, monkeypatch, fake_cluster, demo):
    """On a large cluster it takes longer than a Lease lasts, and what is written next relies on it."""
    made, held, cluster = run(fake_cluster(demo.manifests))["plan"], [], FakeCluster()
    Lease(cluster).acquire("run-1", {})
    monkeypatch.setattr(detect_v1alpha2, "work", lambda *_arguments: held.append(cluster.fence is not None) or made)
    found = run(cluster, run="run-2")
    assert found["failed"] and "held by run-1" in found["msg"] and held == []
    assert not run(cluster, run="run-1")["failed"] and not run(cluster)["failed"]
    assert held == [True, False]


# -- who uses the rights ------------------------------------------------------------------------------------------------


def test_bindings_are_read_in_every_namespace_whatever_was_chosen(run, fake_cluster, raw):
    subjects = [{"kind": "ServiceAccount", "name": "someone"}]
    raw.add("rbac.authorization.k8s.io/v1", "RoleBinding", "other", "elsewhere", subjects=subjects, roleRef={"kind": "ClusterRole", "name": "pod-read"})
    for namespaces in ([], ["models"]):
        (pool,) = run(fake_cluster(raw.manifests), namespaces=namespaces)["plan"]["pools"]
        assert [entry["object"] for entry in pool["stays"]] == ["ClusterRole pod-read"]


@pytest.mark.parametrize("namespaces", [[], ["models"]])
def test_a_pod_that_runs_as_the_account_is_found(run, fake_cluster, raw, namespaces):
    raw.add("v1", "Pod", "debug", "models", spec={"serviceAccountName": "llama-epp", "containers": []})
    (pool,) = run(fake_cluster(raw.manifests), namespaces=namespaces)["plan"]["pools"]
    assert pool["stays"][0] == {"object": "ServiceAccount models/llama-epp", "why": "in use by Pod models/debug"}


def test_of_many_namespaces_they_are_listed_at_once(run, fake_cluster, raw, monkeypatch):
    raw.add("v1", "Pod", "debug", "models", spec={"serviceAccountName": "llama-epp", "containers": []})
    raw.add("v1", "Pod", "debug", "elsewhere", spec={"serviceAccountName": "llama-epp", "containers": []})
    one_by_one = run(fake_cluster(raw.manifests))["plan"]
    monkeypatch.setattr(reader, "SINGLE", 0)
    cluster = fake_cluster(raw.manifests)
    assert run(cluster)["plan"] == one_by_one and "/api/v1/pods" in cluster.lists and "/api/v1/namespaces/models/pods" not in cluster.lists
    assert "in use by Pod models/debug" in str(one_by_one)
    cluster = fake_cluster(raw.manifests)
    run(cluster, namespaces=["models"])
    assert "/api/v1/namespaces/models/pods" in cluster.lists and "/api/v1/pods" not in cluster.lists, "who chose namespaces may see no others"


@pytest.mark.parametrize("kind", ["rolebindings", "clusterrolebindings", "pods", "cronjobs"])
def test_a_credential_that_may_not_list_who_uses_rights_deletes_none_of_them(run, fake_cluster, raw, kind):
    served = {entry["apiVersion"] for entry in raw.manifests} | {"batch/v1"}
    result = run(fake_cluster(raw.manifests, forbidden=(kind,), served=served))
    (pool,) = result["plan"]["pools"]
    assert not {"ServiceAccount", "ClusterRole", "ClusterRoleBinding"} & {entry["kind"] for entry in pool["retire"]}
    assert f"{kind} may not be listed" in pool["stays"][0]["why"] and result["plan"]["blocked"] == []
    assert [finding["severity"] for finding in result["findings"] if finding["code"] == "may-not-list"] == ["warning"]
