"""Folders below one that is our own, opened one name at a time so that no link is ever followed (openat(2))."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@contextmanager
def open_top(folder: Path) -> Iterator[int]:
    """Give the descriptor of ``folder``, which may lie behind links itself."""
    descriptor = os.open(folder, _FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def enter(at: int, name: str, *, make: bool) -> int:
    """Return a new descriptor of the folder ``name`` in ``at``, made if it is missing and ``make`` is set."""
    if make:
        with suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=at)
            os.fsync(at)
    return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
