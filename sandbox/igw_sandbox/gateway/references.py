# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What references lead to: pools of both groups, Services, pods, grants and policies, looked up in one snapshot. Pure."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .model import Backend, Check, Endpoints, Manifest
from .settings import ALPHA_GROUP, GATEWAY_GROUP, V1_GROUP
from .snapshot import Snapshot

DEFAULT_PICKER_PORT = 9002
CHECK_FIELDS = {"HTTP": "httpHealthCheck", "TCP": "tcpHealthCheck", "GRPC": "grpcHealthCheck"}
POOL_KINDS = {ALPHA_GROUP: "AlphaPool", V1_GROUP: "Pool"}
LONGEST_TIMEOUT = 365 * 24 * 3600
"""Seconds; a GCPBackendPolicy may ask for more than a timer can count."""
DEFAULT_TIMEOUT = 30
HTTP2_CLEARTEXT = "kubernetes.io/h2c"
"""The appProtocol of a Service that is called without TLS."""


@dataclass(frozen=True)
class Resolution:
    """Where a reference leads. ``backend`` None: its share answers 500.

    ``reason`` is what ResolvedRefs then says; ``trouble`` is what only the reconciliation reports (the reference itself resolves).
    """

    backend: Backend | None = None
    reason: str | None = None
    message: str = ""
    trouble: str | None = None


class Index:
    """One snapshot, ready for look-ups."""

    def __init__(self, snapshot: Snapshot, pool_groups: tuple[str, ...], groups_of: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self._pool_groups = pool_groups
        self._groups_of = groups_of or {}
        self._pools = {(group, *_key(pool)): pool for group, kind in POOL_KINDS.items() for pool in snapshot.get(kind, [])}
        self._services = {_key(service): service for service in snapshot.get("Service", [])}
        self._pods: dict[str, list[Manifest]] = defaultdict(list)
        for pod in snapshot.get("Pod", []):
            if is_ready(pod):
                self._pods[pod["metadata"]["namespace"]].append(pod)
        self._grants: dict[str, list[Manifest]] = defaultdict(list)
        for grant in snapshot.get("ReferenceGrant", []):
            self._grants[grant["metadata"]["namespace"]].append(grant["spec"])
        self._policies = {kind: _by_target(snapshot.get(kind, [])) for kind in ("HealthCheckPolicy", "GCPBackendPolicy")}

    def resolve(self, gateway: str, namespace: str, reference: Manifest) -> Resolution:
        """Follow a backendRef of an HTTPRoute in ``namespace`` for one Gateway."""
        group, kind, name = reference.get("group") or "", reference.get("kind") or "Service", reference["name"]
        target = reference.get("namespace") or namespace
        what = f"{kind} {target}/{name}" + (f" of group {group}" if group else "")
        is_pool = kind == "InferencePool" and group in self._groups_of.get(gateway, self._pool_groups)
        if not is_pool and (group, kind) != ("", "Service"):
            return Resolution(reason="InvalidKind", message=f"{what}: this kind of backend is not supported by the Gateway")
        if target != namespace and not self.permits(namespace, group, kind, target, name):
            return Resolution(reason="RefNotPermitted", message=f"{what}: no ReferenceGrant in {target} permits HTTPRoutes of {namespace} to refer to it")
        if is_pool:
            return self._resolve_pool(gateway, group, target, name, what)
        service = self._services.get((target, name))
        if service is None:
            return Resolution(reason="BackendNotFound", message=f"{what} not found")
        port = reference.get("port")
        if port is None or not any(entry["port"] == port for entry in service["spec"].get("ports") or []):
            return Resolution(reason="BackendNotFound", message=f"{what} has no port {port}")
        return Resolution(Backend(gateway, "", "Service", target, name, port, timeout_seconds=self.timeout(group, kind, target, name), uid=_uid(service)))

    def callout_backend(self, gateway: str, namespace: str, reference: Manifest) -> Backend | None:
        """The Service that a routing extension of ``namespace`` calls for one Gateway; None when it is not there or of another kind."""
        resolution = self.resolve(gateway, namespace, reference)
        if resolution.backend is None or resolution.backend.is_pool:
            return None
        ports = self._services[resolution.backend.namespace, resolution.backend.name]["spec"]["ports"]
        protocol = next(entry.get("appProtocol") for entry in ports if entry["port"] == resolution.backend.port)
        return replace(resolution.backend, callout="plain" if protocol == HTTP2_CLEARTEXT else "tls")

    def _resolve_pool(self, gateway: str, group: str, namespace: str, name: str, what: str) -> Resolution:
        pool = self._pools.get((group, namespace, name))
        if pool is None:
            return Resolution(reason="BackendNotFound", message=f"{what} not found")
        trouble = self.picker_trouble(group, namespace, name)
        if trouble:
            return Resolution(message=f"{what}: {trouble}", trouble=f"{what}: {trouble}")
        fail_open = picker_of(pool).get("failureMode") == "FailOpen"
        return Resolution(Backend(gateway, group, "InferencePool", namespace, name, timeout_seconds=self.timeout(group, "InferencePool", namespace, name),
                                  fail_open=fail_open, uid=_uid(pool)))

    def permits(self, source: str, group: str, kind: str, namespace: str, name: str) -> bool:
        """Whether a ReferenceGrant lets HTTPRoutes of namespace ``source`` name the object."""
        wanted = {"group": GATEWAY_GROUP, "kind": "HTTPRoute", "namespace": source}
        for spec in self._grants.get(namespace, []):
            allows = any({key: entry.get(key) for key in wanted} == wanted for entry in spec.get("from") or [])
            covers = any((entry.get("group") or "", entry.get("kind"), entry.get("name") or name) == (group, kind, name) for entry in spec.get("to") or [])
            if allows and covers:
                return True
        return False

    def picker_trouble(self, group: str, namespace: str, name: str) -> str | None:
        """Why a pool's endpoint picker can't be found, or None. A Service without ready pods is found."""
        reference = picker_of(self._pools[group, namespace, name])
        if (reference.get("group") or "", reference.get("kind") or "Service") != ("", "Service"):
            return f"endpoint picker of kind {reference.get('kind')} is not supported"
        service = self._services.get((namespace, reference.get("name", "")))
        if service is None:
            return f"endpoint picker Service {namespace}/{reference.get('name')} not found"
        port = picker_port(reference)
        if not any(entry["port"] == port for entry in service["spec"].get("ports") or []):
            return f"endpoint picker Service {namespace}/{reference['name']} has no port {port}"
        return None

    def endpoints(self, backend: Backend) -> Endpoints | None:
        """The addresses behind a backend now; None when the objects that name them are gone."""
        check = self.check(backend)
        if not backend.is_pool:
            service = self._services.get((backend.namespace, backend.name))
            return None if service is None or _uid(service) != backend.uid else Endpoints(pods=self._service_pods(service, backend.port), check=check)
        pool = self._pools.get((backend.group, backend.namespace, backend.name))
        if pool is None or _uid(pool) != backend.uid:
            return None
        port = target_port(pool)
        pods = tuple(sorted(f"{pod['status']['podIP']}:{port}" for pod in self._pods.get(backend.namespace, []) if _selects(pool_selector(pool), pod)))
        reference = picker_of(pool)
        service = self._services.get((backend.namespace, reference.get("name", "")))
        pickers = () if service is None else self._service_pods(service, picker_port(reference))
        return Endpoints(pods, pickers, check)

    def _service_pods(self, service: Manifest, port: int | None) -> tuple[str, ...]:
        """ADDRESS:PORT of a Service's ready pods for one of its ports; sorted."""
        spec, namespace = service["spec"], service["metadata"]["namespace"]
        entry = next((entry for entry in spec.get("ports") or [] if entry["port"] == port), None)
        if entry is None or not spec.get("selector"):
            return ()
        target = entry.get("targetPort") or entry["port"]
        found = []
        for pod in self._pods.get(namespace, []):
            number = target if isinstance(target, int) else _named_port(pod, target)
            if number is not None and _selects(spec["selector"], pod):
                found.append(f"{pod['status']['podIP']}:{number}")
        return tuple(sorted(found))

    def policies(self, kind: str, group: str, target: str, namespace: str, name: str) -> list[Manifest]:
        """Policies of one kind on one target, the one that counts (the oldest) first."""
        return self._policies[kind].get((namespace, group, target, name), [])

    def timeout(self, group: str, kind: str, namespace: str, name: str) -> int:
        """Seconds that a request to a target may take: timeoutSec of its oldest GCPBackendPolicy, else 30."""
        for policy in self.policies("GCPBackendPolicy", group, kind, namespace, name)[:1]:
            value = (policy["spec"].get("default") or {}).get("timeoutSec")
            if value:
                return min(int(value), LONGEST_TIMEOUT)
        return DEFAULT_TIMEOUT

    def check(self, backend: Backend) -> Check:
        """How a backend's endpoints are checked: its oldest HealthCheckPolicy, else GET / on the serving port."""
        for policy in self.policies("HealthCheckPolicy", backend.group, backend.kind, backend.namespace, backend.name)[:1]:
            return check_of(policy["spec"].get("default") or {})
        return Check()

    def targeting(self, kind: str) -> dict[tuple[str, str, str, str], list[Manifest]]:
        """All policies of a kind by (namespace, group, kind, name) of their target."""
        return self._policies[kind]

    def pool(self, group: str, namespace: str, name: str) -> Manifest | None:
        return self._pools.get((group, namespace, name))


def check_of(default: Mapping[str, Any]) -> Check:
    """The Check that ``spec.default`` of a HealthCheckPolicy asks for."""
    config = default.get("config") or {}
    kind = config.get("type") or "HTTP"
    detail = config.get(CHECK_FIELDS.get(kind, "")) or {}
    path = detail.get("grpcServiceName") or "" if kind == "GRPC" else detail.get("requestPath") or "/"
    port = detail.get("port") if detail.get("portSpecification") in (None, "USE_FIXED_PORT") else None
    interval = float(default.get("checkIntervalSec") or Check.interval)
    return Check(kind, path, port, interval, float(default.get("timeoutSec") or interval),
                 int(default.get("healthyThreshold") or Check.healthy), int(default.get("unhealthyThreshold") or Check.unhealthy))


def is_ready(pod: Manifest) -> bool:
    status = pod.get("status") or {}
    conditions = {entry["type"]: entry["status"] for entry in status.get("conditions") or []}
    return bool(status.get("podIP")) and conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def picker_of(pool: Manifest) -> Manifest:
    """extensionRef of an alpha pool, endpointPickerRef of a v1 pool."""
    spec = pool.get("spec") or {}
    return spec.get("extensionRef") or spec.get("endpointPickerRef") or {}


def picker_port(reference: Manifest) -> int:
    """Port of the endpoint picker's Service: portNumber (alpha) or port.number (v1), 9002 when neither is said."""
    return reference.get("portNumber") or (reference.get("port") or {}).get("number") or DEFAULT_PICKER_PORT


def target_port(pool: Manifest) -> int:
    spec = pool.get("spec") or {}
    ports = spec.get("targetPorts") or [{"number": spec.get("targetPortNumber", 0)}]
    return int(ports[0]["number"])


def pool_selector(pool: Manifest) -> dict[str, str]:
    """Labels of a pool's pods; an alpha pool's empty selector means every pod of the namespace."""
    selector = (pool.get("spec") or {}).get("selector") or {}
    return selector.get("matchLabels", {}) if pool["apiVersion"].startswith(V1_GROUP) else selector


def _selects(selector: Mapping[str, str], pod: Manifest) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return all(labels.get(name) == value for name, value in selector.items())


def _named_port(pod: Manifest, name: str) -> int | None:
    ports = (port for container in pod["spec"].get("containers") or [] for port in container.get("ports") or [])
    return next((port["containerPort"] for port in ports if port.get("name") == name), None)


def _by_target(policies: list[Manifest]) -> dict[tuple[str, str, str, str], list[Manifest]]:
    """(namespace, group, kind, name) of the target -> its policies, oldest first."""
    found: dict[tuple[str, str, str, str], list[Manifest]] = defaultdict(list)
    for policy in sorted(policies, key=lambda policy: (policy["metadata"].get("creationTimestamp") or "", policy["metadata"]["name"])):
        target = policy["spec"].get("targetRef") or {}
        found[policy["metadata"]["namespace"], target.get("group") or "", target.get("kind", ""), target.get("name", "")].append(policy)
    return dict(found)


def _key(item: Manifest) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def _uid(item: Manifest) -> str:
    return item["metadata"].get("uid") or ""
