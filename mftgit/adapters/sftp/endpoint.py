"""A folder on an SFTP server as a place of files: version 3 of the protocol over paramiko's transport."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, TypeVar, cast

from paramiko import sftp as wire

from mftgit.adapters.clock import Clock, SystemClock
from mftgit.adapters.endpoint.contract import (
    Content,
    Digest,
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileEntry,
    FileMissingError,
    Kind,
    Named,
    Traits,
)
from mftgit.adapters.endpoint.paths import (
    folder_and_name,
    parts_inside,
    require_length,
)
from mftgit.adapters.endpoint.walk import walk
from mftgit.adapters.sftp.connect import STAGES, Passed, open_channel, pass_by
from mftgit.adapters.sftp.conversation import Conversation, Line
from mftgit.adapters.sftp.digest import Digests
from mftgit.adapters.sftp.folder import SftpFolder
from mftgit.adapters.sftp.openssh import open_child
from mftgit.adapters.sftp.overlap import Exchange, done, overlap, spread
from mftgit.adapters.sftp.session import FSYNC, Session
from mftgit.adapters.sftp.small import SmallFiles
from mftgit.adapters.sftp.stripes import FurtherSessions, Stripes
from mftgit.adapters.sftp.transfer import Download, Upload
from mftgit.adapters.sftp.whole import entry_of
from mftgit.adapters.sftp.wire import Attributes, StatusError
from mftgit.errors import MftgitError
from mftgit.model.locations.hop import server_of
from mftgit.model.locations.location import Client, SftpLocation
from mftgit.model.names import SecretName
from mftgit.model.secrets.value import SecretValue

T = TypeVar("T")

_SESSIONS: Final = 4
"""Over so many sessions of one connection small files are written that are flushed there (ADR 19)."""


def connect(
    location: SftpLocation,
    *,
    secrets_dir: Path,
    secrets: Mapping[SecretName, SecretValue] | None = None,
    clock: Clock | None = None,
    passed: Passed = pass_by,
) -> "SftpEndpoint":
    """Connect and log in to ``location`` with files in ``secrets_dir``, or with ``secrets`` of the repository.

    ``clock``, by default the machine's, tells whether a host's certificate is valid; OpenSSH's client looks at the
    machine's. ``passed`` is told of each of `mftgit.adapters.sftp.connect.STAGES` as it is done.

    Raises:
        ConfigError: a secret is missing or open to others; `HostKeyError` and `LoginError` are of this kind.
        EndpointRefusedError: the server has no safe algorithm or no SFTP for us.
        EndpointLostError: it cannot be reached or does not answer in time.
    """
    values = secrets or {}
    connection: Line
    if location.client is Client.OPENSSH:
        connection = open_child(location, secrets_dir=secrets_dir, values=values)
        for stage in STAGES[:-1]:  # ssh does not tell of them one by one
            passed(stage)
    else:
        now = (clock or SystemClock()).now()
        connection = open_channel(
            location, secrets_dir=secrets_dir, values=values, now=now, passed=passed
        )
    try:
        endpoint = SftpEndpoint(location, connection)
    except BaseException:
        connection.close()
        raise
    passed(STAGES[-1])
    return endpoint


class SftpEndpoint:
    """The files below ``location.path``; see `mftgit.adapters.endpoint.contract.Endpoint`.

    After an `EndpointLostError` it is closed, and every further call raises that error again: connect anew.
    Links on the server are the partner's affair: they are not listed, but a path may lead through them.
    """

    resumes = True
    has_folders = True

    def __init__(self, location: SftpLocation, connection: Line) -> None:
        self._server = server_of(location).name
        self._conversation = Conversation(connection, server=self._server)
        self._session = self._conversation.session
        if not location.flush:
            self._session.leave_out(FSYNC)
        self._telling = self._conversation.telling
        self._folder = SftpFolder(self._session, base=location.path, server=self._server)
        self._further = FurtherSessions(self._conversation, base=location.path)
        self._stripes = Stripes(self._session, self._further, channels=location.channels)
        self._small = self._small_files(self._session, self._folder)
        flushes = self._session.is_openssh and FSYNC in self._session.extensions
        self._small_beside = min(location.channels, _SESSIONS) - 1 if flushes else 0
        self._digests = Digests(
            self._session,
            self._folder,
            stat=self._small.stat,
            run=connection.output_of,
            server=self._server,
            timeout_s=location.timeout_s,
            # that ssh ends a connection on which the server answers nothing for as long
            most_silent_s=location.timeout_s / 2 if location.client is Client.OPENSSH else None,
        )

    def _small_files(self, session: Session, folder: SftpFolder) -> SmallFiles:
        meaning = self._conversation.meaning
        return SmallFiles(session, folder, server=self._server, meaning=meaning)

    @property
    def is_open(self) -> bool:
        """Whether it has neither been closed nor lost, as far as is known."""
        return not self._conversation.closed

    @property
    def round_trip_s(self) -> float:
        """See `Session`."""
        return self._session.round_trip_s

    def is_alive(self) -> bool:
        """Ask the server for something, and tell whether it answered; waits as long as any call."""
        try:
            with self._telling("."), suppress(StatusError):
                done(self._folder.attributes(wire.CMD_STAT, self._folder.remote(".")))
        except EndpointLostError:
            return False
        return True

    def list_files(
        self, folder: str, *, recursive: bool, depth: int | None = None
    ) -> Iterator[FileEntry]:
        """See `Endpoint.list_files`; breadth first, at most 32 folders deep."""
        found = walk(
            folder,
            self._scan,
            deepest=depth if recursive else 0,
            is_file=lambda told: told.is_file,
            is_folder=lambda told: told.is_folder,
            server=self._server,
        )
        return (entry_of(path, told) for path, told in found)

    def look(self, path: str) -> Named | None:
        """See `RemoteEndpoint.look`; the folders above are asked for at the same time, each by itself."""
        parts = parts_inside(path)
        if not parts:
            with self._telling(path):
                base = self._folder.remote(".")
                return _named(".", done(self._folder.attributes(wire.CMD_STAT, base)))
        paths = ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
        *above, found = self._overlap(self._small.look(each) for each in paths)
        for each in above:
            if isinstance(each, MftgitError):
                raise each
            if each is None or not each.is_folder:
                raise FileMissingError(f"{self._server}: the folder of {path!r} is not there")
        if isinstance(found, MftgitError):
            raise found
        return None if found is None else _named(parts[-1], found)

    def list_folder(self, folder: str) -> Iterator[Named]:
        """See `RemoteEndpoint.list_folder`."""
        return (_named(name, told) for name, told in self._scan(folder))

    def list_names(self, folder: str) -> list[str]:
        """See `Endpoint.list_names`."""
        return [name for name, _ in self._scan(folder)]

    def stat(self, path: str) -> FileEntry:
        """See `Endpoint.stat`."""
        with self._telling(path):
            return done(self._small.stat(path))

    @contextmanager
    def open_read(self, path: str, offset: int = 0) -> Iterator[BinaryIO]:
        """See `Endpoint.open_read`; a file that ends before the size it had raises `EndpointLostError`."""
        folder_and_name(path)
        with self._telling(path):
            handle = done(self._folder.open(self._folder.remote(path), wire.SFTP_FLAG_READ))
            download = Download(self._session, handle, lambda: self._telling(path), offset)
            try:
                found = download.look()
            except StatusError:
                download.drop()
                raise
        try:
            if found.mode is not None:
                self._small.require_file(path, found)
            yield cast("BinaryIO", download)
        finally:
            with suppress(EndpointLostError), self._telling(path):
                download.drop()

    def write(
        self,
        path: str,
        chunks: Iterator[bytes],
        *,
        on_chunk: Callable[[int], None],
        resume_at: int | None = None,
    ) -> int:
        """See `Endpoint.write`; "written" means sent, and every status is good before this returns.

        What ``chunks`` and ``on_chunk`` raise passes through as it is.
        """
        with self._telling(path):
            upload = self._create(path) if resume_at is None else self._go_on(path, resume_at)
        try:
            for chunk in chunks:
                on_chunk(upload.sent_bytes)
                with self._telling(path, full=True):
                    upload.send(chunk)
            with self._telling(path, full=True):
                upload.finish()
        except BaseException:
            with suppress(EndpointLostError), self._telling(path):
                upload.drop()
            raise
        with self._telling(path):
            remote = self._folder.remote(path)
            size = done(self._folder.attributes(wire.CMD_STAT, remote)).size_bytes
        if size != upload.sent_bytes:
            raise EndpointFullError(
                f"{self._server}: {path!r} has {size} bytes after {upload.sent_bytes} were sent: is it full?"
            )
        return size

    def _create(self, path: str) -> Upload:
        above, _ = folder_and_name(path)
        handle = done(self._folder.create(path, above))
        return Upload(self._session, handle, more=partial(self._stripes.open, path))

    def _go_on(self, path: str, offset: int) -> Upload:
        """Open a file to write from ``offset`` on; that some server has cut it short by that is found here."""
        done(self._small.stat(path))
        handle = done(self._folder.open(self._folder.remote(path), wire.SFTP_FLAG_WRITE))
        try:
            found = done(self._folder.attributes(wire.CMD_FSTAT, handle))
            require_length(f"{self._server}: {path!r}", found.size_bytes or 0, offset)
        except (StatusError, EndpointRefusedError):
            self._session.drop(handle)
            raise
        more = partial(self._stripes.open, path)
        return Upload(self._session, handle, sent_bytes=offset, more=more)

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """See `Endpoint.rename`; `SftpFolder.rename` tells what a server without extensions leaves to chance."""
        with self._telling(old, new):
            done(self._small.rename(old, new, replace=replace))

    def remove(self, path: str) -> None:
        """See `Endpoint.remove`."""
        with self._telling(path):
            done(self._small.remove(path))

    def make_folder(self, path: str) -> None:
        """See `Endpoint.make_folder`; the location's own folder is the partner's to make."""
        parts = parts_inside(path)
        with self._telling(path):
            done(self._folder.make_folders(parts))

    def remove_folder(self, path: str) -> bool:
        """See `Endpoint.remove_folder`."""
        folder_and_name(path)
        with self._telling(path):
            if done(self._folder.remove_folder(path)):
                return True
        if next(self._scan(path), None) is None:
            raise EndpointRefusedError(f"{self._server}: the empty folder {path!r} stays there")
        return False

    def stat_all(self, paths: Iterable[str]) -> list[FileEntry | MftgitError]:
        """See `Endpoint.stat_all`."""
        return self._overlap(self._small.stat(path) for path in paths)

    def read_all(self, paths: Iterable[str], *, most_bytes: int) -> list[Content | MftgitError]:
        """See `Endpoint.read_all`."""
        return self._overlap(self._small.read(path, most_bytes=most_bytes) for path in paths)

    def digest_all(self, paths: Iterable[str]) -> list[Digest | MftgitError | None]:
        """See `Endpoint.digest_all`."""
        with self._telling("."):
            return self._digests.all(paths)

    def write_all(self, files: Iterable[tuple[str, bytes]]) -> list[int | MftgitError]:
        """See `Endpoint.write_all`."""

        def writing(path: str, content: bytes) -> Callable[[SmallFiles], Exchange[int]]:
            return lambda small: small.write(path, content)

        def more() -> list[SmallFiles]:
            return [self._small_files(*each) for each in self._further.up_to(self._small_beside)]

        with self._telling("."):
            return spread(self._small, (writing(*file) for file in files), more)

    def rename_all(
        self, moves: Iterable[tuple[str, str]], *, replace: bool
    ) -> list[MftgitError | None]:
        """See `Endpoint.rename_all`."""
        return self._overlap(self._small.rename(old, new, replace=replace) for old, new in moves)

    def set_all(self, changes: Iterable[tuple[str, Traits]]) -> list[MftgitError | None]:
        """See `Endpoint.set_all`; SFTP has no word for "make it last", so that a power cut may lose it."""
        return self._overlap(self._small.set(path, traits) for path, traits in changes)

    def remove_all(self, paths: Iterable[str]) -> list[MftgitError | None]:
        """See `Endpoint.remove_all`."""
        return self._overlap(self._small.remove(path) for path in paths)

    def _overlap(self, exchanges: Iterator[Exchange[T]]) -> list[T | MftgitError]:
        with self._telling("."):
            return overlap(self._session, exchanges)

    def close(self) -> None:
        """See `Endpoint.close`; waits for the connection's thread, at most some seconds."""
        self._conversation.close()

    def _scan(self, folder: str) -> Iterator[tuple[str, Attributes]]:
        """Give the names in ``folder`` and what they are; the server may be asked other things meanwhile."""
        with closing(self._folder.all_names(self._folder.remote(folder))) as found:
            while True:
                with self._telling(folder):
                    some = next(found, None)
                if some is None:
                    return
                yield from some


def _named(name: str, told: Attributes) -> Named:
    kind = Kind.FILE if told.is_file else Kind.FOLDER if told.is_folder else Kind.OTHER
    entry = entry_of(name, told)
    return Named(
        name=name,
        kind=kind,
        size_bytes=entry.size_bytes,
        mtime_ns=entry.mtime_ns,
        mode=entry.mode,
    )
