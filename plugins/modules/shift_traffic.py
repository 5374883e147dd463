#!/usr/bin/python
# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: shift_traffic
short_description: Move the traffic of InferencePools from v1alpha2 to v1, step by step and proven
version_added: 0.1.0
author: inference_gateway.migration contributors (@inference-gateway-migration)
description:
  - Moves every reference to a v1alpha2 InferencePool over to its v1 pool by weights, and nothing else in a route.
  - V(migrated), V(withdrawn) and V(returned) are driven by this collection's action plugin, which runs one bounded piece of work at a time
    and prints a line for each step. The other states do one piece of work and can be used by hand.
  - Needs the Lease and journal of M(inference_gateway.migration.migration_journal).
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - inference_gateway.migration.attributes
  - inference_gateway.migration.cluster
  - inference_gateway.migration.journal
  - inference_gateway.migration.probing
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - V(migrated) makes probe routes, settles, passes the gate, and goes through O(steps), each with settling and gate. On
        failure the traffic goes back to v1alpha2.
      - V(withdrawn) takes the v1alpha2 references out of the users' routes, waits until every gateway instance has taken it and
        the longest request has ended, and removes the probe routes that hold the v1alpha2 pools.
      - V(returned) rolls the migration back, from wherever it stands before V(withdrawn). It asks v1alpha2 first, writes the users' rules as they were, lets
        v1's requests end, measures that v1 serves nothing any more, and removes the probe routes.
      - V(shifted) gives v1 O(share) percent of what each reference had.
      - V(restored) writes the users' rules back as they were before the migration.
      - V(finished) leaves the v1 references alone in the users' rules, with the weights they had.
      - V(replaced) writes the v1 references into rules whose v1alpha2 pools may be gone, for the path with a downtime.
    type: str
    choices: [migrated, withdrawn, returned, shifted, restored, finished, replaced]
    default: migrated
  plan:
    description: The plan of the open migration, as M(inference_gateway.migration.migration_journal) returns it.
    type: dict
    required: true
  run:
    description: The Lease's holder, as M(inference_gateway.migration.migration_journal) returns it.
    type: str
  share:
    description: Percent for v1, with O(state=shifted).
    type: int
  standing:
    description:
      - With the states that write routes of users, the shares at which each route may be found, as O(inference_gateway.migration.verify_gateway#module:shares).
        Others were written by somebody else, and are left as they are. Without it any share of this migration may be found.
    type: list
    elements: raw
  steps:
    description: Shares of v1 in percent that O(state=migrated) goes through. The last one is 100.
    type: list
    elements: int
    default: [10, 50, 100]
  gate:
    description:
      - Bounds of the sequential test before each step and after the last, see RV(evidence).
      - Keys V(p0) (share of failing pairs that is fine, default 0.001), V(p1) (share that must be caught, default 0.02),
        V(false_promotion) (default 0.001) and V(false_rollback) (default 0.01), both over the whole migration.
    type: dict
    default: {}
  warm_seconds:
    description: Longest time for the gateway to take the probe routes and for v1 to become healthy behind it.
    type: int
    default: 900
  settle_seconds:
    description: Longest time for every gateway instance to take one change.
    type: int
    default: 300
  gate_seconds:
    description: Longest time for one gate. A gate without a decision by then ends HELD.
    type: int
    default: 900
  soak_seconds:
    description:
      - Shortest time at each step after it has settled. Share and gate are part of it, and probing goes on to its end.
      - After the gate has accepted v1, a cumulative sum beside it still finds what turns bad.
    type: int
    default: 0
  tracers:
    description:
      - Requests for a model that nobody uses, sent by the users' own rules at each step. Their answers tell what v1 really serves. They reach no GPU;
        behind body-based routing they cost v1alpha2 a token each.
      - So many at most for each rule and address. Each gets as many as its sequential test needs, at 10 % some 400, at 50 % 80, at 100 % 66 to 342.
        A share that they do not tell is not proven (RV(unproven)).
      - V(0) leaves the measurement out.
    type: int
    default: 3000
  require:
    description:
      - What must be proven for PROVEN (RV(unproven)); without it, or where it is not, the verdict says so and stands.
      - HELD comes as soon as it is known, where it can be before any traffic is moved.
    type: list
    elements: str
    choices: [long-streams, share, address, model, endpoint]
    default: []
  on_held:
    description:
      - What HELD does with the traffic. V(previous) takes it back to the last share that passed its gate, V(stay) leaves the weights.
      - Probe routes are removed in both cases.
    type: str
    choices: [previous, stay]
    default: previous
  stream_seconds:
    description:
      - Long streams, one for each moved reference, address and stack, are held open this long over the making of the probe routes, beside the first gate
        and over each change of weights.
        One that v1 cuts and v1alpha2 keeps takes the traffic back. Over 30, for that is when a gateway without a timeout policy gives up.
      - A gate lasts at least as long. V(0) leaves them out.
    type: int
    default: 35
  probe_limit:
    description: Probes of one run at most. A migration that needs more ends HELD.
    type: int
    default: 1000000
  drain_seconds:
    description: How long requests in flight get to end. Default is the longest timeout of the pools' backend policies, 30 seconds where there is none.
    type: int
  api_patience:
    description: Seconds for which an unreachable API server is waited for, with a line that says so.
    type: int
    default: 300
seealso:
  - module: inference_gateway.migration.verify_gateway
  - module: inference_gateway.migration.migration_journal
  - module: inference_gateway.migration.migration_probe_routes
"""

EXAMPLES = r"""
- name: Shift all traffic to v1 in three steps
  inference_gateway.migration.shift_traffic:
    plan: "{{ journal.plan }}"
    run: "{{ journal.run }}"
    steps: [10, 50, 100]

- name: Give v1 a quarter, by hand
  inference_gateway.migration.shift_traffic:
    state: shifted
    share: 25
    plan: "{{ journal.plan }}"
    run: "{{ journal.run }}"
"""

RETURN = r"""
verdict:
  description: PROVEN, ROLLED BACK, HELD or FAILED. Empty where no route names the pools, so that there was nothing to prove.
  returned: with the driven states
  type: str
reason:
  description: One sentence that says why.
  returned: with the driven states
  type: str
unproven:
  description:
    - What was not proven, each with its C(kind) and C(what) it is. V(long-streams) that no server begins or that end by themselves too early, the V(share)
      where nothing tells the stacks apart, and each V(address), V(model) or V(endpoint) that no request can ask.
  returned: with O(state=migrated)
  type: list
  elements: dict
stack:
  description: Fingerprints of what of v1 was proven, by pool, for M(inference_gateway.migration.migration_journal).
  returned: with O(state=migrated)
  type: dict
evidence:
  description: For each gate its share, the pairs and probes counted, the failures seen, what the tracer requests showed, and how long streams were kept.
  returned: with O(state=migrated)
  type: list
  elements: dict
written:
  description: When writing began, in seconds since the epoch.
  returned: with the states that write routes of users
  type: float
routes:
  description: The routes that were written.
  returned: with the states that do one piece of work
  type: list
  elements: str
"""

import time

from ansible_collections.inference_gateway.migration.plugins.module_utils import steps
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import journal
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import (
    ApiError,
    Cluster,
    Unreachable,
    auth_argument_spec,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.lease import LeaseLost
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import http_client
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import step_weights, weights
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import references, route_key
from ansible_collections.inference_gateway.migration.plugins.module_utils.scope import MigrationScope, OpenMigration, gone_of_alpha, open_migration
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification import proof, unproven
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule


def argument_spec() -> dict:
    """Return the options of the module."""
    return auth_argument_spec() | journal.argument_spec() | http_client.argument_spec() | {
        "state": {
            "type": "str",
            "choices": ["migrated", "withdrawn", "returned", *steps.FORMS],
            "default": "migrated",
        },
        "plan": {"type": "dict", "required": True},
        "run": {"type": "str"},
        "share": {"type": "int"},
        "standing": {"type": "list", "elements": "raw"},
        "steps": {"type": "list", "elements": "int", "default": [10, 50, 100]},
        "gate": {"type": "dict", "default": {}},
        "warm_seconds": {"type": "int", "default": 900},
        "settle_seconds": {"type": "int", "default": 300},
        "gate_seconds": {"type": "int", "default": 900},
        "soak_seconds": {"type": "int", "default": 0},
        "drain_seconds": {"type": "int"},
        "tracers": {"type": "int", "default": 3000},
        "require": {"type": "list", "elements": "str", "choices": list(unproven.KINDS), "default": []},
        "on_held": {"type": "str", "choices": ["previous", "stay"], "default": "previous"},
        "stream_seconds": {"type": "int", "default": 35},
        "probe_limit": {"type": "int", "default": 1_000_000},
        "api_patience": {"type": "int", "default": 300},
    }


def refuse_unless_shifted(scope: MigrationScope, record: journal.Record) -> None:
    """Refuse to take v1alpha2 away before v1 is proven at 100 %.

    :raises ApiError: while a route stands at another share, no shift of what is installed of v1 ended PROVEN, or a route made since the plan needs v1alpha2.
    """
    shares = {key: weights.share_of(scope.live[key], original, scope.moves) for key, original in scope.originals.items()}
    short = [f"{key} at {share} %" for key, share in shares.items() if share != 100]
    if short:
        raise ApiError(f"{', '.join(short)}: not all traffic is on v1, so nothing of v1alpha2 is taken away. Run the phase shift first.")
    if unproven := proof.unproven_shift(scope, record):
        raise ApiError(f"Nothing of v1alpha2 is taken away: {unproven}. Run the phase shift first.")
    if found := list(proof.others(scope, "retire")):
        raise ApiError(f"Nothing of v1alpha2 is taken away: {'; '.join(found)}, made since the plan. Name the v1 pool there, then start again.")


def named(manifest: Manifest) -> str:
    """Return a route's backendRefs as lines, one for each: what a person wants to see of a change."""
    lines = [
        f"{route_key(manifest)} rule {ref.rule}: {ref.target.group or 'core'}/{ref.target.name} {ref.weight}"
        for ref in references(manifest) if ref.kind == "backend"
    ]
    return "".join(f"{line}\n" for line in lines)


def begin_to_retire(scope: MigrationScope, store: journal.Journal, record: journal.Record) -> journal.Record:
    """Note in the journal, before the first write, that v1alpha2 is taken away, and return its record.

    From then on a run goes on here, even if its command has earlier phases too.

    :raises ApiError: when v1alpha2 may not be taken away; then the note is removed from the journal too, and the next run shifts again. It stays where
        something of v1alpha2 is gone already.
    """
    try:
        refuse_unless_shifted(scope, record)
    except Unreachable:  # nothing is known of the routes, so the note stays
        raise
    except ApiError as error:
        if record.get("retiring_since"):
            if gone := gone_of_alpha(scope.cluster, store.backup(record["backup"])):
                raise ApiError(f"{error} {', '.join(gone[:3])} of v1alpha2 went already, so where that can't be mended, finish with the playbook simple, "
                               "which has a downtime.") from error
            store.update(record, "v1alpha2 may not be taken away", **journal.without_shift(record))
        raise
    return store.begin_to_retire(record)


def work(cluster: Cluster, params: dict, check_mode: bool) -> dict:
    """Write the users' routes in the form that ``state`` asks for, note it in the journal, and return the module's result."""
    with open_migration(cluster, params, check_mode) as migration:
        return {"changed": True, "routes": []} if migration is None else write(migration, params, check_mode)


def write(migration: OpenMigration, params: dict, check_mode: bool) -> dict:
    """Do what :func:`work` does, under the Lease."""
    record, state = migration.record, params["state"]
    if not check_mode and state == "finished":
        record = begin_to_retire(migration.scope, migration.store, record)
    elif not check_mode and state == "shifted" and params["share"]:
        record = migration.store.begin_to_shift(record)
    begun = time.time()
    standing = [entry for entry in map(step_weights.shares, params["standing"] or []) if entry is not None]
    done = migration.writer.write_all(steps.FORMS[state], params["share"] or 0, standing)
    changed = [(key, before, after) for key, before, after in done if before["spec"] != after["spec"]]
    if changed and not check_mode:
        detail = f" {params['share']}" if state == "shifted" else ""
        event = f"routes {state}{detail}: {', '.join(str(key) for key, _b, _a in changed)}"
        now = {"shifted": params["share"] or 0, "restored": 0}.get(state)
        fields = {} if now is None else {"passed": min(record.get("passed") or 0, now)} | journal.without_shift(record)
        migration.store.update(record, event, **fields)
    return {
        "changed": bool(changed),
        "written": begun,
        "routes": [str(key) for key, _before, _after in changed],
        "diff": [{"before": named(before), "after": named(after)} for _key, before, after in changed],
    }


def main() -> None:
    """Run the module."""
    module = AnsibleK8SModule(
        argument_spec=argument_spec(),
        supports_check_mode=True,
        required_if=[("state", "shifted", ("share",))],
    )
    if module.params["state"] in ("migrated", "withdrawn", "returned"):
        module.fail_json(msg=f"state {module.params['state']} is driven by this collection's action plugin: call the module by its full name from a task.")
    try:
        result = work(Cluster(module, patience=5), module.params, module.check_mode)
    except Unreachable as error:
        module.fail_json(msg=str(error), unreachable_api=True)
    except weights.Drifted as error:
        module.fail_json(msg=step_weights.left_alone(error), held=True, foreign=True)
    except (ApiError, ValueError, LeaseLost, journal.BackupBroken) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
