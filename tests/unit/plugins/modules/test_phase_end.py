# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights that a check demands, and the end of a phase, part by part: what is switched off or changed behind it never passes."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import Unreachable
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.http_client import Client
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.traffic_split import Signature
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import weights
from ansible_collections.inference_gateway.migration.plugins.module_utils.scope import MigrationScope
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification import checks, proof

from tests.unit.helpers.migration_fakes import ALPHA, MOVES, V1, http_route, rule
from tests.unit.helpers.verify_fakes import PLAN, ROUTE, Here

Manifest = dict[str, Any]
SPLIT = weights.reshape(ROUTE, ROUTE, MOVES, "split", 10)
FINISHED = weights.reshape(ROUTE, ROUTE, MOVES, "finished")
EVERY = {"alpha", "v1", "both", "user"}
FOREIGN = "somebody whom its managedFields do not name: spec.rules[0].backendRefs are"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    return Here(monkeypatch)


def manifest(api_version: str, kind: str, name: str, **fields: Any) -> Manifest:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "default"}, **fields}


POOL = manifest("inference.networking.x-k8s.io/v1alpha2", "InferencePool", "llama-preview")
PICKER = manifest("apps/v1", "Deployment", "llama-ga-epp", spec={"replicas": 1, "template": {"metadata": {"labels": {"app": "e"}}, "spec": {"containers": []}}})

# -- weights that are demanded -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{"check": "settled", "variants": ["v1"]}, {"check": "gate", "seconds": 20}, {"check": "traffic_split", "tracers": 50},
                                   {"check": "gone", "variants": ["v1"]}, {"check": "baseline", "variants": ["alpha"]},
                                   {"check": "phase_end", "phase": "shift", "variants": ["user"]}])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_weights_of_somebody_else_end_every_stretch(here: Here, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], when: str) -> None:
    """The route is written back before the stretch, or in its middle: traffic and weights agree, but not with the step."""
    monkeypatch.setattr(checks, "LOOK", 0.0)
    here.begin()
    here.cluster.put(ROUTE if when == "before" else SPLIT)

    def send(_probe: Any) -> None:
        if when == "meanwhile":
            here.cluster.put(ROUTE)

    monkeypatch.setattr(Client, "send_tracer", lambda _client, probe: send(probe) or Signature(404, probe.variant == "v1", probe.variant == "v1", ""))
    here.failing = send
    wanted = 100 if given["check"] == "phase_end" else 10
    if given["check"] == "phase_end" and when == "meanwhile":
        here.cluster.put(weights.reshape(ROUTE, ROUTE, MOVES, "split", 100))
    result = here(shares={"HTTPRoute default/llm-route": wanted}, fail=False, **given)
    assert result["failed"] and result["held"] and result["foreign"] and result["verdict"] == "HELD", result
    assert FOREIGN in result["msg"] and "weight 1, where this step has" in result["msg"] and "Nothing was written over it" in result["msg"]
    assert here.cluster.writes == []


@pytest.mark.parametrize("check", ["settled", "gate", "traffic_split", "phase_end"])
def test_the_steps_own_weights_pass(here: Here, monkeypatch: pytest.MonkeyPatch, check: str) -> None:
    here.begin()
    here.cluster.put(weights.reshape(ROUTE, ROUTE, MOVES, "split", 100))
    monkeypatch.setattr(Client, "send_tracer", lambda _client, probe: Signature(404, probe.variant != "alpha", probe.variant != "alpha", ""))
    assert here(check=check, shares="100", variants=["user"], gate={"p1": 0.2}, seconds=20, phase="shift", tracers=20)["ok"]


def test_what_must_be_is_not_read_from_what_is_looked_at(here: Here) -> None:
    here.begin()
    for check in ("traffic_split", "phase_end"):
        result = here(check=check, phase="shift")
        assert result["failed"] and f"check {check} needs shares" in result["msg"] and here.cluster.requests == []


@pytest.mark.parametrize("shares", ["half", 101, {"HTTPRoute default/llm-route": "x"}, {"HTTPRoute default/other": 10}])
def test_shares_that_mean_nothing(here: Here, shares: Any) -> None:
    here.begin()
    result = here(shares=shares)
    assert result["failed"] and ("A share is a percentage" in result["msg"] or "No share was given for HTTPRoute default/llm-route" in result["msg"])


def test_a_baseline_of_weights_that_are_nobodys_step_is_held(here: Here) -> None:
    here.begin()
    here.cluster.put(http_route(rule(ALPHA | {"weight": 3}, {"name": "plain"})))
    result = here(check="baseline")
    assert result["held"] and "neither as they were nor at one share of this migration" in result["msg"]


@pytest.mark.parametrize(("given", "why"), [
    ({"rounds": 0}, "rounds must be 1 or more"),
    ({"plan": None, "pools": []}, "no route names the pools, or no pools or variants were given"),
    ({"variants": []}, "no route names the pools, or no pools or variants were given"),
    ({"check": "baseline", "rounds": 0}, "rounds must be 1 or more"),
    ({"check": "phase_end", "phase": "shift", "shares": 0, "rounds": 0}, "rounds must be 1 or more"),
])
def test_asking_nothing_proves_nothing(here: Here, given: dict[str, Any], why: str) -> None:
    result = here(**given)
    assert result["failed"] and "nothing would be proven" in result["msg"] and why in result["msg"] and here.asked == []


# -- the end of a phase --------------------------------------------------------------------------------------------------


@pytest.fixture
def ended(here: Here) -> Here:
    """A cluster on which v1alpha2 was taken away after a shift that was PROVEN."""
    here.begin()
    here.cluster.put(PICKER)
    here.cluster.put(FINISHED)
    note(here)
    return here


def note(here: Here, **fields: Any) -> None:
    record = here.store.read()
    assert record is not None
    scene = MigrationScope.read(here.cluster, PLAN, record["nonce"], [ROUTE])
    here.store.update(record, "shifted", **{"phases": ["plan", "shift"], "stack": proof.stack(scene)} | fields)


def retire(here: Here, phase: str = "retire", **given: Any) -> dict[str, Any]:
    return here(check="phase_end", phase=phase, shares="finished", rounds=2, fail=False, **{"seconds": 3} | given)


def test_a_retirement_that_came_to_its_end(ended: Here) -> None:
    result = retire(ended)
    assert (result["ok"], result["verdict"], result["reason"], result["faults"]) == (True, "PROVEN", "v1alpha2 is gone and v1 answers", [])
    assert len(ended.asked) == result["sent"] == 8 and all(probe.epp for probe in ended.asked), "a picker must have answered"
    assert ended.cluster.writes == []
    assert retire(ended, "simple")["verdict"] == "PROVEN"


@pytest.mark.parametrize("entry", [POOL, manifest("apps/v1", "Deployment", "llama-epp")], ids=lambda entry: entry["kind"])
@pytest.mark.parametrize("phase", ["retire", "simple"])
def test_what_the_plan_takes_away_must_be_gone(ended: Here, entry: Manifest, phase: str) -> None:
    ended.cluster.put(entry)
    result = retire(ended, phase)
    assert (result["ok"], result["verdict"]) == (False, "HELD")
    assert f"{entry['kind']} default/{entry['metadata']['name']} of v1alpha2 is still there, or was made again" in result["faults"][0]
    failed = ended(check="phase_end", phase=phase, shares="finished", seconds=3)
    assert failed["failed"] and failed["verdict"] == "HELD" and failed["msg"].startswith(f"the end of {phase} is not proven: ")
    assert failed["reason"] == failed["msg"], "what a person reads names what is still there, not what a good end leaves"


def test_a_finalizer_that_holds_it_is_named(ended: Here) -> None:
    stuck = deepcopy(POOL)
    stuck["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/hold"]}
    ended.cluster.put(stuck)
    assert "(being deleted, held by example.com/hold)" in retire(ended)["faults"][0]


def test_too_little_time_is_no_proof(ended: Here) -> None:
    result = retire(ended, seconds=0)
    assert (result["ok"], result["verdict"], result["faults"]) == (False, "HELD", ["1 rounds of 2 without a failure ended in time"])


def test_requests_that_fail_at_the_end_are_failed(ended: Here) -> None:
    ended.failing = lambda probe: "status 503"
    result = retire(ended)
    assert (result["ok"], result["verdict"]) == (False, "FAILED") and "user: status 503" in result["faults"][0]


@pytest.mark.parametrize("made", [
    http_route(rule(ALPHA), name="new"),
    http_route(rule(ALPHA), name="new") | {"kind": "GRPCRoute"},
    http_route(rule({"name": "plain"}) | {"filters": [{"type": "RequestMirror", "requestMirror": {"backendRef": ALPHA}}]}, name="new"),
    http_route(*FINISHED["spec"]["rules"], rule(ALPHA, path="/new")),
], ids=["route", "grpc", "mirror", "rule"])
def test_a_route_made_since_the_plan_that_names_v1alpha2(ended: Here, made: Manifest) -> None:
    ended.cluster.put(made)
    (fault,) = retire(ended)["faults"]
    assert f"of {made['kind']} default/{made['metadata']['name']} names v1alpha2's InferencePool default/llama-preview" in fault


def test_a_shift_ends_held_while_another_route_sends_users_to_v1alpha2(here: Here) -> None:
    """A mirror, or a weight of 0, takes nobody there: those are in the way of a retirement alone."""
    here.begin()
    here.cluster.put(weights.reshape(ROUTE, ROUTE, MOVES, "split", 100))
    given = {"check": "phase_end", "phase": "shift", "shares": 100, "rounds": 1, "fail": False}
    here.cluster.put(http_route(rule(ALPHA | {"weight": 0}, V1), name="new"))
    assert here(**given)["verdict"] == "PROVEN"
    here.cluster.put(http_route(rule(ALPHA), name="new"))
    result = here(**given)
    assert result["verdict"] == "HELD" and "backend of rule 0 of HTTPRoute default/new" in result["faults"][0]
    assert here(check="baseline")["others"] == result["faults"], "so a shift does not even begin"


def test_a_list_that_lacks_what_is_there_is_not_believed(ended: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = type(ended.cluster).list
    monkeypatch.setattr(type(ended.cluster), "list", lambda self, path, **query: iter(()) if "httproutes" in path else whole(self, path, **query))
    assert "HTTPRoute default/llm-route is missing in the server's own list of routes" in retire(ended)["faults"][0]


@pytest.mark.parametrize(("fields", "why"), [
    ({"phases": ["plan", "install"]}, "the journal has no shift that ended PROVEN"),
    ({"stack": {"default/llama-ga": "of another chart"}}, "InferencePool default/llama-ga: what is installed of v1"),
    ({"stack": None}, "is not what the shift proved"),
])
def test_the_journals_last_word_on_the_shift_must_be_proven_for_what_is_installed(ended: Here, fields: dict[str, Any], why: str) -> None:
    note(ended, **fields)
    result = retire(ended)
    assert result["verdict"] == "HELD" and why in result["faults"][0]


def test_what_is_installed_is_known_by_all_that_decides_on_answers(ended: Here) -> None:
    def changed(**fields: Any) -> bool:
        """Whether a picker with other fields is another stack; the picker is put back."""
        ended.cluster.put(PICKER | {"spec": PICKER["spec"] | fields})
        found = not retire(ended)["ok"]
        ended.cluster.put(PICKER)
        return found

    template = PICKER["spec"]["template"]
    assert changed(template=template | {"spec": {"containers": [{"image": "other"}]}})
    restarted = {proof.RESTARTED: "2026-01-01T00:00:00Z"}
    assert not changed(template=template | {"metadata": template["metadata"] | {"annotations": restarted}}), "the same picker, started again"
    assert not changed(replicas=3)
    ended.cluster.put(manifest("v1", "ConfigMap", "llama-ga-epp", data={"plugins": "others"}))
    assert not retire(ended)["ok"]


def test_a_shift_is_proven_for_the_stack_that_it_began_with(here: Here) -> None:
    here.begin()
    here.cluster.put(PICKER)
    begun = here(check="baseline")["stack"]
    here.cluster.put(weights.reshape(ROUTE, ROUTE, MOVES, "split", 100))
    given = {"check": "phase_end", "phase": "shift", "shares": 100, "rounds": 1, "fail": False, "stack": begun}
    assert here(**given)["ok"]
    here.cluster.put(PICKER | {"spec": {"template": {"spec": {"containers": [{"image": "other"}]}}}})
    assert "changed while it was being proven" in here(**given)["faults"][0]


def test_what_stays_on_purpose_is_in_the_sentence(ended: Here) -> None:
    other = manifest("inference.networking.x-k8s.io/v1alpha2", "InferenceModel", "elsewhere")
    ended.cluster.put(other)
    pool = PLAN["pools"][0] | {"stays": [{"object": "ClusterRole llama-epp", "why": "others use it"}]}
    unnamed = pool | {"name": "idle", "v1_name": "idle-ga", "references": [], "stays": []}
    plan = {"pools": [pool, unnamed]}
    scope = MigrationScope.read(ended.cluster, plan, "igm1", None)
    note(ended, stack=proof.stack(scope))
    result = retire(ended, plan=plan)
    assert result["reason"] == (
        "v1alpha2 is gone and v1 answers; left in place: ClusterRole llama-epp (others use it), InferenceModel default/elsewhere; "
        "no route names InferencePool default/idle-ga, so nothing is proven there"
    )


def test_pools_that_no_route_names_prove_nothing(here: Here) -> None:
    here.begin()
    here.cluster.objects.pop(here.cluster.put(ROUTE))
    result = retire(here, plan={"pools": [PLAN["pools"][0] | {"references": []}]})
    assert (result["ok"], result["verdict"], result["sent"]) == (True, None, 0)
    assert result["reason"] == "v1alpha2 is gone; no route names InferencePool default/llama-ga, so nothing is proven there"


def test_what_remains_is_what_can_be_deleted(here: Here) -> None:
    """Also where a kind is gone with its definition: nothing can be deleted of it, so nothing has to be."""
    models = [manifest("inference.networking.x-k8s.io/v1alpha2", "InferenceModel", name) for name in ("a", "b")]
    here.cluster.put(models[1])
    plan = {"pools": [PLAN["pools"][0] | {"retire": models}]}
    assert here(check="remaining", plan=plan)["remaining"] == [models[1]] and here.asked == []
    left = here(check="removed", plan=plan, objects=models, seconds=100)
    assert left["failed"] and left["msg"].startswith(f"InferenceModel default/{models[1]['metadata']['name']} is still there"), "it is not being deleted"
    assert here(check="removed", plan=plan, objects=models[:1])["ok"]


def pointed(name: str, pool: str, group: str = "inference.networking.x-k8s.io", **metadata: Any) -> Manifest:
    """An InferenceObjective and the pool that it names, or what to merge into one."""
    objective = manifest("inference.networking.x-k8s.io/v1alpha2", "InferenceObjective", name, spec={"poolRef": {"group": group, "name": pool}})
    objective["metadata"] |= metadata
    return objective


def test_only_objectives_that_still_name_the_alpha_pool_are_pointed_at_v1(here: Here) -> None:
    """One is done, one names another pool by now, and one is gone: none of them is written, and none is made again."""
    wanted = [pointed(name, "llama-ga", "inference.networking.k8s.io") for name in ("a", "done", "elsewhere", "gone")]
    for there in (pointed("a", "llama-preview", resourceVersion="7"), wanted[1], pointed("elsewhere", "other")):
        here.cluster.put(deepcopy(there))
    plan = {"pools": [PLAN["pools"][0] | {"retire": [], "repoint": wanted}]}
    (found,) = here(check="remaining", plan=plan)["repoint"]
    version = here.cluster.get("/apis/inference.networking.x-k8s.io/v1alpha2/namespaces/default/inferenceobjectives/a")["metadata"]["resourceVersion"]
    assert found == wanted[0] | {"metadata": wanted[0]["metadata"] | {"resourceVersion": version}}
    assert here.cluster.writes == []


def test_an_objective_that_names_alpha_again_is_no_end(ended: Here) -> None:
    plan = {"pools": [PLAN["pools"][0] | {"repoint": [pointed("a", "llama-ga", "inference.networking.k8s.io")]}]}
    assert retire(ended, plan=plan)["ok"], "one that is gone stands against nothing"
    ended.cluster.put(pointed("a", "llama-preview"))
    result = retire(ended, plan=plan)
    assert result["verdict"] == "HELD" and "InferenceObjective default/a still names v1alpha2's pool" in result["faults"][0]


# -- looking beside other work -------------------------------------------------------------------------------------------


class Seen:
    """A scene of which only what is demanded counts."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.looks = list(errors), 0

    def demand(self, wanted: Any) -> None:
        self.looks += 1
        if self.errors:
            raise self.errors.pop(0)


def test_the_routes_are_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(checks.time, "monotonic", lambda: now[0])
    seen = Seen()
    look = checks.Lookout(seen, 10)
    for now[0] in (100.0, 101.0, 102.9, 103.0, 105.9, 106.0):
        look()
    assert seen.looks == 3
    nothing = checks.Lookout(seen, None)
    nothing()
    nothing.last()
    assert seen.looks == 3, "without shares there is nothing to demand"


def test_a_silent_api_server_is_asked_again_in_the_middle_and_not_believed_at_the_end() -> None:
    look = checks.Lookout(Seen(Unreachable("away"), Unreachable("away"), weights.Drifted("by x")), 10)
    look()
    with pytest.raises(Unreachable):
        look.last()
    with pytest.raises(weights.Drifted):
        look.last()
