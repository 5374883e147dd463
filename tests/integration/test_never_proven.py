# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gateways, routes and stacks that must never be called PROVEN, each ill in its own way, and runs that looked at nothing.

``make test`` runs a sample, ``make matrix`` all. (What must not be retired is in test_never_retired.py, a dead endpoint picker behind FailOpen in
test_broken_worlds.py.)
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from igw_sandbox.world import World
from tests.e2e.product import ALPHA_GROUP, ZERO_DOWNTIME
from tests.integration.harness import (
    ALPHA_POOL,
    ESTATES,
    MARKED,
    REAL_GATE,
    REAL_SHARE,
    SHIFT,
    Ended,
    detect,
    module,
    put_back,
    resets,
    route_spec,
    source,
    write_route,
)

POOL = "vllm-llama3-8b-instruct-ga"
ROUTE = "default/llm-route"
HEALTHY: dict[str, Any] = {"weights": "kept", "streams": "kept", "mixed": {}, "status": "converged", "pool_groups_of": {}, "warm": [2.0, 4.0]}
V1_GROUP = "inference.networking.k8s.io"
MANAGER = "argocd-controller"
RUNS = range(int(os.environ.get("IGW_RUNS", "1")))
"""How often a world is tried whose requests fail by chance: its verdict must not be one of luck."""


@contextmanager
def ill(world: World, **settings: Any) -> Iterator[None]:
    """The gateway with an illness, until the end of a block."""
    world.fault("gateway", **settings)
    try:
        yield
    finally:
        world.fault("gateway", **{name: HEALTHY[name] for name in settings})


def unproven(world: World, before: Any, ended: Ended, *cause: str, lost: bool = False, left: bool = False) -> None:
    """What each must show: not PROVEN, the cause in the reason, the users' rule as before, and no user harmed unless the illness itself harms.

    Probe routes are gone, unless the illness keeps the gateway from saying that it does without them: then they are ``left``, and that is said.
    """
    assert ended.status != 0 and ended.verdict in ("FAILED", "HELD"), ended.reason
    assert all(words in ended.reason for words in cause), ended.reason
    assert route_spec(world) == before, "the user's route is as it was"
    assert bool(world.kubectl("get", "httproutes", "-A", "-l", MARKED, "-o", "name")) == ("Probe routes may be left" in ended.reason) == left, ended.reason
    if ended.load and not lost:
        assert (ended.load["lost"], ended.load["cut"], ended.load["problems"]) == (0, 0, []), ended.load["reasons"]


@pytest.mark.matrix
def test_a_gateway_that_ignores_weights(installed: World, play: Callable[..., Ended]) -> None:
    """Users and probes are served all the time: only the tracer requests tell that half of the users are on v1, not a tenth.

    Red for nothing: under one in 10^30, a sequential test of one tenth against a fifth that accepts a half.
    """
    before = route_spec(installed)
    with ill(installed, weights="ignored"):
        ended = play(installed, rate=20, extra=SHIFT | REAL_SHARE | {"migration_settle_seconds": 20})
    unproven(installed, before, ended, "traffic split at 10 %", "the gateway does not do what the weights say", "where its weight says 90.0%")
    assert ended.verdict == "FAILED"


@contextmanager
def impatient(world: World, seconds: int) -> Iterator[None]:
    """The policy of v1's pool gives up on an answer after some seconds, until the end of a block."""
    policies = world.kubectl_json("get", "gcpbackendpolicies")["items"]
    (name,) = [policy["metadata"]["name"] for policy in policies if policy["spec"]["targetRef"]["group"] == V1_GROUP]
    before = world.kubectl("get", "gcpbackendpolicy", name, "-o", "jsonpath={.spec.default.timeoutSec}")
    change = '{"spec": {"default": {"timeoutSec": %s}}}'
    world.kubectl("patch", "gcpbackendpolicy", name, "--type", "merge", "-p", change % seconds)
    try:
        yield
    finally:
        world.kubectl("patch", "gcpbackendpolicy", name, "--type", "merge", "-p", change % before)


@pytest.mark.matrix
def test_a_v1_that_gives_up_on_long_answers(installed: World, play: Callable[..., Ended]) -> None:
    """Every short request is served by both stacks; before users get any, streams tell that v1 cuts what v1alpha2 keeps."""
    before = route_spec(installed)
    with impatient(installed, 4):
        ended = play(installed, rate=20, extra=SHIFT | {"migration_stream_seconds": 9})
    unproven(installed, before, ended, "streams at 0 %", "v1 cut a stream after ", "v1alpha2 kept one for 9 s", "timeout in the backend policies")
    assert ended.verdict == "FAILED"


@pytest.mark.matrix
@pytest.mark.parametrize(("line", "cause"), [("baseline: v1alpha2 serves every way", "when routes changed"), ("gate at 0 %", "when weights changed")])
def test_a_gateway_that_cuts_streams_when_it_takes_a_change(installed: World, play: Callable[..., Ended], line: str, cause: str) -> None:
    """Every request that begins is served: only what was open over a change tells, and users' streams end like it.

    A user's probe that happens to be open tells it as well, and then it is FAILED.
    """
    before = route_spec(installed)

    def watch(said: str) -> None:
        if line in said:
            installed.fault("gateway", streams="cut")

    with ill(installed, streams="kept"):
        ended = play(installed, extra=SHIFT | {"migration_stream_seconds": 15}, show=watch)
    by_streams = ("a stream of v1alpha2 ended after ", cause, "the gateway may cut users' streams at every change")
    unproven(installed, before, ended, *(by_streams if ended.verdict == "HELD" else ["users' requests fail while the gateway takes the change"]))


@pytest.mark.matrix
def test_a_users_rule_that_breaks_while_the_probe_routes_are_healthy(installed: World, play: Callable[..., Ended]) -> None:
    """It fails three requests in ten, which most often ends the settling, else the gate.

    Red for nothing: one in 10^10, 65 users' requests or more that all are among the seven in ten that go well.
    """
    before = route_spec(installed)
    with ill(installed, mixed={ROUTE: "broken"}):
        ended = play(installed, rate=20, extra=SHIFT | {"migration_tracers": 0, "migration_settle_seconds": 20})
    unproven(installed, before, ended, "10 %", "user: status 500", lost=True)
    assert ended.load["lost"] > 0 and set(ended.load["reasons"]) == {"status 500"}, "explained: the rule itself answers 500 while it names both groups"


def test_an_endpoint_that_only_v1_refuses(installed: World, play: Callable[..., Ended]) -> None:
    """EPP v1.5.0 refuses prompts of token ids, v0.3.0 takes them: nothing of the plan shows it, a person's own probe does."""
    before = route_spec(installed)
    tokens = {"path": "/v1/completions", "body": {"model": "meta-llama/Llama-3.1-8B-Instruct", "prompt": [1, 2, 3], "max_tokens": 2}}
    ended = play(installed, rate=20, extra=SHIFT | {"migration_probes": [tokens], "migration_warm_seconds": 15})
    unproven(installed, before, ended, "warm-up", "v1: status 400")
    assert ended.verdict == "FAILED"


@pytest.mark.matrix
def test_weights_of_zero_that_leak(installed: World, play: Callable[..., Ended]) -> None:
    """A reference of weight 0 gets one request in 21. Red for nothing: 6 in 10^8, 342 tracer requests of which none leaks."""
    before = route_spec(installed)
    with ill(installed, weights="leaking"):
        ended = play(installed, rate=20, extra=SHIFT | REAL_SHARE | {"migration_settle_seconds": 45})
    unproven(installed, before, ended, "traffic split at 100 %", "alpha answered", "where its weight says 0.0%")


@pytest.mark.matrix
def test_a_shadowing_longer_path(installed: World, play: Callable[..., Ended]) -> None:
    """Another team's route takes the users' requests by a longer path: nothing that this migration proves is about them."""
    before = route_spec(installed)
    shadow = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "shadow", "namespace": "default"},
        "spec": {
            "parentRefs": before["parentRefs"],
            "hostnames": before.get("hostnames", []),
            "rules": [{"matches": [{"path": {"type": "Exact", "value": path}} for path in ("/v1/completions", "/v1/chat/completions")],
                       "backendRefs": [{"name": "plain", "port": 80}]}],
        },
    }  # fmt: skip
    installed.apply(json.dumps(shadow) + "\n")
    installed.kubectl("wait", "httproute/shadow", "--for=jsonpath={.status.parents[0].conditions[?(@.type=='Reconciled')].status}=True", "--timeout=30s")
    ended = play(installed, rate=20, extra=SHIFT)
    installed.kubectl("delete", "httproute", "shadow")
    unproven(installed, before, ended)


@pytest.mark.matrix
def test_a_status_that_stays_at_an_old_generation(installed: World, play: Callable[..., Ended]) -> None:
    """It stays there from the first gate on: probe routes whose status nobody writes would have ended the warm-up."""
    before = route_spec(installed)

    def watch(said: str) -> None:
        if "gate at 0 %" in said:
            installed.fault("gateway", status="frozen")

    with ill(installed, status="converged"):
        ended = play(installed, rate=20, extra=SHIFT | {"migration_settle_seconds": 20}, show=watch)
    unproven(installed, before, ended, "10 %: not settled", "is of generation", left=True)


@pytest.mark.matrix
def test_a_gateway_that_falls_back_to_the_rule_before(installed: World, play: Callable[..., Ended]) -> None:
    before = route_spec(installed)
    with ill(installed, mixed={ROUTE: "fallback"}):
        ended = play(installed, rate=20, extra=SHIFT | {"migration_settle_seconds": 20})
    unproven(installed, before, ended, "PartiallyInvalid")


@pytest.mark.matrix
def test_a_policy_that_the_gateway_has_not_attached(installed: World, play: Callable[..., Ended]) -> None:
    """Requests are answered, but not by the settings that somebody asked for: the first of two policies counts, the other never."""
    before = route_spec(installed)
    target = {"group": V1_GROUP, "kind": "InferencePool", "name": POOL}
    second = {"apiVersion": "networking.gke.io/v1", "kind": "GCPBackendPolicy", "metadata": {"name": "second", "namespace": "default"},
              "spec": {"targetRef": target, "default": {"timeoutSec": 90}}}
    installed.apply(json.dumps(second) + "\n")
    ended = play(installed, rate=20, extra=SHIFT)
    installed.kubectl("delete", "gcpbackendpolicy", "second")
    unproven(installed, before, ended, "GCPBackendPolicy default/second: Attached is False: Conflicted")


@pytest.mark.matrix
def test_a_second_parent_that_refuses_v1(installed: World, play: Callable[..., Ended]) -> None:
    """The first parent is fine. The second refuses v1's group, says so in its own status entry, and breaks v1's share there."""
    plain = route_spec(installed)
    gateway = installed.kubectl_json("get", "gateway", "inference-gateway")
    second = {"apiVersion": gateway["apiVersion"], "kind": "Gateway", "metadata": {"name": "second", "namespace": "default"}, "spec": gateway["spec"]}
    installed.apply(json.dumps(second) + "\n")
    patch = json.dumps({"spec": {"parentRefs": [*plain["parentRefs"], {"name": "second"}]}})
    installed.kubectl("patch", "httproute", "llm-route", "--type=merge", "-p", patch)
    installed.kubectl("wait", "gateway/second", "--for=condition=Programmed", "--timeout=60s")
    before = route_spec(installed)
    with ill(installed, pool_groups_of={"default/second": ["inference.networking.x-k8s.io"]}):
        ended = play(installed, extra=SHIFT | {"migration_phases": ["plan", "shift"]})
    after = route_spec(installed)
    installed.kubectl("patch", "httproute", "llm-route", "--type=merge", "-p", json.dumps({"spec": {"parentRefs": plain["parentRefs"]}}))
    installed.kubectl("delete", "gateway", "second")
    assert after == before
    unproven(installed, plain, ended, "default/second")


@pytest.mark.matrix
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize(("percent", "verdicts"), [(30, ["FAILED"]), (3, ["FAILED", "HELD"])])
def test_a_v1_that_fails_some_requests(installed: World, play: Callable[..., Ended], percent: int, verdicts: list[str], run: int) -> None:
    """By the sequential test with the bounds that users get: red for nothing once in 10^67 runs at 30 %, at 3 % once in 10^22."""
    before = route_spec(installed)
    with resets(installed, percent):
        ended = play(installed, extra=SHIFT | REAL_GATE | {"migration_warm_seconds": 10, "migration_settle_seconds": 20})
    print(f"{percent} %, run {run}: {ended.verdict}: {ended.reason}")
    unproven(installed, before, ended, "failed on v1 alone")
    assert ended.verdict in verdicts


@contextmanager
def injected(world: World, rate: int, kind: str) -> Iterator[None]:
    """The model servers answer a share of requests with an error, whoever asks, until the end of a block."""
    arguments = world.kubectl_json("get", "deployment", "vllm-llama3-8b-instruct")["spec"]["template"]["spec"]["containers"][0]["args"]

    def ask(wanted: list[str]) -> None:
        patch = json.dumps([{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": wanted}])
        world.kubectl("patch", "deployment", "vllm-llama3-8b-instruct", "--type=json", "-p", patch)
        world.kubectl("rollout", "status", "deployment/vllm-llama3-8b-instruct", "--timeout=120s")

    ask([*arguments, "--failure-injection-rate", str(rate), "--failure-types", kind])
    try:
        yield
    finally:
        ask(arguments)


@pytest.mark.matrix
def test_alpha_is_ill_from_the_start(installed: World, play: Callable[..., Ended]) -> None:
    before = route_spec(installed)
    with injected(installed, 100, "server_error"):
        ended = play(installed, extra=SHIFT)
    unproven(installed, before, ended, "v1alpha2 does not serve every way by which users reach it", "status 5")
    assert ended.verdict == "HELD"


@pytest.mark.matrix
def test_a_v1_that_saturates_the_pods_both_share(make_world: Callable[..., World], play: Callable[..., Ended]) -> None:
    """With v1's first tenth of the traffic the pods begin to answer 429 to most, to alpha's requests as well as to v1's.

    Red for nothing: one in 10^24, 24 probes of a round that are all spared.
    """
    world = make_world("saturated", estates=[ESTATES / "demo"])
    with ExitStack() as saturated:

        def watch(line: str) -> None:
            if "v1 gets 10 %" in line:
                saturated.enter_context(injected(world, 90, "rate_limit"))

        ended = play(world, extra=REAL_GATE | {"migration_settle_seconds": 20, "migration_gate_seconds": 60}, show=watch)
    assert ended.status != 0 and ended.verdict in ("FAILED", "HELD"), ended.reason
    assert "429" in ended.reason, "it must have fired"
    world.down()


@pytest.mark.matrix
@pytest.mark.parametrize("share", [10, 100])
def test_a_route_that_is_reverted_in_a_soak(installed: World, play: Callable[..., Ended], share: int) -> None:
    """After the share was measured only probe routes are compared: they are well whatever the users' own rule says."""
    original = installed.kubectl_json("get", "httproute", "llm-route")
    fired: list[str] = []

    def watch(line: str) -> None:
        if f"traffic split at {share} %: " in line and not fired:
            fired.append(line)
            write_route(installed, source(original), "apply", MANAGER)

    try:
        ended = play(installed, rate=20, extra=SHIFT | {"migration_soak_seconds": 20}, show=watch)
        assert fired, "it must have fired"
        unproven(installed, original["spec"], ended, MANAGER, "llm-route", "backendRefs")
    finally:
        put_back(installed, original)
    assert ended.verdict == "HELD"


ALPHA_BACKEND = {"group": ALPHA_GROUP, "kind": "InferencePool", "name": ALPHA_POOL}
LATER = {"GRPCRoute": "GRPCRoute default/late", "rule": "HTTPRoute default/llm-route"}


@contextmanager
def made_since(world: World, what: str) -> Iterator[None]:
    """A route, or a rule of the moved route, that came after the plan and sends to the v1alpha2 pool, until the end of a block."""
    original = world.kubectl_json("get", "httproute", "llm-route")
    if what == "GRPCRoute":
        rule = {"matches": [{"method": {"service": "late.Service"}}], "backendRefs": [ALPHA_BACKEND]}
        late = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute", "metadata": {"name": "late", "namespace": "default"},
                "spec": {"parentRefs": original["spec"]["parentRefs"], "hostnames": ["late.example.com"], "rules": [rule]}}
        world.apply(json.dumps(late) + "\n")
    else:
        rule = {"matches": [{"path": {"type": "PathPrefix", "value": "/late"}}], "backendRefs": [ALPHA_BACKEND]}
        world.kubectl("patch", "httproute", "llm-route", "--type=json", "-p", json.dumps([{"op": "add", "path": "/spec/rules/-", "value": rule}]))
    try:
        yield
    finally:
        world.kubectl("delete", "grpcroute", "late", "-n", "default", "--ignore-not-found")
        if what == "rule":
            world.kubectl("patch", "httproute", "llm-route", "--type=json", "-p", '[{"op": "remove", "path": "/spec/rules/2"}]')


@pytest.mark.matrix
@pytest.mark.parametrize("what", LATER)
def test_a_shift_past_what_needs_v1alpha2_since_the_plan(installed: World, play: Callable[..., Ended], what: str) -> None:
    original = installed.kubectl_json("get", "httproute", "llm-route")
    with made_since(installed, what):
        before = route_spec(installed)
        try:
            ended = play(installed, extra=SHIFT)
            unproven(installed, before, ended, LATER[what], ALPHA_POOL)
        finally:
            put_back(installed, original | {"spec": before})
    assert ended.verdict == "HELD"


@pytest.mark.matrix
@pytest.mark.parametrize("path", ["zero_downtime", "simple"])
def test_a_pool_that_no_route_names(make_world: Callable[..., World], play: Callable[..., Ended], path: str) -> None:
    """Nothing is lost and nothing is proven: no request reaches either stack."""
    world = make_world(f"unrouted-{path.replace('_', '-')}", estates=[ESTATES / "demo"])
    world.kubectl("delete", "httproute", "llm-route")
    ended = play(world, ZERO_DOWNTIME.replace("zero_downtime", path))
    world.down()
    assert ended.status == 0, ended.log[-2000:]
    assert ended.verdict != "PROVEN" and "nothing to prove" in ended.log and "no route names" in ended.log, ended.reason


@pytest.mark.parametrize(("options", "named"), [({"pools": []}, "pools"), ({"rounds": 0}, "rounds")], ids=["no-pools", "no-rounds"])
def test_a_verification_of_nothing(installed: World, collections_path: Path, tmp_path: Path, options: dict[str, Any], named: str) -> None:
    """No request was sent, so nothing can hold."""
    plan = {} if "pools" in options else {"plan": detect(installed, tmp_path / "detect", collections_path)["plan"]}
    answer = module("verify_gateway", installed, tmp_path, collections_path, seconds=20, **plan, **options)
    assert answer.returncode != 0, answer.stdout
    said = json.loads(answer.stdout.partition("=> ")[2])
    assert named in said["msg"] and len(said["msg"].split()) > 5 and "Traceback" not in said["msg"], said["msg"]
