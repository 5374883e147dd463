# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What integration tests share: estates, options that make a run quick, how a playbook ended, what detect says, what a route says."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SANDBOX = Path(__file__).resolve().parents[1] / "sandbox"
sys.path.insert(0, str(SANDBOX))

from igw_sandbox.world import World  # noqa: E402
from product import COLLECTION, environment  # noqa: E402

ESTATES = SANDBOX / "estates"
FAST_GATE = {"p1": 0.2}
"""37 pairs and a few more for the split over gates: for tests that are not about the gate."""
REAL_GATE: dict[str, Any] = {"migration_gate": {}}
"""The bounds that users get: for tests that are about the gate."""
SHIFT = {"migration_phases": ["shift"], "migration_warm_seconds": 25}
"""For a world on which v1 is installed."""
QUICK = {"migration_gate": FAST_GATE, "migration_dyes": 100, "migration_stream_seconds": 0}
QUICK |= {"migration_warm_seconds": 60, "migration_settle_seconds": 90, "migration_gate_seconds": 120}
V1_EPP = "vllm-llama3-8b-instruct-ga-epp"
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Ended:
    """How a playbook ended: exit status, report, log, and, where there was a load, its summary and what it asked for when it began."""

    status: int
    report: dict[str, Any]
    log: str
    load: dict[str, Any] = field(default_factory=dict)
    begun: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        return self.report["verdict"]

    @property
    def reason(self) -> str:
        return self.report["reason"]


def detect(world: World, folder: Path, collections: Path, **options: Any) -> dict[str, Any]:
    """What detect_v1alpha2 returns, run alone and with the administrator's kubeconfig unless options say another connection."""
    folder.mkdir(parents=True, exist_ok=True)
    program = Path(sys.executable).with_name("ansible")
    said = {"kubeconfig": str(world.kubeconfig)} | options
    argv = [str(program), "localhost", "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}",
            "-m", f"{COLLECTION}.detect_v1alpha2", "-a", json.dumps({name: value for name, value in said.items() if value is not None})]
    answer = subprocess.run(argv, cwd=folder, env=environment(folder, collections, world.tool("helm")), capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return json.loads(answer.stdout.partition("=> ")[2])


def credential(world: World, role: str, folder: Path) -> dict[str, str]:
    """Connection options (host, api_key, ca_cert) of a new ServiceAccount that may do what a ClusterRole says and nothing else; it is named like the role."""
    world.kubectl("create", "serviceaccount", role, "-n", "default")
    world.kubectl("create", "clusterrolebinding", role, f"--clusterrole={role}", f"--serviceaccount=default:{role}")
    cluster = json.loads(world.kubeconfig.read_text())["clusters"][0]["cluster"]
    authority = folder / f"{role}-ca.crt"
    authority.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    return {"host": cluster["server"], "api_key": world.kubectl("create", "token", role, "-n", "default").strip(), "ca_cert": str(authority)}


def patched(folder: Path, changes: dict[str, list[tuple[str, str]]]) -> Path:
    """The collection with texts replaced, as a collections path of its own: ``changes`` is file to (text, other text)."""
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
    """The user's route as it is now."""
    return world.kubectl_json("get", "httproute", "llm-route")["spec"]


def alpha_share(world: World) -> list[tuple[str, int]]:
    """(group, weight) of what the first rule of the user's route names."""
    return [(reference.get("group", ""), reference.get("weight", 1)) for reference in route_spec(world)["rules"][0]["backendRefs"]]


@contextmanager
def resets(world: World, percent: float) -> Iterator[None]:
    """v1's endpoint picker refuses a share of its streams, until the end of a block."""
    world.fault("epp_reset", namespace="default", deployment=V1_EPP, percent=percent)
    try:
        yield
    finally:
        world.fault("epp_reset", namespace="default", deployment=V1_EPP, percent=0)
