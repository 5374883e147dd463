# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for findings about which program the alpha endpoint picker is, and what it reads of its command line: one small function each. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import PoolMigration
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import CheckContext, Occurrence, finding
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import describe, dig

_OWN_IMAGE = re.compile(r"(?:^|[-_.])epp(?:$|[-_.])")
"""The inference extension's picker is the image epp, in its own registry as in a mirror."""

LLM_D_PLUGINS = frozenset({
    "active-request-scorer", "by-label", "by-label-selector", "context-length-aware", "data-parallel-profile-handler", "decode-filter", "load-aware-scorer",
    "no-hit-lru-scorer", "pd-profile-handler", "precise-prefix-cache-scorer", "prefill-filter", "prefill-header-handler", "session-affinity-scorer",
})
"""Plugin types that llm-d's inference scheduler registers and no EPP of the inference extension does.

Source: https://github.com/llm-d/llm-d-inference-scheduler/blob/main/pkg/plugins/register.go
"""


def image_name(image: str) -> str:
    """Return the last part of an image's path, without tag and digest."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def _signs(migration: PoolMigration) -> Iterator[str]:
    """Yield what tells that an alpha EPP is not the inference extension's own, each a phrase."""
    image = dig(migration.alpha_epp.container, "image", default="")
    if image and ("llm-d" in image_name(image) or not _OWN_IMAGE.search(image_name(image))):
        yield f"its image is {image}"
    foreign = sorted(LLM_D_PLUGINS.intersection(migration.unknown_plugins))
    if foreign:
        yield f"only llm-d's has plugins {', '.join(foreign)}"


@finding(
    "foreign-endpoint-picker", "blocker",
    about="The alpha EPP is another program than the inference extension's, e.g. llm-d's inference scheduler. The chart installs the extension's own, which "
          "has neither the other's plugins nor its flags, so requests would be spread otherwise.",
    remedy="Migrate the pool by the means of the project that the picker comes from, or accept foreign-endpoint-picker if the extension's own will do without "
           "what the message names, or if the image is the extension's own under another name.",
    source="inference-extension v0.3.0 to v1.5.0: image epp; llm-d-inference-scheduler, pkg/plugins/register.go",
)
def foreign_endpoint_picker(context: CheckContext) -> Iterator[Occurrence]:
    """Find alpha EPPs that are not the inference extension's own."""
    for migration in context.migrations:
        signs = list(_signs(migration))
        if signs:
            lost = [f"plugins {', '.join(migration.unknown_plugins)}"] * bool(migration.unknown_plugins)
            lost += [f"flags {', '.join(migration.lost_flags)}"] * bool(migration.lost_flags)
            text = f"{' and '.join(signs)}; EPP {context.target} would run without {' and '.join(lost) or 'whatever only the other one does'}."
            yield Occurrence(describe(migration.alpha_epp.deployment or migration.pool), text)


@finding(
    "flags-never-read", "warning",
    about="The alpha EPP stops reading its arguments at a word that is no flag, most often the value of a boolean that stands in a word of its own. All behind "
          "it has no effect today, and has none on v1.",
    remedy="Nothing to do where alpha does as you wish. Else write the boolean as --name=value in the alpha EPP's arguments, and plan again.",
    source="Go, package flag: parsing stops before the first non-flag argument; EPPs up to v1.2.1",
)
def flags_never_read(context: CheckContext) -> Iterator[Occurrence]:
    """Find alpha EPPs with arguments that they never read."""
    for migration in context.migrations:
        unread = [word for word in migration.alpha_flags.unread if word != "--"]
        if unread:
            text = f"it reads nothing from the word {unread[0]} on" + (f": not {' '.join(unread[1:])}" if unread[1:] else "")
            yield Occurrence(describe(migration.alpha_epp.deployment or {}), f"{text}.")
