# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds options that nobody would read: misspelt ones, and those in defaults that lose to the defaults of role ``migration``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from ansible.playbook.role import Role
from ansible.playbook.task import Task

OWN = "inference_gateway.migration."
"""What the names of this collection's roles begin with."""
PREFIX = "migration_"
"""What names of options begin with, and of no other variable."""


def unknown(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return a sentence for each variable that looks like an option and is none, with the nearest known one."""
    options = sorted(known)
    strangers = sorted({name for name in names if name.startswith(PREFIX)} - {*options})
    return [f"{name} is no option: the nearest one is {get_close_matches(name, options, 1, 0.0)[0]}." for name in strangers]


def hidden(roles: Iterable[tuple[str, Mapping[str, Any]]], defaults: Mapping[str, Any], variables: Mapping[str, Any]) -> list[str]:
    """Return a phrase for each role whose defaults hold options that are not seen.

    :param roles: names of other roles, and their defaults. :param defaults: of role ``migration``. :param variables: as tasks of that role see them; an option
        that something stronger than defaults says is seen.
    """
    found = {
        role: sorted(name for name in set(own) & set(defaults) if own[name] != defaults[name] and variables.get(name) == defaults[name])
        for role, own in roles
    }
    return [f"{', '.join(names)} in the defaults of role {role}" for role, names in sorted(found.items()) if names]


def other_roles(task: Task) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name and the defaults of every role that a play has besides those of this collection: beside a path, around it, and all that these depend on.

    Ansible gives a task the defaults of its own role before those of any other: ``Role.get_default_vars`` and ``VariableManager.get_vars`` of ansible-core.
    """
    direct: list[Role] = [*task.get_play().get_roles(), *(task.get_dep_chain() or [])]
    for role in direct:
        for one in (role, *role.get_all_dependencies()):
            if not one.get_name().startswith(OWN):
                yield one.get_name(), one.get_default_vars()
