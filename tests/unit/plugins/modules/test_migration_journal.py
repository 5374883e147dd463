# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening, noting and closing a migration."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import Forbidden, Unreachable
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.journal import Journal
from ansible_collections.inference_gateway.migration.plugins.modules import migration_journal, migration_journal_info

from tests.unit.helpers.migration_fakes import ALPHA, NAMESPACE, FakeCluster, http_route, make_plan, plan_pool, rule, run_module

Manifest = dict[str, Any]
PLAN = make_plan()
ROUTE = http_route(rule(ALPHA))


class Here:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.cluster = FakeCluster(ROUTE)

    def __call__(self, state: str, check_mode: bool = False, **given: Any) -> dict[str, Any]:
        self.cluster.requests.clear()
        return run_module(self.monkeypatch, migration_journal, self.cluster, check_mode, state=state, **given)

    def info(self) -> dict[str, Any]:
        self.cluster.requests.clear()
        return run_module(self.monkeypatch, migration_journal_info, self.cluster)

    @property
    def holder(self) -> str | None:
        lease = [manifest for manifest in self.cluster.objects.values() if manifest["kind"] == "Lease"]
        return lease[0]["spec"].get("holderIdentity") if lease else None


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    return Here(monkeypatch)


def test_read_writes_nothing_and_says_which_cluster(here: Here) -> None:
    result = here.info()
    assert result == {"journal": None, "changed": False, "failed": False, "cluster": {"id": "uid-of-kube-system", "server": FakeCluster.server}}
    assert here.cluster.writes == []


def test_a_whole_migration(here: Here) -> None:
    opened = here("opened", plan=PLAN)
    assert opened["changed"] and not opened["continued"] and opened["plan"] == PLAN and here.holder == opened["run"]
    assert "plan" not in opened["journal"] and opened["journal"]["phases"] == ["plan"]
    assert here.cluster.writes[0] == ("POST", f"/api/v1/namespaces/{NAMESPACE}")
    stored = Journal(here.cluster, NAMESPACE).backup(opened["journal"]["backup"])
    assert [entry["kind"] for entry in stored] == ["HTTPRoute"], "what is not there is not in the backup"
    run = opened["run"]
    for phase in ("install", "shift", "shift", "retire"):
        noted = here("noted", run=run, phase=phase)
    assert noted["journal"]["phases"] == ["plan", "install", "shift", "retire"]
    closed = here("closed", run=run, verdict="PROVEN", reason="all gates passed")
    assert (closed["journal"]["status"], closed["journal"]["verdict"], here.holder) == ("finished", "PROVEN", None) and "plan" not in closed
    again = here("opened", plan=PLAN)
    assert not again["continued"] and again["journal"]["migration"] != opened["journal"]["migration"]


@pytest.mark.parametrize(("verdict", "phase"), [("HELD", "retire"), ("FAILED", "retire"), ("PROVEN", "shift")])
def test_what_is_not_at_its_end_stays_open_and_goes_on(here: Here, verdict: str, phase: str) -> None:
    opened = here("opened", plan=PLAN)
    here("noted", run=opened["run"], phase=phase)
    closed = here("closed", run=opened["run"], verdict=verdict, reason="why")
    assert (closed["journal"]["status"], closed["journal"]["reason"], here.holder) == ("open", "why", None)
    again = here("opened")
    assert again["continued"] and again["plan"] == PLAN and again["run"] != opened["run"]
    assert again["journal"]["migration"] == opened["journal"]["migration"]


def test_a_migration_that_has_begun_to_write_keeps_its_own_plan(here: Here) -> None:
    begun = here("opened", plan=PLAN, phases=["plan", "install"])
    assert begun["journal"]["begun"] is False, "definitions and a trial come first"
    assert here("installing", run=begun["run"])["journal"]["begun"] is True
    here("released", run=begun["run"])
    again = here("opened", plan={"pools": [], "hash": "other"}, phases=["plan", "install"])
    assert again["continued"] and again["plan"] == PLAN and again["journal"]["migration"] == begun["journal"]["migration"]


def test_asked_for_a_plan_alone_it_takes_another_while_v1_has_had_no_traffic(here: Here) -> None:
    run = here("opened", plan=PLAN, phases=["install"])["run"]
    here("installing", run=run)
    here("released", run=run)
    other = {"pools": [], "hash": "other"}
    assert here("opened", check_mode=True, plan=other, phases=["plan"])["continued"] is False
    again = here("opened", plan=other, phases=["plan"])
    assert not again["continued"] and again["plan"] == other
    store = Journal(here.cluster, NAMESPACE)
    store.begin_to_shift(store.begin(store.read()))
    here("released", run=again["run"])
    assert here("opened", plan=PLAN, phases=["plan"])["plan"] == other, "v1 has had traffic"


@pytest.mark.parametrize("phases", [["shift"], ["retire"]])
def test_phases_after_the_installation_change_the_cluster_at_once(here: Here, phases: list[str]) -> None:
    assert here("opened", plan=PLAN, phases=phases)["journal"]["begun"] is True


def test_taking_v1alpha2_away_changes_the_cluster(here: Here) -> None:
    run = here("opened", plan=PLAN, phases=["install"])["run"]
    assert here("retiring", run=run)["journal"]["begun"] is True


@pytest.mark.parametrize("phases", [["plan"], ["plan", "install", "shift", "retire"]])
def test_before_that_a_new_plan_takes_its_place(here: Here, phases: list[str]) -> None:
    first = here("opened", plan=PLAN, phases=phases)
    here("released", run=first["run"])
    other = {"pools": [], "hash": "other"}
    again = here("opened", plan=other)
    assert not again["continued"] and again["plan"] == other and again["journal"]["begun"] is False
    here("released", run=again["run"])
    assert here("opened")["plan"] == other, "nobody brings another one"


def test_a_journal_from_before_there_was_such_a_note_counts_as_begun(here: Here) -> None:
    opened = here("opened", plan=PLAN)
    store = Journal(here.cluster, NAMESPACE)
    store.update({field: value for field, value in store.read().items() if field not in ("begun", "shifted_since", "returning_since")})
    here("released", run=opened["run"])
    assert here("opened", plan={"pools": [], "hash": "other"})["plan"] == PLAN


def test_answers_are_added_to_those_that_are_known(here: Here) -> None:
    run = here("opened", plan=PLAN)["run"]
    assert here("learnt", run=run, answers={"a": ["x"], "b": ["y"]})["journal"]["answers"] == {"a": ["x"], "b": ["y"]}
    assert here("learnt", run=run, answers={"a": ["w", "x"]})["journal"]["answers"] == {"a": ["w", "x"], "b": ["y"]}
    assert here("learnt", run="another", answers={"a": ["z"]})["failed"], "who does not hold the Lease writes nothing"


def test_without_a_plan_nothing_begins(here: Here) -> None:
    result = here("opened")
    assert result["failed"] and "run the phase plan first" in result["msg"] and here.cluster.writes == []


def test_check_mode_writes_nothing(here: Here) -> None:
    result = here("opened", check_mode=True, plan=PLAN)
    assert result["changed"] and result["run"] == "check-mode" and here.cluster.writes == []
    run = here("opened", plan=PLAN)["run"]
    for state in ("noted", "closed", "released"):
        assert not here(state, check_mode=True, run=run, phase="install", verdict="PROVEN", reason="x")["changed"]
        assert here.cluster.writes == []
    continued = here("opened", check_mode=True)
    assert continued["continued"] and continued["plan"] == PLAN and here.cluster.writes == []


def test_one_run_at_a_time(here: Here) -> None:
    run = here("opened", plan=PLAN)["run"]
    other = here("opened", plan=PLAN)
    assert other["failed"] and f"Run {run}, since" in other["msg"] and other["lease"]["run"] == run
    assert not here("opened", plan=PLAN, run=run)["failed"], "the same run may go on"
    for state in ("noted", "closed"):
        result = here(state, run="run-x", phase="install", verdict="PROVEN", reason="x")
        assert result["failed"] and "not by this run" in result["msg"] and here.cluster.writes == []
    here("released", run="run-x")
    assert here.holder == run


def test_an_opening_that_fails_gives_the_lock_up(here: Here) -> None:
    def refuse(method: str, path: str, body: Any) -> None:
        if method == "POST" and "configmaps" in path:
            raise Forbidden("POST configmaps: not allowed", 403)

    here.cluster.before = refuse
    result = here("opened", plan=PLAN)
    assert result["failed"] and "not allowed" in result["msg"] and here.holder is None


def test_no_connection_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_module(monkeypatch, migration_journal_info, Unreachable("no usable answer"))
    assert (result["failed"], result["msg"]) == (True, "no usable answer")


# -- a shift that counts no more, and a retirement that is gone on with ---------------------------------------------------


PROVEN = {"default/llama-ga": "as proven"}


def shifted(here: Here, *more: str, plan: Manifest = PLAN) -> str:
    """A migration whose shift ended PROVEN; the name of the run that goes on."""
    run = here("opened", plan=plan, phases=["plan", "install", "shift"])["run"]
    noted = here("noted", run=run, phase="shift", stack=PROVEN)
    assert noted["journal"]["stack"] == PROVEN and "shift" in noted["journal"]["phases"]
    for state in more:
        here(state, run=run)
    here("released", run=run)
    return run


def test_another_shift_makes_the_one_before_count_no_more(here: Here) -> None:
    """Whatever becomes of it: a later one that ends HELD before it changes a weight must not leave an older PROVEN behind."""
    shifted(here)
    again = here("opened", phases=["shift"])
    assert again["journal"]["phases"] == ["plan"] and again["journal"]["stack"] is None and again["retiring"] is False


@pytest.mark.parametrize("phases", [["plan"], ["install"], ["retire"]])
def test_other_phases_leave_the_journals_word_on_the_shift(here: Here, phases: list[str]) -> None:
    shifted(here)
    again = here("opened", phases=phases)
    assert "shift" in again["journal"]["phases"] and again["journal"]["stack"] == PROVEN


@pytest.mark.parametrize(("phases", "retiring"), [(["plan", "install", "shift", "retire"], True), (["retire"], True), (["shift"], False), (["install"], False)])
def test_the_same_command_goes_on_with_a_retirement_that_had_begun(here: Here, phases: list[str], retiring: bool) -> None:
    shifted(here, "retiring")
    again = here("opened", phases=phases)
    assert again["retiring"] is retiring
    assert ("shift" in again["journal"]["phases"]) is (phases != ["shift"]), "who asks for a shift alone gets one"


def programs(here: Here, run: str) -> dict[str, Any]:
    """What a renewal says of the host, but for the time there."""
    found = here("kept", run=run, seconds=0)["programs"]
    assert abs(found.pop("now") - time.time()) < 60
    return dict(found)


def test_whoever_keeps_the_lease_hears_where_python_and_helm_are(here: Here, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = here("opened", plan=PLAN)["run"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert programs(here, run) == {"python": sys.executable}
    (tmp_path / "helm").touch(mode=0o755)
    assert programs(here, run) == {"python": sys.executable, "helm": str(tmp_path / "helm")}


def test_when_v1alpha2_began_to_go_is_kept(here: Here) -> None:
    run = here("opened", plan=PLAN, phases=["install"])["run"]
    first = here("retiring", run=run)["journal"]["retiring_since"]
    assert first > 1e9 and here("retiring", run=run)["journal"]["retiring_since"] == first


def test_a_migration_without_anything_to_prove_comes_to_its_end(here: Here) -> None:
    run = here("opened", plan=PLAN, phases=["install", "retire"])["run"]
    here("noted", run=run, phase="retire")
    closed = here("closed", run=run, reason="no route names these pools")
    assert (closed["journal"]["status"], closed["journal"]["verdict"]) == ("finished", None)
    assert closed["journal"]["entries"][-1]["event"] == "nothing to prove: no route names these pools"


# -- a rollback ----------------------------------------------------------------------------------------------------------


def test_a_migration_that_was_rolled_back_makes_room_for_another(here: Here) -> None:
    opened = here("opened", plan=PLAN)
    here("noted", run=opened["run"], phase="shift", stack={"a": "b"})
    noted = here("returning", run=opened["run"])["journal"]
    assert noted["returning_since"] and (noted["phases"], noted["stack"]) == (["plan"], None), "neither shift nor installation counts any more"
    again = here("returning", run=opened["run"])["journal"]
    assert again["returning_since"] == noted["returning_since"] and len(again["entries"]) == len(noted["entries"])
    closed = here("closed", run=opened["run"], verdict="ROLLED BACK", reason="as before")
    assert (closed["journal"]["status"], closed["journal"]["verdict"], here.holder) == ("rolled back", "ROLLED BACK", None) and "plan" not in closed
    assert "plan" not in here.info()
    other = here("opened", plan=PLAN)
    assert not other["continued"] and other["journal"]["migration"] != opened["journal"]["migration"] and other["journal"]["returning_since"] is None


def test_a_rollback_that_was_not_finished_stays_open(here: Here) -> None:
    opened = here("opened", plan=PLAN)
    here("returning", run=opened["run"])
    here("closed", run=opened["run"], verdict="HELD", reason="v1alpha2 does not answer")
    same = here("opened")
    assert same["continued"] and same["journal"]["returning_since"]
    here("released", run=same["run"])
    forth = here("opened", phases=["plan", "install", "shift", "retire"])
    assert forth["continued"] and forth["journal"]["returning_since"] is None
    assert forth["journal"]["entries"][-1]["event"] == "goes forth again: a rollback had begun"


def test_what_is_being_taken_away_is_not_rolled_back(here: Here) -> None:
    run = here("opened", plan=PLAN, phases=["retire"])["run"]
    here("retiring", run=run)
    refused = here("returning", run=run)
    assert refused["failed"] and "nothing whole to go back to" in refused["msg"]
    assert Journal(here.cluster, NAMESPACE).read()["retiring_since"]


def test_when_v1_first_had_traffic_is_kept(here: Here) -> None:
    run = here("opened", plan=PLAN)["run"]
    store = Journal(here.cluster, NAMESPACE)
    first = store.begin_to_shift(store.read())
    assert first["shifted_since"] and store.begin_to_shift(first) == first == store.read()
    here("released", run=run)
    again = here("opened")["run"]
    assert here("returning", run=again)["journal"]["shifted_since"] == first["shifted_since"]
    assert here("returned", run=again)["journal"]["shifted_since"] is None, "its requests have ended"


# -- what is gone ---------------------------------------------------------------------------------------------------------

POOL = {"apiVersion": f"{ALPHA['group']}/v1alpha2", "kind": "InferencePool", "metadata": {"name": ALPHA["name"], "namespace": "default"}, "spec": {}}


def test_nothing_is_shifted_from_a_v1alpha2_that_is_partly_gone(here: Here) -> None:
    """Else the journal would forget that v1alpha2 goes, and a rollback would be let through."""
    path = here.cluster.put(POOL)
    run = shifted(here, "retiring", plan=make_plan(plan_pool(retire=[POOL])))
    assert not here("opened", run=run, phases=["shift", "retire"])["failed"]
    here.cluster.objects.pop(path)
    found = here("opened", run=run, phases=["plan", "install", "shift"])
    assert found["failed"] and f"InferencePool default/{ALPHA['name']}" in found["msg"] and "finish that phase" in found["msg"]
    assert here.info()["journal"]["retiring_since"] and here("opened", run=run, phases=["shift", "retire"])["retiring"]


def test_a_rollback_leaves_out_routes_that_are_gone(here: Here) -> None:
    run = here("opened", plan=PLAN, phases=["shift"])["run"]
    whole = here("opened", run=run, returns=True)
    assert (whole["plan"], whole["gone"]) == (PLAN, [])
    here.cluster.objects.pop(here.cluster.put(ROUTE))
    for check_mode in (False, True):
        rest = here("opened", run=run, returns=True, check_mode=check_mode)
        assert rest["gone"] == ["HTTPRoute default/llm-route"] and rest["plan"]["pools"][0]["references"] == []
    assert here("opened", run=run)["plan"] == PLAN, "any other run has the plan whole, and is refused by what reads the routes"
