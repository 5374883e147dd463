# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox's command line. Exit status 0, or 2 with one sentence on stderr."""
from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from igw_sandbox import preflight
from igw_sandbox.context import SandboxError

DESCRIPTION = "A GKE-like world on the loopback interface: real API server, endpoint pickers and model servers, without containers."
FAULT_HELP = """causes one fault; arguments are KEY=VALUE (values are JSON or plain text, match.KEY=VALUE nests):
  unreachable seconds=20                      the API server's port is closed
  status status=429 retry_after=2 after=3     the 4th request is answered 429 (also: count=N, 0 means for ever)
  delay seconds=5 match.write=true            the next write waits
  drop_answer match.method=PATCH              done by the server, never answered
  reset | drop_watches | kill pid=N when=after
  list                                        faults of the API proxy and how often each fired
  clear                                       forget them
Other kinds belong to the pods, the network and the gateway; an unknown kind prints what there is."""


def parser() -> argparse.ArgumentParser:
    """All commands and options."""
    top = argparse.ArgumentParser(prog="sandbox", description=DESCRIPTION)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    name = argparse.ArgumentParser(add_help=False)
    name.add_argument("--name", default="default", help="the sandbox's name (default: default)")

    up = commands.add_parser("up", parents=[name], help="start a sandbox; the last line is the path of its kubeconfig")
    up.add_argument("--estate", action="append", default=[], metavar="PATH", help="folder or file of manifests to apply (may be given more than once)")
    up.add_argument("--release", default="v0.3.0", help="inference extension release whose CRDs are there on day one, or none (default: v0.3.0)")
    up.add_argument("--gke-version", help="what /version says (default: v1.34.0-gke.1626000)")
    up.add_argument("--profile", choices=["fast", "gke"], default="fast", help="how slowly the gateway takes changes (default: fast)")
    up.add_argument("--gateway", choices=["both", "alpha_only", "v1_only"], default="both", help="which API groups the gateway accepts (default: both)")
    up.add_argument("--seed", type=int, help="of all random delays (default: a random one, printed)")

    load = commands.add_parser("load", help="open-loop traffic through the gateways: load start | load stop", add_help=False)
    load.add_argument("arguments", nargs=argparse.REMAINDER)

    fault = commands.add_parser("fault", parents=[name], help="break something", description=FAULT_HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    fault.add_argument("kind")
    fault.add_argument("arguments", nargs="*", metavar="KEY=VALUE")

    status = commands.add_parser("status", parents=[name], help="what runs, and the addresses")
    status.add_argument("--json", action="store_true", help="the whole state as JSON")

    down = commands.add_parser("down", parents=[name], help="end a sandbox and remove its state, also after a crash")
    down.add_argument("--all", action="store_true", help="every sandbox of this cache folder")

    for command, told in (("snapshot", "copy what the cluster holds now into a new folder"),
                          ("restore", "put a snapshot of this sandbox in place, about 10 s; no load may run")):
        commands.add_parser(command, parents=[name], help=told).add_argument("folder", metavar="PATH", type=Path)

    build = commands.add_parser("build", help="build tools into the cache without starting anything")
    build.add_argument("tools", nargs="*", metavar="TOOL", help="default: all")
    return top


def fault_arguments(pairs: list[str]) -> dict[str, Any]:
    """``["seconds=2", "match.method=GET"]`` -> ``{"seconds": 2, "match": {"method": "GET"}}``."""
    arguments: dict[str, Any] = {}
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator or not key:
            raise SandboxError(f"'{pair}' is no KEY=VALUE; see 'sandbox fault --help'.")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        *parents, last = key.split(".")
        target = arguments
        for parent in parents:
            target = target.setdefault(parent, {})
        target[last] = value
    return arguments


def say(message: str) -> None:
    """Progress for the person; stdout, so that it is in order with the last line."""
    print(message, flush=True)


def _up(options: argparse.Namespace) -> None:
    from igw_sandbox.world import DEFAULT_GKE_VERSION, World

    world = World.up(options.name, options.estate, options.release, options.gke_version or DEFAULT_GKE_VERSION, options.profile, options.gateway, options.seed,
                     progress=say)
    print(world.kubeconfig)


def _fault(options: argparse.Namespace) -> None:
    from igw_sandbox.world import World

    world = World.open(options.name)
    if options.kind == "list":
        for fault in world.proxy("/faults"):
            print(f"{fault['id']} {fault['kind']} fired={fault['fired']} {' '.join(fault['fired_on'])}".rstrip())
    elif options.kind == "clear":
        world.proxy("/faults/clear", {})
    else:
        print(json.dumps(world.fault(options.kind, **fault_arguments(options.arguments))))


def _status(options: argparse.Namespace) -> None:
    from igw_sandbox.world import World, run_folder

    world = World(options.name)
    if not run_folder(options.name).exists():
        raise SandboxError(f"There is no sandbox {options.name}; start it with 'sandbox up --name {options.name}'.")
    state = world.state
    alive = world.alive()
    if options.json:
        print(json.dumps({**state, "alive": alive}, indent=1, sort_keys=True))
        return
    phase = state["phase"]
    if not alive and phase not in ("failed", "stopped"):
        phase = f"crashed while {phase} ('sandbox down --name {options.name}' removes it)"
    print(f"{options.name}: {phase}")
    for key in ("failure", "kubeconfig", "direct_kubeconfig", "charts", "crds", "api_proxy", "subnet", "services"):
        if state.get(key):
            print(f"  {key}: {', '.join(state[key]) if isinstance(state[key], list) else state[key]}")
    print(f"  logs: {world.directory / 'logs'}")
    if alive and state["phase"] == "running":
        print(f"  requests: {' '.join(f'{key}={value}' for key, value in world.requests().items())}")


def _down(options: argparse.Namespace) -> None:
    from igw_sandbox import tools
    from igw_sandbox.world import World

    names = sorted(path.name for path in (tools.cache_root() / "run").glob("[!.]*")) if options.all else [options.name]
    for name in names:
        World(name).down()
        say(f"sandbox {name} is gone")


def _build(options: argparse.Namespace) -> None:
    from igw_sandbox import assets, tools

    names = options.tools or [name for name in tools.NAMES if name in tools.WHEELS or not tools.BY_TOOL[name].as_released]
    for name, path in tools.ensure(*names, progress=say).items():
        say(f"{name}: {path}")
    if not options.tools:
        say(f"assets: {assets.ensure(say)}")


def _snapshot(options: argparse.Namespace) -> None:
    from igw_sandbox.world import World

    World.open(options.name).snapshot(options.folder.resolve())


def _restore(options: argparse.Namespace) -> None:
    from igw_sandbox.world import World

    World.open(options.name).restore(options.folder.resolve(), progress=say)


COMMANDS = {"up": _up, "fault": _fault, "status": _status, "down": _down, "snapshot": _snapshot, "restore": _restore, "build": _build}


def _terminated(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    signal.signal(signal.SIGTERM, _terminated)  # so that a half-started sandbox is taken down
    try:
        if argv[:1] == ["load"]:
            preflight.check_machine()
            from igw_sandbox import load

            return load.main(argv[1:]) or 0
        options = parser().parse_args(argv)
        preflight.check_machine()
        COMMANDS[options.command](options)
    except SandboxError as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sandbox: interrupted", file=sys.stderr)
        return 130
    return 0
