# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the collection's playbooks on sandboxes as a person would: an inventory, variables, ansible-playbook.

Integration tests, the demo and the benchmarks share it: it alone says by which names and variables the product is used.
"""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from igw_sandbox.context import SandboxError
from igw_sandbox.world import World

COLLECTION = "inference_gateway.migration"
ZERO_DOWNTIME = f"{COLLECTION}.zero_downtime"
SIMPLE = f"{COLLECTION}.simple"
ROLLBACK = f"{COLLECTION}.rollback"
STATUS = f"{COLLECTION}.status"
STEER = f"{COLLECTION}.steer"
# What may be left of the alpha API group after a migration.
ALPHA_GROUP = "inference.networking.x-k8s.io"
STAYING = ("inferenceobjectives", "inferencemodelrewrites")
REPORT = "report.json"
END_SECONDS = 60.0


def variables(world: World, target: str, folder: Path, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The migration's variables for one sandbox: charts and CRDs from the sandbox, the report into `folder`."""
    return {
        "migration_kubeconfig": str(world.kubeconfig),
        "migration_target_version": target,
        "migration_chart_ref": f"{world.state['charts']}/inferencepool",
        "migration_chart_plain_http": True,
        "migration_crds_source": str(Path(world.state["crds"]) / target / "bases"),
        "migration_cluster_id": world.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}").strip(),
        "migration_report_path": str(folder / REPORT),
        "migration_connect": serves(world),
        **(extra or {}),
    }


def serves(world: World) -> bool:
    """Whether a sandbox has a gateway that answers: some have an API server alone."""
    return "gateway" in world.state["services"]


def write_inventory(path: Path, hosts: Mapping[str, Mapping[str, Any]]) -> Path:
    """An inventory whose group `clusters` has one local host for each cluster; hosts maps a name to its variables."""
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    path.write_text(json.dumps({"all": {"children": {"clusters": {"hosts": {name: {**local, **own} for name, own in hosts.items()}}}}}, indent=1) + "\n")
    return path


def environment(folder: Path, collections: Path, helm: Path) -> dict[str, str]:
    """The environment of ansible-playbook: the person's own without what a run would depend on (kubeconfig, Ansible's settings, Python's path, proxies)."""
    dropped = ("K8S_AUTH_", "ANSIBLE_", "HELM_", "KUBECONFIG", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped) and not name.lower().endswith("_proxy")}
    (folder / "ansible.cfg").write_text("[defaults]\nhost_key_checking = true\n")
    homes = {f"HELM_{kind}_HOME": str(folder / "helm") for kind in ("CACHE", "CONFIG", "DATA")}
    return {
        **kept, **homes,
        "PATH": os.pathsep.join([str(helm.parent), str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "PYTHONUNBUFFERED": "1",
    }


class PlaybookRun:
    """One run of ansible-playbook whose output goes line by line to `show` and whole to FOLDER/playbook.log."""

    def __init__(self, world: World, folder: Path, collections: Path, target: str, playbook: str = ZERO_DOWNTIME,
                 extra: Mapping[str, Any] | None = None, arguments: tuple[str, ...] = ()) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        program = Path(sys.executable).with_name("ansible-playbook")
        if not program.exists():
            raise SandboxError(f"{program} is missing: run `make demo`, which makes a virtual environment with Ansible, or install ansible into this one.")
        inventory = write_inventory(folder / "inventory.json", {world.name: variables(world, target, folder, extra)})
        self._argv = [str(program), "-i", str(inventory), playbook, *arguments]
        self._environment = environment(folder, collections, world.tool("helm"))
        self._process: subprocess.Popen[str] | None = None

    def run(self, show: Callable[[str], None], begun: Callable[[int], None] = lambda pid: None) -> int:
        """Run to the end; returns ansible-playbook's exit status. An exception (Ctrl-C) ends the playbook first.

        :param begun: gets the playbook's process id as soon as it has one.
        """
        # A session of its own: on Ctrl-C this process ends the playbook, and not the terminal both at once.
        self._process = subprocess.Popen(
            self._argv, cwd=self.folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", start_new_session=True)
        try:
            begun(self._process.pid)
            assert self._process.stdout
            with (self.folder / "playbook.log").open("w") as log:
                for line in self._process.stdout:
                    log.write(line)
                    log.flush()  # of a run that is killed too
                    show(line.rstrip("\n"))
            return self._process.wait()
        finally:
            self.end()

    def end(self) -> None:
        """End the playbook when it still runs: as Ctrl-C does first, then for good, with the modules it has started."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        for number, seconds in ((signal.SIGINT, END_SECONDS), (signal.SIGKILL, 10.0)):
            os.killpg(process.pid, number)
            try:
                process.wait(seconds)
                return
            except subprocess.TimeoutExpired:
                continue

    def report(self) -> dict[str, Any]:
        """What the playbook reported: {"verdict", "reason", ...}; a FAILED of our own when it wrote nothing."""
        path = self.folder / REPORT
        if not path.exists():
            return {"verdict": "FAILED", "reason": f"the playbook wrote no report; see {self.folder / 'playbook.log'}"}
        report = json.loads(path.read_text())
        return {**report, "verdict": report.get("verdict") or "FAILED", "reason": report.get("reason") or "no reason given"}


def leftovers(world: World) -> list[str]:
    """Everything of the alpha API group that is still there and should not be: kinds, and objects of them."""
    found = []
    for resource in world.kubectl("api-resources", f"--api-group={ALPHA_GROUP}", "--no-headers", "-o", "name").split():
        if resource.partition(".")[0] not in STAYING:
            objects = world.kubectl("get", resource, "--all-namespaces", "-o", "name").split()
            found.append(f"{resource} with {len(objects)} objects" if objects else resource)
    return found
