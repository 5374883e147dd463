# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller and the role go through the steps of steps.py in their order, which the model of tests/unit/model takes from there too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from ansible_collections.inference_gateway.migration.plugins.module_utils.steps import (
    BEGINNING,
    INSTALLATION,
    PROOF,
    REMOVAL,
    RETURN,
    SHARE,
    VARIANTS,
    WITHDRAWAL,
    Step,
)

from tests.unit.helpers.controller_fakes import BASELINE, Played, Start
from tools.stage import ROOT

TASKS = ROOT / "roles" / "migration" / "tasks"
OWN = "inference_gateway.migration."
AT_50 = BASELINE | {"serves_v1": True, "share": 50, "shares": {"HTTPRoute default/llm-route": 50}, "kinds": []}


def words(step: Step, share: int) -> str:
    """A step as a played module execution is written down."""
    does, what = step
    if does == "write" or what == ("passed",):
        return f"{what[0]} {share}" if what[0] in ("shifted", "passed") else what[0]
    if does in ("present", "absent"):
        return does if what in ((), VARIANTS) else f"{does} {'+'.join(what)}"
    if does in ("settle", "gone"):
        return f"{'settled' if does == 'settle' else does} {'+'.join(what)}"
    return {"drain": "gone both"}.get(does, {"phase_end": "phase_end v1+user"}.get(what[0], what[0]))


def expected(*table: Step, share: int = 0) -> list[str]:
    return [words(step, share) for step in table]


def asked(played: Played) -> list[str]:
    """Everything that was asked for; to keep the Lease is no step."""
    return [played.name(module, arguments) for module, arguments in played.calls if arguments.get("state") != "kept"]


def test_a_shift_takes_its_steps(start: Start) -> None:
    _result, played = start(steps=[50, 100])
    shares = [piece for share in (50, 100) for piece in expected(*SHARE, share=share)]
    assert asked(played) == [*expected(*BEGINNING), *shares, *expected(*PROOF)]


def test_a_withdrawal_takes_its_steps(start: Start) -> None:
    _result, played = start(state="withdrawn")
    assert asked(played) == expected(*WITHDRAWAL)


def test_a_rollback_takes_its_steps(start: Start) -> None:
    _result, played = start(("baseline", AT_50), state="returned")
    assert asked(played) == expected(*RETURN)


def test_what_goes_back_takes_the_steps_of_a_rollback(start: Start) -> None:
    """From where v1alpha2 is asked on, and without what the journal says of a rollback alone."""
    rejected = {"ok": True, "verdict": "FAILED", "faults": ["v1: status 503"], "clean": 0, "sent": 6, "decision": "reject"}
    result, played = start(("phase_end v1+user", rejected | {"ok": False}), steps=[100])
    assert result["verdict"] == "FAILED"
    back = [step for step in RETURN[RETURN.index(Step("look", ("baseline alpha",))):] if step.does != "gone" and step.does != "note"]
    assert asked(played)[-len(back):] == expected(*back)


def tasks(name: str) -> Iterator[dict[str, Any]]:
    """The tasks of a file of the role, those of its blocks and of the files it imports too."""
    entries = yaml.safe_load((TASKS / name).read_text())
    while entries:
        entry = entries.pop(0)
        imported = entry.get("ansible.builtin.import_tasks")
        entries = [*entry.get("block", []), *([] if imported is None else yaml.safe_load((TASKS / imported).read_text())), *entries]
        if "block" not in entry and not imported:
            yield entry


def steps_of(name: str) -> Iterator[Step]:
    """The steps that a file of the role is made of."""
    looked = set[str]()
    for task in tasks(name):
        if note := task.get(f"{OWN}migration_journal"):
            yield Step("note", (" ".join(filter(None, [note["state"], note.get("phase")])),))
        elif look := task.get(f"{OWN}verify_gateway"):
            again = look["check"] in looked  # what is waited for the second time is what Helm deletes
            yield Step("look", ("released" if again else look["check"],))
            looked.add(look["check"])
        elif f"{OWN}detect_v1alpha2" in task:
            yield Step("look", ("left",))
        elif probe := task.get(f"{OWN}migration_probe_routes"):
            yield Step(probe["state"], tuple(probe.get("variants", VARIANTS)))
        elif foreign := task.get(f"{OWN}migration_task"):
            arguments = foreign["arguments"]
            if foreign["module"] == "kubernetes.core.helm":
                yield Step("task", ("releases",))
            else:
                kinds = {"patched": "objectives", "absent": "definitions" if "kind" in arguments else "objects"}
                yield Step("task", (kinds[arguments["state"]],))
        elif task.get("ansible.builtin.include_tasks") == "chart.yml":
            yield Step("task", ("install",))


def test_the_role_installs_by_its_steps() -> None:
    deployed = list(steps_of("deploy.yml"))
    (last,) = [step for step in steps_of("install.yml") if step == INSTALLATION[-1]]
    assert (*deployed, last) == INSTALLATION
    assert [task["name"] for task in tasks("install.yml")][-1] == "Record that v1 is installed"


def test_the_role_removes_by_its_steps() -> None:
    assert tuple(steps_of("remove.yml")) == REMOVAL
