"""The digests of files at an endpoint: told by the other side where it can, else worked out from what it gives."""

import hashlib
from collections.abc import Sequence
from typing import Final

from mftgit.adapters.endpoint import Content, Digest, Endpoint, EndpointLostError
from mftgit.errors import MftgitError
from mftgit.member.outbound.ahead import digest_of

SMALL_BYTES: Final = 1 << 20
"""Up to this size a file is held in memory as a whole, and sent side by side with others."""


def digests_of(endpoint: Endpoint, paths: Sequence[str], *, ask: bool) -> list[str | MftgitError]:
    """Return the SHA-256 of each file, in hexadecimal; ``ask`` the other side before they are read.

    Raises:
        EndpointLostError: the other side went away.
    """
    told = endpoint.digest_all(paths) if ask else [None] * len(paths)
    left = [path for path, each in zip(paths, told, strict=True) if each is None]
    read = iter(_read(endpoint, left) if left else ())
    return [
        next(read) if each is None else each.sha256 if isinstance(each, Digest) else each
        for each in told
    ]


def _read(endpoint: Endpoint, paths: Sequence[str]) -> list[str | MftgitError]:
    found = endpoint.read_all(paths, most_bytes=SMALL_BYTES)
    return [_digest(endpoint, *each) for each in zip(paths, found, strict=True)]


def _digest(endpoint: Endpoint, path: str, content: Content | MftgitError) -> str | MftgitError:
    if isinstance(content, MftgitError):
        return content
    if content.before.size_bytes <= SMALL_BYTES:
        return hashlib.sha256(content.data).hexdigest()
    try:
        return digest_of(endpoint, path)
    except EndpointLostError:
        raise
    except MftgitError as error:
        return error
