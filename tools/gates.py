# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists which sessions of nox ``make lint``, ``make test`` and ``make matrix`` run, cheap ones first, and what each must show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.stage import plugin_files


@dataclass(frozen=True)
class Gate:
    """One command that must succeed.

    :param command: uses {run}, a scratch folder.
    :param limit: seconds it may take.
    :param pytest: whether its counts come from a JUnit file.
    :param echo: whether every line of its output is shown.
    :param proof: texts that the output must hold, since a tool that found no files ends well too.
    :param serial: whether only one such gate runs at a time on this machine.
    :param beside: whether it runs at the same time as its neighbours in the table that have this set too.
    """

    name: str
    command: list[str]
    limit: float = 600.0
    pytest: bool = False
    echo: bool = False
    proof: tuple[str, ...] = ()
    serial: bool = False
    beside: bool = False


def session(name: str, nox: Path, *arguments: str, **options: Any) -> Gate:
    """Return the gate that is one session of nox, whose environment is there already.

    :param nox: the Python that has nox.
    :param arguments: for the session's tool.
    """
    return Gate(name, [str(nox), "-m", "nox", "--no-dependencies", "--session", name, "--", *arguments], **options)


def pytest_session(name: str, nox: Path, *arguments: str, **options: Any) -> Gate:
    """Return the gate of a session that runs pytest, with arguments of its own."""
    junit = ("--color=no", "--junitxml={run}/" + name + ".xml", "-o", "junit_family=xunit2")
    return session(name, nox, *junit, *arguments, pytest=True, **options)


SANITY = ('Running sanity test "validate-modules"', 'Running sanity test "pylint"', 'Running sanity test "import"')
SCENARIOS = ("molecule-zero-downtime: lost=0 of", "molecule-simple: lost=0 of", "molecule-rollback: lost=0 of")
"""What scenarios under load say once they have counted: a run of molecule without them would end well too."""


def quick_gates(nox: Path) -> list[Gate]:
    """Return the gates that ``make lint`` runs."""
    return [
        session("lint", nox, proof=("All checks passed", "is compliant with version", "Passed: 0 failure(s)")),
        session("types", nox, proof=(f"Success: no issues found in {len(plugin_files())} source files",)),
        pytest_session("layers", nox, limit=300.0),
    ]


def all_gates(nox: Path, second: str | None) -> list[Gate]:
    """Return the gates that ``make test`` runs: those that reckon beside each other, then ansible-test beside the sandbox's tests, which wait.

    Migrations under load have the machine to themselves. Playbooks run on both Pythons: the integration tests on the first,
    the scenarios of molecule on the second.

    :param second: version of the second Python, None if this machine has none; then molecule runs on the first.
    """
    versions = ["", f"-{second}"] if second else [""]
    return [
        *quick_gates(nox),
        session("package", nox, beside=True),
        *(pytest_session(f"unit{version}", nox, limit=1200.0, echo=True, beside=True) for version in versions),
        pytest_session("integration", nox, "--durations=10", limit=4500.0, echo=True),
        *(session(f"sanity{version}", nox, limit=1200.0, proof=SANITY, serial=True, beside=True) for version in versions),
        pytest_session("sandbox", nox, "--durations=10", limit=2400.0, echo=True, beside=True),
        session(f"molecule{versions[-1]}", nox, limit=1800.0, echo=True, proof=SCENARIOS),
    ]


def matrix_gates(nox: Path) -> list[Gate]:
    """Return the gates that ``make matrix`` runs: the whole tables that ``make test`` samples."""
    return [pytest_session("matrix", nox, limit=14400.0, echo=True)]
