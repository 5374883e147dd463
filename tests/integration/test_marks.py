# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why answers carry marks: a run that trusts the status code is fooled by its own probes."""

from __future__ import annotations

from tests.integration.harness import Ended, patched
from tests.integration.patches import MARK


def believed(ended: Ended) -> bool:
    """The watch of this file: whether a run took v1 for warm."""
    return "warm-up: settled" in ended.log


def test_without_the_mark_alphas_answers_pass_for_v1s(demo, play, tmp_path):
    """v1's endpoint picker is dead, and the gateway takes longer than warm-up and gate to program the probe routes: all that answers is alpha.

    Red for nothing: one in 10^11, a tenth of 250 users' requests or more of which none meets the dead stack.
    """
    prepared = play(demo, extra={"migration_phases": ["plan", "install"]})
    assert prepared.status == 0, prepared.log[-2000:]
    demo.fault("pod_kill", namespace="default", deployment="vllm-llama3-8b-instruct-ga-epp", percent=100)
    demo.fault("gateway", take=[30, 34])
    shift = {"migration_phases": ["shift"], "migration_warm_seconds": 20, "migration_settle_seconds": 45, "migration_drain_seconds": 2}

    honest = play(demo, rate=20, extra=shift | {"migration_warm_seconds": 12})  # and the pairs that are asked then end before the routes are there
    assert honest.verdict == "HELD" and "not answered by the probe route" in honest.reason, honest.reason
    assert not believed(honest)
    assert (honest.load["lost"], honest.load["cut"]) == (0, 0)

    fooled = play(demo, rate=20, extra=shift, collections=patched(tmp_path, MARK))
    assert believed(fooled), fooled.log[-3000:]
    assert fooled.load["lost"] > 0, "without the mark users meet the dead stack"
