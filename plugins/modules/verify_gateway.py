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
  - Writes nothing but the renewal of the Lease of O(run).
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - inference_gateway.migration.attributes
  - inference_gateway.migration.cluster
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
      - V(gate) compares v1 with v1alpha2 pair by pair through the marked routes until the sequential test decides.
      - V(installed) waits until the v1 endpoint pickers are available.
    type: str
    choices: [settled, gone, gate, installed]
    default: settled
  plan:
    description: The plan, as M(inference_gateway.migration.detect_v1alpha2) returns it.
    type: dict
    required: true
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
    description: What an earlier execution of the same gate returned.
    type: dict
  probe_rate:
    description: Probes a second at most.
    type: int
    default: 60
  probe_timeout:
    description: Seconds for the whole answer to one probe.
    type: int
    default: 10
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

- name: The v1 endpoint pickers run
  inference_gateway.migration.verify_gateway:
    check: installed
    plan: "{{ detected.plan }}"
    seconds: 120
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
  description: For each variant whether all its probes passed in the last round.
  returned: with O(check=settled) and O(check=gone)
  type: dict
clean:
  description: Rounds in a row without a failure at the end, to go on with.
  returned: with O(check=settled) and O(check=gone)
  type: int
decision:
  description: V(accept), V(reject) or V(undecided).
  returned: with O(check=gate)
  type: str
judgement:
  description: The evidence of the gate, to go on with.
  returned: with O(check=gate)
  type: dict
first_success:
  description: When the first of the clean rounds at the end had ended, in seconds since the epoch; 0 without one.
  returned: with O(check=settled)
  type: float
"""

import time

from ansible_collections.inference_gateway.migration.plugins.module_utils import _http, cells, journal, prober
from ansible_collections.inference_gateway.migration.plugins.module_utils._api import ApiError, Cluster, Unreachable, auth_argument_spec
from ansible_collections.inference_gateway.migration.plugins.module_utils.scene import Scene
from ansible_collections.inference_gateway.migration.plugins.module_utils.sequential import Bounds
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

WORKERS = 12
"""Requests of our own in flight at most."""


def argument_spec() -> dict:
    return auth_argument_spec() | {
        "check": {"type": "str", "choices": ["settled", "gone", "gate", "installed"], "default": "settled"},
        "plan": {"type": "dict", "required": True},
        "state_namespace": {"type": "str", "default": "inference-gateway-migration"},
        "run": {"type": "str"},
        "variants": {"type": "list", "elements": "str", "choices": ["alpha", "v1", "both", "user"], "default": ["user"]},
        "rounds": {"type": "int", "default": 5},
        "clean": {"type": "int", "default": 0},
        "seconds": {"type": "int", "default": 60},
        "gate": {"type": "dict", "default": {}},
        "judgement": {"type": "dict"},
        "probe_rate": {"type": "int", "default": 60},
        "probe_timeout": {"type": "int", "default": 10},
        "fail": {"type": "bool", "default": True},
    }


def sender(params: dict) -> prober.Sender:
    """How probes are sent."""
    return lambda probe: _http.send(probe, params["probe_timeout"])


def read(cluster: Cluster, params: dict) -> Scene:
    """The scene, with the routes as they were where a migration was begun."""
    store = journal.Journal(cluster, params["state_namespace"])
    record = store.read() or {"nonce": "", "backup": None}
    return Scene.read(cluster, params["plan"], record["nonce"], store.backup(record["backup"]) if record["backup"] else None)


def settled(cluster: Cluster, params: dict, deadline: float) -> dict:
    """Traffic first, then status: statuses are written late, and prove nothing by themselves."""
    here, gone = read(cluster, params), params["check"] == "gone"
    variants = [None if name == "user" else name for name in params["variants"]]
    probes = here.probes(variants, gone)
    found = prober.settle(probes, sender(params), params["rounds"], deadline, prober.Pace(params["probe_rate"]), WORKERS, params["clean"])
    status = read(cluster, params).status_faults() if found.done else []
    while status and time.monotonic() < deadline:
        time.sleep(0.5)
        status = read(cluster, params).status_faults()
    return {
        "ok": found.done and not status,
        "passing": found.passing,
        "clean": found.rounds,
        "faults": [*found.faults.worst(most=4), *status],
        "first_success": found.first,
    }


def gate(cluster: Cluster, params: dict, deadline: float) -> dict:
    """One stretch of a gate."""
    bounds = Bounds.of(params["gate"])
    here = read(cluster, params)
    found = here.cells()
    trios = [tuple(cells.probe(cell, variant, here.nonce, here.models) for variant in ("alpha", "v1", None)) for cell in found]
    before = prober.Judgement.load(params["judgement"])
    after = prober.judge(trios, sender(params), bounds, before, deadline, prober.Pace(params["probe_rate"]), WORKERS)
    decision = after.decide(bounds, found)
    return {"ok": decision == "accept", "decision": decision, "judgement": after.dump(), "faults": list(after.faults)}


def installed(cluster: Cluster, params: dict, deadline: float) -> dict:
    """Wait for the endpoint pickers; a crash loop ends the wait early, for it does not pass by itself."""
    here = read(cluster, params)
    loops = 0
    while True:
        faults = here.epp_faults()
        loops += any("BackOff" in fault or "Err" in fault for fault in faults)
        if not faults or loops > 5 or time.monotonic() >= deadline:
            return {"ok": not faults, "faults": faults}
        time.sleep(1)


CHECKS = {"settled": settled, "gone": settled, "gate": gate, "installed": installed}


def main() -> None:
    module = AnsibleK8SModule(argument_spec=argument_spec(), supports_check_mode=True)
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
        module.fail_json(msg="; ".join(result["faults"]) or "not decided in time", **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
