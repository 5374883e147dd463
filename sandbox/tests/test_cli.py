# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: sentences and exit status, several sandboxes side by side, and what a crash leaves."""
from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from igw_sandbox import cli, estate, supervisor
from igw_sandbox import world as worlds
from igw_sandbox.context import SandboxError, start_time
from igw_sandbox.world import World

LAUNCHER = Path(__file__).resolve().parents[1] / "sandbox"
BARE = ("controlplane", "registry", "apiproxy")


def sandbox(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(LAUNCHER), *arguments], capture_output=True, text=True, timeout=200, check=False,
                          env={**os.environ, "IGW_PYTHON": sys.executable, **environment})


def test_help_names_every_command() -> None:
    answer = sandbox("--help")
    assert answer.returncode == 0
    assert all(f"\n    {command} " in answer.stdout for command in ("up", "load", "fault", "status", "down"))
    assert "--gke-version" in sandbox("up", "--help").stdout


@pytest.mark.parametrize(("arguments", "words"), [
    (["status", "--name", "nobody"], "There is no sandbox nobody"),
    (["fault", "--name", "nobody", "reset"], "no running sandbox nobody"),
    (["up", "--name", "../x"], "can't be a sandbox's name"),
    (["up", "--name", "n", "--release", "v9"], "--release v9 is unknown"),
    (["up", "--name", "n", "--gke-version", "new"], "--gke-version new is no version"),
    (["up", "--name", "n", "--estate", "/nowhere"], "Estate /nowhere does not exist")])
def test_mistakes_are_one_sentence_and_status_2(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    told = capsys.readouterr()
    assert words in told.err and told.err.count("\n") == 1 and "Traceback" not in told.err


def test_fault_arguments_are_json_or_text_and_nest() -> None:
    assert cli.fault_arguments(["seconds=2.5", "match.method=PATCH", "match.write=true", "message=a=b"]) == {
        "seconds": 2.5, "match": {"method": "PATCH", "write": True}, "message": "a=b"}
    with pytest.raises(SandboxError, match="'seconds' is no KEY=VALUE"):
        cli.fault_arguments(["seconds"])


def test_down_of_nothing_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["down", "--name", f"nothing-{os.getpid()}"]) == 0


def test_an_estate_that_is_no_yaml_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(SandboxError, match="bad.yaml can't be read as YAML"):
        estate.load(tmp_path / "bad.yaml")
    (tmp_path / "bad.yaml").write_text("just: data")
    with pytest.raises(SandboxError, match="bad.yaml holds something that is no Kubernetes object"):
        estate.load(tmp_path / "bad.yaml")


def test_an_estates_images_and_charts_say_which_programs_it_needs(tmp_path: Path) -> None:
    (tmp_path / "pods.yaml").write_text("kind: Pod\napiVersion: v1\nimage: ghcr.io/llm-d/llm-d-inference-sim:v0.10.2\n")
    (tmp_path / "helm.yaml").write_text("- {release: a, version: v0.3.0}\n")
    assert estate.needed_tools([tmp_path]) == ["simulator", "epp-v0.3.0", "epp-v1.5.0"]
    (tmp_path / "helm.yaml").write_text("- {release: a, version: v2.0.0}\n")
    with pytest.raises(SandboxError, match="asks for chart version v2.0.0"):
        estate.needed_tools([tmp_path])


def test_a_gateway_whose_port_is_taken_is_named_before_anything_is_applied(bare_world: World, tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("0.0.0.0", 0))
        holder.listen()
        port = holder.getsockname()[1]
        gateway = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "web"},
                   "spec": {"gatewayClassName": "c", "listeners": [{"name": "http", "protocol": "HTTP", "port": port}]}}
        (tmp_path / "gateway.json").write_text(json.dumps(gateway))
        with pytest.raises(SandboxError, match=f"Gateway default/web can't listen on .*:{port} .*: end the program that uses the port"):
            bare_world.add_estate(tmp_path)
        assert "web" not in bare_world.kubectl("get", "gateways.gateway.networking.k8s.io", "--ignore-not-found", "-o", "name")


def test_subnet_claims_exclude_each_other_and_end_with_their_holder() -> None:
    claim = supervisor.claim_subnet(251)
    assert claim is not None and supervisor.claim_subnet(251) is None
    claim.close()
    again = supervisor.claim_subnet(251)
    assert again is not None
    again.close()


def processes_of(world: World) -> list[int]:
    return [entry["pid"] for entry in json.loads((world.directory / "pids.json").read_text())]


def wait_gone(pids: list[int], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while alive := [pid for pid in pids if start_time(pid) is not None]:
        assert time.monotonic() < deadline, f"still alive: {alive}"
        time.sleep(0.05)


def test_two_sandboxes_do_not_meet(bare_world: World, make_world: Callable[..., World]) -> None:
    other = make_world("second", services=BARE, release="none", gke_version="v1.33.5-gke.1080000")
    assert other.state["subnet"] != bare_world.state["subnet"]
    other.kubectl("create", "configmap", "only-here")
    assert "only-here" not in bare_world.kubectl("get", "configmaps")
    assert "inference" not in other.kubectl("get", "crd", "-o", "name")
    version = other.run(other.tool("kubectl"), "--kubeconfig", str(other.kubeconfig), "version", "-o", "json").stdout
    assert json.loads(version)["serverVersion"]["gitVersion"] == "v1.33.5-gke.1080000"
    with pytest.raises(SandboxError, match="already running"):
        World.up(other.name, services=BARE)
    pids = processes_of(other)
    other.down()
    wait_gone(pids, 0.5)
    assert not other.directory.exists() and not worlds.runtime_folder(other.directory).exists()
    assert bare_world.alive()


def test_a_crashed_sandbox_leaves_no_process_and_the_next_up_cleans(make_world: Callable[..., World], capsys: pytest.CaptureFixture[str]) -> None:
    world = make_world("crash", services=BARE)
    pids, state = processes_of(world), world.state
    assert len(pids) >= 5
    os.kill(state["pid"], signal.SIGKILL)
    wait_gone(pids)
    assert not world.alive()
    assert cli.main(["status", "--name", world.name]) == 0
    assert "crashed while running" in capsys.readouterr().out
    with pytest.raises(SandboxError, match="no running sandbox"):
        World.open(world.name)
    again = World.up(world.name, services=BARE, progress=lambda _message: None)
    assert again.state["pid"] != state["pid"]
    assert "default" in again.kubectl("get", "namespaces")
    again.down()


def test_a_service_that_ends_takes_the_sandbox_down_with_a_sentence(make_world: Callable[..., World], capsys: pytest.CaptureFixture[str]) -> None:
    world = make_world("broken", services=BARE)
    pids = {entry["name"]: entry["pid"] for entry in json.loads((world.directory / "pids.json").read_text())}
    os.kill(pids["etcd"], signal.SIGKILL)
    wait_gone(list(pids.values()), 10)
    assert cli.main(["status", "--name", world.name]) == 0
    assert "etcd of sandbox" in capsys.readouterr().out


def test_a_killed_up_takes_its_half_started_sandbox_down() -> None:
    name = f"test-{os.getpid()}-interrupted"
    process = subprocess.Popen([str(LAUNCHER), "up", "--name", name], env={**os.environ, "IGW_PYTHON": sys.executable}, stdout=subprocess.PIPE, text=True)
    world = World(name)
    deadline = time.monotonic() + 30
    while not (world.directory / "pids.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    pids = processes_of(world)
    process.terminate()
    assert process.wait(30) == 143
    wait_gone(pids)
    world.down()
