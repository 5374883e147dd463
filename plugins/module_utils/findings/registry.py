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
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import Draft, Options
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import Estate
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.rbac import Rights, rights
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.reachability import Reach, reaches
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest
from ansible_collections.inference_gateway.migration.plugins.module_utils.releases import Facts
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey

Severity = Literal["blocker", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("blocker", "warning", "info")


@dataclass(frozen=True)
class View:
    """What a finding may look at."""

    estate: Estate
    options: Options
    drafts: tuple[Draft, ...]

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
    def reaches(self) -> list[Reach]:
        """By which requests each reference to a planned pool can be reached."""
        return reaches(self.estate, self.drafts, self.options.endpoints)

    @cached_property
    def moved(self) -> Mapping[PoolKey, str]:
        """Every planned pool and the name of its v1 pool."""
        return {draft.key: draft.v1_name for draft in self.drafts}

    @cached_property
    def planned(self) -> Mapping[PoolKey, list[Manifest]]:
        """What is created besides the chart, by pool."""
        return {draft.key: list(v1_objects.objects(draft, self.moved)) for draft in self.drafts}

    @cached_property
    def rights(self) -> Rights:
        """Which rights go with the alpha EPPs, and which stay."""
        return rights(self.estate)


@dataclass(frozen=True)
class Hit:
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
class Entry:
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
    check: Callable[[View], Iterator[Hit]]


class Finding(NamedTuple):
    """One thing that the estate will trip over."""

    code: str
    severity: Severity
    object: str
    message: str
    remedy: str
    overridable: bool


CATALOGUE: dict[str, Entry] = {}


def finding(
    code: str, severity: Severity, *, about: str, remedy: str, source: str, overridable: bool = True
) -> Callable[[Callable[[View], Iterator[Hit]]], Callable[[View], Iterator[Hit]]]:
    """Register the function that looks for one code."""

    def register(check: Callable[[View], Iterator[Hit]]) -> Callable[[View], Iterator[Hit]]:
        if code in CATALOGUE:
            raise ValueError(f"finding {code} is registered twice")
        CATALOGUE[code] = Entry(code, severity, overridable, about, remedy, source, check)
        return check

    return register


def hits(entry: Entry, view: View) -> Iterator[Finding]:
    """The findings of one code."""
    for hit in entry.check(view):
        overridable = entry.overridable if hit.overridable is None else hit.overridable
        yield Finding(entry.code, hit.severity or entry.severity, hit.object, hit.message, hit.remedy or entry.remedy, overridable)
