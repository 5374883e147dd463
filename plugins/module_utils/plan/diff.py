# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares two plans, the approved one and the one that would run, in lines for a person. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from operator import itemgetter
from typing import Any, cast

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import dig
from ansible_collections.inference_gateway.migration.plugins.module_utils.plan_schema import HASHED, Plan

_NAMES = ("api_version", "apiVersion", "kind", "namespace", "name", "rule", "index", "objective", "section", "file")
"""Fields by which the entries of a plan's lists are told apart."""


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return a line for each intended change that differs between two plans, e.g. ``pools models/llama timeout_seconds: 30 -> 300``.

    Only what the hash covers is compared.
    """
    return [line for field in HASHED for line in _differ(field, before.get(field), after.get(field))]


def _differ(place: str, before: Any, after: Any) -> Iterator[str]:
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in [*before, *(name for name in after if name not in before)]:
            yield from _differ(f"{place} {name}", before.get(name), after.get(name))
    elif isinstance(before, list) and isinstance(after, list):
        old, new = _keyed(before), _keyed(after)
        for name in [*old, *(name for name in new if name not in old)]:
            yield from _differ(f"{place} {name}", old.get(name), new.get(name))
        if list(old) != list(new) and set(old) == set(new):
            yield f"{place}: in another order"
    elif before is None:
        yield f"{place}: added{_shown(after)}"
    elif after is None:
        yield f"{place}: gone{_shown(before)}"
    else:
        yield f"{place}: {json.dumps(before)} -> {json.dumps(after)}"


def _shown(value: Any) -> str:
    """Return a plain value as text, and nothing for a dictionary or list: its place in the plan says enough."""
    return "" if isinstance(value, (Mapping, list)) else f" {json.dumps(value)}"


def _keyed(entries: list[Any]) -> dict[str, Any]:
    """Return list entries by the fields that name them, with their position where those are missing or not unique."""
    found: dict[str, Any] = {}
    for number, entry in enumerate(entries):
        name = _named(entry) if isinstance(entry, Mapping) else json.dumps(entry)
        found[name if name and name not in found else f"{name}[{number}]"] = entry
    return found


def _named(entry: Mapping[str, Any]) -> str:
    said = {**entry, **entry["metadata"]} if isinstance(entry.get("metadata"), Mapping) else entry
    return " ".join(str(said[field]) for field in _NAMES if said.get(field) is not None)


def approved_with(expected: Any, made: Plan) -> Plan:
    """Return the plan that was made, with the approved one's changes where no more came in between than definitions that this one installs, or other use.

    A run that ended before it installed v1 leaves those behind; with its remedy the same plan is the approved one again. What v1alpha2's pickers are seen to
    use, by which v1's ask for resources, is another thing each hour.
    """
    if not isinstance(expected, dict) or any(field not in expected for field in (*HASHED, "hash")):
        return made
    rest = [field for field in HASHED if field not in ("crds", "pools")]
    same = _crds_by_now(expected, made) == _sorted(made["crds"]) and all(expected[field] == made.get(field) for field in rest)
    same = same and [*map(_without_use, expected["pools"])] == [*map(_without_use, made["pools"])]
    return cast(Plan, {**made, **{field: expected[field] for field in (*HASHED, "hash")}}) if same else made


def _crds_by_now(before: Mapping[str, Any], after: Mapping[str, Any], installed: bool = False) -> dict[str, Any]:
    """Return what a plan says of definitions as it would say it once those that it installs and that are not missing any more are there.

    :param installed: whether the migration itself has installed them since.
    """
    crds, left = before["crds"], {entry["name"] for entry in after["crds"]["install"]}
    # A platform of some version counts as keeping this one, also where this migration has put it there.
    shipped = releases.V1_POOLS_CRD if releases.gke_ships_v1(dig(dict(after), "cluster", "version", default="")) else None
    came = [entry["name"] for entry in crds["install"] if entry["name"] not in left]
    now = {entry["name"]: entry["bundle"] for entry in after["crds"]["keep"]}
    # A person's own source may hold another bundle, or say none; whatever it was, the trial has tried it.
    there = [{"name": name, "bundle": now.get(name) if installed else after["target"], "managed": name == shipped} for name in came]
    return _sorted({**crds, "install": [entry for entry in crds["install"] if entry["name"] in left], "keep": [*crds["keep"], *there]})


def _sorted(crds: Mapping[str, Any]) -> dict[str, Any]:
    return {**crds, "keep": _by_name(crds["keep"])}


OF_THE_WORLD = ("models", "endpoints", "failure_mode", "timeout_seconds", "chart", "objects", "retire", "repoint")
"""Fields of a pool's plan that a migration changes nothing of before it takes v1alpha2 away. What its routes say is looked at live."""


OF_THE_MIGRATION = frozenset({"backend-refs-full", "half-migrated-rule", "name-taken", "no-room-for-mark", "pods-refused", "weights-not-splittable"})
"""Findings that v1's own objects, pods and weights may be behind, once it is installed."""


def since(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return a line for each thing that would be planned otherwise by now than it was, while v1 is installed or has traffic.

    :param before: the plan of the open migration. :param after: the plan that would be made now, with the same options.
    """
    if not before["pools"]:
        return []
    told = [*_differ("target", before["target"], after["target"]), *_differ("crds", _crds_by_now(before, after, installed=True), _sorted(after["crds"]))]
    old, new = (_keyed([_of_the_world(pool) for pool in plan["pools"]]) for plan in (before, after))
    for name in [*old, *(name for name in new if name not in old)]:
        told += _differ(f"pools {name}", old.get(name), new.get(name))
    return [*told, *_blockers_since(before, after)]


def _blockers_since(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each blocker that was none when the plan was made, and that nobody has accepted since."""
    known = {(entry["code"], entry["object"]) for entry in before["findings"] if entry["severity"] == "blocker"}
    for entry in after["findings"]:
        blocks = entry["severity"] == "blocker" and entry["code"] in after["blocked"] and entry["code"] not in OF_THE_MIGRATION
        if blocks and (entry["code"], entry["object"]) not in known:
            yield f"blocker {entry['code']} since: {entry['object']}: {entry['message']}"


def _of_the_world(pool: Mapping[str, Any]) -> dict[str, Any]:
    bare = _without_use(pool)
    # A model that no InferenceModel declares was said or learnt: v1 serves it whoever knows of it, and a server may list another one each hour.
    bare["models"] = [model for model in bare.get("models") or [] if model.get("objective")]
    return {field: bare[field] for field in ("namespace", "name", *OF_THE_WORLD) if field in bare}


def drift(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the failure, HELD, where the cluster is not any more what an open migration was planned for; None where it is, or none is given."""
    lines = since(before, after) if before else []
    if not lines:
        return None
    said = (f"The cluster, or an option, is not any more what this migration was planned with: {'; '.join(lines)}. To take that in, make a new plan while v1 "
            "has no traffic (migration_phases: [plan], after a rollback where it has), and go on with it; or put cluster and options back as they were, then "
            "start again")
    return {"msg": said, "verdict": "HELD", "reason": said, "difference": lines}


def _without_use(pool: Mapping[str, Any]) -> dict[str, Any]:
    """Return one pool of a plan without the resources of the v1 picker: of the chart's value, or of the part to merge into its Deployment."""
    found = deepcopy(dict(pool))
    resources = [dig(found, "chart", "values", "inferenceExtension", "resources", default={})]
    for entry in found.get("objects") or []:
        resources += [dig(container, "resources", default={}) for container in dig(entry, "spec", "template", "spec", "containers", default=[])]
    for entry in resources:
        entry.clear()
    # A part that says nothing but resources is there only while some use is seen.
    found["objects"] = [entry for entry in found.get("objects") or [] if entry.get("kind") != "Deployment" or _says(entry)]
    return found


def _says(part: Mapping[str, Any]) -> bool:
    """Tell whether a part to merge into a Deployment says anything but names of containers and (emptied) resources."""
    spec = dig(dict(part), "spec", default={})
    pod = dig(spec, "template", "spec", default={})
    of_containers = [field for entry in pod.get("containers") or [] for field, value in entry.items() if field != "name" and value]
    return bool(of_containers or set(spec) - {"template"} or set(dig(spec, "template", default={})) - {"spec"} or set(pod) - {"containers"})


def _by_name(entries: Iterable[Any]) -> list[Any]:
    return sorted(entries, key=itemgetter("name"))


def refusal(expected: Any, made: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the failure where another plan was approved than the one that was made, or None where this one or none was approved.

    :param expected: option ``expected_plan``: a plan or its hash. :raises ValueError: when it is neither.
    """
    if not expected:
        return None
    approved = expected if isinstance(expected, dict) else {}
    wanted = approved.get("hash") if approved else expected
    if not isinstance(wanted, str) or (approved and any(field not in approved for field in HASHED)):
        raise ValueError("expected_plan is neither a plan as this module returns it nor its hash.")
    if wanted == made["hash"]:
        return None
    lines = difference(approved, made) if approved else []
    shown = "; ".join(lines) if lines else "give the approved plan itself as expected_plan to see what differs, or compare the summary"
    return {"msg": f"The plan is {made['hash']}, but {wanted} was approved: {shown}. Approve the new plan if it is meant.", "difference": lines}
