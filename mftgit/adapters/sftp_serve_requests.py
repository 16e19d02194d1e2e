"""Requests of an SFTP client, answered one by one out of an account's home."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.home import (
    Attributes,
    Home,
    HomeError,
    OpenFile,
    Opening,
    Refusal,
    Traits,
)
from mftgit.adapters.hosting import Download, Tally
from mftgit.adapters.sftp_serve_content import copy, digests, pick_algorithm
from mftgit.adapters.sftp_serve_handles import (
    MOST_HANDLES,
    Handles,
    ServedFile,
    ServedFolder,
    end,
)
from mftgit.model import sftp_answer, sftp_asked
from mftgit.model.names import AccountName
from mftgit.model.sftp_answer import Told
from mftgit.model.sftp_fields import Status, Wanted
from mftgit.model.sftp_frames import MOST_PACKET_BYTES

MOST_DATA_BYTES: Final = 255 << 10
"""What is read or written by one request, as OpenSSH has it; longer reads get less, which they have to expect."""

_LISTED_BYTES: Final = 32 << 10
"""When an answer to READDIR is long enough."""

_CODES: Final = {
    Refusal.MISSING: Status.NO_SUCH_FILE,
    Refusal.NOT_FOLDER: Status.NO_SUCH_FILE,  # OpenSSH says the same of ENOTDIR
    Refusal.DENIED: Status.PERMISSION_DENIED,
    Refusal.UNSUPPORTED: Status.OP_UNSUPPORTED,
}
"""Version 3 has no words for the other ones than FAILURE."""

Pieces = tuple[bytes, ...]
"""An answer, in pieces that follow each other."""


class Requests:
    """One session of ``account``; used by one thread."""

    def __init__(
        self,
        home: Home,
        *,
        account: AccountName,
        downloaded: Callable[[Download], None],
        tally: Tally,
        clock: Clock,
        work: Callable[[], None],
    ) -> None:
        self._home = home
        self._account = account
        self._downloaded = downloaded
        self._tally = tally
        self._clock = clock
        self._work = work
        self._handles = Handles()

    def answer(self, asked: sftp_asked.Request) -> Pieces:
        """Do what is asked, and return the answer."""
        try:
            return _ANSWERS[type(asked)](self, asked)
        except HomeError as error:
            code = _CODES.get(error.refusal, Status.FAILURE)
            return (sftp_answer.status(asked.number, code, str(error)),)

    def close(self) -> None:
        """Abandon what is open."""
        self._handles.abandon()

    def _malformed(self, asked: sftp_asked.Malformed) -> Pieces:
        return (sftp_answer.status(asked.number, Status.BAD_MESSAGE, asked.why),)

    def _unsupported(self, asked: sftp_asked.Unsupported) -> Pieces:
        return (sftp_answer.status(asked.number, Status.OP_UNSUPPORTED, asked.why),)

    def _open(self, asked: sftp_asked.Open) -> Pieces:
        self._handles.require_room()
        is_upload = asked.write or asked.append
        if is_upload:
            opening = Opening(
                read=asked.read,
                append=asked.append,
                create=asked.create,
                truncate=asked.truncate,
                exclusive=asked.exclusive,
            )
            file = self._home.open_write(asked.path, opening, _traits(asked.wanted))
        else:
            file = self._home.open_read(asked.path)
        opened = ServedFile(
            path=asked.path, file=file, is_upload=is_upload, began_s=self._clock.boottime()
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
        return _ok(asked)

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
        if not content:
            return (sftp_answer.status(asked.number, Status.EOF),)
        opened.sent_bytes += len(content)
        return (sftp_answer.data_head(asked.number, len(content)), content)

    def _write(self, asked: sftp_asked.Write) -> Pieces:
        self._handles.file(asked.handle).file.write(asked.offset, asked.data)
        return _ok(asked)

    def _stat(self, asked: sftp_asked.Stat) -> Pieces:
        return (sftp_answer.attributes(asked.number, _told(self._home.stat(asked.path))),)

    def _stat_open(self, asked: sftp_asked.StatOpen) -> Pieces:
        found = self._handles.file(asked.handle).file.attributes()
        return (sftp_answer.attributes(asked.number, _told(found)),)

    def _set(self, asked: sftp_asked.Set) -> Pieces:
        self._home.set(asked.path, _changes(asked.wanted))
        return _ok(asked)

    def _set_open(self, asked: sftp_asked.SetOpen) -> Pieces:
        self._handles.file(asked.handle).file.set(_changes(asked.wanted))
        return _ok(asked)

    def _open_folder(self, asked: sftp_asked.OpenFolder) -> Pieces:
        self._handles.require_room()
        opened = ServedFolder(path=asked.path, entries=self._home.list(asked.path))
        # The first one now, so that a folder that is none is told at once and not when it is read.
        opened.kept = self._next(opened)
        return (sftp_answer.handle(asked.number, self._handles.add(opened)),)

    def _read_folder(self, asked: sftp_asked.ReadFolder) -> Pieces:
        opened = self._handles.folder(asked.handle)
        listed, size_bytes = [], 0
        while size_bytes < _LISTED_BYTES and opened.kept is not None:
            listed.append(opened.kept)
            size_bytes += len(opened.kept)
            opened.kept = self._next(opened)
        if not listed:
            return (sftp_answer.status(asked.number, Status.EOF),)
        return (sftp_answer.names(asked.number, listed),)

    def _next(self, opened: ServedFolder) -> bytes | None:
        name, found = next(opened.entries, (None, None))
        if name is None or found is None:
            return None
        now_s = int(self._clock.now().timestamp())
        return sftp_answer.entry(name, _told(found), owner=self._account, now_s=now_s)

    def _remove(self, asked: sftp_asked.Remove) -> Pieces:
        self._home.remove(asked.path)
        return _ok(asked)

    def _make_folder(self, asked: sftp_asked.MakeFolder) -> Pieces:
        self._home.make_folder(asked.path, _traits(asked.wanted or Wanted()))
        return _ok(asked)

    def _remove_folder(self, asked: sftp_asked.RemoveFolder) -> Pieces:
        self._home.remove_folder(asked.path)
        return _ok(asked)

    def _rename(self, asked: sftp_asked.Rename) -> Pieces:
        self._home.rename(asked.old, asked.new, replace=asked.replace)
        return _ok(asked)

    def _resolve(self, asked: sftp_asked.Resolve) -> Pieces:
        return (sftp_answer.path(asked.number, self._home.resolve(asked.path)),)

    def _expand(self, asked: sftp_asked.Expand) -> Pieces:
        path = asked.path
        if path.startswith("~"):
            user, _, below = path[1:].partition("/")
            path = f"{self._home_of(user)}{below}"
        return (sftp_answer.path(asked.number, self._home.resolve(path)),)

    def _home_folder(self, asked: sftp_asked.HomeFolder) -> Pieces:
        return (sftp_answer.path(asked.number, self._home_of(asked.user)),)

    def _home_of(self, user: str) -> str:
        if user not in {"", self._account}:
            raise HomeError(Refusal.MISSING, "there is no other home than your own")
        return "/"

    def _space(self, asked: sftp_asked.Space) -> Pieces:
        return self._space_at(asked.number, asked.path)

    def _space_open(self, asked: sftp_asked.SpaceOpen) -> Pieces:
        return self._space_at(asked.number, self._handles.path(asked.handle))

    def _space_at(self, number: int, path: str) -> Pieces:
        found = self._home.space(path)
        answer = sftp_answer.space(
            number,
            block_bytes=found.block_bytes,
            blocks=found.blocks,
            free=found.blocks_free,
            files=found.files,
            files_free=found.files_free,
        )
        return (answer,)

    def _flush(self, asked: sftp_asked.Flush) -> Pieces:
        self._handles.file(asked.handle).file.flush()
        return _ok(asked)

    def _limits(self, asked: sftp_asked.Limits) -> Pieces:
        answer = sftp_answer.limits(
            asked.number,
            packet_bytes=MOST_PACKET_BYTES,
            data_bytes=MOST_DATA_BYTES,
            handles=MOST_HANDLES,
        )
        return (answer,)

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
        return _ok(asked)

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


def _ok(asked: sftp_asked.Request) -> Pieces:
    return (sftp_answer.status(asked.number, Status.OK),)


def _told(found: Attributes) -> Told:
    return Told(
        size_bytes=found.size_bytes,
        mode=found.mode,
        atime_s=found.atime_s,
        mtime_s=found.mtime_s,
    )


def _traits(wanted: Wanted) -> Traits:
    return Traits(
        size_bytes=wanted.size_bytes,
        mode=wanted.mode,
        atime_s=wanted.atime_s,
        mtime_s=wanted.mtime_s,
    )


def _changes(wanted: Wanted) -> Traits:
    traits = _traits(wanted)
    if wanted.owners and traits == Traits():
        raise HomeError(Refusal.DENIED, "owner and group are not changed here")
    return traits


# ruff: noqa: SLF001  the table of a class that is above it
_ANSWERS: Final[Mapping[type[sftp_asked.Request], Callable[[Requests, Any], Pieces]]] = {
    sftp_asked.Malformed: Requests._malformed,
    sftp_asked.Unsupported: Requests._unsupported,
    sftp_asked.Open: Requests._open,
    sftp_asked.Close: Requests._close,
    sftp_asked.Read: Requests._read,
    sftp_asked.Write: Requests._write,
    sftp_asked.Stat: Requests._stat,
    sftp_asked.StatOpen: Requests._stat_open,
    sftp_asked.Set: Requests._set,
    sftp_asked.SetOpen: Requests._set_open,
    sftp_asked.OpenFolder: Requests._open_folder,
    sftp_asked.ReadFolder: Requests._read_folder,
    sftp_asked.Remove: Requests._remove,
    sftp_asked.MakeFolder: Requests._make_folder,
    sftp_asked.RemoveFolder: Requests._remove_folder,
    sftp_asked.Rename: Requests._rename,
    sftp_asked.Resolve: Requests._resolve,
    sftp_asked.Expand: Requests._expand,
    sftp_asked.HomeFolder: Requests._home_folder,
    sftp_asked.Space: Requests._space,
    sftp_asked.SpaceOpen: Requests._space_open,
    sftp_asked.Flush: Requests._flush,
    sftp_asked.Limits: Requests._limits,
    sftp_asked.Copy: Requests._copy,
    sftp_asked.Check: Requests._check,
}
