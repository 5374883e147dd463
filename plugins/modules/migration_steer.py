#!/usr/bin/python
# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_steer
short_description: Pause, stop or take back the migration that is running on a cluster
version_added: 0.1.0
author: inference_gateway.migration contributors (@inference-gateway-migration)
description:
  - Asks something of the run that is at work on the cluster, from a second shell. The run looks before each change of weights and after each part of a gate.
  - It writes one ConfigMap of its own, and neither the Lease nor the journal. What was asked of one run counts for no other.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - inference_gateway.migration.attributes
  - inference_gateway.migration.cluster
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  command:
    description:
      - V(pause) keeps the weights as they are until something else is asked. V(go_on) ends that.
      - V(stop) ends the run as HELD, with the traffic at the last share that passed its gate. The same command goes on from there later.
      - V(back) ends the run as HELD, with all traffic on v1alpha2.
    type: str
    choices: [pause, go_on, stop, back]
    required: true
  by:
    description: Who asks, for the line that the run shows.
    type: str
    default: somebody
seealso:
  - module: inference_gateway.migration.shift_traffic
"""

EXAMPLES = r"""
- name: Keep the weights as they are for a while
  inference_gateway.migration.migration_steer:
    command: pause
    by: on-call
"""

RETURN = r"""
run:
  description: The run that is asked.
  returned: success
  type: str
msg:
  description: One sentence on what was asked of whom.
  returned: always
  type: str
"""

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import lease, steering
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import ApiError, Cluster, auth_argument_spec
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule


def argument_spec() -> dict:
    """Return the options of the module."""
    return auth_argument_spec() | {
        "command": {"type": "str", "choices": list(steering.COMMANDS), "required": True},
        "by": {"type": "str", "default": "somebody"},
    }


def work(cluster: Cluster, params: dict, check_mode: bool) -> dict:
    """Ask the run that holds the Lease, and return the module's result. :raises ApiError: when no run does."""
    seen = lease.Lease(cluster).seen()
    if seen is None:
        raise ApiError("No run is at work on this cluster, so there is nobody to ask: the playbook status says where the migration stands, "
                       "zero_downtime goes on with it, rollback takes it back.")
    changed = check_mode or steering.Steering(cluster).ask(seen["run"], params["command"], params["by"])
    return {"changed": changed, "run": seen["run"], "msg": f"{lease.words(seen)}, is asked to {params['command'].replace('_', ' ')}."}


def main() -> None:
    """Run the module."""
    module = AnsibleK8SModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = work(Cluster(module), module.params, module.check_mode)
    except ApiError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
