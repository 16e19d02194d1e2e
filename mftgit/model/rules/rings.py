"""Transfers that feed each other in a ring: a file that one of them takes comes back to it, again and again.

What may form a ring is found in time that is linear in the transfers. Only there it is asked, by the name of some
file that all of them take, whether one really goes round: two transfers may well go opposite ways with other files.
"""

import re
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise, product
from pathlib import PurePosixPath
from typing import Final

from mftgit.model.configuration.config import AfterSuccess, Overwrite, Transfer
from mftgit.model.transfers.content import renamed
from mftgit.model.transfers.selection import is_selected
from mftgit.model.transfers.source import Pattern

Place = tuple[Hashable, str]
"""A folder, after what two of them have to share before they can be the same."""

_WILDCARD: Final = re.compile(r"\*+|\?|\[.[^\]]*\]")
_REGEX_EXTRAS: Final = re.compile(r"\(\?[a-zA-Z]*\)|\|[^()|]*|\(\?:|[()^$]")
"""What leaves nothing in an example: flags, alternatives but the first, brackets of groups, and anchors."""
_REGEX_WILDCARD: Final = re.compile(
    r"(?:\\(?P<escaped>[^A-Za-z0-9])|\\[A-Za-z]|\.|\[[^]]*\])(?:[*+?]|\{(?P<count>[0-9]{1,3})[0-9,]*\})?"
)
_NAMES: Final = 50
_FEW_NAMES: Final = 4
_LOOKS: Final = 50_000
"""So many times a name is held against a transfer, more or less, before only a few names are tried."""
_ROUNDS: Final = 3
_DELIVERY: Final = "/destination"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Leg:
    """One way that files go: from ``taken`` to ``given`` by the transfer called ``name``, as its ``pointer`` says."""

    name: str
    pointer: str
    transfer: Transfer
    taken: Place
    given: Place

    @property
    def stops_at_its_own_name(self) -> bool:
        """Whether a file does not arrive where one of its name lies."""
        stopping = (Overwrite.FAIL, Overwrite.SKIP)
        return self.pointer == _DELIVERY and self.transfer.destination.overwrite in stopping

    def arrives_as(self, path: str) -> str:
        """Return how the file ``path`` below the source is called where it arrives, as far as its content tells."""
        if self.pointer != _DELIVERY:
            return path
        at = PurePosixPath(path)
        return str(at.with_name(renamed(at.name, self.transfer.content)))

    def takes(self, path: str) -> bool:
        """Tell whether the file ``path`` below the source is taken."""
        # A file arrives without its marker.
        return self.transfer.source.marker is None and is_selected(path, self.transfer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """Two legs or more in the order that ``file`` goes, which all of them take; the first by name leads."""

    legs: tuple[Leg, ...]
    file: str


_Node = Leg | tuple[Place, bool]
"""A leg, or a place where files arrive: True for those that arrive whatever lies there."""

_Graph = dict[_Node, list[_Node]]


def find_rings(legs: Iterable[Leg]) -> Iterator[Ring]:
    """Give rings, each set of transfers once. Where several share a leg, not all of them are found."""
    every = sorted(legs, key=lambda leg: (leg.name, leg.pointer, str(leg.taken), str(leg.given)))
    seen: set[frozenset[str]] = set()
    for around, is_deep in _around(every):
        for file in _files(around):
            taking = [leg for leg in around if leg.takes(file)]
            for ring in _Rest(_graph(taking, deep=is_deep)).rings():
                names = frozenset(leg.name for leg in ring)
                if len(ring) > 1 and names not in seen and _goes_round(ring, file):
                    seen.add(names)
                    yield Ring(legs=ring, file=file)


def outer_places(place: Place) -> Iterator[Place]:
    """Give the folders that ``place`` lies in, the innermost first."""
    space, folder = place
    return ((space, str(above)) for above in PurePosixPath(folder).parents)


def going_round(legs: Iterable[Leg]) -> frozenset[Leg]:
    """Return the legs that lead on for ever, by their places alone: `find_rings` goes by these and no others."""
    return frozenset(leg for around, _ in _around(list(legs)) for leg in around)


def _around(every: list[Leg]) -> Iterator[tuple[list[Leg], bool]]:
    # A file that comes back deeper each time goes on only where all look into folders.
    into_folders = [leg for leg in every if leg.transfer.source.recursive]
    for some, is_deep in ((every, False), (into_folders, True)):
        alive = _Rest(_graph(some, deep=is_deep)).alive
        yield [leg for leg in alive if isinstance(leg, Leg)], is_deep


def _goes_round(legs: tuple[Leg, ...], path: str) -> bool:
    """Tell whether all take ``path`` under the names that it comes to have, in this round and the next ones."""
    for leg, following in (*pairwise(legs), (legs[-1], legs[0])) * _ROUNDS:
        if not leg.takes(path):
            return False
        folder = PurePosixPath(leg.given[1]).relative_to(following.taken[1])
        path = str(folder / leg.arrives_as(path))
    return True


def _graph(legs: Iterable[Leg], *, deep: bool) -> _Graph:
    """Return what leads where; the number of edges is linear in the legs, because places stand between them."""
    graph: _Graph = {}
    for leg in legs:
        graph.setdefault((leg.taken, True), []).append(leg)
        if leg.transfer.after_success is not AfterSuccess.KEEP:
            # Where the file is kept, one that stops at its own name cannot come back.
            graph.setdefault((leg.taken, False), []).append(leg)
    for leg in legs:
        arrivals: list[_Node] = [(leg.given, not leg.stops_at_its_own_name)]
        arrivals += [(above, True) for above in outer_places(leg.given)] if deep else []
        graph[leg] = [arrival for arrival in arrivals if arrival in graph]
    return graph


class _Rest:
    """What is left of a graph when all is taken away, again and again, from which nothing leads on."""

    def __init__(self, graph: _Graph) -> None:
        self._graph = graph
        self._before: dict[_Node, list[_Node]] = {node: [] for node in graph}
        for node, following in graph.items():
            for each in following:
                self._before[each].append(node)
        self._left = {node: len(following) for node, following in graph.items()}
        self.alive = dict.fromkeys(graph)
        self._remove([node for node, left in self._left.items() if not left])

    def rings(self) -> Iterator[tuple[Leg, ...]]:
        """Give rings that share no node, and take them away."""
        for start in self._graph:
            while start in self.alive:
                ring = self._ring_from(start)
                self._remove(ring)
                legs = [node for node in ring if isinstance(node, Leg)]
                first = min(range(len(legs)), key=lambda at: (legs[at].name, legs[at].pointer))
                yield (*legs[first:], *legs[:first])

    def _ring_from(self, node: _Node) -> list[_Node]:
        path: list[_Node] = []
        place: dict[_Node, int] = {}
        while node not in place:
            place[node] = len(path)
            path.append(node)
            following = self._graph[node]
            while following[-1] not in self.alive:
                following.pop()
            node = following[-1]
        return path[place[node] :]

    def _remove(self, nodes: list[_Node]) -> None:
        todo = list(nodes)
        while todo:
            node = todo.pop()
            if node in self.alive:
                del self.alive[node]
                for each in self._before[node]:
                    self._left[each] -= 1
                    if not self._left[each]:
                        todo.append(each)


def _files(legs: list[Leg]) -> list[str]:
    """Return paths of files that all of ``legs`` might take, by what they include; few where there are many."""
    globs = list(
        dict.fromkeys(_as_glob(each) for leg in legs for each in leg.transfer.source.include)
    )
    single = (_example(glob) for glob in globs)
    mixed = (
        _WILDCARD.split(first)[0] + "x" + _WILDCARD.split(last)[-1]
        for first, last in product(globs, globs)
        if "/" not in first + last and first != last
    )
    most = min(_NAMES, max(_FEW_NAMES, _LOOKS // max(1, len(legs))))
    return list(dict.fromkeys(("x", *islice(single, most), *islice(mixed, most))))


def _as_glob(pattern: Pattern) -> str:
    """Return a glob for names that ``pattern`` most likely takes; an example of it is held against it all the same."""
    if isinstance(pattern, str):
        return pattern.strip("/")
    bare = _REGEX_EXTRAS.sub("", pattern.regex)
    return _REGEX_WILDCARD.sub(_stand_in_regex, bare).strip("/")


def _example(glob: str) -> str:
    parts = [part for part in glob.split("/") if part != "**"]
    return "/".join(_WILDCARD.sub(_stand_in, part) for part in parts) or "x"


def _stand_in_regex(wildcard: re.Match[str]) -> str:
    return (wildcard["escaped"] or "1") * int(wildcard["count"] or 1)


def _stand_in(wildcard: re.Match[str]) -> str:
    text = wildcard.group()
    return text[1] if text[0] == "[" and text[1] != "!" else "x"
