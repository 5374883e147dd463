# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits until probes are answered without a failure, and records how users fare before a change and during it. The sender is handed in."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import fmean

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.gate import GateState, Judgement, add_user
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.load import ProbeLoad
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sending import Answered, Faults, Look, Sender, send_round
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sprt import Bounds, Evidence
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import Probe, ProbeTarget
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.probe_routes import Variant


@dataclass(frozen=True)
class Settled:
    """How settling ended.

    :param done: whether enough rounds in a row had no failure. :param rounds: rounds in a row without one at the end.
    :param passing: for each variant (alpha, v1, both, user) whether all its probes passed in any round of this stretch.
    :param faults: of the last round.
    :param first: when the first of the clean rounds had ended, in seconds since the epoch; 0 without one.
    :param sent: probes of this stretch.
    """

    done: bool
    rounds: int
    passing: dict[str, bool]
    faults: Faults
    first: float
    sent: int


class LiveTrafficMonitor:
    """Counts users' failures while a gateway takes a change: a few clean rounds afterwards do not make up for them.

    What counts is a failure of a kind that is not known, at a target that v1alpha2 serves at the same time. Only CUSUM rejects: its error probability is for a
    million pairs, and these are among them. Where the users' own rules are not asked, the rehearsal counts: the probe rules that name both stacks.

    :param known: kinds of failure that the baseline has. :param control: whether to compare with v1alpha2's probe rules. Without it every failure of a new kind
        counts: the users' own rules are v1alpha2's then. :param before: what :attr:`judgement` was, as plain data, when an earlier stretch ended.
    """

    def __init__(self, bounds: Bounds, known: Iterable[str], control: bool, before: GateState | None) -> None:
        self.bounds, self.known, self.control = bounds, frozenset(known), control
        self.judgement = Judgement.load(before) if before else Judgement(user=Evidence(decision="accept"))
        self._watched: Variant | None = None
        self._failed: set[ProbeTarget] = set()

    @property
    def rejects(self) -> bool:
        """Whether so many requests failed that it can't be chance."""
        return self.judgement.user.decision == "reject"

    def begin(self, probes: list[Probe]) -> None:
        """Begin a round of probes, in which v1alpha2 is asked first."""
        self._watched, self._failed = None if any(probe.variant is None for probe in probes) else "both", set()

    def note(self, answered: list[tuple[Probe, Answered]]) -> None:
        """Count some probes of a round, each with its answer."""
        if self.control or self._watched == "both":
            self._failed |= {probe.target for probe, answer in answered if probe.variant == "alpha" and not answer.ok}
        for probe, answer in answered:
            if probe.variant == self._watched:
                fine = answer.ok or answer.kind in self.known
                told = probe.target not in self._failed and not answer.by_gateway
                self.judgement = add_user(self.judgement, told, answer, self.bounds, self.known, fine)


def settle(probes: list[Probe], send: Sender, rounds: int, deadline: float, load: ProbeLoad, workers: int, clean: int = 0,
           monitor: LiveTrafficMonitor | None = None, look: Look = lambda: None) -> Settled:
    """Send all probes in rounds until ``rounds`` rounds in a row have no failure, or until the deadline.

    Any failure starts the count anew: front ends converge at different times, and only a run of fresh connections
    without a single failure says that all have.

    :param deadline: on the clock of time.monotonic; a round that has begun is ended.
    :param clean: rounds in a row without a failure with which an earlier stretch ended: with many targets one stretch may be too short.
    :param monitor: ends it early where it rejects. :param look: called after every few probes.
    """
    first, sent, passing = time.time() if clean else 0.0, 0, dict[str, bool]()
    with ThreadPoolExecutor(workers) as pool:
        while True:
            last = Faults()
            if monitor:
                monitor.begin(probes)
            for answered in send_round(probes, send, load, pool, workers):
                sent += len(answered)
                for probe, answer in answered:
                    last.note(probe, answer)
                if monitor:
                    monitor.note(answered)
                look()
                if monitor and monitor.rejects:
                    return Settled(False, 0, passing, last, 0.0, sent)
            passing |= {who: passing.get(who, False) or not last.worst(who) for who in last.sent}
            clean = 0 if last.counts else clean + 1
            if clean < 2:
                first = time.time() if clean else 0.0
            if clean >= rounds or time.monotonic() >= deadline:
                return Settled(clean >= rounds, clean, passing, last, first, sent)


@dataclass(frozen=True)
class Baseline:
    """How the users' own rules answer before v1 has any of their traffic.

    :param faults: what failed. :param kinds: the kinds of failure. :param silent: the targets (as text) that never answered.
    :param answers: for each model that was asked for, the models that good answers named. :param seconds: that a good answer took on average, by target.
    """

    faults: Faults
    kinds: tuple[str, ...]
    silent: tuple[str, ...]
    answers: dict[str, frozenset[str]]
    seconds: dict[ProbeTarget, float]


def baseline(probes: list[Probe], send: Sender, rounds: int, deadline: float, load: ProbeLoad, workers: int) -> Baseline:
    """Ask the users' own rules, for ``rounds`` rounds or until the deadline, before v1 has any of their traffic."""
    faults, kinds, answered = Faults(), set(), {str(probe.target): False for probe in probes}
    answers: dict[str, set[str]] = defaultdict(set)
    took: dict[ProbeTarget, list[float]] = defaultdict(list)
    with ThreadPoolExecutor(workers) as pool:
        for number in range(rounds):
            if number and time.monotonic() >= deadline:
                break
            for probe, answer in (pair for few in send_round(probes, send, load, pool, workers) for pair in few):
                faults.note(probe, answer)
                answered[str(probe.target)] |= answer.ok
                kinds |= set() if answer.ok else {answer.kind}
                took[probe.target] += [answer.seconds] if answer.ok else []
                if answer.ok and answer.model and probe.target.model:
                    answers[probe.target.model].add(answer.model)
    silent = tuple(target for target, ok in answered.items() if not ok)
    return Baseline(faults, tuple(sorted(kinds)), silent, {model: frozenset(names) for model, names in answers.items()},
                    {target: fmean(all_) for target, all_ in took.items() if all_})
