"""The digests of files at an endpoint: told by the other side where it can, else worked out from what it gives."""

import hashlib
from collections.abc import Sequence
from typing import Final

from mftgit.adapters.endpoint.contract import (
    Content,
    Digest,
    Endpoint,
    EndpointLostError,
    FileEntry,
)
from mftgit.errors import MftgitError
from mftgit.member.outbound.places.ahead import digest_of

SMALL_BYTES: Final = 1 << 20
"""Up to this size a file is held in memory as a whole, and sent side by side with others."""


def read_small(
    endpoint: Endpoint, paths: Sequence[str], sizes: Sequence[int | None]
) -> list[Content | MftgitError]:
    """Read each file whole that is small, and tell of the others only how they are.

    ``sizes`` are those that they had before, as far as that is known: one that was large is not opened.
    """
    large = [size is not None and size > SMALL_BYTES for size in sizes]
    asked = [path for path, is_large in zip(paths, large, strict=True) if is_large]
    others = [path for path, is_large in zip(paths, large, strict=True) if not is_large]
    told = iter(endpoint.stat_all(asked) if asked else ())
    read = iter(endpoint.read_all(others, most_bytes=SMALL_BYTES) if others else ())
    return [_unread(next(told)) if is_large else next(read) for is_large in large]


def _unread(entry: FileEntry | MftgitError) -> Content | MftgitError:
    if isinstance(entry, MftgitError):
        return entry
    return Content(before=entry, after=entry, data=b"")


def digests_of(
    endpoint: Endpoint,
    paths: Sequence[str],
    *,
    ask: bool,
    sizes: Sequence[int | None] | None = None,
) -> list[str | MftgitError]:
    """Return the SHA-256 of each file, in hexadecimal; ``ask`` the other side before they are read.

    ``sizes`` are those that they are to have, as far as that is known.

    Raises:
        EndpointLostError: the other side went away.
    """
    told = endpoint.digest_all(paths) if ask else [None] * len(paths)
    known = sizes or [None] * len(paths)
    left = [
        (path, size) for path, size, each in zip(paths, known, told, strict=True) if each is None
    ]
    read = iter(_read(endpoint, left) if left else ())
    return [
        next(read) if each is None else each.sha256 if isinstance(each, Digest) else each
        for each in told
    ]


def _read(endpoint: Endpoint, files: Sequence[tuple[str, int | None]]) -> list[str | MftgitError]:
    paths, sizes = [path for path, _ in files], [size for _, size in files]
    found = read_small(endpoint, paths, sizes)
    return [_digest(endpoint, *each) for each in zip(paths, found, strict=True)]


def _digest(endpoint: Endpoint, path: str, content: Content | MftgitError) -> str | MftgitError:
    if isinstance(content, MftgitError):
        return content
    if len(content.data) == content.before.size_bytes <= SMALL_BYTES:
        return hashlib.sha256(content.data).hexdigest()
    try:
        return digest_of(endpoint, path)
    except EndpointLostError:
        raise
    except MftgitError as error:
        return error
