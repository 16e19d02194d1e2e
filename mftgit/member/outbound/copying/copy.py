"""Copy files to their temporaries, small ones together, and make sure of them before they get their names."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from mftgit.adapters.endpoint.contract import (
    Content,
    Traits,
)
from mftgit.errors import MftgitError, TransientError
from mftgit.member.outbound.copying.content import Changing
from mftgit.member.outbound.copying.piecewise import Piecewise, Sent, as_sent, file_changed, mark_of
from mftgit.member.outbound.copying.resume import Resuming
from mftgit.member.outbound.copying.whole import take_whole
from mftgit.member.outbound.given.context import Endpoints
from mftgit.member.outbound.given.progress import Progress
from mftgit.member.outbound.places.ahead import new_digest
from mftgit.member.outbound.places.digests import SMALL_BYTES, digests_of, read_small
from mftgit.member.outbound.places.fenced import FencedEndpoint
from mftgit.member.outbound.places.lanes import spread
from mftgit.member.outbound.records.sent import SentOfBatch
from mftgit.member.outbound.taking.by_record import is_as_claimed
from mftgit.member.outbound.taking.expected import require_expected
from mftgit.member.outbound.taking.parcel import (
    ENDS_ALL,
    Parcel,
    Results,
    into,
    reworded,
    source_path,
)
from mftgit.model.configuration.config import Destination, Preserve, Verify
from mftgit.model.transfers.intent import Intent

_Small = tuple[Parcel, Content, bytes]
"""A file that was read as a whole, and what of it is sent."""

NotSent = Callable[[Parcel, MftgitError], None]
"""See to a file that could not be sent."""


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
        look: Callable[[], None],
        is_whole: Callable[[Parcel], None] = lambda _parcel: None,
    ) -> None:
        """Tell ``is_whole`` of each large file that is; from several threads. See `Piecewise` for ``look``."""
        self._is_whole = is_whole
        self._rules = rules
        self._content = content
        self._endpoints = endpoints
        self._moved = moved
        self._not_sent = not_sent
        self._piecewise = Piecewise(
            content=content,
            progress=progress,
            moved=moved,
            resuming=resuming,
            clear_away=clear_away,
            look=look,
        )

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

    def take_whole(
        self, parcels: Sequence[Parcel], sent: SentOfBatch, destination: FencedEndpoint
    ) -> tuple[list[Parcel], list[Parcel]]:
        """Return those that an earlier try has brought there whole, and those that are to be copied."""
        if not any(parcel.whole for parcel in parcels):
            return [], list(parcels)
        source = self._endpoints.at(parcels[0].intent.source.location)
        taken, rest = take_whole(parcels, sent, source, destination)
        if self._rules.preserve:
            taken = self._keep_traits(taken, destination)
        return [parcel for parcel, _ in taken], rest

    def _send(
        self, parcels: Sequence[Parcel], results: Results, destination: FencedEndpoint
    ) -> list[Sent]:
        source = self._endpoints.at(parcels[0].intent.source.location)
        paths, seen = zip(*((source_path(each), each.seen_bytes) for each in parcels), strict=True)
        contents = read_small(source, paths, seen)
        small: list[_Small] = []
        large: list[Sent] = []
        for parcel, content in zip(parcels, contents, strict=True):
            if isinstance(content, MftgitError):
                self._not_sent(parcel, content)
                continue
            if content.before.size_bytes <= SMALL_BYTES and (
                mark_of(content.before) != mark_of(content.after)
                or not is_as_claimed(parcel.intent, content.before)
                or _is_short(content)
                or parcel.partial is not None  # of what was there when it was large
            ):
                self._not_sent(parcel, file_changed(parcel.intent))
                continue
            with self._each(parcel, results):
                _require_whole(parcel.intent, content)
                data = self._whole(parcel.intent, content)
                if data is None:
                    large.append((parcel, content.after))
                else:
                    small.append((parcel, content, data))
        sent = self._send_large(large, results, source, destination)
        sent += self._send_small(small, destination)
        places = {parcel.intent.id: at for at, parcel in enumerate(parcels)}
        return sorted(sent, key=lambda each: places[each[0].intent.id])

    def _send_large(
        self,
        files: Sequence[Sent],
        results: Results,
        source: FencedEndpoint,
        destination: FencedEndpoint,
    ) -> list[Sent]:
        """Send each of ``files``, with what it is, piece by piece, as many at a time as both sides have lanes."""
        ended = spread(
            (source, destination),
            lambda: list(zip(source.lanes(), destination.lanes(), strict=False))[1:],
            lambda lane, some: [self._ended(file, *lane) for file in some],
            files,
        )
        sent = []
        for (parcel, _), end in zip(files, ended, strict=True):
            with self._each(parcel, results):
                if isinstance(end, MftgitError):
                    raise end
                sent.append(end)
        return sent

    def _ended(
        self, file: Sent, source: FencedEndpoint, destination: FencedEndpoint
    ) -> Sent | MftgitError:
        """Send one file, and return its error where that is of no other file's concern."""
        try:
            sent = self._piecewise.send(*file, source, destination)
            self._is_whole(sent[0])
        except ENDS_ALL:
            self._piecewise.halt()
            raise
        except MftgitError as error:
            return error
        return sent

    def _whole(self, intent: Intent, content: Content) -> bytes | None:
        """Return what is sent of a file, where it is small before and after its steps; None for any other."""
        if content.before.size_bytes > SMALL_BYTES:
            return None
        if not self._content:
            return content.data
        return self._content.whole(content.data, intent.path, content.after, most_bytes=SMALL_BYTES)

    def _send_small(self, small: Sequence[_Small], destination: FencedEndpoint) -> list[Sent]:
        ended = destination.write_all(self._paced(small))
        sent = []
        for (parcel, content, data), size in zip(small, ended, strict=True):
            if isinstance(size, MftgitError):
                self._not_sent(parcel, size)
            else:
                digest = hashlib.sha256(data).hexdigest()
                read = hashlib.sha256(content.data).hexdigest() if self._content else None
                made = as_sent(parcel, content.after, len(data), digest, read=read)
                sent.append((made, content.after))
        return sent

    def _paced(self, small: Sequence[_Small]) -> Iterator[tuple[str, bytes]]:
        for parcel, content, data in small:
            yield parcel.intent.temporary, data
            self._moved(max(len(content.data), len(data)))

    def _keep_traits(self, sent: Sequence[Sent], destination: FencedEndpoint) -> list[Sent]:
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
        self, sent: Sequence[Sent], destination: FencedEndpoint, results: Results
    ) -> list[Sent]:
        """Return those that the destination has as they were sent."""
        found = digests_of(
            destination,
            [parcel.intent.temporary for parcel, _ in sent],
            ask=self._rules.verify is Verify.DIGEST,
            sizes=[parcel.intent.size_bytes for parcel, _ in sent],
        )
        good = []
        for (parcel, entry), digest in zip(sent, found, strict=True):
            with self._each(parcel, results):
                _require_same(parcel.intent, digest)
                good.append((parcel, entry))
        return good

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


def _is_short(content: Content) -> bool:
    return len(content.data) != content.after.size_bytes
