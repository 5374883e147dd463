# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the pods that a workload asks for, so that they can be judged before there are any. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, dig, name_of, namespace_of

_BY_NAME = ("containers", "initContainers", "volumes", "env", "imagePullSecrets")
_KEYS = dict.fromkeys(_BY_NAME, "name") | {"volumeMounts": "mountPath", "ports": "containerPort"}
"""Lists of a pod whose entries a strategic merge merges by a key; it replaces any other list.

Source: patchMergeKey in https://github.com/kubernetes/api/blob/v0.34.0/core/v1/types.go
"""
_NOBODY = "00000000-0000-0000-0000-000000000000"


def merged(target: Any, patch: Any, field: str = "") -> Any:
    """Return ``target`` after a strategic merge patch without directives, as kubernetes.core.k8s merges parts of the plan into the chart's objects.

    :param field: the name of the field that holds both.
    """
    if isinstance(patch, dict):
        after = dict(target) if isinstance(target, dict) else {}
        for name, value in patch.items():
            if value is None:
                after.pop(name, None)
            else:
                after[name] = merged(after.get(name), value, name)
        return after
    if isinstance(patch, list) and field in _KEYS:
        key = _KEYS[field]
        by_key = {entry.get(key): entry for entry in target or []}
        for entry in patch:
            by_key[entry.get(key)] = merged(by_key.get(entry.get(key)), entry)
        return list(by_key.values())
    return patch


def pods(objects: Iterable[Manifest], parts: Iterable[Manifest], namespace: str) -> Iterator[tuple[Manifest, Manifest]]:
    """Yield each object that has a pod template, with one pod as its controller would create it.

    The pod runs as the account ``default``: its own may not exist yet, and then the server refuses it for that alone. An owner is named, since there are
    policies that refuse pods without one.

    :param parts: what is merged into the objects afterwards, found by kind, namespace and name.
    :param namespace: of objects that name none.
    """
    patches = list(parts)
    for entry in objects:
        template, where = dig(entry, "spec", "template", default={}), namespace_of(entry) or namespace
        for part in patches:
            if (part["kind"], namespace_of(part) or namespace, name_of(part)) == (entry["kind"], where, name_of(entry)):
                template = merged(template, dig(part, "spec", "template", default={}))
        if not dig(template, "spec", "containers"):
            continue
        owner = {"apiVersion": entry["apiVersion"], "kind": entry["kind"], "name": name_of(entry), "uid": _NOBODY, "controller": True}
        if entry["kind"] == "Deployment":
            owner |= {"kind": "ReplicaSet", "name": f"{name_of(entry)}-0"}
        metadata = {field: template["metadata"][field] for field in ("labels", "annotations") if dig(template, "metadata", field)}
        metadata |= {"generateName": f"{name_of(entry)}-", "namespace": where, "ownerReferences": [owner]}
        accounts = ("serviceAccountName", "serviceAccount")
        spec = {field: value for field, value in template["spec"].items() if field not in accounts}
        yield entry, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def planned(namespace: str, name: str, resources: Manifest, values: Manifest | None, parts: Iterable[Manifest]) -> Manifest:
    """Return the spec of a v1 EPP's pod, as far as it is known before the chart is rendered: its resources, and what is merged into it.

    :param name: of its Deployment, in ``namespace``. :param resources: of the chart's own values; empty where the chart has none.
    :param values: resources that the plan sets, None for none at all.
    """
    container = {"name": "epp", "resources": merged(resources, values) if resources and values is not None else {}}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {"template": {"spec": {"containers": [container]}}}}
    ((_deployment, pod),) = pods([deployment], parts, namespace)
    return pod["spec"]
