# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The habits of the gateway as numbers and switches: a fast profile for tests and GKE's own pace."""
from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..context import SandboxError

ALPHA_GROUP = "inference.networking.x-k8s.io"
V1_GROUP = "inference.networking.k8s.io"
GATEWAY_GROUP = "gateway.networking.k8s.io"
POLICY_GROUP = "networking.gke.io"
CONTROLLER = "networking.gke.io/gateway"
CLASSES = ("gke-l7-regional-external-managed", "gke-l7-rilb")

POOL_GROUPS = {"both": (ALPHA_GROUP, V1_GROUP), "alpha_only": (ALPHA_GROUP,), "v1_only": (V1_GROUP,)}
PROFILES: Mapping[str, Mapping[str, Any]] = {
    "fast": {"take": (0.3, 1.5), "warm": (2.0, 4.0), "check_seconds": 1.0},
    "gke": {"take": (2.0, 20.0), "warm": (20.0, 60.0), "check_seconds": 5.0},
}


@dataclass(frozen=True)
class Settings:
    """How one sandbox's gateway behaves. Times in seconds; pairs are the bounds of a uniform random delay."""

    take: tuple[float, float]
    """Every instance takes every change after a delay of its own."""
    warm: tuple[float, float]
    """A backend that an instance meets for the first time answers 503 for this long at least, however healthy it is."""
    check_seconds: float
    """Longest interval between two health checks of one endpoint; a policy's checkIntervalSec may ask for less."""
    pool_groups: tuple[str, ...] = POOL_GROUPS["both"]
    """Groups whose InferencePools this kind of gateway accepts; the others are InvalidKind."""
    pool_groups_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Gateway (NAMESPACE/NAME) -> its own groups, where they are others."""
    weights: str = "kept"
    """``kept``, ``ignored`` (every reference of a weight over 0 gets the same) or ``leaking`` (one of weight 0 gets a little)."""
    mixed: Mapping[str, str] = field(default_factory=dict)
    """Route (NAMESPACE/NAME) -> what befalls its rules while they name pools of both groups: ``broken`` (some answers are 500, no status says so) or
    ``fallback`` (v1 gets nothing and PartiallyInvalid is said)."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Gateway (NAMESPACE/NAME) -> ``NAME: VALUE`` of a header without which it answers every request 401 by itself, as one with an API key does."""
    denied: Mapping[str, int] = field(default_factory=dict)
    """Gateway (NAMESPACE/NAME) -> status by which a policy answers every request to its address."""
    refusals: Mapping[str, int] = field(default_factory=dict)
    """Group -> status by which a policy answers for every InferencePool of that group, as Cloud Armor does that counts a backend's requests by themselves."""
    streams: str = "kept"
    """``kept`` or ``cut`` (an instance that takes a change starts anew, and what it was serving ends)."""
    instances: int = 2
    status: str = "converged"
    """When status is written: ``converged`` after the last instance took the change, ``early`` after ``status_delay``, whoever took it, ``frozen`` never."""
    status_delay: tuple[float, float] = (0.1, 0.3)
    chain_limit: int | None = None
    """Extension chains per Gateway: those of the GCPRoutingExtensions and GCPTrafficExtensions that name it, and one for each pool whose endpoint picker is
    called; a rule that names one pool more answers 500. None: no limit."""
    lowest_port: int = 1
    """Listeners below it can't be bound by this user."""
    seed: int = 0

    @classmethod
    def of(cls, profile: str, gateway: str, seed: int, overrides: Mapping[str, Any] | None = None) -> Settings:
        """Settings of a profile for a kind of gateway; ``overrides`` by field name win."""
        if profile not in PROFILES:
            raise SandboxError(f"Gateway profile {profile!r} is unknown; choose one of {', '.join(PROFILES)}.")
        if gateway not in POOL_GROUPS:
            raise SandboxError(f"Gateway kind {gateway!r} is unknown; choose one of {', '.join(POOL_GROUPS)}.")
        plain = cls(**PROFILES[profile], pool_groups=POOL_GROUPS[gateway], seed=seed, lowest_port=lowest_port())
        return plain.changed(overrides or {})

    def changed(self, overrides: Mapping[str, Any]) -> Settings:
        """These settings with others of that name instead; lists (JSON) become pairs."""
        known = {field.name for field in dataclasses.fields(self)}
        for name in overrides:
            if name not in known:
                raise SandboxError(f"Gateway setting {name!r} is unknown; known: {', '.join(sorted(known))}.")
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in overrides.items()}
        return dataclasses.replace(self, **values)


def lowest_port() -> int:
    """The lowest TCP port that this user may listen on."""
    if os.geteuid() == 0:
        return 1
    path = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    return int(path.read_text()) if path.exists() else 1024
