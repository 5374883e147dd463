# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import workloads

ACCOUNT = ("models", "llama-epp")
TEMPLATE = {"template": {"spec": {"serviceAccountName": "llama-epp", "containers": [{"name": "x"}]}}}
SPECS = {kind: TEMPLATE for kind in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "ReplicationController")}
SPECS |= {"CronJob": {"jobTemplate": {"spec": TEMPLATE}}, "Pod": TEMPLATE["template"]["spec"]}
VERSIONS = {"CronJob": "batch/v1", "Job": "batch/v1", "Pod": "v1", "ReplicationController": "v1"}


def workload(kind, name, owner=None, spec=None):
    """One workload whose uid is its kind and name; ``owner`` is ``Kind name`` of its controller."""
    metadata = {"name": name, "namespace": "models", "uid": f"{kind} {name}", "labels": {"app": "x"}}
    if owner:
        metadata["ownerReferences"] = [{"kind": owner.split()[0], "name": owner.split()[1], "uid": owner, "controller": True}]
    return {"apiVersion": VERSIONS.get(kind, "apps/v1"), "kind": kind, "metadata": metadata, "spec": spec or SPECS[kind]}


@pytest.mark.parametrize("kind", sorted(SPECS))
def test_any_kind_of_workload_counts(kind):
    assert workloads.Workloads([workload(kind, "other")]).running_as(ACCOUNT) == {f"{kind} models/other"}


@pytest.mark.parametrize("kind", sorted(SPECS))
def test_what_is_kept_of_a_workload_says_the_same(kind):
    whole = workload(kind, "other", "Deployment x")
    kept = workloads.bare(whole)
    assert workloads.account(kept) == workloads.account(whole) == ACCOUNT
    assert set(kept["metadata"]) == {"name", "namespace", "uid", "ownerReferences"} and "containers" not in str(kept)


def test_without_an_account_of_its_own_it_is_the_namespaces_default():
    assert workloads.account(workload("Pod", "p", spec={"containers": []})) == ("models", "default")


def test_what_a_deployment_made_is_the_deployment():
    every = [workload("Deployment", "llama-epp"), workload("ReplicaSet", "llama-epp-1", "Deployment llama-epp"), workload("Pod", "p", "ReplicaSet llama-epp-1")]
    assert workloads.Workloads(every).running_as(ACCOUNT) == {"Deployment models/llama-epp"}


def test_what_a_cron_job_made_goes_by_its_name():
    """A plan must not change with each run of the job."""
    every = [workload("CronJob", "nightly"), workload("Job", "nightly-1", "CronJob nightly"), workload("Pod", "nightly-1-x", "Job nightly-1")]
    assert workloads.Workloads(every).running_as(ACCOUNT) == {"CronJob models/nightly"}


def test_an_owner_of_another_kind_goes_by_its_name():
    assert workloads.Workloads([workload("Pod", "step-1", "Workflow train")]).running_as(ACCOUNT) == {"Workflow models/train"}


def test_what_owns_the_deployment_does_not_hide_another_of_its_workloads():
    every = [workload("Deployment", "llama-epp", "Operator o"), workload("StatefulSet", "other", "Operator o")]
    assert workloads.Workloads(every).running_as(ACCOUNT) == {"Deployment models/llama-epp", "Operator models/o"}


def test_a_replica_set_of_a_deployment_of_the_same_name_that_is_gone_is_somebody_else():
    orphan = workload("ReplicaSet", "llama-epp-1", "Deployment llama-epp")
    orphan["metadata"]["ownerReferences"][0]["uid"] = "of the one before"
    found = workloads.Workloads([workload("StatefulSet", "s"), orphan]).running_as(ACCOUNT)
    assert found == {"StatefulSet models/s", "Deployment models/llama-epp"}


def test_of_many_names_three_are_said_and_no_number():
    assert workloads.named(["d", "b", "c", "a"]) == "a, b, c and others" and workloads.named({"b", "a"}) == "a, b"
