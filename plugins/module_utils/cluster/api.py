# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talks to the API server; no other file does.

Requests go by path through the dynamic client's raw ``request``, so that nothing depends on discovery: looking up an absent
kind there costs a dozen requests, and its cache is wrong after a CRD was deleted. The client is kubernetes.core's;
``openshift.dynamic.DynamicClient`` has the same ``request`` and works in its place.

For internal use of this collection only.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any
from urllib.parse import quote

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster import kubeconfig
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import FIELD_MANAGER, Manifest
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import get_api_client
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.exceptions import CoreException

try:
    import kubernetes
    import yaml
    from kubernetes.client import rest
    from kubernetes.client.rest import ApiException
    from kubernetes.dynamic.exceptions import DynamicApiError
    from urllib3.exceptions import HTTPError
except ImportError:
    # AnsibleK8SModule reports the missing library before anything here is called.
    ApiException = DynamicApiError = HTTPError = Exception  # type: ignore[misc, assignment]  # no such classes then

PAGE = 500
"""Objects on one page of a list, as many as kubectl asks for."""

CONNECT_SECONDS = 2
"""Longest time for a connection to a server that can be reached, in seconds; one that can't is tried again."""
RETRY_STATUS = (429, 500, 502, 503, 504)
UNSENT = -1
"""In place of a status: the request can't be sent at all."""


class ApiError(Exception):
    """A request that failed, in the API server's own words where it refused.

    ``status``: the HTTP status, 0 where there was no answer. ``retry_after``: seconds after which the server wants to be asked again, 0 where it says none.
    """

    status = 0
    retry_after = 0.0

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status or self.status


class NotServed(ApiError):
    """404: the kind is not served, or the object or its namespace does not exist."""

    status = 404


class Forbidden(ApiError):
    """403: the credential may not do this."""

    status = 403


class NotAdmitted(Forbidden):
    """403: the credential may write this, but admission (Pod Security, a quota, a webhook) refuses the object, in its own words."""


class Conflict(ApiError):
    """409: the object was changed since it was read, or exists already."""

    status = 409


class Unreachable(ApiError):
    """The API server gave no usable answer within the time that the caller allows."""


class Unauthorized(Unreachable):
    """401: the credential is not accepted, any more or yet. A renewed one is read by the next module, so it is waited for like a server that is away."""

    status = 401


class WrongCluster(ApiError):
    """The connection leads to another cluster than the one that was meant, or may do so."""


ERRORS: dict[int, type[ApiError]] = {401: Unauthorized, 403: Forbidden, 404: NotServed, 409: Conflict}
_ADMISSION = re.compile(r'is forbidden: (?!User ")|^admission webhook ')
"""What a refusal by admission says, and no authorizer's (``is forbidden: User "x" cannot create resource ...``): their statuses do not differ.

Source: https://github.com/kubernetes/kubernetes/blob/v1.34.4/staging/src/k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go
"""
_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')
"""One warning of a Warning header (RFC 7234), as API servers write it."""


def auth_argument_spec() -> dict[str, Any]:
    """Return the connection options that every module of this collection takes: kubernetes.core's own and ``cluster_id``."""
    return deepcopy(AUTH_ARG_SPEC) | {"cluster_id": {"type": "str"}}


def plural(kind: str) -> str:
    """Return the resource name of a kind, e.g. ``gcpbackendpolicies``, by the one rule that all kinds used here follow."""
    word = kind.lower()
    return word[:-1] + "ies" if word.endswith("y") and word[-2] not in "aeiou" else word + "s"


def object_path(api_version: str, kind: str, namespace: str | None, name: str) -> str:
    """Return the API path of one object, e.g. ``("apps/v1", "Deployment", "ns", "x")`` gives ``/apis/apps/v1/namespaces/ns/deployments/x``."""
    return f"{collection_path(api_version, plural(kind), namespace)}/{quote(name)}"


def collection_path(api_version: str, resource: str, namespace: str | None = None) -> str:
    """Return the API path of a collection, e.g. ``("apps/v1", "deployments", "ns")`` gives ``/apis/apps/v1/namespaces/ns/deployments``."""
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    return f"{root}/namespaces/{quote(namespace)}/{resource}" if namespace else f"{root}/{resource}"


def refuse_ambiguous_connection(params: dict[str, Any], environ: dict[str, str]) -> None:
    """Refuse a kubeconfig or context without ``host`` while the environment sets K8S_AUTH_HOST.

    kubernetes.core takes host and api_key from the environment before it looks at the kubeconfig, so every host of a fleet
    would be migrated on the one cluster that the environment names (seen with AWX's bearer-token credential).

    :raises WrongCluster: when both are given; the message holds the remedy.
    """
    named = [option for option in ("kubeconfig", "context") if params.get(option)]
    if named and environ.get("K8S_AUTH_HOST") and not params.get("host"):
        raise WrongCluster(
            f"{' and '.join(named)} given, but K8S_AUTH_HOST={environ['K8S_AUTH_HOST']} in the environment would win over it: "
            "remove that credential from the job (or unset K8S_AUTH_HOST), or give host and api_key in the inventory instead."
        )


# -- the connection ------------------------------------------------------------------------------------------------------


class _Raise(logging.Handler):
    """Raises what the Python client logs of a kubeconfig: it logs that a credential program failed, and would go on without a credential."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.module == "kube_config":
            raise ValueError(f"Its credential program (exec) failed: {record.getMessage()}")


def _parsed(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8") as stream:
        try:
            config = yaml.safe_load(stream)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            # Not the error's text, which quotes the line
            raise ValueError(f"Kubeconfig {path} is no YAML{f', see line {mark.line + 1}' if mark else ''}.") from None
    if not isinstance(config, dict):
        raise ValueError(f"Kubeconfig {path} holds no clusters, users and contexts.")
    return config


def _connect(module: Any) -> Any:
    """Return kubernetes.core's client.

    :raises ApiError: also where it would not do what kubectl does by the same kubeconfig; then nothing was sent.
    """
    root, handler = logging.getLogger(), _Raise(logging.ERROR)
    root.addHandler(handler)
    try:
        options = kubeconfig.Options(module.params, os.environ)
        found = kubeconfig.read(options, _parsed)
        bypasses = getattr(rest, "should_bypass_proxies", lambda _server, _hosts: False)  # older clients, which are refused a proxy-url anyway, lack it
        client = kubeconfig.Client(int(kubernetes.__version__.split(".")[0]), bypasses)
        if found and (why := kubeconfig.refusal(found, options, client)):
            raise ApiError(f"Nothing was asked of the cluster: {why}")
        return _without_retries(get_api_client(module))
    except (HTTPError, ApiException, DynamicApiError) as error:
        # Discovery asks the server as soon as a client is made.
        raise Unreachable(f"The API server that this host's connection names gave no usable answer: {error}") from error
    except (CoreException, ImportError, OSError, ValueError) as error:
        said = kubeconfig.text_of(error).rstrip(".")
        raise ApiError(f"No connection to the cluster could be set up: {said}. Check kubeconfig, context or host of this inventory host.") from None
    finally:
        root.removeHandler(handler)


def _without_retries(client: Any) -> Any:
    """Return the client so that it sends each request once: by itself urllib3 sends a PUT or DELETE again that may have been done, whenever it likes."""
    pools = client.client.client.rest_client.pool_manager
    pools.connection_pool_kw["retries"] = False
    pools.clear()  # discovery has made one already
    return client


# -- the cluster ---------------------------------------------------------------------------------------------------------


class Cluster:
    """Sends requests to one cluster's API server.

    :param module: an AnsibleK8SModule whose argument spec holds :func:`auth_argument_spec`.
    :param patience: seconds for which an unreachable or overloaded API server is tried again.
    :raises WrongCluster: when the connection is ambiguous or leads to another cluster than ``cluster_id`` names.
    :raises Unreachable: when the server does not answer.
    :raises ApiError: when kubeconfig, context or host make no connection.
    """

    def __init__(self, module: Any, patience: float = 60.0) -> None:
        refuse_ambiguous_connection(module.params, dict(os.environ))
        self.patience = patience
        found = _connect(module)
        self._client = found.client
        self.server: str = found.configuration.host
        self._identity: str | None = None
        self.fence: Callable[[], None] | None = None
        """Called before every write is sent, and raises where it must not be. A dry run is no write."""
        self.warnings: list[str] = []
        """What the server warned of with its last answer, in its own words."""
        expected = module.params.get("cluster_id")
        if expected and self.identity() != expected:
            raise WrongCluster(
                f"{self.server} is cluster {self.identity()}, but the inventory says migration_cluster_id {expected}: "
                "nothing was written; correct the kubeconfig, the context or migration_cluster_id."
            )

    # -- requests ---------------------------------------------------------------------------------------------------

    def request(
        self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None, content_type: str | None = None, patience: float | None = None,
    ) -> Any:
        """Send one request, again while the server is unreachable or overloaded, and return the answer's JSON.

        Sending again is safe for every write here: a PUT carries a resourceVersion, a POST that was taken before gets 409,
        and a DELETE that was taken before gets 404.

        :param patience: the cluster's own if None.
        :raises ApiError: or its subclass for the HTTP status, when the server refuses; what :attr:`fence` raises, before a write.
        :raises Unreachable: when no usable answer came for ``patience`` seconds.
        """
        patience = self.patience if patience is None else patience
        deadline = time.monotonic() + patience
        pause = 0.2
        while True:
            if self.fence is not None and method != "GET" and "dryRun" not in (query or {}):
                self.fence()
            try:
                return self._once(method, path, body, query, content_type)
            except ApiError as error:
                if error.status not in (0, *RETRY_STATUS):
                    raise
                wait = max(pause, error.retry_after)
                if time.monotonic() + wait > deadline:
                    raise Unreachable(f"{self.server} gave no usable answer to {method} {path} for {patience:.0f} s: {error}") from error
            time.sleep(wait)
            pause = min(pause * 2, 3.0)

    def _once(self, method: str, path: str, body: Any, query: dict[str, Any] | None, content_type: str | None) -> Any:
        try:
            whole = self._client.request(
                method,
                path,
                body=body,
                query_params=list((query or {}).items()),
                header_params={"Accept": "application/json"},
                content_type=content_type,
                serialize=False,
                _request_timeout=(CONNECT_SECONDS, 60),
            )
            answer = whole.data  # read here: an answer that breaks off is none
        except (ApiException, DynamicApiError) as error:
            raise _api_error(method, path, error) from error
        except (HTTPError, OSError) as error:
            raise ApiError(str(error)) from error
        except ValueError as error:
            raise ApiError(kubeconfig.text_of(error), UNSENT) from None
        self.warnings = [re.sub(r"\\(.)", r"\1", text) for text in _WARNING.findall(", ".join(whole.headers.getlist("Warning")))]
        try:
            return json.loads(answer)
        except ValueError as error:
            raise ApiError(f"{method} {path}: the answer is not JSON (a proxy's page?)") from error

    # -- reading ----------------------------------------------------------------------------------------------------

    def list(self, path: str, *, patience: float | None = None, **query: Any) -> Iterator[Manifest]:
        """Yield every object of a collection, page by page, with apiVersion and kind filled in.

        :param query: query parameters of the list, e.g. ``labelSelector``.
        :raises NotServed: when the kind is not served.
        :raises Forbidden: when the credential may not list it.
        """
        token = ""
        while True:
            page = self.request("GET", path, query=query | {"limit": PAGE} | ({"continue": token} if token else {}), patience=patience)
            head = {"apiVersion": page["apiVersion"], "kind": page["kind"].removesuffix("List")}
            for item in page.get("items") or []:
                yield head | item
            token = page["metadata"].get("continue") or ""
            if not token:
                return

    def get(self, path: str) -> Manifest | None:
        """Return one object, or None where it does not exist or its kind is not served."""
        try:
            return self.request("GET", path)
        except NotServed:
            return None

    def identity(self) -> str:
        """Return the cluster's id: the uid of namespace kube-system, which lives as long as the cluster."""
        if self._identity is None:
            self._identity = self.request("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"]
        return self._identity

    def version(self) -> str:
        """Return the server's gitVersion, e.g. ``v1.34.0-gke.1626000``."""
        return self.request("GET", "/version")["gitVersion"]

    def groups(self) -> set[str]:
        """Return every served ``group/version``; the core group's ``v1`` is not among them."""
        return {version["groupVersion"] for group in self.request("GET", "/apis")["groups"] for version in group["versions"]}

    # -- writing ----------------------------------------------------------------------------------------------------

    def create(self, path: str, manifest: Manifest, dry_run: bool = False) -> Manifest:
        """Create one object in a collection and return it as stored. :raises Conflict: when it exists already."""
        return self.request("POST", path, body=manifest, query=_dry(dry_run) | {"fieldManager": FIELD_MANAGER})

    def replace(self, path: str, manifest: Manifest, dry_run: bool = False) -> Manifest:
        """Replace one object under the resourceVersion it was read with, and return it as stored. :raises Conflict: when it was changed since."""
        return self.request("PUT", path, body=manifest, query=_dry(dry_run) | {"fieldManager": FIELD_MANAGER})

    def delete(self, path: str, dry_run: bool = False, **options: Any) -> bool:
        """Delete one object; return False where there was none. ``options`` are fields of DeleteOptions, e.g. ``preconditions``."""
        # An API server that gets DeleteOptions in the body reads none in the query: there alone dryRun would delete.
        said = {"dryRun": ["All"]} if dry_run else {}
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"} | said | options
        try:
            self.request("DELETE", path, body=body, query=_dry(dry_run))
        except NotServed:
            return False
        return True


def _dry(dry_run: bool) -> dict[str, Any]:
    return {"dryRun": "All"} if dry_run else {}


def _api_error(method: str, path: str, error: Any) -> ApiError:
    """Return the error for a refusal, with the message of the server's Status, or else its body or reason."""
    status = int(getattr(error, "status", 0) or 0)
    body = getattr(error, "body", None) or ""
    try:
        message = json.loads(body).get("message") or str(body)
    except (ValueError, AttributeError):
        message = str(body) or " ".join(str(getattr(error, "reason", error)).split())  # of an SSLError its name is a line by itself
    kind = NotAdmitted if status == 403 and _ADMISSION.search(message) else ERRORS.get(status, ApiError)
    remedy = ". The credential is not accepted (any more): renew it, then start again" if kind is Unauthorized else ""
    found = kind(f"{method} {path}: {message.strip()}{remedy}", status)
    found.retry_after = _retry_after(getattr(error, "headers", None))
    return found


def _retry_after(headers: Any) -> float:
    """Return the seconds of a Retry-After header, 0 without one; API servers give seconds, never a date."""
    said = str((headers or {}).get("Retry-After", ""))
    return float(said) if said.isdigit() else 0.0
