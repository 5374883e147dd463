# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the phases of a shift: each is one or more module executions, says a line or two, and returns what it found.

None keeps anything, but that the session counts probes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from math import ceil, inf
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.answer_checks import BY_GATEWAY
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.gate import GateState, Judgement
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sprt import LEAST_SUCCESSES, Bounds
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import TOO_MANY
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification.unproven import Streaming, Unproven
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.long_streams import Ending, LongStreams
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.session import STRETCH, Session
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.shift_state import GateEvidence, ShiftState, Stop

SOAK_LINE = 60
"""Seconds between two lines of a soak."""
STEADY = 5
"""Rounds without a failure in which a change has settled."""
PAUSE = 5
"""Seconds without tracer requests after a share was wrong, or too many were inconclusive."""
PATIENCE = 20
"""Seconds within which v1alpha2 must answer well before traffic goes back to it."""
SHED = f"status {TOO_MANY}"
"""A kind of failure that does not keep traffic from going back to v1alpha2: it sheds load though it is well."""
HINTS = {
    "status 503": "503 from the gateway itself mostly means that no pod of the pool passes its health check: look at HealthCheckPolicy of {pools}",
    "cut a stream": "look at the timeout in the backend policies of {pools}: without one a gateway gives up on an answer after 30 s",
    "without the endpoint picker": "look at the pods of Deployment {epps}",
    BY_GATEWAY: "a policy of the gateway refuses probes: exempt their address from it, send what it asks for (migration_probe_headers), or lower "
                "migration_probe_rate",
    "not answered by the probe route": "the gateway has not taken the probe routes: look at their status, label inference-gateway-migration/probe-route",
}
"""What a person should look at, by a part of the text of a failure."""


def hint(detail: str, plan: dict[str, Any]) -> str:
    """Return sentences on what to look at, to end a message with; empty where nothing is known. :param detail: the failures. :param plan: has the names."""
    names = {
        "pools": ", ".join(f"{pool['namespace']}/{pool['v1_name']}" for pool in plan["pools"]),
        "epps": ", ".join(f"{pool['namespace']}/{pool['epp']['deployment']}" for pool in plan["pools"]),
    }
    return "".join(f". {text.format(**names)}" for word, text in HINTS.items() if word in detail)


def counts(judgement: GateState) -> str:
    """Say how many pairs a gate has seen, how many failed and how many were inconclusive. :param judgement: as plain data."""
    pairs, own = judgement["pairs"], judgement["user"].get("failures", 0)
    text = f"{pairs['successes'] + pairs['failures']} pairs, {pairs['failures']} failed on v1 alone, {pairs['inconclusive']} without evidence"
    alone = [key for key, test in judgement.get("alone", {}).items() if test["decision"] == "reject"]
    return text + (f", and {own} times users' own rules failed" if own else "") + (f"; one target fails by itself: {alone[0]}" if alone else "")


def no_evidence(judgement: GateState) -> str:
    """Say why comparisons were without evidence."""
    return f"v1alpha2 fails as well, or the gateway itself refuses ({judgement['refused']} probes)" if judgement.get("refused") else "v1alpha2 fails as well"


def never_answered(judgement: GateState) -> bool:
    """Tell whether v1 never answered some target though every target was asked often enough to tell.

    In the sum over many targets that would be lost.
    """
    targets, pairs = judgement["targets"], judgement["pairs"]
    each = (pairs["successes"] + pairs["failures"] + pairs["inconclusive"]) // max(1, len(targets))
    return each >= LEAST_SUCCESSES and not all(targets.values())


@dataclass(frozen=True)
class Baseline:
    """How users are served before v1 gets any of their traffic.

    :param passed: the last share that a gate of an earlier run let through, by the journal.
    :param share: percent at which the routes stand, over 0 in a run that goes on where another ended. :param shares: the same for each route.
    :param kinds: kinds of failure. :param serves_v1: whether v1 has traffic of users already; then nothing was asked.
    :param served: whether it ever had any since it was installed, by the journal.
    :param stack: fingerprints of what is installed of v1. :param answers: for a model the further models that answers named.
    :param unproven: what can't be asked. :param streaming: what can be asked for long streams.
    :param stop: why the shift must not go on, None where it may.
    """

    share: int
    passed: int
    shares: dict[str, Any]
    kinds: tuple[str, ...]
    serves_v1: bool
    served: bool
    stack: dict[str, str]
    answers: dict[str, list[str]]
    unproven: tuple[Unproven, ...]
    streaming: tuple[Streaming, ...]
    stop: Stop | None


@dataclass(frozen=True)
class GateOutcome:
    """How a gate ended.

    :param evidence: what it saw, as an entry of the evidence. :param stop: why the shift must not go on, None where it may.
    """

    evidence: GateEvidence
    stop: Stop | None


@dataclass(frozen=True)
class TrafficSplit:
    """What the tracer requests showed, for the evidence of the gate that follows; empty where none were sent."""

    measured: GateEvidence = field(default_factory=GateEvidence)


class Phases:
    """Runs the phases of one shift on one cluster."""

    def __init__(self, session: Session, streams: LongStreams) -> None:
        self.session, self.options, self.streams = session, session.options, streams
        self.say = session.say
        self.bounds = self.options["gate"] | {"gates": len(self.options["steps"]) + 1}

    def baseline(self, state: ShiftState) -> Baseline:
        """Ask how users are served before v1 gets any of their traffic.

        Its stop is HELD: v1alpha2 does not serve every target, so nothing could be compared with it, or a route made since the plan sends to it.

        :raises Stop: see :meth:`Session.verify`.
        """
        found = self.session.verify(state.standing, STRETCH, check="baseline")
        stop = None
        if found["others"]:
            stop = Stop("HELD", f"{'; '.join(found['others'])}, and is not in the plan: name the v1 pool there, or make a new plan")
        elif not found["ok"]:
            text = f"v1alpha2 does not serve every way by which users reach it, so v1 can't be compared with it: {'; '.join(found['faults'])}"
            stop = Stop("HELD", text + hint(text, self.options["plan"]))
        elif too_long := self._too_long(found):
            stop = Stop("HELD", too_long)
        elif found["serves_v1"]:
            self.say(f"baseline: none, v1 has {found['share']} % of users' traffic already: every kind of failure counts as new")
        else:
            self.say("baseline: v1alpha2 serves every way" + (f", with failures: {'; '.join(found['faults'])}" if found["faults"] else ""))
        return Baseline(int(found["share"]), int(found["passed"]), found["shares"], tuple(found["kinds"]), found["serves_v1"], found["served"], found["stack"],
                        found["answers"], tuple(found["unproven"]), tuple(found["streaming"]), stop)

    def _too_long(self, found: dict[str, Any]) -> str:
        """Return which stages could not end in their time, an empty text where all can: one probe at a time on each model server may be too few."""
        bounds, each = Bounds.of(self.bounds), found["round_seconds"]
        compared = max(bounds.clean_pairs / max(1, found["targets"]), bounds.target_successes)
        needed = {"gate": 3 * compared * each, "settle": STEADY * 3 * each, "warm": STEADY * 4 * each}
        short = {f"{name}_seconds": ceil(seconds) for name, seconds in needed.items() if seconds > self.options[f"{name}_seconds"]}
        if not short:
            return ""
        return ("with one probe at a time on each model server this takes longer than it may: "
                + ", ".join(f"about {seconds} s, and {name} is {self.options[name]}" for name, seconds in short.items())
                + f". Raise {' and '.join(f'migration_{name}' for name in short)}, or migrate when answers take less long")

    def settle(self, state: ShiftState, what: str, variants: list[str], seconds: int, check: str = "settled", watched: bool = False) -> tuple[str, ...]:
        """Wait until every gateway instance has taken the last change, by traffic and by status.

        :param what: the change, for lines and reasons. :param seconds: the longest time. :param check: ``settled`` or ``gone``, of migration_evidence.
        :param watched: whether the live traffic monitor runs beside it; on the way back users may suffer until it is over.
        :returns: kinds of failure that users met meanwhile, where they are watched.
        :raises Stop: FAILED where v1 fails and v1alpha2 does not, or users' requests failed; HELD where it can't be told whose fault it is.
        """
        begun, clean, passed, met = time.monotonic(), 0, set[str](), state.new_failures
        monitor: dict[str, Any] = {"judgement": {}, "gate": self.bounds, "known": list(state.known)} if watched else {}
        while True:
            found = self.session.verify(state.standing, seconds - (time.monotonic() - begun), check=check, variants=variants, clean=clean, **monitor)
            clean, passing, waited = found["clean"], found["passing"], time.monotonic() - begun
            passed |= {who for who, ok in passing.items() if ok}
            detail = "; ".join(found["faults"]) or "not settled"
            if watched:
                monitor["judgement"], met = found["judgement"], tuple(found["judgement"]["new_failures"])
                if found["judgement"]["user"]["decision"] == "reject":
                    raise Stop("FAILED", f"{what}: users' requests fail while the gateway takes the change: {detail}{hint(detail, self.options['plan'])}")
            if found["ok"]:
                meanwhile = f"; meanwhile users met {', '.join(met)}" if watched and met else ""
                self.say(f"{what}: settled after {waited:.0f} s{meanwhile}")
                return met
            if waited >= seconds:
                text = f"{what}: not settled within {seconds} s"
                if check == "settled" and {"alpha", "v1"} <= set(variants) and passing.get("status") is not False:
                    raise self._told_by_pairs(state, met, text, detail, "alpha" in passed, "both" in variants)
                stuck = not passed.issuperset(variants) or passing.get("status") is False
                raise Stop("FAILED" if stuck and passing.get("alpha", True) else "HELD", f"{text}: {detail}{hint(detail, self.options['plan'])}")
            self.say(f"{what}: waiting, {waited:.0f} s: {detail}")

    def _told_by_pairs(self, state: ShiftState, met: tuple[str, ...], unsettled: str, detail: str, served: bool, rehearsed: bool) -> Stop:
        """Decide by the gate's own test how to stop where both stacks were asked and did not settle in time.

        It is luck whether a stack that fails some requests passes a whole round. The gateway has had all the time it was given, so every failure counts.

        :param met: kinds of failure that users met meanwhile. :param unsettled: the sentence so far. :param detail: what failed last.
        :param served: whether v1alpha2 served every target at once. :param rehearsed: whether the probe rules that name both stacks were asked as well.
        """
        self.say(f"{unsettled}: {detail}. Now both stacks are asked in pairs, until it can be told whether v1 fails where v1alpha2 does not")
        judgement, bounds = Judgement(new_failures=met).dump() if met else None, {"gate": self.bounds, "known": list(state.known)}
        give_up = time.monotonic() + self.options["gate_seconds"]
        while True:
            found = self.session.verify(state.standing, give_up - time.monotonic(), check="gate", judgement=judgement, **bounds)
            judgement, decision = found["judgement"], found["decision"]
            counted = counts(judgement)
            self.say(f"in pairs: {counted}: {decision}")
            if decision != "undecided" or time.monotonic() >= give_up:
                break
        blame = ""
        if decision == "reject" or (decision == "undecided" and served and never_answered(judgement)):
            blame = f"v1 fails where v1alpha2 does not ({counted}): {'; '.join(found['faults'])}"
        elif decision == "accept" and rehearsed:
            found = self.session.verify(state.standing, STRETCH, check="settled", variants=["alpha", "both"], judgement={}, **bounds)
            both = found["judgement"]["user"]
            if both["decision"] == "reject":
                seen = f"{both['failures']} of {both['failures'] + both['successes']} requests"
                blame = f"each stack serves by itself ({counted}), but rules that name both fail ({seen}): {'; '.join(found['faults'])}"
        if blame:
            return Stop("FAILED", f"{unsettled}: {blame}{hint(detail + blame, self.options['plan'])}")
        unsure = {"accept": "In pairs v1 fails no more than v1alpha2", "inconclusive": f"{no_evidence(judgement)}, so v1 can't be compared with it"}
        return Stop("HELD", f"{unsettled}: {detail}. {unsure.get(decision, 'Pairs do not tell either')} ({counted}){hint(detail, self.options['plan'])}")

    def traffic_split(self, state: ShiftState, share: int, watched: bool = True) -> TrafficSplit:
        """Measure what v1 really serves, until it is what the weights say at every rule and address, or can't be told.

        :param watched: whether to ask how users fare after each execution but the last: their gate waits.
        :raises Stop: FAILED where it is not what they say for as long as the time to settle, HELD where too many tracer requests were inconclusive to tell.
        """
        if not self.options["tracers"]:
            return TrafficSplit()
        doubted, wrong, tally, seen = inf, 0, None, None
        while True:
            begun = time.monotonic()
            found = self.session.verify(state.standing, STRETCH, check="traffic_split", tracers=self.options["tracers"], tally=tally)
            tally, doubts = found["tally"], [*found["faults"], *found["unsure"]]
            if found["ok"]:
                break
            doubted = min(doubted, begun) if doubts else inf
            # What was doubted while the gateway still took the change says nothing once its time is over: only what is doubted anew does.
            late, wrong_before = begun - doubted >= self.options["settle_seconds"], wrong
            wrong = sum(group.get("wrong", 0) for group in tally.values())
            if late and (wrong > wrong_before or not found["faults"]):
                if found["faults"]:
                    raise Stop("FAILED", f"traffic split at {share} %: the gateway does not do what the weights say: {'; '.join(found['faults'])}")
                unsure = f"it can't be told while so much fails: {'; '.join(found['unsure'])}. Lower probe_rate, or wait for less load"
                raise Stop("HELD", f"traffic split at {share} %: {unsure}")
            self.say(f"traffic split at {share} %: not yet, {found['left']} still to be told" + (f": {'; '.join(doubts)}" if doubts else ""))
            seen = self._watch(state, share, seen) if watched else None
            time.sleep(PAUSE if doubts else 0)
        told: GateEvidence = {"counted": found["counted"], "blind": found["blind"], "undecided": found["undecided"]}
        for texts, what in ((told["counted"], "as it should be"), (told["blind"], "nothing tells the stacks apart"), (told["undecided"], "not told")):
            if texts:
                self.say(f"traffic split at {share} %: {what}: {texts[0]}" + (f" and {len(texts) - 1} more" if texts[1:] else ""))
        return TrafficSplit(told)

    def _watch(self, state: ShiftState, share: int, before: GateState | None) -> GateState:
        """Ask how users fare, once, while their gate has to wait; return what the live traffic monitor has seen. :raises Stop: FAILED where it rejects."""
        found = self.session.verify(state.standing, STRETCH, check="settled", variants=["alpha", "user"], rounds=1, judgement=before or {}, gate=self.bounds,
                                    known=list(state.known))
        if found["judgement"]["user"]["decision"] == "reject":
            raise Stop("FAILED", f"traffic split at {share} %: users' requests fail meanwhile: {'; '.join(found['faults'])}")
        return found["judgement"]

    def gate(self, state: ShiftState, share: int, soak_until: float, split: TrafficSplit, written: float | None = None) -> GateOutcome:
        """Run the sequential test at a share, with CUSUM beside it for as long as the soak lasts, and judge how the long streams ended.

        Its stop is FAILED where v1 is rejected or cuts streams, HELD where time is up without a decision, v1alpha2 fails too often to be compared with, or
        streams tell nothing or end at a change.

        :param soak_until: on the clock of time.monotonic. :param split: goes into the evidence.
        :param written: when the weights were changed, in seconds since the epoch; None where they were not. :raises Stop: see :meth:`Session.verify`.
        """
        judgement, said = Judgement(new_failures=state.new_failures).dump() if state.new_failures else None, 0.0
        streams: Ending | None = None
        # A failure at the end of a soak opens a test of its target, which takes a while.
        give_up = max(time.monotonic() + self.options["gate_seconds"], soak_until + 2 * STRETCH)
        while True:
            paused = self.session.heed()
            give_up, soak_until = give_up + paused, soak_until + paused
            soak = max(0, min(soak_until - time.monotonic(), STRETCH))
            found = self.session.verify(state.standing, STRETCH, check="gate", gate=self.bounds, judgement=judgement, known=list(state.known), soak=ceil(soak))
            judgement, now = found["judgement"], time.monotonic()
            pairs, decision = judgement["pairs"], found["decision"]
            counted = counts(judgement)
            if self.streams.over():  # what v1 cuts is not left to users for the rest of a soak
                streams = self.streams.end(written)
            ended = decision in ("reject", "inconclusive") or (decision == "accept" and now >= soak_until) or bool(streams and streams.verdict)
            if ended or now - said >= SOAK_LINE:
                left = f", soak {soak_until - now:.0f} s left" if now < soak_until else ""
                self.say(f"gate at {share} %: {counted}: {decision}{left}")
                said = now
            if ended or (decision == "undecided" and now >= give_up):
                break
        evidence: GateEvidence = {
            "share": share, "pairs": pairs["successes"] + pairs["failures"], "sent": judgement["sent"], "failures": pairs["failures"],
            "inconclusive": pairs["inconclusive"], "user_failures": judgement["user"]["failures"], "new_failures": judgement["new_failures"],
            "faults": found["faults"], **split.measured,
        }
        seen, stop = "; ".join(found["faults"]), None
        if not ended:
            stop = Stop("HELD", f"gate at {share} %: no decision within {self.options['gate_seconds']} s ({counted}): {seen}")
        elif decision == "reject":
            stop = Stop("FAILED", f"gate at {share} %: v1 fails where v1alpha2 does not ({counted}): {seen}")
        elif decision == "inconclusive":
            why = f"{no_evidence(judgement)}, so v1 can't be compared with it"
            stop = Stop("HELD", f"gate at {share} %: {why} ({counted}): {seen}{hint(seen, self.options['plan'])}")
        if stop:
            return GateOutcome(evidence, stop)
        try:
            ending = streams or self.streams.end(written)
        except Stop as further:  # by a look at the routes while the ends of streams were waited for
            return GateOutcome(evidence, further)
        return self._with_streams(evidence, share, ending)

    def _with_streams(self, evidence: GateEvidence, share: int, ending: Ending) -> GateOutcome:
        """Add how the long streams ended to a gate's outcome.

        Its stop is FAILED where v1 cuts what v1alpha2 keeps, HELD where the change of weights may have cut them, or none could be held.
        """
        self.session.sent += ending.sent
        if ending.streams:
            evidence = {**evidence, "streams": list(ending.streams), "spanned": ending.spanned}
        if ending.verdict:
            return GateOutcome(evidence, Stop(ending.verdict, f"streams at {share} %: {ending.reason}{hint(ending.reason, self.options['plan'])}"))
        if ending.reason:
            self.say(f"streams at {share} %: {ending.reason}")
        return GateOutcome(evidence, None)

    def prove(self, state: ShiftState) -> None:
        """Look anew at the end of the phase, as the last word on a shift. :raises Stop: with what stands against it."""
        begun, clean, end = time.monotonic(), 0, {"check": "phase_end", "phase": "shift", "stack": state.stack, "variants": ["v1", "user"], "rounds": 3}
        while not (found := self.session.verify(state.standing, STRETCH, clean=clean, **end))["ok"]:
            if found["clean"] <= clean or time.monotonic() - begun >= self.options["settle_seconds"]:
                raise Stop(found["verdict"], f"the end of the shift is not proven: {'; '.join(found['faults'])}")
            clean = found["clean"]

    def wait(self, side: str) -> None:
        """Wait as long as requests of one stack may take (``drain_seconds``, else the longest timeout of the pools), and keep the Lease meanwhile."""
        longest = self.options["drain_seconds"]
        if longest is None:
            longest = max((pool.get("timeout_seconds") or 30 for pool in self.options["plan"]["pools"]), default=30)
        self.say(f"waiting {longest} s for requests in flight to {side} to end")
        deadline = time.monotonic() + longest
        while (left := deadline - time.monotonic()) > 0:
            self.session.execute("migration_journal", state="kept", seconds=ceil(min(left, STRETCH)))
            if left > STRETCH:
                self.say(f"draining {side}: {left - STRETCH:.0f} s left")

    def alpha_is_ill(self, state: ShiftState, patience: float = PATIENCE) -> str:
        """Return why traffic can't be given back to v1alpha2, or an empty text where it can.

        It can where every target is answered, and the only failures are of kinds that were met before, or shed load.

        :param patience: seconds within which it must answer so: longer where its probe routes have just been made.
        """
        deadline = time.monotonic() + patience
        while True:
            found = self.session.verify(state.standing, PATIENCE, check="baseline", variants=["alpha" if state.shifting else "user"], rounds=3)
            if found["ok"] and set(found["kinds"]) <= {*state.known, SHED}:
                return ""
            if time.monotonic() >= deadline:
                return "; ".join(found["faults"][:1])
