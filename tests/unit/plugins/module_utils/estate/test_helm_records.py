# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import gzip
import json

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.helm_records import HelmRelease, helm_release, newest

RECORD = {"name": "r", "chart": {"metadata": {"name": "inferencepool", "version": "v0.3.0"}}, "config": {"provider": {"name": "gke"}}}


def secret(record: object, **labels: str) -> dict:
    packed = gzip.compress(json.dumps(record).encode())
    return {"metadata": {"labels": labels}, "data": {"release": base64.b64encode(base64.b64encode(packed)).decode()}}


def test_a_release_is_read_from_its_secret():
    assert helm_release(secret(RECORD)) == HelmRelease("r", "inferencepool", "v0.3.0", {"provider": {"name": "gke"}}, "deployed")


@pytest.mark.parametrize("broken", [
    {}, {"data": None}, {"data": {"release": "!"}}, {"data": {"release": "QUJD"}}, secret({"name": "r"}), secret([]), secret(RECORD | {"name": 5}),
    secret(RECORD | {"info": []}) | {"metadata": {"labels": {"status": 5}}}, secret(RECORD | {"info": "x"}),
])
def test_a_broken_record_is_no_release(broken):
    assert helm_release(broken) is None


@pytest.mark.parametrize(("config", "values"), [(None, {}), ({}, {}), ("none", None), ([1], None)])
def test_values_that_can_not_be_read_do_not_hide_the_chart(config, values):
    found = helm_release(secret(RECORD | {"config": config}))
    assert found is not None and (found.chart, found.values) == ("inferencepool", values)


@pytest.mark.parametrize(("info", "labels", "status"), [
    ({"status": "failed"}, {"status": "deployed"}, "failed"), ({}, {"status": "pending-upgrade"}, "pending-upgrade"), (None, {}, "deployed"),
])
def test_the_status_is_the_records_own_then_the_labels(info, labels, status):
    assert helm_release(secret(RECORD | {"info": info}, **labels)).status == status


@pytest.mark.parametrize(("status", "whole", "uninstallable"), [
    ("deployed", True, True), ("failed", False, True), ("pending-upgrade", False, True), ("superseded", False, True), ("uninstalling", False, False),
    ("uninstalled", False, False),
])
def test_what_a_status_means_for_an_uninstall(status, whole, uninstallable):
    found = HelmRelease("r", "inferencepool", "v0.3.0", {}, status)
    assert (found.whole, found.uninstallable) == (whole, uninstallable)


def test_the_newest_revision_counts_whatever_its_status():
    """By number: the tenth revision sorts before the second by name."""
    statuses = {"2": "deployed", "10": "failed", "9": "superseded"}
    history = [secret(RECORD | {"info": {"status": status}}, name="r", version=version) for version, status in statuses.items()]
    assert newest(history)["r"].status == "failed"


def test_each_release_has_its_own_history_and_a_garbled_one_is_no_release():
    found = newest([secret(RECORD, name="r", version="1"), secret(None, name="s", version="x"), secret(RECORD)])
    assert set(found) == {"r", "s"} and found["s"] is None


def test_an_older_record_does_not_stand_in_for_a_garbled_one():
    assert newest([secret(RECORD, name="r", version="1"), secret(None, name="r", version="2")]) == {"r": None}
