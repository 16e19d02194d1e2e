"""The limits of the gate, as the published revision sets them."""

from loguru import logger

from mftgit.adapters.git.store import GitStore
from mftgit.errors import MftgitError
from mftgit.model.documents.places import CLUSTER_FILE
from mftgit.model.names import Revision
from mftgit.model.revisions.limits import Limits, read_limits


class PublishedLimits:
    """Reads them once for each published revision, and keeps the last good ones; any thread may ask."""

    def __init__(self, store: GitStore) -> None:
        self._store = store
        self._read: tuple[Revision | None, Limits] = (None, Limits())

    @property
    def last(self) -> Limits:
        """What was read last; no disk is asked."""
        return self._read[1]

    def __call__(self) -> Limits:
        """Return what holds for a push that begins now."""
        try:
            tip = self._store.head()
            if tip is not None and tip != self._read[0]:
                self._read = (tip, self._limits_of(tip) or self.last)
        except MftgitError as error:
            logger.warning("the limits of the gate stay as they are", reason=str(error))
        return self.last

    def published(self, _revision: Revision) -> None:
        """Take note that main has moved."""
        self()

    def _limits_of(self, revision: Revision) -> Limits | None:
        entry = self._store.pick(revision, (CLUSTER_FILE,)).get(CLUSTER_FILE)
        limits = read_limits(entry.load()) if entry else None
        if limits is None:
            logger.warning("the limits cannot be read; the last go on", revision=revision)
        return limits
