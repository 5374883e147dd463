# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One stretch of looking, with probes that are answered by a function and an API server of dictionaries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from migration_fakes import ALPHA, NAMESPACE, FakeCluster, gateway, http_route, make_plan, rule, run_module

from ansible_collections.inference_gateway.migration.plugins.module_utils._api import ApiError, Unreachable
from ansible_collections.inference_gateway.migration.plugins.module_utils._http import Answer
from ansible_collections.inference_gateway.migration.plugins.module_utils.cells import Probe
from ansible_collections.inference_gateway.migration.plugins.module_utils.journal import Journal
from ansible_collections.inference_gateway.migration.plugins.module_utils.sequential import Bounds
from ansible_collections.inference_gateway.migration.plugins.modules import verify_gateway

Manifest = dict[str, Any]
PLAN = make_plan()
ROUTE = http_route(rule(ALPHA))
CELLS = 4
FAST = {"probe_rate": 100_000, "plan": PLAN}
GATE = {"p1": 0.2, "gates": 4}


class Here:
    """A cluster with an open migration; ``failing`` says which probes fail, and why."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.cluster = FakeCluster(gateway(), ROUTE)
        self.store = Journal(self.cluster, NAMESPACE)  # type: ignore[arg-type]
        self.asked: list[Probe] = []
        self.failing: Callable[[Probe], str | None] = lambda probe: None
        monkeypatch.setattr(verify_gateway._http, "send", self.send)
        monkeypatch.setattr(verify_gateway.time, "sleep", lambda seconds: None)

    def begin(self) -> str:
        self.store.acquire("run-1", 900)
        return self.store.open(PLAN, [ROUTE])["nonce"]

    def send(self, probe: Probe, timeout: float) -> Answer:
        assert timeout == 10
        self.asked.append(probe)
        reason = self.failing(probe)
        return Answer(200 if reason is None else 503, reason, 0.0, 0.0)

    def __call__(self, check_mode: bool = False, **given: Any) -> dict[str, Any]:
        self.cluster.requests.clear()
        return run_module(self.monkeypatch, verify_gateway, self.cluster, check_mode, **FAST | given)

    def asked_by(self) -> set[str]:
        return {probe.variant or "user" for probe in self.asked}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    return Here(monkeypatch)


# -- settled -------------------------------------------------------------------------------------------------------------


def test_the_users_rules_settle_without_a_migration(here: Here) -> None:
    result = here(rounds=3)
    first = result.pop("first_success")
    assert result == {"failed": False, "changed": False, "ok": True, "passing": {"user": True}, "clean": 3, "faults": []}
    assert len(here.asked) == 3 * CELLS and first > 1e9
    assert here.cluster.writes == []


def test_all_variants_are_asked_by_the_migrations_nonce(here: Here) -> None:
    nonce = here.begin()
    assert here(variants=["alpha", "v1", "both", "user"], run="run-1")["ok"]
    assert here.asked_by() == {"alpha", "v1", "both", "user"}
    assert all(probe.headers[-1][1].startswith(f"{nonce}-{probe.variant}-") for probe in here.asked if probe.variant)


def test_what_does_not_settle(here: Here) -> None:
    here.failing = lambda probe: "status 503" if probe.variant == "v1" else None
    result = here(variants=["alpha", "v1"], seconds=0, fail=False)
    assert (result["ok"], result["passing"], result["clean"], result["first_success"]) == (False, {"alpha": True, "v1": False}, 0, 0.0)
    assert len(result["faults"]) == 4 and all(fault.startswith("v1: status 503 [") for fault in result["faults"])
    failed = here(variants=["v1"], seconds=0)
    assert failed["failed"] and failed["msg"] == "; ".join(failed["faults"]) and not failed["ok"]


def test_clean_rounds_of_an_earlier_stretch_count(here: Here) -> None:
    assert here(seconds=0, rounds=3, clean=1, fail=False)["clean"] == 2
    assert here(seconds=0, rounds=3, clean=2)["ok"]


@pytest.mark.parametrize(("seconds", "ok"), [(0, False), (20, True)])
def test_a_status_that_lags_behind_traffic_is_waited_for(here: Here, seconds: int, ok: bool) -> None:
    path = next(path for path in here.cluster.objects if "httproutes" in path)
    fine = here.cluster.objects[path]["status"]
    here.cluster.objects[path] = here.cluster.objects[path] | {"status": {}}
    looks = [0]

    def later(method: str, at: str, body: Any) -> None:
        looks[0] += at == path
        if looks[0] == 5:
            here.cluster.objects[path]["status"] = fine

    here.cluster.before = later
    result = here(seconds=seconds, rounds=1, fail=False)
    assert result["ok"] is ok and result["passing"] == {"user": True}
    assert result["faults"] == ([] if ok else ["HTTPRoute default/llm-route: no status from Gateway gw yet"])


def test_a_removed_marked_route_is_gone_when_the_users_rule_answers(here: Here) -> None:
    nonce = here.begin()
    here(check="gone", variants=["alpha"], rounds=1)
    assert {(probe.mark, probe.headers[-1][1]) for probe in here.asked} == {(None, f"{nonce}-alpha-0-0")}
    here.asked.clear()
    here(check="settled", variants=["alpha"], rounds=1)
    assert {probe.mark for probe in here.asked} == {"alpha-0-0"}


# -- gate ----------------------------------------------------------------------------------------------------------------


def test_a_gate_in_stretches(here: Here) -> None:
    here.begin()
    first = here(check="gate", gate=GATE, seconds=0, fail=False)
    assert (first["ok"], first["decision"], first["judgement"]["sent"], first["failed"]) == (False, "undecided", 0, False)
    undecided = here(check="gate", gate=GATE, seconds=0)
    assert undecided["failed"] and undecided["msg"] == "not decided in time"
    last = here(check="gate", gate=GATE, judgement=first["judgement"])
    assert (last["ok"], last["decision"], last["faults"]) == (True, "accept", [])
    pairs = last["judgement"]["pairs"]["successes"]
    assert pairs >= Bounds.of(GATE).clean_pairs and last["judgement"]["sent"] == 3 * pairs == len(here.asked)
    assert here.asked_by() == {"alpha", "v1", "user"}
    more = here(check="gate", gate=GATE, judgement=last["judgement"])
    assert last["judgement"]["sent"] == len(here.asked), "what is decided is not asked again"
    assert more["decision"] == "accept" and more["judgement"] == last["judgement"], "what is decided stays so"


@pytest.mark.parametrize("bad", ["v1", None])
def test_a_gate_that_rejects(here: Here, bad: str | None) -> None:
    here.begin()
    here.failing = lambda probe: "status 503" if probe.variant == bad else None
    result = here(check="gate", gate=GATE, fail=False)
    assert result["decision"] == "reject" and result["faults"][0].startswith(f"{bad or 'user'}: status 503")


@pytest.mark.parametrize("gate", [{"p1": 2}, {"p2": 1}, {"p1": "much"}])
def test_bounds_that_mean_nothing_are_one_sentence(here: Here, gate: Manifest) -> None:
    result = here(check="gate", gate=gate)
    assert result["failed"] and "\n" not in result["msg"] and here.asked == []


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
    assert here(check="installed") == {"failed": False, "changed": False, "ok": True, "faults": []}
    assert here.asked == []


def test_a_crash_loop_is_not_waited_out(here: Here) -> None:
    here.cluster.put(deployment(0))
    crashing = {"name": "epp", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1, "message": "unknown flag"}}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "epp-1", "namespace": "default", "labels": {"app": "epp"}}}
    here.cluster.put(pod | {"status": {"containerStatuses": [crashing]}})
    result = here(check="installed", seconds=3600)
    assert result["failed"] and result["msg"].startswith("Pod default/epp-1 container epp: CrashLoopBackOff exit code 1 unknown flag")


# -- the Lease and errors ------------------------------------------------------------------------------------------------


def test_the_lease_is_renewed_and_a_lost_one_ends_it(here: Here) -> None:
    here.begin()
    assert here(run="run-1", rounds=1)["ok"]
    assert [(method, path.rpartition("/")[2]) for method, path in here.cluster.writes] == [("PUT", "inference-gateway-migration")]
    here.asked.clear()
    lost = here(run="run-2", rounds=1)
    assert lost["failed"] and "held by run-1, not by this run (run-2)" in lost["msg"] and here.asked == []
    assert here(check_mode=True, run="run-2", rounds=1)["ok"] and here.cluster.writes == []


def test_errors_are_sentences(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = run_module(monkeypatch, verify_gateway, Unreachable("no usable answer"), **FAST)
    assert silent["failed"] and silent["unreachable_api"]
    plain = run_module(monkeypatch, verify_gateway, ApiError("no"), **FAST)
    assert plain["failed"] and "unreachable_api" not in plain
    here.begin()
    for path in [path for path in here.cluster.objects if "backup" in path]:
        del here.cluster.objects[path]
    broken = here(variants=["alpha"])
    assert broken["failed"] and "of the backup are gone" in broken["msg"] and here.asked == []
