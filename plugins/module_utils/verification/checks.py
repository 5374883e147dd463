# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of verify_gateway: each is one bounded stretch of looking at the API server and asking through the gateway.

While probes are sent the moved routes are looked at too. What they must stand at is said by the caller (``shares``), never read from
them: weights and traffic agree also where somebody else wrote both.

For internal use of this collection only.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import journal
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import Cluster, Unreachable
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import (
    http_client,
    long_streams,
    sending,
    settle,
    targets,
    traffic_split,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.gate import Judgement, judge
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sprt import Bounds
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import step_weights, weights
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.step_weights import Shares
from ansible_collections.inference_gateway.migration.plugins.module_utils.scope import Scene, plan_of
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification import proof

WORKERS = 12
"""Requests of our own in flight at most."""
MOST_STREAMS = 8
"""Moved references and addresses at most that are asked for long streams at once, chosen anew each time."""
LOOK = 3.0
"""Seconds between two looks at the moved routes: weights that somebody else writes end a stretch that soon."""
GOING = 10
"""Seconds in which what was deleted may still be going."""
LOOK_PART = 0.1
"""Part of a stretch that looking may take at most: of a hundred routes each look takes longer."""

Params = dict[str, Any]
Result = dict[str, Any]


class Lookout:
    """Looks at the moved routes beside other work, now and then. Without shares there is nothing to look for."""

    def __init__(self, here: Scene, wanted: Shares | None) -> None:
        self.here, self.wanted, self.next = here, wanted, 0.0

    def __call__(self) -> None:
        """Look, if it is time to. An API server that gives no answer is asked again, and by :meth:`last`.

        :raises weights.Drifted: where a route has other weights than it must.
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
        """Look, whatever the time. :raises weights.Drifted: as above. :raises Unreachable: where there is no answer."""
        if self.wanted is not None:
            self.here.demand(self.wanted)


def read(cluster: Cluster, params: Params) -> Scene:
    """The scene, with the routes as they were where a migration was begun."""
    if params["plan"] is None:
        return Scene.read(cluster, plan_of(cluster, params["pools"]), "", None, params["probes"])
    store = journal.Journal(cluster, params["state_namespace"])
    record = store.read() or {"nonce": "", "backup": None}
    return Scene.read(cluster, params["plan"], record["nonce"], store.backup(record["backup"]) if record["backup"] else None, params["probes"])


def asked(here: Scene, params: Params, gone: bool = False) -> list[targets.Probe]:
    """One probe for every cell by the rules that were chosen. :raises ValueError: where there is none: nothing would be proven by asking nothing."""
    chosen = here.probes(rules(params), gone)
    if not chosen or params["rounds"] < 1:
        raise ValueError("Nothing would be asked, so nothing would be proven: " + (
            "rounds must be 1 or more." if params["rounds"] < 1 else "no route names the pools, or no pools or variants were given."))
    return chosen


def rules(params: Params) -> list[Any]:
    """The variants by which to ask; None is the users' own rules."""
    return [None if name == "user" else name for name in params["variants"]]


def settled(cluster: Cluster, params: Params, deadline: float) -> Result:
    """Traffic first, then status: statuses are written late, and prove nothing by themselves."""
    here, gone = read(cluster, params), params["check"] == "gone"
    probes, pace, watch, look = asked(here, params, gone), sending.Pace(params["probe_rate"]), None, Lookout(here, params["shares"])
    if params["judgement"] is not None:
        watch = settle.Watch(Bounds.of(params["gate"]), params["known"], any(here.serves_v1(key) for key in here.live), params["judgement"])
    found = settle.settle(probes, http_client.client(params).send, params["rounds"], deadline, pace, WORKERS, params["clean"], watch, look)
    status = read(cluster, params).status_faults() if found.done else []
    while status and time.monotonic() < deadline:
        look()
        time.sleep(0.5)
        status = read(cluster, params).status_faults()
    look.last()
    return {
        "ok": found.done and not status,
        "passing": found.passing | ({"status": not status} if found.done else {}),
        "clean": found.rounds,
        "faults": [*found.faults.worst(most=4), *status],
        "first_success": found.first,
        "sent": found.sent,
    } | ({"judgement": watch.judgement.dump()} if watch else {})


def baseline(cluster: Cluster, params: Params, deadline: float) -> Result:
    """How rules answer while v1 has none of their traffic; where it has some already nothing is asked of users' rules, and no kind of failure is known."""
    here = read(cluster, params)
    shares = {str(key): weights.share_of(here.live[key], original, here.moves) for key, original in here.originals.items()}
    for key, original in here.originals.items():
        if shares[str(key)] is None:
            here_and_there = "; ".join(step_weights.faults(here.live[key], original, here.moves, 0))
            raise weights.Drifted(f"the moved rules stand neither as they were nor at one share of this migration: {here_and_there}")
    look = Lookout(here, params["shares"])
    at = {"shares": shares, "stack": proof.stack(here), "share": min(shares.values(), default=0), "others": list(proof.others(here, "shift"))}
    if "user" in params["variants"] and any(here.serves_v1(key) for key in here.live):
        return {"ok": True, "kinds": [], "serves_v1": True, "faults": [], "sent": 0} | at
    pace = sending.Pace(params["probe_rate"])
    faults, kinds, silent = settle.baseline(asked(here, params), http_client.client(params).send, params["rounds"], deadline, pace, WORKERS)
    look.last()
    return {"ok": not silent, "kinds": list(kinds), "serves_v1": False, "faults": faults.worst(), "sent": sum(faults.sent.values())} | at


def share(cluster: Cluster, params: Params, deadline: float) -> Result:
    """What v1 really serves, against the shares that were given."""
    here = read(cluster, params)
    look = Lookout(here, params["shares"])
    pace, client = sending.Pace(params["probe_rate"]), http_client.client(params)
    found = traffic_split.measure(here.cells, here.expected(params["shares"]), client.dye, here.nonce, params["dyes"], pace, WORKERS, look)
    look.last()
    return {"ok": not (found.faults or found.unsure)} | found.dump()


def gate(cluster: Cluster, params: Params, deadline: float) -> Result:
    """One stretch of a gate."""
    bounds = Bounds.of(params["gate"])
    here = read(cluster, params)
    look = Lookout(here, params["shares"])
    trios = [tuple(targets.probe(cell, variant, here.nonce, here.models) for variant in ("alpha", "v1", None)) for cell in here.cells]
    before = Judgement.load(params["judgement"])
    hold = time.monotonic() + params["hold"]
    after = judge(trios, http_client.client(params).send, bounds, before, max(deadline, hold), sending.Pace(params["probe_rate"]), WORKERS,
                         frozenset(params["known"]), hold, look)
    look.last()
    decision = after.decide(here.cells)
    return {"ok": decision == "accept", "decision": decision, "judgement": after.dump(), "faults": list(after.faults), "sent": after.sent - before.sent}


def hold_streams(cluster: Cluster, params: Params, deadline: float) -> Result:
    """Long streams by the rules that were asked for, side by side until the deadline."""
    here = read(cluster, params)
    chosen = targets.streaming(here.cells)
    places = [[targets.probe(cell, variant, here.nonce, here.models) for variant in rules(params)]
              for cell in random.sample(chosen, min(len(chosen), MOST_STREAMS))]
    held = long_streams.hold(places, http_client.client(params).hold, deadline, params["copies"])
    faults, sent = [one.fault for one in held if one.fault], sum(side.asked for one in held for side in one.sides.values())
    return {"ok": not faults, "faults": faults, "streams": [one.dump() for one in held], "left_out": len(chosen) - len(places), "sent": sent}


def installed(cluster: Cluster, params: Params, deadline: float) -> Result:
    """Wait for the endpoint pickers; a crash loop ends the wait early, for it does not pass by itself."""
    here = read(cluster, params)
    loops = 0
    while True:
        faults = here.epp_faults()
        loops += any("BackOff" in fault or "Err" in fault for fault in faults)
        if not faults or loops > 5 or time.monotonic() >= deadline:
            return {"ok": not faults, "faults": faults, "sent": 0}
        time.sleep(1)


def phase_end(cluster: Cluster, params: Params, deadline: float) -> Result:
    """What a phase must have come to, taken last: nothing of it is concluded from what was done before."""
    here, phase = read(cluster, params), params["phase"]
    look = Lookout(here, params["shares"])
    record, now = journal.Journal(cluster, params["state_namespace"]).read(), time.monotonic()
    patience = now + min(GOING, (deadline - now) / 3)
    faults = proof.faults(here, phase, record, params["stack"])
    while faults and phase != "shift" and time.monotonic() < patience:
        look()
        time.sleep(1)
        faults = proof.faults(here, phase, record, params["stack"])
    answered, sent = [], 0
    if here.cells:
        pace = sending.Pace(params["probe_rate"])
        found = settle.settle(asked(here, params), http_client.client(params).send, params["rounds"], deadline, pace, WORKERS, look=look)
        answered, sent = [] if found.done else found.faults.worst(most=4) or ["requests did not settle in time"], found.sent
    look.last()
    return {
        "ok": not faults and not answered,
        "faults": [*answered, *faults],
        "verdict": "FAILED" if answered else "HELD" if faults else "PROVEN" if here.cells else None,
        "reason": proof.sentence(here, phase),
        "sent": sent,
    }


def remaining(cluster: Cluster, params: Params, deadline: float) -> Result:
    """What is still there of what the plan deletes; nothing is asked through the gateway."""
    there = [entry for pool in params["plan"]["pools"] for entry in pool["retire"] if proof.live(cluster, entry)]
    return {"ok": True, "faults": [], "remaining": there, "sent": 0}


CHECKS: dict[str, Callable[[Cluster, Params, float], Result]] = {
    "settled": settled, "gone": settled, "baseline": baseline, "share": share, "gate": gate, "streams": hold_streams, "installed": installed,
    "phase_end": phase_end, "remaining": remaining,
}
