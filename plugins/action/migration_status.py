# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds a kubeconfig (relative, vaulted, a dictionary) on the controller, as kubernetes.core does for its own modules."""

from __future__ import annotations

from ansible_collections.inference_gateway.migration.plugins.plugin_utils.kubernetes_action import ModuleAction


class ActionModule(ModuleAction):
    """Runs the module as every module of this collection is run, see :class:`ModuleAction`."""
