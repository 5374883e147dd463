# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tries the pods of v1 endpoint pickers before they are installed, and waits for them afterwards.

For internal use of this collection only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import conditions, dry_run
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import Cluster, Conflict, Forbidden, object_path
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pods import pods
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, namespace_of
from ansible_collections.inference_gateway.migration.plugins.module_utils.scope import MigrationScope

Result = dict[str, Any]

REFUSED_SECONDS = 15.0
"""For so long the server may refuse a picker's pods before the wait ends: room in a quota may come free."""
RETRY_SECONDS = 3.0
TRIED_AGAIN = "inference-gateway-migration/tried-again"
"""Annotation on a picker's Deployment: when its ReplicaSet was made to try again."""


def admitted(cluster: Cluster, plan: Mapping[str, Any], objects: Iterable[Manifest]) -> Result:
    """Try a pod of each rendered object, with the parts of the plan merged in, and say which of them the server would refuse.

    A Deployment that an earlier run installed has its pod, which may have filled the quota: the wait for it tells what there is to tell.

    :param objects: what the chart renders for pools of one namespace.
    """
    namespace = plan["pools"][0]["namespace"] if plan["pools"] else ""
    coming = [entry for entry in objects if not _installed(cluster, entry, namespace)]
    parts = [entry for pool in plan["pools"] for entry in pool["objects"]]
    found = dry_run.admission(cluster, pods(coming, parts, namespace))
    reason = (f"The server would refuse pods of v1: {'; '.join(found.refused)}. None was made, and no traffic was moved: give the namespace the room, or the "
              "pods the settings, that the message asks for (a chart of your own by migration_chart_ref), then start again; accept pods-refused "
              "(migration_accept) where you know that they will be taken.")
    return {"ok": not found.refused, "faults": found.refused, "warned": found.warned, "unchecked": found.unchecked, "sent": 0} | (
        {"reason": reason} if found.refused else {})


def _installed(cluster: Cluster, rendered: Manifest, namespace: str) -> bool:
    place = namespace_of(rendered) or namespace, rendered["metadata"]["name"]
    return rendered["kind"] == "Deployment" and cluster.get(object_path(rendered["apiVersion"], "Deployment", *place)) is not None


def installed(scope: MigrationScope, deadline: float, again: Callable[[], None], alpha_leaves: bool = False) -> Result:
    """Wait until the v1 endpoint pickers are available.

    A crash loop ends the wait early, for it does not pass by itself; so do pods that the server refuses for :data:`REFUSED_SECONDS`, though they were tried
    again meanwhile.

    :param again: makes refused pods be tried again. :param alpha_leaves: whether v1alpha2 was taken away already: its pods may leave room yet, and nobody else
        serves, so the wait goes on to the deadline.
    """
    loops = 0
    refused_since: float | None = None
    while True:
        faults, now = scope.epp_faults(), time.monotonic()
        refused = [fault for fault in faults if conditions.NO_POD in fault]
        loops += any("BackOff" in fault or "Err" in fault for fault in faults if fault not in refused)
        refused_since = None if not refused else now if refused_since is None else refused_since
        stuck = not alpha_leaves and refused_since is not None and now - refused_since >= REFUSED_SECONDS
        if not faults or loops > 5 or stuck or now >= deadline:
            return {"ok": not faults, "faults": faults, "sent": 0} | ({"reason": _refusal(faults, alpha_leaves)} if refused else {})
        if refused:
            again()
        time.sleep(min(RETRY_SECONDS if refused else 1.0, max(0.0, deadline - now)))


def _refusal(faults: list[str], alpha_leaves: bool) -> str:
    traffic = "v1alpha2 is taken away already" if alpha_leaves else "No traffic was moved"
    return (f"{'; '.join(faults)}. {traffic}: give the namespace the room, or the pods the settings, that the message asks for, then start again: "
            "the same command goes on from here.")


def try_again(scope: MigrationScope) -> None:
    """Make the ReplicaSets of pickers whose pods were refused try again now: by themselves they wait longer each time, up to 16 minutes.

    An annotation on the Deployment does it: its controller copies it to the ReplicaSet, whose own controller then looks at it at once.
    """
    for pool in scope.plan["pools"]:
        path = object_path("apps/v1", "Deployment", pool["namespace"], pool["epp"]["deployment"])
        deployment = scope.cluster.get(path)
        if deployment is None or not any(conditions.NO_POD in fault for fault in conditions.deployment_faults(deployment)):
            continue
        annotations = deployment["metadata"].setdefault("annotations", {})
        annotations[TRIED_AGAIN] = datetime.now(timezone.utc).isoformat(timespec="seconds")
        # Its status may have changed since, or the credential may not write it: then it is tried by itself, later.
        with suppress(Conflict, Forbidden):
            scope.cluster.replace(path, deployment)
