# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a migration stands, and what a person asks of the run at work."""

from __future__ import annotations

import os
from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import processes
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.lease import Lease
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.steering import Steering
from ansible_collections.inference_gateway.migration.plugins.modules import migration_journal, migration_status, migration_steer, shift_traffic

from tests.unit.helpers.migration_fakes import ALPHA, FakeCluster, http_route, make_plan, rule, run_module

PLAN = make_plan()


class Here:
    """A cluster with one route, and modules that are run on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch, self.cluster, self.run = monkeypatch, FakeCluster(http_route(rule(ALPHA))), ""

    def journal(self, state: str, **given: Any) -> dict[str, Any]:
        result = run_module(self.monkeypatch, migration_journal, self.cluster, state=state, **({"run": self.run} if self.run else {}), **given)
        self.run = self.run or result["run"]
        return result

    def shift(self, **given: Any) -> None:
        assert not run_module(self.monkeypatch, shift_traffic, self.cluster, plan=PLAN, run=self.run, **given)["failed"]

    def status(self) -> dict[str, Any]:
        self.cluster.requests.clear()
        result = run_module(self.monkeypatch, migration_status, self.cluster)
        assert not result["failed"] and not result["changed"] and self.cluster.writes == []
        return result

    def steer(self, command: str, check_mode: bool = False) -> dict[str, Any]:
        self.cluster.requests.clear()
        return run_module(self.monkeypatch, migration_steer, self.cluster, check_mode, command=command, by="on-call")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    return Here(monkeypatch)


def test_a_cluster_without_a_migration(here: Here) -> None:
    assert (here.status()["line"], here.status()["phase"], here.status()["lease"]) == ("no migration was begun", "", None)


def test_each_phase(here: Here) -> None:
    here.journal("opened", plan=PLAN, phases=["install"], holder={"origin": processes.origin(os.getpid())})
    found = here.status()
    assert (found["phase"], found["share"], found["verdict"]) == ("plan", 0, "")
    assert f"Run {here.run}, ansible-playbook with process id {os.getpid()}" in found["line"] and "at work" in found["line"]
    here.journal("installing")
    assert here.status()["phase"] == "install"
    here.shift(state="shifted", share=50)
    here.journal("passed", share=50)
    found = here.status()
    assert (found["phase"], found["share"]) == ("shift", 50) and "v1 has 50 % of users' traffic; gate passed at 50 %; no verdict yet" in found["line"]
    here.journal("closed", verdict="HELD", reason="why")
    assert here.status()["line"].startswith("phase shift; v1 has 50 % of users' traffic; gate passed at 50 %; HELD; nobody at work; last: HELD: why (")


def test_a_share_that_passed_is_taken_back_with_the_traffic(here: Here) -> None:
    here.journal("opened", plan=PLAN, phases=["shift"])
    for share, passed in ((50, 0), (10, 0)):
        here.shift(state="shifted", share=share)
        assert passed_by_the_journal(here) == passed
    here.journal("passed", share=10)
    here.shift(state="shifted", share=50)
    assert passed_by_the_journal(here) == 10
    here.shift(state="restored")
    assert passed_by_the_journal(here) == 0


def passed_by_the_journal(here: Here) -> int:
    """What the journal has as passed."""
    return run_module(here.monkeypatch, migration_journal, here.cluster, True, state="noted", run=here.run, phase="install")["journal"]["passed"]


def test_a_killed_run_is_told_of(here: Here) -> None:
    here.journal("opened", plan=PLAN, holder={"origin": processes.origin(os.getpid()) | {"started": "1"}})
    assert "was killed" in here.status()["line"]


def test_weights_of_somebody_else(here: Here) -> None:
    here.journal("opened", plan=PLAN, phases=["shift"])
    (route,) = [entry for entry in here.cluster.objects.values() if entry["kind"] == "HTTPRoute"]
    route["spec"]["rules"][0]["backendRefs"].append({"name": "other", "port": 80, "weight": 7})
    assert here.status()["share"] is None and "traffic at none of its shares" in here.status()["line"]


def test_a_route_that_is_gone_is_named(here: Here) -> None:
    here.journal("opened", plan=PLAN, phases=["shift"])
    assert here.status()["gone"] == [] and "gone since" not in here.status()["line"]
    (path,) = [path for path, entry in here.cluster.objects.items() if entry["kind"] == "HTTPRoute"]
    del here.cluster.objects[path]
    found = here.status()
    assert (found["gone"], found["share"]) == (["HTTPRoute default/llm-route"], None)
    assert "; gone since the plan: HTTPRoute default/llm-route; " in found["line"]


def test_a_rollback_and_its_end(here: Here) -> None:
    here.journal("opened", plan=PLAN, phases=["shift"])
    here.journal("returning")
    assert here.status()["phase"] == "rollback"
    here.journal("closed", verdict="ROLLED BACK", reason="asked for")
    assert here.status()["line"].startswith("phase rolled back; ROLLED BACK; nobody at work")


def test_steering_asks_the_run_at_work_and_no_other(here: Here) -> None:
    refused = here.steer("pause")
    assert refused["failed"] and "nobody to ask" in refused["msg"] and here.cluster.writes == []
    here.journal("opened", plan=PLAN)
    assert here.steer("pause", check_mode=True)["changed"] and here.cluster.writes == []
    asked = here.steer("pause")
    assert asked["changed"] and asked["run"] == here.run and asked["msg"].endswith("is asked to pause.")
    assert [path.rpartition("/")[2] for _method, path in here.cluster.writes] == ["inference-gateway-migration-steer"]
    assert not here.steer("pause")["changed"]
    assert here.journal("kept", seconds=0)["steer"] | {"at": ""} == {"command": "pause", "by": "on-call", "at": ""}
    assert "asked to pause" in here.status()["line"]
    here.steer("go_on")
    assert here.journal("kept", seconds=0)["steer"] is None
    here.steer("stop")
    assert Steering(here.cluster).asked("run-of-later") is None


def test_a_lost_answer_of_steering_does_no_harm(here: Here) -> None:
    here.journal("opened", plan=PLAN)
    here.cluster.losing = [("POST", "steer")]
    assert not here.steer("back")["failed"] and here.cluster.losing == []
    assert Lease(here.cluster).seen()["run"] == here.run


def test_a_route_that_is_gone_is_no_reason_to_say_nothing(here: Here) -> None:
    here.journal("opened", plan=PLAN, phases=["shift"])
    here.shift(state="shifted", share=50)
    here.cluster.objects.pop(here.cluster.put(http_route(rule(ALPHA))))
    assert here.status()["phase"] == "shift"
