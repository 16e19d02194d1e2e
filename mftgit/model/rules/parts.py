"""The checked documents of one revision by kind and name, as the rules across documents see them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from mftgit.model.configuration.config import (
    Cluster,
    Generation,
    Member,
    Role,
)
from mftgit.model.documents.checked import Checked, Sound
from mftgit.model.documents.document import Kind, problem_at
from mftgit.model.documents.json_value import Position
from mftgit.model.documents.problem import Problem
from mftgit.model.names import MemberName


@dataclass(slots=True, kw_only=True)
class Part:
    """One document in its place. ``oid`` names its content."""

    path: str
    name: str
    oid: str
    checked: Checked
    _positions: Mapping[str, Position] | None = field(default=None, repr=False, compare=False)

    def problem(self, pointer: str, *, rule: str, message: str, hint: str) -> Problem:
        """Return a problem of this document; a ``pointer`` to a field that it leaves out means the document."""
        if self._positions is None:
            self._positions = self.checked.document.positions() if self.checked.document else {}
        at = pointer if pointer in self._positions else ""
        found = problem_at(self._positions[at], at, rule=rule, message=message, hint=hint)
        return replace(found, file=self.path)


Parts = Mapping[Kind, Mapping[str, Part]]
"""Every document by kind and name, broken ones too: a reference to a broken document is not broken itself."""


Rendered = dict[tuple[MemberName, Role], tuple[Parts, Generation]]
"""What valid documents came to last, for whom."""


def sound_parts(parts: Parts, kind: Kind) -> Iterator[tuple[Part, Sound]]:
    """Give the documents of ``kind`` that fit their schema, in the order of their names."""
    for _, part in sorted(parts[kind].items()):
        if part.checked.sound is not None:
            yield part, part.checked.sound


def declared_cluster(parts: Parts) -> Cluster | None:
    """Return what ``cluster.yaml`` says, or None when it is missing or broken."""
    found = (sound.built for _, sound in sound_parts(parts, Kind.CLUSTER))
    return next((built for built in found if isinstance(built, Cluster)), None)


def declared_members(parts: Parts) -> dict[MemberName, Member]:
    """Return the members whose documents are sound, in the order of their names."""
    found = [
        (MemberName(part.name), sound.built) for part, sound in sound_parts(parts, Kind.MEMBER)
    ]
    return {name: replace(built, name=name) for name, built in found if isinstance(built, Member)}
