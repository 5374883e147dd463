# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a finding is, and the register of them. Pure.

A finding is something an estate will trip over. Each is one small function, registered under a stable code; catalogue.py
runs them all and writes docs/findings.md from what they were registered with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import v1_objects
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import Options, PoolMigration
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import Estate
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.rbac import Rights, rights
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.reachability import Reachability, reachability
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest
from ansible_collections.inference_gateway.migration.plugins.module_utils.releases import Facts
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey

Severity = Literal["blocker", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("blocker", "warning", "info")


@dataclass(frozen=True)
class CheckContext:
    """What a finding may look at."""

    estate: Estate
    options: Options
    migrations: tuple[PoolMigration, ...]

    @property
    def facts(self) -> Facts:
        """Of the target release."""
        return self.options.release.facts

    @property
    def target(self) -> str:
        """The target release, e.g. ``v1.5.0``."""
        return self.options.release.version

    def concerns(self, namespace: str) -> bool:
        """Whether pools of a namespace were asked for."""
        return not self.options.namespaces or namespace in self.options.namespaces

    @cached_property
    def reachability(self) -> list[Reachability]:
        """By which requests each reference to a planned pool can be reached."""
        return reachability(self.estate, self.migrations, self.options.endpoints)

    @cached_property
    def moved(self) -> Mapping[PoolKey, str]:
        """Every planned pool and the name of its v1 pool."""
        return {migration.key: migration.v1_name for migration in self.migrations}

    @cached_property
    def planned(self) -> Mapping[PoolKey, list[Manifest]]:
        """What is created besides the chart, by pool."""
        return {migration.key: list(v1_objects.objects(migration, self.moved)) for migration in self.migrations}

    @cached_property
    def rights(self) -> Rights:
        """Which rights go with the alpha EPPs, and which stay."""
        return rights(self.estate)


@dataclass(frozen=True)
class Occurrence:
    """One occurrence. What is None is as the code was registered.

    :param object: ``Kind namespace/name`` of what must be looked at.
    :param message: one sentence about this very object.
    """

    object: str
    message: str
    remedy: str | None = None
    severity: Severity | None = None
    overridable: bool | None = None


@dataclass(frozen=True)
class Check:
    """One code of the catalogue.

    :param about: what it means, for the documentation.
    :param remedy: what a person does about it.
    :param overridable: whether a person may accept this blocker.
    :param source: where the fact comes from.
    """

    code: str
    severity: Severity
    overridable: bool
    about: str
    remedy: str
    source: str
    check: Callable[[CheckContext], Iterator[Occurrence]]


class Finding(NamedTuple):
    """One thing that the estate will trip over."""

    code: str
    severity: Severity
    object: str
    message: str
    remedy: str
    overridable: bool


CATALOGUE: dict[str, Check] = {}


def finding(
    code: str, severity: Severity, *, about: str, remedy: str, source: str, overridable: bool = True
) -> Callable[[Callable[[CheckContext], Iterator[Occurrence]]], Callable[[CheckContext], Iterator[Occurrence]]]:
    """Register the function that looks for one code."""

    def register(check: Callable[[CheckContext], Iterator[Occurrence]]) -> Callable[[CheckContext], Iterator[Occurrence]]:
        if code in CATALOGUE:
            raise ValueError(f"finding {code} is registered twice")
        CATALOGUE[code] = Check(code, severity, overridable, about, remedy, source, check)
        return check

    return register


def occurrences(entry: Check, context: CheckContext) -> Iterator[Finding]:
    """The findings of one code."""
    for occurrence in entry.check(context):
        overridable = entry.overridable if occurrence.overridable is None else occurrence.overridable
        yield Finding(entry.code, occurrence.severity or entry.severity, occurrence.object, occurrence.message, occurrence.remedy or entry.remedy, overridable)
