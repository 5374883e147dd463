# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.label_index import Labelled, Selectors, grouped
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import selects

NAMESPACES = st.sampled_from(["a", "b"])
LABELS = st.dictionaries(st.sampled_from(["app", "tier", "x"]), st.sampled_from(["1", "2"]), max_size=3)
ENTRIES = st.lists(st.tuples(NAMESPACES, LABELS), max_size=12)


def test_groups_keep_the_order():
    assert grouped([3, 1, 4, 1, 5], lambda number: number % 2) == {1: [3, 1, 1, 5], 0: [4]}


@given(ENTRIES, NAMESPACES, LABELS)
def test_the_first_that_a_selector_selects_is_the_first_candidate_that_it_selects(entries, namespace, selector):
    labelled = Labelled((where, labels, (where, number)) for number, (where, labels) in enumerate(entries))
    found = [entry for entry in labelled.candidates(namespace, selector) if selects(selector, entries[entry[1]][1])]
    assert found == [(where, number) for number, (where, labels) in enumerate(entries) if where == namespace and selector and selects(selector, labels)]


@given(ENTRIES, LABELS)
def test_every_selector_that_selects_labels_is_a_candidate_in_order(entries, labels):
    selectors = Selectors((where, selector, number) for number, (where, selector) in enumerate(entries))
    found = [number for number in selectors.candidates(("a", "b"), labels) if selects(entries[number][1], labels)]
    assert found == [number for number, (_where, selector) in enumerate(entries) if selector and selects(selector, labels)]


def test_few_candidates_where_many_share_a_label():
    labelled = Labelled(("a", {"app": "epp", "pool": str(number)}, number) for number in range(100))
    assert labelled.candidates("a", {"app": "epp", "pool": "7"}) == [7]
    selectors = Selectors(("a", {"app": "epp", "pool": str(number)}, number) for number in range(100))
    assert selectors.candidates(("", "a"), {"app": "epp", "pool": "7"}) == [7]


def test_values_that_are_no_text_do_no_harm():
    assert Labelled([("a", {"x": [1]}, "y")]).candidates("a", {"x": [1]}) == ["y"]
