"""A folder on an FTP server over TLS as a place of files (RFC 959, 3659, 4217)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from mftgit.adapters.clock import Clock, SystemClock
from mftgit.adapters.endpoint import (
    Digest,
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileEntry,
    Traits,
)
from mftgit.adapters.endpoint_paths import folder_and_name
from mftgit.adapters.endpoint_walk import walk
from mftgit.adapters.ftps_connect import STAGES, open_session, server_name
from mftgit.adapters.ftps_data import Download, Upload
from mftgit.adapters.ftps_folder import FtpsFolder
from mftgit.adapters.ftps_login import prepare
from mftgit.adapters.ftps_sessions import Sessions
from mftgit.adapters.ftps_sockets import Sockets
from mftgit.adapters.one_by_one import OneByOne
from mftgit.errors import MftgitError
from mftgit.model.ftp_facts import Facts, Sort
from mftgit.model.ftps_location import FtpsLocation
from mftgit.model.names import SecretName
from mftgit.model.secret_value import SecretValue


def connect(
    location: FtpsLocation,
    *,
    secrets_dir: Path,
    secrets: Mapping[SecretName, SecretValue] | None = None,
    clock: Clock | None = None,
    passed: Callable[[str], None] = lambda _stage: None,
) -> "FtpsEndpoint":
    """Connect and log in to ``location`` with files in ``secrets_dir``, or with ``secrets`` of the repository.

    ``clock`` is for time-outs. ``passed`` is told of each of `mftgit.adapters.ftps_connect.STAGES` as it is done.

    Raises:
        ConfigError: a secret is missing or open to others; `HostKeyError` and `LoginError` are of this kind.
        EndpointRefusedError: the server does not encrypt, or does not tell facts of files.
        EndpointLostError: it cannot be reached or does not answer in time.
    """
    login = prepare(location, secrets_dir=secrets_dir, values=secrets or {})
    passed(STAGES[0])
    sockets = Sockets()
    open_one = partial(open_session, location, login, sockets=sockets, clock=clock or SystemClock())
    sessions = Sessions(
        open_one(passed=passed),
        server=server_name(location),
        sockets=sockets,
        open_one=partial(open_one, passed=lambda _stage: None),
    )
    return FtpsEndpoint(location, sessions)


class FtpsEndpoint(OneByOne):
    """The files below ``location.path``; see `mftgit.adapters.endpoint.Endpoint`.

    After an `EndpointLostError` it is closed, and every further call raises that error again: connect anew.
    Links on the server are the partner's affair: they are listed as files where the server says that they are.
    """

    resumes = False

    def __init__(self, location: FtpsLocation, sessions: Sessions) -> None:
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
        with self._sessions.holding() as session:
            with self._sessions.telling(path):
                size_bytes = self._folder.file(session, path).size_bytes
                with self._folder.about(session, path):
                    sock = session.open_data(f"RETR {self._folder.remote(path)}", offset=offset)
            download = Download(
                session, sock, size_bytes - offset, lambda: self._sessions.telling(path)
            )
            try:
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

        What ``chunks`` and ``on_chunk`` raise passes through as it is.
        """
        if resume_at is not None:
            raise EndpointRefusedError(f"{self._server}: files are not gone on with by FTP")
        with self._sessions.holding() as session:
            with self._sessions.telling(path):
                upload = Upload(session, self._folder.create(session, path))
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
