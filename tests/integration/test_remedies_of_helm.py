# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remedies of blockers about Helm releases, followed with Helm itself: what it keeps, finds and refuses is Helm's choice, and no fixture's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from igw_sandbox.context import SandboxError
from igw_sandbox.world import World
from tests.integration.cases import USUAL, Manifest, create, estate
from tests.integration.harness import CONTROL
from tests.integration.strangers import STRANGER, of_detect, stranger

pytestmark = pytest.mark.matrix

Answer = dict[str, Any]
OTHERS = ("HTTPRoute", "Gateway")
"""Kinds of the ordinary estate that are not of alpha."""


@pytest.fixture(scope="module")
def cluster(make_world: Callable[..., World]) -> Iterator[World]:
    """An API server, on which each test has a namespace of its own."""
    world = make_world("helm-remedies", services=CONTROL)
    yield world
    world.down()


def chart(folder: Path, of_alpha: Iterable[Manifest], others: Iterable[Manifest] = ()) -> Path:
    """Write a chart that makes ``others``, and ``of_alpha`` unless value ``alpha`` is false."""
    templates = folder / "templates"
    templates.mkdir(parents=True)
    (folder / "Chart.yaml").write_text(yaml.safe_dump({"apiVersion": "v2", "name": "inferencepool", "version": "0.3.0"}))
    (folder / "values.yaml").write_text("alpha: true\n")
    (templates / "alpha.yaml").write_text("{{ if .Values.alpha }}\n" + yaml.safe_dump_all(of_alpha) + "{{ end }}\n")
    (templates / "others.yaml").write_text(yaml.safe_dump_all(others))
    return folder


def parts(where: str) -> tuple[list[Manifest], list[Manifest], list[Manifest]]:
    """What is alpha's in the ordinary estate, its Gateway, and the rest; without what a server writes."""
    every = estate(where)
    gateways = [entry for entry in every if entry["kind"] == "Gateway"]
    return [entry for entry in every if entry["kind"] not in OTHERS], gateways, [entry for entry in every if entry["kind"] == "HTTPRoute"]


def blockers(answer: Answer, code: str) -> list[dict[str, str]]:
    """The blockers of a code."""
    return [entry for entry in answer["findings"] if (entry["code"], entry["severity"]) == (code, "blocker")]


def planned(answer: Answer) -> list[str]:
    """The names of the planned pools."""
    return [pool["name"] for pool in answer["plan"]["pools"]]


def run(world: World, command: str) -> None:
    """Run a printed command of kubectl."""
    program, *arguments = command.split()
    world.run(world.tool(program), *arguments)


def test_a_release_whose_record_may_not_be_read(cluster: World, ask: Callable[..., Answer], tmp_path: Path):
    of_alpha, gateways, routes = parts("hidden")
    create(cluster, [*gateways, *routes])
    cluster.helm("install", "chat", str(chart(tmp_path / "chat", of_alpha)), "-n", "hidden")
    with stranger(cluster, of_detect()) as connection:
        options = USUAL | {"namespaces": ["hidden"]} | connection
        (found,) = blockers(ask(cluster, **options), "helm-release-unknown")
        role = "inference-gateway-migration-helm-values"
        for command in ("kubectl -n hidden apply -f roles/migration/files/rbac/helm-values.yaml",
                        f"kubectl -n hidden create rolebinding {role} --role={role} --user=WHO"):
            assert command in found["remedy"]
            run(cluster, command.replace("WHO", STRANGER))
        after = ask(cluster, **options)
    assert (after["plan"]["blocked"], planned(after)) == ([], ["chat"])
    assert after["plan"]["pools"][0]["owner"]["release"] == "chat"


def test_a_release_that_owns_more_lets_alpha_go(cluster: World, ask: Callable[..., Answer], tmp_path: Path):
    """Its Gateway stays with the release, alpha's objects stay without it, and nothing is uninstalled any more."""
    where, options = "owns-more", USUAL | {"namespaces": ["owns-more"]}
    of_alpha, gateways, routes = parts(where)
    plain = [{field: value for field, value in gateway.items() if field != "status"} for gateway in gateways]
    folder = str(chart(tmp_path / "llm", of_alpha, plain))
    create(cluster, routes)
    cluster.helm("install", "llm", folder, "-n", where)
    status = json.dumps({"status": gateways[0]["status"]})
    cluster.kubectl("patch", "gateway", "gateway", "-n", where, "--subresource=status", "--type=merge", "-p", status)
    (found,) = blockers(ask(cluster, **options), "release-owns-more")
    commands = re.findall(r"kubectl [^;]*? helm\.sh/resource-policy(?:=keep|-)", found["remedy"])
    keeping = [command for command in commands if command.endswith("=keep")]
    assert keeping and len(commands) == 2 * len(keeping), found["remedy"]
    for command in keeping:
        run(cluster, command)
    assert f"helm -n {where} upgrade llm to a chart without it" in found["remedy"]
    cluster.helm("-n", where, "upgrade", "llm", folder, "--set", "alpha=false")
    for command in commands[len(keeping):]:
        run(cluster, command)
    after = ask(cluster, **options)
    assert (after["plan"]["blocked"], planned(after)) == ([], ["chat"])
    (pool,) = after["plan"]["pools"]
    assert pool["owner"]["release"] is None and pool["owner"]["kind"] == "objects"
    assert sorted(entry["kind"] for entry in pool["retire"]) == sorted(entry["kind"] for entry in of_alpha)


@pytest.mark.parametrize("revisions", [1, 2])
def test_a_release_whose_newest_record_is_garbled_is_repaired(revisions: int, cluster: World, ask: Callable[..., Answer], tmp_path: Path):
    """Helm itself neither upgrades nor rolls back while that Secret is there."""
    where = f"garbled-{revisions}"
    of_alpha, gateways, routes = parts(where)
    folder = str(chart(tmp_path / "chat", of_alpha))
    create(cluster, [*gateways, *routes])
    for _revision in range(revisions):
        cluster.helm("upgrade", "--install", "chat", folder, "-n", where)
    secret = f"sh.helm.release.v1.chat.v{revisions}"
    cluster.kubectl("patch", "secret", secret, "-n", where, "--type=merge", "-p", json.dumps({"stringData": {"release": "H4sIAAAAAAAA"}}))
    options = USUAL | {"namespaces": [where]}
    (found,) = blockers(ask(cluster, **options), "helm-release-unknown")
    with pytest.raises(SandboxError):
        cluster.helm("-n", where, "upgrade", "--install", "chat", folder)
    command = f"kubectl -n {where} get secrets -l owner=helm,name=chat --sort-by=.metadata.creationTimestamp"
    assert f"Delete the Secret that {command} shows last" in found["remedy"]
    last = cluster.kubectl(*f"{command} -o name".split()[1:]).split()[-1]
    assert last == f"secret/{secret}"
    cluster.kubectl("delete", "-n", where, last)
    assert f"helm -n {where} upgrade --install chat CHART" in found["remedy"]
    cluster.helm("-n", where, "upgrade", "--install", "chat", folder)
    after = ask(cluster, **options)
    assert (after["plan"]["blocked"], planned(after)) == ([], ["chat"])
    assert after["plan"]["pools"][0]["owner"]["release"] == "chat"
