# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo checks by itself, and what it says in its last line."""
from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.demo import Outcome
from tests.e2e.product import environment, write_inventory
from tests.e2e.route_check import route_diff, route_problems, span_problems, write_times

ALPHA = {"group": "inference.networking.x-k8s.io", "kind": "InferencePool", "name": "pool-preview", "weight": 1}
V1 = {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": "pool-ga", "weight": 100}


def route() -> dict[str, Any]:
    """A route with a rule to a pool and a rule to a Service."""
    return {
        "metadata": {"namespace": "default", "name": "llm-route", "labels": {"team": "search"}, "annotations": {"last": "{}"}, "generation": 1},
        "spec": {"hostnames": ["llm.example.com"], "rules": [
            {"matches": [{"path": {"type": "PathPrefix", "value": "/v1"}}], "backendRefs": [ALPHA]},
            {"matches": [{"path": {"type": "PathPrefix", "value": "/plain"}}], "backendRefs": [{"kind": "Service", "name": "plain", "port": 80}]}]}}


def migrated() -> dict[str, Any]:
    """The same route after a migration."""
    after = copy.deepcopy(route())
    after["metadata"]["generation"] = 5
    after["spec"]["rules"][0]["backendRefs"] = [V1]
    return after


def test_a_migrated_route_differs_in_group_name_and_weight_alone() -> None:
    """What the server sets (generation, status) is nobody's change."""
    diff = route_diff(route(), migrated())
    assert {line.strip("+- ").partition(":")[0] for line in diff} == {"group", "name", "weight"}
    assert route_problems(route(), migrated()) == []


@pytest.mark.parametrize(("path", "value", "sentence"), [
    (("metadata", "labels", "team"), "other", "more than group, name and weight"),
    (("metadata", "annotations", "ours"), "x", "more than group, name and weight"),
    (("spec", "hostnames"), ["other.example.com"], "more than group, name and weight"),
    (("spec", "rules", 0, "matches", 0, "path", "value"), "/v2", "more than group, name and weight"),
    (("spec", "rules", 0, "timeouts"), {"request": "1s"}, "more than group, name and weight"),
    (("spec", "rules", 1, "backendRefs", 0, "name"), "other", "rule 1"),
    (("spec", "rules", 0, "backendRefs"), [ALPHA], "did not change at all"),
])
def test_any_other_change_is_found(path: tuple[Any, ...], value: Any, sentence: str) -> None:
    """Each part that a migration has to leave alone."""
    after = migrated()
    at: Any = after
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    assert any(sentence in problem for problem in route_problems(route(), after))


def test_a_lost_rule_is_found() -> None:
    """Fewer rules than before."""
    after = migrated()
    del after["spec"]["rules"][1]
    assert any("1 rules instead of 2" in problem for problem in route_problems(route(), after))


LOG = [{"time": 5.0, "method": "GET", "write": False}, {"time": 100.0, "method": "POST", "write": True}, {"time": 150.0, "method": "DELETE", "write": False},
       {"time": 200.0, "method": "DELETE", "write": True, "duration_ms": 500.0}, {"time": 300.0, "method": "PATCH", "write": True}]


def test_the_load_covers_the_migration() -> None:
    """A dry run is no delete; the margins hold at both ends."""
    assert write_times(LOG) == (100.0, 200.5)
    assert span_problems(LOG, 90.0, 210.5, 10.0) == []
    assert "9.0 s before the first write" in span_problems(LOG, 91.0, 210.5, 10.0)[0]
    assert "9.5 s after the last delete" in span_problems(LOG, 90.0, 210.0, 10.0)[0]
    assert span_problems(LOG[:2], 0.0, 999.0, 10.0) == ["the migration wrote nothing, or deleted nothing"]


SUMMARY = {"requests": 7000, "lost": 0, "streams": 55, "cut": 0, "seconds": 70.04}


def test_the_last_line() -> None:
    """For machines: plain decimals, and never a PROVEN that the demo's own checks contradict."""
    good = Outcome("PROVEN", SUMMARY, [])
    assert good.ok and good.last_line() == "demo: PROVEN requests=7000 lost=0 streams=55 cut=0 seconds=70.0"
    for bad in (Outcome("PROVEN", SUMMARY, ["x"]), Outcome("PROVEN", {**SUMMARY, "lost": 1}), Outcome("PROVEN", {**SUMMARY, "cut": 1}),
                Outcome("HELD", SUMMARY), Outcome("PROVEN"), Outcome()):
        assert not bad.ok
        assert re.fullmatch(r"demo: [A-Z]+ requests=\d+ lost=\d+ streams=\d+ cut=\d+ seconds=\d+\.\d", bad.last_line())
    assert Outcome("PROVEN", SUMMARY, ["x"]).last_line().startswith("demo: FAILED ")


def test_a_persons_settings_stay_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither another cluster nor another Ansible configuration nor a proxy may leak into a run."""
    for name in ("KUBECONFIG", "K8S_AUTH_HOST", "ANSIBLE_STDOUT_CALLBACK", "https_proxy", "HELM_DRIVER"):
        monkeypatch.setenv(name, "leaked")
    found = environment(tmp_path, tmp_path / "collections", Path("/tools/helm"))
    assert "leaked" not in found.values() and found["PATH"].startswith("/tools:")
    inventory = json.loads(write_inventory(tmp_path / "inventory.json", {"one": {"a": 1}}).read_text())
    host = inventory["all"]["children"]["clusters"]["hosts"]["one"]
    assert host["ansible_connection"] == "local" and host["a"] == 1
