"""Put one file into a zip archive, a piece at a time."""

import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from mftgit.adapters.content.steps import UnfitError

_FIRST: Final = datetime(1980, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC)
"""What a date of MS-DOS can tell (APPNOTE 4.4.6)."""

_UNIX: Final = 3
_MODE: Final = 0o100644 << 16


class _Out:
    """A file that is not kept: what was written to it is taken away."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        return len(data)

    def close(self) -> None:
        """Do nothing: what was written is still taken."""

    def flush(self) -> None:
        """Do nothing: all is there."""

    def take(self) -> bytes:
        taken = b"".join(self._written)
        self._written.clear()
        return taken


def zip_one(
    chunks: Iterator[bytes], *, name: str, mtime_ns: int, is_large: bool
) -> Iterator[bytes]:
    """Give an archive with ``chunks`` as the file ``name``, changed at ``mtime_ns`` (UTC, of even seconds).

    ``is_large``: they may be more than 2 GiB, which old programs do not read; it is no limit where it is set.

    Raises:
        UnfitError: ``name`` is no text that an archive can hold.
    """
    out, size = _Out(), 0
    with (
        zipfile.ZipFile(out, "w") as archive,
        archive.open(_entry(name, mtime_ns), "w", force_zip64=is_large) as entry,
    ):
        for chunk in chunks:
            size += len(chunk)
            if not is_large and size >= zipfile.ZIP64_LIMIT:
                raise UnfitError("it grew while it was read")
            entry.write(chunk)
            if made := out.take():
                yield made
    yield out.take()


def _entry(name: str, mtime_ns: int) -> zipfile.ZipInfo:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UnfitError("its name is not UTF-8, and cannot stand in a zip archive") from None
    if "\\" in name or name[1:2] == ":":
        raise UnfitError(
            "programs on Windows would take its name for a path, which may lead out of the archive"
        )
    # Within what a date holds first, because a time of change may be anything.
    seconds = min(max(mtime_ns // 10**9, int(_FIRST.timestamp())), int(_LAST.timestamp()))
    entry = zipfile.ZipInfo(name, datetime.fromtimestamp(seconds, UTC).timetuple()[:6])
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = _UNIX
    entry.external_attr = _MODE
    return entry
