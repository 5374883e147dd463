# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the tarball, puts it through Galaxy's own importer, installs it into an empty path, uses it from there, and prepares an execution environment.

``python -m tools.check_package STAGED_COLLECTION EMPTY_FOLDER``; ends with one sentence on the first thing that is wrong.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

from tools.stage import NAME, NAMESPACE, ROOT, bundled_collections

FQCN = f"{NAMESPACE}.{NAME}"
FOREIGN = ("build/", "collections/", ".ansible", ".git", ".ci", "benchmarks/", "extensions/", "noxfile.py", "sandbox/", "tools/", "tests/e2e/",
           "tests/integration/", "tests/output/")
"""Beginnings of paths that do not belong in the tarball."""
BIN = Path(sys.executable).parent


def call(*command: str, folder: Path, **environment: str) -> str:
    """Run a command and return its output.

    :param environment: variables to set for it.
    :raises SystemExit: when it fails.
    """
    print("$", *command, flush=True)
    done = subprocess.run(command, cwd=folder, env=os.environ | environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    print(done.stdout + done.stderr, flush=True)
    if done.returncode:
        raise SystemExit(f"{Path(command[0]).name} failed with exit code {done.returncode}: see above.")
    return done.stdout + done.stderr


def build(staged: Path, folder: Path) -> Path:
    """Build the tarball and return its path.

    :raises SystemExit: when it holds what does not belong there.
    """
    call(str(BIN / "ansible-galaxy"), "collection", "build", "--output-path", str(folder), folder=staged)
    (tarball,) = folder.glob(f"{NAMESPACE}-{NAME}-*.tar.gz")
    with tarfile.open(tarball) as archive:
        names = archive.getnames()
    foreign = sorted(name for name in names if name.startswith(FOREIGN))
    if foreign:
        raise SystemExit(f"The tarball holds {foreign[0]} and {len(foreign) - 1} more that do not belong there: add them to build_ignore in galaxy.yml.")
    return tarball


def import_as_galaxy(tarball: Path, folder: Path) -> None:
    """Run Galaxy's importer on the tarball, with Automation Hub's rules.

    :raises SystemExit: when it refuses the tarball; it exits 0 on some refusals, so its output is read as well.
    """
    settings = {"GALAXY_IMPORTER_CHECK_REQUIRED_TAGS": "true", "GALAXY_IMPORTER_RUN_ANSIBLE_LINT": "false"}
    output = call(sys.executable, "-m", "galaxy_importer.main", str(tarball), folder=folder, **settings)
    refused = [line for line in output.splitlines() if line.startswith(("ERROR", "WARNING"))]
    if refused or "Importer processing completed successfully" not in output:
        raise SystemExit(f"galaxy-importer is not content: {refused[0] if refused else 'it did not say that it completed'}")


def install(tarball: Path, folder: Path) -> Path:
    """Install the tarball and return its collections path; kubernetes.core is a link there, since it must not be fetched."""
    core = folder / "ansible_collections" / "kubernetes" / "core"
    core.parent.mkdir(parents=True)
    core.symlink_to(bundled_collections(Path(sys.executable)) / "kubernetes" / "core")
    command = (str(BIN / "ansible-galaxy"), "collection", "install", "--offline", "-p", str(folder), str(tarball))
    call(*command, folder=folder, ANSIBLE_COLLECTIONS_PATH=str(folder))
    return folder


def use(installed: Path, folder: Path) -> None:
    """Show the documentation of every installed module and role, and parse every playbook by its full name.

    :raises SystemExit: when one of that fails, or when there are no modules, roles or playbooks.
    """
    collection = installed / "ansible_collections" / NAMESPACE / NAME
    modules = sorted(path.stem for path in (collection / "plugins" / "modules").glob("[!_]*.py"))
    roles = sorted(path.name for path in (collection / "roles").glob("*"))
    playbooks = sorted(path.stem for path in (collection / "playbooks").glob("*.yml"))
    if not modules or not roles or not playbooks:
        raise SystemExit(f"The installed collection lacks modules ({len(modules)}), roles ({len(roles)}) or playbooks ({len(playbooks)}).")
    path = {"ANSIBLE_COLLECTIONS_PATH": str(installed)}
    call(str(BIN / "ansible-doc"), *(f"{FQCN}.{name}" for name in modules), folder=folder, **path)
    call(str(BIN / "ansible-doc"), "-t", "role", *(f"{FQCN}.{name}" for name in roles), folder=folder, **path)
    call(str(BIN / "ansible-playbook"), "--syntax-check", "-i", "clusters,", *(f"{FQCN}.{name}" for name in playbooks), folder=folder, **path)


def prepare_execution_environment(installed: Path, tarball: Path, folder: Path) -> None:
    """Let ansible-builder find what the collection needs, and write the build context of an execution environment; nothing is built.

    :raises SystemExit: when a client of requirements.txt is not found, or the context lacks the collection.
    """
    found = call(str(BIN / "ansible-builder"), "introspect", str(installed), folder=folder)
    needed = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    unseen = [line for line in needed if line not in found]
    if unseen or not needed:
        raise SystemExit(f"ansible-builder does not find {unseen}: meta/execution-environment.yml must lead to it.")
    collections = [{"name": str(tarball), "type": "file"}]
    images = {"base_image": {"name": "registry.invalid/base:latest"}}
    definition = {"version": 3, "images": images, "dependencies": {"galaxy": {"collections": collections}}}
    (folder / "execution-environment.yml").write_text(json.dumps(definition))
    call(str(BIN / "ansible-builder"), "create", "-f", "execution-environment.yml", "-c", "context", folder=folder)
    if tarball.name not in (folder / "context" / "_build" / "requirements.yml").read_text():
        raise SystemExit("The build context of ansible-builder does not name the tarball.")


def main() -> int:
    """Run the command line and return its exit code."""
    staged, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True)
    tarball = build(staged, folder)
    import_as_galaxy(tarball, folder)
    installed = install(tarball, folder / "installed")
    use(installed, folder)
    prepare_execution_environment(installed, tarball, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
