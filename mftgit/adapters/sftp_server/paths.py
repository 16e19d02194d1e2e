"""What a client asks of paths: what stands there, folders, names, and the room that is left."""

from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.home.contract import Home, HomeError, Refusal
from mftgit.adapters.sftp_server.handles import Handles, ServedFolder
from mftgit.adapters.sftp_server.told import Do, Pieces, changes, ok, told, traits
from mftgit.model.names import AccountName
from mftgit.model.sftp import answer as sftp_answer
from mftgit.model.sftp import asked as sftp_asked
from mftgit.model.sftp.fields import Status, Wanted

_OF_NO_OWNER: Final = 0
"""What clients take for the owner and the group of a file of which none are told."""

_LISTED_BYTES: Final = 32 << 10
"""When an answer to READDIR is long enough."""


class PathRequests:
    """What is asked of the home of ``account`` in one session; folders that are open are among ``handles``."""

    def __init__(self, home: Home, handles: Handles, *, account: AccountName, clock: Clock) -> None:
        self._home = home
        self._handles = handles
        self._account = account
        self._clock = clock

    def answers(self) -> dict[type[sftp_asked.Request], Do[Pieces]]:
        """Return what answers each kind of request, however long it may take."""
        return {
            sftp_asked.Stat: self._stat,
            sftp_asked.Set: self._set,
            sftp_asked.OpenFolder: self._open_folder,
            sftp_asked.ReadFolder: self._read_folder,
            sftp_asked.Remove: self._remove,
            sftp_asked.MakeFolder: self._make_folder,
            sftp_asked.RemoveFolder: self._remove_folder,
            sftp_asked.Rename: self._rename,
            sftp_asked.Resolve: self._resolve,
            sftp_asked.Expand: self._expand,
            sftp_asked.HomeFolder: self._home_folder,
            sftp_asked.Owners: self._owners,
            sftp_asked.Space: self._space,
            sftp_asked.SpaceOpen: self._space_open,
        }

    def at_once(self) -> dict[type[sftp_asked.Request], Do[Pieces]]:
        """Return what asks for no file."""
        return {sftp_asked.Resolve: self._resolve, sftp_asked.Owners: self._owners}

    def near_at_once(self) -> dict[type[sftp_asked.Request], Do[Pieces]]:
        """Return what takes no longer than a system call or two on a local disk."""
        return {sftp_asked.Stat: self._stat}

    def _stat(self, asked: sftp_asked.Stat) -> Pieces:
        return (sftp_answer.attributes(asked.number, told(self._home.stat(asked.path))),)

    def _set(self, asked: sftp_asked.Set) -> Pieces:
        self._home.set(asked.path, changes(asked.wanted))
        return ok(asked)

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
        return sftp_answer.entry(name, told(found), owner=self._account, now_s=now_s)

    def _remove(self, asked: sftp_asked.Remove) -> Pieces:
        self._home.remove(asked.path)
        return ok(asked)

    def _make_folder(self, asked: sftp_asked.MakeFolder) -> Pieces:
        self._home.make_folder(asked.path, traits(asked.wanted or Wanted()))
        return ok(asked)

    def _remove_folder(self, asked: sftp_asked.RemoveFolder) -> Pieces:
        self._home.remove_folder(asked.path)
        return ok(asked)

    def _rename(self, asked: sftp_asked.Rename) -> Pieces:
        self._home.rename(asked.old, asked.new, replace=asked.replace)
        return ok(asked)

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

    def _owners(self, asked: sftp_asked.Owners) -> Pieces:
        """Say that all here is the account's, and nothing of the machine's users."""
        users, groups = (
            [self._account if each == _OF_NO_OWNER else "" for each in ids]
            for ids in (asked.users, asked.groups)
        )
        return (sftp_answer.owners(asked.number, users, groups),)

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
