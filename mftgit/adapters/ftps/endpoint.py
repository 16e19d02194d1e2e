"""A folder on an FTP server over TLS as a place of files (RFC 959, 3659, 4217)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, cast

from mftgit.adapters.clock import Clock, SystemClock
from mftgit.adapters.endpoint.contract import (
    Digest,
    EndpointFullError,
    EndpointLostError,
    FileEntry,
    FileMissingError,
    Kind,
    Named,
    Traits,
)
from mftgit.adapters.endpoint.one_by_one import OneByOne
from mftgit.adapters.endpoint.paths import folder_and_name, parts_inside
from mftgit.adapters.endpoint.walk import walk
from mftgit.adapters.ftps.connect import STAGES, open_session, server_name
from mftgit.adapters.ftps.data import Download, Upload
from mftgit.adapters.ftps.folder import FtpsFolder
from mftgit.adapters.ftps.login import prepare
from mftgit.adapters.ftps.sessions import Sessions
from mftgit.adapters.ftps.sockets import Sockets
from mftgit.errors import MftgitError
from mftgit.model.locations.ftp_facts import Facts, Sort
from mftgit.model.locations.ftps import FtpsLocation
from mftgit.model.names import SecretName
from mftgit.model.secrets.value import SecretValue


def connect(
    location: FtpsLocation,
    *,
    secrets_dir: Path,
    secrets: Mapping[SecretName, SecretValue] | None = None,
    clock: Clock | None = None,
    passed: Callable[[str], None] = lambda _stage: None,
) -> "FtpsEndpoint":
    """Connect and log in to ``location`` with files in ``secrets_dir``, or with ``secrets`` of the repository.

    ``clock`` is for time-outs. ``passed`` is told of each of `mftgit.adapters.ftps.connect.STAGES` as it is done.

    Raises:
        ConfigError: a secret is missing or open to others; `HostKeyError` and `LoginError` are of this kind.
        EndpointRefusedError: the server does not encrypt, or does not tell facts of files.
        EndpointLostError: it cannot be reached or does not answer in time.
    """
    login = prepare(location, secrets_dir=secrets_dir, values=secrets or {})
    passed(STAGES[0])
    sockets = Sockets()
    open_one = partial(open_session, location, login, sockets=sockets, clock=clock or SystemClock())
    first = open_one(passed=passed)
    sessions = Sessions(
        first,
        server=server_name(location),
        sockets=sockets,
        open_one=partial(open_one, passed=lambda _stage: None),
    )
    return FtpsEndpoint(location, sessions, resumes="REST" in first.features)


class FtpsEndpoint(OneByOne):
    """The files below ``location.path``; see `mftgit.adapters.endpoint.contract.Endpoint`.

    After an `EndpointLostError` it is closed, and every further call raises that error again: connect anew.
    Links on the server are the partner's affair: they are listed as files where the server says that they are.
    """

    has_folders = True

    def __init__(self, location: FtpsLocation, sessions: Sessions, *, resumes: bool) -> None:
        """Have ``resumes`` tell whether the server says that it begins in the middle of a file."""
        self.resumes = resumes
        self._sessions = sessions
        self._server = sessions.server
        self._folder = FtpsFolder(base=location.path, server=sessions.server)

    @property
    def is_open(self) -> bool:
        """Whether it has neither been closed nor lost, as far as is known."""
        return not self._sessions.closed

    def is_alive(self) -> bool:
        """Ask the server for something, and tell whether it answered; waits as long as any call."""
        try:
            with self._sessions.asking(".") as session:
                session.voidcmd("NOOP")
        except EndpointLostError:
            return False
        except MftgitError:
            pass  # it answered
        return True

    def list_files(
        self, folder: str, *, recursive: bool, depth: int | None = None
    ) -> Iterator[FileEntry]:
        """See `Endpoint.list_files`; breadth first, at most 32 folders deep, each folder read whole."""
        found = walk(
            folder,
            self._names,
            deepest=depth if recursive else 0,
            is_file=lambda told: told.sort is Sort.FILE,
            is_folder=lambda told: told.sort is Sort.FOLDER,
            server=self._server,
        )
        return (self._folder.entry(path, told) for path, told in found)

    def look(self, path: str) -> Named | None:
        """See `RemoteEndpoint.look`; the folders above are asked for one by one, and a server may hide links."""
        parts = parts_inside(path)
        with self._sessions.asking(path) as session:
            for depth in range(1, len(parts)):
                if self._folder.facts(session, "/".join(parts[:depth])).sort is not Sort.FOLDER:
                    raise FileMissingError(f"{self._server}: the folder of {path!r} is not there")
            try:
                facts = self._folder.facts(session, path)
            except FileMissingError:
                return None
        return _named(parts[-1] if parts else ".", facts)

    def list_folder(self, folder: str) -> Iterator[Named]:
        """See `RemoteEndpoint.list_folder`; it is read whole before the first name is given."""
        return (_named(name, facts) for name, facts in self._names(folder))

    def list_names(self, folder: str) -> list[str]:
        """See `Endpoint.list_names`."""
        return [name for name, _ in self._names(folder)]

    def _names(self, folder: str) -> list[tuple[str, Facts]]:
        with self._sessions.asking(folder) as session:
            return self._folder.names(session, folder)

    def stat(self, path: str) -> FileEntry:
        """See `Endpoint.stat`."""
        with self._sessions.asking(path) as session:
            return self._folder.file(session, path)

    @contextmanager
    def open_read(self, path: str, offset: int = 0) -> Iterator[BinaryIO]:
        """See `Endpoint.open_read`; a file that ends before the size it had raises `EndpointLostError`."""
        begin = offset if self.resumes else 0
        with self._sessions.holding() as session:
            with self._sessions.telling(path):
                size_bytes = self._folder.file(session, path).size_bytes
                with self._folder.about(session, path):
                    sock = session.open_data(f"RETR {self._folder.remote(path)}", offset=begin)
            download = Download(
                session, sock, size_bytes - begin, lambda: self._sessions.telling(path)
            )
            try:
                download.pass_over(offset - begin)
                yield cast("BinaryIO", download)
            finally:
                download.drop()

    def write(
        self,
        path: str,
        chunks: Iterator[bytes],
        *,
        on_chunk: Callable[[int], None],
        resume_at: int | None = None,
    ) -> int:
        """See `Endpoint.write`, but for two who make one new file at once: `FtpsFolder.create` tells of it.

        What ``chunks`` and ``on_chunk`` raise passes through as it is. Between the look and STOR somebody may take a
        file away that is gone on with: then one is made whose beginning is a hole.
        """
        with self._sessions.holding() as session:
            with self._sessions.telling(path):
                sock = (
                    self._folder.create(session, path)
                    if resume_at is None
                    else self._folder.go_on(session, path, resume_at)
                )
                upload = Upload(session, sock, sent_bytes=resume_at or 0)
            try:
                for chunk in chunks:
                    on_chunk(upload.sent_bytes)
                    with self._sessions.telling(path):
                        upload.send(chunk)
                with self._sessions.telling(path):
                    upload.finish()
            finally:
                upload.drop()
            with self._sessions.telling(path):
                size_bytes = self._folder.file(session, path).size_bytes
        if size_bytes != upload.sent_bytes:
            raise EndpointFullError(
                f"{self._server}: {path!r} has {size_bytes} bytes after {upload.sent_bytes} were sent: is it full?"
            )
        return size_bytes

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """See `Endpoint.rename`; `FtpsFolder.rename` tells what FTP leaves to chance."""
        with self._sessions.asking(old, new) as session:
            self._folder.rename(session, old, new, replace=replace)

    def find_part(self, path: str) -> None:
        """See `TakingEndpoint.find_part`."""
        self.stat(path)

    def take_part(self, old: str, new: str, *, goes_on: bool = True) -> None:
        """See `TakingEndpoint.take_part`; a server that forbids to go on, or begins anew, is found out here.

        ProFTPD forbids it by default (AllowStoreRestart). It is asked before anything is read back for it.
        """
        self.rename(old, new, replace=True)
        if not goes_on:
            return
        size_bytes = self.stat(new).size_bytes
        self.write(new, iter(()), on_chunk=lambda _: None, resume_at=size_bytes)

    def drop_part(self, path: str) -> None:
        """See `TakingEndpoint.drop_part`."""
        self.remove(path)

    def remove(self, path: str) -> None:
        """See `Endpoint.remove`."""
        folder_and_name(path)
        with self._sessions.asking(path) as session, self._folder.about(session, path):
            session.voidcmd(f"DELE {self._folder.remote(path)}")

    def make_folder(self, path: str) -> None:
        """See `Endpoint.make_folder`; the location's own folder is the partner's to make."""
        with self._sessions.asking(path) as session:
            self._folder.make_folders(session, path)

    def remove_folder(self, path: str) -> bool:
        """See `Endpoint.remove_folder`."""
        with self._sessions.asking(path) as session:
            return self._folder.remove_folder(session, path)

    def set_traits(self, path: str, traits: Traits) -> None:
        """See `OneByOne.set_traits`; FTP has no word for "make it last", so that a power cut may lose it."""
        with self._sessions.asking(path) as session:
            self._folder.set_traits(session, path, traits)

    def digest_all(self, paths: Iterable[str]) -> list[Digest | MftgitError | None]:
        """See `Endpoint.digest_all`; no standard of FTP has a word for it."""
        return [None for _ in paths]

    def close(self) -> None:
        """See `Endpoint.close`."""
        self._sessions.close()


_KINDS: Final = {Sort.FILE: Kind.FILE, Sort.FOLDER: Kind.FOLDER, Sort.OTHER: Kind.OTHER}


def _named(name: str, facts: Facts) -> Named:
    return Named(
        name=name,
        kind=_KINDS[facts.sort],
        size_bytes=facts.size_bytes or 0,
        mtime_ns=facts.mtime_ns or 0,
        mode=facts.mode,
    )
