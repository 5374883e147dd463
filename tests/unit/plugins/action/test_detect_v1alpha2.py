# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report is taken out of the result and written on the controller."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ansible_collections.inference_gateway.migration.plugins.action import detect_v1alpha2
from ansible_collections.inference_gateway.migration.plugins.action.detect_v1alpha2 import ActionModule, ModuleAction


@pytest.fixture
def run(monkeypatch):
    """Runs the action plugin on what the module is said to have returned."""

    def call(result, **arguments):
        monkeypatch.setattr(ModuleAction, "run", lambda _self, _tmp, _task_vars: dict(result))
        action = ActionModule.__new__(ActionModule)
        action._task = SimpleNamespace(args=arguments)
        return action.run()

    return call


def test_the_report_is_a_file_and_not_in_the_result(run, tmp_path):
    path = tmp_path / "report.json"
    path.write_text("of yesterday")
    assert run({"msg": "in use", "report_text": "{}\n"}, report=str(path)) == {"msg": "in use"}
    assert path.read_text() == "{}\n" and path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_refused_plan_is_reported_too(run, tmp_path):
    assert run({"failed": True, "msg": "another plan", "report_text": "{}"}, report=str(tmp_path / "r")) == {"failed": True, "msg": "another plan"}
    assert (tmp_path / "r").exists()


def test_a_report_that_can_t_be_written_is_a_failure_and_hides_no_other(run, tmp_path):
    failed = run({"failed": True, "msg": "another plan", "report_text": "{}"}, report=str(tmp_path / "missing" / "r"))
    assert failed["failed"] and "missing" in failed["msg"] and "another plan" in failed["msg"]
    assert run({"msg": "in use", "report_text": "{}"}, report=str(tmp_path / "missing" / "r"))["failed"]


def test_nothing_half_written_is_left(tmp_path, monkeypatch):
    def full(*_paths):
        raise OSError("full")

    monkeypatch.setattr(detect_v1alpha2.os, "replace", full)
    with pytest.raises(OSError, match="full"):
        detect_v1alpha2.write(tmp_path / "r", "{}")
    assert list(tmp_path.iterdir()) == []


def test_without_a_report_nothing_changes(run):
    assert run({"failed": True, "msg": "no answer"}) == {"failed": True, "msg": "no answer"}
