# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench-gate`: how soon a bad v1 is caught and how often one is promoted, by this collection's gate and by Flagger's rule.

Simulated, with the gate's own code, on a v1 stack that fails a fixed share of requests by chance, and on one that fails half of them at one target of many;
and the traffic split, on rules that serve what their weights say, and that leak half of it.
The last line is for machines:
bench-gate: mean_pairs=X false_promotions=X peer_mean=X peer_false_promotions=X.
"""
from __future__ import annotations

import argparse
import random
import sys
from math import exp, lgamma, log
from statistics import mean
from typing import NamedTuple

from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.sprt import Bounds, Evidence

from benchmarks import one_bad_target, one_wrong_share, raw

CAUGHT, PROMOTED = 0.05, 0.02
"""Shares of failing requests: the one whose catching is timed, and the one that must not be promoted."""
HALF, TARGETS = 0.5, (1, 10, 120, 240)
"""What one target alone fails, and of how many it is one."""
SHARES, GROUPS = (0.1, 0.5, 1.0), (1, 100)
"""Steps of a migration, and how many rules at Gateway addresses it has, for the traffic split."""
PAIRS_A_SECOND = 20
"""What probe_rate 60 gives: a pair is two marked probes and one by the users' own rule."""
ENOUGH = 0.99
"""Flagger's request-success-rate in its documentation."""


def arguments() -> argparse.Namespace:
    """The command line; all of it is recorded with the results."""
    parser = argparse.ArgumentParser(description="The gate's statistics against Flagger's rule.")
    parser.add_argument("--runs", type=int, default=100_000, help="migrations simulated at each share (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=5, help="steps of a migration (default: %(default)s)")
    parser.add_argument("--target-runs", type=int, default=4000, help="migrations simulated for each number of targets (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=20261126, help="of the simulation (default: %(default)s)")
    return parser.parse_args()


def gate(bounds: Bounds, share: float, rng: random.Random) -> tuple[bool, int]:
    """One gate with a v1 that fails ``share`` of pairs while alpha and the users' rule are well: whether it accepts, and after how many pairs."""
    evidence, pairs = Evidence(), 0
    while evidence.decision == "undecided":
        evidence = evidence.add("failure" if rng.random() < share else "success", bounds)
        pairs += 1
    return evidence.decision == "accept", pairs


def ours(options: argparse.Namespace) -> dict[str, float]:
    """Pairs until a stack is rejected at the first gate it meets, and migrations in which any gate lets one through."""
    bounds, rng = Bounds(gates=options.steps + 1), random.Random(options.seed)
    caught = [gate(bounds, CAUGHT, rng) for _run in range(options.runs)]
    # A stack that is rejected meets no further gate, so the first one that accepts it has promoted it.
    promoted = sum(gate(bounds, PROMOTED, rng)[0] for _run in range(options.runs))
    return {
        "mean_pairs": sum(pairs for _accepted, pairs in caught) / options.runs,
        "longest": max(pairs for _accepted, pairs in caught),
        "missed_at_caught": sum(accepted for accepted, _pairs in caught) / options.runs,
        "false_promotions": promoted / options.runs,
        "bound": bounds.false_promotion,
        "clean_pairs": bounds.clean_pairs,
    }


def one_bad(options: argparse.Namespace, count: int) -> dict[str, float]:
    """Migrations of so many targets, of which one fails half the time by v1 or by the users' rule; and a twentieth as many in which all fail as p0 allows."""
    bounds, asked = Bounds(gates=options.steps + 1), one_bad_target.comparisons(count)
    random.seed(options.seed)
    bad = [one_bad_target.migration(asked, bounds, HALF, who) for who in ("v1", "user") for _run in range(options.target_runs // 2)]
    good = [one_bad_target.migration(asked, bounds, bounds.p0, "v1", bounds.p0) for _run in range(options.target_runs // 20)]
    clean = one_bad_target.migration(asked, bounds, 0.0, "v1")
    return {
        "targets": count,
        "promoted": sum(ended.promoted for ended in bad) / len(bad),
        "mean_comparisons": sum(ended.comparisons for ended in bad) / len(bad),
        "rolled_back": sum(ended.rejected for ended in good) / len(good),
        "good_comparisons": sum(ended.comparisons for ended in good) / len(good),
        "clean_comparisons": clean.comparisons,
    }


def split(options: argparse.Namespace, groups: int) -> list[dict[str, float]]:
    """At each default step, of one group among so many: what its traffic split needs, how often it is doubted, and how often one that leaks half passes."""
    rng, found = random.Random(options.seed), []
    for share in SHARES:
        wanted, half = one_wrong_share.expected(share), one_wrong_share.expected(share / 2)
        well = [one_wrong_share.measured(groups, wanted, wanted, rng) for _run in range(options.target_runs // 4)]
        leaks = [one_wrong_share.measured(groups, wanted, half, rng).outcome for _run in range(options.target_runs // 4)]
        found.append({
            "groups": groups, "share": share, "tracers": mean(tally.sent for tally in well), "longest": max(tally.sent for tally in well),
            "doubted": sum(tally.outcome == "wrong" for tally in well) / len(well), "passed": leaks.count("right") / len(leaks),
        })
    return found


class Rule(NamedTuple):
    """Flagger's: every ``interval`` seconds the success rate since the last check; ``threshold`` failed checks roll back, a good one advances."""

    interval: int
    threshold: int


def chance(count: int, sent: int, share: float) -> float:
    """Binomial probability of a count. By logarithms: the number of ways alone leaves the range of floats from about 1,000 sent on."""
    ways = lgamma(sent + 1) - lgamma(count + 1) - lgamma(sent - count + 1)
    return exp(ways + count * log(share) + (sent - count) * log(1 - share))


def passing(rule: Rule, share: float) -> float:
    """Probability that one check passes."""
    sent = rule.interval * PAIRS_A_SECOND
    allowed = round(sent * (1 - ENOUGH))
    return sum(chance(failed, sent, share) for failed in range(allowed + 1))


def judged(rule: Rule) -> dict[str, float]:
    """Exact: v1's requests until it is rolled back, and how often a check lets it through before that."""
    fails = 1 - passing(rule, CAUGHT)
    return {
        "interval": rule.interval,
        "threshold": rule.threshold,
        "mean": rule.threshold / fails * rule.interval * PAIRS_A_SECOND,
        "false_promotions": 1 - (1 - passing(rule, PROMOTED)) ** rule.threshold,
    }


def peer(bound: float) -> tuple[dict[str, float], list[dict[str, float]]]:
    """The rule at its best: the quickest that promotes no more often than ours may, else the one that promotes least; and all that were tried."""
    tried = [judged(Rule(interval, threshold)) for interval in (10, 15, 20, 30, 45, 60, 90, 120, 180, 300) for threshold in (1, 2, 5, 10)]
    fine = [entry for entry in tried if entry["false_promotions"] <= bound]
    return min(fine, key=lambda entry: entry["mean"]) if fine else min(tried, key=lambda entry: entry["false_promotions"]), tried


def main() -> int:
    """0 when the gate keeps what it promises."""
    options = arguments()
    mine = ours(options)
    best, tried = peer(mine["bound"])
    alone = [one_bad(options, count) for count in TARGETS]
    splits = [entry for groups in GROUPS for entry in split(options, groups)]
    written = raw.write("gate", vars(options), ours=mine, peer=best, peers_tried=tried, one_bad_target=alone, traffic_split=splits)
    print(f"ours: {mine['mean_pairs']:.1f} pairs on average to catch {CAUGHT:.0%} errors (longest {mine['longest']:.0f}); of {options.runs} migrations at "
          f"{PROMOTED:.0%} a gate accepted {mine['false_promotions']:.5f} (bound {mine['bound']})")
    print(f"Flagger's rule at its best (interval {best['interval']} s, threshold {best['threshold']}): {best['mean']:.0f} of v1's requests, "
          f"{best['false_promotions']:.5f}")
    for interval, threshold, name in ((60, 10, "as in its documentation"), (10, 1, "as quick as it can be")):
        other = judged(Rule(interval, threshold))
        print(f"  {name} (interval {interval} s, threshold {threshold}): {other['mean']:.0f}, {other['false_promotions']:.5f}")
    for entry in alone:
        good = entry["good_comparisons"]
        print(f"{entry['targets']:.0f} targets, one failing {HALF:.0%}: promoted {entry['promoted']:.5f}, else rejected after "
              f"{entry['mean_comparisons']:.0f} comparisons; all failing as p0 allows: rolled back {entry['rolled_back']:.4f}, "
              f"{good:.0f} comparisons ({good / PAIRS_A_SECOND:.0f} s), {entry['clean_comparisons']:.0f} without a failure")
    for entry in splits:
        print(f"traffic split of one group of {entry['groups']:.0f} at {entry['share']:.0%}: {entry['tracers']:.0f} tracer requests "
              f"(longest {entry['longest']:.0f}), doubted {entry['doubted']:.4f}; leaking half: passed {entry['passed']:.4f}")
    print(f"raw results in {written}")
    print(f"bench-gate: mean_pairs={mine['mean_pairs']:.1f} false_promotions={mine['false_promotions']:.5f} peer_mean={best['mean']:.1f} "
          f"peer_false_promotions={best['false_promotions']:.5f}")
    worst = max(entry["promoted"] for entry in alone)
    return 0 if max(mine["false_promotions"], worst) <= mine["bound"] else 1


if __name__ == "__main__":
    sys.exit(main())
