"""Homes of gpg that hold the keys of one step, in memory: no disk sees a secret key, and none outlives its process.

A home is a folder of mode 700 on the file system in memory. A secret key lies there as gpg-agent keeps it, and is
overwritten and removed with the home. Each home is locked by its process; what a process that is gone has left is
removed by the next one. The agent of a home ends with the process that has started it.
"""

import fcntl
import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from threading import Event
from typing import Final, Self

from mftgit.adapters.private_edit import MEMORY, shred
from mftgit.errors import ConfigError, TransientError
from mftgit.model.keys.openpgp import GpgKey
from mftgit.model.keys.pgp_status import imported_keys, read_status

LIMIT_S: Final = 60.0
"""How long gpg may take for one answer; it takes some milliseconds, and a locked key a second on a slow machine."""

_PREFIX: Final = "mftgit-pgp-"
_LOCK: Final = "lock"
_LOOK_S: Final = 0.01
_PID: Final = re.compile(rb"^D ([0-9]+)$", re.MULTILINE)
_LEAST_ROUNDS: Final = "65536"
"""The agent locks a key with the passphrase that it came with; what lies in memory alone needs no slow lock."""

_WORDS: Final = (
    "--no-options", "--batch", "--no-tty", "--no-autostart", "--disable-dirmngr", "--no-auto-key-retrieve",
    "--no-auto-check-trustdb", "--trust-model", "always", "--weak-digest", "SHA1", "--exit-on-status-write-error",
    "--pinentry-mode", "error",
)  # fmt: skip


class PgpError(TransientError):
    """gpg could not be asked; it says nothing about the file that it should have been given."""


def sweep(memory: Path = MEMORY) -> None:
    """Remove the homes of this user whose processes are gone."""
    with suppress(OSError):
        for folder in memory.glob(f"{_PREFIX}*"):
            with suppress(OSError):
                if folder.lstat().st_uid == os.geteuid() and not folder.is_symlink():
                    _remove_if_left(folder)


def _remove_if_left(folder: Path) -> None:
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where it is in use
        shred(folder)
    finally:
        os.close(descriptor)


class PgpHome:
    """A home with public keys, and with secret ones where there are any; close it. One thread at a time.

    ``public`` and ``private`` are the fingerprints of its primary keys.
    """

    def __init__(
        self, keys: Iterable[GpgKey], *, private: str | None = None, memory: Path = MEMORY
    ) -> None:
        """Take in public ``keys``, and ``private``: what ``gpg --armor --export-secret-keys`` prints.

        Raises:
            ConfigError: gpg or the file system in memory is not there, or a key is none that gpg takes.
            PgpError: gpg fails.
        """
        program = shutil.which("gpg")
        if program is None or shutil.which("gpg-agent") is None:
            raise ConfigError("gpg is not installed: apt install gnupg")
        if not memory.is_mount():
            raise ConfigError(
                f"{memory} is no file system in memory: keys of OpenPGP are kept there"
            )
        sweep(memory)
        self._program = program
        self._agent: subprocess.Popen[bytes] | None = None
        self._agent_pid = 0
        try:
            self.folder: Final = Path(mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=memory))
            self._lock = _locked(self.folder)
        except OSError as error:
            raise PgpError(f"no home for gpg can be made: {error}") from error
        try:
            self.public: Final = self._import_public(list(keys))
            self.private: Final = frozenset() if private is None else self._import_private(private)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the agent and remove the home."""
        if self._agent is not None:
            self._end_agent(self._agent)
        shred(self.folder)
        os.close(self._lock)

    def command(self, *words: str) -> list[str]:
        """Return the command that runs gpg here."""
        return [self._program, "--homedir", str(self.folder), *_WORDS, *words]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of gpg here, which tells it of no other home."""
        return {"LC_ALL": "C", "HOME": str(self.folder)}

    def _import_public(self, keys: list[GpgKey]) -> frozenset[str]:
        wanted = frozenset(key.fingerprint for key in keys)
        if not wanted:
            return wanted
        found = imported_keys(
            read_status(self._ask(b"".join(key.packets for key in keys), "--import")), private=False
        )
        if missing := wanted - found:
            raise ConfigError(f"gpg does not take the public key {min(missing)}")
        return wanted

    def _import_private(self, text: str) -> frozenset[str]:
        self._start_agent()
        status = read_status(self._ask(text.encode(), "--import"))
        found = imported_keys(status, private=True)
        if not found:
            raise ConfigError(
                "gpg takes no secret key from it: expected what gpg --armor --export-secret-keys prints"
            )
        return found

    def _start_agent(self) -> None:
        program = shutil.which("gpg-agent") or "gpg-agent"
        # It ends when the command that it is given ends, and that when nobody holds its input any more. A shell waits
        # for all that is below it, which the agent is.
        keeper = ("sh", "-c", "cat; exit")
        try:
            self._agent = subprocess.Popen(  # noqa: S603  no shell; the program is gpg-agent
                [program, "--homedir", str(self.folder), "--no-options", "--s2k-count", _LEAST_ROUNDS,
                 "--daemon", "--", *keeper],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                cwd=self.folder, env=self.environment, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise PgpError(f"gpg-agent cannot be started: {error}") from error
        until = time.monotonic() + LIMIT_S
        while not (told := _PID.search(self._tell_agent("GETINFO pid", "/bye"))):
            if self._agent.poll() is not None or time.monotonic() > until:
                raise PgpError("gpg-agent does not answer")
            Event().wait(_LOOK_S)
        self._agent_pid = int(told[1])

    def _end_agent(self, agent: subprocess.Popen[bytes]) -> None:
        with suppress(PgpError, OSError):
            gone = os.pidfd_open(
                self._agent_pid
            )  # before it is told, so that it is the very process
            try:
                self._tell_agent("KILLAGENT", "/bye")
                ended = select.poll()
                ended.register(gone, select.POLLIN)
                ended.poll(LIMIT_S * 1000)
            finally:
                os.close(gone)
        agent.communicate()

    def _tell_agent(self, *words: str) -> bytes:
        home = str(self.folder)
        return self._run(
            ["gpg-connect-agent", "--homedir", home, "--no-autostart", *words], b""
        ).stdout

    def _ask(self, content: bytes, *words: str) -> str:
        done = self._run(self.command("--status-fd", "1", *words), content)
        return done.stdout.decode("utf-8", "replace")

    def _run(self, command: list[str], content: bytes) -> "subprocess.CompletedProcess[bytes]":
        try:
            return subprocess.run(  # noqa: S603  no shell; the programs are gpg's
                command, input=content, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                cwd=self.folder, env=self.environment, timeout=LIMIT_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise PgpError(f"{Path(command[0]).name} gave no answer in {LIMIT_S:g} s") from None
        except OSError as error:
            raise PgpError(f"{Path(command[0]).name} cannot be asked: {error}") from error


def _locked(folder: Path) -> int:
    """Lock ``folder`` for as long as this process lives; it is never there without its lock and with a key."""
    fresh = folder / "fresh"
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    fresh.rename(folder / _LOCK)
    return descriptor
