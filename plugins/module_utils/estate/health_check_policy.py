# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Completes HealthCheckPolicies for a live CRD that refuses them as they are. Pure.

The public CRD refuses a health check without portSpecification, which charts v0.3.0 to v1.5.0 and many people's older
policies do not write; ``port`` alone has always meant USE_FIXED_PORT. Source:
https://github.com/GoogleCloudPlatform/gke-gateway-api/blob/main/config/crd/networking.gke.io_healthcheckpolicies.yaml
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest

CRD = "healthcheckpolicies.networking.gke.io"
_CHECKS = ("httpHealthCheck", "httpsHealthCheck", "http2HealthCheck", "tcpHealthCheck", "grpcHealthCheck")


def wants_port_specification(crd: Manifest | None) -> bool:
    """Tell whether a live CRD has a validation rule on portSpecification, and so refuses a check without it; False for None."""
    return any(_names_it(version.get("schema")) for version in ((crd or {}).get("spec") or {}).get("versions") or [])


def _names_it(schema: Any) -> bool:
    if isinstance(schema, dict):
        rules = schema.get("x-kubernetes-validations")
        if isinstance(rules, list) and any("portSpecification" in str(rule.get("rule")) for rule in rules if isinstance(rule, dict)):
            return True
        return any(_names_it(value) for value in schema.values())
    return isinstance(schema, list) and any(_names_it(value) for value in schema)


def lacking(policy: Manifest) -> list[str]:
    """Return the checks of a policy that have no portSpecification, e.g. ``["httpHealthCheck"]``."""
    checks = (((policy.get("spec") or {}).get("default") or {}).get("config")) or {}
    return [name for name in _CHECKS if isinstance(checks.get(name), dict) and "portSpecification" not in checks[name]]


def complete(policy: Manifest) -> Manifest:
    """Return a policy with the portSpecification that its checks have always meant."""
    after = deepcopy(policy)
    for name in lacking(policy):
        check = after["spec"]["default"]["config"][name]
        check["portSpecification"] = "USE_FIXED_PORT" if "port" in check else "USE_NAMED_PORT" if "portName" in check else "USE_SERVING_PORT"
    return after
