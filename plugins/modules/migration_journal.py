#!/usr/bin/python
# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_journal
short_description: Lock, journal and backup of a migration, kept in the cluster
version_added: 0.1.0
author: inference_gateway.migration contributors (@inference-gateway-migration)
description:
  - Takes the Lease under which a single run may write, opens or continues the journal of a migration, and stores
    the backup from which everything that will be changed or deleted can be made again.
  - The journal names the migration and outlives runs; the Lease names the run.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - inference_gateway.migration.attributes
  - inference_gateway.migration.cluster
  - inference_gateway.migration.journal
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  state:
    description:
      - V(opened) makes O(state_namespace) where it is missing, takes the Lease, then begins a migration with O(plan) or continues the open one. An open one
        that has not begun to write takes another O(plan) in place of its own.
      - V(installing) records, before it happens, that v1 is installed. From then on the migration goes on with its own plan.
      - V(retiring) records, before it happens, that v1alpha2 is taken away, and keeps the time when that was first said.
      - V(returning) records, before it happens, that the migration is rolled back, and keeps the time when that was first said. It is refused once v1alpha2 has
        begun to be taken away.
      - V(returned) records that v1 has no traffic any more and that its requests have ended.
      - V(learnt) records which models v1alpha2 names in its answers (O(answers)), beside those recorded before.
      - V(noted) records that a phase is done.
      - V(closed) records the verdict and gives the Lease up. Without O(verdict) there was nothing to prove. After V(ROLLED BACK) another migration may begin.
      - V(released) gives the Lease up and leaves the journal as it is.
    type: str
    choices: [opened, learnt, installing, retiring, returning, returned, noted, closed, released]
    required: true
  run:
    description: Who writes. Made anew by O(state=opened) where it is not given; the other states need the one that was returned.
    type: str
  plan:
    description: The plan to begin with, as M(inference_gateway.migration.detect_v1alpha2) returns it. Not needed where a migration is open.
    type: dict
  phases:
    description:
      - What this run will do, with O(state=opened). With any phase but V(plan) it goes on to change the cluster. From then on the journalled plan stands,
        whatever a later run would plan.
      - With V(shift) an earlier shift counts no more, whatever becomes of this one. With V(retire) too, an earlier run that had begun to take v1alpha2 away
        is gone on with instead (RV(retiring)).
      - With any phase but V(plan) a rollback that had begun is given up, and the migration goes forth again.
    type: list
    elements: str
    choices: [plan, install, shift, retire]
    default: [plan]
  stack:
    description: What of v1 a shift proved, with O(phase=shift), as M(inference_gateway.migration.shift_traffic) returns it.
    type: dict
  answers:
    description: For a model the further models that answers named, with O(state=learnt), as M(inference_gateway.migration.migration_evidence) returns it.
    type: dict
  phase:
    description: The phase that is done.
    type: str
    choices: [install, shift, retire]
  verdict:
    description: How it ended.
    type: str
    choices: [PROVEN, HELD, FAILED, ROLLED BACK]
  reason:
    description: One sentence that says why.
    type: str
  lease_seconds:
    description: Seconds after which an unrenewed Lease may be taken by another run. Longer than the longest task between two of our own.
    type: int
    default: 900
seealso:
  - module: inference_gateway.migration.detect_v1alpha2
  - module: inference_gateway.migration.migration_journal_info
  - module: inference_gateway.migration.shift_traffic
"""

EXAMPLES = r"""
- name: Begin a migration, or go on with the open one
  inference_gateway.migration.migration_journal:
    state: opened
    plan: "{{ detected.plan }}"
  register: journal

- name: Record the verdict and give the lock up
  inference_gateway.migration.migration_journal:
    state: closed
    run: "{{ journal.run }}"
    verdict: PROVEN
    reason: Every gate passed.
"""

RETURN = r"""
run:
  description: The holder's name, which every writing task of this run passes on.
  returned: when O(state=opened)
  type: str
continued:
  description: Whether an open migration goes on, with its own plan.
  returned: when O(state=opened)
  type: bool
retiring:
  description: Whether an earlier run had begun to take v1alpha2 away, so that this one goes on there and neither installs nor shifts.
  returned: when O(state=opened)
  type: bool
journal:
  description:
    - Migration, nonce, status (V(open), V(finished) or V(rolled back)), whether it has begun to change the cluster (C(begun)), since when v1 has had traffic
      (C(shifted_since)), v1alpha2 is taken away (C(retiring_since)) or the migration is rolled back (C(returning_since)), phases done, verdict, reason and
      entries; V(null) where no migration was begun.
  returned: always
  type: dict
plan:
  description: The plan of the open migration.
  returned: when a migration is open
  type: dict
"""

import secrets

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import journal
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import ApiError, Cluster, auth_argument_spec, collection_path, object_path
from ansible_collections.inference_gateway.migration.plugins.module_utils.scope import saved
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule


def argument_spec() -> dict:
    """Return the options of the module."""
    return auth_argument_spec() | journal.argument_spec() | {
        "state": {"type": "str", "choices": ["opened", "learnt", "installing", "retiring", "returning", "returned", "noted", "closed", "released"],
                  "required": True},
        "run": {"type": "str"},
        "plan": {"type": "dict"},
        "phases": {"type": "list", "elements": "str", "choices": ["plan", "install", "shift", "retire"], "default": ["plan"]},
        "stack": {"type": "dict"},
        "answers": {"type": "dict"},
        "phase": {"type": "str", "choices": ["install", "shift", "retire"]},
        "verdict": {"type": "str", "choices": ["PROVEN", "HELD", "FAILED", "ROLLED BACK"]},
        "reason": {"type": "str"},
        "lease_seconds": {"type": "int", "default": 900},
    }


def stands(record: journal.Record, plan: dict | None) -> bool:
    """Tell whether a migration is open and goes on with its own plan: it has begun to change the cluster, or no other plan is given."""
    return record["status"] == "open" and (record.get("begun", True) or not plan or plan.get("hash") == record["plan"].get("hash"))


def opened(cluster: Cluster, store: journal.Journal, params: dict, check_mode: bool) -> dict:
    """Take the Lease and begin a migration, or go on with the open one.

    :raises ApiError: when none is open and no plan is given. :raises LeaseHeld: when another run is at work. :raises BackupBroken: when the backup is broken.
    """
    found = store.read()
    record = found if found is not None and stands(found, params["plan"]) else None
    continued = record is not None
    if record is None and not params["plan"]:
        raise ApiError("There is no open migration on this cluster and no plan was given: run the phase plan first (migration_phases).")
    if check_mode:
        return journal.summary(record) | {"changed": True, "run": "check-mode", "continued": continued, "retiring": False}
    run = params["run"] or f"run-{secrets.token_hex(6)}"
    if cluster.get(object_path("v1", "Namespace", None, store.namespace)) is None:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": store.namespace, "labels": journal.LABELS}}
        cluster.create(collection_path("v1", "namespaces"), body)
    store.acquire(run, params["lease_seconds"])
    if record is None:
        try:
            live = [cluster.get(object_path(*key)) for key in saved(params["plan"])]
            record = store.open(params["plan"], [manifest for manifest in live if manifest is not None])
        except (ApiError, journal.BackupBroken):
            # Nobody would learn this run's name, and the next one would wait for the Lease to run out.
            store.release(run)
            raise
    wanted = set(params["phases"])
    retiring = bool(record.get("retiring_since")) and "retire" in wanted
    if wanted - {"plan"}:
        record = store.go_forth(record)
    # Before an installation there are definitions and a trial, and what that refuses may need another plan: the installation says itself when it begins.
    if wanted - {"plan"} and "install" not in wanted:
        record = store.begin(record)
    if "shift" in wanted and "shift" in record["phases"] and not retiring:
        record = store.update(record, "shifts again: the shift before counts no more", **journal.without_shift(record))
    return journal.summary(record) | {"changed": True, "run": run, "continued": continued, "retiring": retiring}


def ended(store: journal.Journal, params: dict, check_mode: bool) -> dict:
    """Note what was learnt, what begins or that a phase is done, close with a verdict, or only give the Lease up; ``state`` says which.

    :raises LeaseLost: when this run does not hold the Lease.
    """
    record = store.read()
    if check_mode or record is None:
        return journal.summary(record) | {"changed": False}
    state, run = params["state"], params["run"]
    if state == "released":
        store.release(run)
        return journal.summary(record) | {"changed": True}
    store.renew(run)
    if state == "installing":
        record = store.begin(record)
    elif state == "retiring":
        record = store.begin_to_retire(store.begin(record))
    elif state == "returning":
        record = store.begin_to_return(record)
    elif state == "returned":
        record = store.update(record, "v1 has no traffic any more, and its requests have ended", shifted_since=None)
    elif state == "learnt":
        known, said = record.get("answers") or {}, params["answers"]
        record = store.update(record, answers=known | {model: sorted({*known.get(model, []), *names}) for model, names in said.items()})
    elif state == "noted":
        phases = [*record["phases"], *([params["phase"]] if params["phase"] not in record["phases"] else [])]
        record = store.update(record, f"phase {params['phase']} done", phases=phases, **({"stack": params["stack"]} if params["phase"] == "shift" else {}))
    else:
        gone = "retire" in record["phases"] and params["verdict"] in ("PROVEN", None)
        status = "rolled back" if params["verdict"] == "ROLLED BACK" else "finished" if gone else "open"
        said = params["verdict"] or "nothing to prove"
        record = store.update(record, f"{said}: {params['reason']}", status=status, verdict=params["verdict"], reason=params["reason"])
        store.release(run)
    return journal.summary(record) | {"changed": True}


def main() -> None:
    """Run the module."""
    module = AnsibleK8SModule(
        argument_spec=argument_spec(),
        supports_check_mode=True,
        required_if=[
            ("state", "learnt", ("run", "answers")),
            ("state", "installing", ("run",)),
            ("state", "retiring", ("run",)),
            ("state", "returning", ("run",)),
            ("state", "returned", ("run",)),
            ("state", "noted", ("run", "phase")),
            ("state", "closed", ("run", "reason")),
            ("state", "released", ("run",)),
        ],
    )
    try:
        cluster = Cluster(module)
        store = journal.Journal(cluster, module.params["state_namespace"])
        if module.params["state"] == "opened":
            result = opened(cluster, store, module.params, module.check_mode)
        else:
            result = ended(store, module.params, module.check_mode)
    except (ApiError, journal.LeaseHeld, journal.LeaseLost, journal.BackupBroken) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
