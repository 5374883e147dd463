# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for findings about what probes can reach: Gateways, hostnames and matches. One small function each. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.reachability import Reachability
from ansible_collections.inference_gateway.migration.plugins.module_utils.findings.registry import READER_ROLE, CheckContext, Occurrence, finding
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, describe, dig, name_of, namespace_of
from ansible_collections.inference_gateway.migration.plugins.module_utils.probing.targets import STREAMS
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.body_routing import gateways_of, models_of
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.precedence import meet
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.probe_routes import VARIANTS
from ansible_collections.inference_gateway.migration.plugins.module_utils.routes.references import PoolKey, RouteKey, listener_sets, rules

OTHER_METHOD = ("Add a request of your own that it takes (migration_probes, for instance method GET and path /v1/models; only GET and POST can be sent) and "
                "accept rule-not-probed: without any request the shift refuses the rule.")
UNKNOWN_MODEL = "Declare it by an InferenceModel, or say it (migration_models) where the pool answers it today; take the rule out where nobody is served by it."
EXTENSION_CHAINS = 5
"""Extension chains that one load balancer takes at most (Google Cloud, LbRouteExtension and LbTrafficExtension: extensionChains)."""


@finding(
    "address-not-probed", "warning",
    about="A Gateway through which users reach a pool has no address, no HTTP or HTTPS listener for the route, or does not exist. Nothing can be asked there.",
    remedy="Repair the Gateway or take it out of the route's parentRefs; a route none of whose Gateways can be asked must name one that can.",
    source="docs/protocol.md 7.1",
)
def address_not_probed(context: CheckContext) -> Iterator[Occurrence]:
    """Find Gateways to which no probe can be sent, and routes that name no Gateway.

    Where a route has no other Gateway, this blocks, and nobody may accept it.
    """
    if any(refused.what.startswith("gateways ") for refused in context.estate.refused):
        return  # a Gateway that may not be read may well exist; may-not-list reports it
    found: dict[str, tuple[str, str, bool]] = {}
    for entry in context.reachability:
        alone = not any(parent.addresses for parent in entry.parents)
        for parent in entry.parents:
            if not parent.addresses:
                why, mend = ("does not exist", "Create it") if parent.manifest is None else _why_silent(parent.manifest)
                found[str(parent)] = (why, mend, alone or found.get(str(parent), ("", "", False))[2])
        key = entry.reference.route
        for name in listener_sets(context.estate.route_of[key.kind, key.namespace, key.name]):
            found[name] = (f"holds listeners of {key} that are not looked at", f"Let {key} name the Gateway itself", alone)
        if not entry.parents:
            found[str(key)] = ("names no Gateway as its parent", "Let parentRefs name the Gateway through which users come", True)
    for name, (why, mend, alone) in sorted(found.items()):
        remedy = f"{mend}: the route has no other Gateway that can be asked, and without one its pool can't be migrated." if alone else None
        yield Occurrence(name, f"{name} {why}, so no probe can be sent there.", remedy, "blocker" if alone else None, overridable=not alone)


def _why_silent(gateway: Manifest) -> tuple[str, str]:
    """Return why a Gateway can't be asked, and what is to be done."""
    if dig(gateway, "status", "addresses"):
        return "has no HTTP or HTTPS listener for the route", "Give it an HTTP or HTTPS listener that takes the route"
    look = f"kubectl -n {namespace_of(gateway)} describe gateway {name_of(gateway)}"
    return "has no address in its status", f"See why its controller gives it none ({look}) and repair it"


@finding(
    "gateway-unreachable", "blocker",
    about="From where the modules run no connection can be opened to an address that will be probed: an internal load balancer, a proxy, "
          "a certificate that is not trusted or of another name. The migration would install v1, then end HELD.",
    remedy="Run where the Gateway answers: on a bastion (the inventory host's ansible_host), a runner in the cluster, or by a proxy (migration_probe_proxy); "
           "name the authority of a certificate that is not trusted (migration_probe_ca_cert); accept gateway-unreachable where the migration itself will run "
           "elsewhere.",
    source="docs/protocol.md 1.5",
)
def gateway_unreachable(context: CheckContext) -> Iterator[Occurrence]:
    """Find addresses to which no connection can be opened."""
    for (place, hostname), why in context.unreachable.items():
        asked = f" for {hostname}" if hostname else ""
        text = f"no connection to {place.host}:{place.port}{asked} can be opened from where the modules run: {why}."
        yield Occurrence(f"Gateway {place.gateway}", text)


@finding(
    "listener-undecided", "blocker",
    about="A listener chooses routes by the labels of their namespaces, and these may not be read. So nobody can tell whether users reach the pool there.",
    remedy=f"{READER_ROLE}, or accept listener-undecided: then that listener is probed too, and where it does not take the route, the shift ends HELD.",
    source="Gateway API: allowedRoutes.namespaces.selector",
)
def listener_undecided(context: CheckContext) -> Iterator[Occurrence]:
    """Find listeners of which nobody can tell whether they take a route of a planned pool."""
    for key in dict.fromkeys(entry.reference.route for entry in context.reachability):
        for listener in context.estate.listeners.undecided(context.estate.route_of[key.kind, key.namespace, key.name]):
            text = f"whether it is on {listener} depends on the labels of namespace {key.namespace}, which may not be read."
            yield Occurrence(str(key), text)


@finding(
    "hostname-not-concrete", "info",
    about="A route takes requests for any hostname, or for a wildcard. Probes ask for one name below it, or for the bare address.",
    remedy="Nothing to do where every name is served alike; with TLS, the listener's certificate must cover the name that is probed.",
    source="docs/protocol.md 7.1",
)
def hostname_not_concrete(context: CheckContext) -> Iterator[Occurrence]:
    """Find routes that take requests for any hostname or for a wildcard, within what their listeners take."""
    for route, parents in sorted({entry.reference.route: entry.parents for entry in context.reachability}.items(), key=lambda item: item[0]):
        manifest = context.estate.route_of[route.kind, route.namespace, route.name]
        listeners = {place.listener.hostname for parent in parents for place in parent.addresses} or {""}
        met = {meet(wanted, listener) for wanted in dig(manifest, "spec", "hostnames", default=[]) or [""] for listener in listeners}
        vague = sorted(name or "any" for name in met if name is not None and (not name or name.startswith("*")))
        if vague:
            yield Occurrence(str(route), f"it takes requests for {', '.join(vague)}; one name stands for all of them.")


@finding(
    "regex-precedence-undefined", "warning",
    about="A match with a regular expression: nobody but its author knows a request that fits, and which of two expressions wins is the gateway's choice.",
    remedy="Write the match as Exact or PathPrefix. For a rule whose every match is a regular expression, add a request of your own that it takes "
           "(migration_probes) and accept regex-precedence-undefined: without any request the shift refuses the rule.",
    source="Gateway API: precedence of RegularExpression is implementation-specific",
)
def regex_precedence_undefined(context: CheckContext) -> Iterator[Occurrence]:
    """Find rules with matches that hold a regular expression; a rule that has no other match blocks."""
    for entry in _by_rule(context):
        if entry.open_ended:
            every = len(entry.open_ended) == len(entry.matches)
            text = f"rule {entry.reference.rule}: {len(entry.open_ended)} of {len(entry.matches)} matches hold a regular expression and are not probed."
            yield Occurrence(str(entry.reference.route), text, severity="blocker" if every else None)


@finding(
    "probe-shadowed-by-rule", "warning",
    about="Requests that would fit a rule are taken by a more specific one, of this route or of another on the same Gateway, so neither users nor "
          "probes reach it so. Where that holds for every request that can be made from the plan, it blocks: nothing can be proven for the rule.",
    remedy="Nothing to do for a single match. Where no request reaches a rule, let migration_endpoints list the endpoints that clients call there, or add "
           "a request of your own that it takes (migration_probes) and accept probe-shadowed-by-rule, or remove the rule: without any request the shift "
           "refuses it.",
    source="Gateway API: HTTPRoute rule precedence",
)
def probe_shadowed_by_rule(context: CheckContext) -> Iterator[Occurrence]:
    """Find rules of which other rules take requests first; a rule that no request of the endpoints in use reaches blocks."""
    for entry in _by_rule(context):
        if entry.taken:
            every = len(entry.taken) == len(entry.ways)
            target, winner = entry.taken[0]
            whose = f"are taken by rule {winner[1]} of {winner[0]}" if winner else f"come by {target.address.listener}, where no rule takes them"
            text = f"rule {entry.reference.rule}: requests for {target.hostname or 'any host'}{target.path} {whose}"
            end = f"; none of {', '.join(context.options.endpoints)} reaches this rule." if every else "."
            yield Occurrence(str(entry.reference.route), text + end, severity="blocker" if every else None)


@finding(
    "rule-not-probed", "blocker",
    about="No request of the endpoints in use fits a rule that sends traffic to the pool: its path, its method or a rewrite leads elsewhere, or it takes "
          "requests for a model that the pool is not known to serve. Nothing can be proven for it.",
    remedy=f"Let migration_endpoints list the endpoints that clients call there ({', '.join(STREAMS)} are known), correct the rule, or add a request of your "
           "own that it takes (migration_probes) and accept rule-not-probed: without any request the shift refuses the rule.",
    source="docs/protocol.md 7.1",
)
def rule_not_probed(context: CheckContext) -> Iterator[Occurrence]:
    """Find rules that no endpoint in use or no known model fits, though a Gateway can be asked and some match holds no regular expression."""
    found: dict[Occurrence, None] = {}
    for entry in context.reachability:
        if not entry.ways and len(entry.open_ended) < len(entry.matches) and any(parent.addresses for parent in entry.parents):
            why, remedy = _unfit(context, entry)
            found[Occurrence(str(entry.reference.route), f"rule {entry.reference.rule}: {why}.", remedy)] = None
    yield from found


def _unfit(context: CheckContext, entry: Reachability) -> tuple[str, str | None]:
    """Return why no request of the endpoints in use fits the rule of a reference, and the remedy; None for the finding's own."""
    key, (_group, _kind, namespace, name) = entry.reference.route, entry.reference.target
    methods = {match.get("method", "POST") for match in entry.matches}
    if "POST" not in methods:
        return f"it takes {', '.join(sorted(methods))} alone, and the endpoints in use are asked by POST", OTHER_METHOD
    wanted = models_of(context.estate.route_of[key.kind, key.namespace, key.name], entry.reference.rule)
    known = {model for migration in context.migrations if migration.key == entry.reference.target for model in migration.model_names}
    if wanted and not known.intersection(wanted):
        return f"it takes requests for model {', '.join(wanted)} alone, which pool {namespace}/{name} is not known to serve", UNKNOWN_MODEL
    return f"none of {', '.join(context.options.endpoints)} can be asked through it", None


def _by_rule(context: CheckContext) -> list[Reachability]:
    """Return one entry for each rule, that of its first reference: all references of a rule share its matches."""
    return list({(entry.reference.route, entry.reference.rule): entry for entry in reversed(context.reachability)}.values())[::-1]


# -- Gateways -----------------------------------------------------------------------------------------------------------


@finding(
    "pool-on-several-gateways", "warning",
    about="Users reach the pool through several Gateways. Each takes changes at its own time; all are probed, and a step waits for the slowest. GKE is "
          "reported to refuse a second Gateway the endpoint picker of a pool (AT_MOST_ONE_EXTENSION).",
    remedy="See that the pool answers through each of them today. A Gateway that does not serve v1's pool ends the migration HELD or FAILED, and users stay on "
           "v1alpha2.",
    source="docs/protocol.md 7.1; inference-extension issue 833",
)
def pool_on_several_gateways(context: CheckContext) -> Iterator[Occurrence]:
    """Find pools that users reach through several Gateways."""
    found: dict[PoolKey, set[str]] = defaultdict(set)
    for entry in context.reachability:
        found[entry.reference.target].update(str(parent) for parent in entry.parents)
    for migration in context.migrations:
        if len(found[migration.key]) > 1:
            yield Occurrence(describe(migration.pool), f"it is reached through {', '.join(sorted(found[migration.key]))}.")


@finding(
    "gateway-extension-limit", "warning",
    about="While both stacks stand side by side, a Gateway calls the endpoint pickers of twice as many pools, beside the extensions that it has. Google Cloud "
          "bounds the extension chains of a load balancer; beyond that a pool is not programmed. Whether each probe route takes one too was not seen yet.",
    remedy="Migrate the namespaces one after the other (migration_namespaces), so that fewer pools stand side by side.",
    source="Google Cloud Service Extensions: 5 extension chains a resource, the first match runs; one resource a forwarding rule",
)
def gateway_extension_limit(context: CheckContext) -> Iterator[Occurrence]:
    """Find GKE Gateways whose pools, their v1 counterparts and extensions are more than a load balancer takes chains; with probe routes that is information."""
    pools: dict[tuple[str, str], set[PoolKey]] = defaultdict(set)
    routes: dict[tuple[str, str], set[RouteKey]] = defaultdict(set)
    for entry in context.reachability:
        for parent in entry.parents:
            pools[parent.namespace, parent.name].add(entry.reference.target)
            routes[parent.namespace, parent.name].add(entry.reference.route)
    chains = Counter(gateway for extension in _extensions(context) for gateway in gateways_of(extension) for _chain in _chains(extension))
    for gateway in context.estate.of("gateways"):
        key = (namespace_of(gateway), name_of(gateway))
        known, probing = 2 * len(pools[key]) + chains[key], len(VARIANTS) * len(routes[key])
        if pools[key] and dig(gateway, "spec", "gatewayClassName", default="").startswith("gke-l7-") and known + probing > EXTENSION_CHAINS:
            taken = f"alpha pools {len(pools[key])}, v1 pools {len(pools[key])}" + (f", extensions of its own {chains[key]}" if chains[key] else "")
            beside = "" if known > EXTENSION_CHAINS else f", and {probing} probe routes may count too"
            text = f"it needs {known} extension chains ({taken}){beside}; {EXTENSION_CHAINS} are documented."
            yield Occurrence(describe(gateway), text, severity=None if known > EXTENSION_CHAINS else "info")


def _extensions(context: CheckContext) -> tuple[Manifest, ...]:
    return (*context.estate.of("routing_extensions"), *context.estate.of("traffic_extensions"))


def _chains(extension: Manifest) -> list[Manifest]:
    return list(dig(extension, "spec", "extensionChains", default=[]))


@finding(
    "body-based-routing", "info",
    about="An extension before the routes reads the model from the request's body and sets the header by which rules match (X-Gateway-Model-Name). Each such "
          "rule is probed for its own model, by requests that name it in the body alone, as users' do. Its tracer requests cost v1alpha2 a token each.",
    remedy="Nothing to do, but where a chain runs for some requests only: then see that it runs for every request to these rules.",
    source="GKE: configure body-based routing; inference-extension v1.0.0, pkg/bbr",
)
def body_based_routing(context: CheckContext) -> Iterator[Occurrence]:
    """Find routing extensions of Gateways at which users reach a pool by rules that match by the model; one with a condition is a warning."""
    routed: dict[tuple[str, str], set[str]] = defaultdict(set)
    for entry in context.reachability:
        key = entry.reference.route
        if models_of(context.estate.route_of[key.kind, key.namespace, key.name], entry.reference.rule):
            for parent in entry.parents:
                routed[parent.namespace, parent.name].add(f"rule {entry.reference.rule} of {key}")
    for extension in context.estate.of("routing_extensions"):
        rules_there = sorted({rule for gateway in gateways_of(extension) for rule in routed.get(gateway, ())})
        if rules_there:
            conditions = [f"{chain.get('name')}" for chain in _chains(extension) if dig(chain, "matchCondition", "celExpressions", default=[])]
            text = f"the model in the body decides {len(rules_there)} rule{'s' * (len(rules_there) != 1)}, for instance {rules_there[0]}"
            partly = f"; chain {', '.join(conditions)} has a condition that is not looked at" if conditions else ""
            yield Occurrence(describe(extension), f"{text}{partly}.", severity="warning" if conditions else None)


# -- what binds a client to one pod -------------------------------------------------------------------------------------


@finding(
    "session-affinity-split", "warning",
    about="Clients are bound to a backend by cookie or address. A step moves them from one stack to the other, and shares by weight hold for new "
          "sessions only.",
    remedy="Expect sessions to change their pod once at each step; remove the affinity for the migration where that matters.",
    source="Gateway API: sessionPersistence; GCPBackendPolicy: sessionAffinity",
)
def session_affinity_split(context: CheckContext) -> Iterator[Occurrence]:
    """Find rules with sessionPersistence, and GCPBackendPolicies with sessionAffinity."""
    for entry in _by_rule(context):
        key = entry.reference.route
        if rules(context.estate.route_of[key.kind, key.namespace, key.name])[entry.reference.rule].get("sessionPersistence"):
            yield Occurrence(str(key), f"rule {entry.reference.rule} has sessionPersistence.")
    for migration in context.migrations:
        policy = migration.policies.get("GCPBackendPolicy", {})
        kind = dig(policy, "spec", "default", "sessionAffinity", "type", default="NONE")
        if kind != "NONE":
            yield Occurrence(describe(policy), f"sessionAffinity {kind} holds for pool {migration.name}.")
