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
  - One execution is bounded by O(seconds).
  - Works on any v1 gateway by O(pools), without a plan or a migration.
  - Writes nothing but the renewal of the Lease of O(run), and with it and O(check=installed) an annotation on the Deployment of an endpoint picker whose
    pods the server refused, so that they are tried again.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - inference_gateway.migration.attributes
  - inference_gateway.migration.cluster
  - inference_gateway.migration.journal
  - inference_gateway.migration.probing
  - inference_gateway.migration.verification
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
      - V(settled) asks every target by O(variants) in rounds until O(rounds) rounds in a row are without a failure.
      - V(admitted) tries a pod of each of O(objects) that asks for some in a server-side dry run, as the account C(default). Pod Security, quotas, limits and
        admission webhooks judge pods, and not the Deployment that asks for them.
      - V(installed) waits until the v1 endpoint pickers are available. A crash loop, or pods that the server refuses for 15 seconds, end it early.
      - V(phase_end) holds when O(phase) has come to its end, which is looked at anew, whatever was done before. The moved routes stand at O(shares), which it
        needs, no route made since the plan names v1alpha2, every target is answered by O(variants). For V(retire) and V(simple) nothing is there that the
        plan takes away. For V(retire) the journal's last word on the shift is PROVEN, for what is installed of v1.
      - V(removed) waits until those of O(objects) that are being deleted are gone, and holds when none of them is there.
      - V(remaining) lists what is still there of what the plan deletes by hand, and InferenceObjectives that still name its alpha pools. It asks nothing.
    type: str
    choices: [settled, admitted, installed, phase_end, remaining, removed]
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
  phase:
    description: The phase that must have come to its end, with O(check=phase_end). V(simple) is the whole path with a downtime.
    type: str
    choices: [shift, retire, simple]
  objects:
    description: What the chart renders, with O(check=admitted). Parts that O(plan) merges into it later are merged before it is tried.
    type: list
    elements: dict
  stack:
    description: What was installed of v1 when the shift began, as M(inference_gateway.migration.migration_evidence) returned it, with O(phase=shift).
    type: dict
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
  returned: with O(check=settled)
  type: dict
verdict:
  description: V(PROVEN), V(HELD) where something is not as it must be, V(FAILED) where requests fail; null where no route names the pools.
  returned: with O(check=phase_end)
  type: str
reason:
  description:
    - One sentence on what stands against it.
    - Where nothing does, on what the phase leaves, with the name of all that stays of v1alpha2 because others use it or it belongs to no pool of the plan.
  returned: with O(check=phase_end)
  type: str
warned:
  description: What the server warns of, in its own words; it takes these pods all the same.
  returned: with O(check=admitted)
  type: list
  elements: str
unchecked:
  description: Pods that could not be tried, and why.
  returned: with O(check=admitted)
  type: list
  elements: str
remaining:
  description: Objects by apiVersion, kind and metadata, as M(kubernetes.core.k8s) takes them.
  returned: with O(check=remaining)
  type: list
  elements: dict
repoint:
  description: For each InferenceObjective of the plan that still names its alpha pool, what to merge into it, with its resourceVersion.
  returned: with O(check=remaining)
  type: list
  elements: dict
sent:
  description: Probes that were sent.
  returned: always
  type: int
load:
  description: The load that model servers bore, see M(inference_gateway.migration.migration_evidence).
  returned: with O(check=settled)
  type: dict
clean:
  description: Rounds in a row without a failure at the end.
  returned: with O(check=settled)
  type: int
first_success:
  description: When the first of the clean rounds at the end had ended, in seconds since the epoch; 0 without one.
  returned: with O(check=settled)
  type: float
"""

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import Cluster, auth_argument_spec
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import http_client, targets
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification import perform
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification.checks import VERIFICATION
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule


def argument_spec() -> dict:
    """Return the options of the module."""
    endpoints = list(targets.STREAMS)
    pool = {
        "namespace": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "models": {"type": "list", "elements": "str", "required": True},
        "endpoints": {"type": "list", "elements": "str", "choices": endpoints, "default": endpoints[:1]},
    }
    return auth_argument_spec() | http_client.argument_spec() | perform.argument_spec() | {
        "check": {"type": "str", "choices": list(VERIFICATION), "default": "settled"},
        "plan": {"type": "dict"},
        "pools": {"type": "list", "elements": "dict", "options": pool},
        "phase": {"type": "str", "choices": ["shift", "retire", "simple"]},
        "objects": {"type": "list", "elements": "dict"},
        "stack": {"type": "dict"},
    }


def refusal(params: dict) -> str | None:
    """Return why the options do not fit together, or None where they fit."""
    if params["pools"] is not None and (params["check"] != "settled" or set(params["variants"]) != {"user"}):
        return "Without a plan there are no probe routes: pools goes with check settled and variants [user] alone."
    if params["check"] == "phase_end" and params["shares"] is None:
        return "check phase_end needs shares: what must be can't be read from the routes that are looked at."
    return None


def main() -> None:
    """Run the module."""
    module = AnsibleK8SModule(
        argument_spec=argument_spec(),
        supports_check_mode=True,
        mutually_exclusive=[("plan", "pools")],
        required_one_of=[("plan", "pools")],
        required_if=[("check", "phase_end", ("phase",)), ("check", "admitted", ("objects",)), ("check", "removed", ("objects",))],
    )
    if wrong := refusal(module.params):
        module.fail_json(msg=wrong)
    perform.perform(module, lambda: Cluster(module, patience=5), VERIFICATION[module.params["check"]])


if __name__ == "__main__":
    main()
