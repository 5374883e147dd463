# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds a kubeconfig on the controller, as kubernetes.core does for its own modules, and writes the report there.

The report travels as one text: the same as data, through a task that writes it, takes minutes where there are thousands of pools.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils.plan.render import REPORT
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.kubernetes_action import ModuleAction


class ActionModule(ModuleAction):
    """Runs the module as :class:`ModuleAction` does, and writes its report on the controller."""

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module, take the report out of its result, and write it to the file that option ``report`` names."""
        result = super().run(tmp, task_vars)
        report = result.pop(REPORT, None)
        if report is not None:
            try:
                write(Path(self._task.args["report"]).expanduser(), report)
            except OSError as error:
                said = f" {result['msg']}" if result.get("failed") else ""
                text = f"The report could not be written: {error}. Make the folder, or correct report (migration_report_path).{said}"
                return result | {"failed": True, "msg": text}
        return result


def write(path: Path, text: str) -> None:
    """Write a file as a whole or not at all, readable by its owner alone: a plan names all that serves models."""
    handle, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(fresh, path)
    except BaseException:
        os.unlink(fresh)
        raise
