"""What every stream has that is read from a partner."""

import io
from abc import abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class ReadStream(io.RawIOBase):
    """A stream made of its `read`."""

    def readable(self) -> bool:
        """See `io.IOBase.readable`."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """See `io.RawIOBase.readinto`."""
        room = memoryview(buffer).cast("B")
        data = self.read(len(room))
        room[: len(data)] = data
        return len(data)

    @abstractmethod
    def read(self, size: int = -1, /) -> bytes:
        """See `io.RawIOBase.read`."""
