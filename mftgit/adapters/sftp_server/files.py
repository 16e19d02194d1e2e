"""What a client asks of files: opened, read, written, compared and closed."""

from collections.abc import Callable
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.home.contract import Home, HomeError, OpenFile, Opening, Refusal
from mftgit.adapters.hosting import UNWRITTEN, Download, Tally, TellUpload
from mftgit.adapters.sftp_server.content import copy, digests, pick_algorithm
from mftgit.adapters.sftp_server.handles import Handles, ServedFile, ServedFolder, end
from mftgit.adapters.sftp_server.told import Do, Pieces, changes, ok, told, traits
from mftgit.adapters.ssh_server.awaited import Awaited
from mftgit.model.sftp import answer as sftp_answer
from mftgit.model.sftp import asked as sftp_asked
from mftgit.model.sftp.fields import Status

MOST_DATA_BYTES: Final = 255 << 10
"""What is read or written by one request, as OpenSSH has it; longer reads get less, which they have to expect."""


class FileRequests:
    """What is asked of the files of one session; those that are open are among ``handles``."""

    def __init__(
        self,
        home: Home,
        handles: Handles,
        *,
        downloaded: Callable[[Download], None],
        tell_upload: TellUpload | None,
        tally: Tally,
        clock: Clock,
        work: Callable[[], None],
    ) -> None:
        self._home = home
        self._handles = handles
        self._downloaded = downloaded
        self._tell_upload = tell_upload
        self._tally = tally
        self._clock = clock
        self._work = work

    def answers(self) -> dict[type[sftp_asked.Request], Do[Pieces]]:
        """Return what answers each kind of request, however long it may take."""
        return {
            sftp_asked.Open: self._open,
            sftp_asked.Close: self._close,
            sftp_asked.Read: self._read,
            sftp_asked.Write: self._write,
            sftp_asked.StatOpen: self._stat_open,
            sftp_asked.SetOpen: self._set_open,
            sftp_asked.Flush: self._flush,
            sftp_asked.Copy: self._copy,
            sftp_asked.Check: self._check,
        }

    def near_at_once(self) -> dict[type[sftp_asked.Request], Do[Pieces | Awaited | None]]:
        """Return what takes no longer than a system call or two on a local disk; None says that it may."""
        return {
            sftp_asked.Open: self._open_at_once,
            sftp_asked.Close: self._close_at_once,
            sftp_asked.Read: self._read_at_once,
            sftp_asked.Write: self._write_at_once,
        }

    def _open(self, asked: sftp_asked.Open) -> Pieces:
        self._handles.require_room()
        if _is_upload(asked):
            file = self._home.open_write(asked.path, _opening(asked), traits(asked.wanted))
        else:
            file = self._home.open_read(asked.path)
        return self._opened(asked, file)

    def _open_at_once(self, asked: sftp_asked.Open) -> Pieces | None:
        if not _is_upload(asked):
            return self._open(asked)
        self._handles.require_room()
        file = self._home.open_write_at_once(asked.path, _opening(asked), traits(asked.wanted))
        return None if file is None else self._opened(asked, file)

    def _opened(self, asked: sftp_asked.Open, file: OpenFile) -> Pieces:
        opened = ServedFile(
            path=asked.path,
            file=file,
            is_upload=_is_upload(asked),
            began_s=self._clock.boottime(),
        )
        return (sftp_answer.handle(asked.number, self._handles.add(opened)),)

    def _close(self, asked: sftp_asked.Close) -> Pieces:
        opened = self._handles.remove(asked.handle)
        if isinstance(opened, ServedFolder):
            end(opened.entries)
        elif opened.is_upload:
            # Only after this may the client be told that all is well.
            self._tally.uploads += opened.file.close() is not None
        else:
            self._read_to_the_end(opened)
        return ok(asked)

    def _read_to_the_end(self, opened: ServedFile) -> None:
        size_bytes = opened.file.attributes().size_bytes
        opened.file.close()
        self._tally.downloads += 1
        self._downloaded(
            Download(
                path=self._home.resolve(opened.path),
                size_bytes=size_bytes,
                sent_bytes=opened.sent_bytes,
                duration_s=self._clock.boottime() - opened.began_s,
            )
        )

    def _read(self, asked: sftp_asked.Read) -> Pieces:
        opened = self._handles.file(asked.handle)
        content = opened.file.read(asked.offset, min(asked.length, MOST_DATA_BYTES))
        return self._data(asked, opened, content)

    def _data(
        self, asked: sftp_asked.Read, opened: ServedFile, content: bytes | bytearray
    ) -> Pieces:
        if not content:
            return (sftp_answer.status(asked.number, Status.EOF),)
        opened.sent_bytes += len(content)
        return (sftp_answer.data_head(asked.number, len(content)), content)

    def _read_at_once(self, asked: sftp_asked.Read) -> Pieces | None:
        opened = self._handles.file(asked.handle)
        content = opened.file.read_at_once(asked.offset, min(asked.length, MOST_DATA_BYTES))
        return None if content is None else self._data(asked, opened, content)

    def _close_at_once(self, asked: sftp_asked.Close) -> Pieces | Awaited | None:
        opened = self._handles.found(asked.handle)
        if not (isinstance(opened, ServedFile) and opened.is_upload):
            return self._close(asked)
        if self._tell_upload is None:
            return None
        try:
            published = opened.file.publish()
        except HomeError:
            self._handles.remove(asked.handle)
            raise
        if published is None:
            return None
        self._handles.remove(asked.handle)
        closed = Awaited()
        self._tell_upload(
            published, lambda written: closed.give(self._closed(asked, written=written))
        )
        return closed

    def _closed(self, asked: sftp_asked.Close, *, written: bool) -> Pieces:
        if not written:
            return (sftp_answer.status(asked.number, Status.FAILURE, UNWRITTEN),)
        self._tally.uploads += 1
        return ok(asked)

    def _write_at_once(self, asked: sftp_asked.Write) -> Pieces | None:
        file = self._handles.file(asked.handle).file
        return self._write(asked) if file.writes_at_once(asked.offset) else None

    def _write(self, asked: sftp_asked.Write) -> Pieces:
        self._handles.file(asked.handle).file.write(asked.offset, asked.data)
        return ok(asked)

    def _stat_open(self, asked: sftp_asked.StatOpen) -> Pieces:
        found = self._handles.file(asked.handle).file.attributes()
        return (sftp_answer.attributes(asked.number, told(found)),)

    def _set_open(self, asked: sftp_asked.SetOpen) -> Pieces:
        self._handles.file(asked.handle).file.set(changes(asked.wanted))
        return ok(asked)

    def _flush(self, asked: sftp_asked.Flush) -> Pieces:
        self._handles.file(asked.handle).file.flush()
        return ok(asked)

    def _copy(self, asked: sftp_asked.Copy) -> Pieces:
        if asked.source == asked.target:
            raise HomeError(Refusal.FAILED, "a file is not copied into itself")
        source, target = self._handles.file(asked.source), self._handles.file(asked.target)
        copy(
            source.file,
            target.file,
            offset=asked.source_offset,
            length=asked.length,
            target_offset=asked.target_offset,
            work=self._work,
        )
        return ok(asked)

    def _check(self, asked: sftp_asked.Check) -> Pieces:
        algorithm = pick_algorithm(asked.algorithms)
        if asked.path is None:
            return self._digests(asked, algorithm, self._handles.file(asked.handle).file)
        file = self._home.open_read(asked.path)
        try:
            return self._digests(asked, algorithm, file)
        finally:
            file.abandon()

    def _digests(self, asked: sftp_asked.Check, algorithm: str, file: OpenFile) -> Pieces:
        found = digests(
            file,
            algorithm,
            offset=asked.offset,
            length=asked.length,
            block_bytes=asked.block_bytes,
            work=self._work,
        )
        return (sftp_answer.digests(asked.number, algorithm, found, named=asked.named),)


def _is_upload(asked: sftp_asked.Open) -> bool:
    return asked.write or asked.append


def _opening(asked: sftp_asked.Open) -> Opening:
    return Opening(
        read=asked.read,
        append=asked.append,
        create=asked.create,
        truncate=asked.truncate,
        exclusive=asked.exclusive,
    )
