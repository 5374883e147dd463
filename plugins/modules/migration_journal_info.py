#!/usr/bin/python
# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_journal_info
short_description: Read which cluster a connection leads to, and the journal of its migration
version_added: 0.1.0
author: inference_gateway.migration contributors (@inference-gateway-migration)
description:
  - Says which cluster the connection leads to, and how far its migration is.
  - Takes no lock, so it can be asked while a migration runs.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - inference_gateway.migration.attributes
  - inference_gateway.migration.attributes.read_only
  - inference_gateway.migration.cluster
  - inference_gateway.migration.journal
options:
  seen:
    description: An earlier look at the Lease by this module (RV(lease)). Its time counts on where nothing has changed since.
    type: dict
seealso:
  - module: inference_gateway.migration.migration_journal
"""

EXAMPLES = r"""
- name: How far is the migration of this cluster?
  inference_gateway.migration.migration_journal_info:
  register: found
"""

RETURN = r"""
cluster:
  description: Id and server of the cluster that the connection leads to.
  returned: always
  type: dict
kubeconfig:
  description: Path of the kubeconfig on the host on which modules run, where it is a file that lasts. Helm reads it itself.
  returned: when the kubeconfig is a file that is not vaulted; by ssh when its path is a whole one
  type: str
journal:
  description:
    - Migration, nonce, status (V(open), V(finished) or V(rolled back)), whether it has begun to change the cluster (C(begun)), since when v1 has had traffic
      (C(shifted_since)), v1alpha2 is taken away (C(retiring_since)) or the migration is rolled back (C(returning_since)), phases done, verdict, reason and
      entries; V(null) where no migration was begun.
  returned: always
  type: dict
lease:
  description: Which run holds the Lease, with the time of the look on the controller's own clock (C(at)).
  returned: when a run holds it
  type: dict
plan:
  description: The plan of the open migration.
  returned: when a migration is open
  type: dict
"""

from contextlib import suppress

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import journal
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import ApiError, Cluster, Forbidden, auth_argument_spec
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.lease import Lease
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule


def argument_spec() -> dict:
    """Return the options of the module."""
    return auth_argument_spec() | journal.argument_spec() | {"seen": {"type": "dict"}}


def main() -> None:
    """Run the module."""
    module = AnsibleK8SModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        cluster = Cluster(module)
        store = journal.Journal(cluster, module.params["state_namespace"])
        record = store.read()
        plan = {"plan": store.plan(record)} if record and record["status"] == "open" else {}
        found = {"id": cluster.identity(), "server": cluster.server}
        held = None
        with suppress(Forbidden):  # who only looks need not see it
            held = Lease(cluster).seen()
    except (ApiError, journal.BackupBroken) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, cluster=found, **({"lease": held} if held else {}), **journal.summary(record), **plan)


if __name__ == "__main__":
    main()
