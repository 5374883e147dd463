# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the cases of findings: what differs from one ordinary estate, in a namespace that has the finding and in one that only just lacks it.

findings/CODE.yaml is one case or a list of them. Each has ``expects`` (severity, object, words of the message; one or a list), ``positive`` and
``negative`` (what differs), and perhaps ``options`` of the module. A manifest that the ordinary estate has by kind and name is merged into it as a JSON
merge patch (null removes), with ``$patch: delete`` it is left out, any other is added. NAMESPACE stands for the namespace, which is named after the code.

A case that expects a blocker has ``remedies`` too: each way by which a person follows what is printed. README.md beside this file has their form.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ansible_collections.inference_gateway.migration.plugins.module_utils.releases import CRD_FILES, OBJECTIVES_CRD

from tests.integration.harness import SANDBOX, World

Manifest = dict[str, Any]

FOLDER = Path(__file__).resolve().parent / "findings"
ORDINARY = FOLDER.with_name("ordinary.yaml")
WILD = FOLDER.with_name("wild.yaml")
USUAL: dict[str, Any] = {"criticality": {"Critical": 0}, "endpoints": ["/v1/completions", "/v1/chat/completions"]}
"""Options under which the ordinary estate has no finding; a case's own go over them."""
CLUSTER_WIDE = ("GatewayClass", "Namespace")
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Expected(NamedTuple):
    """One finding that must be reported.

    :param words: part of its message.
    """

    code: str
    severity: str
    object: str
    words: str = ""


@dataclass(frozen=True)
class Way:
    """One way by which the remedy of a blocker is followed, on an estate of its own that has the blocker.

    :param name: the estate's namespace.
    :param code: of the blocker.
    :param follows: words of the remedy that is printed, by which a person knows to do this.
    :param options: of detect_v1alpha2 before.
    :param sets: options that the person sets then.
    :param changes: what the person changes in the cluster, in the form of ``positive``.
    :param runs: commands that are printed, for kubectl and helm.
    :param values: what the person writes in place of words in capitals in those commands.
    :param accepts: whether the code is accepted at the end, because nothing else takes the blocker away.
    """

    name: str
    code: str
    estate: list[Manifest]
    options: Manifest
    follows: str
    sets: Manifest
    changes: list[Manifest]
    runs: tuple[str, ...]
    values: dict[str, str]
    accepts: bool


@dataclass(frozen=True)
class Case:
    """Two estates, each in a namespace of its own.

    :param options: of detect_v1alpha2.
    :param positive: the estate that has the findings.
    :param negative: the estate that only just lacks them.
    :param ways: by which the blocker's remedy is followed, each on a third estate that is like the positive one.
    """

    name: str
    options: Manifest
    expects: tuple[Expected, ...]
    positive: list[Manifest]
    negative: list[Manifest]
    ways: tuple[Way, ...]

    @property
    def code(self) -> str:
        """The code of the first finding."""
        return self.expects[0].code

    @property
    def blocks(self) -> bool:
        """Whether one of the findings is a blocker."""
        return any(entry.severity == "blocker" for entry in self.expects)


def cases(path: Path) -> list[Case]:
    """Return the cases of one file, in order.

    NAMESPACE is CODE in the first one's positive estate, CODE-2 in the second's and so on; that of the negative estate ends with -not.
    """
    count = len(_entries(path, ""))
    names = [path.stem if number == 0 else f"{path.stem}-{number + 1}" for number in range(count)]
    return [_case(path, name, number) for number, name in enumerate(names)]


def _case(path: Path, name: str, number: int) -> Case:
    having, lacking = _entries(path, name)[number], _entries(path, f"{name}-not")[number]
    expects = tuple(Expected(**{"code": path.stem} | entry) for entry in _listed(having["expects"]))
    ways = tuple(_way(path, f"{name}-way-{way + 1}", number, way) for way in range(len(having.get("remedies", ()))))
    return Case(name, USUAL | having.get("options", {}), expects, estate(name, having["positive"]), estate(f"{name}-not", lacking["negative"]), ways)


def _way(path: Path, name: str, number: int, way: int) -> Way:
    entry = _entries(path, name)[number]
    said = {"sets": {}, "changes": [], "runs": (), "values": {}, "accepts": False} | entry["remedies"][way]
    return Way(name, path.stem, estate(name, entry["positive"]), USUAL | entry.get("options", {}), **said)


def wild(name: str) -> tuple[tuple[Expected, ...], list[Manifest]]:
    """Return what an entry of wild.yaml expects, and its estate."""
    found = next(entry for entry in _entries(WILD, f"wild-{name}") if entry["name"] == name)
    return tuple(Expected(**entry) for entry in found["expects"]), estate(f"wild-{name}", found["changes"])


def wild_names() -> list[str]:
    """Return the names of the entries of wild.yaml."""
    return [entry["name"] for entry in _entries(WILD, "")]


def _entries(path: Path, namespace: str) -> list[Any]:
    return _listed(yaml.safe_load(path.read_text().replace("NAMESPACE", namespace)))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


# -- estates ------------------------------------------------------------------------------------------------------------


def estate(namespace: str, changes: Iterable[Manifest] = ()) -> list[Manifest]:
    """Return the ordinary estate in one namespace, with ``changes`` merged in as the module's docstring says."""
    found = {key_of(entry, namespace): entry for entry in _entries(ORDINARY, namespace)}
    for change in deepcopy(list(changes)):
        key = key_of(change, namespace)
        if change.pop("$patch", None) == "delete":
            del found[key]
        else:
            found[key] = _merged(found.get(key, {}), change)
    for manifest in found.values():
        if manifest["kind"] not in CLUSTER_WIDE:
            manifest["metadata"].setdefault("namespace", namespace)
    return list(found.values())


def key_of(manifest: Manifest, namespace: str) -> tuple[str, str, str]:
    """Return kind, namespace (``namespace`` where it says none) and name."""
    meta = manifest["metadata"]
    return manifest["kind"], meta.get("namespace", namespace), meta["name"]


def _merged(target: Any, patch: Any) -> Any:
    """Return ``target`` after a JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged


def namespaces(manifests: Iterable[Manifest]) -> set[str]:
    """Return the namespaces of these objects."""
    return {entry["metadata"]["namespace"] for entry in manifests if "namespace" in entry["metadata"]}


def create(world: World, manifests: Sequence[Manifest], strict: bool = True) -> None:
    """Create objects and their namespaces, and write the status that manifests come with: no controller writes one here.

    kubectl create leaves no last-applied annotation on objects that come without one.

    :param strict: whether fields that the server would prune are an error.
    """
    said = {entry["metadata"]["name"]: entry for entry in manifests if entry["kind"] == "Namespace"}
    where = [said.get(name) or {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in sorted(namespaces(manifests))]
    others = [entry for entry in manifests if entry["kind"] != "Namespace"]
    world.kubectl("create", "-f", "-", f"--validate={str(strict).lower()}", input=as_list([*where, *others]))
    with_status = [entry for entry in manifests if "status" in entry]
    world.kubectl("replace", "--subresource=status", "-f", "-", f"--validate={str(strict).lower()}", input=as_list(with_status))
    for entry in (entry for entry in manifests if "managedFields" in entry["metadata"]):  # the server writes down who created it, whatever the manifest says
        change = [{"op": "replace", "path": "/metadata/managedFields", "value": entry["metadata"]["managedFields"]}]
        meta = entry["metadata"]
        world.kubectl("patch", entry["kind"], meta["name"], "-n", meta["namespace"], "--type=json", "-p", json.dumps(change))
    for entry in manifests:  # kubectl create has put what it created in place of what the annotation said
        said = entry["metadata"].get("annotations", {}).get(LAST_APPLIED)
        if said is not None:
            world.kubectl("annotate", "--overwrite", "-n", entry["metadata"]["namespace"], entry["kind"], entry["metadata"]["name"], f"{LAST_APPLIED}={said}")


def as_list(manifests: Sequence[Manifest]) -> str:
    """Return objects as one text for kubectl."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})


# -- clusters -----------------------------------------------------------------------------------------------------------

CRDS = SANDBOX / "crds"


def furnish(world: World, manifests: Sequence[Manifest]) -> None:
    """Create estates on a cluster with every kind that they need, of which some get stricter afterwards."""
    world.apply(CRDS / "optional")
    # A cluster on which v1 pickers serve alpha pools has the kind already.
    world.kubectl("create", "-f", str(Path(world.state["crds"]) / "v1.5.0" / "bases" / CRD_FILES[OBJECTIVES_CRD]))
    world.kubectl("wait", "--for=condition=Established", "--timeout=30s", f"crd/{OBJECTIVES_CRD}")
    rules = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/rules/items/properties"
    persistence = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}  # of the experimental channel
    patch_crd(world, "httproutes.gateway.networking.k8s.io", {"op": "add", "path": f"{rules}/sessionPersistence", "value": persistence})
    create(world, manifests)
    # These kinds got stricter after the estates were made.
    world.apply(CRDS / "strict")
    timeout = {"properties": {"timeoutSec": {"type": "integer", "maximum": 86400}}}
    spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec"
    default = {"type": "object", "x-kubernetes-preserve-unknown-fields": True} | timeout
    patch_crd(world, "gcpbackendpolicies.networking.gke.io", {"op": "add", "path": f"{spec}/properties", "value": {"default": default}})


def patch_crd(world: World, name: str, *operations: Manifest) -> None:
    """Change a CRD by a JSON patch."""
    world.kubectl("patch", "crd", name, "--type=json", f"--patch={json.dumps(operations)}")
