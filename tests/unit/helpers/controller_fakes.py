# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module executions that are played, and the pieces of work that a shift is made of, as they are written down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.plugin_utils import controller

Result = dict[str, Any]
EVIDENCE = {"successes": 38, "failures": 0, "inconclusive": 1, "ratio": -9.0}
JUDGED = {"pairs": EVIDENCE, "user": EVIDENCE, "targets": {"chat": 38}, "sent": 117, "new_failures": []}
GOOD_GATE = {"ok": True, "decision": "accept", "judgement": JUDGED, "faults": [], "sent": 117}
FOUND = {"HTTPRoute default/llm-route": 0}
LOOKING = ("verify_gateway", "migration_evidence")
BASELINE: Result = {"ok": True, "kinds": ["status 429"], "serves_v1": False, "served": False, "share": 0, "passed": 0}
BASELINE |= {"shares": FOUND, "others": [], "faults": [], "answers": {}, "sent": 20}
BASELINE |= {"stack": {"default/llama-ga": "as installed"}, "unproven": [], "streaming": [{"pool": "default/llama-ga", "what": "there"}]}
BASELINE |= {"targets": 4, "round_seconds": 0.1}
SHARE = {"ok": True, "faults": [], "unsure": [], "blind": [], "counted": ["rule 0: v1 answered 52 of 500 tracer requests"], "sent": 506}
SHARE |= {"undecided": [], "left": 0, "tally": {"rule 0": {}}}
WRONG_SHARE = SHARE | {"ok": False, "left": 1, "faults": ["rule 0: v1 answered 250 of 500 tracer requests"], "counted": []}
SHED = SHARE | {"ok": False, "left": 1, "unsure": ["rule 0: 400 of 500 tracer requests were answered 429"], "counted": []}
UNDECIDED = GOOD_GATE | {"ok": False, "decision": "undecided", "faults": ["v1: status 503 x2"]}
STREAM = {"what": "there", "opened": 50.0, "alpha": {"seconds": 35.0, "reason": None}, "v1": {"seconds": 35.0, "reason": None}}
STREAMS = {"ok": True, "faults": [], "streams": [STREAM], "sent": 2, "finished": True}
CUT_BY_V1 = STREAMS | {"ok": False, "faults": ["v1 cut a stream after 30 s"]}
REJECTED = UNDECIDED | {"decision": "reject", "judgement": GOOD_GATE["judgement"] | {"pairs": EVIDENCE | {"failures": 3}}}


class Clock:
    def __init__(self) -> None:
        self.now, self.slept = 1000.0, 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


class Played:
    """Plays the action plugin: writes down each piece of work as one word or two, and answers by script.

    ``answers``: (piece as it is written down, answer) in the order in which they are wanted; each is given once. Everything
    else goes well. A stretch that does not end well takes all its seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.done: list[str] = []
        self.times: list[float] = []
        self.calls: list[tuple[str, Result]] = []
        self.answers: list[tuple[str, Result]] = []
        self.share = 0
        self.steer: list[Result | None] = []
        """What a person asks for, at one look after the other."""

    def execute(self, module: str, arguments: Result, task_vars: Result) -> Result:
        name = self.name(module, arguments)
        if arguments.get("state") in ("kept", "passed"):  # time goes by, or a note is made, nothing else
            self.clock.sleep(arguments.get("seconds", 0))
            self.calls.append((module, arguments))
            return {"steer": self.steer.pop(0) if self.steer else None}
        self.note(name)
        self.calls.append((module, arguments))
        scripted = next((entry for entry in self.answers if entry[0] == name), None)
        if scripted:
            self.answers.remove(scripted)
        result = scripted[1] if scripted else self.good(module, arguments)
        self.clock.now += 1 if result.get("ok", True) else arguments.get("seconds", 5)
        return result

    def note(self, name: str) -> None:
        self.done.append(name)
        self.times.append(self.clock.now)

    def begin(self, module: str, arguments: Result, task_vars: Result, seconds: int) -> Result:
        self.note(f"begin {arguments['check']}")
        self.calls.append((module, arguments))
        return {"ansible_job_id": "j1"}

    def ended(self, job: str, task_vars: Result) -> Result:
        self.note("ended")
        scripted = next((entry for entry in self.answers if entry[0] == "ended"), None)
        if scripted:
            self.answers.remove(scripted)
        return scripted[1] if scripted else STREAMS

    @staticmethod
    def name(module: str, arguments: Result) -> str:
        if module in LOOKING:
            return " ".join(filter(None, [arguments["check"], "+".join(arguments.get("variants", []))]))
        extra = arguments.get("share", "+".join(arguments.get("variants", [])))
        return f"{arguments['state']} {extra}".strip()

    def good(self, module: str, arguments: Result) -> Result:
        if module == "migration_journal" and arguments["state"] == "returning":
            return {"changed": True, "journal": {"shifted_since": None}}
        if module not in LOOKING:
            untouched = arguments["state"] == "restored" and not any(piece.startswith(("shifted", "finished")) for piece in self.done)
            return {"changed": not untouched, "written": 60.0, "routes": ["HTTPRoute default/llm-route"]}
        special = {"gate": GOOD_GATE, "baseline": BASELINE, "traffic_split": SHARE, "phase_end": PROVEN}.get(arguments["check"])
        return special or {"ok": True, "clean": 5, "faults": [], "passing": {name: True for name in arguments.get("variants", [])}, "sent": 40} | UNHARMED


PROVEN = {"ok": True, "verdict": "PROVEN", "faults": [], "clean": 3, "sent": 6}
WATCH = "settled alpha+user"
END = "phase_end v1+user"
UNHARMED = {"judgement": {"user": {"decision": "accept"}, "new_failures": []}}
ALPHA_ILL = BASELINE | {"ok": False, "faults": ["alpha: status 500 x1", "more"]}


def unsettled(**passing: bool) -> Result:
    return {"ok": False, "clean": 0, "faults": ["v1: status 503 x9"], "passing": passing, "sent": 40} | UNHARMED


Start = Callable[..., tuple[Result, Played]]

WARM = "settled alpha+v1+both+user"
STEP = "settled alpha+v1+user"
CLEAN_UP = "absent"
START = ["baseline", "present", WARM, "gate"]
OPENED = ["baseline", "begin streams", "present", WARM, "ended"]
"""How it starts with long streams: the first ones by the users' own rules."""
BACK = ["baseline alpha", "restored", "settled alpha+user"]
UNTOUCHED = ["baseline user", "restored", "settled user"]
GO_ON = f". {controller.GO_ON}"
DRAINED = ["absent both", "gone both"]
