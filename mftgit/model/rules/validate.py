"""Validate a whole revision: every problem at once, by the same rules wherever it is asked.

The cost follows the change: what a document says by itself is worked out once for each content, and a revision that
differs in little from the last valid one is looked at where it differs.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

from mftgit.model.documents.checked import Checked, Filled, Sound, check_reading, fill
from mftgit.model.documents.document import MAX_SIZE_BYTES, Document, Kind, read_document, too_large
from mftgit.model.documents.places import DocumentFile, sort_changed, sort_files
from mftgit.model.documents.problem import Problem
from mftgit.model.documents.schema_check import SchemaChecker
from mftgit.model.documents.schema_version import check_schema_version
from mftgit.model.documents.templates import Variable
from mftgit.model.rules.last_valid import LastValid, changed_parts, to_look_at
from mftgit.model.rules.own_limits import check_limits
from mftgit.model.rules.parts import Part, Parts, Rendered
from mftgit.model.rules.references import check_across
from mftgit.model.rules.review import check_review
from mftgit.model.rules.rollout import check_rollout
from mftgit.model.rules.survey import Since
from mftgit.model.rules.tree import Tree
from mftgit.model.rules.trigger import check_triggers
from mftgit.model.rules.ways import Ways
from mftgit.model.secrets.needs import Needs, Readers
from mftgit.model.trust.trust import check_trust, read_policy

MAX_PROBLEMS: Final = 1000
CACHED_DOCUMENTS: Final = 4_096
"""Besides those of the last valid revision: what proposals have otherwise, at a quarter of a kilobyte for each."""
CACHED_FILLINGS: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What was found in a tree.

    ``problems`` are in the order of file and line, at most `MAX_PROBLEMS` and a last one that tells how many
    more there are. ``documents`` are those that could be read, by path. ``parts`` and ``rendered`` are for `render`;
    ``needs`` tells who needs which secret.
    """

    problems: tuple[Problem, ...]
    documents: Mapping[str, Document]
    parts: Parts = field(repr=False)
    needs: Needs = field(default_factory=Needs, repr=False)
    rendered: Rendered = field(default_factory=dict, repr=False, compare=False)

    @property
    def readers(self) -> Readers:
        """Return which members need each secret that a location names."""
        return self.needs.readers()


@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class _Content:
    """What the memory of checked documents goes by: everything but ``load``, which is let go of after its use."""

    kind: Kind
    oid: str
    json: bool
    load: Callable[[], bytes] = field(compare=False)

    def take(self) -> bytes:
        """Give the content, once; a memory that kept ``load`` would keep the whole repository behind it."""
        load, self.load = self.load, bytes
        return load()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filling:
    """What the memory of filled documents goes by: the content and the values with their types."""

    kind: Kind
    oid: str
    json: bool
    values: tuple[tuple[str, type, Variable], ...]
    document: Document = field(compare=False)


class Validator:
    """Validates trees. It remembers what it saw, within bounds; threads may share it.

    Args:
        schemas: the schema of each kind by the kind's name; others are passed over.
        timezones: the names of the time zones that this machine knows.
    """

    def __init__(self, schemas: Mapping[str, Any], timezones: frozenset[str]) -> None:
        self._checkers = {
            kind: SchemaChecker(schemas[kind.value], is_hidden=kind is Kind.SECRET) for kind in Kind
        }
        self._schemas = schemas
        self._timezones = timezones
        # functools' memory is bounded, drops what was not used longest, and takes its own lock.
        self._check = lru_cache(maxsize=CACHED_DOCUMENTS)(self._check_content)
        self._fill = lru_cache(maxsize=CACHED_FILLINGS)(self._fill_content)
        self._last: LastValid | None = None

    def apart(self) -> "Validator":
        """Return one by the same rules with a memory of its own, for revisions that are far from the last one here."""
        return Validator(self._schemas, self._timezones)

    def validate(self, tree: Tree) -> Validation:
        """Return what is wrong in ``tree``, and what was read. Only ``load`` of an entry can raise."""
        return self._follow(tree) or self._look_at_all(tree)

    def read(self, tree: Tree) -> Parts:
        """Return the documents of ``tree``, each checked by itself alone, as for some files of a revision.

        It is not held against the last valid revision, nor does it become that.
        """
        return _by_name(map(self._part, sort_files(tree)[0]))

    def _look_at_all(self, tree: Tree) -> Validation:
        files, problems = sort_files(tree)
        every = [self._part(file) for file in files]  # of one name there may be two
        documents: dict[str, Document] = {}
        for part in every:
            problems.extend(replace(problem, file=part.path) for problem in part.checked.problems)
            if part.checked.document is not None:
                documents[part.path] = part.checked.document
        parts = _by_name(every)
        if newer := check_schema_version(parts[Kind.CLUSTER].get("cluster")):
            return Validation(problems=(newer,), documents=documents, parts=parts)
        across = check_across(parts, self._fill_part)
        problems.extend(across.problems)
        problems.extend(_check_always(tree, parts, self._timezones))
        if problems:
            return Validation(
                problems=_capped(problems),
                documents=documents,
                parts=parts,
                needs=across.needs,
            )
        return self._keep(tree, parts, documents, Ways.of(across.legs), across.needs)

    def _follow(self, tree: Tree) -> Validation | None:
        """Return that ``tree`` is valid by what has changed since the last valid one; None when that does not show."""
        last = self._last
        changes = last.changes(tree) if last is not None else None
        if last is None or changes is None:
            return None
        if not changes:
            return _valid(last)
        fresh = [path for path in changes.come if path not in last.oids]
        files = sort_changed(tree, come=changes.come, fresh=fresh, gone=changes.gone)
        if files is None:
            return None
        come, gone = [self._part(file) for file in files[0]], files[1]
        parts = changed_parts(last.parts, come, gone)
        look = to_look_at(last.parts, come, gone)
        if parts is None or look is None or any(part.checked.problems for part in come):
            return None
        across = check_across(parts, self._fill_part, Since(needs=last.needs, look=look))
        ways = last.ways.but_for(look[Kind.TRANSFER], across.legs)
        if across.problems or ways is None or _check_always(tree, parts, self._timezones):
            return None
        documents = dict(last.documents)
        for file in gone:
            del documents[file.path]
        documents |= {part.path: part.checked.document for part in come if part.checked.document}
        return self._keep(tree, parts, documents, ways, across.needs)

    def _keep(
        self,
        tree: Tree,
        parts: Parts,
        documents: Mapping[str, Document],
        ways: Ways,
        needs: Needs,
    ) -> Validation:
        """Return that ``tree`` is valid, and keep it in mind."""
        last = self._last = LastValid(
            oids={path: entry.oid for path, entry in tree.items()},
            parts=parts,
            documents=documents,
            ways=ways,
            needs=needs,
            rendered=self._last.rendered if self._last else {},
        )
        return _valid(last)

    def _part(self, file: DocumentFile) -> Part:
        known = self._last.part(file) if self._last else None
        return known or Part(
            path=file.path, name=file.name, oid=file.entry.oid, checked=self._check_file(file)
        )

    def _check_file(self, file: DocumentFile) -> Checked:
        if file.entry.size_bytes > MAX_SIZE_BYTES:
            return Checked(kind=file.kind, problems=(too_large(file.entry.size_bytes),))
        return self._check(
            _Content(
                kind=file.kind,
                oid=file.entry.oid,
                json=file.ending == ".json",
                load=file.entry.load,
            )
        )

    def _check_content(self, content: _Content) -> Checked:
        reading = read_document(content.take(), json=content.json)
        return check_reading(content.kind, reading, self._checkers[content.kind], self._timezones)

    def _fill_part(self, part: Part, sound: Sound, values: Mapping[str, Variable]) -> Filled:
        return self._fill(
            _Filling(
                kind=part.checked.kind,
                oid=part.oid,
                json=part.path.endswith(".json"),
                values=tuple((name, type(value), value) for name, value in values.items()),
                document=sound.document,
            )
        )

    def _fill_content(self, filling: _Filling) -> Filled:
        return fill(
            filling.kind,
            filling.document,
            {name: value for name, _, value in filling.values},
            self._checkers[filling.kind],
            self._timezones,
        )


def _by_name(every: Iterable[Part]) -> Parts:
    parts: dict[Kind, dict[str, Part]] = {kind: {} for kind in Kind}
    for part in every:
        parts[part.checked.kind][part.name] = part
    return parts


def _valid(last: LastValid) -> Validation:
    return Validation(
        problems=(),
        documents=last.documents,
        parts=last.parts,
        needs=last.needs,
        rendered=last.rendered,
    )


def _check_always(tree: Tree, parts: Parts, timezones: frozenset[str]) -> tuple[Problem, ...]:
    """Return what is wrong with a revision by what is looked at anew each time."""
    cluster = parts[Kind.CLUSTER].get("cluster")
    if newer := check_schema_version(cluster):
        return (newer,)
    return (
        *check_limits(tree, cluster),
        *check_rollout(parts, timezones),
        *check_triggers(parts, timezones),
        *check_trust(tree, cluster),
        *check_review(parts, lambda: read_policy(tree)),
    )


def _capped(problems: list[Problem]) -> tuple[Problem, ...]:
    problems.sort()
    if len(problems) <= MAX_PROBLEMS:
        return tuple(problems)
    hidden = problems[MAX_PROBLEMS]
    more = replace(
        hidden,
        rule="limit",
        message=f"{len(problems) - MAX_PROBLEMS:,} more problems, from here on",
        hint="mend those above first",
    )
    return (*problems[:MAX_PROBLEMS], more)
