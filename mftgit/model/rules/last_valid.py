"""The last revision that was found to be valid, by which one that differs from it in little is judged.

What it says is yes, or that all has to be looked at: every problem is told by the whole look alone.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from mftgit.model.configuration.build import Scope
from mftgit.model.documents.document import Document, Kind
from mftgit.model.documents.places import DocumentFile
from mftgit.model.rules.dependents import accounts_of, groups_at, transfers_at
from mftgit.model.rules.parts import Part, Parts, Rendered
from mftgit.model.rules.survey import Look
from mftgit.model.rules.tree import Tree
from mftgit.model.rules.ways import Ways
from mftgit.model.secrets.needs import Needs

_PLAIN_FILE: Final = 0o100644

_BY_THEMSELVES: Final = (
    Kind.CLUSTER,
    Kind.LOCATION,
    Kind.TRANSFER,
    Kind.ACCOUNT,
    Kind.GROUP,
    Kind.SERVICE,
    Kind.EVENT_HANDLER,
    Kind.SECRET,
)
"""Kinds of which a document concerns none but itself, or those that `mftgit.model.rules.dependents` gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The paths of a revision that are not as they were in another, and those that are there no more."""

    come: tuple[str, ...]
    gone: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.come or self.gone)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastValid:
    """A valid revision: the ids of its files by path, its documents by kind and by path, and the ways of its files.

    ``needs`` tells who needs which secret, ``rendered`` is what `mftgit.model.configuration.render` remembers of it.
    """

    oids: Mapping[str, str]
    parts: Parts
    documents: Mapping[str, Document]
    ways: Ways
    needs: Needs
    rendered: Rendered

    def part(self, file: DocumentFile) -> Part | None:
        """Return the document, where the revision had the same one."""
        part = self.parts[file.kind].get(file.name)
        return part if part and (part.path, part.oid) == (file.path, file.entry.oid) else None

    def changes(self, tree: Tree) -> Changes:
        """Return how ``tree`` differs; in a valid revision every file is a plain one."""
        oids = self.oids
        return Changes(
            come=tuple(
                path
                for path, entry in tree.items()
                if oids.get(path) != entry.oid or entry.mode != _PLAIN_FILE
            ),
            gone=tuple(oids.keys() - tree.keys()),
        )


def changed_parts(
    before: Parts, come: Collection[Part], gone: Collection[DocumentFile]
) -> Parts | None:
    """Return ``before`` without ``gone``, and with ``come``; None when two documents would have one name."""
    touched = {part.checked.kind for part in come} | {file.kind for file in gone}
    parts = {kind: dict(before[kind]) for kind in touched}
    for file in gone:
        del parts[file.kind][file.name]
    for part in come:
        named = parts[part.checked.kind]
        if named.get(part.name, part).path != part.path:
            return None
        named[part.name] = part
    return {**before, **parts}


def to_look_at(parts: Parts, come: Collection[Part], gone: Collection[DocumentFile]) -> Look | None:
    """Return by kind the names that have to be looked at across documents; None when that is all of them."""
    changed = [(part.checked.kind, part.name) for part in come]
    changed += [(file.kind, file.name) for file in gone]
    if any(kind not in _BY_THEMSELVES for kind, _ in changed):
        return None
    if any(file.kind is Kind.SECRET for file in gone):  # it may be needed all over
        return None
    look: dict[Kind, set[str]] = {kind: set() for kind in Kind}
    for kind, name in changed:
        look[kind].add(name)
    if look[Kind.LOCATION]:
        look[Kind.TRANSFER].update(transfers_at(parts, look[Kind.LOCATION]))
        look[Kind.GROUP].update(groups_at(parts, look[Kind.LOCATION]))
    if _runs_elsewhere(parts, come, look[Kind.SERVICE]):
        look[Kind.ACCOUNT].update(parts[Kind.ACCOUNT])
        look[Kind.GROUP].update(parts[Kind.GROUP])
    elif look[Kind.LOCATION] or look[Kind.GROUP]:
        look[Kind.ACCOUNT].update(accounts_of(parts, look[Kind.GROUP], look[Kind.LOCATION]))
    if gone:  # a handler may name it
        look[Kind.EVENT_HANDLER].update(parts[Kind.EVENT_HANDLER])
    if look[Kind.SERVICE]:
        look[Kind.SERVICE].update(parts[Kind.SERVICE])  # of two that clash, either may have changed
    return look


def _runs_elsewhere(parts: Parts, come: Collection[Part], services: Collection[str]) -> bool:
    """Tell whether one of ``services``, which have changed, runs on other members than before, or no more."""
    fresh = {part.name: part for part in come if part.checked.kind is Kind.SERVICE}
    return any(
        _scope(parts[Kind.SERVICE].get(name)) != _scope(fresh.get(name)) for name in services
    )


def _scope(part: Part | None) -> Scope | None:
    return part.checked.sound.scope if part and part.checked.sound else None
