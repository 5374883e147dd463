# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges objects by their status. Pure: a manifest in, a list of sentences out, empty when all is well.

A condition counts only at the current generation: right after a change, the ``True`` from before it is still there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest

ROUTE_CONDITIONS = ("Accepted", "ResolvedRefs")
OPTIONAL_ROUTE_CONDITIONS = ("Reconciled",)
"""Written by GKE, not by other gateways: judged only where it is reported."""
WAITING_REASONS = ("CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError", "CreateContainerError", "RunContainerError")
"""Reasons of a waiting container that do not go away soon by themselves."""
NO_POD = "no pod can be created"
"""Stands in the fault of a Deployment whose pods the server refuses."""


def condition(conditions: list[Manifest] | None, kind: str) -> Manifest | None:
    """Return the condition of a type, or None where it is not reported."""
    return next((entry for entry in conditions or [] if entry.get("type") == kind), None)


def fault(conditions: list[Manifest] | None, kind: str, generation: int | None) -> str | None:
    """Return why a condition is not True at this generation, or None where it is. With generation None, any generation counts."""
    found = condition(conditions, kind)
    if found is None:
        return f"{kind} is not reported"
    if generation is not None and found.get("observedGeneration", 0) < generation:
        return f"{kind} is of generation {found.get('observedGeneration', 0)}, not {generation}"
    if found.get("status") != "True":
        return f"{kind} is {found.get('status')}: {found.get('reason')} {found.get('message') or ''}".strip()
    return None


def _said(conditions: list[Manifest] | None, kinds: tuple[str, ...], generation: int | None) -> list[str]:
    """Return the faults of the conditions that are reported; not every gateway writes each of them, or an observedGeneration with it."""
    return [
        text
        for kind in kinds
        if (found := condition(conditions, kind)) and (text := fault(conditions, kind, generation if "observedGeneration" in found else None))
    ]


def route_faults(route: Manifest) -> list[str]:
    """Return the faults of a route at its current generation, parent by parent; PartiallyInvalid is one, not a warning."""
    faults = []
    for parent, entries in _by_parent(route):
        if not entries:
            faults.append(f"{_named(route)}: no status from Gateway {parent['name']} yet")
        for found in entries:
            kinds = [*ROUTE_CONDITIONS, *(kind for kind in OPTIONAL_ROUTE_CONDITIONS if condition(found, kind))]
            faults += [f"{_at(route, parent)}: {text}" for kind in kinds if (text := fault(found, kind, route["metadata"].get("generation")))]
            partial = condition(found, "PartiallyInvalid")
            if partial and partial.get("status") == "True":
                faults.append(f"{_at(route, parent)}: PartiallyInvalid: {partial.get('message') or partial.get('reason')}")
    return faults


def route_refusals(route: Manifest) -> list[tuple[str, Manifest]]:
    """Return what Gateways refuse of a route as it is now: what stays a fault of :func:`route_faults` until somebody changes something.

    A status of an earlier generation, or one that is still Unknown, is none: it passes.

    :returns: the Gateway's name as the route gives it, and the condition.
    """
    wrong = dict.fromkeys((*ROUTE_CONDITIONS, *OPTIONAL_ROUTE_CONDITIONS), "False") | {"PartiallyInvalid": "True"}
    now = route["metadata"].get("generation", 0)
    return [
        (parent["name"], entry)
        for parent, entries in _by_parent(route) for found in entries for kind, status in wrong.items()
        if (entry := condition(found, kind)) and entry.get("status") == status and entry.get("observedGeneration", 0) >= now
    ]


def _by_parent(route: Manifest) -> Iterator[tuple[Manifest, list[list[Manifest]]]]:
    """Yield each parentRef of a route with the conditions that each controller reports for it."""
    reported = (route.get("status") or {}).get("parents") or []
    for parent in (route.get("spec") or {}).get("parentRefs") or []:
        yield parent, [entry.get("conditions") or [] for entry in reported
                       if _same_parent(entry.get("parentRef") or {}, parent, route["metadata"].get("namespace"))]


def _named(route: Manifest) -> str:
    return f"{route.get('kind', 'HTTPRoute')} {route['metadata'].get('namespace')}/{route['metadata']['name']}"


def _at(route: Manifest, parent: Manifest) -> str:
    return f"{_named(route)} at Gateway {parent['name']}"


def _same_parent(reported: Manifest, wanted: Manifest, namespace: str | None) -> bool:
    """Tell whether two parentRefs name the same parent, by Gateway API's defaults."""

    def full(parent: Manifest) -> tuple[Any, ...]:
        group = parent.get("group", "gateway.networking.k8s.io")
        return group, parent.get("kind", "Gateway"), parent.get("namespace", namespace), parent.get("name"), parent.get("sectionName"), parent.get("port")

    return full(reported) == full(wanted)


def gateway_faults(gateway: Manifest) -> list[str]:
    """Return the faults of a Gateway at its current generation: not Programmed, no address, a listener whose conditions are not True."""
    meta, status = gateway["metadata"], gateway.get("status") or {}
    name = f"Gateway {meta.get('namespace')}/{meta['name']}"
    faults = [f"{name}: {text}" for text in [fault(status.get("conditions"), "Programmed", meta.get("generation"))] if text]
    if not status.get("addresses"):
        faults.append(f"{name}: no address")
    for listener in status.get("listeners") or []:
        bad = _said(listener.get("conditions"), ("Accepted", "Programmed", "ResolvedRefs"), meta.get("generation"))
        faults += [f"{name} listener {listener.get('name')}: {text}" for text in bad]
    return faults


def pool_faults(pool: Manifest, alike: Manifest | None = None, gateways: Collection[str] = ()) -> list[str]:
    """Return the faults of a pool of either group; none where no gateway has written a status for it.

    :param alike: a pool that the same Gateways serve: what they report of it they must report of this one.
    :param gateways: whose reports are to be alike, as ``namespace/name``: what others wrote once may be of long ago.
    """
    meta = pool["metadata"]
    name = f"InferencePool {meta.get('namespace')}/{meta['name']} ({pool['apiVersion']})"
    found, wanted = _by_gateway(pool), _by_gateway(alike) if alike else {}
    faults = [f"{name}: {text}" for reported in found.values() for text in _said(reported, ROUTE_CONDITIONS, meta.get("generation"))]
    for gateway, reported in wanted.items():
        if gateway not in gateways:
            continue
        texts = _unlike(found.get(gateway), reported, ROUTE_CONDITIONS, meta.get("generation"))
        faults += [f"{name}: {text} by Gateway {gateway}, though it is of the v1alpha2 pool" for text in texts]
    return faults


def _by_gateway(pool: Manifest) -> dict[str, list[Manifest]]:
    """Return the conditions of a pool by the Gateway that reports them, as ``namespace/name``."""
    status = pool.get("status") or {}
    # The alpha CRD (v0.5.0 and later) fills in a parent of kind Status until a gateway writes its own.
    parents = [entry for entry in status.get("parents") or status.get("parent") or [] if (entry.get("parentRef") or {}).get("kind") != "Status"]
    return {
        f"{parent.get('namespace') or pool['metadata'].get('namespace')}/{parent.get('name')}": entry.get("conditions") or []
        for entry in parents for parent in [entry.get("parentRef") or {}]
    }


def _unlike(conditions: list[Manifest] | None, alike: list[Manifest] | None, kinds: tuple[str, ...], generation: int | None) -> list[str]:
    """Return which conditions are not reported, or of no generation, though they are for an object that the same controller looks after."""
    found = []
    for kind in kinds:
        theirs, ours = condition(alike, kind), condition(conditions, kind)
        if theirs and ours is None:
            found.append(f"{kind} is not reported")
        elif theirs and ours and "observedGeneration" in theirs and "observedGeneration" not in ours:
            found.append(f"{kind} is not reported for generation {generation}")
    return found


def policy_faults(policy: Manifest, alike: Manifest | None = None) -> list[str]:
    """Return why a GKE policy is not attached; GKE never attaches a second one of a kind to one target. None where nobody has reported on it.

    :param alike: a policy of the same kind: what is reported of it must be reported of this one.
    """
    meta, status = policy["metadata"], policy.get("status") or {}
    faults = _said(status.get("conditions"), ("Attached",), meta.get("generation"))
    missing = _unlike(status.get("conditions"), ((alike or {}).get("status") or {}).get("conditions"), ("Attached",), meta.get("generation"))
    faults += [f"{text}, though it is for the v1alpha2 pool's" for text in missing]
    return [f"{policy['kind']} {meta.get('namespace')}/{meta['name']}: {text}" for text in faults]


def deployment_faults(deployment: Manifest) -> list[str]:
    """Return why a Deployment is not available at its current generation; scaled to 0 is not available either."""
    meta, status = deployment["metadata"], deployment.get("status") or {}
    name = f"Deployment {meta.get('namespace')}/{meta['name']}"
    if status.get("observedGeneration", 0) < meta.get("generation", 0):
        return [f"{name}: its controller has not seen generation {meta.get('generation')} yet"]
    wanted = deployment["spec"].get("replicas", 1)
    if wanted < 1:
        return [f"{name}: scaled to 0"]
    ready = status.get("availableReplicas", 0)
    if ready >= wanted and status.get("updatedReplicas", 0) >= wanted:
        return []
    refusal = condition(status.get("conditions"), "ReplicaFailure") or {}
    why = f": {NO_POD}: {refusal.get('message') or refusal.get('reason')}" if refusal.get("status") == "True" else ""
    return [f"{name}: {ready} of {wanted} replicas available{why}"]


def ready(pod: Manifest) -> bool:
    """Tell whether a pod takes requests: its condition Ready is True, and it is not being deleted."""
    return fault((pod.get("status") or {}).get("conditions"), "Ready", None) is None and not pod["metadata"].get("deletionTimestamp")


def pod_faults(pod: Manifest) -> list[str]:
    """Return why containers of a pod don't run (crash loops, image errors), with the message of their last exit."""
    meta = pod["metadata"]
    faults = []
    for container in (pod.get("status") or {}).get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in WAITING_REASONS:
            ended = (container.get("lastState") or {}).get("terminated") or {}
            detail = ended.get("message") or waiting.get("message") or ""
            code = f" exit code {ended['exitCode']}" if "exitCode" in ended else ""
            faults.append(f"Pod {meta.get('namespace')}/{meta['name']} container {container['name']}: {waiting['reason']}{code} {detail.strip()}".strip())
    return faults
