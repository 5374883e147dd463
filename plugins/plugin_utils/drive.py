# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives a shift: one bounded module execution per weight change, gate stretch or soak minute, and a line for each.

A module can't print while it runs, and one that runs for an hour goes on after its playbook was killed. So the loop is
here, and every piece of work is a module execution that ends by itself and must hold the Lease to write.
"""

from __future__ import annotations

import time
from math import inf
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sprt import Bounds
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.stages import Stages, Stop

NOT_ROUTED = "no route names these pools: there was no traffic to shift or to lose, and nothing to prove v1 by"
BOTH = "both stacks"
GO_ON = "Mend the cause and start again: the next run goes on from here"


class Drive(Stages):
    """One shift on one cluster, there and, where it must be, back."""

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
        verdict = "PROVEN" if self.routed else ""
        return {"changed": self.written, "verdict": verdict, "reason": reason, "evidence": self.evidence, "stack": self.stack}

    @property
    def routed(self) -> bool:
        """Whether any route names the pools: else there are no requests by which anything could be proven."""
        return any(pool["references"] for pool in self.options["plan"]["pools"])

    def preview(self) -> dict[str, Any]:
        """The first change of the routes, as check mode shows it."""
        first = {"state": "shifted", "share": self.options["steps"][0]} if self.options["state"] == "migrated" else {"state": "finished"}
        try:
            return self.shift(**first) | {"verdict": None, "reason": "check mode: nothing was shifted."}
        except Stop as stop:
            return {"failed": True, "msg": stop.reason}

    def migrate(self) -> str:
        """Baseline, probe routes, warm-up, then a gate before each step and after the last."""
        steps = self.options["steps"]
        if not self.routed:
            return NOT_ROUTED
        at = self.baseline()
        if not self.shifting:
            self.streams.begin(before_a_change=True, variants=["user"])
        made = self.probe_routes("present")
        self.say(f"{len(made)} probe routes made; waiting until the gateway serves both stacks by them")
        self.settle("warm-up", ["alpha", "v1", "both", "user"], self.options["warm_seconds"], watched=True)
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
            written = self.write("shifted", share)["written"]
            self.say(f"step {number} of {len(steps)}: v1 gets {share} %")
            self.settle(f"{share} %", ["alpha", "v1", "user"], self.options["settle_seconds"], watched=True)
            soak_until = time.monotonic() + self.options["soak_seconds"]
            self.traffic_split(share)
            self.gate(share, soak_until - (self.streams.lead if share < 100 else 0), written)
            self.passed = share
        self.prove()
        return f"v1 proven at 100 % by {sum(gate['pairs'] for gate in self.evidence)} pairs in {len(self.evidence)} gates"

    def withdraw(self) -> str:
        """v1alpha2 out of the users' rules, and only then, when no request can be on its way there, out of the gateway.

        Nothing here needs v1alpha2 or its probe routes: a run that was killed after they were gone goes on.
        """
        if not self.routed:
            return NOT_ROUTED
        self.passed, self.shifting, self.standing = 100, True, [100]
        self.write("finished")
        self.baseline_known = True
        self.probe_routes("present", "v1")
        self.probe_routes("absent", "both")
        self.say("v1alpha2 references are out of the routes; the probe route holds its backends until requests have ended")
        self.settle("routes finished", ["v1", "user"], self.options["settle_seconds"])
        self.drain("v1alpha2")
        self.probe_routes("absent", "alpha")
        self.gone(["alpha"])
        return "no gateway instance sends anything to v1alpha2 any more"

    # -- the way back -----------------------------------------------------------------------------------------------

    def retreat(self, stop: Stop) -> Stop:
        """Traffic back to where it was last proven, make before break; the stop, with what could not be done added."""
        back = self.passed if stop.verdict == "HELD" else 0
        self.limit = inf  # the way back is not cut by what the way there used up
        try:
            text = self.leave_alone(stop) if stop.foreign else self.go_back(stop, back)
        except Stop as further:
            text = f"On the way back: {further.reason}"
            self.pending_drain = BOTH if further.foreign else self.pending_drain
        left = self.clean_up() if self.baseline_known and (self.options["state"] == "migrated" or not text) else []
        if not text and not left and stop.verdict == "FAILED":
            return stop
        return Stop("HELD", ". ".join([stop.reason.rstrip("."), text or f"v1 has {back} % of the traffic", *left, GO_ON]))

    def leave_alone(self, stop: Stop) -> str:
        """Traffic stays where another writer put it; what that writer took it from may still answer requests. Why, as a sentence."""
        self.say(f"stopped, {stop.reason}")
        self.pending_drain = BOTH
        return "Traffic stays where that writer put it"

    def go_back(self, stop: Stop, back: int) -> str:
        """Weights to a share; why they stay as they are, nothing when they do not.

        Only to a stack whose own probes pass now: v1alpha2 by the users' own rules while it alone serves them, else by its probe routes.
        """
        if not self.baseline_known:
            return "Nothing was written, so weights are as they were"
        if stop.verdict == "HELD" and self.options["on_held"] == "stay" and self.shifting:
            return "Weights stay as they are (on_held)"
        if ill := self.alpha_is_ill():
            return f"v1alpha2 does not answer either ({ill}), so weights stay as they are"
        # Where v1 may have had traffic, no change may mean that the answer to the change got lost.
        moved = (self.write("shifted", back) if back else self.write("restored"))["changed"] or self.shifting
        self.pending_drain = "v1" if moved and not back else ""
        self.say(f"traffic is back at {back} % on v1: {stop.reason}")
        self.settle("way back", ["alpha", "user"] if self.shifting else ["user"], self.options["settle_seconds"])
        if moved and not back:
            self.probe_routes("absent", "both")
            self.drain("v1")
        if moved:  # last, for where it can't be told v1's requests end all the same before its probe route goes
            self.traffic_split(back)
        return ""

    def clean_up(self) -> list[str]:
        """Marked routes away on every ending; what is left, as a sentence.

        Nothing is cut: while a rule is split, its own references hold both backends, also at weight 0, and a gateway takes its
        changes in their order. In the middle of a withdrawal they do not, and there probe routes stay for the next run.
        """
        try:
            if self.pending_drain:  # the way back did not get to its end: v1's requests do all the same
                self.wait(self.pending_drain)
            self.probe_routes("absent")
        except Stop as further:
            return [f"Marked routes may be left: {further.reason}"]
        return []
