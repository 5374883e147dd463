# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the pieces of a driven shift as module executions; every other state is one module execution as it is."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleError

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import processes
from ansible_collections.inference_gateway.migration.plugins.modules.shift_traffic import argument_spec
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.controller import ShiftController
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.kubernetes_action import ModuleAction

DRIVEN = ("migrated", "withdrawn", "returned")


class ActionModule(ModuleAction):
    """Controls the shift in the driven states; in the others it runs the module as :class:`ModuleAction` does."""

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the whole shift, or the one module execution of another state, and return its result."""
        if self._task.args.get("state", "migrated") not in DRIVEN:
            return super().run(tmp, task_vars)
        _validated, options = self.validate_argument_spec(argument_spec())
        return ShiftController(self, options, task_vars or {}, self._play_context.check_mode).run()

    def begin(self, module: str, arguments: dict[str, Any], task_vars: dict[str, Any], seconds: int) -> dict[str, Any]:
        """Start one module that goes on beside others, for ``seconds`` at most; :meth:`ended` returns its result.

        It writes nothing, so it bears no mark of the run: who takes the Lease of a dead run need not wait for it.
        """
        before = self._task.async_val, self._task.environment
        self._task.async_val, self._task.environment = seconds, [*(self._task.environment or []), {processes.MARK: ""}]
        try:
            return self.execute(module, arguments, task_vars, wrap_async=True)
        finally:
            self._task.async_val, self._task.environment = before

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
