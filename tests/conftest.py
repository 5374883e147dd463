# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives every kind of test the collection; pytest-ansible makes it importable from a plain checkout."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest

from tools.stage import NAME, NAMESPACE, ROOT, link_tree

COLLECTIONS = link_tree(ROOT / "build" / "collections")
NOT_IMPORTABLE = """\
The checkout can't be imported as a collection: run pytest at its top, where galaxy.yml lies, with the Python that `python3 -m tools.bootstrap test` prints."""


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Stop with one sentence where pytest-ansible has not made the checkout importable."""
    try:
        if not config.pluginmanager.hasplugin("ansible"):
            # pytest-ansible ends in December 2026; this is what it does for us, by ansible-core's own means.
            from ansible.plugins.loader import init_plugin_loader

            os.environ["ANSIBLE_COLLECTIONS_PATH"] = str(COLLECTIONS)
            init_plugin_loader([str(COLLECTIONS)])
        importlib.import_module(f"ansible_collections.{NAMESPACE}.{NAME}")
    except ModuleNotFoundError:
        raise pytest.UsageError(NOT_IMPORTABLE) from None


@pytest.fixture(scope="session")
def collections_path() -> Path:
    """Value for ANSIBLE_COLLECTIONS_PATH in subprocesses: the checkout as a collection; kubernetes.core comes with the ansible package."""
    return COLLECTIONS
