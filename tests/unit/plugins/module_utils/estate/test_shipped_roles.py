# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped ClusterRole lets detect read what it reads, and nothing else."""

from __future__ import annotations

from pathlib import Path

import yaml

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import health_check_policy
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.listings import LISTINGS

RULES = yaml.safe_load((Path(__file__).resolve().parents[5] / "roles" / "migration" / "files" / "rbac" / "detect.yaml").read_text())["rules"]


def allowed(verb):
    return {(group, resource) for rule in RULES if verb in rule["verbs"] for group in rule["apiGroups"] for resource in rule["resources"]}


def test_it_only_reads():
    assert {verb for rule in RULES for verb in rule["verbs"]} == {"get", "list"}


def test_it_lists_exactly_the_kinds_that_are_listed():
    groups = {(version.rpartition("/")[0], listing.plural) for listing in LISTINGS for version in listing.api_versions}
    assert allowed("list") == groups


def test_it_gets_exactly_what_is_read_by_name():
    assert allowed("get") == {("", "configmaps"), ("", "namespaces"), ("apiextensions.k8s.io", "customresourcedefinitions")}
    (crds,) = (rule["resourceNames"] for rule in RULES if rule["resources"] == ["customresourcedefinitions"])
    assert set(crds) == {*releases.ALPHA_CRDS, *releases.CRD_FILES, health_check_policy.CRD}
