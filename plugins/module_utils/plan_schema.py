# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Describes the Plan: plain JSON that plan.py makes, modules exchange and the journal keeps. Pure.

It lies on the lowest floor because all that carries a plan out reads it.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest

SCHEMA = 1
HASHED = ("target", "crds", "pools")
"""The fields that are the intended changes: what the hash covers and what a difference between two plans is made of."""


class InstalledCrd(TypedDict):
    """A CustomResourceDefinition to install, and its file below config/crd/bases of the target release."""

    name: str
    file: str


class KeptCrd(TypedDict):
    """A CustomResourceDefinition that is there and stays as it is. ``managed``: whether the platform keeps it."""

    name: str
    bundle: str | None
    managed: bool


class PlannedCrds(TypedDict):
    """Definitions to install, to keep, and to delete at the end. ``stays``: those of v1alpha2 that are left on purpose, and why."""

    install: list[InstalledCrd]
    keep: list[KeptCrd]
    retire: list[str]
    stays: NotRequired[list[dict[str, str]]]


class V1Epp(TypedDict):
    """The v1 endpoint picker, as the chart names its objects."""

    deployment: str
    service: str
    port: int


class AlphaEpp(TypedDict):
    """The endpoint picker in use today; names are None where there is no such object."""

    deployment: str | None
    service: str | None
    port: int


class PlannedOwner(TypedDict):
    """Who removes the alpha pool, and what a restore needs of its Helm release.

    ``kind``: ``helm`` where Helm uninstalls ``release``, ``controller``, or ``objects``. ``left``: a release that is not uninstalled.
    ``objects``: what goes with the release.
    """

    kind: str
    release: str | None
    left: str | None
    controller: str | None
    namespace: str
    chart: str | None
    version: str | None
    values: dict[str, Any] | None
    objects: NotRequired[list[Manifest]]


class PlannedModel(TypedDict):
    """A model as clients call it, and the names that answers of each stack may show.

    ``answer``: None for several. ``objective``: None for a model that no InferenceModel declares.
    """

    name: str
    answer: str | None
    alpha_answers: list[str | None]
    objective: str | None
    criticality: str | None
    priority: int


class PlannedReference(TypedDict):
    """A backendRef that moves: its route, the indexes of rule and reference, and its weight."""

    api_version: str
    kind: str
    namespace: str
    name: str
    rule: int
    index: int
    weight: int


class PlannedPool(TypedDict):
    """All that is created, changed and deleted for one alpha pool.

    ``chart``: the chart's ``values`` and, where a person chose some, these by dotted name under ``yours``.
    ``objects``: made besides the chart, or merged into what it made. ``retire``: addresses (apiVersion, kind, metadata) of what is deleted by hand, in order.
    ``repoint``: InferenceObjectives that name the alpha pool, each the part to merge into it in the phase retire.
    ``stays``: what of v1alpha2 is left on purpose, and why. ``timeout_seconds``: after which no request to the alpha pool is still open.
    """

    namespace: str
    name: str
    v1_name: str
    release: str
    epp: V1Epp
    alpha_epp: AlphaEpp
    owner: PlannedOwner
    chart: dict[str, Any]
    objects: list[Manifest]
    failure_mode: str
    models: list[PlannedModel]
    endpoints: list[str]
    references: list[PlannedReference]
    gateways: list[dict[str, str | int | None]]
    timeout_seconds: int
    retire: list[Manifest]
    repoint: list[Manifest]
    stays: list[dict[str, str]]
    client_headers: list[dict[str, str]]


class PlanBody(TypedDict):
    """The intended changes alone, see :data:`HASHED`."""

    target: str
    crds: PlannedCrds
    pools: list[PlannedPool]


class Plan(PlanBody):
    """All that a migration will change on one cluster.

    ``hash``: over :class:`PlanBody`. ``blocked``: codes of blockers that nobody accepted. ``estimate``: ``seconds`` in all, and what a
    shift sends, see :func:`cost.probing`.
    """

    schema: int
    hash: str
    cluster: dict[str, str]
    in_use: bool
    blocked: list[str]
    findings: list[dict[str, str]]
    unchecked: list[str]
    estimate: dict[str, int]
