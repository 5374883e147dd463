# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Journal and backup against an API server of dictionaries, lost answers and other writers included."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import journal
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import Conflict, object_path
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.journal import BackupBroken, Journal

from tests.unit.helpers.migration_fakes import NAMESPACE, FakeCluster

RECORD = object_path("v1", "ConfigMap", NAMESPACE, journal.NAME)
OBJECTS: list[dict[str, Any]] = [
    {
        "kind": "HTTPRoute",
        "metadata": {"name": "a", "resourceVersion": "7", "managedFields": [1], "labels": {"x": "y"}},
        "spec": {"ü": [1]},
        "status": {"no": 1},
    },
    {"kind": "InferencePool", "metadata": {"name": "b", "generation": 3}},
]


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def store(cluster: FakeCluster) -> Journal:
    return Journal(cluster, NAMESPACE)


# -- pack and unpack -----------------------------------------------------------------------------------------------------

VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3), max_size=2)


@given(st.lists(st.dictionaries(st.text(max_size=3), VALUES, max_size=2), max_size=2))
@settings(max_examples=30)
def test_what_is_packed_comes_back(objects: list[dict[str, Any]]) -> None:
    assert journal.unpack(*journal.pack(objects)) == objects
    assert journal.pack(objects) == journal.pack(json.loads(json.dumps(objects)))


def test_chunks_fit_a_config_map(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(base64.b64encode(b"x" * journal.CHUNK)) < 1_000_000
    monkeypatch.setattr(journal, "CHUNK", 50)
    chunks, digest = journal.pack(OBJECTS)
    assert len(chunks) > 2 and all(len(base64.b64decode(chunk)) <= 50 for chunk in chunks)
    assert journal.unpack(chunks, digest) == OBJECTS
    for damaged in (chunks[:-1], [chunks[1], chunks[0], *chunks[2:]], []):
        with pytest.raises(BackupBroken):
            journal.unpack(damaged, digest)


def test_any_corruption_is_found() -> None:
    (chunk,), digest = journal.pack(OBJECTS)
    packed, rng = base64.b64decode(chunk), random.Random(1)
    for place in range(len(packed)):
        damaged = bytearray(packed)
        damaged[place] ^= rng.randrange(1, 256)
        try:
            assert journal.unpack([base64.b64encode(bytes(damaged)).decode()], digest) == OBJECTS, "a changed byte of gzip's header changes nothing"
        except BackupBroken:
            continue
        assert place < 10, f"byte {place} may not change unseen"
    with pytest.raises(BackupBroken, match="sha256 differs"):
        journal.unpack(journal.pack([{}])[0], digest)
    with pytest.raises(BackupBroken, match="can't be unpacked"):
        journal.unpack(["ü"], digest)


def test_storable_drops_what_the_server_writes() -> None:
    assert journal.storable(OBJECTS[0]) == {"kind": "HTTPRoute", "metadata": {"name": "a", "labels": {"x": "y"}}, "spec": {"ü": [1]}}


# -- the record ----------------------------------------------------------------------------------------------------------


def test_open_read_update(store: Journal, cluster: FakeCluster) -> None:
    assert store.read() is None
    opened = store.open({"pools": []}, OBJECTS)
    assert opened["nonce"] == f"igm{opened['migration']}" and (opened["status"], opened["verdict"], opened["phases"]) == ("open", None, ["plan"])
    assert store.read() == opened
    assert store.backup(opened["backup"]) == [journal.storable(entry) for entry in OBJECTS]
    posts = [path for method, path in cluster.requests if method == "POST"]
    assert posts[-1] == RECORD and len(posts) == 3, "backup and plan stand before the record refers to them"
    assert store.plan(opened) == {"pools": []} and "pools" not in cluster.objects[RECORD]["data"]["record"]
    cluster.objects[RECORD]["metadata"]["labels"]["added"] = "by somebody"
    after = store.update(opened, "phase install done", phases=["plan", "install"])
    assert store.read() == after and after["phases"] == ["plan", "install"] and opened["phases"] == ["plan"]
    assert [entry["event"] for entry in after["entries"]] == ["phase plan done", "phase install done"]
    closed = store.update(after, status="finished", verdict="PROVEN")
    assert closed["entries"] == after["entries"]
    assert {field: cluster.objects[RECORD]["data"][field] for field in ("status", "verdict")} == {"status": "finished", "verdict": "PROVEN"}
    assert cluster.objects[RECORD]["metadata"]["labels"] == journal.LABELS | {"added": "by somebody"}


def test_two_migrations_have_backups_of_their_own(store: Journal) -> None:
    first, second = store.open({}, OBJECTS[:1]), store.open({}, OBJECTS[1:])
    assert first["migration"] != second["migration"]
    assert store.read() == second
    assert [len(store.backup(entry["backup"])) for entry in (first, second)] == [1, 1]


def test_the_record_of_the_migration_before_is_kept(store: Journal, cluster: FakeCluster) -> None:
    """Its backup alone would not say what was done."""
    first = store.update(store.open({"hash": "1"}, OBJECTS), status="rolled back", verdict="ROLLED BACK")
    cluster.losing = [("POST", first["migration"])]
    store.open({"hash": "2"}, [])
    kept = json.loads(cluster.objects[f"{RECORD}-{first['migration']}"]["data"]["record"])
    assert kept == first and store.plan(kept) == {"hash": "1"}


def test_a_plan_of_a_thousand_pools_fits(store: Journal, cluster: FakeCluster) -> None:
    """An API server takes objects of 1.5 MiB, etcd by default as well, and a ConfigMap or Secret of 1 MiB."""
    rng = random.Random(1)
    values = {"args": [f"--flag-{number}={rng.random()}" for number in range(40)], "labels": {f"key{number}": rng.random() for number in range(40)}}
    plan = {"pools": [values | {"name": f"pool-{number}", "id": rng.random(), "more": [rng.random() for _each in range(200)]} for number in range(1000)]}
    opened = store.open(plan, [])
    assert len(json.dumps(plan)) > 5_000_000 and store.plan(opened) == plan
    assert max(len(json.dumps(manifest)) for manifest in cluster.objects.values()) < 1_000_000


def test_a_journal_of_an_earlier_version_holds_its_plan_itself(store: Journal) -> None:
    opened = store.open({"pools": []}, [])
    assert store.plan(opened | {"plan": {"pools": [1], "hash": "x"}}) == {"pools": [1], "hash": "x"}


def test_lost_answers_of_record_and_backup_do_no_harm(store: Journal, cluster: FakeCluster) -> None:
    cluster.losing = [("POST", "backup"), ("POST", RECORD)]
    opened = store.open({}, OBJECTS)
    cluster.losing += [("PUT", RECORD)]
    after = store.update(opened, "x")
    assert cluster.losing == [] and store.read() == after


def test_a_record_that_others_write_all_the_time(store: Journal, cluster: FakeCluster) -> None:
    opened = store.open({}, [])
    cluster.before = lambda method, path, body: cluster.put(cluster.objects[RECORD]) if method == "PUT" else None
    with pytest.raises(Conflict):
        store.update(opened, "x")


# -- the backup ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "CHUNK", 50)


@pytest.mark.usefixtures("many_chunks")
@pytest.mark.parametrize("how", ["gone", "without data", "empty"])
def test_missing_chunks_are_named(store: Journal, cluster: FakeCluster, how: str) -> None:
    backup = store.open({}, OBJECTS)["backup"]
    for name in backup["names"][1:3]:
        path = object_path("v1", "ConfigMap", NAMESPACE, name)
        if how == "gone":
            del cluster.objects[path]
        elif how == "without data":
            del cluster.objects[path]["binaryData"]
        else:
            cluster.objects[path]["binaryData"]["objects"] = ""
    with pytest.raises(BackupBroken, match=f"ConfigMaps {backup['names'][1]}, {backup['names'][2]} of the backup are gone from namespace {NAMESPACE}"):
        store.backup(backup)


@pytest.mark.usefixtures("many_chunks")
def test_a_backup_that_does_not_come_back_whole_begins_nothing(store: Journal, cluster: FakeCluster) -> None:
    def swap(method: str, path: str, body: Any) -> None:
        if method == "POST" and path.endswith("-1"):
            body["binaryData"]["objects"] = base64.b64encode(b"something else").decode()

    cluster.before = swap
    with pytest.raises(BackupBroken):
        store.open({}, OBJECTS)
    assert RECORD not in cluster.objects


def test_only_the_plan_is_a_secret(store: Journal, cluster: FakeCluster) -> None:
    """It holds values of Helm."""
    store.open({}, OBJECTS)
    assert [path.split("/")[-2] for method, path in cluster.requests if method == "POST"] == ["configmaps", "secrets", "configmaps"]
