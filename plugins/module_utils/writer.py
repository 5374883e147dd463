# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the users' routes: read, change the references alone, write under the resourceVersion, and never over what somebody else wrote.

For internal use of this collection only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from ansible_collections.inference_gateway.migration.plugins.module_utils import routes, weights
from ansible_collections.inference_gateway.migration.plugins.module_utils._api import ApiError, Conflict, Manifest
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import RouteKey
from ansible_collections.inference_gateway.migration.plugins.module_utils.scene import Scene, route_path
from ansible_collections.inference_gateway.migration.plugins.module_utils.weights import Shares

Guard = Callable[[], None]
ATTEMPTS = 5
"""Writes of one route tried before a stubborn other writer is reported."""


def change(here: Scene, key: RouteKey, form: routes.Form, share: int, dry_run: bool, guard: Guard,
           standing: Sequence[Shares] = ()) -> tuple[Manifest, Manifest]:
    """Read-modify-write of one route under its resourceVersion, computed anew from what is live on every conflict.

    :param guard: proves, before every write, that the Lease is still ours.
    :param standing: at which shares it may be found, besides the one that is wanted; none where any share of ours may be.
    :returns: the route before and after.
    :raises routes.Drifted: when somebody else changed a moved rule. :raises ApiError: when more than references changed.
    """
    original, before = here.originals[key], None
    for _attempt in range(ATTEMPTS):
        guard()
        live = here.cluster.get(route_path(key))
        if live is None:
            raise ApiError(f"{key}: gone since the plan was made.")
        # The first one read: after a conflict the write that is found done may be ours, whose answer got lost.
        before = before or live
        refuse_drift(here, key, live, [*standing, _target(form, share)] if standing else [])
        wanted = routes.reshape(live, original, here.moves, form, share)
        if wanted == live:
            return before, live
        try:
            written = here.cluster.replace(route_path(key), wanted, dry_run)
        except Conflict:
            continue
        if not routes.only_references_differ(live, written, routes.places(live, original, here.moves).values()):
            raise ApiError(f"{key}: the API server stored more than the references that were written (a webhook?): compare it with the backup.")
        if routes.references(written) != routes.references(wanted):
            raise ApiError(f"{key}: the API server stored other references or weights than were written (a webhook?): compare it with the backup.")
        return before, written
    raise Conflict(f"{key}: written by somebody else {ATTEMPTS} times in a row: stop that writer, then start again.", 409)


def refuse_drift(here: Scene, key: RouteKey, live: Manifest, standing: Sequence[Shares]) -> None:
    """:raises routes.Drifted: where a route stands at none of the shares; it names what the first one would be. No shares, no demand."""
    found = [list(weights.faults(live, here.originals[key], here.moves, weights.of(str(key), wanted))) for wanted in standing]
    if found and all(found):
        raise routes.Drifted("; ".join(found[0]))


def _target(form: routes.Form, share: int) -> Shares:
    return "finished" if form == "finished" else 0 if form == "original" else share


def reshape_all(here: Scene, form: routes.Form, share: int, dry_run: bool, guard: Guard,
                standing: Sequence[Shares] = ()) -> list[tuple[RouteKey, Manifest, Manifest]]:
    """Every route of the migration as one step: where one can't be written, those before it are taken back.

    On the way back to the users' own rules they are not: what can be is given to v1alpha2, whatever is left.
    """
    done: list[tuple[RouteKey, Manifest, Manifest]] = []
    failed: Exception | None = None
    for key in here.originals:
        try:
            done.append((key, *change(here, key, form, share, dry_run, guard, standing)))
        except (ApiError, routes.Drifted, ValueError) as error:
            if form != "original":
                take_back(here, done, dry_run, guard, _target(form, share))
                raise
            failed = failed or error
    if failed:
        raise failed
    return done


def take_back(here: Scene, done: list[tuple[RouteKey, Manifest, Manifest]], dry_run: bool, guard: Guard, written: Shares) -> None:
    """Routes as they were before a step; one that can't be written keeps none of the others from it.

    :param written: the share that they were given: what somebody else has changed since is left to them.
    """
    for key, before, _after in reversed(done):
        with suppress(ApiError, routes.Drifted, ValueError):  # the next run reads what is live, and why it came to this is raised
            change(here, key, *routes.form_of(before, here.originals[key], here.moves), dry_run, guard, [written])
