"""Send a large file piece by piece, from where an earlier try has come to, and see that it did not change meanwhile."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from threading import Event

from mftgit.adapters.endpoint.contract import EndpointFullError, FileEntry
from mftgit.errors import MftgitError, TransientError
from mftgit.member.outbound.copying.content import Changing, ContentError
from mftgit.member.outbound.copying.proving import Readable
from mftgit.member.outbound.copying.resume import Going, Resuming, made_otherwise
from mftgit.member.outbound.given.progress import Progress, Way
from mftgit.member.outbound.ownership.own import OwnershipEndedError
from mftgit.member.outbound.places.ahead import (
    ChunkStream,
    ahead,
    chunks_of,
    digest_of_by,
    hashed,
    new_digest,
)
from mftgit.member.outbound.places.fenced import FencedEndpoint
from mftgit.member.outbound.places.lanes import HaltedError
from mftgit.member.outbound.taking.by_record import is_as_claimed
from mftgit.member.outbound.taking.expected import require_expected
from mftgit.member.outbound.taking.parcel import Parcel, source_path
from mftgit.model.transfers.intent import Intent
from mftgit.model.transfers.partial import Reading
from mftgit.model.transfers.run import DeliveryStep, advance
from mftgit.model.transfers.under_way import Side

Sent = tuple[Parcel, FileEntry]
"""A file that was sent, and what it is at the source."""


class FileChangedError(TransientError):
    """The file changed while it was sent; it is sent again when it is stable."""


class Piecewise:
    """The sending of the large files of one run; for several threads, each with endpoints of its own."""

    def __init__(
        self,
        *,
        content: Changing,
        progress: Progress,
        moved: Callable[[int], None],
        resuming: Resuming,
        clear_away: Callable[[Parcel, FencedEndpoint], None],
        look: Callable[[], None],
    ) -> None:
        """Have ``look`` called before each piece; it raises where the run is to end."""
        self._content = content
        self._progress = progress
        self._moved = moved
        self._resuming = resuming
        self._clear_away = clear_away
        self._look_at_run = look
        self._halt = Event()

    def halt(self) -> None:
        """Have every file that is being sent end before its next piece, with `HaltedError`."""
        self._halt.set()

    def send(
        self,
        parcel: Parcel,
        before: FileEntry,
        source: FencedEndpoint,
        destination: FencedEndpoint,
    ) -> Sent:
        """Send one file, which a moment ago was what ``before`` tells; return it with what it is at the source.

        Raises:
            FileChangedError: it changed meanwhile.
            MftgitError: it is not whole at the destination; what has arrived is written down.
        """
        intent, path = parcel.intent, source_path(parcel)
        if not is_as_claimed(intent, before):
            raise file_changed(intent)
        other = None if intent.expected is None else new_digest(intent.expected.algorithm)
        with (
            self._telling_change(parcel, before, source),
            self._progress.begin(
                intent.transfer, intent.path, side=Side.DESTINATION, size_bytes=before.size_bytes
            ) as way,
        ):
            going = self._resuming.begin(
                parcel,
                before,
                destination,
                way,
                opened=partial(self._opened, parcel, before, source),
                moved=self._moved,
            )
            if going is None:
                if parcel.partial is not None:
                    self._clear_away(parcel, destination)
                going = self._resuming.anew(parcel, before, destination)
            read = Reading() if self._content else going.reading
            size = self._write(
                going, parcel, before, source, destination, way, read=read, other=other
            )
            made = going.reading
        if size != made.size_bytes:
            with destination.named():
                raise EndpointFullError(
                    f"{intent.destination.location.name} holds {size} bytes of {intent.path}, "
                    f"of {made.size_bytes} that were sent"
                )
        after = source.stat(path)
        if mark_of(after) != mark_of(before) or read.size_bytes != before.size_bytes:
            raise file_changed(intent)
        if intent.expected is not None and other is not None:
            algorithm = intent.expected.algorithm
            whole = going.offset == 0 or bool(self._content)
            require_expected(
                intent, other.hexdigest() if whole else digest_of_by(algorithm, source, path)
            )
        parcel = replace(parcel, resumed_from_bytes=going.offset)
        read_sha256 = read.sha256 if self._content else None
        return as_sent(parcel, after, size, made.sha256, read=read_sha256), after

    @contextmanager
    def _opened(
        self, parcel: Parcel, before: FileEntry, source: FencedEndpoint
    ) -> Iterator[Readable]:
        """Give all that is to be sent of a file, from its start."""
        with source.open_read(source_path(parcel)) as stream:
            if not self._content:
                yield stream
                return
            with self._content.of(chunks_of(stream), parcel.intent.path, before) as changed:
                yield ChunkStream(changed)

    def _write(
        self,
        going: Going,
        parcel: Parcel,
        before: FileEntry,
        source: FencedEndpoint,
        destination: FencedEndpoint,
        way: Way,
        *,
        read: Reading,
        other: "hashlib._Hash | None",
    ) -> int:
        """Write what is missing of one file; what had arrived when this fails is written down.

        Return how large it is then. ``read`` is to measure what is read of the source.
        """
        intent = parcel.intent

        def tell(written_bytes: int) -> None:
            way.advance(read.size_bytes if self._content else written_bytes)
            going.wrote(written_bytes)

        begin = 0 if self._content else going.offset
        try:
            with (
                source.open_read(source_path(parcel), begin) as stream,
                self._made(going, read, hashed(chunks_of(stream), other), intent, before) as made,
                ExitStack() as threads,
            ):
                chunks = self._paced_chunks(made, read, going)
                if not source.is_one_with(destination):  # which is for one thread at a time
                    chunks = threads.enter_context(ahead(chunks))
                return destination.write(
                    intent.temporary, chunks, on_chunk=tell, resume_at=going.resume_at
                )
        except MftgitError as error:
            with suppress(OwnershipEndedError):
                going.stopped()
            if isinstance(error, EndpointFullError) and going.is_all_made:
                raise made_otherwise(intent.path) from error
            raise

    @contextmanager
    def _made(
        self,
        going: Going,
        read: Reading,
        chunks: Iterator[bytes],
        intent: Intent,
        before: FileEntry,
    ) -> Iterator[Iterator[bytes]]:
        """Give what becomes of ``chunks``, which are measured by ``read``, from where that is gone on with."""
        chunks = read.of(chunks)
        if not self._content:
            yield chunks
            return
        with self._content.of(chunks, intent.path, before) as changed:
            yield going.behind(changed, intent.path, self._look)

    def _look(self) -> None:
        self._look_at_run()
        if self._halt.is_set():
            raise HaltedError("another file of the run has failed, and ends it")

    @contextmanager
    def _telling_change(
        self, parcel: Parcel, before: FileEntry, source: FencedEndpoint
    ) -> Iterator[None]:
        """Tell of a file that a step cannot take that it changed meanwhile, where it did."""
        try:
            yield
        except ContentError:
            if mark_of(source.stat(source_path(parcel))) != mark_of(before):
                raise file_changed(parcel.intent) from None
            raise

    def _paced_chunks(
        self, chunks: Iterator[bytes], read: Reading, going: Going
    ) -> Iterator[bytes]:
        """Give ``chunks``, which are made of what is ``read``; what counts is the larger of the two sides."""
        told = made = 0
        begun = read.size_bytes
        for chunk in chunks:
            if going.is_passing:  # what was read up to here was sent by an earlier try
                begun, going.is_passing = read.size_bytes - len(chunk), False
            self._look()
            yield chunk
            made += len(chunk)
            moved = max(read.size_bytes - begun, made)
            self._moved(moved - told)
            told = moved


def as_sent(
    parcel: Parcel, entry: FileEntry, size_bytes: int, digest: str, *, read: str | None
) -> Parcel:
    """Return the parcel with what was sent; ``digest`` is that of what was sent, ``read`` that of the source.

    ``read`` is None where the content is sent as it is.
    """
    intent = replace(
        parcel.intent,
        state=advance(parcel.intent.state, DeliveryStep.SEND),
        size_bytes=size_bytes,
        mtime_ns=entry.mtime_ns,
        sha256=digest,
        source_bytes=entry.size_bytes if read is not None else None,
        source_sha256=read,
    )
    return replace(parcel, intent=intent)


def file_changed(intent: Intent) -> FileChangedError:
    """Return that a file is not what it was before."""
    return FileChangedError(
        f"{intent.path} changed while it was sent: it is tried again once it is stable"
    )


def mark_of(entry: FileEntry) -> tuple[int, int]:
    """Return by what a file is known to be the same one."""
    return entry.size_bytes, entry.mtime_ns
