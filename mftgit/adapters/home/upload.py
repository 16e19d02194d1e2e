"""An upload: bytes go to a hidden temporary, which gets its visible name in one step when it is closed."""

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.home.contract import Attributes, HomeError, Refusal, Traits
from mftgit.adapters.home.digest import WrittenDigest
from mftgit.adapters.home.errors import meaning, telling
from mftgit.adapters.home.mark import mark
from mftgit.adapters.home.reading import MAX_OFFSET, read_at, read_at_once
from mftgit.adapters.home.spots import Spot
from mftgit.adapters.home.temporary import (
    GONE_AT_ONCE_BYTES,
    LaterError,
    Partial,
    give_back,
    take,
)
from mftgit.adapters.home.usage import Usage
from mftgit.adapters.home.walk import attributes_of, below, is_same, status
from mftgit.adapters.local.confined import sync_folder
from mftgit.adapters.local.rename import rename_to_free_name
from mftgit.model.inbound.finished import Finished
from mftgit.model.names import AccountName

_MAX_GAP_BYTES: Final = 4 * 1024 * 1024 * 1024
_MAX_LACKS: Final = 1000
_TRIES: Final = 20
_TRY_S: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an upload is, and how far it may go.

    ``replace``: a file that is at its destination may be replaced. ``is_copy``: it began with a copy of the visible
    file, which is ``basis`` where that lies on this machine; below ``floor_bytes`` nothing of that may be changed.
    ``resumed``: it goes on with an unfinished one. ``mark``: the file is to say who sent it.
    """

    account: AccountName
    spot: Spot
    temporary: str
    usage: Usage
    clock: Clock
    flush: bool
    replace: bool
    append: bool
    read: bool
    mark: bool
    resumed: bool = False
    is_copy: bool = False
    basis: os.stat_result | None = None
    floor_bytes: int = 0
    max_file_bytes: int | None = None


class Upload:
    """See `OpenFile`. ``published`` is called when the file has its visible name, ``let_go`` once in any case."""

    def __init__(
        self,
        partial: Partial,
        terms: Terms,
        *,
        change: Callable[[int, Traits], None],
        published: Callable[[], None],
        finished: Callable[[Finished], None],
        let_go: Callable[["Upload"], None],
    ) -> None:
        self.terms = terms
        self._fd: int | None = partial.descriptor
        self._size = partial.size_bytes
        self._digest = WrittenDigest(partial.descriptor, partial.size_bytes)
        self._change = change
        self._published = published
        self._finished = finished
        self._let_go = let_go
        self._lacks: set[int] = set()  # where writes were refused
        self._lacks_more = self._is_lost = False
        self._begun_s = terms.clock.boottime()

    @property
    def descriptor(self) -> int:
        """The descriptor of the temporary.

        Raises:
            HomeError: it is closed.
        """
        if self._fd is None:
            raise HomeError(Refusal.FAILED, f"{self.terms.spot.path!r} is closed")
        return self._fd

    @property
    def file(self) -> str:
        """Where it lies once it is whole."""
        return self.terms.spot.file

    def read(self, offset: int, length: int) -> bytes:
        """See `OpenFile.read`."""
        self._require_readable()
        with telling(self.terms.spot.path):
            return read_at(self.descriptor, offset, length)

    def read_at_once(self, offset: int, length: int) -> bytes | bytearray | None:
        """See `OpenFile.read_at_once`."""
        self._require_readable()
        with telling(self.terms.spot.path):
            return read_at_once(self.descriptor, offset, length)

    def writes_at_once(self, offset: int) -> bool:
        """See `OpenFile.writes_at_once`."""
        return (self.terms.append or offset == self._size) and self._digest.is_taken(self._size)

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """See `OpenFile.write`."""
        descriptor = self.descriptor
        start = self._size if self.terms.append else offset
        end = start + len(data)
        if end == start:
            return
        again = start in self._lacks
        if len(self._lacks) < _MAX_LACKS:
            self._lacks.add(start)
        else:
            self._lacks_more = True
        self._make_room(start, end)
        with telling(self.terms.spot.path):
            try:
                _write_whole(descriptor, data, start)
            except OSError:
                self.terms.usage.give_back(size_bytes=max(0, end - self._size))
                with suppress(OSError):
                    os.ftruncate(descriptor, self._size)  # a part of it may have got there
                raise
            self._size = max(self._size, end)
            self._digest.add(start, end, data)
        if not (again and self.terms.append):  # there, it may be what was to follow
            self._lacks.discard(start)

    def attributes(self) -> Attributes:
        """See `OpenFile.attributes`."""
        with telling(self.terms.spot.path):
            return attributes_of(os.fstat(self.descriptor))

    def set(self, traits: Traits) -> None:
        """See `OpenFile.set`."""
        if traits.size_bytes is not None:
            self.resize(traits.size_bytes)
        self._change(self.descriptor, traits)

    def resize(self, size_bytes: int) -> None:
        """Cut or grow it."""
        self._make_room(min(size_bytes, self._size), size_bytes)
        with telling(self.terms.spot.path):
            os.ftruncate(self.descriptor, size_bytes)
        if size_bytes < self._size:
            self.terms.usage.give_back(size_bytes=self._size - size_bytes)
        self._digest.cut(size_bytes)
        self._size = size_bytes
        self._lacks = {each for each in self._lacks if each < size_bytes}

    def flush(self) -> None:
        """See `OpenFile.flush`."""
        descriptor = self.descriptor
        with telling(self.terms.spot.path):
            try:
                os.fsync(descriptor)
            except OSError:
                self._is_lost = True  # the next fsync would know nothing of it (fsync(2))
                raise

    def close(self) -> Finished | None:
        """See `OpenFile.close`. Where a write was refused and not done again, the file has no visible name to get."""
        done = self._finish(at_once=False)
        self._finished(done)
        return done

    def publish(self) -> Finished | None:
        """See `OpenFile.publish`."""
        if self.terms.flush or self._lacks_any or not self._digest.is_taken(self._size):
            return None
        try:
            return self._finish(at_once=True)
        except LaterError:
            return None

    def _finish(self, *, at_once: bool) -> Finished:
        descriptor = self.descriptor
        try:
            self._require_name()
        except HomeError:
            self._end()
            raise
        if self._lacks_any:
            self.abandon()
            raise HomeError(
                Refusal.FAILED, f"{self.terms.spot.path!r}: not all of it could be written"
            )
        try:
            with telling(self.terms.spot.path):
                digest = self._digest.finish(self._size)
                if self.terms.mark:
                    mark(descriptor, self.terms.account)
                if self.terms.flush:
                    os.fsync(descriptor)
                overwrote = self._publish(at_once=at_once)
        except LaterError:
            raise
        except BaseException:
            self._end()
            raise
        self._end()
        self._published()
        return Finished(
            account=self.terms.account,
            path=self.terms.spot.path,
            file=self.file,
            size_bytes=self._size,
            digest=digest,
            duration_s=self.terms.clock.boottime() - self._begun_s,
            overwrote=overwrote,
            resumed=self.terms.resumed,
        )

    @property
    def _lacks_any(self) -> bool:
        return self._is_lost or bool(self._lacks) or self._lacks_more

    def abandon(self) -> None:
        """See `OpenFile.abandon`."""
        if self._fd is None:
            return
        try:
            with telling(self.terms.spot.path):
                self._leave(self._fd)
        finally:
            self._end()

    def _end(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
            self._let_go(self)

    def _leave(self, descriptor: int) -> None:
        """Keep what can be gone on with: what is whole from the begin on, of what is no copy of a visible file."""
        if os.fstat(descriptor).st_nlink == 0:
            return
        whole_bytes = 0 if self._is_lost else self._digest.whole_bytes
        if whole_bytes and not self.terms.is_copy:
            if whole_bytes < self._size:
                os.ftruncate(descriptor, whole_bytes)
                self.terms.usage.give_back(size_bytes=self._size - whole_bytes)
            return
        with below(self.terms.spot.root, self.terms.spot.above) as folder:
            own = take(folder, self.terms.temporary, descriptor)
            if own is not None:
                os.unlink(own, dir_fd=folder)
                self.terms.usage.give_back(size_bytes=self._size, files=1)

    def _make_room(self, start: int, end: int) -> None:
        """Refuse what is beyond the limits, before anything is written."""
        path = self.terms.spot.path
        limit = MAX_OFFSET if self.terms.max_file_bytes is None else self.terms.max_file_bytes
        if start < self.terms.floor_bytes:
            raise HomeError(Refusal.DENIED, f"{path!r} may be added to, and not changed")
        if end > limit:
            raise HomeError(Refusal.TOO_LARGE, f"{path!r}: files may have {limit:,} bytes at most")
        if end > self._digest.whole_bytes + _MAX_GAP_BYTES:
            raise HomeError(Refusal.TOO_LARGE, f"{path!r}: that is too far behind what was written")
        self._require_name()  # nobody would see how much it takes
        if end > self._size:
            self.terms.usage.take(size_bytes=end - self._size)

    def _require_readable(self) -> None:
        if not self.terms.read:
            raise HomeError(Refusal.DENIED, f"{self.terms.spot.path!r} was opened for writing only")

    def _require_name(self) -> None:
        path, descriptor = self.terms.spot.path, self.descriptor
        try:
            links = os.fstat(descriptor).st_nlink
        except OSError as error:
            raise meaning(error, path) from error
        if links == 0:
            raise HomeError(Refusal.BUSY, f"{path!r} was removed, or another session sends it")

    def _publish(self, *, at_once: bool) -> bool:
        """Give the temporary its visible name; tell whether a file was there before.

        Raises:
            LaterError: ``at_once``, it would have to be waited for; nothing has changed.
        """
        terms = self.terms
        with below(terms.spot.root, terms.spot.above) as folder:
            own = self._take(folder, at_once=at_once)
            try:
                replaced = self._rename(folder, own, at_once=at_once)
            except BaseException:
                self._put_back(folder, own)
                raise
            if terms.flush:
                sync_folder(folder)
        if replaced is None:
            return False
        terms.usage.give_back(size_bytes=replaced.st_size, files=1)
        return True

    def _put_back(self, folder: int, own: str) -> None:
        """Leave what was taken as the temporary that it was, unless it has nothing of its own that is to be kept."""
        if self.terms.is_copy:
            os.unlink(own, dir_fd=folder)
        else:
            give_back(folder, own, self.terms.temporary)

    def _take(self, folder: int, *, at_once: bool) -> str:
        """Take the temporary; one that an older session looks at for a moment is waited for."""
        for _ in range(_TRIES):
            own = take(folder, self.terms.temporary, self.descriptor)
            if own is not None:
                return own
            if os.fstat(self.descriptor).st_nlink == 0:
                break
            if at_once:
                raise LaterError
            Event().wait(_TRY_S)
        raise HomeError(
            Refusal.BUSY,
            f"{self.terms.spot.path!r}: its folder was moved, or another session sends the same file anew",
        )

    def _rename(self, folder: int, own: str, *, at_once: bool) -> os.stat_result | None:
        """Rename it to its visible name; return what was there."""
        terms, name = self.terms, self.terms.spot.name
        try:
            rename_to_free_name(folder, own, folder, name)
        except FileExistsError:
            if not terms.replace:
                raise
        else:
            return None
        there = status(folder, name)
        if there is not None and stat.S_ISDIR(there.st_mode):
            raise HomeError(Refusal.IS_FOLDER, f"{terms.spot.path!r} is a folder by now")
        if terms.basis is not None and not _is_unchanged(terms.basis, there):
            raise HomeError(Refusal.BUSY, f"{terms.spot.path!r} was changed by others meanwhile")
        if at_once and there is not None and there.st_size > GONE_AT_ONCE_BYTES:
            raise LaterError
        os.rename(own, name, src_dir_fd=folder, dst_dir_fd=folder)
        return there


def _write_whole(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    done = os.pwrite(descriptor, data, offset)
    if done < len(data):
        left = memoryview(data)
        while done < len(left):
            done += os.pwrite(descriptor, left[done:], offset + done)


def _is_unchanged(before: os.stat_result, after: os.stat_result | None) -> bool:
    return (
        after is not None
        and is_same(before, after)
        and (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    )
