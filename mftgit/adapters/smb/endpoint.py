"""A folder of a share on a Windows or Samba file server as a place of files: SMB 3 by smbprotocol."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, cast

from loguru import logger
from smbprotocol.exceptions import SMBResponseException

from mftgit.adapters.clock import Clock
from mftgit.adapters.endpoint.contract import (
    Content,
    Digest,
    EndpointLostError,
    EndpointRefusedError,
    FileEntry,
    FileMissingError,
    Kind,
    Named,
    Traits,
)
from mftgit.adapters.endpoint.paths import RESERVED, parts_inside
from mftgit.adapters.endpoint.walk import walk
from mftgit.adapters.smb import requests
from mftgit.adapters.smb.connect import open_share
from mftgit.adapters.smb.files import SmbFiles, entry_of
from mftgit.adapters.smb.overlap import done, overlap
from mftgit.adapters.smb.share import Share
from mftgit.adapters.smb.status import NO_MORE_FILES, NO_SUCH_FILE, status_of
from mftgit.adapters.smb.transfer import Download, Upload, drop
from mftgit.errors import MftgitError
from mftgit.model.locations.smb import SmbLocation
from mftgit.model.locations.smb_names import wrong_name
from mftgit.model.names import SecretName
from mftgit.model.secrets.value import SecretValue

_MOST_NAMES: Final = 1_000_000  # in one folder, with those that are passed over


def connect(
    location: SmbLocation,
    *,
    secrets_dir: Path,
    secrets: Mapping[SecretName, SecretValue] | None = None,
    clock: Clock | None = None,
    passed: Callable[[str], None] = lambda _stage: None,
) -> "SmbEndpoint":
    """Connect and log in to ``location`` with a file in ``secrets_dir``, or with ``secrets`` of the repository.

    Raises what `open_share` does. ``clock`` is not asked: nothing here expires by it.
    """
    del clock
    share = open_share(location, secrets_dir=secrets_dir, values=secrets or {}, passed=passed)
    return SmbEndpoint(location, share)


class SmbEndpoint:
    """The files below ``location.path`` of the share; see `mftgit.adapters.endpoint.contract.Endpoint`.

    After an `EndpointLostError` it is closed, and every further call raises that error again: connect anew. Links are
    not listed, and a path that leads through one is refused. A file that somebody writes to is not read, and nobody
    else can write to it while it is.
    """

    resumes = True
    has_folders = True

    def __init__(self, location: SmbLocation, share: Share) -> None:
        self._share = share
        self._telling = share.telling
        self._flush = location.flush
        base = parts_inside(location.path.lstrip("/"))
        self._files = SmbFiles(share, base=base, flush=location.flush)

    @property
    def is_open(self) -> bool:
        """Whether it has neither been closed nor lost, as far as is known."""
        return not self._share.closed

    def is_alive(self) -> bool:
        """Ask the server for something, and tell whether it answered; waits as long as any call."""
        try:
            with self._telling("."):
                self._share.echo()
        except MftgitError:
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
            server=self._share.server,
            # it is one name there however it is written
            is_reserved=lambda name: name.lower().startswith(RESERVED),
        )
        return (entry_of(path, told) for path, told in found)

    def look(self, path: str) -> Named | None:
        """See `RemoteEndpoint.look`; the server itself goes through no link."""
        parts = parts_inside(path)
        found = done(self._share, self._files.look(path))
        if found is not None:
            return _named(parts[-1] if parts else ".", found)
        above = done(self._share, self._files.look("/".join(parts[:-1])))
        if above is None or not above.is_folder:
            raise FileMissingError(f"{self._share.server}: the folder of {path!r} is not there")
        return None

    def list_folder(self, folder: str) -> Iterator[Named]:
        """See `RemoteEndpoint.list_folder`."""
        return (_named(name, told) for name, told in self._scan(folder))

    def list_names(self, folder: str) -> list[str]:
        """See `Endpoint.list_names`."""
        return [name for name, _ in self._scan(folder)]

    def stat(self, path: str) -> FileEntry:
        """See `Endpoint.stat`."""
        return done(self._share, self._files.stat(path))

    @contextmanager
    def open_read(self, path: str, offset: int = 0) -> Iterator[BinaryIO]:
        """See `Endpoint.open_read`; a file that ends before the size it had raises `EndpointLostError`."""
        opened = done(self._share, self._files.open_read(path))
        download = Download(self._share, opened, lambda: self._telling(path), offset)
        try:
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
        """See `Endpoint.write`; "written" means sent, and every answer is good before this returns.

        What ``chunks`` and ``on_chunk`` raise passes through as it is.
        """
        begun = (
            self._files.create(path) if resume_at is None else self._files.go_on(path, resume_at)
        )
        upload = Upload(self._share, done(self._share, begun).file_id, sent_bytes=resume_at or 0)
        try:
            for chunk in chunks:
                on_chunk(upload.sent_bytes)
                with self._telling(path):
                    upload.send(chunk)
            with self._telling(path):
                size = upload.finish(flush=self._flush)
        except BaseException:
            with suppress(EndpointLostError), self._telling(path):
                upload.drop()
            raise
        self._files.require_size(path, size, upload.sent_bytes)
        return size

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """See `Endpoint.rename`."""
        done(self._share, self._files.rename(old, new, replace=replace))

    def remove(self, path: str) -> None:
        """See `Endpoint.remove`."""
        done(self._share, self._files.remove(path))

    def make_folder(self, path: str) -> None:
        """See `Endpoint.make_folder`; the location's own folder is the partner's to make."""
        done(self._share, self._files.make_folders(parts_inside(path)))

    def remove_folder(self, path: str) -> bool:
        """See `Endpoint.remove_folder`."""
        return done(self._share, self._files.remove_folder(path))

    def stat_all(self, paths: Iterable[str]) -> list[FileEntry | MftgitError]:
        """See `Endpoint.stat_all`."""
        return overlap(self._share, (self._files.stat(path) for path in paths))

    def read_all(self, paths: Iterable[str], *, most_bytes: int) -> list[Content | MftgitError]:
        """See `Endpoint.read_all`."""
        return overlap(self._share, (self._files.read(path, most_bytes) for path in paths))

    def digest_all(self, paths: Iterable[str]) -> list[Digest | MftgitError | None]:
        """See `Endpoint.digest_all`; SMB has no way to ask for one."""
        return [None for _ in paths]

    def write_all(self, files: Iterable[tuple[str, bytes]]) -> list[int | MftgitError]:
        """See `Endpoint.write_all`."""
        return overlap(self._share, (self._files.write(*file) for file in files))

    def rename_all(
        self, moves: Iterable[tuple[str, str]], *, replace: bool
    ) -> list[MftgitError | None]:
        """See `Endpoint.rename_all`."""
        return overlap(
            self._share, (self._files.rename(old, new, replace=replace) for old, new in moves)
        )

    def set_all(self, changes: Iterable[tuple[str, Traits]]) -> list[MftgitError | None]:
        """See `Endpoint.set_all`; there are no modes, and a power cut may lose the time."""
        return overlap(self._share, (self._files.set(*change) for change in changes))

    def remove_all(self, paths: Iterable[str]) -> list[MftgitError | None]:
        """See `Endpoint.remove_all`."""
        return overlap(self._share, (self._files.remove(path) for path in paths))

    def close(self) -> None:
        """See `Endpoint.close`; waits for the connection's thread, at most two seconds."""
        self._share.close()

    def _scan(self, folder: str) -> Iterator[tuple[str, requests.Found]]:
        """Give the names in ``folder`` and what they are; the server may be asked other things meanwhile."""
        message = self._files.opening(folder, access=requests.LIST, options=requests.FOLDER)
        with self._telling(folder):
            file_id = requests.read_opened(self._share.ask(message)).file_id
        count = 0
        try:
            while True:
                with self._telling(folder):
                    batch = self._following(file_id)
                if batch is None:
                    return
                count += len(batch)
                if count > _MOST_NAMES:
                    raise EndpointRefusedError(
                        f"{self._share.server}: {folder!r} has more than {_MOST_NAMES} names: take some away"
                    )
                for name, found in batch:
                    if name in {".", ".."}:
                        continue
                    if wrong := wrong_name(name):
                        self._warn(wrong, name)
                    else:
                        yield name, found
        finally:
            with suppress(EndpointLostError), self._telling(folder):
                drop(self._share, file_id)

    def _following(self, file_id: bytes) -> list[tuple[str, requests.Found]] | None:
        """Return the names that follow, at least one; None at the end."""
        try:
            answer = self._share.ask(requests.list_(file_id, self._share.listed_bytes))
        except SMBResponseException as error:
            # The other one is what an empty disk says, whose root has not even "." (MS-SMB2 3.3.5.18).
            if status_of(error) not in {NO_MORE_FILES, NO_SUCH_FILE}:
                raise
            return None
        return list(requests.read_entries(answer))

    def _warn(self, why: str, path: str) -> None:
        logger.warning(
            "{server}: {path!r} is not listed: {why}",
            server=self._share.server,
            path=path,
            why=why,
        )


def _named(name: str, told: requests.Found) -> Named:
    kind = Kind.FILE if told.is_file else Kind.FOLDER if told.is_folder else Kind.OTHER
    return Named(name=name, kind=kind, size_bytes=told.size_bytes, mtime_ns=told.mtime_ns)
