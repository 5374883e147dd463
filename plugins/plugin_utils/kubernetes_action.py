# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds a kubeconfig (relative, vaulted, a dictionary) on the controller, as kubernetes.core does for its own modules."""

from __future__ import annotations

from typing import Any

from ansible_collections.kubernetes.core.plugins.action.k8s_info import ActionModule as KubernetesAction


class ModuleAction(KubernetesAction):
    """All of it is kubernetes.core's but for one thing."""

    def _ensure_invocation(self, result: dict[str, Any]) -> dict[str, Any]:
        """Where a module's result does not say how it was called, theirs adds the task's arguments, API key and token of the probes as they are."""
        return result
