"""Checksum files of a source: read before their files are taken, and dealt with as these are once they are delivered.

What was read is written down with the delivery. So a file that is under way is held to what lay beside it, and not to
what came for a later file of its name; and a checksum file is removed only while it tells what was read.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Final

from mftgit.adapters.endpoint.contract import Content, Endpoint, FileMissingError
from mftgit.errors import MftgitError, TransientError
from mftgit.member.outbound.records.claims import Claim, archive, delete
from mftgit.member.outbound.taking.parcel import Results
from mftgit.model.transfers.checksum import Expected, parse_checksum
from mftgit.model.transfers.claim import join
from mftgit.model.transfers.intent import Intent
from mftgit.model.transfers.source import Checksum

_MOST_BYTES: Final = 256 << 10
"""So large a checksum file may be: one of a whole folder is beside none of its files."""


class ChecksumMissingError(TransientError):
    """The checksum file was there and is gone."""


class ChecksumUnreadableError(MftgitError):
    """The checksum file tells no digest of its file."""


class ChecksumDiffersError(MftgitError):
    """The file is not what its checksum file says."""


def read_expected(
    intents: Sequence[Intent], rules: Checksum | None, source: Endpoint, results: Results
) -> list[Intent]:
    """Return those of ``intents`` that can be taken, with what the checksum files beside them tell."""
    if rules is None:
        return list(intents)
    paths = [join(each.source_folder, rules.of(each.path)) for each in intents]
    found = source.read_all(paths, most_bytes=_MOST_BYTES)
    good = []
    for intent, path, content in zip(intents, paths, found, strict=True):
        if isinstance(content, Content):
            told = _told(intent, path, content)
            if isinstance(told, str):
                expected = Expected(suffix=rules.suffix, digest=told)
                good.append(replace(intent, expected=expected))
            else:
                results[intent.id] = told
        elif not isinstance(content, FileMissingError):
            results[intent.id] = content
        elif rules.required:
            results[intent.id] = ChecksumMissingError(
                f"{path} at {intent.source.location.name} is gone: {intent.path} is taken once it is there again"
            )
        else:
            good.append(intent)
    return good


def _told(intent: Intent, path: str, content: Content) -> str | ChecksumUnreadableError:
    name = PurePosixPath(intent.path).name
    flaw = f"it has more than {_MOST_BYTES} bytes"
    if content.before.size_bytes <= _MOST_BYTES:
        try:
            return parse_checksum(content.data, name)
        except ValueError as error:
            flaw = str(error)
    return ChecksumUnreadableError(
        f"{path} at {intent.source.location.name} is no checksum file of {intent.path}: {flaw}; "
        "it is to have a line as sha256sum, sha512sum or md5sum writes it"
    )


def require_expected(intent: Intent, digest: str) -> None:
    """See that ``digest``, which is by the algorithm that is expected, is that of ``intent``'s file."""
    expected = intent.expected
    if expected is not None and digest != expected.digest:
        raise ChecksumDiffersError(
            f"{intent.path} of {intent.source.location.name} is not what {intent.path}{expected.suffix} says: its "
            f"{expected.algorithm} is {digest}, expected {expected.digest}; have the sender put both there again"
        )


def settle(
    intents: Sequence[Intent],
    source: Endpoint,
    results: Results,
    *,
    target: Callable[[Intent], str] | None,
    over: bool = False,
) -> None:
    """Remove the checksum files of files that were dealt with, or move them beside ``target`` of those.

    One that tells something else by now is of a later file, and stays; and so does one beside which a file lies again,
    for which it may be, with what it tells. ``over``: what is there is replaced.
    """
    having = [each for each in intents if each.expected is not None]
    if not having:
        return
    found = source.read_all(map(_path, having), most_bytes=_MOST_BYTES)
    spent = []
    for intent, content in zip(having, found, strict=True):
        if isinstance(content, Content):
            if intent.expected and _told(intent, _path(intent), content) == intent.expected.digest:
                spent.append(intent)
        elif not isinstance(content, FileMissingError):
            results[intent.id] = content
    later = source.stat_all(join(each.source_folder, each.path) for each in spent)
    alone = []
    for intent, there in zip(spent, later, strict=True):
        if isinstance(there, FileMissingError):
            alone.append(intent)
        elif isinstance(there, MftgitError):
            results[intent.id] = there
    move(alone, source, results, target=target, over=over)


def move(
    intents: Sequence[Intent],
    source: Endpoint,
    results: Results,
    *,
    target: Callable[[Intent], str] | None,
    over: bool = False,
) -> None:
    """Do with the checksum files of ``intents``, whatever they tell, as `settle` says."""
    claims = [
        Claim(source, claim=each.id, path=None, at=_path(each), folder=each.source_folder)
        for each in intents
    ]
    if target is None:
        ended = delete(claims)
    else:
        targets = [target(each) + _suffix(each) for each in intents]
        ended = archive(list(zip(claims, targets, strict=True)), replace=over)
    results |= {
        each.id: error for each, error in zip(intents, ended, strict=True) if error is not None
    }


def _suffix(intent: Intent) -> str:
    return intent.expected.suffix if intent.expected else ""


def _path(intent: Intent) -> str:
    return join(intent.source_folder, intent.path + _suffix(intent))
