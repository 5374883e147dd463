# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module of another collection under the Lease, and again while the API server is away."""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.utils.display import Display

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import auth_argument_spec
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.interrupts import saying
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.kubernetes_action import ModuleAction
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.passing import passes

PAUSE = 2
OF_A_RELEASE = ("name", "namespace", "status", "chart", "revision")
"""What is shown of a Helm release: no values, and no manifest, which holds them too."""


def argument_spec() -> dict[str, Any]:
    """Return the options of the module."""
    return auth_argument_spec() | {
        "module": {"type": "str", "required": True},
        "arguments": {"type": "dict", "default": {}},
        "run": {"type": "str"},
        "state_namespace": {"type": "str", "default": "inference-gateway-migration"},
        "patience": {"type": "int", "default": 120},
    }


class ActionModule(ModuleAction):
    """Renews the Lease, then runs the module, until it has succeeded or failed for good."""

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module and return its result."""
        _validated, options = self.validate_argument_spec(argument_spec())
        task_vars = task_vars or {}
        with saying(lambda: self.interrupted(task_vars.get("inventory_hostname", "localhost"))):
            return self._patiently(options, task_vars)

    def _patiently(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + options["patience"]
        while True:
            result = self._once(options, task_vars)
            if not passes(result) and not result.get("unreachable_api"):
                return result
            if time.monotonic() >= deadline:
                return result
            left = deadline - time.monotonic()
            said = str(result.get("msg") or result.get("stderr") or "").strip().splitlines()
            Display().display(f"{task_vars.get('inventory_hostname', 'localhost')}: no usable answer; trying again for up to {left:.0f} s more. "
                              + (said[-1][:300] if said else ""))
            time.sleep(PAUSE)

    def _once(self, options: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if not self._play_context.check_mode:
            kept = self.execute("migration_journal", {"state": "kept", "seconds": 0, "run": options["run"], "state_namespace": options["state_namespace"]},
                                task_vars)
            if kept.get("failed"):
                return kept
        try:
            arguments = self._connection_of(options["module"]) | options["arguments"]
            result = self._execute_module(module_name=options["module"], module_args=arguments, task_vars=task_vars)
        except AnsibleConnectionFailure as error:
            return {"failed": True, "unreachable_api": True, "msg": f"No connection to the host on which modules run: {error}"}
        # A module that is run by another's action plugin would show its arguments, and Helm's the values of the release
        result.pop("invocation", None)
        if isinstance(result.get("status"), dict):
            result["status"] = {field: result["status"][field] for field in OF_A_RELEASE if field in result["status"]}
        return result

    def _connection_of(self, module: str) -> dict[str, Any]:
        """Return the task's connection as a module of kubernetes.core takes it; none for a module of any other collection."""
        if not module.startswith("kubernetes.core."):
            return {}
        connection = {option: self._task.args[option] for option in auth_argument_spec()
                      if option != "cluster_id" and self._task.args.get(option) is not None}
        if connection.get("kubeconfig"):
            self.get_kubeconfig(connection["kubeconfig"], self._connection.transport != "local", connection)
        return connection
