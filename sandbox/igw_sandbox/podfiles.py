# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container finds in its environment: variables, mounted ConfigMaps and Secrets, and a kubeconfig of its pod's own ServiceAccount."""
from __future__ import annotations

import base64
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from igw_sandbox.images import expand

JSON = Mapping[str, Any]
Lookup = Callable[[str, str], Awaitable[dict[str, bytes] | None]]
"""(``ConfigMap`` or ``Secret``, name) -> its keys and contents in the pod's namespace, None when there is none."""


class MissingObject(Exception):
    """A ConfigMap, Secret or key that the pod needs is not there: a kubelet waits for it."""


def field(pod: JSON, path: str, address: str) -> str:
    """A downward API field (fieldRef); empty for what a process has no use for."""
    metadata = pod["metadata"]
    for kind in ("labels", "annotations"):
        if path.startswith(f"metadata.{kind}['"):
            return str((metadata.get(kind) or {}).get(path[len(kind) + 11:-2], ""))
    known = {
        "metadata.name": metadata["name"], "metadata.namespace": metadata["namespace"], "metadata.uid": metadata["uid"],
        "spec.nodeName": pod["spec"].get("nodeName", ""), "spec.serviceAccountName": pod["spec"].get("serviceAccountName", ""),
        "status.podIP": address, "status.hostIP": address,
    }
    return str(known.get(path, ""))


async def environment(container: JSON, pod: JSON, address: str, lookup: Lookup) -> dict[str, str]:
    """The variables that a container's env and envFrom give; later ones may use earlier ones as ``$(NAME)``."""
    values: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if key in source:
                content = await _content(lookup, kind, source[key])
                values.update({source.get("prefix", "") + name: text.decode() for name, text in content.items()})
    for entry in container.get("env") or []:
        text = await _value(entry, pod, address, lookup)
        if text is not None:
            values[entry["name"]] = expand(text, values)
    return values


async def _value(entry: JSON, pod: JSON, address: str, lookup: Lookup) -> str | None:
    """Value of one env entry, None for an optional one that is not there."""
    origin = entry.get("valueFrom") or {}
    if "fieldRef" in origin:
        return field(pod, origin["fieldRef"]["fieldPath"], address)
    for kind, key in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
        if key in origin:
            reference = origin[key]
            content = await _content(lookup, kind, reference)
            if reference["key"] not in content:
                if reference.get("optional"):
                    return None
                raise MissingObject(f'couldn\'t find key {reference["key"]} in {kind} {pod["metadata"]["namespace"]}/{reference["name"]}')
            return content[reference["key"]].decode()
    return str(entry.get("value") or "")


async def _content(lookup: Lookup, kind: str, reference: JSON) -> dict[str, bytes]:
    name = reference.get("name") or reference.get("secretName") or ""
    content = await lookup(kind, name)
    if content is None and not reference.get("optional"):
        raise MissingObject(f'{kind.lower()} "{name}" not found')
    return content or {}


async def mount(container: JSON, pod: JSON, folder: Path, lookup: Lookup) -> dict[str, str]:
    """Write the container's volumes below ``folder``; returns mount path in the container -> path here."""
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or []}
    mounted: dict[str, str] = {}
    for entry in container.get("volumeMounts") or []:
        volume = volumes.get(entry["name"], {})
        target = folder / "volumes" / entry["name"]
        target.mkdir(parents=True, exist_ok=True)
        for kind, key in (("ConfigMap", "configMap"), ("Secret", "secret")):
            if key in volume:
                _write(target, await _content(lookup, kind, volume[key]), volume[key].get("items"))
        mounted[entry["mountPath"].rstrip("/")] = str(target / entry["subPath"] if entry.get("subPath") else target)
    return mounted


def _write(target: Path, content: Mapping[str, bytes], items: list[JSON] | None) -> None:
    """Write the keys of a ConfigMap or Secret as files; ``items`` chooses and renames."""
    chosen = {item["key"]: item["path"] for item in items} if items else {name: name for name in content}
    for name, path in chosen.items():
        if name not in content:
            raise MissingObject(f"references non-existent config key: {name}")
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(content[name])


def relocate(word: str, mounted: Mapping[str, str]) -> str:
    """An argument or variable with the path of a mount replaced by where the volume lies here (also after ``=``)."""
    head, equals, tail = word.partition("=") if word.startswith("-") else ("", "", word)
    for path in sorted(mounted, key=len, reverse=True):
        if tail == path or tail.startswith(path + "/"):
            return f"{head}{equals}{mounted[path]}{tail[len(path):]}"
    return word


def content_of(kind: str, item: JSON) -> dict[str, bytes]:
    """The keys of a ConfigMap or Secret as bytes."""
    if kind == "Secret":
        return {name: base64.b64decode(text) for name, text in (item.get("data") or {}).items()}
    found = {name: text.encode() for name, text in (item.get("data") or {}).items()}
    return {**found, **{name: base64.b64decode(text) for name, text in (item.get("binaryData") or {}).items()}}
