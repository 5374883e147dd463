# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is found of Helm's releases: what they own, whose record can't be read, and whose rights others use."""

from __future__ import annotations

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import Refused

from tests.unit.helpers.estate_changes import EPP, OWNED, POOL, annotate, bound, listing, release


def test_a_release_of_another_chart_owns_more(demo):
    release(demo, chart="umbrella", version="1.0.0")
    (found,) = demo.found("release-owns-more")
    assert "chart umbrella" in found.message and not found.overridable


def hide(world):
    world.releases, world.hidden_records = {}, frozenset({"default"})


@pytest.mark.parametrize(("change", "words", "remedy"), [
    (hide, "may not list the Secrets of namespace default", "kubectl -n default create rolebinding"),
    (lambda w: setattr(w, "releases", {}), "Helm has no record", "Restore the release's Secrets"),
    (lambda w: setattr(w, "releases", {("default", POOL): None}), "could not be read", "kubectl -n default get secrets -l owner=helm,name="),
])
def test_the_three_ways_not_to_know_a_release_are_told_apart(demo, change, words, remedy):
    change(demo)
    (found,) = demo.found("helm-release-unknown")
    assert (found.severity, found.overridable) == ("blocker", True)
    assert words in found.message and remedy in found.remedy and "accept helm-release-unknown" in found.remedy
    assert demo.plan()["blocked"] == ["helm-release-unknown"]


def test_the_record_is_looked_for_where_the_release_lies(demo):
    annotate(demo, "InferencePool", POOL, **{"meta.helm.sh/release-namespace": "platform"})
    assert "no Secret in namespace platform holds one" in demo.found("helm-release-unknown")[0].message


@pytest.mark.parametrize("change", [lambda w: w.remove("Secret"), lambda w: release(w, status="uninstalling", chart="umbrella")])
def test_what_a_release_owns_does_not_matter_where_it_is_not_uninstalled(demo, change):
    demo.get("HTTPRoute")["metadata"].update(OWNED)
    assert demo.found("release-owns-more")
    change(demo)
    assert demo.found("release-owns-more") == []


@pytest.mark.parametrize(("status", "words"), [
    ("failed", "Helm then uninstalls the rest"), ("pending-upgrade", "Helm then uninstalls the rest"), ("uninstalling", "the release itself is left"),
])
def test_the_status_of_a_release_is_said_and_what_is_done_about_it(demo, status, words):
    release(demo, status=status)
    (found,) = demo.found("helm-release-not-deployed")
    assert f"is in status {status}: " in found.message and words in found.message


def own_binding(world):
    """What chart v0.3.0 binds its EPP's account by."""
    bound(world, EPP, EPP, name=EPP, namespace="default", **OWNED)


def cron_job(world, namespace, account):
    template = {"spec": {"template": {"spec": {"serviceAccountName": account}}}}
    world.add("batch/v1", "CronJob", "nightly", namespace, spec={"jobTemplate": template})


@pytest.mark.parametrize(("change", "words"), [
    (lambda w: cron_job(w, "default", EPP), f"ServiceAccount default/{EPP} along, which others use: in use by CronJob default/nightly"),
    (lambda w: bound(w, EPP, "other"), f"ClusterRole {EPP} along, which others use: RoleBinding elsewhere/other gives it to ServiceAccount elsewhere/other"),
    (lambda w: w.get("RoleBinding")["subjects"].append({"kind": "User", "name": "bob"}), f"RoleBinding default/{EPP} along, which others use: it also serves"),
])
def test_a_release_whose_rights_others_use_owns_more_and_may_be_accepted(demo, change, words):
    own_binding(demo)
    assert demo.found("release-owns-more") == []
    change(demo)
    found = demo.found("release-owns-more")
    assert any(words in entry.message for entry in found) and all(entry.overridable for entry in found)
    assert demo.plan()["blocked"] == ["release-owns-more"] and demo.plan(accept=frozenset({"release-owns-more"}))["blocked"] == []


def test_a_role_that_the_release_did_not_bind_is_not_taken_along(demo):
    own_binding(demo)
    bound(demo, "metrics", EPP, name="by-hand", namespace="default")
    bound(demo, "metrics", "other")
    assert demo.found("release-owns-more") == []


@pytest.mark.parametrize("name", ["pods", "cron_jobs", "role_bindings"])
def test_not_to_know_who_uses_rights_is_a_warning_where_they_stay_and_a_blocker_where_helm_would_delete_them(demo, raw, name):
    for world, severity in ((raw, "warning"), (demo, "blocker")):
        world.refused = (Refused(name, "no", False, True, listing(name)),)
        assert [entry.severity for entry in world.found("may-not-list")] == [severity]
    raw.refused = (Refused("deployments", "no", False, True, listing("deployments")),)
    assert raw.found("may-not-list")[0].severity == "blocker", "without them nothing is known of the EPP"


def test_rights_that_others_use_are_named(raw):
    bound(raw, "pod-read", "other")
    (found,) = raw.found("shared-epp-rbac")
    assert found.object == "Deployment models/llama-epp"
    assert "ClusterRole pod-read stays: RoleBinding elsewhere/other gives it to ServiceAccount elsewhere/other." in found.message
