# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds a kubeconfig on the controller, as kubernetes.core does for its own modules, and notes when the Lease of another run was looked at."""

from __future__ import annotations

from typing import Any

from ansible_collections.inference_gateway.migration.plugins.plugin_utils.kubernetes_action import ModuleAction
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.lock import first_look


class ActionModule(ModuleAction):
    """Runs the module as every module of this collection is run, see :class:`ModuleAction`, and adds what is known on the controller alone."""

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module and return its result with ``kubeconfig``, which would come out of a module as stars, and in ``lease`` the time of the look."""
        result = super().run(tmp, task_vars)
        if result.get("lease"):
            result["lease"] |= first_look(result["lease"], self._task.args.get("seen"))
        return result if result.get("failed") or not self.lasting else result | {"kubeconfig": self.lasting}
