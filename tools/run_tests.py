# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs sessions of nox, some beside each other, goes on after a failure, and ends with ``N passed, N failed, N skipped``.

Each session counts as one, a pytest run as its tests. Logs lie in build/logs. A tool that is missing is a failure; so is a
run in which nothing passed. Outside CI a machine with one Python skips the second, once and aloud.

nox runs sessions beside each other too, but shows nothing of one until it ends, which may be 40 minutes, and gives them two
seconds to end after Ctrl-C, in which no sandbox is taken down; and it counts sessions, not tests.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tools.bootstrap import BootstrapError, cache_folder, ensure, nox_python
from tools.gate_home import gate_home
from tools.gates import Gate, all_gates, matrix_gates, quick_gates
from tools.process import Counts, failed_tests, read_junit, run, say, stop_all, tail
from tools.pythons import FIRST, second_interpreter, version_of
from tools.stage import ROOT

LOG_TAIL = 60
LOOK_SECONDS = 1.0
"""How often the waiting main thread looks for Ctrl-C: a signal that another thread took does not wake it."""


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Let one such gate run at a time on this machine: ansible-test makes its environments without a lock."""
    with (home / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def run_gate(gate: Gate, scratch: Path, home: Path) -> Counts:
    """Run one gate, show how it went, and return its counts."""
    say(f"\n== {gate.name}")
    began = time.monotonic()
    logs = ROOT / "build" / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    log_path = logs / f"{gate.name}.log"
    with (alone(home) if gate.serial else nullcontext()), log_path.open("w") as log:
        command = [word.format(run=scratch) for word in gate.command]
        returncode = run(command, ROOT, dict(os.environ), log, gate.limit, gate.echo)
        missing = [words for words in gate.proof if returncode == 0 and words not in log_path.read_text()]
        if missing:
            log.write(f"{gate.name} ended well without saying {missing[0]!r}: it did not do its work.\n")
            returncode = 1
    counts = read_junit(scratch / f"{gate.name}.xml", returncode) if gate.pytest else Counts(int(returncode == 0), int(returncode != 0))
    if counts.failed and not gate.echo:
        say(tail(log_path, LOG_TAIL))
    verdict = f"FAILED ({log_path.relative_to(ROOT)})" if counts.failed else "ok"
    say(f"== {gate.name}: {verdict}, {counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped, {time.monotonic() - began:.0f} s")
    return counts


@dataclass(frozen=True)
class Ran:
    """How one gate went.

    :param failures: a line for each failed test, or one for the gate.
    """

    name: str
    counts: Counts
    seconds: float
    failures: list[str]


def timed(gate: Gate, scratch: Path, home: Path) -> Ran:
    """Run one gate and return how it went."""
    began = time.monotonic()
    counts = run_gate(gate, scratch, home)
    failures = failed_tests(scratch / f"{gate.name}.xml") or [f"gate {gate.name}: see build/logs/{gate.name}.log"] if counts.failed else []
    return Ran(gate.name, counts, time.monotonic() - began, failures)


def result(one: Future[Ran]) -> Ran:
    """Return what a thread returned, waiting for it so that Ctrl-C is always heard."""
    while not wait([one], LOOK_SECONDS).done:
        pass
    return one.result()


def run_all(gates: list[Gate], scratch: Path, home: Path) -> Iterator[Ran]:
    """Run the gates one after the other, but neighbours with ``beside`` at the same time, and yield how each went."""
    for beside, neighbours in groupby(gates, key=lambda gate: gate.beside):
        chosen = list(neighbours)
        with ThreadPoolExecutor(len(chosen) if beside else 1) as pool:
            try:
                begun = [pool.submit(timed, gate, scratch, home) for gate in chosen]
                yield from map(result, begun)
            except KeyboardInterrupt:
                pool.shutdown(wait=False, cancel_futures=True)
                stop_all()
                raise


def second_version() -> str | None:
    """Return the version of the second Python, whose environment is made if need be; None where this machine has none.

    :raises SystemExit: when the environment can't be made.
    """
    interpreter = second_interpreter()
    if interpreter is None:
        return None
    try:
        ensure("test", version_of(interpreter))
    except BootstrapError as error:
        raise SystemExit(str(error)) from None
    return version_of(interpreter)


def no_second_python() -> Counts:
    """Say that this machine has no second Python, and return how that counts: skipped, in CI failed."""
    other = "3.12 or newer" if sys.version_info < (3, 12) else "3.11"
    if os.environ.get("CI"):
        say(f"\n== second Python: FAILED, this machine has no Python {other}: install it beside {sys.version_info[0]}.{sys.version_info[1]}.")
        return Counts(failed=1)
    say(f"\n== second Python: skipped, this machine has no Python {other}.")
    return Counts(skipped=1)


def say_how_it_ended(ran: list[Ran], total: Counts) -> None:
    """Say every failure, the seconds of each gate, and last the counts.

    Failures once more at the end: it is what one reads first, and of a long run perhaps all that is kept.
    """
    for failure in (failure for one in ran for failure in one.failures):
        say(f"\nFAILED {failure}")
    say("\n" + ", ".join(f"{one.name} {one.seconds:.0f} s" for one in ran) + f"; logs in build/logs, cache in {cache_folder()}")
    say(f"{total.passed} passed, {total.failed} failed, {total.skipped} skipped")


def main() -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lint", action="store_true", help="the quick gates alone")
    parser.add_argument("--matrix", action="store_true", help="the whole tables alone")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this gate alone; may be given several times")
    arguments = parser.parse_args()
    home = gate_home()
    nox = nox_python(FIRST)

    part = arguments.lint or arguments.matrix
    wants_second = not part and (not arguments.only or any("-3." in name for name in arguments.only))
    second = second_version() if wants_second else None
    gates = quick_gates(nox) if arguments.lint else matrix_gates(nox) if arguments.matrix else all_gates(nox, second)
    unknown = set(arguments.only) - {gate.name for gate in gates}
    if unknown:
        parser.error(f"no gate is named {', '.join(sorted(unknown))}; there are {', '.join(gate.name for gate in gates)}")
    # Outside the checkout: ansible-test asks git for its files and finds none in an ignored folder.
    with tempfile.TemporaryDirectory(prefix="gates-") as scratch:
        ran = list(run_all([gate for gate in gates if not arguments.only or gate.name in arguments.only], Path(scratch), home))
    total = sum((one.counts for one in ran), Counts())
    if wants_second and second is None:
        total += no_second_python()
    say_how_it_ended(ran, total)
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main())
