"""An endpoint whose effects end with the ownership of the transfer."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import BinaryIO, TypeVar

from mftgit.adapters.endpoint import Content, Digest, Endpoint, FileEntry, Traits
from mftgit.errors import MftgitError
from mftgit.member.outbound.own import Ownership

T = TypeVar("T")


class FencedEndpoint:
    """An `Endpoint` that asks the ownership before every effect, and before every chunk written."""

    def __init__(self, endpoint: Endpoint, ownership: Ownership) -> None:
        self._endpoint = endpoint
        self._check = ownership.check

    def list_files(
        self, folder: str, *, recursive: bool, depth: int | None = None
    ) -> Iterator[FileEntry]:
        """See `Endpoint.list_files`."""
        return self._endpoint.list_files(folder, recursive=recursive, depth=depth)

    def list_names(self, folder: str) -> list[str]:
        """See `Endpoint.list_names`."""
        return self._endpoint.list_names(folder)

    def stat(self, path: str) -> FileEntry:
        """See `Endpoint.stat`."""
        return self._endpoint.stat(path)

    @property
    def resumes(self) -> bool:
        """See `Endpoint.resumes`."""
        return self._endpoint.resumes

    def open_read(self, path: str, offset: int = 0) -> AbstractContextManager[BinaryIO]:
        """See `Endpoint.open_read`."""
        return self._endpoint.open_read(path, offset)

    def write(
        self,
        path: str,
        chunks: Iterator[bytes],
        *,
        on_chunk: Callable[[int], None],
        resume_at: int | None = None,
    ) -> int:
        """See `Endpoint.write`."""

        def ask(written: int) -> None:
            self._check()
            on_chunk(written)

        self._check()
        return self._endpoint.write(path, chunks, on_chunk=ask, resume_at=resume_at)

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """See `Endpoint.rename`."""
        self._check()
        self._endpoint.rename(old, new, replace=replace)

    def remove(self, path: str) -> None:
        """See `Endpoint.remove`."""
        self._check()
        self._endpoint.remove(path)

    def make_folder(self, path: str) -> None:
        """See `Endpoint.make_folder`."""
        self._check()
        self._endpoint.make_folder(path)

    def remove_folder(self, path: str) -> bool:
        """See `Endpoint.remove_folder`."""
        self._check()
        return self._endpoint.remove_folder(path)

    def stat_all(self, paths: Iterable[str]) -> list[FileEntry | MftgitError]:
        """See `Endpoint.stat_all`."""
        return self._endpoint.stat_all(paths)

    def read_all(self, paths: Iterable[str], *, most_bytes: int) -> list[Content | MftgitError]:
        """See `Endpoint.read_all`."""
        return self._endpoint.read_all(paths, most_bytes=most_bytes)

    def digest_all(self, paths: Iterable[str]) -> list[Digest | MftgitError | None]:
        """See `Endpoint.digest_all`."""
        return self._endpoint.digest_all(paths)

    def write_all(self, files: Iterable[tuple[str, bytes]]) -> list[int | MftgitError]:
        """See `Endpoint.write_all`; asked before each file."""
        return self._endpoint.write_all(self._asking(files))

    def rename_all(
        self, moves: Iterable[tuple[str, str]], *, replace: bool
    ) -> list[MftgitError | None]:
        """See `Endpoint.rename_all`; asked before each file."""
        return self._endpoint.rename_all(self._asking(moves), replace=replace)

    def set_all(self, changes: Iterable[tuple[str, Traits]]) -> list[MftgitError | None]:
        """See `Endpoint.set_all`; asked before each file."""
        return self._endpoint.set_all(self._asking(changes))

    def remove_all(self, paths: Iterable[str]) -> list[MftgitError | None]:
        """See `Endpoint.remove_all`; asked before each file."""
        return self._endpoint.remove_all(self._asking(paths))

    def _asking(self, items: Iterable[T]) -> Iterator[T]:
        for item in items:
            self._check()
            yield item

    def close(self) -> None:
        """See `Endpoint.close`."""
        self._endpoint.close()
