# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads durations as routes and extensions write them. Pure."""
from __future__ import annotations

import re

DURATION = re.compile(r"(\d+)(h|ms|m|s)")
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def seconds(duration: str | None) -> float | None:
    """A duration (1h30m, 250ms) in seconds; None stays None, and so does 0s, which means no limit."""
    if not duration:
        return None
    total: float = sum(int(number) * UNITS[unit] for number, unit in DURATION.findall(duration))
    return total or None
