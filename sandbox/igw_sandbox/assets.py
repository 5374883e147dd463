# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CRD files and chart packages, taken once from the pinned Go modules into the cache.

``assets-<key>/crds/gateway-api/*.yaml`` and ``assets-<key>/crds/<release>/{manifests.yaml,bases/*.yaml}``, ``assets-<key>/charts/inferencepool-<release>.tgz``.
Releases that few tests need have a folder each, ``assets-<key>-<release>`` with ``crds`` and ``charts`` of the same form, filled when one is asked for.
"""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from igw_sandbox import tools
from igw_sandbox.context import SandboxError

RELEASES = ("v0.3.0", "v1.0.0", "v1.5.0")
"""Releases that every sandbox has: their endpoint pickers are built too."""
MORE_RELEASES = ("v1.0.1", "v1.0.2", "v1.1.0", "v1.2.0", "v1.2.1", "v1.3.0", "v1.3.1", "v1.4.0")
"""Releases of which chart and CRD files can be had, but no endpoint picker."""
OWN_CRDS = Path(__file__).resolve().parent.parent / "crds"
"""The sandbox's own lenient CRDs; the folder ``strict`` in it holds the variant with the public rules."""
KEY = "2"
"""Raise it when the content of the cached folder changes."""


def folder() -> Path:
    """Where the assets lie in the cache."""
    return tools.cache_root() / f"assets-{KEY}"


def documents(path: Path) -> list[str]:
    """The YAML documents of a file, as text and without empty ones."""
    return [part for part in re.split(r"^---\s*$", path.read_text(), flags=re.MULTILINE) if re.search(r"^\s*[^#\s]", part, flags=re.MULTILINE)]


def day_one_crds(release: str) -> list[Path]:
    """CRD files that a cluster has before any estate: Gateway API, the sandbox's own, the inference extension's of ``release`` (``none``: not these)."""
    files = [*sorted((folder() / "crds" / "gateway-api").glob("*.yaml")), *sorted(OWN_CRDS.glob("*.yaml"))]
    if release != "none":
        files += sorted((folder() / "crds" / release / "bases").glob("*.yaml"))
    return files


def ensure(progress: tools.Progress = print) -> Path:
    """Fill the cache folder if it is not there yet, atomically; returns it."""

    def collect(target: Path, work: Path) -> None:
        helm = tools.ensure("helm", progress=progress)["helm"]
        _copy(tools.module_dir("gateway-api", progress) / "config" / "crd" / "standard", target / "crds" / "gateway-api")
        for release in RELEASES:
            _collect_release(helm, tools.module_dir(f"epp-{release}", progress), release, target, work)

    return _filled(folder(), "CRDs and charts", collect, progress)


def ensure_release(release: str, progress: tools.Progress = print) -> Path:
    """The folder of one of MORE_RELEASES, filled if it is not there yet."""
    if release not in MORE_RELEASES:
        raise SandboxError(f"There is no chart of release {release} to add; choose one of {', '.join(MORE_RELEASES)}.")

    def collect(target: Path, work: Path) -> None:
        helm = tools.ensure("helm", progress=progress)["helm"]
        _collect_release(helm, tools.module_dir("charts", progress, release), release, target, work)

    return _filled(folder().with_name(f"{folder().name}-{release}"), f"CRDs and chart of {release}", collect, progress)


def _filled(target: Path, what: str, collect: Callable[[Path, Path], None], progress: tools.Progress) -> Path:
    """``target``, filled atomically by ``collect(folder, scratch)``, once even when several processes ask for it."""
    if target.exists():
        return target
    with tools.locked(target.with_name(target.name + ".lock"), progress, f"collecting {what}"):
        if not target.exists():
            progress(f"collecting {what} from the pinned modules (once)")
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
                filled = Path(scratch) / "out"
                collect(filled, Path(scratch) / "work")
                os.rename(filled, target)
    return target


def _collect_release(helm: Path, module: Path, release: str, target: Path, work: Path) -> None:
    """CRD files and chart package of one release of the inference extension, out of its module's folder."""
    bases = target / "crds" / release / "bases"
    _copy(module / "config" / "crd" / "bases", bases)
    manifests = "".join(f"---\n{document.strip()}\n" for path in sorted(bases.glob("*.yaml")) for document in documents(path))
    (target / "crds" / release / "manifests.yaml").write_text(manifests)
    (target / "charts").mkdir(parents=True, exist_ok=True)
    _package(helm, module / "config" / "charts", release, work / release, target / "charts")


def _copy(source: Path, target: Path) -> None:
    """Copy the YAML files of a read-only module folder, writable."""
    target.mkdir(parents=True)
    for path in source.glob("*.yaml"):
        if path.name != "kustomization.yaml":
            (target / path.name).write_bytes(path.read_bytes())


def _package(helm: Path, charts: Path, release: str, work: Path, target: Path) -> None:
    """Package the inferencepool chart of one release; its sibling charts are copied along for ``file://`` dependencies."""
    for source in charts.rglob("*"):
        if source.is_file():
            copy = work / source.relative_to(charts)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
    chart = work / "inferencepool"
    # A helm home of its own: the person's repositories must not be contacted.
    environment = {**os.environ, "HELM_CACHE_HOME": str(work / "helm"), "HELM_CONFIG_HOME": str(work / "helm"), "HELM_DATA_HOME": str(work / "helm")}
    commands = [["package", str(chart), "--version", release, "--app-version", release, "--destination", str(target)]]
    if "dependencies:" in (chart / "Chart.yaml").read_text():
        commands.insert(0, ["dependency", "build", str(chart), "--skip-refresh"])
    for arguments in commands:
        answer = subprocess.run([str(helm), *arguments], capture_output=True, text=True, check=False, env=environment)
        if answer.returncode:
            raise SandboxError(f"helm {' '.join(arguments[:2])} failed for chart inferencepool {release}: {answer.stderr.strip()[-300:]}.")
