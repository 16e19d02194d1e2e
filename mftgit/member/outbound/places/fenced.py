"""An endpoint whose effects end with the ownership of the transfer, and whose errors say where they are from."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from threading import RLock
from types import TracebackType
from typing import BinaryIO, TypeVar, cast

from mftgit.adapters.endpoint.contract import (
    ConditionalEndpoint,
    Content,
    Digest,
    Endpoint,
    FileEntry,
    FileMissingError,
    TakingEndpoint,
    Traits,
)
from mftgit.adapters.endpoint.one_by_one import each as one_by_one
from mftgit.errors import MftgitError
from mftgit.member.outbound.ownership.own import Ownership, OwnershipEndedError
from mftgit.member.outbound.places.lanes import spread
from mftgit.model.names import LocationName

A = TypeVar("A")
T = TypeVar("T")


class _NamedStream:
    """A stream whose errors are named; so much of one as reading takes."""

    def __init__(self, stream: BinaryIO, endpoint: "FencedEndpoint") -> None:
        self._stream = stream
        self._endpoint = endpoint

    def read(self, size: int = -1) -> bytes:
        with self._endpoint.using():
            return self._stream.read(size)


class FencedEndpoint:
    """An `Endpoint` that asks the ownership before every effect, and before every chunk written."""

    def __init__(
        self,
        endpoint: Endpoint,
        ownership: Ownership,
        location: LocationName | None = None,
        *,
        more: Callable[[], Sequence[Endpoint]] = tuple,
        spreads: bool = False,
        aside: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Have ``more`` give further endpoints of the same place.

        With ``spreads`` they do their part of what is done to many files. ``aside`` is put around what is asked of the
        endpoint, and around the wait until no other thread asks it anything.
        """
        self._endpoint = endpoint
        self._ownership = ownership
        self._check = ownership.check
        self._location = location
        self._more = more
        self._spreads = spreads
        self._aside = aside
        self._used = RLock()

    def is_one_with(self, other: "FencedEndpoint") -> bool:
        """Tell whether both stand for one endpoint, as where files go from one folder of a location to another."""
        return self._endpoint is other._endpoint  # noqa: SLF001  of its own kind

    def lanes(self) -> "list[FencedEndpoint]":
        """Return all endpoints of this place, this one first: each may be used by a thread of its own."""
        more = (FencedEndpoint(each, self._ownership, self._location) for each in self._more())
        return [self, *more]

    def _spread(
        self, call: Callable[[Endpoint, Iterator[A]], list[T]], items: Iterable[A]
    ) -> list[T]:
        with self.using():
            if not self._spreads:
                return self._name_all(call(self._endpoint, iter(items)))
            return self._name_all(spread(self._endpoint, self._more, call, items))

    @contextmanager
    def using(self) -> Iterator[None]:
        """Have the endpoint for this thread alone, and name the errors, see `named`."""
        with self._aside(), self._used, self.named():
            yield

    @contextmanager
    def named(self) -> Iterator[None]:
        """Say of an error that it is from here, unless it is from elsewhere, as one of what is read to be written."""
        try:
            yield
        except MftgitError as error:
            self._name(error)
            raise

    def _name(self, error: MftgitError) -> None:
        if error.location is None and not isinstance(error, OwnershipEndedError):
            error.location = self._location

    def _name_all(self, ended: list[T]) -> list[T]:
        for each in ended:
            if isinstance(each, MftgitError):
                self._name(each)
        return ended

    def list_files(
        self, folder: str, *, recursive: bool, depth: int | None = None
    ) -> Iterator[FileEntry]:
        """See `Endpoint.list_files`; not for when lots are under way, since the caller goes on while it lists."""
        with self.named():
            yield from self._endpoint.list_files(folder, recursive=recursive, depth=depth)

    def list_names(self, folder: str) -> list[str]:
        """See `Endpoint.list_names`."""
        with self.using():
            return self._endpoint.list_names(folder)

    def stat(self, path: str) -> FileEntry:
        """See `Endpoint.stat`."""
        with self.using():
            return self._endpoint.stat(path)

    @property
    def resumes(self) -> bool:
        """See `Endpoint.resumes`."""
        return self._endpoint.resumes

    def find_part(self, path: str) -> None:
        """See `TakingEndpoint.find_part`; where the other side has no way of its own, it is a file as any other."""
        with self.using():
            if isinstance(self._endpoint, TakingEndpoint):
                self._endpoint.find_part(path)
            else:
                self._endpoint.stat(path)

    def take_part(self, old: str, new: str, *, goes_on: bool = True) -> None:
        """See `TakingEndpoint.take_part`; where the other side has no way of its own, it is renamed."""
        with self.using():
            self._check()
            if isinstance(self._endpoint, TakingEndpoint):
                self._endpoint.take_part(old, new, goes_on=goes_on)
            else:
                self._endpoint.rename(old, new, replace=True)

    def drop_parts(self, paths: Sequence[str]) -> list[MftgitError | None]:
        """See `TakingEndpoint.drop_part`, of each; asked before each file."""
        endpoint = self._endpoint
        if not isinstance(endpoint, TakingEndpoint):
            return self.remove_all(paths)
        with self.named():
            return self._name_all(one_by_one(endpoint.drop_part, self._asking(paths)))

    @contextmanager
    def open_read(self, path: str, offset: int = 0) -> Iterator[BinaryIO]:
        """See `Endpoint.open_read`; what is raised while it is open comes from wherever it says."""
        opened = self._endpoint.open_read(path, offset)
        with self.using():
            stream = opened.__enter__()
        with ExitStack() as ending:
            ending.push(lambda *raised: self._end(opened, *raised))
            yield cast("BinaryIO", _NamedStream(stream, self))

    def _end(
        self,
        opened: AbstractContextManager[BinaryIO],
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        with self.using():
            return opened.__exit__(kind, error, trace)

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

        with self.using():
            self._check()
            return self._endpoint.write(path, chunks, on_chunk=ask, resume_at=resume_at)

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """See `Endpoint.rename`."""
        with self.using():
            self._check()
            self._endpoint.rename(old, new, replace=replace)

    def remove(self, path: str) -> None:
        """See `Endpoint.remove`."""
        with self.using():
            self._check()
            self._endpoint.remove(path)

    def make_folder(self, path: str) -> None:
        """See `Endpoint.make_folder`."""
        with self.using():
            self._check()
            self._endpoint.make_folder(path)

    def remove_folder(self, path: str) -> bool:
        """See `Endpoint.remove_folder`."""
        with self.using():
            self._check()
            return self._endpoint.remove_folder(path)

    def stat_all(self, paths: Iterable[str]) -> list[FileEntry | MftgitError]:
        """See `Endpoint.stat_all`."""
        return self._spread(lambda lane, some: lane.stat_all(some), paths)

    def read_all(self, paths: Iterable[str], *, most_bytes: int) -> list[Content | MftgitError]:
        """See `Endpoint.read_all`."""
        return self._spread(lambda lane, some: lane.read_all(some, most_bytes=most_bytes), paths)

    def digest_all(self, paths: Iterable[str]) -> list[Digest | MftgitError | None]:
        """See `Endpoint.digest_all`."""
        return self._spread(lambda lane, some: lane.digest_all(some), paths)

    def write_all(self, files: Iterable[tuple[str, bytes]]) -> list[int | MftgitError]:
        """See `Endpoint.write_all`; asked before each file."""
        return self._spread(lambda lane, some: lane.write_all(some), self._asking(files))

    def rename_all(
        self, moves: Iterable[tuple[str, str]], *, replace: bool
    ) -> list[MftgitError | None]:
        """See `Endpoint.rename_all`; asked before each file."""
        return self._spread(
            lambda lane, some: lane.rename_all(some, replace=replace), self._asking(moves)
        )

    def set_all(self, changes: Iterable[tuple[str, Traits]]) -> list[MftgitError | None]:
        """See `Endpoint.set_all`; asked before each file."""
        return self._spread(lambda lane, some: lane.set_all(some), self._asking(changes))

    def remove_all(self, paths: Iterable[str]) -> list[MftgitError | None]:
        """See `Endpoint.remove_all`; asked before each file."""
        return self._spread(lambda lane, some: lane.remove_all(some), self._asking(paths))

    def remove_same_all(self, files: Iterable[FileEntry]) -> list[MftgitError | None]:
        """Remove each of ``files`` that still has that size and time; what is another one by now is missing.

        The other side sees to that where it can; else it is looked right before. Asked before each file.
        """
        files = list(files)
        if isinstance(self._endpoint, ConditionalEndpoint):
            return self._spread(
                lambda lane, some: one_by_one(cast("ConditionalEndpoint", lane).remove_same, some),
                self._asking(files),
            )
        found = self.stat_all(file.path for file in files)
        ended = [_fault(*both) for both in zip(files, found, strict=True)]
        same = [at for at, fault in enumerate(ended) if fault is None]
        removed = self.remove_all(files[at].path for at in same)
        for at, error in zip(same, removed, strict=True):
            ended[at] = error
        return ended

    def _asking(self, items: Iterable[T]) -> Iterator[T]:
        for item in items:
            self._check()
            yield item

    def close(self) -> None:
        """See `Endpoint.close`."""
        self._endpoint.close()


def _fault(file: FileEntry, found: FileEntry | MftgitError) -> MftgitError | None:
    """Return why ``file`` is not to be removed, after it was looked at."""
    if isinstance(found, MftgitError):
        return found
    if (found.size_bytes, found.mtime_ns) != (file.size_bytes, file.mtime_ns):
        return FileMissingError(f"{file.path!r} is another file by now")
    return None
