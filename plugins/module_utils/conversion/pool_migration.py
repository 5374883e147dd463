# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs each alpha pool with its v1 counterpart: names, models, references, policies, owner. Pure.

v1_objects.py makes the v1 objects of a PoolMigration, findings/ judges it, plan/plan.py writes it into the Plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ansible_collections.inference_gateway.migration.plugins.module_utils import releases
from ansible_collections.inference_gateway.migration.plugins.module_utils.conversion import flags
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate import epp_flags
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import Epp, Estate, alpha_key
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.helm_records import HelmRelease
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.owners import Owner, Unknown, unknown_record
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, dig, name_of, namespace_of
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes import timeouts
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey, Reference, parents, rules

UNSET = "Unset"
"""Stands for the criticality of an InferenceModel that has none."""
PRIORITIES = {
    "preserve_shedding": {"Critical": 2, "Standard": -1, UNSET: -1, "Sheddable": -2},
    "upstream": {"Critical": 2, "Standard": 1, UNSET: 1, "Sheddable": -1},
}
"""Tables of criticality to priority, by their names.

A saturated alpha EPP sheds everything but Critical, a v1 EPP only what is below 0
(https://github.com/kubernetes-sigs/gateway-api-inference-extension/pull/1361).
"""

CHART = "inferencepool"
OBJECTIVE_HEADER = "x-gateway-inference-objective"
ENDPOINTS = ("/v1/completions", "/v1/chat/completions")
EPP_NAME_LENGTH = 40
"""Characters of a release name that the chart keeps in the names of the EPP's objects (charts v0.3.0 to v1.5.0, _helpers.tpl)."""
DEFAULT_TIMEOUT = 30
"""Seconds a request may last where no GCPBackendPolicy says otherwise."""


@dataclass(frozen=True)
class Options:
    """What a person chose for a migration.

    :param release: the release of the inference extension to migrate to.
    :param priorities: criticality (and ``Unset``) to priority.
    :param pool_names: alpha pool, as ``name`` or ``namespace/name``, to the name of its v1 pool.
    :param models: alpha pool, as ``name`` or ``namespace/name``, to the models that clients ask it for beside those that InferenceModels declare.
    :param endpoints: paths that clients call.
    :param endpoints_said: whether a person listed ``endpoints``; otherwise they are the default.
    :param accept: codes of blockers that a person accepts.
    :param namespaces: namespaces whose pools are migrated; empty for all.
    :param epp_resources: whether the v1 EPP gets the resources of the alpha EPP (``preserve``) or those of the chart (``chart``).
    :param epp_image: image of every v1 EPP as ``registry/path/name:tag``; empty for the chart's own.
    :param chart_values: values of every v1 pool's chart that go over the plan's own.
    :param shift: options of the shift by which its cost is estimated, see :func:`cost.shift_of`; empty for their defaults.
    """

    release: releases.Release
    priorities: Mapping[str, int] = field(default_factory=lambda: PRIORITIES["preserve_shedding"])
    pool_names: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, Sequence[str]] = field(default_factory=dict)
    endpoints: tuple[str, ...] = ENDPOINTS
    endpoints_said: bool = False
    accept: frozenset[str] = frozenset()
    namespaces: tuple[str, ...] = ()
    epp_resources: str = "preserve"
    epp_image: str = ""
    chart_values: Mapping[str, Any] = field(default_factory=dict)
    shift: Mapping[str, Any] = field(default_factory=dict)


# -- names --------------------------------------------------------------------------------------------------------------


def v1_name(namespace: str, name: str, chosen: Mapping[str, str]) -> str:
    """Return the v1 pool's name: the chosen one, else the alpha pool's with ``-ga`` in place of ``-preview``, or at its end.

    :param chosen: alpha pool, as ``name`` or ``namespace/name``, to the name of its v1 pool.
    """
    said = chosen.get(f"{namespace}/{name}") or chosen.get(name)
    return said or name.removesuffix("-preview") + "-ga"


def epp_name(release: str) -> str:
    """Return the name that charts of every version give the EPP's objects of a Helm release: Deployment, Service, ServiceAccount and ConfigMap."""
    return release.lower().strip()[:EPP_NAME_LENGTH] + "-epp"


# -- reading alpha's objects ---------------------------------------------------------------------------------------------


def model_name(model: Manifest) -> str:
    """Return the name by which clients call a model; empty where the InferenceModel says none."""
    return dig(model, "spec", "modelName", default="")


def target_models(model: Manifest) -> list[Manifest]:
    """Return the targetModels of an InferenceModel; none where the only one is its own modelName, so that nothing is to be rewritten."""
    found = dig(model, "spec", "targetModels", default=[])
    return [] if [entry.get("name") for entry in found] == [model_name(model)] else found


# -- the pool migration -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PoolMigration:
    """One alpha pool and what becomes of it.

    :param pool: the alpha InferencePool.
    """

    estate: Estate
    options: Options
    pool: Manifest

    @cached_property
    def key(self) -> PoolKey:
        """The key by which references name the alpha pool."""
        return alpha_key(self.pool)

    @cached_property
    def namespace(self) -> str:
        """The namespace of both pools."""
        return namespace_of(self.pool)

    @cached_property
    def name(self) -> str:
        """The name of the alpha pool."""
        return name_of(self.pool)

    @cached_property
    def v1_name(self) -> str:
        """The name of the v1 pool and of its Helm release."""
        return v1_name(self.namespace, self.name, self.options.pool_names)

    @property
    def epp(self) -> str:
        """The name of the v1 EPP's Deployment and Service."""
        return epp_name(self.v1_name)

    @cached_property
    def alpha_epp(self) -> Epp:
        """The endpoint picker that the alpha pool names."""
        return self.estate.epp(self.pool)

    @cached_property
    def pull_secrets(self) -> list[Manifest]:
        """The imagePullSecrets with which the alpha EPP's image is pulled: the pod's own, else those of its ServiceAccount, as the API server fills them in."""
        account = self.estate.named.get(("service_accounts", self.namespace, self.alpha_epp.service_account), {})
        own = dig(self.alpha_epp.deployment or {}, "spec", "template", "spec", "imagePullSecrets", default=[])
        return own or dig(account, "imagePullSecrets", default=[])

    @cached_property
    def alpha_flags(self) -> epp_flags.Flags:
        """The alpha EPP's flags."""
        return epp_flags.read(self.alpha_epp.container)

    @property
    def carried_flags(self) -> dict[str, str]:
        """The alpha EPP's flags that the v1 EPP gets too, under the v1 EPP's names for them."""
        return flags.carried(self.alpha_flags, self.options.release)

    @property
    def lost_flags(self) -> list[str]:
        """The names of the alpha EPP's flags for which the v1 EPP has no counterpart."""
        return flags.lost(self.alpha_flags, self.options.release, self.plugin_configuration is not None)

    @cached_property
    def plugin_configuration(self) -> str | None:
        """The alpha EPP's EndpointPickerConfig as text; None where it has none, or where it can't be read."""
        source = epp_flags.plugin_source(self.alpha_epp.deployment, self.alpha_epp.container)
        mounted = self.estate.config_maps.get((self.namespace, source.config_map), {}) if source else {}
        return self.alpha_flags.values.get("config-text") or dig(mounted, "data", source.key if source else "")

    @property
    def unknown_plugins(self) -> list[str]:
        """The plugin types in the alpha EPP's configuration that the v1 EPP does not have."""
        return sorted(epp_flags.plugin_types(self.plugin_configuration or "") - flags.plugins(self.options.release))

    @cached_property
    def owner(self) -> Owner:
        """The owner of the alpha pool."""
        return self.estate.owner(self.pool)

    @property
    def release_key(self) -> tuple[str, str] | None:
        """The (namespace, name) of the Helm release that owns the alpha pool; None where no release does."""
        return (self.owner.namespace or self.namespace, self.owner.name or "") if self.owner.kind == "helm" else None

    @property
    def release(self) -> HelmRelease | None:
        """The Helm release that owns the alpha pool; None where no release does, or where its record can't be read."""
        return self.estate.releases.get(self.release_key) if self.release_key else None

    @property
    def release_unknown(self) -> Unknown | None:
        """Why it is unknown what the owning Helm release owns; None where its record can be read, and where no release owns the pool."""
        return unknown_record(self.release_key, self.estate.releases, self.estate.hidden_records) if self.release_key else None

    @property
    def uninstalled(self) -> bool:
        """Whether Helm uninstalls the owning release at the end.

        Its record must be readable, since all that it owns is deleted, and no uninstall may have begun: kubernetes.core.helm takes that for done.
        """
        return self.release is not None and self.release.uninstallable

    @property
    def by_hand(self) -> bool:
        """Whether all of alpha is deleted object by object.

        True for plain objects, for a Helm release whose record can't be read, and for one whose newest revision is not ``deployed``, since Helm deletes
        only what that revision holds. In the last case Helm still uninstalls the release afterwards, where :attr:`uninstalled` says so.
        """
        return self.owner.kind == "objects" or (self.owner.kind == "helm" and not (self.release and self.release.whole))

    @property
    def selector(self) -> dict[str, str]:
        """The labels of the model servers; only flat ones count, since the alpha schema prunes anything nested."""
        return {name: value for name, value in dig(self.pool, "spec", "selector", default={}).items() if isinstance(value, str)}

    @property
    def port(self) -> int:
        """The port of the model servers."""
        return dig(self.pool, "spec", "targetPortNumber", default=8000)

    @property
    def failure_mode(self) -> str:
        """``FailClose`` or ``FailOpen``; alpha's default, ``FailClose``, where the pool says nothing."""
        return dig(self.pool, "spec", "extensionRef", "failureMode", default="FailClose")

    @cached_property
    def models(self) -> list[Manifest]:
        """The InferenceModels in effect: of several with one modelName, the oldest (inference-extension v0.3.0, datastore)."""
        oldest: dict[str, Manifest] = {}
        for model in self.every_model:
            if model_name(model):
                oldest.setdefault(model_name(model), model)
        return list(oldest.values())

    @cached_property
    def undeclared(self) -> list[str]:
        """The models that clients ask for though no InferenceModel declares them."""
        said = self.options.models.get(f"{self.namespace}/{self.name}") or self.options.models.get(self.name) or ()
        return sorted(set(said) - {model_name(model) for model in self.models})

    @property
    def model_names(self) -> list[str]:
        """The models that clients ask for, declared or not."""
        return [*map(model_name, self.models), *self.undeclared]

    @property
    def every_model(self) -> list[Manifest]:
        """All InferenceModels of the pool, oldest first."""
        return self.estate.models.get(self.key, [])

    @property
    def objectives(self) -> list[Manifest]:
        """The InferenceObjectives that name the alpha pool, sorted by name."""
        return self.estate.alpha_objectives.get(self.key, [])

    @cached_property
    def references(self) -> list[Reference]:
        """The backendRefs that send traffic to the alpha pool."""
        return [reference for reference in self.estate.references.get(self.key, []) if reference.kind == "backend"]

    @property
    def mirrors(self) -> list[Reference]:
        """The RequestMirror filters that name the alpha pool."""
        return [reference for reference in self.estate.references.get(self.key, []) if reference.kind == "mirror"]

    @cached_property
    def policies(self) -> dict[str, Manifest]:
        """The alpha pool's policies in effect, by kind: of several of one kind, the oldest."""
        found: dict[str, Manifest] = {}
        for policy in self.estate.policies.get(self.key, []):
            found.setdefault(policy["kind"], policy)
        return found

    @property
    def chart_writes_policies(self) -> bool:
        """Whether the target chart may write the policies: its own say exactly what alpha's say, and the live CRD takes them."""
        if self.estate.strict_health_checks:
            return False
        said = {kind: dig(policy, "spec", "default", default={}) for kind, policy in self.policies.items()}
        return said == releases.chart_policies(self.options.release.facts, self.port)

    @property
    def timeout(self) -> int:
        """Seconds after which no request to the alpha pool is still open: timeoutSec of its GCPBackendPolicy, or the default.

        GKE ends a request by then, whatever its rule says: it does not support time-outs of rules (https://github.com/kubernetes-sigs/gateway-api,
        conformance/reports/v1.6/gke-gateway). Other gateways know no such policy; where a route is on one, the time-outs of the pool's rules count too.
        """
        policy: int = dig(self.policies.get("GCPBackendPolicy", {}), "spec", "default", "timeoutSec", default=DEFAULT_TIMEOUT)
        return max([policy, *(timeouts.longest(rule) for rule in self._rules_elsewhere())])

    def _rules_elsewhere(self) -> Iterator[Manifest]:
        """Yield the rules to the alpha pool of routes that are on a Gateway that is not known to be GKE's."""
        gateways = self.estate.listeners.gateways
        for reference in self.references:
            route = self.estate.route_of[reference.route.kind, reference.route.namespace, reference.route.name]
            if not all(self.estate.is_gke(gateways.get(parent[:2], {})) for parent in parents(route)):
                yield rules(route)[reference.rule]

    @cached_property
    def grants(self) -> list[Manifest]:
        """ReferenceGrants that open the alpha pool to other namespaces, sorted by name."""
        every, this = (self.estate.grants.get(self.key._replace(name=name), []) for name in ("", self.name))
        return sorted({name_of(grant): grant for grant in (*every, *this)}.values(), key=name_of)

    def priority(self, model: Manifest) -> int:
        """Return the priority of a model's InferenceObjective; an unknown criticality counts as ``Unset``."""
        criticality = dig(model, "spec", "criticality", default=UNSET)
        return self.options.priorities.get(criticality, self.options.priorities[UNSET])


def pool_migrations(estate: Estate, options: Options) -> list[PoolMigration]:
    """Return a pool migration for every alpha pool, in order of namespace and name."""
    return [PoolMigration(estate, options, pool) for pool in estate.pools.values()]
