# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing what a migration made of v1: under the Lease, only as it was compared, and never while a route needs it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import Conflict, Unreachable
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.lease import Lease
from ansible_collections.inference_gateway.migration.plugins.modules import migration_v1_objects

from tests.unit.helpers.migration_fakes import ALPHA, V1, FakeCluster, http_route, rule, run_module
from tests.unit.plugins.module_utils.verification.test_removal import DEFINITION, NAME, OBJECTIVE, PLAN, live

Manifest = dict[str, Any]
BOTH = [f"InferenceObjective {OBJECTIVE['metadata']['namespace']}/chat", f"CustomResourceDefinition {NAME}"]


class Here:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, *manifests: Manifest) -> None:
        self.monkeypatch = monkeypatch
        self.cluster = FakeCluster(*manifests, http_route(rule(ALPHA)))
        Lease(self.cluster).acquire("run-1", {})
        self.asked: list[Manifest] = []
        real = self.cluster.delete

        def delete(path: str, dry_run: bool = False, **options: Any) -> bool:
            self.asked.append(options["preconditions"])
            return real(path, dry_run, **options)

        monkeypatch.setattr(self.cluster, "delete", delete)

    def __call__(self, check_mode: bool = False, **given: Any) -> Manifest:
        self.cluster.requests.clear()
        return run_module(self.monkeypatch, migration_v1_objects, self.cluster, check_mode, **{"plan": PLAN, "run": "run-1"} | given)

    @property
    def deleted(self) -> list[str]:
        """Names of what was deleted, in order."""
        return [path.rpartition("/")[2] for method, path in self.cluster.requests if method == "DELETE"]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration_v1_objects.time, "sleep", lambda _seconds: None)


def test_objects_go_then_their_definition_and_a_second_run_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Here(monkeypatch, live(), DEFINITION)
    assert here() == {"changed": True, "removed": BOTH, "stays": [], "referring": [], "failed": False}
    assert here.deleted == ["chat", NAME]
    assert [entry["uid"] for entry in here.asked] == ["u-1", "u-crd"] and all(entry["resourceVersion"] for entry in here.asked)
    again = here()
    assert not again["changed"] and here.deleted == []


def test_check_mode_says_what_would_go(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Here(monkeypatch, live(), DEFINITION, http_route(rule(ALPHA, V1), name="other"))
    shown = here(check_mode=True)
    assert shown["removed"] == BOTH and shown["referring"] and shown["stays"] == [] and not shown["failed"]
    assert {method for method, _path in here.cluster.writes} == {"DELETE"}, "which are dry runs"
    assert any(path.endswith("/chat") for path in here.cluster.objects)


def test_nothing_goes_while_a_route_names_v1(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Here(monkeypatch, live(), http_route(rule(ALPHA, V1 | {"weight": 0}), name="other"))
    result = here()
    assert result["failed"] and result["verdict"] == "HELD" and here.deleted == []
    assert "HTTPRoute default/other names v1's InferencePool llama-ga: nothing of v1 is removed. Name v1alpha2's pool there" in result["msg"]


def test_what_stays_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Here(monkeypatch, live(manager="kubectl-edit"), DEFINITION)
    result = here()
    assert result["stays"] == [{"object": BOTH[0], "why": "kubectl-edit has changed it"}, {"object": BOTH[1], "why": f"{BOTH[0]} is of its kind"}]
    assert here.deleted == [] and not result["changed"]


def test_without_the_lease_nothing_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Here(monkeypatch, live())
    assert here(run="run-2")["failed"] and here.deleted == []

    def stolen(method: str, path: str, _body: Any) -> None:
        if path.endswith("/httproutes"):
            for lease in (entry for entry in here.cluster.objects.values() if entry["kind"] == "Lease"):
                lease["spec"]["holderIdentity"] = "run-2"

    here.cluster.before = stolen
    assert "held by run-2" in here()["msg"] and here.deleted == []


def test_what_was_written_since_it_was_compared_is_compared_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    here, met = Here(monkeypatch, live()), []

    def edited(method: str, path: str, _body: Any) -> None:
        if method == "DELETE" and not met:
            met.append(path)
            here.cluster.put(live(manager="kubectl-edit"))
            raise Conflict("the object has been modified", 409)

    here.cluster.before = edited
    assert here()["stays"] == [{"object": BOTH[0], "why": "kubectl-edit has changed it"}] and met


def test_who_keeps_writing_is_not_fought(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Here(monkeypatch, live())

    def written(method: str, _path: str, _body: Any) -> None:
        if method == "DELETE":
            raise Conflict("the object has been modified", 409)

    here.cluster.before = written
    result = here()
    assert result["failed"] and len(here.deleted) == migration_v1_objects.ATTEMPTS


def test_what_a_finalizer_holds_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Here(monkeypatch, live(finalizers=["acme/keep"]))
    monkeypatch.setattr(here.cluster, "delete", lambda *_path, **_options: True)
    result = here(seconds=0)
    assert result["failed"] and f"{BOTH[0]} is being deleted and not gone, held by acme/keep" in result["msg"]


def test_a_silent_server_is_said_to_be_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_module(monkeypatch, migration_v1_objects, Unreachable("no answer"), plan=PLAN)["unreachable_api"]
