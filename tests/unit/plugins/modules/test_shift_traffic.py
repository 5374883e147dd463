# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One bounded piece of work on routes, under the Lease, with other writers and lost answers."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils import manifests
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import ApiError, Forbidden, Unreachable, object_path
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.journal import Journal
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.lease import Lease
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import probe_routes, references, weights
from ansible_collections.inference_gateway.migration.plugins.module_utils.scope import MigrationScope
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification import proof
from ansible_collections.inference_gateway.migration.plugins.modules import migration_probe_routes, shift_traffic

from tests.unit.helpers.migration_fakes import ALPHA, NAMESPACE, FakeCluster, gateway, http_route, make_plan, plan_pool, rule, run_module

Manifest = dict[str, Any]
FIRST = http_route(rule(ALPHA), rule({"name": "plain"}, path="/plain"))
SECOND = http_route(rule(ALPHA | {"weight": 3}, {"name": "plain"}), name="other")
PLAN = make_plan(
    plan_pool(
        references=[
            {"api_version": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "namespace": "default", "name": name} for name in ("llm-route", "other")
        ]
    )
)


def path_of(route: Manifest) -> str:
    return object_path(route["apiVersion"], route["kind"], route["metadata"]["namespace"], route["metadata"]["name"])


class Here:
    """A cluster with an open migration of two routes, and a run that holds the Lease."""

    def __init__(self, *manifests: Manifest, plan: Manifest = PLAN) -> None:
        self.cluster, self.plan = FakeCluster(gateway(), *manifests), plan
        self.store = Journal(self.cluster, NAMESPACE)
        Lease(self.cluster).acquire("run-1", {})
        self.store.open(plan, [manifest for manifest in self.cluster.objects.values() if manifest["kind"] in ("HTTPRoute", "InferencePool")])
        self.cluster.requests.clear()

    def work(self, state: str, check_mode: bool = False, run: str | None = "run-1", share: int | None = None, **given: Any) -> dict[str, Any]:
        params = {"state": state, "run": run, "plan": self.plan, "share": share, "state_namespace": NAMESPACE, "variants": ["alpha", "v1", "both"]}
        params |= {"standing": None} | given
        module = migration_probe_routes if state in ("present", "absent") else shift_traffic
        return module.work(self.cluster, params, check_mode)

    def weights(self, route: Manifest = FIRST, number: int = 0) -> list[tuple[str, int]]:
        live = self.cluster.objects[path_of(route)]
        return [(reference["name"], reference.get("weight", 1)) for reference in live["spec"]["rules"][number]["backendRefs"]]

    @property
    def route_writes(self) -> list[str]:
        return [path.rpartition("/")[2] for method, path in self.cluster.writes if "httproutes" in path]

    def probe_routes(self) -> list[str]:
        return sorted(
            manifest["metadata"]["labels"][probe_routes.LABEL]
            for manifest in self.cluster.objects.values()
            if probe_routes.LABEL in (manifest["metadata"].get("labels") or {})
        )


@pytest.fixture
def here() -> Here:
    return Here(FIRST, SECOND)


# -- weights -------------------------------------------------------------------------------------------------------------


def test_all_routes_move_as_one_step_and_back(here: Here) -> None:
    result = here.work("shifted", share=25)
    assert result["changed"] and result["routes"] == ["HTTPRoute default/llm-route", "HTTPRoute default/other"]
    assert here.weights() == [("llama-preview", 75), ("llama-ga", 25)]
    assert here.weights(SECOND) == [("llama-preview", 225), ("llama-ga", 75), ("plain", 100)]
    assert result["diff"][0] == {
        "before": "HTTPRoute default/llm-route rule 0: inference.networking.x-k8s.io/llama-preview 1\nHTTPRoute default/llm-route rule 1: core/plain 1\n",
        "after": "HTTPRoute default/llm-route rule 0: inference.networking.x-k8s.io/llama-preview 75\n"
        "HTTPRoute default/llm-route rule 0: inference.networking.k8s.io/llama-ga 25\nHTTPRoute default/llm-route rule 1: core/plain 1\n",
    }
    assert not here.work("shifted", share=25)["changed"]
    assert len(here.route_writes) == 2
    events = [entry["event"] for entry in here.store.read()["entries"][1:]]
    assert events == ["begins to give v1 traffic", "routes shifted 25: HTTPRoute default/llm-route, HTTPRoute default/other"]
    here.work("restored")
    assert [here.cluster.objects[path_of(route)]["spec"] for route in (FIRST, SECOND)] == [FIRST["spec"], SECOND["spec"]]


def test_finished_only_from_full_share(here: Here) -> None:
    here.work("shifted", share=50)
    with pytest.raises(ApiError, match=r"HTTPRoute default/llm-route at 50 %, HTTPRoute default/other at 50 %: not all traffic is on v1"):
        here.work("finished")
    here.work("shifted", share=100)
    note_shift(here)
    assert here.work("finished")["changed"] and not here.work("finished")["changed"]
    assert (here.weights(), here.weights(SECOND)) == ([("llama-ga", 1)], [("llama-ga", 3), ("plain", 1)])


def note_shift(here: Here) -> None:
    """As the role does once a shift has ended PROVEN."""
    record = here.store.read()
    assert record is not None
    stack = proof.stack(MigrationScope.read(here.cluster, here.plan, record["nonce"], here.store.backup(record["backup"])))
    here.store.update(record, "phase shift done", phases=[*record["phases"], "shift"], stack=stack)


@pytest.mark.parametrize(
    "made",
    [
        http_route(rule(ALPHA | {"weight": 0}), name="new"),
        http_route(rule({"name": "plain"}) | {"filters": [{"type": "RequestMirror", "requestMirror": {"backendRef": ALPHA}}]}, name="new"),
    ],
    ids=["backend", "mirror"],
)
def test_finished_only_while_nobody_else_needs_v1alpha2(here: Here, made: Manifest) -> None:
    here.work("present")
    here.work("shifted", share=100)
    note_shift(here)
    here.cluster.put(made)
    with pytest.raises(ApiError, match="rule 0 of HTTPRoute default/new names v1alpha2's InferencePool default/llama-preview, made since the plan"):
        here.work("finished")
    del here.cluster.objects[path_of(made)]
    assert here.work("finished")["changed"]


def test_finished_only_after_a_shift_that_ended_proven(here: Here) -> None:
    here.work("shifted", share=100)
    with pytest.raises(ApiError, match="Nothing of v1alpha2 is taken away: the journal has no shift that ended PROVEN, .*Run the phase shift first"):
        here.work("finished")
    note_shift(here)
    here.work("shifted", share=50)
    here.work("shifted", share=100)
    with pytest.raises(ApiError, match="no shift that ended PROVEN"):
        here.work("finished")


def test_replaced_asks_nothing(here: Here) -> None:
    here.work("replaced")
    assert here.weights() == [("llama-ga", 1)]


def test_check_mode_writes_nothing(here: Here) -> None:
    for state in ("shifted", "restored", "finished", "replaced", "present", "absent"):
        here.work(state, check_mode=True, run=None, share=10)
    assert here.weights() == [("llama-preview", 1)] and here.probe_routes() == []
    assert {path for _method, path in here.cluster.writes} <= {path_of(FIRST), path_of(SECOND)} | {
        path for _method, path in here.cluster.writes if "llm-route-igm" in path or "other-igm" in path
    }
    assert len(here.store.read()["entries"]) == 1, "nothing but that it was opened"
    empty = FakeCluster()
    assert shift_traffic.work(empty, {"state": "shifted", "state_namespace": NAMESPACE}, True) == {"changed": True, "routes": []}
    with pytest.raises(ApiError, match="No migration was begun"):
        shift_traffic.work(empty, {"state": "shifted", "state_namespace": NAMESPACE, "run": "run-1"}, False)


# -- other writers -------------------------------------------------------------------------------------------------------


def meddle(here: Here, path: str, change: Any, times: int = 1) -> None:
    """Somebody else writes an object right before each of our next ``times`` writes of it."""
    left = [times]

    def before(method: str, at: str, body: Any) -> None:
        if method == "PUT" and at == path and left[0]:
            left[0] -= 1
            manifest = deepcopy(here.cluster.objects[path])
            change(manifest)
            here.cluster.put(manifest)

    here.cluster.before = before


def test_a_conflict_is_computed_anew_from_what_is_live(here: Here) -> None:
    meddle(here, path_of(FIRST), lambda route: route["metadata"].update(annotations={"new": "yes"}))
    result = here.work("shifted", share=25)
    assert here.weights() == [("llama-preview", 75), ("llama-ga", 25)]
    assert here.cluster.objects[path_of(FIRST)]["metadata"]["annotations"] == {"new": "yes"}
    assert "HTTPRoute default/llm-route" in result["routes"]


def test_a_stubborn_other_writer_is_reported_and_the_step_taken_back(here: Here) -> None:
    meddle(here, path_of(SECOND), lambda route: None, times=99)
    with pytest.raises(ApiError, match="HTTPRoute default/other: written by somebody else 5 times in a row"):
        here.work("shifted", share=25)
    assert here.weights() == [("llama-preview", 1)]


def test_weights_that_somebody_else_changed_stop_the_step_and_take_it_back(here: Here) -> None:
    here.work("shifted", share=10)
    here.cluster.objects[path_of(SECOND)]["spec"]["rules"][0]["backendRefs"][0]["weight"] += 1
    with pytest.raises(weights.Drifted, match="rule 0 of HTTPRoute default/other"):
        here.work("shifted", share=50)
    assert here.weights() == [("llama-preview", 90), ("llama-ga", 10)]


def refusing(route: Manifest) -> Any:
    """The API server forbids to write one route."""

    def before(method: str, path: str, body: Any) -> None:
        if method == "PUT" and path == path_of(route):
            raise Forbidden("PUT: not allowed", 403)

    return before


def test_a_route_that_may_not_be_written_takes_the_others_back(here: Here) -> None:
    here.work("shifted", share=10)
    here.cluster.before = refusing(SECOND)
    with pytest.raises(Forbidden):
        here.work("shifted", share=50)
    assert here.weights() == [("llama-preview", 90), ("llama-ga", 10)]


def test_a_route_that_can_not_be_split_takes_the_others_back() -> None:
    odd = http_route(rule(ALPHA | {"weight": 999_983}, {"name": "plain"}), name="other")
    here = Here(FIRST, odd)
    with pytest.raises(ValueError, match="smaller weights"):
        here.work("shifted", share=1)
    assert here.weights() == [("llama-preview", 1)]


def hook(here: Here, change: Any) -> None:
    """A webhook changes the spec of the second route whenever it is written."""
    real = here.cluster.replace

    def hooked(path: str, manifest: Manifest, dry_run: bool = False) -> Manifest:
        stored = deepcopy(manifest)
        if path == path_of(SECOND):
            change(stored["spec"])
        return real(path, stored, dry_run)

    here.cluster.replace = hooked


def test_a_webhook_that_changes_more_is_reported(here: Here) -> None:
    hook(here, lambda spec: spec.update(hostnames=["hooked.example.com"]))
    with pytest.raises(ApiError, match="stored more than the references that were written"):
        here.work("shifted", share=25)
    assert here.weights() == [("llama-preview", 1)]


def test_a_webhook_that_changes_weights_of_others_is_reported(here: Here) -> None:
    hook(here, lambda spec: spec["rules"][0]["backendRefs"][-1].update(weight=101))
    with pytest.raises(ApiError, match="HTTPRoute default/other: the API server stored other references or weights than were written"):
        here.work("shifted", share=25)
    assert here.weights() == [("llama-preview", 1)]


@pytest.mark.parametrize(("forbidden", "other"), [(FIRST, SECOND), (SECOND, FIRST)], ids=["first", "second"])
def test_on_the_way_back_what_can_be_written_is(here: Here, forbidden: Manifest, other: Manifest) -> None:
    """A rejected v1 gets no traffic back because another route can't be written."""
    here.work("shifted", share=50)
    here.cluster.before = refusing(forbidden)
    with pytest.raises(Forbidden):
        here.work("restored")
    assert here.cluster.objects[path_of(other)]["spec"] == other["spec"]


def test_a_probe_route_whose_gateway_writes_its_status_meanwhile_is_read_anew(here: Here) -> None:
    here.work("present", variants=["v1"])
    path = next(path for path, manifest in here.cluster.objects.items() if probe_routes.LABEL in (manifest["metadata"].get("labels") or {}))
    here.cluster.objects[path]["spec"]["hostnames"] = ["old.example.com"]
    meddle(here, path, lambda route: route.update(status={"parents": []}))
    assert len(here.work("present", variants=["v1"])["routes"]) == 1
    assert here.cluster.objects[path]["spec"].get("hostnames") != ["old.example.com"] and here.cluster.objects[path]["status"] == {"parents": []}
    here.cluster.objects[path]["spec"]["hostnames"] = ["old.example.com"]
    meddle(here, path, lambda route: None, times=99)
    with pytest.raises(ApiError, match="written by somebody else 5 times in a row"):
        here.work("present", variants=["v1"])


def test_a_lost_answer_still_counts_as_a_change(here: Here) -> None:
    here.cluster.losing = [("PUT", path_of(FIRST)), ("PUT", path_of(SECOND))]
    result = here.work("shifted", share=25)
    assert here.cluster.losing == [] and result["changed"] and len(result["routes"]) == 2 and len(result["diff"]) == 2


def test_a_route_that_is_gone(here: Here) -> None:
    del here.cluster.objects[path_of(SECOND)]
    with pytest.raises(ApiError, match="HTTPRoute default/other: gone since the plan was made"):
        here.work("shifted", share=25)


# -- the Lease -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [None, "run-2"])
@pytest.mark.parametrize("state", ["present", "absent", "shifted", "restored", "finished", "replaced"])
def test_nothing_is_written_without_the_lease(here: Here, run: str | None, state: str) -> None:
    with pytest.raises(Exception, match="held by run-1"):
        here.work(state, run=run, share=10)
    assert here.cluster.writes == []


def test_a_run_without_a_name_writes_nothing_while_nobody_holds_the_lease(here: Here) -> None:
    Lease(here.cluster).release("run-1")
    with pytest.raises(Exception, match="held by nobody"):
        here.work("shifted", run=None, share=10)
    assert here.route_writes == []


@pytest.mark.parametrize("state", ["shifted", "present", "absent"])
def test_a_lease_that_is_lost_between_two_writes_ends_the_work(here: Here, state: str) -> None:
    if state == "absent":
        here.work("present")
        here.cluster.requests.clear()
    real = {name: getattr(here.cluster, name) for name in ("replace", "create", "delete")}

    def then_lose(name: str) -> Any:
        def write(path: str, *rest: Any) -> Any:
            result = real[name](path, *rest)
            if "httproutes" in path:
                lease = next(manifest for manifest in here.cluster.objects.values() if manifest["kind"] == "Lease")
                lease["spec"]["holderIdentity"] = "run-2"
            return result

        return write

    for name in real:
        setattr(here.cluster, name, then_lose(name))
    with pytest.raises(Exception, match="held by run-2"):
        here.work(state, share=10)
    assert len(here.route_writes) == 1


# -- probe routes -------------------------------------------------------------------------------------------------------


def test_probe_routes_are_made_once_and_removed_by_variant(here: Here) -> None:
    assert len(here.work("present")["routes"]) == 6
    assert here.probe_routes() == ["alpha", "alpha", "both", "both", "v1", "v1"]
    assert here.work("present") == {"changed": False, "routes": []}
    assert len(here.work("absent", variants=["both", "alpha"])["routes"]) == 4
    assert here.probe_routes() == ["v1", "v1"]
    assert here.work("absent")["changed"] and not here.work("absent")["changed"]
    assert set(here.cluster.objects) >= {path_of(FIRST), path_of(SECOND)}
    made = {path for method, path in here.cluster.requests if method == "POST"}
    assert made == {path for method, path in here.cluster.requests if method == "DELETE"}, "users' routes are not ours to delete"


def test_probe_routes_follow_what_a_user_changes_meanwhile(here: Here) -> None:
    here.work("present")
    live = here.cluster.objects[path_of(FIRST)]
    live["spec"]["parentRefs"] = [*live["spec"]["parentRefs"], {"name": "second"}]
    assert len(here.work("present")["routes"]) == 3, "those of that route"
    copies = [manifest for path, manifest in here.cluster.objects.items() if "llm-route-igm" in path]
    assert [entry["name"] for copy in copies for entry in copy["spec"]["parentRefs"]].count("second") == 3
    assert here.work("present") == {"changed": False, "routes": []}


def test_a_probe_route_whose_answer_got_lost(here: Here) -> None:
    here.cluster.losing = [("POST", "llm-route-igm")]
    assert len(here.work("present")["routes"]) == 6 and here.cluster.losing == []


def test_probe_routes_of_every_kind_are_removed() -> None:
    grpc = FIRST | {"kind": "GRPCRoute"}
    plan = make_plan(plan_pool(references=[{"api_version": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute", "namespace": "default", "name": "llm-route"}]))
    here = Here(plan=plan)
    here.cluster.put(grpc)
    here.work("present")
    assert here.probe_routes() == ["alpha", "both", "v1"]
    here.work("absent")
    assert here.probe_routes() == []


# -- main ----------------------------------------------------------------------------------------------------------------


def test_main_reports_what_the_action_plugin_reads(monkeypatch: pytest.MonkeyPatch, here: Here) -> None:
    given = {"plan": PLAN, "run": "run-1", "state": "shifted", "share": 10}
    assert run_module(monkeypatch, shift_traffic, here.cluster, **given)["changed"]
    here.cluster.objects[path_of(FIRST)]["spec"]["rules"][0]["backendRefs"].reverse()
    drifted = run_module(monkeypatch, shift_traffic, here.cluster, **given)
    assert drifted["failed"] and drifted["held"] and drifted["foreign"] and "Nothing was written over it" in drifted["msg"]
    silent = run_module(monkeypatch, shift_traffic, Unreachable("no usable answer"), **given)
    assert silent["failed"] and silent["unreachable_api"]
    for error in (ApiError("no"), ValueError("no")):
        plain = run_module(monkeypatch, shift_traffic, error, **given)
        assert plain["failed"] and "held" not in plain and "unreachable_api" not in plain
    lost = run_module(monkeypatch, shift_traffic, here.cluster, **given | {"run": "run-9"})
    assert lost["failed"] and "not by this run (run-9)" in lost["msg"]


@pytest.mark.parametrize("state", ["migrated", "withdrawn"])
def test_main_does_not_drive(monkeypatch: pytest.MonkeyPatch, here: Here, state: str) -> None:
    result = run_module(monkeypatch, shift_traffic, here.cluster, plan=PLAN, state=state)
    assert result["failed"] and "action plugin" in result["msg"] and here.cluster.requests == []


def test_at_full_share_the_alpha_reference_stays_with_nothing(here: Here) -> None:
    here.work("shifted", share=100)
    assert here.weights() == [("llama-preview", 0), ("llama-ga", 100)]


# -- where a route may be found ------------------------------------------------------------------------------------------

BOTH = ["HTTPRoute default/llm-route", "HTTPRoute default/other"]


def test_a_step_is_not_written_over_what_somebody_else_put_back(here: Here) -> None:
    """Weights of 0 % are a step of this migration too: only who knows the last one sees that they are not its own."""
    here.work("shifted", share=10, standing=[0])
    here.cluster.put(FIRST)
    before = len(here.route_writes)
    with pytest.raises(weights.Drifted, match=r"HTTPRoute default/llm-route was written by .*weight 1, where this step has .*weight 90, .*weight 10"):
        here.work("shifted", share=50, standing=[10])
    assert here.weights() == [("llama-preview", 1)] and len(here.route_writes) == before
    assert here.work("shifted", share=50)["changed"], "by hand any share of this migration may be found"


def test_what_a_step_wrote_is_taken_back_but_not_what_somebody_else_did(here: Here) -> None:
    here.work("shifted", share=10, standing=[dict.fromkeys(BOTH, 0)])
    here.cluster.put(SECOND)
    with pytest.raises(weights.Drifted, match="HTTPRoute default/other was written by"):
        here.work("shifted", share=50, standing=[10])
    assert here.weights() == [("llama-preview", 90), ("llama-ga", 10)], "the first was written, and taken back"
    assert here.weights(SECOND) == [("llama-preview", 3), ("plain", 1)]


def test_a_write_whose_answer_got_lost_is_found_done(here: Here) -> None:
    here.work("shifted", share=10, standing=[0])
    assert not here.work("shifted", share=10, standing=[0])["changed"]
    assert here.work("restored", standing=[0, 10, 0])["changed"]


def test_the_way_back_leaves_what_somebody_else_wrote_and_restores_the_rest(here: Here) -> None:
    here.work("shifted", share=50)
    alpha = references.PoolKey(manifests.ALPHA_GROUP, manifests.POOL_KIND, "default", "llama-preview")
    theirs = weights.reshape(FIRST, FIRST, {alpha: "llama-ga"}, "split", 20)
    here.cluster.put(theirs)
    with pytest.raises(weights.Drifted, match="HTTPRoute default/llm-route was written by"):
        here.work("restored", standing=[50])
    assert here.weights() == [("llama-preview", 80), ("llama-ga", 20)] and here.weights(SECOND) == [("llama-preview", 3), ("plain", 1)]


def test_probe_routes_of_a_route_that_is_gone_are_removed(here: Here) -> None:
    """By a rollback, whose plan has no such route any more."""
    here.work("present")
    for route in (FIRST, SECOND):
        here.cluster.objects.pop(path_of(route))
    here.plan = {"pools": [pool | {"references": []} for pool in PLAN["pools"]]}
    assert here.probe_routes() and here.work("absent")["changed"] and here.probe_routes() == []


# -- before v1alpha2 goes ------------------------------------------------------------------------------------------------


def test_that_v1alpha2_goes_is_said_before_the_first_write(here: Here) -> None:
    here.work("shifted", share=100)
    note_shift(here)
    here.work("finished")
    record = here.store.read()
    assert record is not None and record["retiring_since"] > 1e9
    events = [entry["event"] for entry in record["entries"]]
    assert events.index("begins to take v1alpha2 away") < events.index(f"routes finished: {', '.join(BOTH)}")


def test_a_refusal_lets_the_next_run_shift_again(here: Here) -> None:
    """Else the same command would go on with a retirement for ever that is refused for ever."""
    here.work("shifted", share=100)
    note_shift(here)
    here.work("finished")
    here.cluster.put(FIRST)
    with pytest.raises(ApiError, match="not all traffic is on v1"):
        here.work("finished")
    record = here.store.read()
    assert record is not None and record["retiring_since"] is None and "shift" not in record["phases"]


def test_a_refusal_with_v1alpha2_partly_gone_keeps_the_note_and_names_the_path_with_a_downtime() -> None:
    pool = {"apiVersion": f"{ALPHA['group']}/v1alpha2", "kind": "InferencePool", "metadata": {"name": ALPHA["name"], "namespace": "default"}}
    here = Here(FIRST, SECOND, pool)
    here.work("shifted", share=100)
    note_shift(here)
    here.work("finished")
    here.cluster.put(FIRST)
    here.cluster.objects.pop(here.cluster.put(pool))
    with pytest.raises(ApiError, match="InferencePool default/llama-preview of v1alpha2 went already.*playbook simple"):
        here.work("finished")
    record = here.store.read()
    assert record is not None and record["retiring_since"] and "shift" in record["phases"]


def test_another_chart_than_the_one_that_was_proven(here: Here) -> None:
    here.work("shifted", share=100)
    note_shift(here)
    picker = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "llama-ga-epp", "namespace": "default"}, "spec": {"template": {"spec": {}}}}
    here.cluster.put(picker | {"spec": {"template": {"spec": {"containers": []}}}})
    with pytest.raises(ApiError, match="InferencePool default/llama-ga: what is installed of v1 .* is not what the shift proved"):
        here.work("finished")
