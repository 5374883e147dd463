# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the integration tests switch off by a patch is there: most of them run in the whole tables alone, hours later."""

from __future__ import annotations

import pytest

from tests.integration import patches
from tools.stage import ROOT

NAMES = [name for name, value in vars(patches).items() if name.isupper() and isinstance(value, dict)]


@pytest.mark.parametrize("name", NAMES)
def test_each_text_of_a_patch_is_there_once(name: str) -> None:
    for file, texts in getattr(patches, name).items():
        source = (ROOT / file).read_text()
        for text, _other in texts:
            assert source.count(text) == 1, f"{name}: {text!r} is {source.count(text)} times in {file}"


def test_there_are_patches() -> None:
    assert len(NAMES) > 10
