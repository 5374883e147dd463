# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans of estates on an API server without pods, and their comparison with what a person wrote down in plans/.

A plan has more fields than a person wants to write. :func:`reduced` gives the ones that decide what happens to a cluster, in
the form of those files: who owns what, what is created, merged, moved, deleted and uninstalled, and what stands in the way.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from igw_sandbox.context import SandboxError
from igw_sandbox.world import World
from tests.e2e.product import COLLECTION, environment, write_inventory
from tests.integration.harness import ESTATES

Plan = dict[str, Any]

ADDRESS = {"status": {"addresses": [{"type": "IPAddress", "value": "127.0.0.1"}]}}
"""Nothing gives a Gateway its status here, and one without an address is a finding of its own."""
UNORDERED = ("creates", "merges", "moves")


class Board:
    """A sandbox that holds one estate at a time, and what detect says of it."""

    def __init__(self, world: World, folder: Path, collections: Path) -> None:
        self.world = world
        self.shown: str | None = None
        self._argv = [str(Path(sys.executable).with_name("ansible")), "-i", str(write_inventory(folder / "inventory.json", {world.name: {}})), "clusters"]
        self._environment = environment(folder, collections, world.tool("helm"))
        self._folder = folder

    def show(self, name: str) -> None:
        """Put an estate in the place of the one before."""
        if self.shown == name:
            return
        if self.shown is not None:
            self.world.remove_estate(ESTATES / self.shown)
        self.shown = name
        self.world.add_estate(ESTATES / name)
        for gateway in self.world.kubectl_json("get", "gateways.gateway.networking.k8s.io", "-A")["items"]:
            meta = gateway["metadata"]
            self.world.kubectl("patch", "gateway", meta["name"], "-n", meta["namespace"], "--subresource=status", "--type=merge", "-p", json.dumps(ADDRESS))

    def plan(self, **options: Any) -> Plan:
        """The plan of what is shown. ``options``: the module's own."""
        arguments = json.dumps({"kubeconfig": str(self.world.kubeconfig), "connect": False, **options})
        ended = subprocess.run(
            [*self._argv, "-m", f"{COLLECTION}.detect_v1alpha2", "-a", arguments],
            cwd=self._folder, env=self._environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=180)
        state, arrow, result = ended.stdout.partition(" => ")
        if ended.returncode or not arrow or "SUCCESS" not in state:
            raise SandboxError(f"detect failed on estate {self.shown}: {ended.stdout[-2000:]}{ended.stderr[-2000:]}")
        return json.loads(result)["plan"]


def describe(manifest: Plan) -> str:
    """``Kind namespace/name``, or ``Kind name`` of what has no namespace."""
    meta = manifest["metadata"]
    return f"{manifest['kind']} {meta['namespace']}/{meta['name']}" if meta.get("namespace") else f"{manifest['kind']} {meta['name']}"


def merged_into_chart(pool: Plan, manifest: Plan) -> bool:
    """Whether an object of the plan is a part to merge into what the chart made, and no object of its own."""
    return (manifest["kind"], manifest["metadata"]["name"]) in (("InferencePool", pool["v1_name"]), ("Deployment", pool["epp"]["deployment"]))


def reduced(plan: Plan) -> Plan:
    """A plan in the form of the files in plans/."""
    return {
        "blocked": plan["blocked"],
        "findings": [{"code": entry["code"], "object": entry["object"]} for entry in plan["findings"]],
        "pools": [_pool(pool) for pool in plan["pools"]],
        "crds": {
            "install": [entry["name"] for entry in plan["crds"]["install"]],
            "keep": [entry["name"] for entry in plan["crds"]["keep"]],
            "retire": plan["crds"]["retire"],
            **({"stays": [entry["object"] for entry in plan["crds"]["stays"]]} if plan["crds"].get("stays") else {}),
        },
    }


def _pool(pool: Plan) -> Plan:
    values, owner = pool["chart"]["values"], pool["owner"]
    (port,) = values["inferencePool"]["targetPorts"]
    merges = [describe(entry) for entry in pool["objects"] if merged_into_chart(pool, entry)]
    return {
        "namespace": pool["namespace"],
        "name": pool["name"],
        "v1_name": pool["v1_name"],
        "owner": " ".join(filter(None, (owner["kind"], owner["controller"]))),
        "epp_port": pool["epp"]["port"],
        "failure_mode": pool["failure_mode"],
        "selector": values["inferencePool"]["modelServers"]["matchLabels"],
        "target_port": port["number"],
        "provider": values["provider"]["name"],
        "models": [
            {"name": entry["name"], "objective": entry["objective"], "priority": entry["priority"],
             "answers": {"alpha": entry["alpha_answers"], "v1": entry["answer"]}}
            for entry in pool["models"]
        ],
        "creates": [describe(entry) for entry in pool["objects"] if not merged_into_chart(pool, entry)],
        **({"merges": merges} if merges else {}),
        "moves": [
            f"{entry['kind']} {entry['namespace']}/{entry['name']} rule {entry['rule']} reference {entry['index']} weight {entry['weight']}"
            for entry in pool["references"]
        ],
        "deletes": [describe(entry) for entry in pool["retire"]],
        **({"repoints": [describe(entry) for entry in pool["repoint"]]} if pool["repoint"] else {}),
        "uninstalls": owner["release"],
        **({"stays": [entry["object"] for entry in pool["stays"]]} if pool["stays"] else {}),
        "drain": pool["timeout_seconds"],
    }


def comparable(plan: Plan) -> Plan:
    """A plan in the files' form with pools and models by name, and sorted what has no order: all but the deletions."""
    return {
        "blocked": sorted(plan["blocked"]),
        "findings": sorted(f"{entry['code']}: {entry['object']}" for entry in plan["findings"]),
        "crds": {field: sorted(names) for field, names in plan["crds"].items()},
        "pools": {
            f"{pool['namespace']}/{pool['name']}": pool
            | {field: sorted(pool[field]) for field in UNORDERED if field in pool}
            | {"models": {model["name"]: model for model in pool["models"]}}
            for pool in plan["pools"]
        },
    }


def differences(expected: Any, found: Any, where: str = "plan") -> list[str]:
    """What differs between two comparable plans: one line a field, or a line an entry of a list."""
    if isinstance(expected, dict) and isinstance(found, dict):
        lines = [f"{where}.{key}: expected {expected[key]!r}, it is not there" for key in expected if key not in found]
        lines += [f"{where}.{key}: not expected, it is {found[key]!r}" for key in found if key not in expected]
        return lines + [line for key in expected if key in found for line in differences(expected[key], found[key], f"{where}.{key}")]
    if isinstance(expected, list) and isinstance(found, list):
        missing, extra = Counter(map(str, expected)) - Counter(map(str, found)), Counter(map(str, found)) - Counter(map(str, expected))
        lines = [f"{where}: expected {entry}, it is not there" for entry in missing.elements()]
        lines += [f"{where}: not expected: {entry}" for entry in extra.elements()]
        return lines or ([] if expected == found else [f"{where}: the order is {found}, expected {expected}"])
    return [] if expected == found else [f"{where}: expected {expected!r}, found {found!r}"]
