# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For how long a rule lets a request live."""

from __future__ import annotations

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import timeouts


@pytest.mark.parametrize(("said", "seconds"), [
    (None, 0), ({}, 0), ({"request": "10s"}, 10), ({"request": "1h2m3s"}, 3723), ({"request": "1500ms"}, 2), ({"request": "0s"}, 0),
    ({"backendRequest": "20s"}, 20), ({"request": "1m", "backendRequest": "20s"}, 60), ({"request": None, "backendRequest": "x"}, 0),
])  # fmt: skip
def test_the_longest_time_out_of_a_rule(said, seconds):
    assert timeouts.longest({"timeouts": said}) == seconds
