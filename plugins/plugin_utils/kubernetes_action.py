# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds a kubeconfig (relative, vaulted, a dictionary) on the controller, as kubernetes.core does for its own modules."""

from __future__ import annotations

from typing import Any

from ansible_collections.kubernetes.core.plugins.action.k8s_info import ActionModule as KubernetesAction


class ModuleAction(KubernetesAction):
    """Runs a module as kubernetes.core's action plugin does, but does not add the task's arguments to its result."""

    def _ensure_invocation(self, result: dict[str, Any]) -> dict[str, Any]:
        """Return the result as it is. kubernetes.core adds the task's arguments to one without ``invocation``, with API key and probe token in clear; see
        https://github.com/ansible-collections/kubernetes.core/blob/main/plugins/action/k8s_info.py.
        """
        return result
