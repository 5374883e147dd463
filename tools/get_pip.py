# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for the get-pip script that ansible-test would download: installs pip from the wheel that Python bundles.

Copied into ansible-test's cache under the name it looks for, so that the gates need a package registry and nothing else.
"""

from __future__ import annotations

import ensurepip
import runpy
import sys
from pathlib import Path

BUNDLED = Path(ensurepip.__file__).parent / "_bundled"
wheels = sorted(BUNDLED.glob("pip-*.whl"))
if not wheels:
    sys.exit(f"No pip wheel in {BUNDLED}: install the package that completes Python's venv module (Debian: python3-venv).")
sys.path.insert(0, str(wheels[-1]))
# ansible-test passes options of get-pip alone; the rest are pip's.
sys.argv[1:] = ["install", *(argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel"))]
runpy.run_module("pip", run_name="__main__")
