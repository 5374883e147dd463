# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every finding on a real API server: an estate that has it, and the nearest one that does not."""

from __future__ import annotations

import base64
import gzip
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.catalogue import CATALOGUE

from igw_sandbox.context import SandboxError
from igw_sandbox.world import World
from tests.integration.cases import CRDS, FOLDER, USUAL, Case, Expected, Manifest, cases, create, estate, furnish, namespaces, wild, wild_names
from tests.integration.harness import CONTROL
from tests.integration.strangers import stranger

V1_POOLS = "inferencepools.inference.networking.k8s.io"
OBJECTIVES = "inferenceobjectives.inference.networking.x-k8s.io"
REWRITES = "inferencemodelrewrites.inference.networking.x-k8s.io"
ALPHA_POOLS = "inferencepools.inference.networking.x-k8s.io"

CASES = [case for path in sorted(FOLDER.glob("*.yaml")) for case in cases(path)]
OF_THE_CLUSTER = {"alpha-crd-in-v1-manifests", "crd-older-than-target", "gateway-unreachable", "listener-undecided", "managed-crd", "may-not-list",
                  "pool-names-unused", "request-shape-rejected"}
"""Findings about no namespace, about what a credential may see of one, or about a connection: tested below, one by one."""

Detect = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def detected(ask: Detect) -> Detect:
    """The same, asked once for each set of options, also where it fails: for worlds that no test changes."""
    answers: dict[str, dict[str, Any] | AssertionError] = {}

    def remember(world: World, **options: Any) -> dict[str, Any]:
        key = f"{world.name} {json.dumps(options, sort_keys=True)}"
        if key not in answers:
            try:
                answers[key] = ask(world, **options)
            except AssertionError as failure:
                answers[key] = failure
        answer = answers[key]
        assert not isinstance(answer, AssertionError), answer
        return answer

    return remember


def of_code(answer: dict[str, Any], code: str, where: set[str] | None = None) -> list[dict[str, str]]:
    """Findings of one code, in some namespaces."""
    found = [entry for entry in answer["findings"] if entry["code"] == code]
    return found if where is None else [entry for entry in found if entry["object"].partition(" ")[2].partition("/")[0] in where]


def check(found: Sequence[dict[str, str]], expects: Sequence[Expected]) -> None:
    """Just these findings, with these severities and words."""
    assert sorted((entry["object"], entry["severity"]) for entry in found) == sorted((entry.object, entry.severity) for entry in expects)
    for expected in expects:
        assert any(expected.words in entry["message"] and entry["remedy"] for entry in found if entry["object"] == expected.object), found


# -- the table ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table(make_world: Callable[..., World]) -> Iterator[World]:
    """One cluster with both estates of every case."""
    world = make_world("table", services=CONTROL)
    furnish(world, [manifest for case in CASES for manifest in (*case.positive, *case.negative)])
    yield world
    world.down()


def test_every_finding_of_the_catalogue_has_a_case():
    assert {case.code for case in CASES} | OF_THE_CLUSTER == set(CATALOGUE)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_estate_that_has_it(case: Case, table: World, detected: Detect):
    check(of_code(detected(table, **case.options), case.code, namespaces(case.positive)), case.expects)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_nearest_estate_that_does_not(case: Case, table: World, detected: Detect):
    answer = detected(table, **case.options)
    where = namespaces(case.negative)
    assert any(pool["namespace"] in where for pool in answer["plan"]["pools"]), "nothing of this estate was looked at"
    assert of_code(answer, case.code, where) == []


def test_a_health_check_by_its_type_is_taken_where_the_old_one_would_be_refused(table: World, detected: Detect):
    """The definition is as GKE's is from 1.34 on; the policies came before it."""
    plan = detected(table, **USUAL)["plan"]
    mended = [entry for pool in plan["pools"] if pool["namespace"] in ("health-check-type-differs", "health-check-type-differs-2")
              for entry in pool["objects"] if entry["kind"] == "HealthCheckPolicy"]
    assert [sorted(entry["spec"]["default"]["config"]) for entry in mended] == [["httpHealthCheck", "type"], ["grpcHealthCheck", "type"]]
    for entry in mended:
        table.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(entry))
        live = table.kubectl_json("get", "healthcheckpolicy", "health", "-n", entry["metadata"]["namespace"])
        with pytest.raises(SandboxError, match="type HTTP needs httpHealthCheck|must have at most 2 items"):
            table.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(entry | {"spec": live["spec"]}))


# -- the cluster --------------------------------------------------------------------------------------------------------

ORDINARY = USUAL | {"criticality": {"Critical": 0, "Standard": 0, "Sheddable": 0, "Unset": 0}}


@pytest.fixture(scope="module")
def small(make_world: Callable[..., World]) -> Iterator[World]:
    """Two ordinary estates: one of plain objects, one of a Helm release whose record can be read."""
    world = make_world("small", services=CONTROL)
    owned = {"annotations": {"meta.helm.sh/release-name": "chat", "meta.helm.sh/release-namespace": "helm"}}
    whose = (("InferencePool", "chat"), ("Deployment", "chat-epp"), ("Service", "chat-epp"))
    of_helm = [{"kind": kind, "metadata": {"name": name} | owned} for kind, name in whose]
    create(world, [*estate("plain"), *estate("helm", [*of_helm, record("chat", packed(RECORD))])])
    yield world
    world.down()


ENDPOINTS = [*USUAL["endpoints"], "/v1/embeddings"]


def test_ordinary_estates_have_no_finding_at_all(small: World, ask: Detect):
    """Nor do options that fit: what the default target takes, and a name for a pool that is there."""
    answer = ask(small, **ORDINARY | {"endpoints": ENDPOINTS, "pool_names": {"chat": "chat-next"}})
    assert answer["findings"] == []
    assert {pool["namespace"] for pool in answer["plan"]["pools"]} == {"plain", "helm"}
    assert answer["plan"]["blocked"] == []


def test_options_that_do_not_fit(small: World, ask: Detect):
    """An endpoint that the target refuses, a name for no pool, and a target whose manifests hold the alpha CRD."""
    answer = ask(small, **ORDINARY | {"target_version": "v1.4.0", "endpoints": ENDPOINTS, "pool_names": {"code": "code-next"}})
    check(answer["findings"], [
        Expected("request-shape-rejected", "blocker", "endpoint /v1/embeddings", "EPP v1.4.0 answers 400"),
        Expected("pool-names-unused", "warning", "pool_names code", "no alpha InferencePool code"),
        Expected("alpha-crd-in-v1-manifests", "info", "release v1.4.0", ALPHA_POOLS),
    ])
    assert answer["plan"]["blocked"] == ["request-shape-rejected"]


@contextmanager
def definitions(world: World) -> Iterator[None]:
    """CRDs of v1.0.0, and of v1.5.0 what v1.0.0 does not have, for a while."""
    folder = Path(world.state["crds"])
    names = {V1_POOLS: "v1.0.0/bases/inference.networking.k8s.io_inferencepools.yaml",
             OBJECTIVES: "v1.0.0/bases/inference.networking.x-k8s.io_inferenceobjectives.yaml",
             REWRITES: "v1.5.0/bases/inference.networking.x-k8s.io_inferencemodelrewrites.yaml"}
    for file in names.values():
        world.kubectl("create", "-f", str(folder / file))
    world.kubectl("wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{name}" for name in names))
    yield
    world.kubectl("delete", "crd", *names)


def test_definitions_that_are_there_already(small: World, ask: Detect):
    """Both of v1.0.0 are older than the target, the rewrites are of the target; GKE keeps the pools', a person marked the objectives' as managed."""
    with definitions(small):
        small.kubectl("label", "crd", OBJECTIVES, "addonmanager.kubernetes.io/mode=Reconcile")
        answer = ask(small, **ORDINARY)
        elsewhere = ask(small, **ORDINARY | {"kubeconfig": str(small.direct_kubeconfig), "target_version": "v1.0.0"})
    for code, severity, words in (("crd-older-than-target", "warning", "release v1.0.0, the target is v1.5.0"), ("managed-crd", "info", "platform manages it")):
        check(of_code(answer, code), [Expected(code, severity, f"CustomResourceDefinition {name}", words) for name in (V1_POOLS, OBJECTIVES)])
    # The same cluster, seen past what says that it is GKE's, and with the target that the CRDs are of.
    assert elsewhere["cluster"]["version"] == "v1.34.4"
    assert of_code(elsewhere, "crd-older-than-target") == []
    assert [entry["object"] for entry in of_code(elsewhere, "managed-crd")] == [f"CustomResourceDefinition {OBJECTIVES}"]


READ = {"verbs": ["get", "list"]}
CORE = [{"apiGroups": [""], "resources": ["namespaces", "services", "serviceaccounts", "configmaps", "pods", "replicationcontrollers"]} | READ]
OTHERS = [
    {"apiGroups": [group], "resources": ["*"]} | READ
    for group in ("apps", "batch", "autoscaling", "apiextensions.k8s.io", "rbac.authorization.k8s.io", "networking.k8s.io", "networking.gke.io",
                  "monitoring.googleapis.com", "monitoring.coreos.com", "inference.networking.k8s.io", "inference.networking.x-k8s.io",
                  "autoscaling.gke.io", "keda.sh")
]


def test_a_list_that_is_forbidden_and_a_record_that_may_not_be_read(small: World, ask: Detect):
    """Neither HTTPRoutes nor Secrets; the near miss may read everything and write nothing."""
    gateways = {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["gateways", "gatewayclasses", "grpcroutes", "referencegrants"]} | READ
    with stranger(small, [*CORE, *OTHERS, gateways]) as connection:
        answer = ask(small, **ORDINARY | connection)
    check(of_code(answer, "may-not-list"), [Expected("may-not-list", "blocker", "httproutes (gateway.networking.k8s.io/v1)", "may not be read")])
    assert answer["plan"]["blocked"] == ["helm-release-unknown", "may-not-list"]
    may_not = "this credential may not list the Secrets of namespace helm"
    check(of_code(answer, "helm-release-unknown"), [Expected("helm-release-unknown", "blocker", "InferencePool helm/chat", may_not)])
    (pool,) = [pool for pool in answer["plan"]["pools"] if pool["namespace"] == "helm"]
    assert (pool["owner"]["kind"], pool["owner"]["left"], pool["stays"][0]["object"]) == ("objects", "helm/chat", "Helm release helm/chat")
    with stranger(small, [{"apiGroups": ["*"], "resources": ["*"]} | READ]) as connection:
        assert ask(small, **ORDINARY | connection)["findings"] == []


def test_a_listener_that_chooses_namespaces_whose_labels_may_not_be_read(small: World, ask: Detect):
    """The near miss may read them; and where they say that the listener does not take the route, there is nothing to probe."""
    chosen = {"from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": "plain"}}}
    listener = {"name": "http", "protocol": "HTTP", "port": 80}
    words = "listener http of Gateway plain/gateway depends on the labels of namespace plain"
    few = [CORE[0] | {"resources": [kind for kind in CORE[0]["resources"] if kind != "namespaces"]},
           CORE[0] | {"resources": ["namespaces"], "resourceNames": ["kube-system"]}]
    gateways = {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["*"]} | READ
    listen(small, listener | {"allowedRoutes": {"namespaces": chosen}})
    with stranger(small, [*few, *OTHERS, gateways, {"apiGroups": [""], "resources": ["secrets"]} | READ]) as connection:
        check(ask(small, **ORDINARY | connection)["findings"], [Expected("listener-undecided", "blocker", "HTTPRoute plain/chat", words)])
    assert ask(small, **ORDINARY)["findings"] == []
    elsewhere = chosen | {"selector": {"matchLabels": {"tenant": "search"}}}
    listen(small, listener | {"allowedRoutes": {"namespaces": elsewhere}})
    check(ask(small, **ORDINARY)["findings"], [Expected("address-not-probed", "blocker", "Gateway plain/gateway", "no HTTP or HTTPS listener for the route")])
    listen(small, listener)


def test_a_gateway_to_which_no_connection_can_be_opened(small: World, ask: Detect):
    """Of two Gateways somebody listens at one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        listen(small, {"name": "http", "protocol": "HTTP", "port": server.getsockname()[1]})
        found = ask(small, **ORDINARY | {"connect": True})["findings"]
    check(found, [Expected("gateway-unreachable", "blocker", "Gateway helm/gateway", "no connection to 127.0.0.1:80 can be opened")])
    listen(small, {"name": "http", "protocol": "HTTP", "port": 80})


def listen(world: World, listener: Manifest) -> None:
    """Give the Gateway of the ordinary estate in namespace plain this listener and no other."""
    world.kubectl("patch", "gateway", "gateway", "-n", "plain", "--type=merge", "-p", json.dumps({"spec": {"listeners": [listener]}}))


# -- found in the wild --------------------------------------------------------------------------------------------------

RECORD = {"name": "chat", "chart": {"metadata": {"name": "inferencepool", "version": "v0.3.0"}}, "config": {"inferencePool": {"targetPortNumber": 8000}}}


def packed(value: Any) -> bytes:
    """A release as Helm stores it, but for the Secret's own base64."""
    return base64.b64encode(gzip.compress(json.dumps(value).encode(), mtime=0))


def record(release: str, content: bytes) -> Manifest:
    """The Secret in which Helm keeps a release."""
    labels = {"owner": "helm", "status": "deployed", "name": release, "version": "1"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"sh.helm.release.v1.{release}.v1", "labels": labels}, "type": "helm.sh/release.v1",
            "data": {"release": base64.b64encode(content).decode()}}


WHOLE = gzip.compress(json.dumps(RECORD).encode(), mtime=0)
BROKEN = {
    "empty": b"",
    "no-base64": b"\xff\xfe not base64 at all",
    "no-gzip": base64.b64encode(json.dumps(RECORD).encode()),
    "cut": base64.b64encode(WHOLE[: len(WHOLE) // 2]),
    "flipped": base64.b64encode(WHOLE[:12] + bytes(byte ^ 0xFF for byte in WHOLE[12:24]) + WHOLE[24:]),
    "no-json": base64.b64encode(gzip.compress(b"\x80 {", mtime=0)),
    "null": packed(None),
    "list": packed([RECORD]),
    "no-chart": packed(RECORD | {"chart": None}),
    "chart-list": packed(RECORD | {"chart": {"metadata": ["inferencepool"]}}),
    "name-list": packed(RECORD | {"name": ["chat"]}),
    "values-text": packed(RECORD | {"config": "none"}),
}


@pytest.fixture(scope="module")
def wilderness(small: World) -> World:
    """The small cluster with everything that was found in the wild."""
    small.apply(CRDS / "optional")
    create(small, [manifest for name in wild_names() for manifest in wild(name)[1]], strict=False)
    return small


@pytest.fixture(scope="module")
def records(small: World) -> World:
    """The small cluster with pools of Helm releases whose records are only half there."""
    made: list[Manifest] = []
    for name, content in BROKEN.items():
        where = f"record-{name}"
        owned = {"meta.helm.sh/release-name": "chat", "meta.helm.sh/release-namespace": where}
        made += estate(where, [{"kind": "InferencePool", "metadata": {"name": "chat", "annotations": owned}}, record("chat", content)])
    create(small, made)
    return small


@pytest.mark.parametrize("name", wild_names())
def test_manifests_found_in_the_wild(name: str, wilderness: World, detected: Detect):
    expects, manifests = wild(name)
    answer = detected(wilderness, **USUAL | {"namespaces": [f"wild-{entry}" for entry in wild_names()]})
    for code in sorted({entry.code for entry in expects}):
        check(of_code(answer, code, namespaces(manifests)), [entry for entry in expects if entry.code == code])


def test_a_selector_in_the_form_of_v1_is_refused_by_the_alpha_schema(small: World):
    """It is in public manifests, and never in a cluster: the schema prunes no value of the wrong type."""
    pool = {"kind": "InferencePool", "metadata": {"name": "chat"}, "spec": {"selector": {"matchLabels": {"app": "vllm"}}}}
    (manifest,) = [entry for entry in estate("plain", [pool]) if entry["kind"] == "InferencePool"]
    with pytest.raises(SandboxError, match="spec.selector.matchLabels: Invalid value"):
        small.kubectl("create", "--dry-run=server", "--validate=false", "-f", "-", input=json.dumps(manifest))


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_helm_record_that_is_only_half_there(name: str, records: World, detected: Detect):
    """Where the chart can be read and the values can't, no more is lost than the values."""
    answer = detected(records, **USUAL | {"namespaces": [f"record-{entry}" for entry in BROKEN]})
    code, severity = ("helm-values-unreadable", "info") if name == "values-text" else ("helm-release-unknown", "blocker")
    for other in ("helm-values-unreadable", "helm-release-unknown"):
        expects = [Expected(code, severity, f"InferencePool record-{name}/chat", "could not be read")] if other == code else []
        check(of_code(answer, other, {f"record-{name}"}), expects)


def test_a_blocked_estate_writes_nothing(wilderness: World, play):
    wilderness.reset_requests()
    ended = play(wilderness, extra={"migration_namespaces": ["wild-bare"]})
    assert ended.status != 0
    assert "spec has no targetPortNumber" in ended.log
    assert wilderness.requests()["writes"] == 0
