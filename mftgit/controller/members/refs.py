"""Write where each member stands into the hosted repository, as ``refs/members/NAME/active`` and ``/attempted``.

So ``git fetch`` and ``git log --decorate`` show the cluster. The records of members are the truth; the refs follow them
within moments, and what a crash or a restored backup left behind is put right at the next look.
"""

import threading
from collections.abc import Iterable

from loguru import logger

from mftgit.adapters.git.store import GitStore
from mftgit.adapters.registry.members import MemberRecord
from mftgit.adapters.registry.registry import Registry
from mftgit.errors import MftgitError
from mftgit.model.members.messages import MemberStatus
from mftgit.model.names import MEMBERS, MemberName, Revision
from mftgit.model.revisions.push import RefUpdate

LOOK_EVERY_S = 30.0
"""A member that was removed loses its refs within this."""

_GATHER_S = 5.0  # a herd of reports is one look, and comes after the herd's fetches
_AT_ONCE = 50  # a push need not wait for the refs of a herd


def wanted(members: Iterable[MemberRecord]) -> dict[str, Revision]:
    """Return the refs that ``members`` are to have."""
    return {
        f"{MEMBERS}{member.name}/{kind}": revision
        for member in members
        if member.status is not None
        for kind, revision in (
            ("active", member.status.active_revision),
            ("attempted", member.status.attempted_revision),
        )
        if revision is not None
    }


class MemberRefs:
    """One thread that lets the refs follow what members report."""

    def __init__(self, registry: Registry, store: GitStore) -> None:
        """Read from ``registry``, write to ``store``."""
        self._registry = registry
        self._store = store
        self._stands: dict[MemberName, tuple[Revision | None, Revision | None]] = {}
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="member-refs", daemon=True)

    def start(self) -> None:
        """Begin with a look at all members."""
        self._due.set()
        self._thread.start()

    def reported(self, status: MemberStatus) -> None:
        """Take note of a report; callable from any thread, and cheap."""
        stands = (status.active_revision, status.attempted_revision)
        if self._stands.get(status.name) != stands:
            self._stands[status.name] = stands
            self._due.set()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self._due.set()
        if self._thread.is_alive():
            self._thread.join()

    def write(self) -> None:
        """Move the refs to where the members say that they stand.

        Raises:
            MftgitError: the records or the repository cannot be read.
        """
        asked, found = wanted(self._registry.members()), self._store.tips(MEMBERS)
        news = {
            ref: asked.get(ref)
            for ref in sorted(asked.keys() | found.keys())
            if asked.get(ref) != found.get(ref)  # what is the same was looked at before
        }
        published = self._published({each for each in news.values() if each is not None})
        updates = [
            RefUpdate(ref=ref, old=found.get(ref), new=revision if revision in published else None)
            for ref, revision in news.items()
        ]
        moves = [each for each in updates if each.old != each.new]
        for at in range(0, len(moves), _AT_ONCE):
            if not self._stopping.is_set():
                self._store.move(moves[at : at + _AT_ONCE])

    def _published(self, revisions: set[Revision]) -> set[Revision]:
        """Return those that main has: a member can say what it likes, and not everything is here."""
        tip = self._store.head()
        if tip is None:
            return set()
        return {each for each in revisions if self._store.is_ancestor(each, tip)}

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._due.wait(LOOK_EVERY_S)
            self._stopping.wait(_GATHER_S)
            self._due.clear()
            try:
                self.write()
            except MftgitError as error:
                logger.warning("where members stand was not written", error=str(error))
