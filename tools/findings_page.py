# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes docs/findings.md from the catalogue of findings: ``python -m tools.findings_page``, with build/collections on PYTHONPATH."""

from __future__ import annotations

import sys

from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.catalogue import documentation

from tools.stage import ROOT

PAGE = ROOT / "docs" / "findings.md"

if __name__ == "__main__":
    PAGE.write_text(documentation())
    print(f"{PAGE.relative_to(ROOT)} written", file=sys.stderr)
