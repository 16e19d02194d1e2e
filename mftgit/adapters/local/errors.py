"""What an error of the operating system means for a file on local or mounted storage."""

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mftgit.adapters.endpoint.contract import (
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileExistsAtEndpointError,
    FileMissingError,
)
from mftgit.errors import MftgitError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# What each errno means for the caller; one that is not named is a refusal.
_MEANING: dict[int, type[MftgitError]] = {
    errno.ENOENT: FileMissingError,
    errno.ENOTDIR: FileMissingError,
    errno.EEXIST: FileExistsAtEndpointError,
    errno.ENOSPC: EndpointFullError,
} | dict.fromkeys(
    (
        errno.EIO,
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.ENODEV,
        errno.ENXIO,
        errno.ENOTCONN,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EREMOTEIO,
        errno.EAGAIN,
        errno.EBUSY,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
    ),
    EndpointLostError,
)


@contextmanager
def telling(root: Path, *paths: str) -> Iterator[None]:
    """Turn an `OSError` of the body into the error of endpoints that it means."""
    try:
        yield
    except OSError as error:
        kind = _MEANING.get(error.errno or 0, EndpointRefusedError)
        named = " to ".join(repr(path) for path in paths)
        raise kind(f"{root}: {named}: {error.strerror or error}") from error


class TellingFile(io.FileIO):
    """A file open for reading that tells its troubles by the errors of endpoints."""

    def __init__(self, descriptor: int, root: Path, path: str) -> None:
        super().__init__(descriptor, "rb")
        self._told = root, path

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """See `io.RawIOBase.readinto`."""
        with telling(*self._told):
            return super().readinto(buffer)

    def readall(self) -> bytes:
        """See `io.RawIOBase.readall`."""
        with telling(*self._told):
            return super().readall()
