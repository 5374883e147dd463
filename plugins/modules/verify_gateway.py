#!/usr/bin/python
# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: verify_gateway
short_description: Prove by status and real requests what a gateway serves
version_added: 0.1.0
author: inference_gateway.migration contributors (@inference-gateway-migration)
description:
  - Looks at the status of Gateways, routes, pools and endpoint pickers at their current generation, and sends real requests.
    A status alone proves nothing.
  - One execution is bounded by O(seconds) and can go on where another ended, by O(judgement).
  - Works on any v1 gateway by O(pools), without a plan or a migration.
  - Writes nothing but the renewal of the Lease of O(run).
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - inference_gateway.migration.attributes
  - inference_gateway.migration.cluster
  - inference_gateway.migration.probing
attributes:
  check_mode:
    support: full
    details: Does not modify state.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  check:
    description:
      - V(settled) asks every cell by O(variants) in rounds until O(rounds) rounds in a row are without a failure.
      - V(gone) is the same for marked routes that were removed. Their requests must now be answered by the users' own rules.
      - V(baseline) asks every cell by O(variants) O(rounds) times and returns the kinds of failure (RV(kinds)). It holds when every cell answered.
      - V(share) measures by O(dyes) what v1 really serves of each rule, and compares it with the rule's weights.
      - V(gate) compares v1 with v1alpha2 pair by pair through the marked routes until the sequential test decides.
      - V(streams) holds long streams open by O(variants), for O(seconds). It fails where v1 cuts one that v1alpha2 keeps, if both are asked.
      - V(installed) waits until the v1 endpoint pickers are available.
    type: str
    choices: [settled, gone, baseline, share, gate, streams, installed]
    default: settled
  plan:
    description: The plan, as M(inference_gateway.migration.detect_v1alpha2) returns it. Either this or O(pools).
    type: dict
  pools:
    description: The v1 pools to verify where there is no plan, with O(check=settled). Every HTTPRoute that names one of them is asked.
    type: list
    elements: dict
    suboptions:
      namespace:
        description: Namespace of the pool.
        type: str
        required: true
      name:
        description: Name of the pool.
        type: str
        required: true
      models:
        description: Models to ask for.
        type: list
        elements: str
        required: true
      endpoints:
        description: Endpoints to ask.
        type: list
        elements: str
        choices: [/v1/completions, /v1/chat/completions, /v1/embeddings, /v1/responses]
        default: [/v1/completions]
  state_namespace:
    description: Namespace of the journal.
    type: str
    default: inference-gateway-migration
  run:
    description: The Lease's holder. Where it is given, the Lease is renewed, and a lost one ends the check.
    type: str
  variants:
    description: By which rules to ask. V(user) is the users' own rules, the others are marked routes.
    type: list
    elements: str
    choices: [alpha, v1, both, user]
    default: [user]
  rounds:
    description: Rounds in a row without a failure that count as settled.
    type: int
    default: 5
  clean:
    description: How many clean rounds in a row an earlier execution of the same check ended with (RV(clean)). They count.
    type: int
    default: 0
  seconds:
    description: Longest time of this execution. A round that has begun is ended.
    type: int
    default: 60
  gate:
    description: Bounds of the sequential test, see M(inference_gateway.migration.shift_traffic). Key V(gates) is over how many gates they are split.
    type: dict
    default: {}
  judgement:
    description:
      - What an earlier execution of the same gate returned.
      - With O(check=settled) too, empty at first, where users' failures are to be counted while a gateway takes a change. Too many end it early.
    type: dict
  hold:
    description: Seconds for which a gate goes on though v1 was accepted, for a soak. A watch then looks for what turns bad.
    type: int
    default: 0
  known:
    description: Kinds of failure that the users' own rules had before v1 got any of their traffic (RV(kinds)). Another kind pauses a gate.
    type: list
    elements: str
    default: []
  dyes:
    description: Requests for a model that nobody uses, by which O(check=share) tells the stacks apart.
    type: int
    default: 500
  copies:
    description: Streams that O(check=streams) holds at once for each moved reference, address and stack.
    type: int
    default: 1
  fail:
    description: Whether to fail when what was checked does not hold. With V(false) the caller reads RV(ok) and RV(faults).
    type: bool
    default: true
seealso:
  - module: inference_gateway.migration.shift_traffic
"""

EXAMPLES = r"""
- name: Every front end serves the pools by the users' own rules
  inference_gateway.migration.verify_gateway:
    plan: "{{ detected.plan }}"
    seconds: 300

- name: Every front end of a v1 gateway serves a pool, without any migration
  inference_gateway.migration.verify_gateway:
    pools:
      - namespace: default
        name: vllm-llama3-8b-instruct
        models: [meta-llama/Llama-3.1-8B-Instruct]
    seconds: 60
"""

RETURN = r"""
ok:
  description: Whether what was checked holds.
  returned: always
  type: bool
faults:
  description: What stands against it, most frequent first.
  returned: always
  type: list
  elements: str
passing:
  description: For each variant whether all its probes passed in any round; once they did in enough rounds in a row, V(status) says whether that is good too.
  returned: with O(check=settled) and O(check=gone)
  type: dict
clean:
  description: Rounds in a row without a failure at the end, to go on with.
  returned: with O(check=settled) and O(check=gone)
  type: int
kinds:
  description: The kinds of failure that were met.
  returned: with O(check=baseline)
  type: list
  elements: str
serves_v1:
  description: Whether the users' rules give v1 any traffic already. Then nothing was asked, for it would not be v1alpha2's baseline.
  returned: with O(check=baseline)
  type: bool
share:
  description: The share in percent at which every moved rule stands now, the smallest where they differ.
  returned: with O(check=baseline)
  type: int
counted:
  description: For each rule and address what each stack answered of the dyes.
  returned: with O(check=share)
  type: list
  elements: str
unsure:
  description: Rules and addresses of which too many dyes were answered 429, by an error or not at all, so that no share can be told.
  returned: with O(check=share)
  type: list
  elements: str
blind:
  description: Rules and addresses at which nothing tells the stacks apart.
  returned: with O(check=share)
  type: list
  elements: str
streams:
  description: By moved reference and address how the streams of each stack ended.
  returned: with O(check=streams)
  type: list
  elements: dict
  contains:
    what:
      description: Moved reference and address.
      type: str
    opened:
      description: When the first streams by each of O(variants) had begun, in seconds since the epoch; 0 where one did not.
      type: float
    alpha:
      description: C(seconds) of the shortest stream that v1alpha2 cut and the C(reason), or of its longest one.
      type: dict
    v1:
      description: The same for v1.
      type: dict
    user:
      description: The same for the user's own rule.
      type: dict
left_out:
  description: Of how many moved references and addresses no stream was asked this time.
  returned: with O(check=streams)
  type: int
sent:
  description: Probes that were sent.
  returned: always
  type: int
decision:
  description: V(accept), V(reject), V(undecided), or V(void) where v1alpha2 fails so often that nothing can be compared with it.
  returned: with O(check=gate)
  type: str
judgement:
  description: The evidence, to go on with.
  returned: with O(check=gate), and with O(check=settled) where it was given
  type: dict
first_success:
  description: When the first of the clean rounds at the end had ended, in seconds since the epoch; 0 without one.
  returned: with O(check=settled)
  type: float
"""

import random
import time

from ansible_collections.inference_gateway.migration.plugins.module_utils import _http, cells, journal, prober, routes, streams
from ansible_collections.inference_gateway.migration.plugins.module_utils._api import ApiError, Cluster, Unreachable, auth_argument_spec
from ansible_collections.inference_gateway.migration.plugins.module_utils.scene import Scene, plan_of
from ansible_collections.inference_gateway.migration.plugins.module_utils.sequential import Bounds
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

WORKERS = 12
"""Requests of our own in flight at most."""
MOST_STREAMS = 8
"""Moved references and addresses at most that are asked for long streams at once, chosen anew each time."""


def argument_spec() -> dict:
    endpoints = list(cells.STREAMS)
    pool = {
        "namespace": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "models": {"type": "list", "elements": "str", "required": True},
        "endpoints": {"type": "list", "elements": "str", "choices": endpoints, "default": endpoints[:1]},
    }
    return auth_argument_spec() | _http.argument_spec() | {
        "check": {"type": "str", "choices": ["settled", "gone", "baseline", "share", "gate", "streams", "installed"], "default": "settled"},
        "plan": {"type": "dict"},
        "pools": {"type": "list", "elements": "dict", "options": pool},
        "state_namespace": {"type": "str", "default": "inference-gateway-migration"},
        "run": {"type": "str"},
        "variants": {"type": "list", "elements": "str", "choices": ["alpha", "v1", "both", "user"], "default": ["user"]},
        "rounds": {"type": "int", "default": 5},
        "clean": {"type": "int", "default": 0},
        "seconds": {"type": "int", "default": 60},
        "gate": {"type": "dict", "default": {}},
        "judgement": {"type": "dict"},
        "hold": {"type": "int", "default": 0},
        "known": {"type": "list", "elements": "str", "default": []},
        "dyes": {"type": "int", "default": 500},
        "copies": {"type": "int", "default": 1},
        "fail": {"type": "bool", "default": True},
    }


def read(cluster: Cluster, params: dict) -> Scene:
    """The scene, with the routes as they were where a migration was begun."""
    if params["plan"] is None:
        return Scene.read(cluster, plan_of(cluster, params["pools"]), "", None, params["probes"])
    store = journal.Journal(cluster, params["state_namespace"])
    record = store.read() or {"nonce": "", "backup": None}
    return Scene.read(cluster, params["plan"], record["nonce"], store.backup(record["backup"]) if record["backup"] else None, params["probes"])


def rules(params: dict) -> list:
    """The variants by which to ask; None is the users' own rules."""
    return [None if name == "user" else name for name in params["variants"]]


def settled(cluster: Cluster, params: dict, deadline: float) -> dict:
    """Traffic first, then status: statuses are written late, and prove nothing by themselves."""
    here, gone = read(cluster, params), params["check"] == "gone"
    probes, pace, watch = here.probes(rules(params), gone), prober.Pace(params["probe_rate"]), None
    if params["judgement"] is not None:
        watch = prober.Watch(Bounds.of(params["gate"]), params["known"], any(here.serves_v1(key) for key in here.live), params["judgement"])
    found = prober.settle(probes, _http.client(params).send, params["rounds"], deadline, pace, WORKERS, params["clean"], watch)
    status = read(cluster, params).status_faults() if found.done else []
    while status and time.monotonic() < deadline:
        time.sleep(0.5)
        status = read(cluster, params).status_faults()
    return {
        "ok": found.done and not status,
        "passing": found.passing | ({"status": not status} if found.done else {}),
        "clean": found.rounds,
        "faults": [*found.faults.worst(most=4), *status],
        "first_success": found.first,
        "sent": found.sent,
    } | ({"judgement": watch.judgement.dump()} if watch else {})


def baseline(cluster: Cluster, params: dict, deadline: float) -> dict:
    """How rules answer while v1 has none of their traffic; where it has some already nothing is asked of users' rules, and no kind of failure is known."""
    here = read(cluster, params)
    shares = [routes.share_of(here.live[key], original, here.moves) for key, original in here.originals.items()]
    at = {"share": min([share or 0 for share in shares], default=0)}
    if "user" in params["variants"] and any(here.serves_v1(key) for key in here.live):
        return {"ok": True, "kinds": [], "serves_v1": True, "faults": [], "sent": 0} | at
    pace = prober.Pace(params["probe_rate"])
    faults, kinds, silent = prober.baseline(here.probes(rules(params)), _http.client(params).send, params["rounds"], deadline, pace, WORKERS)
    return {"ok": not silent, "kinds": list(kinds), "serves_v1": False, "faults": faults.worst(), "sent": sum(faults.sent.values())} | at


def share(cluster: Cluster, params: dict, deadline: float) -> dict:
    """What v1 really serves, by weights that are read now."""
    here = read(cluster, params)
    found = prober.measure(here.cells, here.expected, _http.client(params).dye, here.nonce, params["dyes"], prober.Pace(params["probe_rate"]), WORKERS)
    return {"ok": not (found.faults or found.unsure)} | found.dump()


def gate(cluster: Cluster, params: dict, deadline: float) -> dict:
    """One stretch of a gate."""
    bounds = Bounds.of(params["gate"])
    here = read(cluster, params)
    trios = [tuple(cells.probe(cell, variant, here.nonce, here.models) for variant in ("alpha", "v1", None)) for cell in here.cells]
    before = prober.Judgement.load(params["judgement"])
    hold = time.monotonic() + params["hold"]
    after = prober.judge(trios, _http.client(params).send, bounds, before, max(deadline, hold), prober.Pace(params["probe_rate"]), WORKERS,
                         frozenset(params["known"]), hold)
    decision = after.decide(here.cells)
    return {"ok": decision == "accept", "decision": decision, "judgement": after.dump(), "faults": list(after.faults), "sent": after.sent - before.sent}


def hold_streams(cluster: Cluster, params: dict, deadline: float) -> dict:
    """Long streams by the rules that were asked for, side by side until the deadline."""
    here = read(cluster, params)
    chosen = cells.streaming(here.cells)
    places = [[cells.probe(cell, variant, here.nonce, here.models) for variant in rules(params)]
              for cell in random.sample(chosen, min(len(chosen), MOST_STREAMS))]
    held = streams.hold(places, _http.client(params).hold, deadline, params["copies"])
    faults, sent = [one.fault for one in held if one.fault], sum(side.asked for one in held for side in one.sides.values())
    return {"ok": not faults, "faults": faults, "streams": [one.dump() for one in held], "left_out": len(chosen) - len(places), "sent": sent}


def installed(cluster: Cluster, params: dict, deadline: float) -> dict:
    """Wait for the endpoint pickers; a crash loop ends the wait early, for it does not pass by itself."""
    here = read(cluster, params)
    loops = 0
    while True:
        faults = here.epp_faults()
        loops += any("BackOff" in fault or "Err" in fault for fault in faults)
        if not faults or loops > 5 or time.monotonic() >= deadline:
            return {"ok": not faults, "faults": faults, "sent": 0}
        time.sleep(1)


CHECKS = {"settled": settled, "gone": settled, "baseline": baseline, "share": share, "gate": gate, "streams": hold_streams, "installed": installed}


def main() -> None:
    module = AnsibleK8SModule(
        argument_spec=argument_spec(),
        supports_check_mode=True,
        mutually_exclusive=[("plan", "pools")],
        required_one_of=[("plan", "pools")],
    )
    if module.params["pools"] is not None and (module.params["check"] != "settled" or set(module.params["variants"]) != {"user"}):
        module.fail_json(msg="Without a plan there are no marked routes: pools goes with check settled and variants [user] alone.")
    try:
        deadline = time.monotonic() + module.params["seconds"]
        cluster = Cluster(module, patience=5)
        if module.params["run"] and not module.check_mode:
            journal.Journal(cluster, module.params["state_namespace"]).hold(module.params["run"])
        result = CHECKS[module.params["check"]](cluster, module.params, deadline)
    except Unreachable as error:
        module.fail_json(msg=str(error), unreachable_api=True)
    except (ApiError, ValueError, TypeError, journal.BackupBroken, journal.LeaseLost) as error:
        module.fail_json(msg=str(error))
    if module.params["fail"] and not result["ok"]:
        module.fail_json(msg="; ".join([*result["faults"], *result.get("unsure", [])]) or "not decided in time", **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
