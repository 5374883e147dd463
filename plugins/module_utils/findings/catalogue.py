# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs every registered check, and makes docs/findings.md from what the checks were registered with. Pure."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

# Importing these modules registers their checks.
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings import (
    admission,
    autoscaling,
    epp_settings,
    helm_releases,
    monitoring,
    names,
    objectives,
    picker_pod,
    pickers,
    platform,
    pools,
    probes,
    routes,
    splitting,
)
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import CATALOGUE, SEVERITIES, CheckContext, Finding, occurrences

MODULES = (pools, names, objectives, helm_releases, pickers, platform, epp_settings, picker_pod, admission, autoscaling, monitoring, routes, splitting, probes)


def find(context: CheckContext) -> list[Finding]:
    """Run every check and return what was found, the worst first, then by code, object and message."""
    found = [entry for code in CATALOGUE.values() for entry in occurrences(code, context)]
    return sorted(found, key=lambda entry: (SEVERITIES.index(entry.severity), entry.code, entry.object, entry.message))


def blocked(found: list[Finding], accept: Collection[str]) -> list[str]:
    """Return the sorted codes of the blockers that are not in ``accept``, or that nobody may accept."""
    return sorted({entry.code for entry in found if entry.severity == "blocker" and not (entry.overridable and entry.code in accept)})


def unknown_code(codes: Collection[str]) -> str | None:
    """Return a sentence about the first code that the catalogue does not have, with the nearest known one; None where it has all."""
    for code in sorted(set(codes) - set(CATALOGUE)):
        near = get_close_matches(code, CATALOGUE, 1)
        return f"accept names {code}, which is no finding" + (f": did you mean {near[0]}?" if near else ": docs/findings.md lists them.")
    return None


def documentation() -> str:
    """Return the text of docs/findings.md."""
    lines = [
        "# Findings",
        "",
        "What `detect_v1alpha2` warns of, by severity. A blocker stops every write; one marked *may be accepted* is overruled by naming its code",
        "in `migration_accept`. This page is made from `plugins/module_utils/findings/` by `make docs`.",
    ]
    for severity in SEVERITIES:
        lines += ["", f"## {severity.capitalize()}"]
        for entry in sorted((entry for entry in CATALOGUE.values() if entry.severity == severity), key=lambda entry: entry.code):
            acceptance = (" *(may be accepted)*" if entry.overridable else "") if severity == "blocker" else ""
            lines += ["", f"### {entry.code}{acceptance}", "", entry.about, "", f"- Remedy: {entry.remedy}", f"- Source: {entry.source}"]
    return "\n".join(lines) + "\n"
