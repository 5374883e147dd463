# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kubeconfig means what it means to kubectl, which is asked beside; where the Python client would do something else, one sentence says so."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import ApiError, Cluster
from ansible_collections.kubernetes.core.plugins.module_utils.k8s import client

from igw_sandbox.context import free_port
from igw_sandbox.world import World
from tests.integration.harness import CONTROL, ESTATES, detect
from tests.integration.kubeconfigs import NOWHERE, RELATIVE, Kubeconfigs, proxy_to


@pytest.fixture(scope="module")
def cluster(make_world) -> World:
    """An API server with alpha objects, on which nothing runs."""
    world = make_world("kubeconfig", services=CONTROL)
    world.add_estate(ESTATES / "two_namespaces")
    return world


@pytest.fixture
def proxy(cluster: World) -> Iterator[tuple[str, list[str]]]:
    with proxy_to(cluster) as made:
        yield made


@pytest.fixture
def kubeconfigs(cluster: World, proxy: tuple[str, list[str]], tmp_path: Path) -> Kubeconfigs:
    return Kubeconfigs(cluster, tmp_path / "of a person", proxy[0])


@pytest.fixture
def ask(cluster: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ask for the cluster's id with a kubeconfig, as every module does first; returns it, or the sentence of the failure."""
    for name in [name for name in os.environ if name.startswith("K8S_AUTH_") or name.lower().endswith("_proxy") or name == "KUBECONFIG"]:
        monkeypatch.delenv(name)

    def run(path: str | Path, **params: Any) -> str:
        monkeypatch.setattr(client, "_pool", {})  # a module is a process of its own
        asking = SimpleNamespace(params={"kubeconfig": str(path)} | params, requires=lambda *_library: None, server_side_dry_run=False)
        try:
            return Cluster(asking, patience=0).identity()
        except ApiError as error:
            return str(error)

    return run


def by_kubectl(world: World, path: str | Path, **environ: str) -> str:
    """The same by kubectl, or an empty text where it fails."""
    argv = [str(world.tool("kubectl")), "get", "--raw", "/api/v1/namespaces/kube-system", "--request-timeout=5s"]
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    answer = subprocess.run(argv, env=kept | {"KUBECONFIG": str(path)} | environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return "" if answer.returncode else json.loads(answer.stdout)["metadata"]["uid"]


Made = tuple[dict[str, Any], dict[str, Any] | None]

WORKS = {
    "proxy": lambda made: (made.through_the_proxy(), None),
    "name": lambda made: ({"tls-server-name": "localhost"}, None),
    "program": lambda made: ({}, made.program()),
    "program-if-available": lambda made: ({}, made.program(interactiveMode="IfAvailable")),
    "program-of-path": lambda made: ({}, made.program(command="sh", args=[str(made.folder / "credential")])),
    "authority": lambda made: (RELATIVE, None),
    "token-file": lambda made: (RELATIVE, {"tokenFile": "pki/token"}),
    "certificate": lambda made: (RELATIVE, {"token": made.token, "client-certificate": "pki/client.crt", "client-key": "./pki/client.key"}),
}


@pytest.mark.parametrize("case", WORKS)
def test_what_works_for_kubectl_works_here(cluster, kubeconfigs, ask, proxy, case):
    path = kubeconfigs.write(kubeconfigs.made(*WORKS[case](kubeconfigs)))
    found = ask(path)
    assert found == by_kubectl(cluster, path) != ""
    assert proxy[1] == ([f"{NOWHERE}:{kubeconfigs.port}"] * len(proxy[1]) if case == "proxy" else [])
    assert len(proxy[1]) >= (2 if case == "proxy" else 0), "ours and kubectl's"


FAILS = {
    "another-name": lambda made: ({"tls-server-name": "another.example.com"}, None, "not valid for 'another.example.com'"),
    "no-name": lambda made: (made.through_the_proxy() | {"tls-server-name": None}, None, f"not valid for '{NOWHERE}'"),
    "no-program": lambda made: ({}, made.program(command="./missing"), "credential program (exec) failed: [Errno 2] No such file or directory: './missing'"),
    "program-fails": lambda made: ({}, made.program(status=3), "credential program (exec) failed: exec: process returned 3. no session."),
    "always-interactive": lambda made: ({}, made.program(interactiveMode="Always"), "has interactiveMode Always"),
    "no-authority": lambda made: (RELATIVE | {"certificate-authority": "ca.crt"}, None, "of a person/ca.crt"),
    "no-token-file": lambda made: ({}, {"tokenFile": "token"}, "of a person/token"),
    "no-key": lambda made: ({}, {"token": made.token, "client-certificate": "pki/client.crt", "client-key": "client.key"}, "of a person/client.key"),
}


@pytest.mark.parametrize("case", FAILS)
def test_what_fails_for_kubectl_fails_here_with_one_sentence(cluster, kubeconfigs, ask, case):
    of_cluster, user, expected = FAILS[case](kubeconfigs)
    path = kubeconfigs.write(kubeconfigs.made(of_cluster, user))
    said = ask(path)
    assert expected in said and "\n" not in said and kubeconfigs.token not in said, said
    assert by_kubectl(cluster, path) == ""


def test_nothing_goes_round_a_proxy_that_is_down(cluster, kubeconfigs, ask):
    """The server's own address and certificate are in the kubeconfig, so whatever went round would arrive."""
    down = f"http://127.0.0.1:{free_port('127.0.0.1')}"
    path = kubeconfigs.write(kubeconfigs.made({"proxy-url": down.replace("//", "//person:hidden@")}))
    cluster.reset_requests()
    said = ask(path, proxy_headers={"proxy_basic_auth": "person:hidden"})
    assert f"port={down.rpartition(':')[2]}" in said and "roxy" in said and "hidden" not in said and "\n" not in said, said
    assert cluster.requests()["total"] == 0
    assert ask(kubeconfigs.write(kubeconfigs.made())) == by_kubectl(cluster, path.with_name("kubeconfig")) != "", "without the proxy it would have"
    assert cluster.requests()["total"] > 0


def other_context(made: Kubeconfigs) -> str:
    """Two files with a current context each."""
    return os.pathsep.join(str(made.write(made.made(name=name), name)) for name in ("one", "two"))


DIFFERS = {
    "no-proxy": (lambda made: made.write(made.made({"proxy-url": made.proxy})), "NO_PROXY in the environment"),
    "proxy-login": (lambda made: made.write(made.made({"proxy-url": made.proxy.replace("//", "//person:hidden@")})), "PROXY_BASIC_AUTH"),
    "line-break": (lambda made: made.write(made.made(None, {"tokenFile": "pki/line"})), "a line break at the end of its file"),
    "two-contexts": (other_context, "different current contexts, one and two: say which"),
}


@pytest.mark.parametrize("case", DIFFERS)
def test_what_works_for_kubectl_alone_is_refused_with_what_to_do(cluster, kubeconfigs, ask, proxy, monkeypatch, case):
    make, expected = DIFFERS[case]
    path = make(kubeconfigs)
    environ = {"NO_PROXY": f"localhost,{kubeconfigs.address}"} if case == "no-proxy" else {}
    assert by_kubectl(cluster, path, **environ) != ""
    assert bool(proxy[1]) == ("proxy" in case), "NO_PROXY means nothing to kubectl where the kubeconfig has a proxy"
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    cluster.reset_requests()
    said = ask(path)
    assert expected in said and "\n" not in said and kubeconfigs.token not in said and "hidden" not in said, said
    assert cluster.requests()["total"] == 0


@pytest.mark.parametrize(("text", "expected"), [
    ('users: [{name: c, user: {token: %s}]', "is no YAML"),
    ('{current-context: c, users: [{name: c, token: %s}], clusters: [{name: c, cluster: {server: "https://x"}}], '
     'contexts: [{name: c, context: {cluster: c, user: c}}]}', "Expected key user in"),
], ids=["yaml", "entry"])
def test_a_kubeconfig_that_is_none_is_said_without_its_token(kubeconfigs, ask, text, expected):
    path = kubeconfigs.folder / "ill"
    path.write_text(text % kubeconfigs.token)
    said = ask(path)
    assert expected in said and kubeconfigs.token not in said, said


def test_a_list_of_files_and_a_dictionary(cluster, kubeconfigs, collections_path, tmp_path):
    """A dictionary leaves no stars in the plan, though each of its values may be a secret."""
    config = kubeconfigs.made(RELATIVE, kubeconfigs.program())
    kubeconfigs.write(config | {"users": []}, "one"), kubeconfigs.write({"users": config["users"]}, "two")
    where = os.path.relpath(kubeconfigs.folder, tmp_path)
    whole = detect(cluster, tmp_path, collections_path, kubeconfig=f"{where}/one:{where}/two")
    assert whole["cluster"]["server"] == kubeconfigs.cluster["server"] and len(whole["plan"]["pools"]) == 2
    inline = detect(cluster, tmp_path, collections_path, kubeconfig=kubeconfigs.made())
    assert (inline["plan"], inline["cluster"]) == (whole["plan"], whole["cluster"])
