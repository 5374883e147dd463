# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one check as a module does: within its time, under the Lease, with each failure as a sentence.

For internal use of this collection only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import journal
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import ApiError, Cluster, Unreachable
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.lease import Lease, LeaseLost
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.steering import Steering
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import step_weights, weights
from ansible_collections.inference_gateway.migration.plugins.module_utils.verification.checks import Check

WAYS = ["alpha", "v1", "both", "user"]


def argument_spec() -> dict[str, Any]:
    """Return the options that every check has."""
    return journal.argument_spec() | {
        "run": {"type": "str"},
        "shares": {"type": "raw"},
        "variants": {"type": "list", "elements": "str", "choices": WAYS, "default": ["user"]},
        "rounds": {"type": "int", "default": 5},
        "seconds": {"type": "int", "default": 60},
        "fail": {"type": "bool", "default": True},
        "load": {"type": "dict"},
        "clean": {"type": "int", "default": 0},
    }


def failure(result: dict[str, Any]) -> str:
    """Say in one sentence why a check does not hold."""
    return result.get("reason") or "; ".join([*result["faults"], *result.get("unsure", [])]) or "not decided in time"


def perform(module: Any, connect: Callable[[], Cluster], check: Check) -> None:
    """Run a check and end the module.

    :param module: with the options of :func:`argument_spec` and of the check. :param connect: makes the connection.
    """
    params = module.params | ({"run": None} if module.check_mode else {})  # without a run nothing is written
    try:
        deadline = time.monotonic() + params["seconds"]
        params["shares"] = step_weights.shares(params["shares"])
        cluster = connect()
        with Lease(cluster).held(params["run"]) if params["run"] else nullcontext():
            result = check(cluster, params, deadline)
            if params["run"]:
                result["steer"] = Steering(cluster).asked(params["run"])
    except Unreachable as error:
        module.fail_json(msg=str(error), unreachable_api=True)
    except weights.Drifted as error:
        module.fail_json(msg=step_weights.left_alone(error), held=True, foreign=True, verdict="HELD")
    except (ApiError, ValueError, TypeError, journal.BackupBroken, LeaseLost) as error:
        module.fail_json(msg=str(error))
    if params["fail"] and not result["ok"]:
        module.fail_json(msg=failure(result), **result)
    module.exit_json(changed=False, **result)
