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
from ansible_collections.inference_gateway.migration.plugins.plugin_utils import fenced_helm

Result = dict[str, Any]
AWAY = {"failed": True, "msg": "Max retries exceeded"}
KEEP = "inference_gateway.migration.migration_journal"


class Plugin(ActionModule):
    """The plugin without Ansible around it; answers in turn, and the last one for ever."""

    def __init__(self, *answers: Result | Exception, check_mode: bool = False, **args: Any) -> None:
        self._task = SimpleNamespace(args={"module": "kubernetes.core.k8s", "run": "run-1"} | args, check_mode=check_mode)
        self._connection = SimpleNamespace(transport="local", _shell=SimpleNamespace(tmpdir="/tmp/task", join_path=lambda *parts: "/".join(parts)))
        self.written: dict[str, str] = {}
        self.answers, self.lease, self.executed = list(answers), Result(), list[tuple[str, Result]]()

    def validate_argument_spec(self, spec: Result) -> tuple[None, Result]:
        return None, {option: self._task.args.get(option, entry.get("default")) for option, entry in spec.items()}

    def get_kubeconfig(self, kubeconfig: Any, remote_transport: bool, new_module_args: Result) -> None:
        new_module_args["kubeconfig"] = f"found:{kubeconfig}"

    def _execute_module(self, module_name: str, module_args: Result, task_vars: Result, wrap_async: bool = False) -> Result:
        self.executed.append((module_name, module_args))
        if module_name == KEEP:
            assert not self._task.check_mode, "in check mode nothing would be renewed"
            return self.lease
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    def _transfer_data(self, remote_path: str, data: str) -> None:
        self.written[remote_path] = data

    def _fixup_perms2(self, paths: tuple[str, ...]) -> None:
        assert "/tmp/task/helm" in paths

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
    plugin = Plugin({"changed": True}, check_mode=True, run="check-mode")
    assert plugin.run() == {"changed": True} and plugin.modules == ["k8s"]


def test_a_trial_of_a_run_that_writes_renews_the_lease() -> None:
    """The task is in check mode, its run is not, and it may take longer than the Lease lasts."""
    plugin = Plugin({"changed": True}, check_mode=True)
    assert plugin.run() == {"changed": True} and plugin.modules == ["migration_journal", "k8s"] and plugin._task.check_mode


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


def test_nobody_is_told_where_ansible_playbook_was_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process would wait for ever to hand over what is more than a pipe holds, such as the definitions among a task's own arguments."""
    plugin, parents = Plugin({"changed": True}), [7, 1]
    monkeypatch.setattr(migration_task.os, "getppid", lambda: parents.pop(0) if parents else 1)
    with pytest.raises(SystemExit, match="ansible-playbook was killed"):
        plugin.run()
    assert plugin.modules == ["migration_journal", "k8s"], "what was begun is done"


def test_the_result_holds_no_whole_objects() -> None:
    """Definitions are 100 KB each: a result of AWX is bounded."""
    written = {"changed": True, "result": {"results": [{"result": {"kind": "CustomResourceDefinition", "spec": "x" * 100_000}}]}}
    assert Plugin(written).run() == {"changed": True}


def test_the_result_says_no_values() -> None:
    told = {"changed": True, "invocation": {"module_args": {"values": "v"}}, "status": {"status": "deployed", "values": {"password": "p"}}}
    assert Plugin(told).run() == {"changed": True, "status": {"status": "deployed"}}


# -- helm ---------------------------------------------------------------------------------------------------------------

HELM = "kubernetes.core.helm"
PROGRAMS = {"programs": {"python": "/python", "helm": "/usr/bin/helm", "now": 5.0}}
RELEASE = {"release_name": "chat", "release_namespace": "default"}
RECORDS = {"state": "absent", "kind": "Secret", "namespace": "default", "delete_all": True,
           "label_selectors": ["owner=helm", "name=chat", "status in (failed,pending-install,pending-upgrade)"]}


@pytest.mark.parametrize("module", fenced_helm.RUNS_HELM)
def test_helm_is_run_by_the_program_that_bounds_it(module: str) -> None:
    plugin = Plugin({"changed": True}, module=module, arguments=RELEASE, context="b")
    plugin.lease = PROGRAMS
    plugin.run()
    connection = {} if module in fenced_helm.OFFLINE else {"context": "b"}
    assert plugin.executed[-1] == (module, RELEASE | connection | {"binary_path": "/tmp/task/helm"})
    assert plugin.written["/tmp/task/helm"] == fenced_helm.program("/python", "/usr/bin/helm", 5.0)


def test_a_persons_own_helm_is_bounded_too() -> None:
    plugin = Plugin({"changed": True}, module=HELM, arguments={"binary_path": "/opt/helm"})
    plugin.lease = PROGRAMS
    plugin.run()
    assert "run('/opt/helm', " in plugin.written["/tmp/task/helm"] and plugin.executed[-1][1]["binary_path"] == "/tmp/task/helm"


@pytest.mark.parametrize(("module", "lease", "check_mode"), [(HELM, {"programs": {"python": "/python"}}, False), (HELM, PROGRAMS, True),
                                                             ("kubernetes.core.k8s", PROGRAMS, False)], ids=["no-helm", "check-mode", "no-helm-module"])
def test_what_needs_no_bound_is_run_as_it_is(module: str, lease: Result, check_mode: bool) -> None:
    plugin = Plugin({"changed": True}, module=module, check_mode=check_mode, **({"run": "check-mode"} if check_mode else {}))
    plugin.lease = lease
    plugin.run()
    assert plugin.executed[-1] == (module, {}) and not plugin.written


def test_helm_is_not_begun_long_after_the_lease_was_renewed(clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = Plugin({"changed": True}, module=HELM, patience=0)
    plugin.lease = PROGRAMS
    monkeypatch.setattr(plugin, "_transfer_data", lambda *_: setattr(clock, "seconds", fenced_helm.BEGIN_SECONDS + 1))
    assert plugin.run()["failed"] and plugin.modules == ["migration_journal"]


@pytest.mark.parametrize("cut_short", [AWAY, {"failed": True, "stderr": "helm upgrade was ended at its deadline"}], ids=["away", "deadline"])
def test_an_installation_that_was_cut_short_is_made_anew(cut_short: Result) -> None:
    """Helm would refuse to go on with its record, or its module take it for installed."""
    plugin = Plugin(cut_short, AWAY, {"changed": True}, {"changed": True, "status": {"status": "deployed"}}, module=HELM, arguments=RELEASE)
    assert plugin.run() == {"changed": True, "status": {"status": "deployed"}}
    assert plugin.modules == ["migration_journal", "helm", *["migration_journal", "k8s"] * 2, "migration_journal", "helm"]
    assert plugin.executed[3] == ("kubernetes.core.k8s", RECORDS)


def test_a_record_that_may_not_be_deleted_ends_it() -> None:
    plugin = Plugin(AWAY, {"failed": True, "msg": "forbidden"}, module=HELM, arguments=RELEASE)
    assert plugin.run()["msg"] == "forbidden" and plugin.modules[-1] == "k8s"


def test_no_record_is_deleted_where_nothing_is_installed() -> None:
    plugin = Plugin(AWAY, {"changed": True}, module=HELM, arguments=RELEASE | {"state": "absent"})
    plugin.run()
    assert plugin.modules == ["migration_journal", "helm"] * 2


def test_behind_a_lost_connection_helm_is_waited_for_under_the_lease(clock: SimpleNamespace) -> None:
    """It may still be at work there, and a second one beside it would spoil the release."""
    plugin = Plugin(AnsibleConnectionFailure("no route"), {"changed": True}, module=HELM, arguments=RELEASE)
    plugin.run()
    kept = [arguments["seconds"] for name, arguments in plugin.executed if name == KEEP]
    assert kept == [0, 22, 0, 0] and migration_task.PAUSE + 22 >= fenced_helm.MODULE_SECONDS
    assert plugin.modules == ["migration_journal", "helm", *["migration_journal"] * 2, "k8s", "migration_journal", "helm"]
    plugin = Plugin(AnsibleConnectionFailure("no route"), module=HELM, arguments=RELEASE, patience=0)
    assert plugin.run()["failed"], "and nobody takes the Lease while it works"
    assert [arguments["seconds"] for name, arguments in plugin.executed if name == KEEP] == [0, 24]


def test_of_a_release_it_says_what_there_is_and_whether_its_values_are_the_expected_ones() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n", "annotations": {"a": "value"}}, "data": {"key": "value"}}
    told = {"status": {"status": "deployed", "values": {"a": 1}, "manifest": [None, secret], "hooks": ["value"], "notes": "value"}}
    objects = [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"}}]
    for expected, as_expected in (({"a": 1}, True), ({"a": 2}, False)):
        plugin = Plugin(told, module="kubernetes.core.helm_info", arguments=RELEASE, expected_values=expected)
        assert plugin.run() == {"status": {"status": "deployed", "objects": objects, "as_expected": as_expected}}
