# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin: which states it drives, and how it executes modules for them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError

from ansible_collections.inference_gateway.migration.plugins.action import shift_traffic
from ansible_collections.inference_gateway.migration.plugins.action.shift_traffic import ActionModule

Result = dict[str, Any]


class Plugin(ActionModule):
    """The plugin without Ansible around it."""

    def __init__(self, transport: str = "local", **args: Any) -> None:
        self._task = SimpleNamespace(args=args, async_val=0, environment=None)
        self._play_context = SimpleNamespace(check_mode=False)
        self._connection = SimpleNamespace(transport=transport)
        self.executed: list[tuple[str, Result]] = []
        self.limits: list[int] = []
        self.answer: Result = {"changed": False}
        self.error: Exception | None = None

    def get_shell_option(self, option: str, default: str) -> str:
        return f"{option} or {default}"

    def get_kubeconfig(self, kubeconfig: Any, remote_transport: bool, new_module_args: Result) -> None:
        if kubeconfig == "missing":
            raise AnsibleActionFail("could not find missing")
        new_module_args["kubeconfig"] = f"{'remote' if remote_transport else 'found'}:{kubeconfig}"

    def _execute_module(self, module_name: str, module_args: Result, task_vars: Result, wrap_async: bool = False) -> Result:
        self.executed.append((module_name, module_args))
        self.limits.append(self._task.async_val if wrap_async else 0)
        if self.error:
            raise self.error
        return self.answer


def test_a_piece_has_the_tasks_connection_and_nothing_else_of_it() -> None:
    plugin = Plugin(kubeconfig="a", context="b", host=None, steps=[100], cluster_id="uid")
    assert plugin.execute("verify_gateway", {"check": "gate"}, {}) == {"changed": False}
    assert plugin.executed == [
        ("inference_gateway.migration.verify_gateway", {"kubeconfig": "found:a", "context": "b", "cluster_id": "uid", "check": "gate"}),
    ]  # fmt: skip
    remote = Plugin(transport="ssh", kubeconfig="a")
    remote.execute("verify_gateway", {}, {})
    assert remote.executed[0][1] == {"kubeconfig": "remote:a"}


def test_a_module_execution_beside_others() -> None:
    plugin = Plugin(kubeconfig="a")
    plugin.answer = {"ansible_job_id": "j1"}
    assert plugin.begin("verify_gateway", {"check": "streams"}, {}, 65) == {"ansible_job_id": "j1"}
    assert (plugin.limits, plugin._task.async_val) == ([65], 0), "only this execution is one that goes on"
    plugin.answer = {"finished": False}
    assert plugin.ended("j1", {}) is None
    plugin.answer = {"finished": True, "sent": 2}
    assert plugin.ended("j1", {}) == plugin.answer
    asked = {"jid": "j1", "_async_dir": "async_dir or ~/.ansible_async"}
    assert plugin.executed[1:] == [("ansible.legacy.async_status", asked | {"mode": mode}) for mode in ("status", "status", "cleanup")]


def test_a_connection_that_drops_is_waited_for_like_an_api_server() -> None:
    """Left alone it would end the host as unreachable, with the weights where they are and nobody to take them back."""
    plugin = Plugin(transport="ssh")
    plugin.error = AnsibleConnectionFailure("reset by peer")
    for result in (plugin.execute("verify_gateway", {}, {}), plugin.begin("verify_gateway", {}, {}, 65)):
        assert result["failed"] and result["unreachable_api"] and "No connection to the host on which modules run: reset by peer" in result["msg"]
    assert plugin.ended("j1", {}) is None and plugin._task.async_val == 0
    plugin.error = AnsibleError("no space for a temporary directory")
    assert plugin.execute("verify_gateway", {}, {}) == {"failed": True, "msg": "no space for a temporary directory"}
    assert plugin.ended("j1", {}) is None


def test_a_kubeconfig_that_is_not_there_is_a_result() -> None:
    plugin = Plugin(kubeconfig="missing")
    result = plugin.execute("verify_gateway", {}, {})
    assert result["failed"] and "could not find missing" in result["msg"] and plugin.executed == []


@pytest.mark.parametrize(("state", "driven"), [(None, True), ("migrated", True), ("withdrawn", True), ("shifted", False), ("restored", False)])
def test_only_two_states_are_driven(monkeypatch: pytest.MonkeyPatch, state: str | None, driven: bool) -> None:
    plugin = Plugin(**({} if state is None else {"state": state}))
    monkeypatch.setattr(plugin, "validate_argument_spec", lambda spec: (None, {name: option.get("default") for name, option in spec.items()}))
    monkeypatch.setattr(shift_traffic.ModuleAction, "run", lambda self, tmp, task_vars: {"by": "kubernetes.core"})
    monkeypatch.setattr(shift_traffic.ShiftController, "run", lambda self: {"by": "us"})
    assert plugin.run(None, {}) == {"by": "us" if driven else "kubernetes.core"}
