"""Copy files to their temporaries, and make sure of them before they get their names."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from threading import Event

from mftgit.adapters.endpoint import (
    Content,
    EndpointFullError,
    FileEntry,
    Traits,
)
from mftgit.errors import MftgitError, TransientError
from mftgit.member.outbound.ahead import ahead, chunks_of, digest_of_by, hashed, new_digest
from mftgit.member.outbound.by_record import is_as_claimed
from mftgit.member.outbound.content import Changing, ContentError
from mftgit.member.outbound.context import Endpoints
from mftgit.member.outbound.digests import SMALL_BYTES, digests_of
from mftgit.member.outbound.expected import require_expected
from mftgit.member.outbound.fenced import FencedEndpoint
from mftgit.member.outbound.finish import ENDS_ALL, into
from mftgit.member.outbound.lanes import HaltedError, spread
from mftgit.member.outbound.own import OwnershipEndedError
from mftgit.member.outbound.parcel import Parcel, Results, reworded, source_path
from mftgit.member.outbound.progress import Progress, Way
from mftgit.member.outbound.resume import Going, Resuming
from mftgit.model.config import Destination, Preserve, Verify
from mftgit.model.intent import Intent
from mftgit.model.partial import Reading
from mftgit.model.run import DeliveryStep, advance
from mftgit.model.under_way import Side

_Small = tuple[Parcel, Content, bytes]
"""A file that was read as a whole, and what of it is sent."""

_Sent = tuple[Parcel, FileEntry]
"""A file that was sent, and what it is at the source."""

NotSent = Callable[[Parcel, MftgitError], None]
"""See to a file that could not be sent."""


class FileChangedError(TransientError):
    """The file changed while it was sent; it is sent again when it is stable."""


class OtherContentError(TransientError):
    """The destination has other content than was sent; it is sent again."""


class Copying:
    """The copying of one run. ``rules`` are those of the transfer's destination."""

    def __init__(
        self,
        rules: Destination,
        *,
        content: Changing,
        endpoints: Endpoints,
        progress: Progress,
        moved: Callable[[int], None],
        resuming: Resuming,
        clear_away: Callable[[Parcel, FencedEndpoint], None],
        not_sent: NotSent,
    ) -> None:
        self._rules = rules
        self._content = content
        self._endpoints = endpoints
        self._progress = progress
        self._moved = moved
        self._resuming = resuming
        self._clear_away = clear_away
        self._not_sent = not_sent
        self._halt = Event()

    def copy(
        self, parcels: Sequence[Parcel], results: Results, destination: FencedEndpoint
    ) -> list[Parcel]:
        """Return the parcels whose temporaries are whole, were counted by their endpoint, and of files at rest."""
        if not parcels:
            return []
        with self._content.ready():
            sent = self._send(parcels, results, destination)
        if self._rules.preserve:
            sent = self._keep_traits(sent, destination)
        if self._rules.verify is not Verify.SIZE:
            sent = self._compare(sent, destination, results)
        return [parcel for parcel, _ in sent]

    def _send(
        self, parcels: Sequence[Parcel], results: Results, destination: FencedEndpoint
    ) -> list[_Sent]:
        source = self._endpoints.at(parcels[0].intent.source.location)
        contents = source.read_all(map(source_path, parcels), most_bytes=SMALL_BYTES)
        small: list[_Small] = []
        large: list[Parcel] = []
        for parcel, content in zip(parcels, contents, strict=True):
            if isinstance(content, MftgitError):
                self._not_sent(parcel, content)
                continue
            if content.before.size_bytes <= SMALL_BYTES and (
                _mark(content.before) != _mark(content.after)
                or not is_as_claimed(parcel.intent, content.before)
                or _is_short(content)
                or parcel.partial is not None  # of what was there when it was large
            ):
                self._not_sent(parcel, _changed(parcel.intent))
                continue
            with self._each(parcel, results):
                _require_whole(parcel.intent, content)
                data = self._whole(parcel.intent, content)
                if data is None:
                    large.append(parcel)
                else:
                    small.append((parcel, content, data))
        sent = self._send_large(large, results, source, destination)
        sent += self._send_small(small, destination)
        places = {parcel.intent.id: at for at, parcel in enumerate(parcels)}
        return sorted(sent, key=lambda each: places[each[0].intent.id])

    def _send_large(
        self,
        parcels: Sequence[Parcel],
        results: Results,
        source: FencedEndpoint,
        destination: FencedEndpoint,
    ) -> list[_Sent]:
        """Send each piece by piece, as many at a time as both sides have lanes."""
        ended = spread(
            (source, destination),
            lambda: list(zip(source.lanes(), destination.lanes(), strict=False))[1:],
            lambda lane, some: [self._ended(parcel, *lane) for parcel in some],
            parcels,
        )
        sent = []
        for parcel, end in zip(parcels, ended, strict=True):
            with self._each(parcel, results):
                if isinstance(end, MftgitError):
                    raise end
                sent.append(end)
        return sent

    def _ended(
        self, parcel: Parcel, source: FencedEndpoint, destination: FencedEndpoint
    ) -> _Sent | MftgitError:
        """Send one file, and return its error where that is of no other file's concern."""
        try:
            return self._piecewise(parcel, source, destination)
        except ENDS_ALL:
            self._halt.set()
            raise
        except MftgitError as error:
            return error

    def _whole(self, intent: Intent, content: Content) -> bytes | None:
        """Return what is sent of a file, where it is small before and after its steps; None for any other."""
        if content.before.size_bytes > SMALL_BYTES:
            return None
        if not self._content:
            return content.data
        return self._content.whole(content.data, intent.path, content.after, most_bytes=SMALL_BYTES)

    def _send_small(self, small: Sequence[_Small], destination: FencedEndpoint) -> list[_Sent]:
        ended = destination.write_all(self._paced(small))
        sent = []
        for (parcel, content, data), size in zip(small, ended, strict=True):
            if isinstance(size, MftgitError):
                self._not_sent(parcel, size)
            else:
                digest = hashlib.sha256(data).hexdigest()
                read = hashlib.sha256(content.data).hexdigest() if self._content else digest
                made = self._sent(parcel, content.after, len(data), digest, read=read)
                sent.append((made, content.after))
        return sent

    def _paced(self, small: Sequence[_Small]) -> Iterator[tuple[str, bytes]]:
        for parcel, content, data in small:
            yield parcel.intent.temporary, data
            self._moved(max(len(content.data), len(data)))

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

    def _sent(
        self, parcel: Parcel, entry: FileEntry, size_bytes: int, digest: str, *, read: str
    ) -> Parcel:
        """Return the parcel with what was sent; ``digest`` is that of what was sent, ``read`` that of the source."""
        intent = replace(
            parcel.intent,
            state=advance(parcel.intent.state, DeliveryStep.SEND),
            size_bytes=size_bytes,
            mtime_ns=entry.mtime_ns,
            sha256=digest,
            source_bytes=entry.size_bytes if self._content else None,
            source_sha256=read if self._content else None,
        )
        return replace(parcel, intent=intent)

    def _keep_traits(self, sent: Sequence[_Sent], destination: FencedEndpoint) -> list[_Sent]:
        kept = self._rules.preserve
        ended = destination.set_all(
            (
                parcel.intent.temporary,
                Traits(
                    mtime_ns=entry.mtime_ns if Preserve.TIMES in kept else None,
                    mode=entry.mode if Preserve.MODE in kept else None,
                ),
            )
            for parcel, entry in sent
        )
        for (parcel, _), error in zip(sent, ended, strict=True):
            if error is not None:
                self._not_sent(parcel, _not_kept(parcel.intent, error, kept))
        return [each for each, error in zip(sent, ended, strict=True) if error is None]

    def _compare(
        self, sent: Sequence[_Sent], destination: FencedEndpoint, results: Results
    ) -> list[_Sent]:
        """Return those that the destination has as they were sent."""
        found = digests_of(
            destination,
            [parcel.intent.temporary for parcel, _ in sent],
            ask=self._rules.verify is Verify.DIGEST,
        )
        good = []
        for (parcel, entry), digest in zip(sent, found, strict=True):
            with self._each(parcel, results):
                _require_same(parcel.intent, digest)
                good.append((parcel, entry))
        return good

    def _piecewise(
        self, parcel: Parcel, source: FencedEndpoint, destination: FencedEndpoint
    ) -> _Sent:
        intent, path = parcel.intent, source_path(parcel)
        before = source.stat(path)
        if not is_as_claimed(intent, before):
            raise _changed(intent)
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
        if _mark(after) != _mark(before) or going.reading.size_bytes != before.size_bytes:
            raise _changed(intent)
        if intent.expected is not None and other is not None:
            whole = going.offset == 0
            algorithm = intent.expected.algorithm
            read = other.hexdigest() if whole else digest_of_by(algorithm, source, path)
            require_expected(intent, read)
        parcel = replace(parcel, resumed_from_bytes=going.offset)
        return self._sent(parcel, after, size, made.sha256, read=going.reading.sha256), after

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
            if _mark(source.stat(source_path(parcel))) != _mark(before):
                raise _changed(parcel.intent) from None
            raise

    @contextmanager
    def _each(self, parcel: Parcel, results: Results) -> Iterator[None]:
        """See to an error of one file; what ends the run is raised."""
        with into(results, parcel):
            yield
        error = results.get(parcel.intent.id)
        if isinstance(error, MftgitError):
            self._not_sent(parcel, error)


def _require_whole(intent: Intent, content: Content) -> None:
    if intent.expected is not None and content.before.size_bytes <= SMALL_BYTES:
        digest = new_digest(intent.expected.algorithm)
        digest.update(content.data)
        require_expected(intent, digest.hexdigest())


def _require_same(intent: Intent, digest: str | MftgitError) -> None:
    if isinstance(digest, MftgitError):
        raise digest
    if digest != intent.sha256:
        raise OtherContentError(
            f"{intent.destination.location.name} has other content of {intent.path} than it was sent: its "
            f"digest is {digest}, expected {intent.sha256}; the file is sent again: see to the partner's disk"
        )


def _not_kept(intent: Intent, error: MftgitError, kept: frozenset[Preserve]) -> MftgitError:
    words = " and ".join(sorted(each.value for each in kept))
    return reworded(
        error,
        f"{intent.destination.location.name} does not let {words} of {intent.path} be set ({error}): "
        f"take that out of destination.preserve of transfers/{intent.transfer}.yaml, or ask the partner to allow it",
    )


def _changed(intent: Intent) -> FileChangedError:
    return FileChangedError(
        f"{intent.path} changed while it was sent: it is tried again once it is stable"
    )


def _is_short(content: Content) -> bool:
    return len(content.data) != content.after.size_bytes


def _mark(entry: FileEntry) -> tuple[int, int]:
    return entry.size_bytes, entry.mtime_ns
