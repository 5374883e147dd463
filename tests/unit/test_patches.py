# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the integration tests switch off by a patch is there: most of them run in the whole tables alone, hours later."""

from __future__ import annotations

import importlib.util

import pytest

from stage import ROOT

SPEC = importlib.util.spec_from_file_location("patches", ROOT / "tests" / "integration" / "patches.py")
assert SPEC and SPEC.loader
PATCHES = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(PATCHES)
NAMES = [name for name, value in vars(PATCHES).items() if name.isupper() and isinstance(value, dict)]


@pytest.mark.parametrize("name", NAMES)
def test_each_text_of_a_patch_is_there_once(name: str) -> None:
    for file, texts in getattr(PATCHES, name).items():
        source = (ROOT / file).read_text()
        for text, _other in texts:
            assert source.count(text) == 1, f"{name}: {text!r} is {source.count(text)} times in {file}"


def test_there_are_patches() -> None:
    assert len(NAMES) > 10
