# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why answers carry marks: a run that trusts the status code is fooled by its own probes."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness import Ended

ROOT = Path(__file__).resolve().parents[2]
CHECK = "    if headers.get(MARK_HEADER) != probe.mark:\n"


def believed(ended: Ended) -> bool:
    """The watch of this file: whether a run took v1 for warm."""
    return "warm-up: settled" in ended.log


def patched(tmp_path: Path) -> Path:
    """The collection with the mark ignored, in a path of its own."""
    target = tmp_path / "patched" / "ansible_collections"
    own = target / "inference_gateway" / "migration"
    own.mkdir(parents=True)
    for part in ("plugins", "roles", "playbooks", "meta", "galaxy.yml"):
        source = ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, own / part)
    sender = own / "plugins" / "module_utils" / "_http.py"
    text = sender.read_text()
    assert text.count(CHECK) == 1, "the patch must hit what it is meant for"
    sender.write_text(text.replace(CHECK, "    if False:\n"))
    return target.parent


def test_without_the_mark_alphas_answers_pass_for_v1s(demo, play, tmp_path):
    """v1's endpoint picker is dead, and the gateway takes longer than warm-up and gate to program the marked routes: all that answers is alpha."""
    prepared = play(demo, extra={"migration_phases": ["plan", "install"]})
    assert prepared.status == 0, prepared.log[-2000:]
    demo.fault("pod_kill", namespace="default", deployment="vllm-llama3-8b-instruct-ga-epp", percent=100)
    demo.fault("gateway", take=[30, 34])
    shift = {"migration_phases": ["shift"], "migration_warm_seconds": 20, "migration_settle_seconds": 45, "migration_drain_seconds": 2}

    honest = play(demo, rate=20, extra=shift)
    assert honest.verdict == "HELD" and "not answered by the marked route" in honest.reason, honest.reason
    assert not believed(honest)
    assert (honest.load["lost"], honest.load["cut"]) == (0, 0)

    fooled = play(demo, rate=20, extra=shift, collections=patched(tmp_path))
    assert believed(fooled), fooled.log[-3000:]
    assert fooled.load["lost"] > 0, "without the mark users meet the dead stack"
