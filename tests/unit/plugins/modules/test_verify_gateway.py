# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One stretch of looking, with probes that are answered by a function and an API server of dictionaries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils import manifests
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import ApiError, Unreachable
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.answer_checks import StreamOutcome
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.http_client import Client
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sprt import Bounds
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import Probe
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.traffic_split import Signature
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import weights
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.probe_routes import mark, probe_value
from ansible_collections.inference_gateway.migration.plugins.modules import verify_gateway

from tests.unit.helpers.migration_fakes import ALPHA, MOVES, V1, http_route, rule, run_module
from tests.unit.helpers.verify_fakes import FAST, ROUTE, Here

Manifest = dict[str, Any]
CELLS = 4
GATE = {"p1": 0.2, "gates": 4}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    return Here(monkeypatch)


# -- settled -------------------------------------------------------------------------------------------------------------


def test_the_users_rules_settle_without_a_migration(here: Here) -> None:
    result = here(rounds=3)
    first, load = result.pop("first_success"), result.pop("load")
    assert load == {"usual": {}, "refused": 1.0, "ratio": 1.0}
    assert result == {"failed": False, "changed": False, "ok": True, "passing": {"user": True, "status": True}, "clean": 3, "faults": [], "sent": 12}
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


@pytest.mark.parametrize(("shifted", "alpha_fails", "harmed"), [(False, True, True), (False, False, True), (True, True, False), (True, False, True)])
def test_users_who_suffer_while_a_change_is_taken_end_it(here: Here, shifted: bool, alpha_fails: bool, harmed: bool) -> None:
    """While their own rules are v1alpha2's every new failure counts; once v1 has a share, what v1alpha2's probe route shares does not."""
    here.begin()
    if shifted:
        here.cluster.put(http_route(rule(ALPHA | {"weight": 90}, V1 | {"weight": 10})))
    here.failing = lambda probe: "status 503" if probe.variant is None or (alpha_fails and probe.variant == "alpha") else None
    watched = {"variants": ["alpha", "user"], "fail": False, "judgement": {}, "rounds": 3, "seconds": 1}
    result = here(**watched)
    assert (result["judgement"]["user"]["decision"] == "reject") is harmed and result["judgement"]["new_failures"] == ["status 503"] and not result["ok"]
    assert here(**watched | {"known": ["status 503"]})["judgement"]["new_failures"] == []
    assert here(**watched | {"known": ["status 503"]})["judgement"]["user"]["decision"] == "accept"
    here.failing = lambda probe: None
    gone_on = here(**watched | {"judgement": result["judgement"]})
    assert gone_on["judgement"]["new_failures"] == ["status 503"] and gone_on["ok"] is not harmed


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
    assert result["ok"] is ok and result["passing"] == {"user": True, "status": ok}
    assert result["faults"] == ([] if ok else ["HTTPRoute default/llm-route: no status from Gateway gw yet"])


def test_a_removed_probe_route_is_gone_when_the_users_rule_answers(here: Here) -> None:
    nonce = here.begin()
    here(check="gone", variants=["alpha"], rounds=1)
    assert {(probe.mark, probe.headers[-1][1]) for probe in here.asked} == {(None, probe_value(nonce, "alpha", "HTTPRoute default/llm-route", 0, 0))}
    here.asked.clear()
    here(check="settled", variants=["alpha"], rounds=1)
    assert {probe.mark for probe in here.asked} == {mark("alpha", "HTTPRoute default/llm-route", 0, 0)}


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


def test_a_gate_is_held_for_a_soak(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    here.begin()
    held = here(check="gate", gate=GATE, soak=1, seconds=0)
    assert held["decision"] == "accept" and held["sent"] == len(here.asked) > 6 * Bounds.of(GATE).clean_pairs


def test_a_new_kind_of_failure_is_noted(here: Here) -> None:
    here.begin()
    bad = iter(["status 503 x"])
    here.failing = lambda probe: next(bad, None) if probe.variant is None else None
    assert here(check="gate", gate=GATE)["judgement"]["new_failures"] == ["status 503"]
    bad = iter(["status 503 x"])
    assert here(check="gate", gate=GATE, known=["status 503"])["judgement"]["new_failures"] == []


# -- baseline ------------------------------------------------------------------------------------------------------------


def test_a_baseline_asks_the_users_rules_before_v1_serves(here: Here) -> None:
    here.begin()
    here.failing = lambda probe: "status 429 slow down" if len(here.asked) == 2 else None
    result = here(check="baseline", rounds=3)
    assert (result["ok"], result["kinds"], result["serves_v1"], result["sent"]) == (True, ["status 503"], False, 3 * CELLS)
    assert here.asked_by() == {"user"}
    here.failing = lambda probe: "status 500" if probe.target.stream else None
    silent = here(check="baseline", rounds=3)
    assert silent["failed"] and silent["msg"].startswith("user: status 500")


def test_what_v1alpha2_names_in_its_answers_is_learnt_and_then_demanded(here: Here) -> None:
    """A server with several served names answers with the first of them, whatever was asked for."""
    here.begin()
    here.naming = lambda probe: "llama-2026-03"
    assert "answer names model llama-2026-03" in here(check="settled", rounds=1, seconds=0)["msg"], "else anything could answer"
    learnt = here(check="baseline", rounds=1)
    assert (learnt["ok"], learnt["answers"]) == (True, {"llama": ["llama-2026-03"]})
    here.store.update(here.store.read(), answers=learnt["answers"])
    assert here(check="settled", rounds=1)["ok"]
    assert here(check="baseline", rounds=1)["answers"] == {}, "nothing that is not known yet"
    here.naming = lambda probe: "other"
    assert "answer names model other" in here(check="settled", rounds=1, seconds=0)["msg"]


def test_names_that_the_plan_expects_are_nothing_to_learn(here: Here) -> None:
    here.begin()
    here.naming = lambda probe: "llama-base"
    assert here(check="baseline", rounds=1)["answers"] == {}


def test_a_journal_from_before_there_were_answers_is_read(here: Here) -> None:
    here.begin()
    here.store.update({field: value for field, value in here.store.read().items() if field != "answers"})
    assert here(check="settled", rounds=1)["ok"]


def test_where_v1_serves_users_already_there_is_no_baseline(here: Here) -> None:
    """A run that goes on where another was cut or held: alpha's probe routes need not be there either."""
    here.begin()
    here.cluster.put(weights.reshape(ROUTE, ROUTE, MOVES, "split", 10))
    result = here(check="baseline")
    assert (result["ok"], result["serves_v1"], result["share"], result["kinds"], here.asked) == (True, True, 10, [], [])


# -- share ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("weight", "ok"), [(50, True), (10, False)])
def test_the_share_that_v1_serves_is_compared_with_the_steps_own(here: Here, monkeypatch: pytest.MonkeyPatch, weight: int, ok: bool) -> None:
    here.begin()
    here.cluster.put(weights.reshape(ROUTE, ROUTE, MOVES, "split", weight))
    turn = iter(range(10**6))

    def send_tracer(_client: Client, probe: Probe) -> Signature:
        v1 = probe.variant == "v1" or (probe.variant is None and next(turn) % 2 == 0)
        return Signature(404, v1, v1, "")

    monkeypatch.setattr(Client, "send_tracer", send_tracer)
    result = here(check="traffic_split", shares={"HTTPRoute default/llm-route": weight}, fail=False)
    assert result["ok"] is ok and result["blind"] == result["undecided"] == [] and bool(result["faults"]) is bool(result["left"]) is not ok
    where, half = "rule 0 of HTTPRoute default/llm-route at default/gw 127.0.0.1:8080", (result["sent"] - 6) // 2
    counted = f"answered by alpha {half} and v1 {half} of {2 * half} tracer requests, weights say 50.0% and 50.0% ({where})"
    (tally,) = result["tally"].values()
    assert result["counted"] == [counted] * ok and tally["outcome"] == ("right" if ok else "wrong")


def test_a_measurement_of_the_share_goes_on_where_an_execution_ended(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    here.begin()
    monkeypatch.setattr(Client, "send_tracer", lambda _client, probe: Signature(404, probe.variant == "v1", probe.variant == "v1", ""))
    tally: Any = None
    executions = 0
    while executions < 50:
        result = here(check="traffic_split", shares={"HTTPRoute default/llm-route": 0}, tally=tally, seconds=0, fail=False)
        tally, executions = json.loads(json.dumps(result["tally"])), executions + 1
        if result["ok"]:
            break
        assert result["sent"] <= 12 and result["left"] == 1
    assert executions == 1 + 29 and "answered by alpha 348 of 348 tracer requests" in result["counted"][0].replace(" and v1 0", "")


# -- without a plan ------------------------------------------------------------------------------------------------------

V1_POOL = {"apiVersion": f"{manifests.V1_GROUP}/v1", "kind": "InferencePool", "metadata": {"name": "llama-ga", "namespace": "default"}, "spec": {}}
POOL = {"namespace": "default", "name": "llama-ga", "models": ["llama"], "endpoints": ["/v1/completions"]}


@pytest.mark.parametrize(("cut", "ok"), [(None, True), ("it ended before [DONE]", False)])
def test_long_streams_by_the_probe_routes_of_both_stacks(here: Here, monkeypatch: pytest.MonkeyPatch, cut: str | None, ok: bool) -> None:
    here.begin()
    asked: list[Probe] = []

    def hold_stream(client: Client, probe: Probe, until: float) -> StreamOutcome:
        asked.append(probe)
        return StreamOutcome(200, cut if probe.variant == "v1" else None, 5.0, 30.0)

    monkeypatch.setattr(Client, "hold_stream", hold_stream)
    result = here(check="streams", variants=["alpha", "v1"], seconds=1, copies=2, fail=False)
    assert [(probe.variant, probe.target.stream) for probe in asked] == [("alpha", True)] * 2 + [("v1", True)] * 2
    assert result["ok"] is ok and bool(result["faults"]) is not ok and result["sent"] == 4
    assert result["streams"][0]["v1"] == {"seconds": 30.0, "reason": cut, "closed": False}


def test_any_v1_gateway_is_verified_by_its_pools(here: Here) -> None:
    here.cluster.put(http_route(rule(V1)))
    missing = here(plan=None, pools=[POOL])
    assert missing["failed"] and "InferencePool default/llama-ga of inference.networking.k8s.io is not there" in missing["msg"]
    here.cluster.put(V1_POOL)
    result = here(plan=None, pools=[POOL], rounds=2)
    assert result["ok"] and {probe.target.path for probe in here.asked} == {"/v1/completions"} and len(here.asked) == 2 * 2
    mirror = {"filters": [{"type": "RequestMirror", "requestMirror": {"backendRef": V1}}]}
    for never in (rule({"name": "plain"}), rule({"name": "plain"}, V1 | {"weight": 0}), rule({"name": "plain"}) | mirror):
        here.cluster.put(http_route(never))
        nowhere = here(plan=None, pools=[POOL])
        assert nowhere["failed"] and "no HTTPRoute gives it any weight" in nowhere["msg"]


def test_a_pool_of_v1alpha2_with_the_same_name_is_another_one(here: Here) -> None:
    """Its answers need not come from the pool that is verified, so they are judged as those of any other backend of the rule."""
    here.cluster.put(V1_POOL)
    for backends, shared in (([V1], False), ([V1, ALPHA | {"name": V1["name"]}], True)):
        here.asked.clear()
        here.cluster.put(http_route(rule(*backends)))
        assert here(plan=None, pools=[POOL], rounds=1)["ok"]
        assert {(probe.target.index, probe.target.shared, probe.epp) for probe in here.asked} == {(0, shared, not shared)}


@pytest.mark.parametrize("given", [{"check": "installed"}, {"variants": ["v1"]}])
def test_without_a_plan_there_are_no_probe_routes(here: Here, given: Manifest) -> None:
    result = here(plan=None, pools=[POOL], **{"variants": ["user"]} | given)
    assert result["failed"] and "Without a plan there are no probe routes" in result["msg"]


# -- how it asks ---------------------------------------------------------------------------------------------------------


def test_a_persons_probes_are_asked_too(here: Here) -> None:
    own = {"path": "/v1/completions", "body": {"prompt": [1]}, "hostname": None, "headers": {}}
    assert here(probes=[own], rounds=1)["sent"] == CELLS + 1
    assert {"prompt": [1]} in [probe.body("x") for probe in here.asked]
    lost = here(probes=[own | {"hostname": "else.example.com"}], rounds=1)
    assert lost["failed"] and lost["msg"].startswith("Probe 0 of probes (else.example.com/v1/completions) comes by no rule that is moved")


def test_token_and_authority_go_to_the_client(here: Here, tmp_path: Path) -> None:
    assert here(rounds=1, probe_token="secret", probe_validate_certs=False, probe_timeout=3)["ok"]
    assert here.client == Client(3, None, False, "secret")
    for text, said in ((None, "No such file or directory"), ("nonsense", "no certificate or crl found")):
        path = tmp_path / "ca.crt"
        if text is not None:
            path.write_text(text)
        result = here(rounds=1, probe_ca_cert=str(path))
        assert result["failed"] and result["msg"].startswith(f"probe_ca_cert {path} can't be used: ") and said in result["msg"].lower() + result["msg"]
    assert verify_gateway.argument_spec()["probe_token"]["no_log"] is True


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
