# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names the steps of the ways in their order: what modules take, the controller goes by and the model of tests/unit/model goes through. Pure.

Numbers are rules of docs/protocol.md.

For internal use of this collection only.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

JOURNAL_STATES = ("opened", "learnt", "installing", "retiring", "returning", "returned", "passed", "noted", "kept", "closed", "released")
"""What module migration_journal takes as ``state``."""
PHASES = ("plan", "install", "shift", "retire")
"""What a run may be asked for, in the order in which it is done (11.3)."""
FORMS: dict[str, Literal["original", "split", "finished"]] = {
    "shifted": "split", "restored": "original", "finished": "finished", "replaced": "finished",
}
"""State of module shift_traffic that writes routes to the form of their moved rules."""
VARIANTS = ("alpha", "v1", "both")
"""The probe routes that there are (6.1)."""


class Step(NamedTuple):
    """One step of a way.

    :param does: ``write`` the users' routes, make (``present``) or remove (``absent``) probe routes, ``note`` something in the journal, run a ``task`` of
        another collection, which looks at no Lease; ``settle`` until every gateway instance has taken the last change, wait until removed probe routes are
        ``gone`` from traffic, ``drain`` until a stack's requests have ended; or ``look`` at what stands.
    :param what: the state to write or to note, the variants, the stack, or the name of the look or task.
    """

    does: Literal["write", "present", "absent", "note", "task", "settle", "gone", "drain", "look"]
    what: tuple[str, ...] = ()


INSTALLATION = (Step("note", ("installing",)), Step("task", ("install",)), Step("look", ("installed",)), Step("note", ("noted install",)))
"""From nothing to v1's endpoint pickers being available (5)."""
BEGINNING = (Step("look", ("baseline",)), Step("present", VARIANTS), Step("settle", ("alpha", "v1", "both", "user")), Step("look", ("gate",)))
"""Before users get v1 (6 to 8)."""
SHARE = (Step("write", ("shifted",)), Step("settle", ("alpha", "v1", "user")), Step("look", ("traffic_split",)), Step("look", ("gate",)),
         Step("note", ("passed",)))
"""Each share of the shift (8, 9)."""
PROOF = (Step("look", ("phase_end",)),)
"""The end of a shift, looked at anew; the role notes the phase then (8.8)."""
WITHDRAWAL = (Step("write", ("finished",)), Step("present", ("v1",)), Step("absent", ("both",)), Step("settle", ("v1", "user")), Step("drain", ("v1alpha2",)),
              Step("absent", ("alpha",)), Step("gone", ("alpha",)))
"""v1alpha2 out of the users' rules, and out of the gateway only when no request can be on its way there (12.3)."""
REMOVAL = (Step("look", ("remaining",)), Step("task", ("objectives",)), Step("task", ("objects",)), Step("look", ("removed",)), Step("task", ("releases",)),
           Step("look", ("released",)), Step("look", ("left",)), Step("task", ("definitions",)), Step("absent", VARIANTS))
"""What the role takes away of v1alpha2 after that (12.3)."""
HOLDING = (Step("present", ("v1", "both")), Step("present", ("alpha",)))
"""The probe routes of a rollback. v1alpha2's last: the gateway instance that has taken these has taken the others too, by whose removal the drain begins."""
RETURN = (Step("look", ("baseline",)), Step("note", ("returning",)), *HOLDING, Step("look", ("baseline alpha",)), Step("write", ("restored",)),
          Step("settle", ("alpha", "user")), Step("absent", ("both",)), Step("drain", ("v1",)), Step("look", ("traffic_split",)), Step("absent"),
          Step("gone", ("alpha", "v1")), Step("note", ("returned",)))
"""The users' rules as they were, and v1's requests ended (13.2)."""
