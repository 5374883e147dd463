# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Defines findings and registers the checks that look for them. Pure.

A finding is something that the estate will trip over. A check is one small function that looks for one kind of finding, registered under a stable code.
catalogue.py runs all checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import v1_objects
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.monitoring import Monitoring
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import Options, PoolMigration
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import Estate
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.rbac import Rights, rights
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.reachability import Reachability, reachability
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import Address
from ansible_collections.inference_gateway.migration.plugins.module_utils.releases import Facts
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey

Severity = Literal["blocker", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("blocker", "warning", "info")
"""The worst first."""
READER_ROLE = ("Bind the collection's ClusterRole to this identity: kubectl apply -f roles/migration/files/rbac/detect.yaml && kubectl create "
               "clusterrolebinding inference-gateway-migration-detect --clusterrole=inference-gateway-migration-detect --user=WHO")
"""What is done for a credential that may not read enough."""


@dataclass(frozen=True)
class CheckContext:
    """What a check may look at.

    :param options: what a person chose.
    :param migrations: one for each planned pool.
    :param unreachable: why no connection to an address can be opened, see plan/contact.py; empty where none was tried.
    """

    estate: Estate
    options: Options
    migrations: tuple[PoolMigration, ...]
    unreachable: dict[tuple[Address, str], str] = field(default_factory=dict)

    @property
    def facts(self) -> Facts:
        """The facts of the target release."""
        return self.options.release.facts

    @property
    def target(self) -> str:
        """The target release, e.g. ``v1.5.0``."""
        return self.options.release.version

    def concerns(self, namespace: str) -> bool:
        """Return whether the pools of a namespace are to be migrated: all are where a person chose no namespaces."""
        return not self.options.namespaces or namespace in self.options.namespaces

    @cached_property
    def reachability(self) -> list[Reachability]:
        """How requests reach each backendRef of an HTTPRoute to a planned pool."""
        return reachability(self.estate, self.migrations, self.options.endpoints)

    @cached_property
    def moved(self) -> Mapping[PoolKey, str]:
        """The name of the v1 pool for each planned pool."""
        return {migration.key: migration.v1_name for migration in self.migrations}

    @cached_property
    def planned(self) -> Mapping[PoolKey, list[Manifest]]:
        """The objects that are created besides the chart, or merged into its own, for each planned pool."""
        return {
            migration.key: [*v1_objects.objects(migration, self.moved), *self.monitoring.objects(migration)] for migration in self.migrations
        }

    @cached_property
    def monitoring(self) -> Monitoring:
        """The monitors of the alpha EPPs: what is made in their place, what is deleted with them, and what stays because it reads others too."""
        return Monitoring(self.estate, self.migrations)

    @cached_property
    def rights(self) -> Rights:
        """The RBAC of the alpha EPPs: what is deleted with them, and what stays because others use it."""
        return rights(self.estate)


@dataclass(frozen=True)
class Occurrence:
    """One hit of a check. Where ``remedy``, ``severity`` or ``overridable`` is None, the check's own holds.

    :param object: ``Kind namespace/name`` of what must be looked at.
    :param message: one sentence about this object.
    """

    object: str
    message: str
    remedy: str | None = None
    severity: Severity | None = None
    overridable: bool | None = None


@dataclass(frozen=True)
class Check:
    """One registered check.

    :param code: the stable name of what it finds, e.g. ``grpc-route``.
    :param overridable: whether a person may accept it where it is a blocker.
    :param about: what a finding means, for docs/findings.md.
    :param remedy: what a person does about it.
    :param source: where the fact comes from.
    :param check: the function that looks for it.
    """

    code: str
    severity: Severity
    overridable: bool
    about: str
    remedy: str
    source: str
    check: Callable[[CheckContext], Iterator[Occurrence]]


class Finding(NamedTuple):
    """One thing that the estate will trip over, as it is reported.

    :param object: ``Kind namespace/name`` of what must be looked at.
    :param overridable: whether a person may accept it where it is a blocker.
    """

    code: str
    severity: Severity
    object: str
    message: str
    remedy: str
    overridable: bool


CATALOGUE: dict[str, Check] = {}
"""Every registered check by its code."""


def finding(
    code: str, severity: Severity, *, about: str, remedy: str, source: str, overridable: bool = True
) -> Callable[[Callable[[CheckContext], Iterator[Occurrence]]], Callable[[CheckContext], Iterator[Occurrence]]]:
    """Register the decorated function as the check for ``code``; :class:`Check` explains the parameters.

    :raises ValueError: when the code is registered already.
    """

    def register(check: Callable[[CheckContext], Iterator[Occurrence]]) -> Callable[[CheckContext], Iterator[Occurrence]]:
        if code in CATALOGUE:
            raise ValueError(f"finding {code} is registered twice")
        CATALOGUE[code] = Check(code, severity, overridable, about, remedy, source, check)
        return check

    return register


def occurrences(entry: Check, context: CheckContext) -> Iterator[Finding]:
    """Run one check and yield its findings."""
    for occurrence in entry.check(context):
        overridable = entry.overridable if occurrence.overridable is None else occurrence.overridable
        yield Finding(entry.code, occurrence.severity or entry.severity, occurrence.object, occurrence.message, occurrence.remedy or entry.remedy, overridable)
