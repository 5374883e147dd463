# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists the gates that ``make lint``, ``make test`` and ``make matrix`` run, cheap ones first."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.bootstrap import cache_folder
from tools.stage import NAME, NAMESPACE, ROOT


@dataclass(frozen=True)
class Gate:
    """One command that must succeed.

    :param what: what it checks, for the person.
    :param command: uses {root}, {python}, {bin}, {stage} (copy of the work tree) and {run} (scratch folder).
    :param folder: where it runs, with the same placeholders.
    :param limit: seconds it may take.
    :param pytest: whether its counts come from a JUnit file.
    :param echo: whether every line of its output is shown.
    :param proof: texts that the output must hold, since a tool that found no files ends well too.
    :param serial: whether only one such gate runs at a time on this machine.
    :param beside: whether it runs at the same time as its neighbours in the table that have this set too.
    """

    name: str
    what: str
    command: list[str]
    folder: str = "{root}"
    limit: float = 600.0
    pytest: bool = False
    echo: bool = False
    proof: tuple[str, ...] = ()
    serial: bool = False
    beside: bool = False
    python: Path = Path(sys.executable)


SIDE_BY_SIDE = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
"""Two files at a time: a migration waits more than it works, and sandboxes do not meet. Tests of the sandbox measure delays, so they run alone.

In the files' own order: by number of tests, as is the default, long files of one test would come last and one after the other.
"""
ROW_BY_ROW = ("-n", "2", "--dist", "load", "--maxschedchunk", "1")
"""Two rows of the whole tables at a time: one of them lasts minutes, and the longest file would be hours alone at the end."""


def pytest_gate(name: str, what: str, arguments: list[str], python: Path, limit: float, echo: bool, beside: bool = False) -> Gate:
    """Return the gate of one pytest run."""
    command = ["{python}", "-m", "pytest", "--color=no", "--junitxml={run}/" + name + ".xml", "-o", "junit_family=xunit2", *arguments]
    return Gate(name, what, command, limit=limit, pytest=True, echo=echo, python=python, beside=beside)


def sanity_gate(name: str, python: Path, version: str) -> Gate:
    """Return the gate that runs every ansible-test sanity test on a copy of the tree."""
    command = ["{bin}/ansible-test", "sanity", "--local", "--python", version, "--color", "no"]
    proof = ('Running sanity test "validate-modules"', 'Running sanity test "pylint"', 'Running sanity test "import"')
    return Gate(name, f"ansible-test sanity, Python {version}", command, "{stage}", limit=900, proof=proof, python=python, serial=True, beside=True)


def typed_files() -> list[Path]:
    """Return the files that mypy checks, relative to the root: all of plugins/, in packages too."""
    return sorted(path.relative_to(ROOT) for path in (ROOT / "plugins").rglob("*.py"))


def quick_gates(python: Path) -> list[Gate]:
    """Return the gates that ``make lint`` runs."""
    types = ["{python}", "-m", "mypy", "--namespace-packages", "--explicit-package-bases", "--config-file", "{root}/pyproject.toml"]
    types += [f"ansible_collections/{NAMESPACE}/{NAME}/{path}" for path in typed_files()]
    lint = ["{bin}/ansible-lint", "--offline", "--nocolor"]
    return [
        Gate("ruff", "Python style", ["{python}", "-m", "ruff", "check", "--output-format", "concise", "."], proof=("All checks passed",), python=python),
        Gate("types", "mypy on plugins/", types, "{root}/build/collections", proof=("Success: no issues",), python=python),
        Gate("changelog", "antsibull-changelog lint", ["{bin}/antsibull-changelog", "lint"], "{stage}", python=python),
        pytest_gate("layers", "layout and layers", ["-q", "tests/unit/test_layers.py"], python, 300, False),
        Gate("docs", "antsibull-docs lint", ["{bin}/antsibull-docs", "lint-collection-docs", "--plugin-docs", "."], "{stage}", python=python),
        Gate("ansible-lint", "ansible-lint, production profile", lint, "{stage}", proof=("Passed: 0 failure(s)",), python=python),
    ]


def package_gate(python: Path) -> Gate:
    """Return the gate that builds the tarball, imports it as Galaxy does, installs it into an empty path and uses it from there."""
    command = ["{python}", "-m", "tools.check_package", "{stage}", "{run}/package"]
    return Gate("package", "tarball, galaxy-importer, installation into an empty path", command, python=python, beside=True)


def all_gates(python: Path, second: Path | None) -> list[Gate]:
    """Return the gates that ``make test`` runs; ansible-test, which works on one core, runs beside others.

    :param second: Python of the second environment, None if this machine has none.
    """
    version = python_version(python)
    units = ["-q", *SIDE_BY_SIDE, "tests/unit"]
    gates = [
        *quick_gates(python),
        pytest_gate("unit", f"unit tests, Python {version}", [*units, "--ignore=tests/unit/test_layers.py"], python, 1200, True, True),
        package_gate(python),
        sanity_gate("sanity", python, version),
        pytest_gate("sandbox", "sandbox tests", ["-v", "sandbox/tests"], python, 2400, True),
        pytest_gate("integration", "integration tests", ["-v", *SIDE_BY_SIDE, "tests/e2e", "tests/integration"], python, 4500, True),
    ]
    if second is not None:
        version = python_version(second)
        gates += [
            pytest_gate("second-unit", f"unit tests, Python {version}", units, second, 1200, True, True),
            sanity_gate("second-sanity", second, version),
            pytest_gate("second-integration", f"one migration, Python {version}", ["-v", "-m", "second_python", "tests/integration"], second, 1200, True, True),
        ]
    return gates


def matrix_gates(python: Path) -> list[Gate]:
    """Return the gates that ``make matrix`` runs: the whole tables that ``make test`` samples."""
    return [pytest_gate("matrix", "whole tables", ["-v", *ROW_BY_ROW, "-m", "matrix", "tests/integration"], python, 14400, True)]


def python_version(python: Path) -> str:
    """Return a Python's version as ansible-test names it, e.g. ``3.12``."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def second_interpreter() -> Path | None:
    """Return an interpreter of the other supported line (3.11, or 3.12 and newer) that can make virtual environments; None without one.

    Those of pyenv are looked for too: only the chosen one is on PATH there, and the shims of the others fail.
    """
    wanted = ["3.12", "3.13", "3.14"] if sys.version_info < (3, 12) else ["3.11"]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    for version in wanted:
        candidates = [folder / f"python{version}" for folder in folders]
        candidates += sorted((folder / "bin" / f"python{version}" for folder in pyenv.glob(f"{version}.*")), reverse=True)
        for candidate in candidates:
            if candidate.is_file() and subprocess.run([str(candidate), "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode == 0:
                return candidate
    return None


def gate_home() -> Path:
    """Make the tools' HOME and return it.

    They cache environments in it, and must find no stale copy of the collection, as might lie under the person's own.
    """
    home = cache_folder() / "gates-home"
    home.mkdir(parents=True, exist_ok=True)
    own = Path.home() / ".config"
    link = home / ".config"
    if own.is_dir() and not link.is_symlink():
        link.symlink_to(own)  # pip's settings
    return home
