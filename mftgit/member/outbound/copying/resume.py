"""Go on with what has arrived of a large file, once it is proven to be the beginning of that file.

What an earlier try has left is renamed first, so that who made that try, and wakes late, can neither rename nor remove
it. It can still write into it, by a handle from before: the same bytes, at the same places, of a source that has not
changed since. Nothing is ever cut short, because that would hit what came after (docs/adr/0026).

What has arrived is read back, and compared with digests that were taken when it was read from the source. At a
destination on this machine all of it is. At a partner only what no earlier try has proven is, where the source is on
this machine; so each byte comes back over the line once, however often that is cut. A source on this machine is read
again too; of one that is not, size and time have to be as they were. Where the transfer changes files on their way, all
of this is about what they become: it is made again from a source on this machine, and has to be the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from loguru import logger

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.endpoint.contract import (
    EndpointLostError,
    FileEntry,
    FileMissingError,
)
from mftgit.errors import MftgitError, TransientError
from mftgit.member.outbound.copying.proving import Opened, Proof
from mftgit.member.outbound.given.context import RunContext
from mftgit.member.outbound.given.progress import Way
from mftgit.member.outbound.ownership.own import OwnershipEndedError
from mftgit.member.outbound.places.fenced import FencedEndpoint
from mftgit.member.outbound.records.intents import Intents, StateUnavailableError
from mftgit.member.outbound.taking.parcel import Parcel
from mftgit.model.locations.location import LocalLocation
from mftgit.model.transfers.intent import Intent
from mftgit.model.transfers.partial import (
    LEAST_BYTES,
    SAVE_S,
    Partial,
    Reading,
    segment_bytes,
    sure_segments,
)

_NEVER: Final = float("inf")


class MadeOtherwiseError(TransientError):
    """What is made of a file on its way is not what has arrived of it; it is sent anew."""


def made_otherwise(path: str) -> MadeOtherwiseError:
    """Return that the file ``path`` has to be sent anew."""
    return MadeOtherwiseError(
        f"what the steps of content make of {path} is not what has arrived: it is sent anew"
    )


class Resuming:
    """What has arrived of the files of one run; nothing is gone on with, nor written down, unless ``wanted``.

    ``changes`` tells whether files are changed on their way.
    """

    def __init__(
        self, context: RunContext, intents: Intents, *, wanted: bool, changes: bool = False
    ) -> None:
        self._context = context
        self._changes = changes
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
                destination.find_part(name)
            except FileMissingError:
                continue
            if name == partial.temporary:
                return partial
            for error in destination.drop_parts([partial.temporary]):  # copied, and not removed
                if error is not None and not isinstance(error, FileMissingError):
                    raise error
            found = replace(partial, temporary=name, proven=0)
            self._partials.save(found)
            return found
        return None

    def begin(
        self,
        parcel: Parcel,
        before: FileEntry,
        destination: FencedEndpoint,
        way: Way,
        *,
        opened: Opened,
        moved: Callable[[int], None],
    ) -> "Going | None":
        """Take over what has arrived, which bears the name of this try then; None where nothing of it can be used.

        ``opened`` gives all that is to be sent, from its start.
        """
        partial, mark = parcel.partial, (before.size_bytes, before.mtime_ns)
        if partial is None or not partial.fits(mark, self._context.clock.now(), tag=before.tag):
            return None
        if not self._may_go_on(parcel.intent, destination):
            return None
        taken = self._take(partial, parcel.intent, destination)
        if taken is None:
            return None
        proof = Proof(
            taken,
            parcel.intent,
            destination,
            self._context,
            opened=opened,
            changes=self._changes,
        )
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

    def _may_go_on(self, intent: Intent, destination: FencedEndpoint) -> bool:
        """Tell whether the destination can, and what is sent can be made again, for which its source is read again."""
        near = isinstance(intent.source.location, LocalLocation)
        return destination.resumes and (near or not self._changes)

    def anew(self, parcel: Parcel, before: FileEntry, destination: FencedEndpoint) -> "Going":
        """Begin with the file's first byte."""
        able = self._may_go_on(parcel.intent, destination) and before.size_bytes >= LEAST_BYTES
        each_bytes = segment_bytes(before.size_bytes)
        partial = Partial(
            id=parcel.intent.id,
            temporary=parcel.intent.temporary,
            mark=(before.size_bytes, before.mtime_ns),
            segment_bytes=each_bytes,
            digests=(),
            proven=0,
            saved_at="",
            tag=before.tag,
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
            destination.take_part(partial.temporary, intent.temporary)
            found = destination.stat(intent.temporary)
        except (EndpointLostError, OwnershipEndedError):
            raise
        except MftgitError as error:
            logger.info("a partial cannot be gone on with", path=intent.path, reason=str(error))
            return None
        if found.size_bytes > partial.mark[0] and not self._changes:
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
        self._resumed = resumed
        self.is_passing = False
        """Whether what is made passes over what has arrived."""
        self.is_all_made = False
        """Whether what is changed on its way, and was gone on with, came to its end."""

    def behind(self, made: Iterator[bytes], path: str, look: Callable[[], None]) -> Iterator[bytes]:
        """Measure all of ``made`` anew, and give what lies behind that which has arrived; ``look`` may end that.

        Raises:
            MadeOtherwiseError: before that, it is not what it was when it was proven.
        """
        proven, self.reading = self.reading, Reading(self._partial.segment_bytes)
        left = self.offset
        self.is_passing = left > 0
        for chunk in self.reading.of(made):
            begin, left = left, max(0, left - len(chunk))
            if left:
                look()
                continue
            at = self.offset // self._partial.segment_bytes
            if begin and self.reading.digests[at - 1] != proven.sha256:
                raise made_otherwise(path)
            if rest := chunk[begin:]:
                yield rest
        if left:
            raise made_otherwise(path)
        self.is_all_made = self._resumed

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
