# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes between two approvals: a migration that is open stops before the shift, says what differs, and takes it in by a new plan."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from igw_sandbox.world import World
from tests.e2e.product import ALPHA_GROUP
from tests.integration.harness import CONTROL, ESTATES, ON_V1, V1_EPP, Ended, alpha_share
from tests.integration.planning import Board

pytestmark = pytest.mark.matrix
MODEL = {"apiVersion": "inference.networking.x-k8s.io/v1alpha2", "kind": "InferenceModel", "metadata": {"name": "late", "namespace": "default"}}
SHIFT = {"migration_phases": ["shift"], "migration_steps": [100]}


def test_a_model_that_came_after_the_installation(make_world: Callable[..., World], play: Callable[..., Ended]) -> None:
    world = make_world("changes", estates=[ESTATES / "demo"])
    assert play(world, extra={"migration_phases": ["plan", "install"]}).status == 0
    base = world.kubectl_json("get", "inferencemodels", "base-model")
    spec = base["spec"] | {"criticality": "Critical", "modelName": base["spec"]["modelName"] + "-late"}
    world.apply(json.dumps(MODEL | {"spec": spec}, indent=1))
    held = play(world, extra=SHIFT)
    assert (held.verdict, alpha_share(world)[0][1]) == ("HELD", 1), held.reason
    assert "is not any more what this migration was planned with" in held.reason and "-late" in held.reason and "migration_phases: [plan]" in held.reason
    world.kubectl("delete", "inferencemodels", "late")
    pool = {"group": ALPHA_GROUP, "kind": "InferencePool", "name": V1_EPP.replace("-ga-epp", "-preview")}
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": pool}}
    world.kubectl("patch", "httproute", "llm-route", "--type=json", "-p", json.dumps([{"op": "add", "path": "/spec/rules/0/filters/-", "value": mirror}]))
    blocked = play(world, extra=SHIFT)
    assert (blocked.verdict, alpha_share(world)[0][1]) == ("HELD", 1), blocked.reason
    assert "blocker mirror-to-alpha-pool since: HTTPRoute default/llm-route" in blocked.reason, blocked.reason
    world.kubectl("patch", "httproute", "llm-route", "--type=json", "-p", json.dumps([{"op": "remove", "path": "/spec/rules/0/filters/1"}]))
    taken = play(world, extra=SHIFT)
    assert (taken.verdict, alpha_share(world)) == ("PROVEN", ON_V1), taken.reason
    policies = world.kubectl_json("get", "gcpbackendpolicies", "-n", "default")["items"]
    (alphas,) = [entry for entry in policies if entry["spec"]["targetRef"]["group"] == "inference.networking.x-k8s.io"]
    world.kubectl("patch", "gcpbackendpolicy", alphas["metadata"]["name"], "-n", "default", "--type=merge", "-p",
                  json.dumps({"spec": {"default": {"timeoutSec": 777}}}))
    refused = play(world, extra={"migration_phases": ["retire"]})
    assert refused.verdict == "HELD" and "timeout_seconds" in refused.reason, refused.reason
    assert alpha_share(world) == ON_V1
    again = play(world, extra={"migration_phases": ["plan"]})
    assert again.status != 0 and "roll it back first" in again.reason, again.reason
    world.down()


def test_a_new_plan_of_an_open_migration(make_world: Callable[..., World], play: Callable[..., Ended]) -> None:
    """An option is the remedy: other names of endpoints, after v1 was installed."""
    world = make_world("replan", estates=[ESTATES / "demo"])
    first = play(world, extra={"migration_phases": ["plan", "install"]})
    assert first.status == 0
    other = {"migration_endpoints": ["/v1/completions"]}
    held = play(world, extra=SHIFT | other)
    assert held.verdict == "HELD" and "endpoints" in held.reason, held.reason
    assert play(world, extra={"migration_phases": ["plan"]} | other).status == 0
    ended = play(world, extra={"migration_phases": ["install", "shift"], "migration_steps": [100]} | other)
    assert (ended.verdict, alpha_share(world)) == ("PROVEN", ON_V1), ended.reason
    world.down()


# -- what a migration itself does is no change ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def board(make_world: Callable[..., World], collections_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """An API server that shows one estate at a time."""
    world = make_world("installed", services=CONTROL)
    yield Board(world, tmp_path_factory.mktemp("installed"), collections_path)
    world.down()


@pytest.mark.parametrize("estate", sorted(folder.name for folder in ESTATES.iterdir() if folder.is_dir() and folder.name != "one_registry"))
def test_an_estate_on_which_v1_is_installed_is_what_it_was_planned_for(board: Board, estate: str, tmp_path: Path) -> None:
    """Of every estate, whatever stands in its way: charts and objects are made as the phase install makes them, then the plan is compared.

    The policy of one_registry refuses the chart itself; test_estates.py migrates it.
    """
    board.show(estate)
    world, options = board.world, {"endpoints": ["/v1/completions", "/v1/chat/completions"]}
    plan = board.plan(**options)
    definitions = [f"crd/{entry['name']}" for entry in plan["crds"]["install"]]
    for entry in plan["crds"]["install"]:
        world.kubectl("create", "-f", str(Path(world.state["crds"]) / plan["target"] / "bases" / entry["file"]))
    if definitions:
        world.kubectl("wait", "--for=condition=Established", "--timeout=60s", *definitions)
    values = tmp_path / "values.json"
    for pool in plan["pools"]:
        values.write_text(json.dumps(pool["chart"]["values"]))
        world.helm("install", pool["release"], f"{world.state['charts']}/inferencepool", "--version", plan["target"], "--plain-http", "--namespace",
                   pool["namespace"], "--values", str(values))
        for entry in pool["objects"]:
            merged = entry["kind"] in ("Deployment", "InferencePool")
            apply = ("apply", "--server-side", "--force-conflicts") if merged else ("apply",)
            world.kubectl(*apply, "-n", pool["namespace"], "-f", "-", input=json.dumps(entry))
    try:
        board.plan(open_plan=plan, **options)
    finally:
        for pool in plan["pools"]:
            world.helm("uninstall", pool["release"], "--namespace", pool["namespace"])
            for entry in pool["objects"]:
                world.kubectl("delete", "--ignore-not-found", "-n", pool["namespace"], "-f", "-", input=json.dumps(entry))
        if definitions:
            world.kubectl("delete", "--timeout=60s", *definitions)
