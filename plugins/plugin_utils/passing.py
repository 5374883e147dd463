# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells by the result of another collection's module whether what failed passes by itself. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

STATUSES = (401, 429, 500, 502, 503, 504)
_PASSING = re.compile(
    r"max retries exceeded|connection (?:refused|reset|aborted|broken|lost)|remote end closed|no route to host|network is unreachable|cluster unreachable"
    r"|read timed out|i/o timeout|tls handshake timeout|unexpected eof|: eof\b|etcdserver: |too many requests|internalerror|internal error occurred"
    r"|server is currently unable|the server has asked for the client|reason: unauthorized|\"code\": ?(?:401|429|500|502|503|504)\b"
    r"|\((?:401|429|500|502|503|504)\)|was ended at its deadline|failed to delete release", re.IGNORECASE)
"""What the Python client, Helm and API servers say of a server that is away, overloaded or in trouble, of a credential that may be renewed, and helm_wrapper.py
of helm that got no answer in time. Why a release could not be deleted Helm never says: tried again, its module leaves it as one that is being uninstalled, and
what deletes the rest names the cause.
"""


def passes(result: Mapping[str, Any]) -> bool:
    """Tell whether a module failed by an API server that was away, overloaded or in trouble, so that it may be tried again."""
    if not result.get("failed"):
        return False
    said = " ".join(str(result.get(field) or "") for field in ("msg", "stderr", "error", "reason"))
    return result.get("status") in STATUSES or _PASSING.search(said) is not None
