# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes ``ansible_collections.inference_gateway.migration`` importable from a plain checkout, for every kind of test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
from tools.stage import NAME, NAMESPACE, bundled_collections, copy_tree, link_tree

COLLECTIONS = link_tree(ROOT / "build" / "collections")


def _install_finder() -> None:
    """Let Ansible's own loader find the linked collection and those of the ansible package."""
    from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

    # Read by ansible-core when a test runs a task in this process, and handed on to subprocesses.
    os.environ["ANSIBLE_COLLECTIONS_PATH"] = str(COLLECTIONS)
    _AnsibleCollectionFinder(paths=[str(COLLECTIONS)])._install()


_install_finder()


@pytest.fixture(scope="session")
def collections_path() -> Path:
    """Value for ANSIBLE_COLLECTIONS_PATH in subprocesses: the checkout as a collection; kubernetes.core comes with the ansible package."""
    return COLLECTIONS


@pytest.fixture(scope="session")
def installed_collections_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Value for ANSIBLE_COLLECTIONS_PATH in subprocesses: the built tarball, installed into an empty path."""
    base = tmp_path_factory.mktemp("tarball")
    staged = copy_tree(base / "stage", Path(sys.executable))
    galaxy = str(Path(sys.executable).with_name("ansible-galaxy"))
    subprocess.run([galaxy, "collection", "build", "--output-path", str(base)], cwd=staged, check=True, capture_output=True)
    (tarball,) = base.glob(f"{NAMESPACE}-{NAME}-*.tar.gz")
    installed = base / "installed"
    core = installed / "ansible_collections" / "kubernetes" / "core"
    core.parent.mkdir(parents=True)
    core.symlink_to(bundled_collections(Path(sys.executable)) / "kubernetes" / "core")
    # Only this path: Galaxy would find the linked checkout and do nothing. kubernetes.core is there and must not be fetched.
    environment = os.environ | {"ANSIBLE_COLLECTIONS_PATH": str(installed)}
    subprocess.run([galaxy, "collection", "install", "--offline", "-p", str(installed), str(tarball)], check=True, capture_output=True, env=environment)
    return installed
