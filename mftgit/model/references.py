"""The rules across documents: what one says of another has to hold, on every member that would run it.

Their cost is linear in documents and members: members are grouped by the values that a document asks for, and
what was worked out for a group is remembered.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mftgit.model.checked import Built, Filled, Sound
from mftgit.model.config import (
    ActiveOn,
    Cluster,
    Member,
    Role,
    Transfer,
)
from mftgit.model.documents import Kind
from mftgit.model.grouping import Grouping, Names, group_members
from mftgit.model.json_value import join_pointer
from mftgit.model.location import LocalLocation, Location, RemoteLocation
from mftgit.model.names import MemberName, SecretName
from mftgit.model.needs import (
    Needs,
    Saying,
    Use,
    secrets_of,
    secrets_of_cluster,
    secrets_of_transfer,
)
from mftgit.model.parts import Part, Parts, declared_members, sound_parts
from mftgit.model.problem import Problem
from mftgit.model.referred import referred
from mftgit.model.rings import Leg, find_rings
from mftgit.model.schema_words import did_you_mean, show
from mftgit.model.secret_rules import check_readers, check_uses
from mftgit.model.templates import Variable, first_use
from mftgit.model.transfer_rules import check_folders, legs_of

Fill = Callable[[Part, Sound, Mapping[str, Variable]], Filled]
"""Gives a document with these values in the place of its templates, checked."""

_HINTS: Final = 20
"""So many near words are looked for; among thousands of names each takes a tenth of a second."""

_NAMED: Final = 10
"""So many transfers of a ring are named."""

_ANY_CONTROLLER: Final = MemberName("a controller without a document")
_ANY_NODE: Final = MemberName("a node without a document")
_NO_DOCUMENTS: Final = {
    _ANY_CONTROLLER: Member(name=_ANY_CONTROLLER, role=Role.CONTROLLER),
    _ANY_NODE: Member(name=_ANY_NODE, role=Role.NODE),
}
"""Who runs things in a repository that declares no member: whoever joins, with no labels and no variables."""


Look = Mapping[Kind, Collection[str]]
"""Names of documents by their kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Across:
    """What was found between documents: what is wrong, each problem once, the ways of files, and who needs a secret."""

    problems: tuple[Problem, ...]
    legs: tuple[Leg, ...]
    needs: Needs


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """A valid revision, by what its documents ``need``, and the names of those by which another differs from it."""

    needs: Needs
    look: Look


def check_across(parts: Parts, fill: Fill, since: Since | None = None) -> Across:
    """Return what there is between the documents of one revision.

    With ``since``, only what those documents say of others is looked at, and rings are not looked for.
    """
    across = _Across(parts=parts, fill=fill, since=since)
    across.run()
    return Across(
        problems=tuple(across.problems),
        legs=tuple(across.legs),
        needs=across.needs,
    )


def referring(parts: Parts, locations: Collection[str]) -> Iterator[str]:
    """Give the names of the transfers that refer to one of ``locations``, or may; all of them are sound."""
    for name, part in parts[Kind.TRANSFER].items():
        value: Any = part.checked.document.value if part.checked.document else {}
        fallback = value["destination"].get("fallback")
        for end in (value["source"], value["destination"], *([fallback] if fallback else [])):
            location = end["location"]
            if location in locations or "{{" in location:
                yield name


@dataclass(slots=True, kw_only=True)
class _Across:
    parts: Parts
    fill: Fill
    since: Since | None
    problems: dict[Problem, None] = field(default_factory=dict)
    members: dict[MemberName, Member] = field(init=False)
    known_variables: frozenset[str] = field(init=False)
    all_members_read: bool = field(init=False)
    legs: list[Leg] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    needs: Needs = field(default_factory=Needs)
    hints: dict[tuple[str, str], str] = field(default_factory=dict)
    eligible: dict[ActiveOn, Names] = field(default_factory=dict)
    groupings: dict[tuple[tuple[str, ...], Names], Grouping] = field(default_factory=dict)

    def __post_init__(self) -> None:
        declared = declared_members(self.parts)
        documents = self.parts[Kind.MEMBER]
        # While a member's document is broken, nobody knows what it would have brought.
        self.all_members_read = len(declared) == len(documents)
        self.members = declared if documents else dict(_NO_DOCUMENTS)
        self.known_variables = frozenset(
            name for member in self.members.values() for name in member.variables
        )

    def run(self) -> None:
        self._one_controller()
        for kind in (Kind.TRANSFER, Kind.ACCOUNT, Kind.SERVICE):
            for part, sound in self._sound(kind):
                self._check_scope(part, sound)
        for kind in (Kind.LOCATION, Kind.TRANSFER):
            for part, sound in self._sound(kind):
                self._check_variables(part, sound)
        for part, sound in self._sound(Kind.TRANSFER):
            self._check_transfer(part, sound)
        self._note_needs()
        self._check_secrets()
        if self.since is not None:
            return
        self._check_rings()
        for part in self.parts[Kind.TRANSFER].values():
            self._check_names(part)

    def _sound(self, kind: Kind) -> Iterator[tuple[Part, Sound]]:
        """Give what is to be looked at of ``kind``, in the order of names."""
        parts = self.parts
        if self.since is not None:
            named = parts[kind]
            parts = {kind: {name: named[name] for name in self.since.look[kind] if name in named}}
        return sound_parts(parts, kind)

    def _check_names(self, part: Part) -> None:
        """Check the references of a document that does not fit its schema, so that all is told at once."""
        if part.checked.sound is None and part.checked.document is not None:
            for pointer, kind, name in referred(part.checked.document):
                self._is_declared(part, pointer, kind, name)

    def _report(self, part: Part, pointer: str, rule: str, message: str, hint: str) -> None:
        self.problems[part.problem(pointer, rule=rule, message=message, hint=hint)] = None

    def _near(self, what: str, word: str, known: Iterable[str]) -> str:
        if (what, word) not in self.hints:
            self.hints[what, word] = did_you_mean(word, known) if len(self.hints) < _HINTS else ""
        return self.hints[what, word]

    def _one_controller(self) -> None:
        controllers = [
            name for name, member in self.members.items() if member.role is Role.CONTROLLER
        ]
        for name in controllers[1:]:
            self._report(
                self.parts[Kind.MEMBER][name],
                "/role",
                "one-controller",
                f"member {controllers[0]!r} is the controller already",
                "a cluster has one controller: make this one a node",
            )

    def _is_declared(self, part: Part, pointer: str, kind: Kind, name: str) -> bool:
        if name in self.parts[kind]:
            return True
        self._report(
            part,
            pointer,
            "reference",
            f"there is no {kind.value} {name!r}",
            self._near(kind.value, name, self.parts[kind]) or f"add {kind.value}s/{name}.yaml",
        )
        return False

    def _check_scope(self, part: Part, sound: Sound) -> None:
        scope = sound.scope
        unknown = 0
        for index, name in enumerate(_listed_members(sound)):
            unknown += not self._is_declared(part, f"/active_on/{index}", Kind.MEMBER, name)
        eligible = self._eligible(scope.active_on)
        if scope.enabled and self.all_members_read and not eligible and not unknown:
            self._report(
                part,
                "/active_on",
                "nobody",
                "no member would run this",
                "change active_on, declare a member that fits, or say enabled: false",
            )
        for index, name in enumerate(scope.prefer):
            pointer = f"/prefer/{index}"
            declared = self._is_declared(part, pointer, Kind.MEMBER, name)
            if declared and name in self.members and name not in eligible:
                self._report(
                    part,
                    pointer,
                    "prefer",
                    f"member {name!r} is preferred, but active_on leaves it out",
                    "take it out of prefer, or into active_on",
                )

    def _eligible(self, active_on: ActiveOn) -> Names:
        if active_on not in self.eligible:
            self.eligible[active_on] = tuple(
                name for name, member in self.members.items() if active_on.includes(member)
            )
        return self.eligible[active_on]

    def _check_variables(self, part: Part, sound: Sound) -> None:
        for name in sound.variables if self.all_members_read else ():
            if name not in self.known_variables:
                self._report(
                    part,
                    _first_use(sound, name),
                    "variable",
                    f"no member defines the variable {name!r}",
                    self._near("variable", name, self.known_variables)
                    or f"add {name} to the variables in members/NAME.yaml",
                )

    def _check_transfer(self, part: Part, sound: Sound) -> None:
        names = self._eligible(sound.scope.active_on) if sound.scope.enabled else ()
        variants = [
            (group, built)
            for group, built in self._variants(part, sound, names)
            if isinstance(built, Transfer)
        ]
        for group, transfer in variants:
            self._check_locations(part, transfer, group)
            saying = (Kind.TRANSFER, part.name)
            for pointer, secret in secrets_of_transfer(transfer):
                self.uses.append(
                    Use(saying=saying, location=part, pointer=pointer, secret=secret, members=group)
                )

    def _check_locations(self, part: Part, transfer: Transfer, group: Names) -> None:
        sources = self._locations(part, "/source/location", transfer.source.location, group)
        # Told for the whole group, whatever keeps the source from being built.
        self._check_way(part, transfer, "/destination", sources, group)
        if transfer.destination.fallback is not None:
            self._check_way(part, transfer.at_fallback(), "/destination/fallback", sources, group)

    def _check_way(
        self,
        part: Part,
        transfer: Transfer,
        at: str,
        sources: list[tuple[Names, Location]],
        group: Names,
    ) -> None:
        name, pointer = transfer.destination.location, f"{at}/location"
        self._locations(part, pointer, name, group)
        for subgroup, source in sources:
            for _, destination in self._locations(part, pointer, name, subgroup, tell=False):
                for fault in check_folders(transfer, source, destination):
                    where = at if fault.pointer == "/destination" else fault.pointer
                    self._report(part, where, fault.rule, fault.message, fault.hint)
                if subgroup:
                    self.legs.extend(legs_of(part.name, transfer, source, destination))

    def _check_rings(self) -> None:
        for ring in find_rings(self.legs):
            names = [leg.name for leg in ring.legs]
            shown = [*names[:_NAMED], "…"] if len(names) > _NAMED else names
            self._report(
                self.parts[Kind.TRANSFER][names[0]],
                ring.legs[0].pointer,
                "ring",
                f"a file such as {show(ring.file)} would go round for ever: {' -> '.join((*shown, names[0]))}",
                "give the files to another folder, or take others (include, exclude)",
            )

    def _need(self, saying: Saying, part: Part, location: Location, members: Names) -> None:
        """Note which secrets the document ``saying`` needs, by the location that is the document ``part``."""
        for pointer, secret in secrets_of(location):
            use = Use(saying=saying, location=part, pointer=pointer, secret=secret, members=members)
            self.uses.append(use)

    def _note_needs(self) -> None:
        """Note which secrets are needed whatever transfers there are."""
        for part, sound in self._sound(Kind.LOCATION):
            if isinstance(sound.built, RemoteLocation):  # also one that no transfer uses
                self._need((Kind.LOCATION, part.name), part, sound.built, ())
        found = [(part, sound.built) for part, sound in self._sound(Kind.CLUSTER)]
        for part, cluster in ((part, each) for part, each in found if isinstance(each, Cluster)):
            self._need_everywhere(part, cluster)

    def _need_everywhere(self, part: Part, cluster: Cluster) -> None:
        """Note which secrets every member needs, because the document ``part`` says so."""
        for pointer, secret in secrets_of_cluster(cluster):
            use = Use(
                saying=(Kind.CLUSTER, part.name),
                location=part,
                pointer=pointer,
                secret=secret,
                members=tuple(self.members),
            )
            self.uses.append(use)

    def _check_secrets(self) -> None:
        self.needs, concerned = Needs.of(self.uses), None
        if self.since is not None:
            before, look = self.since.needs, self.since.look
            saying = (Kind.LOCATION, Kind.TRANSFER, Kind.CLUSTER)
            said = [(kind, name) for kind in saying for name in look[kind]]
            self.needs = before.but_for(said, self.needs)
            concerned = self.needs.differing(before).union(map(SecretName, look[Kind.SECRET]))
        found = (
            *check_uses(self.parts, self.uses),
            *check_readers(self.parts, self.members, self.needs.readers(concerned)),
        )
        self.problems.update(dict.fromkeys(found))

    def _locations(
        self, part: Part, pointer: str, name: str, group: Names, *, tell: bool = True
    ) -> list[tuple[Names, Location]]:
        if not self._is_declared(part, pointer, Kind.LOCATION, name):
            return []
        located = self.parts[Kind.LOCATION][name]
        if located.checked.sound is None:
            return []
        found = [
            (subgroup, built)
            for subgroup, built in self._variants(located, located.checked.sound, group, tell=tell)
            if isinstance(built, LocalLocation | RemoteLocation)
        ]
        if tell:
            for _, built in found:
                self._need((Kind.TRANSFER, part.name), located, built, group)
        return found

    def _variants(
        self, part: Part, sound: Sound, names: Names, *, tell: bool = True
    ) -> list[tuple[Names, Built]]:
        """Return what ``part`` comes to on the members ``names``; without templates, the same on all of them."""
        if sound.built is not None:
            return [(names, sound.built)]
        grouping = self._grouping(sound.variables, names)
        filled = [(group, self.fill(part, sound, values)) for values, group in grouping.groups]
        if tell:
            for variable, name in grouping.missing.items():
                self._report_missing(part, sound, variable, name)
            for group, outcome in filled:
                self._report_filled(part, outcome, group[0])
        return [(group, outcome.built) for group, outcome in filled if outcome.built is not None]

    def _report_filled(self, part: Part, filled: Filled, name: MemberName) -> None:
        for problem in filled.problems:
            message = f"{problem.message}, with the values of {_who(name)}"
            self.problems[replace(problem, file=part.path, message=message)] = None

    def _report_missing(self, part: Part, sound: Sound, variable: str, name: MemberName) -> None:
        if variable in self.known_variables:
            self._report(
                part,
                _first_use(sound, variable),
                "variable",
                f"{_who(name)} does not define the variable {variable!r}",
                f"add it to the variables in members/{name}.yaml, or change active_on",
            )

    def _grouping(self, variables: tuple[str, ...], names: Names) -> Grouping:
        key = (variables, names)
        if key not in self.groupings:
            self.groupings[key] = group_members(self.members, names, variables)
        return self.groupings[key]


def _listed_members(sound: Sound) -> list[str]:
    active_on = sound.document.value.get("active_on")
    return [str(name) for name in active_on] if isinstance(active_on, list) else []


def _first_use(sound: Sound, variable: str) -> str:
    return join_pointer(first_use(sound.document.value, variable))


def _who(name: MemberName) -> str:
    return name if name in _NO_DOCUMENTS else f"member {name!r}"
