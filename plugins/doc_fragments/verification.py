# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  run:
    description: The Lease's holder. Where it is given, the Lease is renewed, and a lost one ends the check.
    type: str
  shares:
    description:
      - Percent of the moved traffic that v1 must have by the weights, or V(finished) where v1alpha2 must be out of the rules; one for all routes, or a
        dictionary by C(Kind namespace/name). The routes are looked at all the time. Where one stands elsewhere somebody else wrote it, which ends the check
        and names the writer.
      - Without it weights are not looked at. Checks that compare with it need it.
    type: raw
  variants:
    description: By which rules to ask. V(user) is the users' own rules, the others are probe routes.
    type: list
    elements: str
    choices: [alpha, v1, both, user]
    default: [user]
  rounds:
    description: Rounds in a row without a failure that count as settled.
    type: int
    default: 5
  seconds:
    description: Longest time of this execution. A round that has begun is ended.
    type: int
    default: 60
  fail:
    description: Whether to fail when what was checked does not hold. With V(false) the caller reads RV(ok) and RV(faults).
    type: bool
    default: true
  clean:
    description: How many clean rounds in a row an earlier execution of the same check ended with (RV(clean)). They count.
    type: int
    default: 0
  load:
    description:
      - How long model servers usually take to the first byte, and how much slower probing has become, as an earlier execution returned it (RV(load)).
      - Each pool has at most one probe in flight for each of its model servers that is ready. Probing gets slower while the first byte takes twice as long as
        usual, or requests are refused.
    type: dict
"""
