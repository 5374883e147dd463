# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says which image the v1 endpoint picker runs, and tells whether nodes that pull alpha's can be thought to pull it. Pure."""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion.pool_migration import PoolMigration
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import dig
from ansible_collections.inference_gateway.migration.plugins.module_utils.releases import DEFAULT_TARGET, Facts

UPSTREAM = "registry.k8s.io/gateway-api-inference-extension/epp"
"""Image without tag that the charts of all releases name (charts v0.3.0 to v1.5.0, values.yaml); the tag is the release's version."""
UPSTREAM_SOURCES = (
    "registry.k8s.io/", "us-central1-docker.pkg.dev/k8s-staging-images/", "gcr.io/k8s-staging-", "us.gcr.io/k8s-artifacts-prod/",
)
"""Where the inference extension publishes images: who pulls from there reaches the project's own registries."""
PUBLIC_REGISTRIES = frozenset({"docker.io", "gcr.io", "ghcr.io", "mcr.microsoft.com", "public.ecr.aws", "quay.io"})
"""Registries for everybody: who pulls from one is probably not confined to a mirror."""

_HOST = r"(?:[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+(?::\d+)?|[A-Za-z0-9-]+:\d+|localhost)"
_CHOSEN = re.compile(rf"{_HOST}/[a-z0-9]+(?:[._/-]+[a-z0-9]+)*(?::\w[\w.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?")


class Image(NamedTuple):
    """A container image by its parts; ``tag`` and ``digest`` (``sha256:...``) are empty where it has none.

    :param registry: host, ``docker.io`` where the image names none.
    :param path: between registry and tag, e.g. ``mirror/epp``.
    """

    registry: str
    path: str
    tag: str
    digest: str

    @property
    def repository(self) -> str:
        """Registry and path, e.g. ``images.example.com/mirror/epp``."""
        return f"{self.registry}/{self.path}"


def parsed(image: str) -> Image:
    """Return the parts of a container image, by the rule of every container runtime: a first part without dot, port or ``localhost`` is no registry."""
    named, _at, digest = image.partition("@")
    folder, slash, last = named.rpartition("/")
    name, _colon, tag = last.partition(":")
    first, between, rest = f"{folder}{slash}{name}".partition("/")
    if between and ("." in first or ":" in first or first == "localhost"):
        return Image(first, rest, tag, digest)
    return Image("docker.io", f"{first}{between}{rest}", tag, digest)


def chosen(said: str) -> str:
    """Return option ``epp_image`` as it was said; empty where nothing was. :raises ValueError: with the remedy."""
    if not said:
        return ""
    image = parsed(said)
    if not _CHOSEN.fullmatch(said) or not (image.tag or image.digest):
        raise ValueError(
            f"epp_image is {said!r}: give registry/path/name:tag, e.g. images.example.com/mirror/epp:{DEFAULT_TARGET}, or a digest (@sha256:...) behind "
            "the tag or in its place."
        )
    return said


def chart_value(said: str, facts: Facts) -> dict[str, Any]:
    """Return the chart's ``image`` value for an image that a person chose.

    Every chart writes its parts with slashes and a colon between them, so a digest goes through as the end of the tag, or as a tag behind ``name@sha256``.
    """
    image = parsed(said)
    path, tag = image.path, image.tag
    if image.digest and tag:
        tag = f"{tag}@{image.digest}"
    elif image.digest:
        algorithm, _colon, tag = image.digest.partition(":")
        path = f"{path}@{algorithm}"
    folder, slash, name = path.rpartition("/")
    if facts.image == "registry":
        return {"registry": image.registry, "repository": path, "tag": tag}
    return {"hub": f"{image.registry}{slash}{folder}", "name": name, "tag": tag}


def alpha(migration: PoolMigration) -> str:
    """Return the image of the alpha EPP; empty where there is no Deployment."""
    return dig(migration.alpha_epp.container, "image", default="")


def v1(migration: PoolMigration) -> str:
    """Return the image of the v1 EPP: the chosen one, else the chart's own."""
    return migration.options.epp_image or f"{UPSTREAM}:{migration.options.release.version}"


def fitting(migration: PoolMigration) -> str:
    """Return what ``epp_image`` would be if the target's image lay beside the alpha EPP's."""
    return f"{parsed(alpha(migration)).repository}:{migration.options.release.version}"


def doubt(migration: PoolMigration) -> Literal["", "some", "much"]:
    """Tell how doubtful it is that nodes which pull the alpha EPP's image can pull the v1 EPP's.

    None where a person chose the image or both come from one registry; some where alpha's comes from a registry for everybody, without a secret; much else.
    """
    image = alpha(migration)
    if migration.options.epp_image or not image:
        return ""
    found = parsed(image)
    if found.registry == parsed(v1(migration)).registry or f"{found.repository}/".startswith(UPSTREAM_SOURCES):
        return ""
    return "some" if found.registry in PUBLIC_REGISTRIES and not migration.pull_secrets else "much"
