# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the real API server accepts of a user, it accepts of us: every split, finished and marked form of any HTTPRoute.

The arithmetic itself is tested without a server (tests/unit, test_routes.py): here the server's schema and rules judge.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as some

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import ALPHA_GROUP, V1_GROUP
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import probe_routes, weights
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey

from igw_sandbox.world import World
from tests.integration.harness import CONTROL

Manifest = dict[str, Any]
MOVES = {PoolKey(ALPHA_GROUP, "InferencePool", "default", name): f"{name}-ga" for name in ("one", "two")}
SHARES = (0, 1, 10, 33, 50, 99, 100)


def pool(name: str, group: str = ALPHA_GROUP) -> Manifest:
    return {"group": group, "kind": "InferencePool", "name": name}


HEADER = some.sampled_from([{"name": name, "value": "x"} for name in ("a", "b", "x-team", "model")])
MODIFIED = some.fixed_dictionaries({"set": some.lists(HEADER, min_size=1, max_size=3, unique_by=lambda header: header["name"])})
FILTERS = some.lists(
    some.one_of(
        MODIFIED.map(lambda change: {"type": "RequestHeaderModifier", "requestHeaderModifier": change}),
        MODIFIED.map(lambda change: {"type": "ResponseHeaderModifier", "responseHeaderModifier": change}),
        some.just({"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "shadow", "port": 80}}}),
        some.just({"type": "URLRewrite", "urlRewrite": {"hostname": "inner.example.com"}}),
    ),
    max_size=3,
    unique_by=lambda entry: entry["type"],
)
TARGETS = some.sampled_from([pool("one"), pool("two"), pool("one", V1_GROUP), {"name": "plain", "port": 80}, {"name": "other", "port": 81, "weight": 0}])
WEIGHTS = some.one_of(some.just({}), some.sampled_from([0, 1, 3, 7, 100, 9973, 10000]).map(lambda weight: {"weight": weight}))
REFERENCE = some.tuples(TARGETS, WEIGHTS, FILTERS).map(lambda parts: parts[0] | parts[1] | ({"filters": parts[2]} if parts[2] else {}))
PATHS = some.sampled_from([("PathPrefix", "/"), ("PathPrefix", "/v1"), ("Exact", "/v1/completions"), ("RegularExpression", "/v[0-9]+/.*")])
MATCH = some.tuples(PATHS, some.lists(HEADER, max_size=3, unique_by=lambda header: header["name"]), some.sampled_from([{}, {"method": "POST"}])).map(
    lambda parts: {"path": dict(zip(("type", "value"), parts[0])), **({"headers": parts[1]} if parts[1] else {}), **parts[2]}
)
RULE = some.tuples(
    some.lists(MATCH, max_size=8), some.lists(REFERENCE, min_size=1, max_size=8), FILTERS, some.sampled_from([{}, {"timeouts": {"request": "30s"}}])
).map(lambda parts: {**({"matches": parts[0]} if parts[0] else {}), "backendRefs": parts[1], **({"filters": parts[2]} if parts[2] else {}), **parts[3]})
ROUTE = some.lists(RULE, min_size=1, max_size=4).map(
    lambda rules: {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "llm", "namespace": "default"},
        "spec": {"parentRefs": [{"name": "gw"}], "hostnames": ["llm.example.com"], "rules": rules},
    }
)


@pytest.fixture(scope="module")
def world(make_world: Callable[..., World]) -> Iterator[World]:
    """An API server with the Gateway API's definitions."""
    made = make_world("routes", services=CONTROL)
    yield made
    made.down()


def stored(world: World, *manifests: Manifest) -> list[Manifest] | str:
    """What the server would store of them, or why it refuses one."""
    items = [manifest | {"metadata": manifest["metadata"] | {"name": f"r{number}"}} for number, manifest in enumerate(manifests)]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    argv = [str(world.tool("kubectl")), "--kubeconfig", str(world.kubeconfig), "create", "--dry-run=server", "-o", "json", "-f", "-"]
    answer = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if answer.returncode:
        return answer.stderr
    found, rest = [], answer.stdout.strip()
    while rest:  # one document after the other
        document, end = json.JSONDecoder().raw_decode(rest)
        found.append(document)
        rest = rest[end:].lstrip()
    return found


@given(ROUTE)
@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck), derandomize=True)
def test_every_form_of_a_route_that_is_accepted_is_accepted_as_it_is(world: World, wanted: Manifest) -> None:
    accepted = stored(world, wanted)
    assume(not isinstance(accepted, str))
    (original,) = accepted
    original["metadata"]["name"] = "llm"
    forms = [weights.reshape(original, original, MOVES, "split", share) for share in SHARES] + [weights.reshape(original, original, MOVES, "finished")]
    marked = [copy for variant in probe_routes.VARIANTS for copy in probe_routes.probe_routes_of(original, MOVES, variant, "igm12345")]
    bare = [form | {"metadata": {"name": "x", "namespace": "default"}} for form in forms] + marked
    answer = stored(world, *bare)
    assert not isinstance(answer, str), answer
    for sent, kept in zip(bare, answer):
        assert kept["spec"] == sent["spec"], "nothing was pruned or filled in: what is read back is what was meant"
    assert bool(marked) is bool(weights.moved_rules(original, MOVES))
