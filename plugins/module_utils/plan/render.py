# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a Plan as text for a person, a screen or less for each pool. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import ALPHA_GROUP, V1_GROUP
from ansible_collections.inference_gateway.migration.plugins.module_utils.plan_schema import Plan, PlannedCrds, PlannedPool

REPORT = "report_text"
"""Key of the module's result under which its action plugin finds the text of the report."""
MOST = 100
"""Pools, and findings of one code, that are shown at most: nobody reads thousands on a screen, and plan and findings hold them all."""


def summary(plan: Plan) -> list[str]:
    """Return the Plan in short lines: the cluster, its CRDs, each pool, what was not tried on the server, and the findings, the worst first."""
    if not plan["in_use"]:
        return [not_in_use(plan)]
    cluster = plan["cluster"]
    lines = [f"Cluster {cluster['server']} ({cluster['version']}, id {cluster['id']}): target {plan['target']}, plan {plan['hash']}, {_state(plan)}"]
    lines += _crds(plan["crds"])
    for pool in plan["pools"][:MOST]:
        lines += _pool(pool, plan["target"])
    if len(plan["pools"]) > MOST:
        lines.append(f"{len(plan['pools']) - MOST} pools more: detect writes all {len(plan['pools'])} to migration_report_path")
    lines += _probing(plan["estimate"])
    lines += [f"Not tried on the server yet: {entry}" for entry in plan["unchecked"]]
    return [*lines, *_findings(plan["findings"])]


def _findings(found: list[dict[str, str]]) -> Iterator[str]:
    """Yield a line for each finding; of those with one code only the first :data:`MOST`, and how many more there are."""
    for (severity, code), group in groupby(found, key=itemgetter("severity", "code")):
        same = list(group)
        yield from (f"{severity}: {code}: {entry['object']}: {entry['message']} Remedy: {entry['remedy']}" for entry in same[:MOST])
        if len(same) > MOST:
            yield f"{severity}: {code}: {len(same) - MOST} more: detect writes all {len(same)} to migration_report_path"


def report(whole: dict[str, Any]) -> str:
    """Return the report as JSON, indented for a person unless it has more than :data:`MOST` pools: indenting takes many times as long."""
    return json.dumps(whole, indent=4 if len(whole["plan"]["pools"]) <= MOST else None) + "\n"


def not_in_use(plan: Plan) -> str:
    """Return the sentence for a cluster on which v1alpha2 is not in use."""
    return f"v1alpha2 is not in use on {plan['cluster']['server']} (cluster id {plan['cluster']['id']}): nothing to migrate."


def message(plan: Plan) -> str:
    """Say in one sentence whether v1alpha2 is in use, and which findings block its migration."""
    if not plan["in_use"]:
        return not_in_use(plan)
    count, namespaces = len(plan["pools"]), len({pool["namespace"] for pool in plan["pools"]})
    blocked = f" Blocked by {', '.join(plan['blocked'])}." if plan["blocked"] else ""
    return f"v1alpha2 is in use: {count} pool{'s' * (count != 1)} in {namespaces} namespace{'s' * (namespaces != 1)}.{blocked}"


def _state(plan: Plan) -> str:
    return f"BLOCKED by {', '.join(plan['blocked'])}" if plan["blocked"] else f"about {plan['estimate']['seconds']} s"


def _probing(estimate: dict[str, int]) -> list[str]:
    """Say how many probes and tracer requests a shift may send; nothing where no rule has a share."""
    if not estimate["groups"]:
        return []
    probes = (f"A shift sends {estimate['probes']} probes at least, for {estimate['tokens']} tokens at most, one at a time to each model server, and up to "
              f"{estimate['rate']} a second more while it waits for a Gateway or soaks")
    most = f"takes up to {estimate['tracers']} tracer requests a step" if estimate["tracers"] else "is not measured (tracers is 0)"
    return [probes, f"In a shift the traffic split {most} ({estimate['groups']} {'rules' if estimate['groups'] > 1 else 'rule'} at Gateway addresses)"]


def _crds(crds: PlannedCrds) -> list[str]:
    lines = []
    if crds["install"]:
        lines.append(f"  CRDs to install: {', '.join(entry['name'] for entry in crds['install'])}")
    if crds["keep"]:
        lines.append(f"  CRDs that stay: {', '.join(entry['name'] + ' ' + (entry['bundle'] or '(no version)') for entry in crds['keep'])}")
    if crds["retire"]:
        lines.append(f"  CRDs to delete when nothing is left: {', '.join(crds['retire'])}")
    return lines + [f"  stays: {entry['object']}: {entry['why']}" for entry in crds.get("stays") or []]


def _pool(pool: PlannedPool, target: str) -> list[str]:
    objects = Counter(entry["kind"] for entry in pool["objects"])
    epp = f"{pool['epp']['service']}:{pool['epp']['port']}"
    lines = [
        f"Pool {pool['namespace']}/{pool['name']} -> {pool['v1_name']}: chart {target}, EPP {epp}, {pool['failure_mode']}",
        f"  create besides the chart: {', '.join(f'{count} {kind}' for kind, count in objects.items()) or 'nothing'}",
    ]
    lines += [f"  your chart value {name}: {json.dumps(value)}" for name, value in pool["chart"].get("yours", {}).items()]
    lines += [
        f"  move: {entry['kind']} {entry['namespace']}/{entry['name']} rule {entry['rule']} reference {entry['index']}, weight {entry['weight']}: "
        f"{ALPHA_GROUP}/{pool['name']} -> {V1_GROUP}/{pool['v1_name']}"
        for entry in pool["references"]
    ]
    lines += [
        f"  model {entry['name']}: " + (
            f"{entry['criticality'] or 'criticality unset'} -> priority {entry['priority']} by header value {entry['objective']}" if entry["objective"]
            else "no InferenceModel declares it"
        )
        for entry in pool["models"]
    ]
    retire = [f"{entry['kind']} {entry['metadata']['name']}" for entry in pool["retire"]]
    if pool["owner"]["kind"] == "helm":
        retire.append(f"Helm release {pool['owner']['release']}")
    lines.append(f"  delete after a drain of {pool['timeout_seconds']} s: {', '.join(retire)}")
    if pool["repoint"]:
        named = ", ".join(entry["metadata"]["name"] for entry in pool["repoint"])
        lines.append(f"  point at {pool['v1_name']} in the phase retire: InferenceObjective {named}")
    return lines + [f"  stays: {entry['object']}: {entry['why']}" for entry in pool["stays"]]
