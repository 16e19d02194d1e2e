"""The refs that whoever may fetch can see, and how they were seen last."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from dulwich.objects import ObjectID, valid_hexsha
from dulwich.refs import SYMREF, Ref
from dulwich.repo import Repo

from mftgit.adapters.git.objects import BrokenHistoryError
from mftgit.model.access import Kind
from mftgit.model.names import REVIEWS

HOLDS_S = 1.0
"""After so long one who asks has to look anew, and after twice that everybody: a ref that another program moved is
noticed by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refs:
    """The refs at one moment."""

    public: Mapping[Ref, ObjectID]
    symbolic: Mapping[Ref, Ref]

    @classmethod
    def of(cls, repo: Repo, kind: Kind) -> "Refs":
        """Read those that are for ``kind``: a member has no use for where each of the others stands.

        Raises:
            BrokenHistoryError: one names nothing that is here.
        """
        names = set(repo.refs.keys() if kind is Kind.OPERATOR else _branches_and_tags(repo))
        refs = {name: oid for name in names if _public(name) and (oid := _tip(repo, name))}
        for name, oid in refs.items():
            if not valid_hexsha(oid) or oid not in repo.object_store:
                raise BrokenHistoryError(f"{name!r} names {oid!r}, which is not here")
        targets = {name: _target(repo, name) for name in {Ref(b"HEAD"), *names}}
        return cls(public=refs, symbolic={name: to for name, to in targets.items() if to})

    def state(self) -> bytes:
        """Return bytes that are the same for the same refs only."""
        lines = [b"%b %b\n" % (oid, name) for name, oid in sorted(self.public.items())]
        return b"".join(lines + [b"%b:%b\n" % pair for pair in sorted(self.symbolic.items())])


class SeenRefs:
    """The refs' state when it was read last, for as long as nothing has moved; any thread may ask."""

    def __init__(self, kind: Kind, moves: Callable[[], int], *, now: Callable[[], float]) -> None:
        """See what is for ``kind``.

        ``moves`` counts how often this program has moved refs; ``now`` is a clock in seconds that is never set.
        """
        self._kind = kind
        self._moves = moves
        self._now = now
        self._lock = threading.Lock()
        self._seen: tuple[int, float, bytes] = (-1, 0.0, b"")
        self._is_renewed = False

    def read(self, repo: Repo) -> Refs:
        """Read the refs, and remember their state."""
        moves, at = self._moves(), self._now()  # from before the reading, which may be overtaken
        refs = Refs.of(repo, self._kind)
        with self._lock:
            self._seen = max(self._seen, (moves, at, refs.state()))
            self._is_renewed = False
        return refs

    def forget(self) -> None:
        """Let the next one look anew: somebody knows that another program moved a ref."""
        with self._lock:
            self._seen = (-1, 0.0, b"")

    def recent(self) -> bytes | None:
        """Return the state, None where it has to be read anew, which one is asked to do before the others."""
        with self._lock:
            moves, at, state = self._seen
            age_s = self._now() - at
            if moves != self._moves() or age_s >= 2 * HOLDS_S:
                return None
            if age_s >= HOLDS_S and not self._is_renewed:
                self._is_renewed = True
                return None
        return state


def _branches_and_tags(repo: Repo) -> Iterator[Ref]:
    """Give what members have a use for: what people said of it too, so that they can check who approved."""
    yield Ref(b"HEAD")
    yield Ref(REVIEWS.encode())
    for folder in (b"refs/heads", b"refs/tags"):
        for name in repo.refs.subkeys(Ref(folder)):
            yield Ref(folder + b"/" + name)


def _tip(repo: Repo, name: Ref) -> ObjectID | None:
    """Return what a ref names, None where it is gone or names one that is not there."""
    try:
        return repo.refs[name]
    except KeyError:
        return None


def _target(repo: Repo, name: Ref) -> Ref | None:
    """Return the ref that a symbolic one names. dulwich's `get_symrefs` reads all refs, and members have two each."""
    content = repo.refs.read_ref(name) or b""
    return Ref(content[len(SYMREF) :].rstrip(b"\r\n")) if content.startswith(SYMREF) else None


def _public(name: Ref) -> bool:
    """Tell whether a ref is for others: not HEAD of a branch that is not there, and not our own bookkeeping."""
    return not name.startswith(b"refs/mftgit/")
