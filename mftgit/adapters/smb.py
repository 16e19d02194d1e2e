"""A folder of a share on a Windows or Samba file server as a place of files: SMB 3 by smbprotocol."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from loguru import logger
from smbprotocol.exceptions import SMBResponseException

from mftgit.adapters import smb_requests as requests
from mftgit.adapters.clock import Clock
from mftgit.adapters.endpoint import (
    Digest,
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileEntry,
    FileExistsAtEndpointError,
    FileMissingError,
    Traits,
)
from mftgit.adapters.endpoint_paths import (
    RESERVED,
    folder_and_name,
    parts_inside,
    require_length,
)
from mftgit.adapters.one_by_one import OneByOne
from mftgit.adapters.smb_connect import open_share
from mftgit.adapters.smb_share import Share
from mftgit.adapters.smb_status import (
    IS_A_DIRECTORY,
    NAME_COLLISION,
    NO_MORE_FILES,
    NOT_A_DIRECTORY,
    NOT_EMPTY,
    kind_of,
    status_of,
)
from mftgit.adapters.smb_transfer import Download, Upload, drop
from mftgit.errors import MftgitError
from mftgit.model.names import SecretName
from mftgit.model.secret_value import SecretValue
from mftgit.model.smb_location import SmbLocation
from mftgit.model.smb_names import wrong_name

_DEPTH: Final = 32  # of a recursive listing; a server may make up folders without end


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


class SmbEndpoint(OneByOne):
    """The files below ``location.path`` of the share; see `mftgit.adapters.endpoint.Endpoint`.

    After an `EndpointLostError` it is closed, and every further call raises that error again: connect anew. Links are
    not listed, and a path that leads through one is refused. A file that somebody writes to is not read, and nobody
    else can write to it while it is.
    """

    resumes = True

    def __init__(self, location: SmbLocation, share: Share) -> None:
        self._base = parts_inside(location.path.lstrip("/"))
        self._flush = location.flush
        self._share = share
        self._telling = share.telling

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
        top = parts_inside(folder)
        waiting: deque[tuple[str, ...]] = deque([()])
        deepest = depth if recursive else 0
        while waiting:
            below = waiting.popleft()
            try:
                for name, found in self._scan("/".join((*top, *below))):
                    path = "/".join((*below, name))
                    if name.startswith(RESERVED):
                        continue
                    if found.is_file:
                        yield _entry(path, found)
                    elif found.is_folder and (deepest is None or len(below) < deepest):
                        if len(below) < _DEPTH:
                            waiting.append((*below, name))
                        else:
                            self._warn("more than 32 folders deep", path)
            except FileMissingError:
                if not below:
                    raise

    def list_names(self, folder: str) -> list[str]:
        """See `Endpoint.list_names`."""
        return [name for name, _ in self._scan(folder)]

    def stat(self, path: str) -> FileEntry:
        """See `Endpoint.stat`."""
        folder_and_name(path)
        message = self._opening(path, access=requests.LOOK, options=requests.EITHER)
        with self._telling(path):
            found = requests.read_opened(self._at_once(message)).found
        if not found.is_file:
            raise EndpointRefusedError(f"{self._share.server}: {path!r} is no regular file")
        return _entry(path, found)

    @contextmanager
    def open_read(self, path: str, offset: int = 0) -> Iterator[BinaryIO]:
        """See `Endpoint.open_read`; a file that ends before the size it had raises `EndpointLostError`."""
        folder_and_name(path)
        message = self._opening(
            path, access=requests.READ, options=requests.FILE, share=requests.NO_WRITERS
        )
        with self._telling(path):
            opened = requests.read_opened(self._share.ask(message))
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
        upload = self._create(path) if resume_at is None else self._go_on(path, resume_at)
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
        if size != upload.sent_bytes:
            raise EndpointFullError(
                f"{self._share.server}: {path!r} has {size} bytes after {upload.sent_bytes} were sent: is it full?"
            )
        return size

    def _create(self, path: str) -> Upload:
        above, _ = folder_and_name(path)
        message = self._opening(
            path, access=requests.WRITE, options=requests.FILE, disposition=requests.CREATE
        )
        try:
            return self._upload(path, message)
        except FileMissingError:
            self._make_folders(above)
        return self._upload(path, message)

    def _upload(self, path: str, message: Any) -> Upload:
        with self._telling(path):
            try:
                opened = requests.read_opened(self._share.ask(message))
            except SMBResponseException as error:
                if status_of(error) != IS_A_DIRECTORY:
                    raise
                raise FileExistsAtEndpointError(
                    f"{self._share.server}: {path!r}: there is a folder of that name"
                ) from error
            return Upload(self._share, opened.file_id)

    def _go_on(self, path: str, offset: int) -> Upload:
        """Open a file to write from ``offset`` on."""
        folder_and_name(path)
        message = self._opening(path, access=requests.WRITE, options=requests.FILE)
        with self._telling(path):
            opened = requests.read_opened(self._share.ask(message))
            try:
                require_length(f"{self._share.server}: {path!r}", opened.found.size_bytes, offset)
            except EndpointRefusedError:
                drop(self._share, opened.file_id)
                raise
            return Upload(self._share, opened.file_id, sent_bytes=offset)

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """See `Endpoint.rename`; a file that somebody has open is replaced only where that one allows it."""
        folder_and_name(old)
        folder_and_name(new)
        message = self._opening(old, access=requests.MOVE, options=requests.EITHER)
        target = self._remote(new)
        if not replace and target == self._remote(old):
            self.stat(old)
            raise FileExistsAtEndpointError(f"{self._share.server}: {new!r} is there already")
        with self._telling(old, new):
            self._at_once(message, requests.rename(requests.RELATED, target, replace=replace))

    def remove(self, path: str) -> None:
        """See `Endpoint.remove`."""
        folder_and_name(path)
        message = self._opening(path, access=requests.MOVE, options=requests.FILE)
        with self._telling(path):
            self._at_once(message, requests.remove(requests.RELATED))

    def make_folder(self, path: str) -> None:
        """See `Endpoint.make_folder`; the location's own folder is the partner's to make."""
        self._make_folders(parts_inside(path))

    def _make_folders(self, parts: tuple[str, ...]) -> None:
        for count in range(1, len(parts) + 1):
            path = "/".join(parts[:count])
            message = self._opening(
                path,
                access=requests.LOOK,
                options=requests.FOLDER,
                disposition=requests.OPEN_OR_CREATE,
            )
            with self._telling(path):
                try:
                    self._at_once(message)
                except SMBResponseException as error:
                    if status_of(error) not in {NOT_A_DIRECTORY, NAME_COLLISION}:
                        raise
                    raise EndpointRefusedError(
                        f"{self._share.server}: there is a file {path!r} where a folder has to be"
                    ) from error

    def remove_folder(self, path: str) -> bool:
        """See `Endpoint.remove_folder`."""
        folder_and_name(path)
        message = self._opening(path, access=requests.MOVE, options=requests.FOLDER)
        with self._telling(path):
            try:
                self._at_once(message, requests.remove(requests.RELATED))
            except SMBResponseException as error:
                if status_of(error) == NOT_EMPTY:
                    return False
                if status_of(error) == NOT_A_DIRECTORY:
                    raise EndpointRefusedError(
                        f"{self._share.server}: {path!r} is no folder"
                    ) from error
                if not issubclass(kind_of(status_of(error)), FileMissingError):
                    raise
        return True

    def set_traits(self, path: str, traits: Traits) -> None:
        """Set the time; there is no mode. SMB has no word for "make it last", so that a power cut may lose it."""
        if traits.mtime_ns is None:
            self.stat(path)
            return
        folder_and_name(path)
        message = self._opening(path, access=requests.SET, options=requests.FILE)
        with self._telling(path):
            self._at_once(message, requests.set_time(requests.RELATED, traits.mtime_ns))

    def digest_all(self, paths: Iterable[str]) -> list[Digest | MftgitError | None]:
        """See `Endpoint.digest_all`; SMB has no way to ask for one."""
        return [None for _ in paths]

    def close(self) -> None:
        """See `Endpoint.close`; waits for the connection's thread, at most two seconds."""
        self._share.close()

    def _opening(
        self,
        path: str,
        *,
        access: int,
        options: int,
        disposition: int = requests.OPEN,
        share: int = requests.ANY,
    ) -> Any:
        return requests.open_(
            self._remote(path), access=access, disposition=disposition, options=options, share=share
        )

    def _at_once(self, opening: Any, *between: Any) -> bytes:
        """Open, do what is ``between``, and close, in one packet; return the answer to the first."""
        return self._share.together([opening, *between, requests.close(requests.RELATED)])[0]

    def _remote(self, path: str) -> str:
        """Return ``path`` as the server knows it, from the share.

        Raises:
            EndpointRefusedError: it leaves the location, or has a name that cannot be there.
        """
        parts = parts_inside(path)
        for part in parts:
            if wrong := wrong_name(part):
                raise EndpointRefusedError(
                    f"{self._share.server}: nothing can be called {part!r} there ({wrong}): rename it before"
                )
        return "\\".join((*self._base, *parts))

    def _scan(self, folder: str) -> Iterator[tuple[str, requests.Found]]:
        """Give the names in ``folder`` and what they are; the server may be asked other things meanwhile."""
        message = self._opening(folder, access=requests.LIST, options=requests.FOLDER)
        with self._telling(folder):
            file_id = requests.read_opened(self._share.ask(message)).file_id
        try:
            while True:
                with self._telling(folder):
                    batch = self._following(file_id)
                if batch is None:
                    return
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
            if status_of(error) != NO_MORE_FILES:
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


def _entry(path: str, found: requests.Found) -> FileEntry:
    return FileEntry(path=path, size_bytes=found.size_bytes, mtime_ns=found.mtime_ns)
