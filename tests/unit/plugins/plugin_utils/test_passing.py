# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which failures of other collections' modules pass by themselves."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.inference_gateway.migration.plugins.plugin_utils.passing import passes

AWAY = "HTTPSConnectionPool(host='127.0.0.1', port=6443): Max retries exceeded with url: /version (Caused by NewConnectionError('Connection refused'))"


@pytest.mark.parametrize("said", [
    {"msg": f"Failed to get client due to {AWAY}"},
    {"msg": "Failed to create object", "status": 429},
    {"msg": "Failed to get client due to 401\nReason: Unauthorized"},
    {"msg": "Failed to delete object", "status": 500, "reason": "Internal Server Error"},
    {"msg": "Failure when executing Helm command", "stderr": "Error: Kubernetes cluster unreachable: Get \"https://x\": dial tcp: connect: connection refused"},
    {"msg": "", "stderr": "Error: UPGRADE FAILED: the server is currently unable to handle the request"},
    {"msg": 'Failed to patch object: b\'{"kind":"Status","code":500}\'', "error": '{"code":503}'},
    {"msg": "Failed to retrieve requested object: etcdserver: request timed out"},
    {"msg": "Failure when executing Helm command. Exited 1.", "stderr": "Error: failed to delete release: chat\n"},
    {"msg": "Failure when executing Helm command. Exited 124.", "stderr": "helm upgrade was ended at its deadline, after 11.7 seconds, so that"},
])
def test_a_server_that_is_away_or_in_trouble_passes(said: dict[str, Any]) -> None:
    assert passes({"failed": True} | said)
    assert not passes(said), "what did not fail is not tried again"


@pytest.mark.parametrize("said", [
    {"msg": "Failed to create object: forbidden: exceeded quota: requests.cpu=500, limited: 500", "status": 403},
    {"msg": "Failed to patch object", "status": 409},
    {"msg": "Error: INSTALLATION FAILED: cannot re-use a name that is still in use"},
    {"msg": "Request failed: <urlopen error [Errno -2] Name or service not known>"},
    {"msg": None, "status": {"status": "deployed"}},
])
def test_a_refusal_does_not(said: dict[str, Any]) -> None:
    assert not passes({"failed": True} | said)
