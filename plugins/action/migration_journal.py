# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the Lease over from a run that is dead, and runs every other state of the module as it is."""

from __future__ import annotations

import os
import time
from math import inf
from typing import Any

from ansible.utils.display import Display

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import lease, processes
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import auth_argument_spec
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.kubernetes_action import ModuleAction
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.lock import Lock

LOOK_SECONDS = 2
SAY_SECONDS = 10


class ActionModule(ModuleAction):
    """Waits for a Lease only where its holder may be dead: a live one is shown at once and never displaced."""

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module; where another run holds the Lease, look until it is known whether that run lives."""
        if self._task.args.get("state") != "opened" or self._play_context.check_mode:
            return super().run(tmp, task_vars)
        task_vars, said = task_vars or {}, -inf
        arguments = {option: value for option, value in self._task.args.items() if option not in (*auth_argument_spec(), "seen")}
        host = task_vars.get("inventory_hostname", "localhost")
        # A worker of ansible-playbook is its child.
        arguments["holder"] = {"origin": processes.origin(os.getppid()), "host": host}
        lock = Lock(self._task.args.get("seen"), (arguments["holder"]["origin"], host))
        while True:
            result = self.execute("migration_journal", arguments, task_vars)
            seen = result.get("lease")
            if not seen:
                return result
            decision = lock.look(seen)
            if decision == "refuse":
                return result
            arguments["take"] = seen["version"] if decision == "take" else None
            if decision == "wait":
                if time.monotonic() - said >= SAY_SECONDS:
                    said = time.monotonic()
                    Display().display(f"{host}: {lease.words(seen)}, holds the lock and may be dead: looking for {lock.left(seen):.0f} s more")
                time.sleep(LOOK_SECONDS)
