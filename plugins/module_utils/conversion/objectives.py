# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves InferenceObjectives that name an alpha pool: a twin for the v1 pool now, the objective itself in the phase retire. Pure.

A v1 picker on an alpha pool has them. An endpoint picker knows only the objectives that name its own pool, by group and name, and clients send an
objective's name in a header, so none can serve both stacks (inference-extension v1.0.0, pkg/epp/controller/inferenceobjective_reconciler.go).
"""

from __future__ import annotations

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import v1_name
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.listings import ALPHA_VERSION
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import POOL_KIND, V1_GROUP, Manifest, dig, name_of, namespace_of


def priority(objective: Manifest) -> int:
    """Return the priority of an InferenceObjective, 0 where it says none."""
    return dig(objective, "spec", "priority", default=0)


def twin_name(name: str) -> str:
    """Return the name of an objective's twin, made as a v1 pool's is."""
    return v1_name("", name, {})


def repointed(objective: Manifest, pool: str) -> Manifest:
    """Return the part of an objective that points it at v1 pool ``pool``, to be merged into what is live."""
    meta = {"name": name_of(objective), "namespace": namespace_of(objective)}
    return {"apiVersion": ALPHA_VERSION, "kind": "InferenceObjective", "metadata": meta, "spec": {"poolRef": pool_ref(pool)}}


def pool_ref(pool: str) -> Manifest:
    """Return the poolRef that names v1 pool ``pool``, for objectives and rewrites."""
    return {"group": V1_GROUP, "kind": POOL_KIND, "name": pool}
