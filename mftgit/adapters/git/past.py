"""Read commits one by one out of the store: what each says of itself, and what was before it."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from dulwich.objects import Commit, ObjectID

from mftgit.adapters.git.objects import get_commit
from mftgit.adapters.git.store import GitStore
from mftgit.model.names import Revision

MAX_MESSAGE_BYTES = 64 << 10
"""So much of a message is told; a commit may be as large as the gate lets any object be."""

_MAX_NAME_BYTES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """One commit, as far as it is of a length that somebody reads.

    ``author`` and ``committer`` are told as ``Name <address>``, the times by their clocks.
    """

    revision: Revision
    parents: tuple[Revision, ...]
    author: str
    committer: str
    authored_at: datetime
    committed_at: datetime
    message: str

    @property
    def subject(self) -> str:
        """Return the first line of the message."""
        return self.message.partition("\n")[0]


def read_past(store: GitStore, revision: Revision) -> Past:
    """Return what the commit ``revision`` says.

    Raises:
        StoreError: it is not there, or no commit.
    """
    return next(first_parents(store, revision))


def first_parents(store: GitStore, start: Revision) -> Iterator[Past]:
    """Give ``start`` and what is behind it along first parents, newest first.

    Raises:
        StoreError: one is not there, or no commit.
    """
    revision: Revision | None = start
    while revision is not None:
        with store.repo() as repo:
            past = _past(revision, get_commit(repo.object_store, ObjectID(revision.encode())))
        yield past
        revision = past.parents[0] if past.parents else None


def reaches(store: GitStore, tips: Iterable[Revision], wanted: Revision) -> bool:
    """Tell whether ``wanted`` is one of ``tips`` or behind one; each commit is looked at once.

    Raises:
        StoreError: a commit on the way is missing.
    """
    todo = deque(ObjectID(tip.encode()) for tip in tips)
    seen, goal = set(todo), ObjectID(wanted.encode())
    with store.repo() as repo:
        if goal not in repo.object_store:
            return False
        while todo:
            oid = todo.popleft()
            if oid == goal:
                return True
            for parent in get_commit(repo.object_store, oid).parents:
                if parent not in seen:
                    seen.add(parent)
                    todo.append(parent)
    return False


def _past(revision: Revision, commit: Commit) -> Past:
    return Past(
        revision=revision,
        parents=tuple(Revision(each.decode()) for each in commit.parents),
        author=commit.author[:_MAX_NAME_BYTES].decode("utf-8", "replace"),
        committer=commit.committer[:_MAX_NAME_BYTES].decode("utf-8", "replace"),
        authored_at=datetime.fromtimestamp(commit.author_time, tz=UTC),
        committed_at=datetime.fromtimestamp(commit.commit_time, tz=UTC),
        message=commit.message[:MAX_MESSAGE_BYTES].decode("utf-8", "replace"),
    )
