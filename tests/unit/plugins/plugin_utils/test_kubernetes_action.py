# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which path of a kubeconfig lasts, so that Helm may read it itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.plugin_utils.kubernetes_action import ModuleAction


class Plugin(ModuleAction):
    """The plugin without Ansible around it."""

    def __init__(self) -> None:
        self._loader = SimpleNamespace(get_real_file=lambda path, decrypt: "/copy" if "vaulted" in path else path)

    def _find_needle(self, dirname: str, needle: str) -> str:
        return needle if needle.startswith("/") else f"/play/{needle}"


@pytest.mark.parametrize(("kubeconfig", "remote", "read", "lasting"), [
    ("/a", False, "/a", "/a"),
    ("a:/b", False, "/play/a:/b", "/play/a:/b"),
    ("vaulted", False, "/copy", None),
    ("/a:vaulted", False, "/a:/copy", None),
    ("/a:/b", True, None, "/a:/b"),
    ("/a:~/.kube/config", True, None, None),
])
def test_which_path_lasts(kubeconfig: str, remote: bool, read: str | None, lasting: str | None) -> None:
    plugin, arguments = Plugin(), {"kubeconfig": kubeconfig}
    plugin.get_kubeconfig(kubeconfig, remote, arguments)
    assert (arguments["kubeconfig"], plugin.lasting) == (read or kubeconfig, lasting)


def test_no_path_of_a_dictionary_lasts() -> None:
    class Written(Plugin):
        def _as_file(self, config: dict[str, Any]) -> str:
            return f"/tmp/{config['name']}"

    plugin, arguments = Written(), {}
    plugin.get_kubeconfig({"name": "a"}, False, arguments)
    assert (arguments, plugin.lasting) == ({"kubeconfig": "/tmp/a"}, None)
