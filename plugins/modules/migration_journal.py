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
      - V(passed) records that a gate has let O(share) through.
      - V(noted) records that a phase is done.
      - V(kept) renews the Lease for O(seconds) and does nothing else.
      - V(closed) records the verdict and gives the Lease up. Without O(verdict) there was nothing to prove. After V(ROLLED BACK) another migration may begin.
      - V(released) gives the Lease up and leaves the journal as it is.
    type: str
    choices: [opened, learnt, installing, retiring, returning, returned, passed, noted, kept, closed, released]
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
  returns:
    description:
      - Whether the run rolls the migration back, with O(state=opened). Routes that are gone since the plan was made are left out of the returned RV(plan), and
        named in RV(gone).
    type: bool
    default: false
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
  share:
    description: Percent of the traffic, with O(state=passed).
    type: int
  seconds:
    description: For how long the Lease is kept, with O(state=kept).
    type: int
  holder:
    description: Which process began the run, with O(state=opened). This collection's action plugin says it.
    type: dict
  take:
    description:
      - Version of a Lease whose holder is dead, with O(state=opened); it is taken where nothing of it has changed since. This collection's action plugin finds
        out whether the holder is dead, by its process or by the time for which it has not renewed the Lease.
    type: str
  seen:
    description: An earlier look at the Lease, with O(state=opened), as M(inference_gateway.migration.migration_journal_info) returns it (C(lease)).
    type: dict
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
  returned: when O(state=opened) and a migration is open
  type: dict
gone:
  description: Routes of the plan that are not there any more.
  returned: when O(returns=true)
  type: list
  elements: str
steer:
  description: What a person asks of the run, as M(inference_gateway.migration.migration_steer) takes it; V(null) where it shall go on.
  returned: when O(state=kept)
  type: dict
programs:
  description: Where the Python of modules (C(python)) and C(helm) are on the host on which modules run; without helm it is not named. C(now) is its clock.
  returned: when O(state=kept)
  type: dict
lease:
  description: What is to be seen of the Lease that another run holds.
  returned: when another run is at work, or was killed lately
  type: dict
"""

import secrets
import sys
import time
from contextlib import suppress
from typing import Any, cast

from ansible.module_utils.common.process import get_bin_path

from ansible_collections.inference_gateway.migration.plugins.module_utils import steps
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import journal, processes
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import (
    ApiError,
    Cluster,
    Conflict,
    Unreachable,
    auth_argument_spec,
    collection_path,
    object_path,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.lease import CHECK_MODE, NAMESPACE, Holder, Lease, LeaseHeld, LeaseLost
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.steering import Steering
from ansible_collections.inference_gateway.migration.plugins.module_utils.scope import as_it_is, gone_of_alpha, saved
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule


def argument_spec() -> dict:
    """Return the options of the module."""
    return auth_argument_spec() | journal.argument_spec() | {
        "state": {"type": "str", "choices": list(steps.JOURNAL_STATES), "required": True},
        "run": {"type": "str"},
        "plan": {"type": "dict"},
        "phases": {"type": "list", "elements": "str", "choices": list(steps.PHASES), "default": ["plan"]},
        "returns": {"type": "bool", "default": False},
        "stack": {"type": "dict"},
        "answers": {"type": "dict"},
        "phase": {"type": "str", "choices": list(steps.PHASES[1:])},
        "verdict": {"type": "str", "choices": ["PROVEN", "HELD", "FAILED", "ROLLED BACK"]},
        "reason": {"type": "str"},
        "share": {"type": "int"},
        "seconds": {"type": "int"},
        "holder": {"type": "dict"},
        "take": {"type": "str"},
        "seen": {"type": "dict"},
    }


def stands(record: journal.Record, plan: dict | None, phases: list[str]) -> bool:
    """Tell whether a migration is open and goes on with its own plan.

    It does where no other plan is given, and once it has begun to change the cluster, unless nothing but a plan is asked for and v1 has had no traffic.
    """
    if record["status"] != "open" or not plan or plan.get("hash") == record["plan"].get("hash"):
        return record["status"] == "open"
    # A journal of an earlier version does not say whether v1 had traffic.
    moved = [record.get("shifted_since", True), record.get("retiring_since"), record.get("returning_since")]
    return record.get("begun", True) and (phases != ["plan"] or any(moved))


def opened(cluster: Cluster, store: journal.Journal, params: dict, check_mode: bool) -> dict:
    """Take the Lease and begin a migration, or go on with the open one.

    :raises ApiError: when none is open and no plan is given. :raises LeaseHeld: when another run is at work. :raises BackupBroken: when the backup is broken.
    """
    record = continued(store.read(), params["plan"], params["phases"])
    if check_mode:
        plan = planned(cluster, store.plan(record), params["returns"]) if record else {}
        return journal.summary(record) | plan | {"changed": True, "run": CHECK_MODE, "continued": record is not None, "retiring": False}
    run, lease = params["run"] or f"run-{secrets.token_hex(6)}", Lease(cluster)
    for namespace in dict.fromkeys((NAMESPACE, store.namespace)):
        if cluster.get(object_path("v1", "Namespace", None, namespace)) is None:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": journal.LABELS}}
            with suppress(Conflict):  # another run makes it at the same moment
                cluster.create(collection_path("v1", "namespaces"), body)
    lease.acquire(run, cast(Holder, (params["holder"] or {}) | {"modules": processes.workplace()}), params["take"])
    try:
        with lease.held(run):
            return under_lease(cluster, store, params) | {"run": run}
    except (ApiError, LeaseLost, journal.BackupBroken):
        # Nobody would learn this run's name, and the next one would wait for the Lease to run out.
        lease.release(run)
        raise


def planned(cluster: Cluster, plan: dict, returns: bool) -> dict:
    """Return ``plan``, for a rollback as far as its routes are there, and what is not under ``gone``."""
    return dict(zip(("plan", "gone"), as_it_is(cluster, plan))) if returns else {"plan": plan}


def continued(record: journal.Record | None, plan: dict | None, phases: list[str]) -> journal.Record | None:
    """Return the record of the migration that goes on, None where one begins. :raises ApiError: where neither can be."""
    if record is not None and stands(record, plan, phases):
        return record
    if not plan:
        raise ApiError("There is no open migration on this cluster and no plan was given: run the phase plan first (migration_phases).")
    return None


def under_lease(cluster: Cluster, store: journal.Journal, params: dict) -> dict:
    """Begin a migration, or go on with the open one: what the journal says is read anew, for another run may just have ended."""
    found = continued(store.read(), params["plan"], params["phases"])
    if found is None:
        live = [cluster.get(object_path(*key)) for key in saved(params["plan"])]
        record = store.open(params["plan"], [manifest for manifest in live if manifest is not None])
    else:
        record = found
    wanted = set(params["phases"])
    retiring = bool(record.get("retiring_since")) and "retire" in wanted
    if record.get("retiring_since") and "shift" in wanted and not retiring and (gone := gone_of_alpha(cluster, store.backup(record["backup"]))):
        raise ApiError(f"{', '.join(gone[:3])} of v1alpha2 went in the phase retire already, so there is nothing to shift from: finish that phase "
                       "(migration_phases).")
    if wanted - {"plan"}:
        record = store.go_forth(record)
    # Before an installation there are definitions and a trial, and what that refuses may need another plan: the installation says itself when it begins.
    if wanted - {"plan"} and "install" not in wanted:
        record = store.begin(record)
    if "shift" in wanted and "shift" in record["phases"] and not retiring:
        record = store.update(record, "shifts again: the shift before counts no more", **journal.without_shift(record))
    said = {"changed": True, "continued": found is not None, "retiring": retiring}
    return journal.summary(record) | planned(cluster, store.plan(record), params["returns"]) | said


def ended(cluster: Cluster, store: journal.Journal, params: dict, check_mode: bool) -> dict:
    """Note what was learnt, what begins or that a phase is done, close with a verdict, or only keep the Lease or give it up; ``state`` says which.

    :raises LeaseLost: when this run does not hold the Lease.
    """
    state, run, lease = params["state"], params["run"], Lease(cluster)
    record = store.read()
    if check_mode or record is None:
        return journal.summary(record) | {"changed": False, "steer": None}
    if state == "released":
        lease.release(run)
        return journal.summary(record) | {"changed": True}
    with lease.held(run):
        if state == "kept":
            time.sleep(params["seconds"])
            return {"changed": False, "steer": Steering(cluster).asked(run), "programs": programs()}
        record = noted(store, store.read() or record, params)
    if state == "closed":
        lease.release(run)
    return journal.summary(record) | {"changed": True}


def programs() -> dict[str, Any]:
    """Return the paths of Python and helm, found as kubernetes.core's modules find it, and the time on this host's clock."""
    found: dict[str, Any] = {"python": sys.executable, "now": time.time()}
    with suppress(ValueError):
        found["helm"] = get_bin_path("helm")
    return found


def noted(store: journal.Journal, record: journal.Record, params: dict) -> journal.Record:
    """Write what ``state`` says into the record, and return it."""
    state = params["state"]
    if state == "installing":
        return store.begin(record)
    if state == "retiring":
        return store.begin_to_retire(store.begin(record))
    if state == "returning":
        return store.begin_to_return(record)
    if state == "passed":
        return store.update(record, f"the gate at {params['share']} % is passed", passed=params["share"])
    if state == "returned":
        return store.update(record, "v1 has no traffic any more, and its requests have ended", shifted_since=None)
    if state == "learnt":
        known, said = record.get("answers") or {}, params["answers"]
        return store.update(record, answers=known | {model: sorted({*known.get(model, []), *names}) for model, names in said.items()})
    if state == "noted":
        phases = [*record["phases"], *([params["phase"]] if params["phase"] not in record["phases"] else [])]
        return store.update(record, f"phase {params['phase']} done", phases=phases, **({"stack": params["stack"]} if params["phase"] == "shift" else {}))
    gone = "retire" in record["phases"] and params["verdict"] in ("PROVEN", None)
    status = "rolled back" if params["verdict"] == "ROLLED BACK" else "finished" if gone else "open"
    said = params["verdict"] or "nothing to prove"
    return store.update(record, f"{said}: {params['reason']}", status=status, verdict=params["verdict"], reason=params["reason"])


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
            ("state", "passed", ("run", "share")),
            ("state", "kept", ("run", "seconds")),
        ],
    )
    try:
        cluster = Cluster(module)
        store = journal.Journal(cluster, module.params["state_namespace"])
        if module.params["state"] == "opened":
            result = opened(cluster, store, module.params, module.check_mode)
        else:
            result = ended(cluster, store, module.params, module.check_mode)
    except LeaseHeld as error:
        holder = error.seen["holder"]
        at = holder.get("modules")
        here = at is not None and processes.same_machine(at) and processes.sees(at.get("user"))
        left = processes.marked(error.seen["run"]) if here else []
        module.fail_json(msg=str(error), lease=error.seen | {"here": here, "left": left})
    except Unreachable as error:
        module.fail_json(msg=str(error), unreachable_api=True)
    except (ApiError, LeaseLost, journal.BackupBroken) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
