# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions and statuses as GKE's controller words them, without times. Pure."""
from __future__ import annotations

from collections.abc import Iterable

from .model import Manifest, Status
from .references import Index
from .settings import ALPHA_GROUP, CONTROLLER, GATEWAY_GROUP


def condition(kind: str, good: bool, reason: str, generation: int | None = None, message: str = "") -> Manifest:
    """One condition; lastTransitionTime is the writer's business. The API demands a reason and a message."""
    entry: Manifest = {"type": kind, "status": "True" if good else "False", "reason": reason, "message": message}
    if generation is not None:
        entry["observedGeneration"] = generation
    return entry


def route_parent(parent: Manifest, generation: int, accepted: tuple[str, str] | None, unresolved: list[tuple[str, str]], troubles: list[str],
                 broken: list[str]) -> Manifest:
    """The status of a route at one of its parents.

    accepted: (reason, message) why it is not attached, None when it is; unresolved: (reason, message) of references that lead nowhere;
    troubles: what keeps the reconciliation from success; broken: why single rules can't be programmed.
    """
    if accepted:
        conditions = [condition("Accepted", False, *_with(generation, accepted)), condition("ResolvedRefs", True, "ResolvedRefs", generation),
                      condition("Reconciled", False, "ReconciliationFailed", generation, accepted[1])]
    else:
        reason, message = (unresolved[0][0], "; ".join(text for _reason, text in unresolved)) if unresolved else ("ResolvedRefs", "")
        failures = [*broken, *troubles]
        conditions = [
            condition("Accepted", True, "Accepted", generation),
            condition("ResolvedRefs", not unresolved, reason, generation, message),
            condition("Reconciled", not failures, "ReconciliationFailed" if failures else "ReconciliationSucceeded", generation, "; ".join(failures)),
        ]
        if broken:
            conditions.append(condition("PartiallyInvalid", True, "UnsupportedValue", generation, "; ".join(broken)))
    return {"parentRef": parent, "controllerName": CONTROLLER, "conditions": conditions}


def _with(generation: int, reason: tuple[str, str]) -> tuple[str, int, str]:
    return reason[0], generation, reason[1]


def pool_status(index: Index, group: str, namespace: str, name: str, gateways: Iterable[str]) -> Status:
    """What a pool hears from the Gateways (NAMESPACE/NAME) whose routes refer to it: status.parent[] (alpha) or status.parents[] (v1)."""
    pool = index.pool(group, namespace, name)
    generation = (pool or {}).get("metadata", {}).get("generation", 1)
    trouble = index.picker_trouble(group, namespace, name)
    conditions = [
        condition("Accepted", True, "Accepted", generation),
        condition("ResolvedRefs", not trouble, "InvalidExtensionRef" if trouble else "ResolvedRefs", generation, trouble or ""),
    ]
    entries: list[Manifest] = []
    for gateway in sorted(gateways):
        gateway_namespace, _slash, gateway_name = gateway.partition("/")
        parent: Manifest = {"group": GATEWAY_GROUP, "kind": "Gateway", "namespace": gateway_namespace, "name": gateway_name}
        if group == ALPHA_GROUP:  # v0.3's parentRef is an ObjectReference, v0.5's has a group; the API server drops what the installed CRD does not know
            entries.append({"parentRef": {**parent, "apiVersion": f"{GATEWAY_GROUP}/v1"}, "conditions": conditions})
        else:
            entries.append({"parentRef": parent, "controllerName": CONTROLLER, "conditions": conditions})
    return Status("AlphaPool" if group == ALPHA_GROUP else "Pool", namespace, name, {"parent" if group == ALPHA_GROUP else "parents": entries},
                  (pool or {}).get("metadata", {}).get("uid", ""))


def policy_statuses(index: Index, used: Iterable[tuple[str, str, str, str]]) -> list[Status]:
    """Status of every policy whose target (namespace, group, kind, name) is in use: the oldest is attached, the others are not."""
    found = []
    targets = set(used)
    for kind in ("HealthCheckPolicy", "GCPBackendPolicy"):
        for target, policies in sorted(index.targeting(kind).items()):
            if target not in targets:
                continue
            winner = policies[0]["metadata"]["name"]
            for number, policy in enumerate(policies):
                generation = policy["metadata"].get("generation", 1)
                entry = condition("Attached", number == 0, "Conflicted" if number else "Attached", generation,
                                  f"{kind} {winner} of the same target is older" if number else "")
                found.append(Status(kind, target[0], policy["metadata"]["name"], {"conditions": [entry]}, policy["metadata"].get("uid", "")))
    return found
