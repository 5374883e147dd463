# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A migration that is given up: from each phase before retire, under load, after a kill, and where it must not go back."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from igw_sandbox.world import World
from tests.e2e.product import ALPHA_GROUP, ROLLBACK, STATUS, ZERO_DOWNTIME, leftovers
from tests.e2e.route_check import route_diff
from tests.integration.harness import (
    ALPHA_EPP,
    ESTATES,
    ON_V1,
    V1_EPP,
    V1_GROUP,
    Ended,
    alpha_share,
    gone,
    put_back,
    source,
    unharmed,
    write_route,
)
from tests.integration.killing import JOURNAL, ROUTE, Interrupt, Write, killed

V1 = V1_EPP.removesuffix("-epp")
INSTALL = {"migration_phases": ["plan", "install"]}
STREAMS = (6.0, 7.0, 8.0)
"""Seconds that users' streams last: they end in the time that v1 is drained, and would be cut in less."""
DRAIN = {"migration_drain_seconds": 8}
REMOVE = {"migration_remove_v1": True} | DRAIN


def route(world: World) -> dict[str, Any]:
    """The user's route."""
    return world.kubectl_json("get", "httproute", "llm-route")


def of_v1(world: World) -> list[str]:
    """Everything that a migration makes and that is there, but for journal and backup."""
    kinds = "deployments,services,serviceaccounts,configmaps,secrets,roles,rolebindings,healthcheckpolicies,gcpbackendpolicies,podmonitorings"
    named = world.kubectl("get", kinds, "-A", "-o", "name").split() + world.kubectl("get", "clusterroles,clusterrolebindings", "-o", "name").split()
    found = [name for name in named if V1 in name]
    found += world.kubectl("get", "httproutes", "-A", "-o", "name").split()
    definitions = world.kubectl("get", "crds", "-o", "name").split()
    return found + [name for name in definitions if name.endswith(f".{V1_GROUP}") or "objectives" in name or "rewrites" in name]


def backed_up(world: World) -> Any:
    """The spec that the user's route had before the open migration, by its backup."""
    record = json.loads(world.kubectl_json("get", "configmap", "-n", JOURNAL, JOURNAL)["data"]["record"])
    packed = [world.kubectl_json("get", "configmap", "-n", JOURNAL, name)["binaryData"]["objects"] for name in record["backup"]["names"]]
    objects = json.loads(gzip.decompress(b"".join(map(base64.b64decode, packed))))
    return next(entry["spec"] for entry in objects if entry["kind"] == "HTTPRoute")


def events(world: World) -> list[str]:
    """What the journal says, in order."""
    record = json.loads(world.kubectl_json("get", "configmap", "-n", JOURNAL, JOURNAL)["data"]["record"])
    return [entry["event"] for entry in record["entries"]]


def rolled_back(world: World, before: dict[str, Any], ended: Ended) -> None:
    """What a rollback must show: its verdict, the user's route as it was, no probe route, v1alpha2 whole."""
    assert (ended.status, ended.verdict) == (0, "ROLLED BACK"), ended.reason + ended.log[-2000:]
    assert route_diff(before, route(world)) == []
    assert world.kubectl("get", "httproutes", "-A", "-o", "name").split() == ["httproute.gateway.networking.k8s.io/llm-route"]
    assert gone(world) == []


@pytest.fixture(scope="module")
def shared(make_world: Callable[..., World]) -> Iterator[World]:
    """One sandbox for all that ends at the route as it was."""
    world = make_world("rollback", estates=[ESTATES / "demo"])
    yield world
    world.down()


def test_nothing_is_lost_by_giving_a_whole_shift_up_and_nothing_of_v1_is_left(shared: World, play: Callable[..., Ended]) -> None:
    before, kinds = route(shared), of_v1(shared)
    person = Interrupt("step 1 of 1: v1 gets 100 %")
    stopped = play(shared, extra={"migration_phases": ["plan", "install", "shift"], "migration_steps": [100]}, begun=person.begun, show=person.show)
    assert stopped.status != 0 and person.told_after < 3, (person.told_after, person.lines)
    assert any("v1 has 100 % of users' traffic" in line for line in person.lines), person.lines
    told = play(shared, STATUS)
    assert told.status == 0 and "phase shift; v1 has 100 % of users' traffic" in told.log and "was killed" in told.log, told.log[-1500:]
    with unharmed(shared, STREAMS):
        ended = play(shared, ROLLBACK, extra=REMOVE)
    rolled_back(shared, before, ended)
    assert of_v1(shared) == kinds, "what was there before, and nothing else"
    shared.reset_requests()
    again = play(shared, ROLLBACK, extra=REMOVE)
    assert again.status == 0 and "nothing to roll back" in again.reason, again.reason
    assert shared.requests()["writes"] == 0


# -- from each phase before retire ----------------------------------------------------------------------------------------


@pytest.mark.matrix
def test_what_was_only_installed_goes_again(shared: World, play: Callable[..., Ended]) -> None:
    """Users never left v1alpha2: they are asked by their own rules, and no probe route is made."""
    before, kinds = route(shared), of_v1(shared)
    assert play(shared, extra=INSTALL).status == 0
    with unharmed(shared, STREAMS):
        ended = play(shared, ROLLBACK, extra=REMOVE)
    rolled_back(shared, before, ended)
    assert "all traffic is on v1alpha2, which answers" in ended.reason and "probe routes made" not in ended.log
    assert of_v1(shared) == kinds


@pytest.mark.matrix
def test_a_plan_alone_is_given_up(shared: World, play: Callable[..., Ended]) -> None:
    before = route(shared)
    assert play(shared, extra={"migration_phases": ["plan"]}).status == 0
    rolled_back(shared, before, play(shared, ROLLBACK, extra=REMOVE))


STOPPED = {"10 %": ROUTE, "50 %": ROUTE._replace(earlier=1)}
"""A shift that is killed right after it gave v1 so much."""


@pytest.mark.matrix
@pytest.mark.parametrize("share", STOPPED)
def test_a_shift_that_was_killed_at_a_share_is_given_up(shared: World, play: Callable[..., Ended], share: str) -> None:
    before, kinds = route(shared), of_v1(shared)
    with unharmed(shared, STREAMS):
        killed(shared, play, STOPPED[share], ZERO_DOWNTIME, {"migration_steps": [10, 50, 100]})
        assert [weight for _group, weight in alpha_share(shared)] == {"10 %": [90, 10], "50 %": [50, 50]}[share]
        shared.reset_requests()
        checked = play(shared, ROLLBACK, extra=REMOVE, arguments=("--check", "--diff"))
        assert (checked.status, shared.requests()["writes"]) == (0, 0), checked.log[-2000:]
        assert f"-HTTPRoute default/llm-route rule 0: {V1_GROUP}/" in checked.log and "InferenceObjective default/" in checked.log
        ended = play(shared, ROLLBACK, extra=REMOVE)
    rolled_back(shared, before, ended)
    assert of_v1(shared) == kinds


# -- after a kill --------------------------------------------------------------------------------------------------------

KILLS = {
    "noted": Write("PUT", f"/configmaps/{JOURNAL}$"),
    "route": ROUTE,
    "probe route": Write("DELETE", "/httproutes/"),
    "objective": Write("DELETE", "/inferenceobjectives/"),
    "release marked": Write("PUT", f"/secrets/sh.helm.release.v1.{V1}[.]"),
    "picker": Write("DELETE", f"/deployments/{V1}-epp$"),
    "definition": Write("DELETE", f"/customresourcedefinitions/inferencepools.{V1_GROUP}$"),
    "drained": Write("PUT", f"/configmaps/{JOURNAL}$", earlier=2),
}
"""The distinct writes of a rollback, after which it is killed; that of its verdict excepted, for then it is over."""


@pytest.fixture
def at_100(shared: World, play: Callable[..., Ended]) -> World:
    """The sandbox with all traffic on v1, proven."""
    there = play(shared, extra={"migration_phases": ["plan", "install", "shift"], "migration_steps": [100]})
    assert (there.verdict, alpha_share(shared)) == ("PROVEN", ON_V1), there.reason
    return shared


@pytest.mark.matrix
@pytest.mark.parametrize("write", KILLS)
def test_the_same_command_finishes_a_rollback_that_was_killed(shared: World, play: Callable[..., Ended], at_100: World, write: str) -> None:
    before = route(shared) | {"spec": backed_up(shared)}
    with unharmed(shared, STREAMS):
        killed(shared, play, KILLS[write], ROLLBACK, REMOVE)
        ended = play(shared, ROLLBACK, extra=REMOVE)
    rolled_back(shared, before, ended)
    assert of_v1(shared) == ["httproute.gateway.networking.k8s.io/llm-route"]


@pytest.mark.matrix
@pytest.mark.parametrize("write", ["route", "picker"])
def test_a_migration_goes_forth_again_after_a_rollback_that_was_killed(shared: World, play: Callable[..., Ended], at_100: World, write: str) -> None:
    before = route(shared) | {"spec": backed_up(shared)}
    with unharmed(shared, STREAMS):
        killed(shared, play, KILLS[write], ROLLBACK, REMOVE)
        forth = play(shared, extra={"migration_phases": ["plan", "install", "shift"], "migration_steps": [100]})
        assert (forth.verdict, alpha_share(shared)) == ("PROVEN", ON_V1), forth.reason
        assert "goes forth again: a rollback had begun" in events(shared)
        ended = play(shared, ROLLBACK, extra=REMOVE)
    rolled_back(shared, before, ended)


# -- where it must not go back -------------------------------------------------------------------------------------------


@pytest.mark.matrix
def test_traffic_stays_where_v1alpha2_does_not_answer(shared: World, play: Callable[..., Ended], at_100: World) -> None:
    """After the remedy the same command goes back."""
    before = route(shared) | {"spec": backed_up(shared)}
    with unharmed(shared, STREAMS):
        shared.fault("epp_reset", namespace="default", deployment=ALPHA_EPP, percent=100)
        held = play(shared, ROLLBACK, extra=REMOVE | {"migration_settle_seconds": 30})
        shared.fault("epp_reset", namespace="default", deployment=ALPHA_EPP, percent=0)
        assert (held.status != 0, held.verdict, alpha_share(shared)) == (True, "HELD", ON_V1), held.reason
        assert "v1alpha2 does not answer" in held.reason and "see the pods of its endpoint picker" in held.reason, held.reason
        ended = play(shared, ROLLBACK, extra=REMOVE)
    rolled_back(shared, before, ended)


@pytest.mark.matrix
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_somebody_elses_weights_are_left_alone(shared: World, play: Callable[..., Ended], at_100: World, when: str) -> None:
    live = route(shared)
    foreign = source(route(shared))
    for reference, weight in zip(foreign["spec"]["rules"][0]["backendRefs"], (33, 67)):
        reference["weight"] = weight
    foreign["spec"]["rules"][0]["backendRefs"][0]["port"] = 8000
    wrote: list[str] = []

    def write(line: str) -> None:
        if "probe routes made" in line and when == "meanwhile":
            wrote.append(line)
            write_route(shared, foreign, "apply", "route-controller")

    if when == "before":
        write_route(shared, foreign, "apply", "route-controller")
    held = play(shared, ROLLBACK, extra=REMOVE, show=write)
    assert bool(wrote) == (when == "meanwhile"), "it must have fired"
    assert (held.status != 0, held.verdict) == (True, "HELD"), held.reason
    assert "route-controller" in held.reason and [weight for _group, weight in alpha_share(shared)] == [33, 67], held.reason
    put_back(shared, live)
    before = route(shared) | {"spec": backed_up(shared)}
    rolled_back(shared, before, play(shared, ROLLBACK, extra=REMOVE))


@pytest.mark.matrix
def test_what_users_changed_meanwhile_stays(shared: World, play: Callable[..., Ended], at_100: World) -> None:
    live = route(shared)
    changed = live | {"spec": backed_up(shared)}
    rule = {"matches": [{"path": {"type": "PathPrefix", "value": "/new"}}], "backendRefs": [{"name": "plain", "port": 80}]}
    shared.kubectl("patch", "httproute", "llm-route", "--type=json", "-p", json.dumps([{"op": "add", "path": "/spec/rules/0", "value": rule}]))
    shared.kubectl("annotate", "httproute", "llm-route", "team=blue")
    ended = play(shared, ROLLBACK, extra=REMOVE)
    assert ended.verdict == "ROLLED BACK", ended.reason
    after = route(shared)
    assert after["metadata"]["annotations"]["team"] == "blue" and after["spec"]["rules"][0]["matches"] == rule["matches"]
    assert after["spec"]["rules"][1:] == changed["spec"]["rules"], "the others are as they were before the migration"
    put_back(shared, changed)


@pytest.mark.matrix
def test_what_somebody_else_has_changed_of_v1_stays_and_is_named(shared: World, play: Callable[..., Ended], at_100: World) -> None:
    before = route(shared) | {"spec": backed_up(shared)}
    patch = json.dumps({"spec": {"priority": 7}})
    shared.kubectl("patch", f"inferenceobjectives.{ALPHA_GROUP}", "food-review", "-n", "default", "--type=merge", "-p", patch)
    shared.helm("upgrade", V1, f"{shared.state['charts']}/inferencepool", "--version", "v1.5.0", "--plain-http", "-n", "default", "--reuse-values",
                "--set", "inferenceExtension.flags.v=5", "--wait")
    ended = play(shared, ROLLBACK, extra=REMOVE)
    rolled_back(shared, before, ended)
    assert f"Helm release default/{V1} (its chart or values are not the plan's)" in ended.reason, ended.reason
    assert "InferenceObjective default/food-review (it is not as the plan made it)" in ended.reason or "has changed it" in ended.reason, ended.reason
    assert f"CustomResourceDefinition inferencepools.{V1_GROUP} (InferencePool default/{V1} is of its kind)" in ended.reason, ended.reason
    shared.helm("uninstall", V1, "-n", "default", "--wait")
    shared.kubectl("delete", f"inferenceobjectives.{ALPHA_GROUP}", "food-review", "-n", "default")


@pytest.mark.matrix
def test_a_new_migration_proves_the_v1_that_a_rollback_left(make_world: Callable[..., World], play: Callable[..., Ended]) -> None:
    """Once v1alpha2 is being taken away there is no way back, and afterwards nothing to roll back."""
    world = make_world("again", estates=[ESTATES / "demo"])
    before, quick = route(world), {"migration_steps": [100]} | DRAIN
    with unharmed(world, STREAMS):
        assert play(world, extra=quick | {"migration_phases": ["plan", "install", "shift"]}).verdict == "PROVEN"
        rolled_back(world, before, play(world, ROLLBACK, extra=quick))
        assert f"deployment.apps/{V1_EPP}" in of_v1(world), "v1 stays unless its removal is asked for"
        killed(world, play, Write("DELETE", "/inferencemodels/base-model$"), ZERO_DOWNTIME, quick)
        world.reset_requests()
        refused = play(world, ROLLBACK, extra=REMOVE)
        assert refused.status != 0 and "already being taken away" in refused.reason and "backup" in refused.reason, refused.reason
        assert world.requests()["writes"] == 0
        ended = play(world, extra=quick)
    assert (ended.verdict, leftovers(world)) == ("PROVEN", []), ended.reason
    done = play(world, ROLLBACK, extra=REMOVE)
    assert done.status == 0 and "nothing to roll back" in done.reason
    world.down()
