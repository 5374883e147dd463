# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which part of the sandbox answers for which kind of fault.

``FAULTS`` maps a kind to ``callable(world, **arguments)`` that runs in the caller's process. Kinds that are not in it belong to the API proxy
(:data:`PROXY_KINDS`) or to a handler that a service has put into Context.handlers under the name ``fault.KIND``.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from igw_sandbox.context import SandboxError

if TYPE_CHECKING:
    from igw_sandbox.world import World

PROXY_KINDS = ("unreachable", "status", "delay", "drop_answer", "reset", "drop_watches", "kill")
FAULTS: dict[str, Callable[..., Any]] = {}


def dispatch(world: World, kind: str, arguments: dict[str, Any]) -> Any:
    """Cause one fault; returns what its owner says about it (the API proxy: the fault's id)."""
    if kind in FAULTS:
        return FAULTS[kind](world, **arguments)
    if kind in PROXY_KINDS:
        return world.proxy("/fault", {"kind": kind, **arguments})
    handler = f"fault.{kind}"
    handlers = world.call("commands")
    if handler not in handlers:
        known = sorted([*FAULTS, *PROXY_KINDS, *(name.removeprefix("fault.") for name in handlers if name.startswith("fault."))])
        raise SandboxError(f"Sandbox {world.name} knows no fault {kind}; known: {', '.join(known)}.")
    return world.call(handler, **arguments)
