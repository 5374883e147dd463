# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists what keeps a migration safe, each by a name under which the model can do without it."""

from __future__ import annotations

from typing import NamedTuple


class Guard(NamedTuple):
    """One guard.

    :param rule: of docs/protocol.md, several with commas. :param where: file of the product that holds it. :param says: what it demands.
    :param breaks: the invariants of which one is broken without it.
    """

    rule: str
    where: str
    says: str
    breaks: frozenset[str]


def _guard(rule: str, where: str, says: str, *breaks: str) -> Guard:
    return Guard(rule, where, says, frozenset(breaks))


GUARDS = {
    "look": _guard("11.1", "plugins/module_utils/cluster/api.py", "the Lease's holder is looked at before each write", "I6"),
    "bound": _guard("11.1", "plugins/module_utils/cluster/lease.py", "a write is sent within 5 s of that look or not at all", "I6"),
    "beat": _guard("11.1", "plugins/plugin_utils/lock.py", "a Lease is taken only when it was not renewed for its whole duration", "I6"),
    "left": _guard("11.1", "plugins/plugin_utils/lock.py", "a dead run's processes that are left on this machine are waited for", "I6"),
    "short": _guard("11.1", "roles/migration/tasks", "a task of another collection ends within the Lease's duration (an assumption)", "I6"),
    "version": _guard("9", "plugins/module_utils/routes/writer.py", "a route is written under the resourceVersion that was read", "I9"),
    "standing": _guard("11.4", "plugins/module_utils/verification/checks.py", "weights that are not the step's end the run HELD", "I10", "I4"),
    "warm": _guard("6.2, 8.2", "plugins/plugin_utils/phases.py", "v1 answers by its probe routes before users get it", "I1"),
    "answers": _guard("10.1", "plugins/plugin_utils/phases.py", "traffic goes back only to a v1alpha2 that answers now", "I1"),
    "shifted": _guard("12.1", "plugins/modules/shift_traffic.py", "v1alpha2 leaves routes only where a shift was proven and they stand at 100 %", "I4"),
    "retiring": _guard("11.2", "plugins/modules/shift_traffic.py", "the journal says that v1alpha2 goes before it goes", "I5", "I10"),
    "refused": _guard("13.1", "plugins/module_utils/cluster/journal.py", "a rollback is refused once v1alpha2 has begun to go", "I4", "I5"),
    "giving": _guard("11.2", "plugins/modules/shift_traffic.py", "the journal says that v1 gets traffic before it gets some", "I4", "I10"),
    "noted": _guard("11.2", "roles/migration/tasks", "a phase is noted when it is done", "I10"),
    "settled": _guard("12.4", "plugins/plugin_utils/controller.py", "a drain counts from when every gateway instance has taken the change", "I4"),
    "drain": _guard("12.3", "plugins/plugin_utils/controller.py", "requests in flight end before anything of their stack goes", "I4"),
    "holds": _guard("6.4", "plugins/plugin_utils/controller.py", "probe routes hold the backends of a stack until its drain is over", "I4"),
    "referred": _guard("13.3", "plugins/modules/migration_v1_objects.py", "nothing of v1 goes while a route names it", "I2", "I4"),
    "renewed": _guard("11.1", "plugins/module_utils/cluster/lease.py",
                      "whoever has not renewed the Lease for so long that another may take it does so before a write", "I6"),
    "waited": _guard("10.3", "plugins/plugin_utils/controller.py", "what a killed run took from v1 is waited for before an ending removes probe routes", "I4"),
    "followed": _guard("12.4", "plugins/plugin_utils/controller.py", "the wait of an ending counts from when every gateway instance took the change", "I4"),
    "begun": _guard("13.1", "plugins/modules/shift_traffic.py", "the journal goes on saying that v1alpha2 goes once something of it is deleted", "I5"),
}
"""Every guard that the model has, by its name there."""
