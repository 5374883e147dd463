# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides whether the holder of a Lease is dead, by what is seen of it one look after the other. Asks nobody itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import processes

Decision = Literal["take", "wait", "refuse"]
LEFT_SECONDS = 120
"""For so long the last processes of a dead run may go on; the longest that writes ends after 30 s."""


class Lock:
    """Watches the Lease of another run.

    :param seen: an earlier look of this run, see :func:`first_look`; None where there was none.
    :param mine: process that began this run, and its host in the inventory.
    :param clock: seconds on a clock that nobody sets. :param lives: tells of a process whether it lives, None where that can't be seen from here.
    """

    def __init__(self, seen: dict[str, Any] | None = None, mine: tuple[Any, str] | None = None, clock: Callable[[], float] = time.monotonic,
                 lives: Callable[[Any], bool | None] = processes.lives) -> None:
        self.clock, self.lives, self.mine = clock, lives, mine
        self.first = self.since = clock()
        self.beat: tuple[str, str] | None = None
        if seen and seen["at"] <= self.first:
            self.beat, self.since = (seen["run"], seen["beat"]), seen["at"]

    def look(self, lease: dict[str, Any]) -> Decision:
        """Decide by one look. :param lease: as module migration_journal returns it of a Lease that another run holds.

        ``take``: the holder is dead. ``refuse``: it lives. ``wait``: look again.
        """
        origin = lease["holder"].get("origin")
        if origin and (origin, lease["holder"].get("host")) == self.mine:  # an earlier path of this very playbook could not give it up
            return "take"
        alive = self.lives(origin) if origin else None
        beat, before = (lease["run"], lease["beat"]), self.beat
        if beat != before:
            self.beat, self.since = beat, self.clock()
        if alive or (alive is None and before not in (None, beat)):
            return "refuse"
        if alive is False and lease["here"] and not lease["left"]:
            return "take"
        if self.clock() - self.since >= lease["seconds"]:
            return "take"
        return "refuse" if self.clock() - self.first >= LEFT_SECONDS else "wait"

    def left(self, lease: dict[str, Any]) -> float:
        """Return the seconds after which the Lease may be taken if nothing of it changes."""
        return max(0.0, lease["seconds"] - (self.clock() - self.since))


def first_look(lease: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """Return a look at the Lease of another run, for the looks that follow: a run that has to wait for it need not begin to do so when it wants to write.

    :param before: an earlier look; its time counts on where nothing has changed.
    """
    same = before and (before["run"], before["beat"]) == (lease["run"], lease["beat"])
    return {"run": lease["run"], "beat": lease["beat"], "at": before["at"] if same and before else time.monotonic()}
