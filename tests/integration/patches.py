# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of the product by which tests switch a part of it off: file to (text, other text), as harness.patched takes them.

A unit test looks whether each text is still there, since most of these tests run in the whole tables alone.
"""

from __future__ import annotations

Patch = dict[str, list[tuple[str, str]]]

CONTROLLER, PHASES = "plugins/plugin_utils/controller.py", "plugins/plugin_utils/phases.py"
GATE, ANSWER_CHECKS = "plugins/module_utils/probing/gate.py", "plugins/module_utils/probing/answer_checks.py"
PROOF, CHECKS = "plugins/module_utils/verification/proof.py", "plugins/module_utils/verification/checks.py"
SHIFT_TRAFFIC = "plugins/modules/shift_traffic.py"

# -- stages of a shift --------------------------------------------------------------------------------------------------

MARK: Patch = {ANSWER_CHECKS: [("    if headers.get(MARK_HEADER) != probe.mark:\n", "    if False:\n")]}
WARM_UP: Patch = {CONTROLLER: [('self.settle("warm-up", ["alpha", "v1", "both", "user"], self.options["warm_seconds"], watched=True)\n', "pass\n")]}
SETTLING: Patch = {CHECKS: [("    status = statuses.faults(read(cluster, params), made) if found.done else []\n", "    status: list[str] = []\n")]}
"""Traffic alone is believed: no status is read, neither of the probe routes nor of users'."""
THE_GATE: Patch = {PHASES: [(
    '            if ended or (decision == "undecided" and now >= give_up):\n                break\n',
    "            ended, decision = True, 'accept'\n            break\n",
)]}
UNMARKED_PROBES: Patch = {
    CONTROLLER: [
        ('self.settle("warm-up", ["alpha", "v1", "both", "user"]', 'self.settle("warm-up", ["alpha", "v1", "both"]'),
        ('self.settle(f"{share} %", ["alpha", "v1", "user"]', 'self.settle(f"{share} %", ["alpha", "v1"]'),
    ],
    GATE: [
        ("user=judgement.user.add(classify(alpha_ok, user_ok), bounds)", "user=judgement.user"),
        ("fresh = () if user.ok or", "fresh = () if True or"),
        ('for who, answer in (("v1", v1), ("user", user)):', 'for who, answer in (("v1", v1),):'),
        ("live=_counted(judgement.live, name, user.ok)", "live=_counted(judgement.live, name, True)"),
    ],
}
DRAIN: Patch = {CONTROLLER: [
    ('            self.drain("v1")\n', "            pass\n"),
    ("                self.wait(side)\n", "                pass\n"),
]}

# -- the proof at the end of a phase ------------------------------------------------------------------------------------

WEIGHTS: Patch = {CHECKS: [("        if self.wanted is not None:\n            self.scope.demand(self.wanted)\n", "        pass\n")]}
ABSENT: Patch = {PROOF: [('    if phase != "shift":\n        found +=', '    if False:\n        found +=')]}
ANSWERS: Patch = {CHECKS: [("    if scope.targets:\n        load", "    if False:\n        load")]}
JOURNAL: Patch = {PROOF: [(
    '    if "shift" not in (record or {}).get("phases", ()):\n',
    '    return None\n    if "shift" not in (record or {}).get("phases", ()):\n',
)]}
OTHERS: Patch = {
    PROOF: [("    found = [*others(scope, phase)]\n", "    found = []\n")],
    SHIFT_TRAFFIC: [('    if found := list(proof.others(scope, "retire")):\n', "    if found := []:\n")],
}
EMPTY: Patch = {PROOF: [("            yield from cluster.list(collection_path(version, listing.plural))\n", "            yield from ()\n")]}
"""Not a part: the server's list of routes comes back empty, as one from a stale cache may."""
LISTED: Patch = {PROOF: [*EMPTY[PROOF], ("    for kind, namespace, name in sorted(set(moved) - seen):\n", "    for kind, namespace, name in ():\n")]}
