# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the journal, the plan and the backup in the cluster that is migrated.

The journal belongs to the migration and outlives its runs, even if approvals take days. It says what was meant and done;
what is true is what is live.

For internal use of this collection only.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import secrets
import time
import zlib
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any, Literal, TypedDict, cast

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import ApiError, Cluster, Conflict, collection_path, object_path
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest

NAME = "inference-gateway-migration"
LABELS = {"app.kubernetes.io/managed-by": NAME}
CHUNK = 700_000
"""Bytes of a compressed backup in one ConfigMap, whose limit is 1 MiB with base64 and all else in it."""
ATTEMPTS = 3
"""How often an object of ours is read and written anew after a conflict. Our own write causes one too, if its answer got lost."""


Part = Literal["backup", "plan"]
PARTS: dict[Part, tuple[str, str, str]] = {"backup": ("ConfigMap", "binaryData", "objects"), "plan": ("Secret", "data", "plan")}
"""In which kind, field and key the chunks of a part lie. A plan holds values of Helm, which may be nobody else's business."""


class BackupBroken(Exception):
    """A backup or a plan could not be read back as it was written."""


def argument_spec() -> dict[str, Any]:
    """Return the option that says where all of this lies, for every module that reads or writes it."""
    return {"state_namespace": {"type": "str", "default": "inference-gateway-migration"}}


def pack(content: Any) -> tuple[list[str], str]:
    """Return objects or a plan as compressed, base64-encoded chunks, and the sha256 of the JSON in them. The same content gives the same bytes."""
    raw = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    packed = gzip.compress(raw, mtime=0)
    return [base64.b64encode(packed[start:start + CHUNK]).decode() for start in range(0, len(packed), CHUNK)], hashlib.sha256(raw).hexdigest()


def unpack(chunks: list[str], digest: str, what: str = "backup") -> Any:
    """Return what was packed. :raises BackupBroken: when the chunks can't be unpacked, or to another sha256 than ``digest``."""
    try:
        raw = gzip.decompress(b"".join(base64.b64decode(chunk) for chunk in chunks))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise BackupBroken(f"the {what} can't be unpacked: {error}") from error
    if hashlib.sha256(raw).hexdigest() != digest:
        raise BackupBroken(f"the {what}'s sha256 differs from the one in the journal")
    return json.loads(raw)


def storable(manifest: Manifest) -> Manifest:
    """Return an object without the fields that the server writes, fit to be created again or compared."""
    meta = {field: value for field, value in manifest["metadata"].items() if field not in ("managedFields", "resourceVersion", "generation", "selfLink")}
    return {field: value for field, value in manifest.items() if field != "status"} | {"metadata": meta}


class Event(TypedDict):
    """Something that was meant or done, and when (UTC, ISO 8601)."""

    time: str
    event: str


class StoredBackup(TypedDict):
    """Where a backup or a plan lies: names of its ConfigMaps or Secrets in order, and the sha256 of what they unpack to."""

    names: list[str]
    sha256: str


class Record(TypedDict):
    """The journal of one migration, as its ConfigMap keeps it.

    ``status``: ``open``, ``finished`` or ``rolled back``. ``begun``: whether the cluster was begun to be changed. ``passed``: the last share, in percent, that
    a gate let through and that was not taken back since. ``shifted_since``: when v1 was first given
    traffic of users, unless a rollback has ended it, ``retiring_since``: when v1alpha2 began to be taken away, ``returning_since``: when a rollback began, in
    seconds since the epoch. ``stack``: fingerprints of what of v1 the shift proved, by pool. ``answers``: for a model the further models that v1alpha2 named
    in its answers. ``phases``: those that are done.
    """

    migration: str
    nonce: str
    status: str
    plan: Any
    begun: bool
    passed: int
    shifted_since: float | None
    retiring_since: float | None
    returning_since: float | None
    stack: dict[str, str] | None
    answers: dict[str, list[str]]
    phases: list[str]
    entries: list[Event]
    verdict: str | None
    reason: str | None
    backup: StoredBackup


def without_shift(record: Record) -> dict[str, Any]:
    """Return the fields to update in a record so that its shift counts no more."""
    return {"phases": [phase for phase in record["phases"] if phase != "shift"], "stack": None, "retiring_since": None}


def summary(record: Record | None) -> dict[str, Any]:
    """Return what modules show of a record: ``journal``, all but where the plan lies; None where there is no record."""
    return {"journal": None if record is None else {field: value for field, value in record.items() if field != "plan"}}


class Journal:
    """Reads and writes the journal and the backup of one cluster, under the Lease.

    :param namespace: where both live (``migration_state_namespace``).
    """

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self._record = object_path("v1", "ConfigMap", namespace, NAME)

    # -- the journal ------------------------------------------------------------------------------------------------

    def read(self) -> Record | None:
        """Read the record of the migration; None where there was none.

        Its fields: ``migration`` (id), ``nonce`` (of its probe routes), ``status`` (open, finished or rolled back), ``plan`` (where it lies, see :meth:`plan`,
        and its hash), ``begun`` (whether it has begun to change the cluster), ``phases`` (done), ``stack`` (fingerprints of what of v1 the shift proved, by
        pool), ``answers`` (models that v1alpha2 named beyond what the plan expects, by model), ``shifted_since``, ``retiring_since`` and ``returning_since``
        (when it began to give v1 traffic, to take v1alpha2 away, to roll back, in seconds since the epoch), ``entries`` (``time`` and ``event``), ``verdict``,
        ``reason``, ``backup`` (``names`` of ConfigMaps, ``sha256``).
        """
        found = self.cluster.get(self._record)
        return json.loads(found["data"]["record"]) if found else None

    def open(self, plan: Any, objects: list[Manifest]) -> Record:
        """Begin a migration: keep the record of the one before, write backup and plan, then the record that refers to them, and return it.

        :param objects: every live object that the migration will change or delete.
        :raises BackupBroken: when the backup can't be read back whole.
        """
        if before := self.read():
            self._archive(before)
        migration = secrets.token_hex(4)
        stored = self._store("backup", migration, [storable(manifest) for manifest in objects])
        record: Record = {
            "migration": migration,
            "nonce": f"igm{migration}",
            "status": "open",
            "plan": {**self._store("plan", migration, plan), "hash": plan.get("hash")},
            "begun": False,
            "passed": 0,
            "shifted_since": None,
            "retiring_since": None,
            "returning_since": None,
            "stack": None,
            "answers": {},
            "phases": ["plan"],
            "entries": [],
            "verdict": None,
            "reason": None,
            "backup": stored,
        }
        return self.update(record, "phase plan done")

    def update(self, record: Record, event: str | None = None, **fields: Any) -> Record:
        """Replace fields of a record, add an event with its time, write the record and return it."""
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        entries = [*record["entries"], *([Event(time=now, event=event)] if event else [])]
        after = cast(Record, {**record, **fields, "entries": entries})
        self._write(after)
        return after

    def begin(self, record: Record) -> Record:
        """Record that the cluster is being changed beyond definitions, before the first write that does so, and return the record."""
        return record if record.get("begun", True) else self.update(record, "begins to change the cluster", begun=True)

    def begin_to_retire(self, record: Record) -> Record:
        """Record that v1alpha2 is being taken away, before the first write that does so, and return the record. A second call keeps the first time."""
        return record if record.get("retiring_since") else self.update(record, "begins to take v1alpha2 away", retiring_since=time.time())

    def begin_to_shift(self, record: Record) -> Record:
        """Record that v1 gets traffic of users, before the first write that gives it some, and return the record. A second call keeps the first time."""
        return record if record.get("shifted_since") else self.update(record, "begins to give v1 traffic", shifted_since=time.time())

    def begin_to_return(self, record: Record) -> Record:
        """Record that the migration is being rolled back, before the first write that does so, and return the record. A second call keeps the first time.

        Neither shift nor installation counts as done from here on: both are taken back, or may be.

        :raises ApiError: when v1alpha2 has begun to be taken away: it is not whole any more.
        """
        if record.get("retiring_since"):
            raise ApiError("v1alpha2 has begun to be taken away, so there is nothing whole to go back to: finish with the playbook zero_downtime. "
                           "What was deleted lies in the backup.")
        if record.get("returning_since"):
            return record
        return self.update(record, "begins to roll back", returning_since=time.time(), **without_shift(record) | {"phases": ["plan"]})

    def go_forth(self, record: Record) -> Record:
        """Record that a migration goes on of which a rollback had begun, and return the record; without one do nothing."""
        return self.update(record, "goes forth again: a rollback had begun", returning_since=None) if record.get("returning_since") else record

    def _write(self, record: Record) -> None:
        meta = {"name": NAME, "namespace": self.namespace, "labels": LABELS}
        data = {"record": json.dumps(record, sort_keys=True), "status": record["status"], "verdict": record["verdict"] or ""}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
        for attempt in range(ATTEMPTS):
            found = self.cluster.get(self._record)
            try:
                if found is None:
                    self.cluster.create(collection_path("v1", "configmaps", self.namespace), body)
                else:
                    self.cluster.replace(self._record, found | {"data": data})
                return
            except Conflict:
                # The Lease is ours, so what is there is our own answer that got lost, or somebody's label.
                if attempt == ATTEMPTS - 1:
                    raise

    def _archive(self, record: Record) -> None:
        """Keep the record of an earlier migration under a name of its own, before another one takes its place."""
        name = f"{NAME}-{record['migration']}"
        meta = {"name": name, "namespace": self.namespace, "labels": LABELS}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"record": json.dumps(record, sort_keys=True)}}
        with suppress(Conflict):  # it was kept by a run that was killed right then
            self.cluster.create(collection_path("v1", "configmaps", self.namespace), body)

    # -- plan and backup --------------------------------------------------------------------------------------------

    def _store(self, what: Part, migration: str, content: Any) -> StoredBackup:
        """Write a plan or a backup, read it back, and return where it lies. :raises BackupBroken: when it does not come back whole."""
        kind, field, key = PARTS[what]
        chunks, digest = pack(content)
        names = [f"{NAME}-{what}-{migration}-{number}" for number in range(len(chunks))]
        for name, chunk in zip(names, chunks):
            meta = {"name": name, "namespace": self.namespace, "labels": LABELS}
            with suppress(Conflict):
                self.cluster.create(collection_path("v1", f"{kind.lower()}s", self.namespace),
                                    {"apiVersion": "v1", "kind": kind, "metadata": meta, field: {key: chunk}})
        stored: StoredBackup = {"names": names, "sha256": digest}
        self._load(what, stored)
        return stored

    def _load(self, what: Part, stored: StoredBackup) -> Any:
        kind, field, key = PARTS[what]
        found = [self.cluster.get(object_path("v1", kind, self.namespace, name)) for name in stored["names"]]
        chunks = [((manifest or {}).get(field) or {}).get(key) for manifest in found]
        missing = [name for name, chunk in zip(stored["names"], chunks) if not chunk]
        if missing:
            raise BackupBroken(f"{kind}s {', '.join(missing)} of the {what} are gone from namespace {self.namespace}")
        return unpack([chunk for chunk in chunks if chunk], stored["sha256"], what)

    def backup(self, stored: StoredBackup) -> list[Manifest]:
        """Read the objects as they were before the migration, by field ``backup`` of the record. :raises BackupBroken: when they are not whole."""
        return self._load("backup", stored)

    def plan(self, record: Record) -> Any:
        """Read the plan of a migration. :raises BackupBroken: when it is not whole."""
        stored = record["plan"]
        return self._load("plan", stored) if "names" in stored else stored  # a journal of an earlier version holds it itself
