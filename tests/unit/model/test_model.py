# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every invariant holds in every state of the model; without a guard one is broken, and the model goes through the product's own steps."""

from __future__ import annotations

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils import steps
from ansible_collections.inference_gateway.migration.plugins.module_utils.steps import Step

from tests.unit.model import effects
from tests.unit.model.guards import GUARDS
from tests.unit.model.search import Found, report, search
from tests.unit.model.ways import FINISHED, NOTHING, SOMETHING, WAYS, pieces, way
from tests.unit.model.world import ENDED, OPEN, ROLLED_BACK, Log, World, faults
from tools.stage import ROOT

TABLES = {name: table for name, table in vars(steps).items() if isinstance(table, tuple) and table and all(isinstance(step, Step) for step in table)}
STEPS = sorted({step for table in TABLES.values() for step in table})
INVARIANTS = {"I1", "I2", "I4", "I5", "I6", "I9", "I10"}


@pytest.fixture(scope="module")
def whole() -> Found:
    """Everything that the model with every guard can reach."""
    return search()


def test_every_invariant_holds_in_every_state(whole: Found) -> None:
    print(*report(whole), sep="\n")
    assert whole.broken is None, "\n".join(report(whole))
    assert whole.states > 10_000, "so few states are no model of two runs"
    assert whole.seconds < 30


def test_every_ending_is_reached(whole: Found) -> None:
    assert whole.endings == {OPEN, ENDED, ROLLED_BACK}


def test_every_piece_of_every_way_is_begun(whole: Found) -> None:
    pieces_of = {(number, at) for number, ops in enumerate(WAYS) for at in range(len(ops))}
    assert whole.done == pieces_of


@pytest.mark.parametrize("name", GUARDS)
def test_without_a_guard_an_invariant_is_broken(name: str) -> None:
    """A guard without which nothing breaks is not in the model, whatever the model says."""
    found = search(name)
    print(f"without {name} ({GUARDS[name].says}):", *report(found), sep="\n")
    assert found.broken, f"nothing is broken without {name}, so nothing shows that the model has it"
    assert found.broken.invariant in GUARDS[name].breaks
    assert len(found.broken.lines) > 3


def test_guards_name_rules_invariants_and_files_that_there_are() -> None:
    protocol = (ROOT / "docs" / "protocol.md").read_text()
    for name, guard in GUARDS.items():
        assert (ROOT / guard.where).exists(), f"{name}: {guard.where} is not there"
        for rule in guard.rule.split(", "):
            assert f"**{rule}** " in protocol or f"\n## {rule}. " in protocol, f"{name}: rule {rule} is not in docs/protocol.md"
        assert guard.breaks <= INVARIANTS, name


def test_every_table_of_steps_is_gone_through() -> None:
    ops = {op.kind + op.name for ops in WAYS for op in ops}
    assert len(TABLES) == 8, f"say in ways.py where {sorted(TABLES)} are gone through, then count them here"
    for name, table in TABLES.items():
        assert {op.kind + op.name for op in way(*table, share=50)} <= ops, name


@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step.does} {' '.join(step.what)}".strip())
def test_every_step_of_the_product_is_known(step: Step) -> None:
    found = list(pieces(step))
    assert found or (step.does, step.what[0]) in NOTHING or step == Step("absent", ("both",))


@pytest.mark.parametrize("step", [Step("look", ("weather",)), Step("note", ("done",)), Step("task", ("charts",)), Step("write", ("mended",)),
                                  Step("absent", ("beta",))], ids=str)
def test_a_step_that_the_model_does_not_know_is_refused(step: Step) -> None:
    with pytest.raises(ValueError, match="the model does not know"):
        list(pieces(step))


def test_what_the_model_knows_is_a_step() -> None:
    known = {(step.does, step.what[0]) for step in STEPS if step.what}
    assert {*NOTHING, *SOMETHING} <= known, "a step has gone from the table that the model still has"


@pytest.mark.parametrize(("world", "invariant"), [
    (World(stance=50, warm=True), "I2"),
    (World(stance=50, v1=2), "I1"),
    (World(ill=True), "I1"),
    (World(alpha=1), "I4"),
    (World(stance=FINISHED, v1=2, warm=True), "I4"),
    (World(flow_v1=1, v1=2), "I4"),
    (World(log=Log(status=ROLLED_BACK), stance=50), "I5"),
    (World(lost=True), "I9"),
    (World(log=Log(installed=True)), "I10"),
    (World(log=Log(proven=True)), "I10"),
    (World(log=Log(retired=True)), "I10"),
], ids=str)
def test_a_state_that_breaks_an_invariant_is_seen(world: World, invariant: str) -> None:
    assert invariant in {found for found, _sentence in faults(world)}


def test_a_healthy_state_breaks_none() -> None:
    assert not list(faults(World()))
    assert effects.settled(World()) == World()
