# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds misspelt options: a variable that nobody reads would else be ignored in silence."""

from __future__ import annotations

DOCUMENTATION = r"""
name: unknown_options
short_description: Say which variables are no options, and what was probably meant
version_added: 0.1.0
author: inference_gateway.migration contributors (@inference-gateway-migration)
description:
  - Compares names of variables with names of options.
positional: _known
options:
  _input:
    description: Names of variables that were set.
    type: list
    elements: str
    required: true
  _known:
    description: Names of the options that there are.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: See what a misspelt variable was to be
  ansible.builtin.debug:
    msg: "{{ ['migration_step'] | inference_gateway.migration.unknown_options(['migration_steps', 'migration_gate']) }}"
"""

RETURN = r"""
_value:
  description: A sentence for each variable that is no option; empty where all are known.
  type: list
  elements: str
"""

from collections.abc import Callable, Iterable
from difflib import get_close_matches


def unknown_options(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return a sentence for each name that is no known option, with the nearest known one."""
    options = sorted(known)
    return [f"{name} is no option: the nearest one is {get_close_matches(name, options, 1, 0.0)[0]}." for name in sorted(set(names) - set(options))]


class FilterModule:
    """Gives Ansible the filters of this file."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return the filters by their names."""
        return {"unknown_options": unknown_options}
