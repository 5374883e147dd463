# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the pieces of a driven shift as module executions; every other state is one module execution as it is."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import auth_argument_spec
from ansible_collections.inference_gateway.migration.plugins.modules.shift_traffic import argument_spec
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.controller import ShiftController
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.kubernetes_action import ModuleAction

COLLECTION = "inference_gateway.migration"
DRIVEN = ("migrated", "withdrawn", "returned")


class ActionModule(ModuleAction):
    """Controls the shift in the driven states; in the others it runs the module as :class:`ModuleAction` does."""

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the whole shift, or the one module execution of another state, and return its result."""
        if self._task.args.get("state", "migrated") not in DRIVEN:
            return super().run(tmp, task_vars)
        _validated, options = self.validate_argument_spec(argument_spec())
        return ShiftController(self, options, task_vars or {}, self._play_context.check_mode).run()

    def execute(self, module: str, arguments: dict[str, Any], task_vars: dict[str, Any], wrap_async: bool = False) -> dict[str, Any]:
        """Run one module with this task's connection and return its result; a connection that is lost, or an error of Ansible's, is a failed one."""
        connection = {option: self._task.args[option] for option in auth_argument_spec() if self._task.args.get(option) is not None}
        try:
            if connection.get("kubeconfig"):
                self.get_kubeconfig(connection["kubeconfig"], self._connection.transport != "local", connection)
            return self._execute_module(f"{COLLECTION}.{module}", module_args=connection | arguments, task_vars=task_vars, wrap_async=wrap_async)
        except AnsibleConnectionFailure as error:  # it would end the host as unreachable, and with it the way back
            return {"failed": True, "unreachable_api": True, "msg": f"No connection to the host on which modules run: {error}"}
        except AnsibleError as error:
            return {"failed": True, "msg": f"{error}"}

    def begin(self, module: str, arguments: dict[str, Any], task_vars: dict[str, Any], seconds: int) -> dict[str, Any]:
        """Start one module that goes on beside others, for ``seconds`` at most; :meth:`ended` returns its result."""
        before, self._task.async_val = self._task.async_val, seconds
        try:
            return self.execute(module, arguments, task_vars, wrap_async=True)
        finally:
            self._task.async_val = before

    def ended(self, job: str, task_vars: dict[str, Any]) -> dict[str, Any] | None:
        """Return the result of what :meth:`begin` started, once; None while it runs."""
        folder = self.get_shell_option("async_dir", default="~/.ansible_async")

        def ask(mode: str) -> dict[str, Any]:
            return self._execute_module("ansible.legacy.async_status", module_args={"jid": job, "mode": mode, "_async_dir": folder}, task_vars=task_vars)

        try:
            result = ask("status")
            if not result.get("finished"):
                return None
            ask("cleanup")
        except AnsibleError:  # the module runs all the same, and is asked again
            return None
        return result
