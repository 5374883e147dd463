# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulates the traffic split of single rules at Gateway addresses, by the collection's own code and without a network."""

from __future__ import annotations

import random

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.split_statistics import Expected, ShareTest
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.traffic_split import Signature, Tally

KNOWN = {"alpha": Signature(404, False, False, ""), "v1": Signature(404, True, True, "rewritten")}
MOST = 3000
"""Tracer requests of one measurement at most, as is the default."""
BATCH = 12
"""Tracer requests at a time, as many as a run has in flight."""


def expected(share: float) -> Expected:
    """Return what the weights of a rule without other backends say at a share (0 to 1) of v1."""
    return Expected(1.0 - share, share)


def measured(groups: int, wanted: Expected, real: Expected, rng: random.Random, most: int = MOST, batch: int = BATCH) -> Tally:
    """Measure one of so many groups once, and return its tally. :param real: the parts of its traffic that it really gives to each."""
    test, tally = ShareTest(groups), Tally(dict(KNOWN))
    while tally.outcome == "open":
        tally.counts.update(rng.choices(("alpha", "v1", "other"), (real.alpha, real.v1, real.other), k=min(batch, most - tally.sent)))
        tally.judge(test, wanted, most)
    return tally
