# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""verify_gateway with an API server of dictionaries and probes that a function answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.journal import Journal
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.lease import Lease
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.answer_checks import Answer
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.http_client import Client
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import Probe
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification import checks
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification.checks import VERIFICATION
from ansible_collections.inference_gateway.migration.plugins.modules import migration_evidence, verify_gateway

from tests.unit.helpers.migration_fakes import ALPHA, NAMESPACE, FakeCluster, gateway, http_route, make_plan, rule, run_module

PLAN = make_plan()
ROUTE = http_route(rule(ALPHA))
CARRIED = {"clean", "judgement", "known"}
"""What a shift carries from one execution to the next: options of migration_evidence alone."""
FAST = {"probe_rate": 100_000, "plan": PLAN}


class Here:
    """A cluster with an open migration; ``failing`` says which probes fail, and why, ``naming`` which model an answer names."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.cluster = FakeCluster(gateway(), ROUTE)
        self.store = Journal(self.cluster, NAMESPACE)
        self.asked: list[Probe] = []
        self.failing: Callable[[Probe], str | None] = lambda probe: None
        self.naming: Callable[[Probe], str] = lambda probe: probe.target.model
        monkeypatch.setattr(Client, "send", lambda client, probe: self.send(probe, client))
        monkeypatch.setattr(checks.time, "sleep", lambda seconds: None)

    def begin(self) -> str:
        Lease(self.cluster).acquire("run-1", {})
        return self.store.open(PLAN, [ROUTE])["nonce"]

    def send(self, probe: Probe, client: Client) -> Answer:
        self.client = client
        self.asked.append(probe)
        model = self.naming(probe)
        reason = self.failing(probe) or (f"answer names model {model}" if probe.answers and model not in probe.answers else None)
        return Answer(200 if reason is None else 503, reason, 0.0, 0.0, model)

    def __call__(self, check_mode: bool = False, **given: Any) -> dict[str, Any]:
        self.cluster.requests.clear()
        by_hand = given.get("check", "settled") in VERIFICATION and not CARRIED & {*given}
        return run_module(self.monkeypatch, verify_gateway if by_hand else migration_evidence, self.cluster, check_mode, **FAST | given)

    def asked_by(self) -> set[str]:
        return {probe.variant or "user" for probe in self.asked}
