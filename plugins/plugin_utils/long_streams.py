# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds long streams open beside a shift: begun before a weight changes, and looked at before the next one does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.long_streams import SLACK
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification.unproven import USUAL_TIMEOUT

STACKS = {"alpha": "v1alpha2", "v1": "v1"}
"""What people call each stack, by variant; both are asked by their probe routes."""
COPIES = 3
"""Streams of each stack that are held at once to look again at a cut by v1. Only if all agree does it stop a migration: one alone may be a pod's restart."""
OPENING = 2
"""Seconds by which a change of weights is put off so that streams are open before it: they start as quickly as the module that writes. The evidence says
whether they were (``spanned``); no verdict depends on it."""
LEAD = 5
"""Seconds before the end of a soak at which the streams of the next change are opened, the start of a module execution included; the soak is not shortened."""
LOOK = 10
"""Seconds between two looks at the routes while nothing but the ends of streams is waited for."""
PAST, LONGEST = 5, 600
"""Seconds for which streams are held past a time-out, and in all at most: a server seldom gives an answer that takes longer."""
GRACE = 30
"""Seconds for a module execution to start and to end its last requests."""


class Background(Protocol):
    """Runs module executions beside others; implemented by an action plugin."""

    def begin(self, module: str, arguments: dict[str, Any], task_vars: dict[str, Any], seconds: int) -> dict[str, Any]:
        """Start one, for ``seconds`` at most; return its ``ansible_job_id``, or the result of its failure."""

    def ended(self, job: str, task_vars: dict[str, Any]) -> dict[str, Any] | None:
        """Return its result, once; None while it runs."""


class Ending(NamedTuple):
    """What long streams showed.

    :param verdict: HELD or FAILED, None where nothing stands against going on. :param reason: one sentence. :param streams: comparisons, as plain data.
    :param spanned: whether all were open when weights were written. :param sent: requests.
    """

    verdict: str | None = None
    reason: str = ""
    streams: tuple[dict[str, Any], ...] = ()
    spanned: bool = False
    sent: int = 0


class LongStreams:
    """Holds the long streams of one shift, by one execution of migration_evidence at a time.

    :param arguments: of every execution. :param seconds: for which streams are held; 0 for none. :param say: shows a line.
    :param look: looks at the routes while the ends of streams are waited for.
    """

    def __init__(self, action: Background, arguments: dict[str, Any], task_vars: dict[str, Any], seconds: int, say: Callable[[str], None],
                 look: Callable[[], None]) -> None:
        self.action, self.arguments, self.task_vars, self.seconds, self.say, self.look = action, arguments, task_vars, seconds, say, look
        self.begun: dict[str, Any] | None = None
        self.until = 0.0
        self.while_marking: tuple[dict[str, Any], ...] = ()
        """Streams through the users' own rules, all v1alpha2's then, that were open while the probe routes were made."""
        self.sent = 0
        """Requests that :meth:`keep` has seen and no :class:`Ending` has counted yet."""
        self.usual: dict[tuple[str, str], float] = {}
        """Seconds for which a stack keeps a stream while nothing changes, by (variant, target as text); not every target is asked each time."""

    @property
    def lead(self) -> int:
        """Seconds before a change at which :meth:`begin` is to be called, so that the streams open before it; 0 without streams."""
        return LEAD if self.seconds else 0

    def over(self) -> bool:
        """Tell whether streams were begun whose time is up, so that :meth:`end` need not wait."""
        return self.begun is not None and time.monotonic() >= self.until

    def begin(self, copies: int = 1, before_a_change: bool = False, variants: Iterable[str] = tuple(STACKS), past: int = 0) -> None:
        """Open long streams, which go on while other work is done.

        :param copies: streams at once for each target and variant. :param before_a_change: whether routes are changed as soon as this returns.
        :param past: a time-out in seconds that v1 must have as well: where it is longer than a gateway's own, streams are held until it is over.
        """
        if self.seconds:
            seconds = max(self.seconds, min(past + PAST, LONGEST) if past > USUAL_TIMEOUT else 0)
            arguments = self.arguments | {"check": "streams", "variants": list(variants), "seconds": seconds, "copies": copies, "fail": False}
            self.begun = self.action.begin("migration_evidence", arguments, self.task_vars, seconds + GRACE)
            self.until = time.monotonic() + seconds
            time.sleep(OPENING if before_a_change else 0)

    def keep(self) -> None:
        """Wait for the ends of streams through the users' own rules, and keep what they showed.

        :meth:`end` judges them when it knows for how long streams are kept while nothing changes.
        """
        found = self._found() or {}
        if found.get("failed"):
            self.say(f"streams: none over the making of the probe routes: {found.get('msg')}")
        self.while_marking, self.sent = tuple(found.get("streams", ())), found.get("sent", 0)

    def end(self, written: float | None) -> Ending:
        """Wait for the ends of the streams that were begun, and judge them.

        FAILED where v1 cuts what v1alpha2 keeps, and :data:`COPIES` more of each say the same. HELD where a stream ended sooner than while nothing changed, or
        where none could be held.

        :param written: when weights were changed meanwhile, in seconds since the epoch on the host of the modules; None where they were not.
        """
        found = self._found()
        if found is None:
            return Ending()
        if found.get("unreachable_api"):  # the change is over, but what v1 cuts without one can still be seen
            self.say(f"streams: none could be held, opening them now: {found.get('msg')}")
            self.begin()
            found, written = self._found() or {"failed": True}, None
        if found.get("failed"):
            return self._impossible(found)
        streams, sent, self.sent = tuple(found["streams"]), found["sent"] + self.sent, 0
        if found["faults"]:
            self.say(f"streams: {found['faults'][0]}; looking again with {COPIES} of each")
            self.begin(COPIES)
            again = self._found() or {}
            sent += again.get("sent", 0)
            if again.get("failed") or "streams" not in again:  # the cut can't be looked at again, so it may be v1's
                return self._impossible(again)
            if again["faults"]:
                return Ending("FAILED", again["faults"][0], tuple(again["streams"]), False, sent)
        if written is None:
            self.usual = {(who, one["what"]): one[who]["seconds"] if one[who]["reason"] else self.seconds for one in streams for who in STACKS}
        over, changed = (self.while_marking, "routes") if written is None else (streams, "weights")
        if early := self._early(over, changed):
            return Ending("HELD", f"{early[0]}: the gateway may cut users' streams at every change", over, True, sent)
        spanned = written is not None and bool(streams) and all(0 < one["opened"] <= written for one in streams)
        return Ending(None, self._line(streams, spanned, found.get("left_out", 0)), streams, spanned, sent)

    def _found(self) -> dict[str, Any] | None:
        """Wait for the streams that were begun and return the module's result, or None where none were begun."""
        begun, self.begun = self.begun, None
        if begun is None:
            return None
        if begun.get("failed") or "ansible_job_id" not in begun:
            return {"failed": True, "msg": begun.get("msg", "no job was made")}
        while (found := self.action.ended(begun["ansible_job_id"], self.task_vars)) is None:
            left = self.until - time.monotonic()
            if left < -GRACE:
                return {"failed": True, "msg": f"they did not end {GRACE} s after their time"}
            self._wait(max(1.0, left))
        return found

    def _wait(self, seconds: float) -> None:
        """Sleep, with a look at the routes now and then."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > LOOK:
            time.sleep(LOOK)
            self.look()
        time.sleep(max(0.0, left))

    def _early(self, streams: tuple[dict[str, Any], ...], changed: str) -> list[str]:
        """Streams that ended sooner than while nothing changed. One that never began (a 429 for instance) was not cut by a change.

        :param changed: what changed while they were open.
        """
        asked = [(one, who, "v1" if who == "v1" else "alpha") for one in streams for who in ("user", *STACKS) if who in one]
        return [
            f"a stream of {STACKS[stack]} ended after {one[who]['seconds']:.0f} s ({one[who]['reason']}) when {changed} changed, and not before ({one['what']})"
            for one, who, stack in asked
            if one[who]["reason"] and 0 < one[who]["seconds"] < self.usual.get((stack, one["what"]), 0.0) - SLACK
        ]

    @staticmethod
    def _impossible(found: dict[str, Any]) -> Ending:
        return Ending("HELD", f"long streams can't be held: {found.get('msg')}. stream_seconds 0 goes on without them")

    @staticmethod
    def _line(streams: tuple[dict[str, Any], ...], spanned: bool, left_out: int) -> str:
        """Return the line for a person, where nothing stands against going on."""
        if not streams:
            return "no endpoint has them"
        least = {who: min(one[who]["seconds"] for one in streams) for who in STACKS}
        ended = {who: any(one[who]["reason"] for one in streams) for who in least}
        change = ", over the change of weights" if spanned else ""
        chosen = f" ({len(streams)} of {len(streams) + left_out} references and addresses, chosen anew each time)" if left_out else ""
        if all(ended.values()) and min(least.values()) > 0 and abs(least["v1"] - least["alpha"]) <= SLACK:
            kept = f"both stacks end streams after {least['v1']:.0f} s, so nothing changes for users"
        else:
            kept = ", ".join(f"{name} {'ended one after' if ended[who] else 'kept all open for'} {least[who]:.0f} s" for who, name in STACKS.items())
        return f"{kept}{change}{chosen}"
