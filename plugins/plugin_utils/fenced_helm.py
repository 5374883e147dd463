# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells how long helm may run under a Lease, which it can't look at, and makes the program that holds it to that. Pure, but for reading a file."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.inference_gateway.migration.plugins.module_utils.cluster.lease import SECONDS

BEGIN_SECONDS = SECONDS / 3
"""After so long since the Lease was renewed no module that runs helm is started."""
COMMAND_SECONDS = SECONDS / 3
"""One helm command is ended after so long."""
MODULE_SECONDS = SECONDS * 2 / 3
"""All helm commands of one module are, a module has up to five of them: with what passed before, that is the Lease's duration."""
SOURCE = Path(__file__).with_name("helm_wrapper.py")

RUNS_HELM = tuple(f"kubernetes.core.{name}" for name in ("helm", "helm_info", "helm_pull", "helm_template"))
OFFLINE = RUNS_HELM[2:]
"""Those without a connection to a cluster."""


def program(python: str, helm: str, now: float) -> str:
    """Return the text of a program that runs helm within its bounds.

    :param python: path of the Python that modules run by. :param helm: path of the real helm.
    :param now: when the Lease was renewed, in seconds since the epoch, on that host's clock.
    """
    call = f"sys.exit(run({helm!r}, sys.argv[1:], {COMMAND_SECONDS!r}, {MODULE_SECONDS!r}, {now!r}))"
    # Isolated, and without site: it is there in a few milliseconds, whatever the environment says of Python
    return f"#!{python} -IS\n{SOURCE.read_text(encoding='utf-8')}\n\n{call}\n"


def unfinished(arguments: dict) -> dict | None:
    """Return the arguments by which kubernetes.core.k8s deletes Helm's records of an installation or upgrade that did not come to its end.

    None where a module's arguments install nothing. With such a record Helm refuses to go on, or its module takes the release for installed. Without it Helm
    adopts what that try has made, for it bears the release's name.
    """
    if arguments.get("state", arguments.get("release_state", "present")) != "present":
        return None
    name = arguments.get("release_name", arguments.get("name"))
    return {"state": "absent", "kind": "Secret", "namespace": arguments.get("release_namespace", arguments.get("namespace")), "delete_all": True,
            "label_selectors": ["owner=helm", f"name={name}", "status in (failed,pending-install,pending-upgrade)"]}
