# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the model's ways from the product's own table of steps, so that neither can change without the other."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import NamedTuple

from ansible_collections.inference_gateway.migration.plugins.module_utils import steps
from ansible_collections.inference_gateway.migration.plugins.module_utils.steps import Step

HALF, ALL, FINISHED, FOREIGN = 50, 100, 200, -1
"""Where a route stands, besides 0: v1's share, v1alpha2 out of it, or somebody else's weights, some for each stack."""
SHARES = (HALF, ALL)


class Op(NamedTuple):
    """One piece of a way.

    :param kind: ``look``, or a write: of the ``journal``, a ``route``, ``probe`` routes, or by a ``task`` of another collection; or ``release`` the Lease.
    :param name: what it looks at or writes. :param what: the wanted share, or the variants. :param joined: whether the next piece is in the same module.
    """

    kind: str
    name: str
    what: tuple[int | str, ...] = ()
    joined: bool = False


NOTHING = {("note", "installing"), ("note", "passed"), ("look", "traffic_split"), ("look", "remaining"), ("look", "removed"), ("look", "released"),
           ("look", "left"), ("task", "objectives"), ("task", "definitions")}
"""Steps that change nothing and refuse nothing that the model has. A look at the routes here would only repeat the one before or after it."""
SOMETHING = {("note", "noted install"), ("note", "returning"), ("note", "returned"), ("task", "install"), ("task", "objects"), ("task", "releases"),
             ("look", "installed"), ("look", "baseline"), ("look", "baseline alpha"), ("look", "gate"), ("look", "phase_end")}
"""Steps that :mod:`tests.unit.model.effects` knows by their names."""
UNSAID = Op("journal", "unsaid")
"""Module shift_traffic: after a write that gives traffic back, the journal no more says that a shift is proven and v1alpha2 goes."""


def pieces(step: Step, share: int = 0) -> Iterator[Op]:
    """Yield what a step is in the model.

    :param share: for writes of ``shifted``. :raises ValueError: for a step that the model does not know.
    """
    does, what = step
    if does == "write" and what == ("finished",):
        yield Op("look", "shifted", joined=True)
        yield Op("journal", "retiring", joined=True)
        yield Op("route", "finished", (FINISHED,))
    elif does == "write" and what in {("shifted",), ("restored",)}:
        if what == ("shifted",):
            yield Op("journal", "giving", joined=True)
        yield Op("route", what[0], (share,), joined=True)
        yield UNSAID
    elif does in ("present", "absent") and {*what} <= {*steps.VARIANTS}:
        if variants := tuple(variant for variant in what or steps.VARIANTS if variant != "both"):  # a rule with both holds no more than these two
            yield Op("probe", does, variants)
    elif does in ("settle", "gone", "drain"):
        yield Op("look", "warm" if "both" in what else does, what)
    elif (does, what[0]) in SOMETHING:
        yield Op("journal" if does == "note" else does, what[0])
    elif (does, what[0]) not in NOTHING:
        raise ValueError(f"the model does not know {step}: say in ways.py and effects.py what it does, or in NOTHING that it does nothing here")


def way(*table: Step, share: int = 0) -> tuple[Op, ...]:
    """Return the pieces of a table's steps."""
    return tuple(op for step in table for op in pieces(step, share))


READ, OPENED, CLOSED, RELEASE = Op("look", "journal"), Op("journal", "opened"), Op("journal", "closed"), Op("release", "")
REMOVED_V1 = (Op("look", "referred"), Op("task", "uninstall"))
BEFORE = (READ, OPENED, *way(*steps.INSTALLATION, *steps.BEGINNING), *(op for share in SHARES for op in way(*steps.SHARE, share=share)), *way(*steps.PROOF),
          Op("journal", "noted shift"))
AFTER = (READ, *way(*steps.WITHDRAWAL, *steps.REMOVAL), Op("look", "retired"), Op("journal", "noted retire"), CLOSED)
ASKED = Step("look", ("baseline alpha",))
GIVEN_BACK = (*way(*steps.RETURN[steps.RETURN.index(ASKED):-2]), RELEASE)
FORTH, BACK, RETREAT, FLIGHT, STEP_BACK, REFUSED, HALT, END = range(8)
WAYS = (
    (*BEFORE, *AFTER),
    (READ, *way(*steps.RETURN), *REMOVED_V1, CLOSED),
    GIVEN_BACK,
    GIVEN_BACK,
    (*way(ASKED, steps.SHARE[0], Step("settle", ("alpha", "user")), Step("absent"), share=ALL), RELEASE),
    (UNSAID, RELEASE),
    (Op("look", "ended"), Op("probe", "absent", ("alpha", "v1")), RELEASE),
    (RELEASE,),
)
"""The ways that a run may be on: forth; back, as asked; back from a share, because v1 failed; the same from a withdrawal; from a withdrawal to the last share,
because it was HELD; refused to take v1alpha2 away; ended HELD, and probe routes go; ended HELD, and they stay."""
RETIRES = len(BEFORE)
"""Where a run begins that is asked for the phase retire alone, or that goes on after v1alpha2 has begun to go."""


def ways(off: Set[str]) -> tuple[tuple[Op, ...], ...]:
    """Return the ways without some guards that are an order: a phase that is noted too early, and a probe route that goes too early."""
    found = list(WAYS)
    if "noted" in off:  # in the place of a piece, so that numbers of pieces stay
        note = Op("journal", "noted install")
        found[FORTH] = (*WAYS[FORTH][:2], note, *(op for op in WAYS[FORTH][2:] if op != note))
    if "holds" in off:
        gone, drain = Op("probe", "absent", ("alpha",)), Op("look", "drain", ("v1alpha2",))
        rest = [op for op in WAYS[FORTH] if op != gone]
        rest.insert(rest.index(drain), gone)
        found[FORTH] = tuple(rest)
    return tuple(found)
