# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module of another collection under the Lease, and again while the API server is away."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.utils.display import Display

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import auth_argument_spec
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.lease import CHECK_MODE
from ansible_collections.inference_gateway.migration.plugins.plugin_utils import fenced_helm
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.interrupts import saying
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.kubernetes_action import ModuleAction, heard
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.passing import passes

PAUSE = 2
OF_A_RELEASE = ("name", "namespace", "status", "chart", "revision")
"""What is shown of a Helm release: no values, and no manifest, which holds them too."""
OF_AN_OBJECT = ("name", "namespace")
SLOW = ("The API server, or the host on which modules run, is so slow that helm can't be run under the lock: look at their load, and at pipelining where the "
        "connection is ssh, then start again.")


def argument_spec() -> dict[str, Any]:
    """Return the options of the module."""
    return auth_argument_spec() | {
        "module": {"type": "str", "required": True},
        "arguments": {"type": "dict", "default": {}},
        "expected_values": {"type": "dict"},
        "run": {"type": "str"},
        "state_namespace": {"type": "str", "default": "inference-gateway-migration"},
        "patience": {"type": "int", "default": 120},
    }


class ActionModule(ModuleAction):
    """Renews the Lease, then runs the module, until it has succeeded or failed for good."""

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module and return its result."""
        _validated, options = self.validate_argument_spec(argument_spec())
        task_vars, parent = task_vars or {}, os.getppid()
        with saying(lambda: self.interrupted(task_vars.get("inventory_hostname", "localhost"))):
            result = self._patiently(options, task_vars)
        return heard(result, parent)

    def _patiently(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + options["patience"]
        module, arguments = options["module"], options["arguments"]
        cut_short = fenced_helm.unfinished(arguments) if module == "kubernetes.core.helm" else None
        result = self._once(module, arguments, options, task_vars)
        orphaned_until = orphan(module, result)
        while (passes(result) or result.get("unreachable_api")) and time.monotonic() < deadline:
            left = deadline - time.monotonic()
            said = str(result.get("msg") or result.get("stderr") or "").strip().splitlines()
            Display().display(f"{task_vars.get('inventory_hostname', 'localhost')}: no usable answer; trying again for up to {left:.0f} s more. "
                              + (said[-1][:300] if said else ""))
            time.sleep(PAUSE)
            orphaned = math.ceil(orphaned_until - time.monotonic())
            result = self._kept(options, task_vars, orphaned) if orphaned > 0 else {}
            if result.get("failed"):
                continue
            orphaned_until = 0.0
            if cut_short:
                result = self._once("kubernetes.core.k8s", cut_short, options, task_vars)
            if not result.get("failed"):
                result = self._once(module, arguments, options, task_vars)
                orphaned_until = orphan(module, result)
        if (orphaned := math.ceil(orphaned_until - time.monotonic())) > 0:  # the Lease is not given up while it may be at work
            self._kept(options, task_vars, orphaned)
        return result

    def _kept(self, options: dict[str, Any], task_vars: dict[str, Any], seconds: int = 0) -> dict[str, Any]:
        """Renew the Lease, for some seconds or once, and return the module's result."""
        said = {"state": "kept", "seconds": seconds, "run": options["run"], "state_namespace": options["state_namespace"]}
        checks = self._task.check_mode
        if checks and options["run"] in (None, CHECK_MODE):
            return {}
        # A trial is in check mode within a run that is not, and may take longer than the Lease lasts.
        self._task.check_mode = False
        try:
            return self.execute("migration_journal", said, task_vars)
        finally:
            self._task.check_mode = checks

    def _once(self, module: str, arguments: dict[str, Any], options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        began = time.monotonic()
        kept = self._kept(options, task_vars)
        if kept.get("failed"):
            return kept
        try:
            fenced = self._fenced(kept.get("programs") or {}, arguments) if module in fenced_helm.RUNS_HELM else {}
            if fenced and time.monotonic() - began > fenced_helm.BEGIN_SECONDS:
                return {"failed": True, "unreachable_api": True, "msg": SLOW}
            result = self._execute_module(module_name=module, module_args=self._connection_of(module) | arguments | fenced, task_vars=task_vars)
        except AnsibleConnectionFailure as error:
            return {"failed": True, "unreachable_api": True, "lost": True, "msg": f"No connection to the host on which modules run: {error}"}
        # A module that is run by another's action plugin would show its arguments, and Helm's the values of the release
        result.pop("invocation", None)
        if module == "kubernetes.core.k8s":
            # Whole objects, which nobody reads
            result.pop("result", None)
        if isinstance(result.get("status"), dict):
            result["status"] = of_a_release(result["status"], options["expected_values"])
        return result

    def _fenced(self, programs: dict[str, Any], arguments: dict[str, Any]) -> dict[str, str]:
        """Write the program that bounds helm on the host on which modules run, until the task ends, and return it as an argument of a helm module.

        :param programs: where Python and helm are there. Without helm it is the module that says so.
        """
        helm = arguments.get("binary_path") or programs.get("helm")
        if not helm or not programs.get("python"):
            return {}
        shell = self._connection._shell
        if not shell.tmpdir:
            self._make_tmp_path()
        path = shell.join_path(shell.tmpdir, "helm")
        self._transfer_data(path, fenced_helm.program(programs["python"], helm, programs["now"]))
        self._fixup_perms2((shell.tmpdir, path))
        return {"binary_path": path}

    def _connection_of(self, module: str) -> dict[str, Any]:
        """Return the task's connection as a module of kubernetes.core takes it; none for a module of any other collection, and for one that needs none."""
        if not module.startswith("kubernetes.core.") or module in fenced_helm.OFFLINE:
            return {}
        connection = {option: self._task.args[option] for option in auth_argument_spec()
                      if option != "cluster_id" and self._task.args.get(option) is not None}
        if connection.get("kubeconfig"):
            self.get_kubeconfig(connection["kubeconfig"], self._connection.transport != "local", connection)
        return connection


def orphan(module: str, result: dict[str, Any]) -> float:
    """Return until when, on the clock of time.monotonic, helm may be at work behind a connection that was lost; 0 where it is not."""
    return time.monotonic() + fenced_helm.MODULE_SECONDS if result.get("lost") and module in fenced_helm.RUNS_HELM else 0.0


def objects(manifests: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects of a release's manifest, those of its lists too, and nothing that names none."""
    for entry in manifests or ():
        if isinstance(entry, dict) and isinstance(entry.get("items"), list):
            yield from objects(entry["items"])
        elif isinstance(entry, dict) and isinstance(entry.get("metadata"), dict) and "apiVersion" in entry and "kind" in entry:
            yield entry


def of_a_release(status: dict[str, Any], expected_values: dict[str, Any] | None) -> dict[str, Any]:
    """Return what may be shown of a Helm release: of its values whether they are the expected ones, of its manifest which objects it has."""
    shown = {field: status[field] for field in OF_A_RELEASE if field in status}
    if "manifest" in status:
        shown["objects"] = [
            {"apiVersion": entry["apiVersion"], "kind": entry["kind"],
             "metadata": {field: entry["metadata"][field] for field in OF_AN_OBJECT if field in entry["metadata"]}}
            for entry in objects(status["manifest"])]
    if expected_values is not None:
        shown["as_expected"] = status.get("release_values", status.get("values")) == expected_values
    return shown
