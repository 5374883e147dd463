# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checker of invariants: a clean migration is green, and each invariant goes red when it alone is broken."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from tests.campaign.evidence import Evidence, Play, Request, State
from tests.campaign.invariants import Violation, check

ALPHA, V1 = "inference.networking.x-k8s.io", "inference.networking.k8s.io"
PLAN = {"pools": [{"namespace": "default", "name": "chat", "v1_name": "chat-ga", "retire": [
    {"apiVersion": f"{ALPHA}/v1alpha2", "kind": "InferenceModel", "metadata": {"name": "base", "namespace": "default"}},
    {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "chat-epp", "namespace": "default"}}]}]}


def thing(api: str, kind: str, name: str, spec: Any, **more: Any) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "default", "labels": {"team": "search"}}, "spec": spec, **more}


def pool(group: str, name: str) -> dict[str, Any]:
    field = "extensionRef" if group == ALPHA else "endpointPickerRef"
    return thing(f"{group}/v1alpha2" if group == ALPHA else f"{group}/v1", "InferencePool", name, {field: {"name": f"{name}-epp"}})


def picker(name: str, ready: int = 1) -> dict[str, Any]:
    labels = {"app": name}
    return thing("apps/v1", "Deployment", name, {"template": {"metadata": {"labels": labels}}}, status={"readyReplicas": ready})


def service(name: str) -> dict[str, Any]:
    return thing("v1", "Service", name, {"selector": {"app": name}})


def route(*references: tuple[str, str, int], third: int = 1) -> dict[str, Any]:
    refs: list[dict[str, Any]] = [{"group": group, "kind": "InferencePool", "name": name, "weight": share} for group, name, share in references]
    refs.append({"name": "plain", "port": 80, "weight": third})
    return thing("gateway.networking.k8s.io/v1", "HTTPRoute", "llm", {"rules": [{"backendRefs": refs}]})


def journal(events: list[str], phases: list[str]) -> dict[str, Any]:
    record = {"entries": [{"time": "", "event": event} for event in events], "phases": phases, "plan": PLAN}
    meta = {"name": "inference-gateway-migration", "namespace": "inference-gateway-migration"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"record": json.dumps(record)}}


MODEL = thing(f"{ALPHA}/v1alpha2", "InferenceModel", "base", {"modelName": "base"})
BEFORE = [route((ALPHA, "chat", 1)), pool(ALPHA, "chat"), picker("chat-epp"), service("chat-epp"), MODEL]
INSTALLED = [pool(V1, "chat-ga"), service("chat-ga-epp"), picker("chat-ga-epp")]
SHIFTED = "routes shifted {}: HTTPRoute default/llm"


class Story:
    """A run's history, written version by version."""

    def __init__(self) -> None:
        self.states: list[State] = []
        self.calls: list[dict[str, Any]] = []

    def write(self, manifest: dict[str, Any], gone: bool = False) -> int:
        number = len(self.states) + 1
        self.states.append(State(number, 100.0 + 10 * number, gone, deepcopy(manifest)))
        return number

    def call(self, user: str, method: str, path: str, when: float = 0.0, write: bool = True) -> None:
        self.calls.append({"user": user, "method": method, "path": path, "time": when, "write": write, "status": 200})

    def evidence(self, **fields: Any) -> Evidence:
        known = {"baseline": BEFORE, "before": BEFORE, "history": self.states, "calls": self.calls, "plan": PLAN}
        return Evidence(**{**known, **fields})


def clean() -> Story:
    """A migration as it should be, with a re-run and a run in check mode."""
    story = Story()
    for manifest in INSTALLED:
        story.write(manifest)
    story.write(journal(["phase plan done", "phase install done"], ["plan", "install"]))
    # v1alpha2's half of the rule splits into two that sum to it; the third keeps its half
    story.write(route((ALPHA, "chat", 9), (V1, "chat-ga", 1), third=10))
    story.write(journal(["phase plan done", "phase install done", SHIFTED.format(10)], ["plan", "install"]))
    story.write(route((ALPHA, "chat", 0), (V1, "chat-ga", 1)))
    story.write(journal(["phase plan done", "phase install done", SHIFTED.format(10), SHIFTED.format(100), "phase shift done"], ["plan", "install", "shift"]))
    story.write(route((V1, "chat-ga", 1)))
    story.write(MODEL, gone=True)
    story.write(picker("chat-epp"), gone=True)
    story.write(service("chat-epp"))
    story.write(pool(ALPHA, "chat"), gone=True)
    events = ["phase plan done", "phase install done", SHIFTED.format(10), SHIFTED.format(100), "phase shift done", "routes finished: HTTPRoute default/llm"]
    story.write(journal([*events, "phase retire done"], ["plan", "install", "shift", "retire"]))
    story.call("client-1", "POST", "/api/v1/namespaces", 1)
    story.call("client-1", "POST", "/apis/coordination.k8s.io/v1/namespaces/inference-gateway-migration/leases", 2)
    story.call("client-1", "PUT", "/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes/llm", 3)
    for user in ("client-2", "client-3"):
        story.call(user, "GET", "/version", 50, write=False)
    return story


PLAYS = [Play("client-1", "fault", 0, "PROVEN"), Play("client-2", "rerun", 0, "PROVEN"), Play("client-3", "check", 0, "PROVEN")]
LEASES = "/apis/coordination.k8s.io/v1/namespaces/inference-gateway-migration/leases/inference-gateway-migration"
ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/default/httproutes/llm"


def broken(evidence: Evidence) -> set[str]:
    return {violation.invariant for violation in check(evidence)}


def test_a_clean_migration_is_green() -> None:
    requests = [Request("default/llm/0", 100.0, 175.0), Request("default/llm/0", 190.0, 500.0)]
    assert check(clean().evidence(plays=PLAYS, requests=requests)) == []


def test_i1_weights_that_sum_to_nothing() -> None:
    story = Story()
    story.write(route((ALPHA, "chat", 0), third=0))
    assert Violation("I1", "the weights of rule 0 of HTTPRoute default/llm sum to 0") in check(story.evidence())


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "not ready"])
def test_i1_a_weight_without_a_picker(gone: bool) -> None:
    story = Story()
    story.write(picker("chat-epp", ready=0), gone=gone)
    (violation,) = [found for found in check(story.evidence(plan=None)) if found.invariant == "I1"]
    assert ("no endpoint picker" if gone else "no ready replica") in violation.sentence


def test_i1_a_picker_that_was_broken_on_purpose() -> None:
    story = Story()
    story.write(picker("chat-epp", ready=0))
    assert check(story.evidence(broken=frozenset({("default", "chat-epp")}))) == []


def test_i2_a_weight_on_a_pool_that_is_not_there() -> None:
    story = Story()
    story.write(route((ALPHA, "chat", 1), (V1, "chat-ga", 1), third=2))
    assert broken(story.evidence()) == {"I2"}


def test_i2_a_weight_of_zero_on_it_is_fine() -> None:
    story = Story()
    story.write(route((ALPHA, "chat", 1), (V1, "chat-ga", 0)))
    assert check(story.evidence()) == []


@pytest.mark.parametrize("change", ["labels", "annotations", "spec"])
def test_i3_a_users_object_that_changed(change: str) -> None:
    story, other = Story(), route((ALPHA, "chat", 1))
    if change == "spec":
        other["spec"]["hostnames"] = ["llm.example.com"]
    else:
        other["metadata"][change] = {"more": "yes"}
    story.write(other)
    assert broken(story.evidence()) == {"I3"}


def test_i3_a_users_object_that_is_gone() -> None:
    story = Story()
    story.write(thing("v1", "Service", "plain", {}), gone=True)
    assert broken(story.evidence(baseline=[*BEFORE, thing("v1", "Service", "plain", {})])) == {"I3"}


def test_i3_what_a_user_edits_is_the_new_baseline() -> None:
    story, edited = Story(), route((ALPHA, "chat", 1))
    edited["metadata"]["labels"] = {"team": "other"}
    edits = frozenset({story.write(edited)})
    story.write(edited)
    assert check(story.evidence(edits=edits)) == []
    story.write(route((ALPHA, "chat", 1)))
    assert broken(story.evidence(edits=edits)) == {"I3"}, "and is not to be undone"


def test_i4_a_pool_that_a_route_still_names_with_weight_zero() -> None:
    story = Story()
    for manifest in INSTALLED:
        story.write(manifest)
    story.write(route((ALPHA, "chat", 0), (V1, "chat-ga", 1)))
    story.write(pool(ALPHA, "chat"), gone=True)
    assert broken(story.evidence()) == {"I4"}


def test_i4_a_pool_that_a_mirror_names() -> None:
    story, mirroring = Story(), thing("gateway.networking.k8s.io/v1", "HTTPRoute", "other", {"rules": [{"backendRefs": [{"name": "plain"}], "filters": [
        {"type": "RequestMirror", "requestMirror": {"backendRef": {"group": ALPHA, "kind": "InferencePool", "name": "chat"}}}]}]})
    for manifest in [*INSTALLED, mirroring, route((V1, "chat-ga", 1))]:
        story.write(manifest)
    story.write(pool(ALPHA, "chat"), gone=True)
    assert broken(story.evidence()) == {"I4"}


def test_i4_a_request_that_is_open() -> None:
    evidence = clean().evidence(requests=[Request("default/llm/0", 150.0, 225.0)])
    assert {violation.sentence.partition(" was")[0] for violation in check(evidence)} == {"InferenceModel default/base", "Deployment default/chat-epp"}
    assert broken(evidence) == {"I4"}


@pytest.mark.parametrize("what", ["changed", "left", "missing"])
def test_i5_a_rollback_that_ends_elsewhere(what: str) -> None:
    story, plays = Story(), [Play("client-1", "fault", 2, "FAILED"), Play("client-2", "rollback", 0, "ROLLED BACK")]
    for manifest in INSTALLED:
        story.write(manifest)
    story.write(route((ALPHA, "chat", 9), (V1, "chat-ga", 1), third=10))
    story.write(MODEL, gone=True)
    if what != "changed":
        story.write(route((ALPHA, "chat", 1)))
    if what != "left":
        for manifest in INSTALLED:
            story.write(manifest, gone=True)
    if what != "missing":
        story.write(MODEL)
    found = [violation.sentence for violation in check(story.evidence(plays=plays)) if violation.invariant == "I5"]
    assert any({"changed": "not that of before", "left": "is left", "missing": "is not there"}[what] in sentence for sentence in found), found


@pytest.mark.parametrize("what", ["taken back", "left", "undone"])
def test_i5_what_a_user_wrote_meanwhile_stays_but_for_the_pools_that_move(what: str) -> None:
    """Somebody gives v1alpha2 all weight again and leaves v1 at 0: the rollback takes v1 out, and leaves the user's label."""
    story, plays = Story(), [Play("client-1", "fault", 2, "HELD"), Play("client-2", "rollback", 0, "ROLLED BACK")]
    for manifest in INSTALLED:
        story.write(manifest)
    zeroed, ended = route((ALPHA, "chat", 1), (V1, "chat-ga", 0)), route((ALPHA, "chat", 1))
    zeroed["metadata"]["labels"] = {"team": "other"}
    edits = frozenset({story.write(zeroed)})
    if what != "undone":
        ended["metadata"]["labels"] = {"team": "other"}
    story.write(zeroed if what == "left" else ended)
    for manifest in INSTALLED:
        story.write(manifest, gone=True)
    found = [violation.sentence for violation in check(story.evidence(plays=plays, edits=edits)) if violation.invariant == "I5"]
    said = {"taken back": "", "left": "names InferencePool.inference.networking.k8s.io default/chat-ga after the rollback", "undone": "is not that of before"}
    assert said[what] in found[0] if said[what] else not found, found


def test_i5_a_rollback_to_the_snapshot_is_green() -> None:
    story, plays = Story(), [Play("client-1", "rollback", 0, "ROLLED BACK")]
    for manifest in INSTALLED:
        story.write(manifest)
    for manifest in INSTALLED:
        story.write(manifest, gone=True)
    assert check(story.evidence(plays=plays)) == []


def two_writers(later: float) -> Story:
    """A run that writes once more ``later`` seconds after the next one began to write."""
    story = Story()
    story.call("client-1", "PUT", LEASES, 0)
    story.call("client-1", "PUT", ROUTE, 10)
    story.call("client-2", "PUT", LEASES, 20)
    story.call("client-2", "PUT", ROUTE, 30)
    story.call("client-1", "PUT", ROUTE, 30 + later)
    return story


def test_i6_two_writers() -> None:
    plays = [Play("client-1", "fault", -9, "FAILED"), Play("client-2", "again", 0, "PROVEN")]
    assert broken(two_writers(6).evidence(plays=plays)) == {"I6"}
    assert broken(two_writers(4).evidence(plays=plays)) == set(), "the fence lets what was sent before arrive"


def test_i6_a_writer_without_the_lease() -> None:
    story = Story()
    story.call("client-1", "PUT", ROUTE)
    assert broken(story.evidence(plays=[Play("client-1", "fault", 0, "PROVEN")])) == {"I6"}


def test_i6_a_write_that_never_arrived_counts_not() -> None:
    story = two_writers(6)
    story.calls[-1]["faults"] = ["reset"]
    assert check(story.evidence(plays=[Play("client-1", "fault", -9, "FAILED"), Play("client-2", "again", 0, "PROVEN")])) == []


@pytest.mark.parametrize(("user", "invariant"), [("client-2", "I7"), ("client-3", "I8")])
def test_i7_i8_a_run_that_should_be_silent(user: str, invariant: str) -> None:
    story = clean()
    story.call(user, "PUT", LEASES, 60)
    assert broken(story.evidence(plays=PLAYS)) == {invariant}


def test_i9_a_third_share_that_changed() -> None:
    story = Story()
    for manifest in INSTALLED:
        story.write(manifest)
    story.write(route((ALPHA, "chat", 9), (V1, "chat-ga", 1), third=9))
    assert broken(story.evidence()) == {"I9"}


@pytest.mark.parametrize(("events", "phases"), [([SHIFTED.format(50)], []), (["routes finished: HTTPRoute default/llm"], []),
                                                ([], ["install"]), ([], ["shift"]), ([], ["retire"])])
def test_i10_a_journal_ahead_of_the_cluster(events: list[str], phases: list[str]) -> None:
    story = Story()
    if phases != ["install"]:
        for manifest in INSTALLED:
            story.write(manifest)
        story.write(route((ALPHA, "chat", 9), (V1, "chat-ga", 1), third=10))
    story.write(journal(events, phases))
    assert broken(story.evidence()) == {"I10"}


def test_i10_a_journal_behind_the_cluster_is_fine() -> None:
    story = Story()
    for manifest in [*INSTALLED, route((ALPHA, "chat", 9), (V1, "chat-ga", 1), third=10), journal([], [])]:
        story.write(manifest)
    assert check(story.evidence()) == []
