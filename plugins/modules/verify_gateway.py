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
      - V(share) measures by O(dyes) what v1 really serves of each rule, and compares it with O(shares).
      - V(gate) compares v1 with v1alpha2 pair by pair through the marked routes until the sequential test decides.
      - V(streams) holds long streams open by O(variants), for O(seconds). It fails where v1 cuts one that v1alpha2 keeps, if both are asked.
      - V(installed) waits until the v1 endpoint pickers are available.
      - V(phase_end) holds when O(phase) has come to its end, which is looked at anew, whatever was done before. The moved routes stand at O(shares), no route
        made since the plan names v1alpha2, every cell is answered by O(variants). For V(retire) and V(simple) nothing is there that the plan takes away.
        For V(retire) the journal's last word on the shift is PROVEN, for what is installed of v1.
      - V(remaining) lists what is still there of what the plan deletes by hand, and asks nothing.
    type: str
    choices: [settled, gone, baseline, share, gate, streams, installed, phase_end, remaining]
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
  shares:
    description:
      - Percent of the moved traffic that v1 must have by the weights, or V(finished) where v1alpha2 must be out of the rules; one for all routes, or a
        dictionary by C(Kind namespace/name). The routes are looked at all the time. Where one stands elsewhere somebody else wrote it, which ends the check
        and names the writer.
      - Without it weights are not looked at. O(check=share) and O(check=phase_end) need it.
    type: raw
  phase:
    description: The phase that must have come to its end, with O(check=phase_end). V(simple) is the whole path with a downtime.
    type: str
    choices: [shift, retire, simple]
  stack:
    description: What was installed of v1 when the shift began (RV(stack)), with O(phase=shift).
    type: dict
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
shares:
  description: The same for each route, to be given as O(shares) to the checks that follow.
  returned: with O(check=baseline)
  type: dict
others:
  description: Rules made since the plan that send requests to v1alpha2.
  returned: with O(check=baseline)
  type: list
  elements: str
stack:
  description: Fingerprints of what is installed of v1, by pool.
  returned: with O(check=baseline)
  type: dict
verdict:
  description: V(PROVEN), V(HELD) where something is not as it must be, V(FAILED) where requests fail; null where no route names the pools.
  returned: with O(check=phase_end)
  type: str
reason:
  description: One sentence on what the phase leaves, with the name of all that stays of v1alpha2 because others use it or it belongs to no pool of the plan.
  returned: with O(check=phase_end)
  type: str
remaining:
  description: Objects by apiVersion, kind and metadata, as M(kubernetes.core.k8s) takes them.
  returned: with O(check=remaining)
  type: list
  elements: dict
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

import time

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import journal
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import ApiError, Cluster, Unreachable, auth_argument_spec
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import http_client, targets
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import step_weights, weights
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification.checks import CHECKS
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule


def argument_spec() -> dict:
    endpoints = list(targets.STREAMS)
    pool = {
        "namespace": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "models": {"type": "list", "elements": "str", "required": True},
        "endpoints": {"type": "list", "elements": "str", "choices": endpoints, "default": endpoints[:1]},
    }
    return auth_argument_spec() | http_client.argument_spec() | {
        "check": {"type": "str", "choices": list(CHECKS), "default": "settled"},
        "plan": {"type": "dict"},
        "pools": {"type": "list", "elements": "dict", "options": pool},
        "state_namespace": {"type": "str", "default": "inference-gateway-migration"},
        "run": {"type": "str"},
        "shares": {"type": "raw"},
        "phase": {"type": "str", "choices": ["shift", "retire", "simple"]},
        "stack": {"type": "dict"},
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


def refusal(params: dict) -> str | None:
    """Why the options make no sense together, None where they do."""
    if params["pools"] is not None and (params["check"] != "settled" or set(params["variants"]) != {"user"}):
        return "Without a plan there are no marked routes: pools goes with check settled and variants [user] alone."
    if params["check"] in ("share", "phase_end") and params["shares"] is None:
        return f"check {params['check']} needs shares: what must be can't be read from the routes that are looked at."
    return None


def failure(params: dict, result: dict) -> str:
    """What is said where what was checked does not hold."""
    why = "; ".join([*result["faults"], *result.get("unsure", [])]) or "not decided in time"
    return f"The end of {params['phase']} is not proven: {why}" if params["check"] == "phase_end" else why


def main() -> None:
    module = AnsibleK8SModule(
        argument_spec=argument_spec(),
        supports_check_mode=True,
        mutually_exclusive=[("plan", "pools")],
        required_one_of=[("plan", "pools")],
        required_if=[("check", "phase_end", ("phase",))],
    )
    if wrong := refusal(module.params):
        module.fail_json(msg=wrong)
    try:
        deadline = time.monotonic() + module.params["seconds"]
        module.params["shares"] = step_weights.shares(module.params["shares"])
        cluster = Cluster(module, patience=5)
        if module.params["run"] and not module.check_mode:
            journal.Journal(cluster, module.params["state_namespace"]).hold(module.params["run"])
        result = CHECKS[module.params["check"]](cluster, module.params, deadline)
    except Unreachable as error:
        module.fail_json(msg=str(error), unreachable_api=True)
    except weights.Drifted as error:
        module.fail_json(msg=step_weights.left_alone(error), held=True, foreign=True, verdict="HELD")
    except (ApiError, ValueError, TypeError, journal.BackupBroken, journal.LeaseLost) as error:
        module.fail_json(msg=str(error))
    if module.params["fail"] and not result["ok"]:
        module.fail_json(msg=failure(module.params, result), **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
