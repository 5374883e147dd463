# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stages of a shift: each is one or more bounded module executions, says a line or two, and raises Stop where the shift must not go on."""

from __future__ import annotations

import time
from math import ceil
from typing import Any, Protocol

from ansible.utils.display import Display

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import http_client
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.gate import TARGET_SUCCESSES, Judgement
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import TOO_MANY
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.step_weights import FINISHED
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.long_streams import Background, Ending, LongStreams

SOAK_LINE = 60
"""Seconds between two lines of a soak."""
STRETCH = 30
"""Seconds of one module execution at most: how often a long wait shows a line, and how long an orphan lives (one that holds streams: for theirs)."""
RENEW = 300
"""Seconds of a drain after which the Lease is renewed: it lasts for 900."""
PAUSE = 5
"""Seconds without tracer requests after too many told nothing."""
PATIENCE = 20
"""Seconds in which v1alpha2 must be seen to be well before traffic goes back to it."""
SHED = f"status {TOO_MANY}"
"""A kind of failure that v1alpha2 may have though it is well."""
HINTS = {
    "status 503": "503 from the gateway itself mostly means that no pod of the pool passes its health check: look at HealthCheckPolicy of {pools}",
    "cut a stream": "look at the timeout in the backend policies of {pools}: without one a gateway gives up on an answer after 30 s",
    "without the endpoint picker": "look at the pods of Deployment {epps}",
    "not answered by the probe route": "the gateway has not taken the probe routes: look at their status, label inference-gateway-migration/probe-route",
}
"""What to look at, by a word of what probes saw."""


def hint(detail: str, plan: dict[str, Any]) -> str:
    """A sentence on what to look at, or nothing."""
    names = {
        "pools": ", ".join(f"{pool['namespace']}/{pool['v1_name']}" for pool in plan["pools"]),
        "epps": ", ".join(f"{pool['namespace']}/{pool['epp']['deployment']}" for pool in plan["pools"]),
    }
    return "".join(f". {text.format(**names)}" for word, text in HINTS.items() if word in detail)


def counts(judgement: dict[str, Any]) -> str:
    """What a sequential test has seen."""
    pairs, own = judgement["pairs"], judgement["user"].get("failures", 0)
    text = f"{pairs['successes'] + pairs['failures']} pairs, {pairs['failures']} failed on v1 alone, {pairs['inconclusive']} without evidence"
    return text + (f", and {own} times users' own rules failed" if own else "")


def never_answered(judgement: dict[str, Any]) -> bool:
    """Whether v1 answered a target not once though every target was asked often enough to tell: in the sum over many targets that would be lost."""
    targets, pairs = judgement["targets"], judgement["pairs"]
    each = (pairs["successes"] + pairs["failures"] + pairs["inconclusive"]) // max(1, len(targets))
    return each >= TARGET_SUCCESSES and not all(targets.values())


class Stop(Exception):
    """The end of a shift that is not PROVEN."""

    def __init__(self, verdict: str, reason: str, foreign: bool = False) -> None:
        """:param foreign: whether somebody else writes the weights, so that they are left alone."""
        super().__init__(reason)
        self.verdict = verdict
        self.reason = reason
        self.foreign = foreign


class Executor(Background, Protocol):
    """What an action plugin must do for a shift."""

    def execute(self, module: str, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """One module execution, to its end."""


class Stages:
    """The stages of one shift on one cluster, and what it knows so far.

    :param options: those of module shift_traffic. :param check_mode: whether only the first change is shown.
    """

    def __init__(self, action: Executor, options: dict[str, Any], task_vars: dict[str, Any], check_mode: bool) -> None:
        self.action = action
        self.options = options
        self.task_vars = task_vars
        self.check_mode = check_mode
        self.host = task_vars.get("inventory_hostname", "localhost")
        self.common = {name: options[name] for name in ("plan", "run", "state_namespace") if options[name] is not None}
        self.probing = {name: options[name] for name in http_client.argument_spec() if options[name] is not None}
        arguments = {"plan": options["plan"], "state_namespace": options["state_namespace"]} | self.probing
        self.streams = LongStreams(action, arguments, task_vars, options["stream_seconds"], self.say, self.look)
        self.evidence: list[dict[str, Any]] = []
        self.known: list[str] = []
        self.sent, self.limit = 0, float(options["probe_limit"])
        self.bounds = options["gate"] | {"gates": len(options["steps"]) + 1}
        self.new_failures: list[str] = []
        """Kinds of failure that users met while the gateway took the last change."""
        self.passed = 0
        """The last share that a gate let through."""
        self.baseline_known = False
        """Whether it is known how users are served: before that nothing is written, not even to go back."""
        self.pending_drain = ""
        """The side that new requests were taken from and whose own have not ended yet."""
        self.shifting = False
        """Whether v1 may have traffic of users: until then their own rules are v1alpha2's."""
        self.written = False
        self.standing: list[Any] = []
        """At which shares the routes may stand (verify_gateway's ``shares``): as found, then as last written; after a write that failed at either."""
        self.stack: dict[str, str] | None = None
        """What was installed of v1 when the shift began."""
        self.measured: dict[str, Any] = {}

    def say(self, text: str) -> None:
        """A line for the person who watches."""
        Display().display(f"{self.host}: {text}")

    def execute(self, module: str, **arguments: Any) -> dict[str, Any]:
        """One module execution; while the API server, or the host on which modules run, does not answer it is tried again, with a line that says so.

        :raises Stop: with what the module says.
        """
        deadline = time.monotonic() + self.options["api_patience"]
        silent = False
        while True:
            result = self.action.execute(module, self.common | arguments, self.task_vars)
            if result.get("unreachable_api") and time.monotonic() < deadline:
                silent = True
                self.say(f"no answer; trying again for up to {deadline - time.monotonic():.0f} s more. {result['msg']}")
                time.sleep(1)
                continue
            if silent and not result.get("failed"):
                self.say("there are answers again")
            if result.get("failed"):
                unsure = result.get("held") or result.get("unreachable_api")
                said = result.get("msg") or f"module {module} ended without a word: run again with -vvv to see its error"
                raise Stop("HELD" if unsure else "FAILED", said, bool(result.get("foreign")))
            return result

    def probe_routes(self, state: str, *variants: str) -> list[str]:
        """Make (``present``) or remove (``absent``) the probe routes of some variants, all without any; the names of those written."""
        result = self.execute("migration_probe_routes", state=state, **({"variants": list(variants)} if variants else {}))
        self.written |= bool(result.get("changed"))
        return result.get("routes", [])

    def shift(self, **arguments: Any) -> dict[str, Any]:
        """One write of the users' routes, whatever stands there; :meth:`write` looks first."""
        result = self.execute("shift_traffic", **arguments)
        self.written |= bool(result.get("changed"))
        return result

    def write(self, state: str, share: int | None = None) -> dict[str, Any]:
        """One write of the users' routes, which must stand where this run found or last put them."""
        wanted = {"restored": 0, "finished": FINISHED}.get(state, share)
        self.standing = [*self.standing, wanted]
        result = self.shift(state=state, standing=self.standing, **({} if share is None else {"share": share}))
        self.standing = [wanted]
        return result

    def look(self) -> None:
        """See that the routes stand where they must, while nothing else does. :raises Stop: HELD where somebody else wrote them."""
        self.verify(1, check="settled", variants=["user"], rounds=1)

    def verify(self, seconds: float, **arguments: Any) -> dict[str, Any]:
        """One stretch of looking. :raises Stop: HELD once more probes were sent than asked for."""
        if self.sent >= self.limit:
            raise Stop("HELD", f"{self.sent} probes were sent, which is as many as probe_limit allows: raise it, or ask for a gate that needs fewer")
        demanded = {"shares": self.standing[0]} if len(self.standing) == 1 else {}
        module = "verify_gateway" if arguments["check"] == "phase_end" else "migration_evidence"
        found = self.execute(module, seconds=max(1, int(min(seconds, STRETCH))), fail=False, **self.probing, **demanded, **arguments)
        self.sent += found["sent"]
        return found

    def baseline(self) -> int:
        """How users are served before v1 gets any of their traffic.

        :returns: the share at which the routes stand, over 0 in a run that goes on where another ended.
        :raises Stop: HELD where v1alpha2 does not serve them, for nothing could be compared with it, or where a route made since the plan sends to it.
        """
        found = self.verify(STRETCH, check="baseline")
        self.known, self.shifting, self.baseline_known = found["kinds"], found["serves_v1"], True
        self.standing, self.stack = [found["shares"]], found["stack"]
        if found["others"]:
            raise Stop("HELD", f"{'; '.join(found['others'])}, and is not in the plan: name the v1 pool there, or make a new plan")
        if not found["ok"]:
            raise Stop("HELD", f"v1alpha2 does not serve every way by which users reach it, so v1 can't be compared with it: {'; '.join(found['faults'])}")
        if self.shifting:
            self.say(f"baseline: none, v1 has {found['share']} % of users' traffic already: every kind of failure counts as new")
        else:
            self.say("baseline: v1alpha2 serves every way" + (f", with failures: {'; '.join(found['faults'])}" if found["faults"] else ""))
        return int(found["share"])

    def settle(self, what: str, variants: list[str], seconds: int, check: str = "settled", watched: bool = False) -> None:
        """Until every gateway instance has taken the last change, by traffic and by status.

        :param watched: whether users must not suffer meanwhile: on the way back they may, until it is over.
        :raises Stop: FAILED where v1 fails and alpha does not, or users' requests failed; HELD where it can't be told whose fault it is.
        """
        begun, clean, passed = time.monotonic(), 0, set[str]()
        monitor: dict[str, Any] = {"judgement": {}, "gate": self.bounds, "known": self.known} if watched else {}
        while True:
            found = self.verify(seconds - (time.monotonic() - begun), check=check, variants=variants, clean=clean, **monitor)
            clean, passing, waited = found["clean"], found["passing"], time.monotonic() - begun
            passed |= {who for who, ok in passing.items() if ok}
            detail = "; ".join(found["faults"]) or "not settled"
            if watched:
                monitor["judgement"], self.new_failures = found["judgement"], found["judgement"]["new_failures"]
                if found["judgement"]["user"]["decision"] == "reject":
                    raise Stop("FAILED", f"{what}: users' requests fail while the gateway takes the change: {detail}{hint(detail, self.options['plan'])}")
            if found["ok"]:
                met = f"; meanwhile users met {', '.join(self.new_failures)}" if watched and self.new_failures else ""
                self.say(f"{what}: settled after {waited:.0f} s{met}")
                return
            if waited >= seconds:
                text = f"{what}: not settled within {seconds} s"
                if check == "settled" and {"alpha", "v1"} <= set(variants) and passing.get("status") is not False:
                    raise self.told_by_pairs(text, detail, "alpha" in passed, "both" in variants)
                stuck = not passed.issuperset(variants) or passing.get("status") is False
                raise Stop("FAILED" if stuck and passing.get("alpha", True) else "HELD", f"{text}: {detail}{hint(detail, self.options['plan'])}")
            self.say(f"{what}: waiting, {waited:.0f} s: {detail}")

    def told_by_pairs(self, unsettled: str, detail: str, served: bool, rehearsed: bool) -> Stop:
        """How settling ends that asked both stacks, by the gate's own test: whether what fails some requests passes a whole round now and then is luck.

        The gateway has had all the time it was given, so every failure counts.

        :param unsettled: the sentence so far. :param detail: what failed last. :param served: whether v1alpha2 served every target at once.
        :param rehearsed: whether the probe rules that name both were asked as well.
        """
        self.say(f"{unsettled}: {detail}. Now both stacks are asked in pairs, until it can be told whether v1 fails where v1alpha2 does not")
        judgement = Judgement(new_failures=tuple(self.new_failures)).dump() if self.new_failures else None
        give_up = time.monotonic() + self.options["gate_seconds"]
        while True:
            found = self.verify(give_up - time.monotonic(), check="gate", gate=self.bounds, judgement=judgement, known=self.known)
            judgement, decision = found["judgement"], found["decision"]
            counted = counts(judgement)
            self.say(f"in pairs: {counted}: {decision}")
            if decision != "undecided" or time.monotonic() >= give_up:
                break
        blame = ""
        if decision == "reject" or (decision == "undecided" and served and never_answered(judgement)):
            blame = f"v1 fails where v1alpha2 does not ({counted}): {'; '.join(found['faults'])}"
        elif decision == "accept" and rehearsed:
            found = self.verify(STRETCH, check="settled", variants=["alpha", "both"], judgement={}, gate=self.bounds, known=self.known)
            both = found["judgement"]["user"]
            if both["decision"] == "reject":
                seen = f"{both['failures']} of {both['failures'] + both['successes']} requests"
                blame = f"each stack serves by itself ({counted}), but rules that name both fail ({seen}): {'; '.join(found['faults'])}"
        if blame:
            return Stop("FAILED", f"{unsettled}: {blame}{hint(detail + blame, self.options['plan'])}")
        unsure = {"accept": "In pairs v1 fails no more than v1alpha2", "inconclusive": "v1alpha2 fails as well, so v1 can't be compared with it"}
        return Stop("HELD", f"{unsettled}: {detail}. {unsure.get(decision, 'Pairs do not tell either')} ({counted}){hint(detail, self.options['plan'])}")

    def traffic_split(self, share: int) -> None:
        """What v1 really serves, until it is what the weights say: as often in a row as it was not, and once more, lest a small leak has luck one day.

        :raises Stop: when it is not within the time to settle, HELD where too little was answered to tell.
        """
        if not self.options["tracers"]:
            return
        begun, wrong, right, faults = time.monotonic(), 0, 0, ""
        while True:
            found = self.verify(STRETCH, check="traffic_split", tracers=self.options["tracers"])
            right = right + 1 if found["ok"] else 0
            if found["faults"]:
                wrong, faults = wrong + 1, "; ".join(found["faults"])
            if right > wrong:
                break
            if time.monotonic() - begun >= self.options["settle_seconds"]:
                if wrong:
                    raise Stop("FAILED", f"traffic split at {share} %: the gateway does not do what the weights say: {faults}")
                unsure = f"it can't be told while so much fails: {'; '.join(found['unsure'])}. Lower probe_rate, or wait for less load"
                raise Stop("HELD", f"traffic split at {share} %: {unsure}")
            seen = f"right {right} of {wrong + 1} times in a row" if found["ok"] else f"not yet: {'; '.join([*found['faults'], *found['unsure']])}"
            self.say(f"traffic split at {share} %: {seen}")
            time.sleep(PAUSE if found["unsure"] else 0)
        for texts, what in ((found["counted"], "as it should be"), (found["blind"], "nothing tells the stacks apart")):
            if texts:
                self.say(f"traffic split at {share} %: {what}: {texts[0]}" + (f" and {len(texts) - 1} more" if texts[1:] else ""))
        self.measured = {"counted": found["counted"], "blind": found["blind"]}

    def gate(self, share: int, soak_until: float, written: float | None = None) -> None:
        """The sequential test at a share, for as long as the soak lasts the watch beside it, and how the long streams ended.

        :param soak_until: on the clock of time.monotonic. :param written: when the weights were changed, None where they were not.
        :raises Stop: FAILED when v1 is rejected, HELD when time is up without a decision or v1alpha2 fails too often to be compared with.
        """
        judgement, said = Judgement(new_failures=tuple(self.new_failures)).dump() if self.new_failures else None, 0.0
        streams: Ending | None = None
        give_up = max(time.monotonic() + self.options["gate_seconds"], soak_until)
        while True:
            soak = max(0, min(soak_until - time.monotonic(), STRETCH))
            found = self.verify(STRETCH, check="gate", gate=self.bounds, judgement=judgement, known=self.known, soak=ceil(soak))
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
        self.evidence.append({
            "share": share, "pairs": pairs["successes"] + pairs["failures"], "sent": judgement["sent"], "failures": pairs["failures"],
            "inconclusive": pairs["inconclusive"], "user_failures": judgement["user"]["failures"], "new_failures": judgement["new_failures"],
            "faults": found["faults"],
        } | self.measured)
        self.measured, self.new_failures = {}, []
        if not ended:
            raise Stop("HELD", f"gate at {share} %: no decision within {self.options['gate_seconds']} s ({counted}): {'; '.join(found['faults'])}")
        if decision == "reject":
            raise Stop("FAILED", f"gate at {share} %: v1 fails where v1alpha2 does not ({counted}): {'; '.join(found['faults'])}")
        if decision == "inconclusive":
            raise Stop("HELD", f"gate at {share} %: v1alpha2 fails as well, so v1 can't be compared with it ({counted}): {'; '.join(found['faults'])}")
        self.look_at_streams(share, streams or self.streams.end(written))

    def look_at_streams(self, share: int, found: Ending) -> None:
        """:raises Stop: FAILED where v1 cuts what v1alpha2 keeps, HELD where the change of weights may have cut them."""
        self.sent += found.sent
        if found.streams:
            self.evidence[-1] |= {"streams": list(found.streams), "spanned": found.spanned}
        if found.verdict:
            raise Stop(found.verdict, f"streams at {share} %: {found.reason}{hint(found.reason, self.options['plan'])}")
        if found.reason:
            self.say(f"streams at {share} %: {found.reason}")

    def prove(self) -> None:
        """The last word on a shift: the end of its phase, looked at anew. :raises Stop: with what stands against it."""
        found = self.verify(STRETCH, check="phase_end", phase="shift", stack=self.stack, variants=["v1", "user"], rounds=3)
        if not found["ok"]:
            raise Stop(found["verdict"], f"the end of the shift is not proven: {'; '.join(found['faults'])}")

    def drain(self, side: str) -> None:
        """Until requests in flight to one side have ended; the rehearsal routes were taken away after the change that took new requests from it.

        It counts from the moment when every gateway instance has taken that change: where the removal that was written after it is seen, it has been taken too.
        """
        self.gone(["both"])
        self.wait(side)

    def wait(self, side: str) -> None:
        """As long as requests of one side may take."""
        longest = self.options["drain_seconds"]
        if longest is None:
            longest = max((pool.get("timeout_seconds") or 30 for pool in self.options["plan"]["pools"]), default=30)
        self.say(f"waiting {longest} s for requests in flight to {side} to end")
        deadline, renewed = time.monotonic() + longest, time.monotonic()
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, STRETCH))
            if left > STRETCH:
                self.say(f"draining {side}: {left - STRETCH:.0f} s left")
            if time.monotonic() - renewed >= RENEW:
                self.execute("verify_gateway", check="installed", seconds=1, fail=False)
                renewed = time.monotonic()
        self.pending_drain = ""

    def gone(self, variants: list[str]) -> None:
        """Marked routes that were taken away, seen gone from traffic."""
        self.settle(f"probe routes removed ({', '.join(variants)})", variants, self.options["settle_seconds"], check="gone")

    def alpha_is_ill(self) -> str:
        """Why traffic can't be given back to v1alpha2, nothing where it can: every way answers, and nothing fails that did not before, nor by shedding load."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = self.verify(PATIENCE, check="baseline", variants=["alpha" if self.shifting else "user"], rounds=3)
            if found["ok"] and set(found["kinds"]) <= {*self.known, SHED}:
                return ""
            if time.monotonic() >= deadline:
                return "; ".join(found["faults"][:1])
