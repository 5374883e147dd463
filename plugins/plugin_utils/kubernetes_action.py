# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds a kubeconfig (relative, vaulted, a dictionary) on the controller, as kubernetes.core does for its own modules."""

from __future__ import annotations

import json
import os
from contextlib import nullcontext
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import auth_argument_spec
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.interrupts import saying
from ansible_collections.kubernetes.core.plugins.action.k8s_info import ActionModule as KubernetesAction

COLLECTION = "inference_gateway.migration"


def heard(result: dict[str, Any], parent: int) -> dict[str, Any]:
    """Return a result to an ansible-playbook that still lives. Where it was killed this process ends: with more than a pipe holds it would wait for ever.

    :param parent: the process that the task was begun by.
    """
    if os.getppid() != parent:
        raise SystemExit("ansible-playbook was killed, so nobody would hear of the result.")
    return result


class ModuleAction(KubernetesAction):
    """Runs a module as kubernetes.core's action plugin does, but does not add the task's arguments to its result."""

    lasting: str | None = None
    """Path of the kubeconfig on the host on which modules run, as KUBECONFIG takes it; None for a copy that ends with the task, and where it is not known."""

    def _ensure_invocation(self, result: dict[str, Any]) -> dict[str, Any]:
        """Return the result as it is. kubernetes.core adds the task's arguments to one without ``invocation``, with API key and probe token in clear; see
        https://github.com/ansible-collections/kubernetes.core/blob/main/plugins/action/k8s_info.py.
        """
        return result

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module; say how to go on where a person interrupts a run that may write."""
        host, parent = (task_vars or {}).get("inventory_hostname", "localhost"), os.getppid()
        with saying(lambda: self.interrupted(host)) if self._task.args.get("run") else nullcontext():
            result = super().run(tmp, task_vars)
        return heard(result, parent)

    def interrupted(self, host: str) -> str:
        """Say how to go on after the task was interrupted, none of whose work changes weights."""
        return (f"{host}: interrupted in task {self._task.get_name()!r}, which changes no weights. The same command goes on from here; to go back: "
                "ansible-playbook inference_gateway.migration.rollback")

    def execute(self, module: str, arguments: dict[str, Any], task_vars: dict[str, Any], wrap_async: bool = False) -> dict[str, Any]:
        """Run one module of this collection with this task's connection and return its result.

        A connection that is lost, or an error of Ansible's, is a failed one.
        """
        connection = {option: self._task.args[option] for option in auth_argument_spec() if self._task.args.get(option) is not None}
        try:
            if connection.get("kubeconfig"):
                self.get_kubeconfig(connection["kubeconfig"], self._connection.transport != "local", connection)
            return self._execute_module(f"{COLLECTION}.{module}", module_args=connection | arguments, task_vars=task_vars, wrap_async=wrap_async)
        except AnsibleConnectionFailure as error:  # it would end the host as unreachable, and with it the way back
            return {"failed": True, "unreachable_api": True, "msg": f"No connection to the host on which modules run: {error}"}
        except AnsibleError as error:
            return {"failed": True, "msg": f"{error}"}

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
