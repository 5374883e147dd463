# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mends HealthCheckPolicies that were taken once and would be refused today. Pure.

The public CRD refuses a health check without portSpecification, which charts v0.3.0 to v1.5.0 and many people's older
policies do not write; ``port`` alone has always meant USE_FIXED_PORT. GKE 1.34 and later, and the public CRD, refuse a check
that is not the one ``type`` names; an older policy that has it lives on, and its type holds. Source:
https://github.com/GoogleCloudPlatform/gke-gateway-api/blob/main/config/crd/networking.gke.io_healthcheckpolicies.yaml
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, NamedTuple

from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, dig

CRD = "healthcheckpolicies.networking.gke.io"
_CHECK_OF = {"HTTP": "httpHealthCheck", "HTTPS": "httpsHealthCheck", "HTTP2": "http2HealthCheck", "TCP": "tcpHealthCheck", "GRPC": "grpcHealthCheck"}
"""The field that holds the check of a type."""
_CHECKS = (*_CHECK_OF.values(),)


class Difference(NamedTuple):
    """How the checks of a policy differ from the one that its type names.

    :param type: of the policy. :param kept: the check that the type names. :param absent: whether the policy lacks it, so that its defaults hold.
    :param dropped: other checks, which never had an effect.
    """

    type: str
    kept: str
    absent: bool
    dropped: list[str]


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


def difference(policy: Manifest) -> Difference | None:
    """Return how the checks of a policy differ from its type; None where they agree, where it has none, or where its type is not known."""
    config = dig(policy, "spec", "default", "config", default={})
    kept = _CHECK_OF.get(str(config.get("type")))
    present = [name for name in _CHECKS if name in config]
    if kept is None or not present or present == [kept]:
        return None
    return Difference(config["type"], kept, kept not in present, [name for name in present if name != kept])


def by_type(policy: Manifest) -> Manifest:
    """Return a policy with the check that its type names and no other; one that it lacks is empty, which means the defaults."""
    found = difference(policy)
    if found is None:
        return policy
    after = deepcopy(policy)
    config = after["spec"]["default"]["config"]
    for name in found.dropped:
        del config[name]
    config.setdefault(found.kept, {})
    return after


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


def accepted(policy: Manifest, strict: bool) -> Manifest:
    """Return a policy as a server takes it today. :param strict: whether its CRD wants portSpecification."""
    mended = by_type(policy)
    return complete(mended) if strict else mended
