# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The remedy of every blocker, followed once as it is printed, ends in a plan without the blocker and without another one that the remedy made.

Each way of a case in findings/ has an estate of its own. One detect sees all blockers, then every remedy is followed, and another detect looks again.
"""

from __future__ import annotations

import inspect
import json
import shlex
import socket
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.catalogue import CATALOGUE

from igw_sandbox.context import SandboxError
from igw_sandbox.world import World
from tests.integration.cases import FOLDER, USUAL, Manifest, Way, as_list, cases, estate, furnish, key_of, namespaces
from tests.integration.harness import CONTROL
from tests.integration.strangers import STRANGER, of_detect, stranger
from tests.unit.helpers.connect_proxy import connect_proxy

CASES = [case for path in sorted(FOLDER.glob("*.yaml")) for case in cases(path)]
WAYS = [way for case in CASES for way in case.ways]
PLAIN, ALIAS = estate("plain"), estate("alias", [{"kind": "InferenceModel", "metadata": {"name": "chat"}, "spec": {"targetModels": [{"name": "llama-a"}]}}])
CHOSEN = estate("chosen", [{"kind": "Gateway", "metadata": {"name": "gateway"}, "spec": {"listeners": [{
    "name": "http", "protocol": "HTTP", "port": 80,
    "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": "chosen"}}}},
}]}}])
"""Estates for the blockers about no namespace."""
OTHERWISE = {"crd-older-than-target", "gateway-unreachable", "listener-undecided", "may-not-list", "request-shape-rejected"}
"""Blockers about no namespace, or about what a credential may see of one: their remedies are followed below, one by one."""

Answer = dict[str, Any]
Detect = Callable[..., Answer]


# -- which remedies are followed ----------------------------------------------------------------------------------------


def test_every_code_that_may_block_has_a_remedy_that_is_followed():
    """Without a sandbox: a check that speaks of a blocker, in its decorator or in an occurrence, has a way in its file of cases."""
    blocking = {code for code, entry in CATALOGUE.items() if '"blocker"' in inspect.getsource(entry.check)}
    assert blocking <= {way.code for way in WAYS} | OTHERWISE


def test_every_case_of_a_blocker_has_a_remedy_that_is_followed():
    """Without a sandbox. A case that expects nothing worse than a warning has none."""
    assert [case.name for case in CASES if case.blocks != bool(case.ways)] == []


# -- following them -----------------------------------------------------------------------------------------------------


def resource(manifest: Manifest) -> str:
    """The kind as kubectl takes it where two groups have a kind of that name."""
    group, _slash, version = manifest["apiVersion"].rpartition("/")
    return f"{manifest['kind']}.{version}.{group}" if group else manifest["kind"]


def change(world: World, way: Way, wanted: Manifest) -> None:
    """Delete, change or create one object as the way says."""
    live = {key_of(entry, way.name): entry for entry in way.estate}.get(key_of(wanted, way.name))
    where = ("-n", wanted["metadata"].get("namespace", way.name))
    named = (resource(live or wanted), wanted["metadata"]["name"], *where)
    if wanted.get("$patch") == "delete":
        world.kubectl("delete", *named)
        return
    if live:
        world.kubectl("patch", *named, "--type=merge", "-p", json.dumps(wanted))
    else:
        world.kubectl("create", *where, "-f", "-", input=as_list([wanted]))
    if "status" in wanted:
        world.kubectl("patch", *named, "--subresource=status", "--type=merge", "-p", json.dumps({"status": wanted["status"]}))


def run(world: World, command: str, printed: str, values: dict[str, str]) -> None:
    """Run a command of kubectl or helm that is printed, with ``values`` in place of words in capitals."""
    assert command in printed, f"{command!r} is not printed: {printed}"
    program, *arguments = shlex.split(reduce(lambda text, entry: text.replace(*entry), values.items(), command))
    world.run(world.tool(program), *arguments)


def follow(world: World, way: Way, printed: str) -> None:
    """Do in the cluster what the way says: commands as they are printed, then changes."""
    for command in way.runs:
        run(world, command, printed, way.values)
    for wanted in way.changes:
        change(world, way, wanted)


@dataclass
class Remedied:
    """A cluster on which every remedy was followed.

    :param before: what detect said before, by options.
    :param failures: why a remedy could not be followed, by the name of its way.
    """

    world: World
    before: dict[str, Answer]
    failures: dict[str, Exception]


@pytest.fixture(scope="module")
def remedied(request: pytest.FixtureRequest, make_world: Callable[..., World], ask: Detect) -> Iterator[Remedied]:
    """One cluster with an estate for every way that this run was asked for."""
    ways = [item.callspec.params["way"] for item in request.session.items if hasattr(item, "callspec") and "way" in item.callspec.params]
    world = make_world("remedies", services=CONTROL)
    furnish(world, [*(manifest for way in ways for manifest in way.estate), *PLAIN, *ALIAS, *CHOSEN])
    found = Remedied(world, {}, {})
    for way in ways:
        if as_key(way.options) not in found.before:
            found.before[as_key(way.options)] = ask(world, **way.options)
    for way in ways:
        try:
            follow(world, way, " ".join(entry["remedy"] for entry in of_way(found.before[as_key(way.options)], way)))
        except (AssertionError, SandboxError) as failure:
            found.failures[way.name] = failure
    yield found
    world.down()


@pytest.fixture(scope="module")
def afterwards(remedied: Remedied, ask: Detect) -> Detect:
    """What detect says when all remedies have been followed, asked once for each set of options."""
    answers: dict[str, Answer] = {}

    def remember(**options: Any) -> Answer:
        if as_key(options) not in answers:
            answers[as_key(options)] = ask(remedied.world, **options)
        return answers[as_key(options)]

    return remember


def options_after(way: Way) -> Manifest:
    """Options of the way's second detect, which it shares with as many ways as can be: options by pool are all said at once, and codes accepted."""
    by_pool = {option: {pool: said for other in WAYS for pool, said in other.sets.get(option, {}).items()} for option in ("pool_names", "models")}
    accepting = [other for other in WAYS if other.accepts]
    where = sorted({name for other in accepting for name in namespaces(other.estate)})
    accepted = {"accept": sorted({other.code for other in accepting}), "namespaces": where} if way.accepts else {}
    return way.options | way.sets | by_pool | accepted


def as_key(options: Manifest) -> str:
    """Options as a key of a dictionary."""
    return json.dumps(options, sort_keys=True)


def blockers(answer: Answer, way: Way) -> set[tuple[str, str]]:
    """Code and object of every blocker in the way's namespaces, and of those in no namespace of the others."""
    others = {name for estate_there in (PLAIN, ALIAS, CHOSEN, *(other.estate for other in WAYS)) for name in namespaces(estate_there)} - namespaces(way.estate)
    return {(entry["code"], entry["object"]) for entry in answer["findings"]
            if entry["severity"] == "blocker" and entry["object"].partition(" ")[2].partition("/")[0] not in others}


def of_way(answer: Answer, way: Way) -> list[dict[str, str]]:
    """The blockers that the way takes away."""
    mine = {name for code, name in blockers(answer, way) if code == way.code}
    return [entry for entry in answer["findings"] if entry["code"] == way.code and entry["object"] in mine]


def pools(answer: Answer, way: Way) -> set[str]:
    """The names of the pools that are planned in the way's namespace."""
    return {pool["name"] for pool in answer["plan"]["pools"] if pool["namespace"] == way.name}


@pytest.mark.matrix
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_remedy_followed_once_ends_in_a_plan_without_the_blocker(way: Way, remedied: Remedied, afterwards: Detect):
    before = remedied.before[as_key(way.options)]
    assert of_way(before, way), "there is no blocker to begin with"
    printed = [entry["remedy"] for entry in of_way(before, way)]
    assert any(way.follows in remedy for remedy in printed), printed
    assert way.name not in remedied.failures, remedied.failures[way.name]
    after = afterwards(**options_after(way))
    new = blockers(after, way) - blockers(before, way)
    assert not new, f"the remedy made new blockers: {new}"
    if way.accepts:
        assert all(f"accept {way.code}" in remedy for remedy in printed), printed
        assert way.code not in after["plan"]["blocked"]
    else:
        assert of_way(after, way) == []
    deleted = {wanted["metadata"]["name"] for wanted in way.changes if wanted["kind"] == "InferencePool" and wanted.get("$patch") == "delete"}
    left_out = way.name not in way.sets.get("namespaces", [way.name])
    assert pools(after, way) == (set() if left_out else pools(before, way) - deleted)


# -- blockers about no namespace ----------------------------------------------------------------------------------------

REWRITES = "inferencemodelrewrites.inference.networking.x-k8s.io"
READER = ("kubectl apply -f roles/migration/files/rbac/detect.yaml",
          "kubectl create clusterrolebinding inference-gateway-migration-detect --clusterrole=inference-gateway-migration-detect --user=WHO")


def the_remedy(answer: Answer, code: str) -> str:
    """The remedy that is printed with the blockers of a code, which must be one and the same."""
    (remedy,) = {entry["remedy"] for entry in answer["findings"] if (entry["code"], entry["severity"]) == (code, "blocker")}
    return remedy


def free_of(answer: Answer, code: str) -> bool:
    """Whether nothing blocks, nor is there a finding of the code."""
    return answer["plan"]["blocked"] == [] and not [entry for entry in answer["findings"] if entry["code"] == code]


@pytest.mark.matrix
@pytest.mark.parametrize(("endpoint", "follows", "sets"), [
    ("/v1/embeddings", "Set migration_target_version to v1.5.0 or later", {"target_version": "v1.5.0"}),
    ("/v1/responses", "Set migration_target_version to v1.4.0 or later", {"target_version": "v1.4.0"}),
    ("/v1/embeddings", "take /v1/embeddings out of migration_endpoints", {"endpoints": USUAL["endpoints"]}),
])
def test_an_endpoint_that_the_target_refuses(endpoint: str, follows: str, sets: Manifest, remedied: Remedied, ask: Detect):
    options = USUAL | {"namespaces": ["plain"], "target_version": "v1.3.0", "endpoints": [*USUAL["endpoints"], endpoint]}
    assert follows in the_remedy(ask(remedied.world, **options), "request-shape-rejected")
    assert free_of(ask(remedied.world, **options | sets), "request-shape-rejected")


@pytest.mark.matrix
def test_a_definition_of_rewrites_that_is_too_old(remedied: Remedied, ask: Detect):
    world, options = remedied.world, USUAL | {"namespaces": ["alias"]}
    bases = Path(world.state["crds"]) / "v1.5.0" / "bases"
    file = "inference.networking.x-k8s.io_inferencemodelrewrites.yaml"
    world.kubectl("create", "-f", str(bases / file))
    try:
        world.kubectl("annotate", "--overwrite", "crd", REWRITES, "inference.networking.k8s.io/bundle-version=v1.2.0")
        remedy = the_remedy(ask(world, **options), "crd-older-than-target")
        run(world, f"kubectl replace -f {file}", remedy, {file: str(bases / file)})
        assert free_of(ask(world, **options), "crd-older-than-target")
    finally:
        world.kubectl("delete", "crd", REWRITES)


@pytest.mark.matrix
@pytest.mark.parametrize(("hidden", "where", "code"), [
    ("httproutes.gateway.networking.k8s.io", "plain", "may-not-list"),
    ("inferencepools.inference.networking.x-k8s.io", "plain", "may-not-list"),
    ("namespaces.", "chosen", "listener-undecided"),
])
def test_a_credential_that_may_not_read_enough(hidden: str, where: str, code: str, remedied: Remedied, ask: Detect):
    with stranger(remedied.world, of_detect(hidden)) as connection:
        options = USUAL | {"namespaces": [where]} | connection
        remedy = the_remedy(ask(remedied.world, **options), code)
        for command in READER:
            run(remedied.world, command, remedy, {"WHO": STRANGER})
        assert free_of(ask(remedied.world, **options), code)
    remedied.world.kubectl("delete", "clusterrolebinding,clusterrole", "inference-gateway-migration-detect")


def listen(world: World, address: str, **listener: Any) -> None:
    """Give the plain estate's Gateway this address and this listener alone."""
    world.kubectl("patch", "gateway", "gateway", "-n", "plain", "--type=merge", "-p", json.dumps({"spec": {"listeners": [{"name": "http"} | listener]}}))
    status = {"status": {"addresses": [{"type": "IPAddress", "value": address}]}}
    world.kubectl("patch", "gateway", "gateway", "-n", "plain", "--subresource=status", "--type=merge", "-p", json.dumps(status))


CONNECT = USUAL | {"namespaces": ["plain"], "connect": True}


@pytest.mark.matrix
def test_a_gateway_that_answers_where_the_modules_run_or_by_a_proxy(remedied: Remedied, ask: Detect):
    """Nobody listens at the Gateway's address, but for the proxy, and at last for everybody."""
    with socket.create_server(("127.0.0.1", 0)) as server, connect_proxy({"127.0.0.9": "127.0.0.1"}) as (proxy, asked):
        port = server.getsockname()[1]
        listen(remedied.world, "127.0.0.9", protocol="HTTP", port=port)
        remedy = the_remedy(ask(remedied.world, **CONNECT), "gateway-unreachable")
        assert "by a proxy (migration_probe_proxy)" in remedy
        assert free_of(ask(remedied.world, **CONNECT | {"probe_proxy": proxy}), "gateway-unreachable")
        assert f"127.0.0.9:{port}" in asked
        assert "Run where the Gateway answers" in remedy
        listen(remedied.world, "127.0.0.1", protocol="HTTP", port=port)
        assert free_of(ask(remedied.world, **CONNECT), "gateway-unreachable")


@pytest.mark.matrix
def test_a_gateway_whose_certificate_is_of_an_authority_that_nobody_named(remedied: Remedied, ask: Detect, tmp_path: Path):
    """The API server's, which is a TLS server for localhost too, stands for the Gateway's."""
    world = remedied.world
    cluster = json.loads(world.kubeconfig.read_text())["clusters"][0]["cluster"]
    server = urlsplit(cluster["server"])
    (tmp_path / "ca.crt").write_bytes(b64decode(cluster["certificate-authority-data"]))
    listen(world, str(server.hostname), protocol="HTTPS", port=server.port, tls={"certificateRefs": [{"name": "gateway"}]})
    world.kubectl("patch", "httproute", "chat", "-n", "plain", "--type=merge", "-p", json.dumps({"spec": {"hostnames": ["localhost"]}}))
    remedy = the_remedy(ask(world, **CONNECT), "gateway-unreachable")
    assert "name the authority of a certificate that is not trusted (migration_probe_ca_cert)" in remedy
    assert free_of(ask(world, **CONNECT | {"probe_ca_cert": str(tmp_path / "ca.crt")}), "gateway-unreachable")
