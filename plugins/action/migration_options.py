# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks the options of a migration where the variables and the roles of the play are known: on the controller."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.inference_gateway.migration.plugins.plugin_utils import options

NOTHING = "Nothing was asked of the cluster"


class ActionModule(ActionBase):
    """Refuses what nobody would read. Nothing is sent anywhere."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the task."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        _checked, said = self.validate_argument_spec({
            "defaults": {"type": "dict", "required": True},
            "also": {"type": "list", "elements": "str", "default": []},
        })
        unknown = options.unknown(variables, [*said["defaults"], *said["also"]])
        hidden = options.hidden(options.other_roles(self._task), said["defaults"], variables)
        if unknown:
            return result | {"failed": True, "msg": f"{' '.join(unknown)} {NOTHING}: correct the name, or take the variable away."}
        if hidden:
            return result | {"failed": True, "msg": f"{'; '.join(hidden)} would not be seen, for defaults of role {options.OWN}migration win. {NOTHING}: "
                                                    "put options into the inventory, vars of the play or of that role, or -e."}
        return result
