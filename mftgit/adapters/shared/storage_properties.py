"""What leases and the fence stand on: each property of storage, and how it is tried in a folder of its own."""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mftgit.adapters.durable import sync_folder

_LINKED: Final = 2
_LONGEST_NAME: Final = 255


class NotSoError(Exception):
    """The storage does something else than it has to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """One property. ``stands``: what stands on it, and would not hold without it.

    ``run`` tries it in an empty folder; it raises NotSoError, or OSError where the storage refuses what has to work.
    """

    name: str
    needs: str
    stands: str
    run: Callable[[Path], None]


def _new(path: Path | str, *, into: int | None = None) -> None:
    """Make a file that must not be there, with its own path as content."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o644, dir_fd=into)
    try:
        os.write(descriptor, os.fsencode(path))
    finally:
        os.close(descriptor)


def _expect(holds: object, otherwise: str) -> None:
    if not holds:
        raise NotSoError(otherwise)


@contextmanager
def _refused(otherwise: str) -> Iterator[None]:
    """The body has to fail, whatever it is told; a storage that does not answer at all shows elsewhere."""
    try:
        yield
    except OSError:
        return
    raise NotSoError(otherwise)


def _names(folder: Path) -> set[bytes]:
    return {os.fsencode(path.name) for path in folder.iterdir()}


def _create_exclusively(own: Path) -> None:
    _new(own / "taken")
    with _refused("a file that was there was made once more"):
        _new(own / "taken")


def _link_once(own: Path) -> None:
    first, second, name = own / "first", own / "second", own / "name"
    _new(first)
    _new(second)
    os.link(first, name)
    _expect(first.stat().st_nlink == _LINKED, "a file with two names has another number of links")
    with _refused("a name that was taken was given once more"):
        os.link(second, name)
    _expect(second.stat().st_nlink == 1, "a link that was refused is counted all the same")
    _expect(name.read_bytes() == os.fsencode(first), "the name tells of the second file")
    (own / "deeper").mkdir()
    os.link(second, own / "deeper" / "name")
    first.unlink()
    _expect(name.stat().st_nlink == 1, "a link that was removed is counted still")


def _rename_whole(own: Path) -> None:
    old, new = own / "old", own / "new"
    _new(old)
    _new(new)
    new.rename(old)
    _expect(old.read_bytes() == os.fsencode(new), "the file under the name is the former one")
    _expect(_names(own) == {b"old"}, "the file has two names, or none, after it")


def _rename_once(own: Path) -> None:
    first, second = own / "first", own / "second"
    _new(own / "a")
    (own / "a").rename(first)
    with _refused("a file that was gone from its place was renamed once more"):
        (own / "a").rename(second)
    _expect(_names(own) == {b"first"}, "the file has another name after it")


def _rename_across(own: Path) -> None:
    """As records and claims go from the folder of one epoch to that of the next."""
    lower, higher = own / "1", own / "2"
    lower.mkdir()
    higher.mkdir()
    _new(lower / "a")
    (lower / "a").rename(higher / "a")
    _expect(
        (_names(lower), _names(higher)) == (set(), {b"a"}), "it is listed in the first one still"
    )
    lower.rmdir()
    with _refused("a file was renamed into a folder that was removed"):
        (higher / "a").rename(lower / "a")
    _expect(_names(higher) == {b"a"}, "the file was gone after a rename that was refused")


def _remove_only_empty(own: Path) -> None:
    full = own / "full"
    full.mkdir()
    _new(full / "a")
    with _refused("a folder with a file in it was removed"):
        full.rmdir()
    _expect(_names(full) == {b"a"}, "the file was gone after it")


def _keep_out(own: Path) -> None:
    """Act as an owner that has its folder open, and sleeps while a successor removes it."""
    gone = own / "gone"
    gone.mkdir()
    _new(own / "a")
    opened = os.open(gone, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        gone.rmdir()
        with _refused("a file was renamed into it all the same"):
            os.rename(own / "a", "a", dst_dir_fd=opened)
        _expect(_names(own) == {b"a"}, "the file was gone after a rename that was refused")
        with _refused("a file was made in it all the same"):
            _new("b", into=opened)
    finally:
        os.close(opened)


def _list_at_once(own: Path) -> None:
    wanted = {f"{number}".encode() for number in range(8)}
    for name in sorted(wanted):
        _new(own / os.fsdecode(name))
        _expect(name in _names(own), "a file was not listed that was just made")
    for name in sorted(wanted):
        (own / os.fsdecode(name)).unlink()
        _expect(name not in _names(own), "a file was listed that was just removed")


def _keep_names(own: Path) -> None:
    """No name may become another one; one that is refused cannot."""
    _new(own / ("n" * _LONGEST_NAME))
    (own / ("n" * _LONGEST_NAME)).unlink()
    for name in ("ä".encode(), "a\u0308".encode(), "名前 😀".encode(), b"\xff\xfe"):
        try:
            _new(own / os.fsdecode(name))
        except FileExistsError:
            raise NotSoError(f"the name {name!r} was taken for another one") from None
        except OSError:
            continue
        _expect(name in _names(own), f"the name {name!r} was kept as another one")


def _tell_case(own: Path) -> None:
    _new(own / "a")
    try:
        _new(own / "A")
    except FileExistsError:
        raise NotSoError("A was taken for a") from None
    _expect(_names(own) == {b"a", b"A"}, "only one of a and A is listed")


def _keep_content(own: Path) -> None:
    content = secrets.token_bytes(4096)
    path = own / "a"
    path.write_bytes(content)
    _expect(path.read_bytes() == content, "another content was read than was written")


def _make_last(own: Path) -> None:
    with (own / "a").open("xb") as stream:
        stream.write(b"a")
        stream.flush()
        os.fsync(stream.fileno())
    sync_folder(own)


PROPERTIES: Final[tuple[Property, ...]] = (
    Property(
        name="Content",
        needs="what was written is read again",
        stands="a record of a delivery would tell of another file",
        run=_keep_content,
    ),
    Property(
        name="Listing",
        needs="it tells at once what was made and removed",
        stands="an owner could miss its successor",
        run=_list_at_once,
    ),
    Property(
        name="Exclusive create (O_EXCL)",
        needs="of those who make one file one succeeds",
        stands="two members could each believe that a name is theirs",
        run=_create_exclusively,
    ),
    Property(
        name="Exclusive link (link(2))",
        needs="of those who give one name one succeeds, and the number of links tells which",
        stands="two members could own one transfer",
        run=_link_once,
    ),
    Property(
        name="Rename onto a file (rename(2))",
        needs="the new file takes the name of the old one",
        stands="a record would be torn or missing after a crash",
        run=_rename_whole,
    ),
    Property(
        name="Rename of what is gone",
        needs="a file is taken from its place once",
        stands="two owners could claim one file, and send it twice",
        run=_rename_once,
    ),
    Property(
        name="Rename from folder to folder",
        needs="a file goes from one folder to the next, and to none that was removed",
        stands="a successor could not take over what is under way, or a late owner could go on with it",
        run=_rename_across,
    ),
    Property(
        name="Removal of a folder (rmdir(2))",
        needs="a folder that holds a file is kept",
        stands="a file that is under way could be lost at a takeover",
        run=_remove_only_empty,
    ),
    Property(
        name="Removal of a folder that is open",
        needs="nothing goes into it any more",
        stands="an owner that wakes late could send a file that its successor sends too",
        run=_keep_out,
    ),
    Property(
        name="Names",
        needs=f"{_LONGEST_NAME} bytes are kept, and none becomes another name",
        stands="one file could be taken for another one",
        run=_keep_names,
    ),
    Property(
        name="Case of names",
        needs="a and A are two files",
        stands="one file could take the place of another one",
        run=_tell_case,
    ),
    Property(
        name="Making last (fsync(2))",
        needs="files and folders are brought to the disk",
        stands="a record that a delivery goes by could be gone after a power cut",
        run=_make_last,
    ),
)
