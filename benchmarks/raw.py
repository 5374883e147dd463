# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a benchmark's raw figures go, with the machine that they were measured on."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "results"


def write(benchmark: str, parameters: dict[str, Any], **figures: Any) -> Path:
    """Write one run as JSON and return its file, which has the benchmark's name and the time in its own."""
    machine = {"cpus": os.cpu_count(), "system": platform.system(), "machine": platform.machine(), "python": platform.python_version()}
    path = FOLDER / f"{benchmark}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    FOLDER.mkdir(exist_ok=True)
    path.write_text(json.dumps({"benchmark": benchmark, "parameters": parameters, "machine": machine, **figures}, indent=1) + "\n")
    return path
