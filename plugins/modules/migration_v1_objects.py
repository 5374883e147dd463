#!/usr/bin/python
# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_v1_objects
short_description: Remove what a migration made of v1 beside the charts
version_added: 0.1.0
author: inference_gateway.migration contributors (@inference-gateway-migration)
description:
  - For a rollback. Deletes the objects of a plan that are not made by its charts, such as objectives and policies, and the definitions that it installed and
    of whose kinds no object is left.
  - What somebody else has changed or owns, and what does not bear this collection's label, stays and is named (RV(stays)). What is gone is done.
  - Deletes nothing while any route names a v1 pool of the plan.
  - Needs the Lease and journal of M(inference_gateway.migration.migration_journal).
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
    description: V(absent) is the only one; installing is the work of M(kubernetes.core.k8s).
    type: str
    choices: [absent]
    default: absent
  plan:
    description: The plan of the open migration, as M(inference_gateway.migration.migration_journal) returns it.
    type: dict
    required: true
  run:
    description: The Lease's holder, as M(inference_gateway.migration.migration_journal) returns it.
    type: str
  seconds:
    description: How long deleted objects may take to be gone.
    type: int
    default: 120
seealso:
  - module: inference_gateway.migration.migration_journal
  - module: inference_gateway.migration.shift_traffic
"""

EXAMPLES = r"""
- name: Remove objectives, policies and definitions of v1
  inference_gateway.migration.migration_v1_objects:
    plan: "{{ journal.plan }}"
    run: "{{ journal.run }}"
"""

RETURN = r"""
removed:
  description: What was deleted; in check mode what would be.
  returned: always
  type: list
  elements: str
stays:
  description: What of the plan's objects and definitions stays, as C(object), and C(why).
  returned: always
  type: list
  elements: dict
referring:
  description: Rules and mirrors that name a v1 pool of the plan, each a sentence. Outside check mode they are an error.
  returned: always
  type: list
  elements: str
"""

import time
from contextlib import nullcontext
from functools import partial

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import journal
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import (
    ApiError,
    Cluster,
    Conflict,
    Unreachable,
    auth_argument_spec,
    object_path,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.lease import Lease, LeaseLost
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, describe
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification import removal
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

ATTEMPTS = 5
"""How often objects are compared and deleted anew where one was written in between, be it its status alone."""


class Referred(ApiError):
    """A route names a v1 pool, so nothing of v1 may go."""


def argument_spec() -> dict:
    """Return the options of the module."""
    return auth_argument_spec() | journal.argument_spec() | {
        "state": {"type": "str", "choices": ["absent"], "default": "absent"},
        "plan": {"type": "dict", "required": True},
        "run": {"type": "str"},
        "seconds": {"type": "int", "default": 120},
    }


def path_of(found: Manifest) -> str:
    """Return the API path of a live object."""
    return object_path(found["apiVersion"], found["kind"], found["metadata"].get("namespace"), found["metadata"]["name"])


def delete(cluster: Cluster, plan: removal.Plan, listing: removal.Listing, dry_run: bool) -> list[Manifest]:
    """Delete what a listing says may go, each only as it was when it was compared, and return it; after a conflict list and compare anew.

    :raises Conflict: when some object was written by somebody else at every attempt.
    """
    done: list[Manifest] = []
    for attempt in range(ATTEMPTS):
        try:
            for found in [found for found, why in listing(cluster, plan) if not why and not found["metadata"].get("deletionTimestamp")]:
                meta = found["metadata"]
                cluster.delete(path_of(found), dry_run, preconditions={"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]})
                done.append(found)
            return done
        except Conflict:
            if attempt == ATTEMPTS - 1:
                raise
    return done


def wait(cluster: Cluster, deleted: list[Manifest], deadline: float) -> None:
    """Wait until deleted objects are gone. :raises ApiError: when one is still there by then; the message names it and what holds it."""
    for found in deleted:
        while (there := cluster.get(path_of(found))) and there["metadata"].get("uid") == found["metadata"]["uid"]:
            if time.monotonic() >= deadline:
                held = ", ".join(there["metadata"].get("finalizers") or []) or "nobody knows what"
                raise ApiError(f"{describe(found)} is being deleted and not gone, held by {held}: see to it, then start again")
            time.sleep(0.5)


def work(cluster: Cluster, params: dict, check_mode: bool) -> dict:
    """Delete objects, then definitions of which nothing is left, and return the module's result.

    :raises Referred: outside check mode, when a route names a v1 pool.
    """
    with nullcontext() if check_mode else Lease(cluster).held(params["run"]):
        return remove(cluster, params, check_mode)


def remove(cluster: Cluster, params: dict, check_mode: bool) -> dict:
    """Do what :func:`work` does, under the Lease."""
    plan = params["plan"]
    if (referring := list(removal.referring(cluster, plan))) and not check_mode:
        raise Referred(f"{'; '.join(referring)}: nothing of v1 is removed. Name v1alpha2's pool there, or leave v1 in place (migration_remove_v1: false), "
                       "then start again")
    deadline = time.monotonic() + params["seconds"]
    removed: list[Manifest] = []

    # In check mode all is still there by which a definition is in use, the charts' pools too.
    going = [describe(found) for found, why in removal.objects(cluster, plan) if not why] + removal.pools(plan) if check_mode else ()
    definitions = partial(removal.definitions, going=going)
    for listing in (removal.objects, definitions):
        deleted = delete(cluster, plan, listing, check_mode)
        removed += deleted
        if not check_mode:
            wait(cluster, deleted, deadline)
    stays = [{"object": describe(found), "why": why} for listing in (removal.objects, definitions) for found, why in listing(cluster, plan) if why]
    return {"changed": bool(removed), "removed": [describe(found) for found in removed], "stays": stays, "referring": referring}


def main() -> None:
    """Run the module."""
    module = AnsibleK8SModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = work(Cluster(module), module.params, module.check_mode)
    except Unreachable as error:
        module.fail_json(msg=str(error), unreachable_api=True)
    except Referred as error:
        module.fail_json(msg=str(error), verdict="HELD")
    except (ApiError, LeaseLost) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
