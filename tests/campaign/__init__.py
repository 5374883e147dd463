# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fault campaign: every distinct request of a migration disturbed on a sandbox, and the invariants of the protocol checked on every run."""

from __future__ import annotations
