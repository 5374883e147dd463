# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One alpha pool and what is known of its v1 counterpart: names, models, references, policies, owner. Pure.

v1_objects.py makes the v1 objects of a PoolMigration, findings judge it, plan.py writes it down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import epp_flags
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import Epp, Estate, Owner, alpha_key, owner
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.helm_records import HelmRelease
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, dig, name_of, namespace_of, selects
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey, Reference

UNSET = "Unset"
PRIORITIES = {
    "preserve_shedding": {"Critical": 2, "Standard": -1, UNSET: -1, "Sheddable": -2},
    "upstream": {"Critical": 2, "Standard": 1, UNSET: 1, "Sheddable": -1},
}
"""criticality to priority. The v1 EPP sheds below 0 only; the alpha EPP sheds everything but Critical."""

CHART = "inferencepool"
OBJECTIVE_HEADER = "x-gateway-inference-objective"
ENDPOINTS = ("/v1/completions", "/v1/chat/completions")
EPP_NAME_LENGTH = 40
"""Characters of a release name that the chart keeps in the names of the EPP's objects."""
DEFAULT_TIMEOUT = 30
"""Seconds a request may last where no GCPBackendPolicy says otherwise."""


@dataclass(frozen=True)
class Options:
    """What a person may choose.

    :param priorities: criticality (and ``Unset``) to priority.
    :param pool_names: alpha pool, as ``name`` or ``namespace/name``, to the name of its v1 pool.
    :param endpoints: what clients call; ``endpoints_said`` tells a person's list from the default.
    :param accept: finding codes that a person overrules.
    :param namespaces: the namespaces that a person chose, none for all.
    :param epp_resources: whether the v1 EPP asks what alpha's asks (``preserve``) or what the chart asks (``chart``).
    """

    release: releases.Release
    priorities: Mapping[str, int] = field(default_factory=lambda: PRIORITIES["preserve_shedding"])
    pool_names: Mapping[str, str] = field(default_factory=dict)
    endpoints: tuple[str, ...] = ENDPOINTS
    endpoints_said: bool = False
    accept: frozenset[str] = frozenset()
    namespaces: tuple[str, ...] = ()
    epp_resources: str = "preserve"


# -- names --------------------------------------------------------------------------------------------------------------


def v1_name(namespace: str, name: str, chosen: Mapping[str, str]) -> str:
    """The v1 pool's name: as chosen, else ``-preview`` becomes ``-ga``, else ``-ga`` is appended."""
    said = chosen.get(f"{namespace}/{name}") or chosen.get(name)
    return said or name.removesuffix("-preview") + "-ga"


def epp_name(release: str) -> str:
    """The name that every chart gives the EPP's Deployment, Service, ServiceAccount and ConfigMap."""
    return release.lower().strip()[:EPP_NAME_LENGTH] + "-epp"


# -- reading alpha's objects ---------------------------------------------------------------------------------------------


def model_name(model: Manifest) -> str:
    """The name by which clients call a model."""
    return dig(model, "spec", "modelName", default="")


def target_models(model: Manifest) -> list[Manifest]:
    """targetModels, where they are anything but the model under its own name."""
    found = dig(model, "spec", "targetModels", default=[])
    return [] if [entry.get("name") for entry in found] == [model_name(model)] else found


# -- the draft ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PoolMigration:
    """One alpha pool and what will stand beside it."""

    estate: Estate
    options: Options
    pool: Manifest

    @cached_property
    def key(self) -> PoolKey:
        """How references name the alpha pool."""
        return alpha_key(self.pool)

    @cached_property
    def namespace(self) -> str:
        """Of both pools."""
        return namespace_of(self.pool)

    @cached_property
    def name(self) -> str:
        """Of the alpha pool."""
        return name_of(self.pool)

    @cached_property
    def v1_name(self) -> str:
        """Of the v1 pool, and of its Helm release."""
        return v1_name(self.namespace, self.name, self.options.pool_names)

    @property
    def epp(self) -> str:
        """Name of the v1 EPP's Deployment and Service."""
        return epp_name(self.v1_name)

    @cached_property
    def alpha_epp(self) -> Epp:
        """The endpoint picker in use today."""
        return self.estate.epp(self.pool)

    @cached_property
    def alpha_flags(self) -> dict[str, str]:
        """Its flags."""
        return epp_flags.flags(self.alpha_epp.container)

    @property
    def carried_flags(self) -> dict[str, str]:
        """Its flags that the target EPP gets too, under the names that it has for them."""
        return epp_flags.carried(self.alpha_flags, self.options.release.facts.metric_flags)

    @property
    def lost_flags(self) -> list[str]:
        """Its flags that nothing of the target release stands for."""
        return epp_flags.lost(self.alpha_flags, self.options.release.facts.metric_flags, self.plugin_configuration is not None)

    @cached_property
    def plugin_configuration(self) -> str | None:
        """Its EndpointPickerConfig as text; None where it has none, or where that can't be read."""
        source = epp_flags.plugin_source(self.alpha_epp.deployment, self.alpha_epp.container)
        mounted = self.estate.config_maps.get((self.namespace, source.config_map), {}) if source else {}
        return self.alpha_flags.get("configText") or dig(mounted, "data", source.key if source else "")

    @property
    def unknown_plugins(self) -> list[str]:
        """Plugin types of its configuration that no v1 EPP has."""
        return sorted(epp_flags.plugin_types(self.plugin_configuration or "") - epp_flags.KNOWN_PLUGINS)

    @cached_property
    def owner(self) -> Owner:
        """Who owns the alpha pool."""
        return owner(self.pool)

    @property
    def release_key(self) -> tuple[str, str] | None:
        """Namespace and name of the Helm release that owns the alpha pool."""
        return (self.owner.namespace or self.namespace, self.owner.name or "") if self.owner.kind == "helm" else None

    @property
    def release(self) -> HelmRelease | None:
        """That release, where its record could be read."""
        return self.estate.releases.get(self.release_key) if self.release_key else None

    @property
    def release_unknown(self) -> Literal["hidden", "missing", "garbled"] | None:
        """Why nothing tells what that release owns; None where its record tells, and where no release owns the pool."""
        if self.release_key is None or self.release:
            return None
        if self.release_key[0] in self.estate.hidden_records:
            return "hidden"
        return "garbled" if self.release_key in self.estate.releases else "missing"

    @property
    def uninstalled(self) -> bool:
        """Whether Helm uninstalls the release at the end. What it owns must be known: all of it goes."""
        return self.release is not None and self.release.uninstallable

    @property
    def by_hand(self) -> bool:
        """Whether all of alpha is deleted object by object: Helm deletes no more than its newest revision holds, where it knows the release at all."""
        return self.owner.kind == "objects" or (self.owner.kind == "helm" and not (self.release and self.release.whole))

    @property
    def selector(self) -> dict[str, str]:
        """Labels of the model servers: the flat ones, since the alpha schema prunes anything nested."""
        return {name: value for name, value in dig(self.pool, "spec", "selector", default={}).items() if isinstance(value, str)}

    @property
    def port(self) -> int:
        """Of the model servers."""
        return dig(self.pool, "spec", "targetPortNumber", default=8000)

    @property
    def failure_mode(self) -> str:
        """FailClose or FailOpen, alpha's default where nothing is said."""
        return dig(self.pool, "spec", "extensionRef", "failureMode", default="FailClose")

    @cached_property
    def models(self) -> list[Manifest]:
        """The InferenceModels that hold: of several with one modelName the oldest."""
        oldest: dict[str, Manifest] = {}
        for model in self.every_model:
            if model_name(model):
                oldest.setdefault(model_name(model), model)
        return list(oldest.values())

    @property
    def every_model(self) -> list[Manifest]:
        """All InferenceModels of the pool, oldest first."""
        return self.estate.models.get(self.key, [])

    @cached_property
    def references(self) -> list[Reference]:
        """backendRefs that send traffic to the alpha pool."""
        return [reference for reference in self.estate.references.get(self.key, []) if reference.kind == "backend"]

    @property
    def mirrors(self) -> list[Reference]:
        """Mirrors to the alpha pool."""
        return [reference for reference in self.estate.references.get(self.key, []) if reference.kind == "mirror"]

    @cached_property
    def policies(self) -> dict[str, Manifest]:
        """The alpha pool's policies by kind: of two of one kind the oldest holds."""
        found: dict[str, Manifest] = {}
        for policy in self.estate.policies.get(self.key, []):
            found.setdefault(policy["kind"], policy)
        return found

    @property
    def chart_writes_policies(self) -> bool:
        """Whether the target chart's own policies say exactly what alpha's say, in a form that the live CRD takes."""
        if self.estate.strict_health_checks:
            return False
        said = {kind: dig(policy, "spec", "default", default={}) for kind, policy in self.policies.items()}
        return said == releases.chart_policies(self.options.release.facts, self.port)

    @property
    def timeout(self) -> int:
        """Seconds after which no request to the alpha pool is still open."""
        return dig(self.policies.get("GCPBackendPolicy", {}), "spec", "default", "timeoutSec", default=DEFAULT_TIMEOUT)

    @cached_property
    def monitorings(self) -> list[Manifest]:
        """Monitoring objects that read the alpha EPP."""
        labels = dig(self.alpha_epp.deployment or {}, "spec", "template", "metadata", "labels", default={})
        near = self.estate.monitoring_selectors.candidates(("", self.namespace), labels)
        return [entry for entry in near if selects(dig(entry, "spec", "selector", "matchLabels", default={}), labels)]

    @cached_property
    def grants(self) -> list[Manifest]:
        """ReferenceGrants that open the alpha pool to other namespaces, by name."""
        every, this = (self.estate.grants.get(self.key._replace(name=name), []) for name in ("", self.name))
        return sorted({name_of(grant): grant for grant in (*every, *this)}.values(), key=name_of)

    def priority(self, model: Manifest) -> int:
        """The priority of a model's objective."""
        criticality = dig(model, "spec", "criticality", default=UNSET)
        return self.options.priorities.get(criticality, self.options.priorities[UNSET])


def pool_migrations(estate: Estate, options: Options) -> list[PoolMigration]:
    """One draft for every alpha pool, by namespace and name."""
    return [PoolMigration(estate, options, pool) for pool in estate.pools.values()]
