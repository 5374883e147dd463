# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells of the monitors that read alpha EPPs which go and which stay because they read others too, and makes those that read the v1 EPPs. Pure.

No chart from v1.0.0 to v1.5.0 has a value for labels of the EPP's pods or Service, so that a shared label can't be given to a v1 EPP.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import v1_objects
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import PoolMigration
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import Estate, pod_labels
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.label_index import grouped
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.monitors import KINDS, endpoints, readings, selects_there
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.owners import Owner, helm_owner
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.workloads import named
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, describe, dig, name_of, selects
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey

METRICS_PORT = 9090
"""Where EPPs serve metrics unless a flag says otherwise (v0.3.0 to v1.5.0)."""
_PORT = {"pods": "metrics", "services": "http-metrics"}
"""Names of that port in the chart's Deployment and Service (charts v1.0.0 to v1.5.0)."""
_SELECTED_BY = {"pods": "inferencepool", "services": "app.kubernetes.io/name"}
"""The label of the chart's pods and of its Service that has the name of the EPP (charts v1.0.0 to v1.5.0)."""
_MODE = ("inference.networking.k8s.io/igw-mode", "inferencepool")
"""One more label of the chart's pods, from v1.4.0 on."""
_NOT_CARRIED = ("app.kubernetes.io/managed-by", "app.kubernetes.io/instance", "argocd.argoproj.io/", "helm.sh/", "kustomize.toolkit.fluxcd.io/",
                "helm.toolkit.fluxcd.io/", "configmanagement.gke.io/", "configsync.gke.io/")
"""Beginnings of labels by which a tool knows what is its own, and would remove what it did not make."""


@dataclass(frozen=True)
class AlphaMonitor:
    """A monitor that reads alpha EPPs.

    :param readers: the planned pools whose alpha EPPs it reads; never none.
    :param others: what else it reads, as ``Kind namespace/name``.
    :param unlisted: plurals of what may not be listed, so that it may read others too.
    """

    manifest: Manifest
    readers: tuple[PoolMigration, ...]
    others: tuple[str, ...]
    unlisted: tuple[str, ...]

    @property
    def with_prometheus(self) -> bool:
        """Whether it is read by a Prometheus that a person runs, which chooses monitors by their labels."""
        return self.manifest["kind"] in ("PodMonitor", "ServiceMonitor")

    @cached_property
    def release_of(self) -> PoolMigration | None:
        """The reader whose Helm release takes it along when it is uninstalled; None where none does."""
        return next((entry for entry in self.readers if entry.uninstalled and helm_owner(self.manifest) == entry.release_key), None)

    def covers(self, migration: PoolMigration) -> bool:
        """Tell whether it outlives the alpha EPP and selects the v1 EPP too, as with a selector that selects everything."""
        facts, version = migration.options.release.facts, migration.options.release.version
        pods = {_SELECTED_BY["pods"]: migration.epp} | (dict([_MODE]) if facts.since >= (1, 4, 0) else {})
        service = {_SELECTED_BY["services"]: migration.epp, "app.kubernetes.io/version": version, "app.kubernetes.io/managed-by": "Helm"}
        return self.release_of is None and selects_there(self.manifest, pods if KINDS[self.manifest["kind"]].reads == "pods" else service)

    @cached_property
    def why(self) -> str | None:
        """Why it stays when the alpha EPPs go; None where it has no use any more and is nobody else's."""
        if self.others:
            return f"it also reads {named(self.others)}"
        covered = next(filter(self.covers, self.readers), None)
        if covered:
            return f"it reads the v1 EPP {covered.namespace}/{covered.epp} as well"
        if self.holder and self.holder != self.last.owner:
            return f"{self.holder} owns it, by {self.holder.sign}"
        if self.with_prometheus:
            return "whoever runs that Prometheus deletes it"
        return f"{' and '.join(self.unlisted)} may not be listed, so it may read others too" if self.unlisted else None

    @cached_property
    def holder(self) -> Owner | None:
        """Who is there to bring it back; None where nobody is."""
        return self.readers[0].estate.holder(self.manifest)

    @property
    def last(self) -> PoolMigration:
        """The reader with which it goes: the one whose owner has it too, else the last one."""
        return self.release_of or next((entry for entry in self.readers if entry.owner == self.holder), self.readers[-1])


class Monitoring:
    """Tells what becomes of the monitors of all alpha EPPs, by the pools that are migrated."""

    def __init__(self, estate: Estate, migrations: Sequence[PoolMigration]) -> None:
        read = readings(estate) if estate.monitorings else {}
        pickers = grouped([entry for entry in migrations if entry.alpha_epp.deployment], lambda entry: describe(entry.alpha_epp.deployment or {}))
        planned = {f"Deployment {entry.namespace}/{entry.epp}" for entry in migrations}
        self._of: dict[PoolKey, list[AlphaMonitor]] = {}
        self._counterparts: dict[PoolKey, list[tuple[AlphaMonitor, Manifest]]] = {}
        used: set[str] = set()
        for manifest in estate.monitorings:
            names = read.get(describe(manifest), set())
            others = names - pickers.keys() - planned
            readers = [migration for name in sorted(names & pickers.keys()) for migration in pickers[name] if not others or _reads(manifest, migration)]
            if readers:
                hidden = estate.unlisted({f"monitored_{KINDS[manifest['kind']].reads}"})
                entry = AlphaMonitor(manifest, tuple(readers), tuple(sorted(others)), tuple(hidden))
                for migration in readers:
                    self._of.setdefault(migration.key, []).append(entry)
                for migration, made in _counterparts(entry, used):
                    self._counterparts.setdefault(migration.key, []).append((entry, made))

    def of(self, migration: PoolMigration) -> list[AlphaMonitor]:
        """Return the monitors that read a pool's alpha EPP."""
        return self._of.get(migration.key, [])

    def counterparts(self, migration: PoolMigration) -> list[tuple[AlphaMonitor, Manifest]]:
        """Return the monitors to make for a pool's v1 EPP, each with the one that it stands for."""
        return self._counterparts.get(migration.key, [])

    def objects(self, migration: PoolMigration) -> Iterator[Manifest]:
        """Yield what lets the v1 EPP of a pool be read as alpha's is: monitors, and rights to check who reads it."""
        yield from (made for _entry, made in self.counterparts(migration))
        if self.of(migration) and not migration.options.release.facts.metrics_rbac:
            yield from v1_objects.metrics_rbac(migration)

    def going(self, migration: PoolMigration) -> Iterator[Manifest]:
        """Yield the monitors that go with a pool: with the one whose owner has them too or, where several pools are read, with the last of them."""
        for entry in self.of(migration):
            if entry.last is migration and (entry.release_of or entry.why is None):
                yield entry.manifest

    def staying(self, migration: PoolMigration) -> Iterator[AlphaMonitor]:
        """Yield the monitors of a pool's alpha EPP that stay (:attr:`AlphaMonitor.why`)."""
        yield from (entry for entry in self.of(migration) if entry.why and entry.release_of is None)


def _metrics_port(migration: PoolMigration) -> int:
    said = migration.alpha_flags.values.get("metrics-port", "")
    return int(said) if said.isdigit() else METRICS_PORT


def _endpoints(monitor: Manifest, migration: PoolMigration) -> list[tuple[Manifest, int | None]]:
    """Return a monitor's endpoints with the alpha EPP's ports that they read; a ServiceMonitor may read it by another Service than the pool names."""
    labels = pod_labels(migration.alpha_epp.deployment or {})
    by_service = KINDS[monitor["kind"]].reads == "services"
    near = migration.estate.services.get(migration.namespace, []) if by_service else []
    through = [entry for entry in near if selects_there(monitor, dig(entry, "metadata", "labels", default={})) and selects(_pods_of(entry), labels)]
    return endpoints(monitor, migration.alpha_epp.container, through)


def _pods_of(service: Manifest) -> dict[str, str]:
    return dig(service, "spec", "selector", default={})


def _reads(monitor: Manifest, migration: PoolMigration) -> bool:
    """Tell whether a monitor names a port of the alpha EPP; true where the EPP does not say its ports."""
    declared = dig(migration.alpha_epp.container, "ports", default=[])
    return not declared or any(number is not None for _entry, number in _endpoints(monitor, migration))


# -- counterparts -------------------------------------------------------------------------------------------------------


def _counterparts(entry: AlphaMonitor, used: set[str]) -> Iterator[tuple[PoolMigration, Manifest]]:
    """Yield the monitors that stand for one on the v1 side, one for each v1 EPP that it does not read itself, and take their names.

    :param used: names that are taken already, as ``Kind namespace/name``.
    """
    # A ClusterPodMonitoring can't be told which namespaces to read, so one is enough for EPPs of one name.
    wide = entry.manifest["kind"] == "ClusterPodMonitoring"
    aims = {(migration.epp if wide else migration.key): migration for migration in reversed(entry.readers)}
    for migration in sorted(aims.values(), key=entry.readers.index):
        facts = migration.options.release.facts
        by_chart = migration.chart_writes_policies and facts.chart_monitoring and not entry.with_prometheus
        if by_chart or entry.covers(migration):
            continue
        made = _counterpart(entry, migration, _name(name_of(entry.manifest), migration, len(aims) > 1, spans=wide or _spans(entry)))
        while describe(made) in used:
            made["metadata"]["name"] += f"-{migration.v1_name}"
        used.add(describe(made))
        yield migration, made


def _spans(entry: AlphaMonitor) -> bool:
    return len({migration.namespace for migration in entry.readers}) > 1


def _name(old: str, migration: PoolMigration, several: bool, spans: bool) -> str:
    """Return the name of a counterpart: that of the monitor with the v1 pool's name in place of the alpha pool's, or at its end."""
    if several:
        return f"{old}-{migration.namespace}-{migration.v1_name}" if spans else f"{old}-{migration.v1_name}"
    return old.replace(migration.name, migration.v1_name) if migration.name in old else f"{old}-ga"


def _counterpart(entry: AlphaMonitor, migration: PoolMigration, name: str) -> Manifest:
    """Return a monitor of the same kind that reads the v1 EPP alone, by its port for metrics where the monitor reads alpha's.

    Prometheus Operator chooses monitors by their labels, so they are kept but for those of whoever made the monitor.
    """
    kind = KINDS[entry.manifest["kind"]]
    numbered = _endpoints(entry.manifest, migration)
    read = [(said, number) for said, number in numbered if number is not None] or numbered
    ports = [_moved(deepcopy(said), kind.reads) if number == _metrics_port(migration) else deepcopy(said) for said, number in read]
    changes: Manifest = {"selector": {"matchLabels": {_SELECTED_BY[kind.reads]: migration.epp}}, kind.endpoints: ports}
    if entry.with_prometheus:
        changes["namespaceSelector"] = {"matchNames": [migration.namespace]}
    made = v1_objects.counterpart(entry.manifest, name, **changes)
    labels = dig(entry.manifest, "metadata", "labels", default={}) if entry.with_prometheus else {}
    made["metadata"]["labels"] = {name: value for name, value in labels.items() if not name.startswith(_NOT_CARRIED)} | made["metadata"]["labels"]
    return made


def _moved(endpoint: Manifest, reads: str) -> Manifest:
    """Return an endpoint that reads the alpha EPP's metrics as one that reads the v1 EPP's, unless it does already."""
    of_pod = (_PORT["pods"], METRICS_PORT)
    there = endpoint["port"] in (of_pod if reads == "pods" else (_PORT["services"],)) if "port" in endpoint else (
        (endpoint.get("portNumber") or endpoint.get("targetPort")) in of_pod)
    kept = {field: value for field, value in endpoint.items() if field not in ("port", "portNumber", "targetPort")}
    return endpoint if there else kept | {"port": _PORT[reads]}
