# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What verify_gateway says of v1's endpoint pickers: before they are installed, and until they are available."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import ApiError, Forbidden, NotAdmitted, NotServed
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification import pickers

from tests.unit.helpers.verify_fakes import PLAN, Here

Manifest = dict[str, Any]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    return Here(monkeypatch)


# -- installed -----------------------------------------------------------------------------------------------------------


def deployment(available: int) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "llama-ga-epp", "namespace": "default", "generation": 1},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "epp"}}},
        "status": {"observedGeneration": 1, "availableReplicas": available, "updatedReplicas": 1},
    }


def test_endpoint_pickers_are_waited_for(here: Here) -> None:
    here.cluster.put(deployment(0))
    assert here(check="installed", seconds=0)["msg"] == "Deployment default/llama-ga-epp: 0 of 1 replicas available"
    looks = [0]

    def later(method: str, path: str, body: Any) -> None:
        if path.endswith("/deployments/llama-ga-epp"):
            looks[0] += 1
            if looks[0] == 4:
                here.cluster.put(deployment(1))

    here.cluster.before = later
    assert here(check="installed") == {"failed": False, "changed": False, "ok": True, "faults": [], "sent": 0}
    assert here.asked == []


def test_a_crash_loop_is_not_waited_out(here: Here) -> None:
    here.cluster.put(deployment(0))
    crashing = {"name": "epp", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1, "message": "unknown flag"}}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "epp-1", "namespace": "default", "labels": {"app": "epp"}}}
    here.cluster.put(pod | {"status": {"containerStatuses": [crashing]}})
    result = here(check="installed", seconds=3600)
    assert result["failed"] and result["msg"].startswith("Pod default/epp-1 container epp: CrashLoopBackOff exit code 1 unknown flag")


REFUSED = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": 'pods "x" is forbidden: exceeded quota: team, Err BackOff'}


def refused() -> Manifest:
    made = deployment(0)
    made["status"]["conditions"] = [REFUSED]
    return made


class Clock:
    """A clock of pickers.py that goes on when it is waited for."""

    def __init__(self, here: Here) -> None:
        self.now = 0.0
        here.monkeypatch.setattr(pickers, "time", self)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_pods_that_stay_refused_end_the_wait_early_in_the_servers_words(here: Here) -> None:
    clock = Clock(here)
    here.cluster.put(refused())
    result = here(check="installed", seconds=10**6)
    assert result["failed"] and clock.now == pickers.REFUSED_SECONDS
    assert result["msg"].startswith('Deployment default/llama-ga-epp: 0 of 1 replicas available: no pod can be created: pods "x" is forbidden: exceeded')
    assert "No traffic was moved" in result["msg"] and here.cluster.writes == [], "without a run nothing is written"


def test_once_v1alpha2_is_taken_away_the_wait_goes_on_to_its_end(here: Here) -> None:
    """Its pods may leave room yet, and nobody else serves."""
    clock = Clock(here)
    here.begin()
    here.store.update(here.store.read(), "begins to take v1alpha2 away", retiring_since=1.0)
    here.cluster.put(refused())
    result = here(check="installed", seconds=100, run="run-1")
    assert result["failed"] and clock.now >= 100 and "v1alpha2 is taken away already" in result["msg"] and "No traffic was moved" not in result["msg"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_refused_pods_are_tried_again_under_the_lease(here: Here, check_mode: bool) -> None:
    """Else they might be tried only minutes after there was room: here the server takes them when they were tried twice."""
    Clock(here)
    here.begin()
    path, tried = here.cluster.put(refused()), list[str]()

    def written(method: str, at: str, body: Any) -> None:
        if (method, at) == ("PUT", path):
            tried.append(body["metadata"]["annotations"][pickers.TRIED_AGAIN])
            if len(tried) == 2:
                here.cluster.put(deployment(1))

    here.cluster.before = written
    result = here(check="installed", seconds=10**6, run="run-1", check_mode=check_mode)
    assert (result["failed"], len(tried)) == ((True, 0) if check_mode else (False, 2))


def test_a_run_that_lost_the_lease_does_not_try_again(here: Here) -> None:
    Clock(here)
    here.begin()
    path = here.cluster.put(refused())

    def stolen(method: str, at: str, _body: Any) -> None:
        if (method, at) == ("GET", path):
            (lease,) = [entry for entry in here.cluster.objects.values() if entry["kind"] == "Lease"]
            lease["spec"]["holderIdentity"] = "another"

    here.cluster.before = stolen
    result = here(check="installed", seconds=10**6, run="run-1")
    assert result["failed"] and "is held by another" in result["msg"] and ("PUT", path) not in here.cluster.requests


# -- admitted ------------------------------------------------------------------------------------------------------------

RENDERED = [
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "llama-ga-epp", "namespace": "default"}, "data": {}},
    {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "llama-ga-epp", "namespace": "default"},
     "spec": {"template": {"metadata": {"labels": {"app": "epp"}}, "spec": {"serviceAccountName": "llama-ga-epp", "containers": [{"name": "epp"}]}}}},
]
NAME = "Pod of Deployment default/llama-ga-epp"


def trying(here: Here, answer: Exception | list[str], **given: Any) -> tuple[dict[str, Any], list[Manifest]]:
    """Result and the pods that were tried, where the server refuses them or takes them with warnings."""
    pods: list[Manifest] = []

    def asked(method: str, at: str, body: Any) -> None:
        if "/pods/" in at:
            pods.append(body)
            if isinstance(answer, Exception):
                raise answer
            here.cluster.warnings = answer

    here.cluster.before = asked
    plan = PLAN | {"pools": [PLAN["pools"][0] | {"objects": []}]}
    return here(check="admitted", objects=RENDERED, plan=plan, **given), pods


def test_a_pod_of_what_the_chart_renders_is_tried(here: Here) -> None:
    result, (pod,) = trying(here, ["would violate PodSecurity"])
    assert result["ok"] and result["warned"] == [f"{NAME}: would violate PodSecurity"] and result["unchecked"] == []
    assert pod["metadata"]["labels"] == {"app": "epp"} and pod["spec"] == {"containers": [{"name": "epp"}]}, "as the account default"
    assert here.asked == []


@pytest.mark.parametrize("error", [NotAdmitted("POST /x: exceeded quota: team", 403), ApiError("POST /x: exceeded quota: team", 422)])
def test_pods_that_the_server_refuses(here: Here, error: Exception) -> None:
    result, _pods = trying(here, error)
    assert result["failed"] and f"{NAME}: exceeded quota: team" in result["msg"] and "pods-refused" in result["msg"]
    accepted, _pods = trying(here, error, fail=False)
    assert not accepted["failed"] and accepted["faults"] == [f"{NAME}: exceeded quota: team"]


def test_a_pod_that_an_earlier_run_installed_is_not_tried_again(here: Here) -> None:
    """It may be the one that filled the quota."""
    path = "/apis/apps/v1/namespaces/default/deployments/llama-ga-epp"
    here.cluster.objects[path] = RENDERED[1]
    result, pods = trying(here, NotAdmitted("POST /x: exceeded quota: team", 403))
    assert result["ok"] and pods == []


@pytest.mark.parametrize(("error", "why"), [
    (Forbidden("POST /x: no", 403), "the credential may not create pods"),
    (NotServed("POST /x: namespaces default not found", 404), "namespaces default not found"),
    (NotAdmitted("POST /x: error looking up service account default/default: not found", 403), "service account"),
    (ApiError("POST /x: admission webhook a does not support dry run", 400), "does not support dry run"),
])
def test_pods_that_can_not_be_tried_are_no_refusal(here: Here, error: Exception, why: str) -> None:
    result, _pods = trying(here, error)
    assert result["ok"] and result["faults"] == [] and why in result["unchecked"][0]
