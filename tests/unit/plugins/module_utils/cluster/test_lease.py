# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Lease against an API server of dictionaries, lost answers, slow answers and other writers included."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import lease as lease_file
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import ApiError, Conflict, Unreachable, object_path
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.lease import NAMESPACE, SECONDS, SENT_SECONDS, Lease, LeaseHeld, LeaseLost
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import FIELD_MANAGER

from tests.unit.helpers.migration_fakes import FakeCluster

LEASE = object_path("coordination.k8s.io/v1", "Lease", NAMESPACE, FIELD_MANAGER)
ORIGIN = {"host": "box", "boot": "b", "namespace": "n", "pid": 17, "started": "4"}


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def lease(cluster: FakeCluster) -> Lease:
    return Lease(cluster)


def spec(cluster: FakeCluster) -> dict[str, Any]:
    return cluster.objects[LEASE]["spec"]


def version(cluster: FakeCluster) -> str:
    return cluster.objects[LEASE]["metadata"]["resourceVersion"]


def test_acquire_hold_release(lease: Lease, cluster: FakeCluster) -> None:
    lease.acquire("run-1", {})
    assert spec(cluster) | {"renewTime": 0, "acquireTime": 0} == {
        "holderIdentity": "run-1", "leaseDurationSeconds": SECONDS, "renewTime": 0, "acquireTime": 0, "leaseTransitions": 0,
    }  # fmt: skip
    before = spec(cluster)["renewTime"]
    lease.renew("run-1")
    assert spec(cluster)["renewTime"] > before and spec(cluster)["leaseDurationSeconds"] == SECONDS
    lease.release("run-1")
    assert "holderIdentity" not in spec(cluster) and lease.seen() is None
    lease.acquire("run-2", {})
    assert (spec(cluster)["holderIdentity"], spec(cluster)["leaseTransitions"]) == ("run-2", 1)


def test_a_lease_that_is_held_is_not_taken_however_old_it_says_it_is(lease: Lease, cluster: FakeCluster) -> None:
    """By the clock of another machine nothing can be told."""
    lease.acquire("run-1", {"origin": ORIGIN})
    spec(cluster)["renewTime"] = "1990-01-01T00:00:00.000000Z"
    writes = len(cluster.writes)
    with pytest.raises(LeaseHeld, match=r"Run run-1, ansible-playbook with process id 17 on box, since 20.* is at work") as held:
        lease.acquire("run-2", {})
    assert len(cluster.writes) == writes and held.value.seen["holder"] == {"origin": ORIGIN} and held.value.seen["version"] == version(cluster)
    lease.acquire("run-1", {})


def test_a_dead_holders_lease_is_taken_and_it_stops(lease: Lease, cluster: FakeCluster) -> None:
    lease.acquire("run-1", {})
    lease.acquire("run-2", {}, take=version(cluster))
    for look in (lease.renew, lease.check, lease.check_freshly):
        with pytest.raises(LeaseLost, match="held by run-2, not by this run"):
            look("run-1")
    lease.release("run-1")
    assert spec(cluster)["holderIdentity"] == "run-2"


def test_one_that_was_renewed_since_it_was_seen_is_not_taken(lease: Lease, cluster: FakeCluster) -> None:
    lease.acquire("run-1", {})
    seen = version(cluster)
    lease.renew("run-1")
    with pytest.raises(LeaseHeld):
        lease.acquire("run-2", {}, take=seen)
    assert spec(cluster)["holderIdentity"] == "run-1"


@pytest.mark.parametrize("note", ["", "{", "[]", None])
def test_a_garbled_note_of_the_holder_names_nobody(lease: Lease, cluster: FakeCluster, note: str | None) -> None:
    lease.acquire("run-1", {"origin": ORIGIN})
    cluster.objects[LEASE]["metadata"]["annotations"] = {lease_file.HOLDER: note} if note is not None else None
    with pytest.raises(LeaseHeld, match=r"^Run run-1, since"):
        lease.acquire("run-2", {})


@pytest.mark.parametrize("run", [None, "", "run-1"])
def test_nobodys_lease_lets_nobody_write(lease: Lease, cluster: FakeCluster, run: str | None) -> None:
    for _state in ("no lease", "a released lease"):
        for look in (lease.renew, lease.check):
            with pytest.raises(LeaseLost, match="held by nobody"):
                look(run)
        lease.acquire("run-0", {})
        lease.release("run-0")
    assert "holderIdentity" not in spec(cluster)


def race(cluster: FakeCluster, method: str, change: dict[str, Any]) -> None:
    """Somebody else changes, or makes, the Lease right before our next write of it."""

    def meddle(seen: str, path: str, body: Any) -> None:
        if (seen, path) == (method, LEASE):
            cluster.before = lambda *_request: None
            there = cluster.objects.get(LEASE) or body
            cluster.put({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"} | there | {"spec": there["spec"] | change})

    cluster.before = meddle


@pytest.mark.parametrize("there", [False, True])
def test_of_two_that_take_it_at_once_one_gets_it(lease: Lease, cluster: FakeCluster, there: bool) -> None:
    if there:
        lease.acquire("run-0", {})
    take = version(cluster) if there else None
    race(cluster, "PUT" if there else "POST", {"holderIdentity": "run-2"})
    with pytest.raises(LeaseHeld, match="Run run-2"):
        lease.acquire("run-1", {}, take=take)
    assert spec(cluster)["holderIdentity"] == "run-2"


def test_a_conflict_while_holding_is_looked_at_again(lease: Lease, cluster: FakeCluster) -> None:
    lease.acquire("run-1", {})
    race(cluster, "PUT", {"unknown": 1})
    lease.renew("run-1")
    assert spec(cluster)["unknown"] == 1
    race(cluster, "PUT", {"holderIdentity": "run-2"})
    with pytest.raises(LeaseLost, match="run-2"):
        lease.renew("run-1")


def test_a_lease_that_others_write_all_the_time(lease: Lease, cluster: FakeCluster) -> None:
    lease.acquire("run-1", {})
    cluster.before = lambda method, path, body: cluster.put(cluster.objects[LEASE]) if method == "PUT" else None
    with pytest.raises(LeaseLost, match="written by somebody else"):
        lease.renew("run-1")
    with pytest.raises(Conflict):
        lease.release("run-1")


@pytest.mark.parametrize("there", [False, True])
def test_lost_answers_of_lease_writes_do_no_harm(lease: Lease, cluster: FakeCluster, there: bool) -> None:
    if there:
        lease.acquire("run-0", {})
        lease.release("run-0")
    cluster.losing = [("PUT" if there else "POST", LEASE)]
    lease.acquire("run-1", {})
    cluster.losing = [("PUT", LEASE)]
    lease.renew("run-1")
    cluster.losing = [("PUT", LEASE)]
    lease.release("run-1")
    assert cluster.losing == [] and "holderIdentity" not in spec(cluster)


# -- while it is held ----------------------------------------------------------------------------------------------------

NOTE = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "default"}}
NOTES = "/api/v1/namespaces/default/configmaps"


def test_no_write_is_sent_once_another_run_holds_it(lease: Lease, cluster: FakeCluster) -> None:
    lease.acquire("run-1", {})
    with lease.held("run-1"):
        cluster.create(NOTES, NOTE)
        spec(cluster)["holderIdentity"] = "run-2"
        there = cluster.get(f"{NOTES}/x")
        for write in (lambda: cluster.delete(f"{NOTES}/x"), lambda: cluster.replace(f"{NOTES}/x", there), lambda: cluster.create(NOTES, NOTE)):
            with pytest.raises(LeaseLost):
                write()
        cluster.create(NOTES, NOTE | {"metadata": NOTE["metadata"] | {"name": "y"}}, dry_run=True)
    assert [path for _method, path in cluster.writes if path.startswith(NOTES)] == [f"{NOTES}/x", f"{NOTES}/y"]
    cluster.delete(f"{NOTES}/x")


def test_a_slow_answer_is_too_old_for_a_write(lease: Lease, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def slowly(method: str, path: str, _body: Any) -> None:
        nonlocal now
        now += 3.5 if (method, path) == ("GET", LEASE) else 0.0

    lease.acquire("run-1", {})
    monkeypatch.setattr(lease_file, "time", type("Clock", (), {"monotonic": staticmethod(lambda: now)}))
    cluster.before = slowly
    with pytest.raises(Unreachable, match="nothing can be written safely"):
        lease.check_freshly("run-1")
    now, cluster.before = 0.0, lambda *_request: None
    lease.check_freshly("run-1")


def test_a_lease_that_another_run_may_take_meanwhile_is_renewed_before_a_write(lease: Lease, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where renewals failed for a while, the look at its holder alone says nothing of the next five seconds."""
    now = 100.0
    lease.acquire("run-1", {})
    monkeypatch.setattr(lease_file, "time", type("Clock", (), {"monotonic": staticmethod(lambda: now)}))
    lease.renew("run-1")
    before = version(cluster)
    now += SECONDS - SENT_SECONDS
    lease.check_freshly("run-1")
    assert version(cluster) == before
    now += 0.1
    lease.check_freshly("run-1")
    assert version(cluster) != before
    spec(cluster)["holderIdentity"] = "run-2"
    now += SECONDS
    with pytest.raises(LeaseLost, match="held by run-2"):
        lease.check_freshly("run-1")


def test_a_write_of_the_block_renews_a_stale_lease_first(lease: Lease, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    lease.acquire("run-1", {})
    monkeypatch.setattr(lease_file, "time", type("Clock", (), {"monotonic": staticmethod(lambda: now)}))
    with lease.held("run-1"):
        before = version(cluster)
        now += SECONDS
        cluster.create(NOTES, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "default"}})
        assert version(cluster) != before


def test_it_is_renewed_while_the_block_runs_and_not_after(lease: Lease, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_file, "RENEW_SECONDS", 0.01)
    lease.acquire("run-1", {})
    with lease.held("run-1"):
        first, until = spec(cluster)["renewTime"], time.monotonic() + 10
        while spec(cluster)["renewTime"] == first and time.monotonic() < until:
            time.sleep(0.01)
        assert spec(cluster)["renewTime"] > first
    time.sleep(0.1)
    last = version(cluster)
    time.sleep(0.1)
    assert version(cluster) == last


def test_a_silent_server_does_not_end_the_renewing(lease: Lease, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_file, "RENEW_SECONDS", 0.01)
    silent = iter(range(5))

    def sometimes(method: str, path: str, _body: Any) -> None:
        if method == "PUT" and next(silent, None) is not None:
            raise ApiError("no answer")

    lease.acquire("run-1", {})
    with lease.held("run-1"):
        first, until, cluster.before = spec(cluster)["renewTime"], time.monotonic() + 10, sometimes
        while spec(cluster)["renewTime"] == first and time.monotonic() < until:
            time.sleep(0.01)
        assert spec(cluster)["renewTime"] > first


def test_who_does_not_hold_it_begins_nothing(lease: Lease, cluster: FakeCluster) -> None:
    with pytest.raises(LeaseLost), lease.held("run-1"):
        raise AssertionError("the block must not run")
