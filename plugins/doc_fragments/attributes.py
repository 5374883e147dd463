# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Says in check mode what would be done, and writes nothing.
  diff_mode:
    description: Shows the difference that it makes, or would make, when asked for a diff.
  idempotent:
    description: A second run with the same arguments on an unchanged cluster changes nothing.
"""

    # Together with the standard fragment, for modules that only read.
    READ_ONLY = r"""
options: {}
attributes:
  check_mode:
    support: full
    details: Only reads, in check mode and outside it.
  diff_mode:
    support: N/A
    details: Only reads, so there is no difference to show.
  idempotent:
    support: full
    details: Only reads.
"""
