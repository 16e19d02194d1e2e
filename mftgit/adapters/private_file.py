"""Read a file that nobody but its owner may read."""

import os
import stat
from pathlib import Path

from mftgit.errors import ConfigError


def read_private_text(path: Path) -> str:
    """Return the text in ``path``; its content is in no message.

    Raises:
        ConfigError: it is missing, unreadable, no regular file, open to other users of this machine, or not text.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(
            f"secret {path} cannot be read: {error.strerror}: put it there with mode 600"
        ) from error
    try:
        _require_private(path, os.fstat(descriptor).st_mode)
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            content = stream.read()
    finally:
        os.close(descriptor)
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"secret {path} is not text in UTF-8") from None  # the error holds it


def _require_private(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise ConfigError(f"secret {path} is not a regular file")
    if mode & 0o077:
        raise ConfigError(
            f"secret {path} has mode {stat.S_IMODE(mode):o}, so that others may use it: chmod 600 {path}"
        )
