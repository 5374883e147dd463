# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells who owns an object, by every sign: who brings it back when it is changed or deleted. Pure.

Nobody owns what people wrote, by whatever tool: it stays as it is put.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Optional

from ansible_collections.inference_gateway.migration.plugins.module_utils import managers
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.helm_records import HelmRelease
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, dig, name_of, namespace_of

Records = Mapping[tuple[str, str], Optional[HelmRelease]]  # noqa: UP045 (pylint of ansible-test knows | between types as an error)
"""Helm releases by (namespace, release): None where the record can't be parsed, absent where none was found."""
Unknown = Literal["hidden", "missing", "garbled"]
"""Why it is not known what a Helm release owns: its record may not be read, is not there, or can't be parsed."""

HOOK = "helm.sh/hook"
UNMARK = "meta.helm.sh/release-name- meta.helm.sh/release-namespace-"
"""What kubectl annotate takes off an object that is no more a Helm release's: upgrades and uninstalls leave it on what they keep."""
_INSTANCE = "app.kubernetes.io/instance"
_ARGO = "argocd.argoproj.io/"
_GITOPS = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "configmanagement.gke.io/managed": "Config Sync",
    "configsync.gke.io/resource-id": "Config Sync",
}


@dataclass(frozen=True)
class Owner:
    """Who brings an object back when it is changed or deleted.

    :param kind: ``helm``, ``controller`` (an object, a tool or a hook that would write it back) or ``objects`` (nobody: plain objects).
    :param name: of the Helm release, or of the controller.
    :param namespace: of the Helm release.
    :param sign: by what it is known, for a person.
    """

    kind: Literal["helm", "objects", "controller"]
    name: str | None = None
    namespace: str | None = None
    sign: str = field(default="", compare=False)

    def __str__(self) -> str:
        """Return what a sentence calls the owner."""
        return f"Helm release {self.namespace}/{self.name}" if self.kind == "helm" else self.name or "nobody"


NOBODY = Owner("objects")
ARGO_CD = Owner("controller", "Argo CD")


def owner(manifest: Manifest, records: Records, applications: Collection[str] = ()) -> Owner:
    """Return who owns an object. A controller counts before Helm, since it would bring back whatever Helm deletes.

    A Helm release counts by its marks alone: :func:`holder` asks for its record.

    :param applications: as in :func:`fights_back`.
    """
    release = helm_owner(manifest)
    by_helm = Owner("helm", release[1], release[0], "its meta.helm.sh annotations") if release else NOBODY
    hook = hook_release(manifest, records)
    by_hook = Owner("controller", f"a hook of {hook[0]}", None, hook[1]) if hook else None
    return fights_back(manifest, applications) or by_hook or by_helm


def holder(manifest: Manifest, records: Records, hidden: frozenset[str], applications: Collection[str] = ()) -> Owner | None:
    """Return who owns an object and is there to bring it back, None where nobody is: Helm brings nothing back of a release without a record.

    :param hidden: namespaces whose Helm records may not be read. :param applications: as in :func:`fights_back`.
    """
    found = owner(manifest, records, applications)
    if found.kind == "helm" and unknown_record((found.namespace or "", found.name or ""), records, hidden) == "missing":
        return None
    return None if found == NOBODY else found


def fights_back(manifest: Manifest, applications: Collection[str] = ()) -> Owner | None:
    """Return the object, GitOps tool or other controller that writes an object again by itself, None where none does.

    :param applications: of Argo CD, see :func:`argo_applications`.
    """
    references = dig(manifest, "metadata", "ownerReferences", default=[])
    above = next((f"{entry.get('kind')} {entry.get('name')}" for entry in references if entry.get("controller")), None)
    if above:
        return Owner("controller", above, None, "its ownerReferences")
    tool = _marked(manifest)
    if tool:
        return Owner("controller", tool[0], None, tool[1])
    writing = managers.controller(manifest)
    if writing:
        return Owner("controller", writing[0], None, f"its managedFields: {writing[1]} writes its spec")
    known = dig(manifest, "metadata", "labels", _INSTANCE) in applications and not helm_owner(manifest)
    return replace(ARGO_CD, sign=f"its label {_INSTANCE} beside the same label on what Argo CD writes") if known else None


def argo_applications(manifests: Iterable[Manifest]) -> frozenset[str]:
    """Return the applications of Argo CD that own any of these objects by another sign than the label that names them."""
    labelled = ((dig(manifest, "metadata", "labels", _INSTANCE), manifest) for manifest in manifests)
    return frozenset(name for name, manifest in labelled if name and fights_back(manifest) == ARGO_CD)


def _marked(manifest: Manifest) -> tuple[str, str] | None:
    """Return the GitOps tool whose label or annotation an object carries, and that mark; None where there is none.

    Argo CD's default mark up to 2.14 is a label that Helm charts have too. It counts beside another mark of Argo CD, such as a sync wave, never on what
    Helm itself marked.
    """
    labels = dig(manifest, "metadata", "labels", default={})
    said = dig(manifest, "metadata", "annotations", default={}) | labels
    mark = next((mark for mark in _GITOPS if said.get(mark) not in (None, "disabled")), None)
    if mark:
        return _GITOPS[mark], f"its mark {mark}"
    beside = next((name for name in said if name.startswith(_ARGO)), None) if labels.get(_INSTANCE) and not helm_owner(manifest) else None
    return ("Argo CD", f"its label {_INSTANCE} beside {beside}") if beside else None


# -- Helm ---------------------------------------------------------------------------------------------------------------


def helm_owner(manifest: Manifest) -> tuple[str, str] | None:
    """Return (namespace, name) of the Helm release that owns an object, by Helm's own annotations; None where no release does."""
    said = dig(manifest, "metadata", "annotations", default={})
    release = said.get("meta.helm.sh/release-name")
    return (said.get("meta.helm.sh/release-namespace") or namespace_of(manifest), release) if release else None


def hooked(manifest: Manifest) -> bool:
    """Tell whether a Helm hook made an object: Helm leaves its marks off these, and makes them again whenever the hook runs."""
    return bool(dig(manifest, "metadata", "annotations", HOOK) or dig(manifest, "metadata", "labels", HOOK)) and helm_owner(manifest) is None


def hook_release(manifest: Manifest, records: Records) -> tuple[str, str] | None:
    """Return words for the release whose hook made an object, and how it is known; None for what no hook made."""
    if not hooked(manifest):
        return None
    wanted = (manifest.get("kind", ""), name_of(manifest))
    recorded = next((f"{namespace}/{name}" for (namespace, name), record in sorted(records.items(), key=lambda entry: entry[0])
                     if record and namespace == namespace_of(manifest) and wanted in record.hooks), None)
    if recorded:
        return f"Helm release {recorded}", "that release's record"
    instance = dig(manifest, "metadata", "labels", _INSTANCE)
    if instance:
        return f"Helm release {namespace_of(manifest)}/{instance}", f"its {HOOK} and its label {_INSTANCE}"
    return "a Helm release that neither a record nor a label names", f"its {HOOK}"


def unknown_record(release: tuple[str, str], records: Records, hidden: frozenset[str]) -> Unknown | None:
    """Return why it is not known what a Helm release owns; None where its record can be read.

    :param release: (namespace, name).
    """
    if records.get(release):
        return None
    if not release[0] or release[0] in hidden:
        return "hidden"
    return "garbled" if release in records else "missing"


# -- definitions --------------------------------------------------------------------------------------------------------


def managed_crd(crd: Manifest, platform_ships_it: bool) -> bool:
    """Tell whether the platform, not a person, maintains a CRD: it carries a mark of the add-on manager or of GKE, or GKE is known to install it.

    :param platform_ships_it: whether GKE is known to install it, by the server's version.
    """
    said = dig(crd, "metadata", "annotations", default={}) | dig(crd, "metadata", "labels", default={})
    return platform_ships_it or any(mark.startswith(("addonmanager.kubernetes.io/", "components.gke.io/")) for mark in said)
