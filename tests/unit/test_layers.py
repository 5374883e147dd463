# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout holds: who may talk to what, what the product may know, and what belongs together stays together."""

from __future__ import annotations

import re
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from tools.check_package import FOREIGN
from tools.gates import all_gates, quick_gates
from tools.import_graph import FLOORS, OWN, PAGE, imports, page
from tools.options_table import TABLE, table
from tools.stage import LEFT_OUT, NAME, NAMESPACE, ROOT, work_tree_files

PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
MODULE_UTILS = ROOT / "plugins" / "module_utils"
HELM_WRAPPER = ROOT / "plugins" / "plugin_utils" / "helm_wrapper.py"
"""Starts helm, and nothing else."""
API, HTTP_CLIENT = MODULE_UTILS / "cluster" / "api.py", MODULE_UTILS / "probing" / "http_client.py"
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))

THROUGH_THE_API = {
    API,
    *(MODULE_UTILS / f"{name}.py" for name in ("cluster/dry_run", "cluster/journal", "cluster/lease", "cluster/steering", "estate/reader", "routes/writer",
                                               "scope", "verification/checks", "verification/perform", "verification/pickers", "verification/proof",
                                               "verification/removal", "verification/statuses")),
}
"""Files of module_utils that reach the API server, through the first; HTTP_CLIENT sends requests; every other one is pure."""
CLIENTS = ("kubernetes", "openshift", "urllib3", "ansible_collections.kubernetes.core")
HARMLESS = ("ansible_collections.kubernetes.core.plugins.module_utils.k8s.core", "ansible_collections.kubernetes.core.plugins.action.k8s_info")
"""The module class and the kubeconfig look-up; neither sends anything by itself."""
HTTP = ("http", "socket", "ssl", "urllib.request", "requests", "aiohttp", "httpx", "asyncio", "subprocess")
LONGEST_FILE = 400
MADE = ("build", "collections", ".ansible", "tests/output", "changelogs/.plugin-cache.yaml")
"""Named by lists though they may not be there yet."""


def dotted(path: Path) -> str:
    """Name by which a file of plugins/ is imported."""
    return ".".join([OWN, *path.relative_to(ROOT / "plugins").with_suffix("").parts])


def within(name: str, packages: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of the packages or in one."""
    return any(name == package or name.startswith(package + ".") for package in packages)


def label(path: Path) -> str:
    """Path as test ids and messages show it."""
    return str(path.relative_to(ROOT))


def product_files() -> list[Path]:
    """Every text file of the product."""
    return sorted(path for folder in ("plugins", "roles", "playbooks") for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix != ".pyc")


def test_there_is_something_to_look_at() -> None:
    assert len(PLUGINS) > 10 and len(ROLES) >= 3 and len(PLAYBOOKS) >= 3


def test_every_file_of_plugins_is_typed() -> None:
    (types,) = (gate for gate in quick_gates(Path(sys.executable)) if gate.name == "types")
    assert types.proof == (f"Success: no issues found in {len(PLUGINS)} source files",), "mypy says how many it looked at"


def test_files_that_reach_a_server_are_there() -> None:
    assert all(path.is_file() for path in (*THROUGH_THE_API, HTTP_CLIENT))


def test_every_folder_that_a_list_names_is_there() -> None:
    """A list whose folder has moved lets through, or leaves out, what lies in the new one."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    ignored = [name for name in yaml.safe_load((ROOT / "galaxy.yml").read_text())["build_ignore"] if "/" in name]
    excluded = [name for name in yaml.safe_load((ROOT / ".ansible-lint").read_text())["exclude_paths"] if name.count("/") > 1]
    unvisited = [name for name in settings["pytest"]["ini_options"]["norecursedirs"] if "/" in name]
    for name in (*LEFT_OUT, *FOREIGN, *ignored, *excluded, *unvisited, *settings["ruff"]["src"], *settings["pytest"]["ini_options"]["testpaths"]):
        made_later = name in MADE or name.rstrip("/") in MADE
        assert made_later or (ROOT / name).exists(), f"a list names {name}, which is not there"


def test_pytest_comes_by_every_test_file() -> None:
    unvisited = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["norecursedirs"]
    files = [Path(name) for name in work_tree_files() if fnmatch(Path(name).name, "test_*.py")]
    run = {gate.name for gate in all_gates(Path(sys.executable), None) if gate.pytest}
    bodies = {body.partition("(")[0]: body.partition("\n@")[0] for body in (ROOT / "noxfile.py").read_text().split("\ndef ")[1:]}
    visited = [folder for name in sorted(run) for folder in re.findall(r'"((?:tests|sandbox)/\w+)"', bodies[name])]
    assert len(files) > 70 and len(visited) == 4
    for file in files:
        assert any(file.is_relative_to(folder) for folder in visited), f"{file} lies in no folder that make test runs: {visited}"
        met = [name for name in unvisited for folder in file.parents if fnmatch(*((f"/{folder}", f"*/{name}") if "/" in name else (folder.name, name)))]
        assert not met, f"{file} is never collected: norecursedirs names {met[0]}"


@pytest.mark.parametrize("path", [path for path in PLUGINS if path != API], ids=label)
def test_only_one_file_talks_to_the_api_server(path: Path) -> None:
    found = [name for name in imports(path) if within(name, CLIENTS) and not within(name, HARMLESS)]
    assert not found, f"{label(path)} imports {found}: only {label(API)} may, call it instead"


@pytest.mark.parametrize("path", [path for path in PLUGINS if path not in (HTTP_CLIENT, HELM_WRAPPER)], ids=label)
def test_only_one_file_sends_requests_through_a_gateway(path: Path) -> None:
    found = [name for name in imports(path) if within(name, HTTP)]
    assert not found, f"{label(path)} imports {found}: only {label(HTTP_CLIENT)} may, call it instead"


@pytest.mark.parametrize("path", sorted({*MODULE_UTILS.rglob("*.py")} - THROUGH_THE_API - {HTTP_CLIENT}), ids=label)
def test_pure_files_import_the_standard_library_and_each_other(path: Path) -> None:
    impure = tuple(dotted(file) for file in sorted(THROUGH_THE_API | {HTTP_CLIENT}))
    allowed = tuple(sys.stdlib_module_names) + (f"{OWN}.module_utils",)
    found = [name for name in imports(path) if not within(name, allowed) or within(name, impure)]
    assert not found, f"{label(path)} is pure and imports {found}"


def room(dotted_name: str) -> str:
    """Room of a dotted name below module_utils."""
    return dotted_name.removeprefix(f"{OWN}.module_utils.").partition(".")[0]


@pytest.mark.parametrize("path", sorted(MODULE_UTILS.rglob("*.py")), ids=label)
def test_no_file_imports_upwards(path: Path) -> None:
    floor_of = {name: number for number, rooms in enumerate(FLOORS) for name in rooms}
    mine = room(dotted(path))
    assert mine in floor_of, f"{label(path)} lies in no room of FLOORS: say on which floor it is"
    met = {room(name) for name in imports(path) if within(name, (f"{OWN}.module_utils",))}
    upwards = sorted(name for name in met - {mine} if floor_of[name] >= floor_of[mine])
    assert not upwards, f"{label(path)} is on floor {floor_of[mine]} and imports from {upwards}"


def test_no_two_files_import_each_other() -> None:
    files = {dotted(path): {name for name in imports(path) if within(name, (f"{OWN}.module_utils",))} for path in MODULE_UTILS.rglob("*.py")}
    below = {name: {other for other in files if any(within(met, (other,)) for met in names) and other != name} for name, names in files.items()}
    while below:
        lowest = {name for name, others in below.items() if not others}
        assert lowest, f"{sorted(below)} import each other in a circle"
        below = {name: others - lowest for name, others in below.items() if name not in lowest}


@pytest.mark.parametrize("path", [path for path in PLUGINS if path.is_relative_to(MODULE_UTILS) or path.parent.name == "modules"], ids=label)
def test_what_is_sent_to_a_cluster_imports_no_module(path: Path) -> None:
    found = [name for name in imports(path) if within(name, (f"{OWN}.modules", f"{OWN}.action"))]
    assert not found, f"{label(path)} imports {found}: Ansible sends module_utils along with a module and nothing else"


@pytest.mark.parametrize("path", product_files(), ids=label)
def test_the_product_knows_nothing_of_the_sandbox(path: Path) -> None:
    found = re.findall(r"(?i)sandbox|simulator|igw_|127\.0\.0\.", path.read_text())
    assert not found, f"{label(path)} names {found}"


def test_the_sandbox_knows_nothing_of_the_product() -> None:
    names = re.compile(rf"ansible_collections|{NAMESPACE}\.{NAME}|\bmigration_\w|^\s*(?:from|import) (?:tests|tools|benchmarks)\b", re.M)
    files = [ROOT / name for name in work_tree_files() if name.startswith("sandbox/") and name.endswith((".py", ".yaml", "/sandbox"))]
    assert len(files) > 60
    for path in files:
        # The header of each file names who wrote it
        found = names.findall(path.read_text().replace(f"{NAMESPACE}.{NAME} contributors", ""))
        assert not found, f"{label(path)} names {found}"


def test_nothing_edits_the_path_of_imports() -> None:
    edits = re.compile(r"^\s*sys\.path(\[|\.(insert|append|extend))", re.M)
    found = [name for name in work_tree_files() if name.endswith(".py") and edits.search((ROOT / name).read_text())]
    # nox loads its file by its path; the other puts pip's own wheel first, as ansible-test wants its get-pip.py to do
    assert found == ["noxfile.py", "tools/get_pip.py"], f"{found} edit sys.path: import by package, pyproject.toml and the Makefile say from where"


@pytest.mark.parametrize("path", PLUGINS, ids=label)
def test_files_stay_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE, f"{label(path)} is over {LONGEST_FILE} lines: is it one idea?"


@pytest.mark.parametrize("role", ROLES, ids=label)
def test_a_role_says_what_it_is(role: Path) -> None:
    assert (role / "README.md").is_file(), f"{label(role)} has no README.md"
    specification = role / "meta" / "argument_specs.yml"
    assert specification.is_file(), f"{label(role)} has no meta/argument_specs.yml"
    assert yaml.safe_load(specification.read_text())["argument_specs"]["main"]["description"], f"{label(role)} does not say what it does"


@pytest.mark.parametrize("role", [role for role in ROLES if role.name != "migration"], ids=label)
def test_a_path_is_a_table_of_contents(role: Path) -> None:
    """Steps of role migration, which has every option, in an order; at most a screen."""
    assert yaml.safe_load((role / "meta" / "main.yml").read_text())["dependencies"] == [{"role": f"{NAMESPACE}.{NAME}.migration"}]
    for path in sorted((role / "tasks").glob("*.yml")):
        assert len(path.read_text().splitlines()) <= 40, f"{label(path)} is longer than a screen"
        for task in yaml.safe_load(path.read_text()):
            included = task.get("ansible.builtin.include_role") or task.get("ansible.builtin.import_role") or {}
            assert included.get("name") == f"{NAMESPACE}.{NAME}.migration", f"{label(path)}: {task['name']!r} is no step of role migration"


@pytest.mark.parametrize("path", PLAYBOOKS, ids=label)
def test_playbooks_leave_hosts_and_connection_to_the_inventory(path: Path) -> None:
    for play in yaml.safe_load(path.read_text()):
        if "ansible.builtin.import_playbook" in play:
            continue
        assert "migration_hosts | default('clusters')" in play["hosts"], f"{label(path)}: play {play.get('name')!r} has hosts of its own"
        assert play.get("gather_facts") is False, f"{label(path)}: play {play.get('name')!r} gathers facts"
    assert not re.search(r"\bconnection:|ansible_connection", path.read_text()), f"{label(path)} sets a connection"


def test_the_connection_group_covers_our_modules() -> None:
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())
    members = [name for name in runtime["action_groups"]["migration"] if isinstance(name, str)]
    modules = [path for path in sorted((ROOT / "plugins" / "modules").glob("[!_]*.py")) if "kubernetes.core.k8s_auth_options" in path.read_text()]
    assert members == [path.stem for path in modules] and len(members) > 6


def test_the_options_page_is_up_to_date() -> None:
    assert TABLE.read_text() == table(), "docs/options.md is behind the roles: run make docs"


def test_the_import_graph_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "docs/imports.md is behind the code: run make docs"


def test_the_changelog_knows_the_version() -> None:
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    assert version in yaml.safe_load((ROOT / "changelogs" / "changelog.yaml").read_text())["releases"]
    assert f"v{version}\n" in (ROOT / "CHANGELOG.rst").read_text()


def test_the_execution_environment_gets_the_same_clients() -> None:
    assert (ROOT / "meta" / "ee-requirements.txt").read_text() == (ROOT / "requirements.txt").read_text()


def test_no_machine_path_is_in_the_tree() -> None:
    # In pieces, so that this file does not find itself.
    places = re.compile("|".join(re.escape("/" + "/".join(parts)) for parts in (("root", "."), ("work", "main"), ("work", "shared"), ("tmp", "venv"))))
    found = []
    for name in work_tree_files():
        path = ROOT / name
        if path.is_file() and not path.is_symlink():
            text = path.read_bytes().decode(errors="replace")
            found += [f"{name}:{number}" for number, line in enumerate(text.splitlines(), 1) if places.search(line)]
    assert not found, f"machine paths in {found}"


@pytest.mark.parametrize("path", [ROOT / name for name in work_tree_files() if name.endswith(".py")], ids=label)
def test_every_python_file_has_the_licence_header_and_postponed_annotations(path: Path) -> None:
    text = path.read_text()
    if text:
        # In pieces, so that REUSE does not read this line as a header
        assert "SPDX-License-" + "Identifier: GPL-3.0-or-later" in "\n".join(text.splitlines()[:5]), f"{label(path)} lacks the licence header"
        assert "from __future__ import annotations" in text, f"{label(path)} lacks from __future__ import annotations"


@pytest.mark.parametrize("path", sorted(ROOT / name for name in work_tree_files() if name.endswith(".py")), ids=label)
def test_what_a_linter_is_told_to_pass_over_has_its_reason_in_the_line(path: Path) -> None:
    # In pieces, so that this line is none of them
    told = re.compile("# (?:no" + r"qa|type: ig" + r"nore|pragma: al" + "lowlist secret)(.*)")
    for line in path.read_text().splitlines():
        for words in told.findall(line):
            assert re.search(r"[:(#] ?[A-Za-z`]+ .+", words), f"{label(path)}: {line.strip()!r} does not say why"
