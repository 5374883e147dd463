# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds what was observed of one run, and the helpers that read routes and pools from it. Pure: dictionaries in, no client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.e2e.product import ALPHA_GROUP

Manifest = Mapping[str, Any]
V1_GROUP = "inference.networking.k8s.io"
PROBE_ROUTE = "inference-gateway-migration/probe-route"
"""The label of the migration's own routes, by which no user asks."""
STATE_NAMESPACE = "inference-gateway-migration"


class Key(NamedTuple):
    """Which object: two groups have a kind InferencePool."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        kind = f"{self.kind}.{self.group}" if self.kind == "InferencePool" else self.kind
        return f"{kind} {self.namespace}/{self.name}" if self.namespace else f"{kind} {self.name}"


JOURNAL = Key("", "ConfigMap", STATE_NAMESPACE, "inference-gateway-migration")
LEASE = Key("coordination.k8s.io", "Lease", STATE_NAMESPACE, "inference-gateway-migration")


def key_of(manifest: Manifest) -> Key:
    """Return the key of an object."""
    group, slash, _version = manifest["apiVersion"].partition("/")
    meta = manifest["metadata"]
    return Key(group if slash else "", manifest["kind"], meta.get("namespace") or "", meta["name"])


class State(NamedTuple):
    """One version of an object, as a watch saw it.

    :param revision: etcd's, in which the versions of all kinds are in one order.
    :param time: seconds since the epoch.
    :param gone: whether the object was deleted; ``manifest`` is then what it was last.
    """

    revision: int
    time: float
    gone: bool
    manifest: Manifest


class Play(NamedTuple):
    """One run of a playbook.

    :param user: by which the API proxy's log names it.
    :param what: ``fault`` (the one that is disturbed), ``again`` (the same command once more), ``rerun`` (once more after a proven end), ``check`` (in check
        mode), ``rollback`` or ``second`` (started while another lives).
    """

    user: str
    what: str
    status: int
    verdict: str
    begin: float = 0.0
    end: float = 0.0


class Request(NamedTuple):
    """One request of the load: the rule that it asked by (``namespace/route/index``), and when it was open."""

    rule: str
    start: float
    end: float


@dataclass(frozen=True)
class Evidence:
    """What was observed of one run, from a quiet cluster to a quiet cluster.

    :param baseline: every watched object as it was before the migration; of a run that begins in the middle, from the snapshot of its beginning.
    :param before: every watched object when the run began.
    :param history: every version of a watched object since then, by revision.
    :param calls: the API proxy's log, as it writes it (``time``, ``user``, ``method``, ``path``, ``write``, ``status``).
    :param plan: the plan in the journal; None where there is none.
    :param requests: the load's.
    :param edits: revisions that somebody else than the migration wrote on purpose.
    :param broken: Deployments (namespace, name) that were broken on purpose.
    """

    baseline: Sequence[Manifest]
    before: Sequence[Manifest]
    history: Sequence[State]
    calls: Sequence[Mapping[str, Any]] = ()
    plays: Sequence[Play] = ()
    plan: Mapping[str, Any] | None = None
    requests: Sequence[Request] = ()
    edits: frozenset[int] = frozenset()
    broken: frozenset[tuple[str, str]] = frozenset()

    def moves(self) -> dict[Key, Key]:
        """Return the v1 pool of every alpha pool that the plan moves."""
        pools = (self.plan or {}).get("pools") or []
        return {pool_key(ALPHA_GROUP, pool["namespace"], pool["name"]): pool_key(V1_GROUP, pool["namespace"], pool["v1_name"]) for pool in pools}

    def planned_deletes(self) -> set[Key]:
        """Return what the plan takes away with the alpha pools, pools included."""
        found = set(self.moves())
        for pool in (self.plan or {}).get("pools") or []:
            found |= {key_of(manifest) for manifest in [*pool["retire"], *((pool.get("owner") or {}).get("objects") or [])]}
        return found

    def of(self, what: str) -> list[Play]:
        """Return the plays of one sort."""
        return [play for play in self.plays if play.what == what]


def pool_key(group: str, namespace: str, name: str) -> Key:
    """Return the key of a pool."""
    return Key(group, "InferencePool", namespace, name)


@dataclass
class Cluster:
    """The watched objects at one moment."""

    objects: dict[Key, Manifest] = field(default_factory=dict)

    @classmethod
    def of(cls, manifests: Sequence[Manifest]) -> Cluster:
        return cls({key_of(manifest): manifest for manifest in manifests})

    def take(self, state: State) -> None:
        """Go on to the next version of an object."""
        if state.gone:
            self.objects.pop(key_of(state.manifest), None)
        else:
            self.objects[key_of(state.manifest)] = state.manifest

    def users_routes(self) -> Iterator[tuple[Key, Manifest]]:
        """Yield every route that users ask by."""
        for key, manifest in self.objects.items():
            if key.kind == "HTTPRoute" and not is_probe_route(manifest):
                yield key, manifest

    def routes(self) -> Iterator[tuple[Key, Manifest]]:
        """Yield every route."""
        yield from ((key, manifest) for key, manifest in self.objects.items() if key.kind == "HTTPRoute")

    def serving(self, pool: Key) -> tuple[str, str, int] | None:
        """Return namespace, name and number of ready replicas of the Deployment behind a pool's endpoint picker; None where there is none."""
        spec = self.objects[pool]["spec"]
        name = (spec.get("endpointPickerRef") or spec.get("extensionRef") or {}).get("name", "")
        service = self.objects.get(Key("", "Service", pool.namespace, name))
        selector = ((service or {}).get("spec") or {}).get("selector")
        for key, manifest in self.objects.items():
            if selector and key.kind == "Deployment" and key.namespace == pool.namespace:
                labels = manifest["spec"]["template"]["metadata"].get("labels") or {}
                if selector.items() <= labels.items():
                    return key.namespace, key.name, (manifest.get("status") or {}).get("readyReplicas") or 0
        return None


def is_probe_route(manifest: Manifest) -> bool:
    """Whether a route is the migration's own."""
    return PROBE_ROUTE in (manifest["metadata"].get("labels") or {})


def target(reference: Mapping[str, Any], namespace: str) -> Key:
    """Return what a reference of a route in a namespace names."""
    return Key(reference.get("group") or "", reference.get("kind") or "Service", reference.get("namespace") or namespace, reference["name"])


def weight(reference: Mapping[str, Any]) -> int:
    """Return the weight of a reference, which is 1 where nothing is said."""
    said = reference.get("weight")
    return 1 if said is None else said


def references(route: Manifest) -> Iterator[tuple[int, Key, int]]:
    """Yield (rule, what it names, weight) of every backendRef of a route."""
    for index, rule in enumerate(route["spec"].get("rules") or []):
        for reference in rule.get("backendRefs") or []:
            yield index, target(reference, route["metadata"]["namespace"]), weight(reference)


def named(route: Manifest) -> set[Key]:
    """Return all that a route names, by backendRefs whatever their weight and by mirrors."""
    found = {key for _rule, key, _weight in references(route)}
    for rule in route["spec"].get("rules") or []:
        for holder in [rule, *(rule.get("backendRefs") or [])]:
            for entry in holder.get("filters") or []:
                if entry.get("type") == "RequestMirror":
                    found.add(target(entry["requestMirror"]["backendRef"], route["metadata"]["namespace"]))
    return found
