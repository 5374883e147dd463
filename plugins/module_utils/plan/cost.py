# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Computes what a shift will ask of gateways and model servers, for the person who approves it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import CheckContext
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sprt import Bounds
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import CHAT, COMPLETIONS, RESPONSES, STREAMS, Probe
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.step_weights import STEPS

SHIFT: Mapping[str, Any] = {"steps": [*STEPS], "gate": {}, "tracers": 3000, "probe_rate": 60}
"""What of a shift's options the estimate goes by, with their defaults."""
ROUNDS = 5
"""Rounds of the baseline and of each settling that goes well at once."""
VARIANTS, STEP_VARIANTS, END = 4, 3, 6
"""Rules by which each target is asked in a round of the warm-up, of a step, and in all three rounds at the end."""
TOKENS = {COMPLETIONS: Probe.tokens, CHAT: Probe.tokens, RESPONSES: 16}
"""Tokens that a probe asks for at most, by endpoint; others generate none."""


def shift_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a shift that the estimate goes by. :raises ValueError: when one is unknown, or makes no sense."""
    if unknown := sorted({*said} - {*SHIFT}):
        raise ValueError(f"shift takes {', '.join(SHIFT)}, not {', '.join(unknown)}.")
    chosen = {**SHIFT, **said}
    Bounds.of(chosen["gate"])
    return chosen


def probing(context: CheckContext) -> dict[str, int]:
    """Return what one shift sends.

    :returns: ``groups``, the rules at Gateway addresses whose share is measured; ``tracers``, at most at each step for all of them; ``probes`` at least, where
        the gateway takes every change at once; ``tokens``, what these generate at most; ``rate``, further probes a second at most, while a gateway is waited
        for.
    """
    shift = context.options.shift or SHIFT
    models = {migration.key: max(1, len(migration.model_names)) for migration in context.migrations}
    asked = [(target, models[entry.reference.target] if target.model == "any" else 1) for entry in context.reachability for target in entry.asked]
    groups = {(target.address, target.route, target.rule) for target, _models in asked}
    kinds = [(target.endpoint, count * len(STREAMS.get(target.endpoint, ()))) for target, count in asked]
    targets = sum(count for _endpoint, count in kinds)
    tokens = sum(count * TOKENS.get(endpoint, 0) for endpoint, count in kinds)
    bounds = Bounds.of({**shift["gate"], "gates": len(shift["steps"]) + 1})
    rounds = ROUNDS * (1 + VARIANTS + STEP_VARIANTS * len(shift["steps"])) + END
    comparisons = max(bounds.clean_pairs, bounds.target_successes * targets) if targets else 0
    probes = rounds * targets + bounds.gates * 3 * comparisons
    return {
        "groups": len(groups), "tracers": shift["tracers"] * len(groups), "probes": probes,
        "tokens": round(probes * tokens / targets) if targets else 0, "rate": shift["probe_rate"],
    }
