# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The v1 objects of a Draft: chart values, objectives, rewrites, policies, grants, monitoring. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import Draft, model_name, targets
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
    """The InferenceModelRewrite that answers for a model's targetModels."""
    return _object(ALPHA_VERSION, "InferenceModelRewrite", namespace_of(model), name_of(model)) | {
        "spec": {
            "poolRef": _pool_ref(pool),
            "rules": [
                {
                    "matches": [{"model": {"type": "Exact", "value": model_name(model)}}],
                    "targets": [{"modelRewrite": entry.get("name", ""), "weight": entry.get("weight", 1)} for entry in targets(model)],
                }
            ],
        }
    }


def objective(model: Manifest, pool: str, priority: int) -> Manifest:
    """The InferenceObjective that keeps a model's criticality, under the model object's name."""
    return _object(ALPHA_VERSION, "InferenceObjective", namespace_of(model), name_of(model)) | {"spec": {"priority": priority, "poolRef": _pool_ref(pool)}}


# -- chart --------------------------------------------------------------------------------------------------------------


def resources(alpha: Mapping[str, Any], default: Mapping[str, Mapping[str, str]]) -> dict[str, Any] | None:
    """The chart's resources value that leaves the EPP with exactly what it asked before.

    Helm merges values into the chart's own: what alpha did not ask must be said as null, or the chart's figure stays.

    :param default: the chart's own resources.
    :returns: None to ask nothing at all.
    """
    if not alpha:
        return None
    sections = sorted({*alpha, *default})
    return {
        section: {name: None for name in default.get(section, {})} | dict(alpha[section]) if alpha.get(section) else None
        for section in sections
    }


def chart_values(draft: Draft) -> dict[str, Any]:
    """Values for the inferencepool chart of the target release."""
    facts = draft.options.release.facts
    carried = draft.carried_flags
    extension: dict[str, Any] = {"replicas": 1, "extProcPort": DEFAULT_EPP_PORT}
    if carried:
        extension["flags"] = carried if facts.flags == "map" else [{"name": name, "value": value} for name, value in ({"v": "1"} | carried).items()]
    if facts.failure_mode == "taken":
        extension["failureMode"] = draft.failure_mode
    if draft.plugin_configuration and not draft.unknown_plugins:
        extension |= {"pluginsConfigFile": PLUGINS_FILE, "pluginsCustomConfig": {PLUGINS_FILE: draft.plugin_configuration}}
    if facts.resources and draft.options.epp_resources == "preserve":
        extension["resources"] = resources(dig(draft.alpha_epp.container, "resources", default={}), facts.resources)
    # Both fields of the port: the pool reads one and, up to v1.4, the chart's HealthCheckPolicy the other.
    return {
        "inferenceExtension": extension,
        "inferencePool": {
            "targetPorts": [{"number": draft.port}],
            "targetPortNumber": draft.port,
            "modelServers": {"matchLabels": dict(draft.selector)},
        },
        "provider": {"name": "gke" if draft.chart_writes_policies else "none"},
    }


# -- what the chart does not write --------------------------------------------------------------------------------------


def twin(manifest: Manifest, name: str, **changes: Any) -> Manifest:
    """A copy of an alpha object's spec under another name, unknown fields kept, ``changes`` applied to spec."""
    copy = _object(manifest["apiVersion"], manifest["kind"], namespace_of(manifest), name)
    return copy | {"spec": deepcopy(dig(manifest, "spec", default={})) | changes}


def policy_twin(policy: Manifest, name: str) -> Manifest:
    """A policy with the same spec for the v1 pool ``name``, and for that pool alone."""
    ref = {"group": V1_GROUP, "kind": POOL_KIND, "name": name}
    attached = {"targetRefs": [ref]} if dig(policy, "spec", "targetRefs") else {"targetRef": ref}
    return twin(policy, name, **attached)


def grant_twin(grant: Manifest, moved: Mapping[PoolKey, str]) -> Manifest:
    """A ReferenceGrant that allows for v1 pools what this one allows for alpha pools."""
    allowed = []
    for entry in opened(grant):
        named = moved.get(PoolKey(ALPHA_GROUP, POOL_KIND, namespace_of(grant), entry.get("name") or ""))
        allowed.append(entry | {"group": V1_GROUP} | ({"name": named} if named else {}))
    return twin(grant, f"{name_of(grant)}-ga", to=allowed)


def monitoring_twin(monitoring: Manifest, draft: Draft) -> Manifest:
    """A PodMonitoring or ClusterPodMonitoring that reads the v1 EPP instead."""
    old = name_of(monitoring)
    name = old.replace(draft.name, draft.v1_name) if draft.name in old else f"{old}-ga"
    return twin(monitoring, name, selector={"matchLabels": {"inferencepool": draft.epp}})


def metrics_rbac(draft: Draft) -> list[Manifest]:
    """The right to check the tokens of those who read the EPP's metrics, where the chart gives it only with monitoring of its own."""
    name = f"{draft.epp.removesuffix('-epp')}-{draft.namespace}-epp-metrics"
    rules = [
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
        {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
    ]
    group = "rbac.authorization.k8s.io"
    return [
        _object(f"{group}/v1", "ClusterRole", "", name) | {"rules": rules},
        _object(f"{group}/v1", "ClusterRoleBinding", "", name) | {
            "subjects": [{"kind": "ServiceAccount", "name": draft.epp, "namespace": draft.namespace}],
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        },
    ]


def _object(api_version: str, kind: str, namespace: str, name: str) -> Manifest:
    where = {"namespace": namespace} if namespace else {}
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **where, "labels": {MANAGED_BY: OURS}}}


def _pool_ref(pool: str) -> Manifest:
    return {"group": V1_GROUP, "kind": POOL_KIND, "name": pool}


# -- the whole twin -----------------------------------------------------------------------------------------------------


def objects(draft: Draft, moved: Mapping[PoolKey, str]) -> Iterator[Manifest]:
    """Everything to create besides the chart or to merge into what it made, in order.

    :param moved: every planned pool and its v1 name.
    """
    for model in draft.models:
        yield objective(model, draft.v1_name, draft.priority(model))
        if targets(model) and draft.options.release.facts.rewrites:
            yield rewrite(model, draft.v1_name)
    if not draft.chart_writes_policies:
        twins = (policy_twin(policy, draft.v1_name) for _kind, policy in sorted(draft.policies.items()))
        strict = draft.estate.strict_health_checks
        yield from (health_check_policy.complete(policy) if strict and policy["kind"] == "HealthCheckPolicy" else policy for policy in twins)
    yield from (grant_twin(grant, moved) for grant in draft.grants)
    if draft.monitorings and not (draft.chart_writes_policies and draft.options.release.facts.chart_monitoring):
        yield from (monitoring_twin(entry, draft) for entry in draft.monitorings)
        if not draft.options.release.facts.metrics_rbac:
            yield from metrics_rbac(draft)
    yield from patches(draft)


def patches(draft: Draft) -> list[Manifest]:
    """Parts to merge into the chart's own objects: the failure mode, and what the EPP asks of its node, where the chart can't say it."""
    facts, where = draft.options.release.facts, {"namespace": draft.namespace}
    found: list[Manifest] = []
    if draft.failure_mode != "FailClose" and facts.failure_mode == "ignored":
        pool = {"apiVersion": f"{V1_GROUP}/v1", "kind": POOL_KIND, "metadata": {"name": draft.v1_name} | where}
        found.append(pool | {"spec": {"endpointPickerRef": {"failureMode": draft.failure_mode}}})
    asked = dig(draft.alpha_epp.container, "resources", default={})
    if asked and not facts.resources and draft.options.epp_resources == "preserve":
        deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": draft.epp} | where}
        found.append(deployment | {"spec": {"template": {"spec": {"containers": [{"name": "epp", "resources": asked}]}}}})
    return found
