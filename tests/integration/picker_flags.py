# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks endpoint pickers for their flags: each says them in its log when it starts, before it looks for an API server."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from typing import Any

from igw_sandbox import tools

RENAMED_METRIC = "kv-cache-usage-percentage-metric"
"""The one flag of which v1 has another default, from v1.3.0 on: finding kv-metric-renamed."""
SILENT = {"v1.3.0": "v1.3.1"}
"""A picker that logs its flags before its logger is set up, so that nothing is heard of them, and the one that is told the same and says so."""
OWN_FLAGS = {"pool-name", "pool-group", "config-file", "config-text", "kubeconfig"}
"""Flags in which the two stacks must differ, or which say where the configuration lies."""


def kebab(name: str) -> str:
    """A flag's name in the way of v1: alpha's are in camel case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


def in_log(text: str) -> dict[str, Any]:
    """The flags in a picker's log, by v1's names. How its logger is set is left out, of which some releases say nothing."""
    (line,) = [line for line in text.splitlines() if "Flags processed" in line]
    said = json.loads(line[line.index("{"):])["flags"]
    return {kebab(name): value for name, value in said.items() if not name.startswith("zap-")}


def its_flags(tool: str, args: list[str], environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What a picker itself says of its flags; it ends where there is no API server."""
    nowhere = {"HOME": "/nonexistent", "KUBECONFIG": "/nonexistent"} | dict(environment or {})
    ended = subprocess.run(
        [tools.ensure(tool)[tool], *args], env=nowhere, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60)
    return in_log(ended.stdout + ended.stderr)
