#!/usr/bin/python
# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_evidence
short_description: Gather the evidence of one stage of a shift
version_added: 0.1.0
author: inference_gateway.migration contributors (@inference-gateway-migration)
description:
  - Asks both stacks by the probe routes, and the users' own rules, on behalf of M(inference_gateway.migration.shift_traffic), which drives it.
    To look at a gateway by hand use M(inference_gateway.migration.verify_gateway).
  - One execution is bounded by O(seconds) and can go on where another ended, by O(judgement), O(tally) and O(clean).
  - Writes nothing but the renewal of the Lease of O(run).
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
      - V(gone) is the same for probe routes that were removed. Their requests must now be answered by the users' own rules.
      - V(baseline) asks every target by O(variants) O(rounds) times and returns the kinds of failure (RV(kinds)). It holds when every target answered.
      - V(traffic_split) measures by O(tracers) what v1 really serves of each rule at each address, and compares it with O(shares), which it needs.
        It holds when every rule and address has been measured, or can't be.
      - V(gate) compares v1 with v1alpha2 pair by pair through the probe routes until the sequential test decides.
      - V(streams) holds long streams open by O(variants), for O(seconds). It fails where v1 cuts one that v1alpha2 keeps, if both are asked.
    type: str
    choices: [settled, gone, baseline, traffic_split, gate, streams]
    default: settled
  plan:
    description: The plan of the open migration, as M(inference_gateway.migration.migration_journal) returns it.
    type: dict
    required: true
  gate:
    description: Bounds of the sequential test, see M(inference_gateway.migration.shift_traffic). Key V(gates) is over how many gates they are split.
    type: dict
    default: {}
  judgement:
    description:
      - What an earlier execution of the same gate returned.
      - With O(check=settled) too, empty at first, where users' failures are to be counted while a gateway takes a change. Too many end it early.
    type: dict
  soak:
    description: Seconds for which a gate goes on though v1 was accepted, for a soak. A watch then looks for what turns bad.
    type: int
    default: 0
  known:
    description: Kinds of failure that the users' own rules had before v1 got any of their traffic (RV(kinds)). Another kind pauses a gate.
    type: list
    elements: str
    default: []
  tracers:
    description: Requests for a model that nobody uses, by which O(check=traffic_split) tells the stacks apart, at most for each rule and address.
    type: int
    default: 3000
  tally:
    description: What an earlier execution of the same traffic split returned (RV(tally)).
    type: dict
  copies:
    description: Streams that O(check=streams) holds at once for each moved reference, address and stack.
    type: int
    default: 1
seealso:
  - module: inference_gateway.migration.shift_traffic
  - module: inference_gateway.migration.verify_gateway
"""

EXAMPLES = r"""
- name: What v1 really serves at a tenth of the traffic
  inference_gateway.migration.migration_evidence:
    check: traffic_split
    plan: "{{ journal.plan }}"
    shares: 10
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
unproven:
  description: Addresses, models and endpoints (C(kind)) that can't be asked, each by name (C(what)).
  returned: with O(check=baseline)
  type: list
  elements: dict
round_seconds:
  description: Seconds in which every target can be asked once where each model server has one probe at a time; 0 where v1 has traffic of users.
  returned: with O(check=baseline)
  type: float
targets:
  description: Probe targets that there are.
  returned: with O(check=baseline)
  type: int
streaming:
  description: The moved references and addresses that can be asked for long streams (C(what)), each with its C(pool).
  returned: with O(check=baseline)
  type: list
  elements: dict
answers:
  description: For a model the further models that answers to requests for it named, beyond what the plan expects.
  returned: with O(check=baseline)
  type: dict
served:
  description: With O(check=baseline) whether v1 ever had traffic of users in this migration, unless a rollback has ended it.
  returned: with O(check=baseline)
  type: bool
serves_v1:
  description: Whether the users' rules give v1 any traffic already. Then nothing was asked, for it would not be v1alpha2's baseline.
  returned: with O(check=baseline)
  type: bool
share:
  description: The share in percent at which every moved rule stands now, the smallest where they differ.
  returned: with O(check=baseline)
  type: int
passed:
  description: The last share in percent that a gate of an earlier run let through, by the journal.
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
counted:
  description: For each rule and address what each stack answered of the tracer requests.
  returned: with O(check=traffic_split)
  type: list
  elements: str
unsure:
  description: Rules and addresses of which too many tracer requests were answered 429, by an error or not at all, so that no share can be told.
  returned: with O(check=traffic_split)
  type: list
  elements: str
blind:
  description: Rules and addresses at which nothing tells the stacks apart.
  returned: with O(check=traffic_split)
  type: list
  elements: str
undecided:
  description: Rules and addresses whose share O(tracers) requests do not tell, or at which other backends answer as a stack does.
  returned: with O(check=traffic_split)
  type: list
  elements: str
left:
  description: How many rules and addresses are still to be measured.
  returned: with O(check=traffic_split)
  type: int
tally:
  description: What each rule and address has answered so far, to go on with.
  returned: with O(check=traffic_split)
  type: dict
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
load:
  description: The load that model servers bore, to go on with.
  returned: with O(check=settled), O(check=gone), O(check=baseline) and O(check=gate), where anything was asked
  type: dict
  contains:
    usual:
      description: Seconds to the first byte, by pool, model and kind of request.
      type: dict
    refused:
      description: How many times slower probing is because requests were refused.
      type: float
    ratio:
      description: How many times as long as usual the first byte took lately.
      type: float
decision:
  description: V(accept), V(reject), V(undecided), or V(inconclusive) where v1alpha2 fails so often that nothing can be compared with it.
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

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import Cluster, auth_argument_spec
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import http_client
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification import perform
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification.checks import EVIDENCE
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule


def argument_spec() -> dict:
    """Return the options of the module."""
    return auth_argument_spec() | http_client.argument_spec() | perform.argument_spec() | {
        "check": {"type": "str", "choices": list(EVIDENCE), "default": "settled"},
        "plan": {"type": "dict", "required": True},
        "gate": {"type": "dict", "default": {}},
        "judgement": {"type": "dict"},
        "soak": {"type": "int", "default": 0},
        "known": {"type": "list", "elements": "str", "default": []},
        "tracers": {"type": "int", "default": 3000},
        "tally": {"type": "dict"},
        "copies": {"type": "int", "default": 1},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleK8SModule(argument_spec=argument_spec(), supports_check_mode=True)
    if module.params["check"] == "traffic_split" and module.params["shares"] is None:
        module.fail_json(msg="check traffic_split needs shares: what must be can't be read from the routes that are looked at.")
    perform.perform(module, lambda: Cluster(module, patience=5), EVIDENCE[module.params["check"]])


if __name__ == "__main__":
    main()
