# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the project's virtual environment with nox, or finds it, and prints the path of its Python on standard output.

``python3 -m tools.bootstrap run`` holds what the demo, the sandbox and the benchmarks need, ``test`` in place of ``run`` adds the test tools to
the same environment. It is that of nox's session ``environment`` and lies in the cache folder under a name made of the requirements, so that
every checkout shares it and a changed requirement makes a new one; nox has one of its own beside it. ``--find`` only looks. Standard library
alone: this runs before anything is installed. Progress goes to standard error. ``nox`` in place of a layer prints the Python that has nox.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST = (3, 11)
NOX = "nox==2026.10.20"
NEEDED_BYTES = {"run": 1_500_000_000, "test": 500_000_000}
"""Free space, in bytes, asked for before a layer is installed; the ansible package alone is about 500 MB."""
HEARTBEAT_SECONDS = 10.0

UNREACHABLE = ("Failed to establish a new connection", "Name or service not known", "Temporary failure in name resolution", "No route to host", "ProxyError",
               "ConnectTimeout", "Connection refused", "Network is unreachable", "Read timed out", "CERTIFICATE_VERIFY_FAILED")


class BootstrapError(Exception):
    """The environment can't be made; the message is one sentence for the person: what is missing and what to do."""


def cache_folder() -> Path:
    """Return the project's cache folder, outside the tree."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inference-gateway-migration"


def ansible_requirement(version: tuple[int, ...]) -> str:
    """Return the ansible package that fits a Python: 3.11 is the oldest supported and stops at ansible 12."""
    return "ansible==12.3.0" if version < (3, 12) else "ansible==14.5.0"


def requirement_files(layer: str) -> list[Path]:
    """Return the requirement files of one layer (``run`` or ``test``)."""
    names = {"run": ("requirements.txt", "sandbox/requirements.txt"), "test": ("tests/requirements.txt",)}[layer]
    return [ROOT / name for name in names if (ROOT / name).exists()]


def digest(layer: str) -> str:
    """Return a short hash over what a layer installs, for every Python."""
    content = hashlib.sha256(" ".join(map(ansible_requirement, ((3, 11), (3, 12)))).encode())
    for path in requirement_files(layer):
        lines = (line.strip() for line in path.read_text().splitlines())
        content.update("\n".join(line for line in lines if line and not line.startswith("#")).encode())
    return content.hexdigest()[:12]


def environments() -> Path:
    """Return the folder in which nox makes the environments of these requirements."""
    return cache_folder() / "venvs" / digest("run")


def environment_folder(version: str) -> Path:
    """Return where nox's session ``environment`` of a Python version, e.g. ``3.12``, has its virtual environment, made or not."""
    return environments() / f"environment-{version.replace('.', '-')}"


def marker(folder: Path, layer: str) -> Path:
    """Return the file whose presence says that a layer is installed whole."""
    return folder / f".{layer}-{digest(layer)}"


def check_python(version: tuple[int, ...]) -> None:
    """Refuse a Python that is too old or that can't make virtual environments.

    :raises BootstrapError: for such a Python.
    """
    name = f"{version[0]}.{version[1]}"
    if version < OLDEST:
        raise BootstrapError(f"Python {name} at {sys.executable} is too old: install Python 3.11 or newer, or name one with make PYTHON=/path/to/python3.")
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise BootstrapError(
            f"Python {name} at {sys.executable} has no venv module: install it (Debian and Ubuntu: apt install python{name}-venv), "
            "or name another Python with make PYTHON=/path/to/python3."
        )


def check_space(folder: Path, needed: int) -> None:
    """Refuse to begin an installation that the disk can't hold.

    :param needed: bytes.
    :raises BootstrapError: when fewer are free.
    """
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        sizes = f"{free // 1_000_000} MB free and {needed // 1_000_000} MB are needed"
        raise BootstrapError(f"{folder} has {sizes}: free some space, or set XDG_CACHE_HOME to another disk.")


def explain(output: str, what: str, log: Path) -> str:
    """Return one sentence for the person about why pip failed.

    :param output: pip's output.
    :param what: what was to be installed.
    :param log: the file that has the output.
    """
    if any(sign in output for sign in UNREACHABLE):
        return f"pip could not reach the package registry for {what}: check the network, or point PIP_INDEX_URL at a mirror ({log} has pip's output)."
    if "No space left on device" in output:
        return f"The disk filled up while pip installed {what}: free some space, or set XDG_CACHE_HOME to another disk."
    errors = [line.strip() for line in output.splitlines() if line.startswith("ERROR:")]
    cause = errors[-1].removeprefix("ERROR:").strip() if errors else "no error line"
    return f"pip could not install {what}: {cause} ({log} has pip's output)."


def pip_install(python: Path, arguments: list[str], what: str, log: Path) -> None:
    """Install with pip, with a line of its output now and then.

    :param what: what is installed, as the person is told.
    :raises BootstrapError: when pip fails.
    """
    say(f"installing {what} with pip, usually 1 to 3 minutes")
    began = last = time.monotonic()
    lines: list[str] = []
    # Byte code is left to the first import: compiling all of the ansible package takes longer than installing it.
    command = [str(python), "-m", "pip", "install", "--no-input", "--no-compile", "--retries", "2", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, errors="replace") as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if time.monotonic() - last >= HEARTBEAT_SECONDS:
                last = time.monotonic()
                say(f"  {last - began:3.0f} s, {line.strip()[:100]}")
    output = "".join(lines)
    log.write_text(output)
    if process.returncode:
        raise BootstrapError(explain(output, what, log))
    say(f"  installed in {time.monotonic() - began:.0f} s")


def say(text: str) -> None:
    """Show the person a line; standard output is for the path of the Python alone."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one installation run at a time, also between checkouts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another installation into the same environment")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def install_layer(folder: Path, layer: str, version: tuple[int, ...]) -> None:
    """Install one layer into a virtual environment unless its marker is there.

    :raises BootstrapError: when it can't be.
    """
    done = marker(folder, layer)
    if done.exists():
        return
    check_space(folder, NEEDED_BYTES[layer])
    arguments = [ansible_requirement(version)]
    for path in requirement_files("run") + (requirement_files("test") if layer == "test" else []):
        arguments += ["--requirement", str(path)]
    what = {"run": f"{ansible_requirement(version)}, the Kubernetes client and the sandbox's libraries", "test": "the test tools"}[layer]
    pip_install(folder / "bin" / "python", arguments, what, folder / f"pip-{layer}.log")
    done.touch()


def nox_python(version: str) -> Path:
    """Return the Python that has nox, made if need be.

    :raises BootstrapError: when it can't be made.
    """
    folder = cache_folder() / "venvs" / f"{NOX.replace('==', '-')}-{version}"
    python, done = folder / "bin" / "python", folder / ".whole"
    if not done.exists():
        with locked(folder.with_name(f"{folder.name}.lock")):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # what an interrupted installation left
                made = subprocess.run([sys.executable, "-m", "venv", str(folder)], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
                if made.returncode:
                    raise BootstrapError(f"{sys.executable} -m venv failed: {(made.stderr or made.stdout).strip().splitlines()[-1]}")
                pip_install(python, [NOX], "nox", folder / "pip.log")
                done.touch()
    return python


def ensure(layer: str, version: str) -> Path:
    """Let nox make what is missing of the environment and return its Python.

    :param layer: ``run``, or ``test`` for both layers.
    :param version: of the environment's Python, e.g. ``3.12``.
    :raises BootstrapError: when it can't be made.
    """
    folder = environment_folder(version)
    layers = ["run", "test"] if layer == "test" else ["run"]
    if not all(marker(folder, name).exists() for name in layers):
        here = f"{sys.version_info[0]}.{sys.version_info[1]}"
        check_space(environments(), NEEDED_BYTES[layers[0]])
        command = [str(nox_python(here)), "-m", "nox", "--error-on-missing-interpreters", "--session", f"environment-{version}", "--", layer]
        with locked(folder.with_name(f"{folder.name}.lock")):
            if not marker(folder, "run").exists() and folder.exists():
                shutil.rmtree(folder)  # what an interrupted installation left
            if subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False).returncode:
                raise BootstrapError(f"The environment of Python {version} could not be made: nox says why, in the lines before this one.")
    return folder / "bin" / "python"


def main() -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(description="Make or find the project's virtual environment; prints the path of its Python.")
    parser.add_argument("layer", choices=["run", "test", "nox"])
    parser.add_argument("--find", action="store_true", help="make nothing; exit 1 if it is not there")
    arguments = parser.parse_args()
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if arguments.find and arguments.layer != "nox":
        folder = environment_folder(version)
        found = marker(folder, arguments.layer).exists()
        if found:
            print(folder / "bin" / "python")
        return 0 if found else 1
    try:
        check_python(sys.version_info[:2])
        print(nox_python(version) if arguments.layer == "nox" else ensure(arguments.layer, version))
    except BootstrapError as error:
        say(str(error))
        return 2
    except OSError as error:
        say(f"The environment could not be made in {cache_folder()}: {error.strerror or error} ({error.filename}).")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
