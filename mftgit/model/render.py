"""Work out what one member runs of a valid revision."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

from mftgit.errors import ConfigError
from mftgit.model.checked import Built, Sound, build_filled
from mftgit.model.config import (
    Cluster,
    Generation,
    Member,
    Role,
    Transfer,
)
from mftgit.model.documents import Kind
from mftgit.model.json_value import join_pointer
from mftgit.model.location import LocalLocation, Location, RemoteLocation
from mftgit.model.names import LocationName, MemberName, SecretName, TransferName
from mftgit.model.needs import secrets_of, secrets_of_cluster, secrets_of_transfer
from mftgit.model.parts import Part, Parts, declared_cluster, declared_members, sound_parts
from mftgit.model.problem import Problem, format_problem
from mftgit.model.secret_document import Secret
from mftgit.model.templates import first_use
from mftgit.model.validate import Validation

Locations = Mapping[LocationName, Location]

_REMEMBERED = 8
"""For so many members it is remembered what was rendered last; a member renders for itself alone."""


class InvalidConfigError(ConfigError):
    """The configuration cannot run, at least not on this member; ``problems`` tells why."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        super().__init__(
            f"the configuration is not valid: {format_problem(self.problems[0])}{more}"
        )


def render(validation: Validation, member: MemberName, role: Role) -> Generation:
    """Return what ``member`` runs: its enabled and active transfers, and the locations that they use.

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
    changed, gone = _changes(before, parts, Kind.TRANSFER)
    active = [(part, sound) for part, sound in changed if sound.scope.runs_on(last.member)]
    names = {part.name for part, _ in changed} | gone
    kept = {name: each for name, each in last.transfers.items() if name not in names}
    transfers = kept | dict(_transfers(active, last.member))
    used = {name for each in transfers.values() for name in each.locations}
    locations, elsewhere = _places(before, last, parts, used)
    off = frozenset(TransferName(part.name) for part, sound in changed if not sound.scope.enabled)
    cluster = declared_cluster(parts) or last.cluster
    return Generation(
        cluster=cluster,
        member=last.member,
        locations=locations,
        transfers=transfers,
        elsewhere=elsewhere,
        declared=frozenset(map(TransferName, parts[Kind.TRANSFER])) if names else last.declared,
        disabled=(last.disabled - names) | off,
        sealed=_sealed(parts, [locations, *elsewhere.values()], transfers.values(), cluster),
        members=declared_members(parts),
    )


def _sealed(
    parts: Parts, reached: Iterable[Locations], transfers: Iterable[Transfer], cluster: Cluster
) -> Mapping[SecretName, Secret]:
    """Return the secrets that locations, transfers and the cluster name, as they are in the repository."""
    if not parts[Kind.SECRET]:
        return {}
    named = {name for each in reached for place in each.values() for _, name in secrets_of(place)}
    named |= {name for each in transfers for _, name in secrets_of_transfer(each)}
    named |= {name for _, name in secrets_of_cluster(cluster)}
    return {
        SecretName(part.name): replace(sound.built, name=SecretName(part.name))
        for part, sound in sound_parts(parts, Kind.SECRET)
        if part.name in named and isinstance(sound.built, Secret)
    }


def _places(
    before: Parts, last: Generation, parts: Parts, used: set[LocationName]
) -> tuple[Locations, Mapping[MemberName, Locations]]:
    """Return the locations that are ``used``, and those of them that other members have otherwise."""
    changed, _ = _changes(before, parts, Kind.LOCATION)
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


def _changes(
    before: Parts, parts: Parts, kind: Kind
) -> tuple[list[tuple[Part, Sound]], AbstractSet[str]]:
    """Return the documents of ``kind`` that ``before`` has not, and the names that it alone has."""
    were, are = before.get(kind, {}), parts[kind]
    if were is are:
        return [], frozenset()
    fresh = {name: part for name, part in are.items() if were.get(name) is not part}
    return list(sound_parts({kind: fresh}, kind)), were.keys() - are.keys()


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
        for name, built in _build_all(parts, member)
        if isinstance(built, Transfer)
    )


def _locations(
    parts: list[tuple[Part, Sound]], member: Member
) -> Iterator[tuple[LocationName, Location]]:
    return (
        (LocationName(name), replace(built, name=LocationName(name)))
        for name, built in _build_all(parts, member)
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


def _build_all(parts: list[tuple[Part, Sound]], member: Member) -> list[tuple[str, Built]]:
    missing = [
        part.problem(
            join_pointer(first_use(sound.document.value, variable)),
            rule="variable",
            message=f"member {member.name!r} does not define the variable {variable!r}",
            hint=f"add it to the variables in members/{member.name}.yaml, or change active_on",
        )
        for part, sound in parts
        for variable in sound.variables
        if variable not in member.variables
    ]
    if missing:
        raise InvalidConfigError(missing)
    return [
        (
            part.name,
            sound.built or build_filled(part.checked.kind, sound.document, member.variables),
        )
        for part, sound in parts
    ]
