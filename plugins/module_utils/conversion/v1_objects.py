# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the v1 objects of a PoolMigration: chart values, objectives, rewrites, policies, grants. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import flags, picker_pod
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.chart_values import merged
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.objectives import pool_ref, twin_name
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import PoolMigration, model_name, target_models
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import health_check_policy
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import DEFAULT_EPP_PORT
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.listings import ALPHA_VERSION
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import (
    ALPHA_GROUP,
    MANAGED_BY,
    OURS,
    POOL_KIND,
    V1_GROUP,
    Manifest,
    dig,
    name_of,
    namespace_of,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey, opened

PLUGINS_FILE = "alpha-plugins.yaml"
"""The entry of the chart's ConfigMap that holds a carried plugin configuration."""

# -- models -------------------------------------------------------------------------------------------------------------


def rewrite(model: Manifest, pool: str) -> Manifest:
    """Return the InferenceModelRewrite that does for v1 pool ``pool`` what a model's targetModels do for the alpha pool."""
    return _object(ALPHA_VERSION, "InferenceModelRewrite", namespace_of(model), name_of(model)) | {
        "spec": {
            "poolRef": pool_ref(pool),
            "rules": [
                {
                    "matches": [{"model": {"type": "Exact", "value": model_name(model)}}],
                    "targets": [{"modelRewrite": entry.get("name", ""), "weight": entry.get("weight", 1)} for entry in target_models(model)],
                }
            ],
        }
    }


def objective(model: Manifest, pool: str, priority: int) -> Manifest:
    """Return the InferenceObjective that keeps a model's criticality as a priority, under the InferenceModel's name."""
    return _object(ALPHA_VERSION, "InferenceObjective", namespace_of(model), name_of(model)) | {"spec": {"priority": priority, "poolRef": pool_ref(pool)}}


# -- chart --------------------------------------------------------------------------------------------------------------


def chart_values(migration: PoolMigration) -> dict[str, Any]:
    """Return the values for the inferencepool chart of the target release."""
    facts = migration.options.release.facts
    said = flags.chart_flags(migration.carried_flags, migration.options.release)
    extension: dict[str, Any] = {"replicas": 1, "extProcPort": DEFAULT_EPP_PORT} | picker_pod.values(migration)
    if said:
        extension["flags"] = said
    if facts.failure_mode == "taken":
        extension["failureMode"] = migration.failure_mode
    if migration.plugin_configuration and not migration.unknown_plugins:
        extension |= {"pluginsConfigFile": PLUGINS_FILE, "pluginsCustomConfig": {PLUGINS_FILE: migration.plugin_configuration}}
    # Both fields of the port: the pool reads one and, up to v1.4, the chart's HealthCheckPolicy the other.
    ours = {
        "inferenceExtension": extension,
        "inferencePool": {
            "targetPorts": [{"number": migration.port}],
            "targetPortNumber": migration.port,
            "modelServers": {"matchLabels": dict(migration.selector)},
        },
        "provider": {"name": "gke" if migration.chart_writes_policies else "none"},
    }
    return merged(ours, dict(migration.options.chart_values))


# -- what the chart does not write --------------------------------------------------------------------------------------


def counterpart(manifest: Manifest, name: str, **changes: Any) -> Manifest:
    """Return an object of the same kind under another name, with a copy of the spec in which ``changes`` replace fields; unknown fields are kept."""
    copy = _object(manifest["apiVersion"], manifest["kind"], namespace_of(manifest), name)
    return copy | {"spec": deepcopy(dig(manifest, "spec", default={})) | changes}


def policy_counterpart(policy: Manifest, name: str) -> Manifest:
    """Return a policy with the same spec, named after v1 pool ``name`` and attached to that pool alone."""
    ref = {"group": V1_GROUP, "kind": POOL_KIND, "name": name}
    attached = {"targetRefs": [ref]} if dig(policy, "spec", "targetRefs") else {"targetRef": ref}
    return counterpart(policy, name, **attached)


def grant_counterpart(grant: Manifest, moved: Mapping[PoolKey, str]) -> Manifest:
    """Return a ReferenceGrant that allows for v1 pools what ``grant`` allows for alpha pools.

    :param moved: the name of the v1 pool for each planned pool.
    """
    allowed = []
    for entry in opened(grant):
        named = moved.get(PoolKey(ALPHA_GROUP, POOL_KIND, namespace_of(grant), entry.get("name") or ""))
        allowed.append(entry | {"group": V1_GROUP} | ({"name": named} if named else {}))
    return counterpart(grant, f"{name_of(grant)}-ga", to=allowed)


def metrics_rbac(migration: PoolMigration) -> list[Manifest]:
    """Return the ClusterRole and its binding that let the v1 EPP check the tokens of whoever reads its metrics.

    They are for charts that create them only together with monitoring of their own.
    """
    name = f"{migration.epp.removesuffix('-epp')}-{migration.namespace}-epp-metrics"
    rules = [
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
        {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
    ]
    group = "rbac.authorization.k8s.io"
    return [
        _object(f"{group}/v1", "ClusterRole", "", name) | {"rules": rules},
        _object(f"{group}/v1", "ClusterRoleBinding", "", name) | {
            "subjects": [{"kind": "ServiceAccount", "name": migration.epp, "namespace": migration.namespace}],
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        },
    ]


def _object(api_version: str, kind: str, namespace: str, name: str) -> Manifest:
    where = {"namespace": namespace} if namespace else {}
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **where, "labels": {MANAGED_BY: OURS}}}


# -- the whole v1 counterpart -------------------------------------------------------------------------------------------


def objects(migration: PoolMigration, moved: Mapping[PoolKey, str]) -> Iterator[Manifest]:
    """Yield every object to create besides the chart and monitors, and every part to merge into the chart's own objects, in order.

    :param moved: the name of the v1 pool for each planned pool.
    """
    for model in migration.models:
        yield objective(model, migration.v1_name, migration.priority(model))
        if target_models(model) and migration.options.release.facts.rewrites:
            yield rewrite(model, migration.v1_name)
    ref = pool_ref(migration.v1_name)
    yield from (counterpart(entry, twin_name(name_of(entry)), poolRef=ref) for entry in migration.objectives)
    if not migration.chart_writes_policies:
        counterparts = (policy_counterpart(policy, migration.v1_name) for _kind, policy in sorted(migration.policies.items()))
        strict = migration.estate.strict_health_checks
        yield from (health_check_policy.accepted(policy, strict) if policy["kind"] == "HealthCheckPolicy" else policy for policy in counterparts)
    yield from (grant_counterpart(grant, moved) for grant in migration.grants)
    yield from patches(migration)


def patches(migration: PoolMigration) -> list[Manifest]:
    """Return parts to merge into the chart's own objects: the failure mode, and of the EPP's pod that for which the chart has no value."""
    facts, where = migration.options.release.facts, {"namespace": migration.namespace}
    found: list[Manifest] = []
    if migration.failure_mode != "FailClose" and facts.failure_mode == "ignored":
        pool = {"apiVersion": f"{V1_GROUP}/v1", "kind": POOL_KIND, "metadata": {"name": migration.v1_name} | where}
        found.append(pool | {"spec": {"endpointPickerRef": {"failureMode": migration.failure_mode}}})
    pod = picker_pod.patch(migration)
    if pod:
        deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": migration.epp} | where}
        found.append(deployment | {"spec": {"template": {"spec": pod}}})
    return found
