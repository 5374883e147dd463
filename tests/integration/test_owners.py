# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody else owns: it stays and is named, and its owner is named when it writes.

(That detect knows owners by each sign: test_plans.py, test_findings.py. Remedies: test_remedies.py, test_remedies_of_helm.py.)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from igw_sandbox.world import World
from tests.e2e.product import ALPHA_GROUP
from tests.integration.cases import USUAL, create, estate
from tests.integration.harness import CONTROL, ESTATES, LAST_APPLIED, MARKED, SANDBOX, Controller, Ended, detect, source, write_route
from tests.integration.test_findings import RECORD, packed, record

pytestmark = pytest.mark.matrix
Play = Callable[..., Ended]

MANAGER = "argocd-controller"
OWNED = ["gitops-owned-route", "controller-owned-pool"]


def backends(world: World) -> list[tuple[str, int]]:
    """(group, weight) of each backendRef of the route."""
    route = world.kubectl_json("get", "httproute", "finder", "-n", "catalog")
    return [(reference["group"], reference.get("weight", 1)) for reference in route["spec"]["rules"][0]["backendRefs"]]


def test_a_route_of_argo_cd_blocks_is_left_to_it_and_is_never_proven_when_it_writes_after_retire(make_world: Callable[..., World], play: Play) -> None:
    """Blocked; accepted while self-heal goes on, HELD with users where v1alpha2 serves them; then one write when v1alpha2 is gone already."""
    world = make_world("argo", estates=[ESTATES / "argo_by_label"])
    world.kubectl("annotate", "httproute", "finder", "-n", "catalog", f"{LAST_APPLIED}-")
    route = source(world.kubectl_json("get", "httproute", "finder", "-n", "catalog"))
    write_route(world, route, "apply", MANAGER)

    world.reset_requests()
    blocked = play(world)
    assert blocked.status != 0 and all(f"blocker: {code}" in blocked.log for code in OWNED), blocked.log[-2000:]
    assert world.requests()["writes"] == 0

    with Controller(world, route, "apply", MANAGER, 3.0) as controller:

        def heal(line: str) -> None:
            if "step 1 of 3: v1 gets 10 %" in line:
                controller.start()

        held = play(world, rate=20, extra={"migration_accept": OWNED, "migration_warm_seconds": 25}, show=heal)
    assert controller.begun, "it must have fired"
    assert held.status != 0 and held.verdict == "HELD", held.reason
    assert all(words in held.reason for words in (f"{MANAGER} of Argo CD", "HTTPRoute catalog/finder", "backendRefs")), held.reason
    assert (held.load["lost"], held.load["cut"], held.load["problems"]) == (0, 0, []), held.load["reasons"]
    assert backends(world) == [(ALPHA_GROUP, 1)] and world.kubectl("get", "httproutes", "-A", "-l", MARKED, "-o", "name") == ""
    assert world.kubectl("get", f"inferencepools.{ALPHA_GROUP}", "finder", "-n", "catalog", "-o", "name")

    fired: list[str] = []

    def once(line: str) -> None:
        if "probe routes removed (alpha): settled" in line and not fired:
            fired.append(line)
            write_route(world, route, "apply", MANAGER)

    late = play(world, extra={"migration_accept": OWNED, "migration_drain_seconds": 5}, show=once)
    assert fired, "it must have fired"
    assert late.status != 0 and late.verdict in ("HELD", "FAILED") and MANAGER in late.reason, late.reason
    world.down()


def marked(world: World, kind: str, name: str, release: str) -> None:
    """Put Helm's marks of a release of namespace default on an object."""
    world.kubectl("annotate", "--overwrite", kind, name, f"meta.helm.sh/release-name={release}", "meta.helm.sh/release-namespace=default")


def test_a_definition_a_policy_and_a_model_of_others_stay_and_are_named(make_world: Callable[..., World], play: Play) -> None:
    """Of another release with a record; a policy that serves a Service too. The migration is PROVEN all the same. Without a record, the policy goes."""
    world = make_world("others", estates=[ESTATES / "two_models"])
    world.apply(SANDBOX / "crds" / "optional")
    pool = {"group": ALPHA_GROUP, "kind": "InferencePool", "name": "chat-preview"}
    spread = {"apiVersion": "networking.gke.io/v1", "kind": "GCPTrafficDistributionPolicy", "metadata": {"name": "spread"},
              "spec": {"targetRefs": [pool, {"group": "", "kind": "Service", "name": "chat-preview-epp"}]}}
    world.kubectl("create", "-f", "-", input=json.dumps(spread))
    world.kubectl("create", "-f", "-", input=json.dumps(record("platform", packed(RECORD | {"name": "platform"}))))
    definition = f"inferencemodels.{ALPHA_GROUP}"
    marked(world, "crd", definition, "platform")
    marked(world, "gcpbackendpolicy", "chat-preview", "gone")
    ended = play(world, rate=40, extra={"migration_drain_seconds": 5})
    assert (ended.status, ended.verdict) == (0, "PROVEN"), ended.reason
    assert (ended.load["lost"], ended.load["cut"], ended.load["problems"]) == (0, 0, []), ended.load["reasons"]
    assert "left in place: " in ended.reason
    assert f"CustomResourceDefinition {definition} (Helm release default/platform owns it" in ended.reason
    assert "GCPTrafficDistributionPolicy default/spread (it also serves Service default/chat-preview-epp)" in ended.reason
    assert world.kubectl("get", "crd", definition, "-o", "name") and world.kubectl("get", "gcptrafficdistributionpolicy", "spread", "-o", "name")
    crds = world.kubectl("get", "crds", "-o", "name")
    assert f"inferencepools.{ALPHA_GROUP}" not in crds
    policies = world.kubectl("get", "gcpbackendpolicies", "-o", "name").split()
    assert [name.rpartition("/")[2] for name in policies] == ["chat-ga"]
    world.down()


# -- Helm ---------------------------------------------------------------------------------------------------------------


def chart(folder: Path, manifest: dict[str, Any]) -> str:
    """Write a chart of one manifest and return its path."""
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text(yaml.safe_dump({"apiVersion": "v2", "name": "web", "version": "1.0.0"}))
    (folder / "templates" / "all.yaml").write_text(yaml.safe_dump(manifest))
    return str(folder)


def test_a_route_that_a_helm_hook_made_is_its_releases(make_world: Callable[..., World], tmp_path: Path, collections_path: Path) -> None:
    """Helm leaves its marks off, and the route when it uninstalls; what names the release is its record."""
    world = make_world("hooked", services=CONTROL)
    every = estate("hooked")
    create(world, [entry for entry in every if entry["kind"] != "HTTPRoute"])
    (route,) = (entry for entry in every if entry["kind"] == "HTTPRoute")
    route["metadata"] |= {"annotations": {"helm.sh/hook": "post-install,post-upgrade"}}
    world.helm("install", "web", chart(tmp_path / "web", route), "-n", "hooked")

    def found(folder: str) -> list[str]:
        answer = detect(world, tmp_path / folder, collections_path, **USUAL)
        return [entry["message"] for entry in answer["findings"] if entry["code"] == "route-source-names-alpha" and entry["severity"] == "blocker"]

    assert found("installed") == ["a hook of Helm release hooked/web made it, by that release's record, and its next run brings the alpha reference back."]
    world.helm("uninstall", "web", "-n", "hooked")
    assert found("uninstalled") == ["a hook of a Helm release that neither a record nor a label names made it, by its helm.sh/hook, and its next run brings "
                                    "the alpha reference back."]
    world.down()
