# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a route must stand at, told from what it stands at, and who wrote the difference."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import ALPHA_GROUP, FIELD_MANAGER, POOL_KIND
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import references, step_weights
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey

from tests.unit.helpers.migration_fakes import ALPHA, http_route, rule

Manifest = dict[str, Any]
MOVES = {PoolKey(ALPHA_GROUP, POOL_KIND, "default", "llama-preview"): "llama-ga"}
ROUTE = http_route(rule(ALPHA), rule({"name": "plain"}, path="/plain"))


def at(wanted: step_weights.Share) -> Manifest:
    return step_weights.shaped(ROUTE, MOVES, wanted)


def written_by(route: Manifest, *entries: tuple[str, str, str, bool]) -> Manifest:
    """A route with managedFields of (manager, operation, time, whether it owns the rules)."""
    changed = deepcopy(route)
    changed["metadata"]["managedFields"] = [
        {"manager": manager, "operation": operation, "time": time, "fieldsV1": {"f:spec": {"f:rules": {}}} if rules else {"f:status": {}}}
        for manager, operation, time, rules in entries
    ]
    return changed


@pytest.mark.parametrize("wanted", [0, 10, 100, "finished"])
def test_a_route_at_its_share_has_no_fault(wanted: step_weights.Share) -> None:
    assert list(step_weights.faults(at(wanted), ROUTE, MOVES, wanted)) == []


@pytest.mark.parametrize(
    ("found", "wanted"),
    [(0, 10), (0, 100), (10, 50), (100, 50), (10, 0), (0, "finished"), (100, "finished"), (10, "finished")],
)
def test_every_other_share_is_a_fault(found: step_weights.Share, wanted: step_weights.Share) -> None:
    (fault,) = step_weights.faults(at(found), ROUTE, MOVES, wanted)
    assert fault.startswith("HTTPRoute default/llm-route was written by ") and "spec.rules[0].backendRefs are" in fault


def test_a_finished_rule_gives_v1_all_there_is() -> None:
    assert list(step_weights.faults(at("finished"), ROUTE, MOVES, 100)) == []


def test_a_fault_names_the_writer_the_field_and_both_values() -> None:
    back = written_by(ROUTE, (FIELD_MANAGER, "Update", "2026-01-01T00:00:09Z", True), ("kubectl", "Update", "2026-01-01T00:00:01Z", True),
                      ("argocd-controller", "Apply", "2026-01-01T00:00:05Z", True), ("gke", "Update", "2026-01-01T00:00:08Z", False))
    assert list(step_weights.faults(back, ROUTE, MOVES, 10)) == [
        "HTTPRoute default/llm-route was written by argocd-controller of Argo CD (Apply at 2026-01-01T00:00:05Z): spec.rules[0].backendRefs are "
        "inference.networking.x-k8s.io/llama-preview weight 1, where this step has "
        "inference.networking.x-k8s.io/llama-preview weight 90, inference.networking.k8s.io/llama-ga weight 10"
    ]


def test_where_no_other_writer_is_named_that_is_said() -> None:
    assert step_weights.writer(written_by(ROUTE, (FIELD_MANAGER, "Update", "2026-01-01T00:00:09Z", True))) == "somebody whom its managedFields do not name"
    assert step_weights.writer(ROUTE) == "somebody whom its managedFields do not name"


def test_what_is_written_elsewhere_in_the_route_is_no_fault() -> None:
    """A rule that somebody inserts, a timeout, a label: theirs to change, also in the middle of a shift."""
    live = at(10)
    live["spec"]["rules"].insert(0, rule({"name": "plain"}, path="/new"))
    live["metadata"]["labels"]["team"] = "b"
    assert list(step_weights.faults(live, ROUTE, MOVES, 10)) == []
    del live["spec"]["rules"][1]
    (fault,) = step_weights.faults(live, ROUTE, MOVES, 10)
    assert "spec.rules[0].backendRefs are core/plain weight 1" in fault


def test_rules_that_are_gone_are_a_fault() -> None:
    live = at(10)
    live["spec"]["rules"] = []
    (fault,) = step_weights.faults(live, ROUTE, MOVES, 10)
    assert "backendRefs are gone" in fault


@pytest.mark.parametrize(("said", "share"), [(0, 0), ("10", 10), (100, 100), ("finished", "finished")])
def test_a_share_as_templates_say_it(said: Any, share: step_weights.Share) -> None:
    assert step_weights.share(said) == share
    assert step_weights.shares({"HTTPRoute a/b": said}) == {"HTTPRoute a/b": share} and step_weights.shares(said) == share


@pytest.mark.parametrize("said", [-1, 101, "half", True, None, 1.5])
def test_what_is_no_share_is_refused(said: Any) -> None:
    with pytest.raises(ValueError, match="percentage from 0 to 100, or finished"):
        step_weights.share(said)


def test_one_share_for_all_or_one_for_each() -> None:
    assert step_weights.shares(None) is None
    assert step_weights.of("HTTPRoute a/b", 10) == step_weights.of("HTTPRoute a/b", {"HTTPRoute a/b": 10}) == 10
    with pytest.raises(ValueError, match="No share was given for HTTPRoute a/c"):
        step_weights.of("HTTPRoute a/c", {"HTTPRoute a/b": 10})


def test_a_shape_leaves_the_original_alone() -> None:
    before = deepcopy(ROUTE)
    assert references.references(at(25))[1].weight == 25 and before == ROUTE
