# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disturbs a shift by more than one request: what befalls credentials, pods, gateways and routes while traffic moves."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from igw_sandbox.world import World
from tests.e2e.product import ALPHA_GROUP
from tests.integration.harness import V1_EPP, write_route

if TYPE_CHECKING:
    from tests.campaign.runs import Watching

MOMENT = "step 2 of 3"
"""In the line of the playbook at which it happens: v1 has a tenth, and gets the half now."""
MODELS = "vllm-llama3-8b-instruct"
NAMED = ("httproute", "llm-route", "-n", "default")
MANAGER = "traffic-script"
RENEWED_SECONDS = 75.0
"""After which an expired credential is good again."""


def _expired(world: World, watching: Watching) -> None:
    """Answer every request of the run 401 until the credential is renewed: longer than one module waits, shorter than the shift does."""
    world.fault("status", status=401, count=0, message="Unauthorized", match={"user": watching.user})
    renewal = threading.Timer(RENEWED_SECONDS, world.proxy, ("/faults/clear", {}))
    renewal.daemon = True  # a campaign that is interrupted does not wait for it
    renewal.start()


def _picker_killed(world: World, watching: Watching) -> None:
    """End v1's endpoint picker for the rest of the run."""
    watching.broken.add(("default", V1_EPP))
    world.fault("pod_kill", deployment=V1_EPP, percent=100)


def _models_killed(world: World, _watching: Watching) -> None:
    """End every model server for the rest of the run."""
    world.fault("pod_kill", deployment=MODELS, percent=100)


def _late(world: World, _watching: Watching) -> None:
    """Let the gateway take every further change, and write its status, much later."""
    world.fault("gateway", take=[5, 9])


def _zeroed(world: World, watching: Watching) -> None:
    """Give v1alpha2 all weight again, as a person does in an editor: v1 stays in the route at 0."""
    _write_weights(world, watching, lambda reference: [reference | {"weight": int(_is_alpha(reference))}])


def _reverted(world: World, watching: Watching) -> None:
    """Write the route as it was before, as a controller does from its source."""
    _write_weights(world, watching, lambda reference: [reference | {"weight": 1}] if _is_alpha(reference) else [])


def _is_alpha(reference: dict[str, Any]) -> bool:
    return reference["group"] == ALPHA_GROUP


def _write_weights(world: World, watching: Watching, change: Callable[[dict[str, Any]], list[dict[str, Any]]]) -> None:
    route = world.kubectl_json("get", *NAMED)
    for rule in route["spec"]["rules"]:
        made = [change(reference) if reference.get("kind") == "InferencePool" else [reference] for reference in rule["backendRefs"]]
        rule["backendRefs"] = [reference for references in made for reference in references]
    write_route(world, route, "patch", MANAGER)
    _edit(world, watching)


def _labelled(world: World, watching: Watching) -> None:
    """Change a label of the user's route."""
    world.kubectl("label", *NAMED, "team=chat", "--overwrite")
    _edit(world, watching)


def _edited(world: World, watching: Watching) -> None:
    """Give the rule that moves a timeout."""
    patch = [{"op": "add", "path": "/spec/rules/0/timeouts", "value": {"request": "60s"}}]
    world.kubectl("patch", *NAMED, "--type=json", f"--field-manager={MANAGER}", "-p", json.dumps(patch))
    _edit(world, watching)


def _edit(world: World, watching: Watching) -> None:
    """Note the version that the user's write has made."""
    watching.edited(world.kubectl_json("get", *NAMED))


KINDS: dict[str, Callable[[World, Watching], None]] = {
    "credential-expired": _expired,
    "picker-killed": _picker_killed,
    "models-killed": _models_killed,
    "status-late": _late,
    "weights-zeroed": _zeroed,
    "weights-reverted": _reverted,
    "route-labelled": _labelled,
    "route-edited": _edited,
}
EXPECTED_LOSS = ("picker-killed", "models-killed")
"""These break users by themselves: what they lose is no loss of the migration's."""


def undo(world: World) -> None:
    """End what lasts, so that what follows meets a whole world again."""
    world.fault("pod_kill", deployment=V1_EPP, percent=0)
    world.fault("pod_kill", deployment=MODELS, percent=0)
    world.fault("gateway", take=[0.3, 1.5])
    world.wait_ready()
