# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds a kubeconfig (relative, vaulted, a dictionary) on the controller, as kubernetes.core does for its own modules."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible_collections.kubernetes.core.plugins.action.k8s_info import ActionModule as KubernetesAction


class ModuleAction(KubernetesAction):
    """Runs a module as kubernetes.core's action plugin does, but does not add the task's arguments to its result."""

    lasting: str | None = None
    """Path of the kubeconfig on the host on which modules run, as KUBECONFIG takes it; None for a copy that ends with the task, and where it is not known."""

    def _ensure_invocation(self, result: dict[str, Any]) -> dict[str, Any]:
        """Return the result as it is. kubernetes.core adds the task's arguments to one without ``invocation``, with API key and probe token in clear; see
        https://github.com/ansible-collections/kubernetes.core/blob/main/plugins/action/k8s_info.py.
        """
        return result

    def get_kubeconfig(self, kubeconfig: Any, remote_transport: bool, new_module_args: dict[str, Any]) -> None:
        """Put the path of the kubeconfig into a module's arguments.

        :raises AnsibleError: when it is not there.
        """
        if isinstance(kubeconfig, dict):
            new_module_args["kubeconfig"] = self._as_file(kubeconfig)
            return
        super().get_kubeconfig(kubeconfig, remote_transport, new_module_args)
        read, paths = new_module_args["kubeconfig"], kubeconfig.split(os.pathsep)
        # By ssh a path is what a person wrote, and one of ~ means nothing in KUBECONFIG; on the controller a vaulted file is read from a copy
        lasts = all(map(os.path.isabs, paths)) if remote_transport else read == os.pathsep.join(self._find_needle("files", path) for path in paths)
        self.lasting = read if lasts else None

    def _as_file(self, config: dict[str, Any]) -> str:
        """Write a kubeconfig on the host on which modules run, until the task ends, and return its path.

        As an option it would spoil the result: Ansible puts stars for every value in an option that may hold a secret, and ``v1`` is one of a kubeconfig's.
        """
        shell = self._connection._shell
        if not shell.tmpdir:
            self._make_tmp_path()
        path = shell.join_path(shell.tmpdir, "kubeconfig")
        self._transfer_data(path, json.dumps(config, default=str))  # what is vaulted in it is a kind of text of Ansible's
        self._fixup_perms2((shell.tmpdir, path), execute=False)
        return path
