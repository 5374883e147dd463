# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds the Lease under which at most one run writes to a cluster.

It is short and renewed while a run lives. Its holder counts as dead when it was not renewed for its whole duration on the
clock of the one who looks: clocks of two machines are never compared. Before every write the holder is looked at, and
the write is sent within :data:`SENT_SECONDS` of that or not at all.

For internal use of this collection only.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from threading import Event, Thread
from typing import Any, TypedDict, cast

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import (
    CONNECT_SECONDS,
    ApiError,
    Cluster,
    Conflict,
    Unreachable,
    collection_path,
    object_path,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.journal import LABELS, NAME
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.processes import Origin, Workplace
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest

NAMESPACE = NAME
"""One Lease a cluster, always here, wherever the journal lies: two runs must meet at it."""
CHECK_MODE = "check-mode"
"""What stands for the name of a run in check mode, which takes no Lease."""
SECONDS = 35
"""A holder that did not renew the Lease for so long is dead. After a kill it is taken by 45 s: this, a look, and two module executions."""
RENEW_SECONDS = 8
SENT_SECONDS = 5
"""A write is sent so soon after the look at the Lease, or not at all: whoever takes the Lease later meets no older write."""
HOLDER = "inference-gateway-migration/holder"
"""Annotation with the :class:`Holder` as JSON."""
TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
ATTEMPTS = 3
"""How often the Lease is read and written anew after a conflict. Our own write causes one too, if its answer got lost."""


class Holder(TypedDict, total=False):
    """Who holds the Lease.

    ``origin``: the process that began the run (ansible-playbook). ``modules``: the machine on which its modules run. ``host``: of the inventory.
    """

    origin: Origin
    modules: Workplace
    host: str


class Seen(TypedDict):
    """A Lease that another run holds, as it was seen: ``beat`` changes when it is renewed, ``version`` when anything of it changes."""

    run: str
    holder: Holder
    since: str
    beat: str
    version: str
    seconds: int


class LeaseHeld(Exception):
    """Another run holds the Lease. ``seen``: what was seen of it."""

    def __init__(self, seen: Seen) -> None:
        super().__init__(f"{words(seen)} is at work on this cluster. Wait until it has ended, or stop it there, then start again: nothing was written.")
        self.seen = seen


class LeaseLost(Exception):
    """This run does not hold the Lease any more, so it must not write."""


def words(seen: Seen) -> str:
    """Return who holds a Lease, and since when, for a person."""
    origin = seen["holder"].get("origin")
    where = f", ansible-playbook with process id {origin['pid']} on {origin['host']}" if origin else ""
    return f"Run {seen['run']}{where}, since {seen['since'][:19] or 'nobody knows when'}"


class Lease:
    """Takes, renews, checks and gives up the Lease of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.renewed = float("-inf")
        """When this run's last renewal was asked for, on the clock of time.monotonic."""
        self._path = object_path("coordination.k8s.io/v1", "Lease", NAMESPACE, NAME)

    def acquire(self, run: str, holder: Holder, take: str | None = None) -> None:
        """Take the Lease for a run, where nobody or the run itself holds it.

        :param take: the resourceVersion of a Lease whose holder is dead: it is taken if nothing of it has changed since.
        :raises LeaseHeld: when another run holds it, or takes it at the same moment.
        """
        lease = self.cluster.get(self._path)
        now = datetime.now(timezone.utc).strftime(TIME)
        held = {"holderIdentity": run, "leaseDurationSeconds": SECONDS, "renewTime": now, "acquireTime": now}
        note = {HOLDER: json.dumps(holder, sort_keys=True)}
        try:
            if lease is None:
                meta = {"name": NAME, "namespace": NAMESPACE, "labels": LABELS, "annotations": note}
                body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": held | {"leaseTransitions": 0}}
                self.cluster.create(collection_path("coordination.k8s.io/v1", "leases", NAMESPACE), body)
                return
            seen = self._seen(lease)
            if seen["run"] not in ("", run) and seen["version"] != take:
                raise LeaseHeld(seen)
            spec = lease.get("spec") or {}
            meta = lease["metadata"] | {"annotations": (lease["metadata"].get("annotations") or {}) | note}
            taken = spec | held | {"leaseTransitions": spec.get("leaseTransitions", 0) + 1}
            self.cluster.replace(self._path, lease | {"metadata": meta, "spec": taken})
        except Conflict:
            now_held = self._seen(self.cluster.get(self._path))
            if now_held["run"] != run:
                raise LeaseHeld(now_held) from None

    def check(self, run: str | None) -> Manifest:
        """Return the Lease if this run holds it. :raises LeaseLost: when somebody else holds it, or nobody."""
        lease = self.cluster.get(self._path)
        holder = self._seen(lease)["run"]
        if lease is None or not run or holder != run:
            raise LeaseLost(
                f"Lease {NAMESPACE}/{NAME} is held by {holder or 'nobody'}, not by this run ({run or 'which has no name: give run'}): "
                "nothing more was written."
            )
        return lease

    def check_freshly(self, run: str | None) -> None:
        """Check that this run holds the Lease, by an answer that is young enough for a write to follow, and that nobody may take it meanwhile.

        A Lease that was not renewed for so long that another run may take it within :data:`SENT_SECONDS` is renewed first.

        :raises LeaseLost: as :meth:`check`. :raises Unreachable: when the server is too slow for a safe write.
        """
        for _attempt in range(ATTEMPTS):
            asked = time.monotonic()
            if asked - self.renewed > SECONDS - SENT_SECONDS:
                self.renew(run)
            else:
                self.check(run)
            if time.monotonic() - asked <= SENT_SECONDS - CONNECT_SECONDS:
                return
        raise Unreachable(f"{self.cluster.server} takes so long to answer that nothing can be written safely: the lock may be another run's by then.")

    def renew(self, run: str | None) -> None:
        """Renew the Lease. :raises LeaseLost: when somebody else holds it, or nobody, or somebody else keeps writing it."""
        for _attempt in range(ATTEMPTS):
            asked = time.monotonic()
            lease = self.check(run)
            try:
                self.cluster.replace(self._path, lease | {"spec": lease["spec"] | {"renewTime": datetime.now(timezone.utc).strftime(TIME)}})
                self.renewed = asked
                return
            except Conflict:
                continue
        raise LeaseLost(f"Lease {NAMESPACE}/{NAME} is being written by somebody else.")

    def release(self, run: str | None) -> None:
        """Give the Lease up if this run holds it, else do nothing."""
        for attempt in range(ATTEMPTS):
            lease = self.cluster.get(self._path)
            if lease is None or not run or self._seen(lease)["run"] != run:
                return
            try:
                self.cluster.replace(self._path, lease | {"spec": {field: value for field, value in lease["spec"].items() if field != "holderIdentity"}})
                return
            except Conflict:
                if attempt == ATTEMPTS - 1:
                    raise

    def seen(self) -> Seen | None:
        """Return what is to be seen of the Lease; None where nobody holds it."""
        found = self._seen(self.cluster.get(self._path))
        return found if found["run"] else None

    @contextmanager
    def held(self, run: str | None) -> Iterator[None]:
        """Renew the Lease now and again while the block runs, and let no write of the cluster be sent without a look at it.

        :raises LeaseLost: when this run does not hold it.
        """
        # By a copy: it has no fence, which would look at itself, and what the server warned of with its last answer belongs to the block's own requests
        beside = Lease(copy.copy(self.cluster))
        beside.renew(run)
        over = Event()
        keeper = Thread(target=beside._keep, args=(run, over), daemon=True)
        self.cluster.fence = lambda: beside.check_freshly(run)
        keeper.start()
        try:
            yield
        finally:
            over.set()
            self.cluster.fence = None

    def _keep(self, run: str | None, over: Event) -> None:
        while not over.wait(RENEW_SECONDS):
            try:
                self.renew(run)
            except LeaseLost:  # the next write meets it
                return
            except ApiError:
                continue

    def _seen(self, lease: Manifest | None) -> Seen:
        spec, meta = (lease or {}).get("spec") or {}, (lease or {}).get("metadata") or {}
        return {
            "run": spec.get("holderIdentity") or "", "holder": _parsed((meta.get("annotations") or {}).get(HOLDER)), "since": spec.get("acquireTime") or "",
            "beat": spec.get("renewTime") or "", "version": meta.get("resourceVersion") or "", "seconds": spec.get("leaseDurationSeconds") or SECONDS,
        }


def _parsed(text: Any) -> Holder:
    """Return who an annotation names; nobody where it is not there, or was garbled."""
    try:
        found = json.loads(text or "{}")
    except (TypeError, ValueError):
        return {}
    return cast(Holder, found) if isinstance(found, dict) else {}
