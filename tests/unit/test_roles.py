# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One role owns the options and the steps: every option stands once and is used, and no step gets past the guard."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.inference_gateway.migration.plugins.module_utils.releases import CRD_FILES
from ansible_collections.inference_gateway.migration.plugins.modules import (
    detect_v1alpha2,
    migration_evidence,
    migration_journal,
    migration_journal_info,
    migration_probe_routes,
    migration_v1_objects,
    shift_traffic,
    verify_gateway,
)
from ansible_collections.inference_gateway.migration.plugins.plugin_utils import options

from tests.unit.helpers.api_server import ApiServer, api_server
from tools.stage import ROOT

ROLES = ROOT / "roles"
ROLE = ROLES / "migration"
COLLECTION = "inference_gateway.migration"
PATH = f"{COLLECTION}.zero_downtime"
STEPS = sorted(path.stem for path in (ROLE / "tasks").glob("*.yml"))
UNGUARDED = {"main", "guard", "detect", "path", "report", "status", "steer"}
"""Task files that need no guard: the check of the options, the guard, detect, which only reads, what holds a path together, and the report."""
SPECIFICATION = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
DEFAULTS = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
MODULES = {
    module.__name__.rpartition(".")[2]: module.argument_spec()
    for module in (detect_v1alpha2, migration_evidence, migration_journal, migration_journal_info, migration_probe_routes, migration_v1_objects, shift_traffic,
                   verify_gateway)
}
OTHER_DEFAULTS = {
    ("migration_phases", "migration_journal", "phases"): "the module by itself begins a migration; the role goes through all of it",
}
"""Where role and module differ on purpose; no module stands for all."""
NOT_GIVEN = ("", [])
"""What a role's option is where nothing is said, for a module's option that has no default: tasks leave such a one out."""
SENTENCE = "The right-cluster guard did not run"


# -- every option once --------------------------------------------------------------------------------------------------


def tasks_of(path: Path) -> Iterator[tuple[dict[str, Any], bool]]:
    """Every task of a file, in blocks too, and whether it or a block around it asks the guard first."""
    def walk(tasks: list[dict[str, Any]], guarded: bool) -> Iterator[tuple[dict[str, Any], bool]]:
        for task in tasks:
            conditions = task.get("when", [])
            here = guarded or "__migration_guarded" in (conditions if isinstance(conditions, list) else [conditions])
            for part in ("block", "rescue", "always"):
                yield from walk(task.get(part, []), here)
            if "block" not in task:
                yield task, here
    return walk(yaml.safe_load(path.read_text()), False)


def product() -> Iterator[Path]:
    """Task files and variables of every role."""
    return (path for folder in ("tasks", "vars") for path in sorted(ROLES.glob(f"*/{folder}/*.yml")))


def test_defaults_and_argument_specs_hold_the_same_options() -> None:
    assert set(DEFAULTS) == set(SPECIFICATION)


def test_no_other_role_has_options() -> None:
    found = [path for path in ROLES.glob("*/defaults/main.yml") if path.parents[1] != ROLE]
    for role in ROLES.iterdir():
        specification = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]
        assert role == ROLE or not specification.get("options"), f"{role.name} has options of its own: they belong to role migration"
    assert not found, f"{found}: defaults belong to role migration"


@pytest.mark.parametrize("option", SPECIFICATION)
def test_every_option_is_used(option: str) -> None:
    assert any(re.search(rf"\b{option}\b", path.read_text()) for path in product()), f"nothing reads {option}: use it, or take it away"


@pytest.mark.parametrize("option", SPECIFICATION)
def test_role_and_modules_have_the_same_default(option: str) -> None:
    name = {"migration_report_path": "report"}.get(option, option.removeprefix("migration_"))
    for module, specification in MODULES.items():
        if name in specification and not {(option, module, name), (option, None, name)} & set(OTHER_DEFAULTS):
            expected = specification[name].get("default")
            said = None if expected is None and DEFAULTS[option] in NOT_GIVEN else DEFAULTS[option]
            assert said == expected, f"{option} is {DEFAULTS[option]!r} in role migration and {expected!r} in {module}"


def parts(option: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """Type of each part of an option, and whether it must be there."""
    return {name: (part["type"], part.get("required", False)) for name, part in option.get("options", {}).items()}


@pytest.mark.parametrize("option", SPECIFICATION)
def test_role_and_modules_have_the_same_type_and_choices(option: str) -> None:
    name = option.removeprefix("migration_")
    for specification in MODULES.values():
        if name in specification and SPECIFICATION[option]["type"] != "str":
            assert specification[name]["type"] == SPECIFICATION[option]["type"]
            assert specification[name].get("elements") == SPECIFICATION[option].get("elements")
            assert parts(specification[name]) == parts(SPECIFICATION[option])
        if name in specification and "choices" in specification[name]:
            assert specification[name]["choices"] == SPECIFICATION[option]["choices"]


def test_connection_options_are_read_in_one_place() -> None:
    """By the guard, of which every connection is the result, by detect and status, which only read, and by steer, which writes an object of its own."""
    said = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["__migration_said"]
    for option in said:
        readers = [path for path in product() if re.search(rf"\bmigration_{option}\b", path.read_text())]
        assert readers == [ROLE / "vars" / "main.yml"], f"{readers} read migration_{option}"
    users = {path.stem for path in product() if "__migration_said" in path.read_text() and path.parent.name == "tasks"}
    assert users == {"guard", "detect", "status", "steer"}


def test_the_groups_hold_what_the_modules_take() -> None:
    groups = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]
    variables = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
    assert groups["probing"] == sorted(name for name, specification in MODULES.items() if "probe_rate" in specification)
    for name in groups["probing"]:
        assert {option for option in MODULES[name] if option.startswith("probe") and option != "probe_limit"} == set(variables["__migration_probing"])
    for name in MODULES:
        assert set(variables["__migration_said"]) <= set(MODULES[name])


# -- no step past the guard ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [step for step in STEPS if step not in UNGUARDED])
def test_every_task_of_a_step_that_reaches_a_cluster_asks_the_guard(step: str) -> None:
    """In its own file: a playbook may take any file by itself, and --start-at-task may begin anywhere in it."""
    path = ROLE / "tasks" / f"{step}.yml"
    own = (f"{COLLECTION}.", "kubernetes.core.")
    loose = [task["name"] for task, guarded in tasks_of(path) if any(key.startswith(own) for key in task) and not guarded]
    assert not loose, f"{step}.yml: {loose} reach a cluster without when: __migration_guarded"


def run(folder: Path, collections: Path, hosts: dict[str, dict[str, Any]], playbook: list[dict[str, Any]] | str, *arguments: str,
        default: ApiServer) -> subprocess.CompletedProcess[str]:
    """A playbook on local hosts; ``default`` is where the kubeconfig leads that the environment names. Nobody answers at a Gateway's address."""
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "migration_connect": False}
    (folder / "hosts.json").write_text(json.dumps({"clusters": {"hosts": {name: local | variables for name, variables in hosts.items()}}}))
    if not isinstance(playbook, str):
        (folder / "play.yml").write_text(json.dumps(playbook))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("K8S_AUTH_", "ANSIBLE_"))}
    settings = {"ANSIBLE_COLLECTIONS_PATH": str(collections), "ANSIBLE_HOME": str(folder / "home"), "ANSIBLE_NOCOLOR": "1"}
    # kubernetes.core keeps what a server said of itself in a file named by its port, which another test's server may have had.
    settings["TMPDIR"] = str(folder)
    settings["KUBECONFIG"] = str(default.kubeconfig(folder / "default.json"))
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts.json", playbook if isinstance(playbook, str) else "play.yml", *arguments]
    return subprocess.run(command, cwd=folder, env=kept | settings, capture_output=True, text=True, check=False, timeout=300)


def step_or_refusal(step: str, label: str) -> dict[str, Any]:
    """A task that takes a step and says how that was refused."""
    said = f"{label} {step}: {{{{ ansible_failed_result.msg }}}}"
    include = {"name": step, "ansible.builtin.include_role": {"name": f"{COLLECTION}.migration", "tasks_from": step}}
    return {"name": step, "block": [include], "rescue": [{"name": "Say why", "ansible.builtin.debug": {"msg": said}}]}


def raw_estate() -> list[dict[str, Any]]:
    """A pool without Helm, and all that belongs to it."""
    return [entry for entry in yaml.safe_load_all((Path(__file__).parent / "fixtures" / "raw.yaml").read_text()) if entry]


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """An API server that has nothing but its own identity."""
    with api_server([]) as served:
        yield served


def test_a_step_without_its_path_is_refused_and_asks_nothing(api, collections_path, tmp_path):
    """Neither before the guard nor after it: the connection that a step would have by itself is the controller's default one."""
    steps = [step for step in STEPS if step not in UNGUARDED]
    guard = {"name": "Guard", "ansible.builtin.include_role": {"name": f"{COLLECTION}.migration", "tasks_from": "guard"}}
    tasks = [*(step_or_refusal(step, "BEFORE") for step in steps), guard, *(step_or_refusal(step, "AFTER") for step in steps)]
    ended = run(tmp_path, collections_path, {"one": {"migration_kubeconfig": str(api.kubeconfig(tmp_path / "kubeconfig.json"))}},
                [{"hosts": "clusters", "gather_facts": False, "tasks": tasks}], default=api)
    said = re.findall(r'"msg": "((?:BEFORE|AFTER) \w+): (.*)"', ended.stdout)
    assert [name for name, _why in said] == [f"{label} {step}" for label in ("BEFORE", "AFTER") for step in steps], ended.stdout[-3000:]
    assert all(SENTENCE in why for _name, why in said), said
    journal = "/api/v1/namespaces/inference-gateway-migration/configmaps/inference-gateway-migration"
    lease = "/apis/coordination.k8s.io/v1/namespaces/inference-gateway-migration/leases/inference-gateway-migration"
    assert set(api.requests) <= {("GET", path) for path in ("/version", "/apis", "/api/v1/namespaces/kube-system", journal, lease)}, api.requests


@pytest.mark.parametrize("arguments", [("--start-at-task", "Phases after the plan"), ("--start-at-task", "Note how it ended"), ("--skip-tags", "always")],
                         ids=lambda arguments: arguments[1].replace(" ", "-"))
def test_a_part_of_a_path_does_not_get_past_the_guard(api, collections_path, tmp_path, arguments):
    report = tmp_path / "report.json"
    variables = {"migration_kubeconfig": str(api.kubeconfig(tmp_path / "kubeconfig.json")), "migration_report_path": str(report)}
    ended = run(tmp_path, collections_path, {"one": variables}, f"{COLLECTION}.zero_downtime", *arguments, default=api)
    assert ended.returncode != 0, ended.stdout
    said = json.loads(report.read_text())
    assert said["verdict"] == "FAILED" and SENTENCE in said["reason"]
    assert api.requests == []


@pytest.mark.parametrize("task", ["Note that v1 is installed by this plan", "Wait until the v1 endpoint pickers are available"])
def test_the_middle_of_a_step_does_not_get_past_the_guard(api, collections_path, tmp_path, task):
    step = {"name": "Deploy", "ansible.builtin.import_role": {"name": f"{COLLECTION}.migration", "tasks_from": "deploy"}}
    ended = run(tmp_path, collections_path, {"one": {}}, [{"hosts": "clusters", "gather_facts": False, "tasks": [step]}], "--start-at-task", task, default=api)
    assert ended.returncode != 0 and SENTENCE in ended.stdout, ended.stdout
    assert api.requests == []


def test_a_path_goes_behind_its_guard_and_says_no_secret(collections_path, tmp_path):
    """The plan alone, in a playbook of a person's own, with all that Ansible can say about it."""
    path = {"name": "Migrate", "ansible.builtin.include_role": {"name": f"{COLLECTION}.zero_downtime"}}
    credentials = {"migration_api_key": "key-of-nobody", "migration_probe_token": "token-of-nobody"}  # pragma: allowlist secret: the API server is a fake
    options = {"migration_phases": ["plan"], "migration_probe_headers": ["x-key: header-of-nobody"]} | credentials
    with api_server(raw_estate()) as api:
        report = {"migration_report_path": str(tmp_path / "report.json"), "migration_kubeconfig": str(api.kubeconfig(tmp_path / "kubeconfig.json"))}
        ended = run(tmp_path, collections_path, {"one": options | report}, [{"hosts": "clusters", "gather_facts": False, "tasks": [path]}], "-vvv", default=api)
    assert ended.returncode == 0, ended.stdout[-3000:]
    assert json.loads((tmp_path / "report.json").read_text())["reason"] == "phases plan are done"
    assert "of-nobody" not in ended.stdout + ended.stderr
    assert {path for _method, path in api.writes if "/inference-gateway-migration" not in path} <= {
        "/api/v1/namespaces", "/apis/inference.networking.x-k8s.io/v1alpha2/namespaces/models/inferenceobjectives"}, "and its dry run"


@pytest.mark.parametrize("names", [("kubernetes.core.k8s", "kubernetes.core.helm", "kubernetes.core.helm_info"),
                                   ("group/kubernetes.core.k8s", "group/kubernetes.core.helm")], ids=["module", "group"])
def test_a_persons_module_defaults_lead_no_step_to_another_cluster(collections_path, tmp_path, names):
    """By a module's name they win over those of its group; of its group, what a path does not say itself is left, as a proxy and helm's aliases are."""
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "status": {"conditions": [{"type": "Established", "status": "True"}]}}
    for name, file in CRD_FILES.items():
        (tmp_path / file).write_text(yaml.safe_dump(crd | {"metadata": {"name": name}}))
    with api_server([*raw_estate(), crd | {"metadata": {"name": "widgets.example.com"}}]) as api, api_server([]) as elsewhere:
        there = {"kubeconfig": str(elsewhere.kubeconfig(tmp_path / "elsewhere.json")), "proxy": elsewhere.url}
        options = {"migration_kubeconfig": str(api.kubeconfig(tmp_path / "kubeconfig.json")), "migration_phases": ["plan", "install"],
                   "migration_chart_ref": str(tmp_path)}  # no pull, for which helm would be asked first
        play = {"hosts": "clusters", "gather_facts": False, "roles": [PATH], "vars": {"migration_crds_source": str(tmp_path)},
                "module_defaults": {name: {"kube_context": "there"} if "helm" in name else there for name in names}}
        ended = run(tmp_path, collections_path, {"one": options}, [play], default=elsewhere)
    assert [path for _method, path in api.writes if "customresourcedefinitions" in path], ended.stdout[-3000:]
    assert elsewhere.requests == []


def test_a_path_replaces_all_that_a_person_says_for_modules_of_kubernetes_core() -> None:
    """Where helm goes only a real cluster would show, so its defaults are read here: by group nothing of a person's, and by name no task asks for any."""
    (path,) = (task["module_defaults"] for task in yaml.safe_load((ROLE / "tasks" / "path.yml").read_text()) if "module_defaults" in task)
    used = {key for file in product() if file.parent.name == "tasks" for task, _guarded in tasks_of(file) for key in task if key.startswith("kubernetes.core.")}
    assert used == set(), "all run by migration_task, which renews the Lease, waits for the API server and bounds helm"
    assert (path["group/kubernetes.core.k8s"], path["group/kubernetes.core.helm"]) == ({}, {})


@pytest.mark.parametrize("path", sorted(product()), ids=lambda path: str(path.relative_to(ROLES)))
def test_every_loop_has_a_variable_of_its_own(path: Path) -> None:
    """A person may take a path in a loop over clusters, whose variable ``item`` is in the connection."""
    if path.parent.name == "tasks":
        for task, _guarded in tasks_of(path):
            assert "loop" not in task or task.get("loop_control", {}).get("loop_var", "").startswith("__migration_"), f"{task['name']!r} loops over item"
    assert not re.search(r"attribute='item'|\bitem\.", path.read_text())


# -- bad input is one clear sentence ------------------------------------------------------------------------------------


def test_the_nearest_option_is_named():
    assert options.unknown(["migration_hosts", "migration_step"], ["migration_steps", "migration_hosts", "migration_gate"]) == [
        "migration_step is no option: the nearest one is migration_steps."]
    assert options.unknown(["migration_steps"], ["migration_steps"]) == []


WRONG = {
    "misspelt": ({"migration_step": [100]}, "migration_step is no option: the nearest one is migration_steps."),
    "of-a-role-that-was": ({"migration_zero_downtime_steps": [100]}, "migration_zero_downtime_steps is no option: the nearest one is migration_"),
    "phase": ({"migration_phases": ["plan", "instal"]}, "one or more of: plan, install, shift, retire. Got no match for: instal"),
    "part": ({"migration_probes": [{"body": {"model": "m"}}]}, "missing required arguments: path found in migration_probes"),
    "type": ({"migration_soak_seconds": "long"}, "argument 'migration_soak_seconds' is of type"),
}
"""What an inventory says, and the words of the refusal."""


def test_a_wrong_option_is_refused_and_nothing_is_asked(api, collections_path, tmp_path):
    connection = {"migration_kubeconfig": str(api.kubeconfig(tmp_path / "kubeconfig.json"))}
    hosts = {name: connection | variables for name, (variables, _sentence) in WRONG.items()}
    ended = run(tmp_path, collections_path, hosts, f"{COLLECTION}.detect", default=api)
    assert ended.returncode != 0
    said = dict(re.findall(r"^fatal: \[([\w-]+)\]: FAILED! => (.*)$", ended.stdout, re.MULTILINE))
    assert set(said) == set(WRONG), ended.stdout
    for name, (_variables, sentence) in WRONG.items():
        assert sentence in said[name], said[name]
    assert api.requests == []


CONNECTION = {"migration_kubeconfig": "/elsewhere"}
INCLUDES = [{"ansible.builtin.include_role": {"name": PATH}}]
OTHER_ROLES = {
    "includes": ({"defaults": CONNECTION, "tasks": INCLUDES}, ["own"], []),
    "imports": ({"defaults": CONNECTION, "tasks": [{"ansible.builtin.import_role": {"name": PATH}}]}, ["own"], []),
    "depends": ({"defaults": CONNECTION, "meta": {"dependencies": [PATH]}}, ["own"], []),
    "lies-beside": ({"defaults": CONNECTION}, ["own", PATH], []),
    "is-included-beside": ({"defaults": CONNECTION}, ["own"], INCLUDES),
    "includes-and-is-included": ({"defaults": CONNECTION, "tasks": INCLUDES}, [], [{"ansible.builtin.include_role": {"name": "own"}}]),
    "depends-on-one": ({"tasks": INCLUDES, "meta": {"dependencies": ["acme.fleet.common"]}}, ["own"], []),
    "depends-on-one-beside": ({"meta": {"dependencies": ["acme.fleet.common"]}}, ["own", PATH], []),
    "lies-in-a-collection": ({}, ["acme.fleet.common", PATH], []),
    "lies-elsewhere": ({}, ["{{ playbook_dir }}/ansible_collections/acme/fleet/roles/common", PATH], []),
}
"""Files of a role of a person's own, and which roles and tasks the play has. Role ``common`` of a collection of a person's own has the connection too."""


def write_role(folder: Path, parts: dict[str, Any]) -> None:
    """A role of these files."""
    folder.mkdir(parents=True)
    for name, content in parts.items():
        (folder / name).mkdir()
        (folder / name / "main.yml").write_text(yaml.safe_dump(content))


@pytest.fixture
def of_a_person(collections_path: Path, tmp_path: Path) -> Path:
    """A collections path in the playbook's folder, for a collection of a person's own beside ours."""
    (tmp_path / "ansible_collections").mkdir()
    for link in collections_path.glob("ansible_collections/*"):
        (tmp_path / "ansible_collections" / link.name).symlink_to(link)
    return tmp_path


@pytest.mark.parametrize("way", OTHER_ROLES)
def test_options_in_the_defaults_of_another_role_are_refused(api, of_a_person, way):
    """They would not be seen, and the run would go to the controller's default cluster."""
    own, roles, tasks = OTHER_ROLES[way]
    write_role(of_a_person / "roles" / "own", own)
    write_role(of_a_person / "ansible_collections" / "acme" / "fleet" / "roles" / "common", {"defaults": CONNECTION})
    ended = run(of_a_person, of_a_person, {"one": {}}, [{"hosts": "clusters", "gather_facts": False, "roles": roles, "tasks": tasks}], default=api)
    assert ended.returncode != 0
    assert re.search(r"migration_kubeconfig in the defaults of role \S+ would not be seen", ended.stdout), ended.stdout[-3000:]
    assert api.requests == []


@pytest.mark.parametrize("where", ["vars", "inventory"])
def test_options_that_are_seen_are_taken(of_a_person, where):
    """Those in the vars of a role, or in the inventory whatever defaults say."""
    with api_server([]) as api, api_server([]) as elsewhere:
        options = {"migration_kubeconfig": str(api.kubeconfig(of_a_person / "kubeconfig.json"))}
        parts = {"vars": options} if where == "vars" else {"defaults": CONNECTION}
        write_role(of_a_person / "roles" / "own", parts | {"tasks": INCLUDES})
        hosts = {"one": options if where == "inventory" else {}}
        ended = run(of_a_person, of_a_person, hosts, [{"hosts": "clusters", "gather_facts": False, "roles": ["own"]}], default=elsewhere)
        assert ended.returncode == 0 and api.requests and elsewhere.requests == [], ended.stdout[-3000:]


@pytest.mark.parametrize("phases", ["plan", "plan,install"])
def test_phases_may_be_said_as_text(collections_path, tmp_path, phases):
    """As -e says them without JSON: a run of the letters would do nothing and end well."""
    with api_server(raw_estate()) as api:
        options = {"migration_kubeconfig": str(api.kubeconfig(tmp_path / "kubeconfig.json")), "migration_crds_source": str(tmp_path)}
        options["migration_chart_ref"] = str(tmp_path)  # no pull, for which helm would be asked first
        ended = run(tmp_path, collections_path, {"one": options}, PATH, "-e", f"migration_phases={phases}", default=api)
    installs = "install" in phases
    assert ("Install the definitions" in ended.stdout or "Read the definitions from their files" in ended.stdout) is installs, ended.stdout[-3000:]
    assert (ended.returncode != 0) is installs, "there are no files to install"
    assert installs or "nothing to prove: phases plan are done" in ended.stdout


@pytest.mark.parametrize("playbook", [PATH, [{"hosts": "clusters", "gather_facts": False, "roles": [PATH]}]], ids=["ours", "a-persons"])
def test_a_guard_that_refuses_leaves_a_report(api, collections_path, tmp_path, playbook):
    """The report of an earlier run would else stay. In our playbooks no host goes on, and each says why."""
    connection, hosts = {"migration_kubeconfig": str(api.kubeconfig(tmp_path / "kubeconfig.json"))}, {}
    for name in ("wrong", "right"):
        report = tmp_path / f"{name}.json"
        report.write_text('{"verdict": "PROVEN"}')
        hosts[name] = connection | {"migration_report_path": str(report)} | ({"migration_cluster_id": "another"} if name == "wrong" else {})
    ended = run(tmp_path, collections_path, hosts, playbook, default=api)
    wrong, right = (json.loads((tmp_path / f"{name}.json").read_text()) for name in hosts)
    assert ended.returncode != 0 and wrong["verdict"] == "FAILED" and "another" in wrong["reason"], wrong
    if playbook == PATH:
        assert right["verdict"] == "FAILED" and right["reason"] == "another host failed, and this one was stopped with it", right
    assert api.writes == []


def test_the_playbooks_own_variables_are_known_and_a_wrong_option_stops_all_hosts(api, collections_path, tmp_path):
    """Before anything is asked on any of them."""
    connection = {"migration_kubeconfig": str(api.kubeconfig(tmp_path / "kubeconfig.json"))}
    hosts = {"right": connection, "wrong": connection | {"migration_step": [100]}}
    ended = run(tmp_path, collections_path, hosts, f"{COLLECTION}.zero_downtime", "-e", "migration_hosts=clusters", default=api)
    assert ended.returncode != 0 and "migration_step is no option" in ended.stdout and "migration_hosts is no option" not in ended.stdout, ended.stdout
    assert api.requests == []


@pytest.mark.parametrize("phases", ["plan", ["plan"], ["plan", "plan", "plan", "plan"]], ids=str)
def test_simple_refuses_phases_however_a_play_says_them(api, collections_path, tmp_path, phases):
    """Four letters, or four times one phase, are not all four phases."""
    play = {"hosts": "clusters", "gather_facts": False, "vars": {"migration_phases": phases}, "roles": [f"{COLLECTION}.simple"]}
    ended = run(tmp_path, collections_path, {"one": {"migration_kubeconfig": str(api.kubeconfig(tmp_path / "kubeconfig.json"))}}, [play], default=api)
    assert ended.returncode != 0 and "but the simple path runs whole or not at all: nothing was written" in ended.stdout, ended.stdout[-3000:]
    assert api.writes == []


# -- a rollback of what can't be rolled back -----------------------------------------------------------------------------

JOURNALLED = {
    "never": (None, 0, "no migration is open on this cluster, so there is nothing to roll back"),
    "proven": ({"status": "finished", "retiring_since": 5.0}, 0, "no migration is open on this cluster, so there is nothing to roll back"),
    "being-retired": ({"status": "open", "retiring_since": 5.0}, 2, "v1alpha2 is already being taken away, so there is nothing whole to roll back to"),
}
"""What the journal says of an earlier migration, the exit status, and the words."""


@pytest.mark.parametrize("said", JOURNALLED)
def test_a_rollback_that_has_nothing_to_do_or_comes_too_late_writes_nothing(collections_path, tmp_path, said):
    """It makes no plan either: v1alpha2 is in use here."""
    fields, status, words = JOURNALLED[said]
    estate = raw_estate()
    if fields:
        record = {"migration": "1", "nonce": "igm1", "plan": {"pools": [], "hash": "h"}, "begun": True, "returning_since": None, "stack": None, "answers": {},
                  "phases": ["plan"], "entries": [], "verdict": None, "reason": None, "backup": {"names": ["backup-0"], "sha256": "0"}} | fields
        meta = {"name": "inference-gateway-migration", "namespace": "inference-gateway-migration"}
        estate.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"record": json.dumps(record)}})
    with api_server(estate) as api:
        options = {"migration_kubeconfig": str(api.kubeconfig(tmp_path / "kubeconfig.json")), "migration_report_path": str(tmp_path / "report.json")}
        ended = run(tmp_path, collections_path, {"one": options}, f"{COLLECTION}.rollback", default=api)
    report = json.loads((tmp_path / "report.json").read_text())
    assert ended.returncode == status and words in report["reason"], ended.stdout[-3000:]
    assert report["verdict"] == ("FAILED" if status else "") and api.writes == []
    assert ("backup-0" in report["reason"]) is bool(status) and "Detect v1alpha2" not in ended.stdout
