# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lays the collection out as the tools want it: a link tree for imports and playbooks, a copy for ansible-test.

ansible-test insists on a real folder ``ansible_collections/NAMESPACE/NAME`` and resolves links, so it gets a copy of the
work tree, uncommitted edits included. Everything else reads the checkout through links and sees edits at once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMESPACE, NAME = "inference_gateway", "migration"
LINKED = ("galaxy.yml", "meta", "plugins", "roles", "playbooks", "README.md", "LICENSE", "requirements.txt", "changelogs", "docs")
LEFT_OUT = ("sandbox/tools/", "sandbox/estates/", "sandbox/crds/", "tests/unit/fixtures/")
"""Not staged, and not in the tarball: manifests for kubectl, with several documents in a file, which Ansible's tools do not take."""


def link_tree(base: Path) -> Path:
    """Make or mend a collections path in ``base`` whose collection links to this checkout; several processes may do so at once."""
    collection = base / "ansible_collections" / NAMESPACE / NAME
    collection.mkdir(parents=True, exist_ok=True)
    for name in LINKED:
        target, link = ROOT / name, collection / name
        if link.is_symlink() and Path(os.readlink(link)) == target:
            continue
        # Made under another name and moved into place: another process may be doing the same.
        with tempfile.TemporaryDirectory(dir=base) as folder:
            fresh = Path(folder) / "link"
            fresh.symlink_to(target)
            fresh.replace(link)
    return base


def work_tree_files() -> list[str]:
    """Return the files of the work tree that are tracked, or new and not ignored, relative to the root."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    return sorted({name for name in listed.stdout.split("\0") if name and os.path.lexists(ROOT / name) and not name.startswith(LEFT_OUT)})


def plugin_files() -> list[Path]:
    """Return the Python files of plugins/, in packages too, relative to the root."""
    return sorted(path.relative_to(ROOT) for path in (ROOT / "plugins").rglob("*.py"))


def bundled_collections(python: Path) -> Path:
    """Return folder ``ansible_collections`` of the ansible package that ``python`` has."""
    code = "import ansible, pathlib; print(pathlib.Path(ansible.__file__).parents[1] / 'ansible_collections')"
    return Path(subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip())


def copy_tree(base: Path, python: Path) -> Path:
    """Copy the work tree to ``base/ansible_collections/NAMESPACE/NAME``, with kubernetes.core beside it, and return that folder.

    kubernetes.core must lie in the same tree, or validate-modules does not find its documentation fragments.
    """
    collection = base / "ansible_collections" / NAMESPACE / NAME
    for name in work_tree_files():
        target = collection / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copy2(ROOT / name, target, follow_symlinks=False)
        except FileNotFoundError:
            continue  # deleted by an editor since it was listed
    neighbour = base / "ansible_collections" / "kubernetes"
    neighbour.mkdir(parents=True, exist_ok=True)
    (neighbour / "core").symlink_to(bundled_collections(python) / "kubernetes" / "core")
    return collection


if __name__ == "__main__":
    link_tree(ROOT / "build" / "collections")
