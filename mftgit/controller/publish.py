"""Tell that main has moved: one event, then everybody who waits for it."""

from collections.abc import Callable, Sequence
from functools import partial

from loguru import logger

from mftgit.controller.receive import Record
from mftgit.model.events import EventName
from mftgit.model.names import Revision
from mftgit.model.push import Push

Published = Callable[[Revision], None]
"""Told the revision that main stands at now; must be quick, the next push waits for it."""


class Publish:
    """What happens once main has moved, once for each move and in the order of the moves."""

    def __init__(self, record: Record, published: Sequence[Published] = ()) -> None:
        self._record = record
        self._published = tuple(published)

    def __call__(self, push: Push, revision: Revision) -> None:
        """Write ``RevisionPublished`` and call everybody; a failure of one keeps nothing from the others.

        The push stands whatever fails here: main has moved.
        """
        facts = {"who": push.who, "previous": push.update.old}
        self._survive(partial(self._record, EventName.REVISION_PUBLISHED, revision, facts))
        for published in self._published:
            self._survive(partial(published, revision))
        logger.info("revision {revision} is published", revision=revision, who=push.who)

    @staticmethod
    def _survive(step: Callable[[], None]) -> None:
        try:
            step()
        except Exception:
            logger.exception("a published revision could not be told")
