#!/usr/bin/python
# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The action plugin of this name does the work: only the controller knows the variables and the roles of a play.

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_options
short_description: Refuse options of a migration that nobody would read
version_added: 0.1.0
author: inference_gateway.migration contributors (@inference-gateway-migration)
description:
  - Fails where a variable begins with C(migration_) and is no option, with the nearest one, for a misspelt option would else be ignored in silence.
  - Fails where another role of the play has options in its defaults that nothing stronger says. Defaults of role C(inference_gateway.migration.migration)
    win over those, so they would not be seen, and the connection among them could lead to another cluster.
  - Runs on the controller, and asks nothing of a cluster.
extends_documentation_fragment:
  - inference_gateway.migration.attributes
  - inference_gateway.migration.attributes.read_only
options:
  defaults:
    description: The options that there are, each with its default.
    type: dict
    required: true
  also:
    description: Names of variables that are no options and may be there all the same.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Refuse options that nobody would read
  inference_gateway.migration.migration_options:
    defaults: "{{ lookup('ansible.builtin.file', role_path ~ '/defaults/main.yml') | from_yaml }}"
    also: [migration_hosts]
"""

RETURN = r"""
msg:
  description: What would not be read, and what to do. Only where the task fails.
  type: str
  returned: failure
"""
