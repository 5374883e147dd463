# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load's accounting: what was sent, lost, cut and counted, and whether the gateways' access logs agree. Pure.

Times are seconds since the epoch, on one machine's clock. Nothing here rounds a loss away: every disagreement
between the clients' journals and the access logs is a problem, and a run with a problem is not a proof.
"""
from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Record:
    """One request that was sent. end and start in seconds since the epoch; reason is "" when ok.

    status 0 means that no complete answer came at all. done tells whether a stream ended with [DONE].
    """

    id: str
    source: str
    kind: str
    target: str
    rule: str
    start: float
    end: float
    status: int
    ok: bool
    reason: str = ""
    done: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the journal."""
        return asdict(self)


@dataclass(frozen=True)
class Write:
    """One change of a loaded route's spec: when it was first seen, and when the last gateway instance took it (None: never seen)."""

    route: str
    generation: int
    written: float
    converged: float | None = None


# A watch shows a write some milliseconds after it happened; a stream that began this close to it doesn't count as begun before.
WRITE_MARGIN = 0.5
# Seconds in which the senders' processes come up: the arrivals of this time may be missing.
START_SLACK = 1.0


def counted_streams(records: Iterable[Record], writes: Sequence[Write]) -> list[Record]:
    """Streams that began before a write to the route of their rule and ended after the last gateway instance took it.

    A cut stream that was open when the write came counts too: ending early must not take it out of the figure.
    """
    counted = []
    for record in records:
        if record.kind != "stream":
            continue
        for write in writes:
            if write.converged is None or not record.rule.startswith(write.route + "/"):
                continue
            spans = record.start < write.written - WRITE_MARGIN and (record.end > write.converged or (not record.done and record.end > write.written))
            if spans:
                counted.append(record)
                break
    return counted


def cross_check(records: Sequence[Record], access: Sequence[Mapping[str, Any]], run: str) -> list[str]:
    """Sentences about every disagreement between the journal and the access logs; [] when they agree.

    access lines count when their load_id begins with this run's name: each id must be there exactly once, with the
    client's status, and none may be there that no client sent.
    """
    seen: dict[str, list[int]] = defaultdict(list)
    for line in access:
        load_id = str(line.get("load_id") or "")
        if load_id.startswith(run + "-"):
            seen[load_id].append(int(line.get("status") or 0))
    sent = {record.id: record for record in records}
    problems: list[str] = []
    _add(problems, [key for key, count in Counter(record.id for record in records).items() if count > 1], "ids were journaled more than once")
    _add(problems, [key for key in sent if key not in seen], "requests are in no access log: they never reached a gateway, or a log line is lost")
    _add(problems, [key for key in seen if key not in sent], "ids in the access logs were sent by no client that reported them")
    _add(problems, [key for key, lines in seen.items() if len(lines) > 1], "ids are in the access logs more than once: something retried")
    different = [key for key, lines in seen.items() if key in sent and sent[key].status and lines != [sent[key].status] and len(lines) == 1]
    _add(problems, different, "requests have another status in the access log than the client saw")
    return problems


def _add(problems: list[str], ids: Sequence[str], sentence: str) -> None:
    if ids:
        problems.append(f"{len(ids)} {sentence} (such as {', '.join(sorted(ids)[:3])})")


def max_gap(records: Iterable[Record], begin: float, end: float) -> float:
    """The longest time in seconds without a good unary answer on one target, from begin to end of the load.

    By target, because an outage of one rule hides behind the others' answers.
    """
    ends: dict[str, list[float]] = defaultdict(list)
    for record in records:
        if record.kind == "unary":
            ends[record.target] += [record.end] if record.ok else []
    gaps = [0.0]
    for times in ends.values():
        points = [begin, *sorted(times), end]
        gaps += [after - before for before, after in zip(points, points[1:])]
    return max(gaps)


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; 0.0 of nothing."""
    if not values:
        return 0.0
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


def sent_by_source(records: Iterable[Record]) -> dict[str, int]:
    """Requests by sender."""
    return dict(sorted(Counter(record.source for record in records).items()))


def summarise(
    records: Sequence[Record], writes: Sequence[Write], access: Sequence[Mapping[str, Any]], run: str, begin: float, end: float, rate: float,
    problems: Sequence[str] = (), late: float = 0.0, before: Sequence[Record] = (),
) -> dict[str, Any]:
    """The figures of one load, as printed by `load stop`. requests and lost count streams too; cut is any stream without its [DONE].

    rate is the arrival rate that was asked for (1/s), late the longest time in seconds by which our own client began a request after its turn.
    before are the checks that were sent before the load began: they are in the access logs, but not in the figures.
    """
    found = list(problems) + cross_check([*before, *records], access, run)
    seconds = end - begin
    reached = len(records) / seconds if seconds > 0 else 0.0
    if len(records) < 0.95 * rate * (seconds - START_SLACK):
        found.append(f"only {reached:.1f} requests a second were sent of the {rate:.1f} that were asked for: the load was not open loop")
    unconverged = [write for write in writes if write.converged is None]
    if unconverged:
        found.append(f"{len(unconverged)} writes to loaded routes were never seen to be taken by every gateway instance")
    streams = [record for record in records if record.kind == "stream"]
    unary = [record.end - record.start for record in records if record.kind == "unary" and record.ok]
    return {
        "run": run,
        "requests": len(records),
        "lost": sum(not record.ok for record in records),
        "reasons": dict(Counter(record.reason for record in records if not record.ok).most_common()),
        "lost_by_rule": dict(sorted(Counter(record.rule for record in records if not record.ok).items())),
        "streams_sent": len(streams),
        "streams": len(counted_streams(records, writes)),
        "cut": sum(not record.done for record in streams),
        "writes": [asdict(write) for write in writes],
        "sent": sent_by_source(records),
        "sent_before": len(before),
        "logged": sum(str(line.get("load_id") or "").startswith(run + "-") for line in access),
        "seconds": round(seconds, 3),
        "rate": round(reached, 2),
        "max_gap_seconds": round(max_gap(records, begin, end), 3),
        "p50_seconds": round(percentile(unary, 0.50), 4),
        "p99_seconds": round(percentile(unary, 0.99), 4),
        "late_seconds": round(late, 3),
        "first": begin,
        "last": end,
        "problems": found,
        "ok": not found and bool(records) and all(record.ok for record in records),
    }
