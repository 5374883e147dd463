#!/usr/bin/python
# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_status
short_description: Say where the migration of a cluster stands
version_added: 0.1.0
author: inference_gateway.migration contributors (@inference-gateway-migration)
description:
  - Says in one line which phase the migration is in, how much of the users' traffic v1 has by the routes as they are, the verdict, and which run is at work.
  - Reads only. It holds also where a run was killed, for routes and journal are read anew.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - inference_gateway.migration.attributes
  - inference_gateway.migration.cluster
  - inference_gateway.migration.journal
attributes:
  check_mode:
    support: full
    details: Does not modify state.
  diff_mode:
    support: none
  idempotent:
    support: full
seealso:
  - module: inference_gateway.migration.migration_journal_info
  - module: inference_gateway.migration.migration_steer
"""

EXAMPLES = r"""
- name: Where does the migration stand?
  inference_gateway.migration.migration_status:
  register: found
"""

RETURN = r"""
line:
  description: One line for a person.
  returned: always
  type: str
phase:
  description: V(plan), V(install), V(shift), V(retire), V(rollback) or V(rolled back); empty where no migration was begun.
  returned: always
  type: str
share:
  description: Percent of the users' traffic that the routes give to v1; V(null) where they stand at no share of the migration.
  returned: always
  type: int
gone:
  description: The routes of the plan that are not there any more, while a migration is open. They have no part in RV(share).
  returned: always
  type: list
  elements: str
verdict:
  description: The last verdict; empty where there is none yet.
  returned: always
  type: str
lease:
  description: Which run holds the Lease, V(null) where none does.
  returned: always
  type: dict
"""

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import journal, lease, processes, steering
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import ApiError, Cluster, auth_argument_spec
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import weights
from ansible_collections.inference_gateway.migration.plugins.module_utils.scope import MigrationScope, as_it_is
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification import standing
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule


def argument_spec() -> dict:
    """Return the options of the module."""
    return auth_argument_spec() | journal.argument_spec()


def holder_of(seen: lease.Seen) -> str:
    """Return which run holds the Lease, and what of it can be seen from here."""
    alive = processes.lives(seen["holder"]["origin"]) if seen["holder"].get("origin") else None
    state = {True: "at work", False: "was killed", None: f"renewed its lock at {seen['beat'][:19]}"}[alive]
    return f"{lease.words(seen)}, {state}"


def work(cluster: Cluster, params: dict) -> dict:
    """Read journal, Lease and routes, and return the module's result."""
    store, seen = journal.Journal(cluster, params["state_namespace"]), lease.Lease(cluster).seen()
    record, share = store.read(), None
    gone: list[str] = []
    if record and record["status"] == "open":
        plan, gone = as_it_is(cluster, store.plan(record))
        scope = MigrationScope.read(cluster, plan, record["nonce"], store.backup(record["backup"]))
        share = standing.share_of([weights.share_of(scope.live[key], original, scope.moves) for key, original in scope.originals.items()])
    asked = steering.Steering(cluster).asked(seen["run"]) if seen else None
    return {
        "line": standing.line(record, share, holder_of(seen) if seen else "", asked["command"] if asked else "", gone),
        "phase": standing.phase(record, share) if record else "", "share": share, "gone": gone,
        "verdict": (record["verdict"] if record else None) or "", "lease": seen,
    }


def main() -> None:
    """Run the module."""
    module = AnsibleK8SModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = work(Cluster(module), module.params)
    except (ApiError, journal.BackupBroken) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
