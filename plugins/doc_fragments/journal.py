# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  state_namespace:
    description: Namespace of the Lease, the journal and the backup of a migration.
    type: str
    default: inference-gateway-migration
"""
