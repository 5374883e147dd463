# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A GKE-like world on the loopback interface: real API server, real endpoint pickers, real model servers, no containers."""
from __future__ import annotations
