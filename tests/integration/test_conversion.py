# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan becomes on each target release: its real chart, rendered with the plan's values, and its own CRDs on a real API server.

Nothing is created; the server says in a dry run what it would store, after its defaults and without what it prunes. What it
stores must be what the plan said, and what alpha had. Of its flags a picker tells itself when it starts, so both are started.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases

from igw_sandbox import assets, tools
from igw_sandbox.world import World
from tests.integration.harness import CONTROL
from tests.integration.picker_flags import OWN_FLAGS, RENAMED_METRIC, SILENT, its_flags, kebab
from tests.integration.planning import Board, describe, merged_into_chart

Manifest = dict[str, Any]

ALPHA, V1 = "inference.networking.x-k8s.io", "inference.networking.k8s.io"
PICKER_SOURCES = ("cmd/epp", "pkg/epp/server", "pkg/common/observability/logging")
POLICIES = ("HealthCheckPolicy", "GCPBackendPolicy")
RELEASES = tuple(release for release in sorted((*assets.RELEASES, *assets.MORE_RELEASES)) if release >= "v1.0.0")
WITHOUT_REWRITES = ("v1.0.0", "v1.0.1", "v1.0.2", "v1.1.0", "v1.2.0", "v1.2.1")
TABLE = {
    "demo": RELEASES,
    "two_labels": RELEASES,
    "alias": tuple(release for release in RELEASES if release not in WITHOUT_REWRITES),
    "boolean_flags": RELEASES,
    "one_registry": RELEASES,
}
# Charts change their ways at v1.0.1, v1.2.0, v1.3.0, v1.4.0 and v1.5.0: each way is met at least once.
SAMPLE = {
    "demo": ("v1.0.0", "v1.2.0", "v1.5.0"),
    "two_labels": ("v1.0.1", "v1.3.0", "v1.4.0"),
    "alias": ("v1.3.1", "v1.5.0"),
    "boolean_flags": (),
    "one_registry": ("v1.0.1", "v1.5.0"),
}
OPTIONS = {"one_registry": {"epp_image": "images.bank.example/mirror/epp:{}"}}
"""Of detect, by estate; ``{}`` stands for the release. A policy of the estate admits Deployments with images of this registry alone."""
CASES = [
    pytest.param((estate, release), id=f"{estate}-{release}", marks=() if release in SAMPLE[estate] else pytest.mark.matrix)
    for estate, targets in TABLE.items() for release in targets
]
SAMPLE_OF_FLAGS = {"demo": ("v1.0.0", "v1.5.0"), "boolean_flags": ("v1.0.0",)}
OF_FLAGS = [
    pytest.param((estate, release), id=f"{estate}-{release}", marks=() if release in SAMPLE_OF_FLAGS.get(estate, ()) else pytest.mark.matrix)
    for estate, releases in TABLE.items() for release in releases if release not in SILENT
]
"""Pickers of releases between are built when one is first asked for, which takes minutes."""
# controller-runtime's own flags: those of its logger, which every picker binds, and the kubeconfig.
COMMON_FLAGS = {"zap-devel", "zap-encoder", "zap-log-level", "zap-stacktrace-level", "zap-time-encoding", "kubeconfig"}
REFUSED = re.compile(r"deprecatedMetricFlags := \[\]string\{(.*?)\}", re.DOTALL)
"""Flags that a picker still defines, and exits at."""
FLAG = re.compile(r"\b(?:flag|fs|flags|flagSet)\.(?:String|Int|Bool|Duration|Float64|StringSlice|IntSlice)(?:Var)?P?\(\s*(?:&[\w.]+,\s*)?\"([\w-]+)\"")


@dataclass
class Case:
    """One estate on its way to one release.

    :param rendered: the chart's objects. :param refused: what the server said of objects that it would not store.
    """

    world: World
    release: str
    plan: dict[str, Any]
    rendered: list[Manifest]
    refused: list[str] = field(default_factory=list)

    @property
    def pool(self) -> dict[str, Any]:
        """The only pool of the plan."""
        (pool,) = self.plan["pools"]
        return pool

    @property
    def planned(self) -> list[Manifest]:
        """The plan's own objects."""
        return [entry for entry in self.pool["objects"] if not merged_into_chart(self.pool, entry)]

    @property
    def merges(self) -> list[Manifest]:
        """What the plan merges into the chart's pool and Deployment."""
        return [entry for entry in self.pool["objects"] if merged_into_chart(self.pool, entry)]

    @cached_property
    def stored(self) -> dict[str, Manifest]:
        """All that is created, as the server would store it: chart with the plan's merges, and the plan's own."""
        chart = [self.merged(entry, [part for part in self.merges if describe(part) == describe(entry)]) for entry in self.rendered]
        everything = json.dumps({"apiVersion": "v1", "kind": "List", "items": [*chart, *self.planned]})
        command = ("create", "--dry-run=server", "--validate=strict", "--namespace", self.pool["namespace"], "-o", "json", "-f", "-")
        ended = self.world.run(self.world.tool("kubectl"), *command, input=everything, check=False)
        assert ended.stdout, ended.stderr
        self.refused = [line for line in ended.stderr.splitlines() if line]
        return {describe(entry): entry for entry in documents(ended.stdout)}

    def merged(self, manifest: Manifest, parts: list[Manifest]) -> Manifest:
        """A manifest with the plan's parts in it: by kubectl's own strategic merge, or its plain one for custom resources, as the API server does it."""
        for part in parts:
            kind = "strategic" if part["kind"] == "Deployment" else "merge"
            patch = ("patch", "--local", f"--type={kind}", f"--patch={json.dumps({'spec': part['spec']})}", "-o", "json", "-f", "-")
            manifest = json.loads(self.world.run(self.world.tool("kubectl"), *patch, input=json.dumps(manifest)).stdout)
        return manifest

    def one(self, kind: str) -> Manifest:
        """The only stored object of a kind."""
        (found,) = [entry for entry in self.stored.values() if entry["kind"] == kind]
        return found

    @cached_property
    def alpha_pod(self) -> Manifest:
        """What a pod of the picker in use is made of."""
        return pod(self.world.kubectl_json("get", "deployment", self.pool["alpha_epp"]["deployment"], "-n", self.pool["namespace"]))

    @property
    def alpha_picker(self) -> Manifest:
        """The container of the picker in use."""
        return picker({"spec": {"template": {"spec": self.alpha_pod}}})


def documents(text: str) -> Iterator[Manifest]:
    """The objects that kubectl prints one after the other, out of their list if they are in one."""
    decoder, position = json.JSONDecoder(), 0
    while text[position:].strip():
        found, position = decoder.raw_decode(text, len(text) - len(text[position:].lstrip()))
        yield from found["items"] if found["kind"] == "List" else [found]


def pod(deployment: Manifest) -> Manifest:
    """The spec of a Deployment's pods."""
    return deployment["spec"]["template"]["spec"]


def picker(deployment: Manifest) -> Manifest:
    """The endpoint picker's container."""
    (container,) = [entry for entry in pod(deployment)["containers"] if entry["name"] == "epp"]
    return container


def group(manifest: Manifest) -> str:
    """API group of an object."""
    return manifest["apiVersion"].rpartition("/")[0]


def attached(policy: Manifest) -> list[tuple[str, str, str]]:
    """(group, kind, name) of all that a policy is attached to."""
    refs = [*policy["spec"].get("targetRefs", []), *([policy["spec"]["targetRef"]] if "targetRef" in policy["spec"] else [])]
    return [(ref["group"], ref["kind"], ref["name"]) for ref in refs]


def untargeted(policy: Manifest) -> Manifest:
    """What a policy says, without whom it says it to."""
    return {name: value for name, value in policy["spec"].items() if name not in ("targetRef", "targetRefs")}


def within(part: Any, whole: Any) -> bool:
    """Whether all of ``part`` is in ``whole``, which may hold more fields: defaults."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(name in whole and within(value, whole[name]) for name, value in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) == len(whole) and all(within(one, other) for one, other in zip(part, whole))
    return part == whole


@cache
def known_flags(release: str) -> frozenset[str]:
    """The flags that a release's picker defines in its sources and does not exit at."""
    module = tools.module_dir(f"epp-{release}") if release in assets.RELEASES else tools.module_dir("charts", version=release)
    sources = [path for folder in PICKER_SOURCES for path in (module / folder).rglob("*.go") if not path.name.endswith("_test.go")]
    text = "\n".join(path.read_text() for path in sources)
    refused = [name for names in REFUSED.findall(text) for name in re.findall(r'"([\w-]+)"', names)]
    return frozenset(COMMON_FLAGS.union(FLAG.findall(text)).difference(refused))


def sources(release: str) -> str:
    """The Go sources of a release's picker, without tests."""
    module = tools.module_dir(f"epp-{release}") if release in assets.RELEASES else tools.module_dir("charts", version=release)
    return "\n".join(path.read_text() for folder in ("cmd/epp", "pkg") for path in (module / folder).rglob("*.go") if not path.name.endswith("_test.go"))


def named_variables(release: str) -> frozenset[str]:
    """Every text in capitals in the sources of a release's picker."""
    return frozenset(re.findall(r'"([A-Z][A-Z0-9_]{5,})"', sources(release)))


@pytest.fixture(scope="module")
def board(make_world, collections_path: Path, tmp_path_factory) -> Iterator[Board]:
    """An API server that shows one estate at a time."""
    world = make_world("conversion", services=CONTROL)
    yield Board(world, tmp_path_factory.mktemp("conversion"), collections_path)
    world.down()


@pytest.fixture(scope="module", params=CASES)
def case(board: Board, request, tmp_path_factory) -> Iterator[Case]:
    """An estate with the plan to a release, and that release's CRDs as the plan installs them."""
    estate, release = request.param
    world = board.world
    world.add_release(release)
    board.show(estate)
    said = {name: value.format(release) for name, value in OPTIONS.get(estate, {}).items()}
    plan = board.plan(target_version=release, endpoints=["/v1/completions", "/v1/chat/completions"], **said)
    assert plan["blocked"] == []
    definitions = [f"crd/{entry['name']}" for entry in plan["crds"]["install"]]
    for entry in plan["crds"]["install"]:
        world.kubectl("create", "-f", str(Path(world.state["crds"]) / release / "bases" / entry["file"]))
    world.kubectl("wait", "--for=condition=Established", "--timeout=60s", *definitions)
    (pool,) = plan["pools"]
    values = tmp_path_factory.mktemp("values") / "values.json"
    values.write_text(json.dumps(pool["chart"]["values"]))
    text = world.helm("template", pool["release"], f"{world.state['charts']}/inferencepool", "--version", release, "--plain-http",
                      "--namespace", pool["namespace"], "--values", str(values))
    yield Case(world, release, plan, [entry for entry in yaml.safe_load_all(text) if entry])
    world.kubectl("delete", "--timeout=60s", *definitions)


def test_the_chart_makes_a_v1_pool_and_none_of_alphas(case: Case):
    assert [group(entry) for entry in case.rendered if entry["kind"] == "InferencePool"] == [V1]


def test_the_server_takes_every_object_whole(case: Case):
    names = {describe(entry) for entry in (*case.rendered, *case.planned)}
    namespace = case.pool["namespace"]
    assert {name if "/" in name or name in case.stored else name.replace(" ", f" {namespace}/", 1) for name in names} == set(case.stored)
    assert case.refused == []


def test_what_is_stored_is_what_was_planned(case: Case):
    for entry in case.planned:
        kept = case.stored[describe(entry)]
        fields = [name for name in entry if name not in ("apiVersion", "kind", "metadata")]
        assert {name: within(entry[name], kept[name]) for name in fields} == dict.fromkeys(fields, True), f"{entry} became {kept}"
        assert within(entry["metadata"]["labels"], kept["metadata"]["labels"])


def test_the_pool_selects_serves_and_fails_as_alphas(case: Case):
    alpha = case.world.kubectl_json("get", f"inferencepools.{ALPHA}", case.pool["name"], "-n", case.pool["namespace"])["spec"]
    spec = case.one("InferencePool")["spec"]
    assert case.one("InferencePool")["metadata"]["name"] == case.pool["v1_name"]
    assert spec["selector"] == {"matchLabels": alpha["selector"]}
    assert spec["targetPorts"] == [{"number": alpha["targetPortNumber"]}]
    reference, epp = spec["endpointPickerRef"], case.pool["epp"]
    assert (reference["kind"], reference["name"], reference["port"]) == ("Service", epp["service"], {"number": epp["port"]})
    assert reference["failureMode"] == alpha["extensionRef"]["failureMode"] == case.pool["failure_mode"]


def test_the_pools_picker_is_the_one_that_is_installed(case: Case):
    deployment, service = case.one("Deployment"), case.one("Service")
    assert (deployment["metadata"]["name"], service["metadata"]["name"]) == (case.pool["epp"]["deployment"], case.pool["epp"]["service"])
    assert case.pool["epp"]["port"] in [port["port"] for port in service["spec"]["ports"]]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert picker(deployment)["image"].endswith(f"/epp:{case.release}")


def test_each_policy_of_alpha_has_one_twin_that_says_the_same(case: Case):
    live = case.world.kubectl_json("get", ",".join(POLICIES), "-n", case.pool["namespace"])["items"]
    alpha = {policy["kind"]: policy for policy in live if (ALPHA, "InferencePool", case.pool["name"]) in attached(policy)}
    twins = [entry for entry in case.stored.values() if entry["kind"] in POLICIES and (V1, "InferencePool", case.pool["v1_name"]) in attached(entry)]
    assert sorted(entry["kind"] for entry in twins) == sorted(alpha) == sorted(POLICIES)
    for twin in twins:
        assert untargeted(twin) == untargeted(alpha[twin["kind"]])
        assert len(attached(twin)) == 1


def test_the_picker_knows_its_flags(case: Case):
    args = picker(case.one("Deployment"))["args"]
    given = {word.lstrip("-").partition("=")[0] for word in args if word.startswith("-")}
    assert {"pool-name", "pool-namespace"} <= given
    assert given <= known_flags(case.release)


@pytest.mark.parametrize("case", OF_FLAGS, indirect=True)
def test_the_picker_says_of_its_flags_what_alphas_says(case: Case):
    alpha = its_flags(f"epp-{case.alpha_picker['image'].rpartition(':')[2]}", case.alpha_picker["args"])
    v1 = its_flags(f"epp-{case.release}", picker(case.one("Deployment"))["args"])
    compared = (alpha.keys() & v1.keys()) - OWN_FLAGS
    assert len(compared) >= 10, "the picker did not say its flags"
    told = any(RENAMED_METRIC in flag for flag in map(kebab, case.alpha_picker["args"]))
    if not told or RENAMED_METRIC not in known_flags(case.release):
        compared -= {RENAMED_METRIC}
    assert {name: v1[name] for name in compared} == {name: alpha[name] for name in compared}
    assert v1["pool-name"] == case.pool["v1_name"] and v1["config-file"].startswith("/config/")


def test_what_alpha_said_of_its_model_servers_metrics_is_said_again(case: Case):
    said = "--kvCacheUsagePercentageMetric=vllm:kv_cache_usage_perc" in case.alpha_picker["args"]
    flag, args = "--kv-cache-usage-percentage-metric", picker(case.one("Deployment"))["args"]
    # Later pickers read this metric unless told otherwise, and can't be told by a flag.
    assert (args[args.index(flag) + 1] if flag in args else None) == ("vllm:kv_cache_usage_perc" if said and flag[2:] in known_flags(case.release) else None)


def test_the_picker_asks_of_its_node_what_it_asked_before(case: Case):
    """And no more. Its memory limit is the chart's where alpha's is less or none, and then it has a request, or the server would make one of the limit."""
    before, after = case.alpha_picker.get("resources", {}), picker(case.one("Deployment")).get("resources", {})
    limited = case.release >= "v1.4.0"
    assert after.get("limits", {}).get("memory") == ("16Gi" if limited else before.get("limits", {}).get("memory"))
    least = {"memory": "256Mi"} if limited and "memory" not in before.get("requests", {}) else {}
    assert {name: amount for name, amount in after.get("requests", {}).items() if amount != "0"} == least | before.get("requests", {})
    assert after.get("limits", {}).get("cpu") == before.get("limits", {}).get("cpu")


SETTINGS = ("nodeSelector", "priorityClassName", "securityContext", "tolerations")
OF_CHARTS = {"NAMESPACE", "POD_NAME", "USE_STREAMING"}


def test_the_pickers_pod_is_as_alphas(case: Case):
    alpha, v1 = case.alpha_pod, pod(case.one("Deployment"))
    assert {name: v1.get(name) for name in SETTINGS} == {name: alpha.get(name) for name in SETTINGS}
    assert picker(case.one("Deployment")).get("securityContext") == case.alpha_picker.get("securityContext")
    assert picker(case.one("Deployment"))["imagePullPolicy"] == case.alpha_picker["imagePullPolicy"]
    account = case.world.kubectl_json("get", "serviceaccount", alpha.get("serviceAccountName", "default"), "-n", case.pool["namespace"])
    assert v1.get("imagePullSecrets") == account.get("imagePullSecrets")


def test_an_affinity_that_meant_alphas_picker_means_v1s(case: Case):
    labels = {"matchLabels": {"app": case.pool["alpha_epp"]["deployment"]}}
    assert pod(case.one("Deployment")).get("affinity") == json.loads(
        json.dumps(case.alpha_pod.get("affinity")).replace(json.dumps(labels), json.dumps({"matchLabels": {"inferencepool": case.pool["epp"]["deployment"]}})))


def test_the_picker_has_alphas_variables_that_its_release_may_read(case: Case):
    """What a picker's own sources name and this release's do not is left out, and a finding says so."""
    gone = {"SD_QUEUE_DEPTH_THRESHOLD"} if case.release >= "v1.5.0" else set()
    alpha = [entry for entry in case.alpha_picker.get("env", []) if entry["name"] not in OF_CHARTS]
    v1 = [entry for entry in picker(case.one("Deployment")).get("env", []) if entry["name"] not in OF_CHARTS]
    assert v1 == [entry for entry in alpha if entry["name"] not in gone]
    left = [entry["message"] for entry in case.plan["findings"] if entry["code"] == "epp-pod-settings-not-carried"]
    assert [f"variable {name}" in text for text in left for name in gone] == [True] * len([entry for entry in alpha if entry["name"] in gone])


def test_variables_are_those_that_the_pickers_sources_read():
    """Of each release, and of those that carried v1alpha2: what its sources name in capitals is in the table, or is not a setting of the picker."""
    for release in RELEASES:
        facts = releases.target(release).facts
        assert {name for name in releases.EPP_VARIABLES if name in named_variables(release)} == facts.variables, release


def test_aliases_are_rewritten_with_alphas_weights(case: Case):
    models = case.world.kubectl_json("get", f"inferencemodels.{ALPHA}", "-n", case.pool["namespace"])["items"]
    aliases = {model["spec"]["modelName"]: model["spec"]["targetModels"] for model in models if model["spec"].get("targetModels")}
    found = {}
    for entry in case.stored.values():
        if entry["kind"] == "InferenceModelRewrite":
            (rule,) = entry["spec"]["rules"]
            (match,) = rule["matches"]
            assert match["model"]["type"] == "Exact"
            assert entry["spec"]["poolRef"] == {"group": V1, "kind": "InferencePool", "name": case.pool["v1_name"]}
            found[match["model"]["value"]] = [{"name": aim["modelRewrite"], "weight": aim["weight"]} for aim in rule["targets"]]
    assert found == aliases


def test_every_release_and_estate_is_in_the_table():
    assert {release for targets in TABLE.values() for release in targets} == set(RELEASES) and len(RELEASES) == 10
    assert all(set(SAMPLE[estate]) <= set(targets) for estate, targets in TABLE.items())
