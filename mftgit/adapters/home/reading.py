"""A file of a home that is open for reading."""

import errno
import os
from collections.abc import Callable
from typing import Final

from mftgit.adapters.home.contract import Attributes, HomeError, Refusal, Traits
from mftgit.adapters.home.errors import telling
from mftgit.adapters.home.walk import attributes_of
from mftgit.model.inbound.finished import Finished

MAX_OFFSET: Final = 2**63 - 1
"""Behind that no file can have a byte (off_t)."""

_MAX_READ: Final = 4 * 1024 * 1024


class ReadFile:
    """See `OpenFile`; ``let_go`` is called once, when it is closed."""

    def __init__(
        self,
        descriptor: int,
        path: str,
        *,
        change: Callable[[int, Traits], None],
        let_go: Callable[["ReadFile"], None],
    ) -> None:
        self._descriptor: int | None = descriptor
        self._path = path
        self._change = change
        self._let_go = let_go

    @property
    def descriptor(self) -> int:
        """The descriptor of the file.

        Raises:
            HomeError: it is closed.
        """
        if self._descriptor is None:
            raise HomeError(Refusal.FAILED, f"{self._path!r} is closed")
        return self._descriptor

    def read(self, offset: int, length: int) -> bytes:
        """See `OpenFile.read`."""
        with telling(self._path):
            return read_at(self.descriptor, offset, length)

    def read_at_once(self, offset: int, length: int) -> bytes | bytearray | None:
        """See `OpenFile.read_at_once`."""
        with telling(self._path):
            return read_at_once(self.descriptor, offset, length)

    def writes_at_once(self, offset: int) -> bool:  # noqa: ARG002  it is refused
        """See `OpenFile.writes_at_once`."""
        return True

    def write(self, offset: int, data: bytes | memoryview) -> None:  # noqa: ARG002  it is refused
        """See `OpenFile.write`."""
        raise HomeError(Refusal.DENIED, f"{self._path!r} was opened for reading only")

    def attributes(self) -> Attributes:
        """See `OpenFile.attributes`."""
        with telling(self._path):
            return attributes_of(os.fstat(self.descriptor))

    def set(self, traits: Traits) -> None:
        """See `OpenFile.set`."""
        if traits.size_bytes is not None:
            raise HomeError(Refusal.DENIED, f"{self._path!r} was opened for reading only")
        self._change(self.descriptor, traits)

    def flush(self) -> None:
        """See `OpenFile.flush`."""

    def publish(self) -> Finished | None:
        """See `OpenFile.publish`."""
        raise HomeError(Refusal.FAILED, f"{self._path!r} was opened for reading only")

    def close(self) -> Finished | None:
        """See `OpenFile.close`."""
        self.abandon()
        return None

    def abandon(self) -> None:
        """See `OpenFile.abandon`."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            self._let_go(self)


def read_at(descriptor: int, offset: int, length: int) -> bytes:
    """Return up to ``length`` bytes at ``offset``, 4 MiB at the most; none where no file can have any."""
    if offset > MAX_OFFSET - _MAX_READ:
        return b""
    return os.pread(descriptor, min(length, _MAX_READ), offset)


def read_at_once(descriptor: int, offset: int, length: int) -> bytes | bytearray | None:
    """Do as `read_at` does where it need not wait for the disk; None where it may have to."""
    if offset > MAX_OFFSET - _MAX_READ:
        return b""
    content = bytearray(min(length, _MAX_READ))
    try:
        size = os.preadv(descriptor, [content], offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:  # such storage has to be waited for
            return None
        raise
    if size == len(content):
        return content
    if offset + size < os.fstat(descriptor).st_size:
        return None  # the rest is on the disk
    del content[size:]
    return content
