# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import picker_image, v1_objects
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings import picker_pod as findings

from tests.unit.helpers.estate_changes import container, pod

DIGEST = "sha256:" + "0a" * 32
BANK = "images.bank.example/mirror/epp:v0.3.0"


def only(context):
    (one,) = context.migrations
    return one


@pytest.mark.parametrize(("image", "expected"), [
    ("registry.k8s.io/gateway-api-inference-extension/epp:v0.3.0", ("registry.k8s.io", "gateway-api-inference-extension/epp", "v0.3.0", "")),
    ("localhost:5000/epp", ("localhost:5000", "epp", "", "")),
    (f"registry:5000/a/b@{DIGEST}", ("registry:5000", "a/b", "", DIGEST)),
    (f"images.example.com/epp:v1@{DIGEST}", ("images.example.com", "epp", "v1", DIGEST)),
    ("team/epp:v1", ("docker.io", "team/epp", "v1", "")),
    ("epp", ("docker.io", "epp", "", "")),
])
def test_the_parts_of_an_image(image, expected):
    assert picker_image.parsed(image) == expected


@pytest.mark.parametrize("said", [
    "images.example.com/mirror/epp:v1.5.0", "images.example.com:5000/epp:v1.5.0-bank.3", f"registry:5000/a/b@{DIGEST}", f"localhost/epp:v1@{DIGEST}", "",
])
def test_an_image_that_a_chart_can_write(said):
    assert picker_image.chosen(said) == said


@pytest.mark.parametrize("said", [
    "epp:v1.5.0", "mirror/epp:v1.5.0", "images.example.com/mirror/epp", "images.example.com/:v1", "https://images.example.com/epp:v1",
    "images.example.com/Epp:v1", "images.example.com/epp@sha256:12", "images.example.com/epp:v1 ", "images.example.com/epp:{{ tag }}",
    "images.example.com/a//b:v1@",
])
def test_anything_else_is_refused_with_the_form(said):
    with pytest.raises(ValueError, match="give registry/path/name:tag, e.g. images.example.com/mirror/epp:v1.5.0, or a digest"):
        picker_image.chosen(said)


def written(value):
    """What the charts' templates make of the image value."""
    return "/".join(value[part] for part in ("hub", "name", "registry", "repository") if part in value) + f":{value['tag']}"


@pytest.mark.parametrize("target", ["v1.0.0", "v1.4.0", "v1.5.0"])
@pytest.mark.parametrize("said", [
    "images.example.com/a/b/epp:v1.5.0", "images.example.com/epp:v1", f"images.example.com/a/epp@{DIGEST}", f"localhost:5000/epp:v1@{DIGEST}",
])
def test_the_chart_writes_the_image_that_was_said(demo, target, said):
    value = v1_objects.chart_values(only(demo.context(target=target, epp_image=said)))["inferenceExtension"]["image"]
    assert written(value) == said
    assert set(value) == ({"registry", "repository", "tag"} if target == "v1.5.0" else {"hub", "name", "tag"})


def test_the_charts_own_image_where_nobody_says_one(demo):
    assert "image" not in v1_objects.chart_values(only(demo.context()))["inferenceExtension"]
    assert picker_image.v1(only(demo.context(target="v1.2.0"))) == "registry.k8s.io/gateway-api-inference-extension/epp:v1.2.0"


def test_alphas_pull_policy_is_kept(demo):
    container(demo)["imagePullPolicy"] = "Never"
    assert v1_objects.chart_values(only(demo.context()))["inferenceExtension"]["image"] == {"pullPolicy": "Never"}
    container(demo)["imagePullPolicy"] = "Always"
    assert "image" not in v1_objects.chart_values(only(demo.context()))["inferenceExtension"]


@pytest.mark.parametrize(("image", "secret", "severities"), [
    ("registry.k8s.io/gateway-api-inference-extension/epp:v0.3.0", True, []),
    ("us-central1-docker.pkg.dev/k8s-staging-images/gateway-api-inference-extension/epp:main", False, []),
    ("ghcr.io/somebody/epp:v0.3.0", False, ["warning"]),
    ("ghcr.io/somebody/epp:v0.3.0", True, [None]),
    ("somebody/epp:v0.3.0", False, ["warning"]),
    ("us-docker.pkg.dev/bank/mirror/epp:v0.3.0", False, [None]),
    (BANK, False, [None]),
    (f"images.bank.example/mirror/epp@{DIGEST}", False, [None]),
])
def test_who_may_not_reach_the_targets_registry(demo, image, secret, severities):
    container(demo)["image"] = image
    pod(demo)["imagePullSecrets"] = [{"name": "key"}] if secret else []
    assert [found.severity for found in findings.epp_image_registry(demo.context())] == severities
    assert list(findings.epp_image_registry(demo.context(epp_image="elsewhere.example/epp:v1.5.0"))) == []


@pytest.mark.parametrize("image", [BANK, f"images.bank.example/mirror/epp@{DIGEST}"])
def test_the_remedy_names_the_value_that_would_fit(demo, image):
    container(demo)["image"] = image
    (found,) = findings.epp_image_registry(demo.context(target="v1.3.1"))
    assert "migration_epp_image to where it is then, e.g. images.bank.example/mirror/epp:v1.3.1;" in found.remedy
    assert picker_image.chosen("images.bank.example/mirror/epp:v1.3.1")


def test_every_release_says_how_its_chart_names_images():
    assert [row.since for row in releases.ROWS if row.image == "registry"] == [(1, 5, 0)]
