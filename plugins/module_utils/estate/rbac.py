# Copyright (c) 2026, inference_gateway.migration contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells which rights go with the alpha EPPs because nothing else uses them, and which stay because others do. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.estate import Epp, Estate
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.listings import BINDINGS
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.owners import Owner, helm_owner
from ansible_collections.inference_gateway.migration.plugins.module_utils.estate.workloads import DEFAULT_ACCOUNT, WORKLOADS, named, others
from ansible_collections.inference_gateway.migration.plugins.module_utils.manifests import Manifest, describe, dig, name_of, namespace_of

MOST = 20
"""How many rights of one account are named: ``default`` may have hundreds, most of which have nothing to do with v1alpha2."""
_BUILT_IN = ("view", "edit", "admin", "cluster-admin")


class Role(NamedTuple):
    """The role that a binding refers to; ``namespace`` is empty for a ClusterRole."""

    kind: str
    namespace: str
    name: str


class Subject(NamedTuple):
    """A user, group or ServiceAccount that a binding gives its role to."""

    kind: str
    namespace: str
    name: str


class Stay(NamedTuple):
    """An object of v1alpha2 that is left on purpose.

    :param object: ``Kind namespace/name``.
    :param why: the reason, in a few words.
    """

    object: str
    why: str


class Rights:
    """Tells by all bindings of a cluster which rights are used by none but the EPPs that go.

    :param accounts: the ServiceAccounts of the EPPs, each with the reason why it stays; None where only EPPs that go run as it, so it goes too.
    :param unlisted: the reason why no rights may go at all: bindings could not be listed; None where every binding is known.
    """

    def __init__(self, bindings: Iterable[Manifest], accounts: Mapping[Subject, str | None], unlisted: str | None = None) -> None:
        self._accounts = accounts
        self._unlisted = unlisted
        self._serving: dict[Subject, list[Manifest]] = defaultdict(list)
        self._giving: dict[Role, list[Manifest]] = defaultdict(list)
        self._stays: dict[Subject, list[Stay]] = {}
        for binding in sorted(bindings, key=lambda entry: (entry["kind"], namespace_of(entry), name_of(entry))):
            served = subjects(binding)
            for subject in served:
                self._serving[subject].append(binding)
            if not served or self._outsiders(binding):
                self._giving[role(binding)].append(binding)

    def of(self, account: Subject) -> Iterator[Manifest]:
        """Yield what goes with an EPP: bindings that serve only accounts that go, their roles if nobody else is given them, and the account itself."""
        if self._why(account):
            return
        own = [binding for binding in self._serving[account] if not self._outsiders(binding)]
        yield from own
        for found in _roles(own):
            if found not in self._giving:
                yield _bare("rbac.authorization.k8s.io/v1", *found)
        yield _bare("v1", "ServiceAccount", account.namespace, account.name)

    def staying(self, account: Subject) -> list[Stay]:
        """Return what stays of an EPP's rights: at most :data:`MOST`, then one entry with the number of the others."""
        if account not in self._stays:
            found = list(self._staying(account))
            more = [Stay(f"{len(found) - MOST} more of the rights of {_words(account)}", "others use them, or may")] if len(found) > MOST else []
            self._stays[account] = found[:MOST] + more
        return self._stays[account]

    def _staying(self, account: Subject) -> Iterator[Stay]:
        bindings, why = self._serving[account], self._why(account)
        used = dict(self._used(account, bindings))
        if why and account.name != DEFAULT_ACCOUNT:
            yield Stay(_words(account), why)
        yield from (Stay(*entry) for entry in used.items())
        if why:
            with_account = self._unlisted or f"it belongs to {_words(account)}: {why}"
            for entry in (*map(describe, bindings), *map(_words, _roles(bindings))):
                if entry not in used:
                    yield Stay(entry, with_account)

    def shared(self, account: Subject, release: tuple[str, str]) -> Iterator[Stay]:
        """Yield the rights of an EPP that Helm would delete with a release although others use them."""
        bindings = [binding for binding in self._serving[account] if helm_owner(binding) == release]
        if self._accounts.get(account) and account.name != DEFAULT_ACCOUNT:
            yield Stay(_words(account), self._accounts[account] or "")
        yield from self._used(account, bindings)

    def beside(self, account: Subject, release: tuple[str, str]) -> Iterator[Stay]:
        """Yield bindings of an EPP's account that outlive a Helm release, since it did not make them; none of ``default``'s, which are anybody's."""
        for binding in self._serving[account] if account.name != DEFAULT_ACCOUNT else ():
            if helm_owner(binding) != release:
                yield Stay(describe(binding), f"Helm release {'/'.join(release)} did not make it")

    def _used(self, account: Subject, bindings: list[Manifest]) -> Iterator[Stay]:
        """Yield the bindings of an account that serve others too, and the roles of its bindings that others are given as well."""
        for binding in bindings:
            if self._outsiders(binding) - {account}:
                yield Stay(describe(binding), f"it also serves {self._named(binding, account)}")
        for found in _roles(bindings):
            giver = next((entry for entry in self._giving.get(found, []) if subjects(entry) != {account}), None)
            if giver:
                yield Stay(_words(found), f"{describe(giver)} gives it to {self._named(giver, account) or 'nobody yet'}")

    def _why(self, account: Subject) -> str | None:
        return self._unlisted or self._accounts[account]

    def _outsiders(self, binding: Manifest) -> set[Subject]:
        """Return whom a binding serves besides the accounts that go."""
        return {subject for subject in subjects(binding) if self._accounts.get(subject, "") is not None}

    def _named(self, binding: Manifest, account: Subject) -> str:
        return named([_words(subject) for subject in self._outsiders(binding) - {account}])


def rights(estate: Estate) -> Rights:
    """Return the rights of all alpha EPPs of an estate."""
    used = others(estate)
    accounts: dict[Subject, str | None] = {}
    for pool in estate.pools.values():
        subject = account(namespace_of(pool), estate.epp(pool))
        if subject:
            accounts[subject] = accounts.get(subject) or _kept(estate, estate.owner(pool), subject, used)
    unlisted = estate.unlisted(BINDINGS)
    bindings = (*estate.of("role_bindings"), *estate.of("cluster_role_bindings"))
    return Rights(bindings, accounts, f"{' and '.join(unlisted)} may not be listed, so others may use it" if unlisted else None)


def account(namespace: str, epp: Epp) -> Subject | None:
    """Return the ServiceAccount that the alpha EPP of a pool runs as; None where there is no Deployment."""
    return Subject("ServiceAccount", namespace, epp.service_account) if epp.deployment else None


def _kept(estate: Estate, pool_owner: Owner, subject: Subject, used: Mapping[tuple[str, str], list[str]]) -> str | None:
    """Return why an EPP's account stays; None where it goes."""
    if subject.name == DEFAULT_ACCOUNT:
        return "every pod without an account of its own runs as it"
    if pool_owner.kind == "controller":
        return f"{pool_owner.name} owns the pool and may have made it"
    more = used.get((subject.namespace, subject.name), [])
    if more:
        return f"in use by {named(more)}"
    unlisted = estate.unlisted(WORKLOADS, subject.namespace)
    return f"{' and '.join(unlisted)} may not be listed, so others may run as it" if unlisted else None


def subjects(binding: Manifest) -> set[Subject]:
    """Return whom a binding gives its role to."""
    said = dig(binding, "subjects", default=[])
    return {Subject(entry.get("kind", ""), entry.get("namespace") or namespace_of(binding), entry.get("name", "")) for entry in said}


def role(binding: Manifest) -> Role:
    """Return the role that a binding refers to."""
    kind = dig(binding, "roleRef", "kind", default="")
    return Role(kind, namespace_of(binding) if kind == "Role" else "", dig(binding, "roleRef", "name", default=""))


def _bare(api_version: str, kind: str, namespace: str, name: str) -> Manifest:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": namespace}}


def _roles(bindings: Iterable[Manifest]) -> list[Role]:
    """Return the roles that bindings refer to, without those that Kubernetes itself brings."""
    return sorted(found for found in {role(binding) for binding in bindings} if not found.name.startswith("system:") and found.name not in _BUILT_IN)


def _words(found: Role | Subject) -> str:
    """Return ``Kind namespace/name``; users and groups have no namespace, whatever the binding says."""
    where = f"{found.namespace}/" if found.namespace and found.kind in ("Role", "ServiceAccount") else ""
    return f"{found.kind} {where}{found.name}"
