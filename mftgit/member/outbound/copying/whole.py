"""Go on with a batch that was cut: what is whole at the destination is looked at there, and not sent again.

Each file gets the temporary name of this try, as ever, so that who made an earlier one and wakes can do nothing to it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock

from loguru import logger

from mftgit.adapters.endpoint.contract import EndpointLostError, FileEntry, FileMissingError
from mftgit.errors import MftgitError
from mftgit.member.outbound.copying.piecewise import Sent, as_sent, mark_of
from mftgit.member.outbound.ownership.own import OwnershipEndedError
from mftgit.member.outbound.places.digests import digests_of
from mftgit.member.outbound.places.fenced import FencedEndpoint
from mftgit.member.outbound.records.sent import SentOfBatch
from mftgit.member.outbound.taking.parcel import ENDS_ALL, Parcel, source_path
from mftgit.model.transfers.claim import ClaimId
from mftgit.model.transfers.intent import Intent
from mftgit.model.transfers.partial import SAVE_S


class Noting:
    """Writes down what is whole of one batch, every few seconds, and where it is cut."""

    def __init__(self, sent: SentOfBatch, now: Callable[[], float], *, wanted: bool) -> None:
        self._sent = sent
        self._now = now
        self._due = now() + SAVE_S
        self._wanted = wanted
        self._waiting: dict[ClaimId, Intent] = {}
        self._lock = Lock()

    def add(self, *parcels: Parcel) -> None:
        """Take note of files that are whole; for several threads."""
        with self._lock:
            self._waiting |= {parcel.intent.id: parcel.intent for parcel in parcels}
            if self._now() >= self._due:
                self._save()

    @contextmanager
    def where_cut(self) -> Iterator[None]:
        """Write down what is whole where an error ends the body."""
        try:
            yield
        except ENDS_ALL:
            with self._lock:
                self._save()
            raise

    def _save(self) -> None:
        """Write down what is not yet; where the members' storage does not answer, it is sent again."""
        self._due = self._now() + SAVE_S
        waiting, self._waiting = self._waiting, {}
        if not self._wanted:
            return
        try:
            self._sent.save(list(waiting.values()))
        except ENDS_ALL as error:
            logger.warning("what is whole of a batch was not written down", reason=str(error))


def take_whole(
    parcels: Sequence[Parcel],
    sent: SentOfBatch,
    source: FencedEndpoint,
    destination: FencedEndpoint,
) -> tuple[list[Sent], list[Parcel]]:
    """Return those that are at the destination already, by the names of this try, and those that are to be sent.

    Raises:
        EndpointLostError, OwnershipEndedError: as everywhere.
    """
    asked = [each for each in parcels if each.whole is not None]
    entries = source.stat_all(map(source_path, asked))
    moved = [
        (parcel, entry, parcel.whole)
        for parcel, entry in zip(asked, entries, strict=True)
        if parcel.whole is not None
        and isinstance(entry, FileEntry)
        and _is_of(parcel.whole, entry, parcel.intent)
        and _take(parcel.intent, parcel.before, parcel.whole, destination)
    ]
    temporaries = [parcel.intent.temporary for parcel, _, _ in moved]
    found = digests_of(destination, temporaries, ask=True)
    good = {
        parcel.intent.id: _again(parcel, entry, whole)
        for (parcel, entry, whole), digest in zip(moved, found, strict=True)
        if digest == whole.sha256
    }
    for parcel in asked:
        if parcel.intent.id not in good:
            if parcel.whole is not None:
                _drop(parcel.intent, parcel.before, parcel.whole, destination)
            sent.drop(parcel.intent.id)
    logger.info("files of a batch are at the destination already", files=len(good))
    rest = [replace(each, whole=None) for each in parcels if each.intent.id not in good]
    return list(good.values()), rest


def _is_of(whole: Intent, entry: FileEntry, intent: Intent) -> bool:
    """Tell whether it was sent of this very file, by what the transfer says now."""
    size_bytes = whole.size_bytes if whole.source_bytes is None else whole.source_bytes
    return mark_of(entry) == (size_bytes, whole.mtime_ns) and whole.revision == intent.revision


def _names(before: str | None, whole: Intent) -> list[str]:
    return [name for name in dict.fromkeys((before, whole.temporary)) if name is not None]


def _take(intent: Intent, before: str | None, whole: Intent, destination: FencedEndpoint) -> bool:
    """Give it the name of this try, whichever it has; return whether that went well."""
    for name in _names(before, whole):
        try:
            destination.take_part(name, intent.temporary, goes_on=False)
        except FileMissingError:
            continue
        except (EndpointLostError, OwnershipEndedError):
            raise
        except MftgitError as error:
            logger.info("what is whole cannot be taken", path=intent.path, reason=str(error))
            return False
        return True
    return False


def _drop(intent: Intent, before: str | None, whole: Intent, destination: FencedEndpoint) -> None:
    """Remove it, by whichever name."""
    names = dict.fromkeys((intent.temporary, *_names(before, whole)))
    for error in destination.drop_parts(list(names)):
        if error is not None and not isinstance(error, FileMissingError):
            raise error


def _again(parcel: Parcel, entry: FileEntry, whole: Intent) -> Sent:
    read = None if whole.source_bytes is None else whole.source_sha256
    made = as_sent(parcel, entry, whole.size_bytes, whole.sha256, read=read)
    return replace(made, whole=None), entry
