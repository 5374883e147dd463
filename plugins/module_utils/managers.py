# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads from managedFields who writes an object's spec, and tells people and their tools from what writes by itself, again and again. Pure.

A manager counts that owns a field below spec through the object itself: who writes status, a subresource or metadata alone brings nothing back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import FIELD_MANAGER, Manifest, dig

_PEOPLE = re.compile(
    r"kubectl.*|oc|helm(?!-?(controller|operator)).*|k9s|lens|freelens|node-fetch|mozilla|googlecloudconsole|curl|go-http-client|python.*|ansible.*"
    r"|openapi-generator|swagger-codegen|fabric8-kubernetes-client|kubernetes java client|okhttp|kubernetesclient|kube-rs|kr8s|headlamp|rancher"
    r"|dashboard|openlens|kpt|werf"
    r"|kapp|skaffold|tilt|tanka|before-first-apply|unknown|addon-manager|kube-apiserver|" + re.escape(FIELD_MANAGER),
    re.IGNORECASE,
)
"""Managers behind which a person stands who asked for one write: clients and their libraries by the name that the API server makes of the user agent.

Two more say nothing: before-first-apply stands for whoever wrote before managedFields began, and what the add-on manager keeps it marks by a label of its own.
"""
_SOURCES = (("terraform", "Terraform"), ("hashicorp", "Terraform"), ("pulumi", "Pulumi"))
"""Tools, by how their managers' names begin, that write when a person or a pipeline runs them, as Helm does, and then all that their source says."""
_TOOLS = {
    "argocd-controller": "Argo CD",
    "argocd-application-controller": "Argo CD",
    "argocd-server": "Argo CD",
    "kustomize-controller": "Flux",
    "helm-controller": "Flux",
    "configsync.gke.io": "Config Sync",
    "configsync": "Config Sync",
    "root-reconciler": "Config Sync",
    "ns-reconciler": "Config Sync",
    "reconciler": "Config Sync",
    "kserve-controller-manager": "KServe",
    "llmisvc-controller-manager": "KServe",
}


def controller(manifest: Manifest) -> tuple[str, str] | None:
    """Return who writes an object's spec by itself, as words for it and its manager's name; None where only people and their tools do.

    Of several, a tool that is known by its name comes first.
    """
    names = [name for name in _writers(manifest) if not _person(name) and not _source(name)]
    name = next((name for name in names if name in _TOOLS), names[0] if names else None)
    return (_TOOLS.get(name, f"controller {name}"), name) if name else None


def of_spec(manifest: Manifest) -> list[str]:
    """Return the managers that own a field of an object's spec, people's too, in the order of managedFields."""
    return list(_writers(manifest))


def source(manifest: Manifest) -> str | None:
    """Return the tool whose next run writes an object's spec as its source says, e.g. Terraform; None where there is none."""
    return next((tool for tool in map(_source, _writers(manifest)) if tool), None)


def words(name: str | None) -> str:
    """Return a manager's name, with the tool that it is of where that is known by it."""
    return f"{name} of {_TOOLS[name]}" if name in _TOOLS else str(name)


def compact(metadata: Manifest) -> None:
    """Reduce managedFields in place to who writes the spec and is not a person: whole, they are half of an object in memory."""
    entries = metadata.pop("managedFields", None) or ()
    names = tuple(dict.fromkeys(name for name in _named(entries) if not _person(name)))
    if names:
        metadata["managedFields"] = _shared(names)


@cache
def _shared(names: tuple[str, ...]) -> list[Manifest]:
    """Return the same short list for the same managers: thousands of objects have it."""
    return [{"manager": name, "fieldsV1": {"f:spec": {}}} for name in names]


@cache
def _person(name: str) -> bool:
    return bool(_PEOPLE.fullmatch(name))


def _source(name: str) -> str | None:
    return next((tool for prefix, tool in _SOURCES if name.lower().startswith(prefix)), None)


def _writers(manifest: Manifest) -> Iterator[str]:
    return _named(dig(manifest, "metadata", "managedFields", default=()))


def _named(entries: Iterable[Manifest]) -> Iterator[str]:
    """Yield the names of the managers that own a field below spec."""
    for entry in entries:
        if "f:spec" in (entry.get("fieldsV1") or ()) and not entry.get("subresource") and entry.get("manager"):
            yield entry["manager"]
