# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module of another collection is run under the Lease, and again while the API server is away."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure

from ansible_collections.inference_gateway.migration.plugins.action import migration_task
from ansible_collections.inference_gateway.migration.plugins.action.migration_task import ActionModule

Result = dict[str, Any]
AWAY = {"failed": True, "msg": "Max retries exceeded"}
KEEP = "inference_gateway.migration.migration_journal"


class Plugin(ActionModule):
    """The plugin without Ansible around it; answers in turn, and the last one for ever."""

    def __init__(self, *answers: Result | Exception, check_mode: bool = False, **args: Any) -> None:
        self._task = SimpleNamespace(args={"module": "kubernetes.core.k8s", "run": "run-1"} | args)
        self._play_context = SimpleNamespace(check_mode=check_mode)
        self._connection = SimpleNamespace(transport="local")
        self.answers, self.lease, self.executed = list(answers), Result(), list[tuple[str, Result]]()

    def validate_argument_spec(self, spec: Result) -> tuple[None, Result]:
        return None, {option: self._task.args.get(option, entry.get("default")) for option, entry in spec.items()}

    def get_kubeconfig(self, kubeconfig: Any, remote_transport: bool, new_module_args: Result) -> None:
        new_module_args["kubeconfig"] = f"found:{kubeconfig}"

    def _execute_module(self, module_name: str, module_args: Result, task_vars: Result, wrap_async: bool = False) -> Result:
        self.executed.append((module_name, module_args))
        if module_name == KEEP:
            return self.lease
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    @property
    def modules(self) -> list[str]:
        return [name.rpartition(".")[2] for name, _arguments in self.executed]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(migration_task, "time", SimpleNamespace(
        monotonic=lambda: now.seconds, sleep=lambda seconds: setattr(now, "seconds", now.seconds + seconds)))
    return now


def test_the_lease_is_renewed_before_the_module_runs() -> None:
    plugin = Plugin({"changed": True}, arguments={"state": "absent"}, kubeconfig="a", context="b", cluster_id="uid")
    assert plugin.run() == {"changed": True}
    assert plugin.executed == [
        (KEEP, {"kubeconfig": "found:a", "context": "b", "cluster_id": "uid", "state": "kept", "seconds": 0, "run": "run-1",
                "state_namespace": "inference-gateway-migration"}),
        ("kubernetes.core.k8s", {"kubeconfig": "found:a", "context": "b", "state": "absent"}),
    ]  # fmt: skip


def test_a_run_that_lost_the_lease_does_nothing() -> None:
    plugin = Plugin({"changed": True})
    plugin.lease = {"failed": True, "msg": "Lease x is held by run-2"}
    assert plugin.run() == plugin.lease and plugin.modules == ["migration_journal"]


def test_check_mode_leaves_the_lease_alone() -> None:
    plugin = Plugin({"changed": True}, check_mode=True)
    assert plugin.run() == {"changed": True} and plugin.modules == ["k8s"]


def test_a_server_that_is_away_is_waited_for(clock: SimpleNamespace) -> None:
    plugin = Plugin(AWAY, AnsibleConnectionFailure("no route"), {"changed": True})
    assert plugin.run() == {"changed": True} and plugin.modules == ["migration_journal", "k8s"] * 3, "the Lease is looked at before each"
    plugin = Plugin(AWAY, patience=10)
    assert plugin.run()["failed"] and clock.seconds >= 10


def test_a_refusal_is_not_tried_again() -> None:
    plugin = Plugin({"failed": True, "msg": "forbidden"})
    assert plugin.run()["msg"] == "forbidden" and plugin.modules == ["migration_journal", "k8s"]


def test_another_collections_module_gets_no_connection_and_arguments_go_first() -> None:
    plugin = Plugin({"changed": False}, module="ansible.builtin.uri", arguments={"url": "u"}, kubeconfig="a")
    plugin.run()
    assert plugin.executed[-1] == ("ansible.builtin.uri", {"url": "u"})
    plugin = Plugin({"changed": False}, module="kubernetes.core.helm", arguments={"kubeconfig": ""}, kubeconfig="a")
    plugin.run()
    assert plugin.executed[-1] == ("kubernetes.core.helm", {"kubeconfig": ""})


def test_the_result_says_no_values() -> None:
    told = {"changed": True, "invocation": {"module_args": {"values": "v"}}, "status": {"status": "deployed", "values": {"password": "p"}}}
    assert Plugin(told).run() == {"changed": True, "status": {"status": "deployed"}}
