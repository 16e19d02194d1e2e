"""Work out what one member runs of a valid revision."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from mftgit.errors import ConfigError
from mftgit.model.checked import Built, Sound, build_filled
from mftgit.model.config import (
    Generation,
    LocalLocation,
    Location,
    Member,
    Role,
    SftpLocation,
    Transfer,
)
from mftgit.model.documents import Kind
from mftgit.model.json_value import join_pointer
from mftgit.model.names import LocationName, MemberName, SecretName, TransferName
from mftgit.model.parts import Part, declared_cluster, declared_members, sound_parts
from mftgit.model.problem import Problem, format_problem
from mftgit.model.secret_document import Secret
from mftgit.model.secret_rules import secrets_of
from mftgit.model.templates import first_use
from mftgit.model.validate import Validation


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
    members = declared_members(parts)
    this = members.get(member) or Member(name=member, role=role)
    active = [
        (part, sound)
        for part, sound in sound_parts(parts, Kind.TRANSFER)
        if sound.scope.runs_on(this)
    ]
    scopes = {part.name: sound.scope for part, sound in active}
    transfers = {
        TransferName(name): replace(
            built, name=TransferName(name), active_on=scopes[name].active_on
        )
        for name, built in _build_all(active, this)
        if isinstance(built, Transfer)
    }
    used = {
        name
        for transfer in transfers.values()
        for name in (transfer.source.location, transfer.destination.location)
    }
    needed = [
        (part, sound) for part, sound in sound_parts(parts, Kind.LOCATION) if part.name in used
    ]
    locations = dict(_locations(needed, this))
    elsewhere = {
        name: _differing(locations, needed, other)
        for name, other in members.items()
        if name != member
    }
    reached = [locations, *elsewhere.values()]
    named = {name for each in reached for place in each.values() for _, name in secrets_of(place)}
    return Generation(
        cluster=cluster,
        member=this,
        locations=locations,
        transfers=transfers,
        elsewhere={name: differing for name, differing in elsewhere.items() if differing},
        declared=frozenset(map(TransferName, parts[Kind.TRANSFER])),
        disabled=frozenset(
            TransferName(part.name)
            for part, sound in sound_parts(parts, Kind.TRANSFER)
            if not sound.scope.enabled
        ),
        sealed={
            SecretName(part.name): replace(sound.built, name=SecretName(part.name))
            for part, sound in sound_parts(parts, Kind.SECRET)
            if part.name in named and isinstance(sound.built, Secret)
        },
    )


def _locations(
    parts: list[tuple[Part, Sound]], member: Member
) -> Iterator[tuple[LocationName, Location]]:
    return (
        (LocationName(name), replace(built, name=LocationName(name)))
        for name, built in _build_all(parts, member)
        if isinstance(built, LocalLocation | SftpLocation)
    )


def _differing(
    locations: Mapping[LocationName, Location], parts: list[tuple[Part, Sound]], other: Member
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
