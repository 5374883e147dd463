# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kubeconfig counts, what of it a client would not heed, and what a message may quote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import rest

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import kubeconfig
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.kubeconfig import Client, Entries, Options

PROXY = {"server": "https://10.1.2.3:6443", "proxy-url": "http://proxy:3128"}
LOGIN = PROXY | {"proxy-url": "http://a:hidden@proxy"}  # pragma: allowlist secret: nothing is sent


def config(name: str, **said: Any) -> dict[str, Any]:
    return {"current-context": name, "clusters": [{"name": name, "cluster": {"server": name}}], "users": [{"name": name, "user": {"token": name}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}]} | said


def found(cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> Entries:
    return Entries("c", cluster or {}, "u", user or {})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kube").mkdir()
    for name in ("config", "one", "two"):
        (tmp_path / ".kube" / name).write_text(yaml.safe_dump(config(name)))
    return tmp_path


@pytest.mark.parametrize(("params", "environ", "expected"), [
    ({}, {}, "config"),
    ({}, {"KUBECONFIG": "~/.kube/one"}, "one"),
    ({}, {"K8S_AUTH_KUBECONFIG": "~/.kube/two", "KUBECONFIG": "~/.kube/one"}, "two"),
    ({"kubeconfig": "~/.kube/one"}, {"K8S_AUTH_KUBECONFIG": "~/.kube/two"}, "one"),
    ({"kubeconfig": "~/.kube/missing:~/.kube/one"}, {}, "one"),
    ({"kubeconfig": "~/.kube/one:~/.kube/two", "context": "two"}, {}, "two"),
    ({"kubeconfig": "~/.kube/one:~/.kube/two"}, {"K8S_AUTH_CONTEXT": "one"}, "one"),
    ({"kubeconfig": "~/.kube/missing"}, {}, None),
    ({"host": "x"}, {}, None),
    ({}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, None),
    ({"context": "config"}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "config"),
])
def test_which_kubeconfig_counts(home: Path, params: dict[str, Any], environ: dict[str, str], expected: str | None) -> None:
    made = kubeconfig.read(Options(params, environ), lambda path: yaml.safe_load(Path(path).read_text()))
    assert (made.cluster if made else None) == ({"server": expected} if expected else None)


def read(home: Path, *configs: dict[str, Any]) -> Entries | None:
    paths = [home / str(number) for number in range(len(configs))]
    for path, content in zip(paths, configs, strict=True):
        path.write_text(yaml.safe_dump(content))
    return kubeconfig.read(Options({"kubeconfig": ":".join(map(str, paths))}, {}), lambda path: yaml.safe_load(Path(path).read_text()))


def test_files_with_different_current_contexts_are_refused(home: Path) -> None:
    assert read(home, config("a"), config("b") | {"current-context": ""}) == read(home, config("a"), config("a"))
    with pytest.raises(ValueError, match="different current contexts, a and b: say which"):
        read(home, config("a"), config("b"))


@pytest.mark.parametrize("of_one", [{}, config("a", contexts=None), config("a", clusters=[]), config("a", users=["a"]), config("a", users=[{"name": "a"}])])
def test_what_a_kubeconfig_does_not_hold_the_client_says(home: Path, of_one: dict[str, Any]) -> None:
    found = read(home, of_one)
    assert found and not (found.cluster and found.user)


def test_of_several_files_the_first_that_has_an_entry_counts(home: Path) -> None:
    first, second = config("a", users=[]), config("a", clusters=[{"name": "a", "cluster": {"server": "later"}}])
    assert read(home, first, second) == Entries("a", {"server": "a"}, "a", {"token": "a"})


NO_PROXY = "NO_PROXY in the environment names its server"
ANOTHER = {"K8S_AUTH_PROXY": "http://another"}
HEADERS = {"proxy_headers": {"proxy_basic_auth": "a:b"}}


@pytest.mark.parametrize(("entry", "release", "params", "environ", "expected"), [
    (found(PROXY), 37, {}, {}, None),
    (found(PROXY), 36, {}, {}, "has proxy-url, which the Python package kubernetes heeds from version 37 on, and 36 is installed: install kubernetes>=37"),
    (found(PROXY), 36, {}, ANOTHER, None),
    (found(PROXY), 36, {"proxy": "http://another"}, {}, None),
    (found({"tls-server-name": "x"}), 28, {}, {}, None),
    (found({"tls-server-name": "x"}), 27, {}, {}, "has tls-server-name, which the Python package kubernetes heeds from version 28 on"),
    (found({"tls-server-name": "x"}), 27, {}, ANOTHER, "has tls-server-name"),
    (found(PROXY), 37, {}, {"NO_PROXY": "localhost, 10.0.0.0/8"}, NO_PROXY),
    (found(PROXY), 37, {}, {"no_proxy": "*"}, NO_PROXY),
    (found(PROXY), 37, {}, {"NO_PROXY": "localhost,192.168.0.0/16,10.1.2.4"}, None),
    (found(PROXY), 37, {"no_proxy": "nobody"}, {"NO_PROXY": "10.1.2.3"}, None),
    (found(PROXY), 37, {}, ANOTHER | {"NO_PROXY": "10.1.2.3"}, None),
    (found({"server": "https://api.example.com"}), 36, {}, {"NO_PROXY": "*"}, None),
    (found(LOGIN), 37, {}, {}, "PROXY_BASIC_AUTH"),
    (found(LOGIN), 37, HEADERS, {}, None),
    (found(LOGIN), 37, {}, {"K8S_AUTH_PROXY_HEADERS_PROXY_BASIC_AUTH": "a:b"}, None),
    (found(user={"exec": {"interactiveMode": "IfAvailable"}}), 37, {}, {}, None),
    (found(user={"exec": {"interactiveMode": "Always"}}), 37, {}, {}, "interactiveMode Always"),
])
def test_what_a_client_would_not_heed(entry: Entries, release: int, params: dict[str, Any], environ: dict[str, str], expected: str | None) -> None:
    said = kubeconfig.refusal(entry, Options(params, environ), Client(release, rest.should_bypass_proxies))
    assert (said is None) if expected is None else (expected in (said or "") and "hidden" not in (said or ""))


def test_a_message_holds_no_secret_and_is_one_line() -> None:
    assert kubeconfig.text_of(ValueError("Expected key user in a/{'name': 'a',\n 'user': {'token': 'hidden'}}")) == "Expected key user in a/..."
    assert kubeconfig.text_of(ValueError("Invalid header value b'Bearer hidden\\n'")).startswith("The token has a character")
