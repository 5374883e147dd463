# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner of the gates: a gate that did nothing, a missing tool and a run without tests are failures."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tools import gate_home, process, pythons, run_tests, stage
from tools.gates import Gate
from tools.process import Counts


@pytest.fixture(autouse=True)
def own_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_tests, "ROOT", tmp_path)


def outcome(gate: Gate, tmp_path: Path) -> Counts:
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    return run_tests.run_gate(gate, scratch, tmp_path)


def ended(pid: int) -> bool:
    """Whether a process is gone, or nobody but its parent knows it any more; on a busy machine a killed one takes a moment."""
    state, patience = Path(f"/proc/{pid}/stat"), time.monotonic() + 10
    while time.monotonic() < patience:
        try:
            if state.read_text().split()[2] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.1)
    return False


def test_a_gate_counts_as_one(tmp_path: Path) -> None:
    assert outcome(Gate("good", ["true"]), tmp_path) == Counts(passed=1)
    assert outcome(Gate("bad", ["false"]), tmp_path) == Counts(failed=1)


def test_a_missing_tool_is_a_failure(tmp_path: Path) -> None:
    assert outcome(Gate("absent", ["no-such-tool"]), tmp_path) == Counts(failed=1)
    assert "is not installed: run make again" in (tmp_path / "build" / "logs" / "absent.log").read_text()


def test_a_gate_that_did_nothing_is_a_failure(tmp_path: Path) -> None:
    assert outcome(Gate("idle", ["echo", "All targets skipped."], proof=("Running",)), tmp_path) == Counts(failed=1)
    assert outcome(Gate("busy", ["echo", "Running"], proof=("Running",)), tmp_path) == Counts(passed=1)


def test_a_gate_over_its_limit_is_stopped_with_its_children(tmp_path: Path) -> None:
    began = time.monotonic()
    script = "import subprocess, sys, time; child = subprocess.Popen(['sleep', '60']); print(child.pid, flush=True); time.sleep(60)"
    assert outcome(Gate("slow", [sys.executable, "-c", script], limit=1.0), tmp_path) == Counts(failed=1)
    assert time.monotonic() - began < 30
    log = (tmp_path / "build" / "logs" / "slow.log").read_text()
    assert "Stopped after 1 s" in log
    child = next(int(line) for line in log.splitlines() if line.isdigit())
    assert ended(child)


@pytest.mark.parametrize(
    ("tests", "expected"),
    [
        ("def test_a(): pass\n", Counts(1, 0, 0)),
        ("def test_a(): assert False\ndef test_b(): pass\n", Counts(1, 1, 0)),
        ("import pytest\ndef test_a(): pytest.skip('x')\ndef test_b(): pass\n", Counts(1, 0, 1)),
        ("import pytest\ndef test_a(): pytest.skip('x')\n", Counts(0, 1, 1)),
        ("", Counts(0, 1, 0)),
        ("import no_such_module\n", Counts(0, 1, 0)),
        ("import pytest\n@pytest.fixture\ndef x():\n    yield 1\n    assert False\ndef test_a(x): pass\n", Counts(0, 1, 0)),
    ],
    ids=["pass", "fail", "skip", "only-skips", "none", "import-error", "teardown-error"],
)
def test_pytest_runs_count_their_tests(tests: str, expected: Counts, tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(tests)
    junit = tmp_path / "junit.xml"
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={junit}", "test_x.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert process.read_junit(junit, done.returncode) == expected


def test_a_pytest_run_that_died_is_a_failure(tmp_path: Path) -> None:
    assert process.read_junit(tmp_path / "absent.xml", 3) == Counts(failed=1)
    assert process.read_junit(tmp_path / "absent.xml", 0) == Counts(failed=1)


def test_no_setting_of_the_person_leads_a_gate_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("K8S_AUTH_HOST", "KUBECONFIG", "ANSIBLE_CONFIG", "PYTHONPATH"):
        monkeypatch.setenv(name, "/elsewhere")
    found = gate_home.environment_of(Path(sys.executable), None, tmp_path)
    assert "/elsewhere" not in found.values() and found["PATH"].startswith(str(Path(sys.executable).parent))
    own = gate_home.environment_of(Path(sys.executable), tmp_path, tmp_path / "collections")
    assert (own["HOME"], own["ANSIBLE_COLLECTIONS_PATH"]) == (str(tmp_path), str(tmp_path / "collections"))


def last_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], table: list[Gate], *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(run_tests, "all_gates", lambda nox, second: table)
    monkeypatch.setattr(sys, "argv", ["run_tests.py", *arguments])
    code = run_tests.main()
    return code, capsys.readouterr().out.splitlines()[-1]


@pytest.fixture
def no_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_tests, "second_interpreter", lambda: None)
    monkeypatch.setattr(run_tests, "nox_python", lambda version: Path(sys.executable))


@pytest.mark.usefixtures("no_second")
def test_without_a_second_python_one_skip_is_announced_and_in_ci_it_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert last_line(monkeypatch, capsys, [Gate("good", ["true"])]) == (0, "1 passed, 0 failed, 1 skipped")
    monkeypatch.setenv("CI", "true")
    assert last_line(monkeypatch, capsys, [Gate("good", ["true"])]) == (1, "1 passed, 1 failed, 0 skipped")


@pytest.mark.usefixtures("no_second")
def test_it_goes_on_after_a_failure_and_nothing_passed_is_a_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert last_line(monkeypatch, capsys, [Gate("bad", ["false"]), Gate("good", ["true"])]) == (1, "1 passed, 1 failed, 1 skipped")
    assert last_line(monkeypatch, capsys, []) == (1, "0 passed, 0 failed, 1 skipped")


@pytest.mark.usefixtures("no_second")
def test_gates_that_may_be_beside_each_other_are(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.setenv("CI", "")
    script = """
import pathlib, sys, time
mine, other = map(pathlib.Path, sys.argv[1:])
mine.touch()
for _ in range(50):
    time.sleep(0.1)
    if other.exists():
        sys.exit()
sys.exit(1)
"""

    def meeting(name: str, other: str, beside: bool) -> Gate:
        return Gate(name, [sys.executable, "-c", script, str(tmp_path / name), str(tmp_path / other)], beside=beside)

    assert last_line(monkeypatch, capsys, [meeting("a", "b", True), meeting("b", "a", True)]) == (0, "2 passed, 0 failed, 1 skipped")
    assert last_line(monkeypatch, capsys, [meeting("c", "d", False), meeting("d", "c", False)]) == (1, "1 passed, 1 failed, 1 skipped")


@pytest.mark.parametrize("taken_by", ["the process", "another thread"])
def test_ctrl_c_ends_all_that_run_beside_each_other(taken_by: str, tmp_path: Path) -> None:
    program = """
import pathlib, signal, sys, threading

def take() -> None:
    sys.stdin.readline()
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)

threading.Thread(target=take, daemon=True).start()
signal.signal(signal.SIGINT, signal.default_int_handler)  # a run in the background of a script inherits that it is ignored
from tools import run_tests
from tools.gates import Gate
run_tests.ROOT = pathlib.Path(sys.argv[1])
sleep = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
gates = [Gate(name, [sys.executable, "-c", sleep], echo=True, beside=True) for name in ("a", "b")] + [Gate("never", ["true"])]
list(run_tests.run_all(gates, run_tests.ROOT, run_tests.ROOT))
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    began = time.monotonic()
    with subprocess.Popen(command, cwd=stage.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as runner:
        assert runner.stdin is not None and runner.stdout is not None
        children: list[int] = []
        said: list[str] = []
        for line in runner.stdout:
            said.append(line)
            children += [int(line)] if line.strip().isdigit() else []
            if len(children) == 2:
                time.sleep(1)
                if taken_by == "the process":
                    runner.send_signal(signal.SIGINT)
                else:
                    runner.stdin.write("\n")
                    runner.stdin.flush()
                break
        said += runner.stdout.readlines()
    assert time.monotonic() - began < 45, "they were ended, they did not end by themselves"
    assert runner.returncode != 0 and len(children) == 2 and "== never" not in "".join(said)
    for child in children:
        assert ended(child)


def test_lines_of_gates_beside_each_other_stay_whole(capfd: pytest.CaptureFixture[str]) -> None:
    def talk(name: str) -> None:
        for number in range(2000):
            process.say(f"{name} {number}")

    talkers = [threading.Thread(target=talk, args=(name,)) for name in "ab"]
    for talker in talkers:
        talker.start()
    for talker in talkers:
        talker.join()
    assert sorted(capfd.readouterr().out.splitlines()) == sorted(f"{name} {number}" for name in "ab" for number in range(2000))


@pytest.mark.usefixtures("no_second")
def test_the_last_lines_name_what_failed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text("def test_a():\n    assert 1 == 2, 'one is not two'\n")
    command = [sys.executable, "-m", "pytest", "--junitxml={run}/x.xml", str(tmp_path / "test_x.py")]
    gate = Gate("x", command, limit=60, pytest=True)
    monkeypatch.setattr(run_tests, "all_gates", lambda nox, second: [gate, Gate("bad", ["false"])])
    monkeypatch.setattr(sys, "argv", ["run_tests.py"])
    assert run_tests.main() == 1
    named = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAILED ")]
    assert named == ["FAILED test_x::test_a: AssertionError: one is not two assert 1 == 2", "FAILED gate bad: see build/logs/bad.log"]


def test_only_takes_names_that_exist(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    table = [Gate("good", ["true"]), Gate("bad", ["false"])]
    assert last_line(monkeypatch, capsys, table, "--only", "good") == (0, "1 passed, 0 failed, 0 skipped")
    with pytest.raises(SystemExit):
        last_line(monkeypatch, capsys, table, "--only", "gold")


def test_a_second_python_is_found_off_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = "3.12" if sys.version_info < (3, 12) else "3.11"
    shim = tmp_path / "shims" / f"python{wanted}"
    real = tmp_path / "pyenv" / "versions" / f"{wanted}.1" / "bin" / f"python{wanted}"
    for path, body in ((shim, "exit 127"), (real, "exit 0")):
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(shim.parent))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert pythons.second_interpreter() == real
    real.write_text("#!/bin/sh\nexit 1\n")
    assert pythons.second_interpreter() is None


def test_the_stage_is_the_work_tree_with_kubernetes_core_beside_it(tmp_path: Path) -> None:
    collection = stage.copy_tree(tmp_path, Path(sys.executable))
    assert (collection / "galaxy.yml").read_text() == (stage.ROOT / "galaxy.yml").read_text()
    assert (tmp_path / "ansible_collections" / "kubernetes" / "core" / "plugins").is_dir()
    assert not (collection / "build").exists() and not any(path.is_symlink() for path in collection.rglob("*"))


def test_links_are_mended(tmp_path: Path) -> None:
    collection = stage.link_tree(tmp_path) / "ansible_collections" / stage.NAMESPACE / stage.NAME
    (collection / "plugins").unlink()
    (collection / "plugins").symlink_to(tmp_path)
    stage.link_tree(tmp_path)
    assert os.readlink(collection / "plugins") == str(stage.ROOT / "plugins")
