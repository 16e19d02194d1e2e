"""Send a large file piece by piece, from where an earlier try has come to, and see that it did not change meanwhile."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from threading import Event

from mftgit.adapters.endpoint import EndpointFullError, FileEntry
from mftgit.errors import MftgitError, TransientError
from mftgit.member.outbound.ahead import ahead, chunks_of, digest_of_by, hashed, new_digest
from mftgit.member.outbound.by_record import is_as_claimed
from mftgit.member.outbound.content import Changing, ContentError
from mftgit.member.outbound.expected import require_expected
from mftgit.member.outbound.fenced import FencedEndpoint
from mftgit.member.outbound.lanes import HaltedError
from mftgit.member.outbound.own import OwnershipEndedError
from mftgit.member.outbound.parcel import Parcel, source_path
from mftgit.member.outbound.progress import Progress, Way
from mftgit.member.outbound.resume import Going, Resuming
from mftgit.model.intent import Intent
from mftgit.model.partial import Reading
from mftgit.model.run import DeliveryStep, advance
from mftgit.model.under_way import Side

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
    ) -> None:
        self._content = content
        self._progress = progress
        self._moved = moved
        self._resuming = resuming
        self._clear_away = clear_away
        self._halt = Event()

    def halt(self) -> None:
        """Have every file that is being sent end before its next piece, with `HaltedError`."""
        self._halt.set()

    def send(self, parcel: Parcel, source: FencedEndpoint, destination: FencedEndpoint) -> Sent:
        """Send one file, and return it with what it is at the source.

        Raises:
            FileChangedError: it changed meanwhile.
            MftgitError: it is not whole at the destination; what has arrived is written down.
        """
        intent, path = parcel.intent, source_path(parcel)
        before = source.stat(path)
        if not is_as_claimed(intent, before):
            raise file_changed(intent)
        other = None if intent.expected is None else new_digest(intent.expected.algorithm)
        with (
            self._telling_change(parcel, before, source),
            self._progress.begin(
                intent.transfer, intent.path, side=Side.DESTINATION, size_bytes=before.size_bytes
            ) as way,
        ):
            going = self._resuming.begin(parcel, before, source, destination, way, self._moved)
            if going is None:
                if parcel.partial is not None:
                    self._clear_away(parcel, destination)
                going = self._resuming.anew(parcel, before, source, destination)
            size, made = self._write(going, parcel, before, source, destination, way, other=other)
        if size != made.size_bytes:
            with destination.named():
                raise EndpointFullError(
                    f"{intent.destination.location.name} holds {size} bytes of {intent.path}, "
                    f"of {made.size_bytes} that were sent"
                )
        after = source.stat(path)
        if mark_of(after) != mark_of(before) or going.reading.size_bytes != before.size_bytes:
            raise file_changed(intent)
        if intent.expected is not None and other is not None:
            whole = going.offset == 0
            algorithm = intent.expected.algorithm
            read = other.hexdigest() if whole else digest_of_by(algorithm, source, path)
            require_expected(intent, read)
        parcel = replace(parcel, resumed_from_bytes=going.offset)
        read_sha256 = going.reading.sha256 if self._content else None
        return as_sent(parcel, after, size, made.sha256, read=read_sha256), after

    def _write(
        self,
        going: Going,
        parcel: Parcel,
        before: FileEntry,
        source: FencedEndpoint,
        destination: FencedEndpoint,
        way: Way,
        *,
        other: "hashlib._Hash | None",
    ) -> tuple[int, Reading]:
        """Write what is missing of one file; what had arrived when this fails is written down.

        Return how large it is then, and what measured it.
        """
        intent, reading = parcel.intent, going.reading

        def tell(written_bytes: int) -> None:
            way.advance(reading.size_bytes if self._content else written_bytes)
            going.wrote(written_bytes)

        try:
            with (
                source.open_read(source_path(parcel), going.offset) as stream,
                self._made(reading, hashed(chunks_of(stream), other), intent, before) as (
                    whole,
                    made,
                ),
                ExitStack() as threads,
            ):
                chunks = self._paced_chunks(whole, reading)
                if not source.is_one_with(destination):  # which is for one thread at a time
                    chunks = threads.enter_context(ahead(chunks))
                size = destination.write(
                    intent.temporary, chunks, on_chunk=tell, resume_at=going.resume_at
                )
        except MftgitError:
            with suppress(OwnershipEndedError):
                going.stopped()
            raise
        return size, made

    @contextmanager
    def _made(
        self, reading: Reading, chunks: Iterator[bytes], intent: Intent, before: FileEntry
    ) -> Iterator[tuple[Iterator[bytes], Reading]]:
        """Give what becomes of ``chunks``, which are read by ``reading``, and what measures that."""
        chunks = reading.of(chunks)
        if not self._content:
            yield chunks, reading
            return
        made = Reading()
        with self._content.of(chunks, intent.path, before) as changed:
            yield made.of(changed), made

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

    def _paced_chunks(self, chunks: Iterator[bytes], read: Reading) -> Iterator[bytes]:
        """Give ``chunks``, which are made of what is ``read``; what counts is the larger of the two sides."""
        told = made = 0
        begun = read.size_bytes
        for chunk in chunks:
            if self._halt.is_set():
                raise HaltedError("another file of the run has failed, and ends it")
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
