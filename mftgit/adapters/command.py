"""Run a program that the machine's administrator has put into the state folder; the repository only names it."""

import os
import signal
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mftgit.errors import ConfigError, MftgitError

MAX_TOLD: Final = 2000
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CommandFailedError(MftgitError):
    """It ended with another status than 0, or not in time."""


def run_command(folder: Path, name: str, *, facts: Mapping[str, str], timeout_s: float) -> None:
    """Run ``folder/name`` and return when it has ended with status 0.

    It gets an environment of ``PATH`` and ``facts`` alone, no input, and ``/`` as its folder. Whatever it started is
    killed with it after ``timeout_s``.

    Raises:
        ConfigError: it is not there, or others than this user and root may change it.
        CommandFailedError: see there; the message ends with what it said last.
    """
    path = folder / name
    _require_own(folder)
    _require_own(path)
    try:
        process = subprocess.Popen(  # noqa: S603  no shell, and the repository cannot say what it is
            [str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={"PATH": _PATH, **facts},
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigError(f"{path} cannot be run: {error.strerror}") from error
    with process:
        try:
            said = process.communicate(timeout=timeout_s)[1]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise CommandFailedError(f"{path} did not end within {timeout_s:g} s") from None
    if process.returncode:
        told = said[-MAX_TOLD:].decode(errors="replace").strip()
        raise CommandFailedError(
            f"{path} ended with status {process.returncode}{f': {told}' if told else ''}"
        )


def _require_own(path: Path) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be used: {error.strerror}: the administrator of this machine puts it there"
        ) from error
    if status.st_uid not in {0, os.geteuid()} or stat.S_IMODE(status.st_mode) & 0o022:
        raise ConfigError(f"others may change {path}: chown it to this user, and chmod go-w {path}")
