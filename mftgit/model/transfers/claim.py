"""The names that a file bears on its way: its claim, its temporary, its name at the end."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Final, NewType
from urllib.parse import quote, unquote

from mftgit.model.names import Epoch

ClaimId = NewType("ClaimId", str)
"""``<epoch>-<counter>-<nonce>``: never given twice, whatever the file's name, inode, size and time."""

LONGEST_NAME_BYTES: Final = 255
"""NAME_MAX of Linux file systems, for each part of a path."""

_PART: Final = r"\.?[^./\0][^/\0]*"
_IN_ORDER: Final = re.compile(f"{_PART}(?:/{_PART})*")
"""Relative paths that are written in the one way that there is of them, which most are."""

_WHOLE, _CUT = "=", "+"
"""What follows the id: the whole path, or a piece of it. Neither character survives percent-encoding."""


def make_id(epoch: Epoch, counter: int, nonce: str) -> ClaimId:
    """Return the id of the claim that is the ``counter``-th of ``epoch``.

    The nonce keeps ids apart even where an epoch comes a second time, after somebody removed the lease's folder.
    """
    return ClaimId(f"{epoch}-{counter}-{nonce}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimName:
    """What the name of a claim's file tells; ``path`` is None where it was too long to be told."""

    id: ClaimId
    path: str | None


def format_claim(claim: ClaimId, path: str) -> str:
    """Return the name of the claim's file: id and percent-encoded original path, so that people can read it."""
    encoded = quote(path, safe="", errors="surrogateescape")
    whole = f"{claim}{_WHOLE}{encoded}"
    if len(whole) <= LONGEST_NAME_BYTES:
        return whole
    return f"{claim}{_CUT}{encoded}"[:LONGEST_NAME_BYTES]


def parse_claim(name: str) -> ClaimName:
    """Return what ``format_claim`` put into ``name``.

    Raises:
        ValueError: ``name`` is not the name of a claim.
    """
    claim, mark, encoded = name.partition(_WHOLE)
    if mark and encoded:
        return ClaimName(id=ClaimId(claim), path=unquote(encoded, errors="surrogateescape"))
    claim, mark, _ = name.partition(_CUT)
    if not mark:
        raise ValueError(f"not the name of a claim: {name!r}")
    return ClaimName(id=ClaimId(claim), path=None)


def join(folder: str, path: str) -> str:
    """Return ``path`` below ``folder``, both with ``/``; ``.`` is the place itself."""
    if _IN_ORDER.fullmatch(path):
        if folder in {"", "."}:
            return path
        if _IN_ORDER.fullmatch(folder):
            return f"{folder}/{path}"
    return str(PurePosixPath(folder) / path)


def temporary_name(
    final: str,
    claim: ClaimId,
    attempt: str,
    suffix: str,
    *,
    prefix: str = ".",
    folder: str | None = None,
) -> str:
    """Return the name under which ``final`` is sent: beside it, or in ``folder``.

    ``attempt`` tells apart the tries of one claim. A woken predecessor that clears away its own try must not be able
    to hit its successor's, so no two tries ever bear the same name.
    """
    path = PurePosixPath(final)
    end = f".{claim}.{attempt}{suffix}"
    room = LONGEST_NAME_BYTES - len(prefix.encode()) - len(end.encode())
    name = f"{prefix}{shorten(path.name, room)}{end}"
    return str(path.with_name(name)) if folder is None else join(folder, name)


def unique_name(final: str, claim: ClaimId, moment: datetime | None = None) -> str:
    """Return ``final`` with what makes it unique before its ending: ``report.20261123T080000Z-3-1-9f.csv``."""
    path = PurePosixPath(final)
    mark = f"-{claim}" if moment is not None else f".{claim}"
    if moment is not None:
        mark = f".{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}{mark}"
    room = LONGEST_NAME_BYTES - len(mark) - len(_bytes(path.suffix))
    if room < 1:
        return str(path.with_name(f"{shorten(path.name, LONGEST_NAME_BYTES - len(mark))}{mark}"))
    return str(path.with_name(f"{shorten(path.stem, room)}{mark}{path.suffix}"))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def shorten(name: str, room: int) -> str:
    """Return as much of ``name`` as fits into so many bytes, never half a character."""
    if len(_bytes(name)) <= room:
        return name
    return _bytes(name)[:room].decode("utf-8", "ignore")
