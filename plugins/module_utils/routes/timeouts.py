# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads for how long a rule lets a request live. Pure.

Source: HTTPRouteTimeouts in https://gateway-api.sigs.k8s.io/reference/spec/ and the form of a Duration in https://gateway-api.sigs.k8s.io/geps/gep-2257/
"""

from __future__ import annotations

import math
import re

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, dig

_PART = re.compile(r"(\d+)(ms|h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def longest(rule: Manifest) -> int:
    """Return the longest time-out of a rule in whole seconds, 0 where it has none or one that says "no limit" (``0s``).

    A request may live for ``request``; where that is not said, ``backendRequest`` bounds each try of the gateway's.
    """
    said = dig(rule, "timeouts", default={})
    return max((_seconds(said.get(field) or "") for field in ("request", "backendRequest")), default=0)


def _seconds(duration: str) -> int:
    """Return a duration (``1h30m``, ``500ms``) in seconds, rounded up."""
    return math.ceil(sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(duration)))
