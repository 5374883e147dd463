#!/usr/bin/python
# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_probe_routes
short_description: Make and remove the copies of users' rules that only probes reach
version_added: 0.1.0
author: inference_gateway.migration contributors (@inference-gateway-migration)
description:
  - A probe route holds copies of a user's rules that ask for one more header, and whose answers carry a mark. By it a stack is asked before and beside
    any request of users.
  - M(inference_gateway.migration.shift_traffic) makes and removes them by itself.
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
    description:
      - V(present) makes those that are not there, and brings up to date those whose user's route has changed since.
      - V(absent) removes them, whatever migration made them.
    type: str
    choices: [present, absent]
    default: present
  variants:
    description: The stacks that they lead to. V(both) gives each stack half, as a rule in the middle of a shift does.
    type: list
    elements: str
    choices: [alpha, v1, both]
    default: [alpha, v1, both]
  plan:
    description: The plan of the open migration, as M(inference_gateway.migration.migration_journal) returns it.
    type: dict
    required: true
  run:
    description: The Lease's holder, as M(inference_gateway.migration.migration_journal) returns it.
    type: str
seealso:
  - module: inference_gateway.migration.shift_traffic
  - module: inference_gateway.migration.migration_journal
"""

EXAMPLES = r"""
- name: Remove all probe routes
  inference_gateway.migration.migration_probe_routes:
    state: absent
    plan: "{{ journal.plan }}"
    run: "{{ journal.run }}"
"""

RETURN = r"""
routes:
  description: The probe routes that were written or removed.
  returned: always
  type: list
  elements: str
"""

from ansible_collections.inference_gateway.migration.plugins.module_utils import steps
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import journal
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import ApiError, Cluster, Unreachable, auth_argument_spec
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.lease import LeaseLost
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import route_key
from ansible_collections.inference_gateway.migration.plugins.module_utils.scope import open_migration
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule


def argument_spec() -> dict:
    """Return the options of the module."""
    variants = list(steps.VARIANTS)
    return auth_argument_spec() | journal.argument_spec() | {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "variants": {"type": "list", "elements": "str", "choices": variants, "default": variants},
        "plan": {"type": "dict", "required": True},
        "run": {"type": "str"},
    }


def work(cluster: Cluster, params: dict, check_mode: bool) -> dict:
    """Make or remove the probe routes of some variants, and return the module's result."""
    with open_migration(cluster, params, check_mode) as migration:
        if migration is None:
            return {"changed": True, "routes": []}
        scope, writer, variants = migration.scope, migration.writer, params["variants"]
        if params["state"] == "present":
            names = [str(route_key(manifest)) for manifest in scope.probe_routes(variants) if writer.write_probe_route(manifest)]
        else:
            names = [str(key) for key in writer.remove_probe_routes(variants)]
    return {"changed": bool(names), "routes": names}


def main() -> None:
    """Run the module."""
    module = AnsibleK8SModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = work(Cluster(module, patience=5), module.params, module.check_mode)
    except Unreachable as error:
        module.fail_json(msg=str(error), unreachable_api=True)
    except (ApiError, ValueError, LeaseLost, journal.BackupBroken) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
