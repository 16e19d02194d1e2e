"""What is asked of an FTP server by path, below the folder of a location."""

import ftplib
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from mftgit.adapters.endpoint.contract import (
    EndpointRefusedError,
    FileEntry,
    FileExistsAtEndpointError,
    FileMissingError,
    Traits,
)
from mftgit.adapters.endpoint.paths import folder_and_name, parts_inside
from mftgit.adapters.ftps.connect import Session
from mftgit.adapters.ftps.data import receive
from mftgit.adapters.ftps.replies import (
    MISSING,
    REFUSED,
    ProtocolError,
    code_of,
    is_denied,
    meaning,
)
from mftgit.adapters.ftps.wire import MAX_LINE_BYTES
from mftgit.model.locations.ftp_facts import Facts, Sort, format_time, parse_entry

MAX_NAMES: Final = 1_000_000
"""In one folder. They are all read before the first is told: meanwhile the session is for nothing else."""

MAX_LIST_BYTES: Final = 256 << 20
"""Of the list of one folder, what is passed over included."""

_LIST_S: Final = 600.0
_READ_BYTES: Final = 64 << 10
_FORBIDDEN: Final = re.compile("[\r\n\udcff]")  # see `ftps.wire`


class FtpsFolder:
    """The names below ``base`` on ``server``; what is asked of it raises `ftplib.Error` beside what methods say."""

    def __init__(self, *, base: str, server: str) -> None:
        self._base = base.rstrip("/") or ("/" if base.startswith("/") else ".")
        self._server = server

    def remote(self, path: str) -> str:
        """Return how the server calls ``path``: never so that it could be taken for an option.

        Raises:
            EndpointRefusedError: it leaves the location, or no command can hold it.
        """
        parts = parts_inside(path)
        if _FORBIDDEN.search(path) is not None:
            raise EndpointRefusedError(
                f"path {path!r} has a line break or the byte FF, which no command of FTP can hold: rename it"
            )
        base = self._base if self._base.startswith(("/", ".")) else f"./{self._base}"
        return "/".join((base.rstrip("/"), *parts)) or "/"

    def facts(self, session: Session, path: str) -> Facts:
        """Return what ``path`` is.

        Raises:
            FileMissingError: it is not there, as far as the server tells.
        """
        remote = self.remote(path)
        try:
            lines = session.voidcmd(f"MLST {remote}").split("\n")
        except REFUSED as error:
            if code_of(error) in MISSING and not is_denied(error, remote):
                raise FileMissingError(f"{self._server}: {path!r} is not there: {error}") from error
            raise
        told = next((line[1:] for line in lines[1:-1] if line.startswith(" ")), "")
        try:
            # Of a folder that is asked for by its name some servers say that it is the one they are in.
            entry = parse_entry(told)
        except ValueError as error:
            raise ProtocolError(f"no facts of {path!r}: {error}") from error
        return Facts(sort=Sort.FOLDER) if entry is None else entry[1]

    def file(self, session: Session, path: str) -> FileEntry:
        """Return what the regular file ``path`` is.

        Raises:
            EndpointRefusedError: it is none.
        """
        folder_and_name(path)
        return self.entry(path, self.require_file(path, self.facts(session, path)))

    def entry(self, path: str, facts: Facts) -> FileEntry:
        """Return what ``facts`` tell of a file."""
        if facts.size_bytes is None or facts.mtime_ns is None:
            raise EndpointRefusedError(
                f"{self._server}: {path!r}: the server does not tell size and time of change (RFC 3659)"
            )
        return FileEntry(
            path=path, size_bytes=facts.size_bytes, mtime_ns=facts.mtime_ns, mode=facts.mode
        )

    def require_file(self, path: str, facts: Facts) -> Facts:
        """Return ``facts`` where they are those of a regular file."""
        if facts.sort is not Sort.FILE:
            what = "a folder" if facts.sort is Sort.FOLDER else "no regular file"
            raise EndpointRefusedError(f"{self._server}: {path!r} is {what}")
        return facts

    def names(self, session: Session, folder: str) -> list[tuple[str, Facts]]:
        """Return every name in ``folder`` with what it is, without those that no path can have."""
        remote = self.remote(folder)
        with self.about(session, folder):
            sock = session.open_data(f"MLSD {remote}")
        found = []
        try:
            for entry in map(_parse, self._lines(session, sock, folder)):
                if entry is not None and "/" not in entry[0]:
                    found.append(entry)
                if len(found) > MAX_NAMES:
                    raise EndpointRefusedError(
                        f"{self._server}: {folder!r} has more than {MAX_NAMES} names: take some away"
                    )
        finally:
            session.close_data(sock)
        return found

    def _lines(self, session: Session, sock: ssl.SSLSocket, folder: str) -> Iterator[bytes]:
        """Give the lines that come, to their end; both connections are done with then."""
        left, size_bytes, until = b"", 0, session.clock.boottime() + _LIST_S
        while data := receive(session, sock, _READ_BYTES):
            size_bytes += len(data)
            if size_bytes > MAX_LIST_BYTES:
                raise EndpointRefusedError(
                    f"{self._server}: the list of {folder!r} is longer than {MAX_LIST_BYTES} bytes: take some away"
                )
            if session.clock.boottime() > until:
                raise TimeoutError(f"a list that did not come to its end in time, {_LIST_S:g} s")
            *whole, left = (left + data).split(b"\n")
            if len(left) > MAX_LINE_BYTES:
                raise ProtocolError(f"a line of a list with more than {MAX_LINE_BYTES} bytes")
            yield from (line.removesuffix(b"\r") for line in whole)
        if left:
            raise ProtocolError("a list that ends within a line")

    def create(self, session: Session, path: str) -> ssl.SSLSocket:
        """Begin to store the new file ``path``; folders above it are made.

        FTP has no word for "only if it is not there" (RFC 959, 4.1.3): who makes it between the look and STOR is
        overwritten.
        """
        above, _ = folder_and_name(path)
        remote = self.remote(path)
        self.require_free(session, path)
        try:
            return session.open_data(f"STOR {remote}")
        except ftplib.error_perm as error:
            if not above or code_of(error) not in MISSING:
                raise meaning(error, f"{self._server}: {path!r}") from error
        self.make_folders(session, "/".join(above))
        return session.open_data(f"STOR {remote}")

    def go_on(self, session: Session, path: str, offset: int) -> ssl.SSLSocket:
        """Begin to store into the file ``path`` at its byte ``offset``, which it has to come to.

        Not by APPE, which begins wherever the file ends by now.
        """
        size_bytes = self.file(session, path).size_bytes
        if size_bytes < offset:
            raise EndpointRefusedError(
                f"{self._server}: {path!r} has {size_bytes} bytes: it cannot be gone on with at {offset}"
            )
        with self.about(session, path):
            return session.open_data(f"STOR {self.remote(path)}", offset=offset)

    def require_free(self, session: Session, path: str) -> None:
        """See that there is nothing by this name.

        Raises:
            FileExistsAtEndpointError: there is.
        """
        try:
            self.facts(session, path)
        except FileMissingError:
            return
        raise FileExistsAtEndpointError(f"{self._server}: {path!r} is there already")

    def rename(self, session: Session, old: str, new: str, *, replace: bool) -> None:
        """Rename; without ``replace`` who comes between look and RNTO is overwritten, as most servers do it.

        Nothing is removed to make room: a server that does not replace refuses.
        """
        for path in (old, new):
            folder_and_name(path)
        source, target = self.remote(old), self.remote(new)
        if not replace:
            self.require_free(session, new)
        with self.about(session, old):
            session.sendcmd(f"RNFR {source}")  # 350
        try:
            session.voidcmd(f"RNTO {target}")
        except REFUSED as error:  # Pure-FTPd says 451 to a folder that is not there
            self.facts(session, old)
            above, _ = folder_and_name(new)
            self.facts(session, "/".join(above))
            told = meaning(error, f"{self._server}: {old!r} to {new!r}")
            hint = (
                ": ask the partner to let files be replaced, or have another overwrite"
                if replace
                else ""
            )
            raise type(told)(f"{told}{hint}") from error

    def make_folders(self, session: Session, path: str) -> None:
        """Make ``path`` and what is missing above it.

        Raises:
            EndpointRefusedError: a file is where a folder has to be.
        """
        parts = parts_inside(path)
        for end in range(1, len(parts) + 1):
            folder = "/".join(parts[:end])
            try:
                facts = self.facts(session, folder)
            except FileMissingError:
                facts = self._make(session, folder)
            if facts.sort is not Sort.FOLDER:
                raise EndpointRefusedError(
                    f"{self._server}: {folder!r} is a file where a folder has to be"
                )

    def _make(self, session: Session, folder: str) -> Facts:
        try:
            session.voidcmd(f"MKD {self.remote(folder)}")
        except ftplib.error_perm as error:
            try:
                return self.facts(session, folder)  # somebody else made it
            except FileMissingError:
                raise meaning(error, f"{self._server}: {folder!r}") from error
        return Facts(sort=Sort.FOLDER)

    def remove_folder(self, session: Session, path: str) -> bool:
        """Remove the empty folder ``path``; return False when it is not empty. One that is not there is fine."""
        folder_and_name(path)
        try:
            session.voidcmd(f"RMD {self.remote(path)}")
        except ftplib.error_perm as error:
            try:
                facts = self.facts(session, path)
                if facts.sort is Sort.FOLDER and self.names(session, path):
                    return False
            except FileMissingError:
                return True
            raise EndpointRefusedError(str(meaning(error, f"{self._server}: {path!r}"))) from error
        return True

    def set_traits(self, session: Session, path: str, traits: Traits) -> None:
        """Set what ``traits`` has, by MFMT (draft-somers-ftp-mfxx-04) and by what servers on Unix add to SITE."""
        folder_and_name(path)
        remote = self.remote(path)
        if traits.mtime_ns is not None:
            if "MFMT" not in session.features:
                raise EndpointRefusedError(f"{self._server} does not let times be set (MFMT)")
            try:
                moment = format_time(traits.mtime_ns)
            except OverflowError as error:
                raise EndpointRefusedError(
                    f"{self._server}: {path!r}: its time is in no year that FTP can tell (1 to 9999)"
                ) from error
            with self.about(session, path):
                session.voidcmd(f"MFMT {moment} {remote}")
        if traits.mode is not None:
            with self.about(session, path):
                session.voidcmd(f"SITE CHMOD {traits.mode:03o} {remote}")

    @contextmanager
    def about(self, session: Session, path: str) -> Iterator[None]:
        """Tell a path that is not there from what the server does not want done to it."""
        try:
            yield
        except REFUSED as error:
            if code_of(error) in MISSING and not is_denied(error, self.remote(path)):
                self.facts(session, path)
            raise meaning(error, f"{self._server}: {path!r}") from error


def _parse(line: bytes) -> tuple[str, Facts] | None:
    try:
        return parse_entry(line.decode("utf-8", "surrogateescape"))
    except ValueError as error:
        raise ProtocolError(f"no list: {error}") from error
