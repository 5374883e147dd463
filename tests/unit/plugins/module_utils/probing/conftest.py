# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway on loopback for tests that send requests.

The product is imported in the fixture: pytest may read this file before pytest-ansible has made the checkout importable.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.helpers.scripted_server import Server


@pytest.fixture
def server() -> Iterator[Server]:
    from tests.unit.helpers.scripted_server import Server

    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()
