"""What is done to many files by an endpoint that does one thing at a time."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, TypeVar

from mftgit.adapters.endpoint.contract import Content, Digest, EndpointLostError, FileEntry, Traits
from mftgit.errors import MftgitError

A = TypeVar("A")
T = TypeVar("T")


def each(call: Callable[[A], T], items: Iterable[A]) -> list[T | MftgitError]:
    """Return what ``call`` made of each of ``items``, or its error.

    Raises `EndpointLostError`, and what ``items`` raise.
    """
    ended: list[T | MftgitError] = []
    for item in items:
        try:
            ended.append(call(item))
        except EndpointLostError:
            raise
        except MftgitError as error:
            ended.append(error)
    return ended


class OneByOne(ABC):
    """The methods of an `Endpoint` that end in ``_all``, made of those for one file."""

    @abstractmethod
    def stat(self, path: str) -> FileEntry:
        """See `Endpoint.stat`."""

    @abstractmethod
    def open_read(self, path: str, offset: int = 0) -> AbstractContextManager[BinaryIO]:
        """See `Endpoint.open_read`."""

    @abstractmethod
    def write(
        self,
        path: str,
        chunks: Iterator[bytes],
        *,
        on_chunk: Callable[[int], None],
        resume_at: int | None = None,
    ) -> int:
        """See `Endpoint.write`."""

    @abstractmethod
    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """See `Endpoint.rename`."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """See `Endpoint.remove`."""

    @abstractmethod
    def set_traits(self, path: str, traits: Traits) -> None:
        """Give the file ``path`` these, and make that last."""

    def stat_all(self, paths: Iterable[str]) -> list[FileEntry | MftgitError]:
        """See `Endpoint.stat_all`."""
        return each(self.stat, paths)

    def read_all(self, paths: Iterable[str], *, most_bytes: int) -> list[Content | MftgitError]:
        """See `Endpoint.read_all`."""
        return each(lambda path: self._read(path, most_bytes), paths)

    def digest_all(self, paths: Iterable[str]) -> list[Digest | MftgitError | None]:
        """See `Endpoint.digest_all`; the other side works none out."""
        return [None for _ in paths]

    def write_all(self, files: Iterable[tuple[str, bytes]]) -> list[int | MftgitError]:
        """See `Endpoint.write_all`."""
        return each(
            lambda file: self.write(file[0], iter((file[1],)), on_chunk=lambda _: None), files
        )

    def rename_all(
        self, moves: Iterable[tuple[str, str]], *, replace: bool
    ) -> list[MftgitError | None]:
        """See `Endpoint.rename_all`."""
        return each(lambda move: self.rename(*move, replace=replace), moves)

    def set_all(self, changes: Iterable[tuple[str, Traits]]) -> list[MftgitError | None]:
        """See `Endpoint.set_all`."""
        return each(lambda change: self.set_traits(*change), changes)

    def remove_all(self, paths: Iterable[str]) -> list[MftgitError | None]:
        """See `Endpoint.remove_all`."""
        return each(self.remove, paths)

    def _read(self, path: str, most_bytes: int) -> Content:
        before = self.stat(path)
        if before.size_bytes > most_bytes:
            return Content(before=before, after=before, data=b"")
        data = bytearray()
        with self.open_read(path) as stream:
            while len(data) <= most_bytes and (chunk := stream.read(most_bytes + 1 - len(data))):
                data += chunk
        return Content(before=before, after=self.stat(path), data=bytes(data))
