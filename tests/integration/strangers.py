# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Identities that may do little, and what they may do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

from igw_sandbox.world import World
from tests.integration.harness import credential
from tools.stage import ROOT

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


def of_detect(*hidden: str) -> Rules:
    """The rights of the collection's ClusterRole for detect without the right to list these kinds, each as ``PLURAL.GROUP``."""
    rules: Rules = yaml.safe_load((ROOT / "roles/migration/files/rbac/detect.yaml").read_text())["rules"]
    left = [rule | {"resources": [kind for kind in rule["resources"] if "list" not in rule["verbs"] or f"{kind}.{rule['apiGroups'][0]}" not in hidden]}
            for rule in rules]
    return [rule for rule in left if rule["resources"]]
