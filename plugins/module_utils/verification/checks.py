# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the checks of a migration: each is one bounded stretch of reading from the API server and asking through the gateway.

While probes are sent the moved routes are looked at too. The shares at which they must stand come from the caller (``shares``), never from
the routes: weights and traffic agree also where somebody else wrote both.

For internal use of this collection only.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import journal
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import Cluster, Forbidden, Unreachable
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import (
    http_client,
    long_streams,
    settle,
    targets,
    traffic_split,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.gate import Comparison, Judgement, judge
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.load import ProbeLoad
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sprt import Bounds
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import step_weights, weights
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.probe_routes import Variant
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.step_weights import Shares
from ansible_collections.inference_gateway.migration.plugins.module_utils.scope import MigrationScope, plan_of
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification import pickers, proof, statuses, unproven

WORKERS = 12
"""Requests of our own in flight at most."""
MOST_STREAMS = 8
"""Targets that are asked for long streams at once, or one of each pool where there are more pools; they are chosen anew each time."""
LOOK = 3.0
"""Seconds between two looks at the moved routes: weights that somebody else writes end a stretch that soon."""
GOING = 10
"""Seconds for which objects that were deleted may still be there."""
LOOK_PART = 0.1
"""Part of a stretch that looking at routes may take at most: with a hundred routes each look takes longer."""

Params = dict[str, Any]
Result = dict[str, Any]
Check = Callable[[Cluster, Params, float], Result]
"""Takes the cluster, the module's parameters and a moment on the clock of time.monotonic by which it ends. Returns the module's result, in which ``ok`` says
whether what was checked holds."""


class Lookout:
    """Looks now and then, beside other work, whether the moved routes stand at the wanted shares; without shares it does nothing."""

    def __init__(self, scope: MigrationScope, wanted: Shares | None) -> None:
        self.scope, self.wanted, self.next = scope, wanted, 0.0

    def __call__(self) -> None:
        """Look, if it is time to. An API server that does not answer is asked again at the next look, and by :meth:`last`.

        :raises weights.Drifted: when a route has other weights than it must.
        """
        begun = time.monotonic()
        if begun < self.next:
            return
        try:
            self.last()
        except Unreachable:
            pass
        ended = time.monotonic()
        self.next = ended + max(LOOK, (ended - begun) / LOOK_PART)

    def last(self) -> None:
        """Look now. :raises weights.Drifted: when a route has other weights than it must. :raises Unreachable: when the API server does not answer."""
        if self.wanted is not None:
            self.scope.demand(self.wanted)


def read(cluster: Cluster, params: Params) -> MigrationScope:
    """Read the migration scope of ``plan``, with the original routes from the backup where a migration was begun; without a plan, the scope of ``pools``."""
    store = journal.Journal(cluster, params["state_namespace"])
    record = None
    # Whoever verifies pools by hand need not see journals.
    with suppress(*([Forbidden] if params["plan"] is None else [])):
        record = store.read()
    # A journal of an earlier version has no answers.
    answers = record.get("answers") if record else None
    if params["plan"] is None:
        return MigrationScope.read(cluster, plan_of(cluster, params["pools"]), "", None, params["probes"], answers)
    if record is None:
        return MigrationScope.read(cluster, params["plan"], "", None, params["probes"])
    saved = store.backup(record["backup"]) if record["backup"] else None
    return MigrationScope.read(cluster, params["plan"], record["nonce"], saved, params["probes"], answers)


def asked(scope: MigrationScope, params: Params, gone: bool = False) -> list[targets.Probe]:
    """Make one probe for every target and chosen variant. :param gone: whether the probe routes were removed.

    :raises ValueError: when there is no probe or no round to send: asking nothing would prove nothing.
    """
    chosen = scope.probes(rules(params), gone)
    if not chosen or params["rounds"] < 1:
        raise ValueError("Nothing would be asked, so nothing would be proven: " + (
            "rounds must be 1 or more." if params["rounds"] < 1 else "no route names the pools, or no pools or variants were given."))
    return chosen


def rules(params: Params) -> list[Any]:
    """Return the variants by which to ask; None stands for the users' own rules."""
    return [None if name == "user" else name for name in params["variants"]]


def load_of(scope: MigrationScope, params: Params, ramp: bool = False) -> ProbeLoad:
    """Make the bounds of what probes ask of model servers, by those that are ready now and by what earlier executions saw (``load``)."""
    return ProbeLoad(params["probe_rate"], scope.ready_servers(), scope.pool_of, params["load"] or None, ramp)


def settled(cluster: Cluster, params: Params, deadline: float) -> Result:
    """Check that every target is answered, then that all statuses are good: statuses are written late, and prove nothing by themselves.

    For check ``gone`` the probe routes were removed, and the users' own rules must answer their requests.
    """
    scope, gone = read(cluster, params), params["check"] == "gone"
    probes, load, monitor, look = asked(scope, params, gone), load_of(scope, params), None, Lookout(scope, params["shares"])
    if params.get("judgement") is not None:  # verify_gateway has none
        monitor = settle.LiveTrafficMonitor(Bounds.of(params["gate"]), params["known"], any(scope.serves_v1(key) for key in scope.live), params["judgement"])
    found = settle.settle(probes, http_client.client(params).send, params["rounds"], deadline, load, WORKERS, params["clean"], monitor, look)
    made = [] if gone else [variant for variant in rules(params) if variant]
    status = statuses.faults(read(cluster, params), made) if found.done else []
    while status and time.monotonic() < deadline:
        look()
        time.sleep(0.5)
        status = statuses.faults(read(cluster, params), made)
    look.last()
    return {
        "ok": found.done and not status,
        "passing": found.passing | ({"status": not status} if found.done else {}),
        "clean": found.rounds,
        "faults": [*found.faults.worst(most=4), *status],
        "first_success": found.first,
        "sent": found.sent,
        "load": load.dump(),
    } | ({"judgement": monitor.judgement.dump()} if monitor else {})


def baseline(cluster: Cluster, params: Params, deadline: float) -> Result:
    """Record how rules answer while v1 has none of their traffic, at which shares the routes stand, and what is installed of v1.

    Whatever model an answer names is right here: that is how v1alpha2 serves. ``answers`` has the names that the Plan does not expect. Where v1 has some
    traffic already, nothing is asked of the users' own rules, and no kind of failure is known.

    :raises weights.Drifted: when the moved rules of a route stand at no share of this migration.
    """
    scope = read(cluster, params)
    shares: dict[str, int] = {}
    for key, original in scope.originals.items():
        share = weights.share_of(scope.live[key], original, scope.moves)
        if share is None:
            here_and_there = "; ".join(step_weights.faults(scope.live[key], original, scope.moves, 0))
            raise weights.Drifted(f"the moved rules stand neither as they were nor at one share of this migration: {here_and_there}")
        shares[str(key)] = share
    look = Lookout(scope, params["shares"])
    record = journal.Journal(cluster, params["state_namespace"]).read()
    at = {
        "passed": (record.get("passed") if record else 0) or 0,
        # Also where a killed run has taken all traffic back: requests may be open on v1. A journal of an earlier version does not say.
        "served": bool(record and record.get("shifted_since", True)),
        "targets": len(scope.targets),
        "shares": shares, "stack": proof.stack(scope), "share": min(shares.values(), default=0), "others": list(proof.others(scope, "shift")),
        "unproven": unproven.of_targets(scope.current.values(), scope.listeners, scope.pools(), {target: scope.pool_of(target) for target in scope.targets}),
        "streaming": [{"pool": scope.pool_of(target), "what": str(target)} for target in targets.streaming(scope.targets)],
    }
    if "user" in params["variants"] and any(scope.serves_v1(key) for key in scope.live):
        return {"ok": True, "kinds": [], "serves_v1": True, "faults": [], "answers": {}, "round_seconds": 0.0, "sent": 0} | at
    load = load_of(scope, params, ramp=not params["load"])
    probes = [replace(probe, answers=frozenset()) for probe in asked(scope, params)]
    found = settle.baseline(probes, http_client.client(params).send, params["rounds"], deadline, load, WORKERS)
    look.last()
    expected = {model: targets.answers_of(model, scope.models.get(model, {})) for model in found.answers}
    further = {model: sorted(names - expected[model]) for model, names in found.answers.items() if names - expected[model]}
    return {
        "ok": not found.silent, "kinds": list(found.kinds), "serves_v1": False, "faults": found.faults.worst(), "answers": further,
        "sent": sum(found.faults.sent.values()), "load": load.dump(), "round_seconds": round_seconds(scope, found.seconds, params["probe_rate"]),
    } | at


def round_seconds(scope: MigrationScope, seconds: Mapping[targets.ProbeTarget, float], per_second: int) -> float:
    """Return the seconds in which every target can be asked once where each model server has one probe at a time: those of the pool that takes longest.

    :param seconds: that an answer takes, by target. :param per_second: probes a second at most.
    """
    busy: dict[str, float] = defaultdict(float)
    for target, each in seconds.items():
        busy[scope.pool_of(target)] += each
    servers = scope.ready_servers()
    return max([each / servers[pool] for pool, each in busy.items()] + [sum(busy.values()) / WORKERS, len(seconds) / per_second])


def measured(cluster: Cluster, params: Params, deadline: float) -> Result:
    """Measure what v1 really serves, and compare it with the shares that were given; it holds once every group has been measured, or can't be."""
    scope = read(cluster, params)
    look = Lookout(scope, params["shares"])
    load, client = load_of(scope, params), http_client.client(params)
    critical = [name for name, model in scope.models.items() if model.get("criticality") == "Critical"]
    found = traffic_split.measure(scope.targets, scope.expected(params["shares"]), client.send_tracer, scope.nonce, params["tracers"], load, WORKERS, look,
                                  deadline, params["tally"], critical)
    look.last()
    return {"ok": found.done} | found.dump()


def compared(scope: MigrationScope, target: targets.ProbeTarget) -> Comparison:
    """Make the comparison of one target: its probes through v1alpha2, v1 and the live rule."""

    def by(variant: Variant | None) -> targets.Probe:
        return targets.probe(target, variant, scope.nonce, scope.models)

    return by("alpha"), by("v1"), by(None)


def gate(cluster: Cluster, params: Params, deadline: float) -> Result:
    """Send comparisons for one stretch of a gate: until it decides, or until the deadline or the end of the soak, whichever is later."""
    bounds = Bounds.of(params["gate"])
    scope = read(cluster, params)
    look = Lookout(scope, params["shares"])
    comparisons = [compared(scope, target) for target in scope.targets]
    before = Judgement.load(params["judgement"])
    soak_until, load = time.monotonic() + params["soak"], load_of(scope, params)
    after = judge(comparisons, http_client.client(params).send, bounds, before, max(deadline, soak_until), load, WORKERS, frozenset(params["known"]),
                  soak_until, look)
    look.last()
    decision = after.decide(scope.targets, bounds)
    return {"ok": decision == "accept", "decision": decision, "judgement": after.dump(), "faults": list(after.faults), "sent": after.sent - before.sent,
            "load": load.dump()}


def sampled(scope: MigrationScope, found: list[targets.ProbeTarget]) -> list[targets.ProbeTarget]:
    """Choose at random one target of each pool, and others up to :data:`MOST_STREAMS` in all: no pool is left out, however many there are."""
    shuffled = random.sample(found, len(found))
    first = {scope.pool_of(target): target for target in shuffled}
    rest = [target for target in shuffled if target not in first.values()]
    return [*first.values(), *rest[:max(0, MOST_STREAMS - len(first))]]


def hold_streams(cluster: Cluster, params: Params, deadline: float) -> Result:
    """Hold long streams open through the chosen rules, side by side until the deadline, and compare how they ended."""
    scope = read(cluster, params)
    chosen = targets.streaming(scope.targets)
    chosen_probes = [[targets.probe(target, variant, scope.nonce, scope.models) for variant in rules(params)] for target in sampled(scope, chosen)]
    held = long_streams.keep_open(chosen_probes, http_client.client(params).hold_stream, deadline, params["copies"])
    faults, sent = [one.fault for one in held if one.fault], sum(side.asked for one in held for side in one.sides.values())
    return {"ok": not faults, "faults": faults, "streams": [one.dump() for one in held], "left_out": len(chosen) - len(chosen_probes), "sent": sent}


def admitted(cluster: Cluster, params: Params, _deadline: float) -> Result:
    """Check that the server would take the pods of ``objects``, which the chart renders."""
    return pickers.admitted(cluster, params["plan"], params["objects"] or [])


def installed(cluster: Cluster, params: Params, deadline: float) -> Result:
    """Wait until the v1 endpoint pickers are available; pods that the server refuses are tried again where a ``run`` holds the Lease."""
    scope, run = read(cluster, params), params["run"]
    record = journal.Journal(cluster, params["state_namespace"]).read() if run else None
    alpha_leaves = bool(record and record.get("retiring_since"))
    return pickers.installed(scope, deadline, lambda: pickers.try_again(scope) if run else None, alpha_leaves)


def phase_end(cluster: Cluster, params: Params, deadline: float) -> Result:
    """Check that a phase has come to its end, by what is live now: nothing is concluded from what was done before.

    ``verdict`` is FAILED where requests fail, HELD where something else stands against it, and None where no route names the pools.
    """
    scope, phase = read(cluster, params), params["phase"]
    look = Lookout(scope, params["shares"])
    record, now = journal.Journal(cluster, params["state_namespace"]).read(), time.monotonic()
    patience = now + min(GOING, (deadline - now) / 3)
    faults = proof.faults(scope, phase, record, params["stack"])
    while faults and phase != "shift" and time.monotonic() < patience:
        look()
        time.sleep(1)
        faults = proof.faults(scope, phase, record, params["stack"])
    answered, unsettled, clean, sent = [], [], 0, 0
    if scope.targets:
        load = load_of(scope, params)
        found = settle.settle(asked(scope, params), http_client.client(params).send, params["rounds"], deadline, load, WORKERS, params["clean"], look=look)
        answered, clean, sent = found.faults.worst(most=4), found.rounds, found.sent
        unsettled = [] if found.done or answered else [f"{clean} rounds of {params['rounds']} without a failure ended in time"]
    look.last()
    against = [*answered, *faults, *unsettled]
    return {
        "ok": not against,
        "faults": against,
        "clean": clean,
        "verdict": "FAILED" if answered else "HELD" if faults or unsettled else "PROVEN" if scope.targets else None,
        # What a phase leaves is said only where it has come to its end: otherwise it would read as if it had.
        "reason": f"the end of {phase} is not proven: {'; '.join(against)}" if against else proof.sentence(scope, phase),
        "sent": sent,
    }


def remaining(cluster: Cluster, params: Params, deadline: float) -> Result:
    """List what is still there of what the plan deletes, and objectives that still name its alpha pools; nothing is asked through the gateway."""
    there = [entry for pool in params["plan"]["pools"] for entry in pool["retire"] if proof.live(cluster, entry)]
    return {"ok": True, "faults": [], "remaining": there, "repoint": proof.to_repoint(cluster, params["plan"]), "sent": 0}


def removed(cluster: Cluster, params: Params, deadline: float) -> Result:
    """Wait until those of ``objects`` that are being deleted are gone, and say which are there still."""
    there = proof.there(cluster, params["objects"] or [])
    while any(found["metadata"].get("deletionTimestamp") for found in there) and time.monotonic() < deadline:
        time.sleep(1)
        there = proof.there(cluster, there)
    faults = [f"{proof.described(found)} is still there: see what keeps it, or makes it again, then start again" for found in there]
    return {"ok": not there, "faults": faults, "sent": 0}


VERIFICATION: dict[str, Check] = {
    "settled": settled, "admitted": admitted, "installed": installed, "phase_end": phase_end, "remaining": remaining, "removed": removed,
}
"""Checks of verify_gateway, which a person or a role asks for."""

EVIDENCE: dict[str, Check] = {
    "settled": settled, "gone": settled, "baseline": baseline, "traffic_split": measured, "gate": gate, "streams": hold_streams,
}
"""Checks of migration_evidence, which a shift asks for; some go on where an earlier execution ended."""
