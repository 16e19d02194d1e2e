"""Checksum files beside delivered files: whole as temporaries before an intent is written, renamed after its file.

So a consumer that waits for the checksum file finds the file; and none is ever seen beside a file that it does not
belong to, because the one of a file that is replaced goes first. Where this stops, whoever comes next goes on: a
temporary that is gone was renamed.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from mftgit.adapters.endpoint.contract import Content, Endpoint, FileMissingError
from mftgit.errors import MftgitError
from mftgit.member.outbound.taking.parcel import DeliveryFailedError, Parcel, Results
from mftgit.model.transfers.checksum import Sidecar, sidecar_temporary
from mftgit.model.transfers.intent import Intent

_MOST_BYTES: Final = 4096
"""More than a line of ours has; what is larger is another one."""


class NoRoomForChecksumError(DeliveryFailedError):
    """The file has a name beside which no checksum file can be."""


def temporaries_of(parcels: Iterable[Parcel]) -> list[str]:
    """Return the temporaries of the checksum files that ``parcels`` have."""
    return [_temporary(each.intent) for each in _having(parcels)]


def clear_away(parcels: Iterable[Parcel], destination: Endpoint) -> None:
    """Remove the temporaries, as far as that goes; no other try bears their names."""
    destination.remove_all(temporaries_of(parcels))


def check_names(
    parcels: Sequence[Parcel], not_sent: Callable[[Parcel, MftgitError], None]
) -> list[Parcel]:
    """Return the files that can have the checksum files that they are to have; tell ``not_sent`` of the others."""
    good = []
    for parcel in parcels:
        intent = parcel.intent
        flaw = intent.sidecar.flaw(intent.final) if intent.sidecar else None
        if flaw is None:
            good.append(parcel)
            continue
        not_sent(
            parcel,
            NoRoomForChecksumError(
                f"{intent.final} can have no checksum file: {flaw}; exclude the file, name it otherwise, or choose "
                f"another destination.checksum in transfers/{intent.transfer}.yaml"
            ),
        )
    return good


def write(
    parcels: Sequence[Parcel],
    destination: Endpoint,
    not_sent: Callable[[Parcel, MftgitError], None],
) -> list[Parcel]:
    """Write the temporaries; return the files whose are there, and tell ``not_sent`` of the others."""
    having = _having(parcels)
    if not having:
        return list(parcels)
    ended = destination.write_all(
        (_temporary(each.intent), _content(each.intent)) for each in having
    )
    failed = set()
    for parcel, error in zip(having, ended, strict=True):
        if isinstance(error, MftgitError):
            failed.add(parcel.intent.id)
            not_sent(parcel, error)
    return [each for each in parcels if each.intent.id not in failed]


def make_way(
    parcels: Sequence[Parcel], destination: Endpoint, results: Results, *, just_sent: bool
) -> list[Parcel]:
    """Remove checksum files of what is about to be replaced; return the files that may be published now.

    What is published already keeps its own, and so does a file that is not to be replaced.
    """
    having = _having(parcels)
    if not just_sent:
        having = _there(having, destination, lambda intent: intent.temporary)
    kept = [each for each in having if not each.intent.overwrite.replaces]
    taken = _there(kept, destination, lambda intent: intent.final) if kept else []
    having = [each for each in having if each not in taken]
    if having:
        _remove_outdated(having, destination, results)
    return [each for each in parcels if each.intent.id not in results]


def publish(parcels: Sequence[Parcel], destination: Endpoint, results: Results) -> list[Parcel]:
    """Rename the temporaries beside their files, which are published; return the files that have theirs.

    One that is gone was renamed: by us, whom the reply did not reach, or by another owner, whose partner may have taken
    it away since. It is never written again.
    """
    having = _having(parcels)
    if not having:
        return list(parcels)
    ended = destination.rename_all(
        ((_temporary(each.intent), _path(each.intent)) for each in having), replace=True
    )
    for parcel, error in zip(having, ended, strict=True):
        if error is not None and not isinstance(error, FileMissingError):
            results[parcel.intent.id] = error
    return [each for each in parcels if each.intent.id not in results]


def _remove_outdated(parcels: Sequence[Parcel], destination: Endpoint, results: Results) -> None:
    """Remove those that are there and do not fit; one that fits may be of a successor that was faster."""
    found = destination.read_all((_path(each.intent) for each in parcels), most_bytes=_MOST_BYTES)
    outdated = []
    for parcel, content in zip(parcels, found, strict=True):
        if isinstance(content, Content):
            if content.data != _content(parcel.intent):
                outdated.append(parcel)
        elif not isinstance(content, FileMissingError):
            results[parcel.intent.id] = content
    ended = destination.remove_all(_path(each.intent) for each in outdated)
    for parcel, error in zip(outdated, ended, strict=True):
        if error is not None and not isinstance(error, FileMissingError):
            results[parcel.intent.id] = error


def _there(
    parcels: Sequence[Parcel], destination: Endpoint, path: Callable[[Intent], str]
) -> list[Parcel]:
    """Return those whose ``path`` is there, as far as can be told."""
    found = destination.stat_all(path(each.intent) for each in parcels)
    return [
        parcel
        for parcel, each in zip(parcels, found, strict=True)
        if not isinstance(each, FileMissingError)
    ]


def _having(parcels: Iterable[Parcel]) -> list[Parcel]:
    return [each for each in parcels if each.intent.sidecar is not None]


def _sidecar(intent: Intent) -> Sidecar:
    if intent.sidecar is None:
        raise LookupError("no checksum file")
    return intent.sidecar


def _path(intent: Intent) -> str:
    return _sidecar(intent).of(intent.final)


def _content(intent: Intent) -> bytes:
    return _sidecar(intent).content(intent.final, intent.sha256)


def _temporary(intent: Intent) -> str:
    return sidecar_temporary(intent.temporary, intent.id, intent.final)
