"""A folder on an SFTP server as a place of files: version 3 of the protocol over paramiko's transport."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from paramiko import sftp as wire

from mftgit.adapters.clock import Clock, SystemClock
from mftgit.adapters.endpoint import (
    Content,
    Digest,
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileEntry,
    Traits,
)
from mftgit.adapters.endpoint_paths import (
    folder_and_name,
    parts_inside,
    require_length,
)
from mftgit.adapters.endpoint_walk import walk
from mftgit.adapters.sftp_connect import STAGES, Passed, open_channel, pass_by
from mftgit.adapters.sftp_conversation import Conversation, Line
from mftgit.adapters.sftp_digest import Digests
from mftgit.adapters.sftp_folder import SftpFolder
from mftgit.adapters.sftp_openssh import open_child
from mftgit.adapters.sftp_overlap import Exchange, done, overlap
from mftgit.adapters.sftp_session import FSYNC
from mftgit.adapters.sftp_small import SmallFiles, entry_of
from mftgit.adapters.sftp_stripes import Stripes
from mftgit.adapters.sftp_transfer import Download, Upload
from mftgit.adapters.sftp_wire import Attributes, StatusError
from mftgit.errors import MftgitError
from mftgit.model.hop import server_of
from mftgit.model.location import Client, SftpLocation
from mftgit.model.names import SecretName
from mftgit.model.secret_value import SecretValue

T = TypeVar("T")


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
    machine's. ``passed`` is told of each of `mftgit.adapters.sftp_connect.STAGES` as it is done.

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
    """The files below ``location.path``; see `mftgit.adapters.endpoint.Endpoint`.

    After an `EndpointLostError` it is closed, and every further call raises that error again: connect anew.
    Links on the server are the partner's affair: they are not listed, but a path may lead through them.
    """

    resumes = True

    def __init__(self, location: SftpLocation, connection: Line) -> None:
        self._server = server_of(location).name
        self._conversation = Conversation(connection, server=self._server)
        self._session = self._conversation.session
        if not location.flush:
            self._session.leave_out(FSYNC)
        self._telling = self._conversation.telling
        self._folder = SftpFolder(self._session, base=location.path, server=self._server)
        self._stripes = Stripes(self._conversation, location)
        self._small = SmallFiles(
            self._session,
            self._folder,
            server=self._server,
            meaning=self._conversation.meaning,
        )
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
            try:
                found = done(self._folder.attributes(wire.CMD_FSTAT, handle))
            except StatusError:
                self._session.drop(handle)
                raise
        size_bytes = found.size_bytes or 0
        download = Download(self._session, handle, size_bytes, lambda: self._telling(path), offset)
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
        return self._overlap(self._small.write(path, content) for path, content in files)

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
        with self._telling(folder):
            handle = done(self._folder.open_folder(self._folder.remote(folder)))
        try:
            while True:
                with self._telling(folder):
                    batch = self._folder.following(handle)
                if batch is None:
                    return
                yield from batch
        finally:
            with suppress(EndpointLostError), self._telling(folder):
                self._session.drop(handle)
