"""Write where each member stands into the hosted repository, as ``refs/members/NAME/active`` and ``/attempted``.

So ``git fetch`` and ``git log --decorate`` show the cluster. The records of members are the truth; the refs follow them
within moments, and what a crash or a restored backup left behind is put right at the next look.
"""

import threading
from collections.abc import Iterable

from loguru import logger

from mftgit.adapters.git_store import GitStore
from mftgit.adapters.registry import MemberRecord, Registry
from mftgit.errors import MftgitError
from mftgit.model.messages import MemberStatus
from mftgit.model.names import MEMBERS, MemberName, Revision
from mftgit.model.push import RefUpdate

LOOK_EVERY_S = 30.0
"""A member that was removed loses its refs within this."""

_GATHER_S = 1.0  # a herd of reports is one look


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
        for ref in sorted(asked.keys() | found.keys()):
            if asked.get(ref) == found.get(ref):  # and so was looked at before
                continue
            update = RefUpdate(ref=ref, old=found.get(ref), new=self._published(asked.get(ref)))
            if update.old != update.new and not self._stopping.is_set():
                self._store.move([update])  # one by one: a push need not wait for a herd

    def _published(self, revision: Revision | None) -> Revision | None:
        """Return ``revision`` if main has it: a member can say what it likes, and not everything is here."""
        tip = self._store.head()
        if revision is None or tip is None:
            return None
        return revision if self._store.is_ancestor(revision, tip) else None

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._due.wait(LOOK_EVERY_S)
            self._stopping.wait(_GATHER_S)
            self._due.clear()
            try:
                self.write()
            except MftgitError as error:
                logger.warning("where members stand was not written", error=str(error))
