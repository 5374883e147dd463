# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds what of a kubeconfig would mean something else here than it does to kubectl. Dictionaries in, sentences out.

What kubectl makes of the fields: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/. No sentence holds a value that may be secret.

For internal use of this collection only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

SINCE = {"proxy-url": 37, "tls-server-name": 28}
"""Fields of a cluster, and the release of the Python package kubernetes that was the first to heed them: https://pypi.org/project/kubernetes/."""


@dataclass(frozen=True)
class Entries:
    """What a kubeconfig says of one context: the cluster's and the user's entry, and their names."""

    cluster_name: str
    cluster: dict[str, Any]
    user_name: str
    user: dict[str, Any]


@dataclass(frozen=True)
class Options:
    """What is said of a connection beside the kubeconfig."""

    params: Mapping[str, Any]
    environ: Mapping[str, str]

    def __getitem__(self, name: str) -> Any:
        """Return an option as kubernetes.core finds it: a module's own, or the environment's."""
        return self.params.get(name) or self.environ.get(f"K8S_AUTH_{name.upper()}")

    @property
    def no_proxy(self) -> str:
        """Hosts that the Python client reaches without any proxy."""
        return self["no_proxy"] or self.environ.get("no_proxy") or self.environ.get("NO_PROXY") or ""

    @property
    def proxy_login(self) -> str:
        """A proxy's ``USER:PASSWORD``."""
        return (self.params.get("proxy_headers") or {}).get("proxy_basic_auth") or self["proxy_headers_proxy_basic_auth"] or ""


@dataclass(frozen=True)
class Client:
    """What the installed Python client does.

    :param release: major version of the package kubernetes. :param bypasses: whether it goes to a server (URL) past any proxy, by what NO_PROXY says.
    """

    release: int
    bypasses: Callable[[str, str], bool]


def read(options: Options, parse: Callable[[str], dict[str, Any]]) -> Entries | None:
    """Return the entries that a connection goes by; None where it does not go by a kubeconfig, or there is none.

    Which kubeconfig that is, kubernetes.core decides: ``_create_configuration`` in its plugins/module_utils/k8s/client.py. Of several files the first that
    has an entry counts.

    :param parse: reads one file.
    :raises ValueError: when kubectl and the Python client would go by different contexts.
    """
    source, context = options["kubeconfig"], options["context"]
    in_a_pod = not source and not context and options.environ.get("KUBERNETES_SERVICE_HOST")
    if options["host"] or in_a_pod:
        return None
    paths = (source or options.environ.get("KUBECONFIG") or "~/.kube/config").split(os.pathsep)
    configs = [parse(path) for path in map(os.path.expanduser, paths) if os.path.isfile(path)]
    current = list(dict.fromkeys(config["current-context"] for config in configs if config.get("current-context")))
    if not context and len(current) > 1:
        # kubectl and Helm take the first, the Python client the last
        raise ValueError(f"The files of the kubeconfig have different current contexts, {' and '.join(current)}: say which is meant with context.")
    found = _entry(configs, "context", context or next(iter(current), ""))
    cluster, user = found.get("cluster", ""), found.get("user", "")
    return Entries(cluster, _entry(configs, "cluster", cluster), user, _entry(configs, "user", user)) if configs else None


def _entry(configs: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """Return an entry by its name, an empty one where there is none: the Python client says that itself."""
    items = (item for config in configs for item in config.get(f"{kind}s") or [] if isinstance(item, dict) and item.get("name") == name)
    return next(items, {}).get(kind) or {}


def refusal(found: Entries, options: Options, client: Client) -> str | None:
    """Return why modules or Helm would not do what kubectl does by these entries, with the remedy; None where they would."""
    return next(_differences(found, options, client), None)


def _differences(found: Entries, options: Options, client: Client) -> Iterator[str]:
    # Who names another proxy for kubernetes.core does not mean the kubeconfig's
    proxy = "" if options["proxy"] else found.cluster.get("proxy-url") or ""
    for field, said in (("proxy-url", proxy), ("tls-server-name", found.cluster.get("tls-server-name"))):
        if said and client.release < SINCE[field]:
            yield (f"Cluster {found.cluster_name} of the kubeconfig has {field}, which the Python package kubernetes heeds from version {SINCE[field]} on, and "
                   f"{client.release} is installed: install kubernetes>={SINCE[field]} on the host on which modules run.")
    if proxy and client.bypasses(found.cluster.get("server") or "", options.no_proxy):
        yield (f"Cluster {found.cluster_name} of the kubeconfig has proxy-url, but NO_PROXY in the environment names its server, and the Python client would "
               "go there without the proxy: take it out of NO_PROXY for this run.")
    if "@" in urlsplit(proxy).netloc and not options.proxy_login:
        yield (f"proxy-url of cluster {found.cluster_name} in the kubeconfig has a login, which the Python client does not send: set "
               "K8S_AUTH_PROXY_HEADERS_PROXY_BASIC_AUTH to USER:PASSWORD in the environment of modules too.")
    if (found.user.get("exec") or {}).get("interactiveMode") == "Always":
        yield (f"The credential program of user {found.user_name} in the kubeconfig has interactiveMode Always, and there is no terminal here: use one that "
               "asks nobody.")


def text_of(error: Exception) -> str:
    """Return an error of the Python client in one line, without a token: some of its errors quote the header that it can't send, or a whole entry."""
    if isinstance(error, ValueError) and "header" in str(error):
        return "The token has a character that no header may have, as a line break at the end of its file: write it without."
    return " ".join(re.sub(r"\{.*\}", "...", str(error), flags=re.DOTALL).split())
