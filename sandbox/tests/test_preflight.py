# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that can't run the sandbox hears why in one sentence, and what to do."""
from __future__ import annotations

import shutil
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from igw_sandbox import preflight, tools
from igw_sandbox.context import SandboxError, free_port


def one_sentence(error: pytest.ExceptionInfo[SandboxError]) -> str:
    text = str(error.value)
    assert "\n" not in text and text.endswith(".")
    return text


@pytest.mark.parametrize(("system", "machine", "words"), [
    ("Darwin", "arm64", "Linux only, this is Darwin"), ("Windows", "AMD64", "Linux only, this is Windows"), ("Linux", "riscv64", "no Envoy wheel for riscv64")])
def test_other_systems_are_refused(system: str, machine: str, words: str) -> None:
    with pytest.raises(SandboxError) as error:
        preflight.check_system(system, machine)
    assert words in one_sentence(error)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "arm64"])
def test_linux_on_both_architectures_is_fine(machine: str) -> None:
    preflight.check_system("Linux", machine)


def test_this_machine_is_fine() -> None:
    preflight.check_machine()


def test_an_old_python_is_refused() -> None:
    with pytest.raises(SandboxError) as error:
        preflight.check_python((3, 10))
    assert "needs Python 3.11 or later" in one_sentence(error) and "IGW_PYTHON" in str(error.value)


def test_missing_modules_are_named_with_the_remedy() -> None:
    with pytest.raises(SandboxError) as error:
        preflight.check_python((3, 12), lambda name: None if name in ("lightkube", "yaml") else name)
    assert "lacks the Python modules lightkube, yaml: run " in one_sentence(error) and "requirements.txt" in str(error.value)


def test_too_little_disk_is_refused_for_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    asked: list[Path] = []

    def usage(path: Path) -> SimpleNamespace:
        asked.append(path)
        return SimpleNamespace(free=1_400_000_000)

    with pytest.raises(SandboxError) as error:
        preflight.check_disk(6_000_000_000, tmp_path / "not" / "there", "Building kubernetes", usage)
    assert "Building kubernetes needs 6.0 GB" in one_sentence(error) and "only 1.4 GB are free" in str(error.value)
    assert asked == [tmp_path]
    preflight.check_disk(1_000_000_000, tmp_path, "A sandbox", usage)


def test_only_missing_builds_need_their_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3_000_000_000))
    monkeypatch.setattr(preflight.check_disk, "__defaults__", (shutil.disk_usage,))
    monkeypatch.setattr(preflight, "available_memory", lambda: 8_000_000_000)
    monkeypatch.setattr(tools, "missing", lambda names: [])
    preflight.check_resources(["kube-apiserver"])
    monkeypatch.setattr(tools, "missing", lambda names: [tools.BY_TOOL["kube-apiserver"]])
    with pytest.raises(SandboxError, match="Building kubernetes needs"):
        preflight.check_resources(["kube-apiserver"])


def test_too_little_memory_is_refused(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  2000000 kB\nMemAvailable:   500000 kB\n")
    available = preflight.available_memory(meminfo)
    assert available == 512_000_000
    with pytest.raises(SandboxError) as error:
        preflight.check_memory(1_200_000_000, "A sandbox", available)
    assert "A sandbox needs 1.2 GB of memory, only 0.5 GB are available" in one_sentence(error)


def test_a_busy_port_is_refused_also_when_it_is_taken_on_all_addresses() -> None:
    with socket.socket() as holder:
        holder.bind(("0.0.0.0", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(SandboxError) as error:
            preflight.check_port("127.99.0.10", port, "Gateway default/web")
        assert f"Gateway default/web can't listen on 127.99.0.10:{port}" in one_sentence(error) and "ss -ltnp" in str(error.value)
        assert free_port("127.99.0.10", port) != port
    preflight.check_port("127.99.0.10", port, "Gateway default/web")
