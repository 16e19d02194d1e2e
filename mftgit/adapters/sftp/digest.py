"""Digests that the server works out itself, so that nothing has to be read back: an SFTP extension, or its shell.

The extension is "check-file" of draft-ietf-secsh-filexfer-extensions-00, section 3. ProFTPD has it, and does not tell
so in version 3; OpenSSH has not. Servers without it let `sha256sum` run where they let commands run at all.
"""

import hashlib
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from loguru import logger
from paramiko import sftp as wire

from mftgit.adapters.endpoint.contract import Digest, FileEntry, FileMissingError
from mftgit.adapters.sftp.folder import SftpFolder
from mftgit.adapters.sftp.overlap import Exchange, done, overlap
from mftgit.adapters.sftp.session import Session
from mftgit.adapters.sftp.wire import Answer, StatusError
from mftgit.adapters.ssh.fields import text, u32, u64
from mftgit.errors import MftgitError

BY_EXTENSION: Final = "check-file"
BY_SHELL: Final = "sha256sum"
BY_SIZE: Final = "its size"
"""Of an empty file, for which ProFTPD refuses to work anything out."""

_EXTENSION: Final = b"check-file-name"
_ALGORITHM: Final = b"sha256"
_SLOWEST_BYTES_PER_S: Final = 20_000_000
"""A server whose disk is not slower than this is waited for; it says nothing until it is done with a file."""

_BEGINS: Final = b"mftgit-digests\n"
_COMMAND: Final = (
    "echo mftgit-digests; exec xargs -0 sh -c 'for f do "
    '[ -f "$f" ] && stat -c "%s %Y" -- "$f" && sha256sum <"$f" || echo -; '
    "done' sh"
)
"""The names come by its input, so that nothing in them can mean anything to a shell."""

_STATUS: Final = re.compile(rb"(\d{1,20}) (\d{1,20})")
_SUM: Final = re.compile(rb"([0-9a-f]{64})  ?\*?-")
_LINES_BYTES: Final = 150  # of one file
_GREETING_BYTES: Final = 64 << 10  # what a login shell may say before


class Run(Protocol):
    """Runs a command beside SFTP; see `mftgit.adapters.sftp.exec.output_of`."""

    def __call__(
        self, command: str, given: bytes, *, within_s: float, most_bytes: int
    ) -> bytes | None:
        """Run it."""


class Digests:
    """What the server of one session is able to work out, which is found out by the first files.

    ``timeout_s`` is how long the server may say nothing. ``most_silent_s`` is how much longer it may while it works
    out a digest; None where that is as long as it takes.
    """

    def __init__(
        self,
        session: Session,
        folder: SftpFolder,
        *,
        stat: Callable[[str], Exchange[FileEntry]],
        run: Run,
        server: str,
        timeout_s: float,
        most_silent_s: float | None = None,
    ) -> None:
        self._session = session
        self._folder = folder
        self._stat = stat
        self._run = run
        self._server = server
        self._timeout_s = timeout_s
        self._most_silent_s = most_silent_s
        self._ways: dict[str, bool | None] = {BY_EXTENSION: None, BY_SHELL: None}  # None: not known

    def all(self, paths: Iterable[str]) -> list[Digest | MftgitError | None]:
        """See `Endpoint.digest_all`; raises what the session raises, or `EndpointLostError`."""
        asked = list(paths)
        found = overlap(self._session, (self._stat(path) for path in asked))
        there = {
            path: entry
            for path, entry in zip(asked, found, strict=True)
            if isinstance(entry, FileEntry)
        }
        told: dict[str, Digest | MftgitError | None] = {
            path: Digest(sha256=hashlib.sha256().hexdigest(), by=BY_SIZE)
            for path, entry in there.items()
            if not entry.size_bytes
        }
        for way, ask in ((BY_EXTENSION, self._by_extension), (BY_SHELL, self._by_shell)):
            left = {path: entry for path, entry in there.items() if told.get(path) is None}
            if left and self._ways[way] is not False:
                told |= ask(left)
                self._learn(way, told.values())
        return [
            entry if isinstance(entry, MftgitError) else told.get(path)
            for path, entry in zip(asked, found, strict=True)
        ]

    def _learn(self, way: str, told: Iterable[Digest | MftgitError | None]) -> None:
        """Take note of whether the server goes this way; it is not asked again where the first ones were in vain."""
        if self._ways[way]:
            return
        self._ways[way] = any(isinstance(each, Digest) and each.by == way for each in told)
        if self._ways[way]:
            logger.info("{server}: digests are worked out by {way}", server=self._server, way=way)
        elif not any(each is not False for each in self._ways.values()):
            logger.info(
                "{server} works out no digests: files are read back instead", server=self._server
            )

    def _by_extension(
        self, files: Mapping[str, FileEntry]
    ) -> dict[str, Digest | MftgitError | None]:
        silent_s = sum(entry.size_bytes for entry in files.values()) / _SLOWEST_BYTES_PER_S
        if self._most_silent_s is not None and silent_s > self._most_silent_s:
            return {}
        with self._session.patient(self._timeout_s + silent_s):
            ended = overlap(self._session, (self._check_file(path) for path in files))
        return dict(zip(files, ended, strict=True))

    def _check_file(self, path: str) -> Exchange[Digest | None]:
        try:
            answer = yield from self._folder.ask(
                wire.CMD_EXTENDED,
                text(_EXTENSION),
                text(self._folder.remote(path)),
                text(_ALGORITHM),
                u64(0),  # from the beginning
                u64(0),  # to the end
                u32(0),  # in one block
                expected=wire.CMD_EXTENDED_REPLY,
            )
        except StatusError as error:
            if error.meaning is FileMissingError:
                raise FileMissingError(f"{self._server}: {path!r}: {error}") from error
            return None
        return _sha256(answer)

    def _by_shell(self, files: Mapping[str, FileEntry]) -> dict[str, Digest | MftgitError | None]:
        """Let the server's shell work them out, which has to see files of the same sizes and times there."""
        base = self._real_folder()
        if base is None:
            return {}
        size_bytes = sum(entry.size_bytes for entry in files.values())
        output = self._run(
            _COMMAND,
            b"".join(self._folder.below(base, path) + b"\0" for path in files),
            within_s=self._timeout_s + size_bytes / _SLOWEST_BYTES_PER_S,
            most_bytes=_GREETING_BYTES + _LINES_BYTES * len(files),
        )
        return dict(zip(files, shell_digests(output or b"", list(files.values())), strict=True))

    def _real_folder(self) -> bytes | None:
        try:
            found = done(self._folder.real())
        except StatusError:
            return None
        return found if found.startswith(b"/") and b"\0" not in found else None


def _sha256(answer: Answer) -> Digest | None:
    """Read an answer of the extension; one of an earlier draft repeats the name of the extension first."""
    try:
        algorithm = answer.text()
        if algorithm == BY_EXTENSION.encode():
            algorithm = answer.text()
    except struct.error:
        return None
    digest = answer.rest()
    if algorithm != _ALGORITHM or len(digest) != hashlib.sha256().digest_size:
        return None
    return Digest(sha256=digest.hex(), by=BY_EXTENSION)


def shell_digests(output: bytes, files: Sequence[FileEntry]) -> list[Digest | None]:
    """Return what the shell's ``output`` tells of ``files``, in their order.

    None stands for one that it cannot read, or that has another size or time of change there: then its path leads to
    another file than SFTP's does, as where the two begin at different folders.
    """
    _, _, told = output.partition(_BEGINS)
    lines = iter(told.split(b"\n"))
    return [_next_digest(lines, file) for file in files]


def _next_digest(lines: Iterator[bytes], file: FileEntry) -> Digest | None:
    status = _STATUS.fullmatch(next(lines, b""))
    if status is None:
        return None
    found = _SUM.fullmatch(next(lines, b""))
    seen = int(status[1]), int(status[2])
    if found is None or seen != (file.size_bytes, file.mtime_ns // 1_000_000_000):
        return None
    return Digest(sha256=found[1].decode(), by=BY_SHELL)
