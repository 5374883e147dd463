# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module executions of a shift, one bounded piece of work each, and shows lines to the person who watches."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, Protocol

from ansible.utils.display import Display

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing import http_client
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.load import TWICE
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.long_streams import Background
from ansible_collections.inference_gateway.migration.plugins.plugin_utils.shift_state import Stop

STRETCH = 30
"""Seconds of one module execution at most: how often a long wait shows a line, and how long an execution may outlive its run (one that holds streams: until
they end)."""


PAUSED_SECONDS = 3
"""How often a paused run looks whether it may go on."""


class Executor(Background, Protocol):
    """Runs module executions for a shift; implemented by an action plugin."""

    def execute(self, module: str, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Run one module to its end and return its result."""


class Session:
    """Runs modules for one shift on one cluster, waits for a silent API server, and counts probes.

    :param options: those of module shift_traffic.
    """

    def __init__(self, action: Executor, options: dict[str, Any], task_vars: dict[str, Any]) -> None:
        self.action, self.options, self.task_vars = action, options, task_vars
        self.host = task_vars.get("inventory_hostname", "localhost")
        self.common = {name: options[name] for name in ("plan", "run", "state_namespace") if options[name] is not None}
        self.probing = {name: options[name] for name in http_client.argument_spec() if options[name] is not None}
        self.parent = os.getppid()
        self.sent, self.limit = 0, float(options["probe_limit"])
        self.load: dict[str, Any] = {}
        self.steered: dict[str, str] | None = None
        """What a person asks for now, see module migration_steer, as the last module execution has read it."""
        self.heeding = True
        """Whether it is done; not on the way back."""

    def say(self, text: str) -> None:
        """Show a line to the person who watches, with the host's name first."""
        Display().display(f"{self.host}: {text}")

    def execute(self, module: str, **arguments: Any) -> dict[str, Any]:
        """Run one module and return its result; while the API server, or the host on which modules run, does not answer, try again, with a line that says so.

        :raises Stop: with what the module says: HELD where somebody else wrote the routes or nothing answers, else FAILED.
        :raises SystemExit: where ansible-playbook was killed and this process of it was not: nobody would hear of anything that it did.
        """
        deadline = time.monotonic() + self.options["api_patience"]
        silent = False
        while True:
            if os.getppid() != self.parent:
                raise SystemExit(f"{self.host}: ansible-playbook was killed, so its shift goes no further.")
            result = self.action.execute(module, self.common | arguments, self.task_vars)
            if result.get("unreachable_api") and time.monotonic() < deadline:
                silent = True
                self.say(f"no answer; trying again for up to {deadline - time.monotonic():.0f} s more. {result['msg']}")
                time.sleep(1)
                continue
            if "steer" in result:
                self.steered = result["steer"]
            if silent and not result.get("failed"):
                self.say("there are answers again")
            if result.get("failed"):
                unsure = result.get("held") or result.get("unreachable_api")
                said = result.get("msg") or f"module {module} ended without a word: run again with -vvv to see its error"
                raise Stop("HELD" if unsure else "FAILED", said, bool(result.get("foreign")), own=True)
            return result

    def heed(self, ask: bool = False) -> float:
        """Do what a person asks for: wait while the migration is paused, and return for how many seconds that was.

        :param ask: whether to read it anew, before a write. :raises Stop: HELD where the run is asked to stop, or to take the traffic back.
        """
        if not self.heeding:
            return 0.0
        if ask:
            self.execute("migration_journal", state="kept", seconds=0)
        begun, said = time.monotonic(), False
        while self.steered:
            command, by = self.steered["command"], self.steered["by"]
            if command != "pause":
                words = {"stop": "stopped", "back": "taken back to v1alpha2"}[command]
                raise Stop("HELD", f"{words} as {by} asked", steered=command)
            if not said:
                said = True
                self.say(f"paused as {by} asked: weights stay as they are until the playbook steer says go_on, stop or back")
            self.execute("migration_journal", state="kept", seconds=PAUSED_SECONDS)
        if said:
            self.say(f"going on after {time.monotonic() - begun:.0f} s")
        return time.monotonic() - begun if said else 0.0

    def verify(self, standing: Sequence[Any], seconds: float, **arguments: Any) -> dict[str, Any]:
        """Run one check for one stretch, by migration_evidence or, at the end of a phase, by verify_gateway, and return its result.

        :param standing: the shares at which the routes may stand; demanded where it is one. :param seconds: cut to :data:`STRETCH`.
        :raises Stop: HELD once as many probes were sent as the shift may send.
        """
        if self.sent >= self.limit:
            raise Stop("HELD", f"{self.sent} probes were sent, which is as many as probe_limit allows: raise it, or ask for a gate that needs fewer")
        demanded = {"shares": standing[0]} if len(standing) == 1 else {}
        module = "verify_gateway" if arguments["check"] == "phase_end" else "migration_evidence"
        found = self.execute(module, seconds=max(1, int(min(seconds, STRETCH))), fail=False, load=self.load, **self.probing, **demanded, **arguments)
        self.sent += found["sent"]
        self._note_load(found.get("load") or self.load)
        return found

    def _note_load(self, load: dict[str, Any]) -> None:
        """Keep the load for the next execution, and say it where the model servers have become so slow that probing is slower, or are well again."""
        before, after = (float(entry.get("ratio", 1)) >= TWICE for entry in (self.load, load))
        if after and not before:
            self.say(f"model servers take {load['ratio']:.1f} times as long to the first byte as at the beginning: fewer probes are sent")
        elif before and not after:
            self.say("model servers are as fast as at the beginning again")
        self.load = load
