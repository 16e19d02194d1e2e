"""Work out what one member runs of a valid revision."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

from mftgit.model.configuration.config import Generation, Member, Role, Transfer
from mftgit.model.configuration.render_event_handlers import follow_event_handlers
from mftgit.model.configuration.render_inbound import follow_accounts, follow_services
from mftgit.model.configuration.rendered import InvalidConfigError, build_all, changes
from mftgit.model.documents.checked import Sound
from mftgit.model.documents.document import Kind
from mftgit.model.locations.location import LocalLocation, Location, RemoteLocation
from mftgit.model.names import LocationName, MemberName, SecretName, TransferName
from mftgit.model.rules.parts import Part, Parts, declared_cluster, declared_members, sound_parts
from mftgit.model.rules.validate import Validation
from mftgit.model.secrets.document import Secret
from mftgit.model.secrets.needs import secrets_needed

Locations = Mapping[LocationName, Location]

_REMEMBERED = 8
"""For so many members it is remembered what was rendered last; a member renders for itself alone."""


def render(validation: Validation, member: MemberName, role: Role) -> Generation:
    """Return what ``member`` runs: all that is enabled and active there, and the locations that this uses.

    A member without a document is of the ``role`` given, without labels and variables; otherwise its document says.

    Raises:
        InvalidConfigError: the revision has problems, or this member lacks a variable that it needs.
    """
    parts = validation.parts
    cluster = declared_cluster(parts)
    if validation.problems or cluster is None:
        raise InvalidConfigError(validation.problems)
    this = declared_members(parts).get(member) or Member(name=member, role=role)
    before = validation.rendered.get((member, role))
    if before is None or before[0][Kind.MEMBER] != parts[Kind.MEMBER]:
        before = ({}, Generation(cluster=cluster, member=this))
    generation = _follow(*before, parts)
    if len(validation.rendered) >= _REMEMBERED:
        validation.rendered.clear()
    validation.rendered[member, role] = (parts, generation)
    return generation


def _follow(before: Parts, last: Generation, parts: Parts) -> Generation:
    """Return what a member runs of ``parts``, who runs ``last`` of ``before``; the members' documents are the same."""
    changed, gone = changes(before, parts, Kind.TRANSFER)
    active = [(part, sound) for part, sound in changed if sound.scope.runs_on(last.member)]
    names = {part.name for part, _ in changed} | gone
    kept = {name: each for name, each in last.transfers.items() if name not in names}
    transfers = kept | dict(_transfers(active, last.member))
    services = follow_services(before, last, parts)
    accounts = follow_accounts(before, last, parts, services)
    used = {name for each in transfers.values() for name in each.locations}
    used |= {name for each in accounts.values() for name in each.locations}
    locations, elsewhere = _places(before, last, parts, used)
    off = frozenset(TransferName(part.name) for part, sound in changed if not sound.scope.enabled)
    cluster = declared_cluster(parts) or last.cluster
    generation = Generation(
        cluster=cluster,
        member=last.member,
        locations=locations,
        transfers=transfers,
        services=services,
        accounts=accounts,
        event_handlers=follow_event_handlers(before, last, parts),
        elsewhere=elsewhere,
        declared=frozenset(map(TransferName, parts[Kind.TRANSFER])) if names else last.declared,
        disabled=(last.disabled - names) | off,
        members=declared_members(parts),
    )
    return replace(generation, sealed=_sealed(parts, generation))


def _sealed(parts: Parts, generation: Generation) -> Mapping[SecretName, Secret]:
    """Return the secrets that this and the other members need for ``generation``, as they are in the repository."""
    if not parts[Kind.SECRET]:
        return {}
    named = secrets_needed(generation)
    reached = generation.elsewhere.values()
    named |= {name for each in reached for place in each.values() for _, name in place.secrets()}
    return {
        SecretName(part.name): replace(sound.built, name=SecretName(part.name))
        for part, sound in sound_parts(parts, Kind.SECRET)
        if part.name in named and isinstance(sound.built, Secret)
    }


def _places(
    before: Parts, last: Generation, parts: Parts, used: set[LocationName]
) -> tuple[Locations, Mapping[MemberName, Locations]]:
    """Return the locations that are ``used``, and those of them that other members have otherwise."""
    changed, _ = changes(before, parts, Kind.LOCATION)
    fresh = {part.name for part, _ in changed} | (used - last.locations.keys())
    needed = [
        (part, sound)
        for part, sound in sound_parts({Kind.LOCATION: _named(parts, fresh & used)}, Kind.LOCATION)
    ]
    if not needed and last.locations.keys() <= used:
        return last.locations, last.elsewhere
    kept = used - fresh
    locations = {name: each for name, each in last.locations.items() if name in kept}
    locations |= dict(_locations(needed, last.member))
    elsewhere = {}
    for name, other in declared_members(parts).items():
        if name != last.member.name:
            was = last.elsewhere.get(name, {})
            differing = {each: was[each] for each in was if each in kept}
            differing |= _differing(locations, needed, other)
            if differing:
                elsewhere[name] = differing
    return locations, elsewhere


def _named(parts: Parts, names: AbstractSet[str]) -> dict[str, Part]:
    return {name: parts[Kind.LOCATION][name] for name in names}


def _transfers(
    parts: list[tuple[Part, Sound]], member: Member
) -> Iterator[tuple[TransferName, Transfer]]:
    scopes = {part.name: sound.scope for part, sound in parts}
    return (
        (
            TransferName(name),
            replace(built, name=TransferName(name), active_on=scopes[name].active_on),
        )
        for name, built in build_all(parts, member)
        if isinstance(built, Transfer)
    )


def _locations(
    parts: list[tuple[Part, Sound]], member: Member
) -> Iterator[tuple[LocationName, Location]]:
    return (
        (LocationName(name), replace(built, name=LocationName(name)))
        for name, built in build_all(parts, member)
        if isinstance(built, LocalLocation | RemoteLocation)
    )


def _differing(
    locations: Locations, parts: list[tuple[Part, Sound]], other: Member
) -> dict[LocationName, Location]:
    """Return the locations that ``other`` has otherwise; one that lacks a variable for it is not among them."""
    templated = [
        (part, sound) for part, sound in parts if other.variables.keys() >= set(sound.variables)
    ]
    return {
        name: location
        for name, location in _locations([each for each in templated if each[1].variables], other)
        if location != locations[name]
    }
