# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives a shift: one bounded module execution per weight change, gate stretch or soak minute, and a line for each.

A module can't print while it runs, and one that runs for an hour goes on after its playbook was killed. So the loop is
here, and every piece of work is a module execution that ends by itself and must hold the Lease to write.
"""

from __future__ import annotations

import time
from math import ceil, inf
from typing import Any, Protocol

from ansible.utils.display import Display

from ansible_collections.inference_gateway.migration.plugins.module_utils import _http
from ansible_collections.inference_gateway.migration.plugins.module_utils.sequential import Bounds
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.long_streams import Background, Ending, LongStreams

SOAK_LINE = 60
"""Seconds between two lines of a soak."""
STRETCH = 30
"""Seconds of one module execution at most: how often a long wait shows a line, and how long an orphan lives (one that holds streams: for theirs)."""
HINTS = {
    "status 503": "503 from the gateway itself mostly means that no pod of the pool passes its health check: look at HealthCheckPolicy of {pools}",
    "cut a stream": "look at the timeout in the backend policies of {pools}: without one a gateway gives up on an answer after 30 s",
    "without the endpoint picker": "look at the pods of Deployment {epps}",
    "not answered by the marked route": "the gateway has not taken the marked routes: look at their status, label inference-gateway-migration/marked-route",
}
"""What to look at, by a word of what probes saw."""


def hint(detail: str, plan: dict[str, Any]) -> str:
    """A sentence on what to look at, or nothing."""
    names = {
        "pools": ", ".join(f"{pool['namespace']}/{pool['v1_name']}" for pool in plan["pools"]),
        "epps": ", ".join(f"{pool['namespace']}/{pool['epp']['deployment']}" for pool in plan["pools"]),
    }
    return "".join(f". {text.format(**names)}" for word, text in HINTS.items() if word in detail)


GO_ON = "Mend the cause and start again: the next run goes on from here"


class Stop(Exception):
    """The end of a shift that is not PROVEN."""

    def __init__(self, verdict: str, reason: str) -> None:
        super().__init__(reason)
        self.verdict = verdict
        self.reason = reason


class Executor(Background, Protocol):
    """What an action plugin must do for a shift."""

    def piece(self, module: str, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """One module execution, to its end."""


class Drive:
    """One shift on one cluster.

    :param options: those of module shift_traffic. :param check_mode: whether only the first change is shown.
    """

    def __init__(self, action: Executor, options: dict[str, Any], task_vars: dict[str, Any], check_mode: bool) -> None:
        self.action = action
        self.options = options
        self.task_vars = task_vars
        self.check_mode = check_mode
        self.host = task_vars.get("inventory_hostname", "localhost")
        self.common = {name: options[name] for name in ("plan", "run", "state_namespace") if options[name] is not None}
        self.probing = {name: options[name] for name in _http.argument_spec() if options[name] is not None}
        arguments = {"plan": options["plan"], "state_namespace": options["state_namespace"]} | self.probing
        self.streams = LongStreams(action, arguments, task_vars, options["stream_seconds"], self.say)
        self.evidence: list[dict[str, Any]] = []
        self.known: list[str] = []
        self.sent, self.limit = 0, float(options["probe_limit"])
        self.passed = 0
        """The last share that a gate let through."""
        self.shifting = False
        """Whether v1 may have traffic of users: until then their own rules are v1alpha2's."""
        self.written = False
        self.measured: dict[str, Any] = {}

    def say(self, text: str) -> None:
        """A line for the person who watches."""
        Display().display(f"{self.host}: {text}")

    # -- the two ways -----------------------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """Go through, and on any stop take the traffic back, here: a rescue block would not run after a cancel."""
        steps = self.options["steps"]
        if not steps or steps[0] < 0 or steps[-1] != 100 or sorted(set(steps)) != steps:
            return {"failed": True, "msg": f"steps must rise from 0 or more and end with 100, not {steps}."}
        try:
            Bounds.of(self.options["gate"])
        except ValueError as error:
            return {"failed": True, "msg": f"{error}"}
        if self.check_mode:
            return self.preview()
        try:
            reason = self.migrate() if self.options["state"] == "migrated" else self.withdraw()
        except Stop as stop:
            stop = self.retreat(stop)
            self.say(f"{stop.verdict}: {stop.reason}")
            return {"failed": True, "changed": self.written, "verdict": stop.verdict, "reason": stop.reason, "msg": stop.reason, "evidence": self.evidence}
        self.say(reason)
        return {"changed": self.written, "verdict": "PROVEN", "reason": reason, "evidence": self.evidence}

    def preview(self) -> dict[str, Any]:
        """The first change of the routes, as check mode shows it."""
        first = {"state": "shifted", "share": self.options["steps"][0]} if self.options["state"] == "migrated" else {"state": "finished"}
        try:
            return self.shift(**first) | {"verdict": None, "reason": "check mode: nothing was shifted."}
        except Stop as stop:
            return {"failed": True, "msg": stop.reason}

    def migrate(self) -> str:
        """Baseline, marked routes, warm-up, then a gate before each step and after the last."""
        steps = self.options["steps"]
        if not any(pool["references"] for pool in self.options["plan"]["pools"]):
            return "no route names these pools: there was no traffic to shift or to lose"
        at = self.baseline()
        if not self.shifting:
            self.streams.begin(before_a_change=True, variants=["user"])
        made = self.shift(state="marked")["routes"]
        self.say(f"{len(made)} marked routes made; waiting until the gateway serves both stacks by them")
        self.settle("warm-up", ["alpha", "v1", "both", "user"], self.options["warm_seconds"])
        self.streams.keep()
        self.streams.begin()
        self.gate(at, 0)
        soak_until = 0.0
        for number, share in enumerate(steps, 1):
            if share < at:  # an earlier run was further: traffic is not taken back only to be given again
                continue
            self.shifting = True
            self.streams.begin(before_a_change=True)
            time.sleep(max(0.0, soak_until - time.monotonic()))
            written = self.shift(state="shifted", share=share)["written"]
            self.say(f"step {number} of {len(steps)}: v1 gets {share} %")
            self.settle(f"{share} %", ["alpha", "v1", "user"], self.options["settle_seconds"])
            soak_until = time.monotonic() + self.options["soak_seconds"]
            self.share(share)
            self.gate(share, soak_until - (self.streams.lead if share < 100 else 0), written)
            self.passed = share
        return f"v1 proven at 100 % by {sum(gate['pairs'] for gate in self.evidence)} pairs in {len(self.evidence)} gates"

    def withdraw(self) -> str:
        """v1alpha2 out of the users' rules, and only then, when no request can be on its way there, out of the gateway.

        Nothing here needs v1alpha2 or its marked routes: a run that was killed after they were gone goes on.
        """
        self.passed, self.shifting = 100, True
        self.shift(state="finished")
        self.shift(state="marked", variants=["v1"])
        self.shift(state="unmarked", variants=["both"])
        self.say("v1alpha2 references are out of the routes; the marked route holds its backends until requests have ended")
        self.settle("routes finished", ["v1", "user"], self.options["settle_seconds"])
        self.drain("v1alpha2")
        self.shift(state="unmarked", variants=["alpha"])
        self.gone(["alpha"])
        return "no gateway instance sends anything to v1alpha2 any more"

    # -- pieces -----------------------------------------------------------------------------------------------------

    def piece(self, module: str, **arguments: Any) -> dict[str, Any]:
        """One module execution; while the API server does not answer it is tried again, with a line that says so.

        :raises Stop: with what the module says.
        """
        deadline = time.monotonic() + self.options["api_patience"]
        silent = False
        while True:
            result = self.action.piece(module, self.common | arguments, self.task_vars)
            if result.get("unreachable_api") and time.monotonic() < deadline:
                silent = True
                self.say(f"the API server does not answer; trying again for up to {deadline - time.monotonic():.0f} s more. {result['msg']}")
                continue
            if silent and not result.get("failed"):
                self.say("the API server answers again")
            if result.get("failed"):
                unsure = result.get("held") or result.get("unreachable_api")
                raise Stop("HELD" if unsure else "FAILED", result.get("msg") or f"module {module} ended without a word: run again with -vvv to see its error")
            return result

    def shift(self, **arguments: Any) -> dict[str, Any]:
        """One write."""
        result = self.piece("shift_traffic", **arguments)
        self.written |= bool(result.get("changed"))
        return result

    def verify(self, seconds: float, **arguments: Any) -> dict[str, Any]:
        """One stretch of looking. :raises Stop: HELD once more probes were sent than asked for."""
        if self.sent >= self.limit:
            raise Stop("HELD", f"{self.sent} probes were sent, which is as many as probe_limit allows: raise it, or ask for a gate that needs fewer")
        found = self.piece("verify_gateway", seconds=max(1, int(min(seconds, STRETCH))), fail=False, **self.probing, **arguments)
        self.sent += found["sent"]
        return found

    def baseline(self) -> int:
        """How users are served before v1 gets any of their traffic.

        :returns: the share at which the routes stand, over 0 in a run that goes on where another ended.
        :raises Stop: HELD where v1alpha2 does not serve them: nothing could be compared with it.
        """
        found = self.verify(STRETCH, check="baseline")
        self.known, self.shifting = found["kinds"], found["serves_v1"]
        if not found["ok"]:
            raise Stop("HELD", f"v1alpha2 does not serve every way by which users reach it, so v1 can't be compared with it: {'; '.join(found['faults'])}")
        if self.shifting:
            self.say(f"baseline: none, v1 has {found['share']} % of users' traffic already: every kind of failure counts as new")
        else:
            self.say("baseline: v1alpha2 serves every way" + (f", with failures: {'; '.join(found['faults'])}" if found["faults"] else ""))
        return int(found["share"])

    def settle(self, what: str, variants: list[str], seconds: int, check: str = "settled") -> None:
        """Until every gateway instance has taken the last change, by traffic and by status.

        :raises Stop: FAILED where alpha works and the rest does not, HELD where alpha does not work either.
        """
        begun, clean = time.monotonic(), 0
        while True:
            found = self.verify(seconds - (time.monotonic() - begun), check=check, variants=variants, clean=clean)
            clean = found["clean"]
            waited = time.monotonic() - begun
            if found["ok"]:
                self.say(f"{what}: settled after {waited:.0f} s")
                return
            detail = "; ".join(found["faults"]) or "not settled"
            if waited >= seconds:
                alpha_works = found.get("passing", {}).get("alpha", True)
                raise Stop("FAILED" if alpha_works else "HELD", f"{what}: not settled within {seconds} s: {detail}{hint(detail, self.options['plan'])}")
            self.say(f"{what}: waiting, {waited:.0f} s: {detail}")

    def share(self, share: int) -> None:
        """What v1 really serves, until it is what the weights say.

        :raises Stop: when it is not within the time to settle, HELD where too much was shed to tell.
        """
        if not self.options["dyes"]:
            return
        begun = time.monotonic()
        while True:
            found = self.verify(STRETCH, check="share", dyes=self.options["dyes"])
            if found["ok"]:
                break
            if time.monotonic() - begun >= self.options["settle_seconds"]:
                if found["faults"]:
                    raise Stop("FAILED", f"share at {share} %: the gateway does not do what the weights say: {'; '.join(found['faults'])}")
                unsure = f"it can't be told while requests are shed: {'; '.join(found['unsure'])}. Lower probe_rate, or wait for less load"
                raise Stop("HELD", f"share at {share} %: {unsure}")
            self.say(f"share at {share} %: not yet: {'; '.join([*found['faults'], *found['unsure']])}")
        for texts, what in ((found["counted"], "as it should be"), (found["blind"], "nothing tells the stacks apart")):
            if texts:
                self.say(f"share at {share} %: {what}: {texts[0]}" + (f" and {len(texts) - 1} more" if texts[1:] else ""))
        self.measured = {"counted": found["counted"], "blind": found["blind"]}

    def gate(self, share: int, soak_until: float, written: float | None = None) -> None:
        """The sequential test at a share, for as long as the soak lasts the watch beside it, and how the long streams ended.

        :param soak_until: on the clock of time.monotonic. :param written: when the weights were changed, None where they were not.
        :raises Stop: FAILED when v1 is rejected, HELD when time is up without a decision or v1alpha2 fails too often to be compared with.
        """
        bounds = self.options["gate"] | {"gates": len(self.options["steps"]) + 1}
        judgement, said = None, 0.0
        streams: Ending | None = None
        give_up = max(time.monotonic() + self.options["gate_seconds"], soak_until)
        while True:
            hold = max(0, min(soak_until - time.monotonic(), STRETCH))
            found = self.verify(STRETCH, check="gate", gate=bounds, judgement=judgement, known=self.known, hold=ceil(hold))
            judgement, now = found["judgement"], time.monotonic()
            pairs, decision = judgement["pairs"], found["decision"]
            counted = f"{pairs['successes'] + pairs['failures']} pairs, {pairs['failures']} failed on v1 alone, {pairs['void']} without evidence"
            if self.streams.over():  # what v1 cuts is not left to users for the rest of a soak
                streams = self.streams.end(written)
            ended = decision in ("reject", "void") or (decision == "accept" and now >= soak_until) or bool(streams and streams.verdict)
            if ended or now - said >= SOAK_LINE:
                left = f", soak {soak_until - now:.0f} s left" if now < soak_until else ""
                self.say(f"gate at {share} %: {counted}: {decision}{left}")
                said = now
            if ended:
                break
            if decision == "undecided" and now >= give_up:
                raise Stop("HELD", f"gate at {share} %: no decision within {self.options['gate_seconds']} s ({counted}): {'; '.join(found['faults'])}")
        self.evidence.append({"share": share, "pairs": pairs["successes"] + pairs["failures"], "sent": judgement["sent"]}
                             | {"failures": pairs["failures"], "void": pairs["void"], "user_failures": judgement["user"]["failures"]}
                             | {"faults": found["faults"]} | self.measured)
        self.measured = {}
        if decision == "reject":
            raise Stop("FAILED", f"gate at {share} %: v1 fails where v1alpha2 does not ({counted}): {'; '.join(found['faults'])}")
        if decision == "void":
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

    def drain(self, side: str) -> None:
        """Until requests in flight to one side have ended; the rehearsal routes were taken away after the change that took new requests from it.

        It counts from the moment when every gateway instance has taken that change: where the removal that was written after it is seen, it has been taken too.
        """
        self.gone(["both"])
        longest = self.options["drain_seconds"]
        if longest is None:
            longest = max((pool.get("timeout_seconds") or 30 for pool in self.options["plan"]["pools"]), default=30)
        self.say(f"waiting {longest} s for requests in flight to {side} to end")
        deadline = time.monotonic() + longest
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, STRETCH))
            if left > STRETCH:
                self.say(f"draining {side}: {left - STRETCH:.0f} s left")

    def gone(self, variants: list[str]) -> None:
        """Marked routes that were taken away, seen gone from traffic."""
        self.settle(f"marked routes removed ({', '.join(variants)})", variants, self.options["settle_seconds"], check="gone")

    # -- the way back -----------------------------------------------------------------------------------------------

    def retreat(self, stop: Stop) -> Stop:
        """Traffic back to where it was last proven, make before break; the stop, with what could not be done added."""
        back = self.passed if stop.verdict == "HELD" else 0
        self.limit = inf  # the way back is not cut by what the way there used up
        try:
            text = self.go_back(stop, back)
        except Stop as further:
            text = f"On the way back: {further.reason}"
        left = self.clean_up() if self.options["state"] == "migrated" or not text else []
        if not text and not left and stop.verdict == "FAILED":
            return stop
        return Stop("HELD", ". ".join([stop.reason, text or f"v1 has {back} % of the traffic", *left, GO_ON]))

    def go_back(self, stop: Stop, back: int) -> str:
        """Weights to a share; why they stay as they are, nothing when they do not.

        Only to a stack whose own probes pass now: v1alpha2 by the users' own rules while it alone serves them, else by its marked routes.
        """
        if stop.verdict == "HELD" and self.options["on_held"] == "stay" and self.shifting:
            return "Weights stay as they are (on_held)"
        alpha = self.verify(20, check="settled", variants=["alpha" if self.shifting else "user"], rounds=3)
        if not all(alpha["passing"].values()):
            return f"v1alpha2 does not answer either ({'; '.join(alpha['faults'][:1])}), so weights stay as they are"
        moved = self.shift(**({"state": "shifted", "share": back} if back else {"state": "restored"}))["changed"]
        self.say(f"traffic is back at {back} % on v1: {stop.reason}")
        self.settle("way back", ["alpha", "user"] if self.shifting else ["user"], self.options["settle_seconds"])
        if moved and not back:
            self.shift(state="unmarked", variants=["both"])
            self.drain("v1")
        if moved:  # last, for where it can't be told v1's requests end all the same before its marked route goes
            self.share(back)
        return ""

    def clean_up(self) -> list[str]:
        """Marked routes away on every ending; what is left, as a sentence.

        Nothing is cut: while a rule is split, its own references hold both backends, also at weight 0, and a gateway takes its
        changes in their order. In the middle of a withdrawal they do not, and there marked routes stay for the next run.
        """
        try:
            self.shift(state="unmarked", variants=["alpha", "v1", "both"])
        except Stop as further:
            return [f"Marked routes may be left: {further.reason}"]
        return []
