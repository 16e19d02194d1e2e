"""Work out which services run on one member, and for which accounts."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mftgit.model.configuration.config import Generation, Member
from mftgit.model.configuration.rendered import build_all, changes
from mftgit.model.documents.checked import Sound
from mftgit.model.documents.document import Kind
from mftgit.model.inbound.account import Account
from mftgit.model.inbound.account_document import Draft, Group, Terms, join, services_of
from mftgit.model.inbound.service import AnyService
from mftgit.model.names import AccountName, ServiceName
from mftgit.model.rules.dependents import accounts_of
from mftgit.model.rules.parts import Part, Parts, sound_parts

Services = Mapping[ServiceName, AnyService]
Accounts = Mapping[AccountName, Account]


def follow_services(before: Parts, last: Generation, parts: Parts) -> Services:
    """Return the services of ``parts`` that the member runs, who runs ``last`` of ``before``.

    Raises:
        InvalidConfigError: it lacks a variable.
    """
    changed, gone = changes(before, parts, Kind.SERVICE)
    active = [(part, sound) for part, sound in changed if sound.scope.runs_on(last.member)]
    names = {part.name for part, _ in changed} | gone
    kept = {name: each for name, each in last.services.items() if name not in names}
    return kept | {
        ServiceName(name): replace(built, name=ServiceName(name))
        for name, built in build_all(active, last.member)
        if isinstance(built, AnyService)
    }


def follow_accounts(before: Parts, last: Generation, parts: Parts, services: Services) -> Accounts:
    """Return the accounts of ``parts`` that may use one of ``services``, which are those that the member runs now.

    Raises:
        InvalidConfigError: it lacks a variable.
    """
    if not services:
        return {}
    if services.keys() != last.services.keys():
        before, last = {}, replace(last, accounts={})
    changed, gone = changes(before, parts, Kind.ACCOUNT)
    groups, gone_groups = changes(before, parts, Kind.GROUP)
    names = {part.name for part, _ in changed}
    if groups or gone_groups:
        names |= set(accounts_of(parts, {part.name for part, _ in groups} | gone_groups))
    kept = {
        name: each for name, each in last.accounts.items() if name not in names and name not in gone
    }
    named = parts[Kind.ACCOUNT]
    some = sound_parts({Kind.ACCOUNT: {name: named[name] for name in names}}, Kind.ACCOUNT)
    active = [(part, sound) for part, sound in some if sound.scope.runs_on(last.member)]
    welcome = [each for each in active if _may_use(each[1], parts, services)]
    return kept | dict(_accounts(welcome, parts, last.member))


def _may_use(sound: Sound, parts: Parts, services: Services) -> bool:
    value: Any = sound.document.value
    groups = (parts[Kind.GROUP][name].checked.document for name in value.get("groups", ()))
    named = services_of((value, *(group.value for group in groups if group is not None)))
    return named is None or not named.isdisjoint(services)


def _accounts(
    active: list[tuple[Part, Sound]], parts: Parts, member: Member
) -> Iterator[tuple[AccountName, Account]]:
    terms = _terms(active, parts, member)
    joined = (
        join(replace(built, name=AccountName(name)), [terms[group] for group in built.groups])
        for name, built in build_all(active, member)
        if isinstance(built, Draft)
    )
    return ((account.name, account) for account in joined if account is not None)


def _terms(active: list[tuple[Part, Sound]], parts: Parts, member: Member) -> Mapping[str, Terms]:
    """Return what the groups say that ``active`` name."""
    values: list[Any] = [sound.document.value for _, sound in active]
    named = {name for value in values for name in value.get("groups", ())}
    groups = sound_parts(
        {Kind.GROUP: {name: parts[Kind.GROUP][name] for name in named}}, Kind.GROUP
    )
    return {
        name: built.terms
        for name, built in build_all(list(groups), member)
        if isinstance(built, Group)
    }
