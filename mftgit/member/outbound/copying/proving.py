"""See how far what has arrived of a file is the beginning of what is to be sent."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, Protocol

from loguru import logger

from mftgit.adapters.endpoint.contract import EndpointRefusedError, FileMissingError
from mftgit.member.outbound.given.context import RunContext
from mftgit.member.outbound.given.progress import Way
from mftgit.member.outbound.given.stopped import look_whether_stopped
from mftgit.member.outbound.places.ahead import CHUNK_BYTES
from mftgit.member.outbound.places.fenced import FencedEndpoint
from mftgit.model.locations.location import LocalLocation
from mftgit.model.transfers.intent import Intent
from mftgit.model.transfers.partial import SAVE_S, Partial, Reading


class Readable(Protocol):
    """As much of a stream as is needed here."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes; nothing at the end."""


Opened = Callable[[], AbstractContextManager[Readable]]
"""Open what is to be sent of a file, from its start."""

_SILENT: Final[Callable[[int], None]] = lambda _size_bytes: None  # noqa: E731


class Proof:
    """Read what has arrived, and compare it with what is known of the source.

    ``changes`` tells that what is ``opened`` is not as long as its source is.
    """

    def __init__(
        self,
        partial: Partial,
        intent: Intent,
        destination: FencedEndpoint,
        context: RunContext,
        *,
        opened: Opened,
        changes: bool,
    ) -> None:
        self._partial = partial
        self._intent = intent
        self._destination = destination
        self._context = context
        self._opened = opened
        self._changes = changes

    def go(
        self,
        way: Way,
        moved: Callable[[int], None],
        save_proven: Callable[[Partial, int], None],
    ) -> Reading:
        """Return how far it is the beginning of the file, in whole segments; 0 bytes where nothing is."""
        partial = self._partial
        far = not isinstance(self._intent.destination.location, LocalLocation)
        tell_way = _SILENT if self._changes else way.advance
        reading = self._source_so_far(tell_way, far=far)
        if reading is None:  # it has changed, whatever its time says
            return Reading(partial.segment_bytes)
        due = self._context.clock.boottime() + SAVE_S

        def tell(done_bytes: int) -> None:
            nonlocal due
            tell_way(done_bytes)
            if far and self._context.clock.boottime() >= due:
                save_proven(partial, done_bytes // partial.segment_bytes)
                due = self._context.clock.boottime() + SAVE_S

        if len(reading.digests) >= len(partial.digests):
            return reading
        try:
            with self._destination.open_read(partial.temporary, reading.size_bytes) as stream:
                return self._follow(stream, reading, len(partial.digests), tell, moved)
        except (EndpointRefusedError, FileMissingError) as error:
            logger.info(
                "what has arrived cannot be read", path=self._intent.path, reason=str(error)
            )
            return Reading(partial.segment_bytes)

    def _source_so_far(self, tell: Callable[[int], None], *, far: bool) -> Reading | None:
        """Read a source on this machine again as far as it was sent, and return it up to where that is proven.

        Return None where it is not what it was.
        """
        partial, reading = self._partial, Reading(self._partial.segment_bytes)
        arrived = len(partial.digests)
        if arrived == 0 or not isinstance(self._intent.source.location, LocalLocation):
            return reading
        with self._opened() as stream:
            known = partial.proven if far else 0
            reading = self._follow(stream, reading, known, tell)
            if len(reading.digests) < known:
                return None
            whole = self._follow(stream, reading.copy(), arrived, tell)
        return reading if len(whole.digests) == arrived else None

    def _follow(
        self,
        stream: Readable,
        reading: Reading,
        segments: int,
        tell: Callable[[int], None],
        moved: Callable[[int], None] = _SILENT,
    ) -> Reading:
        """Go on with ``reading`` for so many segments, or as far as they are as they have to be; tell each of those."""
        partial, good = self._partial, reading.copy()
        while len(good.digests) < segments:
            self._context.ownership.check()
            look_whether_stopped(self._context.stopped_by)
            left = partial.segment_bytes - reading.size_bytes % partial.segment_bytes
            chunk = stream.read(min(CHUNK_BYTES, left))
            if not chunk:
                return good
            reading.take(chunk)
            moved(len(chunk))
            at = len(reading.digests)
            if at > len(good.digests):
                if reading.digests[-1] != partial.digests[at - 1]:
                    return good
                good = reading.copy()
                tell(good.size_bytes)
        return good
