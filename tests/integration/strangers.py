# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Identities that may do little, and what they may do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from igw_sandbox.world import World
from tests.integration.harness import credential

Rules = list[dict[str, Any]]
STRANGER = "system:serviceaccount:default:stranger"
"""The user that :func:`stranger` makes."""


@contextmanager
def stranger(world: World, rules: Rules) -> Iterator[dict[str, str | None]]:
    """Connection options of an identity with these rights and no others."""
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "stranger"}, "rules": rules}
    world.kubectl("create", "-f", "-", input=json.dumps(role))
    try:
        yield {"kubeconfig": None} | credential(world, "stranger", world.directory)
    finally:
        world.kubectl("delete", "-n", "default", "serviceaccount/stranger", "clusterrole/stranger", "clusterrolebinding/stranger")


def everything_but(world: World, *kinds: str) -> Rules:
    """Rights to read every kind but these, each as ``PLURAL.GROUP``, and the namespace kube-system, whose uid is the cluster's id."""
    names = world.kubectl("api-resources", "--verbs=list", "-o", "name", "--no-headers").split()
    parts = [name.partition(".") for name in names if name not in kinds]
    read = [{"apiGroups": [group], "resources": [plural], "verbs": ["get", "list"]} for plural, _dot, group in parts]
    return [*read, {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]}]
