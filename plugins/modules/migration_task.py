#!/usr/bin/python
# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_task
short_description: Run a module of another collection under the Lease of a migration
version_added: 0.1.0
author: inference_gateway.migration contributors (@inference-gateway-migration)
description:
  - Runs one module, such as M(kubernetes.core.k8s) or M(kubernetes.core.helm), with the task's connection. Before it, and before each time that it is tried
    again, it renews the Lease, so that a run which lost it writes nothing more.
  - While the API server can't be reached, is overloaded or has an internal error, the module is tried again, with a line that says so.
  - Give it pieces that end within half a minute, and no wait of their own. The Lease is not renewed while the module runs.
  - Helm can't look at the Lease, so modules of kubernetes.core that run helm do so by a small program of this collection, which lies in the task's temporary
    folder on the host on which modules run. It ends a helm command after a third of the Lease's duration and all those of one module after two thirds, and on
    Linux helm ends with its module. An installation that was ended so, or failed because the API server was away, is made anew. For that Helm's record of it is
    deleted (C(failed), C(pending-install), C(pending-upgrade)), and Helm adopts what it has made already.
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - inference_gateway.migration.attributes
  - inference_gateway.migration.cluster
attributes:
  check_mode:
    support: full
    details: As the module itself supports it. The Lease is left alone.
  diff_mode:
    support: full
    details: As the module itself supports it.
  idempotent:
    support: full
    details: As the module itself is.
options:
  module:
    description: The module by its full name.
    type: str
    required: true
  arguments:
    description: Its options, without those of the connection.
    type: dict
    default: {}
  expected_values:
    description: Values that a Helm release should have. RV(status) then says whether it has them (C(as_expected)).
    type: dict
  run:
    description: The Lease's holder, as M(inference_gateway.migration.migration_journal) returns it.
    type: str
  state_namespace:
    description: Namespace of the journal and the backup of a migration.
    type: str
    default: inference-gateway-migration
  patience:
    description: Seconds for which it is tried again while the API server gives no usable answer.
    type: int
    default: 120
seealso:
  - module: inference_gateway.migration.migration_journal
  - module: kubernetes.core.k8s
  - module: kubernetes.core.helm
"""

EXAMPLES = r"""
- name: Create the objectives of the v1 pools
  inference_gateway.migration.migration_task:
    run: "{{ journal.run }}"
    module: kubernetes.core.k8s
    arguments:
      resource_definition: "{{ objectives }}"
"""

RETURN = r"""
status:
  description:
    - What the module returns, as it returns it; of a Helm release without its values. In the place of C(manifest) there is C(objects), with kinds and names
      alone.
  returned: as the module does
  type: raw
"""
