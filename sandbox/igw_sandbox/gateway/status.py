# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Status as the gateway writes it: only when it changes, only its own part, and taken back when nothing refers to an object any more."""
from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from lightkube.core.exceptions import ApiError
from lightkube.types import PatchType

from .model import Manifest, Status
from .settings import CONTROLLER
from .snapshot import KINDS, RequestError, Watched

CLEARED = ("HTTPRoute", "AlphaPool", "Pool", "HealthCheckPolicy", "GCPBackendPolicy")
RETRY_SECONDS = 1.0


def merged(kind: str, wanted: Manifest, current: Manifest, now: str) -> Manifest:
    """The status to write: ``wanted`` with lastTransitionTime (kept where a condition's status did not change) and other controllers' parents."""
    if kind == "HTTPRoute":
        others = [entry for entry in current.get("parents") or [] if entry.get("controllerName") != CONTROLLER]
        wanted = {"parents": others + wanted["parents"]}
    found: Manifest = _with_times(wanted, current, now)
    return found


def _with_times(wanted: Any, current: Any, now: str) -> Any:
    """Recursively: lists of named or typed entries are compared entry by entry."""
    if isinstance(wanted, dict):
        before = current if isinstance(current, dict) else {}
        found = {key: _with_times(value, before.get(key), now) for key, value in wanted.items()}
        if {"type", "status", "reason"} <= set(wanted) and "lastTransitionTime" not in wanted:
            kept = before.get("lastTransitionTime") if before.get("status") == wanted["status"] else None
            found["lastTransitionTime"] = kept or now
        return found
    if isinstance(wanted, list):
        before = {_identity(entry): entry for entry in current or []} if isinstance(current, list) else {}
        return [_with_times(entry, before.get(_identity(entry)), now) for entry in wanted]
    return wanted


def _identity(entry: Any) -> str:
    """What tells the entries of a status list apart: a condition's type, a listener's name, a parent's reference."""
    if not isinstance(entry, dict):
        return repr(entry)
    if "parentRef" in entry:
        parent = entry["parentRef"]
        return repr((entry.get("controllerName"), parent.get("namespace"), parent.get("name"), parent.get("sectionName"), parent.get("port")))
    return repr(entry.get("type") or entry.get("name"))


def cleared(kind: str, current: Manifest) -> Manifest | None:
    """The status of an object that no route refers to any more, None when there is nothing of ours in it."""
    if kind == "HTTPRoute":
        parents = current.get("parents") or []
        others = [entry for entry in parents if entry.get("controllerName") != CONTROLLER]
        return {"parents": others} if len(others) < len(parents) else None
    field = {"AlphaPool": "parent", "Pool": "parents"}.get(kind, "conditions")
    entries = current.get(field) or []
    ours = [entry for entry in entries if (entry.get("parentRef") or {"kind": "Gateway"}).get("kind") == "Gateway"]
    return {field: [entry for entry in entries if entry not in ours]} if ours else None


class StatusWriter:
    """Writes the last announced statuses, and again when an object lost or changed its own."""

    def __init__(self, client: Any, watched: Watched, log: Callable[[str], None]) -> None:
        self._client = client
        self._watched = watched
        self._log = log
        self._wanted: dict[tuple[str, str, str], Status] | None = None
        self._poked = asyncio.Event()
        self._silenced: dict[tuple[str, str, str], tuple[Any, float]] = {}
        """Object -> (status that was written, monotonic time until which the watch may still show the one before)."""

    def announce(self, statuses: tuple[Status, ...]) -> None:
        self._wanted = {(status.kind, status.namespace, status.name): status for status in statuses}
        self._poked.set()

    def poke(self) -> None:
        self._poked.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._poked.wait()
            self._poked.clear()
            if self._wanted is None:
                continue
            written = [await self._write(*change) for change in self._changes()]
            if not all(written):
                await asyncio.sleep(RETRY_SECONDS)
                self._poked.set()

    def _changes(self) -> list[tuple[tuple[str, str, str], Manifest]]:
        """(object, status to write) of every object whose status differs from what was announced."""
        assert self._wanted is not None
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        found = []
        snapshot = self._watched.snapshot()
        present = [(kind, item["metadata"]["namespace"], item["metadata"]["name"]) for kind in CLEARED for item in snapshot[kind]]
        for key in dict.fromkeys([*self._wanted, *present]):
            kind, namespace, name = key
            item = self._watched.get(kind, namespace, name)
            if item is None:
                continue
            current = item.get("status") or {}
            status = self._wanted.get(key)
            if status is None:
                value = cleared(kind, current)
            elif status.uid != item["metadata"].get("uid", ""):
                continue  # another object of that name; its turn comes with the change that brought it
            else:
                value = merged(kind, status.value, current, now)
            if value is None or all(self._same(kind, current.get(field), part) for field, part in value.items()):
                continue
            written, until = self._silenced.get(key, (None, 0.0))
            if written != value or time.monotonic() > until:
                found.append((key, value))
        return found

    @staticmethod
    def _same(kind: str, current: Any, wanted: Any) -> bool:
        """Whether a status part is as wanted; pools keep only the fields that the installed CRD knows."""
        if kind in ("AlphaPool", "Pool"):
            return bool(_known(wanted, current) == (current or []))
        return bool(current == wanted)

    async def _write(self, key: tuple[str, str, str], value: Manifest) -> bool:
        """Patch one status; False when it has to be tried again."""
        kind, namespace, name = key
        where = {"namespace": namespace} if KINDS[kind].namespaced else {}
        try:
            await self._client.patch(KINDS[kind].status(), name, {"status": value}, patch_type=PatchType.MERGE, **where)
        except ApiError as error:
            if error.status.code == 404:
                return True  # deleted meanwhile
            self._log(f"gateway: status of {kind} {namespace}/{name} can't be written: {error}")
            return False
        except RequestError as error:
            self._log(f"gateway: status of {kind} {namespace}/{name} can't be written: {type(error).__name__} {error}")
            return False
        self._silenced[key] = (value, time.monotonic() + 2.0)
        return True


def _known(wanted: Any, current: Any) -> Any:
    """``wanted`` without the fields of parentRefs and entries that the server dropped on the way."""
    if isinstance(wanted, list) and isinstance(current, list) and len(wanted) == len(current):
        return [_known(one, other) for one, other in zip(wanted, current)]
    if isinstance(wanted, dict) and isinstance(current, dict) and "type" not in wanted:
        return {key: _known(value, current[key]) for key, value in wanted.items() if key in current}
    return wanted
