# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes one run of a campaign on a sandbox: a snapshot, load, a playbook that is disturbed, what follows, and the judgement."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from igw_sandbox import load
from igw_sandbox.load_writes import read_lines
from igw_sandbox.world import World
from tests.campaign import disturbances, invariants
from tests.campaign.evidence import Evidence, Manifest, Play, Request, State
from tests.campaign.observer import Observer, ObserverError
from tests.campaign.sample import AT_A_MOMENT, FAULTS, PARTS, Case
from tests.e2e.product import COLLECTION, ZERO_DOWNTIME, PlaybookRun
from tests.integration.harness import QUICK, journalled_plan, users_routes

TARGET = "v1.5.0"
ROLLBACK = f"{COLLECTION}.rollback"
OPTIONS = QUICK | {"migration_drain_seconds": 5, "migration_gate": {"p1": 0.5}}
"""A gate of a dozen comparisons: it is not what is tried here."""
PHASES: dict[str, list[str]] = {"install": ["plan", "install"], "shift": ["shift"], "retire": ["retire"]}
"""Phase of a run to what its command has in migration_phases."""
LOAD = load.Options(rate=10, streams=0.5, stream_seconds=(6.0, 8.0), log_seconds=10)
PLAY_SECONDS = 600.0
"""A playbook that lasts longer is ended, and the run is broken."""
SUCCEEDS = 0
AT_WORK_SECONDS = 5.0
"""So much later, at most, a command after a kill does its first write."""


@dataclass
class Outcome:
    """One row of the record."""

    case: str
    phase: str
    method: str
    path: str
    after: int
    fault: str
    then: str
    fired: int = 0
    plays: list[dict[str, Any]] = field(default_factory=list)
    load: dict[str, Any] = field(default_factory=dict)
    states: int = 0
    calls: int = 0
    writes: int = 0
    violations: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    reset_seconds: float = 0.0
    seconds: float = 0.0


class Undisturbed(NamedTuple):
    """Seconds that a phase takes, and those from its command's start to its first write."""

    seconds: float
    to_first_write: float


class Runner:
    """Makes runs on one sandbox.

    :param folder: where logs of playbooks go; a folder for each run.
    :param snapshots: phase to the snapshot of its beginning.
    :param baseline: all watched objects before the migration.
    """

    def __init__(self, world: World, collections: Path, folder: Path, snapshots: Mapping[str, Path], baseline: Sequence[Manifest]) -> None:
        self.world, self.collections, self.folder = world, collections, folder
        self.snapshots, self.baseline = snapshots, baseline
        self.undisturbed: dict[str, Undisturbed] = {}
        """Phase to what it takes where nobody disturbs it."""
        self._number = 0

    def run(self, case: Case) -> Outcome:
        """Make one run and judge it."""
        began = time.monotonic()
        request = case.request
        outcome = Outcome(case.name, case.phase, request.method if request else "", request.path if request else "", case.after, case.fault, case.then)
        self.world.restore(self.snapshots[case.phase])
        outcome.reset_seconds = round(time.monotonic() - began, 1)
        with self.observed(outcome) as watching:
            self._disturbed(case, outcome, watching)
            if case.then == "rollback":
                self.end_well(outcome, watching.play("rollback", ROLLBACK, {"migration_remove_v1": True}))
            else:
                self.end_well(outcome, watching.play("again", ZERO_DOWNTIME, {"migration_phases": PHASES[case.phase]}))
            if case.fault == AT_A_MOMENT:
                self.was_soon_at_work(case, outcome, watching)
            if case.then == "again" and case.phase == "retire":
                self.end_well(outcome, watching.play("rerun", ZERO_DOWNTIME, {"migration_phases": PHASES[case.phase]}))
        outcome.seconds = round(time.monotonic() - began, 1)
        return outcome

    def _disturbed(self, case: Case, outcome: Outcome, watching: Watching) -> None:
        """Run the playbook and disturb it as the case says."""
        if case.fault == AT_A_MOMENT:
            self._killed_at_a_moment(case, outcome, watching)
        elif case.request is None:
            self._disturbed_at_a_line(case, outcome, watching)
        else:
            self._disturbed_at_a_request(case, outcome, watching)
        self.world.proxy("/faults/clear", {})
        if not outcome.fired:
            outcome.broken.append("the fault did not fire")

    def _disturbed_at_a_line(self, case: Case, outcome: Outcome, watching: Watching) -> None:
        def show(line: str) -> None:
            if disturbances.MOMENT in line and not outcome.fired:
                outcome.fired = 1
                disturbances.KINDS[case.fault](self.world, watching)

        watching.play("fault", ZERO_DOWNTIME, {"migration_phases": PHASES[case.phase]}, show=show)
        disturbances.undo(self.world)

    def _killed_at_a_moment(self, case: Case, outcome: Outcome, watching: Watching) -> None:
        """Kill the playbook with all that it has started. A phase takes a little longer or shorter each time, so its last part is left out."""
        killers: list[threading.Timer] = []

        def begun(pid: int) -> None:
            killers.append(threading.Timer(self.undisturbed[case.phase].seconds * 0.9 * case.after / PARTS, os.killpg, (pid, signal.SIGKILL)))
            killers[0].start()

        play = watching.play("fault", ZERO_DOWNTIME, {"migration_phases": PHASES[case.phase]}, begun=begun)
        killers[0].cancel()
        outcome.fired = int(play.status == -signal.SIGKILL)
        watching.note_last_death()

    def _disturbed_at_a_request(self, case: Case, outcome: Outcome, watching: Watching) -> None:
        assert case.request is not None
        match: dict[str, Any] = {"method": case.request.method, "path_regex": case.request.pattern, "user": watching.next_user()}
        if case.request.write:
            match["write"] = True
        arguments = dict(FAULTS[case.request.write][case.fault])

        def begun(pid: int) -> None:
            killing = {"pid": pid} if arguments["kind"] == "kill" else {}
            self.world.fault(**arguments, **killing, after=case.after, match=match)

        watching.play("fault", ZERO_DOWNTIME, {"migration_phases": PHASES[case.phase]}, begun=begun)
        if arguments["kind"] == "kill" and not arguments["group"]:
            # At once, so that it meets the orphan: it may refuse, or wait, or take over, but not write beside it.
            watching.play("second", ZERO_DOWNTIME, {"migration_phases": PHASES[case.phase]})
            watching.wait_for_orphans()
        outcome.fired = sum(fault["fired"] for fault in self.world.proxy("/faults"))

    def was_soon_at_work(self, case: Case, outcome: Outcome, watching: Watching) -> None:
        """Note it where the command after a kill was late with its first write.

        It is due when an undisturbed command would have written, and not before the last process of the killed run has ended.
        """
        killed, after = watching.plays[-2:]
        due = max(after.begin + self.undisturbed[case.phase].to_first_write, killed.end + watching.last_death())
        late = after.begin + outcome.plays[-1]["to_first_write"] - due
        if late > AT_WORK_SECONDS:
            outcome.broken.append(f"at work {late:.1f} s later than an undisturbed command would be, and than the last process of the killed run ended")

    def end_well(self, outcome: Outcome, play: Play) -> None:
        """Note it where the run that has to make all good does not."""
        if play.status != SUCCEEDS:
            outcome.broken.append(f"the run '{play.what}' ended with status {play.status}: {play.verdict}: {outcome.plays[-1]['reason']}")

    @contextmanager
    def observed(self, outcome: Outcome) -> Iterator[Watching]:
        """Load and observe what happens in the block, and judge it at its end."""
        self._number += 1
        watching = Watching(self, outcome, self.folder / f"run-{self._number:04}")
        watching.start()
        try:
            yield watching
        finally:
            watching.end()


class Watching:
    """What is seen of one run."""

    def __init__(self, runner: Runner, outcome: Outcome, folder: Path) -> None:
        self.world, self.outcome, self.folder = runner.world, outcome, folder
        self.edits: set[int] = set()
        self.broken: set[tuple[str, str]] = set()
        self._runner = runner
        self.plays: list[Play] = []
        self._looking: threading.Thread
        self._observer = Observer(self.world.direct_kubeconfig)
        self._log = self.world.directory / "api-requests.jsonl"
        self._skip = 0

    def start(self) -> None:
        """Begin to load and to watch."""
        self.folder.mkdir(parents=True)
        self._skip = len(read_lines(self._log))
        load.start(self.world.directory, load.Options(**{**vars(LOAD), "routes": users_routes(self.world)}))
        try:
            self._observer.start()
        except ObserverError:
            load.kill(self.world.directory)
            raise

    @property
    def user(self) -> str:
        """Who asks for the play that runs."""
        return self.next_user()

    def edited(self, manifest: Manifest) -> None:
        """Note a version that somebody else than the migration has written."""
        self.edits.add(int(manifest["metadata"]["resourceVersion"]))

    def next_user(self) -> str:
        """Return who will ask for the next play."""
        return f"client-{len(self.plays) + 1}"

    def play(self, what: str, playbook: str, extra: dict[str, Any], begun: Callable[[int], None] = lambda pid: None,
             show: Callable[[str], None] = lambda line: None, arguments: tuple[str, ...] = ()) -> Play:
        """Run a playbook as the next administrator and keep how it ended."""
        user = self.next_user()
        folder = self.folder / f"{len(self.plays) + 1}-{what}"
        said = OPTIONS | {"migration_kubeconfig": str(self.world.client_kubeconfig(user))} | extra
        job = PlaybookRun(self.world, folder, self._runner.collections, TARGET, playbook, said, arguments)
        late = threading.Timer(PLAY_SECONDS, self._too_long, (job, what))
        begin = time.time()
        late.start()
        try:
            status = job.run(show, begun)
        finally:
            late.cancel()
        report = job.report()
        if status == SUCCEEDS and report["verdict"] == "FAILED":  # a report without a verdict: phases alone may have none
            report["verdict"] = "done"
        play = Play(user, what, status, report["verdict"], begin, time.time())
        self.plays.append(play)
        self.outcome.plays.append({"what": what, "status": status, "verdict": report["verdict"], "reason": report["reason"].replace(f"{folder}/", "")[:600],
                                   "seconds": round(play.end - begin, 1), "to_first_write": self._to_first_write(play)})
        return play

    def _to_first_write(self, play: Play) -> float:
        """Return the seconds from a play's start to its first write; those that it lasted where there is none."""
        calls = read_lines(self._log)[self._skip:]
        return round(min((call["time"] for call in calls if call["user"] == play.user and call["write"]), default=play.end) - play.begin, 1)

    def _too_long(self, job: PlaybookRun, what: str) -> None:
        self.outcome.broken.append(f"the run '{what}' did not end within {PLAY_SECONDS:.0f} s")
        job.end()

    def orphans(self, play: str = "") -> list[int]:
        """Return the processes that this run's playbooks, or one of them, have started and that still live, whoever their parent is now."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, ValueError):
                if f"ANSIBLE_HOME={self.folder}/{play}".encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
        return found

    def wait_for_orphans(self, play: str = "", seconds: float = 60.0) -> None:
        """Wait until no process of a killed playbook is left, and note with the newest play how long that took.

        :param play: as :meth:`orphans`.
        """
        killed, began = self.outcome.plays[-1], time.monotonic()
        while self.orphans(play) and time.monotonic() - began < seconds:
            time.sleep(0.1)
        killed["orphan_seconds"] = round(time.monotonic() - began, 1)
        if self.orphans(play):
            self.outcome.broken.append(f"what a killed playbook had started was still there {seconds:.0f} s later")
            self._end_orphans(play)

    def note_last_death(self) -> None:
        """Begin to look when the last process of the play that was just killed ends, while the next one goes on."""
        name = f"{len(self.plays)}-{self.plays[-1].what}/"
        self._looking = threading.Thread(target=self.wait_for_orphans, args=(name,), daemon=True)
        self._looking.start()

    def last_death(self) -> float:
        """Return how many seconds processes of the play that was killed have outlived it."""
        self._looking.join()
        return self.outcome.plays[-2]["orphan_seconds"]

    def _end_orphans(self, play: str = "") -> None:
        for pid in self.orphans(play):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        """End load and watch, and judge."""
        self._end_orphans()
        self.world.proxy("/faults/clear", {})
        summary = load.stop(self.world.directory)
        self.outcome.load = {name: summary[name] for name in ("requests", "lost", "cut", "reasons", "problems")}
        self.outcome.broken += summary["problems"]
        try:
            history = self._observer.stop()
        except ObserverError as error:
            self.outcome.broken.append(f"not observed whole: {error}")
            return
        evidence = self._evidence(history)
        self.outcome.states, self.outcome.calls = len(history), len(evidence.calls)
        self.outcome.writes = sum(1 for call in evidence.calls if call["write"])
        self.outcome.violations = [f"{violation.invariant}: {violation.sentence}" for violation in invariants.check(evidence)]
        if self.outcome.violations:
            save_evidence(self.folder / "evidence.json", evidence)

    def _evidence(self, history: list[State]) -> Evidence:
        folder = load.current(self.world.directory)
        requests = [Request(line["rule"], line["start"], line["end"]) for line in read_lines(folder / "requests.jsonl")] if folder else []
        plan = journalled_plan(self.world)
        return Evidence(self._runner.baseline or self._observer.before, self._observer.before, history, read_lines(self._log)[self._skip:], self.plays, plan,
                        requests, frozenset(self.edits), frozenset(self.broken))

    def observed_now(self) -> tuple[list[Manifest], list[dict[str, Any]]]:
        """Return what was there when the run began, and the proxy's log since."""
        return self._observer.before, read_lines(self._log)[self._skip:]


def save_evidence(path: Path, evidence: Evidence) -> None:
    """Keep what a run was judged by, for a look at a violation."""
    path.write_text(json.dumps({"before": evidence.before, "history": evidence.history, "calls": evidence.calls, "plays": evidence.plays,
                                "plan": evidence.plan}, indent=1) + "\n")
