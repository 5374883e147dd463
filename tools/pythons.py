# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says on which two Pythons the collection is tested: the one that runs this, and one of the other supported line. Standard library alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


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


def version_of(interpreter: Path) -> str:
    """Return the version of an interpreter called ``python3.N``, as nox and ansible-test name it, e.g. ``3.12``."""
    return interpreter.name.removeprefix("python")


FIRST = f"{sys.version_info[0]}.{sys.version_info[1]}"
"""Version of the Python that runs this."""
