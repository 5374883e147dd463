# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Controls a shift: calls its phases one after the other, keeps what they found, and on any stop takes the traffic back.

A module can't print while it runs, and one that runs for an hour goes on after its playbook was killed. So the loop is
here, and every piece of work is a module execution that ends by itself and must hold the Lease to write.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from math import inf
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sprt import Bounds
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.step_weights import FINISHED
from ansible_collections.inference_gateway.migration.plugins.module_utils.steps import HOLDING, WITHDRAWAL
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification import unproven
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification.unproven import Unproven
from ansible_collections.inference_gateway.migration.plugins.plugin_utils import interrupts
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.long_streams import LongStreams
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.phases import PATIENCE, Phases, TrafficSplit
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.session import STRETCH, Executor, Session
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.shift_state import ShiftState, Stop, interrupted

NOT_ROUTED = "no route names these pools: there was no traffic to shift or to lose, and nothing to prove v1 by"
BOTH = "both stacks"
LONG_PAUSE = 3600
"""Seconds after which what was proven before a pause is proven again before anything is written."""
GIVEN_BACK = "no route names these pools: there was no traffic to give back"
GO_ON = "Mend the cause and start again: the next run goes on from here"


class ShiftController:
    """Controls one shift on one cluster, or its rollback, and takes the traffic back where it must. It alone makes the next :class:`ShiftState`.

    :param options: those of module shift_traffic. :param check_mode: whether only the first change is shown.
    """

    def __init__(self, action: Executor, options: dict[str, Any], task_vars: dict[str, Any], check_mode: bool) -> None:
        self.options, self.check_mode = options, check_mode
        self.session = Session(action, options, task_vars)
        self.say = self.session.say
        arguments = {"plan": options["plan"], "state_namespace": options["state_namespace"]} | self.session.probing
        self.streams = LongStreams(action, arguments, task_vars, options["stream_seconds"], self.say, self.look)
        self.phases = Phases(self.session, self.streams)
        self.state = ShiftState()

    def keep(self, **fields: Any) -> None:
        """Make the next state: the present one with some fields replaced."""
        self.state = replace(self.state, **fields)

    # -- the ways -------------------------------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """Run the shift, or the rollback, and return the task's result. On any stop take the traffic back here: a rescue block would not run after a cancel."""
        steps = self.options["steps"]
        if not steps or steps[0] < 0 or steps[-1] != 100 or sorted(set(steps)) != steps:
            return {"failed": True, "msg": f"steps must rise from 0 or more and end with 100, not {steps}."}
        try:
            Bounds.of(self.options["gate"])
        except ValueError as error:
            return {"failed": True, "msg": f"{error}"}
        if self.check_mode:
            return self.preview()
        with interrupts.saying(lambda: interrupted(self.state, self.session.host)):
            return self.shift()

    def shift(self) -> dict[str, Any]:
        """Do what :meth:`run` does where it is not check mode."""
        try:
            reason = {"migrated": self.migrate, "withdrawn": self.withdraw, "returned": self.give_up}[self.options["state"]]()
        except Stop as stop:
            stop = self.halt(stop) if self.options["state"] == "returned" else self.retreat(stop)
            self.say(f"{stop.verdict}: {stop.reason}")
            return {"failed": True, "changed": self.state.written, "verdict": stop.verdict, "reason": stop.reason, "msg": stop.reason,
                    "evidence": list(self.state.evidence), "diff": list(self.state.diff)}
        self.say(reason)
        verdict = "ROLLED BACK" if self.options["state"] == "returned" else "PROVEN" if self.routed else ""
        return {"changed": self.state.written, "verdict": verdict, "reason": reason, "evidence": list(self.state.evidence), "stack": self.state.stack,
                "unproven": self.unproven if verdict and self.options["state"] != "withdrawn" else [], "diff": list(self.state.diff)}

    @property
    def routed(self) -> bool:
        """Whether any route names the pools; without one there are no requests by which anything could be proven."""
        return any(pool["references"] for pool in self.options["plan"]["pools"])

    @property
    def timeouts(self) -> dict[str, int]:
        """Seconds after which v1alpha2 ends a request, by pool as evidence names it."""
        return {f"{pool['namespace']}/{pool['v1_name']}": pool.get("timeout_seconds") or 0 for pool in self.options["plan"]["pools"]}

    def preview(self) -> dict[str, Any]:
        """Return the first change of the routes, as check mode shows it."""
        first = {"migrated": {"state": "shifted", "share": self.options["steps"][0]}, "withdrawn": {"state": "finished"}, "returned": {"state": "restored"}}
        try:
            return self.change("shift_traffic", **first[self.options["state"]]) | {"verdict": None, "reason": "check mode: nothing was shifted"}
        except Stop as stop:
            return {"failed": True, "msg": stop.reason}

    def migrate(self) -> str:
        """Move the traffic to v1: baseline, probe routes, warm-up, then a gate before each step and after the last.

        :returns: the verdict's sentence. :raises Stop: where the shift must not go on.
        """
        steps = self.options["steps"]
        if not self.routed:
            return NOT_ROUTED
        at = self.baseline()
        if not at:  # else users are on v1 already, and a gate decides first whether they stay there
            self.require(self.state.unproven)
        if not self.state.shifting:
            self.streams.begin(before_a_change=True, variants=["user"])
        made = self.probe_routes("present")
        self.say(f"{len(made)} probe routes made; waiting until the gateway serves both stacks by them")
        self.settle("warm-up", ["alpha", "v1", "both", "user"], self.options["warm_seconds"], watched=True)
        self.streams.keep()
        self.streams.begin(past=max(self.timeouts.values(), default=0))
        self.gate(at, 0, TrafficSplit())
        self.passed(at)
        refused = unproven.of_refused(self.state.evidence, self.state.streaming, self.options["stream_seconds"], self.timeouts)
        self.require([*self.state.unproven, *refused])
        soak_until = 0.0
        for number, share in enumerate(steps, 1):
            if share < at:  # an earlier run was further: traffic is not taken back only to be given again
                continue
            if self.session.heed(ask=True) > LONG_PAUSE:
                self.say(f"after so long a pause v1 is proven anew at {self.state.passed} % first")
                self.settle("after the pause", ["alpha", "v1", "user"], self.options["warm_seconds"], watched=True)
                self.gate(self.state.passed, 0, TrafficSplit())
            self.keep(shifting=True)
            self.streams.begin(before_a_change=True)
            time.sleep(max(0.0, soak_until - time.monotonic()))
            written = self.write("shifted", share)["written"]
            self.say(f"step {number} of {len(steps)}: v1 gets {share} %")
            self.settle(f"{share} %", ["alpha", "v1", "user"], self.options["settle_seconds"], watched=True)
            soak_until = time.monotonic() + self.options["soak_seconds"]
            split = self.phases.traffic_split(self.state, share)
            self.require(unproven.of_split([split.measured]))
            self.gate(share, soak_until - (self.streams.lead if share < 100 else 0), split, written)
            self.passed(share)
        self.require(self.unproven)
        self.phases.prove(self.state)
        self.session.heed(ask=True)
        evidence = self.state.evidence
        proven = f"v1 proven at 100 % by {sum(gate['pairs'] for gate in evidence)} pairs in {len(evidence)} gates"
        return "; ".join(filter(None, [proven, unproven.sentence(self.unproven)]))

    def withdraw(self) -> str:
        """Take v1alpha2 out of the users' rules, and out of the gateway only when no request can be on its way there.

        Nothing here needs v1alpha2 or its probe routes: a run that was killed after they were gone goes on.

        :returns: the verdict's sentence. :raises Stop: where it must not go on.
        """
        if not self.routed:
            return NOT_ROUTED
        self.session.heed(ask=True)
        self.keep(passed=100, shifting=True, standing=(100,))
        for step in WITHDRAWAL:
            if step.does == "write":
                self.write(step.what[0])
                self.keep(baseline_known=True)
            elif step.does == "settle":
                self.say("v1alpha2 references are out of the routes; the probe route holds its backends until requests have ended")
                self.settle("routes finished", list(step.what), self.options["settle_seconds"])
            elif step.does == "drain":
                self.drain(*step.what)
            elif step.does == "gone":
                self.gone(list(step.what))
            else:
                self.probe_routes(step.does, *step.what)
        return "no gateway instance sends anything to v1alpha2 any more"

    def give_up(self) -> str:
        """Give all traffic back to v1alpha2 and remove the probe routes: the users' rules are as they were, and v1's requests have ended.

        It is noted in the journal first, so that a run which goes on where another was killed lets v1's requests end too, whatever the weights are by then.

        :returns: the verdict's sentence. :raises Stop: HELD where v1alpha2 does not answer, or somebody else wrote the routes.
        """
        self.session.heeding = False
        self.session.limit = inf  # a rollback may send probes whatever the way there was allowed
        found: dict[str, Any] = self.session.verify((), STRETCH, check="baseline") if self.routed else {}
        noted = self.session.execute("migration_journal", state="returning")["journal"] or {}
        # A journal of an earlier version does not say whether v1 ever had traffic.
        served = bool(found.get("serves_v1") or noted.get("shifted_since", True))
        if not self.routed:  # no route is left, or none ever was: no new request can come
            if served:
                self.wait("v1")
            self.probe_routes("absent")
            return GIVEN_BACK
        self.keep(baseline_known=True, standing=(found["shares"],), known=tuple(found["kinds"]), shifting=served,
                  pending_drain="v1" if served and not found["share"] else "")
        made = []
        if served:
            made = [name for step in HOLDING for name in self.probe_routes(step.does, *step.what)]
            self.say(f"v1alpha2 is asked by its probe routes before any weight is written; {len(made)} probe routes made")
        if ill := self.phases.alpha_is_ill(self.state, self.options["settle_seconds"] if made else PATIENCE):
            raise Stop("HELD", f"v1alpha2 does not answer ({ill}): see the pods of its endpoint picker and model servers")
        split = self.put_back(0, "the migration is rolled back")
        if self.probe_routes("absent") or served:
            self.gone(["alpha", "v1"])
        if served:  # a run that goes on from here has no v1 to look at any more
            self.session.execute("migration_journal", state="returned")
        left_out = [entry for entry in unproven.of_options((), self.options["tracers"], 0) if served and entry["kind"] == unproven.SHARE]
        self.keep(unproven=(*left_out, *unproven.of_split([split.measured])))
        ended = "all traffic is on v1alpha2 again, which answers, and v1's requests have ended" if served else "all traffic is on v1alpha2, which answers"
        return "; ".join(filter(None, [ended, "the routes are as they were before the migration", unproven.sentence(self.state.unproven)]))

    # -- the way back -----------------------------------------------------------------------------------------------

    def retreat(self, stop: Stop) -> Stop:
        """Take the traffic back: after HELD to the last share that passed, after FAILED to v1alpha2 alone.

        :returns: the stop to report: HELD, with what could not be done added, unless everything is back after FAILED.
        """
        back = self.state.passed if stop.verdict == "HELD" and stop.steered != "back" else 0
        self.session.heeding = False
        self.session.limit = inf  # the way back may send probes though the way there used up probe_limit
        self.session.load |= {"refused": 1.0} if self.session.load else {}  # nor is it slower because v1 refused
        try:
            text = self.leave_alone(stop) if stop.foreign else self.go_back(stop, back)
        except Stop as further:
            text = f"On the way back: {further.reason}"
            if further.foreign:
                self.keep(pending_drain=BOTH)
        left = self.clean_up() if self.state.baseline_known and (self.options["state"] == "migrated" or not text) else []
        if not text and not left and stop.verdict == "FAILED":
            return stop
        return Stop("HELD", ". ".join([stop.reason.rstrip("."), text or f"v1 has {back} % of the traffic", *left, self.remedy(stop)]))

    @staticmethod
    def remedy(stop: Stop) -> str:
        """Return how to go on after a stop."""
        return "The same command goes on from here, the playbook rollback gives the migration up" if stop.steered else GO_ON

    def leave_alone(self, stop: Stop) -> str:
        """Leave the traffic where another writer put it, and return a sentence that says so. Either stack may answer requests that it took from it."""
        self.say(f"stopped, {stop.reason}")
        self.keep(pending_drain=BOTH)
        return "Traffic stays where that writer put it"

    def go_back(self, stop: Stop, back: int) -> str:
        """Write the weights of an earlier share. Return why they stay as they are, or an empty text where they were written.

        Traffic goes only to a stack whose probes pass now: v1alpha2 is asked by the users' own rules while it alone serves them, else by its probe routes.

        :param back: in percent; 0 restores the users' rules.
        """
        if not self.state.baseline_known:
            return "Nothing was written, so weights are as they were"
        if stop.own and self.options["state"] == "withdrawn":
            return "v1 alone serves users, as was proven, and weights stay so"
        if stop.verdict == "HELD" and not stop.steered and self.options["on_held"] == "stay" and self.state.shifting:
            return "Weights stay as they are (on_held)"
        if ill := self.phases.alpha_is_ill(self.state):
            return f"v1alpha2 does not answer either ({ill}), so weights stay as they are"
        self.put_back(back, stop.reason)
        return ""

    def put_back(self, back: int, why: str) -> TrafficSplit:
        """Write the weights of an earlier share, wait until every gateway instance has taken them, let v1's requests end, and measure what v1 still serves.

        :param back: in percent; 0 restores the users' rules. :param why: for the line that says so.
        :returns: the measurement; an empty one where nothing had moved. :raises Stop: where any of it does not come about.
        """
        # Where v1 may have had traffic, a write that changes nothing may follow one whose answer got lost.
        moved = (self.write("shifted", back) if back else self.write("restored"))["changed"] or self.state.shifting
        self.keep(pending_drain="" if back else "v1" if moved else self.state.pending_drain)
        self.say(f"traffic is back at {back} % on v1: {why}")
        self.settle("way back", ["alpha", "user"] if self.state.shifting else ["user"], self.options["settle_seconds"])
        if moved and not back:
            self.probe_routes("absent", "both")
            self.drain("v1")
        # Last: it may raise Stop, and by then v1's requests have ended.
        return self.phases.traffic_split(self.state, back, watched=False) if moved else TrafficSplit()

    def halt(self, stop: Stop) -> Stop:
        """End a rollback that can't go on: weights stay as they are by now, and the probe routes go. :returns: HELD, with what was left added."""
        weights = (self.leave_alone(stop) if stop.foreign else "The routes are as they were before the migration" if self.state.standing == (0,)
                   else "Weights stay as they are")
        left = self.clean_up() if self.state.baseline_known else []
        return Stop("HELD", ". ".join([stop.reason.rstrip("."), weights, *left, GO_ON]))

    def clean_up(self) -> list[str]:
        """Remove the probe routes, on every ending; return a sentence on those that may be left, none where all are gone.

        No request is cut by it: while a rule is split, its own references hold both backends, also at weight 0, and a gateway takes changes in their
        order. In the middle of a withdrawal they do not, so :meth:`retreat` leaves the probe routes to the next run.
        """
        try:
            if side := self.state.pending_drain:  # the way back did not get so far: requests end before their probe routes go
                self.keep(standing=())  # where they stand is not asked here: somebody else may have written them
                if self.probe_routes("absent", "both"):
                    self.gone(["both"])
                self.wait(side)
            self.probe_routes("absent")
        except Stop as further:
            return [f"Probe routes may be left: {further.reason}"]
        return []

    # -- phases, and what is kept of them ---------------------------------------------------------------------------

    def baseline(self) -> int:
        """Take the baseline and return the share, in percent, at which the routes stand.

        :raises Stop: where v1 could not be compared with v1alpha2, or a route made since the plan sends to v1alpha2.
        """
        found = self.phases.baseline(self.state)
        known_now = unproven.of_options(found.streaming, self.options["tracers"], self.options["stream_seconds"])
        self.keep(known=found.kinds, shifting=found.serves_v1, baseline_known=True, standing=(found.shares,), stack=found.stack,
                  unproven=(*found.unproven, *known_now), streaming=found.streaming, passed=min(found.passed, found.share),
                  pending_drain="v1" if found.served and not found.share else "")
        if found.stop:
            raise found.stop
        if found.answers:
            self.session.execute("migration_journal", state="learnt", answers=found.answers)
            for model, names in found.answers.items():
                self.say(f"v1alpha2 answers requests for {model} as {', '.join(names)}; v1 may too")
        return found.share

    def passed(self, share: int) -> None:
        """Keep a share, in percent, that a gate has let through, in the journal too: a run that goes on takes no traffic back from it unless v1 fails."""
        self.keep(passed=share)
        if share:
            self.session.execute("migration_journal", state="passed", share=share)

    def settle(self, what: str, variants: list[str], seconds: int, check: str = "settled", watched: bool = False) -> None:
        """Wait until every gateway instance has taken the last change. :raises Stop: see :meth:`Phases.settle`."""
        self.keep(new_failures=self.phases.settle(self.state, what, variants, seconds, check, watched))

    def gate(self, share: int, soak_until: float, split: TrafficSplit, written: float | None = None) -> None:
        """Run a gate and keep its evidence. :raises Stop: where it does not let v1 through."""
        outcome = self.phases.gate(self.state, share, soak_until, split, written)
        self.keep(evidence=(*self.state.evidence, outcome.evidence), new_failures=())
        if outcome.stop:
            raise outcome.stop

    @property
    def unproven(self) -> list[Unproven]:
        """What the shift has not proven so far: what can't be asked, and what its gates did not measure."""
        evidence, state = self.state.evidence, self.state
        return [*state.unproven, *unproven.of_streams(evidence, state.streaming, self.options["stream_seconds"], self.timeouts),
                *unproven.of_split(evidence)]

    def require(self, found: Iterable[Unproven]) -> None:
        """Check that nothing is unproven that a person requires. :raises Stop: HELD, with what is."""
        wanted = [entry for entry in found if entry["kind"] in self.options["require"]]
        if wanted:
            raise Stop("HELD", f"{unproven.sentence(wanted)}, which is required")

    def drain(self, side: str) -> None:
        """Wait until the requests in flight to one stack have ended, counted from when every gateway instance has taken the change that took new ones from it.

        The probe routes of variant ``both`` were removed after that change: where their removal is seen, the change has been taken too.
        """
        self.gone(["both"])
        self.wait(side)

    def wait(self, side: str) -> None:
        """Wait as long as requests of one stack may take."""
        self.phases.wait(side)
        self.keep(pending_drain="")

    def gone(self, variants: list[str]) -> None:
        """Wait until probe routes that were removed are gone from traffic."""
        self.settle(f"probe routes removed ({', '.join(variants)})", variants, self.options["settle_seconds"], check="gone")

    def look(self) -> None:
        """Check that the routes stand where they must, while nothing else looks at them. :raises Stop: HELD where somebody else wrote them."""
        self.session.verify(self.state.standing, 1, check="settled", variants=["user"], rounds=1)

    # -- writes -----------------------------------------------------------------------------------------------------

    def change(self, module: str, **arguments: Any) -> dict[str, Any]:
        """Run a module that may write, note whether it did, and return its result. :raises Stop: with what the module says."""
        result = self.session.execute(module, **arguments)
        self.keep(written=self.state.written or bool(result.get("changed")))
        return result

    def probe_routes(self, state: str, *variants: str) -> list[str]:
        """Make (``present``) or remove (``absent``) the probe routes of some variants, of all where none is given; return the names of those written."""
        return self.change("migration_probe_routes", state=state, **({"variants": list(variants)} if variants else {})).get("routes", [])

    def write(self, state: str, share: int | None = None) -> dict[str, Any]:
        """Write the users' routes, which must stand where this run found or last put them, and return the module's result.

        :param state: of shift_traffic: ``shifted``, ``restored`` or ``finished``. :param share: in percent, for ``shifted``.
        :raises Stop: HELD where somebody else wrote them.
        """
        wanted = {"restored": 0, "finished": FINISHED}.get(state, share)
        # While a rule is split it holds v1's backends itself.
        self.keep(standing=(*self.state.standing, wanted), pending_drain="" if share else self.state.pending_drain)
        result = self.change("shift_traffic", state=state, standing=list(self.state.standing), **({} if share is None else {"share": share}))
        self.keep(standing=(wanted,), diff=(*self.state.diff, *(result.get("diff") or ())))
        return result
