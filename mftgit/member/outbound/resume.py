"""Go on with what has arrived of a large file, once it is proven to be the beginning of that file.

What an earlier try has left is renamed first, so that who made that try, and wakes late, can neither rename nor remove
it. It can still write into it, by a handle from before: the same bytes, at the same places, of a source that has not
changed since. Nothing is ever cut short, because that would hit what came after (docs/adr/0026).

What has arrived is read back, and compared with digests that were taken when it was read from the source. At a
destination on this machine all of it is. At a partner only what no earlier try has proven is, where the source is on
this machine; so each byte comes back over the line once, however often that is cut. A source on this machine is read
again too; of one that is not, size and time have to be as they were.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from loguru import logger

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.endpoint import (
    EndpointLostError,
    EndpointRefusedError,
    FileEntry,
    FileMissingError,
)
from mftgit.errors import MftgitError
from mftgit.member.outbound.ahead import CHUNK_BYTES
from mftgit.member.outbound.context import RunContext
from mftgit.member.outbound.fenced import FencedEndpoint
from mftgit.member.outbound.intents import Intents, StateUnavailableError
from mftgit.member.outbound.own import OwnershipEndedError
from mftgit.member.outbound.parcel import Parcel, source_path
from mftgit.member.outbound.progress import Way
from mftgit.model.intent import Intent
from mftgit.model.location import LocalLocation
from mftgit.model.partial import (
    LEAST_BYTES,
    SAVE_S,
    Partial,
    Reading,
    segment_bytes,
    sure_segments,
)

_NEVER: Final = float("inf")


class Resuming:
    """What has arrived of the files of one run; nothing is gone on with, nor written down, unless ``wanted``."""

    def __init__(self, context: RunContext, intents: Intents, *, wanted: bool) -> None:
        self._context = context
        self._partials = intents.partials
        self._wanted = wanted

    def find(self, intent: Intent, destination: FencedEndpoint) -> Partial | None:
        """Return what an earlier try has left of a file, by the name that it has there now.

        A try that ended early may have renamed it already, or not yet.
        """
        partial = self._partials.of(intent.id)
        if partial is None or not self._wanted or not destination.resumes:
            return None
        for name in dict.fromkeys((intent.temporary, partial.temporary)):
            try:
                destination.stat(name)
            except FileMissingError:
                continue
            if name == partial.temporary:
                return partial
            found = replace(partial, temporary=name, proven=0)
            self._partials.save(found)
            return found
        return None

    def begin(
        self,
        parcel: Parcel,
        before: FileEntry,
        source: FencedEndpoint,
        destination: FencedEndpoint,
        way: Way,
        moved: Callable[[int], None],
    ) -> "Going | None":
        """Take over what has arrived, which bears the name of this try then; None where nothing of it can be used."""
        partial, mark = parcel.partial, (before.size_bytes, before.mtime_ns)
        if partial is None or not partial.fits(mark, self._context.clock.now()):
            return None
        if not (source.resumes and destination.resumes):
            return None
        taken = self._take(partial, parcel.intent, destination)
        if taken is None:
            return None
        proof = _Proof(taken, parcel, source, destination, self._context)
        reading = proof.go(way, moved, self._save_proven)
        if reading.size_bytes == 0:
            return None
        taken = replace(taken, digests=tuple(reading.digests), proven=len(reading.digests))
        self._save(taken)
        logger.info(
            "a file is gone on with",
            transfer=parcel.intent.transfer,
            path=parcel.intent.path,
            from_bytes=reading.size_bytes,
            size_bytes=before.size_bytes,
        )
        return Going(
            taken, reading, resumed=True, save=self._save, now=self._context.clock.boottime
        )

    def anew(
        self, parcel: Parcel, before: FileEntry, source: FencedEndpoint, destination: FencedEndpoint
    ) -> "Going":
        """Begin with the file's first byte."""
        able = source.resumes and destination.resumes and before.size_bytes >= LEAST_BYTES
        each_bytes = segment_bytes(before.size_bytes)
        partial = Partial(
            id=parcel.intent.id,
            temporary=parcel.intent.temporary,
            mark=(before.size_bytes, before.mtime_ns),
            segment_bytes=each_bytes,
            digests=(),
            proven=0,
            saved_at="",
        )
        save = self._save if able and self._wanted else None
        now = self._context.clock.boottime
        return Going(partial, Reading(each_bytes), resumed=False, save=save, now=now)

    def _take(
        self, partial: Partial, intent: Intent, destination: FencedEndpoint
    ) -> Partial | None:
        """Give it the name of this try; None where it is gone, longer than the file, or cannot be renamed."""
        try:
            destination.make_folder(intent.temporary.rpartition("/")[0] or ".")
            destination.rename(partial.temporary, intent.temporary, replace=True)
            found = destination.stat(intent.temporary)
        except (EndpointLostError, OwnershipEndedError):
            raise
        except MftgitError as error:
            logger.info("a partial cannot be gone on with", path=intent.path, reason=str(error))
            return None
        if found.size_bytes > partial.mark[0]:
            return None
        arrived = partial.segments_in(found.size_bytes)
        taken = replace(
            partial,
            temporary=intent.temporary,
            digests=partial.digests[:arrived],
            proven=min(partial.proven, arrived),
        )
        self._save(taken)
        return taken

    def _save_proven(self, partial: Partial, proven: int) -> None:
        self._save(replace(partial, proven=proven))

    def _save(self, partial: Partial) -> None:
        """Write it down; where the members' storage does not answer, whoever comes next knows less of it."""
        try:
            self._partials.save(replace(partial, saved_at=rfc3339(self._context.clock.now())))
        except StateUnavailableError as error:
            logger.warning("how far a file is was not written down", reason=str(error))


class Going:
    """A file that is being sent: its digest so far, and what of it is written down."""

    def __init__(
        self,
        partial: Partial,
        reading: Reading,
        *,
        resumed: bool,
        save: Callable[[Partial], None] | None,
        now: Callable[[], float],
    ) -> None:
        self.reading = reading
        self.offset = reading.size_bytes
        self.resume_at = reading.size_bytes if resumed else None
        self._partial = partial
        self._put = save
        self._now = now
        self._due = now() + SAVE_S
        self._written = self.offset

    def wrote(self, written_bytes: int) -> None:
        """Take note that so many bytes of the file were given to the destination.

        Raises:
            OwnershipEndedError: a successor has taken over, whatever this machine's clock says.
        """
        self._written = written_bytes
        if self._put is not None and self._now() >= self._due:
            self._due = self._now() + SAVE_S
            self._note_arrived()
            self._put(self._partial)  # also what is as before: this is what the fence stops

    def stopped(self) -> None:
        """Write down what has arrived for sure, where that is more than was written down."""
        if self._note_arrived() and self._put is not None:
            self._put(self._partial)

    def _note_arrived(self) -> bool:
        sure = sure_segments(self._written, self._partial.segment_bytes)
        if sure <= len(self._partial.digests):
            return False
        self._partial = replace(self._partial, digests=tuple(self.reading.digests[:sure]))
        return True


class _Proof:
    """Read what has arrived, and compare it with what is known of the source."""

    def __init__(
        self,
        partial: Partial,
        parcel: Parcel,
        source: FencedEndpoint,
        destination: FencedEndpoint,
        context: RunContext,
    ) -> None:
        self._partial = partial
        self._parcel = parcel
        self._source = source
        self._destination = destination
        self._context = context

    def go(
        self,
        way: Way,
        moved: Callable[[int], None],
        save_proven: Callable[[Partial, int], None],
    ) -> Reading:
        """Return how far it is the beginning of the file, in whole segments; 0 bytes where nothing is."""
        partial, intent = self._partial, self._parcel.intent
        far = not isinstance(intent.destination.location, LocalLocation)
        near_source = isinstance(intent.source.location, LocalLocation)
        known = partial.proven if far and near_source else 0
        reading = Reading(partial.segment_bytes)
        if near_source:
            path, arrived = source_path(self._parcel), len(partial.digests)
            reading = self._follow(self._source, path, reading, known, way.advance)
            whole = self._follow(self._source, path, reading.copy(), arrived, way.advance)
            if len(whole.digests) < arrived:  # it has changed, whatever its time says
                return Reading(partial.segment_bytes)
        due = self._context.clock.boottime() + SAVE_S

        def tell(done_bytes: int) -> None:
            nonlocal due
            way.advance(done_bytes)
            if far and self._context.clock.boottime() >= due:
                save_proven(partial, done_bytes // partial.segment_bytes)
                due = self._context.clock.boottime() + SAVE_S

        try:
            return self._follow(
                self._destination, partial.temporary, reading, len(partial.digests), tell, moved
            )
        except (EndpointRefusedError, FileMissingError) as error:
            logger.info("what has arrived cannot be read", path=intent.path, reason=str(error))
            return Reading(partial.segment_bytes)

    def _follow(
        self,
        endpoint: FencedEndpoint,
        path: str,
        reading: Reading,
        segments: int,
        tell: Callable[[int], None],
        moved: Callable[[int], None] = lambda _size_bytes: None,
    ) -> Reading:
        """Go on with ``reading`` for so many segments, or as far as they are as they have to be; tell each of those."""
        partial, good = self._partial, reading.copy()
        if len(reading.digests) >= segments:
            return good
        with endpoint.open_read(path, reading.size_bytes) as stream:
            while len(good.digests) < segments:
                self._context.ownership.check()
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
