# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the API server whether it would take objects; none is written.

For internal use of this collection only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import (
    ApiError,
    Cluster,
    Conflict,
    Forbidden,
    NotAdmitted,
    NotServed,
    Unreachable,
    collection_path,
    plural,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, describe, namespace_of
from ansible_collections.inference_gateway.migration.plugins.module_utils.plan_schema import Plan

MERGED = ("InferencePool", "Deployment")
"""Kinds of which a plan holds only parts, to be merged into the objects that the chart made."""
MOST = 20
"""How many objects of one kind are tried: more would differ in their names alone, and a cluster may hold thousands."""


class Trial(NamedTuple):
    """The API server's answer to the dry run of a plan.

    :param refused: objects that it would not take, each with its own words.
    :param unchecked: a line for each kind of which not all objects could be tried: how many were not, and why.
    """

    refused: list[tuple[Manifest, str]]
    unchecked: list[str]


def objects(plan: Plan) -> list[Manifest]:
    """Return the whole objects that a plan creates; parts of the chart's objects can't be tried before those exist."""
    return [entry for pool in plan["pools"] for entry in pool["objects"] if entry["kind"] not in MERGED]


def attempt(cluster: Cluster, plan: Plan) -> Trial:
    """Try to create the planned objects in a server-side dry run, at most :data:`MOST` of a kind.

    :raises Unreachable: when the server gives no usable answer.
    """
    refused: list[tuple[Manifest, str]] = []
    tried: Counter[str] = Counter()
    unable: dict[str, str] = {}
    left: Counter[str] = Counter()
    for entry in objects(plan):
        kind = entry["kind"]
        if kind in unable or tried[kind] >= MOST:
            left[kind] += 1
            continue
        tried[kind] += 1
        try:
            cluster.create(collection_path(entry["apiVersion"], plural(kind), entry["metadata"].get("namespace")), entry, dry_run=True)
        except Unreachable:
            raise
        except Conflict:
            continue  # it is there already; the finding name-taken says what that means
        except NotAdmitted as error:
            refused.append((entry, str(error)))
        except NotServed:
            unable[kind] = "its definition is not installed yet"
            left[kind] += 1
        except Forbidden:
            unable[kind] = "the credential may not create it"
            left[kind] += 1
        except ApiError as error:
            refused.append((entry, str(error)))
    return Trial(refused, [f"{count} {kind}: {unable.get(kind, f'only {MOST} of a kind are tried')}" for kind, count in sorted(left.items())])


class Admission(NamedTuple):
    """The API server's answer to pods that workloads would ask for; each entry is a sentence.

    :param refused: pods that it would not take, each with its own words. :param warned: what it warns of. :param unchecked: what could not be tried, and why.
    """

    refused: list[str]
    warned: list[str]
    unchecked: list[str]


_NO_DRY_RUN = "does not support dry run"
"""What the server says where an admission webhook has side effects, which a dry run must not have."""


def admission(cluster: Cluster, pods: Iterable[tuple[Manifest, Manifest]]) -> Admission:
    """Try to create pods in a server-side dry run: Pod Security, quotas, limits and webhooks judge pods, and not the workloads that ask for them.

    What comes of something that is not there yet refuses nothing.

    :param pods: each with the workload that asks for it. :raises Unreachable: when the server gives no usable answer.
    """
    found = Admission([], [], [])
    for workload, pod in pods:
        name = f"Pod of {describe(workload)}"
        try:
            cluster.create(collection_path("v1", "pods", namespace_of(pod)), pod, dry_run=True)
        except Unreachable:
            raise
        except NotServed as error:
            found.unchecked.append(f"{name}: {error}")
        except ApiError as error:
            words = str(error).partition(": ")[2]
            if isinstance(error, Forbidden) and not isinstance(error, NotAdmitted):
                found.unchecked.append(f"{name}: the credential may not create pods")
            elif _NO_DRY_RUN in words or "error looking up service account" in words:
                found.unchecked.append(f"{name}: {words}")
            else:
                found.refused.append(f"{name}: {words}")
        else:
            found.warned.extend(f"{name}: {words}" for words in cluster.warnings)
    return found
