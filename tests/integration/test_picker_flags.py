# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Command lines of alpha pickers, each through the real chart of every release: the v1 picker says of its flags what alpha's says of its own.

No cluster is needed: charts are rendered, and both pickers are started for as long as they take to log their flags. test_conversion.py has the
whole way of one estate.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import flags
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import epp_flags

from igw_sandbox import assets, tools
from tests.integration.picker_flags import OWN_FLAGS, RENAMED_METRIC, SILENT, its_flags

LINES: dict[str, dict[str, Any]] = {
    "off": {"args": ["-v=2", "--enablePprof=false", "--modelServerMetricsHttpsInsecureSkipVerify=f", "--secureServing=0", "--refreshMetricsInterval=400ms"]},
    "on": {"args": ["-v", "3", "--healthChecking", "--enablePprof", "--refreshPrometheusMetricsInterval", "1500ms"]},
    "odd-values": {"args": ["--v", "10", "--modelServerMetricsPath", '/a b"c\\d # {e}: é', "--modelServerMetricsPort=1000000", "--healthChecking=T"]},
    # Go takes the word for no value, and nothing behind it for a flag.
    "stray-word": {"args": ["-v=2", "--healthChecking", "false", "--enablePprof=false", "--refreshMetricsInterval=400ms"]},
    "environment": {"args": ["-v=2"], "env": {"REFRESH_METRICS_INTERVAL": "400ms", "SECURE_SERVING": "false"}},
    "of-a-v1-picker": {
        "tool": "epp-v1.0.0", "own": ["--pool-name", "p", "--pool-group", "inference.networking.x-k8s.io", "--pool-namespace", "n"],
        "args": ["--v", "2", "--enable-pprof=false", "--metrics-staleness-threshold", "3s", "--refresh-metrics-interval", "400ms"],
    },
}
RELEASES = tuple(release for release in sorted((*assets.RELEASES, *assets.MORE_RELEASES)) if release >= "v1.0.0")
CASES = [
    pytest.param(line, release, id=f"{line}-{release}", marks=() if release in assets.RELEASES else pytest.mark.matrix)
    for line in LINES for release in RELEASES
]
"""Pickers of releases between are built when one is first asked for, which takes minutes."""


def rendered_args(release: str, extension: dict[str, Any], folder: Path) -> list[str]:
    """The arguments that a release's chart gives its picker with these values."""
    more = release not in assets.RELEASES
    charts = (assets.ensure_release(release) if more else assets.ensure()) / "charts"
    values = folder / "values.json"
    values.write_text(json.dumps({"inferenceExtension": extension, "inferencePool": {"modelServers": {"matchLabels": {"app": "x"}}}}))
    command = [tools.ensure("helm")["helm"], "template", "p-ga", charts / f"inferencepool-{release}.tgz", "--namespace", "n", "--values", values]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    (deployment,) = [entry for entry in yaml.safe_load_all(ended.stdout) if entry and entry["kind"] == "Deployment"]
    (picker,) = [entry for entry in deployment["spec"]["template"]["spec"]["containers"] if entry["name"] == "epp"]
    return picker["args"]


@pytest.mark.parametrize(("line", "release"), CASES)
def test_v1_says_what_alpha_says(line: str, release: str, tmp_path: Path):
    tool, env = LINES[line].get("tool", "epp-v0.5.1"), LINES[line].get("env", {})
    args = [*LINES[line].get("own", ["-poolName", "p", "-poolNamespace", "n"]), *LINES[line]["args"]]
    container = {"image": f"example.com/epp:{tool.removeprefix('epp-')}", "args": args, "env": [{"name": name, "value": env[name]} for name in env]}
    target = releases.target(release)
    extension = {"flags": flags.chart_flags(flags.carried(epp_flags.read(container), target), target)}
    given = rendered_args(release, extension, tmp_path)
    if release in SILENT:
        assert given == rendered_args(SILENT[release], extension, tmp_path)
        return
    alpha, v1 = its_flags(tool, args, env), its_flags(f"epp-{release}", given)
    compared = (alpha.keys() & v1.keys()) - OWN_FLAGS - {RENAMED_METRIC}
    assert len(compared) >= 10, "a picker did not say its flags"
    assert {name: v1[name] for name in compared} == {name: alpha[name] for name in compared}


def test_the_lines_differ_from_what_a_picker_does_without_them():
    """Else they would show nothing."""
    usual = its_flags("epp-v0.5.1", ["-poolName", "p", "-poolNamespace", "n"])
    for name, line in LINES.items():
        if "tool" not in line:
            assert its_flags("epp-v0.5.1", ["-poolName", "p", "-poolNamespace", "n", *line["args"]], line.get("env")) != usual, name
