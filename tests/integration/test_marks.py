# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why answers carry marks: a run that trusts the status code is fooled by its own probes."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness import ESTATES, Ended

ROOT = Path(__file__).resolve().parents[2]
CHECK = "    if headers.get(MARK_HEADER) != probe.mark:\n"


def warned(ended: Ended) -> bool:
    """The watch of this file: a run must not take v1 for warm while no gateway instance has a marked route yet."""
    return "not answered by the marked route" in ended.log


def patched(tmp_path: Path, collections: Path) -> Path:
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


def test_without_the_mark_alphas_answers_pass_for_v1s(make_world, play, collections_path, tmp_path):
    """Gateway delays are longer than the shortest gate; v1's endpoint picker is dead, so every true answer of v1 is a failure."""
    world = make_world("marks", estates=[ESTATES / "demo"], profile="gke", seed=7)
    try:
        prepared = play(world, extra={"migration_phases": ["plan", "install"]})
        assert prepared.status == 0, prepared.log[-2000:]
        world.fault("pod_kill", namespace="default", deployment="vllm-llama3-8b-instruct-ga-epp", percent=100)
        shift = {"migration_phases": ["shift"], "migration_warm_seconds": 45, "migration_settle_seconds": 45, "migration_drain_seconds": 2}
        honest = play(world, extra=shift)
        assert honest.verdict == "FAILED" and warned(honest), honest.reason
        assert "gate at" not in honest.log, "no gate is reached on alpha's answers"

        fooled = play(world, extra=shift, collections=patched(tmp_path, collections_path))
        assert not warned(fooled), "the watch of this test would go red: the run believed alpha"
        assert "warm-up: settled" in fooled.log, fooled.log[-3000:]
    finally:
        world.down()
