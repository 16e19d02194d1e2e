"""The refs that whoever may fetch can see, and how they were seen last."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dulwich.objects import ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo

HOLDS_S = 1.0
"""So long what was seen counts without another look: a ref that another program moved is noticed by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refs:
    """The refs at one moment."""

    public: Mapping[Ref, ObjectID]
    symbolic: Mapping[Ref, Ref]

    @classmethod
    def of(cls, repo: Repo) -> "Refs":
        """Read them."""
        refs = {name: oid for name, oid in repo.get_refs().items() if _public(name)}
        return cls(public=refs, symbolic=repo.refs.get_symrefs())

    def state(self) -> bytes:
        """Return bytes that are the same for the same refs only."""
        lines = [b"%b %b\n" % (oid, name) for name, oid in sorted(self.public.items())]
        return b"".join(lines + [b"%b:%b\n" % pair for pair in sorted(self.symbolic.items())])


class SeenRefs:
    """The refs' state when it was read last, for as long as nothing has moved; any thread may ask."""

    def __init__(self, moves: Callable[[], int], *, now: Callable[[], float]) -> None:
        """``moves`` counts how often this program has moved refs; ``now`` is a clock in seconds that is never set."""
        self._moves = moves
        self._now = now
        self._lock = threading.Lock()
        self._seen: tuple[int, float, bytes] = (-1, 0.0, b"")

    def read(self, repo: Repo) -> Refs:
        """Read the refs, and remember their state."""
        moves, at = self._moves(), self._now()  # from before the reading, which may be overtaken
        refs = Refs.of(repo)
        with self._lock:
            self._seen = max(self._seen, (moves, at, refs.state()))
        return refs

    def forget(self) -> None:
        """Let the next one look anew: somebody knows that another program moved a ref."""
        with self._lock:
            self._seen = (-1, 0.0, b"")

    def recent(self) -> bytes | None:
        """Return the state, None where it has to be read anew."""
        with self._lock:
            moves, at, state = self._seen
        return state if moves == self._moves() and self._now() - at < HOLDS_S else None


def _public(name: Ref) -> bool:
    """Tell whether a ref is for others: not HEAD of a branch that is not there, and not our own bookkeeping."""
    return not name.startswith(b"refs/mftgit/")
