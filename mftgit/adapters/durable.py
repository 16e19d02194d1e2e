"""Change files so that a crash leaves the old content or the new, never a mixture."""

import errno
import os
import re
from pathlib import Path
from typing import Final

_STALE_TRIES: Final = 3
_HALF: Final = re.compile(r"\..+\.(\d+)\.new")


def write_file(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replace ``path`` by ``content``: temporary file, fsync, rename, fsync of the folder."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    move_file(fresh, path)


def move_file(source: Path, target: Path) -> None:
    """Put ``source`` in the place of ``target``, and make that last; both are in one folder."""
    source.replace(target)
    sync_folder(target.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` in one step that readers see whole; a power cut may lose it."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    fresh.write_bytes(content)
    fresh.replace(path)


def sweep_folder(folder: Path) -> tuple[str, ...]:
    """Remove what processes have left half-written in ``folder`` that are no more; return the names."""
    halves = ((path, _HALF.fullmatch(path.name)) for path in folder.iterdir())
    left = [path for path, half in halves if half and not Path("/proc", half[1]).exists()]
    for path in left:
        path.unlink(missing_ok=True)
    return tuple(path.name for path in left)


def append_line(path: Path, line: bytes) -> None:
    """Append ``line`` and a newline to ``path`` in one write, and make it last."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, line + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_replaced(path: Path, *, most_bytes: int) -> bytes:
    """Return what is in ``path``, up to ``most_bytes`` of it; another machine may replace it at any moment.

    An NFS 4.2 client that has read the file before fails at its first read after that (ESTALE: measured, each time);
    the next one opens the new file.
    """
    for _ in range(_STALE_TRIES - 1):
        try:
            with path.open("rb") as stream:
                return stream.read(most_bytes)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
    with path.open("rb") as stream:
        return stream.read(most_bytes)


def names_in(folder: Path) -> list[Path]:
    """Return what is in ``folder``, nothing where it is not there.

    Raises:
        OSError: it cannot be read; `Path.glob` would say, from Python 3.13 on, that nothing is there.
    """
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []


def sync_folder(folder: Path) -> None:
    """Flush the names in ``folder`` to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
