"""Send content through gpg, a piece at a time: it is judged by what gpg says for programs, after its last byte."""

import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Final

from mftgit.adapters.content.armor import bare
from mftgit.adapters.content.packed import unpacked
from mftgit.adapters.content.pgp_home import LIMIT_S, PgpError, PgpHome
from mftgit.adapters.content.steps import Bound, UnfitError
from mftgit.errors import ConfigError
from mftgit.model.keys.pgp_status import (
    Lines,
    read_status,
    why_not_decrypted,
    why_not_made,
    why_not_verified,
)

_PIECE_BYTES: Final = 64 << 10
_MOST_STATUS_BYTES: Final = 64 << 10
_MOST_PASSPHRASE_BYTES: Final = (
    4096  # what a pipe holds at the least, so that nobody waits for gpg to read it
)
_MODERN: Final = (
    "--cipher-algo", "AES256", "--digest-algo", "SHA512", "--cert-digest-algo", "SHA512", "--compress-algo", "none",
    "--set-filename", "",
)  # fmt: skip

Judge = Callable[[Lines, int], str | None]


def pgp_make(
    chunks: Iterator[bytes],
    home: PgpHome,
    *,
    recipients: Iterable[str],
    signer: str | None,
    passphrase: str | None,
    armor: bool,
) -> Iterator[bytes]:
    """Give ``chunks`` encrypted to ``recipients``, keys of ``home``, if any, and signed by the key ``signer``, if any.

    Raises:
        UnfitError: gpg does not say that it has done so.
        PgpError: gpg fails.
    """
    words = [*_MODERN, *(["--armor"] if armor else [])]
    to = sorted(recipients)
    for key in to:
        words += ["--recipient", key]
    words += ["--encrypt"] if to else []
    words += [] if signer is None else ["--local-user", signer, "--sign"]

    def judge(lines: Lines, code: int) -> str | None:
        return why_not_made(lines, code, encrypted=bool(to), signed=signer is not None)

    return _through(chunks, home, words, passphrase, judge)


def pgp_decrypt(
    chunks: Iterator[bytes],
    home: PgpHome,
    *,
    passphrase: str | None,
    most_bytes: int,
    signed: bool = True,
) -> Iterator[bytes]:
    """Give what is encrypted in ``chunks``; where ``home`` has public keys, it has to be ``signed`` by one of them.

    Raises:
        UnfitError: it is not, or is too much; the last piece may have been given by then.
        PgpError: gpg fails.
    """
    signers = (home.public or None) if signed else None
    words = ["--no-armor", *([] if signers else ["--skip-verify"]), "--decrypt"]

    def judge(lines: Lines, code: int) -> str | None:
        return why_not_decrypted(lines, code, signers=signers)

    return _bounded(_through(bare(chunks), home, words, passphrase, judge), most_bytes)


def pgp_verify(chunks: Iterator[bytes], home: PgpHome, *, most_bytes: int) -> Iterator[bytes]:
    """Give what is signed in ``chunks`` by one of the public keys of ``home``; raises as `pgp_decrypt`."""

    def judge(lines: Lines, code: int) -> str | None:
        return why_not_verified(lines, code, signers=home.public)

    packets = unpacked(bare(chunks), most_bytes=most_bytes)
    return _bounded(_through(packets, home, ["--no-armor", "--decrypt"], None, judge), most_bytes)


def _bounded(pieces: Iterator[bytes], most_bytes: int) -> Iterator[bytes]:
    bound = Bound(most_bytes)
    for piece in pieces:
        yield bound.take(piece)


def _through(
    chunks: Iterator[bytes], home: PgpHome, words: list[str], passphrase: str | None, judge: Judge
) -> Iterator[bytes]:
    child = _Child(home, words, passphrase)
    try:
        yield from child.pump(chunks)
        wrong = judge(read_status(child.status.decode("utf-8", "replace")), child.wait())
    finally:
        child.close()
    if wrong is not None:
        raise UnfitError(wrong)
    if child.refused:
        raise UnfitError("there is something behind the message")


class _Child:
    """One gpg with its four pipes. ``refused``: it did not read all that it was to be given."""

    def __init__(self, home: PgpHome, words: list[str], passphrase: str | None) -> None:
        self.status = b""
        self.refused = False
        self._waiting = memoryview(b"")
        self._status_fd, status_end = os.pipe()
        given = [status_end]
        if passphrase is not None:
            given.append(_filled(passphrase))
            words = ["--pinentry-mode", "loopback", "--passphrase-fd", str(given[-1]), *words]
        try:
            self._process = subprocess.Popen(  # noqa: S603  no shell; the program is gpg
                home.command("--status-fd", str(status_end), *words, "-"),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, pass_fds=given,
                cwd=home.folder, env=home.environment, start_new_session=True, bufsize=0,
            )  # fmt: skip
        except OSError as error:
            os.close(self._status_fd)
            raise PgpError(f"gpg cannot be started: {error}") from error
        finally:
            for descriptor in given:
                os.close(descriptor)
        os.set_blocking(self._pipes()[0].fileno(), False)

    def pump(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Give what gpg makes of ``chunks``; raises `UnfitError` or `PgpError` where nothing comes for too long."""
        source, out = self._pipes()
        poll = select.poll()
        reading = {out, self._status_fd}
        for descriptor in reading:
            poll.register(descriptor, select.POLLIN)
        while reading:
            if not source.closed and not self._waiting:
                self._fetch(chunks, poll)
            ready = poll.poll(LIMIT_S * 1000)
            if not ready:
                raise self._why_silent()
            for descriptor, _ in ready:
                if descriptor not in reading:
                    self._feed(poll)
                elif not (piece := os.read(descriptor, _PIECE_BYTES)):
                    reading.discard(descriptor)
                    poll.unregister(descriptor)
                elif descriptor == out:
                    yield piece
                else:
                    self._note(piece)

    def _why_silent(self) -> UnfitError | PgpError:
        """Return whose fault it is: what unpacks to nothing for ever keeps gpg at work, and would end each run."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_bytes().rpartition(b")")[2].split()
        worked_s = sum(map(int, stat[11:13])) / os.sysconf("SC_CLK_TCK")  # proc(5): utime, stime
        if worked_s > LIMIT_S / 10:  # who waits for an agent has done next to nothing
            return UnfitError(f"gpg works on it for more than {LIMIT_S:g} s, and gives nothing")
        return PgpError(f"gpg did nothing for {LIMIT_S:g} s")

    def wait(self) -> int:
        """Return gpg's exit status; raises `PgpError` where it does not end, or was ended."""
        try:
            code = self._process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            raise PgpError(f"gpg did not end in {LIMIT_S:g} s") from None
        if code < 0:
            raise PgpError(f"gpg was ended by signal {-code}")
        return code

    def close(self) -> None:
        """End gpg, if it has not ended."""
        process = self._process
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(self._status_fd)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def _pipes(self) -> tuple[IO[bytes], int]:
        source, made = self._process.stdin, self._process.stdout
        assert source is not None  # noqa: S101  they were asked for
        assert made is not None  # noqa: S101
        return source, made.fileno()

    def _fetch(self, chunks: Iterator[bytes], poll: select.poll) -> None:
        """Take what is next for gpg; where nothing is, it is told so."""
        source, _ = self._pipes()
        self._waiting = memoryview(next(filter(None, chunks), b""))
        if self._waiting:
            poll.register(source.fileno(), select.POLLOUT)
        else:
            source.close()

    def _feed(self, poll: select.poll) -> None:
        """Write some of what waits; where gpg reads no more, nothing is left to be written."""
        source, _ = self._pipes()
        descriptor = source.fileno()
        try:
            written = os.write(descriptor, self._waiting[:_PIECE_BYTES])
            self._waiting = self._waiting[written:]
        except BlockingIOError:
            return
        except BrokenPipeError:
            self.refused, self._waiting = True, memoryview(b"")
            source.close()
        if not self._waiting:
            poll.unregister(descriptor)

    def _note(self, piece: bytes) -> None:
        self.status += piece
        if len(self.status) > _MOST_STATUS_BYTES:
            # A message to very many keys does that, and would end the run as a fault of gpg's.
            raise UnfitError(f"gpg says more than {_MOST_STATUS_BYTES:,} bytes of it")


def _filled(passphrase: str) -> int:
    """Return a pipe to read ``passphrase`` from, which is closed at its other end."""
    text = passphrase.encode()
    if len(text) > _MOST_PASSPHRASE_BYTES - 1 or "\n" in passphrase:
        raise ConfigError(f"a passphrase is one line of less than {_MOST_PASSPHRASE_BYTES} bytes")
    reading, writing = os.pipe()
    try:
        os.write(writing, text + b"\n")
    finally:
        os.close(writing)
    return reading
