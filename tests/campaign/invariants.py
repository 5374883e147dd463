# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges one run by the invariants of the protocol. Pure, and the only place that does.

Revisions are etcd's: they put the versions of all kinds into one order, so that "at this moment" means the same for a route and for a pool.

=== ================================================================ =======================================================================
I   holds when                                                       evidence
=== ================================================================ =======================================================================
I1  in every version of a user's route the weights of each rule that versions of routes, pools, Services and Deployments; a Deployment that was
    names a backend sum to more than 0, and each pool with a weight  broken on purpose is exempt
    has an endpoint picker with a ready replica
I2  no reference with a weight names a pool that is not there        the same
I3  labels, annotations and spec of a user's object are those of the baseline, plan (which references move, what is taken away), every version;
    baseline; in a route that moves, references to its pools may     what somebody else wrote on purpose is the new baseline
    change group, name and weight, and others their weight (I9)
I4  nothing that the plan takes away is deleted while a route or a   versions of routes, moment of each deletion, the load's requests: one that
    mirror names its pool, or while a request is open that began     began before the alpha pool's last weight, and the gateway's delay, and
    when the pool had a weight                                       ended after the deletion
I5  after a rollback every object is that of the baseline and        the last version of every object, where the last play is a rollback
    nothing else is there
I6  once another run has written, a run writes no more but within    the proxy's log, whose users are the runs; Lease renewals excepted
    the 5 s of the fence; none writes that never wrote the Lease
I7  a run after the proven end writes nothing                        the proxy's log of plays ``rerun``: any write, Lease and journal too
I8  check mode writes nothing                                        the same of plays ``check``
I9  the share of each reference that does not move is that of the    weights of every version of a user's route
    baseline in its rule
I10 what the journal says is done is so in the cluster               every version of the journal, against the cluster of its revision
=== ================================================================ =======================================================================
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from fractions import Fraction
from typing import Any, NamedTuple

from tests.campaign.evidence import JOURNAL, LEASE, STATE_NAMESPACE, Cluster, Evidence, Key, Manifest, State, key_of, named, references, target, weight

FENCE_SECONDS = 5.0
"""A write is sent within this time of the look at the Lease, or not at all."""
GATEWAY_SECONDS = 2.0
"""Longest time that an instance of the fast gateway takes for a change; later no request begins by the weights of before."""
SHIFTED = re.compile(r"^routes shifted (\d+): (.*)$")
FINISHED = re.compile(r"^routes finished: (.*)$")
ROUTE_NAME = re.compile(r"^(\w+) ([^/]+)/(.+)$")


class Violation(NamedTuple):
    """What was broken, and how."""

    invariant: str
    sentence: str


def check(evidence: Evidence) -> list[Violation]:
    """Return every violation once, in the order of the invariants."""
    found = [
        *_in_every_version(evidence),
        *_deletions(evidence),
        *_rolled_back(evidence),
        *_one_writer(evidence),
        *_silent(evidence, "rerun", "I7", "a run after the proven end"),
        *_silent(evidence, "check", "I8", "check mode"),
        *_journal(evidence),
    ]
    return sorted(dict.fromkeys(found), key=lambda violation: int(violation.invariant[1:]))


# -- I1, I2, I3, I9: every version ---------------------------------------------------------------------------------------


def _in_every_version(evidence: Evidence) -> Iterator[Violation]:
    cluster, wanted = Cluster.of(evidence.before), _Baseline(evidence)
    for revision, state in [(0, None), *((state.revision, state) for state in evidence.history)]:
        if state is not None:
            cluster.take(state)
            if revision in evidence.edits:
                wanted.accept(state)
        for key, route in cluster.users_routes():
            yield from _weights(key, route, cluster, evidence)
            yield from wanted.shares(key, route)
        if state is None:
            yield from (violation for manifest in evidence.before for violation in wanted.compare(key_of(manifest), manifest))
        else:
            yield from wanted.compare(key_of(state.manifest), None if state.gone else state.manifest)


def _weights(key: Key, route: Manifest, cluster: Cluster, evidence: Evidence) -> Iterator[Violation]:
    sums: dict[int, int] = {}
    for rule, backend, share in references(route):
        sums[rule] = sums.get(rule, 0) + share
        if share <= 0 or backend.kind != "InferencePool":
            continue
        if backend not in cluster.objects:
            yield Violation("I2", f"rule {rule} of {key} gives weight {share} to {backend}, which is not there")
            continue
        serving = cluster.serving(backend)
        if serving is None:
            yield Violation("I1", f"rule {rule} of {key} gives weight {share} to {backend}, which has no endpoint picker")
        elif not serving[2] and serving[:2] not in evidence.broken:
            yield Violation("I1", f"rule {rule} of {key} gives weight {share} to {backend}, whose endpoint picker {serving[1]} has no ready replica")
    for rule, total in sums.items():
        if total <= 0:
            yield Violation("I1", f"the weights of rule {rule} of {key} sum to {total}")


class _Baseline:
    """What users' objects must be, which somebody else's write on purpose changes."""

    def __init__(self, evidence: Evidence) -> None:
        moves = evidence.moves()
        self._pools = {*moves, *moves.values()}
        self._going = evidence.planned_deletes()
        self._parts = {key_of(manifest): users_part(manifest, self._pools) for manifest in evidence.baseline}
        self._shares = {key_of(manifest): third_shares(manifest, self._pools) for manifest in evidence.baseline if manifest["kind"] == "HTTPRoute"}
        """Route to what its references that do not move have of each rule."""

    def accept(self, state: State) -> None:
        """Take a write of somebody else for the user's will."""
        key = key_of(state.manifest)
        if state.gone:
            self._parts.pop(key, None)
            self._shares.pop(key, None)
            return
        self._parts[key] = users_part(state.manifest, self._pools)
        if key.kind == "HTTPRoute":
            self._shares[key] = third_shares(state.manifest, self._pools)

    def compare(self, key: Key, manifest: Manifest | None) -> Iterator[Violation]:
        """Compare an object, None for one that is gone, by I3."""
        wanted = self._parts.get(key)
        if wanted is None or key.namespace == STATE_NAMESPACE:
            return
        if manifest is None:
            if key not in self._going:
                yield Violation("I3", f"{key} is the user's and was deleted")
            return
        part = users_part(manifest, self._pools)
        for field in ("labels", "annotations", "spec"):
            if part[field] != wanted[field] and not (key in self._going and field == "annotations"):
                yield Violation("I3", f"{field} of {key} are not those of before: {_difference(wanted[field], part[field])}")

    def shares(self, key: Key, route: Manifest) -> Iterator[Violation]:
        """Compare a route by I9."""
        if key not in self._shares:
            return
        found = third_shares(route, self._pools)
        for place, share in self._shares[key].items():
            if place in found and found[place] != share:
                rule, backend, _number = place
                yield Violation("I9", f"{backend} has {found[place]} of rule {rule} of {key} in place of {share}")


def users_part(manifest: Manifest, pools: set[Key]) -> dict[str, Any]:
    """Return labels, annotations and spec of an object, without what a migration may change in a route."""
    meta = manifest["metadata"]
    part = {"labels": meta.get("labels") or {}, "annotations": meta.get("annotations") or {}, "spec": deepcopy(manifest.get("spec") or {})}
    if manifest["kind"] == "HTTPRoute":
        for rule in part["spec"].get("rules") or []:
            kept: list[Any] = []
            for reference in rule.get("backendRefs") or []:
                moving = target(reference, meta["namespace"]) in pools
                plain = {field: value for field, value in reference.items() if field != "weight" and not (moving and field in ("group", "name"))}
                if not moving or plain not in kept:
                    kept.append(plain)
            if kept:
                rule["backendRefs"] = sorted(kept, key=lambda entry: json.dumps(entry, sort_keys=True))
    return part


def third_shares(route: Manifest, pools: set[Key]) -> dict[tuple[int, Key, int], Fraction]:
    """Return (rule, what it names, how manieth of these) to its share of the rule, for every reference that does not move."""
    sums: dict[int, int] = {}
    found: dict[tuple[int, Key, int], int] = {}
    for rule, backend, share in references(route):
        sums[rule] = sums.get(rule, 0) + share
        if backend not in pools:
            number = sum(place[:2] == (rule, backend) for place in found)
            found[rule, backend, number] = share
    return {place: Fraction(share, sums[place[0]]) for place, share in found.items() if sums[place[0]] > 0}


def _difference(one: Any, other: Any) -> str:
    before, after = (json.dumps(value, sort_keys=True) for value in (one, other))
    start = next((index for index, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after)))
    return f"...{before[max(0, start - 30):start + 60]}... became ...{after[max(0, start - 30):start + 60]}..."


# -- I4: deletions -------------------------------------------------------------------------------------------------------


def _deletions(evidence: Evidence) -> Iterator[Violation]:
    cluster, moves, going = Cluster.of(evidence.before), evidence.moves(), evidence.planned_deletes()
    weighted: dict[str, float] = {}
    """Rule of a user's route (namespace/name/index) to the last moment at which an alpha pool had a weight in it."""
    for state in evidence.history:
        for key, route in cluster.users_routes():
            for rule, backend, share in references(route):
                if backend in moves and share > 0:
                    weighted[f"{key.namespace}/{key.name}/{rule}"] = state.time
        key = key_of(state.manifest)
        ending = state.gone or "deletionTimestamp" in state.manifest["metadata"]
        if ending and key in going and state.revision not in evidence.edits and key in cluster.objects:
            for route_key, route in cluster.routes():
                for pool in sorted(named(route) & set(moves)):
                    yield Violation("I4", f"{key} was deleted while {route_key} named {pool}")
            for request in evidence.requests:
                if request.start < weighted.get(request.rule, 0.0) + GATEWAY_SECONDS and request.end > state.time:
                    yield Violation("I4", f"{key} was deleted while a request by {request.rule} was open that alpha may have had")
        cluster.take(state)


# -- I5: rollback --------------------------------------------------------------------------------------------------------


def _rolled_back(evidence: Evidence) -> Iterator[Violation]:
    if not evidence.plays or evidence.plays[-1].what != "rollback":
        return
    cluster = Cluster.of(evidence.before)
    wanted = {key_of(manifest): users_part(manifest, set()) for manifest in evidence.baseline}
    moves = evidence.moves()
    edited: set[Key] = set()
    """What somebody else has written on purpose while pools moved: which of them it names is then the migration's to take back, all else is not."""

    def part_of(key: Key, manifest: Manifest) -> dict[str, Any]:
        return users_part(manifest, {*moves, *moves.values()} if key in edited else set())

    for state in evidence.history:
        cluster.take(state)
        if state.revision in evidence.edits:
            key = key_of(state.manifest)
            edited.add(key)
            wanted[key] = part_of(key, state.manifest)
    for key, part in wanted.items():
        if key not in cluster.objects:
            yield Violation("I5", f"{key} is not there after the rollback")
        elif (found := part_of(key, cluster.objects[key])) != part:
            yield Violation("I5", f"{key} is not that of before after the rollback: {_difference(part, found)}")
        elif key.kind == "HTTPRoute" and (left := named(cluster.objects[key]) & {*moves.values()}):
            yield Violation("I5", f"{key} names {min(left)} after the rollback")
    for key in cluster.objects:
        if key not in wanted and key.namespace != STATE_NAMESPACE:
            yield Violation("I5", f"{key} is left after the rollback")


# -- I6, I7, I8: who wrote -----------------------------------------------------------------------------------------------


def _is_lease(path: str) -> bool:
    return f"/namespaces/{LEASE.namespace}/leases" in path


def writes_of(evidence: Evidence, user: str) -> list[tuple[float, str, str]]:
    """Return (time, method, path) of every write of one run that reached the API server."""
    return [(call["time"], call["method"], call["path"].partition("?")[0]) for call in evidence.calls
            if call["user"] == user and call["write"] and not {"status", "reset", "unreachable"} & set(call.get("faults") or ())]


def _one_writer(evidence: Evidence) -> Iterator[Violation]:
    first: dict[str, float] = {}
    last: dict[str, tuple[float, str, str]] = {}
    for play in evidence.plays:
        leased = False
        for when, method, path in writes_of(evidence, play.user):
            if _is_lease(path):
                leased = True
            elif (method, path) != ("POST", "/api/v1/namespaces"):  # the Lease's own
                if not leased:
                    yield Violation("I6", f"{play.what} ({play.user}) wrote {method} {path} before it ever wrote the Lease")
                first.setdefault(play.user, when)
                last[play.user] = (when, method, path)
    order = sorted(first, key=lambda user: first[user])
    for user, later in zip(order, order[1:], strict=False):
        when, method, path = last[user]
        if when > first[later] + FENCE_SECONDS:
            yield Violation("I6", f"{user} wrote {method} {path} {when - first[later]:.1f} s after {later} had begun to write")


def _silent(evidence: Evidence, what: str, invariant: str, words: str) -> Iterator[Violation]:
    for play in evidence.of(what):
        for _when, method, path in writes_of(evidence, play.user):
            yield Violation(invariant, f"{words} wrote {method} {path}")


# -- I10: the journal ----------------------------------------------------------------------------------------------------


def _journal(evidence: Evidence) -> Iterator[Violation]:
    cluster = Cluster.of(evidence.before)
    told = cluster.objects.get(JOURNAL)
    seen = len(_record(told)["entries"]) if told else 0
    done = set(_record(told)["phases"]) if told else set()
    for state in evidence.history:
        cluster.take(state)
        if state.gone or key_of(state.manifest) != JOURNAL:
            continue
        record = _record(state.manifest)
        edited = any(revision <= state.revision for revision in evidence.edits)
        for entry in record["entries"][seen:]:
            if not edited:  # else the next look of the run tells, which is not this invariant's
                yield from _routes_as_told(entry["event"], cluster, evidence)
        for phase in set(record["phases"]) - done:
            yield from _phase_as_told(phase, cluster, evidence)
        seen, done = len(record["entries"]), set(record["phases"])


def _record(manifest: Manifest) -> dict[str, Any]:
    return json.loads(manifest["data"]["record"])


def _routes_as_told(event: str, cluster: Cluster, evidence: Evidence) -> Iterator[Violation]:
    shifted, finished = SHIFTED.match(event), FINISHED.match(event)
    if not shifted and not finished:
        return
    share = int(shifted[1]) if shifted else 100
    listed = shifted[2] if shifted else finished[1] if finished else ""
    for text in listed.split(", "):
        match = ROUTE_NAME.match(text)
        key = Key("gateway.networking.k8s.io", match[1], match[2], match[3]) if match else None
        route = cluster.objects.get(key) if key else None
        if key is None or route is None or key.kind != "HTTPRoute":
            continue
        for rule, (alpha, v1) in _moved(route, evidence).items():
            if v1 * 100 != share * (alpha + v1):
                yield Violation("I10", f"the journal says '{event}', and rule {rule} of {key} has alpha at {alpha} and v1 at {v1}")
        if finished and (left := named(route) & set(evidence.moves())):
            yield Violation("I10", f"the journal says '{event}', and {key} still names {min(left)}")


def _moved(route: Manifest, evidence: Evidence) -> dict[int, tuple[int, int]]:
    """Return rule to the weights of alpha and of v1 in it, where one of both is named."""
    moves = evidence.moves()
    found: dict[int, tuple[int, int]] = {}
    for rule, backend, share in references(route):
        alpha, v1 = found.get(rule, (0, 0))
        if backend in moves:
            found[rule] = (alpha + share, v1)
        elif backend in moves.values():
            found[rule] = (alpha, v1 + share)
    return found


def _phase_as_told(phase: str, cluster: Cluster, evidence: Evidence) -> Iterator[Violation]:
    moves = evidence.moves()
    if phase == "install":
        for pool in moves.values():
            if pool not in cluster.objects:
                yield Violation("I10", f"the journal says that phase install is done, and {pool} is not there")
            elif (serving := cluster.serving(pool)) is None or (not serving[2] and serving[:2] not in evidence.broken):
                yield Violation("I10", f"the journal says that phase install is done, and the endpoint picker of {pool} is not ready")
    elif phase == "shift":
        for key, route in cluster.users_routes():
            for rule, (alpha, v1) in _moved(route, evidence).items():
                if alpha or not v1:
                    yield Violation("I10", f"the journal says that phase shift is done, and rule {rule} of {key} has alpha at {alpha} and v1 at {v1}")
    elif phase == "retire":
        for key in sorted(evidence.planned_deletes() & set(cluster.objects)):
            yield Violation("I10", f"the journal says that phase retire is done, and {key} is still there")


def weights_of(route: Manifest) -> list[list[int]]:
    """Return the weights of each rule of a route, for the record."""
    return [[weight(reference) for reference in rule.get("backendRefs") or []] for rule in route["spec"].get("rules") or []]
