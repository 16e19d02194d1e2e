"""gpg as a program that checks signatures: in a home of its own, without network, agent and settings."""

import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from mftgit.errors import MftgitError
from mftgit.model.keys.gpg_status import imported, signed_by
from mftgit.model.keys.openpgp import GpgKey

LIMIT_S: Final = 20.0
"""How long gpg may take for one answer; it takes some milliseconds."""

_MAX_OUTPUT_BYTES: Final = 1 << 20
_LAST_SECOND: Final = (1 << 32) - 1  # of OpenPGP's clock
_WORDS: Final = (
    "--no-options", "--batch", "--no-tty", "--no-autostart", "--disable-dirmngr", "--no-auto-key-retrieve",
    "--no-auto-check-trustdb", "--trust-model", "always", "--weak-digest", "SHA1", "--status-fd", "1",
    "--exit-on-status-write-error",
)  # fmt: skip


class GpgError(MftgitError):
    """gpg could not be asked; it says nothing about what it should have looked at."""


class Keyring:
    """Public keys in a home of gpg that is nobody's; close it to remove it. One thread at a time."""

    def __init__(self, keys: Iterable[bytes], *, limit_s: float = LIMIT_S) -> None:
        """Import ``keys``; one that gpg does not take is not in ``fingerprints``.

        Raises:
            GpgError: gpg is not there, or fails.
        """
        program = shutil.which("gpg")
        if program is None:
            raise GpgError("gpg is not installed: apt install gnupg")
        self._program, self._limit_s = program, limit_s
        with _telling():
            self._home = tempfile.TemporaryDirectory(
                prefix="mftgit-gpg-", ignore_cleanup_errors=True
            )
        try:
            self.fingerprints: Final = self._import(b"".join(keys))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the home."""
        self._home.cleanup()

    def signer(self, signature: bytes, payload: bytes, *, at_s: int) -> GpgKey:
        """Return the key by which ``payload`` is signed, as keys are valid at ``at_s``, seconds of the Unix epoch.

        Raises:
            FlawError: the signature proves nothing.
            GpgError: gpg fails.
        """
        file = Path(self._home.name, "signature")
        with _telling():
            file.write_bytes(signature)
        at = f"{min(at_s, _LAST_SECOND)}!"  # and the clock stands still
        words = ("--faked-system-time", at, "--verify", "--", str(file), "-")
        return signed_by(*self._ask(words, payload))

    def _import(self, keys: bytes) -> frozenset[str]:
        # Whether a key counts is judged at the time of each commit, and not by this machine's clock.
        words = ("--ignore-time-conflict", "--ignore-valid-from", "--import")
        status, code = self._ask(words, keys)
        found = imported(status)
        if found is None:
            raise GpgError(f"gpg did not look at the keys: it ended with {code}")
        return found

    def _ask(self, words: Iterable[str], content: bytes) -> tuple[str, int]:
        """Run gpg with ``content`` to read; return what it says for programs, and its exit status."""
        home = self._home.name
        file = Path(home, "content")
        with _telling():
            file.write_bytes(content)
            with (
                file.open("rb") as stream,
                subprocess.Popen(  # noqa: S603  no shell; the program is gpg
                    [self._program, "--homedir", home, *_WORDS, *words],
                    stdin=stream,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    cwd=home,
                    env={"LC_ALL": "C", "HOME": home},
                    start_new_session=True,
                ) as process,
            ):
                output, code = self._answer(process)
        if code < 0:
            raise GpgError(f"gpg was ended by signal {-code}")
        return output.decode("utf-8", "replace"), code

    def _answer(self, process: subprocess.Popen[bytes]) -> tuple[bytes, int]:
        """Return all that ``process`` writes, and its exit status; too much of it, or too late, is an error."""
        until, output = time.monotonic() + self._limit_s, b""
        try:
            while chunk := _read(process, until):
                output += chunk
                if len(output) > _MAX_OUTPUT_BYTES:
                    raise GpgError(f"gpg said more than {_MAX_OUTPUT_BYTES:,} bytes")
            return output, process.wait(max(0, until - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired):
            raise GpgError(f"gpg gave no answer in {self._limit_s:g} s") from None
        finally:
            if process.returncode is None:  # with what it may have started
                os.killpg(process.pid, signal.SIGKILL)


def _read(process: subprocess.Popen[bytes], until: float) -> bytes:
    """Return what ``process`` writes next, nothing at its end; raises TimeoutError at ``until``."""
    output = process.stdout
    assert output is not None  # noqa: S101  it was asked for
    ready = select.poll()
    ready.register(output)
    if not ready.poll(max(0, until - time.monotonic()) * 1000):
        raise TimeoutError
    return os.read(output.fileno(), 1 << 16)


@contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GpgError(f"gpg could not be asked: {error}") from error
