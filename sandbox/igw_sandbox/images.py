# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a container image and its arguments become a local process. Pure: plain pod dicts in, command lines out.

* an image whose name has the word ``epp``: the endpoint picker of the version that its tag names; ``bbr``: the body-based router,
* ``vllm...`` and ``llm-d-inference-sim``: the model server simulator,
* anything else: Ready without a process.

Processes share one network namespace, so their ports are replaced by free local ones; the pod network maps pod ports to them.
"""
from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

JSON = Mapping[str, Any]

EXTENSION_NAME = re.compile(r"(?:^|[-_.])(epp|bbr)(?:$|[-_.])")
SIMULATOR_TAG = re.compile(r"v?\d|latest$|main$")
REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")

EXT_PROC_PORT, HEALTH_PORT, METRICS_PORT, SERVING_PORT = 9002, 9003, 9090, 8000
ROUTER_PORT, ROUTER_HEALTH_PORT = 9004, 9005
# Long enough for streams of half a minute; the simulator's own default of 1,024 tokens is not.
SIMULATOR_DEFAULTS: tuple[tuple[str, str], ...] = (
    ("max-model-len", "32768"), ("max-num-seqs", "256"), ("time-to-first-token", "20ms"), ("inter-token-latency", "2ms"))
# A picker asks every model server 20 times a second if nothing is said; on a machine that runs a whole cluster that is most of what pickers cost.
REFRESH = "200ms"
# The flags of a vLLM server that the simulator has as well; the others (parallelism, memory, quantisation) mean nothing here. True: takes a value.
SHARED_FLAGS: dict[str, bool] = {
    "model": True, "served-model-name": True, "port": True, "lora-modules": True, "max-loras": True, "max-cpu-loras": True, "max-model-len": True,
    "max-num-seqs": True, "seed": True, "enforce-eager": False, "enable-sleep-mode": False, "enable-request-id-headers": False}


class PullError(Exception):
    """The image does not exist here: one sentence for the pod's status."""


@dataclass(frozen=True)
class Launch:
    """A process to start: ``argv`` without the program, the local port behind each pod port, and how it tells that it is healthy."""

    argv: tuple[str, ...]
    ports: Mapping[int, int]
    probe: Probe
    picker_port: int | None = None
    """Pod port of ext_proc when this is an endpoint picker or a body-based router."""
    picker_tls: bool = True


@dataclass(frozen=True)
class Probe:
    """A health check. ``kind`` is grpc or http; ``target`` the gRPC service or the path; times in seconds."""

    kind: str
    port: int
    target: str
    period: float = 10.0
    timeout: float = 1.0
    delay: float = 0.0
    failures: int = 3
    successes: int = 1


def split(image: str) -> tuple[str, str]:
    """(path without registry tag or digest, tag) of an image; the tag is ``latest`` when none is given."""
    path, _at, _digest = image.partition("@")
    head, slash, last = path.rpartition("/")
    name, _colon, tag = last.partition(":")
    return f"{head}{slash}{name}", tag or "latest"


def tool_of(image: str, extensions: Collection[str]) -> str | None:
    """Name of the sandbox's tool that runs ``image``, None when no process is needed.

    ``extensions`` are the endpoint pickers and body-based routers that can be had, e.g. ``epp-v1.5.0`` and ``bbr-v1.0.0``.
    PullError when the image is of a kind that we run, but not this tag.
    """
    path, tag = split(image)
    last = path.rpartition("/")[2]
    if program := EXTENSION_NAME.search(last):
        wanted, before = f"{program[1]}-{tag}", f"{program[1]}-"
        if wanted in extensions:
            return wanted
        known = ", ".join(sorted(name.removeprefix(before) for name in extensions if name.startswith(before)))
        raise PullError(f'Failed to pull image "{image}": {path}:{tag}: not found (this sandbox has the tags {known})')
    if last == "llm-d-inference-sim" or "vllm" in path.split("/", 1)[-1]:
        if SIMULATOR_TAG.match(tag):
            return "simulator"
        raise PullError(f'Failed to pull image "{image}": {path}:{tag}: not found')
    return None


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` as a kubelet does: unknown names stay, ``$$`` is a dollar sign."""
    return REFERENCE.sub(lambda found: "$" if found[0] == "$$" else values.get(found[1], found[0]), text)


def take_flag(argv: Sequence[str], name: str) -> list[tuple[int, str | None]]:
    """Where flag ``name`` (one or two dashes) occurs: (position, value after ``=``, or None when the next word is the value)."""
    found = []
    for position, word in enumerate(argv):
        flag, equals, value = word.partition("=")
        if flag in (f"-{name}", f"--{name}"):
            found.append((position, value if equals else None))
    return found


def flag_value(argv: Sequence[str], name: str) -> str | None:
    """The last value of a flag, None when it is not given (or given without one)."""
    value: str | None = None
    for position, inline in take_flag(argv, name):
        value = inline if inline is not None else argv[position + 1] if position + 1 < len(argv) else None
    return value


def set_flag(argv: Sequence[str], name: str, value: str) -> list[str]:
    """``argv`` with flag ``name`` set: replaced in the style in which it was written, appended when it was not there."""
    words = list(argv)
    found = take_flag(argv, name)
    for position, inline in found:
        if inline is not None:
            words[position] = f"{words[position].partition('=')[0]}={value}"
        elif position + 1 < len(words):
            words[position + 1] = value
    return words if found else [*words, f"--{name}={value}"]


def _replace_port(argv: Sequence[str], name: str, default: int, free: Callable[[], int], ports: dict[int, int]) -> tuple[list[str], int]:
    """Give a port flag a free local port; notes pod port -> local port. A value that is no port is left for the program to refuse."""
    written = flag_value(argv, name)
    if written is not None and not (written.isdigit() and 0 < int(written) < 65536):
        return list(argv), default
    port = int(written) if written is not None else default
    ports[port] = free()
    return set_flag(argv, name, str(ports[port])), port


def options(argv: Sequence[str]) -> list[str]:
    """A command line from its first flag on: the words before it name a program of the image, which is not here."""
    begin = next((position for position, word in enumerate(argv) if word.startswith("-")), len(argv))
    return list(argv[begin:])


def picker(tool: str, argv: Sequence[str], free: Callable[[], int]) -> Launch:
    """Launch of an endpoint picker; v0.x spells its flags in camel case. Flags of the other style stay: the program refuses them by itself."""
    camel = tool.startswith("epp-v0.")
    ports: dict[int, int] = {}
    words, serving = _replace_port(options(argv), "grpcPort" if camel else "grpc-port", EXT_PROC_PORT, free, ports)
    words, health = _replace_port(words, "grpcHealthPort" if camel else "grpc-health-port", HEALTH_PORT, free, ports)
    words, _metrics = _replace_port(words, "metricsPort" if camel else "metrics-port", METRICS_PORT, free, ports)
    refresh = "refreshMetricsInterval" if camel else "refresh-metrics-interval"
    if not take_flag(words, refresh):
        words = set_flag(words, refresh, REFRESH)
    plain = f"{'secureServing' if camel else 'secure-serving'}=false"
    secure = not any(word.lstrip("-") == plain for word in argv)
    return Launch(tuple(words), ports, Probe("grpc", health, "inference-extension"), serving, secure)


def router(argv: Sequence[str], free: Callable[[], int]) -> Launch:
    """Launch of a body-based router. It speaks TLS with a certificate of its own; v1.0.0 has no flag against that."""
    ports: dict[int, int] = {}
    words, serving = _replace_port(options(argv), "grpc-port", ROUTER_PORT, free, ports)
    words, health = _replace_port(words, "grpc-health-port", ROUTER_HEALTH_PORT, free, ports)
    words, _metrics = _replace_port(words, "metrics-port", METRICS_PORT, free, ports)
    return Launch(tuple(words), ports, Probe("grpc", health, ""), serving)


def simulator(image: str, argv: Sequence[str], free: Callable[[], int], seed: int) -> Launch:
    """Launch of a model server; arguments of a real vLLM are reduced to what the simulator knows."""
    words = options(argv) if split(image)[0].endswith("llm-d-inference-sim") else from_vllm(argv)
    ports: dict[int, int] = {}
    words, serving = _replace_port(words, "port", SERVING_PORT, free, ports)
    for name, value in (*SIMULATOR_DEFAULTS, ("seed", str(seed))):
        if not take_flag(words, name):
            words = set_flag(words, name, value)
    if not take_flag(words, "force-dummy-tokenizer"):  # a real tokenizer would be fetched from the internet
        words.append("--force-dummy-tokenizer")
    return Launch(tuple(words), ports, Probe("http", serving, "/health"))


def from_vllm(argv: Sequence[str]) -> list[str]:
    """What a simulator needs of a vLLM command line: the flags both know, ``serve MODEL`` and ``--lora-modules NAME=PATH`` in the simulator's way."""
    kept: list[str] = []
    taking: str | None = None
    previous = ""
    for word in argv:
        if word.startswith("-"):
            name, equals, value = word.lstrip("-").partition("=")
            name = name.replace("_", "-")
            taking = name if SHARED_FLAGS.get(name) and not equals else None
            if name in SHARED_FLAGS:
                kept.append(f"--{name}{equals}{_lora(value) if name == 'lora-modules' and equals else value}")
        elif taking:
            kept.append(_lora(word) if taking == "lora-modules" else word)
            taking = taking if taking in ("lora-modules", "served-model-name") else None
        elif previous == "serve":
            kept += ["--model", word]
        previous = word
    return kept


def _lora(value: str) -> str:
    """An adapter as the simulator reads it: ``NAME=PATH`` becomes JSON, JSON keeps only the name (the path is not there)."""
    if not value.startswith("{"):
        return json.dumps({"name": value.partition("=")[0]})
    try:
        return json.dumps({"name": json.loads(value)["name"]})
    except (ValueError, KeyError):
        return value  # the simulator refuses it by itself, and the pod shows why


def launch(tool: str, container: JSON, argv: Sequence[str], free: Callable[[], int], seed: int) -> Launch:
    """Launch of a container that runs ``tool``; ``argv`` are its command and arguments with all variables expanded."""
    if tool == "simulator":
        found = simulator(container["image"], argv, free, seed)
    elif tool.startswith("bbr-"):
        found = router(argv, free)
    else:
        found = picker(tool, argv, free)
    declared = container.get("readinessProbe")
    probe = read_probe(declared, container) if declared else None
    return found if probe is None else Launch(found.argv, found.ports, probe, found.picker_port, found.picker_tls)


def read_probe(declared: JSON, container: JSON) -> Probe | None:
    """A readinessProbe as the kubelet reads it; None for kinds that need a container (exec) or that prove little (tcpSocket)."""
    if "grpc" in declared:
        kind, port, target = "grpc", int(declared["grpc"]["port"]), declared["grpc"].get("service", "")
    elif "httpGet" in declared:
        kind, port, target = "http", _port_number(declared["httpGet"]["port"], container), declared["httpGet"].get("path", "/")
    else:
        return None
    return Probe(kind, port, target, period=float(declared.get("periodSeconds", 10)), timeout=float(declared.get("timeoutSeconds", 1)),
                 delay=float(declared.get("initialDelaySeconds", 0)), failures=int(declared.get("failureThreshold", 3)),
                 successes=int(declared.get("successThreshold", 1)))


def _port_number(port: int | str, container: JSON) -> int:
    """A probe's port, which may be the name of a container port; 0, where nothing ever answers, for a name that is not there."""
    if isinstance(port, int) or port.isdigit():
        return int(port)
    return next((int(entry["containerPort"]) for entry in container.get("ports") or [] if entry.get("name") == port), 0)
