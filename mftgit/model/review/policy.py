"""What `cluster.yaml` says of review: how many approve, who has to approve which paths, and who is whom.

A person is known by several names: that of the operator, the addresses in commits, the principals of keys. Two of
them are one person where ``people`` puts them together; what it does not list is a person of its own.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

MAX_APPROVALS: Final = 20
_ENDINGS: Final = (".yaml", ".yml", ".json")
_PIECES: Final = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]+")
_MEANS: Final = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewPolicy:
    """The section ``review``; where there is one, nobody pushes to main.

    ``owners`` names, for each glob of paths, operators and ``groups`` of them: one of these has to approve what
    changes there. ``people`` gives the other names of an operator; where it names anybody, nobody else's approval
    counts. ``closed`` is what cannot be read: nothing passes by it.
    """

    approvals: int = 1
    not_by_author: bool = True
    owners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    people: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    break_glass: bool = True
    closed: bool = False

    def members(self, owners: Iterable[str]) -> frozenset[str]:
        """Return the operators that ``owners`` of a glob are."""
        return frozenset(one for each in owners for one in self.groups.get(each, (each,)))

    def owned(self, paths: Iterable[str]) -> dict[str, frozenset[str]]:
        """Return whose approval each glob asks for that one of ``paths`` falls under: of all globs, not the last."""
        spelled = tuple(spelling for path in paths for spelling in _spellings(path))
        return {
            glob: self.members(names)
            for glob, names in self.owners.items()
            if any(matches(glob, each) for each in spelled)
        }


CLOSED: Final = ReviewPolicy(approvals=MAX_APPROVALS, break_glass=False, closed=True)
"""What is read where nothing can be read."""


def build_review(value: Mapping[str, Any]) -> ReviewPolicy:
    """Return what ``review`` says, once it has passed its schema."""

    def lists(name: str) -> dict[str, tuple[str, ...]]:
        return {key: tuple(map(str, names)) for key, names in value.get(name, {}).items()}

    return ReviewPolicy(
        approvals=int(value.get("approvals", 1)),
        not_by_author=value.get("not_by_author", True) is not False,
        owners=lists("owners"),
        groups=lists("groups"),
        people=lists("people"),
        break_glass=value.get("break_glass", True) is True,
    )


def read_review(cluster: Mapping[str, Any] | None) -> ReviewPolicy | None:
    """Return what the mapping ``cluster.yaml`` of a published revision says, None where it asks for no review.

    It was valid when it was published; what is not any more lets nothing pass.
    """
    if cluster is None:
        return CLOSED
    if "review" not in cluster:
        return None
    try:
        return build_review(cluster["review"])
    except (AttributeError, TypeError, ValueError):
        return CLOSED


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Who is whom."""

    known: Mapping[str, str] = field(default_factory=dict)
    """The operator by each of his folded names."""

    @classmethod
    def of(cls, people: Mapping[str, Iterable[str]]) -> "People":
        """Read ``people`` of a policy."""
        return cls(
            known={
                fold(name): operator
                for operator, names in people.items()
                for name in (operator, *names)
            }
        )

    def persons(self, names: Iterable[str]) -> frozenset[str]:
        """Return the persons that ``names`` are of: an operator's name, or a folded name that nobody has claimed."""
        folded = {fold(name) for name in names}
        return frozenset(self.known.get(name, name) for name in folded if name)


def fold(name: str) -> str:
    """Return ``name`` so that two spellings of one are the same: case, width and composition do not count."""
    return _spelled_one_way(name).strip()


def _spelled_one_way(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _folded_path(path: str) -> str:
    """Return ``path`` part by part: what only looks like a slash, or is written out with one, makes no folder."""
    return "/".join(_spelled_one_way(part).replace("/", "\u2215") for part in path.split("/"))


def together(parties: Iterable[frozenset[str]]) -> tuple[frozenset[str], ...]:
    """Return ``parties`` with those put together that share a person: whoever approves twice counts once."""
    found: list[frozenset[str]] = []
    for party in parties:
        same = [each for each in found if each & party]
        found = [each for each in found if not each & party]
        found.append(party.union(*same))
    return tuple(found)


def matches(glob: str, path: str) -> bool:
    """Tell whether ``path`` falls under ``glob``, upper and lower case alike.

    ``*`` and ``?`` stay in a folder, ``**`` does not.
    """
    return _pattern(_folded_path(glob)).fullmatch(_folded_path(path)) is not None


@lru_cache(1024)
def _pattern(glob: str) -> re.Pattern[str]:
    runs = re.sub(r"\*{3,}", "**", glob)
    return re.compile(
        "".join(_MEANS.get(piece, re.escape(piece)) for piece in _PIECES.findall(runs)), re.DOTALL
    )


def _spellings(path: str) -> tuple[str, ...]:
    """Return ``path`` with each ending of a document: whose ``a.yaml`` is, is ``a.json`` too."""
    stem = next((path.removesuffix(end) for end in _ENDINGS if path.lower().endswith(end)), None)
    return (path,) if stem is None else (path, *(f"{stem}{end}" for end in _ENDINGS))
