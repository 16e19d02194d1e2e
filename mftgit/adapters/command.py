"""Run a program that the machine's administrator has put into the state folder; the repository only names it."""

import os
import pwd
import select
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from mftgit.errors import ConfigError, MftgitError

MAX_TOLD: Final = 2000
_LOOK_S: Final = 0.05
_PIECE_BYTES: Final = 65_536
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CommandFailedError(MftgitError):
    """It ended with another ``status`` than 0, or not in time: then that is None."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def run_command(
    folder: Path,
    name: str,
    *,
    arguments: Sequence[str] = (),
    facts: Mapping[str, str],
    left_s: Callable[[], float],
    given: bytes | None = None,
) -> None:
    """Run ``folder/name`` with ``arguments``, without a shell, and return when it has ended with status 0.

    It gets an environment of ``PATH``, ``HOME``, ``LANG`` and ``facts`` alone, the input ``given``, or none, and ``/``
    as its folder. It is killed when ``left_s()`` is 0, and whatever it started with it, or when it has ended.

    Raises:
        ConfigError: it is not there, or others than this user and root may change it.
        CommandFailedError: see there; the message ends with what it said last.
    """
    path = require_program(folder, name)
    try:
        with _input(given) as stdin:
            process = subprocess.Popen(  # noqa: S603  no shell, and the repository cannot say what it is
                [str(path), *arguments],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={"PATH": _PATH, "HOME": _home(), "LANG": "C.UTF-8", **facts},
                cwd="/",
                start_new_session=True,
            )
    except OSError as error:
        raise ConfigError(f"{path} cannot be run: {error.strerror or error}") from error
    with process:
        try:
            said = _hear(process, left_s)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if said is None:
        raise CommandFailedError(f"{path} did not end in time")
    if process.returncode:
        told = said.decode(errors="replace").strip()
        raise CommandFailedError(
            f"{path} ended with status {process.returncode}{f': {told}' if told else ''}",
            status=process.returncode,
        )


@contextmanager
def _input(given: bytes | None) -> Iterator[int]:
    """Give what a program reads: memory of this process, which waits for nobody to read it, or nothing."""
    if given is None:
        yield subprocess.DEVNULL
        return
    with os.fdopen(os.memfd_create("input", os.MFD_CLOEXEC), "w+b") as file:
        file.write(given)
        file.seek(0)
        yield file.fileno()


def _hear(process: "subprocess.Popen[bytes]", left_s: Callable[[], float]) -> bytes | None:
    """Return the last of what ``process`` says until it ends, None where it does not end in time."""
    said = b""
    assert process.stdout is not None  # noqa: S101  it was asked for
    heard = process.stdout.fileno()
    os.set_blocking(heard, False)
    look = select.poll()  # select(2) knows no descriptor from 1024 on
    look.register(heard, select.POLLIN)
    while True:
        ended = process.poll() is not None
        waits_s = 0.0 if ended else min(_LOOK_S, left_s())
        if look.poll(waits_s * 1000):
            piece = os.read(heard, _PIECE_BYTES)
            said = (said + piece)[-MAX_TOLD:]
            if piece and left_s() and not ended:  # what a pipe holds is one piece
                continue
            if not ended:  # it has closed that, and goes on
                with suppress(subprocess.TimeoutExpired):
                    process.wait(waits_s)
        if ended:
            return said
        if not left_s():
            return None


def require_program(folder: Path, name: str) -> Path:
    """Return the path of ``folder/name``; raises ConfigError where it is not there, or others may change it."""
    _require_own(folder)
    _require_own(folder / name)
    return folder / name


def _home() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:  # a user without an entry, as in some containers
        return "/"


def _require_own(path: Path) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be used: {error.strerror}: the administrator of this machine puts it there"
        ) from error
    if status.st_uid not in {0, os.geteuid()} or stat.S_IMODE(status.st_mode) & 0o022:
        raise ConfigError(f"others may change {path}: chown it to this user, and chmod go-w {path}")
