# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions of the field's tools. Everything after ``--`` goes to pytest, molecule, or the benchmark.

Names without a version run on the Python of nox, the others on a second one, where there is one. make calls the same
sessions, several beside each other (tools/run_tests.py says why nox's own way does not do), and finds or makes nox.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import nox
from nox.command import CommandFailed

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # nox loads this file by its path, and its program has no folder of ours on the path

from tools import bootstrap, stage
from tools.gate_home import environment_of, gate_home
from tools.pythons import FIRST, second_interpreter, version_of

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.envdir = str(bootstrap.environments())
nox.options.sessions = ["lint", "types", "unit"]

SECOND = second_interpreter()
PYTHONS = [FIRST, *([version_of(SECOND)] if SECOND else [])]
if SECOND:
    # At the end, so that no other program is found there: nox finds interpreters on PATH alone
    os.environ["PATH"] += f"{os.pathsep}{SECOND.parent}"

PATIENCE = {"interrupt_timeout": 30.0, "terminate_timeout": 10.0}
"""Seconds in which sandboxes end after Ctrl-C; nox's own are parts of one."""
SIDE_BY_SIDE = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
"""Two files at a time: a migration waits more than it works, and sandboxes do not meet. Tests of the sandbox measure delays, so they run alone.

In the files' own order: by number of tests, as is the default, long files of one test would come last and one after the other.
"""
ROW_BY_ROW = ("-n", "2", "--dist", "load", "--maxschedchunk", "1")
"""Two rows of the whole tables at a time: one of them lasts minutes, and the longest file would be hours alone at the end."""


@nox.session(python=PYTHONS, default=False)
def environment(session: nox.Session) -> None:
    """Make the virtual environment that all sessions of one Python share: ``run`` for the demo alone, by default with the test tools."""
    version = tuple(int(part) for part in str(session.python).split("."))
    layers = ["run"] if session.posargs == ["run"] else ["run", "test"]
    for layer in layers:
        try:
            bootstrap.install_layer(Path(session.virtualenv.location), layer, version)
        except bootstrap.BootstrapError as error:
            session.error(str(error))


class Tools:
    """The tools of one session's Python, run as their users run them: without the person's settings of Ansible and kubectl.

    :param own_home: whether they get a HOME of their own, as linters do; tests keep the person's, with the sandbox's programs in its cache.
    """

    def __init__(self, session: nox.Session, version: str, own_home: bool = False, collections: Path | None = None) -> None:
        self._session = session
        self.python = bootstrap.environment_folder(version) / "bin" / "python"
        self.environment = environment_of(self.python, gate_home() if own_home else None, collections or ROOT / "build" / "collections")

    def run(self, program: str, *arguments: str | Path, folder: Path = ROOT, **variables: str) -> None:
        """Run a program of the environment in a folder."""
        program_path = self.python if program == "python" else self.python.parent / program
        with self._session.chdir(folder):
            self._session.run(str(program_path), *map(str, arguments), env=self.environment | variables, include_outer_env=False, external=True, **PATIENCE)

    def pytest(self, *arguments: str) -> None:
        """Run pytest, with what the person adds after ``--``."""
        stage.link_tree(ROOT / "build" / "collections")
        self.run("python", "-m", "pytest", *arguments, *self._session.posargs)


def on_each_python(function: Callable[[nox.Session, str], None]) -> None:
    """Register a function as a session for each Python: under its own name for the first."""
    for version in PYTHONS:
        session = partial(function, version=version)
        session.__doc__ = function.__doc__
        name = function.__name__ if version == FIRST else f"{function.__name__}-{version}"
        nox.session(session, name=name, venv_backend="none", requires=[f"environment-{version}"], default=False)


def once(function: Callable[[nox.Session], None]) -> None:
    """Register a function as a session of the first Python."""
    nox.session(function, venv_backend="none", requires=[f"environment-{FIRST}"], default=False)


@contextmanager
def staged(version: str) -> Iterator[Path]:
    """Give a copy of the work tree as the tools want it, outside the checkout: ansible-test asks git for its files and finds none in an ignored folder."""
    with tempfile.TemporaryDirectory(prefix="stage-") as folder:
        yield stage.copy_tree(Path(folder), bootstrap.environment_folder(version) / "bin" / "python")


@once
def lint(session: nox.Session) -> None:
    """Run ruff, ansible-lint (production), antsibull-changelog, antsibull-docs and REUSE, and look for secrets; all of them, also after one that fails."""
    failed = []
    with staged(FIRST) as folder:
        tools = Tools(session, FIRST, own_home=True, collections=folder.parents[2])
        # Hashes of programs and plans look random too
        plugins = [word for name in ("Base64HighEntropyString", "HexHighEntropyString") for word in ("--disable-plugin", name)]
        for where, program, *arguments in (
            (ROOT, "ruff", "check", "--output-format", "concise", "."),
            (ROOT, "reuse", "lint"),
            (ROOT, "detect-secrets-hook", *plugins, *stage.work_tree_files()),
            (folder, "antsibull-changelog", "lint"),
            (folder, "antsibull-docs", "lint-collection-docs", "--plugin-docs", "."),
            (folder, "ansible-lint", "--offline", "--nocolor"),
        ):
            try:
                tools.run(program, *arguments, folder=where)
            except CommandFailed:
                failed.append(program)
    if failed:
        session.error(f"{', '.join(failed)}: see above")


@once
def types(session: nox.Session) -> None:
    """Run mypy on all of plugins/, in packages too."""
    collections = stage.link_tree(ROOT / "build" / "collections")
    files = [f"ansible_collections/{stage.NAMESPACE}/{stage.NAME}/{path}" for path in stage.plugin_files()]
    options = ["--namespace-packages", "--explicit-package-bases", "--config-file", ROOT / "pyproject.toml"]
    Tools(session, FIRST, own_home=True).run("python", "-m", "mypy", *options, *files, folder=collections)


@once
def layers(session: nox.Session) -> None:
    """Run the tests of layout and layers, which are quick."""
    Tools(session, FIRST).pytest("-q", "tests/unit/test_layers.py")


@on_each_python
def unit(session: nox.Session, version: str) -> None:
    """Run the unit tests."""
    Tools(session, version).pytest("-q", *SIDE_BY_SIDE, "tests/unit")


@on_each_python
def sanity(session: nox.Session, version: str) -> None:
    """Run every test of ansible-test sanity on a copy of the tree."""
    with staged(version) as folder:
        tools = Tools(session, version, own_home=True, collections=folder.parents[2])
        tools.run("ansible-test", "sanity", "--local", "--python", version, "--color", "no", folder=folder)


@once
def package(session: nox.Session) -> None:
    """Build the tarball, import it as Galaxy does, install it into an empty path and use it from there."""
    with staged(FIRST) as folder, tempfile.TemporaryDirectory(prefix="package-") as made:
        Tools(session, FIRST, own_home=True).run("python", "-m", "tools.check_package", folder, Path(made) / "package")


@once
def sandbox(session: nox.Session) -> None:
    """Run the tests of the sandbox."""
    Tools(session, FIRST).pytest("-v", "sandbox/tests")


@on_each_python
def molecule(session: nox.Session, version: str) -> None:
    """Run every scenario on sandboxes: ``molecule test --all``; name others after ``--``."""
    tools = Tools(session, version)
    tools.run("molecule", *(session.posargs or ["test", "--all"]), MOLECULE_EPHEMERAL_DIRECTORY=str(ROOT / "build" / "molecule"))


@once
def integration(session: nox.Session) -> None:
    """Run playbooks and modules on sandboxes."""
    Tools(session, FIRST).pytest("-v", *SIDE_BY_SIDE, "tests/e2e", "tests/integration")


@once
def matrix(session: nox.Session) -> None:
    """Run the whole tables that the integration tests sample; hours."""
    Tools(session, FIRST).pytest("-v", *ROW_BY_ROW, "-m", "matrix", "tests/integration")


@once
def docs(session: nox.Session) -> None:
    """Make the pages that are made from code: options, findings and the import graph."""
    tools = Tools(session, FIRST, own_home=True)
    stage.link_tree(ROOT / "build" / "collections")
    for page in ("tools.options_table", "tools.import_graph", "tools.findings_page", "tools.campaign_page"):
        tools.run("python", "-m", page, PYTHONPATH="build/collections")


@once
def bench(session: nox.Session) -> None:
    """Run one benchmark: ``nox -s bench -- gate``, or traffic, detect, rollback, overhead, and its options."""
    if not session.posargs:
        session.error("Say which: nox -s bench -- gate, or traffic, detect, rollback, overhead.")
    name, *options = session.posargs
    stage.link_tree(ROOT / "build" / "collections")
    Tools(session, FIRST).run("python", "-m", f"benchmarks.bench_{name}", *options, PYTHONPATH=os.pathsep.join(("sandbox", "build/collections")))
