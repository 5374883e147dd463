# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Estates from plain manifests, and a cluster that answers from them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases
from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.api import Forbidden, NotServed
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import pool_migration
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import estate, helm_records
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import CATALOGUE, CheckContext, Finding, occurrences
from ansible_collections.inference_gateway.migration.plugins.module_utils.plan import plan
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import Address

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
Manifest = dict[str, Any]


class World:
    """Manifests that a test may change, and what the product makes of them."""

    def __init__(self, manifests: list[Manifest], version: str = "v1.33.5-gke.1080000") -> None:
        self.manifests = manifests
        self.version = version
        self.refused: tuple[estate.Refused, ...] = ()
        self.releases: dict[tuple[str, str], helm_records.HelmRelease | None] | None = None
        self.hidden_records: frozenset[str] = frozenset()
        self.config_maps: dict[tuple[str, str], Manifest] = {}
        self.unreachable: dict[tuple[Address, str], str] = {}

    def get(self, kind: str, name: str | None = None) -> Manifest:
        """The one manifest of a kind (and name), to be changed in place."""
        (found,) = [entry for entry in self.manifests if entry["kind"] == kind and name in (None, entry["metadata"]["name"])]
        return found

    def add(self, api_version: str, kind: str, name: str, namespace: str | None = "default", **fields: Any) -> Manifest:
        """One more manifest."""
        where = {"namespace": namespace} if namespace else {}
        self.manifests.append({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **where}, **fields})
        return self.manifests[-1]

    def remove(self, kind: str, name: str | None = None) -> None:
        """All manifests of a kind (and name) away."""
        self.manifests = [entry for entry in self.manifests if entry["kind"] != kind or name not in (None, entry["metadata"]["name"])]

    def estate(self) -> estate.Estate:
        """As the reader would read it."""
        crds = {entry["metadata"]["name"]: entry for entry in self.manifests if entry["kind"] == "CustomResourceDefinition"}
        objects: dict[str, tuple[Manifest, ...]] = {}
        for listing in estate.LISTINGS:
            wanted = {(version, listing.plural) for version in listing.api_versions}
            objects[listing.name] = tuple(entry for entry in self.manifests if (entry["apiVersion"], plural(entry["kind"])) in wanted)
        return estate.Estate("https://127.0.0.1:6443", "cluster-uid", self.version, objects, crds, self.refused, self.records(), self.config_maps,
                             self.hidden_records)

    def records(self) -> dict[tuple[str, str], helm_records.HelmRelease | None]:
        """What a test says of Helm's releases, else what the Secrets say; all of them in one namespace."""
        if self.releases is not None:
            return self.releases
        secrets = [entry for entry in self.manifests if entry["kind"] == "Secret"]
        return {(entry["metadata"]["namespace"], name): found for entry in secrets for name, found in helm_records.newest([entry]).items()}

    def context(self, **options: Any) -> CheckContext:
        """With pool migrations of all pools."""
        chosen = choose(**options)
        here = self.estate()
        return CheckContext(here, chosen, tuple(pool_migration.pool_migrations(here, chosen)), self.unreachable)

    def plan(self, **options: Any) -> dict[str, Any]:
        """The plan."""
        return plan.make(self.estate(), choose(**options))

    def found(self, code: str, **options: Any) -> list[Finding]:
        """The findings of one code."""
        return list(occurrences(CATALOGUE[code], self.context(**options)))


def choose(target: str = "v1.5.0", **options: Any) -> pool_migration.Options:
    """Options with defaults."""
    return pool_migration.Options(release=releases.target(target), **options)


def plural(kind: str) -> str:
    """Enough English for the kinds that are read; pods' metrics are served as pods of another group."""
    if kind == "PodMetrics":
        return "pods"
    return kind.lower()[:-1] + "ies" if kind.endswith("y") and kind != "Gateway" else kind.lower() + ("es" if kind.endswith("s") else "s")


class FakeCluster:
    """Answers lists and gets as _api.Cluster does, from manifests."""

    server = "https://127.0.0.1:6443"

    def __init__(
        self, manifests: list[Manifest], forbidden: tuple[str, ...] = (), served: set[str] | None = None, refuses: dict[str, Exception] | None = None,
    ) -> None:
        self.manifests = manifests
        self.refuses = refuses or {}
        self.tried: Counter[str] = Counter()
        self.forbidden = forbidden
        self.served = served
        self.lists: list[str] = []
        self.queries: list[tuple[str, dict[str, str]]] = []

    def identity(self) -> str:
        return "cluster-uid"

    def version(self) -> str:
        return "v1.33.5-gke.1080000"

    def groups(self) -> set[str]:
        return self.served if self.served is not None else {entry["apiVersion"] for entry in self.manifests if "/" in entry["apiVersion"]}

    def list(self, path: str, *, patience: float | None = None, **query: Any) -> Iterator[Manifest]:
        self.lists.append(path)
        if path in self.refuses:
            assert patience == 0.0, "nobody waits for it"
            raise self.refuses[path]
        self.queries.append((path.split("/")[-1], query))
        if path.split("/")[-1] in self.forbidden:
            raise Forbidden(f"{path} is forbidden")
        found = [entry for entry in self.manifests if path in (_collection(entry, False), _collection(entry, True))]
        if not found and self.served is None and path.split("/")[-1] not in ("secrets",):
            raise NotServed(path)
        wanted = [part for selector in query.values() for part in re.split(r",(?![^(]*\))", selector)]
        yield from (entry for entry in found if all(_selected(entry, part) for part in wanted))

    def create(self, path: str, manifest: Manifest, dry_run: bool = False) -> Manifest:
        assert dry_run, "nothing may be written"
        self.tried[manifest["kind"]] += 1
        if manifest["kind"] in self.refuses:
            raise self.refuses[manifest["kind"]]
        return manifest

    def get(self, path: str) -> Manifest | None:
        collection, _slash, name = path.rpartition("/")
        if collection.split("/")[-1] in self.forbidden:
            raise Forbidden(f"{path} is forbidden")
        places = ((entry, (_collection(entry, False), _collection(entry, True))) for entry in self.manifests)
        return next((entry for entry, collections in places if collection in collections and entry["metadata"]["name"] == name), None)


def _selected(manifest: Manifest, part: str) -> bool:
    """Whether one part of a label or field selector, ``name``, ``name=value``, ``name!=value`` or ``name in (value,value)``, chooses a manifest."""
    labels = manifest["metadata"].get("labels", {})
    if "=" not in part:
        name, _in, values = part.partition(" in ")
        return name in labels and (not values or labels[name] in values.strip("()").split(","))
    name, _operator, value = part.partition("!=" if "!=" in part else "=")
    fields = {"type": manifest.get("type"), "spec.serviceAccountName": manifest.get("spec", {}).get("serviceAccountName", "default")}
    found = fields.get(name, labels.get(name))
    return (found != value) == ("!=" in part)


def _collection(manifest: Manifest, namespaced: bool) -> str:
    root = f"/apis/{manifest['apiVersion']}" if "/" in manifest["apiVersion"] else f"/api/{manifest['apiVersion']}"
    where = f"/namespaces/{manifest['metadata'].get('namespace')}" if namespaced else ""
    return f"{root}{where}/{plural(manifest['kind'])}"


def load(name: str) -> list[Manifest]:
    """The manifests of one fixture, fresh."""
    return [deepcopy(entry) for entry in yaml.safe_load_all((FIXTURES / f"{name}.yaml").read_text()) if entry]
