# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes users' routes and probe routes: under the resourceVersion that was read, the references alone, and never over somebody else's change.

For internal use of this collection only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import (
    ApiError,
    Cluster,
    Conflict,
    collection_path,
    object_path,
    plural,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import step_weights, weights
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.probe_routes import LABEL, Variant
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey, RouteKey, references, route_key
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.step_weights import Shares

Written = tuple[RouteKey, Manifest, Manifest]
"""A route's key, the route before, and the route after a write."""

ATTEMPTS = 5
"""How often the write of one route is tried before another writer that keeps writing it is reported."""


def route_path(key: RouteKey) -> str:
    """Return the API path of a route."""
    return object_path(key.api_version, key.kind, key.namespace, key.name)


@dataclass(frozen=True)
class RouteWriter:
    """Writes the routes of one migration.

    :param originals: the users' routes as they were before the migration.
    :param moves: alpha pool to the name of its v1 pool.
    :param dry_run: whether the API server only checks each write and stores none.
    :param begun_with: the routes that the migration began with: of one that is gone probe routes may be left.
    """

    cluster: Cluster
    originals: Mapping[RouteKey, Manifest]
    moves: Mapping[PoolKey, str]
    dry_run: bool = False
    begun_with: frozenset[RouteKey] = frozenset()

    # -- users' routes ----------------------------------------------------------------------------------------------

    def write_all(self, form: weights.Form, share: int, standing: Sequence[Shares] = ()) -> list[Written]:
        """Write every route as one step; where one can't be written, take those before it back.

        With form ``original`` none is taken back, and the others are still written: as many routes as possible return to v1alpha2.

        :param standing: as in :meth:`write`.
        :raises ApiError, weights.Drifted, ValueError: the first that :meth:`write` raised.
        """
        done: list[Written] = []
        failed: Exception | None = None
        for key in self.originals:
            try:
                done.append((key, *self.write(key, form, share, standing)))
            except (ApiError, weights.Drifted, ValueError) as error:
                if form != "original":
                    self.take_back(done, _target(form, share))
                    raise
                failed = failed or error
        if failed:
            raise failed
        return done

    def write(self, key: RouteKey, form: weights.Form, share: int, standing: Sequence[Shares] = ()) -> tuple[Manifest, Manifest]:
        """Read, change and write one route under its resourceVersion; after a conflict, begin again with what is live.

        :param standing: the shares at which the route may be found, besides the wanted one; empty: at any share of ours.
        :returns: the route before and after.
        :raises weights.Drifted: when somebody else changed a moved rule.
        :raises Conflict: when every one of :data:`ATTEMPTS` writes met one.
        :raises ApiError: when the route is gone, or the server stored something else than was written.
        :raises ValueError: when the weights can't be split at this share.
        """
        original, before = self.originals[key], None
        for _attempt in range(ATTEMPTS):
            live = self.cluster.get(route_path(key))
            if live is None:
                raise ApiError(f"{key}: gone since the plan was made.")
            # Only the first read is "before": after a conflict the live route may hold our own write, whose answer got lost.
            before = before or live
            self._refuse_drift(key, live, [*standing, _target(form, share)] if standing else [])
            wanted = weights.reshape(live, original, self.moves, form, share)
            if wanted == live:
                return before, live
            try:
                written = self.cluster.replace(route_path(key), wanted, self.dry_run)
            except Conflict:
                continue
            if not weights.only_references_differ(live, written, weights.places(live, original, self.moves).values()):
                raise ApiError(f"{key}: the API server stored more than the references that were written (a webhook?): compare it with the backup.")
            if references(written) != references(wanted):
                raise ApiError(f"{key}: the API server stored other references or weights than were written (a webhook?): compare it with the backup.")
            return before, written
        raise _stubborn(key)

    def take_back(self, done: list[Written], written: Shares) -> None:
        """Give routes back the weights from before a step, the last one first; a route that can't be written is skipped.

        :param written: the share that the step gave them; a route at any other was changed by somebody else since, and is left alone.
        """
        for key, before, _after in reversed(done):
            with suppress(ApiError, weights.Drifted, ValueError):  # the next run reads what is live, and the caller raises the error that led here
                self.write(key, *weights.form_of(before, self.originals[key], self.moves), [written])

    def _refuse_drift(self, key: RouteKey, live: Manifest, standing: Sequence[Shares]) -> None:
        """Refuse a route that stands at none of the shares; without shares, refuse none. :raises weights.Drifted: names what the first share would be."""
        found = [list(step_weights.faults(live, self.originals[key], self.moves, step_weights.of(str(key), wanted))) for wanted in standing]
        if found and all(found):
            raise weights.Drifted("; ".join(found[0]))

    # -- probe routes -----------------------------------------------------------------------------------------------

    def write_probe_route(self, manifest: Manifest) -> bool:
        """Create a probe route, or replace its spec where the user's route has changed since; return False where neither was needed.

        After a conflict it is read again: gateways write its status at any time.

        :raises Conflict: when every one of :data:`ATTEMPTS` writes met one.
        """
        key = route_key(manifest)
        for _attempt in range(ATTEMPTS):
            there = self.cluster.get(route_path(key))
            if there and there["spec"] == manifest["spec"]:
                return False
            if there is None:
                # A conflict is our own write whose answer got lost: nobody else knows the nonce in the name.
                with suppress(Conflict):
                    self.cluster.create(collection_path(key.api_version, plural(key.kind), key.namespace), manifest, self.dry_run)
                return True
            try:
                self.cluster.replace(route_path(key), there | {"spec": manifest["spec"]}, self.dry_run)
                return True
            except Conflict:
                continue
        raise _stubborn(key)

    def remove_probe_routes(self, variants: Sequence[Variant]) -> list[RouteKey]:
        """Delete the probe routes of some variants by their label, whichever migration made them, and return their keys."""
        removed = []
        for api_version, kind, namespace in sorted({(key.api_version, key.kind, key.namespace) for key in (*self.originals, *self.begun_with)}):
            path = collection_path(api_version, plural(kind), namespace)
            for manifest in list(self.cluster.list(path, labelSelector=f"{LABEL} in ({','.join(variants)})")):
                self.cluster.delete(route_path(route_key(manifest)), self.dry_run)
                removed.append(route_key(manifest))
        return removed


def _target(form: weights.Form, share: int) -> Shares:
    return "finished" if form == "finished" else 0 if form == "original" else share


def _stubborn(key: RouteKey) -> Conflict:
    return Conflict(f"{key}: written by somebody else {ATTEMPTS} times in a row: stop that writer, then start again.", 409)
