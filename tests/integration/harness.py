# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds what integration tests share: estates, options that make a run quick, how a playbook ended, modules run alone, the user's route, its other writers."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from igw_sandbox import load
from igw_sandbox.context import SandboxError
from igw_sandbox.world import World
from tests.e2e.product import ALPHA_GROUP, COLLECTION, environment, serves
from tools.stage import ROOT

SANDBOX = ROOT / "sandbox"
ESTATES = SANDBOX / "estates"
FAST_GATE = {"p1": 0.2}
"""A gate of 37 comparisons, and a few more since all gates share its error bounds: for tests that are not about the gate."""
REAL_GATE: dict[str, Any] = {"migration_gate": {}}
"""The bounds that users get: for tests that are about the gate."""
REAL_SHARE = {"migration_tracers": 3000}
"""As many tracer requests as users get: for tests that are about the share, which a hundred do not prove at a tenth or at all of the traffic."""
SHIFT = {"migration_phases": ["shift"], "migration_warm_seconds": 25}
"""For a sandbox on which v1 is installed."""
QUICK = {"migration_gate": FAST_GATE, "migration_tracers": 100, "migration_stream_seconds": 0}
QUICK |= {"migration_warm_seconds": 60, "migration_settle_seconds": 90, "migration_gate_seconds": 120}
V1_EPP = "vllm-llama3-8b-instruct-ga-epp"
CONTROL = ("controlplane", "registry", "apiproxy")
"""Services of a sandbox on which nothing runs, for nothing may be written."""


@dataclass
class Ended:
    """How a playbook ended.

    :param status: its exit code.
    :param load: the summary of the load; empty where there was none.
    :param begun: what the load asked for when it began (``targets``, ``skipped``); empty where there was none.
    """

    status: int
    report: dict[str, Any]
    log: str
    load: dict[str, Any] = field(default_factory=dict)
    begun: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """The verdict in the report, e.g. ``PROVEN``."""
        return self.report["verdict"]

    @property
    def reason(self) -> str:
        """The sentence in the report that explains the verdict."""
        return self.report["reason"]


def module(name: str, world: World, folder: Path, collections: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run one of the collection's modules alone, with the administrator's kubeconfig unless ``options`` say another connection.

    :param options: the module's; one that is None is left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    program = Path(sys.executable).with_name("ansible")
    said = {"kubeconfig": str(world.kubeconfig)} | options
    argv = [str(program), "localhost", "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}",
            "-m", f"{COLLECTION}.{name}", "-a", json.dumps({option: value for option, value in said.items() if value is not None})]
    return subprocess.run(argv, cwd=folder, env=environment(folder, collections, world.tool("helm")), capture_output=True, text=True, check=False)


def detect(world: World, folder: Path, collections: Path, **options: Any) -> dict[str, Any]:
    """Run detect_v1alpha2, which must succeed, and return its result."""
    answer = module("detect_v1alpha2", world, folder, collections, **{"connect": serves(world)} | options)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return json.loads(answer.stdout.partition("=> ")[2])


def credential(world: World, role: str, folder: Path) -> dict[str, str]:
    """Make a ServiceAccount that may do what ClusterRole ``role`` says and nothing else, and return its connection options (host, api_key, ca_cert).

    It is named like the role.
    """
    world.kubectl("create", "serviceaccount", role, "-n", "default")
    world.kubectl("create", "clusterrolebinding", role, f"--clusterrole={role}", f"--serviceaccount=default:{role}")
    cluster = json.loads(world.kubeconfig.read_text())["clusters"][0]["cluster"]
    authority = folder / f"{role}-ca.crt"
    authority.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    return {"host": cluster["server"], "api_key": world.kubectl("create", "token", role, "-n", "default").strip(), "ca_cert": str(authority)}


def patched(folder: Path, changes: Mapping[str, Sequence[tuple[str, str]]]) -> Path:
    """Copy the collection with texts replaced, and return the collections path of the copy.

    :param changes: file to (text, other text); each text must stand in its file once.
    """
    target = folder / "patched" / "ansible_collections"
    own = target / "inference_gateway" / "migration"
    own.mkdir(parents=True)
    for part in ("plugins", "roles", "playbooks", "meta", "galaxy.yml"):
        source = ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, own / part)
    for name, texts in changes.items():
        text = (own / name).read_text()
        for old, new in texts:
            assert text.count(old) == 1, f"the patch must hit what it is meant for, and {old!r} is {text.count(old)} times in {name}"
            text = text.replace(old, new)
        (own / name).write_text(text)
    return target.parent


def route_spec(world: World) -> Any:
    """Return the spec of the user's route as it is now."""
    return world.kubectl_json("get", "httproute", "llm-route")["spec"]


def journalled_plan(world: World) -> dict[str, Any] | None:
    """Return the plan of the open or last migration, by the journal; None where there was none."""
    name = "inference-gateway-migration"
    found = world.kubectl("get", "configmap", "-n", name, name, "--ignore-not-found", "-o", "json")
    if not found:
        return None
    parts = json.loads(json.loads(found)["data"]["record"])["plan"]["names"]
    packed = [base64.b64decode(world.kubectl_json("get", "secret", "-n", name, part)["data"]["plan"]) for part in parts]
    return json.loads(gzip.decompress(b"".join(packed)))


def alpha_share(world: World) -> list[tuple[str, int]]:
    """Return (group, weight) of each backendRef in the first rule of the user's route."""
    return [(reference.get("group", ""), reference.get("weight", 1)) for reference in route_spec(world)["rules"][0]["backendRefs"]]


@contextmanager
def resets(world: World, percent: float) -> Iterator[None]:
    """Let v1's endpoint picker refuse ``percent`` of its streams until the end of the block."""
    world.fault("epp_reset", namespace="default", deployment=V1_EPP, percent=percent)
    try:
        yield
    finally:
        world.fault("epp_reset", namespace="default", deployment=V1_EPP, percent=0)


def held_harmless(world: World, before: Any, ended: Ended, *cause: str) -> None:
    """Assert that a migration FAILED, its reason says each of ``cause``, and neither the user's route nor a request suffered."""
    assert (ended.status != 0, ended.verdict) == (True, "FAILED"), ended.reason
    assert all(words in ended.reason for words in cause), ended.reason
    assert route_spec(world) == before, "the user's route is as it was"
    assert (ended.load["lost"], ended.load["cut"], ended.load["problems"]) == (0, 0, []), ended.load["reasons"]
    assert world.kubectl("get", "httproutes", "-A", "-o", "name").split() == ["httproute.gateway.networking.k8s.io/llm-route"], "no probe route is left"


@contextmanager
def unharmed(world: World, stream_seconds: tuple[float, ...] = load.Options().stream_seconds) -> Iterator[None]:
    """Run a load beside all of a block and assert that nothing of it was lost or cut. :param stream_seconds: lengths of its streams, in turn."""
    load.start(world.directory, load.Options(rate=5, streams=0.5, stream_seconds=stream_seconds, routes=users_routes(world)))
    try:
        yield
    finally:
        summary = load.stop(world.directory)
    assert (summary["lost"], summary["cut"], summary["problems"]) == (0, 0, []), summary["reasons"]


# -- other writers of the user's route ----------------------------------------------------------------------------------

MARKED = "inference-gateway-migration/probe-route"
"""The label of probe routes."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def source(route: dict[str, Any]) -> dict[str, Any]:
    """Return a live route as it stands in the file from which a controller writes it."""
    meta = {field: value for field, value in route["metadata"].items() if field in ("name", "namespace", "labels")}
    return {"apiVersion": route["apiVersion"], "kind": route["kind"], "metadata": meta, "spec": route["spec"]}


def write_route(world: World, route: dict[str, Any], how: str, manager: str) -> None:
    """Write a route as another writer does.

    :param how: ``apply`` (server-side), ``update`` (of the whole route) or ``patch``.
    :param manager: the writer's name in managedFields.
    """
    named = f"--field-manager={manager}"
    if how == "apply":
        world.kubectl("apply", "--server-side", "--force-conflicts", named, "-f", "-", input=json.dumps(route))
    elif how == "update":
        world.kubectl("replace", named, "-f", "-", input=json.dumps(route))
    else:
        said = json.dumps({"spec": route["spec"]})
        world.kubectl("patch", "httproute", route["metadata"]["name"], "-n", route["metadata"]["namespace"], "--type=merge", named, "-p", said)


class Controller:
    """A controller that writes a route back, from :meth:`start` to the end of the block.

    :param how: as in :func:`write_route`.
    :param seconds: from one write to the next; 0 to write once.
    """

    def __init__(self, world: World, route: dict[str, Any], how: str, manager: str, seconds: float) -> None:
        self._writing = (world, route, how, manager)
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.begun = 0.0
        """When the first write was sent, in seconds since the epoch; 0 before."""

    def start(self) -> None:
        """Begin to write; later calls do nothing."""
        if not self.begun:
            self.begun = time.time()
            self._thread.start()

    def _run(self) -> None:
        while True:
            with suppress(SandboxError):  # somebody wrote at the same moment: the next write will do
                write_route(*self._writing)
            if not self._seconds or self._over.wait(self._seconds):
                return

    def __enter__(self) -> Controller:
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        if self.begun:
            self._thread.join()


def users_routes(world: World) -> list[str]:
    """Return ``namespace/name`` of every HTTPRoute but probe routes, by which no user asks."""
    found = world.kubectl_json("get", "httproutes", "-A", "-l", f"!{MARKED}")["items"]
    return [f"{route['metadata']['namespace']}/{route['metadata']['name']}" for route in found]


def put_back(world: World, original: dict[str, Any]) -> None:
    """Put the user's route back as it was, whatever a run and others left: without their names in managedFields, and without probe routes."""
    meta = {field: value for field, value in original["metadata"].items() if field not in ("managedFields", "resourceVersion")}
    world.kubectl("replace", "-f", "-", input=json.dumps(original | {"metadata": meta}))
    entries = world.kubectl_json("get", "httproute", meta["name"], "--show-managed-fields")["metadata"]["managedFields"]
    # Not an empty list: then the server would not write down the next writer either, until one applies.
    kept = [entry for entry in entries if entry.get("subresource")]
    world.kubectl("patch", "httproute", meta["name"], "--type=json", "-p", json.dumps([{"op": "replace", "path": "/metadata/managedFields", "value": kept}]))
    world.kubectl("delete", "httproutes", "-A", "-l", MARKED)


# -- after a shift that was proven --------------------------------------------------------------------------------------

ALPHA_POOL, ALPHA_EPP = "vllm-llama3-8b-instruct-preview", "vllm-llama3-8b-instruct-preview-epp"
ALPHA_POOLS = f"inferencepools.{ALPHA_GROUP}"
V1ALPHA2 = (ALPHA_POOL, "base-model", "food-review", ALPHA_EPP)
"""Names of what retire takes away: pool, models, endpoint picker."""
V1_GROUP = "inference.networking.k8s.io"
ON_V1 = [(ALPHA_GROUP, 0), (V1_GROUP, 100)]
RETIRE = {"migration_phases": ["retire"], "migration_drain_seconds": 5}


def gone(world: World) -> list[str]:
    """Return which names of :data:`V1ALPHA2` are not there any more."""
    kinds = f"{ALPHA_POOLS},inferencemodels.{ALPHA_GROUP},deployments"
    there = world.run(world.tool("kubectl"), "get", kinds, "-n", "default", "-o", "name", check=False).stdout
    return [name for name in V1ALPHA2 if f"/{name}\n" not in there]
