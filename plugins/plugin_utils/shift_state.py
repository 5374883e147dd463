# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds what is known of a shift so far, and how it stops: data alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.step_weights import FINISHED
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification.unproven import Streaming, Unproven


class Stop(Exception):
    """Ends a shift that is not PROVEN, or a rollback that is not ROLLED BACK.

    :param verdict: HELD or FAILED. :param reason: one sentence. :param foreign: whether somebody else writes the weights, so that they are left alone.
    :param steered: ``stop`` or ``back`` where a person asked for it; empty for any other reason.
    :param own: whether a module could not do its work, as where a write was refused, which says nothing of v1.
    """

    def __init__(self, verdict: str, reason: str, foreign: bool = False, steered: str = "", own: bool = False) -> None:
        super().__init__(reason)
        self.verdict = verdict
        self.reason = reason
        self.foreign = foreign
        self.steered = steered
        self.own = own


class GateEvidence(TypedDict, total=False):
    """What one gate saw, for the report.

    ``pairs``: comparisons that counted; ``failures``: of these on v1 alone; ``inconclusive``: comparisons without evidence.
    ``user_failures``: of users' own rules. ``counted``, ``blind`` and ``undecided``: what the tracer requests showed.
    ``streams`` and ``spanned``: how long streams ended, and whether they were open over the change.
    """

    share: int
    pairs: int
    sent: int
    failures: int
    inconclusive: int
    user_failures: int
    new_failures: list[str]
    faults: list[str]
    counted: list[str]
    blind: list[str]
    undecided: list[str]
    streams: list[dict[str, Any]]
    spanned: bool


@dataclass(frozen=True)
class ShiftState:
    """All that a shift carries from one phase to the next. The controller alone makes the next one; phases read it.

    :param baseline_known: whether it is known how users are served. Before that nothing is written, not even to go back.
    :param known: kinds of failure that users met before v1 had any of their traffic.
    :param stack: fingerprints of what was installed of v1 when the shift began, by pool; None where that was not looked at.
    :param unproven: what can't be asked. :param streaming: what can be asked for long streams.
    :param shifting: whether v1 may have traffic of users. Until then their own rules are v1alpha2's.
    :param standing: the shares at which the routes may stand, as verify_gateway's ``shares``: as found, then as last written; both after a write that failed.
    :param written: whether any route was changed. :param diff: what of the users' routes was changed, for Ansible's diff mode.
    :param passed: the last share, in percent, that a gate let through.
    :param pending_drain: the stack that new requests were taken from and whose own have not ended yet; empty for none.
    :param new_failures: kinds of failure that users met while the gateway took the last change.
    :param evidence: one entry for each gate.
    """

    baseline_known: bool = False
    known: tuple[str, ...] = ()
    stack: dict[str, str] | None = None
    unproven: tuple[Unproven, ...] = ()
    streaming: tuple[Streaming, ...] = ()
    shifting: bool = False
    standing: tuple[Any, ...] = ()
    written: bool = False
    diff: tuple[dict[str, str], ...] = ()
    passed: int = 0
    pending_drain: str = ""
    new_failures: tuple[str, ...] = ()
    evidence: tuple[GateEvidence, ...] = ()


def interrupted(state: ShiftState, host: str) -> str:
    """Say where the traffic stands, and how to go on or back, to a person who interrupts a shift."""
    wanted = state.standing[-1] if state.standing else None
    most = max(wanted.values(), default=0) if isinstance(wanted, dict) else wanted
    stands = ("weights are as they were found" if most is None else "v1alpha2 is out of the users' routes" if most == FINISHED
              else f"v1 has {most} % of users' traffic")
    return (f"{host}: interrupted: {stands}, the last share that passed its gate is {state.passed} %, and nothing is taken back by itself. "
            "The same command goes on from here; to go back: ansible-playbook inference_gateway.migration.rollback")
