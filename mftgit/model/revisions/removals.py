"""Whether a revision takes away more documents than anybody does by accident, and whether it says that this is meant.

How many may go at once is for the revision before to say (``removal_limit``), as for every limit: no push loosens its
own. More may go where ``allow_removal`` of the very revision says how many, and says it anew: what stood there in the
revision before is used up. A member that was away does not see where one push ended and the next began, and asks
whether there is any way to divide the history into pushes that pass.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice, zip_longest
from typing import Final

from mftgit.model.documents.document import ENDINGS, Document, parse_document, problem_at
from mftgit.model.documents.json_value import whole_number
from mftgit.model.documents.places import CLUSTER_FILE, FOLDERS
from mftgit.model.documents.problem import Problem
from mftgit.model.names import Revision
from mftgit.model.printable import printable
from mftgit.model.rules.tree import Tree
from mftgit.model.trust.growth import History, grown

RULE: Final = "removal"
LEAST_LIMIT: Final = 10
"""So many may always go, and a tenth of them where that is more, unless ``removal_limit`` says otherwise."""

MAX_TOLD: Final = 5
MAX_BASES: Final = 64
"""A push of more commits than this, in a history that was not followed step by step, may be taken for a removal."""

_ALLOW: Final = "allow_removal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """What a revision has, as far as removals go: the paths of its documents, others among them, and its settings."""

    paths: frozenset[str]
    cluster: Document | None

    @property
    def count(self) -> int:
        """How many documents there are."""
        return len({name for path in self.paths if (name := _document(path))})

    @property
    def limit(self) -> int:
        """How many documents the next revision may do without."""
        set_to = self._number("removal_limit")
        return max(LEAST_LIMIT, self.count // 10) if set_to is None else set_to

    def without(self, after: "Stock") -> tuple[str, ...]:
        """Return folder and name of each document that ``after`` has not, under whatever ending."""
        lost = {name for path in self.paths - after.paths if (name := _document(path))}
        kept = {name for name in lost for each in ENDINGS if f"{name}{each}" in after.paths}
        return tuple(sorted(lost - kept))

    @property
    def allowed(self) -> int | None:
        """How many documents this revision says that it removes; None where it says nothing."""
        return self._number(_ALLOW)

    def _number(self, name: str) -> int | None:
        return whole_number(self.cluster.value.get(name)) if self.cluster else None


def take_stock(paths: Iterable[str], cluster: bytes) -> Stock:
    """Return what a revision has that holds ``paths``, and ``cluster`` as its cluster.yaml."""
    document = parse_document(CLUSTER_FILE, cluster)
    return Stock(
        paths=frozenset(paths),
        cluster=document if isinstance(document, Document) else None,
    )


def stock_of(tree: Tree) -> Stock:
    """Return what a whole tree has."""
    cluster = tree.get(CLUSTER_FILE)
    return take_stock(tree, cluster.load() if cluster else b"")


def check_removals(before: Stock, after: Stock) -> Problem | None:
    """Return why ``after`` may not follow on ``before``; None when it may.

    A document that is renamed, or goes to another folder, is removed; under another ending it is the same.
    """
    gone = before.without(after)
    fresh = after.allowed if after.allowed != before.allowed else None
    if not gone or len(gone) <= max(before.limit, fresh or 0):
        return None
    names = ", ".join(map(printable, gone[:MAX_TOLD]))
    why = "is not enough" if fresh else "stood there before, and is used up"
    used = "" if after.allowed is None else f"; {_ALLOW}: {after.allowed} {why}"
    number = len(gone) if len(gone) != before.allowed else len(gone) + 1
    return _at_allow(
        after,
        message=f"this removes {len(gone):,} of {before.count:,} documents, and {before.limit:,} may go "
        f"at once: {names}{', …' if len(gone) > MAX_TOLD else ''}{used}",
        hint=f"bring them back; or, if it is meant, write {_ALLOW}: {number} in {CLUSTER_FILE} in the same push",
    )


def judge_removals(
    history: History, *, anchor: Revision, tip: Revision, stock: Callable[[Revision], Stock]
) -> Problem | None:
    """Return why a member may not follow from ``anchor`` to ``tip``; None when it may.

    Each revision that grew from the anchor may have been published or may have come with a later one; the tip was
    published.
    """
    whole = check_removals(stock(anchor), stock(tip))
    if whole is None:
        return None
    bases: dict[Revision, tuple[Revision, ...]] = {anchor: (anchor,)}
    for revision, parents in grown(history, anchor=anchor, tip=tip):
        known = _merged([bases[each] for each in parents], anchor)
        follows = _follows(revision, known, stock)
        bases[revision] = (revision, *known) if follows else known
    return None if tip in bases[tip] else whole


def _merged(ways: Sequence[Sequence[Revision]], anchor: Revision) -> tuple[Revision, ...]:
    """Return what may have been published on any way, the newest first: as many of each, and the anchor."""
    turns = dict.fromkeys(each for turn in zip_longest(*ways) for each in turn if each)
    turns.pop(anchor)
    return (*islice(turns, MAX_BASES - 1), anchor)


def _follows(
    revision: Revision, bases: Sequence[Revision], stock: Callable[[Revision], Stock]
) -> bool:
    """Tell whether a push could have led to ``revision`` from one of ``bases``; the first is the likeliest."""
    after = stock(revision)
    return any(check_removals(stock(base), after) is None for base in bases)


def _document(path: str) -> str | None:
    folder, _, name = path.partition("/")
    ending = next((each for each in ENDINGS if name.endswith(each)), None)
    if folder not in FOLDERS or ending is None or "/" in name:
        return None
    return path.removesuffix(ending)


def _at_allow(after: Stock, *, message: str, hint: str) -> Problem:
    positions = after.cluster.positions() if after.cluster else {}
    pointer = f"/{_ALLOW}" if f"/{_ALLOW}" in positions else ""
    if pointer not in positions:
        return Problem(file=CLUSTER_FILE, rule=RULE, message=message, hint=hint)
    found = problem_at(positions[pointer], pointer, rule=RULE, message=message, hint=hint)
    return replace(found, file=CLUSTER_FILE)
