# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person does to a migration that runs: steers it from a second shell, interrupts it, ends its job, and asks where it stands."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from igw_sandbox.world import World
from tests.e2e.product import STATUS, STEER
from tests.integration.harness import ESTATES, ON_V1, Ended, alpha_share, unharmed
from tests.integration.killing import Interrupt

pytestmark = pytest.mark.matrix
INSTALL = {"migration_phases": ["plan", "install"]}
SHIFT = {"migration_phases": ["shift"], "migration_steps": [10, 50, 100]}


@pytest.fixture(scope="module")
def installed(make_world: Callable[..., World], play: Callable[..., Ended]) -> Iterator[World]:
    """One sandbox with v1 installed, for tests that leave users on v1alpha2 or at a share that has passed."""
    world = make_world("steering", estates=[ESTATES / "demo"])
    assert play(world, extra=INSTALL).status == 0
    yield world
    world.down()


class Person:
    """Asks something of the run as soon as it says some words; ``then`` is asked so many seconds later."""

    def __init__(self, world: World, play: Callable[..., Ended], words: str, command: str, then: tuple[str, float] | None = None) -> None:
        self.world, self.play, self.words = world, play, words
        self.commands = [(command, 0.0), *([then] if then else [])]
        self.asked: list[Ended] = []
        self.thread: threading.Thread | None = None

    def show(self, line: str) -> None:
        if self.thread is None and self.words in line:
            self.thread = threading.Thread(target=self.ask)
            self.thread.start()

    def ask(self) -> None:
        for command, seconds in self.commands:
            time.sleep(seconds)
            self.asked.append(self.play(self.world, STEER, extra={"migration_steer": command}))


def test_a_pause_of_three_minutes(installed: World, play: Callable[..., Ended]) -> None:
    person = Person(installed, play, "step 1 of 3", "pause", ("go_on", 180.0))
    with unharmed(installed):
        ended = play(installed, extra=SHIFT, show=person.show)
    assert (ended.status, ended.verdict) == (0, "PROVEN"), ended.reason
    assert "paused as " in ended.log and "going on after 1" in ended.log, ended.log[-3000:]
    assert alpha_share(installed) == ON_V1 and [asked.status for asked in person.asked] == [0, 0]
    with unharmed(installed):
        back = Person(installed, play, "warm-up: settled", "back")
        ended = play(installed, extra=SHIFT, show=back.show)
    assert (ended.verdict, alpha_share(installed)[0][1]) == ("HELD", 1) and "taken back to v1alpha2 as" in ended.reason, ended.reason


def test_a_stop_keeps_what_has_passed_and_the_same_command_goes_on(installed: World, play: Callable[..., Ended]) -> None:
    person = Person(installed, play, "step 2 of 3", "stop")
    with unharmed(installed):
        ended = play(installed, extra=SHIFT, show=person.show)
        assert (ended.verdict, [weight for _group, weight in alpha_share(installed)]) == ("HELD", [90, 10]), ended.reason
        assert "stopped as" in ended.reason and "v1 has 10 % of the traffic" in ended.reason
        again = play(installed, extra=SHIFT)
    assert (again.verdict, alpha_share(installed)) == ("PROVEN", ON_V1), again.reason


@pytest.mark.parametrize(("words", "phases"), [("Try every object on the server", ["plan", "install"]), ("baseline", ["shift"]), ("warm-up", ["shift"]),
                                               ("step 1 of", ["shift"]), ("waiting 30 s for requests", ["retire"])])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whoever_ends_a_run_hears_where_it_stands(make_world: Callable[..., World], play: Callable[..., Ended], words: str, phases: list[str],
                                                  number: signal.Signals) -> None:
    """Ctrl-C: by the run itself within 3 s. TERM, as a cancelled job gets it: by the playbook status. The next command is at work at once."""
    world = make_world("interrupts", estates=[ESTATES / "demo"])
    if phases != ["plan", "install"]:
        before = ["plan", "install", "shift"] if phases == ["retire"] else ["plan", "install"]
        assert play(world, extra={"migration_phases": before, "migration_steps": [100]}).status == 0
    person = Interrupt(words, number)
    with unharmed(world):
        stopped = play(world, extra={"migration_phases": phases}, begun=person.begun, show=person.show)
        assert stopped.status != 0 and person.sent
        if number == signal.SIGINT:
            assert person.told_after < 3, person.lines
        told = play(world, STATUS)
        assert told.status == 0 and f"phase {phases[-1]}" in told.log.replace("phase plan", "phase install"), told.log[-1500:]
        again = play(world, extra={"migration_phases": phases})
    assert again.status == 0 and "may be dead" not in again.log, again.reason + again.log[-2000:]
    world.down()
