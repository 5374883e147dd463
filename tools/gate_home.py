# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives the tools their environment variables, and a HOME in which ansible-test finds pip without a network."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tools.bootstrap import cache_folder

GET_PIP_VERSIONS = ("24.2", "25.2")
"""pip versions that ansible-core 2.19 and 2.21 pin; their cached get-pip scripts are named by them."""
ELSEWHERE = ("K8S_AUTH_", "ANSIBLE_", "PYTHONPATH", "KUBECONFIG")
"""Beginnings of variables of the person that would lead a tool to another cluster or collection."""


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
    seed_get_pip(home)
    return home


def seed_get_pip(home: Path) -> None:
    """Put our stand-in where ansible-test keeps its get-pip scripts, so that it downloads none: their host is no package registry."""
    cache = home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in GET_PIP_VERSIONS:
        target = cache / f"get_pip_{version.replace('.', '_')}.py"
        fresh = target.with_suffix(f".{os.getpid()}")
        shutil.copyfile(Path(__file__).with_name("get_pip.py"), fresh)
        fresh.replace(target)


def environment_of(python: Path, home: Path | None, collections: Path) -> dict[str, str]:
    """Return a tool's environment variables: the person's, without what would lead it elsewhere.

    :param home: HOME of its own; None for the person's, with the programs of the sandbox in its cache.
    :param collections: where a tool with a HOME of its own finds the collection; tests say it themselves.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ELSEWHERE)}
    path = f"{python.parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
    environment |= {"PATH": path, "IGW_PYTHON": str(python), "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}
    if home is not None:
        environment |= {"HOME": str(home), "ANSIBLE_HOME": str(home / ".ansible"), "ANSIBLE_COLLECTIONS_PATH": str(collections), "MYPYPATH": "."}
        # In the tree, two runs would share mypy's cache.
        environment["MYPY_CACHE_DIR"] = str(home / ".mypy_cache")
    return environment
