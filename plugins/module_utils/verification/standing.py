# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says where a migration stands, by its journal and by the routes as they are. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NEVER = "no migration was begun"


def phase(record: Mapping[str, Any], share: int | None) -> str:
    """Return which phase a migration is in, or has ended in.

    :param share: percent of users' traffic on v1, None where no route stands at one of the migration's shares.
    """
    if record["status"] == "rolled back":
        return "rolled back"
    if record["status"] == "finished" or record.get("retiring_since"):
        return "retire"
    if record.get("returning_since"):
        return "rollback"
    if "shift" in record["phases"] or share or record.get("shifted_since"):
        return "shift"
    return "install" if record.get("begun", True) else "plan"


def share_of(shares: Sequence[int | None]) -> int | None:
    """Return the smallest share of several routes; None where one of them stands at none."""
    return None if None in shares else min((share for share in shares if share is not None), default=None)


def line(record: Mapping[str, Any] | None, share: int | None, holder: str, asked: str, gone: Sequence[str] = ()) -> str:
    """Return one line for a person: phase, share, verdict, who is at work, since when.

    :param share: as :func:`phase`. :param holder: who holds the Lease, in words; empty where nobody does. :param asked: what a person asks of that run.
    :param gone: routes of the plan that are not there any more.
    """
    if record is None:
        return f"{NEVER}; {holder}" if holder else NEVER
    last = record["entries"][-1] if record["entries"] else {"time": "", "event": ""}
    done = record["status"] != "open"
    told = record["verdict"] or ("no verdict" if done else "no verdict yet")
    parts = [
        f"phase {phase(record, share)}", "" if done else "traffic at none of its shares" if share is None else f"v1 has {share} % of users' traffic",
        f"gate passed at {record.get('passed') or 0} %" if not done and share else "",
        f"gone since the plan: {', '.join(gone)}" if gone else "", told,
        holder or "nobody at work", f"asked to {asked.replace('_', ' ')}" if asked else "", f"last: {last['event']} ({last['time']})",
    ]
    return "; ".join(filter(None, parts))
