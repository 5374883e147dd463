# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells what each monitor reads: PodMonitoring, ClusterPodMonitoring, PodMonitor and ServiceMonitor, each by a label selector. Pure.

Sources: https://github.com/GoogleCloudPlatform/prometheus-engine/blob/main/doc/api.md and
https://github.com/prometheus-operator/prometheus-operator/blob/main/Documentation/api-reference/api.md
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import Estate, pod_labels
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.label_index import Selectors, grouped
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, describe, dig, namespace_of, selects_labels

What = Literal["pods", "services"]

EVERYWHERE = ""
"""In place of a namespace: all of them."""
AT_ONCE = 100
"""Values of a label in one list's selector: with 63 characters each they fit into a URL."""


class Kind(NamedTuple):
    """What a kind of monitor selects by its labels, and the field of its spec that lists the ports to read."""

    reads: What
    endpoints: str


KINDS = {
    "PodMonitoring": Kind("pods", "endpoints"),
    "ClusterPodMonitoring": Kind("pods", "endpoints"),
    "PodMonitor": Kind("pods", "podMetricsEndpoints"),
    "ServiceMonitor": Kind("services", "endpoints"),
}


def namespaces(monitor: Manifest) -> frozenset[str]:
    """Return the namespaces that a monitor reads; :data:`EVERYWHERE` alone for all of them."""
    if not namespace_of(monitor) or dig(monitor, "spec", "namespaceSelector", "any"):
        return frozenset({EVERYWHERE})
    return frozenset(dig(monitor, "spec", "namespaceSelector", "matchNames", default=[]) or [namespace_of(monitor)])


def selects_there(monitor: Manifest, labels: Mapping[str, Any]) -> bool:
    """Tell whether a monitor selects these labels in the namespaces that it reads; one without a selector selects nothing."""
    selector = dig(monitor, "spec", "selector")
    return selector is not None and selects_labels(selector, labels)


class Monitors:
    """Finds monitors by the labels that they select, those without matchLabels too."""

    def __init__(self, monitors: Iterable[Manifest]) -> None:
        every = [(KINDS[entry["kind"]].reads, namespace, _match_labels(entry), entry) for entry in monitors for namespace in sorted(namespaces(entry))]
        kinds: tuple[What, ...] = ("pods", "services")
        self._wanting = {what: Selectors((namespace, labels, entry) for kind, namespace, labels, entry in every if kind == what) for what in kinds}
        self._open = grouped([row for row in every if not row[2]], lambda row: row[:2])

    def of(self, what: What, namespace: str, labels: Mapping[str, Any]) -> list[Manifest]:
        """Return the monitors that read pods or Services of a namespace that have these labels."""
        places = (EVERYWHERE, namespace)
        near = self._wanting[what].candidates(places, labels) + [row[3] for place in places for row in self._open.get((what, place), [])]
        return [entry for entry in near if selects_there(entry, labels)]


def readings(estate: Estate) -> dict[str, set[str]]:
    """Return what each monitor reads, both as ``Kind namespace/name``: workloads, or a Service of which nothing tells what is behind it."""
    every, found = Monitors(estate.monitorings), defaultdict[str, set[str]](set)
    if not estate.monitorings:
        return found
    pods = [(entry, pod_labels(entry), describe(entry)) for entry in estate.of("deployments")]
    pods += [(entry, dig(entry, "metadata", "labels", default={}), _origin(entry)) for entry in estate.of("monitored_pods")]
    for entry, labels, name in pods:
        for monitor in every.of("pods", namespace_of(entry), labels):
            found[describe(monitor)].add(name)
    for service in (*estate.of("services"), *estate.of("monitored_services")):
        for monitor in every.of("services", namespace_of(service), dig(service, "metadata", "labels", default={})):
            behind = estate.selected(namespace_of(service), dig(service, "spec", "selector", default={}))
            found[describe(monitor)].update(map(describe, behind or [service]))
    return found


# -- what must be asked of the server -----------------------------------------------------------------------------------


def questions(estate: Estate, what: str) -> Iterator[tuple[str, str]]:
    """Yield the lists that show what the monitors of alpha EPPs read besides: few lists for many monitors, of somewhat too many objects.

    A selector that asks for no label at all is left out: it selects whatever comes, a v1 EPP too, so nothing is to be decided by what it reads.

    :param what: ``pods`` or ``services``.
    :returns: namespace, empty for all, and label selector.
    """
    wanted: dict[tuple[str, str], set[str]] = defaultdict(set)
    bare: set[tuple[str, str]] = set()
    monitors = [entry for entry in of_alpha(estate) if KINDS[entry["kind"]].reads == what]
    common = Counter(pair for entry in monitors for pair in _match_labels(entry).items())
    for monitor in monitors:
        labels = _match_labels(monitor)
        asked = min(labels.items(), key=common.__getitem__, default=None)
        key, values = (asked[0], {asked[1]}) if asked else _expression(monitor)
        for namespace in namespaces(monitor) if key else ():
            wanted[namespace, key].update(values)
            if not values:
                bare.add((namespace, key))
    for (namespace, key), named in sorted(wanted.items()):
        every = sorted(named)
        selectors = [key] if (namespace, key) in bare else [f"{key} in ({','.join(every[at:at + AT_ONCE])})" for at in range(0, len(every), AT_ONCE)]
        yield from ((namespace, selector) for selector in selectors)


def bare(manifest: Manifest) -> Manifest:
    """Return only the fields of a pod or Service that this file reads, to save memory."""
    metadata = {name: manifest["metadata"][name] for name in ("name", "namespace", "labels", "ownerReferences") if name in manifest["metadata"]}
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": metadata, "spec": {"selector": dig(manifest, "spec", "selector")}}


def ended(manifest: Manifest) -> bool:
    """Tell whether a pod has ended, so that nobody reads it any more."""
    return manifest["kind"] == "Pod" and dig(manifest, "status", "phase") in ("Succeeded", "Failed")


def of_alpha(estate: Estate) -> list[Manifest]:
    """Return the monitors that read an alpha EPP, and others perhaps."""
    pickers = {describe(deployment) for pool in estate.pools.values() if (deployment := estate.epp(pool).deployment)}
    found = readings(estate)
    return [entry for entry in estate.monitorings if found[describe(entry)] & pickers]


def _match_labels(monitor: Manifest) -> dict[str, str]:
    return dig(monitor, "spec", "selector", "matchLabels", default={})


def _expression(monitor: Manifest) -> tuple[str, set[str]]:
    """Return the label that an expression of a selector asks for, and the values that it may have, none for any; an empty label where none is asked for."""
    asking = [entry for entry in dig(monitor, "spec", "selector", "matchExpressions", default=[]) if entry.get("operator") in ("In", "Exists")]
    first: Manifest = max(asking, key=lambda entry: entry.get("operator") == "In", default={})
    return first.get("key") or "", set(first.get("values") or [])


def _origin(pod: Manifest) -> str:
    """Return ``Kind namespace/name`` of what made a pod: of a ReplicaSet of a Deployment the Deployment, whose name does not change with its template."""
    reference = next((entry for entry in dig(pod, "metadata", "ownerReferences", default=[]) if entry.get("controller")), None)
    if reference is None:
        return describe(pod)
    kind, name, template = reference.get("kind", ""), reference.get("name", ""), dig(pod, "metadata", "labels", "pod-template-hash")
    if kind == "ReplicaSet" and template and name.endswith(f"-{template}"):
        kind, name = "Deployment", name.removesuffix(f"-{template}")
    return f"{kind} {namespace_of(pod)}/{name}"


# -- ports --------------------------------------------------------------------------------------------------------------


def endpoints(monitor: Manifest, container: Manifest, services: Iterable[Manifest]) -> list[tuple[Manifest, int | None]]:
    """Return the endpoints of a monitor, each with the number of the port that it reads of a pod; None where the pod has no such port or does not say it.

    :param container: of the pod.
    :param services: through which a ServiceMonitor reads the pod; that one names the ports of Services.
    """
    kind = KINDS[monitor["kind"]]
    declared = {entry["name"]: entry.get("containerPort") for entry in dig(container, "ports", default=[]) if entry.get("name")}
    offered = [entry for service in services for entry in dig(service, "spec", "ports", default=[]) if entry.get("name")]
    published = {entry["name"]: entry.get("targetPort") or entry.get("port") for entry in offered}
    found = []
    for entry in dig(monitor, "spec", kind.endpoints, default=[]):
        aimed = published.get(entry.get("port")) if kind.reads == "services" else entry.get("port")
        said = aimed or entry.get("portNumber") or entry.get("targetPort")
        found.append((entry, said if isinstance(said, int) else declared.get(said)))
    return found
