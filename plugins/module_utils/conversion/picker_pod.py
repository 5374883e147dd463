# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives the v1 endpoint picker's pod what alpha's has: by chart values where the release's chart has one, else by a part to merge after Helm. Pure.

What neither can carry safely is named, for a finding. Values of variables and settings are copied as they are and never read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, NamedTuple

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import chart_values, picker_image, picker_resources
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import PoolMigration
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, dig, selects_labels
from ansible_collections.inference_gateway.migration.plugins.module_utils.releases import EPP_VARIABLES, Facts

OF_THE_CHART = frozenset({"USE_STREAMING", "NAMESPACE", "POD_NAME", "POOL_NAME", "POOL_NAMESPACE", "GRPC_PORT", "GRPC_HEALTH_PORT"})
"""Variables that charts set themselves, or that say what their arguments say (charts v0.3.0 to v1.5.0; EPP v0.5.1, runner.go, bindEnvToFlags)."""
CREDENTIAL = re.compile(
    r"(^|_)token(_|$)|secret|passw|pwd|credential|(api|private|access|encryption|signing)_?key|_headers$|_dsn$|_auth$", re.IGNORECASE,
)
"""Names of variables whose values are kept out of the plan, which people print and keep, if they stand in the Deployment in clear."""
_IN_URL = re.compile(r"://[^/@\s]+@")
"""What a URL with a user and a password in it has, as proxies and databases are given."""
PLACEMENT = ("affinity", "tolerations")
"""Settings of a pod that charts take as values of the same name, from the release on that :attr:`Facts.placement` says."""
MERGED = ("imagePullSecrets", "securityContext", "nodeSelector", "priorityClassName")
"""Settings of a pod for which no chart has a value."""
GRACE_SECONDS = 130
"""terminationGracePeriodSeconds of the EPP's pod in every chart (v0.3.0 to v1.5.0)."""

_DEFAULTS: dict[str, Any] = {"dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}
_ELSEWHERE = ("dnsConfig", "dnsPolicy", "hostAliases", "hostIPC", "hostNetwork", "hostPID", "initContainers", "overhead", "resourceClaims", "runtimeClassName",
              "schedulerName", "shareProcessNamespace")
_ANNOTATIONS_OF_TOOLS = ("kubectl.kubernetes.io/", "client.knative.dev/", "meta.helm.sh/")


class Variables(NamedTuple):
    """The alpha EPP's environment variables by what becomes of them.

    :param carried: as entries of a container's ``env``, in order.
    :param unknown: names of those that the alpha EPP reads, and the target EPP does not.
    :param withheld: names of those whose values look like credentials in clear.
    """

    carried: list[Manifest]
    unknown: list[str]
    withheld: list[str]


def variables(migration: PoolMigration) -> Variables:
    """Sort the alpha EPP's environment variables.

    One that no EPP knows may mean something to its runtime or to whoever built it (GOMEMLIMIT, HTTPS_PROXY), and is harmless where it does not: it is carried.
    """
    found = Variables([], [], [])
    for entry in dig(migration.alpha_epp.container, "env", default=[]):
        name = entry.get("name", "")
        if name in OF_THE_CHART:
            continue
        if name in EPP_VARIABLES and name not in migration.options.release.facts.variables:
            found.unknown.append(name)
        elif "value" in entry and (CREDENTIAL.search(name) or _IN_URL.search(str(entry["value"]))):
            found.withheld.append(name)
        else:
            found.carried.append(deepcopy(entry))
    return found


# -- the pod ------------------------------------------------------------------------------------------------------------


def settings(migration: PoolMigration) -> dict[str, Any]:
    """Return the settings of the alpha EPP's pod that the v1 EPP's gets too, by their names in a pod's spec; empty ones are left out."""
    pod = _pod(migration)
    found = {name: deepcopy(pod[name]) for name in (*PLACEMENT, *MERGED) if pod.get(name)}
    if found.get("affinity"):
        found["affinity"] = _affinity(found["affinity"], migration)
    # Also where the image will come from elsewhere: a mirror may want them, and one that is not asked for does no harm.
    return {name: value for name, value in (found | {"imagePullSecrets": migration.pull_secrets}).items() if value}


def resources(migration: PoolMigration) -> dict[str, picker_resources.Section]:
    """Return requests and limits of the v1 EPP where they are kept as alpha's; empty where there are none, and where the chart's were asked for."""
    if migration.options.epp_resources == "chart":
        return {}
    container = migration.alpha_epp.container
    used = picker_resources.seen(migration.estate.usage(migration.alpha_epp.deployment or {}), container.get("name", ""))
    return picker_resources.preserved(dig(container, "resources", default={}), used, migration.options.release.facts.resources)


def values(migration: PoolMigration) -> dict[str, Any]:
    """Return what of it the chart takes, as values below ``inferenceExtension``."""
    facts, found = migration.options.release.facts, settings(migration)
    said = {name: found[name] for name in PLACEMENT if name in found and facts.placement}
    if facts.resources and (wanted := resources(migration)):
        said["resources"] = picker_resources.chart_value(wanted, facts.resources)
    carried = variables(migration).carried
    return said | ({"env": carried} if carried else {}) | _image(migration, facts)


def _image(migration: PoolMigration, facts: Facts) -> dict[str, Any]:
    """Return the ``image`` value: the chosen image, and alpha's imagePullPolicy where it is not the chart's own."""
    image = picker_image.chart_value(migration.options.epp_image, facts) if migration.options.epp_image else {}
    policy = dig(migration.alpha_epp.container, "imagePullPolicy", default="Always")
    said = image | ({"pullPolicy": policy} if policy != "Always" else {})
    return {"image": said} if said else {}


def patch(migration: PoolMigration) -> Manifest:
    """Return the part of a pod's spec to merge into the chart's Deployment: what the chart takes no value for; empty where there is nothing."""
    facts = migration.options.release.facts
    found = {name: value for name, value in settings(migration).items() if not (name in PLACEMENT and facts.placement)}
    container = {
        "securityContext": deepcopy(dig(migration.alpha_epp.container, "securityContext", default={})),
        "resources": {} if facts.resources else resources(migration),
    }
    said = {name: value for name, value in container.items() if value}
    return found | ({"containers": [{"name": "epp"} | said]} if said else {})


def patched(migration: PoolMigration) -> list[str]:
    """Return the names of what :func:`patch` holds, sorted."""
    found = patch(migration)
    (container,) = found.pop("containers", [{}])
    return sorted([*found, *(f"{name} of the container" for name in container if name != "name")])


def _affinity(affinity: Manifest, migration: PoolMigration) -> Manifest:
    """Return an affinity in which terms that mean the alpha EPP's own pods mean the v1 EPP's.

    Else one that keeps replicas apart would keep the v1 EPP off the nodes of the alpha EPP.
    """
    own = dig(migration.alpha_epp.deployment or {}, "spec", "template", "metadata", "labels", default={})
    for kind in ("podAffinity", "podAntiAffinity"):
        required = dig(affinity, kind, "requiredDuringSchedulingIgnoredDuringExecution", default=[])
        preferred = [entry.get("podAffinityTerm") or {} for entry in dig(affinity, kind, "preferredDuringSchedulingIgnoredDuringExecution", default=[])]
        for term in (*required, *preferred):
            if term.get("labelSelector") and selects_labels(term["labelSelector"], own):
                term["labelSelector"] = {"matchLabels": {"inferencepool": migration.epp}}
    return affinity


# -- what is not carried ------------------------------------------------------------------------------------------------


def left(migration: PoolMigration) -> list[str]:
    """Return what of the alpha EPP's pod the v1 EPP's does not get, as phrases: variables first, then settings; none that a person's chart values set."""
    pod, container, found = _pod(migration), migration.alpha_epp.container, variables(migration)
    said = {name for name, _value in chart_values.lines(migration.options.chart_values)}
    named = {entry.get("name") for entry in dig(dict(migration.options.chart_values), "inferenceExtension", "env", default=[])}
    phrases = [f"variable {name}" for name in (*found.unknown, *found.withheld) if name not in named]
    phrases += [name for name in _ELSEWHERE if pod.get(name) and pod[name] != _DEFAULTS.get(name)]
    if "inferenceExtension.volumes" not in said:
        phrases += [f"volume {name}" for name in _volumes(pod, container)]
    phrases += [f"container {entry.get('name')}" for entry in dig(pod, "containers", default=[]) if entry is not container]
    phrases += [name for name in ("envFrom", "lifecycle") if container.get(name)]
    if dig(pod, "terminationGracePeriodSeconds", default=0) > GRACE_SECONDS:
        phrases.append("terminationGracePeriodSeconds")
    annotations = dig(migration.alpha_epp.deployment or {}, "spec", "template", "metadata", "annotations", default={})
    return phrases + [f"annotation {name}" for name in sorted(annotations) if not name.startswith(_ANNOTATIONS_OF_TOOLS)]


def _volumes(pod: Manifest, container: Manifest) -> Iterator[str]:
    """Yield the volumes that the EPP's container mounts, but for a ConfigMap in a folder that an argument names: that is its configuration."""
    kinds = {entry.get("name"): entry for entry in dig(pod, "volumes", default=[])}
    words = [str(word) for word in [*dig(container, "command", default=[]), *dig(container, "args", default=[])]]
    for mount in dig(container, "volumeMounts", default=[]):
        folder = (mount.get("mountPath") or "").strip("/")
        configured = "configMap" in kinds.get(mount.get("name"), {}) and any(f"{folder}/" in word for word in words)
        if folder and not configured:
            yield mount.get("name", "")


def _pod(migration: PoolMigration) -> Manifest:
    return dig(migration.alpha_epp.deployment or {}, "spec", "template", "spec", default={})
