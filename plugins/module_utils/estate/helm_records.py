# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what Helm recorded about a release in Secrets of the release's namespace. Pure."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

DEPLOYED = "deployed"
_GONE = ("uninstalled", "uninstalling")


class HelmRelease(NamedTuple):
    """A release as Helm recorded it: chart, chart version, the values that a person gave (None where those can't be read), and status.

    :param hooks: (kind, name) of each object that a hook of it makes.
    """

    name: str
    chart: str
    version: str
    values: dict[str, Any] | None
    status: str = DEPLOYED
    hooks: tuple[tuple[str, str], ...] = ()

    @property
    def whole(self) -> bool:
        """Whether the newest revision is deployed; in any other status, the objects that Helm recorded and the live ones may differ."""
        return self.status == DEPLOYED

    @property
    def uninstallable(self) -> bool:
        """Whether kubernetes.core.helm uninstalls it: the module takes uninstalled and uninstalling for done, though Helm would uninstall again."""
        return self.status not in _GONE


def helm_release(secret: dict[str, Any]) -> HelmRelease | None:
    """Read a release from Helm's Secret; return None where chart or status can't be read."""
    try:
        record = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(secret["data"]["release"]))))
        chart, values = record["chart"]["metadata"], record.get("config") or {}
        status = (record.get("info") or {}).get("status") or ((secret.get("metadata") or {}).get("labels") or {}).get("status") or DEPLOYED
        said = record.get("hooks")
        hooks = tuple((hook.get("kind", ""), hook.get("name", "")) for hook in said if isinstance(hook, dict)) if isinstance(said, list) else ()
        found = HelmRelease(record["name"], chart["name"], chart["version"], values if isinstance(values, dict) else None, status, hooks)
    except (KeyError, TypeError, AttributeError, ValueError, OSError, EOFError, binascii.Error, zlib.error):
        return None
    return found if all(isinstance(entry, str) for entry in (*found[:3], found.status)) else None


def newest(secrets: Iterable[dict[str, Any]]) -> dict[str, HelmRelease | None]:
    """Return the newest revision of each release by name, in any status, since Helm uninstalls that one; None where its record can't be read."""
    latest: dict[str, tuple[int, dict[str, Any]]] = {}
    for secret in secrets:
        labels = secret["metadata"].get("labels") or {}
        revision = int(labels["version"]) if labels.get("version", "").isdigit() else 0
        if labels.get("name") and revision >= latest.get(labels["name"], (0, {}))[0]:
            latest[labels["name"]] = revision, secret
    return {name: helm_release(secret) for name, (_revision, secret) in latest.items()}
