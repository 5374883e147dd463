# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Estates of many shapes, each migrated whole under load on every rule and every model: proven, nothing lost, nothing cut."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from igw_sandbox.world import World
from tests.e2e.product import COLLECTION, SIMPLE, leftovers
from tests.e2e.route_check import route_problems
from tests.integration.harness import ESTATES, REAL_SHARE, Ended, module
from tests.integration.picker_flags import in_log

RATE = 40
SHEDDABLE = {"migration_accept": ["shedding-changes"]}
"""For an estate with a Sheddable model, of which v1 sheds no request without the header."""
ENDPOINTS = {"migration_endpoints": ["/v1/completions", "/v1/chat/completions", "/v1/embeddings"]}


@pytest.fixture
def up(make_world: Callable[..., World]) -> Iterator[Callable[[str], World]]:
    """Brings an estate up in a sandbox of the test's own."""
    made: list[World] = []

    def bring(name: str) -> World:
        made.append(make_world(f"estate-{name.replace('_', '-')}", estates=[ESTATES / name]))
        return made[-1]

    yield bring
    for world in made:
        world.down()


def routes(world: World) -> dict[str, Any]:
    """Every HTTPRoute by namespace and name."""
    found = world.kubectl_json("get", "httproutes.gateway.networking.k8s.io", "-A")["items"]
    return {f"{route['metadata']['namespace']}/{route['metadata']['name']}": route for route in found}


def proven(world: World, play: Callable[..., Any], extra: dict[str, Any] | None = None, loaded: tuple[str, ...] = ()) -> Ended:
    """Migrate under load and check what holds for every estate; returns how it ended.

    ``loaded``: the routes that the load asks by, and that are moved, by default all; the others must stay as they were.
    """
    before = routes(world)
    ended = play(world, rate=RATE, extra=extra, routes=loaded)
    assert (ended.status, ended.verdict) == (0, "PROVEN"), ended.reason
    assert (ended.load["lost"], ended.load["cut"], ended.load["problems"]) == (0, 0, []), ended.load["reasons"]
    assert leftovers(world) == []
    after = routes(world)
    assert set(after) == set(before), "no probe route is left"
    moved = loaded or (*before,)
    assert [problem for name in moved for problem in route_problems(before[name], after[name])] == []
    assert all(after[name]["spec"] == route["spec"] and after[name]["metadata"]["generation"] == route["metadata"]["generation"]
               for name, route in before.items() if name not in moved)
    assert ended.begun["skipped"] == []
    return ended


def migrated_whole(world: World, play: Callable[..., Any], extra: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The same; returns what was asked for all the time."""
    return proven(world, play, extra).begun["targets"]


def refused(world: World, play: Callable[..., Any], code: str, extra: dict[str, Any] | None = None) -> None:
    """Target v1.0.0 is blocked by ``code``, and nothing is written."""
    world.reset_requests()
    ended = play(world, target="v1.0.0", extra=extra)
    assert ended.status != 0, ended.log[-2000:]
    assert f"blocker: {code}" in ended.log
    assert world.requests()["writes"] == 0


def policies(world: World) -> list[tuple[str, str, str]]:
    """(kind, group and name of the target) of every GKE policy on a pool."""
    found = world.kubectl_json("get", "healthcheckpolicies.networking.gke.io,gcpbackendpolicies.networking.gke.io", "-A")["items"]
    targets = [(entry["kind"], entry["spec"]["targetRef"]) for entry in found]
    return sorted((kind, target["group"], target["name"]) for kind, target in targets if target["kind"] == "InferencePool")


@pytest.mark.matrix
def test_an_alias_answers_all_the_time_under_a_strict_health_check_definition_and_v1_0_0_is_refused(up, play):
    """The definition came after the estate: it refuses the policy as alpha's chart, and the target's, write it."""
    world = up("alias")
    world.kubectl("apply", "-f", str(Path(world.state["crds"]) / "sandbox" / "strict"))
    refused(world, play, "alias-without-rewrite")
    targets = migrated_whole(world, play)
    assert policies(world) == [(kind, "inference.networking.k8s.io", "reviews-ga") for kind in ("GCPBackendPolicy", "HealthCheckPolicy")]
    asked = {(target["model"], target["endpoint"]) for target in targets}
    assert asked == {(model, endpoint) for model in ("review", "meta-llama/Llama-3.1-8B-Instruct") for endpoint in ("/v1/completions", "/v1/chat/completions")}
    # What v1 says of who answers: the alias itself, as clients asked for it.
    assert world.kubectl_json("get", "inferencemodelrewrites.inference.networking.x-k8s.io", "review")["spec"]["rules"][0]["targets"] == [
        {"modelRewrite": "food-review-1", "weight": 75}, {"modelRewrite": "food-review-2", "weight": 25}]


@pytest.mark.matrix
def test_a_pool_in_another_namespace_than_its_route(up, play):
    world = up("cross_namespace")
    migrated_whole(world, play)
    grants = world.kubectl_json("get", "referencegrants.gateway.networking.k8s.io", "-n", "models")["items"]
    allowed = {(entry["group"], entry["name"]) for grant in grants for entry in grant["spec"]["to"]}
    assert ("inference.networking.k8s.io", "chat-ga") in allowed


@pytest.mark.matrix
def test_embeddings_are_refused_on_v1_0_0_and_migrate_to_v1_5_0(up, play):
    world = up("embeddings")
    refused(world, play, "request-shape-rejected", ENDPOINTS)
    targets = migrated_whole(world, play, ENDPOINTS)
    assert {target["endpoint"] for target in targets} == set(ENDPOINTS["migration_endpoints"])


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("estate", "count", "accepted"),
    [("two_models", 4, {}), ("sixteen_models", 32, SHEDDABLE), ("header_rules", 4, SHEDDABLE), ("v1beta1", 2, {}), ("two_labels", 2, {}),
     ("served_names", 6, {})],
)
def test_an_estate_migrates_whole(up, play, estate, count, accepted):
    assert len(migrated_whole(up(estate), play, accepted)) == count


def logged_flags(world: World, picker: str) -> dict[str, Any]:
    """What the only pod of a picker said of its flags when it started."""
    (log,) = (world.directory / "logs").glob(f"pod-*-{picker}-*-epp.log")
    return in_log(log.read_text())


@pytest.mark.matrix
def test_flags_that_switch_something_off_do_so_on_v1(up, play):
    world = up("boolean_flags")
    migrated_whole(world, play)
    said = logged_flags(world, "coder-ga-epp")
    assert {name: said[name] for name in ("enable-pprof", "model-server-metrics-https-insecure-skip-verify", "refresh-metrics-interval", "v")} == {
        "enable-pprof": False, "model-server-metrics-https-insecure-skip-verify": False, "refresh-metrics-interval": 400_000_000, "v": 2}
    plugins = world.kubectl_json("get", "configmap", "coder-ga-epp", "-n", "flags")["data"]
    assert "queue-scorer" in plugins["alpha-plugins.yaml"] and said["config-file"].endswith("/alpha-plugins.yaml")


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("estate", "route", "other"),
    [
        ("redirect_listener", "assist/assist", "assist/a-redirect"),
        ("tenant_listeners", "chat/chat", "search/a-index"),
        ("listener_port", "chat/chat", None),
    ],
)
def test_probes_go_to_the_listeners_that_take_the_route(up, play, estate, route, other):
    """To port 8080 alone: on the other one nothing of the route is served. What is on that listener is not written."""
    world = up(estate)
    assert other is None or other in routes(world)
    ended = proven(world, play, REAL_SHARE, loaded=(route,))
    assert {target["url"].split("/")[2].rpartition(":")[2] for target in ended.begun["targets"]} == {"8080"}
    measured = [text for gate in ended.report["evidence"] for text in gate.get("counted", [])]
    assert measured and all(":8080" in text and ":8081" not in text for text in measured), measured


@pytest.mark.matrix
def test_rules_that_the_model_in_the_body_decides(up, play):
    """Users name the model in the body alone, the real router sets the header, and each rule's split is measured by requests for its own model."""
    world = up("body_routing")
    ended = proven(world, play, REAL_SHARE | SHEDDABLE)
    assert {target["model"] for target in ended.begun["targets"]} == {"alder-70b", "birch-8b", "cedar-1b", ""}, "one rule lists models too"
    assert "x-gateway-model-name" not in json.dumps(ended.begun["targets"]).lower(), "the load must not send what the router sets"
    measured = [gate["counted"] for gate in ended.report["evidence"] if "counted" in gate]
    assert len(measured) == 3 and all({text.partition("(rule ")[2][0] for text in counted} == {"0", "1", "2"} for counted in measured), measured
    assert not any(gate.get("blind") for gate in ended.report["evidence"])
    assert not [entry for entry in ended.report["unproven"] if entry["kind"] != "long-streams"]


@pytest.mark.matrix
def test_names_that_v1alpha2_alone_knows_are_learnt_before_it_goes(up, play, tmp_path, collections_path):
    """On the path with a downtime; and whoever asks afterwards, by hand and without a plan, gets the same verdict."""
    world = up("served_names")
    ended = play(world, SIMPLE)
    assert (ended.status, ended.verdict) == (0, "PROVEN"), ended.reason
    pool = {"namespace": "names", "name": "writer-ga", "models": ["writer", "writer-8b", "writer-8b-2026-03"]}
    answer = module("verify_gateway", world, tmp_path, collections_path, pools=[pool])
    assert answer.returncode == 0, answer.stdout


PREFIXES = [{"path": {"type": "PathPrefix", "value": path}} for path in ("/v1/completions", "/v1/chat/completions")]
"""Matches that do not take a request for /v1/models."""


@pytest.mark.matrix
@pytest.mark.parametrize("said", [{}, {"migration_models": {"infpool": ["acme/general-32b"]}}], ids=["learnt", "said"])
def test_a_pool_without_models_is_probed_for_what_it_lists_or_a_person_says(up, play, said):
    """A v1 picker on an alpha pool. Where its route hides /v1/models and nobody says a model, the plan is blocked."""
    world = up("v1_picker")
    before = world.kubectl_json("get", "configmap", "infpool-config", "-n", "stepping")["data"]
    if said:
        world.kubectl("patch", "httproute", "general", "-n", "stepping", "--type=json", "-p",
                      json.dumps([{"op": "replace", "path": "/spec/rules/0/matches", "value": PREFIXES}]))
        world.reset_requests()
        blocked = play(world)
        assert blocked.status != 0 and "blocker: pool-without-models" in blocked.log and "migration_models" in blocked.log, blocked.log[-2000:]
        assert world.requests()["writes"] == 0
    else:
        world.kubectl("delete", "crd", "inferencemodels.inference.networking.x-k8s.io")  # such a cluster may never have had it
    targets = migrated_whole(world, play, said)
    assert {target["model"] for target in targets} == {"acme/general-32b"}
    v1_pool = {"group": "inference.networking.k8s.io", "kind": "InferencePool", "name": "infpool-ga"}
    objectives = world.kubectl_json("get", "inferenceobjectives.inference.networking.x-k8s.io", "-n", "stepping")["items"]
    assert {entry["metadata"]["name"]: (entry["spec"]["priority"], entry["spec"]["poolRef"]) for entry in objectives} == {
        "interactive": (10, v1_pool), "interactive-ga": (10, v1_pool), "backfill": (-5, v1_pool), "backfill-ga": (-5, v1_pool)}
    plugins = world.kubectl_json("get", "configmap", "infpool-ga-epp", "-n", "stepping")["data"]["alpha-plugins.yaml"]
    assert plugins == before["site.yaml"], "with alpha's weights"
    said_by_picker = logged_flags(world, "infpool-ga-epp")
    assert said_by_picker["config-file"].endswith("/alpha-plugins.yaml") and said_by_picker["v"] == 2


PLUGINS = """\
apiVersion: inference.networking.x-k8s.io/v1alpha1
kind: EndpointPickerConfig
plugins:
  - type: queue-scorer
  - type: max-score-picker
  - type: single-profile-handler
schedulingProfiles:
  - name: default
    plugins:
      - pluginRef: queue-scorer
        weight: 1
      - pluginRef: max-score-picker
"""
"""EPP v0.5.1 does not start without a configuration of its plugins; v1 knows these."""


@pytest.mark.matrix
def test_a_server_that_refuses_every_long_stream(make_world, play, tmp_path):
    """Its context is too short. Where long streams are required nothing is moved; else the verdict, the report and the journal say what was not proven."""
    estate = Path(shutil.copytree(ESTATES / "raw", tmp_path / "raw"))
    servers = estate / "model-servers.yaml"
    servers.write_text(servers.read_text().replace('- "8192"', '- "256"'))
    world = make_world("estate-short", estates=[estate])
    before = routes(world)
    held = play(world, extra={"migration_stream_seconds": 12, "migration_require": ["long-streams"]})
    assert (held.status != 0, held.verdict) == (True, "HELD"), held.reason
    assert "not proven: long-streams (" in held.reason and "which is required" in held.reason
    assert {name: route["spec"] for name, route in routes(world).items()} == {name: route["spec"] for name, route in before.items()}
    ended = play(world, rate=RATE, streams=0, extra=REAL_SHARE | {"migration_stream_seconds": 12})
    assert (ended.status, ended.verdict) == (0, "PROVEN"), ended.reason
    assert (ended.load["lost"], ended.load["problems"]) == (0, []), ended.load["reasons"]
    assert {entry["kind"] for entry in ended.report["unproven"]} == {"long-streams"} and "not proven: long-streams (" in ended.reason
    journal = world.kubectl_json("get", "configmap", "inference-gateway-migration", "-n", "inference-gateway-migration")
    assert "not proven: long-streams (" in journal["data"]["record"]
    world.down()


@pytest.mark.matrix
def test_the_share_of_a_picker_that_passes_unknown_models(make_world, play, tmp_path):
    """EPP v0.5 and v1 both hand a request for an unknown model on, so the model server's 404 comes from either stack."""
    estate = Path(shutil.copytree(ESTATES / "raw", tmp_path / "raw"))
    picker = estate / "epp.yaml"
    options = f'            - "9003"\n            - -configText\n            - {json.dumps(PLUGINS)}\n'
    picker.write_text(picker.read_text().replace("epp:v0.3.0", "epp:v0.5.1").replace('            - "9003"\n', options))
    # That one answers 429 for any model that is not critical when it has not heard from a pod for 200 ms.
    models = estate / "models.yaml"
    models.write_text(models.read_text().replace("criticality: Standard", "criticality: Critical"))
    world = make_world("estate-unknown", estates=[estate])
    gates = proven(world, play, REAL_SHARE).report["evidence"]
    world.down()
    assert [gate["blind"] for gate in gates[1:]] == [[]] * 3 and all(gate["counted"] for gate in gates[1:]), gates


@pytest.mark.matrix
def test_a_helm_release_without_a_record_is_blocked_and_accepted_leaves_nothing_of_alpha(up, play):
    """Helm knows no such release and would remove nothing, so alpha would go on running after a run that ended PROVEN."""
    world = up("lost_record")
    world.reset_requests()
    blocked = play(world)
    assert blocked.status != 0 and "blocker: helm-release-unknown" in blocked.log and "Helm has no record" in blocked.log
    assert world.requests()["writes"] == 0
    migrated_whole(world, play, {"migration_accept": ["helm-release-unknown"]})
    left = world.kubectl_json("get", "deployments,services,serviceaccounts", "-n", "support")["items"]
    assert not [entry for entry in left if entry["metadata"]["name"] == "helpdesk-epp"]
    assert policies(world) == [(kind, "inference.networking.k8s.io", "helpdesk-ga") for kind in ("GCPBackendPolicy", "HealthCheckPolicy")]
    rights = world.kubectl_json("get", "clusterroles,clusterrolebindings")["items"]
    assert not [entry for entry in rights if entry["metadata"]["name"] == "support-helpdesk-epp"]
    definitions = {entry["metadata"]["name"] for entry in world.kubectl_json("get", "crds")["items"]}
    assert not definitions & {"inferencepools.inference.networking.x-k8s.io", "inferencemodels.inference.networking.x-k8s.io"}


MIRRORED = "images.bank.example/mirror/epp:v1.5.0"


@pytest.mark.matrix
def test_a_policy_that_admits_one_registry_is_known_before_any_write_and_the_image_that_a_person_names_goes_on(up, play):
    """Accepted, the trial has the policy's own words, and definitions are all that is there then; the same command with the image goes on."""
    world = up("one_registry")
    world.reset_requests()
    blocked = play(world)
    assert blocked.status != 0 and "blocker: epp-image-registry" in blocked.log and f"migration_epp_image to where it is then, e.g. {MIRRORED}" in blocked.log
    assert world.requests()["writes"] == 0
    before = {entry["metadata"]["name"] for entry in world.kubectl_json("get", "crds")["items"]}
    refused = play(world, extra={"migration_accept": ["epp-image-registry"]})
    assert refused.status != 0 and "only images of images.bank.example may run in this zone" in refused.reason, refused.reason
    assert {entry["metadata"]["name"] for entry in world.kubectl_json("get", "crds")["items"]} > before
    kinds = "deployments,services,serviceaccounts,secrets,configmaps,inferencepools.inference.networking.k8s.io,inferenceobjectives"
    assert not [entry for entry in world.kubectl_json("get", kinds, "-n", "ledger")["items"] if "advisor-ga" in entry["metadata"]["name"]]
    migrated_whole(world, play, {"migration_epp_image": MIRRORED})
    pod = world.kubectl_json("get", "deployment", "advisor-ga-epp", "-n", "ledger")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (container["image"], pod["imagePullSecrets"]) == (MIRRORED, [{"name": "mirror-login"}])
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert [entry["name"] for entry in container["env"]] == ["NAMESPACE", "POD_NAME", "GOMEMLIMIT"]
    assert pod["tolerations"] == [{"key": "dedicated", "operator": "Equal", "value": "serving", "effect": "NoSchedule"}]


# -- monitoring ---------------------------------------------------------------------------------------------------------

PODS, SERVICES = "podmonitorings.monitoring.googleapis.com", "servicemonitors.monitoring.coreos.com"


def monitors(world: World, plural: str, namespace: str) -> dict[str, Any]:
    """The spec of every monitor of a kind in a namespace, by name."""
    found = world.kubectl_json("get", plural, "-n", namespace)["items"]
    return {entry["metadata"]["name"]: entry["spec"] for entry in found}


def read_by(world: World, found: dict[str, Any], resource: str, namespace: str) -> dict[str, list[str]]:
    """For each pod or Service of a namespace the monitors that select it, as the server understands their labels."""
    names: dict[str, list[str]] = {}
    for monitor, spec in found.items():
        selector = ",".join(f"{label}={value}" for label, value in spec["selector"].get("matchLabels", {"scraped": "pickers"}).items())
        for entry in world.kubectl_json("get", resource, "-n", namespace, "-l", selector)["items"]:
            names.setdefault(entry["metadata"]["name"], []).append(monitor)
    return names


def metrics(world: World, address: str) -> str:
    """What an endpoint picker answers to somebody who may read metrics."""
    token = world.kubectl("create", "token", "reader").strip()
    request = urllib.request.Request(f"http://{address}:9090/metrics", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


@pytest.mark.matrix
def test_a_monitor_of_many_stays_and_each_v1_picker_is_read_by_one(up, play):
    """The model servers are still read, by the same monitor; each v1 picker by one of its own, of each kind, at a port that answers."""
    world = up("shared_monitoring")
    before = {plural: monitors(world, plural, "desks") for plural in (PODS, SERVICES)}
    told = [(entry["code"], entry["object"]) for entry in play(world, f"{COLLECTION}.detect").report["plan"]["findings"]]
    assert ("monitor-reads-alpha-epp", "ServiceMonitor desks/pickers") in told and ("shared-monitor", "PodMonitoring desks/desks") in told
    proven(world, play)
    after = {plural: monitors(world, plural, "desks") for plural in (PODS, SERVICES)}
    assert all(before[plural].items() <= after[plural].items() for plural in before), after
    pods = {entry["metadata"]["name"]: entry for entry in world.kubectl_json("get", "pods", "-n", "desks")["items"]}
    by_pod, by_service = read_by(world, after[PODS], "pods", "desks"), read_by(world, after[SERVICES], "services", "desks")
    assert {name.rsplit("-", 2)[0]: who for name, who in by_pod.items() if name in pods} == {
        "billing": ["desks"], "travel": ["desks"], "billing-ga-epp": ["desks-billing-ga"], "travel-ga-epp": ["desks-travel-ga"]}
    assert by_service == {"billing-ga-epp": ["pickers-billing-ga"], "travel-ga-epp": ["pickers-travel-ga"]}
    assert [spec["endpoints"] for name, spec in sorted(after[PODS].items())][1:] == [[{"port": "metrics", "interval": "30s"}]] * 2
    world.kubectl("create", "clusterrole", "reader", "--verb=get", "--non-resource-url=/metrics")
    world.kubectl("create", "serviceaccount", "reader")
    world.kubectl("create", "clusterrolebinding", "reader", "--clusterrole=reader", "--serviceaccount=default:reader")
    addresses = [entry["status"]["podIP"] for name, entry in pods.items() if "-ga-epp-" in name]
    assert len(addresses) == 2 and all("inference_pool_ready_pods" in metrics(world, address) for address in addresses)


@pytest.mark.matrix
def test_a_monitor_of_one_picker_goes_and_one_stands_for_it(make_world, play, tmp_path):
    """The nearest estate that shares nothing."""
    estate = Path(shutil.copytree(ESTATES / "raw", tmp_path / "raw"))
    selector = {"matchLabels": {"app": "vllm-llama3-8b-instruct-preview-epp"}}
    monitor = {"apiVersion": "monitoring.googleapis.com/v1", "kind": "PodMonitoring", "metadata": {"name": "picker", "namespace": "default"}}
    (estate / "monitor.yaml").write_text(json.dumps(monitor | {"spec": {"selector": selector, "endpoints": [{"port": 9090, "interval": "15s"}]}}))
    world = make_world("estate-own-monitor", estates=[estate])
    (pod,) = world.kubectl_json("get", "pods", "-l", "app=vllm-llama3-8b-instruct-preview-epp")["items"]
    assert read_by(world, monitors(world, PODS, "default"), "pods", "default") == {pod["metadata"]["name"]: ["picker"]}
    proven(world, play)
    read = read_by(world, monitors(world, PODS, "default"), "pods", "default")
    world.down()
    assert {name.rsplit("-", 2)[0]: who for name, who in read.items()} == {"vllm-llama3-8b-instruct-ga-epp": ["picker-ga"]}
