"""What the rules across documents work with: the documents of a revision, its members, and what was found.

The cost of the rules is linear in documents and members: members are grouped by the values that a document asks for,
and what was worked out for a group is remembered.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from mftgit.model.configuration.config import ActiveOn, Member, Role
from mftgit.model.configuration.grouping import Grouping, Names, group_members
from mftgit.model.documents.checked import Built, Filled, Sound
from mftgit.model.documents.document import Kind
from mftgit.model.documents.json_value import join_pointer
from mftgit.model.documents.problem import Problem
from mftgit.model.documents.schema_words import did_you_mean
from mftgit.model.documents.templates import Variable, first_use
from mftgit.model.locations.location import LocalLocation, Location, RemoteLocation
from mftgit.model.names import MemberName, SecretName
from mftgit.model.rules.parts import Part, Parts, declared_members, sound_parts
from mftgit.model.secrets.needs import Needs, Use

Fill = Callable[[Part, Sound, Mapping[str, Variable]], Filled]
"""Gives a document with these values in the place of its templates, checked."""

_HINTS: Final = 20
"""So many near words are looked for; among thousands of names each takes a tenth of a second."""

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
class Since:
    """A valid revision, by what its documents ``need``, and the names of those by which another differs from it."""

    needs: Needs
    look: Look


@dataclass(slots=True, kw_only=True)
class Survey:
    """The documents of one revision, and what is found between them; with ``since``, of those that it names alone.

    ``fill`` gives a document with values in the place of its templates. ``problems`` are told once each.
    """

    parts: Parts
    fill: Fill
    since: Since | None
    problems: dict[Problem, None] = field(default_factory=dict)
    members: dict[MemberName, Member] = field(init=False)
    known_variables: frozenset[str] = field(init=False)
    all_members_read: bool = field(init=False)
    uses: list[Use] = field(default_factory=list)
    _hints: dict[tuple[str, str], str] = field(default_factory=dict)
    _eligible: dict[ActiveOn, Names] = field(default_factory=dict)
    _groupings: dict[tuple[tuple[str, ...], Names], Grouping] = field(default_factory=dict)

    def __post_init__(self) -> None:
        declared = declared_members(self.parts)
        documents = self.parts[Kind.MEMBER]
        # While a member's document is broken, nobody knows what it would have brought.
        self.all_members_read = len(declared) == len(documents)
        self.members = declared if documents else dict(_NO_DOCUMENTS)
        self.known_variables = frozenset(
            name for member in self.members.values() for name in member.variables
        )

    def sound(self, kind: Kind) -> Iterator[tuple[Part, Sound]]:
        """Give what is to be looked at of ``kind``, in the order of names."""
        parts = self.parts
        if self.since is not None:
            named = parts[kind]
            parts = {kind: {name: named[name] for name in self.since.look[kind] if name in named}}
        return sound_parts(parts, kind)

    def report(self, part: Part, pointer: str, rule: str, message: str, hint: str) -> None:
        """Tell a problem of ``part``."""
        self.problems[part.problem(pointer, rule=rule, message=message, hint=hint)] = None

    def _near(self, what: str, word: str, known: Iterable[str]) -> str:
        if (what, word) not in self._hints:
            self._hints[what, word] = did_you_mean(word, known) if len(self._hints) < _HINTS else ""
        return self._hints[what, word]

    def is_declared(self, part: Part, pointer: str, kind: Kind, name: str) -> bool:
        """Tell whether there is such a document, and a problem of ``part`` where there is none."""
        if name in self.parts[kind]:
            return True
        self.report(
            part,
            pointer,
            "reference",
            f"there is no {kind.value} {name!r}",
            self._near(kind.value, name, self.parts[kind]) or f"add {kind.value}s/{name}.yaml",
        )
        return False

    def check_scope(self, part: Part, sound: Sound) -> None:
        """See that the members are there that ``part`` names, and that one of them would run it."""
        scope = sound.scope
        unknown = 0
        for index, name in enumerate(_listed_members(sound)):
            unknown += not self.is_declared(part, f"/active_on/{index}", Kind.MEMBER, name)
        eligible = self.eligible(scope.active_on)
        if scope.enabled and self.all_members_read and not eligible and not unknown:
            self.report(
                part,
                "/active_on",
                "nobody",
                "no member would run this",
                "change active_on, declare a member that fits, or say enabled: false",
            )
        for index, name in enumerate(scope.prefer):
            pointer = f"/prefer/{index}"
            declared = self.is_declared(part, pointer, Kind.MEMBER, name)
            if declared and name in self.members and name not in eligible:
                self.report(
                    part,
                    pointer,
                    "prefer",
                    f"member {name!r} is preferred, but active_on leaves it out",
                    "take it out of prefer, or into active_on",
                )

    def eligible(self, active_on: ActiveOn) -> Names:
        """Return the members that ``active_on`` includes."""
        if active_on not in self._eligible:
            self._eligible[active_on] = tuple(
                name for name, member in self.members.items() if active_on.includes(member)
            )
        return self._eligible[active_on]

    def check_variables(self, part: Part, sound: Sound) -> None:
        """See that some member defines each variable that ``part`` names."""
        for name in sound.variables if self.all_members_read else ():
            if name not in self.known_variables:
                self.report(
                    part,
                    _first_use(sound, name),
                    "variable",
                    f"no member defines the variable {name!r}",
                    self._near("variable", name, self.known_variables)
                    or f"add {name} to the variables in members/NAME.yaml",
                )

    def need(self, saying: Part, part: Part, location: Location, members: Names) -> None:
        """Note which secrets ``saying`` needs on ``members``, by the location that is the document ``part``."""
        self.use(saying, part, location.secrets(), members)

    def use(
        self, saying: Part, part: Part, secrets: Iterable[tuple[str, SecretName]], members: Names
    ) -> None:
        """Note that ``saying`` needs ``secrets`` on ``members``, which ``part`` names at these pointers."""
        said = (saying.checked.kind, saying.name)
        self.uses.extend(
            Use(saying=said, location=part, pointer=pointer, secret=secret, members=members)
            for pointer, secret in secrets
        )

    def locations(
        self,
        part: Part,
        pointer: str,
        name: str,
        group: Names,
        *,
        tell: bool = True,
        needed: bool = True,
    ) -> list[tuple[Names, Location]]:
        """Return what the location ``name`` comes to on the members ``group``, as ``part`` names it at ``pointer``.

        Where it is ``needed`` too, it is noted that these need its secrets.
        """
        if not self.is_declared(part, pointer, Kind.LOCATION, name):
            return []
        located = self.parts[Kind.LOCATION][name]
        if located.checked.sound is None:
            return []
        found = [
            (subgroup, built)
            for subgroup, built in self.variants(located, located.checked.sound, group, tell=tell)
            if isinstance(built, LocalLocation | RemoteLocation)
        ]
        if tell and needed:
            for _, built in found:
                self.need(part, located, built, group)
        return found

    def variants(
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
            self.report(
                part,
                _first_use(sound, variable),
                "variable",
                f"{_who(name)} does not define the variable {variable!r}",
                f"add it to the variables in members/{name}.yaml, or change active_on",
            )

    def _grouping(self, variables: tuple[str, ...], names: Names) -> Grouping:
        key = (variables, names)
        if key not in self._groupings:
            self._groupings[key] = group_members(self.members, names, variables)
        return self._groupings[key]


def _listed_members(sound: Sound) -> list[str]:
    active_on = sound.document.value.get("active_on")
    return [str(name) for name in active_on] if isinstance(active_on, list) else []


def _first_use(sound: Sound, variable: str) -> str:
    return join_pointer(first_use(sound.document.value, variable))


def _who(name: MemberName) -> str:
    return name if name in _NO_DOCUMENTS else f"member {name!r}"
