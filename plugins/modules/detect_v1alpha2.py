#!/usr/bin/python
# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: detect_v1alpha2
short_description: Find what a cluster uses of the Inference Gateway v1alpha2 API, and plan its migration to v1
version_added: 0.1.0
author: inference_gateway.migration contributors (@inference-gateway-migration)
description:
  - Lists InferencePools and InferenceModels of V(inference.networking.x-k8s.io/v1alpha2) and everything connected with them, each kind once.
  - Returns the plan of the migration, with a hash over the changes it intends, and what the estate will trip over, by severity.
  - Only reads. An absent CRD and a CRD without objects both mean that v1alpha2 is not in use; a list that is forbidden is a finding, never a silent no.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - inference_gateway.migration.attributes
  - inference_gateway.migration.attributes.read_only
  - inference_gateway.migration.cluster
  - inference_gateway.migration.probing
options:
  namespaces:
    description:
      - Only pools of these namespaces are looked at. Empty means all.
      - Routes, Gateways, grants and bindings of roles are always read in every namespace.
    type: list
    elements: str
    default: []
  target_version:
    description:
      - Release of the inference extension to migrate to, from V(v1.0.0) to V(v1.5.0).
      - V(v1.6.0) and later are refused, because chart, objectives and rewrites have moved to llm-d.
    type: str
    default: v1.5.0
  pool_names:
    description:
      - Names of v1 pools by alpha pool, as C(name) or C(namespace/name).
      - Without one, C(-preview) at the end becomes C(-ga), else C(-ga) is appended.
    type: dict
    default: {}
  criticality:
    description:
      - How C(criticality) becomes C(priority).
      - V(preserve_shedding) keeps sheddable what is sheddable today. V(upstream) uses the figures of the inference extension's examples.
      - A dictionary of V(Critical), V(Standard), V(Sheddable) and V(Unset) to integers overrides the figures of V(preserve_shedding).
    type: raw
    default: preserve_shedding
  accept:
    description: Codes of blockers that you overrule. Some can't be overruled.
    type: list
    elements: str
    default: []
  endpoints:
    description:
      - Paths that clients call on the pools. They are probed, and checked against what the target's endpoint picker takes.
      - Without them, V(/v1/completions) and V(/v1/chat/completions) are probed.
    type: list
    elements: str
  models:
    description:
      - Models that clients ask a pool for, by alpha pool, as C(name) or C(namespace/name), beside those that InferenceModels declare.
      - A pool without InferenceModels for which nothing is said is asked for its C(/v1/models) through its Gateway.
    type: dict
    default: {}
  connect:
    description:
      - Whether to open a connection to each address of a Gateway that the migration will probe, and to ask pools for their models.
      - Say no where this runs elsewhere than the migration will. Then a Gateway that can't be reached is only found when v1 is installed.
    type: bool
    default: true
  epp_resources:
    description:
      - What the v1 endpoint picker asks of its node. V(preserve) is what alpha's asks today, V(chart) is what the chart asks (4 CPU and 8 GiB from
        v1.4.0 on).
    type: str
    choices: [preserve, chart]
    default: preserve
  epp_image:
    description:
      - Image of every v1 endpoint picker, as C(registry/path/name:tag), for clusters that can't pull the target release's own. A digest may stand behind the
        tag or in its place.
      - Without it the chart's own image is used, and a finding says where alpha's picker comes from another registry.
    type: str
  chart_values:
    description:
      - Values of the chart of all v1 pools. They are merged over those of the plan, dictionaries and lists of named entries deeply, and are part of it.
      - What the migration itself needs, such as pool, ports and provider, is refused.
    type: dict
    default: {}
  shift:
    description: What a shift will be given, see M(inference_gateway.migration.shift_traffic), for the estimate of what it sends.
    type: dict
    default: {}
    suboptions:
      steps:
        description: Shares of v1 in percent.
        type: list
        elements: int
        default: [10, 50, 100]
      gate:
        description: Bounds of the sequential test.
        type: dict
        default: {}
      tracers:
        description: Tracer requests of one rule and address at most.
        type: int
        default: 3000
  expected_plan:
    description:
      - The plan that was approved, as this module returned it, or its hash alone. The task fails when the plan is another one.
      - Given the plan itself, the failure says what differs.
    type: raw
  open_plan:
    description:
      - The plan of a migration that goes on. The task fails with verdict V(HELD) where models, policies, time-outs, endpoint pickers or definitions are not
        any more what it was made for; the failure says what differs. What the migration itself has changed counts for nothing.
    type: dict
  run:
    description: The holder of the Lease, in the middle of a migration. It is renewed meanwhile, for a large cluster takes longer than a Lease lasts.
    type: str
  dry_run:
    description:
      - Whether the planned objects are tried on the server (a dry run writes nothing). Objects of kinds that are not installed yet, or that the
        credential may not create, are listed under C(unchecked) of RV(plan).
    type: bool
    default: true
  report:
    description:
      - File on the controller that gets RV(msg), RV(summary), RV(findings) and RV(plan) as JSON, also in check mode and for a plan that is refused.
      - A relative path is one below the folder in which Ansible was started.
    type: path
  brief:
    description:
      - Leave RV(findings) and RV(plan) out of the result. With O(report) they are in that file.
      - Ansible copies a result several times, value by value, which takes much longer than the detection itself where there are thousands of pools.
    type: bool
    default: false
requirements:
  - python >= 3.11
  - kubernetes >= 24.2.0
seealso:
  - module: inference_gateway.migration.migration_journal
  - module: inference_gateway.migration.shift_traffic
"""

EXAMPLES = r"""
- name: See what v1alpha2 is used for, and the plan
  inference_gateway.migration.detect_v1alpha2:
    kubeconfig: ~/.kube/config
  register: detected

- name: Plan for v1.0.0 with a pool's name of your own
  inference_gateway.migration.detect_v1alpha2:
    target_version: v1.0.0
    pool_names:
      models/llama-preview: llama
    criticality:
      Critical: 10
      Standard: 0
  register: detected

- name: Keep the whole plan in a file
  inference_gateway.migration.detect_v1alpha2:
    report: plan.json
    brief: true

- name: Go on only with the plan that was approved
  inference_gateway.migration.detect_v1alpha2:
    expected_plan: "{{ approved_plan_hash }}"
    accept: [gitops-owned-route]
"""

RETURN = r"""
in_use:
  description: Whether v1alpha2 is in use, or can't be known not to be.
  returned: always
  type: bool
  sample: true
msg:
  description: One sentence.
  returned: always
  type: str
  sample: "v1alpha2 is in use: 1 pool in 1 namespace."
cluster:
  description: The cluster that was read.
  returned: always
  type: dict
  contains:
    id:
      description: The uid of the C(kube-system) namespace, for C(migration_cluster_id) in the inventory.
      type: str
    server:
      description: URL of the API server.
      type: str
    version:
      description: Version of the API server.
      type: str
summary:
  description: The plan for a person, a list of short lines. Of more than 100 pools, or findings of one code, it says how many more there are.
  returned: always
  type: list
  elements: str
findings:
  description: What the estate will trip over, the worst first. docs/findings.md explains every code.
  returned: unless O(brief)
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the finding.
      type: str
    severity:
      description: V(blocker), V(warning) or V(info).
      type: str
    object:
      description: Kind, namespace and name of what must be looked at.
      type: str
    message:
      description: One sentence about this object.
      type: str
    remedy:
      description: What to do about it.
      type: str
difference:
  description: What differs from the approved plan, a line each.
  returned: when O(expected_plan) is a plan, and another one than this
  type: list
  elements: str
plan:
  description: All that will be created, changed and deleted, as data for the other modules of this collection. Holds no Secrets.
  returned: unless O(brief)
  type: dict
  contains:
    schema:
      description: Version of this structure.
      type: int
    hash:
      description: sha256 over target, CRDs and pools alone.
      type: str
    target:
      description: The target release.
      type: str
    in_use:
      description: As above.
      type: bool
    cluster:
      description: As above.
      type: dict
    blocked:
      description: Codes of blockers that nobody overruled. Nothing is written while there is one.
      type: list
      elements: str
    crds:
      description: CRDs to install, those that stay as they are, those to delete at the end, and those of alpha that somebody keeps (C(stays)).
      type: dict
    pools:
      description:
        - For each alpha pool its v1 counterpart, what moves, who must send which header, and what is deleted.
        - C(stays) lists what of alpha is left on purpose, as C(object) and C(why). C(owner.left) is a Helm release that is not uninstalled, or V(null).
      type: list
      elements: dict
    findings:
      description: As above.
      type: list
      elements: dict
    unchecked:
      description: What could not be tried on the server, and why.
      type: list
      elements: str
    estimate:
      description:
        - Roughly how long the migration takes, in C(seconds).
        - How many C(probes) a shift sends at least, for how many C(tokens) at most, and at which C(rate) further ones while it waits for a gateway.
        - How many rules at Gateway addresses have a share of their own that is measured (C(groups)), and by how many tracer requests at most at each step
          (C(tracers)).
      type: dict
"""

import gc
from contextlib import nullcontext
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import ApiError, Cluster, auth_argument_spec
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.dry_run import attempt
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.lease import Lease, LeaseLost
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import Options
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.reader import read_estate
from ansible_collections.inference_gateway.migration.plugins.module_utils.plan import plan, render
from ansible_collections.inference_gateway.migration.plugins.module_utils.plan.contact import Caller, Contact
from ansible_collections.inference_gateway.migration.plugins.module_utils.plan.diff import approved_with, drift, refusal
from ansible_collections.inference_gateway.migration.plugins.module_utils.plan.options import options
from ansible_collections.inference_gateway.migration.plugins.module_utils.plan_schema import Plan
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import http_client
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule


def argument_spec() -> dict[str, Any]:
    """Return the options of the module."""
    return auth_argument_spec() | http_client.argument_spec() | {
        "namespaces": {"type": "list", "elements": "str", "default": []},
        "target_version": {"type": "str", "default": releases.DEFAULT_TARGET},
        "pool_names": {"type": "dict", "default": {}},
        "criticality": {"type": "raw", "default": "preserve_shedding"},
        "accept": {"type": "list", "elements": "str", "default": []},
        "endpoints": {"type": "list", "elements": "str"},
        "models": {"type": "dict", "default": {}},
        "epp_resources": {"type": "str", "choices": ["preserve", "chart"], "default": "preserve"},
        "epp_image": {"type": "str"},
        "chart_values": {"type": "dict", "default": {}},
        "connect": {"type": "bool", "default": True},
        "shift": {
            "type": "dict", "default": {}, "options": {
                "steps": {"type": "list", "elements": "int", "default": [10, 50, 100]}, "gate": {"type": "dict", "default": {}},
                "tracers": {"type": "int", "default": 3000},
            },
        },
        "expected_plan": {"type": "raw"},
        "open_plan": {"type": "dict"},
        "run": {"type": "str"},
        "dry_run": {"type": "bool", "default": True},
        "report": {"type": "path"},
        "brief": {"type": "bool", "default": False},
    }


# -- result -------------------------------------------------------------------------------------------------------------


def result(made: Plan, report: bool = False, brief: bool = False) -> dict[str, Any]:
    """Return the module's result.

    :param report: whether all of it goes along as one text too, which the action plugin takes out and writes to a file. :param brief: whether to leave findings
        and plan out.
    """
    told = {"msg": render.message(made), "summary": render.summary(made)}
    whole = {"findings": made["findings"], "plan": made}
    facts = {"changed": False, "in_use": made["in_use"], "cluster": made["cluster"]}
    return facts | told | ({} if brief else whole) | ({render.REPORT: render.report(told | whole)} if report else {})


def work(cluster: Cluster, chosen: Options, dry_run: bool, caller: Caller | None) -> Plan:
    """Read the estate, ask its Gateways, make the plan, and try on the server what can be tried.

    :param caller: connects to Gateways; None where nothing is to be asked of them.
    """
    estate, contact = read_estate(cluster, list(chosen.namespaces)), Contact(caller) if caller else None
    context = plan.context_of(estate, contact.learnt(estate, chosen) if contact else chosen)
    if contact:
        # In place: a copy would have to compute again what reaches what.
        context.unreachable.update(contact.unreachable(context))
    made = plan.of(context)
    if dry_run and made["pools"]:
        made = plan.with_trial(made, *attempt(cluster, made), accept=chosen.accept)
    return made


def main() -> None:
    """Run the module."""
    module = AnsibleK8SModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        chosen = options(module.params)
        caller = http_client.client(module.params) if module.params["connect"] else None
        cluster, run = Cluster(module), module.params["run"]
        with Lease(cluster).held(run) if run else nullcontext():
            made = approved_with(module.params["expected_plan"], work(cluster, chosen, module.params["dry_run"], caller))
        refused = refusal(module.params["expected_plan"], made) or drift(module.params["open_plan"], made)
    except (ValueError, ApiError, LeaseLost) as error:
        module.fail_json(msg=str(error))
        return
    found = result(made, bool(module.params["report"]), module.params["brief"])
    if refused:
        module.fail_json(**found | refused)
        return
    module.exit_json(**found)


if __name__ == "__main__":
    # What is read stays until the end and holds no cycles: looking for cycles again and again took a third of the time.
    gc.disable()
    main()
